#include "recover/evidence_redact.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "scanners/cleanup.h"

#define REMOVED "\"(removed)\""

/* Keys and tables; and what in a log is hardly ever anything else. */
static const char *const key_words[] = { "auth",   "pass",   "token",	"secret", "credential",
					 "header", "bearer", "apikey",	"api_key", "access_key",
					 "pwd",	   "cookie", "private_key", NULL };
static const char *const log_words[] = { "authorization", "passw", "secret", "bearer", NULL };

static bool names_credential(const char *const *words, const char *text, size_t size)
{
	for (; *words; words++)
		for (size_t at = 0; at + strlen(*words) <= size; at++)
			if (strncasecmp(text + at, *words, strlen(*words)) == 0)
				return true;
	return false;
}

/* What a URL may hold, and passwords in it against the rules. */
static bool is_in_url(char c)
{
	return !isspace((unsigned char)c) && c != '"' && c != '\'' && c != '`' && c != '<' && c != '>';
}

/* host:port, or user:password, of which a '/' is part? */
static bool has_port(const char *begin, const char *end)
{
	const char *colon = memrchr(begin, ':', (size_t)(end - begin));

	while (colon && ++colon < end)
		if (!isdigit((unsigned char)*colon))
			return false;
	return true;
}

/* Where the secret part of a URL at or behind @from ends ("@"), and where it begins. */
static const char *find_userinfo(const char *from, const char *end, const char **ret_begin)
{
	const char *at = memmem(from, (size_t)(end - from), "://", 3);

	while (at) {
		const char *begin = at + 3, *c = begin, *slash = NULL;

		for (; c < end && is_in_url(*c); c++)
			if (!slash && *c == '/')
				slash = c;
		if (slash && has_port(begin, slash))
			c = slash;
		at = memrchr(begin, '@', (size_t)(c - begin));
		if (at) {
			*ret_begin = begin;
			return at;
		}
		at = memmem(begin, (size_t)(end - begin), "://", 3);
	}
	return NULL;
}

static int add_without_userinfo(const char *from, const char *end, struct text *to)
{
	const char *begin, *at;
	int r = 0;

	while (r == 0 && (at = find_userinfo(from, end, &begin))) {
		r = text_add(to, from, (size_t)(begin - from));
		if (r == 0)
			r = text_add_string(to, "(removed)");
		from = at;
	}
	return r == 0 ? text_add(to, from, (size_t)(end - from)) : r;
}

static const char *line_end(const char *line)
{
	const char *end = strchr(line, '\n');

	return end ? end + 1 : line + strlen(line);
}

int redact_lines(const char *from, struct text *to)
{
	int r = 0;

	while (*from && r == 0) {
		const char *end = line_end(from), *word = from;

		/* What follows a word that names a credential and '=' or ':' goes, to the line's end. */
		while (word < end && !((*word == '=' || *word == ':') &&
				       names_credential(log_words, from, (size_t)(word - from))))
			word++;
		if (word < end) {
			r = add_without_userinfo(from, word + 1, to);
			if (r == 0)
				r = text_add_string(to, "(removed)\n");
		} else {
			r = add_without_userinfo(from, end, to);
		}
		from = end;
	}
	return r;
}

int redact_urls(const char *from, struct text *to)
{
	return add_without_userinfo(from, from + strlen(from), to);
}

static bool is_continued(const char *line, const char *end)
{
	while (end > line && isspace((unsigned char)end[-1]))
		end--;
	return end > line && end[-1] == '\\';
}

int redact_unit(const char *from, struct text *to)
{
	bool goes_on = false; /* with what was removed */
	int r = 0;

	for (const char *end; *from && r == 0; from = end) {
		const char *equals;
		bool was_removed = goes_on;

		end = line_end(from);
		equals = memchr(from, '=', (size_t)(end - from));
		goes_on = was_removed || names_credential(key_words, from, (size_t)(end - from));
		if (!goes_on) {
			r = add_without_userinfo(from, end, to);
		} else if (!was_removed) {
			if (equals)
				r = text_add(to, from, (size_t)(equals + 1 - from));
			if (r == 0)
				r = text_add_string(to, "(removed)\n");
		}
		goes_on = goes_on && is_continued(from, end);
	}
	return r;
}

/* Where a value that spans lines stands. */
struct value {
	const char *quote; /* of a string that is open: """ or ''' */
	int depth;	   /* of brackets and braces */
	bool removed;
};

static const char *skip_string(const char *at, const char *end, struct value *value)
{
	const char *quote = *at == '"' ? "\"\"\"" : "'''";

	if (end - at >= 3 && strncmp(at, quote, 3) == 0) {
		value->quote = quote;
		return at + 3;
	}
	for (const char *c = at + 1; c < end; c++) {
		if (*c == '\\' && *at == '"')
			c++;
		else if (*c == *at)
			return c + 1;
	}
	return end;
}

/* Follow the value through the line from @at: what is open at its end stays open. */
static void follow(const char *at, const char *end, struct value *value)
{
	while (at < end) {
		if (value->quote) {
			const char *close = memmem(at, (size_t)(end - at), value->quote, 3);

			if (!close)
				return;
			value->quote = NULL;
			at = close + 3;
		} else if (*at == '"' || *at == '\'') {
			at = skip_string(at, end, value);
		} else if (*at == '#') {
			return;
		} else {
			value->depth += (*at == '[' || *at == '{') - (*at == ']' || *at == '}');
			at++;
		}
	}
}

static bool is_open(const struct value *value)
{
	return value->quote || value->depth > 0;
}

static int redact_line(const char *line, const char *end, bool *table_removed, struct value *value,
		       struct text *to)
{
	const char *first = line, *equals;
	int r;

	if (is_open(value)) {
		bool removed = value->removed || names_credential(key_words, line, (size_t)(end - line));

		follow(line, end, value);
		return removed ? 0 : add_without_userinfo(line, end, to);
	}
	while (first < end && (*first == ' ' || *first == '\t'))
		first++;
	if (first < end && *first == '[') {
		*table_removed = names_credential(key_words, first, (size_t)(end - first));
		return text_add(to, line, (size_t)(end - line));
	}
	equals = memchr(first, '=', (size_t)(end - first));
	*value = (struct value){ .removed = *table_removed ||
					    names_credential(key_words, line, (size_t)(end - line)) };
	if (equals && *first != '#')
		follow(equals + 1, end, value);
	if (!value->removed)
		return add_without_userinfo(line, end, to);
	if (!equals)
		return 0; /* a comment, or half of something */
	r = text_add(to, line, (size_t)(equals + 1 - line));
	return r < 0 ? r : text_add_string(to, " " REMOVED "\n");
}

int redact_config(const char *from, struct text *to)
{
	struct value value = { 0 };
	bool table_removed = false;
	int r = 0;

	while (*from && r == 0) {
		const char *end = line_end(from);

		r = redact_line(from, end, &table_removed, &value, to);
		from = end;
	}
	return r;
}
