#include "recover/clear.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "recover/kill.h"
#include "recover/links.h"
#include "recover/log.h"
#include "recover/reservation.h"
#include "scanners/bundle.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"

enum {
	ASIDE_MODE = 0700,
	NAMESPACE_MODE = 0711, /* as containerd makes it */
	LOCK_MSEC = 500, /* for host-local's lock: containerd's start waits meanwhile */
};

int clear_kill(const struct inventory *lost, unsigned grace_msec, struct clear_result *result)
{
	struct kill_result killed = { 0 };
	int r = kill_sandboxes(lost, grace_msec, &killed);

	result->shims_killed += killed.shims;
	result->containers_killed += killed.containers;
	result->failed += killed.failed;
	return r;
}

int clear_aside_name(const char *ticket, char **ret)
{
	char *name;

	if (!*ticket || strchr(ticket, '/'))
		return -EINVAL;
	if (asprintf(&name, ".containerd-recover-%s", ticket) < 0)
		return -ENOMEM;
	*ret = name;
	return 0;
}

/* The directory @name below @dirfd, made if it is not there. */
static int make_dir(int dirfd, const char *name, mode_t mode)
{
	if (mkdirat(dirfd, name, mode) < 0 && errno != EEXIST)
		return -errno;
	return dir_open_beneath(dirfd, name);
}

static int move(int from_fd, const char *name, int to_fd)
{
	if (renameat2(from_fd, name, to_fd, name, RENAME_NOREPLACE) == 0)
		return 1;
	return errno == ENOENT ? 0 : -errno;
}

/* Returns 1 if moved, 0 if there was no such bundle, or a negative errno. */
static int move_bundle(int tasks_fd, int aside_fd, const struct container *container)
{
	cleanup_fd int from = dir_open_beneath(tasks_fd, container->ns), to = -EBADF;

	if (from < 0)
		return from == -ENOENT ? 0 : from;
	to = make_dir(aside_fd, container->ns, ASIDE_MODE);
	if (to < 0)
		return to;
	return move(from, container->id, to);
}

static int open_aside(int state_fd, const char *ticket, bool make)
{
	cleanup_free char *name = NULL;
	int r = clear_aside_name(ticket, &name);

	if (r < 0)
		return r;
	return make ? make_dir(state_fd, name, ASIDE_MODE) : dir_open_beneath(state_fd, name);
}

int clear_bundles(const struct config *config, const struct inventory *lost, const char *ticket,
		  struct clear_result *result)
{
	cleanup_fd int state = dir_open_path(config->state), tasks = -EBADF, aside = -EBADF;
	int first = 0;

	tasks = state < 0 ? state : dir_open_beneath(state, BUNDLE_TASKS);
	if (tasks < 0)
		return tasks == -ENOENT ? 0 : tasks;
	aside = open_aside(state, ticket, true);
	if (aside < 0)
		return aside;
	for (size_t i = 0; i < lost->sandbox_count; i++) {
		const struct sandbox *sandbox = &lost->sandboxes[i];

		for (size_t j = 0; j < sandbox->container_count; j++) {
			int r = move_bundle(tasks, aside, &sandbox->containers[j]);

			result->bundles_moved += r > 0;
			if (r >= 0)
				continue;
			log_error("cannot move bundle %s aside: %s",
				  log_name(sandbox->containers[j].id), strerror(-r));
			result->failed++;
			if (first == 0)
				first = r;
		}
	}
	return first;
}

/* Everything in @from goes to @to. Returns the first negative errno after trying all. */
static int move_all(int from, int to)
{
	cleanup_dir DIR *stream = NULL;
	const char *name;
	int first, r;

	first = dir_stream(from, &stream);
	if (first < 0)
		return first;
	while ((r = dir_next(stream, &name, NULL)) > 0) {
		r = move(from, name, to);
		if (r < 0 && first == 0)
			first = r;
	}
	return first < 0 ? first : r;
}

static int undo_namespace(int aside, int tasks, const char *ns)
{
	cleanup_fd int from = dir_open_beneath(aside, ns), to = -EBADF;
	int r;

	if (from < 0)
		return from;
	to = make_dir(tasks, ns, NAMESPACE_MODE);
	if (to < 0)
		return to;
	r = move_all(from, to);
	if (r == 0 && unlinkat(aside, ns, AT_REMOVEDIR) < 0)
		r = -errno;
	return r;
}

int clear_bundles_undo(const struct config *config, const char *ticket)
{
	cleanup_fd int state = dir_open_path(config->state), tasks = -EBADF, aside = -EBADF;
	cleanup_free char *aside_name = NULL;
	cleanup_dir DIR *stream = NULL;
	const char *ns;
	int first = 0, r;

	r = clear_aside_name(ticket, &aside_name);
	if (r < 0)
		return r;
	aside = state < 0 ? state : open_aside(state, ticket, false);
	if (aside < 0)
		return aside == -ENOENT ? 0 : aside;
	tasks = dir_open_beneath(state, BUNDLE_TASKS);
	if (tasks < 0)
		return tasks;
	r = dir_stream(aside, &stream);
	if (r < 0)
		return r;
	while ((r = dir_next(stream, &ns, NULL)) > 0) {
		r = undo_namespace(aside, tasks, ns);
		if (r < 0 && first == 0)
			first = r;
	}
	if (first < 0 || r < 0)
		return first < 0 ? first : r;
	return unlinkat(state, aside_name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

int clear_links_down(const struct inventory *lost, struct clear_result *result)
{
	struct links_result links = { 0 };
	int r = links_take_down(lost, &links);

	result->links_down += links.done;
	result->failed += links.failed;
	return r;
}

int clear_reservations(const struct config *config, const struct inventory *lost,
		       struct clear_result *result)
{
	struct reservation_result released = { 0 };
	int r = reservations_release(lost, LOCK_MSEC, &released);

	(void)config; /* each reservation knows its data directory */
	result->released += released.released;
	result->kept += released.kept;
	result->failed += released.failed;
	return r;
}
