#include "scanners/loglines.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/logframe.h"
#include "scanners/logprefix.h"
#include "scanners/logsender.h"
#include "scanners/text.h"

enum {
	CUT_MATCH_MIN = 10, /* bytes of a pattern that must be left of it at a cut */
	EXPORT_LINES_MAX = 32 * LOG_LINES_MAX, /* an entry has up to that many fields */
};

/* Is a pattern of @size bytes that was cut to @left still that pattern and no other? */
static bool is_enough(size_t left, size_t size)
{
	return left >= CUT_MATCH_MIN && (size <= 2 * CUT_MATCH_MIN + 4 || left * 3 >= size * 2);
}

bool log_contains(const char *text, const char *pattern)
{
	size_t len = strlen(text), size = strlen(pattern);

	if (strstr(text, pattern))
		return true;
	/* journalctl ends a cut line with '>', others with dots or nothing; a
	 * quotation mark at the end means that nothing is missing. */
	while (len > 0 && strchr(">.\xe2\x80\xa6 ", text[len - 1]))
		len--;
	for (size_t left = size - 1; left < size && is_enough(left, size); left--)
		if (left <= len && memcmp(text + len - left, pattern, left) == 0)
			return true;
	return false;
}

bool log_contains_any(const char *text, const char *const *patterns, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (log_contains(text, patterns[i]))
			return true;
	return false;
}

static int remember(struct log *log, char *memory)
{
	if (!memory)
		return -ENOMEM;
	if (log->memory_count == log->memory_room) {
		size_t room = log->memory_room ? log->memory_room * 2 : 64;
		char **bigger = realloc(log->memory, room * sizeof(*bigger));

		if (!bigger) {
			free(memory);
			return -ENOMEM;
		}
		log->memory = bigger;
		log->memory_room = room;
	}
	log->memory[log->memory_count++] = memory;
	return 0;
}

