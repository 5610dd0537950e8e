#include "recover/run_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "recover/file.h"
#include "recover/incident.h"
#include "recover/kill.h"
#include "recover/log.h"
#include "recover/situation.h"
#include "scanners/cleanup.h"
#include "scanners/elsewhere.h"

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
	if (fd == -EBUSY)
		log_error("nothing was begun: another run of containerd-recover is at work; try again once it has ended");
	else if (fd < 0)
		log_error("nothing was begun: the lock in %s cannot be taken: %s", RUN_PATH, strerror(-fd));
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

static bool is_there(const char *path)
{
	return access(path, F_OK) == 0 || errno != ENOENT;
}

/* Given by hand, not there, while the one that containerd's configuration has is. */
static int check_given(const struct config_overrides *paths)
{
	struct config_overrides without = *paths;
	cleanup_config struct config configured = { 0 };
	int r;

	without.state = NULL;
	if (!paths->state || is_there(paths->state))
		return 0;
	r = config_read(&without, &configured);
	if (r < 0 || !is_there(configured.state))
		return r;
	log_error("there is no state directory %s, and containerd's configuration has %s; leave --state out, "
		  "or make the directory if it is the right one", log_name(paths->state),
		  log_name(configured.state));
	return -ENOTDIR;
}

int run_check_state(const struct config_overrides *paths, const struct config *config,
		    const struct inventory *inventory)
{
	struct elsewhere elsewhere = { 0 };
	int r = elsewhere_scan(config->state, inventory, &elsewhere);
	/* Beside pods that are here, what is elsewhere was lost before, and is as it was. */
	bool wrong = r == 0 && elsewhere.count > 0 && elsewhere.here == 0;

	if (r < 0)
		log_error("cannot tell whose the running shims are: %s", strerror(-r));
	else if (wrong)
		log_error("%zu of this containerd's shims run in another state directory than %s (process %d, in %s): "
			  "they would run on, known to nobody; give --state=%s to end them", elsewhere.count,
			  log_name(config->state), elsewhere.pid, log_name(elsewhere.state),
			  log_name(elsewhere.state));
	free(elsewhere.state);
	if (wrong)
		return -ENOTDIR;
	return r < 0 ? r : check_given(paths);
}
