#include "scanners/logprefix.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "scanners/cleanup.h"

enum { DATE_MAX = 40 };

static bool digits(const char *s, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!isdigit((unsigned char)s[i]))
			return false;
	return true;
}

/* "12:22:21" with its fraction and zone; returns what is behind it, or NULL. */
static const char *skip_clock(const char *s)
{
	if (!digits(s, 2) || s[2] != ':' || !digits(s + 3, 2) || s[5] != ':' || !digits(s + 6, 2))
		return NULL;
	s += strlen("00:00:00");
	if ((*s == '.' || *s == ',') && isdigit((unsigned char)s[1]))
		s += 1 + strspn(s + 1, "0123456789");
	if (*s == 'Z')
		s++;
	else if ((*s == '+' || *s == '-') && isdigit((unsigned char)s[1]))
		s += 1 + strspn(s + 1, "0123456789:");
	return *s == ' ' || *s == '\t' || *s == ']' || *s == '\0' ? s : NULL;
}

/* The date in front may be in any language, but is no part of a message. */
static const char *skip_time(const char *line)
{
	for (const char *s = line; *s && s - line < DATE_MAX && !strchr("=\"{(", *s); s++) {
		const char *end = isdigit((unsigned char)*s) ? skip_clock(s) : NULL;

		if (end)
			return end;
		if (*s == '[' && s > line && isupper((unsigned char)s[-1]))
			return NULL; /* logrus's own "WARN[2021-…]" */
	}
	return NULL;
}

/* "[  247.436380] " of the kernel or of journalctl -o short-monotonic. */
static const char *skip_uptime(const char *line)
{
	const char *s = line;

	if (*s != '[')
		return NULL;
	s += 1 + strspn(s + 1, " ");
	if (!isdigit((unsigned char)*s))
		return NULL;
	s += strspn(s, "0123456789");
	if (*s != '.')
		return NULL;
	s += 1 + strspn(s + 1, "0123456789");
	return *s == ']' ? s + 1 : NULL;
}

/*
 * "name[123]: " or "name: " at @s. Returns what is behind it, or NULL.
 */
static const char *split_tag(const char *s, struct log_prefix *ret)
{
	size_t size = strcspn(s, " \t[]:={}\"");
	const char *end = s + size;
	unsigned long pid = 0;

	if (size == 0)
		return NULL;
	if (*end == '[') {
		char *behind;

		if (!isdigit((unsigned char)end[1]))
			return NULL;
		pid = strtoul(end + 1, &behind, 10);
		if (*behind != ']')
			return NULL;
		end = behind + 1;
	}
	if (*end != ':' || (end[1] && !isspace((unsigned char)end[1])))
		return NULL;
	ret->sender = s;
	ret->sender_size = size;
	ret->pid = pid > UINT32_MAX ? 0 : (uint32_t)pid;
	return end[1] ? end + 2 : end + 1;
}

/* "][Moby           ][Info   ] " of Docker Desktop, behind its time. */
static const char *skip_brackets(const char *s)
{
	if (*s == ']')
		s++;
	while (*s == '[') {
		const char *end = strchr(s, ']');

		if (!end || (end[1] != '[' && end[1] != ' '))
			break;
		s = end + 1;
	}
	return s;
}

/* "Nov 23 10:15:01 " of a log that was logged once more, with a time of its own in front. */
static const char *skip_syslog_time(const char *s)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	enum { MONTH = 3, DAY_MAX = 2 };
	const char *clock = s + MONTH;
	size_t digit_count;

	for (const char *month = months;; month += MONTH) {
		if (!*month)
			return NULL;
		if (strncmp(s, month, MONTH) == 0)
			break;
	}
	clock += strspn(clock, " ");
	digit_count = strspn(clock, "0123456789");
	if (digit_count == 0 || digit_count > DAY_MAX || clock[digit_count] != ' ')
		return NULL;
	return skip_clock(clock + digit_count + 1);
}

/* "INFO " of SONiC, "daemon.err " of BusyBox and OpenWrt. Returns what is behind it, else @s. */
static const char *skip_severity(const char *s)
{
	static const char *const names[] = { "emerg",	"alert",  "crit", "err",   "error", "warning",
					     "warn",	"notice", "info", "debug" };
	size_t size = strcspn(s, " \t"), facility = strcspn(s, ".");

	if (s[size] == '\0')
		return s;
	facility = facility < size ? facility + 1 : 0;
	if (facility == 0 && !isupper((unsigned char)*s))
		return s;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strlen(names[i]) == size - facility &&
		    strncasecmp(s + facility, names[i], size - facility) == 0)
			return s + size + strspn(s + size, " \t");
	return s;
}

