#include "recover/run_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "recover/file.h"
#include "recover/incident.h"
#include "recover/kill.h"
#include "recover/log.h"
#include "recover/situation.h"
#include "scanners/cleanup.h"

enum { PAUSE_MSEC = 50, PATIENCE_SEC = 45 };

int run_lock(void)
{
	cleanup_fd int dir_fd = file_make_dirs(RUN_PATH, 0700);
	cleanup_fd int fd = -EBADF;

	if (dir_fd < 0)
		return dir_fd;
	fd = openat(dir_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	return take_fd(&fd);
}

int run_lock_patiently(void)
{
	const struct timespec pause = { .tv_nsec = PAUSE_MSEC * 1000000L };
	int fd;

	for (int i = 0; (fd = run_lock()) == -EBUSY && i < PATIENCE_SEC * 1000 / PAUSE_MSEC; i++)
		(void)nanosleep(&pause, NULL); /* a shorter one only asks sooner */
	return fd;
}

int run_check_records(void)
{
	int r = file_check_writable(RECORDS_PATH);

	if (r < 0)
		log_error("nothing is begun that cannot be written down, and %s cannot be written to: %s",
			  RECORDS_PATH, strerror(-r));
	return r;
}

int run_check_apart(const struct inventory *inventory)
{
	struct inventory lost = { 0 };
	int r = incident_lost(inventory, &lost);

	if (r == 0)
		r = kill_ends_us(&lost);
	free(lost.sandboxes); /* the strings are the inventory's */
	if (r > 0)
		log_error("this shell is in a pod that would end, and this run with it, while containerd is "
			  "stopped; start it from the node itself, or by `systemd-run containerd-recover ... "
			  "--yes`, which tells the journal");
	else if (r < 0)
		log_error("cannot tell whether this shell is in a pod that would end: %s", strerror(-r));
	return r > 0 ? -EDEADLK : r;
}
