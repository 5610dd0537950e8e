/*
 * Stopping and starting containerd's unit through systemd (its private socket,
 * else the system bus), as `systemctl` does it.
 */
#ifndef RECOVER_UNIT_H
#define RECOVER_UNIT_H

#include <stdbool.h>

enum { UNIT_STATE = 32 };

/*
 * ActiveState and SubState of @unit, e.g. "activating" and "auto-restart".
 * Returns 0, -ENOENT where systemd does not know it, -ELIBACC without
 * libsystemd, or another negative errno.
 */
int unit_state(const char *unit, char ret_active[UNIT_STATE], char ret_sub[UNIT_STATE]);

/*
 * Were files of @unit changed since systemd read them? Returns 1, 0, or an errno
 * as above.
 */
int unit_needs_reload(const char *unit);

/*
 * Stop @unit and wait until it is. A main process that has not gone after
 * @patience_sec is killed. Returns 0, -ETIMEDOUT, or another negative errno.
 */
int unit_stop(const char *unit, unsigned patience_sec);

/*
 * Start @unit, a start limit it ran into forgotten, and wait until it is
 * active. Returns 0, -EIO where it failed, -ETIMEDOUT, or another errno.
 */
int unit_start(const char *unit, unsigned budget_sec);

/* As unit_start(), but only asked for, not waited for. */
int unit_start_no_wait(const char *unit);

/* As unit_start(), but only waited for. */
int unit_wait_active(const char *unit, unsigned budget_sec);

/* And if it runs, anew: one that is about to end would not do. */
int unit_start_anew(const char *unit);

/*
 * Restart @unit as `systemctl try-restart` does, with whatever depends on it, and
 * not if it was stopped meanwhile. Only the end of its main process is waited for,
 * which is killed if it has not gone after @patience_sec. Returns 0 or a negative
 * errno.
 */
int unit_restart(const char *unit, unsigned patience_sec);

#endif
