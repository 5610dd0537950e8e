/*
 * Who holds the flock(2) on a file, from /proc/locks. The kernel names the
 * process that took it, which may have handed the descriptor on and ended.
 */
#ifndef SCANNERS_LOCK_HOLDER_H
#define SCANNERS_LOCK_HOLDER_H

#include <sys/types.h>

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

#endif
