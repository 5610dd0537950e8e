#include <errno.h>
#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/toml_parser.h"

/* Length of the UTF-8 sequence at @s, 0 if it is none (overlong, surrogate, cut). */
static size_t utf8_length(const unsigned char *s, size_t room)
{
	size_t len = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 :
		     s[0] < 0xf5 ? 4 : 0;

	if (len > room)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return len;
}

static size_t utf8_encode(uint32_t c, char *out)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | (c >> 6));
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | (c >> 12));
		out[1] = (char)(0x80 | ((c >> 6) & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | (c >> 18));
	out[1] = (char)(0x80 | ((c >> 12) & 0x3f));
	out[2] = (char)(0x80 | ((c >> 6) & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static int scan_unicode(struct toml_parser *p, int digits, char **out)
{
	uint32_t c = 0;

	for (int i = 0; i < digits; i++) {
		int digit = p->at < p->end ? hex_digit(*p->at) : -1;

		if (digit < 0)
			return toml_fail(p, "a hexadecimal digit is missing in an escape");
		c = c << 4 | (uint32_t)digit;
		p->at++;
	}
	if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return toml_fail(p, "an escape is no Unicode character");
	if (c == 0)
		return toml_fail(p, "NUL in a string");
	*out += utf8_encode(c, *out);
	return 0;
}

static int scan_escape(struct toml_parser *p, char **out)
{
	static const char plain[] = "btnfr\"\\", meaning[] = "\b\t\n\f\r\"\\";
	const char *known;
	char c;

	p->at++;
	if (p->at == p->end)
		return toml_fail(p, "a string has no end");
	c = *p->at++;
	if (c == 'u' || c == 'U')
		return scan_unicode(p, c == 'u' ? 4 : 8, out);
	known = c ? strchr(plain, c) : NULL;
	if (!known)
		return toml_fail(p, "unknown escape in a string");
	*(*out)++ = meaning[known - plain];
	return 0;
}

/* A backslash at the end of a line swallows all white space up to the next text. */
static bool skip_line_ending_backslash(struct toml_parser *p)
{
	const char *at = p->at + 1;

	while (at < p->end && (*at == ' ' || *at == '\t'))
		at++;
	if (at < p->end && *at == '\r')
		at++;
	if (at == p->end || *at != '\n')
		return false;
	while (at < p->end && strchr(" \t\r\n", *at) && *at)
		p->line += *at++ == '\n';
	p->at = at;
	return true;
}

/* One character, or one escape, of a string that is not at its end. */
static int scan_char(struct toml_parser *p, bool basic, bool lines, char **out)
{
	const unsigned char *s = (const unsigned char *)p->at;
	size_t len;

	if (*s == '\\' && basic) {
		if (lines && skip_line_ending_backslash(p))
			return 0;
		return scan_escape(p, out);
	}
	if (lines && toml_sees(p, "\r\n"))
		p->at++;
	if (lines && toml_sees(p, "\n")) {
		p->line++;
		p->at++;
		*(*out)++ = '\n';
		return 0;
	}
	if (*s == '\n')
		return toml_fail(p, "a string has no end on its line");
	if ((*s < 0x20 && *s != '\t') || *s == 0x7f)
		return toml_fail(p, "a control character in a string");
	len = utf8_length(s, (size_t)(p->end - p->at));
	if (len == 0)
		return toml_fail(p, "a string is not UTF-8");
	memcpy(*out, p->at, len);
	*out += len;
	p->at += len;
	return 0;
}

/* Behind its closing delimiter a multi-line string may have two quotes of its own. */
static bool at_closing(struct toml_parser *p, const char *delimiter, char **out)
{
	if (!toml_sees(p, delimiter))
		return false;
	p->at += strlen(delimiter);
	if (!delimiter[1])
		return true;
	for (int extra = 0; extra < 2 && p->at < p->end && *p->at == delimiter[0]; extra++)
		*(*out)++ = *p->at++;
	return true;
}

/* What a string decodes to is never longer than its text. */
static size_t string_room(const struct toml_parser *p, const char *delimiter)
{
	const char *at = p->at;
	bool lines = delimiter[1];

	for (; at < p->end; at++) {
		if (*at == '\n' && !lines)
			break;
		if (*at == '\\' && delimiter[0] == '"' && at + 1 < p->end)
			at++;
		else if ((size_t)(p->end - at) >= strlen(delimiter) &&
			 memcmp(at, delimiter, strlen(delimiter)) == 0)
			break;
	}
	return (size_t)(at - p->at) + strlen(delimiter);
}

int toml_scan_string(struct toml_parser *p, bool multiline, const char **ret)
{
	static const char *const delimiters[] = { "\"\"\"", "'''", "\"", "'" };
	size_t kind = multiline ? 0 : 2;
	const char *delimiter;
	char *text, *out;
	bool lines;

	while (kind < ARRAY_SIZE(delimiters) - 1 && !toml_sees(p, delimiters[kind]))
		kind++;
	delimiter = delimiters[kind];
	p->at += strlen(delimiter);
	lines = delimiter[1];
	text = out = toml_alloc(p->toml, string_room(p, delimiter) + 1);
	if (!text)
		return -ENOMEM;

	if (lines && (toml_sees(p, "\n") || toml_sees(p, "\r\n"))) {
		p->at += *p->at == '\r' ? 2 : 1;
		p->line++;
	}
	while (!at_closing(p, delimiter, &out)) {
		int r;

		if (p->at == p->end)
			return toml_fail(p, "a string has no end");
		r = scan_char(p, delimiter[0] == '"', lines, &out);
		if (r < 0)
			return r;
	}
	*out = '\0';
	*ret = text;
	return 0;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Does @text have the form of @pattern, where '0' stands for any digit? */
static bool has_form(const char *text, size_t len, const char *pattern)
{
	for (; *pattern; pattern++, text++, len--)
		if (len == 0 || (*pattern == '0' ? !is_digit(*text) : *text != *pattern))
			return false;
	return true;
}

static unsigned two_digits(const char *s)
{
	return (unsigned)(s[0] - '0') * 10 + (unsigned)(s[1] - '0');
}

static bool is_offset(const char *text, size_t len)
{
	if (len == 1)
		return *text == 'Z' || *text == 'z';
	return len == 6 && (*text == '+' || *text == '-') && has_form(text + 1, 5, "00:00") &&
	       two_digits(text + 1) < 24 && two_digits(text + 4) < 60;
}

static bool is_time(const char *text, size_t len, bool offset_allowed)
{
	size_t used = strlen("00:00:00");

	if (!has_form(text, len, "00:00:00") || two_digits(text) > 23 ||
	    two_digits(text + 3) > 59 || two_digits(text + 6) > 60)
		return false;
	if (used < len && text[used] == '.') {
		size_t start = ++used;

		while (used < len && is_digit(text[used]))
			used++;
		if (used == start)
			return false;
	}
	return used == len || (offset_allowed && is_offset(text + used, len - used));
}

static bool is_datetime(const char *text, size_t len)
{
	const size_t date = strlen("0000-00-00");

	if (!has_form(text, len, "0000-00-00"))
		return is_time(text, len, false);
	if (two_digits(text + 5) < 1 || two_digits(text + 5) > 12 || two_digits(text + 8) < 1 ||
	    two_digits(text + 8) > 31)
		return false;
	if (len == date)
		return true;
	return strchr("Tt ", text[date]) && text[date] &&
	       is_time(text + date + 1, len - date - 1, true);
}

/* Digits of @base, single underscores only between two of them. */
static size_t digits_length(const char *text, size_t len, int base)
{
	size_t i = 0;

	for (; i < len; i++) {
		int digit = hex_digit(text[i]);
		bool underscore = text[i] == '_' && i > 0 && text[i - 1] != '_';

		if (!underscore && (digit < 0 || digit >= base))
			break;
	}
	return i > 0 && text[i - 1] == '_' ? i - 1 : i;
}

static int scan_integer(struct toml_parser *p, const char *text, size_t len, int base,
			bool negative, struct toml_value *value)
{
	uint64_t limit = negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX, total = 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '_')
			continue;
		if (__builtin_mul_overflow(total, (uint64_t)base, &total) ||
		    __builtin_add_overflow(total, (uint64_t)hex_digit(text[i]), &total) ||
		    total > limit)
			return toml_fail(p, "an integer is out of range");
	}
	value->type = TOML_INTEGER;
	value->integer = negative ? (int64_t)(0 - total) : (int64_t)total;
	return 0;
}

/* The part of a float behind its integer part: ".5", "e10", ".5e-3". */
static bool is_float_tail(const char *text, size_t len)
{
	size_t i = 0, n;

	if (text[i] == '.') {
		n = digits_length(text + i + 1, len - i - 1, 10);
		if (n == 0)
			return false;
		i += n + 1;
	}
	if (i < len && (text[i] == 'e' || text[i] == 'E')) {
		i++;
		if (i < len && (text[i] == '+' || text[i] == '-'))
			i++;
		n = digits_length(text + i, len - i, 10);
		if (n == 0)
			return false;
		i += n;
	}
	return i == len;
}

static int scan_number(struct toml_parser *p, const char *text, size_t len,
		       struct toml_value *value)
{
	static const struct {
		const char *prefix;
		int base;
	} bases[] = { { "0x", 16 }, { "0o", 8 }, { "0b", 2 } };
	bool sign = len > 0 && (*text == '+' || *text == '-'), negative = sign && *text == '-';
	size_t n;

	for (size_t i = 0; i < ARRAY_SIZE(bases); i++)
		if (len > 2 && memcmp(text, bases[i].prefix, 2) == 0 &&
		    digits_length(text + 2, len - 2, bases[i].base) == len - 2)
			return scan_integer(p, text + 2, len - 2, bases[i].base, false, value);
	text += sign;
	len -= sign;
	value->type = TOML_FLOAT;
	if (len == 3 && (memcmp(text, "inf", 3) == 0 || memcmp(text, "nan", 3) == 0))
		return 0;
	n = digits_length(text, len, 10);
	if (n == 0)
		return toml_fail(p, "a value is missing or is none that TOML knows");
	if (text[0] == '0' && n > 1)
		return toml_fail(p, "a number has a leading zero");
	if (n == len)
		return scan_integer(p, text, len, 10, negative, value);
	if (!is_float_tail(text + n, len - n))
		return toml_fail(p, "a number is malformed");
	return 0;
}

static size_t bare_length(const struct toml_parser *p)
{
	const char *at = p->at;

	while (at < p->end && (is_digit(*at) || (*at >= 'a' && *at <= 'z') ||
			       (*at >= 'A' && *at <= 'Z') || (*at && strchr("+-_.:", *at))))
		at++;
	/* "1979-05-27 07:32:00": a date and a time may have a blank between them. */
	if (at - p->at == strlen("0000-00-00") && p->end - at >= 3 && *at == ' ' &&
	    is_digit(at[1]) && is_digit(at[2]) && has_form(p->at, (size_t)(at - p->at), "0000-00-00"))
		for (at++; at < p->end && (is_digit(*at) || (*at && strchr("+-.:Zz", *at)));)
			at++;
	return (size_t)(at - p->at);
}

int toml_scan_bare(struct toml_parser *p, struct toml_value *value)
{
	const char *text = p->at;
	size_t len = bare_length(p);

	p->at += len;
	if ((len == 4 && memcmp(text, "true", 4) == 0) ||
	    (len == 5 && memcmp(text, "false", 5) == 0)) {
		value->type = TOML_BOOLEAN;
		value->boolean = len == 4;
		return 0;
	}
	if (is_datetime(text, len)) {
		value->type = TOML_DATETIME;
		return 0;
	}
	return scan_number(p, text, len, value);
}
