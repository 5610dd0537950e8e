#include "scanners/dirahead.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <string.h>
#include <sys/param.h>

#include "scanners/blockdev.h"
#include "scanners/cleanup.h"
#include "scanners/sys.h"

enum {
	EXTENTS = 8,		/* of a directory that are asked for, … */
	WINDOWS_PER_EXTENT = 16, /* … and how much of each */
	TRIAL = 256,		/* windows, after which … */
	WORTH = 4,		/* … each must have served so many directories, … */
	PAUSE = 4096,		/* … or so many are left alone */
};

int dirahead_open(int dirfd, struct dirahead *ret)
{
	int fd = blockdev_open_ext4(dirfd);

	if (fd < 0)
		return fd;
	ret->device = fd;
	return 0;
}

/* Was it asked for just now? If not, it is from now on. */
static bool was_asked(struct dirahead *ahead, uint64_t window)
{
	atomic_uint_fast64_t *slot = &ahead->recent[window % DIRAHEAD_RECENT];

	return atomic_exchange_explicit(slot, window + 1, memory_order_relaxed) == window + 1;
}

static void ask(struct dirahead *ahead, uint64_t from, uint64_t length)
{
	uint64_t first = from / DIRAHEAD_WINDOW;
	uint64_t end = howmany(from + length, DIRAHEAD_WINDOW);

	for (uint64_t w = first; w < MIN(end, first + WINDOWS_PER_EXTENT); w++) {
		if (was_asked(ahead, w))
			continue;
		atomic_fetch_add_explicit(&ahead->windows, 1, memory_order_relaxed);
		if (posix_fadvise(ahead->device, (off_t)(w * DIRAHEAD_WINDOW), DIRAHEAD_WINDOW,
				  POSIX_FADV_WILLNEED) != 0)
			atomic_store(&ahead->useless, true);
	}
}

static void judge(struct dirahead *ahead, unsigned long directories)
{
	unsigned long windows = atomic_load(&ahead->windows);
	unsigned long since = atomic_load(&ahead->judged_windows);
	unsigned long served;

	if (windows - since < TRIAL || !atomic_compare_exchange_strong(&ahead->judged_windows, &since, windows))
		return;
	served = directories - atomic_exchange(&ahead->judged_directories, directories);
	/* Far apart, as the tops of trees are, or on a disk that was nearly full: single blocks are cheaper. */
	if (served >= (windows - since) * WORTH)
		return;
	atomic_store(&ahead->judged_directories, directories + PAUSE);
	atomic_store(&ahead->resume, directories + PAUSE);
}

/* One directory more; 0: it is left alone. Else which one it is. */
static unsigned long next_directory(struct dirahead *ahead)
{
	unsigned long directories;

	if (ahead->device < 0 || atomic_load_explicit(&ahead->useless, memory_order_relaxed))
		return 0;
	directories = atomic_fetch_add_explicit(&ahead->directories, 1, memory_order_relaxed) + 1;
	return directories < atomic_load_explicit(&ahead->resume, memory_order_relaxed) ? 0 : directories;
}

void dirahead_hint_at(struct dirahead *ahead, uint64_t offset, uint64_t length)
{
	unsigned long directories = next_directory(ahead);

	if (directories == 0)
		return;
	ask(ahead, offset, length);
	judge(ahead, directories);
}

void dirahead_hint(struct dirahead *ahead, int fd)
{
	_Alignas(struct fiemap) char room[sizeof(struct fiemap) + EXTENTS * sizeof(struct fiemap_extent)];
	struct fiemap *map = (void *)room;
	unsigned long directories = next_directory(ahead);

	if (directories == 0)
		return;
	memset(room, 0, sizeof(room));
	map->fm_length = FIEMAP_MAX_OFFSET;
	map->fm_extent_count = EXTENTS;
	if (sys_fiemap(fd, map) < 0) {
		atomic_store(&ahead->useless, true);
		return;
	}
	for (unsigned i = 0; i < MIN(map->fm_mapped_extents, (unsigned)EXTENTS); i++)
		ask(ahead, map->fm_extents[i].fe_physical, map->fm_extents[i].fe_length);
	judge(ahead, directories);
}

void dirahead_close(struct dirahead *ahead)
{
	cleanup_close(&ahead->device);
	ahead->device = -EBADF;
}
