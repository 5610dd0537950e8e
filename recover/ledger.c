#include "recover/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "recover/file.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"

#define HEADER "containerd-recover ledger 1\n"
enum { LEDGER_MAX = 64 * 1024, LEDGER_LINE = 512 };

static const char *const event_names[] = {
	[LEDGER_ATTEMPT] = "attempt",
	[LEDGER_READY] = "ready",
	[LEDGER_STOPPED] = "stopped",
	[LEDGER_UNREADY] = "unready",
};

int ledger_clock_now(struct ledger_clock *ret)
{
	cleanup_free char *id = NULL;
	struct timespec boot, real;
	size_t size;
	int r;

	r = dir_read_path("/proc/sys/kernel/random/boot_id", sizeof(ret->boot_id), &id, &size);
	if (r < 0)
		return r;
	if (clock_gettime(CLOCK_BOOTTIME, &boot) < 0 || clock_gettime(CLOCK_REALTIME, &real) < 0)
		return -errno;
	id[strcspn(id, "\n")] = '\0';
	(void)snprintf(ret->boot_id, sizeof(ret->boot_id), "%s", id);
	ret->boottime_msec = (int64_t)boot.tv_sec * 1000 + boot.tv_nsec / 1000000;
	ret->realtime_sec = real.tv_sec;
	return 0;
}

/* A line, taken apart; words that are missing are "-". */
struct line {
	char boot_id[LEDGER_WORD];
	int64_t boottime_msec, realtime_sec;
	enum ledger_event event;
	char invocation[LEDGER_WORD], result[LEDGER_WORD], code[LEDGER_WORD], status[LEDGER_WORD];
};

static bool parse_line(const char *text, size_t size, struct line *ret)
{
	char copy[LEDGER_LINE], event[LEDGER_WORD] = "";
	int n;

	if (size >= sizeof(copy) || memchr(text, '\0', size))
		return false;
	memcpy(copy, text, size);
	copy[size] = '\0';
	*ret = (struct line){ .invocation = "-", .result = "-", .code = "-", .status = "-" };
	n = sscanf(copy, "%39s %" SCNd64 " %" SCNd64 " %39s %39s %39s %39s %39s", ret->boot_id,
		   &ret->boottime_msec, &ret->realtime_sec, event, ret->invocation, ret->result, ret->code, ret->status);
	if (n < 5 || ret->boottime_msec < 0)
		return false;
	for (unsigned i = 0; i < ARRAY_SIZE(event_names); i++) {
		if (strcmp(event, event_names[i]) != 0)
			continue;
		ret->event = i;
		return (i != LEDGER_STOPPED || n == 8) && (i != LEDGER_UNREADY || n >= 6);
	}
	return false;
}

/* The start that the lines are in the middle of. */
struct run {
	bool open, ready, unready;
	int64_t ready_msec, began_sec;
};

static void push_failure(struct ledger_summary *s, const struct line *line)
{
	s->failures++;
	if (strcmp(line->result, "timeout") == 0)
		s->timeouts++;
	memmove(s->invocations[1], s->invocations[0], sizeof(s->invocations) - LEDGER_WORD);
	memcpy(s->invocations[0], line->invocation, LEDGER_WORD);
	if (s->invocation_count < LEDGER_INVOCATIONS)
		s->invocation_count++;
}

static void note_failure(struct ledger_summary *s, const struct run *run, const struct line *line,
			 const struct ledger_clock *now, const struct policy *policy)
{
	s->last_failed = true;
	if (s->failing_since_sec == 0)
		s->failing_since_sec = run->open ? run->began_sec : line->realtime_sec;
	if (now->boottime_msec - line->boottime_msec <= (int64_t)policy->window_sec * 1000)
		push_failure(s, line);
}

static void forget_failures(struct ledger_summary *s)
{
	s->failures = 0;
	s->timeouts = 0;
	s->invocation_count = 0;
	s->failing_since_sec = 0;
}

static bool killed_by_operator(const struct line *line)
{
	if (strcmp(line->result, "success") == 0)
		return true;
	return strcmp(line->result, "signal") == 0 &&
	       (strcmp(line->status, "TERM") == 0 || strcmp(line->status, "KILL") == 0);
}

