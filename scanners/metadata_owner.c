#include "scanners/metadata_owner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/metadata_records.h"

/* A namespace has eight items at most. */
#define NAMESPACE_NODES 4
/* Old pages lead to the same records again and again: nodes read for each page of the file. */
#define NODES_PER_PAGE 16

struct search {
	struct metadata_owners owners;
	uint64_t nodes_left; /* of all walks of records */
	bool live;
	size_t ns; /* where reading is */
};

/* -ENOMEM alone ends the search. */
static int carry_on(int outcome)
{
	return outcome == -ENOMEM ? outcome : 0;
}

static int add_namespace(struct metadata_owners *owners, char *name, size_t *ret)
{
	int r;

	for (size_t i = 0; i < owners->namespace_count; i++)
		if (strcmp(owners->namespaces[i], name) == 0) {
			free(name);
			*ret = i;
			return 0;
		}
	r = metadata_keep(&owners->namespaces, &owners->namespace_count, &name, sizeof(name));
	if (r < 0) {
		free(name);
		return r;
	}
	*ret = owners->namespace_count - 1;
	return 0;
}

static int visit_record(struct bolt_tree *tree, const struct bolt_item *item, void *data)
{
	struct search *search = data;
	struct metadata_owners *owners = &search->owners;
	struct metadata_claim claim = {.ns = search->ns, .live = search->live};
	struct bolt_bucket bucket;

	(void)tree;
	if (!item->element.bucket || bolt_item_bucket(item, &bucket) != 0 || bucket.root == 0)
		return 0;
	claim.page = bucket.root;
	return metadata_keep(&owners->claims, &owners->count, &claim, sizeof(claim));
}

static int visit_image_name(struct bolt_tree *tree, const struct bolt_item *item, void *data)
{
	struct search *search = data;
	struct metadata_owners *owners = &search->owners;
	struct metadata_name image = {.ns = search->ns};
	int r = visit_record(tree, item, data);

	if (r < 0 || !search->live || !item->element.bucket)
		return r;
	r = bolt_item_key(item, &image.name);
	if (r == 0)
		r = metadata_keep(&owners->images, &owners->image_count, &image, sizeof(image));
	if (r != 0)
		free(image.name);
	return carry_on(r);
}

static int visit_kind(struct bolt_tree *tree, const struct bolt_item *item, void *data)
{
	struct search *search = data;
	uint64_t nodes = tree->nodes_left;
	bool images = bolt_item_is(item, "images", true);
	int r;

	if (!images && !bolt_item_is(item, "containers", true))
		return 0;
	tree->nodes_left = search->nodes_left;
	r = bolt_each_in(tree, item, images ? visit_image_name : visit_record, search);
	search->nodes_left = tree->nodes_left;
	tree->nodes_left = nodes;
	return carry_on(r);
}

/* A namespace has nothing but buckets, and no others than these. */
static int visit_namespace_item(struct bolt_tree *tree, const struct bolt_item *item,
				void *data)
{
	static const char *const kinds[] = {"images", "containers", "snapshots", "content",
					    "leases", "sandboxes",  "labels",	 "indexes"};
	unsigned *known = data;

	(void)tree;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (bolt_item_is(item, kinds[i], true)) {
			(*known)++;
			return 0;
		}
	return BOLT_VALUE;
}

static int look_into(struct bolt_tree *tree, const struct bolt_item *item,
		     struct search *search)
{
	struct bolt_bucket bucket;
	unsigned known = 0;
	char *name = NULL;
	int r;

	if (!item->element.bucket || bolt_item_bucket(item, &bucket) != 0)
		return 0;
	tree->nodes_left = NAMESPACE_NODES;
	r = bolt_each(tree, &bucket, visit_namespace_item, &known);
	if (r != 0 || known == 0)
		return carry_on(r);
	r = bolt_item_key(item, &name);
	if (r == 0)
		r = add_namespace(&search->owners, name, &search->ns);
	tree->nodes_left = NAMESPACE_NODES;
	if (r == 0)
		r = bolt_each(tree, &bucket, visit_kind, search);
	return carry_on(r);
}

static int visit_version_item(struct bolt_tree *tree, const struct bolt_item *item, void *data)
{
	uint64_t nodes = tree->nodes_left;
	int r = look_into(tree, item, data);

	tree->nodes_left = nodes;
	return r;
}

static int visit_root_item(struct bolt_tree *tree, const struct bolt_item *item, void *data)
{
	if (!bolt_item_is(item, "v1", true))
		return 0;
	return carry_on(bolt_each_in(tree, item, visit_version_item, data));
}

static int search_page(struct bolt_tree *tree, struct bolt_node *node, uint64_t page,
		       struct search *search)
{
	struct bolt_item item = {.node = node};
	int r = bolt_node_load(node, &tree->file, page);

	if (r != 0 || !node->leaf)
		return carry_on(r);
	for (unsigned i = 0; r == 0 && i < node->count; i++) {
		r = bolt_node_element(node, i, &item.element);
		r = r == 0 ? look_into(tree, &item, search) : carry_on(r);
	}
	return r;
}

static int compare_claims(const void *a, const void *b)
{
	const struct metadata_claim *x = a, *y = b;

	if (x->page != y->page)
		return x->page < y->page ? -1 : 1;
	return y->live - x->live;
}

int metadata_owners_find(struct bolt_tree *tree, struct metadata_owners *ret)
{
	cleanup_bolt_node struct bolt_node node = {0};
	struct bolt_bucket root = bolt_tree_root(tree);
	struct search search = {.live = true,
				.nodes_left = tree->file.high_water * NODES_PER_PAGE};
	int r = 0;

	if (root.root != 0)
		r = carry_on(bolt_each(tree, &root, visit_root_item, &search));
	search.live = false;
	for (uint64_t page = BOLT_FIRST_DATA_PAGE; r == 0 && page < tree->file.high_water; page++)
		r = search_page(tree, &node, page, &search);
	if (r < 0) {
		metadata_owners_done(&search.owners);
		return r;
	}
	if (search.owners.count > 0)
		qsort(search.owners.claims, search.owners.count, sizeof(*search.owners.claims),
		      compare_claims);
	*ret = search.owners;
	return 0;
}

const char *metadata_owner(const struct metadata_owners *owners, uint64_t page)
{
	const struct metadata_claim *claims = owners->claims;
	size_t low = 0, high = owners->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (claims[middle].page < page)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == owners->count || claims[low].page != page)
		return NULL;
	for (size_t i = low + 1; i < owners->count && claims[i].page == page; i++)
		if (claims[i].live == claims[low].live && claims[i].ns != claims[low].ns)
			return NULL;
	return owners->namespaces[claims[low].ns];
}

void metadata_owners_done(struct metadata_owners *owners)
{
	for (size_t i = 0; i < owners->namespace_count; i++)
		free(owners->namespaces[i]);
	for (size_t i = 0; i < owners->image_count; i++)
		free(owners->images[i].name);
	free(owners->images);
	free(owners->namespaces);
	free(owners->claims);
	*owners = (struct metadata_owners){0};
}
