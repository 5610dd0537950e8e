#include "recover/purge/window.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Directories hold no shorter records than this: 8-byte aligned, a one-byte name. */
#define RECORD_MIN 24
#define RECORD_MAX (sizeof(struct dirent64) + sizeof(uint64_t))
#define RECORD_ALIGN 8

/* The low bits of an entry; the inode's lowest 45 above them are enough for an order. */
#define PLACE_BITS 19
#define PLACE_MASK ((UINT64_C(1) << PLACE_BITS) - 1)

_Static_assert(WINDOW_MAX / RECORD_ALIGN <= PLACE_MASK + 1, "a record's place has to fit");

static size_t mapped_size(const struct window *window)
{
	return window->size + window->room * sizeof(*window->entries);
}

/* Not by malloc(): what is large is to be given back at once, whoever took it. */
int window_init(struct window *window, size_t size)
{
	void *mapped;

	*window = (struct window){ .size = size, .room = size / RECORD_MIN };
	mapped = mmap(NULL, mapped_size(window), PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mapped == MAP_FAILED)
		return -errno;
	window->buffer = mapped;
	window->entries = (void *)(window->buffer + size);
	return 0;
}

void window_done(struct window *window)
{
	(void)munmap(window->buffer, mapped_size(window)); /* it is ours, and whole */
	window->buffer = NULL;
	window->entries = NULL;
}

static bool is_dot(const char *name)
{
	return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

static int by_inode(const void *a, const void *b)
{
	const window_entry *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static const struct dirent64 *record_of(const struct window *window, size_t i)
{
	return (const void *)(window->buffer + (window->entries[i] & PLACE_MASK) * RECORD_ALIGN);
}

/* Turned round in place, then moved to where the files end. */
static void append_dirs(struct window *window, size_t first)
{
	window_entry *low = window->entries + first;
	window_entry *high = window->entries + window->room;
	size_t count = window->room - first;

	while (low < --high) {
		window_entry swapped = *low;

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
		window_entry entry = record->d_ino << PLACE_BITS | at / RECORD_ALIGN;

		at += record->d_reclen;
		if (is_dot(record->d_name))
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

const char *window_name(const struct window *window, size_t i)
{
	return record_of(window, i)->d_name;
}

uint64_t window_inode(const struct window *window, size_t i)
{
	return record_of(window, i)->d_ino;
}

int64_t window_next(const struct window *window, size_t i)
{
	return record_of(window, i)->d_off;
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
