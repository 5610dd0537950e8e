#include "recover/purge/window.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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

static ssize_t read_records(struct window *window, int fd)
{
	ssize_t used = getdents64(fd, window->buffer, window->size);

	if (used < 0 && errno == ENOENT)
		used = 0; /* somebody else removed the directory */
	return used < 0 ? -errno : used;
}

int window_read(struct window *window, int fd)
{
	ssize_t used = read_records(window, fd);

	if (used < 0)
		return (int)used;
	window->full = (size_t)used + RECORD_MAX > window->size;
	window->lowest = false;
	window->failed = false;
	sort_out(window, (size_t)used);
	window->taken = 0;
	return used > 0;
}

/* A window that is being filled with the lowest. */
struct lowest {
	struct window *window;
	size_t used;
	uint64_t below;	/* nothing else is taken any more */
	bool passed_by;	/* not all was taken */
};

static int by_place(const void *a, const void *b)
{
	const window_entry *x = a, *y = b;
	uint64_t at = *x & PLACE_MASK, other = *y & PLACE_MASK;

	return (at > other) - (at < other);
}

/* The lower half stays, moved to the front. */
static void drop_higher(struct lowest *lowest)
{
	struct window *window = lowest->window;
	size_t kept = window->files / 2;

	qsort(window->entries, window->files, sizeof(*window->entries), by_inode);
	lowest->below = window_inode(window, kept);
	lowest->passed_by = true;
	qsort(window->entries, kept, sizeof(*window->entries), by_place);
	lowest->used = 0;
	for (size_t i = 0; i < kept; i++) {
		const struct dirent64 *record = record_of(window, i);
		size_t length = record->d_reclen;

		window->entries[i] &= ~PLACE_MASK;
		window->entries[i] |= lowest->used / RECORD_ALIGN;
		memmove(window->buffer + lowest->used, record, length);
		lowest->used += length;
	}
	window->files = kept;
}

static void take_lowest(struct lowest *lowest, const struct dirent64 *record)
{
	struct window *window = lowest->window;

	if (record->d_type == DT_DIR || record->d_type == DT_UNKNOWN ||
	    record->d_ino >= lowest->below) {
		lowest->passed_by = lowest->passed_by || !is_dot(record->d_name);
		return;
	}
	if (lowest->used + record->d_reclen > window->size)
		drop_higher(lowest);
	if (record->d_ino >= lowest->below)
		return;
	memcpy(window->buffer + lowest->used, record, record->d_reclen);
	window->entries[window->files++] =
		record->d_ino << PLACE_BITS | lowest->used / RECORD_ALIGN;
	lowest->used += record->d_reclen;
}

int window_read_lowest(struct window *window, struct window *staging, int fd)
{
	struct lowest lowest = { .window = window, .below = UINT64_MAX };
	off_t start = lseek(fd, 0, SEEK_CUR);
	size_t looked_at = 0;
	ssize_t used = 1;

	window->files = 0;
	while (start >= 0 && looked_at < WINDOW_LOOK && (used = read_records(staging, fd)) > 0) {
		for (size_t at = 0; at < (size_t)used; looked_at++) {
			const struct dirent64 *record = (const void *)(staging->buffer + at);

			at += record->d_reclen;
			take_lowest(&lowest, record);
		}
	}
	window->full = lowest.passed_by || used != 0;
	if (start < 0 || (window->full && lseek(fd, start, SEEK_SET) < 0))
		return -errno;
	if (used < 0)
		return (int)used;
	qsort(window->entries, window->files, sizeof(*window->entries), by_inode);
	window->count = window->files;
	window->taken = 0;
	window->lowest = window->full;
	window->failed = false;
	return window->files > 0;
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
