#include "scanners/sightings.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/logframe.h"
#include "scanners/logorder.h"
#include "scanners/logpanic.h"
#include "scanners/logsender.h"

void sighting_keep(struct signature_evidence *evidence, size_t index)
{
	for (size_t i = 0; i < evidence->count; i++)
		if (evidence->lines[i] == index)
			return;
	if (evidence->count < SIGNATURE_EVIDENCE_MAX)
		evidence->lines[evidence->count++] = index;
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

	return log_contains_any(text, names, ARRAY_SIZE(names));
}

bool sighting_is_fatal(const struct log_line *line)
{
	if (line->level == LOG_LEVEL_FATAL || strncmp(line->text, "containerd: ", 12) == 0)
		return true;
	if (strstr(line->text, "failed to load plugin"))
		return !is_optional_plugin(line->text);
	return strstr(line->text, "Failed to run CRI service") ||
	       strstr(line->text, "failed to create CRI service") ||
	       strncmp(line->text, "failed to start containerd: ", 28) == 0 ||
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

/* Did containerd say that it was up? */
static bool is_booted(const struct sighting *s)
{
	for (size_t i = s->first; i < s->end; i++) {
		const struct log_line *line = &s->log->lines[i];

		if (line->source == LOG_CONTAINERD &&
		    strstr(line->text, "containerd successfully booted"))
			return true;
	}
	return false;
}

bool sighting_works(const struct sighting *s)
{
	static const char *const words[] = { "containerd successfully booted", "RunPodSandbox ",
					     "CreateContainer within ", "StartContainer for ",
					     "PullImage " };

	for (size_t i = s->first; i < s->end; i++)
		if (s->log->lines[i].source == LOG_CONTAINERD &&
		    log_contains_any(s->log->lines[i].text, words, ARRAY_SIZE(words)))
			return true;
	return false;
}

bool sighting_is_starting(const struct sighting *s)
{
	for (size_t i = s->first; i < s->end; i++)
		if (s->log->lines[i].source == LOG_SYSTEMD &&
		    strncmp(s->log->lines[i].text, "Starting ", 9) == 0)
			return true;
	return false;
}

bool sighting_is_started(const struct sighting *s)
{
	static const char *const ends[] = { "exited", "ailed", "timed out", "Stopp" };
	bool started = false;

	for (size_t i = s->first; i < s->end; i++) {
		const struct log_line *line = &s->log->lines[i];

		if (line->source == LOG_SYSTEMD)
			started = (started || strncmp(line->text, "Started ", 8) == 0) &&
				  !log_contains_any(line->text, ends, ARRAY_SIZE(ends));
	}
	return started;
}

long long sighting_newest(const struct sighting *s)
{
	long long newest = -1;

	for (size_t i = s->first; i < s->end; i++) {
		long long time = log_time_of(s->log->lines[i].raw);

		newest = time > newest ? time : newest;
	}
	return newest;
}

/* The kernel's complaint of a device, not of an empty drive or a floppy that is none. */
static bool is_device_error(const char *text)
{
	static const char *const idle[] = { "dev fd0", "dev sr0", "dev sr1", "dev loop", "device fd0",
					    "device sr0" };

	return (strstr(text, "I/O error, dev ") || strstr(text, "Buffer I/O error")) &&
	       !log_contains_any(text, idle, ARRAY_SIZE(idle));
}

bool sees_failing_disk(const struct sighting *s, struct signature_evidence *evidence)
{
	bool seen = sees_unreadable_binary(s, evidence);

	for (size_t i = s->first; i < s->end; i++)
		if (s->log->lines[i].source == LOG_KERNEL &&
		    is_device_error(s->log->lines[i].text)) {
			seen = true;
			sighting_keep(evidence, i);
		}
	return seen;
}

/* "/usr/bin/env: '/opt/bin/containerd': No such file or directory", "sh: 1: containerd: not found" */
static bool is_wrapper_failure(const struct log_line *line)
{
	static const char *const words[] = { "No such file or directory", "not found", "Permission denied" };
	const char *colon = strstr(line->text, ": "), *name = colon, *program;

	if (!colon || (line->source != LOG_OTHER && line->source != LOG_BARE))
		return false;
	while (name > line->text && name[-1] != '/')
		name--;
	program = strstr(colon, "containerd");
	return (strncmp(name, "env: ", 5) == 0 || strncmp(name, "sh: ", 4) == 0 ||
		strncmp(name, "bash: ", 6) == 0) &&
	       program && !isalnum((unsigned char)program[10]) && !strchr("-._", program[10]) &&
	       log_contains_any(colon, words, ARRAY_SIZE(words));
}

/*
 * systemd's own exit statuses, from 200/CHDIR on: its child did not become
 * containerd. What a command before it did is shown beside it and may be ignored.
 */
bool sees_exec_failure(const struct sighting *s, struct signature_evidence *evidence)
{
	enum { FIRST = 200, LAST = 245 };
	static const char status[] = "status=";
	bool seen = false;

	for (size_t i = s->first; i < s->end; i++) {
		const struct log_line *line = &s->log->lines[i];
		const char *found = strstr(line->text, status);
		unsigned long number = found ? strtoul(found + strlen(status), NULL, 10) : 0;

		if (!is_wrapper_failure(line) &&
		    (line->source != LOG_SYSTEMD || number < FIRST || number > LAST ||
		     strstr(line->text, "ExecStartPre=")))
			continue;
		seen = true;
		sighting_keep(evidence, i);
	}
	return seen;
}

/* A security module refused containerd something, or systemd its binary. */
static bool is_denial(const char *text)
{
	static const char *const subjects[] = { "comm=\"containerd\"", "comm=\"(ntainerd)\"",
						"comm=\"(tainerd)\"",  "name=\"containerd\"",
						"bin/containerd\"",     "comm=containerd " };

	return ((strstr(text, "avc: ") && strstr(text, "denied")) || strstr(text, "apparmor=DENIED") ||
		strstr(text, "apparmor=\"DENIED\"")) &&
	       log_contains_any(text, subjects, ARRAY_SIZE(subjects));
}

bool sees_denial(const struct sighting *s, struct signature_evidence *evidence)
{
	bool seen = false;

	for (size_t i = s->first; i < s->end; i++) {
		const struct log_line *line = &s->log->lines[i];

		if ((line->source != LOG_KERNEL && line->source != LOG_BARE) || !is_denial(line->text))
			continue;
		seen = true;
		sighting_keep(evidence, i);
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
					     "cleaning up dead shim", "failed to connect to shim",
					     "cleaning leaked shim process" };

	return log_contains_any(text, words, ARRAY_SIZE(words));
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

	if (is_booted(s))
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

/* mmap of these is not coherent with write: bolt fails on a sound file. */
bool sighting_on_foreign_fs(const struct sighting *s)
{
	static const char *const words[] = { "-Microsoft", "microsoft-standard", "WSL1", "WSL2",
					     " WSL ",	   "drvfs",		 "vboxsf", "prl_fs" };

	for (size_t i = 0; i < s->log->count; i++) {
		const struct log_line *line = &s->log->lines[i];

		for (size_t k = 0; k < ARRAY_SIZE(words); k++)
			if (strstr(line->raw, words[k]))
				return true;
		/* The names that Windows gives to machines. */
		if (strncmp(line->host, "DESKTOP-", 8) == 0 || strncmp(line->host, "LAPTOP-", 7) == 0)
			return true;
	}
	return false;
}

bool sighting_is_problem(const struct log_line *line)
{
	return line->source == LOG_CONTAINERD &&
	       (line->level >= LOG_LEVEL_WARNING || strncmp(line->text, "containerd: ", 12) == 0);
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
		"ailed to load cni during init",
		"Configuration migrated from version",
		"no network config found in",
		"has been deprecated",
		"is deprecated",
		"is not unpacked",
		"itialize a tracing processor",
		"init tracing processor",
		"will be removed in",
		"cleanup warnings",
		"config migrate",
	};

	if (strstr(text, "failed to load plugin") && is_optional_plugin(text))
		return true;
	return log_contains_any(text, words, ARRAY_SIZE(words));
}

bool sighting_has_problem(const struct sighting *s)
{
	for (size_t i = s->first; i < s->end; i++)
		if (sighting_is_problem(&s->log->lines[i]) && !is_noise(s->log->lines[i].text))
			return true;
	return false;
}

/* Go's runtime gives up: "fatal error: …" of any kind but a page that could not be read. */
bool sees_runtime_error(const struct sighting *s, struct signature_evidence *evidence)
{
	static const char head[] = "fatal error: ";
	bool seen = false;

	for (size_t i = s->first; i < s->end; i++) {
		const struct log_line *line = &s->log->lines[i];

		if (line->source != LOG_CONTAINERD || strncmp(line->text, head, strlen(head)) != 0 ||
		    strcmp(line->text, "fatal error: fault") == 0)
			continue;
		seen = true;
		sighting_keep(evidence, i);
	}
	return seen;
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

/* A stream without names in which a program with a bolt file of its own speaks. */
static bool is_anothers_stream(const struct sighting *s)
{
	bool anothers = false;

	for (size_t i = s->first; i < s->end; i++) {
		const struct log_line *line = &s->log->lines[i];

		if (line->source == LOG_CONTAINERD || log_word_is_own(line->text))
			return false;
		anothers |= line->pid == 0 && log_word_is_anothers(line->raw);
	}
	return anothers;
}

/* What fails in this log is another program, though its words may be the same. */
bool sees_other_process(const struct sighting *s, struct signature_evidence *evidence)
{
	const bool anothers = is_anothers_stream(s);
	struct log_panic panic;
	bool seen = false;

	for (size_t i = s->first; log_panic_next(s->log, i, s->end, &panic); i = panic.first + 1)
		if (s->log->lines[panic.first].source == LOG_OTHER ||
		    (s->log->lines[panic.first].source == LOG_BARE && anothers)) {
			seen = true;
			sighting_keep(evidence, panic.first);
			sighting_keep(evidence, panic.top);
		}
	for (size_t i = s->first; i < s->end; i++) {
		const struct log_line *line = &s->log->lines[i];

		if (line->frame & LOG_FRAME_FOREIGN ||
		    (line->source == LOG_OTHER && line->frame & LOG_FRAME_BOLT) ||
		    (line->source == LOG_BARE && line->frame & LOG_FRAME_UNKNOWN) ||
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
	bool booted = is_booted(s), noise = false;

	for (size_t i = s->first; i < s->end; i++) {
		const struct log_line *line = &s->log->lines[i];

		if (is_noise(line->text)) {
			noise = true;
			sighting_keep(evidence, i);
		} else if (booted ? sighting_is_problem(line) : line->source != LOG_OTHER) {
			return false;
		}
	}
	return noise;
}
