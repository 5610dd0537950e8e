/*
 * Who holds the flock(2) on a file, from /proc/locks. The kernel names the
 * process that took it, which may have handed the descriptor on and ended.
 */
#ifndef SCANNERS_LOCK_HOLDER_H
#define SCANNERS_LOCK_HOLDER_H

#include <sys/types.h>

enum { PROCESS_NAME = 64 };

/*
 * Who has the file at @fd locked. Returns 1 with the holder in @ret, 0 if the
 * table has none that we may see, or a negative errno.
 */
int lock_holder(int fd, pid_t *ret);

/*
 * Is @pid a process of the systemd unit @unit, by /proc/PID/cgroup? Returns 1,
 * 0, or a negative errno: -ENOENT or -ESRCH if it is gone.
 */
int lock_holder_in_unit(pid_t pid, const char *unit);

/*
 * What @pid calls itself, which the kernel cuts to 15 characters: raw, it may be
 * anything. "" where that cannot be known.
 */
void lock_holder_name(pid_t pid, char ret[PROCESS_NAME]);

#endif