static int add_line(struct log *log, const struct log_line *line)
{
	if (log->count == log->room) {
		size_t room = log->room ? log->room * 2 : 256;
		struct log_line *bigger = realloc(log->lines, room * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		log->lines = bigger;
		log->room = room;
	}
	log->lines[log->count++] = *line;
	return 0;
}

/* "\x1b[33m", and what is left of it where the escape itself was lost. */
static size_t colour_size(const char *s)
{
	size_t size = *s == '\x1b' ? 1 : 0, count;

	if (s[size] != '[')
		return 0;
	count = strspn(s + size + 1, "0123456789;");
	if (s[size + 1 + count] != 'm' || (size == 0 && count == 0))
		return 0;
	return size + count + 2;
}

/* Tabs as syslog daemons write them. */
static const char *skip_tab(const char *s, bool *tab)
{
	*tab = strncmp(s, "#011", 4) == 0 || strncmp(s, "^I", 2) == 0;
	return *tab ? s + (*s == '#' ? 4 : 2) : s;
}

/* Take the colours out of @text. */
static void decolour(char *text)
{
	char *out = text;

	while (*text) {
		size_t colour = colour_size(text);

		if (colour > 0)
			text += colour;
		else
			*out++ = *text++;
	}
	*out = '\0';
}

/* How often is the first quotation mark in @text escaped? */
static size_t depth_of(const char *text)
{
	size_t quote = strcspn(text, "\""), depth = 0;

	while (text[quote] && depth < quote && text[quote - depth - 1] == '\\')
		depth++;
	return depth;
}

/*
 * Into @out, which has room for @text: without backslashes. Marks that are escaped
 * more often than @depth are of what the line quotes, and become single ones.
 */
static void clean(const char *text, size_t depth, char *out)
{
	bool tab;

	text = skip_tab(text, &tab);
	if (tab)
		*out++ = '\t';
	while (*text) {
		size_t slashes = strspn(text, "\\");

		text += slashes;
		if (*text == '"')
			*out++ = slashes > depth ? '\'' : '"';
		else if (slashes > 0 && *text && strchr("ntr", *text))
			*out++ = ' ';
		else if (*text)
			*out++ = *text;
		text += *text != '\0';
	}
	*out = '\0';
}

/* FNV-1a, never 0: enough to tell neighbours apart. */
static uint32_t hash_of(const char *s)
{
	uint32_t hash = 2166136261U;

	for (; *s; s++)
		hash = (hash ^ (unsigned char)*s) * 16777619U;
	return hash ? hash : 1;
}

static const char *writer_of(const struct log_line *line, const struct log_entry *entry)
{
	const char *name = entry ? (entry->comm ? entry->comm : entry->sender) : line->sender;

	return name ? name : "";
}

/*
 * Does @text stand under the message of the line before, as journalctl shows a message
 * of several lines? Then it is of that message, whatever it looks like.
 */
static bool is_under(const struct log *log, const char *text, size_t length)
{
	uint32_t column = log->count > 0 ? log->lines[log->count - 1].column : 0, indent = 0;

	while (indent < length && indent < column && text[indent] == ' ')
		indent++;
	return column > 0 && indent == column;
}

/* And of the same process. */
static void continue_message(const struct log_line *head, struct log_line *line)
{
	line->source = head->source;
	line->pid = head->pid;
	line->sender = head->sender;
	line->host = head->host;
	line->column = head->column;
	line->continued = true;
}

/* @under: is_under() says so. */
static int log_add_line(struct log *log, const char *raw, size_t size,
			const struct log_entry *entry, bool under)
{
	enum { PIECES = 5 };
	struct log_line line = { .sender = "", .host = "" };
	struct log_prefix prefix;
	char *memory, *plain, *message, *text;
	size_t message_size;
	bool quoted;
	int r;

	if (size > LOG_LINE_MAX)
		size = LOG_LINE_MAX;
	while (size > 0 && (raw[size - 1] == '\r' || raw[size - 1] == '\n'))
		size--;
	if (size == 0)
		return 0;
	/* The raw line, without colours, clean, sender and host: none is longer than it. */
	memory = malloc(PIECES * (size + 1));
	r = remember(log, memory);
	if (r < 0)
		return r;
	memcpy(memory, raw, size);
	memory[size] = '\0';
	for (size_t i = 0; i < size; i++)
		if (memory[i] == '\0')
			memory[i] = ' ';
	line.raw = memory;
	plain = memory + size + 1;
	memcpy(plain, memory, size + 1);
	decolour(plain);
	if (entry)
		prefix = (struct log_prefix){ .rest = plain, .pid = entry->pid };
	else
		log_prefix_split(plain, &prefix);
	message = plain + (prefix.rest - plain);
	line.pid = prefix.pid;
	if (prefix.sender_size > 0) {
		char *sender = memory + 3 * (size + 1), *host = memory + 4 * (size + 1);

		memcpy(sender, prefix.sender, prefix.sender_size);
		sender[prefix.sender_size] = '\0';
		memcpy(host, prefix.host, prefix.host_size);
		host[prefix.host_size] = '\0';
		line.sender = sender;
		line.host = host;
		line.column = (uint32_t)(message - plain);
	}
	line.source = prefix.kernel ? LOG_KERNEL : log_source_of(line.sender, message);
	if (entry)
		line.source = log_source_of_entry(entry, message);
	message_size = strlen(message);
	if (line.source == LOG_SUPERVISOR || line.source == LOG_BARE)
		line.source = log_unwrap(message, writer_of(&line, entry), line.source);
	/* All of it may be quoted: by k0s, in a list, where nothing stands in front. */
	quoted = strlen(message) < message_size ||
		 (!entry && (prefix.sender_size == 0 || memchr(plain, '"', (size_t)(message - plain))));
	text = memory + 2 * (size + 1);
	clean(message, quoted ? depth_of(message) : 0, text);
	line.text = text;
	line.level = log_level_of(text);
	line.frame = log_frame_of(text);
	if (entry && entry->invocation)
		line.invocation = hash_of(entry->invocation);
	if (under)
		continue_message(&log->lines[log->count - 1], &line);
	return add_line(log, &line);
}

/* Calls log_add_line() for each line of @text. */
static int add_lines(struct log *log, const char *text, size_t size, const struct log_entry *entry)
{
	const char *end = text + size, *first = text;

	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t length = (size_t)((newline ? newline : end) - text);
		size_t before = log->count;
		int r = log_add_line(log, text, length, entry, !entry && is_under(log, text, length));

		if (r < 0)
			return r;
		if (log->count > before && entry)
			log->lines[before].continued = text > first;
		text += length + 1;
	}
	return 0;
}

