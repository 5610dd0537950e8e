#include "scanners/sightings.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/logpanic.h"

void sighting_keep(struct signature_evidence *evidence, size_t index)
{
	for (size_t i = 0; i < evidence->count; i++)
		if (evidence->lines[i] == index)
			return;
	if (evidence->count < SIGNATURE_EVIDENCE_MAX)
		evidence->lines[evidence->count++] = index;
}

static bool has_any(const char *text, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (log_contains(text, words[i]))
			return true;
	return false;
}

/* Plugins that containerd tries and most nodes do without. */
static bool is_optional_plugin(const char *text)
{
	static const char *const names[] = {
		"snapshotter.v1.btrfs",	    "snapshotter.v1.zfs",   "snapshotter.v1.aufs",
		"snapshotter.v1.devmapper", "snapshotter.v1.erofs", "snapshotter.v1.blockfile",
		"snapshotter.v1.fuse",	    "snapshotter.v1.stargz", "tracing.processor",
		"internal.v1.tracing",	    "image-verifier",	     "internal.v1.restart",
		"differ.v1.erofs",	    "nri.v1.nri",	     "internal.v1.opt",
	};

	return has_any(text, names, ARRAY_SIZE(names));
}

bool sighting_is_fatal(const struct log_line *line)
{
	if (line->level == LOG_LEVEL_FATAL || strncmp(line->text, "containerd: ", 12) == 0)
		return true;
	if (strstr(line->text, "failed to load plugin"))
		return !is_optional_plugin(line->text);
	return strstr(line->text, "Failed to run CRI service") ||
	       strstr(line->text, "Containerd Exited");
}

struct sighting sighting_of(const struct log *log, uint32_t start)
{
	size_t first = 0, end = log->count;

	/* Starts follow each other: halve until both borders are found. */
	for (size_t above = log->count; first < above;) {
		size_t middle = first + (above - first) / 2;

		if (log->lines[middle].start < start)
			first = middle + 1;
		else
			above = middle;
	}
	for (size_t below = first; below < end;) {
		size_t middle = below + (end - below) / 2;

		if (log->lines[middle].start > start)
			end = middle;
		else
			below = middle + 1;
	}
	return (struct sighting){ log, first, end };
}

bool sighting_booted(const struct sighting *s)
{
	for (size_t i = s->first; i < s->end; i++) {
		const struct log_line *line = &s->log->lines[i];

		if (line->source == LOG_CONTAINERD &&
		    strstr(line->text, "containerd successfully booted"))
			return true;
	}
	return false;
}

/* Is @word in any line of @panic? */
static bool panic_has(const struct sighting *s, const struct log_panic *panic, const char *word)
{
	for (size_t i = panic->first; i <= panic->last; i++)
		if (strstr(s->log->lines[i].text, word))
			return true;
	return false;
}

static void keep_panic(const struct log_panic *panic, struct signature_evidence *evidence)
{
	sighting_keep(evidence, panic->first);
	sighting_keep(evidence, panic->top);
}

/*
 * A bus error inside Go's runtime, not at a fault address of a mapped file: a
 * page of the binary itself could not be read.
 */
bool sees_unreadable_binary(const struct sighting *s, struct signature_evidence *evidence)
{
	struct log_panic panic;
	bool seen = false;

	for (size_t i = s->first; log_panic_next(s->log, i, s->end, &panic); i = panic.first + 1) {
		enum log_source source = s->log->lines[panic.first].source;

		if ((source != LOG_CONTAINERD && source != LOG_BARE) ||
		    !panic_has(s, &panic, "unexpected signal during runtime execution") ||
		    !panic_has(s, &panic, "SIGBUS"))
			continue;
		seen = true;
		keep_panic(&panic, evidence);
	}
	return seen;
}

/* The same with another signal: the runtime, not containerd, went wrong. */
bool sees_runtime_crash(const struct sighting *s, struct signature_evidence *evidence)
{
	struct log_panic panic;
	bool seen = false;

	for (size_t i = s->first; log_panic_next(s->log, i, s->end, &panic); i = panic.first + 1) {
		if (s->log->lines[panic.first].source != LOG_CONTAINERD ||
		    !panic_has(s, &panic, "unexpected signal during runtime execution") ||
		    panic.bolt_on_top)
			continue;
		seen = true;
		keep_panic(&panic, evidence);
	}
	return seen;
}

/* About the tasks that an earlier containerd left, before READY. */
static bool is_about_tasks(const char *text)
{
	static const char *const words[] = { "io.containerd.runtime.v2.task",
					     "io.containerd.runtime.v1.linux",
					     "io.containerd.shim.v1",
					     "cleaning up after shim disconnected",
					     "cleaning up dead shim", "failed to connect to shim" };

	return has_any(text, words, ARRAY_SIZE(words));
}

