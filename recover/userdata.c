#include "recover/userdata.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "recover/pods.h"
#include "scanners/array.h"
#include "scanners/cleanup.h"
#include "scanners/clock.h"
#include "scanners/dir.h"
#include "scanners/inventory.h"
#include "scanners/metadata.h"
#include "scanners/walk.h"

#define KUBERNETES "k8s.io"
#define CRI_CONTAINERS "io.containerd.grpc.v1.cri/containers"

enum { NAME_LONGEST = 253 }; /* of Kubernetes' */

/* Where a ticket has (parts of) a data root: after a restore it holds what the root
 * held meanwhile. */
static const char *const bases[] = { "root", "interim" };

/* The snapshotters whose snapshots are directories, and what a container wrote there. */
static const struct snapshotter {
	const char *name, *below;
	bool overlay;
} snapshotters[] = {
	{ "overlayfs", "/fs", true },
	{ "native", "", false },
};

struct listing {
	const char *base;
	int root_fd;
	const struct inventory *lost;
	struct metadata metadata;
	struct userdata data;
};

/* What becomes a part of a path, or of a line for a person. */
static bool is_name(const char *name)
{
	if (!name || !isalnum((unsigned char)*name) || strlen(name) > NAME_LONGEST)
		return false;
	for (const char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("._-", *c))
			return false;
	return true;
}

static void item_done(struct userdata_item *item)
{
	free(item->container);
	free(item->container_name);
	free(item->pod_namespace);
	free(item->pod_name);
	free(item->path);
}

static int name_pod(struct userdata_item *item, const char *namespace, const char *name)
{
	if (item->pod_name || !is_name(namespace) || !is_name(name))
		return 0;
	item->pod_namespace = strdup(namespace);
	item->pod_name = strdup(name);
	return item->pod_namespace && item->pod_name ? 0 : -ENOMEM;
}

static int name_by_record(struct userdata_item *item, const struct metadata_container *record)
{
	if (!record)
		return 0;
	if (is_name(record->container_name)) {
		item->container_name = strdup(record->container_name);
		if (!item->container_name)
			return -ENOMEM;
	}
	return name_pod(item, record->pod_namespace, record->pod_name);
}

static int name_by_manifest(struct userdata_item *item, const struct inventory *lost)
{
	for (size_t i = 0; i < lost->sandbox_count; i++) {
		const struct sandbox *sandbox = &lost->sandboxes[i];

		for (size_t c = 0; c < sandbox->container_count; c++)
			if (strcmp(sandbox->containers[c].id, item->container) == 0)
				return name_pod(item, sandbox->pod_namespace, sandbox->pod_name);
	}
	return 0;
}

/* Takes @path over, also on failure. */
static int add(struct listing *l, enum userdata_kind kind, const char *id, char *path,
	       const struct metadata_container *record, struct userdata_item **ret)
{
	struct userdata_item *item = path ? ARRAY_ADD(l->data.items, l->data.count) : NULL;
	int r;

	if (!item) {
		free(path);
		return -ENOMEM;
	}
	item->kind = kind;
	item->path = path;
	item->container = strdup(id);
	if (!item->container)
		return -ENOMEM;
	r = name_by_record(item, record);
	if (r == 0)
		r = name_by_manifest(item, l->lost);
	*ret = item;
	return r;
}

static int add_volumes(struct listing *l, int containers_fd, const char *id)
{
	cleanup_fd int fd = dir_open_beneath(containers_fd, id);
	cleanup_fd int volumes_fd = fd < 0 ? -ENOENT : dir_open_beneath(fd, "volumes");
	struct userdata_item *item;

	/* None, or nothing that containerd made. */
	if (volumes_fd < 0 || dir_is_empty(volumes_fd) != 0)
		return 0;
	return add(l, USERDATA_VOLUMES, id, text_print("%s/" CRI_CONTAINERS "/%s/volumes", l->base, id),
		   metadata_find_container(&l->metadata, KUBERNETES, id), &item);
}

static int list_volumes(struct listing *l)
{
	cleanup_fd int cri_fd = dir_open_beneath(l->root_fd, "io.containerd.grpc.v1.cri");
	cleanup_fd int fd = cri_fd < 0 ? cri_fd : dir_open_beneath(cri_fd, "containers");
	cleanup_dir DIR *stream = NULL;
	const char *id;
	int r;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = dir_stream(fd, &stream);
	while (r >= 0 && (r = dir_next(stream, &id, NULL)) > 0)
		r = is_name(id) ? add_volumes(l, fd, id) : 0;
	return r;
}

