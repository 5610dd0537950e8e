#include "scanners/metadata_carve.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "scanners/bolt_tree.h"
#include "scanners/cleanup.h"
#include "scanners/metadata_owner.h"
#include "scanners/metadata_records.h"

#define MIN_PAGE_SIZE 4096u
#define MAX_PAGE_SIZE 65536u
#define SAMPLE_PAGES 256
/* A record has a dozen members; larger buckets are those that hold the records. */
#define RECORD_MEMBERS 32
#define RECORD_NODES 64

/* What a bucket's items say of the record that it is. */
struct traits {
	bool target, created, spec, runtime, snapshot_key;
	unsigned members;
};

static int visit_traits(struct bolt_tree *tree, const struct bolt_item *item, void *data)
{
	struct traits *traits = data;

	(void)tree;
	if (++traits->members > RECORD_MEMBERS)
		return -E2BIG;
	traits->target |= bolt_item_is(item, "target", true);
	traits->created |= bolt_item_is(item, "createdat", false);
	traits->spec |= bolt_item_is(item, "spec", false);
	traits->runtime |= bolt_item_is(item, "runtime", true);
	traits->snapshot_key |= bolt_item_is(item, "snapshotKey", false);
	return 0;
}

/* -ENOMEM alone ends the carving: whatever else is wrong with a page is why we are here. */
static int carry_on(int outcome)
{
	return outcome == -ENOMEM ? outcome : 0;
}

static bool is_image(const struct traits *traits)
{
	return traits->target && traits->created;
}

static bool is_container(const struct traits *traits)
{
	return traits->created && traits->runtime && (traits->spec || traits->snapshot_key);
}

static int look_at(struct bolt_tree *tree, const struct bolt_bucket *bucket, struct traits *ret)
{
	*ret = (struct traits){0};
	/* A walk of its own each time: pages may be met again, and cycles are bounded. */
	tree->nodes_left = RECORD_NODES;
	return bolt_each(tree, bucket, visit_traits, ret);
}

/* What is carved out of meta.db. */
struct carved {
	struct metadata_owners owners;
	struct metadata_reading reading;
};

static int carve_item(struct bolt_tree *tree, const struct bolt_item *item, void *data)
{
	struct carved *carved = data;
	struct metadata_reading *reading = &carved->reading;
	struct bolt_bucket bucket;
	struct traits traits;
	int r;

	r = bolt_item_bucket(item, &bucket);
	if (r == 0)
		r = look_at(tree, &bucket, &traits);
	if (r != 0)
		return carry_on(r);
	reading->ns = metadata_owner(&carved->owners, bucket.root);
	if (is_image(&traits))
		r = metadata_read_image(tree, item, reading);
	else if (is_container(&traits))
		r = metadata_read_container(tree, item, reading);
	return carry_on(r);
}

/* Where the page is lost that named a container. */
static int carve_lost(struct bolt_tree *tree, uint64_t page, void *data)
{
	struct carved *carved = data;
	struct metadata_reading *reading = &carved->reading;
	struct bolt_bucket bucket = {.root = page};
	struct traits traits;
	int r = look_at(tree, &bucket, &traits);

	reading->ns = metadata_owner(&carved->owners, page);
	if (r == 0 && is_container(&traits))
		r = metadata_read_lost_container(tree, &bucket, reading);
	return carry_on(r);
}

struct carving {
	bolt_visit *item; /* every bucket of a leaf */
	int (*page)(struct bolt_tree *tree, uint64_t page, void *data); /* every leaf, or NULL */
	void *data;
};