static bool is_start_timeout(const struct log_line *line)
{
	return line->source == LOG_SYSTEMD && (strstr(line->text, "start operation timed out") ||
					       strstr(line->text, "result 'timeout'"));
}

/*
 * The start was given up, or the log ends, while leftover tasks were loaded: the
 * last that containerd said before is about them.
 */
bool sees_stale_tasks(const struct sighting *s, struct signature_evidence *evidence)
{
	enum { CLEANED_MIN = 2 };
	size_t last = SIZE_MAX, timeout = SIZE_MAX, cleaned = 0;
	bool announced = false;

	if (sighting_booted(s))
		return false;
	for (size_t i = s->first; i < s->end && timeout == SIZE_MAX; i++) {
		const struct log_line *line = &s->log->lines[i];

		if (line->source == LOG_CONTAINERD) {
			last = i;
			announced |= strstr(line->text, "starting containerd") != NULL;
			cleaned += strstr(line->text, "cleaning up after shim disconnected") != NULL;
		}
		if (is_start_timeout(line))
			timeout = i;
	}
	if (last == SIZE_MAX || !is_about_tasks(s->log->lines[last].text))
		return false;
	if (timeout == SIZE_MAX && !(announced && cleaned >= CLEANED_MIN))
		return false;
	sighting_keep(evidence, last);
	if (timeout != SIZE_MAX)
		sighting_keep(evidence, timeout);
	return true;
}

static bool is_nil_panic(const struct sighting *s, const struct log_panic *panic)
{
	return strstr(s->log->lines[panic->first].text, "nil pointer dereference") != NULL;
}

/* CRI reads a container's stored status and does not survive what it finds. */
bool sees_cri_store_panic(const struct sighting *s, struct signature_evidence *evidence)
{
	static const char *const frames[] = { "cri/store/container.", "cri/store/sandbox.",
					      "criService).recover", "criService).loadContainer",
					      "criService).loadSandbox", "podsandbox.(*Controller).RecoverContainer" };
	struct log_panic panic;
	bool seen = false;

	for (size_t i = s->first; log_panic_next(s->log, i, s->end, &panic); i = panic.first + 1) {
		bool in_store = false;

		if (!panic.own || !is_nil_panic(s, &panic))
			continue;
		for (size_t k = panic.first; k <= panic.last; k++)
			in_store |= has_any(s->log->lines[k].text, frames, ARRAY_SIZE(frames));
		if (!in_store)
			continue;
		seen = true;
		keep_panic(&panic, evidence);
	}
	return seen;
}

/* Words that bolt says only when a file's pages contradict each other. */
static bool is_bolt_text(const char *text)
{
	static const char *const words[] = {
		"freepages: failed to get all reachable pages",
		"invalid page type: ",
		"invalid freelist page: ",
		"assertion failed: Page expected to be: ",
		"invalid childAt(",
		"bolt.DB.meta(): invalid meta page",
		"multiple references",
		"unknown page type flags",
		"unexpected page type flags",
		"unexpected page type (flags",
		"has unexpected type/flags",
		"cannot free page 0 or 1",
		"above high water mark",
		"zero-length node key",
		"zero-length inode key",
		"zero-length leaf key",
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strstr(text, words[i]))
			return true;
	return strstr(text, "panic: page ") && strstr(text, " already freed");
}

static bool is_range_panic(const char *text)
{
	return strstr(text, "index out of range") || strstr(text, "slice bounds out of range") ||
	       strstr(text, "makeslice: len out of range");
}

/* mmap of these is not coherent with write: bolt fails on a sound file. */
static bool on_foreign_fs(const struct log *log)
{
	static const char *const words[] = { "-Microsoft", "microsoft-standard", "WSL1", "WSL2",
					     " WSL ",	   "drvfs",		 "vboxsf", "prl_fs" };

	for (size_t i = 0; i < log->count; i++) {
		const struct log_line *line = &log->lines[i];

		for (size_t k = 0; k < ARRAY_SIZE(words); k++)
			if (strstr(line->raw, words[k]))
				return true;
		/* The names that Windows gives to machines. */
		if (strncmp(line->host, "DESKTOP-", 8) == 0 || strncmp(line->host, "LAPTOP-", 7) == 0)
			return true;
	}
	return false;
}

/*
 * Is it about @place: a frame of @panic names it, or it is the plugin that was
 * being loaded?
 */
static bool panic_is_in(const struct sighting *s, const struct log_panic *panic,
			const char *frame, const char *plugin)
{
	const char *loading = "";

	if (panic_has(s, panic, frame))
		return true;
	for (size_t i = s->first; i < panic->first; i++)
		if (s->log->lines[i].source == LOG_CONTAINERD &&
		    strstr(s->log->lines[i].text, "loading plugin"))
			loading = s->log->lines[i].text;
	return strstr(loading, plugin) != NULL;
}