/* "<ns>/<number>/<key>", the key being the container's id. */
static const char *key_of(const struct metadata_directory *directory)
{
	static const char prefix[] = KUBERNETES "/";
	const char *slash;

	if (strncmp(directory->name, prefix, strlen(prefix)) != 0)
		return NULL;
	slash = strchr(directory->name + strlen(prefix), '/');
	return slash ? slash + 1 : NULL;
}

/* The pause program writes nothing. */
static bool is_sandbox(const struct listing *l, const struct metadata_container *record,
		       const char *id)
{
	if (record && record->kind)
		return strcmp(record->kind, "sandbox") == 0;
	for (size_t i = 0; i < l->lost->sandbox_count; i++)
		if (strcmp(l->lost->sandboxes[i].id, id) == 0)
			return true;
	return false;
}

static int add_layer(struct listing *l, const struct snapshotter *snapshotter,
		     const struct metadata_directory *directory)
{
	const char *key = directory->kind == SNAPSHOT_ACTIVE ? key_of(directory) : NULL;
	const struct metadata_container *record;
	struct userdata_item *item;
	int r;

	if (!key || !is_name(key))
		return 0;
	record = metadata_find_container(&l->metadata, KUBERNETES, key);
	if (is_sandbox(l, record, key))
		return 0;
	r = add(l, USERDATA_LAYER, key,
		text_print("%s/" METADATA_SNAPSHOTTER_DIR "%s/snapshots/%llu%s", l->base,
			   snapshotter->name, (unsigned long long)directory->id, snapshotter->below),
		record, &item);
	if (r == 0)
		item->overlay = snapshotter->overlay;
	return r;
}

static int list_layers(struct listing *l, const struct snapshotter *snapshotter)
{
	cleanup_metadata_directories struct metadata_directories directories = { 0 };
	int r = metadata_read_snapshotter(l->root_fd, snapshotter->name, &directories);

	l->data.carved |= directories.carved;
	l->data.layers_unknown |= directories.finding.state == BOLT_UNREAD ||
				  (directories.carved && directories.count == 0);
	for (size_t i = 0; i < directories.count && r == 0; i++)
		r = add_layer(l, snapshotter, &directories.items[i]);
	return r;
}

static int list_base(const struct ticket *ticket, struct listing *l)
{
	cleanup_fd int fd = dir_open_beneath(ticket->fd, l->base);
	int r;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	l->root_fd = fd;
	r = metadata_read_root(fd, &l->metadata);
	if (r < 0)
		return r;
	l->data.carved |= l->metadata.carved;
	r = list_volumes(l);
	for (size_t i = 0; i < ARRAY_SIZE(snapshotters) && r == 0; i++)
		r = list_layers(l, &snapshotters[i]);
	metadata_done(&l->metadata);
	return r;
}

static int compare_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_pod(struct text_list *pods, const char *namespace, const char *name)
{
	return is_name(namespace) && is_name(name) ?
		       text_list_take(pods, text_print("%s/%s", namespace, name)) : 0;
}

static int list_pods(const struct inventory *lost, struct userdata *data)
{
	struct text_list *pods = &data->pods;
	size_t kept = 0;
	int r = 0;

	for (size_t i = 0; i < data->count && r == 0; i++)
		r = add_pod(pods, data->items[i].pod_namespace, data->items[i].pod_name);
	for (size_t i = 0; i < lost->sandbox_count && r == 0; i++)
		r = add_pod(pods, lost->sandboxes[i].pod_namespace, lost->sandboxes[i].pod_name);
	if (pods->count == 0)
		return r;
	qsort(pods->items, pods->count, sizeof(*pods->items), compare_text);
	for (size_t i = 1; i < pods->count; i++) {
		if (strcmp(pods->items[i], pods->items[kept]) == 0)
			free(pods->items[i]);
		else
			pods->items[++kept] = pods->items[i];
	}
	pods->count = kept + 1;
	return r;
}

