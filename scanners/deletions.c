#include "scanners/deletions.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "scanners/cleanup.h"
#include "scanners/clock.h"
#include "scanners/count.h"
#include "scanners/dir.h"

#define TASKS "io.containerd.runtime.v2.task"
#define CRI "io.containerd.grpc.v1.cri"
#define KUBERNETES_NAMESPACE "k8s.io"

enum { FEW = 64, FEW_DEPTH = 3, SLIGHT_LINKS = 4, SLIGHT_BYTES = 4096 };

enum kind { BUNDLES, WORK, RECORDS };

static const struct origin {
	bool in_state;
	enum kind kind;
	const char *plugin;
	const char *group; /* NULL: every directory is one */
} origins[] = {
	{ true, BUNDLES, TASKS, NULL },
	{ false, WORK, TASKS, NULL },
	{ false, WORK, "io.containerd.sandbox.controller.v1.shim", NULL },
	{ false, RECORDS, CRI, "sandboxes" },
	{ false, RECORDS, CRI, "containers" },
	{ true, RECORDS, CRI, "sandboxes" },
	{ true, RECORDS, CRI, "containers" },
};

struct look {
	int root_fd, state_fd;
	int bundles_fd; /* <state>/TASKS, negative: none */
	int ns_fd;	/* below it, the namespace last asked for; negative: none */
	char *ns;
	const struct deletions_known *known;
	uint64_t stop_at;
	int64_t deadline_msec;
	struct deletions found;
};

static bool out_of_time(const struct look *look)
{
	return clock_msec() >= look->deadline_msec;
}

static unsigned msec_left(const struct look *look)
{
	int64_t left = look->deadline_msec - clock_msec();

	return left > 1 ? (unsigned)left : 1;
}

static void enter_namespace(struct look *look, const char *ns)
{
	if (look->ns && strcmp(look->ns, ns) == 0)
		return;
	cleanup_close(&look->ns_fd);
	free(look->ns);
	look->ns = strdup(ns); /* NULL only means to open it again */
	look->ns_fd = look->bundles_fd < 0 ? -ENOENT : dir_open_beneath(look->bundles_fd, ns);
}

