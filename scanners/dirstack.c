#include "scanners/dirstack.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "scanners/cleanup.h"

struct open_dir *open_dir_new(int fd)
{
	struct open_dir *dir = malloc(sizeof(*dir));

	if (!dir) {
		(void)close(fd);
		return NULL;
	}
	*dir = (struct open_dir){ .refs = 1, .fd = fd };
	return dir;
}

void open_dir_unref(struct open_dir *dir)
{
	if (!dir || atomic_fetch_sub(&dir->refs, 1) != 1)
		return;
	(void)close(dir->fd);
	free(dir);
}

struct dirstack *dirstack_new(void)
{
	struct dirstack *stack = malloc(sizeof(*stack)); /* not cleared: see the header */

	if (stack) {
		stack->levels = NULL;
		stack->count = stack->room = 0;
	}
	return stack;
}

void dirstack_clear(struct dirstack *stack)
{
	while (stack->count > 0)
		open_dir_unref(stack->levels[--stack->count].dir);
}

void dirstack_free(struct dirstack *stack)
{
	if (!stack)
		return;
	dirstack_clear(stack);
	free(stack->levels);
	free(stack);
}

static int grow(struct dirstack *stack)
{
	size_t room = stack->room ? stack->room * 2 : DIRSTACK_CACHED * 4;
	struct dirstack_level *levels = realloc(stack->levels, room * sizeof(*levels));

	if (!levels)
		return -ENOMEM;
	stack->levels = levels;
	stack->room = room;
	return 0;
}

static void forget_block(struct dirstack *stack, size_t level)
{
	stack->blocks[level % DIRSTACK_CACHED].used = 0;
	stack->blocks[level % DIRSTACK_CACHED].at = 0;
}

static int close_level(struct dirstack_level *level)
{
	struct stat st;

	if (!level->dir)
		return 0;
	if (fstat(level->dir->fd, &st) < 0)
		return -errno;
	level->dev = st.st_dev;
	level->ino = st.st_ino;
	open_dir_unref(level->dir);
	level->dir = NULL;
	return 0;
}

static int reopen_level(struct dirstack_level *level, int child_fd)
{
	/* Who opened the child without leaving a trace wants none here. */
	const int no_trace = fcntl(child_fd, F_GETFL) & O_NOATIME;
	cleanup_fd int fd = -EBADF;
	struct stat st;

	fd = openat(child_fd, "..", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | no_trace);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	/* The child was moved meanwhile: ".." leads elsewhere. */
	if (st.st_dev != level->dev || st.st_ino != level->ino)
		return -ESTALE;
	if (lseek(fd, level->resume, SEEK_SET) < 0)
		return -errno;
	level->dir = open_dir_new(take_fd(&fd));
	return level->dir ? 0 : -ENOMEM;
}

int dirstack_push(struct dirstack *stack, struct open_dir *dir, uint64_t tag)
{
	int r = 0;

	if (stack->count == stack->room)
		r = grow(stack);
	if (r == 0 && stack->count >= DIRSTACK_CACHED)
		r = close_level(&stack->levels[stack->count - DIRSTACK_CACHED]);
	if (r < 0) {
		open_dir_unref(dir);
		return r;
	}
	forget_block(stack, stack->count);
	stack->levels[stack->count++] = (struct dirstack_level){ .dir = dir, .tag = tag };
	return 0;
}

int dirstack_pop(struct dirstack *stack)
{
	struct open_dir *dir = dirstack_top(stack)->dir;
	int r = 0;

	stack->count--;
	if (stack->count > 0 && !dirstack_top(stack)->dir) {
		r = dir ? reopen_level(dirstack_top(stack), dir->fd) : -ESTALE;
		forget_block(stack, stack->count - 1);
	}
	open_dir_unref(dir);
	return r;
}

static bool is_dot(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

int dirstack_next(struct dirstack *stack, const struct dirent64 **ret)
{
	size_t slot = (stack->count - 1) % DIRSTACK_CACHED;
	struct dirstack_level *level = dirstack_top(stack);
	const struct dirent64 *entry;

	do {
		if (stack->blocks[slot].at == stack->blocks[slot].used) {
			ssize_t n = getdents64(level->dir->fd, stack->blocks[slot].data,
					       DIRSTACK_BLOCK);

			if (n <= 0)
				return n < 0 ? -errno : 0;
			stack->blocks[slot].used = (size_t)n;
			stack->blocks[slot].at = 0;
		}
		entry = (const void *)(stack->blocks[slot].data + stack->blocks[slot].at);
		stack->blocks[slot].at += entry->d_reclen;
		level->resume = entry->d_off;
	} while (is_dot(entry->d_name));
	*ret = entry;
	return 1;
}
