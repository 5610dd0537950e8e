/*
 * What the parts of the TOML reader share: toml.c has documents, tables and
 * keys, toml_scalar.c strings, numbers and date-times.
 */
#ifndef SCANNERS_TOML_PARSER_H
#define SCANNERS_TOML_PARSER_H

#include "scanners/toml.h"

struct toml_parser {
	const char *at, *end;
	unsigned line;
	unsigned depth;
	struct toml *toml;
	struct toml_error *error;
};

/* Record @reason at the current line; returns -EINVAL. */
int toml_fail(struct toml_parser *p, const char *reason);

/* Memory that lives as long as the document; NULL if there is none. */
void *toml_alloc(struct toml *toml, size_t size);

/* Does the text go on with @prefix? */
bool toml_sees(const struct toml_parser *p, const char *prefix);

/*
 * A string in any of its four forms (one line only, unless @multiline), the
 * parser standing on its quote. Returns 0 with @ret the document's, or a
 * negative errno.
 */
int toml_scan_string(struct toml_parser *p, bool multiline, const char **ret);

/*
 * A boolean, number or date-time into @value. Returns 0 or a negative errno.
 */
int toml_scan_bare(struct toml_parser *p, struct toml_value *value);

#endif
