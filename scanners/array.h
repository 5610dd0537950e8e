/*
 * Growing arrays: a pointer and a count, doubled when full. The caller frees.
 */
#ifndef SCANNERS_ARRAY_H
#define SCANNERS_ARRAY_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static inline void *array_add(void **items, size_t *count, size_t size)
{
	size_t n = *count;
	char *grown;

	/* Full exactly when the count is a power of two (or nothing is there). */
	if ((n & (n - 1)) == 0) {
		grown = reallocarray(*items, n ? n * 2 : 1, size);
		if (!grown)
			return NULL;
		*items = grown;
	}
	grown = (char *)*items + n * size;
	memset(grown, 0, size);
	(*count)++;
	return grown;
}

/* A new zeroed element at the end of @items, or NULL with the array as it was. */
#define ARRAY_ADD(items, count) \
	((__typeof__(items))array_add((void **)&(items), &(count), sizeof(*(items))))

#endif
