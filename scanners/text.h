/*
 * Strings that grow: one being built, and a list of them. Zero-initialised is
 * empty. Everything returns 0 or -ENOMEM.
 */
#ifndef SCANNERS_TEXT_H
#define SCANNERS_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct text {
	char *string; /* NUL-terminated; NULL as long as nothing was added */
	size_t length, room;
};

int text_add(struct text *text, const char *bytes, size_t size);
int text_add_string(struct text *text, const char *string);

/* Is any of @words in @text? */
bool text_has_any(const char *text, const char *const *words, size_t count);

/* Is @name, which may be NULL, a single name: one that stays in the directory it is looked for in? */
bool text_is_single_name(const char *name);

/* Hand the string over ("" if nothing was added), NULL for want of memory. */
char *text_take(struct text *text);

void text_done(struct text *text);
#define cleanup_text __attribute__((cleanup(text_done)))

struct text_list {
	char **items; /* not NULL-terminated */
	size_t count, room;
};

/* Add @string, which becomes the list's, also on failure. NULL is -ENOMEM. */
int text_list_take(struct text_list *list, char *string);
int text_list_add(struct text_list *list, const char *string);

void text_list_clear(struct text_list *list);
void text_list_done(struct text_list *list);
#define cleanup_text_list __attribute__((cleanup(text_list_done)))

/* A string printed into memory; NULL for want of it. */
char *text_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