int log_add_entry(struct log *log, const struct log_entry *entry)
{
	return add_lines(log, entry->message, entry->size, entry);
}

int log_add_systemd(struct log *log, const char *format, const char *word)
{
	const char *at = strstr(format, "%s");
	cleanup_free char *message = text_print("%.*s%s%s", (int)(at - format), format, word, at + 2);
	struct log_entry entry = { .comm = "systemd", .unit = "containerd.service" };

	if (!message)
		return -ENOMEM;
	entry.message = message;
	entry.size = strlen(message);
	return log_add_entry(log, &entry);
}

static const char *string_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

/*
 * A message, which journalctl writes as an array of bytes if a control character
 * is in it. NULL if @object has none, or for want of memory.
 */
static char *message_of(const json_t *object)
{
	const json_t *value = json_object_get(object, "MESSAGE"), *byte;
	char *message;
	size_t i;

	if (json_is_string(value))
		return strdup(json_string_value(value));
	if (!json_is_array(value))
		return NULL;
	message = calloc(json_array_size(value) + 1, 1);
	if (message)
		json_array_foreach(value, i, byte)
			message[i] = (char)json_integer_value(byte);
	return message;
}

/*
 * A line with its writer's name that a collector put into a member of its own
 * object. Without the name it could be anybody's. NULL if @object is no such.
 */
static const char *collected_line(const json_t *object)
{
	const char *line = string_of(object, "message");
	struct log_prefix prefix;

	if (!line)
		line = string_of(object, "log");
	if (!line)
		return NULL;
	log_prefix_split(line, &prefix);
	return prefix.sender_size > 0 && prefix.pid != 0 ? line : NULL;
}

/* Bytes that are no UTF-8 are no reason to lose who wrote the line. */
static json_t *load_object(const char *line, size_t size)
{
	json_t *object = json_loadb(line, size, JSON_DISABLE_EOF_CHECK, NULL);
	cleanup_free char *copy = object ? NULL : malloc(size + 1);

	if (!copy)
		return object;
	for (size_t i = 0; i < size; i++)
		copy[i] = line[i] & 0x80 ? '?' : line[i];
	return json_loadb(copy, size, JSON_DISABLE_EOF_CHECK, NULL);
}

/* Only what logrus writes may be containerd's by its words; whose the rest is is not known. */
static bool is_logrus(const json_t *object)
{
	return string_of(object, "level") && string_of(object, "msg");
}

/* A line whose end is missing: logrus has its members in the order of their names. */
static bool is_cut_logrus(const char *line, size_t size)
{
	static const char *const others[] = { "\"MESSAGE", "\"_", "\"log\"", "\"message\"" };

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (memmem(line, size, others[i], strlen(others[i])))
			return false;
	return true;
}

static int add_nobodys(struct log *log, const char *line, size_t size)
{
	const struct log_entry nobody = { .sender = "?" };
	int r = log_add_line(log, line, size, &nobody, false);

	return r < 0 ? r : 1;
}

/*
 * One object of journalctl -o json, of docker's json-file, or of a log collector. Returns 1 if it was
 * one, 0 if not, or -ENOMEM.
 */
static int add_journal_json(struct log *log, const char *line, size_t size)
{
	json_t *object = load_object(line, size);
	cleanup_free char *message = message_of(object);
	const char *pid = string_of(object, "_PID");
	struct log_entry entry = {
		.sender = string_of(object, "SYSLOG_IDENTIFIER"),
		.comm = string_of(object, "_COMM"),
		.unit = string_of(object, "UNIT"),
		.pid = pid ? (uint32_t)strtoul(pid, NULL, 10) : 0,
		.invocation = string_of(object, "_SYSTEMD_INVOCATION_ID"),
		.message = message,
	};
	const char *logged = string_of(object, "stream") ? string_of(object, "log") : NULL;
	int r = 0;

	if (!logged && !message)
		logged = collected_line(object);

	if (!entry.invocation)
		entry.invocation = string_of(object, "INVOCATION_ID");
	if (logged) { /* docker's json-file: a container's output */
		r = add_lines(log, logged, strlen(logged), NULL);
		r = r < 0 ? r : 1;
	} else if (message) {
		entry.size = strlen(message);
		r = log_add_entry(log, &entry);
		r = r < 0 ? r : 1;
	} else if (object ? !is_logrus(object) : !is_cut_logrus(line, size)) {
		r = add_nobodys(log, line, size);
	}
	json_decref(object);
	return r;
}

