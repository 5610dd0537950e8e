#include "scanners/toml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/toml_parser.h"

/* How a table or array came to be decides who may add to it. */
enum origin {
	BY_VALUE,   /* inline table or static array: closed */
	BY_IMPLIED, /* a [header] named something below it */
	BY_DOTTED,  /* a dotted key named something below it */
	BY_HEADER,  /* [header], or an element of [[header]] */
};

struct chunk {
	struct chunk *next;
	size_t used, size;
	_Alignas(16) char data[];
};

struct toml {
	struct chunk *chunks;
	unsigned values;
	struct toml_value document;
};

enum {
	CHUNK_SIZE = 16 * 1024 - sizeof(struct chunk),
	ALIGNMENT = 16,
};

int toml_fail(struct toml_parser *p, const char *reason)
{
	*p->error = (struct toml_error){ .line = p->line, .reason = reason };
	return -EINVAL;
}

void *toml_alloc(struct toml *toml, size_t size)
{
	struct chunk *chunk = toml->chunks;
	void *memory;

	size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	if (!chunk || chunk->size - chunk->used < size) {
		size_t room = size > CHUNK_SIZE ? size : CHUNK_SIZE;

		chunk = malloc(sizeof(*chunk) + room);
		if (!chunk)
			return NULL;
		*chunk = (struct chunk){ .next = toml->chunks, .size = room };
		toml->chunks = chunk;
	}
	memory = chunk->data + chunk->used;
	chunk->used += size;
	return memory;
}

static int new_value(struct toml_parser *p, enum toml_type type, enum origin origin,
		     struct toml_value **ret)
{
	struct toml_value *value;

	if (p->toml->values >= TOML_VALUES_MAX) {
		(void)toml_fail(p, "too many values");
		return -E2BIG;
	}
	value = toml_alloc(p->toml, sizeof(*value));
	if (!value)
		return -ENOMEM;
	p->toml->values++;
	*value = (struct toml_value){
		.type = type,
		.line = p->line,
		.origin = (unsigned char)origin,
	};
	*ret = value;
	return 0;
}

static void append(struct toml_value *parent, struct toml_value *child)
{
	if (parent->last)
		parent->last->next = child;
	else
		parent->first = child;
	parent->last = child;
}

static struct toml_value *find(const struct toml_value *table, const char *key)
{
	for (struct toml_value *child = table->first; child; child = child->next)
		if (strcmp(child->key, key) == 0)
			return child;
	return NULL;
}

bool toml_sees(const struct toml_parser *p, const char *prefix)
{
	size_t len = strlen(prefix);

	return (size_t)(p->end - p->at) >= len && memcmp(p->at, prefix, len) == 0;
}

static void skip_blanks(struct toml_parser *p)
{
	while (p->at < p->end && (*p->at == ' ' || *p->at == '\t'))
		p->at++;
}

static bool skip_newline(struct toml_parser *p)
{
	if (toml_sees(p, "\r\n"))
		p->at += 2;
	else if (toml_sees(p, "\n"))
		p->at++;
	else
		return false;
	p->line++;
	return true;
}

static void skip_comment(struct toml_parser *p)
{
	if (!toml_sees(p, "#"))
		return;
	while (p->at < p->end && *p->at != '\n' && !toml_sees(p, "\r\n"))
		p->at++;
}

static void skip_lines(struct toml_parser *p)
{
	do {
		skip_blanks(p);
		skip_comment(p);
	} while (skip_newline(p));
}

static bool is_bare(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-';
}

/* One part of a dotted key, with the blanks around it. */
static int scan_key(struct toml_parser *p, const char **ret)
{
	const char *start;
	char *key;
	int r;

	skip_blanks(p);
	start = p->at;
	if (toml_sees(p, "\"") || toml_sees(p, "'")) {
		r = toml_scan_string(p, false, ret);
		if (r < 0)
			return r;
		skip_blanks(p);
		return 0;
	}
	while (p->at < p->end && is_bare(*p->at))
		p->at++;
	if (p->at == start)
		return toml_fail(p, "a key is missing or has an invalid character");
	key = toml_alloc(p->toml, (size_t)(p->at - start) + 1);
	if (!key)
		return -ENOMEM;
	memcpy(key, start, (size_t)(p->at - start));
	key[p->at - start] = '\0';
	skip_blanks(p);
	*ret = key;
	return 0;
}

static int add_child(struct toml_parser *p, struct toml_value *table, const char *key,
		     enum toml_type type, enum origin origin, struct toml_value **ret)
{
	int r = new_value(p, type, origin, ret);