/* "tag: " or "host tag: " at @s, with a severity in front of the tag or without. */
static bool split_host_and_tag(const char *s, struct log_prefix *ret)
{
	const char *rest = split_tag(skip_severity(s), ret), *host_end = s + strcspn(s, " \t=\"[");

	if (!rest && (*host_end == ' ' || *host_end == '\t')) {
		rest = split_tag(skip_severity(host_end + strspn(host_end, " \t")), ret);
		if (rest) {
			ret->host = s;
			ret->host_size = (size_t)(host_end - s);
		}
	}
	if (rest)
		ret->rest = rest;
	return rest;
}

/* "2026 " behind the time, as asctime(3) has it. Returns what is behind it, or NULL. */
static const char *skip_year(const char *s)
{
	enum { YEAR_DIGITS = 4 };

	return digits(s, YEAR_DIGITS) && s[YEAR_DIGITS] == ' ' ? s + YEAR_DIGITS + 1 : NULL;
}

/* "UTC ", "CEST ", "+08 ", "+0530 " of journalctl -o short-full. */
static const char *skip_zone(const char *s)
{
	enum { ZONE_MIN = 2, ZONE_MAX = 6 };
	const char *end = s;

	if (*s == '+' || *s == '-')
		end += 1 + strspn(s + 1, "0123456789:");
	else
		while (isupper((unsigned char)*end))
			end++;
	return end - s >= ZONE_MIN && end - s <= ZONE_MAX && *end == ' ' ? end + 1 : NULL;
}

static void split_behind_time(const char *s, struct log_prefix *ret)
{
	const char *behind;

	s = skip_brackets(s);
	s += strspn(s, " \t");
	behind = skip_syslog_time(s);
	if (behind)
		s = behind + strspn(behind, " ");
	ret->rest = s;
	if (split_host_and_tag(s, ret))
		return;
	behind = skip_zone(s);
	if (!behind)
		behind = skip_year(s);
	if (behind)
		(void)split_host_and_tag(behind, ret); /* else it is part of the message */
}

/* A word of RFC 5424's header; "-" is none. Returns what is behind it, or NULL. */
static const char *take_word(const char *s, const char **word, size_t *size)
{
	size_t length = strcspn(s, " ");

	if (length == 0 || s[length] != ' ')
		return NULL;
	*word = s;
	*size = length == 1 && *s == '-' ? 0 : length;
	return s + length + 1;
}

/* "[id name="value"]…" or "-". Returns the message behind it, or NULL. */
static const char *skip_structured_data(const char *s)
{
	if (*s == '-')
		return s[1] == ' ' ? s + 2 : NULL;
	while (*s == '[') {
		bool quoted = false;

		for (; *s && (quoted || *s != ']'); s++) {
			if (*s == '\\' && s[1])
				s++;
			else if (*s == '"')
				quoted = !quoted;
		}
		if (*s != ']')
			return NULL;
		s++;
	}
	return *s == ' ' ? s + 1 : NULL;
}

/* "<30>1 2026-11-25T22:17:21.003Z host name 123 - - message" of RFC 5424. */
static bool split_rfc5424(const char *line, struct log_prefix *ret)
{
	const char *s = line, *pid = NULL, *id = NULL;
	struct log_prefix found = *ret;
	size_t pid_size = 0, id_size = 0;

	if (*s == '<') {
		s += 1 + strspn(s + 1, "0123456789");
		if (*s++ != '>')
			return false;
	}
	if (strncmp(s, "1 ", 2) != 0 || !digits(s + 2, 4) || s[6] != '-')
		return false;
	s = strchr(s + 2, ' ');
	if (!s)
		return false;
	s = take_word(s + 1, &found.host, &found.host_size);
	s = s ? take_word(s, &found.sender, &found.sender_size) : NULL;
	s = s ? take_word(s, &pid, &pid_size) : NULL;
	s = s ? take_word(s, &id, &id_size) : NULL;
	s = s ? skip_structured_data(s) : NULL;
	if (!s || found.sender_size == 0)
		return false;
	if (pid_size > 0)
		found.pid = (uint32_t)strtoul(pid, NULL, 10);
	found.rest = s;
	*ret = found;
	return true;
}

/* "1732530000.123456 " of journalctl -o short-unix. */
static const char *skip_seconds(const char *line)
{
	enum { SECONDS_DIGITS = 9 };
	size_t seconds = strspn(line, "0123456789"), fraction;

	if (seconds < SECONDS_DIGITS || line[seconds] != '.')
		return NULL;
	fraction = strspn(line + seconds + 1, "0123456789");
	line += seconds + 1 + fraction;
	return fraction > 0 && *line == ' ' ? line + 1 : NULL;
}

