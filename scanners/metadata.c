#include "scanners/metadata.h"

#include <string.h>

#include "scanners/bolt_tree.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/metadata_carve.h"
#include "scanners/metadata_records.h"

/* NULL sorts first. */
static int compare_text(const char *a, const char *b)
{
	if (!a || !b)
		return !!a - !!b;
	return strcmp(a, b);
}

static int compare_pair(const char *a1, const char *a2, const char *b1, const char *b2)
{
	int order = compare_text(a1, b1);

	return order ? order : compare_text(a2, b2);
}

static int compare_images(const void *a, const void *b)
{
	const struct metadata_image *x = a, *y = b;

	return compare_pair(x->ns, x->name, y->ns, y->name);
}

static int compare_containers(const void *a, const void *b)
{
	const struct metadata_container *x = a, *y = b;

	return compare_pair(x->ns, x->id, y->ns, y->id);
}

/* By what the snapshotter calls them. */
static int compare_snapshots(const void *a, const void *b)
{
	const struct metadata_snapshot *x = a, *y = b;

	return compare_pair(x->snapshotter, x->name, y->snapshotter, y->name);
}

static int compare_blobs(const void *a, const void *b)
{
	const struct metadata_blob *x = a, *y = b;

	return compare_pair(x->digest, x->ns, y->digest, y->ns);
}

static void sort(void *items, size_t count, size_t size,
		 int (*compare)(const void *, const void *))
{
	if (count > 0)
		qsort(items, count, size, compare);
}

static void sort_all(struct metadata *m)
{
	sort(m->images, m->image_count, sizeof(*m->images), compare_images);
	sort(m->containers, m->container_count, sizeof(*m->containers), compare_containers);
	sort(m->sandboxes, m->sandbox_count, sizeof(*m->sandboxes), compare_containers);
	sort(m->snapshots, m->snapshot_count, sizeof(*m->snapshots), compare_snapshots);
	sort(m->blobs, m->blob_count, sizeof(*m->blobs), compare_blobs);
}

static int copy_if_missing(char **text, const char *other)
{
	return *text ? 0 : metadata_copy_text(other, text);
}

