#include "scanners/logpanic.h"

#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/logsender.h"
#include "scanners/text.h"

enum {
	PANIC_LINES_MAX = 200,
	WORDS_BEFORE_MAX = 3, /* lines between containerd's last words and a nameless panic */
};

static bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_frame(const char *text)
{
	return strstr(text, ".go:") || strchr(text, '(') || starts_with(text, "created by ");
}

/* k3s and rke2 carry a containerd whose main function is in their tree. */
static bool is_own_main_elsewhere(const char *text)
{
	return strstr(text, "k3s/pkg/containerd") || strstr(text, "k3s/cmd/containerd");
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
		"runtime/v2/runc.",	     "runtime/v2/runc/",	 "containerd-shim-runc-v2",
		"runtime/v2/task.",	     "-snapshotter/",		 "containerd/nerdctl/",
		"accelerated-container-image/",
	};

	/* What containerd itself has vendored stands below its own tree. */
	if (!is_frame(text) || strstr(text, "containerd/containerd/vendor/") ||
	    strstr(text, "containerd/cri/vendor/"))
		return is_frame(text) && strstr(text, "docker/docker/vendor/");
	return text_has_any(text, programs, ARRAY_SIZE(programs)) && !is_own_main_elsewhere(text);
}

/* The projects below github.com/containerd/ that containerd is built from. */
static bool is_own_project(const char *name)
{
	static const char *const projects[] = {
		"containerd", "cri",	 "log",	    "ttrpc",	"typeurl", "errdefs",  "plugin",
		"platforms",  "cgroups", "fifo",    "console",	"go-cni",  "go-runc",  "continuity",
		"btrfs",      "zfs",	 "aufs",    "imgcrypt", "nri",	   "otelttrpc",
	};
	size_t size = strcspn(name, "/.(");

	for (size_t i = 0; i < ARRAY_SIZE(projects); i++)
		if (strlen(projects[i]) == size && memcmp(projects[i], name, size) == 0)
			return true;
	return false;
}

/*
 * Is @text a function's frame of a module that containerd is not built from? In
 * a stream without names nothing else tells whose panic it is.
 */
bool log_frame_is_unknown(const char *text)
{
	static const char *const modules[] = {
		"github.com/docker/containerd/", "github.com/k3s-io/containerd/", "go.etcd.io/bbolt",
		"github.com/boltdb/bolt",	 "github.com/etcd-io/bbolt",	  "github.com/coreos/bbolt",
		"google.golang.org/",		 "golang.org/x/",		  "gopkg.in/",
		"go.opentelemetry.io/",		 "k8s.io/",			  "sigs.k8s.io/",
		"tags.cncf.io/",		 "github.com/urfave/",		  "github.com/sirupsen/",
		"github.com/opencontainers/",	 "github.com/gogo/",		  "github.com/golang/",
		"github.com/grpc-ecosystem/",	 "github.com/docker/go-",	  "github.com/pelletier/",
		"github.com/BurntSushi/",	 "github.com/Microsoft/",	  "github.com/prometheus/",
		"github.com/moby/sys/",		 "github.com/moby/locker",	  "github.com/fsnotify/",
		"github.com/intel/goresctrl",	 "github.com/tetratelabs/",	  "github.com/pkg/",
		"github.com/felixge/",		 "github.com/klauspost/",	  "github.com/cilium/ebpf",
		"github.com/coreos/go-systemd",	 "github.com/godbus/",		  "github.com/vishvananda/",
		"github.com/emicklei/",		 "github.com/json-iterator/",	  "github.com/miekg/",
	};
	static const char own[] = "github.com/containerd/", created[] = "created by ";
	const char *slash, *dot;

	if (strncmp(text, created, strlen(created)) == 0)
		text += strlen(created);
	else if (text[strcspn(text, "( \t")] != '(')
		return false;
	/* "host.name/path/package.Function(": anything else is Go's own library, or main */
	slash = text + strcspn(text, "/( \t");
	dot = memchr(text, '.', (size_t)(slash - text));
	if (text[strcspn(text, "( \t:")] == ':' || *slash != '/' || !dot || slash == text || is_own_main_elsewhere(text))
		return false;
	if (strncmp(text, own, strlen(own)) == 0)
		return !is_own_project(text + strlen(own));
	for (size_t i = 0; i < ARRAY_SIZE(modules); i++)
		if (strncmp(text, modules[i], strlen(modules[i])) == 0)
			return false;
	return true;
}

bool log_frame_is_own(const char *text)
{
	static const char *const packages[] = {
		"containerd/services/server",	   "containerd/server.",
		"containerd/server/server.go",	   "/cmd/containerd/",
		"metadata/plugin.init",		   "metadata/plugin/plugin.go",
		"containerd/v2/plugins/metadata",  "containerd/v2/plugins/cri",
		"containerd/v2/plugins/gc",	   "containerd/v2/plugins/services/",
		"containerd/v2/plugins/restart",   "containerd/v2/plugins/sandbox",
		"containerd/v2/plugins/transfer",  "containerd/pkg/cri/",
		"containerd/cri/",		   "containerd/v2/internal/cri/",
		"containerd/plugin.(*Registration)", "containerd/containerd/vendor/",
		"/containerd.io-",
	};

	return is_frame(text) && !log_frame_is_foreign(text) &&
	       text_has_any(text, packages, ARRAY_SIZE(packages));
}

bool log_frame_is_bolt(const char *text)
{
	static const char *const packages[] = { "bbolt.", "boltdb/bolt.", "/bbolt/", "bbolt@",
						"bbolt/internal/" };

	return is_frame(text) && text_has_any(text, packages, ARRAY_SIZE(packages));
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

/* Nothing in front of @line says who wrote it. */
static bool is_nameless(const struct log_line *line)
{
	return !*line->sender && line->pid == 0;
}

/* Once containerd is up, others speak in such a stream: dockerd, BuildKit. */
static bool has_booted(const struct log *log, size_t head)
{
	for (size_t i = head; i > 0 && log->lines[i - 1].start == log->lines[head].start; i--)
		if (strstr(log->lines[i - 1].text, "containerd successfully booted"))
			return true;
	return false;
}

/*
 * Is the head containerd's before its stack is looked at? In a stream without
 * names only what follows right behind its words about a file of bolt's is.
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
		return true;
	if (has_booted(log, head))
		return false;
	for (size_t back = 1; back <= head && back <= WORDS_BEFORE_MAX; back++) {
		const struct log_line *before = &log->lines[head - back];

		if (is_nameless(before) && log_word_is_own(before->text))
			return text_has_any(before->text, opening, ARRAY_SIZE(opening));
	}
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
		foreign |= log_frame_is_foreign(text) ||
			   (is_nameless(head) && log_frame_is_unknown(text));
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
		    text_has_any(log->lines[i].text, frames, ARRAY_SIZE(frames)))
			return true;
	return false;
}
