/*
 * The parts of a bbolt file: meta pages, the freelist's page, and the nodes of
 * the trees (go.etcd.io/bbolt, internal/common). What scanners/bolt*.c share.
 *
 * Functions that return "0, damage or errno" give 0, an enum bolt_damage
 * (positive), or a negative errno from reading. Read with pread(2) alone: a
 * file that is cut short under us is -ENODATA, not a SIGBUS.
 */
#ifndef SCANNERS_BOLT_PAGE_H
#define SCANNERS_BOLT_PAGE_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "scanners/bolt.h"

#define BOLT_NO_FREELIST UINT64_MAX /* since containerd 1.7, in meta.db */
#define BOLT_PAGE_HEADER 16
#define BOLT_ELEMENT_SIZE 16
#define BOLT_BUCKET_HEADER 16 /* of a sub-bucket's value, before an inline page */
#define BOLT_MAX_KEY 32768
#define BOLT_FIRST_DATA_PAGE 2

/*
 * A tree has four levels even with a million keys. What is deeper does not come
 * from bbolt.
 */
#define BOLT_MAX_DEPTH 16

enum bolt_page_flag {
	BOLT_BRANCH = 0x01,
	BOLT_LEAF = 0x02,
	BOLT_META = 0x04,
	BOLT_FREE = 0x10,
};

/* A part of a node, or of the file, in memory. */
struct bolt_window {
	uint8_t *bytes;
	size_t room, used;
	uint64_t start; /* its offset there */
};

/* For who reads most of a file and knows in which order. */
struct bolt_ahead {
	struct bolt_window blocks[2];
	bool latest;
};

#define BOLT_AHEAD (128 * 1024)

/* Returns 0, or -ENOMEM; to be ended with bolt_ahead_done() either way. */
int bolt_ahead_init(struct bolt_ahead *ahead);
void bolt_ahead_done(struct bolt_ahead *ahead);

/* A file with a live meta page; what a reader needs of it. */
struct bolt_file {
	int fd;
	uint64_t size;
	uint32_t page_size;
	uint64_t root_page, freelist_page, high_water, txid;
	struct bolt_ahead *ahead; /* the reader's, or NULL */
};

/*
 * Read @size bytes (at most BOLT_AHEAD) at @offset in one go, for the nodes in
 * them; what cannot be read is left to those who ask for it.
 */
void bolt_read_ahead(const struct bolt_file *file, uint64_t offset, size_t size);
bool bolt_is_ahead(const struct bolt_file *file, uint64_t page);

/*
 * Open @name below @dirfd for reading. Returns an fd, or -1 with @ret telling
 * why not: absent, not a file, a link (unread, -ELOOP) or unread.
 */
int bolt_open_at(int dirfd, const char *name, struct bolt_finding *ret);

/* All of @size bytes at @offset. Returns 0, or a negative errno; -ENODATA beyond the end. */
int bolt_pread(int fd, void *buffer, size_t size, uint64_t offset);

/*
 * Read the two meta pages of @fd, whose @ret->size is known, into @ret and the
 * live one into @ret_file. Returns 0, damage or errno.
 */
int bolt_read_metas(int fd, struct bolt_finding *ret, struct bolt_file *ret_file);

/*
 * fstat() @fd, then bolt_read_metas(). Returns 1 if @ret_file is good, else 0
 * with @ret telling why not.
 */
int bolt_begin(int fd, struct bolt_finding *ret, struct bolt_file *ret_file);

/*
 * Let @look fill @ret and @file, again if damage was found while a writer
 * committed: pages of the tree that was begun with may be another's by then.
 * If that never ends, @ret is BOLT_UNREAD with -EAGAIN: no proof of damage.
 */
void bolt_look(int fd, void (*look)(int fd, struct bolt_finding *ret, struct bolt_file *file),
	       struct bolt_finding *ret);

/* Did a writer commit since @file was begun? */
bool bolt_was_written(const struct bolt_file *file);

/* Put "0, damage or errno" of page @page into @ret. */
void bolt_conclude(int outcome, uint64_t page, struct bolt_finding *ret);

struct bolt_page_header {
	uint64_t id;
	unsigned flags, count;
	uint32_t overflow; /* further pages of the same node */
};

int bolt_read_header(const struct bolt_file *file, uint64_t page, struct bolt_page_header *ret);

/* Is the freelist's page one, and inside the file? Returns 0, damage or errno. */
int bolt_check_freelist_page(const struct bolt_file *file, struct bolt_page_header *ret);