static bool is_bolt_panic(const struct sighting *s, const struct log_panic *panic)
{
	const char *text = s->log->lines[panic->first].text;

	return panic->own &&
	       (is_bolt_text(text) || (is_range_panic(text) && panic->bolt_on_top));
}

/* A bolt panic at a place; NULL for any. */
static bool own_bolt_panic(const struct sighting *s, const char *frame, const char *plugin,
			   struct signature_evidence *evidence)
{
	struct log_panic panic;
	bool seen = false;

	for (size_t i = s->first; log_panic_next(s->log, i, s->end, &panic); i = panic.first + 1) {
		if (!is_bolt_panic(s, &panic) || (frame && !panic_is_in(s, &panic, frame, plugin)))
			continue;
		seen = true;
		keep_panic(&panic, evidence);
	}
	return seen;
}

/* Its records and its thin pool only make sense together. */
bool sees_devmapper_panic(const struct sighting *s, struct signature_evidence *evidence)
{
	return own_bolt_panic(s, "snapshots/devmapper", "snapshotter.v1.devmapper", evidence);
}

/* That file is in the state directory: a fresh root leaves it as it is. */
bool sees_mounts_db_panic(const struct sighting *s, struct signature_evidence *evidence)
{
	return own_bolt_panic(s, "mount/manager", "mount-manager.v1.bolt", evidence);
}

bool sees_bolt_panic(const struct sighting *s, struct signature_evidence *evidence)
{
	return own_bolt_panic(s, NULL, NULL, evidence) && !on_foreign_fs(s->log);
}

bool sees_bolt_panic_on_foreign_fs(const struct sighting *s, struct signature_evidence *evidence)
{
	return own_bolt_panic(s, NULL, NULL, evidence) && on_foreign_fs(s->log);
}

/* Does containerd say both in one line? */
static bool says(const struct sighting *s, const char *one, const char *other)
{
	for (size_t i = s->first; i < s->end; i++)
		if (s->log->lines[i].source == LOG_CONTAINERD &&
		    strstr(s->log->lines[i].text, one) && strstr(s->log->lines[i].text, other))
			return true;
	return false;
}

static bool ends_with(const char *text, const char *tail)
{
	size_t len = strlen(text), size = strlen(tail);

	while (len > 0 && strchr("\" ", text[len - 1]))
		len--;
	return len >= size && memcmp(text + len - size, tail, size) == 0;
}

/*
 * The words for two bad meta pages, as the whole reason why the metadata plugin,
 * or what a required plugin asked of it, did not load.
 */
bool sees_bolt_invalid(const struct sighting *s, struct signature_evidence *evidence)
{
	const bool elsewhere = says(s, "failed to load plugin", "mount-manager.v1.bolt");

	static const char *const reasons[] = { "invalid database", "checksum error",
					       "version mismatch", "file size too small" };
	bool seen = false;

	for (size_t i = s->first; i < s->end; i++) {
		const struct log_line *line = &s->log->lines[i];
		bool plugin, required;

		if (line->source != LOG_CONTAINERD)
			continue;
		plugin = strstr(line->text, "failed to load plugin") &&
			 strstr(line->text, "io.containerd.metadata.v1.bolt");
		required = !elsewhere &&
			   strncmp(line->text, "containerd: load required plugin ", 33) == 0;
		for (size_t k = 0; k < ARRAY_SIZE(reasons); k++) {
			const char *reason = strstr(line->text, reasons[k]);
			bool whole = reason && (plugin ? reason > line->text && reason[-1] == '"' :
						required && ends_with(line->text, reasons[k]));

			if (!whole)
				continue;
			seen = true;
			sighting_keep(evidence, i);
		}
	}
	return seen && !on_foreign_fs(s->log);
}

static bool is_problem(const struct log_line *line)
{
	return line->source == LOG_CONTAINERD && line->level >= LOG_LEVEL_WARNING;
}

/* Warnings of healthy starts. */
static bool is_noise(const char *text)
{
	static const char *const words[] = {
		"unable to load CRI runtime service plugin dependency: no plugins registered",
		"Ignoring unknown key in TOML",
		"could not use snapshotter",
		"Found left-over process",
		"This usually indicates unclean termination",
		"modprobe: FATAL",
		"skip plugin",
		"skip loading plugin",
		"cni config load failed",
		"failed to load cni during init",
		"has been deprecated",
		"will be removed in",
		"cleanup warnings",
		"config migrate",
	};

	if (strstr(text, "failed to load plugin") && is_optional_plugin(text))
		return true;
	return has_any(text, words, ARRAY_SIZE(words));
}

bool sighting_has_problem(const struct sighting *s)
{
	for (size_t i = s->first; i < s->end; i++)
		if (is_problem(&s->log->lines[i]) && !is_noise(s->log->lines[i].text))
			return true;
	return false;
}

