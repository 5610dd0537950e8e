/*
 * Who holds the flock(2) on a file, from /proc/locks. The kernel names the
 * process that took it, which may have handed the descriptor on and ended.
 */
#ifndef SCANNERS_LOCK_HOLDER_H
#define SCANNERS_LOCK_HOLDER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Returns 1 with the holder of inode @ino on device @dev in @ret, 0 if the
 * table has none that we may see, or a negative errno.
 */
int lock_holder(dev_t dev, ino_t ino, pid_t *ret);

/*
 * Is @pid a process of the systemd unit @unit, by /proc/PID/cgroup? Returns 1,
 * 0, or a negative errno.
 */
int lock_holder_in_unit(pid_t pid, const char *unit);

#endif
