#include "scanners/logpanic.h"

#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/logframe.h"
#include "scanners/logsender.h"
#include "scanners/text.h"

enum {
	PANIC_LINES_MAX = 200,
	WORDS_BEFORE_MAX = 3, /* lines between containerd's last words and a nameless panic */
};

static const char *trimmed(const struct log_line *line)
{
	return line->text + strspn(line->text, " \t");
}

static bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_head(const struct log_line *line)
{
	static const char *const heads[] = { "panic: ",	 "fatal error: ", "unexpected fault address",
					     "SIGSEGV: ", "SIGBUS: ",	  "SIGILL: ",
					     "SIGABRT: ", "SIGTRAP: ",	  "[signal SIG" };
	const char *text = trimmed(line);

	for (size_t i = 0; i < ARRAY_SIZE(heads); i++)
		if (starts_with(text, heads[i]))
			return true;
	return false;
}

static bool same_writer(const struct log_line *a, const struct log_line *b)
{
	return a->source == b->source && a->pid == b->pid && strcmp(a->sender, b->sender) == 0;
}

/* Nothing in front of @line says who wrote it. */
static bool is_nameless(const struct log_line *line)
{
	return !*line->sender && line->pid == 0;
}

/* Does systemd say, behind line @from, that containerd's main process ended? */
static bool is_said_dead(const struct log *log, size_t from, size_t end)
{
	for (size_t i = from; i < end; i++)
		if (log->lines[i].source == LOG_SYSTEMD &&
		    strstr(log->lines[i].text, "ain process exited"))
			return true;
	return false;
}

/*
 * Is the head containerd's before its stack is looked at? In a stream without
 * names only what follows right behind its words about a file of bolt's is: what
 * stands between them must be containerd's, too, and no sentence or prompt.
 */
static bool is_named_own(const struct log *log, size_t head)
{
	static const char *const opening[] = { "io.containerd.metadata.v1.bolt",
					       "metadata content store policy",
					       "in metadata plugin",
					       "io.containerd.mount-manager.v1.bolt",
					       "io.containerd.snapshotter.v1.devmapper" };
	const struct log_line *line = &log->lines[head];

	if (line->source != LOG_CONTAINERD)
		return false;
	if (!is_nameless(line))
		return !line->child;
	if (line->after_boot) /* others speak now: dockerd, BuildKit */
		return false;
	for (size_t back = 1; back <= head && back <= WORDS_BEFORE_MAX; back++) {
		const struct log_line *before = &log->lines[head - back];

		if (is_nameless(before) && log_word_is_own(before->text))
			return text_has_any(before->text, opening, ARRAY_SIZE(opening));
		if (!is_head(before) && !log_word_is_in_form(before->text))
			return false;
	}
	return false;
}

/* What panics is running: another stack is of a dump that only follows. */
static bool is_other_goroutine(const struct log_line *head, const struct log_line *line)
{
	const char *text = trimmed(line), *state = strchr(text, '[');

	return starts_with(trimmed(head), "panic: ") && starts_with(text, "goroutine ") && state &&
	       !starts_with(state, "[running");
}

/* Of @panic's lines, from its first to the one before a sentence of another kind. */
static void read_stack(const struct log *log, size_t end, struct log_panic *panic)
{
	const struct log_line *head = &log->lines[panic->first];
	bool foreign = false, own = is_named_own(log, panic->first), top_seen = false;
	bool daemon = !head->after_boot || is_said_dead(log, panic->first, end);
	bool stacked = !is_nameless(head); /* else only with a stack that shows bolt */

	for (size_t i = panic->first; i < end; i++) {
		const struct log_line *line = &log->lines[i];

		if (i - panic->first > PANIC_LINES_MAX)
			break;
		if (!same_writer(head, line))
			continue;
		if (line->level != LOG_LEVEL_NONE && line->level != LOG_LEVEL_FATAL)
			break;
		if (line->level == LOG_LEVEL_FATAL && !is_head(line))
			break;
		if (is_other_goroutine(head, line))
			break;
		panic->last = i;
		foreign |= (line->frame & (LOG_FRAME_FOREIGN | LOG_FRAME_UNKNOWN)) != 0;
		own |= line->frame & LOG_FRAME_OWN;
		stacked |= line->frame & (LOG_FRAME_OWN | LOG_FRAME_BOLT);
		daemon |= strstr(line->text, "containerd/containerd") != NULL;
		if (!top_seen && i > panic->first && !(line->frame & LOG_FRAME_RUNTIME)) {
			top_seen = true;
			panic->top = i;
			panic->bolt_on_top = line->frame & LOG_FRAME_BOLT;
		}
	}
	/* A supervisor passes on line by line what its containerd says; else it quotes. */
	panic->own = own && daemon && stacked && !foreign &&
		     (head->source == LOG_CONTAINERD ||
		      (head->source == LOG_SUPERVISOR && !head->continued) ||
		      head->source == LOG_BARE);
}

bool log_panic_next(const struct log *log, size_t from, size_t end, struct log_panic *ret)
{
	for (size_t i = from; i < end; i++)
		if (is_head(&log->lines[i])) {
			*ret = (struct log_panic){ .first = i, .last = i, .top = i };
			read_stack(log, end, ret);
			return true;
		}
	return false;
}

bool log_has_panic(const struct log *log, size_t from, size_t end)
{
	static const char *const frames[] = { "panic(",	      "runtime.gopanic", "runtime.sigpanic",
					      "runtime.throw", "bolt._assert",	 ").fastCheck(",
					      "common.Assert(", "[running]" };

	for (size_t i = from; i < end; i++)
		if (is_head(&log->lines[i]) ||
		    text_has_any(log->lines[i].text, frames, ARRAY_SIZE(frames)))
			return true;
	return false;
}