static void on_stopped(struct ledger_summary *s, struct run *run, const struct line *line,
		       const struct ledger_clock *now, const struct policy *policy)
{
	bool healthy = run->ready && !run->unready &&
		       line->boottime_msec - run->ready_msec >= (int64_t)policy->healthy_sec * 1000;

	s->in_start = s->up = false;
	if (!run->unready) { /* else it failed, and was counted, when that was found */
		s->last_failed = false;
		*s->unready = '\0';
		if (healthy)
			forget_failures(s);
		else if (strcmp(line->result, "success") != 0 && !(run->ready && killed_by_operator(line)))
			note_failure(s, run, line, now, policy);
	}
	memcpy(s->last_result, line->result, LEDGER_WORD);
	memcpy(s->last_code, line->code, LEDGER_WORD);
	memcpy(s->last_status, line->status, LEDGER_WORD);
	if (run->unready) /* how it was stopped says nothing of how it started */
		memcpy(s->last_result, "unready", sizeof("unready"));
	*run = (struct run){ 0 };
}

/* Written late it may be of an earlier start. */
static void on_unready(struct ledger_summary *s, struct run *run, const struct line *line,
		       const struct ledger_clock *now, const struct policy *policy)
{
	if (!run->ready || run->unready || strcmp(line->invocation, s->up_invocation) != 0)
		return;
	run->unready = true;
	memcpy(s->unready, line->result, LEDGER_WORD);
	note_failure(s, run, line, now, policy);
}

static void on_line(struct ledger_summary *s, struct run *run, const struct line *line,
		    const struct ledger_clock *now, const struct policy *policy)
{
	switch (line->event) {
	case LEDGER_ATTEMPT:
		s->attempts++;
		s->in_start = true;
		s->up = false;
		*run = (struct run){ .open = true, .began_sec = line->realtime_sec };
		break;
	case LEDGER_READY:
		s->in_start = false;
		*s->unready = '\0'; /* the last start's: of this one nothing is known yet */
		memcpy(s->ready_fingerprint, line->result, LEDGER_WORD);
		s->up = true;
		memcpy(s->up_invocation, line->invocation, LEDGER_WORD);
		run->ready = true;
		run->ready_msec = line->boottime_msec;
		break;
	case LEDGER_STOPPED:
		on_stopped(s, run, line, now, policy);
		break;
	case LEDGER_UNREADY:
		on_unready(s, run, line, now, policy);
		break;
	}
}

void ledger_summarise(const char *text, size_t size, const struct ledger_clock *now,
		      const struct policy *policy, struct ledger_summary *ret)
{
	const char *end = text + size;
	struct run run = { 0 };

	*ret = (struct ledger_summary){ 0 };
	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t len = (size_t)((newline ? newline : end) - text);
		struct line line;

		if (len == strlen(HEADER) - 1 && memcmp(text, HEADER, len) == 0)
			; /* at the top */
		else if (!newline || !parse_line(text, len, &line))
			ret->malformed++;
		else if (strcmp(line.boot_id, now->boot_id) == 0 &&
			 line.boottime_msec <= now->boottime_msec)
			on_line(ret, &run, &line, now, policy);
		text += len + 1;
	}
	if (run.ready && !run.unready &&
	    now->boottime_msec - run.ready_msec >= (int64_t)policy->healthy_sec * 1000)
		forget_failures(ret);
}

static bool is_ours(const char *text, size_t size)
{
	return size >= strlen(HEADER) && memcmp(text, HEADER, strlen(HEADER)) == 0;
}

int ledger_read(int dirfd, const char *name, const struct ledger_clock *now,
		const struct policy *policy, struct ledger_summary *ret)
{
	cleanup_free char *text = NULL;
	size_t size = 0;
	int r;

	*ret = (struct ledger_summary){ 0 };
	r = dir_read_file(dirfd, name, LEDGER_MAX + LEDGER_LINE, &text, &size);
	if (r == -ENOENT || r == -EFBIG || r == -ELOOP || r == -EINVAL || r == -EISDIR)
		return 0;
	if (r < 0)
		return r;
	if (is_ours(text, size))
		ledger_summarise(text, size, now, policy, ret);
	return 0;
}