/* Kubernetes's "2024-01-01T00:00:00Z stderr F message". */
static const char *skip_stream(const char *s)
{
	static const char *const streams[] = { " stdout F ", " stderr F ", " stdout P ",
					       " stderr P " };

	for (size_t i = 0; i < ARRAY_SIZE(streams); i++)
		if (strncmp(s, streams[i], strlen(streams[i])) == 0)
			return s + strlen(streams[i]);
	return NULL;
}

/*
 * "10.0.0.2: kern: warning: [2026-11-25T22:17:21.003Z]: message" of talosctl dmesg,
 * with the node's name or without; "user" and "daemon" are Talos's own processes.
 */
static bool split_talos_dmesg(const char *line, struct log_prefix *ret)
{
	static const char *const facilities[] = { "kern", "user", "daemon" };
	const char *node_end = line + strcspn(line, " \t="), *s = line, *level, *message;
	size_t i = 0, size;

	if (node_end > line && node_end[-1] == ':' && *node_end == ' ')
		s = node_end + strspn(node_end, " ");
	for (; i < ARRAY_SIZE(facilities); i++) {
		size = strlen(facilities[i]);
		if (strncmp(s, facilities[i], size) == 0 && s[size] == ':')
			break;
		if (strncmp(line, facilities[i], size) == 0 && line[size] == ':') {
			s = line;
			break;
		}
	}
	if (i == ARRAY_SIZE(facilities))
		return false;
	level = s + size + 1 + strspn(s + size + 1, " ");
	message = level + strcspn(level, " :");
	if (strncmp(message, ": [", 3) != 0 || !digits(message + 3, 4))
		return false;
	message = strstr(message, "]: ");
	if (!message)
		return false;
	ret->kernel = i == 0;
	if (!ret->kernel) {
		ret->sender = facilities[i];
		ret->sender_size = size;
	}
	ret->rest = message + 3;
	return true;
}

/* talosctl's "node: {…}". */
static const char *skip_node(const char *line)
{
	const char *colon = line + strcspn(line, " \t:={\"");

	return colon > line && strncmp(colon, ": {\"", 4) == 0 ? colon + 2 : NULL;
}

void log_prefix_split(const char *line, struct log_prefix *ret)
{
	const char *s = line + strspn(line, " \t"), *behind;

	if (*s == '"' && (skip_syslog_time(s + 1) || digits(s + 1, 4))) /* a list's item, quoted */
		s++;
	*ret = (struct log_prefix){ .host = "", .sender = "", .rest = line };
	if (split_rfc5424(s, ret) || split_talos_dmesg(s, ret))
		return;
	behind = skip_uptime(s);
	if (behind) {
		split_behind_time(behind, ret);
		/* "[1.5] foo: bar" is a driver's; only a pid makes it a process. */
		if (ret->pid == 0) {
			ret->kernel = true;
			ret->sender_size = ret->host_size = 0;
			ret->rest = behind + strspn(behind, " ");
		}
		return;
	}
	behind = skip_seconds(s);
	if (!behind)
		behind = skip_time(s);
	if (behind) {
		const char *message = skip_stream(behind);

		if (message)
			ret->rest = message;
		else
			split_behind_time(behind, ret);
		return;
	}
	behind = skip_node(s);
	if (behind) {
		ret->rest = behind;
		return;
	}
	behind = split_tag(s, ret);
	if (behind && ret->pid != 0)
		ret->rest = behind;
	else
		ret->sender_size = 0;
}

static enum log_level level_named(const char *s)
{
	static const struct {
		const char *name;
		enum log_level level;
	} names[] = {
		{ "trace", LOG_LEVEL_DEBUG }, { "debu", LOG_LEVEL_DEBUG },
		{ "info", LOG_LEVEL_INFO },   { "warn", LOG_LEVEL_WARNING },
		{ "erro", LOG_LEVEL_ERROR },  { "fata", LOG_LEVEL_FATAL },
		{ "pani", LOG_LEVEL_FATAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strncasecmp(s, names[i].name, strlen(names[i].name)) == 0)
			return names[i].level;
	return LOG_LEVEL_NONE;
}

enum log_level log_level_of(const char *text)
{
	static const char *const marks[] = { "level=", "\"level\":\"", "\"level\": \"" };

	text += strspn(text, " \t");
	for (size_t i = 0; i < ARRAY_SIZE(marks); i++) {
		const char *mark = strstr(text, marks[i]);

		/* A level further inside is that of a quoted message. */
		if (mark && (i > 0 || mark == text || strncmp(text, "time=", 5) == 0))
			return level_named(mark + strlen(marks[i]));
	}
	if (isupper((unsigned char)text[0]) && strcspn(text, "[ ") == 4 && text[4] == '[')
		return level_named(text);
	if (strncmp(text, "panic: ", 7) == 0 || strncmp(text, "fatal error: ", 13) == 0)
		return LOG_LEVEL_FATAL;
	return LOG_LEVEL_NONE;
}
