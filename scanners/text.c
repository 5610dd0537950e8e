#include "scanners/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int text_add(struct text *text, const char *bytes, size_t size)
{
	if (size >= text->room - text->length) {
		size_t room = text->room ? text->room * 2 : 64;
		char *bigger;

		while (room - text->length <= size)
			room *= 2;
		bigger = realloc(text->string, room);
		if (!bigger)
			return -ENOMEM;
		text->string = bigger;
		text->room = room;
	}
	memcpy(text->string + text->length, bytes, size);
	text->length += size;
	text->string[text->length] = '\0';
	return 0;
}

int text_add_string(struct text *text, const char *string)
{
	return text_add(text, string, strlen(string));
}

bool text_has_any(const char *text, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strstr(text, words[i]))
			return true;
	return false;
}

bool text_is_single_name(const char *name)
{
	return name && *name && !strchr(name, '/') && strcmp(name, ".") != 0 &&
	       strcmp(name, "..") != 0;
}

char *text_take(struct text *text)
{
	char *string = text->string ? text->string : strdup("");

	*text = (struct text){ 0 };
	return string;
}

void text_done(struct text *text)
{
	free(text->string);
	*text = (struct text){ 0 };
}

int text_list_take(struct text_list *list, char *string)
{
	if (!string)
		return -ENOMEM;
	if (list->count == list->room) {
		size_t room = list->room ? list->room * 2 : 8;
		char **bigger = realloc(list->items, room * sizeof(*bigger));

		if (!bigger) {
			free(string);
			return -ENOMEM;
		}
		list->items = bigger;
		list->room = room;
	}
	list->items[list->count++] = string;
	return 0;
}

int text_list_add(struct text_list *list, const char *string)
{
	return text_list_take(list, strdup(string));
}

void text_list_clear(struct text_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	list->count = 0;
}

void text_list_done(struct text_list *list)
{
	text_list_clear(list);
	free(list->items);
	*list = (struct text_list){ 0 };
}

char *text_print(const char *format, ...)
{
	va_list args;
	char *string;
	int n;

	va_start(args, format);
	n = vasprintf(&string, format, args);
	va_end(args);
	return n < 0 ? NULL : string;
}