int ledger_first_ready(int dirfd, const char *name, const char *boot_id, int64_t after_msec,
		       int64_t *ret_msec)
{
	cleanup_free char *text = NULL;
	const char *at, *newline;
	size_t size;
	int r = dir_read_file(dirfd, name, LEDGER_MAX + LEDGER_LINE, &text, &size);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	for (at = text; (newline = strchr(at, '\n')); at = newline + 1) {
		struct line line;

		if (!parse_line(at, (size_t)(newline - at), &line) || line.event != LEDGER_READY ||
		    strcmp(line.boot_id, boot_id) != 0 || line.boottime_msec < after_msec)
			continue;
		*ret_msec = line.boottime_msec;
		return 1;
	}
	return 0;
}

static int set_aside(int dirfd, const char *name)
{
	cleanup_free char *aside = NULL;

	if (asprintf(&aside, "%s.foreign", name) < 0) {
		aside = NULL;
		return -ENOMEM;
	}
	if (renameat2(dirfd, name, dirfd, aside, RENAME_NOREPLACE) == 0)
		return 0;
	/* A second foreign one: the first is the evidence; swap keeps both names' content. */
	if (errno == EEXIST && renameat(dirfd, name, dirfd, aside) == 0)
		return 0;
	return -errno;
}

/* Drops the older half, whole lines only, when @size has outgrown the bound. */
static int shorten(int dirfd, const char *name, const char *text, size_t size)
{
	cleanup_free char *kept = NULL;
	const char *from = memchr(text + size / 2, '\n', size - size / 2);
	size_t header = strlen(HEADER), len;

	if (!from)
		return set_aside(dirfd, name);
	len = size - (size_t)(++from - text);
	kept = malloc(header + len);
	if (!kept)
		return -ENOMEM;
	memcpy(kept, HEADER, header);
	memcpy(kept + header, from, len);
	return file_replace(dirfd, name, kept, header + len, 0600);
}

enum tail { TAIL_NEW, TAIL_WHOLE, TAIL_TORN };

/* Makes the file fit to be appended to. Returns enum tail, or a negative errno. */
static int prepare(int dirfd, const char *name)
{
	cleanup_free char *text = NULL;
	size_t size = 0;
	int r = dir_read_file(dirfd, name, 4 * LEDGER_MAX, &text, &size);

	if (r == -ENOENT)
		return TAIL_NEW;
	if (r == -EFBIG || r == -ELOOP || r == -EINVAL || r == -EISDIR ||
	    (r == 0 && size > 0 && !is_ours(text, size))) {
		r = set_aside(dirfd, name);
		return r < 0 ? r : TAIL_NEW;
	}
	if (r < 0)
		return r;
	if (size == 0)
		return TAIL_NEW;
	if (size > LEDGER_MAX) {
		r = shorten(dirfd, name, text, size);
		if (r < 0)
			return r;
	}
	return text[size - 1] == '\n' ? TAIL_WHOLE : TAIL_TORN;
}

/* systemd's words have no spaces; whatever else comes must not break the line. */
static const char *word(const char *text)
{
	if (!text || !*text || strlen(text) >= LEDGER_WORD || strpbrk(text, " \t\r\n"))
		return "-";
	return text;
}

int ledger_append(int dirfd, const char *name, const struct ledger_clock *now,
		  const struct ledger_entry *entry, bool sync)
{
	cleanup_fd int fd = -EBADF;
	char line[LEDGER_LINE];
	int tail, n, r;

	tail = prepare(dirfd, name);
	if (tail < 0)
		return tail;
	n = snprintf(line, sizeof(line), "%s%s %" PRId64 " %" PRId64 " %s %s",
		     tail == TAIL_NEW ? HEADER : tail == TAIL_TORN ? "\n" : "", now->boot_id,
		     now->boottime_msec, now->realtime_sec, event_names[entry->event],
		     word(entry->invocation));
	if (entry->event == LEDGER_READY)
		n += snprintf(line + n, sizeof(line) - (size_t)n, " %s", word(entry->fingerprint));
	if (entry->event == LEDGER_UNREADY)
		n += snprintf(line + n, sizeof(line) - (size_t)n, " %s", word(entry->unready));
	if (entry->event == LEDGER_STOPPED)
		n += snprintf(line + n, sizeof(line) - (size_t)n, " %s %s %s", word(entry->result),
			      word(entry->code), word(entry->status));
	n += snprintf(line + n, sizeof(line) - (size_t)n, "\n");

	fd = openat(dirfd, name, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = file_write_all(fd, line, (size_t)n);
	if (r == 0 && sync && fsync(fd) < 0)
		r = -errno;
	if (close(take_fd(&fd)) < 0 && r == 0)
		r = -errno;
	return r;
}
