#include "scanners/metadata_records.h"

#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/metadata_value.h"

#define CRI_IMAGE_LABEL "io.cri-containerd.image"
#define CRI_PINNED_LABEL "io.cri-containerd.pinned"

/* An image while it is read. */
struct image_record {
	struct metadata_reading *reading;
	struct metadata_image image;
};

int metadata_note(struct metadata_reading *reading, const struct bolt_tree *tree, int outcome)
{
	if (outcome != BOLT_VALUE)
		return outcome;
	if (!reading->bad_value)
		reading->bad_page = tree->page;
	reading->bad_value = true;
	return 0;
}

int metadata_keep(void *items, size_t *count, const void *record, size_t size)
{
	char **array = items;

	/* Full at every power of two. */
	if ((*count & (*count - 1)) == 0) {
		char *bigger = reallocarray(*array, *count ? *count * 2 : 1, size);

		if (!bigger)
			return -ENOMEM;
		*array = bigger;
	}
	memcpy(*array + *count * size, record, size);
	(*count)++;
	return 0;
}

int metadata_copy_text(const char *text, char **ret)
{
	if (!text)
		return 0;
	*ret = strdup(text);
	return *ret ? 0 : -ENOMEM;
}

int metadata_take_text(const struct bolt_item *item, const struct metadata_text_field *fields,
		       size_t count, void *record)
{
	for (size_t i = 0; i < count; i++)
		if (bolt_item_is(item, fields[i].key, false))
			return metadata_text(
				item, (char **)(void *)((char *)record + fields[i].offset));
	return -ENOENT;
}

int metadata_read_times(const struct bolt_item *item, struct metadata_times *times)
{
	if (bolt_item_is(item, "createdat", false))
		return metadata_time(item, &times->created_sec);
	if (bolt_item_is(item, "updatedat", false))
		return metadata_time(item, &times->updated_sec);
	return -ENOENT;
}

/* A record's member that nobody here asks for. */
static int ignored(int outcome)
{
	return outcome == -ENOENT ? 0 : outcome;
}

static int visit_target(struct bolt_tree *tree, const struct bolt_item *item, void *data)
{
	static const struct metadata_text_field fields[] = {
		{"digest", offsetof(struct metadata_image, digest)},
		{"mediatype", offsetof(struct metadata_image, media_type)},
	};
	struct image_record *record = data;
	int r;

	if (bolt_item_is(item, "size", false))
		r = metadata_varint(item, &record->image.size);
	else
		r = ignored(
			metadata_take_text(item, fields, ARRAY_SIZE(fields), &record->image));
	return metadata_note(record->reading, tree, r);
}

static int visit_image_label(struct bolt_tree *tree, const struct bolt_item *item, void *data)
{
	struct image_record *record = data;

	(void)tree;
	if (bolt_item_is(item, CRI_IMAGE_LABEL, false))
		record->image.cri = true;
	if (bolt_item_is(item, CRI_PINNED_LABEL, false))
		record->image.pinned = true;
	return 0;
}

static int visit_image(struct bolt_tree *tree, const struct bolt_item *item, void *data)
{
	struct image_record *record = data;
	int r;

	if (bolt_item_is(item, "target", true))
		r = bolt_each_in(tree, item, visit_target, record);
	else if (bolt_item_is(item, "labels", true))
		r = bolt_each_in(tree, item, visit_image_label, record);
	else
		r = ignored(metadata_read_times(item, &record->image.times));
	return metadata_note(record->reading, tree, r);
}

void metadata_image_done(struct metadata_image *image)
{
	free(image->ns);
	free(image->name);
	free(image->digest);
	free(image->media_type);
}

int metadata_read_image(struct bolt_tree *tree, const struct bolt_item *item,
			struct metadata_reading *reading)
{
	struct image_record record = {.reading = reading};
	struct metadata_image *image = &record.image;
	struct metadata *out = reading->out;
	int r = bolt_item_key(item, &image->name);

	if (r == 0)
		r = bolt_each_in(tree, item, visit_image, &record);
	/* containerd cannot do without a digest: "algorithm:hex". */
	if (r == 0 && (!image->digest || !strchr(image->digest, ':')))
		r = BOLT_VALUE;
	if (r == 0)
		r = metadata_copy_text(reading->ns
					       ?: image->cri ? METADATA_CRI_NAMESPACE
							     : NULL,
				       &image->ns);
	if (r == 0)
		r = metadata_keep(&out->images, &out->image_count, image, sizeof(*image));
	if (r != 0)
		metadata_image_done(image);
	return metadata_note(reading, tree, r);
}

/* The members of the records that have few. */
struct plain_record {
	struct metadata_reading *reading;
	const struct metadata_text_field *texts;
	size_t text_count;
	void *members;
	struct metadata_times *times;
	int64_t *size;
};

static int visit_plain(struct bolt_tree *tree, const struct bolt_item *item, void *data)
{
	struct plain_record *record = data;
	int r = -ENOENT;

	if (record->times)
		r = metadata_read_times(item, record->times);
	if (r == -ENOENT && record->size && bolt_item_is(item, "size", false))
		r = metadata_varint(item, record->size);
	if (r == -ENOENT)
		r = metadata_take_text(item, record->texts, record->text_count,
				       record->members);
	return metadata_note(record->reading, tree, ignored(r));
}

void metadata_snapshot_done(struct metadata_snapshot *snapshot)
{
	free(snapshot->ns);
	free(snapshot->snapshotter);
	free(snapshot->key);
	free(snapshot->parent);
	free(snapshot->name);
}

