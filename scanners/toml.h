/*
 * A reader of TOML 1.0 (toml.io/en/v1.0.0), on a byte buffer. Date-times and
 * floats are checked for form and kept as opaque values: nobody here needs
 * them. Two leniencies, as containerd 1.x has them: a byte order mark, and any
 * bytes in comments.
 */
#ifndef SCANNERS_TOML_H
#define SCANNERS_TOML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bounds of what is read; beyond them is -E2BIG, never a cut. */
enum {
	TOML_VALUES_MAX = 20000,
	TOML_DEPTH_MAX = 64,
};

enum toml_type {
	TOML_TABLE,
	TOML_ARRAY,
	TOML_STRING,
	TOML_INTEGER,
	TOML_BOOLEAN,
	TOML_FLOAT,
	TOML_DATETIME,
};

struct toml_value {
	enum toml_type type;
	unsigned line;
	const char *key;	 /* NULL in an array and for the document */
	struct toml_value *next; /* the sibling, in the order of the file */
	union {
		const char *string; /* UTF-8, no NUL inside */
		int64_t integer;
		bool boolean;
		struct {
			struct toml_value *first, *last;
		};
	};
	unsigned char origin; /* the parser's: how a table or array came to be */
};

struct toml; /* owns every value and string of one document */

struct toml_error {
	unsigned line;	    /* from 1 */
	const char *reason; /* static */
};

/*
 * Parse @size bytes of @text. Returns 0 with @ret the caller's, to end with
 * toml_free(); or with @ret untouched -EINVAL (a syntax error) or -E2BIG, both
 * with @error filled, or -ENOMEM.
 */
int toml_parse(const char *text, size_t size, struct toml **ret, struct toml_error *error);

void toml_free(struct toml *toml);

/* The document: a TOML_TABLE. */
const struct toml_value *toml_document(const struct toml *toml);

/* The value of @key in @table; NULL if there is none or @table is no table (or NULL). */
const struct toml_value *toml_get(const struct toml_value *table, const char *key);

/* "string", "integer", … for messages */
const char *toml_type_name(enum toml_type type);

#endif
