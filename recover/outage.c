#include "recover/outage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "recover/file.h"
#include "recover/log.h"
#include "recover/quantity.h"
#include "recover/situation.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/text.h"

enum { OUTAGE_MAX = 4096 };

static char *file_name(const char *unit)
{
	return text_print("%s.stopped", unit);
}

static int open_file(int run_fd, const char *name)
{
	int fd = openat(run_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* Seen by its name only once we have the lock: without one it is a dead run's. */
static int put_locked(int run_fd, const char *name, const char *text)
{
	cleanup_free char *temporary = text_print(".%s.new", name);
	cleanup_fd int fd = -EBADF;
	int r;

	if (!temporary)
		return -ENOMEM;
	fd = openat(run_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : file_write_all(fd, text, strlen(text));
	if (r == 0 && flock(run_fd, LOCK_EX) < 0) /* outage_forget() has it for an instant */
		r = -errno;
	r = file_commit(run_fd, temporary, name, r);
	return r < 0 ? r : take_fd(&fd);
}

int outage_begin(const char *unit, const char *command)
{
	json_auto_t *json = json_pack("{s:s, s:I, s:I}", "command", command, "pid", (json_int_t)getpid(),
				      "time", (json_int_t)time(NULL));
	cleanup_free char *name = file_name(unit), *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	cleanup_fd int run_fd = file_make_dirs(RUN_PATH, 0700);

	if (run_fd < 0)
		return run_fd;
	return name && text ? put_locked(run_fd, name, text) : -ENOMEM;
}

void outage_end(const char *unit, int *fd)
{
	cleanup_fd int run_fd = *fd < 0 ? -EBADF : dir_open_path(RUN_PATH);
	cleanup_free char *name = file_name(unit);

	/* In this order: whoever waits for the lock finds the file gone. */
	if (run_fd >= 0 && name)
		(void)unlinkat(run_fd, name, 0); /* else the next start forgets it */
	cleanup_close(fd);
	*fd = -EBADF;
}

/* Does nobody alive have @fd's file? */
static bool is_left_behind(int fd)
{
	return flock(fd, LOCK_SH | LOCK_NB) == 0;
}

/* Returns 1 if @name is still @fd's file, 0 if another took its place, or a negative errno. */
static int is_named(int run_fd, const char *name, int fd)
{
	struct stat opened, now;

	if (fstat(fd, &opened) < 0 || fstatat(run_fd, name, &now, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return opened.st_dev == now.st_dev && opened.st_ino == now.st_ino;
}

void outage_forget(const char *unit)
{
	cleanup_fd int run_fd = dir_open_path(RUN_PATH), fd = -EBADF;
	cleanup_free char *name = file_name(unit);

	fd = run_fd < 0 || !name ? -EBADF : open_file(run_fd, name);
	if (fd < 0 || !is_left_behind(fd)) /* most often there is none */
		return;
	/* A run that begins puts its own file there, but not while the directory is locked. */
	if (flock(run_fd, LOCK_EX | LOCK_NB) == 0 && is_named(run_fd, name, fd) > 0)
		(void)unlinkat(run_fd, name, 0); /* else the next start's preflight does */
}

/* Waits for who has the lock of the file. Returns 1 if that one left it behind. */
static int wait_for_lock(int run_fd, const char *name)
{
	cleanup_fd int fd = open_file(run_fd, name);

	if (fd < 0)
		return fd;
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return -errno;
	return is_named(run_fd, name, fd);
}

int outage_wait(const char *unit)
{
	cleanup_fd int run_fd = dir_open_path(RUN_PATH);
	cleanup_free char *name = file_name(unit);
	int r;

	if (!name)
		return -ENOMEM;
	if (run_fd < 0)
		return run_fd == -ENOENT ? 0 : run_fd;
	while ((r = wait_for_lock(run_fd, name)) == 0)
		; /* a later run's by now */
	return r == -ENOENT ? 0 : r;
}

json_t *outage_read(const char *unit)
{
	cleanup_fd int run_fd = dir_open_path(RUN_PATH), fd = -EBADF;
	cleanup_free char *name = file_name(unit), *text = NULL;
	json_auto_t *json = NULL;

	if (run_fd < 0 || !name || dir_read_file(run_fd, name, OUTAGE_MAX, &text, NULL) < 0)
		return NULL;
	json = json_loads(text, 0, NULL);
	if (!json_is_string(json_object_get(json, "command")) || !json_is_integer(json_object_get(json, "pid")) ||
	    !json_is_integer(json_object_get(json, "time")))
		return NULL;
	fd = open_file(run_fd, name);
	if (fd < 0 || json_object_set_new(json, "alive", json_boolean(!is_left_behind(fd))) < 0)
		return NULL;
	return json_incref(json);
}

char *outage_print(const char *unit, const json_t *outage)
{
	const char *command = json_string_value(json_object_get(outage, "command"));
	json_int_t pid = json_integer_value(json_object_get(outage, "pid"));
	json_int_t ago = time(NULL) - json_integer_value(json_object_get(outage, "time"));

	if (json_is_true(json_object_get(outage, "alive")))
		return text_print("%s was stopped by `containerd-recover %s` (process %" JSON_INTEGER_FORMAT
				  "), which is at work and starts it again", log_name(unit), command, pid);
	return text_print("%s was stopped %s ago by `containerd-recover %s`, which was killed before it started "
			  "it again: systemctl start %s goes on, and finishes or takes back what was begun",
			  log_name(unit), quantity_seconds(ago > 0 ? ago : 0).text, command, log_name(unit));
}