/* By pod, then container; what belongs to no known pod comes last. */
static int compare_items(const void *a, const void *b)
{
	const struct userdata_item *x = a, *y = b;
	int order = !x->pod_name - !y->pod_name;

	if (order == 0 && x->pod_name)
		order = strcmp(x->pod_namespace, y->pod_namespace) ?: strcmp(x->pod_name, y->pod_name);
	if (order == 0)
		order = strcmp(x->container, y->container);
	if (order == 0)
		order = (int)x->kind - (int)y->kind;
	return order ?: strcmp(x->path, y->path);
}

int userdata_list(const struct ticket *ticket, struct userdata *ret)
{
	const json_t *listed = json_object_get(ticket->manifest, "lost");
	cleanup_inventory struct inventory lost = { 0 };
	struct listing l = { .lost = &lost };
	int r = listed ? inventory_from_json(listed, &lost) : 0;

	for (size_t i = 0; i < ARRAY_SIZE(bases) && r == 0; i++) {
		l.base = bases[i];
		r = list_base(ticket, &l);
	}
	if (r == 0 && l.data.count > 0)
		qsort(l.data.items, l.data.count, sizeof(*l.data.items), compare_items);
	if (r == 0)
		r = list_pods(&lost, &l.data);
	if (r < 0) {
		userdata_done(&l.data);
		return r;
	}
	*ret = l.data;
	return 0;
}

void userdata_select(struct userdata *data, const char *const *patterns, size_t count,
		     bool volumes_too)
{
	size_t kept = 0;

	for (size_t i = 0; i < data->count; i++) {
		struct userdata_item *item = &data->items[i];
		bool asked = (item->kind == USERDATA_VOLUMES && !volumes_too) ||
			     pods_match(item->pod_namespace, item->pod_name, patterns, count);

		if (asked)
			data->items[kept++] = *item;
		else
			item_done(item);
	}
	data->count = kept;
}

int userdata_open(const struct ticket *ticket, const struct userdata_item *item)
{
	cleanup_free char *path = strdup(item->path);
	cleanup_fd int fd = -EBADF;
	char *save = NULL;

	if (!path)
		return -ENOMEM;
	for (char *part = strtok_r(path, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
		int next = dir_open_beneath(fd < 0 ? ticket->fd : fd, part);

		cleanup_close(&fd);
		fd = next;
		if (fd < 0)
			return fd;
	}
	return take_fd(&fd);
}

static int measure(const struct ticket *ticket, unsigned budget_msec, struct userdata_item *item)
{
	cleanup_fd int fd = userdata_open(ticket, item);
	const struct walk_options options = { .budget_msec = budget_msec, .tag = WALK_MEASURE };
	struct walk_result result;
	int r = fd < 0 ? fd : walk_tree(fd, &options, &result);

	if (r < 0)
		return r;
	item->measured = true;
	item->complete = result.complete && result.error == 0;
	item->entries = result.entries;
	item->bytes = result.bytes;
	return 0;
}

int userdata_measure(const struct ticket *ticket, unsigned budget_msec, struct userdata *data)
{
	int64_t deadline = clock_msec() + budget_msec;

	for (size_t i = 0; i < data->count; i++) {
		int64_t left = deadline - clock_msec();

		if (budget_msec && left <= 0)
			break;
		/* Not measured is said; why, is of no interest. */
		if (measure(ticket, budget_msec ? (unsigned)left : 0, &data->items[i]) == -ENOMEM)
			return -ENOMEM;
	}
	return 0;
}

static const char *kind_name(enum userdata_kind kind)
{
	return kind == USERDATA_VOLUMES ? "volumes" : "writable layer";
}

json_t *userdata_to_json(const struct userdata *data)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < data->count; i++) {
		const struct userdata_item *item = &data->items[i];
		json_t *json = json_pack("{s:s, s:s?, s:s?, s:s, s:s?, s:s, s:I, s:I, s:b}", "kind",
					 kind_name(item->kind), "namespace",
					 item->pod_namespace, "pod", item->pod_name, "container",
					 item->container, "container_name", item->container_name,
					 "path", item->path, "entries", (json_int_t)item->entries,
					 "bytes", (json_int_t)item->bytes, "complete", item->complete);

		if (json_array_append_new(list, json) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

void userdata_done(struct userdata *data)
{
	for (size_t i = 0; i < data->count; i++)
		item_done(&data->items[i]);
	free(data->items);
	text_list_done(&data->pods);
	*data = (struct userdata){ 0 };
}