	if (r < 0)
		return r;
	(*ret)->key = key;
	append(table, *ret);
	return 0;
}

/* From @table into the table @key that a header only passes through. */
static int step_header(struct toml_parser *p, struct toml_value *table, const char *key,
		       struct toml_value **ret)
{
	struct toml_value *child = find(table, key);

	if (!child)
		return add_child(p, table, key, TOML_TABLE, BY_IMPLIED, ret);
	if (child->type == TOML_ARRAY && child->origin == BY_HEADER)
		child = child->last;
	if (child->type != TOML_TABLE)
		return toml_fail(p, "this key has a value already and is no table");
	if (child->origin == BY_VALUE)
		return toml_fail(p, "an inline table cannot be extended");
	*ret = child;
	return 0;
}

static int open_table(struct toml_parser *p, struct toml_value *table, const char *key,
		      struct toml_value **ret)
{
	struct toml_value *child = find(table, key);

	if (!child)
		return add_child(p, table, key, TOML_TABLE, BY_HEADER, ret);
	if (child->type != TOML_TABLE || child->origin != BY_IMPLIED)
		return toml_fail(p, "this table is defined twice");
	child->origin = BY_HEADER;
	child->line = p->line;
	*ret = child;
	return 0;
}

static int open_array_table(struct toml_parser *p, struct toml_value *table, const char *key,
			    struct toml_value **ret)
{
	struct toml_value *array = find(table, key);
	int r;

	if (!array) {
		r = add_child(p, table, key, TOML_ARRAY, BY_HEADER, &array);
		if (r < 0)
			return r;
	}
	if (array->type != TOML_ARRAY || array->origin != BY_HEADER)
		return toml_fail(p, "this key is no array of tables");
	r = new_value(p, TOML_TABLE, BY_HEADER, ret);
	if (r < 0)
		return r;
	append(array, *ret);
	return 0;
}

/* "[a.b]" or "[[a.b]]": @ret is the table that the following lines fill. */
static int parse_header(struct toml_parser *p, struct toml_value **ret)
{
	struct toml_value *table = &p->toml->document;
	bool array = toml_sees(p, "[[");
	const char *key;
	int r;

	p->at += array ? 2 : 1;
	for (unsigned depth = 0;; depth++) {
		if (depth >= TOML_DEPTH_MAX) {
			(void)toml_fail(p, "nested too deeply");
			return -E2BIG;
		}
		r = scan_key(p, &key);
		if (r < 0)
			return r;
		if (!toml_sees(p, "."))
			break;
		p->at++;
		r = step_header(p, table, key, &table);
		if (r < 0)
			return r;
	}
	if (!toml_sees(p, array ? "]]" : "]"))
		return toml_fail(p, "']' is missing behind the table's name");
	p->at += array ? 2 : 1;
	return array ? open_array_table(p, table, key, ret) : open_table(p, table, key, ret);
}

/* From @table into the table @key that a dotted key passes through. */
static int step_dotted(struct toml_parser *p, struct toml_value *table, const char *key,
		       struct toml_value **ret)
{
	struct toml_value *child = find(table, key);

	if (!child)
		return add_child(p, table, key, TOML_TABLE, BY_DOTTED, ret);
	if (child->type != TOML_TABLE)
		return toml_fail(p, "this key has a value already and is no table");
	if (child->origin == BY_VALUE || child->origin == BY_HEADER)
		return toml_fail(p, "a table cannot be extended by a dotted key");
	*ret = child;
	return 0;
}

static int parse_value(struct toml_parser *p, struct toml_value *value);

static int parse_pair(struct toml_parser *p, struct toml_value *table)
{
	struct toml_value *value;
	const char *key;
	int r;

	for (unsigned depth = 0;; depth++) {
		if (depth >= TOML_DEPTH_MAX) {
			(void)toml_fail(p, "nested too deeply");
			return -E2BIG;
		}
		r = scan_key(p, &key);
		if (r < 0)
			return r;
		if (!toml_sees(p, "."))
			break;
		p->at++;
		r = step_dotted(p, table, key, &table);
		if (r < 0)
			return r;
	}
	if (!toml_sees(p, "="))
		return toml_fail(p, "'=' is missing behind a key");
	p->at++;
	if (find(table, key))
		return toml_fail(p, "this key is defined twice");
	r = add_child(p, table, key, TOML_STRING, BY_VALUE, &value);
	if (r < 0)
		return r;
	skip_blanks(p);
	return parse_value(p, value);
}