/*
 * A node of a tree: a page with its overflow pages, or a page inside a value
 * (an inline bucket). Memory is bounded whatever the node's size. Zero it
 * before its first use; it may be loaded again and again.
 */
struct bolt_node {
	const struct bolt_file *file;
	uint64_t page;	/* the (outer) page, for findings */
	uint64_t pages; /* how many, with overflow; 0 for an inline node */
	uint64_t start; /* offset in the file */
	uint64_t size;	/* bytes it may use */
	bool leaf;
	bool whole; /* all in memory: pointers into it are valid until it is loaded again */
	unsigned count;
	struct bolt_window elements, data;
};

/* Load the node at page @page. Returns 0, damage or errno. */
int bolt_node_load(struct bolt_node *node, const struct bolt_file *file, uint64_t page);

/* Load the inline page of @size bytes at @start of the file, found on @page. */
int bolt_node_load_inline(struct bolt_node *node, const struct bolt_file *file, uint64_t page,
			  uint64_t start, uint64_t size);

void bolt_node_done(struct bolt_node *node);
#define cleanup_bolt_node __attribute__((cleanup(bolt_node_done)))

struct bolt_element {
	const uint8_t *key; /* valid until the next element is read, see bolt_node.whole */
	size_t key_size;
	uint64_t child;	   /* branch: the page below */
	bool bucket;	   /* leaf: the value is a bucket's header */
	uint64_t value;	   /* leaf: offset of the value in the node */
	size_t value_size; /* leaf */
};

/* Of integers in the file, wherever they lie. */
static inline uint16_t bolt_get16(const uint8_t *bytes)
{
	uint16_t value;

	memcpy(&value, bytes, sizeof(value));
	return le16toh(value);
}

static inline uint32_t bolt_get32(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return le32toh(value);
}

static inline uint64_t bolt_get64(const uint8_t *bytes)
{
	uint64_t value;

	memcpy(&value, bytes, sizeof(value));
	return le64toh(value);
}

/*
 * All but the key of the element whose words are @words, at @offset of the node.
 * Key and value lie behind the array and inside the node. Inline, and member by
 * member, because this is where a check spends its time.
 */
static inline int bolt_parse_element(const struct bolt_node *node, uint64_t offset,
				     const uint8_t *words, struct bolt_element *ret)
{
	uint64_t key;

	if (node->leaf) {
		ret->bucket = words[0] & 1;
		ret->child = 0;
		key = offset + bolt_get32(words + 4);
		ret->key_size = bolt_get32(words + 8);
		ret->value_size = bolt_get32(words + 12);
	} else {
		ret->bucket = false;
		ret->child = bolt_get64(words + 8);
		key = offset + bolt_get32(words);
		ret->key_size = bolt_get32(words + 4);
		ret->value_size = 0;
	}
	ret->value = key + ret->key_size;
	if (ret->key_size > BOLT_MAX_KEY ||
	    key < BOLT_PAGE_HEADER + (uint64_t)node->count * BOLT_ELEMENT_SIZE ||
	    ret->value + ret->value_size > node->size)
		return BOLT_PAGE_BOUNDS;
	return 0;
}

/* bolt_node_element() of a node that is not whole. */
int bolt_node_element_apart(struct bolt_node *node, unsigned index, struct bolt_element *ret);

/* Element @index (below count), bounds checked. Returns 0, damage or errno. */
static inline int bolt_node_element(struct bolt_node *node, unsigned index,
				    struct bolt_element *ret)
{
	uint64_t offset = BOLT_PAGE_HEADER + (uint64_t)index * BOLT_ELEMENT_SIZE;
	int r;

	if (!node->whole)
		return bolt_node_element_apart(node, index, ret);
	r = bolt_parse_element(node, offset, node->elements.bytes + offset, ret);
	if (r == 0)
		ret->key = node->elements.bytes + ret->value - ret->key_size;
	return r;
}

/*
 * @size bytes at @offset of the node, valid until the next element or value is
 * read. Returns 0, damage or errno.
 */
int bolt_node_bytes(struct bolt_node *node, uint64_t offset, size_t size, const uint8_t **ret);

/* Where a sub-bucket's tree begins. */
struct bolt_bucket {
	uint64_t root;	      /* page, or 0: inline */
	uint64_t start, size; /* of the inline page, in the file */
};

int bolt_node_bucket(struct bolt_node *node, const struct bolt_element *element,
		     struct bolt_bucket *ret);

/* Load the root node of @bucket, which was found on page @page. */
int bolt_node_load_bucket(struct bolt_node *node, const struct bolt_file *file, uint64_t page,
			  const struct bolt_bucket *bucket);

#endif