static int visit_snapshot(struct bolt_tree *tree, const struct bolt_item *item, void *data)
{
	static const struct metadata_text_field fields[] = {
		{"name", offsetof(struct metadata_snapshot, name)},
		{"parent", offsetof(struct metadata_snapshot, parent)},
	};
	struct metadata_reading *reading = data;
	struct metadata *out = reading->out;
	struct metadata_snapshot snapshot = {0};
	struct plain_record record = {reading,	 fields, ARRAY_SIZE(fields),
				      &snapshot, NULL,	 NULL};
	int r = bolt_item_key(item, &snapshot.key);

	if (r == 0)
		r = metadata_copy_text(reading->ns, &snapshot.ns);
	if (r == 0)
		r = metadata_copy_text(reading->snapshotter, &snapshot.snapshotter);
	if (r == 0)
		r = bolt_each_in(tree, item, visit_plain, &record);
	if (r == 0 && !snapshot.name)
		r = BOLT_VALUE;
	if (r == 0)
		r = metadata_keep(&out->snapshots, &out->snapshot_count, &snapshot,
				  sizeof(snapshot));
	if (r != 0)
		metadata_snapshot_done(&snapshot);
	return metadata_note(reading, tree, r);
}

static int visit_lease(struct bolt_tree *tree, const struct bolt_item *item, void *data)
{
	struct metadata_reading *reading = data;
	struct metadata_lease lease = {0};
	struct plain_record record = {reading, NULL, 0, NULL, &lease.times, NULL};
	int r = bolt_item_key(item, &lease.id);

	if (r == 0)
		r = metadata_copy_text(reading->ns, &lease.ns);
	if (r == 0)
		r = bolt_each_in(tree, item, visit_plain, &record);
	if (r == 0)
		r = metadata_keep(&reading->out->leases, &reading->out->lease_count, &lease,
				  sizeof(lease));
	if (r != 0)
		metadata_lease_done(&lease);
	return metadata_note(reading, tree, r);
}

void metadata_lease_done(struct metadata_lease *lease)
{
	free(lease->ns);
	free(lease->id);
}

static int visit_blob(struct bolt_tree *tree, const struct bolt_item *item, void *data)
{
	struct metadata_reading *reading = data;
	struct metadata_times times = {0};
	struct metadata_blob blob = {0};
	struct plain_record record = {reading, NULL, 0, NULL, &times, &blob.size};
	int r = bolt_item_key(item, &blob.digest);

	if (r == 0)
		r = metadata_copy_text(reading->ns, &blob.ns);
	if (r == 0)
		r = bolt_each_in(tree, item, visit_plain, &record);
	if (r == 0)
		r = metadata_keep(&reading->out->blobs, &reading->out->blob_count, &blob,
				  sizeof(blob));
	if (r != 0)
		metadata_blob_done(&blob);
	return metadata_note(reading, tree, r);
}

void metadata_blob_done(struct metadata_blob *blob)
{
	free(blob->ns);
	free(blob->digest);
}

static int visit_content(struct bolt_tree *tree, const struct bolt_item *item, void *data)
{
	if (!bolt_item_is(item, "blob", true))
		return 0;
	return bolt_each_in(tree, item, visit_blob, data);
}

static int visit_snapshotter(struct bolt_tree *tree, const struct bolt_item *item, void *data)
{
	struct metadata_reading *reading = data;
	cleanup_free char *name = NULL;
	int r = bolt_item_key(item, &name);

	reading->snapshotter = name;
	if (r == 0)
		r = bolt_each_in(tree, item, visit_snapshot, reading);
	reading->snapshotter = NULL;
	return metadata_note(reading, tree, r);
}

static int visit_image_item(struct bolt_tree *tree, const struct bolt_item *item, void *data)
{
	return metadata_read_image(tree, item, data);
}

static int visit_container_item(struct bolt_tree *tree, const struct bolt_item *item,
				void *data)
{
	return metadata_read_container(tree, item, data);
}

static int visit_sandbox_item(struct bolt_tree *tree, const struct bolt_item *item, void *data)
{
	return metadata_read_sandbox(tree, item, data);
}

static int visit_namespace(struct bolt_tree *tree, const struct bolt_item *item, void *data)
{
	static const struct {
		const char *key;
		bolt_visit *visit;
	} kinds[] = {
		{"images", visit_image_item},	   {"containers", visit_container_item},
		{"sandboxes", visit_sandbox_item}, {"snapshots", visit_snapshotter},
		{"leases", visit_lease},	   {"content", visit_content},
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (bolt_item_is(item, kinds[i].key, true))
			return bolt_each_in(tree, item, kinds[i].visit, data);
	return 0;
}

static int visit_version(struct bolt_tree *tree, const struct bolt_item *item, void *data)
{
	struct metadata_reading *reading = data;
	struct metadata *out = reading->out;
	char *ns = NULL;
	int r;

	if (bolt_item_is(item, "version", false))
		return metadata_note(reading, tree, metadata_varint(item, &out->version));
	if (!item->element.bucket)
		return 0;
	r = bolt_item_key(item, &ns);
	if (r == 0)
		r = metadata_keep(&out->namespaces, &out->namespace_count, &ns, sizeof(ns));
	if (r != 0) {
		free(ns);
		return metadata_note(reading, tree, r);
	}
	reading->ns = ns;
	r = bolt_each_in(tree, item, visit_namespace, reading);
	reading->ns = NULL;
	return metadata_note(reading, tree, r);
}

static int visit_root(struct bolt_tree *tree, const struct bolt_item *item, void *data)
{
	return bolt_item_is(item, "v1", true) ? bolt_each_in(tree, item, visit_version, data)
					      : 0;
}

int metadata_read_tree(struct bolt_tree *tree, struct metadata_reading *reading)
{
	struct bolt_bucket root = bolt_tree_root(tree);

	return bolt_each(tree, &root, visit_root, reading);
}
