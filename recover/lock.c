#include "recover/lock.h"

#include <errno.h>
#include <stdint.h>
#include <sys/file.h>
#include <time.h>

#include "scanners/clock.h"

enum { PAUSE_MSEC = 2 }; /* host-local and iptables hold theirs for a few milliseconds */

/* flock(2) has no time-out, and a signal to end it would be the whole process's. */
int lock_within(int fd, unsigned msec)
{
	const struct timespec pause = { .tv_nsec = PAUSE_MSEC * 1000000L };
	int64_t deadline = clock_msec() + msec;

	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (clock_msec() >= deadline)
			return -ETIMEDOUT;
		(void)nanosleep(&pause, NULL); /* a short pause is as good */
	}
	return 0;
}
