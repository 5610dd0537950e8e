#include "recover/history.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "recover/file.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"

enum { HISTORY_MAX = 16 << 20 };

int history_append(int records_fd, const char *unit, const char *event, const char *ticket,
		   const char *rule)
{
	cleanup_fd int fd = openat(records_fd, "history",
				   O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	cleanup_free char *line = NULL;
	int n, r;

	if (fd < 0)
		return -errno;
	n = asprintf(&line, "%" PRId64 " %s %s %s %s\n", (int64_t)time(NULL), unit, event,
		     ticket, rule);
	if (n < 0) {
		line = NULL;
		return -ENOMEM;
	}
	r = file_write_all(fd, line, (size_t)n);
	if (r < 0)
		return r;
	return fsync(fd) < 0 || fsync(records_fd) < 0 ? -errno : 0;
}

int history_has(int records_fd, const char *event, const char *ticket)
{
	cleanup_free char *text = NULL;
	char *save = NULL;
	int r = dir_read_file(records_fd, "history", HISTORY_MAX, &text, NULL);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char what[32], whose[64];

		if (sscanf(line, "%*d %*s %31s %63s", what, whose) == 2 &&
		    strcmp(what, event) == 0 && strcmp(whose, ticket) == 0)
			return 1;
	}
	return 0;
}

int history_last(int records_fd, const char *unit, const char *event, int64_t *ret)
{
	cleanup_free char *text = NULL;
	char *save = NULL;
	int found = 0;
	int r = dir_read_file(records_fd, "history", HISTORY_MAX, &text, NULL);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char of_unit[256], what[32];
		int64_t sec;

		if (sscanf(line, "%" SCNd64 " %255s %31s", &sec, of_unit, what) != 3)
			continue;
		if (strcmp(of_unit, unit) != 0 || strcmp(what, event) != 0)
			continue;
		*ret = sec;
		found = 1;
	}
	return found;
}

int history_last_action(int records_fd, const char *unit, struct history_event *ret)
{
	cleanup_free char *text = NULL;
	char *save = NULL;
	int found = 0;
	int r = dir_read_file(records_fd, "history", HISTORY_MAX, &text, NULL);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		struct history_event event;
		char of_unit[256];

		if (sscanf(line, "%" SCNd64 " %255s %31s %63s %63s", &event.sec, of_unit, event.event,
			   event.ticket, event.rule) != 5)
			continue;
		if (strcmp(of_unit, unit) != 0 || strcmp(event.event, "purge") == 0)
			continue;
		*ret = event;
		found = 1;
	}
	return found;
}
