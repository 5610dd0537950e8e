#include "recover/remnant.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "recover/cgroup.h"
#include "recover/clear.h"
#include "recover/log.h"
#include "recover/remove.h"
#include "recover/shim.h"
#include "recover/unmount.h"
#include "scanners/bundle.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/netns.h"
#include "scanners/text.h"

enum { STACKED_MOST = 8 };
#define SOCKETS "unix:///run/containerd/s/"
#define CRI_STATE "io.containerd.grpc.v1.cri"

/* Note the first failure of several steps, and say what was left. */
static void note(int *first, int r, const char *what, const char *name)
{
	if (r >= 0)
		return;
	log_error("cannot remove %s %s: %s", what, log_name(name), strerror(-r));
	if (*first == 0)
		*first = r;
}

/*
 * A namespace's mount, and the empty file that it was mounted on. What is mounted
 * there and is another namespace by now is not ours.
 */
static int remove_netns(const struct sandbox *sandbox)
{
	const char *path = sandbox->netns;
	struct stat st;

	for (int i = 0; i < STACKED_MOST && netns_is_there(sandbox); i++) {
		int r = unmount(path);

		if (r < 0)
			return r;
	}
	if (netns_inode(path) != 0)
		return 0;
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISREG(st.st_mode) || st.st_size != 0)
		return -EEXIST;
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

static int remove_socket(const char *address)
{
	const char *name = address + strlen(SOCKETS), *path = address + strlen("unix://");
	struct stat st;

	if (strncmp(address, SOCKETS, strlen(SOCKETS)) != 0 || !process_is_cri_id(name))
		return 0; /* an abstract one, or not a shim's */
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -ENOTSOCK;
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

static int remove_below(const char *dir, const char *name)
{
	cleanup_fd int fd = dir_open_path(dir);

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	return remove_small_tree(fd, name);
}

/* The groups as runc recorded them, else as the specification has them. */
static int remove_cgroups(const struct container *container)
{
	cleanup_text_list struct text_list paths = { 0 };
	int first = 0, r;

	r = bundle_runc_cgroups(container->ns, container->id, &paths);
	if (r == -ENOMEM)
		return r;
	if (container->cgroup_path && text_list_add(&paths, container->cgroup_path) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < paths.count; i++) {
		r = cgroup_remove(paths.items[i], container->id);
		if (r < 0 && first == 0)
			first = r;
	}
	return first;
}

/* Where the bundles of namespace @ns are, or were moved to. */
static char *bundles_dir(const struct remnants *remnants, const char *ns, bool aside)
{
	cleanup_free char *name = NULL;

	if (!aside)
		return text_print("%s/" BUNDLE_TASKS "/%s", remnants->config->state, ns);
	if (clear_aside_name(remnants->ticket, &name) < 0)
		return NULL;
	return text_print("%s/%s/%s", remnants->config->state, name, ns);
}

static int remove_bundle(const struct remnants *remnants, const struct container *container,
			 bool aside)
{
	cleanup_free char *dir = bundles_dir(remnants, container->ns, aside), *path = NULL;
	struct stat st;
	int first, r;

	path = dir ? text_print("%s/%s", dir, container->id) : NULL;
	if (!path)
		return -ENOMEM;
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	first = shim_delete(remnants->config, container, path, remnants->delete_msec);
	r = unmount_below(remnants->mounts, path);
	if (first == 0)
		first = r;
	r = remove_below(dir, container->id);
	return first < 0 ? first : r;
}

static int remove_runc_state(const struct container *container)
{
	cleanup_free char *dir = text_print(BUNDLE_RUNC_ROOT "/%s", container->ns);

	return dir ? remove_below(dir, container->id) : -ENOMEM;
}

/* CRI's own directory of a sandbox or container in the state directory, with the shm mount. */
static int remove_cri_state(const struct remnants *remnants, const char *kind, const char *id)
{
	cleanup_free char *dir = text_print("%s/" CRI_STATE "/%s", remnants->config->state, kind);
	cleanup_free char *path = dir ? text_print("%s/%s", dir, id) : NULL;
	int r;

	if (!path)
		return -ENOMEM;
	r = unmount_below(remnants->mounts, path);
	return r < 0 ? r : remove_below(dir, id);
}

static void remove_container(const struct remnants *remnants, const struct container *container,
			     int *first)
{
	note(first, remove_cgroups(container), "control group of", container->id);
	note(first, remove_runc_state(container), "runc's state of", container->id);
	if (container->sandbox_id && !remnants->tasks_only)
		note(first, remove_cri_state(remnants, "containers", container->id),
		     "CRI's state of", container->id);
	if (!remnants->tasks_only)
		note(first, remove_bundle(remnants, container, false), "bundle", container->id);
	if (remnants->ticket)
		note(first, remove_bundle(remnants, container, true), "bundle", container->id);
}

int remnants_remove(const struct remnants *remnants, const struct sandbox *sandbox)
{
	int first = 0;

	/*
	 * The sandbox's own bundle comes last: a run that is killed here leaves it
	 * for the next one, which would not know of the namespace without it.
	 */
	if (sandbox->netns && !remnants->tasks_only)
		note(&first, remove_netns(sandbox), "network namespace", sandbox->netns);
	if (!remnants->tasks_only)
		note(&first, remove_cri_state(remnants, "sandboxes", sandbox->id), "CRI's state of",
		     sandbox->id);
	if (sandbox->shim_address)
		note(&first, remove_socket(sandbox->shim_address), "socket",
		     sandbox->shim_address);
	for (int own = 0; own < 2; own++)
		for (size_t i = 0; i < sandbox->container_count; i++)
			if ((strcmp(sandbox->containers[i].id, sandbox->id) == 0) == own)
				remove_container(remnants, &sandbox->containers[i], &first);
	return first;
}

int remnants_end(const struct config *config, const char *ticket)
{
	cleanup_fd int state = dir_open_path(config->state), aside = -EBADF;
	cleanup_free char *name = NULL;
	cleanup_dir DIR *stream = NULL;
	const char *ns;
	int r;

	r = state < 0 ? state : clear_aside_name(ticket, &name);
	if (r < 0)
		return r;
	aside = dir_open_beneath(state, name);
	if (aside < 0)
		return aside == -ENOENT ? 0 : aside;
	r = dir_stream(aside, &stream);
	while (r == 0 && (r = dir_next(stream, &ns, NULL)) > 0)
		r = unlinkat(aside, ns, AT_REMOVEDIR) < 0 ? -errno : 0;
	if (r < 0)
		return r;
	return unlinkat(state, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}
