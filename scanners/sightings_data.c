/* What containerd says of its own data: databases, records of pods, checkpoints. */
#include "scanners/sightings.h"

#include <ctype.h>
#include <string.h>

#include "scanners/cleanup.h"

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

/* Is @at in the value of the line's field error, and not in one that it quotes? */
static bool is_in_reason(const char *text, const char *at)
{
	while (at > text && at[-1] != '"')
		at--;
	while (at > text && strchr("\" =:", at[-1]))
		at--;
	return at - text >= 5 && memcmp(at - 5, "error", 5) == 0;
}

/*
 * Of a snapshotter inside containerd: one that is asked by gRPC keeps its file
 * elsewhere, and its answers end in the name of their code: a reason whose end was cut
 * off may have had one.
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
		    !is_in_reason(line->text, found) || !strchr(found, '"') ||
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

/* Does systemd say that containerd itself failed? */
static bool says_failure(const struct log_line *line)
{
	static const char *const words[] = { "result 'exit-code'", "result 'core-dump'", "code=dumped" };

	return line->source == LOG_SYSTEMD &&
	       (log_contains_any(line->text, words, ARRAY_SIZE(words)) ||
		(strstr(line->text, "ain process exited, code=exited") && !strstr(line->text, "status=0")));
}

/* Does systemd say that the start was ended by others, or by itself? */
static bool says_ended_by_others(const struct log_line *line)
{
	static const char *const words[] = { "timed out", "code=killed", "result 'signal'",
					     "result 'watchdog'", "result 'timeout'", "oom-kill", "Stopping" };

	return line->source == LOG_SYSTEMD && log_contains_any(line->text, words, ARRAY_SIZE(words));
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
		/* READY: what made it fail came later. */
		if (seen && line->source == LOG_SYSTEMD && strncmp(line->text, "Started ", 8) == 0)
			return false;
		failed |= says_failure(line);
		more |= !sighting_is_problem(line);
		/* Go's runtime, a wrapper: whatever that is, it is one more word than these. */
		if (line->source == LOG_CONTAINERD && line->level == LOG_LEVEL_NONE)
			return false;
		if (!sighting_is_problem(line))
			continue;
		if (!said_by_itself(line->text, "msg", "Failed to load container status for") ||
		    !log_contains(line->text, "no such file or directory"))
			return false;
		seen = true;
		sighting_keep(evidence, i);
	}
	return seen && (failed || !more);
}
