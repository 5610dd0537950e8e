/*
 * Builds bbolt files for tests and benchmarks: trees are packed from sorted
 * items, a page after the other, without a freelist unless a test adds one.
 * Programmer errors abort: nothing here reads input.
 */
#ifndef TESTS_UNIT_BOLT_BUILD_H
#define TESTS_UNIT_BOLT_BUILD_H

#include <assert.h>
#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct build_item {
	const char *key;
	size_t key_size;
	const void *value;
	size_t value_size;
	bool bucket;
};

struct build {
	int fd;
	uint32_t page_size;
	uint64_t next_page; /* begins at 2 */
	uint64_t txid;
};

static inline void build_put16(void *at, uint16_t value)
{
	value = htole16(value);
	memcpy(at, &value, sizeof(value));
}

static inline void build_put32(void *at, uint32_t value)
{
	value = htole32(value);
	memcpy(at, &value, sizeof(value));
}

static inline void build_put64(void *at, uint64_t value)
{
	value = htole64(value);
	memcpy(at, &value, sizeof(value));
}

static inline struct build_item build_value(const char *key, const void *value, size_t size)
{
	return (struct build_item){key, strlen(key), value, size, false};
}

static inline struct build_item build_text(const char *key, const char *value)
{
	return build_value(key, value, strlen(value));
}

static inline void build_write(const struct build *b, const void *bytes, size_t size,
			       uint64_t at)
{
	ssize_t n = pwrite(b->fd, bytes, size, (off_t)at);

	assert(n == (ssize_t)size);
	(void)n;
}

static inline size_t build_leaf_size(const struct build_item *items, size_t count)
{
	size_t size = 16;

	for (size_t i = 0; i < count; i++)
		size += 16 + items[i].key_size + items[i].value_size;
	return size;
}

/* A leaf page of @items at @page, which has room for build_leaf_size(). */
static inline void build_leaf(uint8_t *page, uint64_t id, const struct build_item *items,
			      size_t count)
{
	uint8_t *data = page + 16 + 16 * count;

	build_put64(page, id);
	build_put16(page + 8, 2);
	build_put16(page + 10, (uint16_t)count);
	for (size_t i = 0; i < count; i++) {
		uint8_t *element = page + 16 + 16 * i;

		build_put32(element, items[i].bucket);
		build_put32(element + 4, (uint32_t)(data - element));
		build_put32(element + 8, (uint32_t)items[i].key_size);
		build_put32(element + 12, (uint32_t)items[i].value_size);
		memcpy(data, items[i].key, items[i].key_size);
		data += items[i].key_size;
		if (items[i].value_size > 0)
			memcpy(data, items[i].value, items[i].value_size);
		data += items[i].value_size;
	}
}

/* Write @size bytes as the next page with its overflow; returns its id. */
static inline uint64_t build_page(struct build *b, uint8_t *bytes, size_t size)
{
	size_t pages = (size + b->page_size - 1) / b->page_size;
	uint64_t id = b->next_page;

	build_put64(bytes, id);
	build_put32(bytes + 12, (uint32_t)(pages - 1));
	build_write(b, bytes, size, id * b->page_size);
	b->next_page += pages;
	return id;
}

/* How many of @items go into one node of at most a page, at least @least. */
static inline size_t build_fit(const struct build *b, const struct build_item *items,
			       size_t count, size_t least)
{
	size_t size = 16, n = 0;

	while (n < count) {
		size += 16 + items[n].key_size + items[n].value_size;
		if (n >= least && size > b->page_size)
			break;
		n++;
	}
	return n;
}

/* Branches over @count nodes whose first keys are @items' and ids @pages'. */
static inline uint64_t build_branches(struct build *b, struct build_item *items,
				      uint64_t *pages, size_t count)
{
	while (count > 1) {
		size_t nodes = 0;

		for (size_t done = 0; done < count;) {
			size_t n = build_fit(b, items + done, count - done, 2);
			size_t size = build_leaf_size(items + done, n);
			uint8_t *bytes = calloc(1, size);
			uint8_t *data = bytes + 16 + 16 * n;

			build_put16(bytes + 8, 1);
			build_put16(bytes + 10, (uint16_t)n);
			for (size_t i = 0; i < n; i++) {
				uint8_t *element = bytes + 16 + 16 * i;

				build_put32(element, (uint32_t)(data - element));
				build_put32(element + 4, (uint32_t)items[done + i].key_size);
				build_put64(element + 8, pages[done + i]);
				memcpy(data, items[done + i].key, items[done + i].key_size);
				data += items[done + i].key_size;
			}
			items[nodes] = items[done];
			pages[nodes++] = build_page(b, bytes, size);
			free(bytes);
			done += n;
		}
		count = nodes;
	}
	return pages[0];
}

/* A tree of @items, sorted by key; returns the page of its root. */
static inline uint64_t build_tree(struct build *b, const struct build_item *items, size_t count)
{
	struct build_item *firsts = calloc(count + 1, sizeof(*firsts));
	uint64_t *pages = calloc(count + 1, sizeof(*pages));
	uint64_t root;
	size_t nodes = 0, done = 0;

	do {
		size_t n = build_fit(b, items + done, count - done, 1);
		size_t size = build_leaf_size(items + done, n);
		uint8_t *bytes = calloc(1, size);

		build_leaf(bytes, 0, items + done, n);
		if (n > 0)
			firsts[nodes] = (struct build_item){
				items[done].key, items[done].key_size, NULL, 0, false};
		pages[nodes++] = build_page(b, bytes, size);
		free(bytes);
		done += n;
	} while (done < count);
	root = build_branches(b, firsts, pages, nodes);
	free(firsts);
	free(pages);
	return root;
}

/* The value of a bucket with its tree at @root, into @value of 16 bytes. */
static inline struct build_item build_bucket(const char *key, uint64_t root, uint8_t *value)
{
	memset(value, 0, 16);
	build_put64(value, root);
	return (struct build_item){key, strlen(key), value, 16, true};
}

/* The value of an inline bucket, into @value of 16 + build_leaf_size() bytes. */
static inline struct build_item build_inline(const char *key, const struct build_item *items,
					     size_t count, uint8_t *value)
{
	size_t size = build_leaf_size(items, count);

	memset(value, 0, 16 + size);
	build_leaf(value + 16, 0, items, count);
	return (struct build_item){key, strlen(key), value, 16 + size, true};
}

static inline void build_meta_of(const struct build *b, int slot, uint64_t root,
				 uint64_t freelist, uint64_t txid)
{
	uint8_t page[80] = {0};
	uint64_t hash = 0xcbf29ce484222325u;

	build_put64(page, (uint64_t)slot);
	build_put16(page + 8, 4);
	build_put32(page + 16, 0xED0CDAEDu);
	build_put32(page + 20, 2);
	build_put32(page + 24, b->page_size);
	build_put64(page + 32, root);
	build_put64(page + 48, freelist);
	build_put64(page + 56, b->next_page);
	build_put64(page + 64, txid);
	for (int i = 16; i < 72; i++)
		hash = (hash ^ page[i]) * 0x100000001b3u;
	build_put64(page + 72, hash);
	build_write(b, page, sizeof(page), (uint64_t)slot * b->page_size);
}

/* The meta pages, and the file as long as its pages. */
static inline void build_finish(const struct build *b, uint64_t root, uint64_t freelist)
{
	int r;

	build_meta_of(b, 0, root, freelist, b->txid);
	build_meta_of(b, 1, root, freelist, b->txid + 1);
	r = ftruncate(b->fd, (off_t)(b->next_page * b->page_size));
	assert(r == 0);
	(void)r;
}

#endif