static int carve_page(struct bolt_tree *tree, struct bolt_node *node, uint64_t page,
		      const struct carving *carving)
{
	struct bolt_item item = {.node = node};
	int r = bolt_node_load(node, &tree->file, page);

	if (r != 0 || !node->leaf)
		return carry_on(r);
	for (unsigned i = 0; r == 0 && i < node->count; i++) {
		r = bolt_node_element(node, i, &item.element);
		/* After a bad one the others may still do. */
		if (r == 0 && item.element.bucket)
			r = carving->item(tree, &item, carving->data);
		r = carry_on(r);
	}
	return r != 0 || !carving->page ? r : carving->page(tree, page, carving->data);
}

/* How many of the first pages say that they are where they are. */
static unsigned self_consistent(const struct bolt_file *file)
{
	unsigned count = 0;

	for (uint64_t page = BOLT_FIRST_DATA_PAGE; page < SAMPLE_PAGES; page++) {
		struct bolt_page_header header;

		if (bolt_read_header(file, page, &header) != 0)
			continue;
		count += header.id == page &&
			 (header.flags == BOLT_LEAF || header.flags == BOLT_BRANCH);
	}
	return count;
}

static struct bolt_file with_page_size(int fd, uint64_t size, uint32_t page_size)
{
	return (struct bolt_file){
		.fd = fd, .size = size, .page_size = page_size, .high_water = size / page_size};
}

/* As the metas say, else as most of the pages do. */
static struct bolt_file guess_layout(int fd, const struct bolt_finding *finding)
{
	struct bolt_file best = with_page_size(fd, finding->size, MIN_PAGE_SIZE);
	unsigned most = 0;

	if (finding->live_meta >= 0) {
		best = with_page_size(fd, finding->size,
				      finding->meta[finding->live_meta].page_size);
		best.root_page = finding->meta[finding->live_meta].root_page;
		return best;
	}
	for (uint32_t size = MIN_PAGE_SIZE; size <= MAX_PAGE_SIZE; size *= 2) {
		struct bolt_file file = with_page_size(fd, finding->size, size);
		unsigned count = self_consistent(&file);

		if (count > most) {
			most = count;
			best = file;
		}
	}
	return best;
}

/* The same record: its latest version first, and one that has a namespace before one without.
 */
static int compare_versions(const char *ns_a, const char *id_a, const struct metadata_times *a,
			    const char *ns_b, const char *id_b, const struct metadata_times *b)
{
	int order = strcmp(id_a, id_b);

	if (order == 0)
		order = !ns_a - !ns_b;
	if (order == 0 && ns_a)
		order = strcmp(ns_a, ns_b);
	if (order == 0)
		order = (a->updated_sec < b->updated_sec) - (a->updated_sec > b->updated_sec);
	return order;
}

static int compare_images(const void *a, const void *b)
{
	const struct metadata_image *x = a, *y = b;

	return compare_versions(x->ns, x->name, &x->times, y->ns, y->name, &y->times);
}

static int compare_containers(const void *a, const void *b)
{
	const struct metadata_container *x = a, *y = b;

	return compare_versions(x->ns, x->id, &x->times, y->ns, y->id, &y->times);
}

/* Without a namespace it may be any. */
static bool same(const char *ns_a, const char *id_a, const char *ns_b, const char *id_b)
{
	return strcmp(id_a, id_b) == 0 && (!ns_b || (ns_a && strcmp(ns_a, ns_b) == 0));
}

static void drop_older_images(struct metadata *m)
{
	size_t kept = 0;

	if (m->image_count == 0)
		return;
	qsort(m->images, m->image_count, sizeof(*m->images), compare_images);
	for (size_t i = 1; i < m->image_count; i++) {
		struct metadata_image *image = &m->images[i];

		if (same(m->images[kept].ns, m->images[kept].name, image->ns, image->name) &&
		    (image->ns || strcmp(m->images[kept].digest, image->digest) == 0))
			metadata_image_done(image);
		else
			m->images[++kept] = *image;
	}
	m->image_count = kept + 1;
}

