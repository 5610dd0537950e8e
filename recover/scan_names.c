#include "recover/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "recover/data_root.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/metadata.h"
#include "scanners/text.h"

#define KUBERNETES "k8s.io"

/* The records of one snapshotter, and of which part they are. */
struct snapshotter {
	uint32_t part;
	bool read;
	struct metadata_directories directories;
};

struct records {
	int root_fd;
	const struct root_size *size;
	struct metadata metadata;
	bool all; /* all of meta.db was read: what is not in it is not there */
	struct snapshotter snapshotter;
};

static bool was_read(const struct bolt_finding *finding)
{
	return finding->state == BOLT_SOUND || finding->state == BOLT_EMPTY ||
	       finding->state == BOLT_ABSENT;
}

static int name_item(struct scan_item *item, enum scan_owner owner, char *label)
{
	if (!label)
		return -ENOMEM;
	item->owner = owner;
	item->label = label;
	return 0;
}

static int name_orphan(const struct records *records, struct scan_item *item, const char *what)
{
	if (!records->all)
		return name_item(item, SCAN_UNKNOWN, strdup(what));
	return name_item(item, SCAN_ORPHAN, text_print("%s without a record", what));
}

static int name_container(struct scan_item *item, const struct metadata_container *container)
{
	bool is_sandbox = container->kind && strcmp(container->kind, "sandbox") == 0;

	if (!container->pod_name)
		return name_item(item, SCAN_CONTAINER, text_print("container %s in namespace %s",
								  container->id, container->ns ?: "?"));
	return name_item(item, SCAN_POD,
			 text_print("pod %s/%s, %s", container->pod_namespace ?: "?",
				    container->pod_name,
				    is_sandbox ? "its sandbox" : container->container_name ?: "?"));
}

static int name_by_id(const struct records *records, struct scan_item *item, const char *ns,
		      const char *id, const char *what)
{
	const struct metadata_container *container =
		metadata_find_container(&records->metadata, ns, id);

	if (!container)
		container = metadata_find_sandbox(&records->metadata, ns, id);
	if (!container)
		return name_orphan(records, item, what);
	return name_container(item, container);
}

/* One snapshotter at a time: a root seldom has a second one with snapshots. */
static int read_snapshotter(struct records *records, uint32_t part)
{
	cleanup_fd int fd = -EBADF;
	struct snapshotter *s = &records->snapshotter;
	int r;

	if (s->read && s->part == part)
		return 0;
	if (s->read)
		metadata_directories_done(&s->directories);
	s->read = false;
	fd = dir_open_beneath(records->root_fd, records->size->parts[part].name);
	if (fd < 0)
		return fd;
	r = metadata_read_directories(fd, "metadata.db", &s->directories);
	if (r < 0)
		return r;
	s->part = part;
	s->read = true;
	return 0;
}

/* "overlayfs" of "io.containerd.snapshotter.v1.overlayfs". */
static const char *snapshotter_name(const struct root_part *part)
{
	const char *dot = strrchr(part->name, '.');

	return dot ? dot + 1 : part->name;
}

static int name_snapshot(struct records *records, struct scan_item *item)
{
	const struct root_part *part = &records->size->parts[item->part];
	uint32_t top = root_size_component(records->size, item->part);
	const struct metadata_directory *directory = NULL;
	const struct metadata_snapshot *snapshot;
	const struct metadata_container *user;
	char *end;
	uint64_t id = strtoull(part->name, &end, 10);
	int r;

	r = read_snapshotter(records, top);
	if (r == -ENOMEM)
		return r;
	if (r < 0 || !was_read(&records->snapshotter.directories.finding))
		return name_item(item, SCAN_UNKNOWN, text_print("snapshot %s", part->name));
	if (end != part->name && !*end)
		directory = metadata_find_directory(&records->snapshotter.directories, id);
	if (!directory)
		return name_orphan(records, item, "snapshot");
	snapshot = metadata_snapshot_of(&records->metadata,
					snapshotter_name(&records->size->parts[top]), directory->name);
	if (!snapshot)
		return name_orphan(records, item, "snapshot");
	user = metadata_user_of(&records->metadata, snapshot);
	if (user)
		return name_container(item, user);
	if (directory->kind == SNAPSHOT_COMMITTED)
		return name_item(item, SCAN_IMAGE, strdup("layer of an image"));
	return name_item(item, SCAN_UNKNOWN, text_print("snapshot %s, in use by no container",
							snapshot->key));
}

