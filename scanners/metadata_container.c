#include <jansson.h>
#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/metadata_records.h"
#include "scanners/metadata_value.h"

/* A container while it is read. */
struct record {
	struct metadata_reading *reading;
	struct metadata_container container;
};

static char **text_at(struct metadata_container *container, size_t offset)
{
	return (char **)(void *)((char *)container + offset);
}

/* A member that nobody here asks for. */
static int ignored(int outcome)
{
	return outcome == -ENOENT ? 0 : outcome;
}

static int visit_container_label(struct bolt_tree *tree, const struct bolt_item *item,
				 void *data)
{
	static const struct metadata_text_field fields[] = {
		{"io.cri-containerd.kind", offsetof(struct metadata_container, kind)},
		{"io.kubernetes.pod.name", offsetof(struct metadata_container, pod_name)},
		{"io.kubernetes.pod.namespace",
		 offsetof(struct metadata_container, pod_namespace)},
		{"io.kubernetes.pod.uid", offsetof(struct metadata_container, pod_uid)},
		{"io.kubernetes.container.name",
		 offsetof(struct metadata_container, container_name)},
	};
	struct record *record = data;
	int r = metadata_take_text(item, fields, ARRAY_SIZE(fields), &record->container);

	return metadata_note(record->reading, tree, ignored(r));
}

/* A text inside the JSON of CRI's records; @path's members are objects but for the last. */
struct json_field {
	const char *path[4];
	size_t offset;
};

static int take_json(const json_t *json, const struct json_field *field,
		     struct metadata_container *container)
{
	char **member = text_at(container, field->offset);
	const char *text;

	for (size_t i = 0; i < ARRAY_SIZE(field->path) && field->path[i]; i++)
		json = json_object_get(json, field->path[i]);
	text = json_string_value(json);
	if (!text || text[0] == '\0' || *member)
		return 0;
	return metadata_copy_text(text, member);
}

static int take_all_json(const struct bolt_item *item, const struct json_field *fields,
			 size_t count, struct metadata_container *container)
{
	const uint8_t *bytes;
	json_error_t error = {0}; /* jansson leaves the code as it was where it has none */
	size_t size;
	json_t *json;
	int r = metadata_any(item, &bytes, &size);

	if (r != 0)
		return r;
	json = json_loadb((const char *)bytes, size, 0, &error);
	/* Without one it is memory, too: there is one for whatever was read. */
	if (!json && json_error_code(&error) <= json_error_out_of_memory)
		return -ENOMEM;
	if (!json_is_object(json_object_get(json, "Metadata")))
		r = BOLT_VALUE;
	for (size_t i = 0; r == 0 && i < count; i++)
		r = take_json(json_object_get(json, "Metadata"), &fields[i], container);
	json_decref(json);
	return r;
}

static int take_sandbox_json(const struct bolt_item *item, struct metadata_container *container)
{
	static const struct json_field fields[] = {
		{{"ID"}, offsetof(struct metadata_container, id)},
		{{"ID"}, offsetof(struct metadata_container, sandbox_id)},
		{{"Config", "metadata", "name"}, offsetof(struct metadata_container, pod_name)},
		{{"Config", "metadata", "namespace"},
		 offsetof(struct metadata_container, pod_namespace)},
		{{"Config", "metadata", "uid"}, offsetof(struct metadata_container, pod_uid)},
		{{"NetNSPath"}, offsetof(struct metadata_container, netns)},
		{{"IP"}, offsetof(struct metadata_container, address)},
		{{"Config", "linux", "cgroup_parent"},
		 offsetof(struct metadata_container, cgroup_parent)},
	};

	return take_all_json(item, fields, ARRAY_SIZE(fields), container);
}

static int take_container_json(const struct bolt_item *item,
			       struct metadata_container *container)
{
	static const struct json_field fields[] = {
		{{"ID"}, offsetof(struct metadata_container, id)},
		{{"SandboxID"}, offsetof(struct metadata_container, sandbox_id)},
		{{"Config", "metadata", "name"},
		 offsetof(struct metadata_container, container_name)},
		{{"LogPath"}, offsetof(struct metadata_container, log_path)},
	};

	return take_all_json(item, fields, ARRAY_SIZE(fields), container);
}

static int check_any(const struct bolt_item *item)
{
	const uint8_t *bytes;
	size_t size;

	return metadata_any(item, &bytes, &size);
}

static int visit_extension(struct bolt_tree *tree, const struct bolt_item *item, void *data)
{
	struct record *record = data;
	/* 2.x's CRI writes it into the record of a sandbox; another's may be anything. */
	bool any_kind = bolt_item_is(item, "metadata", false);
	int r;

	if (any_kind || bolt_item_is(item, "io.cri-containerd.sandbox.metadata", false))
		r = take_sandbox_json(item, &record->container);
	else if (bolt_item_is(item, "io.cri-containerd.container.metadata", false))
		r = take_container_json(item, &record->container);
	else
		r = check_any(item);
	if (r == BOLT_VALUE && any_kind)
		r = check_any(item);
	return metadata_note(record->reading, tree, r);
}

