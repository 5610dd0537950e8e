#include "recover/orphan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "recover/log.h"
#include "recover/purge/purge.h"
#include "recover/unmount.h"
#include "scanners/bundle.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/metadata.h"
#include "scanners/mounts.h"
#include "scanners/text.h"

#define CRI_NAMESPACE "k8s.io"
#define SNAPSHOTTER "overlayfs"
#define SNAPSHOTS METADATA_SNAPSHOTTER_DIR SNAPSHOTTER "/snapshots"
#define DATABASE METADATA_SNAPSHOTTER_DIR SNAPSHOTTER "/" METADATA_SNAPSHOTTER_FILE
#define ASIDE ".containerd-recover-orphans"
enum { ASIDE_MODE = 0700 };

struct search {
	const struct config *config;
	const struct known *known;
	struct mounts mounts;
	int64_t min_age_sec;
	bool dry;
	struct orphans_result *ret;
};

static int empty_and_remove(int parent, const char *name)
{
	struct purge_options options = PURGE_OPTIONS_DEFAULT;
	cleanup_fd int fd = dir_open_beneath(parent, name);
	struct purge_progress progress;
	int r;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = purge_tree(fd, &options, &progress);
	if (r < 0)
		return r;
	return unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

static int remove_bundle(struct search *search, int ns_fd, const char *dir, const char *name)
{
	cleanup_free char *path = text_print("%s/%s", dir, name);
	int r;

	if (!path)
		return -ENOMEM;
	r = unmount_below(&search->mounts, path);
	return r < 0 ? r : empty_and_remove(ns_fd, name);
}

/* containerd renames a bundle to .<id>, removes it, and never looks at that name again. */
static bool is_half_deleted(const struct search *search, int ns_fd, const char *name)
{
	int64_t changed;

	if (*name != '.' || !process_is_cri_id(name + 1) ||
	    json_object_get(search->known->ids, name + 1))
		return false;
	if (search->known->source != KNOWN_CRI)
		return true;
	return dir_changed(ns_fd, name, &changed) == 0 &&
	       time(NULL) - changed >= search->min_age_sec;
}

static int sweep_bundles(struct search *search)
{
	cleanup_free char *dir =
		text_print("%s/" BUNDLE_TASKS "/" CRI_NAMESPACE, search->config->state);
	cleanup_fd int fd = dir ? dir_open_path(dir) : -ENOMEM;
	cleanup_dir DIR *stream = NULL;
	const char *name;
	int first = 0, r;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = dir_stream(fd, &stream);
	while (r >= 0 && (r = dir_next(stream, &name, NULL)) > 0) {
		int removed;

		if (!is_half_deleted(search, fd, name))
			continue;
		search->ret->bundles++;
		removed = search->dry ? 0 : remove_bundle(search, fd, dir, name);
		if (removed < 0) {
			log_error("cannot remove the half-deleted bundle %s: %s", log_name(name),
				  strerror(-removed));
			search->ret->failed++;
			first = first < 0 ? first : removed;
		}
	}
	return first < 0 ? first : r;
}

/* Is @name a whole component of a path in @text? Where there are many layers,
 * containerd names them from the directory of all of them. */
static bool names_layer(const char *text, const char *name)
{
	for (const char *at = text; (at = strstr(at, name)); at++)
		if (at > text && strchr("/=:", at[-1]) && strchr("/", at[strlen(name)])) /* or the end */
			return true;
	return false;
}

/* Made of it, or in it: an overlay says its directories in its options. Another
 * path with such a component only keeps what might have gone. */
static bool is_mounted(const struct search *search, const char *name)
{
	for (size_t i = 0; i < search->mounts.count; i++)
		if (names_layer(search->mounts.items[i].options, name) ||
		    names_layer(search->mounts.items[i].path, name))
			return true;
	return false;
}

static bool is_unknown(const struct search *search, const struct metadata_directories *known,
		       const char *name)
{
	char *end;
	unsigned long long id = strtoull(name, &end, 10);

	/* new-… are containerd's own to clean up; anything else is nobody's to judge. */
	if (end == name || *end || strspn(name, "0123456789") != strlen(name))
		return false;
	return !metadata_find_directory(known, id) && !is_mounted(search, name);
}

static int open_aside(int root, bool make)
{
	if (make && mkdirat(root, ASIDE, ASIDE_MODE) < 0 && errno != EEXIST)
		return -errno;
	return dir_open_beneath(root, ASIDE);
}

static int move_unknown(struct search *search, int root, int snapshots,
			const struct metadata_directories *known)
{
	cleanup_dir DIR *stream = NULL;
	const char *name;
	int first = 0, r = dir_stream(snapshots, &stream);

	while (r >= 0 && (r = dir_next(stream, &name, NULL)) > 0) {
		cleanup_fd int aside = -EBADF;

		if (!is_unknown(search, known, name))
			continue;
		search->ret->snapshots++;
		if (search->dry)
			continue;
		aside = open_aside(root, true);
		if (aside >= 0 &&
		    renameat2(snapshots, name, aside, name, RENAME_NOREPLACE) == 0)
			continue;
		first = first < 0 ? first : aside < 0 ? aside : -errno;
		search->ret->failed++;
	}
	return first < 0 ? first : r;
}

/* Under the database's own lock: a containerd that starts waits for us, not we for it. */
static int sweep_snapshots(struct search *search)
{
	cleanup_metadata_directories struct metadata_directories known = { 0 };
	cleanup_fd int root = dir_open_path(search->config->root), lock = -EBADF, snapshots = -EBADF;
	int r;

	if (root < 0)
		return root == -ENOENT ? 0 : root;
	lock = openat(root, DATABASE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (lock < 0)
		return errno == ENOENT ? 0 : -errno;
	if (flock(lock, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? 0 : -errno;
	r = metadata_read_snapshotter(root, SNAPSHOTTER, &known);
	if (r < 0 || known.finding.state != BOLT_SOUND)
		return r;
	snapshots = openat(root, SNAPSHOTS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (snapshots < 0)
		return errno == ENOENT ? 0 : -errno;
	return move_unknown(search, root, snapshots, &known);
}

static size_t count_waiting(const struct config *config)
{
	cleanup_fd int root = dir_open_path(config->root);
	cleanup_fd int aside = root < 0 ? root : open_aside(root, false);
	cleanup_dir DIR *stream = NULL;
	size_t count = 0;

	if (aside < 0 || dir_stream(aside, &stream) < 0)
		return 0;
	while (dir_next(stream, NULL, NULL) > 0)
		count++;
	return count;
}

int orphans_sweep(const struct config *config, const struct known *known, int64_t min_age_sec,
		  bool dry, struct orphans_result *ret)
{
	struct orphans_result result = { 0 };
	struct search search = { config, known, { 0 }, min_age_sec, dry, &result };
	int first = 0, r;

	*ret = result;
	if (known->source == KNOWN_NOTHING)
		return 0;
	r = mounts_scan(&search.mounts);
	if (r < 0)
		return r;
	first = sweep_bundles(&search);
	if (known->source == KNOWN_METADATA && config->snapshotter &&
	    strcmp(config->snapshotter, SNAPSHOTTER) == 0) {
		r = sweep_snapshots(&search);
		first = first < 0 ? first : r;
	}
	mounts_done(&search.mounts);
	result.waiting = count_waiting(config);
	*ret = result;
	return first;
}

int orphans_purge(const struct config *config)
{
	cleanup_fd int root = dir_open_path(config->root);

	if (root < 0)
		return root == -ENOENT ? 0 : root;
	return empty_and_remove(root, ASIDE);
}
