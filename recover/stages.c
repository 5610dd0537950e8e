#include "recover/stages.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "recover/file.h"
#include "recover/log.h"
#include "scanners/cleanup.h"

enum { STAGES_MAX = 1 << 16, STAGE_LINE = 128 };

const char *const stage_names[STAGE_COUNT] = {
	[STAGE_KILL] = "kill",	     [STAGE_BUNDLES] = "bundles", [STAGE_LINKS] = "links",
	[STAGE_RELEASE] = "release", [STAGE_MOVE] = "move",	  [STAGE_UNDO] = "undo",
	[STAGE_SALVAGE] = "salvage", [STAGE_SWEEP] = "sweep",	  [STAGE_RESTORE] = "restore",
	[STAGE_DEFER] = "defer",   [STAGE_PURGE] = "purge",
};

static void take_line(struct stages *s, const char *line)
{
	char word[8], name[16];
	int64_t msec, sec;

	if (sscanf(line, "%7s %15s %" SCNd64 " %" SCNd64, word, name, &msec, &sec) != 4)
		return;
	for (int i = 0; i < STAGE_COUNT; i++) {
		if (strcmp(name, stage_names[i]) != 0)
			continue;
		if (strcmp(word, "begin") == 0) {
			s->begun[i] = true;
			s->done[i] = false;
			s->begun_msec[i] = msec;
			/* The pods of the time between are lost now, and not swept yet. */
			if (i == STAGE_RESTORE)
				s->done[STAGE_SWEEP] = s->begun[STAGE_SWEEP] = false;
		} else if (strcmp(word, "done") == 0) {
			s->done[i] = true;
			s->done_sec[i] = sec;
			s->msec[i] = (unsigned)(msec - s->begun_msec[i]);
			if (i == STAGE_MOVE) /* a restore that was begun is called off */
				s->begun[STAGE_RESTORE] = false;
		}
	}
}

/* Returns whether the last line is torn. */
static bool take_text(struct stages *s, char *text)
{
	char *line, *newline;

	for (line = text; (newline = strchr(line, '\n')); line = newline + 1) {
		*newline = '\0';
		take_line(s, line);
	}
	return *line;
}

int stages_peek(int dirfd, const char *name, struct stages *ret)
{
	struct stages stages = { .fd = -EBADF };
	cleanup_free char *text = NULL;
	int r = file_read_lines(dirfd, name, STAGES_MAX, &text);

	if (r < 0)
		return r;
	(void)take_text(&stages, text); /* it may be being written */
	*ret = stages;
	return 0;
}

static int read_record(int ticket_fd, struct stages *s)
{
	cleanup_free char *text = NULL;
	int r = file_read_lines(ticket_fd, "stages", STAGES_MAX, &text);

	if (r < 0)
		return r;
	if (!take_text(s, text))
		return 0;
	/* Torn: end it, so that the next line starts at a line's start. */
	return file_write_all(s->fd, "\n", 1);
}

int stages_open(int ticket_fd, bool create, struct stages *ret)
{
	cleanup_fd int fd = -EBADF;
	struct stages stages = { 0 };
	int r;

	fd = openat(ticket_fd, "stages",
		    O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC | (create ? O_CREAT : 0), 0600);
	if (fd < 0)
		return -errno;
	stages.fd = fd;
	r = read_record(ticket_fd, &stages);
	if (r < 0)
		return r;
	if (create && fsync(ticket_fd) < 0)
		return -errno;
	(void)take_fd(&fd); /* the record's now */
	*ret = stages;
	return 0;
}

int stages_read_again(int ticket_fd, struct stages *stages)
{
	struct stages fresh = { .fd = stages->fd };
	int r = read_record(ticket_fd, &fresh);

	if (r == 0)
		*stages = fresh;
	return r;
}

void stages_close(struct stages *stages)
{
	cleanup_close(&stages->fd);
	stages->fd = -EBADF;
}

void stages_fault_point(void)
{
#ifdef FAULT_POINTS
	static int lines;
	const char *at = getenv("CONTAINERD_RECOVER_FAULT");

	if (at && ++lines == atoi(at))
		(void)raise(SIGKILL);
#endif
}

static int64_t msec_of(const struct timespec *time)
{
	return (int64_t)time->tv_sec * 1000 + time->tv_nsec / 1000000;
}

static int begin_again(struct stages *s, enum stage stage)
{
	struct timespec boot;

	if (clock_gettime(CLOCK_BOOTTIME, &boot) < 0)
		return -errno;
	s->begun_msec[stage] = msec_of(&boot);
	return 0;
}

static int record(struct stages *s, const char *word, enum stage stage)
{
	struct timespec boot, real;
	char line[STAGE_LINE];
	int n, r;

	if (clock_gettime(CLOCK_BOOTTIME, &boot) < 0 || clock_gettime(CLOCK_REALTIME, &real) < 0)
		return -errno;
	n = snprintf(line, sizeof(line), "%s %s %" PRId64 " %" PRId64 "\n", word, stage_names[stage],
		     msec_of(&boot), (int64_t)real.tv_sec);
	r = file_write_all(s->fd, line, (size_t)n);
	if (r < 0)
		return r;
	if (fdatasync(s->fd) < 0)
		return -errno;
	take_line(s, line);
	log_debug("%s: %s", stage_names[stage], word);
	stages_fault_point();
	return 0;
}

int stage_begin(struct stages *stages, enum stage stage)
{
	/* Tried again and again, as the background work of a containerd that never
	 * comes is, it must not fill the record: that it is begun is written. */
	if (stages->begun[stage] && !stages->done[stage])
		return begin_again(stages, stage);
	return record(stages, "begin", stage);
}

int stage_done(struct stages *stages, enum stage stage)
{
	return record(stages, "done", stage);
}
