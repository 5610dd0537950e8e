#include "recover/lock.h"

#include <errno.h>
#include <stdint.h>
#include <sys/file.h>
#include <time.h>

enum { PAUSE_MSEC = 2 }; /* host-local and iptables hold theirs for a few milliseconds */

static int64_t now_msec(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail with this clock */
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* flock(2) has no time-out, and a signal to end it would be the whole process's. */
int lock_within(int fd, unsigned msec)
{
	const struct timespec pause = { .tv_nsec = PAUSE_MSEC * 1000000L };
	int64_t deadline = now_msec() + msec;

	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (now_msec() >= deadline)
			return -ETIMEDOUT;
		(void)nanosleep(&pause, NULL); /* a short pause is as good */
	}
	return 0;
}
