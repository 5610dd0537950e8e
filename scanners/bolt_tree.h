/*
 * Reading what a bbolt file holds: the items of a bucket, one after the other.
 * Survives any file, sound or not; an unsound one ends with its damage.
 */
#ifndef SCANNERS_BOLT_TREE_H
#define SCANNERS_BOLT_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scanners/bolt_page.h"

/* No value of containerd's comes near: an OCI specification has some 20 KiB. */
#define BOLT_MAX_VALUE (8u << 20)

struct bolt_tree {
	struct bolt_file file;
	uint64_t nodes_left; /* a walk that meets more than there are pages is in a cycle */
	uint64_t page;	     /* where reading is, for findings */
};

void bolt_tree_init(struct bolt_tree *tree, const struct bolt_file *file);

/* The bucket of buckets. */
struct bolt_bucket bolt_tree_root(const struct bolt_tree *tree);

struct bolt_item {
	struct bolt_node *node;
	struct bolt_element element; /* its key: until a value is read */
};

/*
 * Call @visit with every item of @bucket in the order of their keys. It returns
 * 0 to go on; anything else ends the walk and is returned.
 *
 * Returns 0, damage or errno.
 */
typedef int bolt_visit(struct bolt_tree *tree, const struct bolt_item *item, void *data);
int bolt_each(struct bolt_tree *tree, const struct bolt_bucket *bucket, bolt_visit *visit,
	      void *data);

/*
 * Check the whole of @fd, and let @read take what it wants of a sound tree. It
 * begins anew each time that it is called, which is again if a writer committed
 * meanwhile; it returns 0, damage (at tree->page) or errno.
 *
 * Returns 0 with @ret telling what was found, -EAGAIN behind BOLT_UNREAD if
 * there was no quiet moment; or -ENOMEM. Only with SOUND, or DAMAGED by
 * BOLT_VALUE, did @read see all of it.
 */
typedef int bolt_reader(struct bolt_tree *tree, void *data);
int bolt_read(int fd, bolt_reader *read, void *data, struct bolt_finding *ret);

/* Has @item the key @key, and is it a bucket if @bucket, else a value? */
bool bolt_item_is(const struct bolt_item *item, const char *key, bool bucket);

/* A copy of the key, the caller's. Returns 0, BOLT_VALUE for no C string, or errno. */
int bolt_item_key(const struct bolt_item *item, char **ret);

/*
 * The value, which is valid until another item of its bucket is looked at.
 * Returns 0, damage or errno; BOLT_VALUE if the item is a bucket, or above
 * BOLT_MAX_VALUE.
 */
int bolt_item_value(const struct bolt_item *item, const uint8_t **ret, size_t *ret_size);

/* The bucket that @item is. Returns 0, damage or errno; BOLT_VALUE if it is none. */
int bolt_item_bucket(const struct bolt_item *item, struct bolt_bucket *ret);

/* bolt_each() in the bucket that @item is. */
int bolt_each_in(struct bolt_tree *tree, const struct bolt_item *item, bolt_visit *visit,
		 void *data);

#endif