/* Where a line that is an object begins with it: "{", with a node's name or a record's mark in front. */
static const char *object_in(const char *line, size_t size)
{
	const char *brace = memchr(line, '{', size);
	size_t before = brace ? (size_t)(brace - line) : size;

	if (!brace || (size_t)(line + size - brace) < 2 || (brace[1] != '"' && brace[1] != '}') ||
	    memchr(line, '"', before) || memchr(line, '=', before))
		return NULL;
	if (before > 0 && brace[-1] != ' ' && brace[-1] != '\x1e')
		return NULL;
	for (size_t i = 0; i + 1 < before; i++) /* one word at most, which ends in a colon */
		if (line[i] == ' ' && line[i + 1] != ' ' && i > 0 && line[i - 1] != ' ')
			return NULL;
	return brace;
}

/* The value of @field if @line is "FIELD=value" of journalctl -o export. */
static bool take_field(const char *line, size_t size, const char *field, const char **value,
		       size_t *value_size)
{
	size_t len = strlen(field);

	if (size <= len || memcmp(line, field, len) != 0 || line[len] != '=')
		return false;
	*value = line + len + 1;
	*value_size = size - len - 1;
	return true;
}

struct export_entry {
	const char *fields[5];
	size_t sizes[5];
};

enum export_field { EXPORT_MESSAGE, EXPORT_SENDER, EXPORT_COMM, EXPORT_UNIT, EXPORT_PID };

static const char *const export_names[] = {
	[EXPORT_MESSAGE] = "MESSAGE", [EXPORT_SENDER] = "SYSLOG_IDENTIFIER",
	[EXPORT_COMM] = "_COMM",      [EXPORT_UNIT] = "UNIT",
	[EXPORT_PID] = "_PID",
};

static int add_export_entry(struct log *log, const struct export_entry *export)
{
	char *copies[ARRAY_SIZE(export_names)] = { NULL };
	struct log_entry entry = { .message = export->fields[EXPORT_MESSAGE],
				   .size = export->sizes[EXPORT_MESSAGE] };
	int r = 0;

	if (!entry.message)
		return 0;
	for (size_t i = EXPORT_SENDER; i < ARRAY_SIZE(copies) && r == 0; i++)
		if (export->fields[i]) {
			copies[i] = strndup(export->fields[i], export->sizes[i]);
			r = copies[i] ? 0 : -ENOMEM;
		}
	entry.sender = copies[EXPORT_SENDER];
	entry.comm = copies[EXPORT_COMM];
	entry.unit = copies[EXPORT_UNIT];
	entry.pid = copies[EXPORT_PID] ? (uint32_t)strtoul(copies[EXPORT_PID], NULL, 10) : 0;
	if (r == 0)
		r = log_add_entry(log, &entry);
	for (size_t i = 0; i < ARRAY_SIZE(copies); i++)
		free(copies[i]);
	return r;
}

/* "Wed 2026-11-25 22:17:21.123456 UTC [s=…;i=…]" */
static bool is_verbose_head(const char *line, size_t size)
{
	return size > 0 && *line != ' ' && line[size - 1] == ']' && memmem(line, size, " [s=", 4);
}

/*
 * A name alone, eight bytes of size and the value: how -o export writes what has
 * newlines in it. Returns how far it goes, 0 if @text is no such field.
 */
