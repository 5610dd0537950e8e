#include "recover/history.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "recover/file.h"
#include "scanners/cleanup.h"

enum { HISTORY_MAX = 16 << 20 };

/* Behind a line that was torn, a new one begins. */
static bool is_torn(int fd)
{
	off_t end = lseek(fd, 0, SEEK_END);
	char last = '\0';

	return end > 0 && (pread(fd, &last, 1, end - 1) != 1 || last != '\n');
}

int history_append(int records_fd, const char *unit, const char *event, const char *ticket,
		   const char *rule)
{
	cleanup_fd int fd = openat(records_fd, "history",
				   O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	cleanup_free char *line = NULL;
	int n, r;

	if (fd < 0)
		return -errno;
	n = asprintf(&line, "%s%" PRId64 " %s %s %s %s\n", is_torn(fd) ? "\n" : "",
		     (int64_t)time(NULL), unit, event, ticket, rule);
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
	int r = file_read_lines(records_fd, "history", HISTORY_MAX, &text);

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

/* What becomes of a quarantine later, was about to be done, or was not. */
static bool is_no_action(const char *event)
{
	return strcmp(event, "purge") == 0 || strcmp(event, "begin") == 0 || strcmp(event, "kept") == 0;
}

/* The last one that is @event, or with NULL the last action that names its ticket.
 * A torn line counts as far as it goes. */
static int find_last(int records_fd, const char *unit, const char *event, struct history_event *ret)
{
	cleanup_free char *text = NULL;
	char *save = NULL;
	int found = 0;
	int r = file_read_lines(records_fd, "history", HISTORY_MAX, &text);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		struct history_event one = { 0 };
		char of_unit[256];
		int fields = sscanf(line, "%" SCNd64 " %255s %31s %63s %63s", &one.sec, of_unit, one.event,
				    one.ticket, one.rule);

		if (fields < 3 || strcmp(of_unit, unit) != 0)
			continue;
		if (event ? strcmp(one.event, event) != 0 : fields < 4 || is_no_action(one.event))
			continue;
		*ret = one;
		found = 1;
	}
	return found;
}

int history_last(int records_fd, const char *unit, const char *event, int64_t *ret)
{
	struct history_event last;
	int r = find_last(records_fd, unit, event, &last);

	if (r > 0)
		*ret = last.sec;
	return r;
}

int history_last_event(int records_fd, const char *unit, const char *event,
		       struct history_event *ret)
{
	return find_last(records_fd, unit, event, ret);
}

int history_last_action(int records_fd, const char *unit, struct history_event *ret)
{
	return find_last(records_fd, unit, NULL, ret);
}

int history_last_quarantine(int records_fd, const char *unit, int64_t *ret)
{
	int64_t made = 0, failed = 0;
	int r = history_last(records_fd, unit, "quarantine", &made);
	int r2 = r < 0 ? r : history_last(records_fd, unit, "failed", &failed);

	if (r2 < 0 || (r == 0 && r2 == 0))
		return r2;
	*ret = made > failed ? made : failed;
	return 1;
}
