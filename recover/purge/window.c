#include "recover/purge/window.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Directories hold no shorter records than this: 8-byte aligned, a one-byte name. */
#define RECORD_MIN 24
#define RECORD_MAX (sizeof(struct dirent64) + sizeof(uint64_t))

int window_init(struct window *window, size_t size)
{
	*window = (struct window){ .size = size, .room = size / RECORD_MIN };
	window->buffer = malloc(size);
	window->entries = calloc(window->room, sizeof(*window->entries));
	if (window->buffer && window->entries)
		return 0;
	window_done(window);
	return -ENOMEM;
}

void window_done(struct window *window)
{
	free(window->buffer);
	free(window->entries);
	window->buffer = NULL;
	window->entries = NULL;
}

static bool is_dot(const char *name)
{
	return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

static int by_inode(const void *a, const void *b)
{
	const struct window_entry *x = a, *y = b;

	return (x->inode > y->inode) - (x->inode < y->inode);
}

/* Turned round in place, then moved to where the files end. */
static void append_dirs(struct window *window, size_t first)
{
	struct window_entry *low = window->entries + first;
	struct window_entry *high = window->entries + window->room;
	size_t count = window->room - first;

	while (low < --high) {
		struct window_entry swapped = *low;

		*low++ = *high;
		*high = swapped;
	}
	memmove(window->entries + window->files, window->entries + first,
		count * sizeof(*window->entries));
	window->count = window->files + count;
}

/* Files are put in from the front, directories from the back. */
static void sort_out(struct window *window, size_t used)
{
	size_t dirs = window->room;

	window->files = 0;
	for (size_t at = 0; at < used;) {
		const struct dirent64 *record = (const void *)(window->buffer + at);
		struct window_entry entry = {
			.inode = record->d_ino,
			.name = record->d_name,
			.next = record->d_off,
		};

		at += record->d_reclen;
		if (is_dot(entry.name))
			continue;
		if (record->d_type == DT_DIR)
			window->entries[--dirs] = entry;
		else
			window->entries[window->files++] = entry;
	}
	append_dirs(window, dirs);
	qsort(window->entries, window->files, sizeof(*window->entries), by_inode);
}

int window_read(struct window *window, int fd)
{
	ssize_t used = getdents64(fd, window->buffer, window->size);

	if (used < 0 && errno == ENOENT)
		used = 0; /* somebody else removed the directory */
	if (used < 0)
		return -errno;
	window->full = (size_t)used + RECORD_MAX > window->size;
	sort_out(window, (size_t)used);
	window->taken = 0;
	return used > 0;
}

bool window_has_more(const struct window *window)
{
	return window->taken < window->files;
}

size_t window_take(struct window *window, size_t max, size_t *ret_first)
{
	size_t first;

	if (!window_has_more(window))
		return 0;
	first = atomic_fetch_add(&window->taken, max);
	if (first >= window->files)
		return 0;
	*ret_first = first;
	return window->files - first < max ? window->files - first : max;
}
