#include "scanners/bolt_tree.h"

#include <string.h>

#include "scanners/cleanup.h"

#define TRIES 5 /* while a running containerd writes */

void bolt_tree_init(struct bolt_tree *tree, const struct bolt_file *file)
{
	*tree = (struct bolt_tree){.file = *file, .nodes_left = file->high_water};
}

struct bolt_bucket bolt_tree_root(const struct bolt_tree *tree)
{
	return (struct bolt_bucket){.root = tree->file.root_page};
}

static int each_below(struct bolt_tree *tree, uint64_t page, unsigned level, bolt_visit *visit,
		      void *data);

static int each_element(struct bolt_tree *tree, struct bolt_node *node, unsigned level,
			bolt_visit *visit, void *data)
{
	struct bolt_item item = {.node = node};
	int r = 0;

	for (unsigned i = 0; r == 0 && i < node->count; i++) {
		tree->page = node->page;
		r = bolt_node_element(node, i, &item.element);
		if (r != 0)
			break;
		r = node->leaf ? visit(tree, &item, data)
			       : each_below(tree, item.element.child, level + 1, visit, data);
	}
	return r;
}

static int each_below(struct bolt_tree *tree, uint64_t page, unsigned level, bolt_visit *visit,
		      void *data)
{
	cleanup_bolt_node struct bolt_node node = {0};
	int r;

	tree->page = page;
	if (level == BOLT_MAX_DEPTH || tree->nodes_left == 0)
		return BOLT_TOO_DEEP;
	tree->nodes_left--;
	r = bolt_node_load(&node, &tree->file, page);
	return r != 0 ? r : each_element(tree, &node, level, visit, data);
}

int bolt_each(struct bolt_tree *tree, const struct bolt_bucket *bucket, bolt_visit *visit,
	      void *data)
{
	cleanup_bolt_node struct bolt_node node = {0};
	int r;

	if (bucket->root != 0)
		return each_below(tree, bucket->root, 0, visit, data);
	r = bolt_node_load_inline(&node, &tree->file, tree->page, bucket->start, bucket->size);
	return r != 0 ? r : each_element(tree, &node, 0, visit, data);
}

/* Returns 1 if @ret and what was read are of one moment, 0 if not, or -ENOMEM. */
static int read_once(int fd, bolt_reader *read, void *data, struct bolt_finding *ret)
{
	struct bolt_finding now;
	struct bolt_file file;
	struct bolt_tree tree;
	int r;

	bolt_check(fd, ret);
	if (ret->error == -ENOMEM)
		return -ENOMEM;
	if (ret->error == -EAGAIN)
		return 0;
	if (ret->state != BOLT_SOUND)
		return 1;
	if (!bolt_begin(fd, &now, &file))
		return 0;
	bolt_tree_init(&tree, &file);
	r = read(&tree, data);
	if (r == -ENOMEM)
		return r;
	if (r != 0)
		bolt_conclude(r, tree.page, ret);
	return !bolt_was_written(&file);
}

int bolt_read(int fd, bolt_reader *read, void *data, struct bolt_finding *ret)
{
	for (int i = 0; i < TRIES; i++) {
		int r = read_once(fd, read, data, ret);

		if (r != 0)
			return r < 0 ? r : 0;
	}
	bolt_conclude(-EAGAIN, 0, ret);
	return 0;
}

bool bolt_item_is(const struct bolt_item *item, const char *key, bool bucket)
{
	size_t size = strlen(key);

	return item->element.bucket == bucket && item->element.key_size == size &&
	       memcmp(item->element.key, key, size) == 0;
}

int bolt_item_key(const struct bolt_item *item, char **ret)
{
	char *copy;

	if (item->element.key_size == 0 ||
	    memchr(item->element.key, '\0', item->element.key_size))
		return BOLT_VALUE;
	copy = strndup((const char *)item->element.key, item->element.key_size);
	if (!copy)
		return -ENOMEM;
	*ret = copy;
	return 0;
}

int bolt_item_value(const struct bolt_item *item, const uint8_t **ret, size_t *ret_size)
{
	int r;

	if (item->element.bucket || item->element.value_size > BOLT_MAX_VALUE)
		return BOLT_VALUE;
	r = bolt_node_bytes(item->node, item->element.value, item->element.value_size, ret);
	if (r == 0)
		*ret_size = item->element.value_size;
	return r;
}

int bolt_item_bucket(const struct bolt_item *item, struct bolt_bucket *ret)
{
	if (!item->element.bucket)
		return BOLT_VALUE;
	return bolt_node_bucket(item->node, &item->element, ret);
}

int bolt_each_in(struct bolt_tree *tree, const struct bolt_item *item, bolt_visit *visit,
		 void *data)
{
	struct bolt_bucket bucket;
	int r = bolt_item_bucket(item, &bucket);

	return r != 0 ? r : bolt_each(tree, &bucket, visit, data);
}
