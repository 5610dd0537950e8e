#include <string.h>

#include "scanners/bolt_tree.h"
#include "scanners/cleanup.h"
#include "scanners/metadata.h"
#include "scanners/metadata_carve.h"
#include "scanners/metadata_records.h"
#include "scanners/metadata_value.h"

struct reading {
	struct metadata_directories *out;
	struct metadata_reading note; /* of bad values */
};

struct record {
	struct reading *reading;
	struct metadata_directory directory;
	bool has_id;
};

static void directory_done(struct metadata_directory *directory)
{
	free(directory->name);
	free(directory->parent);
}

static int take_kind(const struct bolt_item *item, struct metadata_directory *directory)
{
	const uint8_t *bytes;
	size_t size;
	int r = bolt_item_value(item, &bytes, &size);

	if (r != 0)
		return r;
	if (size != 1 || bytes[0] > SNAPSHOT_COMMITTED)
		return BOLT_VALUE;
	directory->kind = bytes[0];
	return 0;
}

static int visit_directory(struct bolt_tree *tree, const struct bolt_item *item, void *data)
{
	static const struct metadata_text_field fields[] = {
		{"parent", offsetof(struct metadata_directory, parent)},
	};
	struct record *record = data;
	struct metadata_directory *directory = &record->directory;
	int r;

	if (bolt_item_is(item, "id", false)) {
		r = metadata_uvarint(item, &directory->id);
		record->has_id = r == 0;
	} else if (bolt_item_is(item, "kind", false)) {
		r = take_kind(item, directory);
	} else if (bolt_item_is(item, "inodes", false)) {
		r = metadata_varint(item, &directory->inodes);
	} else if (bolt_item_is(item, "size", false)) {
		r = metadata_varint(item, &directory->size);
	} else {
		r = metadata_read_times(item, &directory->times);
		if (r == -ENOENT)
			r = metadata_take_text(item, fields, ARRAY_SIZE(fields), directory);
	}
	return metadata_note(&record->reading->note, tree, r == -ENOENT ? 0 : r);
}

static int visit_snapshot(struct bolt_tree *tree, const struct bolt_item *item, void *data)
{
	struct reading *reading = data;
	struct metadata_directories *out = reading->out;
	struct record record = {.reading = reading};
	struct metadata_directory *directory = &record.directory;
	int r = bolt_item_key(item, &directory->name);

	if (r == 0)
		r = bolt_each_in(tree, item, visit_directory, &record);
	if (r == 0 && !record.has_id)
		r = BOLT_VALUE;
	if (r == 0)
		r = metadata_keep(&out->items, &out->count, directory, sizeof(*directory));
	if (r != 0)
		directory_done(directory);
	return metadata_note(&reading->note, tree, r);
}

static int visit_version(struct bolt_tree *tree, const struct bolt_item *item, void *data)
{
	return bolt_item_is(item, "snapshots", true)
		       ? bolt_each_in(tree, item, visit_snapshot, data)
		       : 0;
}

static int visit_root(struct bolt_tree *tree, const struct bolt_item *item, void *data)
{
	return bolt_item_is(item, "v1", true) ? bolt_each_in(tree, item, visit_version, data)
					      : 0;
}

