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

bool sighting_works(const struct sighting *s)
{
	static const char *const words[] = { "containerd successfully booted", "RunPodSandbox ",
					     "CreateContainer within ", "StartContainer for ",
					     "PullImage " };

	for (size_t i = s->first; i < s->end; i++)
		if (s->log->lines[i].source == LOG_CONTAINERD &&
		    has_any(s->log->lines[i].text, words, ARRAY_SIZE(words)))
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
				  !has_any(line->text, ends, ARRAY_SIZE(ends));
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
	       !has_any(text, idle, ARRAY_SIZE(idle));
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
	       has_any(colon, words, ARRAY_SIZE(words));
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
	       has_any(text, subjects, ARRAY_SIZE(subjects));
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

/* bolt's words for two bad meta pages. */
static const char *const invalid_words[] = { "invalid database", "checksum error",
					     "version mismatch", "file size too small" };

static bool is_invalid(const char *text)
{
	for (size_t i = 0; i < ARRAY_SIZE(invalid_words); i++)
		if (strncmp(text, invalid_words[i], strlen(invalid_words[i])) == 0)
			return true;
	return false;
}

/*
 * Where @words stand as the whole value of a field of the line or begin it, and
 * not inside what the line quotes: logrus's three forms. NULL if they do not.
 */
static const char *said_by_itself(const char *text, const char *field, const char *words)
{
	size_t len = strlen(field);

	for (const char *at = text; (at = strstr(at, words)); at++) {
		const char *name = at - 1; /* ends there: at first its value's quotation mark */

		if (at - text >= 2 && memcmp(at - 2, "] ", 2) == 0 && strcmp(field, "msg") == 0)
			return at; /* "WARN[2026-…] failed to …" */
		if (at == text || *name != '"')
			continue;
		while (name > text && name[-1] == ' ')
			name--;
		if (name > text && name[-1] == '=')
			name--;
		else if (name - text >= 2 && memcmp(name - 2, "\":", 2) == 0)
			name -= 2;
		else
			continue;
		if ((size_t)(name - text) > len && memcmp(name - len, field, len) == 0 &&
		    !isalnum((unsigned char)name[-(ptrdiff_t)len - 1]))
			return at;
	}
	return NULL;
}

/*
 * The words for two bad meta pages, as the whole reason why the metadata plugin,
 * or what a required plugin asked of it, did not load.
 */
bool sees_bolt_invalid(const struct sighting *s, struct signature_evidence *evidence)
{
	const bool elsewhere = says(s, "failed to load plugin", "mount-manager.v1.bolt");

	bool seen = false;

	for (size_t i = s->first; i < s->end; i++) {
		const struct log_line *line = &s->log->lines[i];
		bool plugin, required;

		if (line->source != LOG_CONTAINERD)
			continue;
		plugin = said_by_itself(line->text, "msg", "failed to load plugin") &&
			 strstr(line->text, "io.containerd.metadata.v1.bolt");
		required = !elsewhere &&
			   strncmp(line->text, "containerd: load required plugin ", 33) == 0;
		for (size_t k = 0; k < ARRAY_SIZE(invalid_words); k++) {
			const char *reason = strstr(line->text, invalid_words[k]);
			bool whole = reason && (plugin ? reason > line->text && reason[-1] == '"' :
						required && ends_with(line->text, invalid_words[k]));

			if (!whole)
				continue;
			seen = true;
			sighting_keep(evidence, i);
		}
	}
	return seen && !sighting_on_foreign_fs(s);
}

/* containerd's last words: CRI could not recover, because of @why. */
static bool says_recover_failed(const struct sighting *s, const char *why,
				struct signature_evidence *evidence)
{
	bool seen = false;

	for (size_t i = s->first; i < s->end; i++) {
		const struct log_line *line = &s->log->lines[i];

		if (line->source != LOG_CONTAINERD || line->level != LOG_LEVEL_FATAL ||
		    !said_by_itself(line->text, "msg", "Failed to run CRI service") ||
		    !said_by_itself(line->text, "error", why))
			continue;
		seen = true;
		sighting_keep(evidence, i);
	}
	return seen;
}

bool sees_stored_sandbox(const struct sighting *s, struct signature_evidence *evidence)
{
	return says_recover_failed(
		s, "failed to recover state: failed to get metadata for stored sandbox", evidence);
}

bool sees_name_reserved(const struct sighting *s, struct signature_evidence *evidence)
{
	static const char sandbox[] = "failed to recover state: failed to reserve sandbox name";
	static const char container[] = "failed to recover state: failed to reserve container name";
	bool seen = says_recover_failed(s, sandbox, evidence);

	return says_recover_failed(s, container, evidence) || seen;
}

/*
 * Of a snapshotter inside containerd: one that is asked by gRPC keeps its file
 * elsewhere, and its answers end in the name of their code.
 */
static bool says_snapshotter_invalid(const struct sighting *s, struct signature_evidence *evidence)
{
	static const char open[] = "failed to open database file: ";
	bool seen = false;

	for (size_t i = s->first; i < s->end; i++) {
		const struct log_line *line = &s->log->lines[i];
		const char *found = strstr(line->text, open);

		if (line->source != LOG_CONTAINERD || line->level < LOG_LEVEL_WARNING || !found ||
		    strstr(line->text, "rpc error") || strstr(found, ": unknown") ||
		    !is_invalid(found + strlen(open)))
			continue;
		seen = true;
		sighting_keep(evidence, i);
	}
	return seen;
}

bool sees_snapshotter_damage(const struct sighting *s, struct signature_evidence *evidence)
{
	bool seen = says_snapshotter_invalid(s, evidence);

	return sees_snapshotter_panic(s, evidence) || seen;
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
	return has_any(text, words, ARRAY_SIZE(words));
}

bool sighting_has_problem(const struct sighting *s)
{
	for (size_t i = s->first; i < s->end; i++)
		if (is_problem(&s->log->lines[i]) && !is_noise(s->log->lines[i].text))
			return true;
	return false;
}

/* Does systemd say that containerd itself failed? */
static bool says_failure(const struct log_line *line)
{
	static const char *const words[] = { "result 'exit-code'", "result 'core-dump'", "code=dumped" };

	return line->source == LOG_SYSTEMD &&
	       (has_any(line->text, words, ARRAY_SIZE(words)) ||
		(strstr(line->text, "ain process exited, code=exited") && !strstr(line->text, "status=0")));
}

/* Does systemd say that the start was ended by others, or by itself? */
static bool says_ended_by_others(const struct log_line *line)
{
	static const char *const words[] = { "timed out", "code=killed", "result 'signal'",
					     "result 'watchdog'", "result 'timeout'", "oom-kill", "Stopping" };

	return line->source == LOG_SYSTEMD && has_any(line->text, words, ARRAY_SIZE(words));
}

/*
 * All that a start which failed complains of is missing checkpoints; or somebody
 * took pains to quote just that. (As one warning among others, or of a start that
 * goes on or was ended, it is nothing: CRI continues with an unknown status.)
 */
bool sees_container_status(const struct sighting *s, struct signature_evidence *evidence)
{
	bool seen = false, failed = false, more = false;

	if (sighting_works(s))
		return false;
	for (size_t i = s->first; i < s->end; i++) {
		const struct log_line *line = &s->log->lines[i];

		if (says_ended_by_others(line))
			return false;
		failed |= says_failure(line);
		more |= !is_problem(line);
		if (!is_problem(line))
			continue;
		if (!strstr(line->text, "Failed to load container status for") ||
		    !log_contains(line->text, "no such file or directory"))
			return false;
		seen = true;
		sighting_keep(evidence, i);
	}
	return seen && (failed || !more);
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
