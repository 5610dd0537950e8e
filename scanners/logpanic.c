#include "scanners/logpanic.h"

#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/logsender.h"

enum {
	PANIC_LINES_MAX = 200,
	WORDS_BEFORE_MAX = 3, /* lines between containerd's last words and a nameless panic */
};

static bool has_any(const char *text, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strstr(text, words[i]))
			return true;
	return false;
}

static bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_frame(const char *text)
{
	return strstr(text, ".go:") || strchr(text, '(') || starts_with(text, "created by ");
}

bool log_frame_is_foreign(const char *text)
{
	static const char *const programs[] = {
		"github.com/docker/docker/", "github.com/moby/moby/",	 "github.com/moby/buildkit/",
		"docker/libnetwork/",	     "go.etcd.io/etcd/",	 "coreos/etcd/",
		"github.com/containers/",    "github.com/cri-o/",	 "github.com/k3s-io/k3s",
		"github.com/k3s-io/kine",    "github.com/rancher/",	 "github.com/hashicorp/",
		"k8s.io/kubernetes/",	     "github.com/influxdata/",	 "github.com/balena-os/",
		"runtime/v2/shim.",	     "cmd/containerd-shim",	 "pkg/shim.",
	};

	/* What containerd itself has vendored stands below its own tree. */
	if (!is_frame(text) || strstr(text, "containerd/containerd/vendor/") ||
	    strstr(text, "containerd/cri/vendor/"))
		return is_frame(text) && strstr(text, "docker/docker/vendor/");
	return has_any(text, programs, ARRAY_SIZE(programs));
}

bool log_frame_is_own(const char *text)
{
	static const char *const packages[] = {
		"containerd/services/server",	 "containerd/server.", "containerd/server/server.go",
		"/cmd/containerd/",		 "metadata/plugin.init", "metadata/plugin/plugin.go",
		"containerd/v2/plugins/",	 "containerd/pkg/cri/",	 "containerd/cri/",
		"containerd/v2/internal/cri/",	 "containerd/plugin.(*Registration)",
		"containerd/containerd/vendor/", "/containerd.io-",
	};

	return is_frame(text) && !log_frame_is_foreign(text) &&
	       has_any(text, packages, ARRAY_SIZE(packages));
}

bool log_frame_is_bolt(const char *text)
{
	static const char *const packages[] = { "bbolt.", "boltdb/bolt.", "/bbolt/", "bbolt@",
						"bbolt/internal/" };

	return is_frame(text) && has_any(text, packages, ARRAY_SIZE(packages));
}

static const char *trimmed(const struct log_line *line)
{
	return line->text + strspn(line->text, " \t");
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

/* Go's own machinery between the cause and the report of it. */
static bool is_runtime_frame(const char *text)
{
	static const char *const prefixes[] = { "panic(", "runtime.", "runtime/", "goroutine ",
						"[signal", "fatal error:", "panic:", "created by ",
						"unexpected fault", "/usr/", "SIG", "PC=" };

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (starts_with(text, prefixes[i]))
			return true;
	return !strchr(text, '(') || strstr(text, ".go:");
}

/*
 * Is the head containerd's before its stack is looked at? In a stream without
 * names only what follows right behind containerd's own words is.
 */
static bool is_named_own(const struct log *log, size_t head)
{
	const struct log_line *line = &log->lines[head];

	if (line->source != LOG_CONTAINERD)
		return false;
	if (*line->sender || line->pid != 0)
		return true;
	for (size_t back = 1; back <= head && back <= WORDS_BEFORE_MAX; back++)
		if (log_word_is_own(log->lines[head - back].text))
			return true;
	return false;
}

/* Of @panic's lines, from its first to the one before a sentence of another kind. */
static void read_stack(const struct log *log, size_t end, struct log_panic *panic)
{
	const struct log_line *head = &log->lines[panic->first];
	bool foreign = false, own = is_named_own(log, panic->first), top_seen = false;

	for (size_t i = panic->first; i < end; i++) {
		const struct log_line *line = &log->lines[i];
		const char *text = trimmed(line);

		if (i - panic->first > PANIC_LINES_MAX)
			break;
		if (!same_writer(head, line))
			continue;
		if (line->level != LOG_LEVEL_NONE && line->level != LOG_LEVEL_FATAL)
			break;
		if (line->level == LOG_LEVEL_FATAL && !is_head(line))
			break;
		panic->last = i;
		foreign |= log_frame_is_foreign(text);
		own |= log_frame_is_own(text);
		if (!top_seen && i > panic->first && !is_runtime_frame(text)) {
			top_seen = true;
			panic->top = i;
			panic->bolt_on_top = log_frame_is_bolt(text);
		}
	}
	panic->own = own && !foreign &&
		     (head->source == LOG_CONTAINERD || head->source == LOG_SUPERVISOR ||
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
		    has_any(log->lines[i].text, frames, ARRAY_SIZE(frames)))
			return true;
	return false;
}