static bool has_bundle(struct look *look, const char *ns, const char *id)
{
	enter_namespace(look, ns);
	return look->ns_fd >= 0 && faccessat(look->ns_fd, id, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Of a bundle that is known, whether anything of it lives. */
static bool bundle_lives(const struct inventory *inventory, const char *ns, const char *id)
{
	for (size_t i = 0; i < inventory->sandbox_count; i++) {
		const struct sandbox *sandbox = &inventory->sandboxes[i];

		for (size_t j = 0; j < sandbox->container_count; j++) {
			const struct container *c = &sandbox->containers[j];

			if (strcmp(c->id, id) == 0 && strcmp(c->ns, ns) == 0)
				return sandbox->shim.start_ticks != 0 || c->init.start_ticks != 0;
		}
	}
	return !inventory->complete; /* what was not seen may live */
}

static bool has_living_bundle(struct look *look, const char *ns, const char *id)
{
	if (!has_bundle(look, ns, id))
		return false;
	if (!look->known || !look->known->inventory)
		return true;
	return bundle_lives(look->known->inventory, ns, id);
}

static bool has_record(const struct metadata *metadata, const char *id)
{
	switch (metadata->finding.state) {
	case BOLT_SOUND:
	case BOLT_ABSENT:
	case BOLT_EMPTY:
		return metadata_find_container(metadata, KUBERNETES_NAMESPACE, id) ||
		       metadata_find_sandbox(metadata, KUBERNETES_NAMESPACE, id);
	default:
		return true; /* no proof that there is none */
	}
}

/* Will containerd delete it, as far as is known? */
static bool is_dead(struct look *look, enum kind kind, const char *group, const char *id)
{
	switch (kind) {
	case BUNDLES: /* hidden ones are skipped, and stay for ever */
		return id[0] != '.' && look->known && look->known->inventory &&
		       !bundle_lives(look->known->inventory, group, id);
	case WORK:
		return !has_living_bundle(look, group, id);
	case RECORDS:
		if (look->known && look->known->metadata)
			return !has_record(look->known->metadata, id);
		return !has_bundle(look, KUBERNETES_NAMESPACE, id);
	}
	return false;
}

/* At a glance: a directory that has neither many names nor many directories in it. */
static bool is_slight(int group_fd, const char *id)
{
	struct stat st;

	return fstatat(group_fd, id, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_nlink <= SLIGHT_LINKS &&
	       st.st_size <= SLIGHT_BYTES;
}

/* Up to FEW entries cheaply, by one thread. Returns how many, FEW for more or deeper. */
static unsigned few_entries(int fd, unsigned depth)
{
	cleanup_dir DIR *stream = NULL;
	unsigned char type;
	const char *name;
	unsigned n = 0;

	if (depth > FEW_DEPTH || dir_stream(fd, &stream) < 0)
		return FEW;
	while (n < FEW && dir_next(stream, &name, &type) > 0) {
		n++;
		if (type == DT_DIR || type == DT_UNKNOWN) {
			cleanup_fd int child = dir_open_beneath(fd, name);

			n += child >= 0 ? few_entries(child, depth + 1) : 0;
		}
	}
	return n < FEW ? n : FEW;
}

static int add(struct look *look, const struct origin *origin, const char *group, const char *id,
	       int fd, const struct count_result *count)
{
	struct deletions *found = &look->found;
	struct deletion *bigger = reallocarray(found->items, found->count + 1, sizeof(*bigger));
	struct deletion *item;
	struct stat st;

	if (!bigger)
		return -ENOMEM;
	found->items = bigger;
	if (fstat(fd, &st) < 0)
		return -errno;
	item = &found->items[found->count];
	*item = (struct deletion){
		.in_state = origin->in_state,
		.plugin = origin->plugin,
		.group = strdup(group),
		.id = strdup(id),
		.ino = st.st_ino,
		.entries = count->entries,
		.has_volumes = faccessat(fd, "volumes", F_OK, AT_SYMLINK_NOFOLLOW) == 0,
	};
	found->count++;
	if (!item->group || !item->id)
		return -ENOMEM;
	found->entries += count->entries;
	if (!count->complete)
		found->complete = false;
	return 0;
}

static int look_at(struct look *look, const struct origin *origin, int group_fd, const char *group,
		   const char *id)
{
	cleanup_fd int fd = -EBADF;
	struct count_result count;
	int r;

	if (origin->kind != BUNDLES && !is_dead(look, origin->kind, group, id))
		return 0;
	/* Every living pod has a bundle; the first look may not open them all. */
	if (origin->kind == BUNDLES && !look->known && is_slight(group_fd, id))
		return 0;
	fd = dir_open_beneath(group_fd, id);
	if (fd < 0)
		return fd == -ENOMEM ? fd : 0; /* gone, a link, a mount: not deleted in depth */
	if (few_entries(fd, 0) < FEW)
		return 0;
	if (origin->kind == BUNDLES && look->known && !is_dead(look, BUNDLES, group, id))
		return 0;
	r = count_entries(fd, look->stop_at, msec_left(look), &count);
	return r < 0 ? r : add(look, origin, group, id, fd, &count);
}

static int look_in_group(struct look *look, const struct origin *origin, int plugin_fd,
			 const char *group)
{
	cleanup_fd int group_fd = dir_open_beneath(plugin_fd, group);
	cleanup_dir DIR *stream = NULL;
	unsigned char type;
	const char *id;
	int r;

	if (group_fd < 0)
		return 0;
	r = dir_stream(group_fd, &stream);
	while (r == 0 && (r = dir_next(stream, &id, &type)) > 0) {
		r = 0;
		if (type != DT_DIR && type != DT_UNKNOWN)
			continue;
		if (out_of_time(look) || (look->stop_at && look->found.entries >= look->stop_at)) {
			look->found.complete = false;
			return 0;
		}
		r = look_at(look, origin, group_fd, group, id);
	}
	return r;
}

/* Work directories are cleaned only for namespaces that the state directory has. */
static bool is_cleaned(const struct look *look, const struct origin *origin, const char *group)
{
	return origin->kind != WORK ||
	       (look->bundles_fd >= 0 &&
		faccessat(look->bundles_fd, group, F_OK, AT_SYMLINK_NOFOLLOW) == 0);
}

static int look_in(struct look *look, const struct origin *origin)
{
	int base_fd = origin->in_state ? look->state_fd : look->root_fd;
	cleanup_fd int plugin_fd = base_fd < 0 ? -ENOENT : dir_open_beneath(base_fd, origin->plugin);
	cleanup_dir DIR *stream = NULL;
	unsigned char type;
	const char *group;
	int r;

	if (plugin_fd < 0)
		return 0;
	if (origin->group)
		return look_in_group(look, origin, plugin_fd, origin->group);
	r = dir_stream(plugin_fd, &stream);
	while (r == 0 && (r = dir_next(stream, &group, &type)) > 0) {
		r = 0;
		if ((type == DT_DIR || type == DT_UNKNOWN) && is_cleaned(look, origin, group))
			r = look_in_group(look, origin, plugin_fd, group);
	}
	return r;
}

int deletions_scan(int root_fd, int state_fd, const struct deletions_known *known,
		   uint64_t stop_at, unsigned budget_msec, struct deletions *ret)
{
	cleanup_fd int bundles_fd = state_fd < 0 ? -ENOENT : dir_open_beneath(state_fd, TASKS);
	struct look look = {
		.root_fd = root_fd,
		.state_fd = state_fd,
		.bundles_fd = bundles_fd,
		.ns_fd = -EBADF,
		.known = known,
		.stop_at = stop_at,
		.deadline_msec = clock_msec() + budget_msec,
		.found = { .complete = true },
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(origins); i++)
		r = look_in(&look, &origins[i]);
	cleanup_close(&look.ns_fd);
	free(look.ns);
	if (r < 0) {
		deletions_done(&look.found);
		return r;
	}
	*ret = look.found;
	return 0;
}

void deletions_done(struct deletions *leftovers)
{
	for (size_t i = 0; i < leftovers->count; i++) {
		free(leftovers->items[i].group);
		free(leftovers->items[i].id);
	}
	free(leftovers->items);
	*leftovers = (struct deletions){ 0 };
}