/*
 * All that a start without a READY complains of is missing checkpoints. (As one
 * warning among others it is nothing: CRI goes on with an unknown status.)
 */
bool sees_container_status(const struct sighting *s, struct signature_evidence *evidence)
{
	bool seen = false;

	if (sighting_booted(s))
		return false;
	for (size_t i = s->first; i < s->end; i++) {
		const struct log_line *line = &s->log->lines[i];

		if (line->source == LOG_SYSTEMD && strstr(line->text, "timed out"))
			return false;
		if (!is_problem(line))
			continue;
		if (!strstr(line->text, "Failed to load container status for") ||
		    !log_contains(line->text, "no such file or directory"))
			return false;
		seen = true;
		sighting_keep(evidence, i);
	}
	return seen;
}

bool sees_fault(const struct sighting *s, struct signature_evidence *evidence)
{
	struct log_panic panic;
	bool seen = false;

	for (size_t i = s->first; log_panic_next(s->log, i, s->end, &panic); i = panic.first + 1) {
		if (!panic.own || !panic_has(s, &panic, "unexpected fault address"))
			continue;
		seen = true;
		keep_panic(&panic, evidence);
	}
	return seen;
}

bool sees_own_panic(const struct sighting *s, struct signature_evidence *evidence)
{
	struct log_panic panic;
	bool seen = false;

	for (size_t i = s->first; log_panic_next(s->log, i, s->end, &panic); i = panic.first + 1) {
		if (!panic.own || strncmp(s->log->lines[panic.first].text, "panic: ", 7) != 0)
			continue;
		seen = true;
		keep_panic(&panic, evidence);
	}
	return seen;
}

/* A goroutine dump, not a panic, that shows containerd waiting in bolt. */
bool sees_bolt_dump(const struct sighting *s, struct signature_evidence *evidence)
{
	size_t bolt = SIZE_MAX, own = SIZE_MAX;

	if (log_has_panic(s->log, s->first, s->end))
		return false;
	for (size_t i = s->first; i < s->end; i++) {
		const struct log_line *line = &s->log->lines[i];

		if (line->source == LOG_OTHER)
			continue;
		if (log_frame_is_foreign(line->text))
			return false;
		if (bolt == SIZE_MAX && log_frame_is_bolt(line->text))
			bolt = i;
		if (log_frame_is_own(line->text))
			own = i;
	}
	if (bolt == SIZE_MAX || own == SIZE_MAX)
		return false;
	sighting_keep(evidence, bolt);
	sighting_keep(evidence, own);
	return true;
}

/* A row of top(1) in which something that is not containerd takes a whole core. */
static bool is_busy_stranger(const char *text)
{
	enum { CPU_COLUMN = 8, COMMAND_COLUMN = 11 };
	const char *columns[COMMAND_COLUMN + 1];
	size_t count = 0;

	for (const char *at = text; count <= COMMAND_COLUMN; count++) {
		at += strspn(at, " \t");
		if (!*at)
			break;
		columns[count] = at;
		at += strcspn(at, " \t");
	}
	return count == COMMAND_COLUMN + 1 && strtoul(columns[0], NULL, 10) > 0 &&
	       strtod(columns[CPU_COLUMN], NULL) >= 100 && isdigit((unsigned char)*columns[10]) &&
	       strchr(columns[10], ':') && !strstr(columns[COMMAND_COLUMN], "containerd");
}

/* What fails in this log is another program, though its words may be the same. */
bool sees_other_process(const struct sighting *s, struct signature_evidence *evidence)
{
	struct log_panic panic;
	bool seen = false;

	for (size_t i = s->first; log_panic_next(s->log, i, s->end, &panic); i = panic.first + 1)
		if (s->log->lines[panic.first].source == LOG_OTHER) {
			seen = true;
			keep_panic(&panic, evidence);
		}
	for (size_t i = s->first; i < s->end; i++) {
		const struct log_line *line = &s->log->lines[i];

		if (log_frame_is_foreign(line->text) ||
		    (line->source == LOG_BARE && is_busy_stranger(line->text))) {
			seen = true;
			sighting_keep(evidence, i);
		}
	}
	return seen;
}

/*
 * Nothing but noise: either the start ended well, or the log shows no start at
 * all, only such warnings.
 */
bool sees_noise_only(const struct sighting *s, struct signature_evidence *evidence)
{
	bool booted = sighting_booted(s), noise = false;

	for (size_t i = s->first; i < s->end; i++) {
		const struct log_line *line = &s->log->lines[i];

		if (is_noise(line->text)) {
			noise = true;
			sighting_keep(evidence, i);
		} else if (booted ? is_problem(line) : line->source != LOG_OTHER) {
			return false;
		}
	}
	return noise;
}