static int compare_ids(const void *a, const void *b)
{
	const struct metadata_directory *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static int read_tree(struct bolt_tree *tree, void *data)
{
	struct metadata_directories *out = data;
	struct reading reading = {.out = out};
	struct bolt_bucket root = bolt_tree_root(tree);
	int r;

	metadata_directories_done(out);
	r = bolt_each(tree, &root, visit_root, &reading);
	if (r != 0)
		return r;
	if (out->count > 0)
		qsort(out->items, out->count, sizeof(*out->items), compare_ids);
	if (!reading.note.bad_value)
		return 0;
	tree->page = reading.note.bad_page;
	return BOLT_VALUE;
}

/* The latest version of a record first; within a second, what was committed. */
static int compare_versions(const void *a, const void *b)
{
	const struct metadata_directory *x = a, *y = b;
	int order = compare_ids(a, b);

	if (order == 0)
		order = (x->times.updated_sec < y->times.updated_sec) -
			(x->times.updated_sec > y->times.updated_sec);
	return order ? order : (int)y->kind - (int)x->kind;
}

/* Every record has a name with two slashes; other buckets have none. */
static int carve_directory(struct bolt_tree *tree, const struct bolt_item *item, void *data)
{
	struct metadata_directories *out = data;
	struct reading reading = {.out = out};
	size_t before = out->count;
	int r = visit_snapshot(tree, item, &reading);
	const struct metadata_directory *last;
	const char *slash;

	if (r != 0 || out->count == before)
		return r;
	last = &out->items[before];
	slash = strchr(last->name, '/');
	if (!slash || !strchr(slash + 1, '/') || last->kind == SNAPSHOT_UNKNOWN)
		directory_done(&out->items[--out->count]);
	return 0;
}

static int carve_directories(int fd, const struct bolt_finding *finding,
			     struct metadata_directories *out)
{
	size_t kept = 0;
	int r;

	metadata_directories_done(out);
	r = metadata_carve_buckets(fd, finding, read_tree, carve_directory, out);
	if (r != 0)
		return r < 0 ? r : 0;
	out->carved = true;
	if (out->count == 0)
		return 0;
	qsort(out->items, out->count, sizeof(*out->items), compare_versions);
	for (size_t i = 1; i < out->count; i++) {
		if (out->items[i].id == out->items[kept].id)
			directory_done(&out->items[i]);
		else
			out->items[++kept] = out->items[i];
	}
	out->count = kept + 1;
	return 0;
}

int metadata_read_directories_fd(int fd, struct metadata_directories *ret)
{
	struct metadata_directories out = {0};
	struct bolt_finding finding;
	int r = bolt_read(fd, read_tree, &out, &finding);

	if (r == 0 && finding.state == BOLT_DAMAGED && finding.damage != BOLT_VALUE)
		r = carve_directories(fd, &finding, &out);
	if (r < 0 || finding.state == BOLT_UNREAD)
		metadata_directories_done(&out);
	if (r < 0)
		return r;
	out.finding = finding;
	*ret = out;
	return 0;
}

int metadata_read_directories(int dirfd, const char *name, struct metadata_directories *ret)
{
	struct bolt_finding finding;
	cleanup_fd int fd = bolt_open_at(dirfd, name, &finding);

	if (fd >= 0)
		return metadata_read_directories_fd(fd, ret);
	*ret = (struct metadata_directories){.finding = finding};
	return 0;
}

int metadata_read_snapshotter(int root_fd, const char *snapshotter,
			      struct metadata_directories *ret)
{
	struct bolt_finding finding;
	cleanup_free char *name = NULL;
	cleanup_fd int fd = -EBADF;

	if (asprintf(&name, METADATA_SNAPSHOTTER_DIR "%s", snapshotter) < 0) {
		name = NULL;
		return -ENOMEM;
	}
	fd = metadata_open_dir(root_fd, name, &finding);
	if (fd >= 0)
		return metadata_read_directories(fd, METADATA_SNAPSHOTTER_FILE, ret);
	*ret = (struct metadata_directories){.finding = finding};
	return 0;
}

void metadata_directories_done(struct metadata_directories *directories)
{
	for (size_t i = 0; i < directories->count; i++)
		directory_done(&directories->items[i]);
	free(directories->items);
	*directories = (struct metadata_directories){0};
}

const struct metadata_directory *
metadata_find_directory(const struct metadata_directories *directories, uint64_t id)
{
	struct metadata_directory wanted = {.id = id};

	if (directories->count == 0)
		return NULL;
	return bsearch(&wanted, directories->items, directories->count, sizeof(wanted),
		       compare_ids);
}