static int visit_runtime(struct bolt_tree *tree, const struct bolt_item *item, void *data)
{
	struct record *record = data;
	int r = 0;

	if (bolt_item_is(item, "name", false))
		r = metadata_text(item, &record->container.runtime);
	else if (bolt_item_is(item, "options", false))
		r = check_any(item);
	return metadata_note(record->reading, tree, r);
}

static int visit_container(struct bolt_tree *tree, const struct bolt_item *item, void *data)
{
	static const struct metadata_text_field fields[] = {
		{"image", offsetof(struct metadata_container, image)},
		{"snapshotter", offsetof(struct metadata_container, snapshotter)},
		{"snapshotKey", offsetof(struct metadata_container, snapshot_key)},
		{"sandboxid", offsetof(struct metadata_container, sandbox_id)},
	};
	struct record *record = data;
	struct metadata_container *container = &record->container;
	int r;

	if (bolt_item_is(item, "labels", true))
		r = bolt_each_in(tree, item, visit_container_label, record);
	else if (bolt_item_is(item, "extensions", true))
		r = bolt_each_in(tree, item, visit_extension, record);
	else if (bolt_item_is(item, "runtime", true))
		r = bolt_each_in(tree, item, visit_runtime, record);
	else if (bolt_item_is(item, "spec", false))
		r = check_any(item);
	else
		r = metadata_read_times(item, &container->times);
	if (r == -ENOENT)
		r = ignored(metadata_take_text(item, fields, ARRAY_SIZE(fields), container));
	return metadata_note(record->reading, tree, r);
}

void metadata_container_done(struct metadata_container *container)
{
	static const size_t texts[] = {
		offsetof(struct metadata_container, ns),
		offsetof(struct metadata_container, id),
		offsetof(struct metadata_container, image),
		offsetof(struct metadata_container, runtime),
		offsetof(struct metadata_container, snapshotter),
		offsetof(struct metadata_container, snapshot_key),
		offsetof(struct metadata_container, kind),
		offsetof(struct metadata_container, sandbox_id),
		offsetof(struct metadata_container, pod_name),
		offsetof(struct metadata_container, pod_namespace),
		offsetof(struct metadata_container, pod_uid),
		offsetof(struct metadata_container, container_name),
		offsetof(struct metadata_container, netns),
		offsetof(struct metadata_container, address),
		offsetof(struct metadata_container, cgroup_parent),
		offsetof(struct metadata_container, log_path),
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		free(*text_at(container, texts[i]));
}

/* @record has an id, or finds it in what CRI wrote. */
static int read_container(struct bolt_tree *tree, const struct bolt_bucket *bucket,
			  struct record *record, struct metadata_container **items,
			  size_t *count)
{
	struct metadata_reading *reading = record->reading;
	struct metadata_container *container = &record->container;
	int r = bolt_each(tree, bucket, visit_container, record);

	if (r == 0 && !container->id)
		r = BOLT_VALUE;
	if (r == 0)
		r = metadata_copy_text(reading->ns
					       ?: container->kind ? METADATA_CRI_NAMESPACE
								  : NULL,
				       &container->ns);
	if (r == 0)
		r = metadata_keep(items, count, container, sizeof(*container));
	if (r != 0)
		metadata_container_done(container);
	return metadata_note(reading, tree, r);
}

static int read_item(struct bolt_tree *tree, const struct bolt_item *item,
		     struct metadata_reading *reading, struct metadata_container **items,
		     size_t *count)
{
	struct record record = {.reading = reading};
	struct bolt_bucket bucket;
	int r = bolt_item_key(item, &record.container.id);

	if (r == 0)
		r = bolt_item_bucket(item, &bucket);
	if (r != 0) {
		metadata_container_done(&record.container);
		return metadata_note(reading, tree, r);
	}
	return read_container(tree, &bucket, &record, items, count);
}

int metadata_read_container(struct bolt_tree *tree, const struct bolt_item *item,
			    struct metadata_reading *reading)
{
	return read_item(tree, item, reading, &reading->out->containers,
			 &reading->out->container_count);
}

int metadata_read_lost_container(struct bolt_tree *tree, const struct bolt_bucket *bucket,
				 struct metadata_reading *reading)
{
	struct record record = {.reading = reading};

	return read_container(tree, bucket, &record, &reading->out->containers,
			      &reading->out->container_count);
}

int metadata_read_sandbox(struct bolt_tree *tree, const struct bolt_item *item,
			  struct metadata_reading *reading)
{
	return read_item(tree, item, reading, &reading->out->sandboxes,
			 &reading->out->sandbox_count);
}
