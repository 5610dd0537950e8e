/* flock(2) with a bound. */
#ifndef RECOVER_LOCK_H
#define RECOVER_LOCK_H

/* Take the exclusive lock of @fd. Returns 0, -ETIMEDOUT, or another negative errno. */
int lock_within(int fd, unsigned msec);

#endif
