#include "recover/in_use.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "recover/log.h"
#include "recover/meta_lock.h"
#include "scanners/array.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/mounts.h"
#include "scanners/text.h"

/* Plugins' directories, and what they call their databases. */
static const char prefix[] = "io.containerd.";
static const char *const databases[] = { "meta.db", "metadata.db", "mounts.db" };

void tree_user_done(struct tree_user *user)
{
	free(user->what);
	*user = (struct tree_user){ 0 };
}

void tree_locks_done(struct tree_locks *locks)
{
	for (size_t i = 0; i < locks->count; i++)
		(void)close(locks->fds[i]);
	free(locks->fds);
	*locks = (struct tree_locks){ 0 };
}

char *tree_user_print(const struct tree_user *user)
{
	if (user->mounted)
		return text_print("layers of it are mounted at %s", log_name(user->what));
	if (!user->pid)
		return text_print("somebody has its %s open", log_name(user->what));
	return text_print("process %d (%s) has its %s open", user->pid, log_name(user->name),
			  log_name(user->what));
}

/* Who holds the database @name, without trying for it. */
static int look_at(int dirfd, const char *name, pid_t *ret_pid)
{
	cleanup_fd int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	return lock_holder(fd, ret_pid) > 0 && !meta_lock_is_ours(*ret_pid) ? -EBUSY : 0;
}

/* What cannot be tried may be in use: -EBUSY too. */
static int try_for(int dirfd, const char *name, struct tree_locks *locks, pid_t *ret_pid)
{
	struct meta_lock lock;
	int *slot;

	meta_lock_take(dirfd, name, NULL, &lock);
	*ret_pid = lock.pid;
	if (lock.state != LOCK_FREE)
		return lock.state == LOCK_NO_FILE ? 0 : -EBUSY;
	slot = ARRAY_ADD(locks->fds, locks->count);
	if (!slot) {
		(void)close(lock.fd);
		return -ENOMEM;
	}
	*slot = lock.fd;
	return 0;
}

/* With @locks NULL only a look. */
static int one_database(int dirfd, const char *plugin, const char *name, struct tree_locks *locks,
			struct tree_user *user)
{
	struct stat st;
	int r;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISREG(st.st_mode))
		return 0; /* opening it could have effects of its own */
	r = locks ? try_for(dirfd, name, locks, &user->pid) : look_at(dirfd, name, &user->pid);
	if (r == -EBUSY && user->pid)
		lock_holder_name(user->pid, user->name);
	if (r == -EBUSY)
		user->what = text_print("%s/%s", plugin, name);
	return r == -EBUSY && !user->what ? -ENOMEM : r;
}

static int one_plugin(int tree_fd, const char *plugin, struct tree_locks *locks,
		      struct tree_user *user)
{
	cleanup_fd int fd = dir_open_beneath(tree_fd, plugin);
	int r = fd;

	/* Nothing of containerd's, gone, or a mount, which is never entered. */
	if (r == -ENOTDIR || r == -ELOOP || r == -ENOENT || r == -EXDEV)
		return 0;
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(databases); i++)
		r = one_database(fd, plugin, databases[i], locks, user);
	return r;
}

static int all_databases(int tree_fd, struct tree_locks *locks, struct tree_user *user)
{
	cleanup_dir DIR *stream = NULL;
	const char *name;
	int r = dir_stream(tree_fd, &stream);

	while (r == 0 && (r = dir_next(stream, &name, NULL)) > 0)
		r = strncmp(name, prefix, sizeof(prefix) - 1) == 0 ?
			    one_plugin(tree_fd, name, locks, user) : 0;
	return r;
}

/* Is one of the directories that an overlay is made of in the tree? */
static bool is_made_of(char *options, const char *path)
{
	char *save = NULL;

	for (char *dir = strtok_r(options, ",:=", &save); dir; dir = strtok_r(NULL, ",:=", &save))
		if (mounts_is_below(dir, path))
			return true;
	return false;
}

/*
 * The pods of the quarantine itself were mounted under the root's old path, and
 * say so for ever: what names this path was mounted since.
 */
static int find_overlay(const char *path, struct tree_user *user)
{
	cleanup_mounts struct mounts mounts = { 0 };
	int r = mounts_scan(&mounts);

	if (r < 0)
		return r == -ELIBACC ? 0 : r;
	for (size_t i = 0; i < mounts.count; i++) {
		const struct mount_entry *mount = &mounts.items[i];

		if (strcmp(mount->type, "overlay") != 0 || !is_made_of(mount->options, path))
			continue;
		user->mounted = true;
		user->what = strdup(mount->path);
		return user->what ? -EBUSY : -ENOMEM;
	}
	return 0;
}

static int find_user(int fd, const char *path, struct tree_locks *locks, struct tree_user *ret_user)
{
	struct tree_user user = { 0 };
	int r = all_databases(fd, locks, &user);

	if (r == 0)
		r = find_overlay(path, &user);
	if (r == -EBUSY)
		*ret_user = user;
	else
		tree_user_done(&user);
	return r;
}

int in_use(const struct data_root *place, const struct ticket *ticket, struct tree_locks *locks,
	   struct tree_user *ret_user)
{
	static const char *const trees[] = { "root", "interim" };
	cleanup_free char *jail = data_root_jail_path(place, ticket->inside);
	int r = jail ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(trees); i++) {
		cleanup_free char *path = text_print("%s/%s/%s", jail, ticket->id, trees[i]);
		cleanup_fd int fd = dir_open_beneath(ticket->fd, trees[i]);

		if (!path)
			r = -ENOMEM;
		else if (fd >= 0)
			r = find_user(fd, path, locks, ret_user);
		else if (fd != -ENOENT)
			r = fd;
	}
	return r;
}