static void drop_older_containers(struct metadata *m)
{
	size_t kept = 0;

	if (m->container_count == 0)
		return;
	qsort(m->containers, m->container_count, sizeof(*m->containers), compare_containers);
	for (size_t i = 1; i < m->container_count; i++) {
		struct metadata_container *container = &m->containers[i];

		if (same(m->containers[kept].ns, m->containers[kept].id, container->ns,
			 container->id))
			metadata_container_done(container);
		else
			m->containers[++kept] = *container;
	}
	m->container_count = kept + 1;
}

/* Names without a record: what cannot be had can still be said. */
static int add_lost_images(const struct metadata_owners *owners, struct metadata *m)
{
	size_t found = m->image_count;

	for (size_t i = 0; i < owners->image_count; i++) {
		const struct metadata_name *from = &owners->images[i];
		struct metadata_image image = {0};
		bool known = false;
		int r;

		for (size_t k = 0; k < found && !known; k++)
			known = same(m->images[k].ns, m->images[k].name,
				     owners->namespaces[from->ns], from->name);
		if (known)
			continue;
		r = metadata_copy_text(from->name, &image.name);
		if (r == 0)
			r = metadata_copy_text(owners->namespaces[from->ns], &image.ns);
		if (r == 0)
			r = metadata_keep(&m->images, &m->image_count, &image, sizeof(image));
		if (r < 0) {
			metadata_image_done(&image);
			return r;
		}
	}
	return 0;
}

/* Damage beside the tree does no harm to what is read. */
static int read_whole(struct bolt_tree *tree, struct metadata *metadata)
{
	struct metadata_reading reading = {.out = metadata};
	int r = tree->file.root_page ? metadata_read_tree(tree, &reading) : BOLT_META_INVALID;

	if (r == 0 && !reading.bad_value)
		return 0;
	metadata_done(metadata);
	return r < 0 ? r : BOLT_VALUE;
}

static int carve(struct bolt_tree *tree, const struct carving *carving)
{
	cleanup_bolt_node struct bolt_node node = {0};
	int r = 0;

	for (uint64_t page = BOLT_FIRST_DATA_PAGE; r == 0 && page < tree->file.high_water; page++)
		r = carve_page(tree, &node, page, carving);
	return r;
}

int metadata_carve(int fd, const struct bolt_finding *finding, struct metadata *metadata)
{
	struct carved carved = {.reading = {.out = metadata}};
	const struct carving carving = {carve_item, carve_lost, &carved};
	struct bolt_file file = guess_layout(fd, finding);
	struct bolt_tree tree;
	int r;

	bolt_tree_init(&tree, &file);
	r = read_whole(&tree, metadata);
	if (r == 0 || r == -ENOMEM)
		return r;
	r = metadata_owners_find(&tree, &carved.owners);
	if (r == 0)
		r = carve(&tree, &carving);
	drop_older_images(metadata);
	drop_older_containers(metadata);
	if (r == 0)
		r = add_lost_images(&carved.owners, metadata);
	metadata_owners_done(&carved.owners);
	metadata->carved = true;
	return r;
}

struct each_bucket {
	bolt_visit *visit;
	void *data;
};

static int visit_bucket(struct bolt_tree *tree, const struct bolt_item *item, void *data)
{
	const struct each_bucket *each = data;

	tree->nodes_left = RECORD_NODES;
	return carry_on(each->visit(tree, item, each->data));
}

int metadata_carve_buckets(int fd, const struct bolt_finding *finding, bolt_reader *whole,
			   bolt_visit *visit, void *data)
{
	struct each_bucket each = {visit, data};
	const struct carving carving = {visit_bucket, NULL, &each};
	struct bolt_file file = guess_layout(fd, finding);
	struct bolt_tree tree;

	int r;

	bolt_tree_init(&tree, &file);
	r = file.root_page ? whole(&tree, data) : BOLT_META_INVALID;
	if (r == 0 || r == -ENOMEM)
		return r == 0 ? 1 : r;
	return carve(&tree, &carving);
}