static size_t take_binary(const char *text, size_t length, size_t room, struct export_entry *export)
{
	enum { SIZE_BYTES = 8 };
	uint64_t size = 0;

	if (length == 0 || memchr(text, '=', length) || room - length < 1 + SIZE_BYTES)
		return 0;
	for (unsigned i = 0; i < SIZE_BYTES; i++)
		size |= (uint64_t)(unsigned char)text[length + 1 + i] << 8 * i;
	if (size > room - length - 1 - SIZE_BYTES)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(export_names); i++)
		if (strlen(export_names[i]) == length && memcmp(export_names[i], text, length) == 0) {
			export->fields[i] = text + length + 1 + SIZE_BYTES;
			export->sizes[i] = (size_t)size;
		}
	return length + 1 + SIZE_BYTES + (size_t)size;
}

/*
 * Entries are divided by empty lines, in journalctl -o verbose by lines that are
 * not indented. There a field stands VERBOSE_INDENT deep, what continues it deeper.
 */
static int add_export(struct log *log, const char *text, size_t size)
{
	enum { VERBOSE_INDENT = 4 };
	struct export_entry export = { 0 };
	const char *end = text + size;

	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t length = (size_t)((newline ? newline : end) - text), indent = 0;
		size_t binary = *text != ' ' && !is_verbose_head(text, length) ?
					take_binary(text, length, (size_t)(end - text), &export) :
					0;

		if (binary > 0) {
			text += binary + 1;
			continue;
		}
		while (indent < length && text[indent] == ' ')
			indent++;
		for (size_t i = 0; i < ARRAY_SIZE(export_names) && (indent == 0 || indent == VERBOSE_INDENT); i++)
			(void)(take_field(text + indent, length - indent, export_names[i],
					  &export.fields[i], &export.sizes[i]));
		if (length == 0 || is_verbose_head(text, length)) {
			int r = add_export_entry(log, &export);

			if (r < 0)
				return r;
			export = (struct export_entry){ 0 };
		}
		text += length + 1;
	}
	return add_export_entry(log, &export);
}

/* Keep the last @lines_max whole lines of @text, and no more than LOG_BYTES_MAX. */
static const char *tail_of(struct log *log, const char *text, size_t size, size_t lines_max)
{
	const char *s = text + size, *newline = s;

	for (size_t lines = 0; s > text; s--) {
		bool full = text + size - s >= LOG_BYTES_MAX;

		if (s[-1] == '\n') {
			newline = s;
			full |= ++lines > lines_max;
		}
		if (full) {
			log->cut = true;
			return newline;
		}
	}
	return s;
}

static bool is_export(const char *text, size_t size)
{
	static const char cursor[] = "__CURSOR=";
	const char *newline = memchr(text, '\n', size);

	if (size > strlen(cursor) && memcmp(text, cursor, strlen(cursor)) == 0)
		return true;
	return newline && is_verbose_head(text, (size_t)(newline - text));
}

int log_add_text(struct log *log, const char *text, size_t size)
{
	const char *end = text + size;

	if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) { /* Windows's mark of UTF-8 */
		text += 3;
		size -= 3;
	}
	if (is_export(text, size)) {
		const char *tail = tail_of(log, text, size, EXPORT_LINES_MAX);

		/* In the middle of an entry its sender may be what was left out. */
		while (tail > text && tail < end && !is_export(tail, (size_t)(end - tail))) {
			const char *newline = memchr(tail, '\n', (size_t)(end - tail));

			tail = newline ? newline + 1 : end;
		}
		return add_export(log, tail, (size_t)(end - tail));
	}
	text = tail_of(log, text, size, LOG_LINES_MAX);
	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t length = (size_t)((newline ? newline : end) - text);
		bool under = is_under(log, text, length);
		const char *object = under ? NULL : object_in(text, length);
		int r = object ? add_journal_json(log, object, (size_t)(text + length - object)) : 0;

		if (r == 0)
			r = log_add_line(log, text, length, NULL, under);
		if (r < 0)
			return r;
		text += length + 1;
	}
	return 0;
}

void log_done(struct log *log)
{
	for (size_t i = 0; i < log->memory_count; i++)
		free(log->memory[i]);
	free(log->memory);
	free(log->lines);
	*log = (struct log){ 0 };
}