/* A container's labels say which pod it is in, but not every client sets them. */
static int name_pods(struct metadata *m)
{
	for (size_t i = 0; i < m->container_count; i++) {
		struct metadata_container *container = &m->containers[i];
		const struct metadata_container *sandbox =
			metadata_find_container(m, container->ns, container->sandbox_id);

		if (!sandbox)
			continue;
		if (copy_if_missing(&container->pod_name, sandbox->pod_name) < 0 ||
		    copy_if_missing(&container->pod_namespace, sandbox->pod_namespace) < 0 ||
		    copy_if_missing(&container->pod_uid, sandbox->pod_uid) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int read_tree(struct bolt_tree *tree, void *data)
{
	struct metadata *m = data;
	struct metadata_reading reading = {.out = m};
	int r;

	metadata_done(m);
	r = metadata_read_tree(tree, &reading);
	if (r != 0 || !reading.bad_value)
		return r;
	tree->page = reading.bad_page;
	return BOLT_VALUE;
}

static int read_file(int fd, struct bolt_finding *finding, struct metadata *m)
{
	int r = bolt_read(fd, read_tree, m, finding);

	if (r < 0)
		return r;
	if (finding->state == BOLT_UNREAD)
		metadata_done(m);
	if (finding->state == BOLT_DAMAGED && finding->damage != BOLT_VALUE) {
		metadata_done(m);
		return metadata_carve(fd, finding, m);
	}
	return 0;
}

int metadata_read_fd(int fd, struct metadata *ret)
{
	struct metadata m = {0};
	struct bolt_finding finding;
	int r = read_file(fd, &finding, &m);

	sort_all(&m);
	if (r == 0)
		r = name_pods(&m);
	if (r < 0) {
		metadata_done(&m);
		return r;
	}
	m.finding = finding;
	*ret = m;
	return 0;
}

int metadata_read(int dirfd, const char *name, struct metadata *ret)
{
	struct bolt_finding finding;
	cleanup_fd int fd = bolt_open_at(dirfd, name, &finding);

	if (fd >= 0)
		return metadata_read_fd(fd, ret);
	*ret = (struct metadata){.finding = finding};
	return 0;
}

int metadata_open_dir(int root_fd, const char *name, struct bolt_finding *ret)
{
	int fd = dir_open_beneath(root_fd, name);

	*ret = (struct bolt_finding){.live_meta = -1};
	if (fd == -ENOENT)
		ret->state = BOLT_ABSENT;
	else if (fd < 0)
		ret->error = fd;
	return fd;
}

int metadata_read_root(int root_fd, struct metadata *ret)
{
	struct bolt_finding finding;
	cleanup_fd int fd = metadata_open_dir(root_fd, METADATA_DIR, &finding);

	if (fd >= 0)
		return metadata_read(fd, METADATA_FILE, ret);
	*ret = (struct metadata){.finding = finding};
	return 0;
}

void metadata_done(struct metadata *m)
{
	for (size_t i = 0; i < m->namespace_count; i++)
		free(m->namespaces[i]);
	for (size_t i = 0; i < m->image_count; i++)
		metadata_image_done(&m->images[i]);
	for (size_t i = 0; i < m->container_count; i++)
		metadata_container_done(&m->containers[i]);
	for (size_t i = 0; i < m->sandbox_count; i++)
		metadata_container_done(&m->sandboxes[i]);
	for (size_t i = 0; i < m->snapshot_count; i++)
		metadata_snapshot_done(&m->snapshots[i]);
	for (size_t i = 0; i < m->lease_count; i++)
		metadata_lease_done(&m->leases[i]);
	for (size_t i = 0; i < m->blob_count; i++)
		metadata_blob_done(&m->blobs[i]);
	free(m->namespaces);
	free(m->images);
	free(m->containers);
	free(m->sandboxes);
	free(m->snapshots);
	free(m->leases);
	free(m->blobs);
	*m = (struct metadata){0};
}

static const void *find(const void *wanted, const void *items, size_t count, size_t size,
			int (*compare)(const void *, const void *))
{
	return count > 0 ? bsearch(wanted, items, count, size, compare) : NULL;
}

/* The members of what is looked for are not written to. */
static char *borrow(const char *text)
{
	return (char *)(uintptr_t)text;
}

const struct metadata_container *metadata_find_container(const struct metadata *m,
							 const char *ns, const char *id)
{
	struct metadata_container wanted = {.ns = borrow(ns), .id = borrow(id)};

	return find(&wanted, m->containers, m->container_count, sizeof(wanted),
		    compare_containers);
}

const struct metadata_container *metadata_find_sandbox(const struct metadata *m, const char *ns,
						       const char *id)
{
	struct metadata_container wanted = {.ns = borrow(ns), .id = borrow(id)};

	return find(&wanted, m->sandboxes, m->sandbox_count, sizeof(wanted),
		    compare_containers);
}

const struct metadata_image *metadata_find_image(const struct metadata *m, const char *ns,
						 const char *name)
{
	struct metadata_image wanted = {.ns = borrow(ns), .name = borrow(name)};

	return find(&wanted, m->images, m->image_count, sizeof(wanted), compare_images);
}

static int compare_digests(const void *a, const void *b)
{
	const struct metadata_blob *x = a, *y = b;

	return compare_text(x->digest, y->digest);
}

const struct metadata_blob *metadata_find_blob(const struct metadata *m, const char *digest)
{
	struct metadata_blob wanted = {.digest = borrow(digest)};

	return find(&wanted, m->blobs, m->blob_count, sizeof(wanted), compare_digests);
}

const struct metadata_snapshot *metadata_snapshot_of(const struct metadata *m,
						     const char *snapshotter, const char *name)
{
	struct metadata_snapshot wanted = {.snapshotter = borrow(snapshotter),
					   .name = borrow(name)};

	return find(&wanted, m->snapshots, m->snapshot_count, sizeof(wanted),
		    compare_snapshots);
}

static bool uses(const struct metadata_container *container,
		 const struct metadata_snapshot *snapshot)
{
	return compare_pair(container->snapshotter, container->snapshot_key,
			    snapshot->snapshotter, snapshot->key) == 0 &&
	       compare_text(container->ns, snapshot->ns) == 0;
}

const struct metadata_container *metadata_user_of(const struct metadata *m,
						  const struct metadata_snapshot *snapshot)
{
	/* CRI, ctr and nerdctl name the snapshot after its container. */
	const struct metadata_container *container =
		metadata_find_container(m, snapshot->ns, snapshot->key);

	if (container && uses(container, snapshot))
		return container;
	for (size_t i = 0; i < m->container_count; i++)
		if (uses(&m->containers[i], snapshot))
			return &m->containers[i];
	return NULL;
}
