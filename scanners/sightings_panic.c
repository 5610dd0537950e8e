#include "scanners/sightings.h"

#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/logframe.h"
#include "scanners/logpanic.h"
#include "scanners/text.h"

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

		if ((source != LOG_CONTAINERD && source != LOG_BARE) || panic.bolt_on_top ||
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
			in_store |= text_has_any(s->log->lines[k].text, frames, ARRAY_SIZE(frames));
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
		"invalid page alloc: ",
		"unexpected bucket header flag",
		"misplaced bucket header: ",
		"inline bucket non-zero page access",
		"write: circular dependency occurred",
	};

	return text_has_any(text, words, ARRAY_SIZE(words)) ||
	       (strstr(text, "panic: page ") && strstr(text, " already freed"));
}

static bool is_range_panic(const char *text)
{
	return strstr(text, "index out of range") || strstr(text, "slice bounds out of range") ||
	       strstr(text, "makeslice: len out of range");
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
	if (!plugin)
		return false;
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

/* A bolt panic at a place; @frame NULL: at any. @plugin may be NULL. */
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

/* Snapshots that are volumes of a file system: the records alone are of no use, and a rename
 * leaves the volumes where they are. */
bool sees_volume_panic(const struct sighting *s, struct signature_evidence *evidence)
{
	static const char *const frames[] = { "containerd/zfs", "snapshots/zfs", "snapshots/btrfs" };
	bool seen = false;

	for (size_t i = 0; i < ARRAY_SIZE(frames); i++)
		seen |= own_bolt_panic(s, frames[i], NULL, evidence);
	return seen;
}

/* In the file that each snapshotter keeps of its snapshots. */
bool sees_snapshotter_panic(const struct sighting *s, struct signature_evidence *evidence)
{
	return own_bolt_panic(s, "storage.(*MetaStore)", NULL, evidence) && !sighting_on_foreign_fs(s);
}

bool sees_bolt_panic(const struct sighting *s, struct signature_evidence *evidence)
{
	return own_bolt_panic(s, NULL, NULL, evidence) && !sighting_on_foreign_fs(s);
}

bool sees_bolt_panic_on_foreign_fs(const struct sighting *s, struct signature_evidence *evidence)
{
	return own_bolt_panic(s, NULL, NULL, evidence) && sighting_on_foreign_fs(s);
}

bool sees_fault(const struct sighting *s, struct signature_evidence *evidence)
{
	struct log_panic panic;
	bool seen = false;

	for (size_t i = s->first; log_panic_next(s->log, i, s->end, &panic); i = panic.first + 1) {
		if (!panic.own || !(panic_has(s, &panic, "unexpected fault address") ||
				    (panic.bolt_on_top && panic_has(s, &panic, "[signal SIG") &&
				     panic_has(s, &panic, "unexpected signal during runtime"))))
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
	bool goroutine = false; /* else what a journal has is a piece of anything, of a panic, say */

	if (log_has_panic(s->log, s->first, s->end))
		return false;
	for (size_t i = s->first; i < s->end; i++) {
		const struct log_line *line = &s->log->lines[i];

		if (line->source == LOG_OTHER)
			continue;
		if (line->frame & LOG_FRAME_FOREIGN)
			return false;
		goroutine |= line->source == LOG_BARE || strncmp(line->text, "goroutine ", 10) == 0;
		if (bolt == SIZE_MAX && line->frame & LOG_FRAME_BOLT)
			bolt = i;
		if (line->frame & LOG_FRAME_OWN)
			own = i;
	}
	if (bolt == SIZE_MAX || own == SIZE_MAX || !goroutine)
		return false;
	sighting_keep(evidence, bolt);
	sighting_keep(evidence, own);
	return true;
}