static int parse_array(struct toml_parser *p, struct toml_value *array)
{
	array->type = TOML_ARRAY;
	array->first = array->last = NULL;
	for (;;) {
		struct toml_value *element;
		int r;

		skip_lines(p);
		if (toml_sees(p, "]"))
			break;
		r = new_value(p, TOML_STRING, BY_VALUE, &element);
		if (r < 0)
			return r;
		r = parse_value(p, element);
		if (r < 0)
			return r;
		append(array, element);
		skip_lines(p);
		if (toml_sees(p, "]"))
			break;
		if (!toml_sees(p, ","))
			return toml_fail(p, "',' or ']' is missing in an array");
		p->at++;
	}
	p->at++;
	return 0;
}

/* Nothing may be added to an inline table, nor to tables made inside it. */
static void close_tables(struct toml_value *table)
{
	table->origin = BY_VALUE;
	for (struct toml_value *child = table->first; child; child = child->next)
		if (child->type == TOML_TABLE && child->origin != BY_VALUE)
			close_tables(child);
}

static int parse_inline_table(struct toml_parser *p, struct toml_value *table)
{
	table->type = TOML_TABLE;
	table->first = table->last = NULL;
	table->origin = BY_DOTTED; /* its own pairs may add to it */
	skip_blanks(p);
	if (!toml_sees(p, "}")) {
		for (;;) {
			int r = parse_pair(p, table);

			if (r < 0)
				return r;
			skip_blanks(p);
			if (!toml_sees(p, ","))
				break;
			p->at++;
		}
	}
	if (!toml_sees(p, "}"))
		return toml_fail(p, "',' or '}' is missing in an inline table");
	p->at++;
	close_tables(table);
	return 0;
}

static int parse_nested(struct toml_parser *p, struct toml_value *value)
{
	char open = *p->at++;
	int r;

	if (p->depth >= TOML_DEPTH_MAX) {
		(void)toml_fail(p, "nested too deeply");
		return -E2BIG;
	}
	p->depth++;
	r = open == '[' ? parse_array(p, value) : parse_inline_table(p, value);
	p->depth--;
	return r;
}

static int parse_value(struct toml_parser *p, struct toml_value *value)
{
	value->line = p->line;
	if (toml_sees(p, "[") || toml_sees(p, "{"))
		return parse_nested(p, value);
	if (toml_sees(p, "\"") || toml_sees(p, "'"))
		return toml_scan_string(p, true, &value->string);
	return toml_scan_bare(p, value);
}

static int parse_document(struct toml_parser *p)
{
	struct toml_value *table = &p->toml->document;
	int r;

	if (toml_sees(p, "\xef\xbb\xbf"))
		p->at += 3;
	for (;;) {
		skip_lines(p);
		if (p->at == p->end)
			return 0;
		if (toml_sees(p, "["))
			r = parse_header(p, &table);
		else
			r = parse_pair(p, table);
		if (r < 0)
			return r;
		skip_blanks(p);
		skip_comment(p);
		if (p->at < p->end && !skip_newline(p))
			return toml_fail(p, "the line goes on behind its end");
	}
}

int toml_parse(const char *text, size_t size, struct toml **ret, struct toml_error *error)
{
	struct toml *toml = calloc(1, sizeof(*toml));
	struct toml_parser parser = {
		.at = text,
		.end = text + size,
		.line = 1,
		.toml = toml,
		.error = error,
	};
	int r;

	if (!toml)
		return -ENOMEM;
	toml->document = (struct toml_value){ .type = TOML_TABLE, .origin = BY_HEADER };
	r = parse_document(&parser);
	if (r < 0) {
		toml_free(toml);
		return r;
	}
	*ret = toml;
	return 0;
}

void toml_free(struct toml *toml)
{
	if (!toml)
		return;
	while (toml->chunks) {
		struct chunk *chunk = toml->chunks;

		toml->chunks = chunk->next;
		free(chunk);
	}
	free(toml);
}

const struct toml_value *toml_document(const struct toml *toml)
{
	return &toml->document;
}

const struct toml_value *toml_get(const struct toml_value *table, const char *key)
{
	return table && table->type == TOML_TABLE ? find(table, key) : NULL;
}

const char *toml_type_name(enum toml_type type)
{
	static const char *const names[] = {
		[TOML_TABLE] = "table",	    [TOML_ARRAY] = "array",	[TOML_STRING] = "string",
		[TOML_INTEGER] = "integer", [TOML_BOOLEAN] = "boolean", [TOML_FLOAT] = "float",
		[TOML_DATETIME] = "date-time",
	};

	return names[type];
}