static int name_one(struct records *records, struct scan_item *item)
{
	const struct root_part *part = &records->size->parts[item->part];
	const struct root_part *parent = &records->size->parts[part->parent];

	switch (part->kind) {
	case ROOT_SNAPSHOT:
		return name_snapshot(records, item);
	case ROOT_TASK:
		return name_by_id(records, item, parent->name, part->name, "work directory");
	case ROOT_SANDBOX:
		return name_by_id(records, item, KUBERNETES, part->name, "sandbox directory");
	case ROOT_CONTAINER:
		return name_by_id(records, item, KUBERNETES, part->name, "container directory");
	case ROOT_VOLUMES:
		return name_by_id(records, item, KUBERNETES, parent->name, "volumes of a container");
	case ROOT_INGEST:
		return name_item(item, SCAN_UNKNOWN, strdup("unfinished download"));
	case ROOT_TMPMOUNT:
		return name_item(item, SCAN_ORPHAN, strdup("left-over temporary mount"));
	case ROOT_QUARANTINE:
		return name_item(item, SCAN_OURS, strdup("quarantine of containerd-recover"));
	default:
		return name_item(item, SCAN_UNKNOWN,
				 strdup(data_root_is_known_name(part->name) ? "of no pod" :
									      "not made by containerd"));
	}
}

/* Blobs of @dir that meta.db has in no namespace. */
static int count_blobs(const struct records *records, int dir, const char *algorithm,
		       struct scan_left *left)
{
	cleanup_dir DIR *stream = NULL;
	const char *name;
	int r;

	r = dir_stream(dir, &stream);
	while (r >= 0 && (r = dir_next(stream, &name, NULL)) > 0) {
		cleanup_free char *digest = text_print("%s:%s", algorithm, name);
		struct stat st;

		if (!digest)
			return -ENOMEM;
		if (metadata_find_blob(&records->metadata, digest) ||
		    fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		left->blobs++;
		left->blob_bytes += (uint64_t)st.st_blocks * 512;
	}
	return r;
}

static int count_lost_blobs(const struct records *records, struct scan_left *left)
{
	static const char *const path[] = { "io.containerd.content.v1.content", "blobs", "sha256" };
	int fd = records->root_fd, r;

	for (size_t i = 0; i < ARRAY_SIZE(path); i++) {
		int next = dir_open_beneath(fd, path[i]);

		if (fd != records->root_fd)
			(void)close(fd);
		if (next < 0)
			return 0; /* no such store: nothing is left in it */
		fd = next;
	}
	r = count_blobs(records, fd, path[ARRAY_SIZE(path) - 1], left);
	(void)close(fd);
	return r == -ENOMEM ? r : 0;
}

static int name_all(struct records *records, struct scan *scan)
{
	int r = 0;

	for (size_t i = 0; i < scan->item_count && r == 0; i++) {
		struct scan_item *item = &scan->items[i];

		r = name_one(records, item);
		if (item->owner == SCAN_ORPHAN &&
		    scan->size.parts[item->part].kind == ROOT_SNAPSHOT) {
			scan->left.snapshots++;
			scan->left.snapshot_entries += scan->size.parts[item->part].entries;
		}
	}
	if (r == 0 && records->all)
		r = count_lost_blobs(records, &scan->left);
	return r;
}

int scan_name_items(int root_fd, struct scan *scan)
{
	struct records records = { .root_fd = root_fd, .size = &scan->size };
	const struct bolt_finding *finding = &records.metadata.finding;
	int r;

	r = metadata_read_root(root_fd, &records.metadata);
	if (r < 0)
		return r;
	records.all = scan->records_read = was_read(finding);
	if (!scan->records_read) {
		scan->records_problem =
			strdup(finding->state == BOLT_DAMAGED ? bolt_damage_name(finding->damage)
							      : strerror(-finding->error));
		r = scan->records_problem ? 0 : -ENOMEM;
	}
	if (r == 0)
		r = name_all(&records, scan);
	if (records.snapshotter.read)
		metadata_directories_done(&records.snapshotter.directories);
	metadata_done(&records.metadata);
	return r;
}
