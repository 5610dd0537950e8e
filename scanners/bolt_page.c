#include "scanners/bolt_page.h"

#include <string.h>

#include "scanners/cleanup.h"

/* What of a node is held in memory at a time; more only for a longer key. */
#define WINDOW (64 * 1024)

int bolt_pread(int fd, void *buffer, size_t size, uint64_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n =
			pread(fd, (char *)buffer + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ENODATA;
		done += (size_t)n;
	}
	return 0;
}

static const uint8_t *in_window(const struct bolt_window *window, uint64_t offset, size_t size)
{
	if (offset < window->start || offset - window->start > window->used ||
	    size > window->used - (offset - window->start))
		return NULL;
	return window->bytes + (offset - window->start);
}

int bolt_ahead_init(struct bolt_ahead *ahead)
{
	*ahead = (struct bolt_ahead){0};
	for (int i = 0; i < 2; i++)
		ahead->blocks[i].bytes = malloc(BOLT_AHEAD);
	return ahead->blocks[0].bytes && ahead->blocks[1].bytes ? 0 : -ENOMEM;
}

void bolt_ahead_done(struct bolt_ahead *ahead)
{
	free(ahead->blocks[0].bytes);
	free(ahead->blocks[1].bytes);
	*ahead = (struct bolt_ahead){0};
}

static const uint8_t *in_blocks(const struct bolt_ahead *ahead, uint64_t offset, size_t size)
{
	const uint8_t *bytes = in_window(&ahead->blocks[ahead->latest], offset, size);

	return bytes ?: in_window(&ahead->blocks[!ahead->latest], offset, size);
}

void bolt_read_ahead(const struct bolt_file *file, uint64_t offset, size_t size)
{
	struct bolt_ahead *ahead = file->ahead;
	struct bolt_window *block = &ahead->blocks[!ahead->latest];

	block->start = offset;
	block->used = 0;
	if (bolt_pread(file->fd, block->bytes, size, offset) == 0)
		block->used = size;
	ahead->latest = !ahead->latest;
}

bool bolt_is_ahead(const struct bolt_file *file, uint64_t page)
{
	return in_blocks(file->ahead, page * file->page_size, file->page_size);
}

static int read_file(const struct bolt_file *file, uint8_t *buffer, size_t size,
		     uint64_t offset)
{
	const uint8_t *bytes = file->ahead ? in_blocks(file->ahead, offset, size) : NULL;

	if (!bytes)
		return bolt_pread(file->fd, buffer, size, offset);
	memcpy(buffer, bytes, size);
	return 0;
}

static struct bolt_page_header parse_header(const uint8_t *bytes)
{
	return (struct bolt_page_header){
		.id = bolt_get64(bytes),
		.flags = bolt_get16(bytes + 8),
		.count = bolt_get16(bytes + 10),
		.overflow = bolt_get32(bytes + 12),
	};
}

int bolt_read_header(const struct bolt_file *file, uint64_t page, struct bolt_page_header *ret)
{
	uint8_t bytes[BOLT_PAGE_HEADER];
	int r;

	if (page < BOLT_FIRST_DATA_PAGE || page >= file->high_water)
		return BOLT_PAGE_RANGE;
	r = bolt_pread(file->fd, bytes, sizeof(bytes), page * file->page_size);
	if (r < 0)
		return r;
	*ret = parse_header(bytes);
	return 0;
}

int bolt_check_freelist_page(const struct bolt_file *file, struct bolt_page_header *ret)
{
	int r = bolt_read_header(file, file->freelist_page, ret);

	if (r == BOLT_PAGE_RANGE)
		return BOLT_FREELIST;
	if (r != 0)
		return r;
	if (ret->flags != BOLT_FREE || ret->id != file->freelist_page ||
	    ret->overflow >= file->high_water - file->freelist_page)
		return BOLT_FREELIST;
	return 0;
}

/*
 * Bring @size bytes at @offset of the node into @window, which reads ahead.
 * The caller has checked them against the node's size.
 */
static int slide(struct bolt_node *node, struct bolt_window *window, uint64_t offset,
		 size_t size)
{
	uint64_t rest = node->size - offset;
	size_t want = rest < WINDOW ? (size_t)rest : WINDOW;
	int r;

	if (want < size)
		want = size;
	if (!window->bytes || want > window->room) {
		uint8_t *bigger = realloc(window->bytes, want);

		if (!bigger)
			return -ENOMEM;
		window->bytes = bigger;
		window->room = want;
	}
	window->used = 0;
	r = read_file(node->file, window->bytes, want, node->start + offset);
	if (r < 0)
		return r;
	window->start = offset;
	window->used = want;
	return 0;
}

int bolt_node_bytes(struct bolt_node *node, uint64_t offset, size_t size, const uint8_t **ret)
{
	const uint8_t *bytes;
	int r;

	if (offset > node->size || size > node->size - offset)
		return BOLT_PAGE_BOUNDS;
	if (size == 0) {
		*ret = node->elements.bytes;
		return 0;
	}
	bytes = in_window(&node->elements, offset, size);
	if (!bytes)
		bytes = in_window(&node->data, offset, size);
	if (!bytes) {
		r = slide(node, &node->data, offset, size);
		if (r < 0)
			return r;
		bytes = node->data.bytes;
	}
	*ret = bytes;
	return 0;
}

static void begin_node(struct bolt_node *node, const struct bolt_file *file, uint64_t page,
		       uint64_t start, uint64_t size)
{
	node->file = file;
	node->page = page;
	node->pages = 0;
	node->start = start;
	node->size = size;
	node->elements.used = 0;
	node->data.used = 0;
}

/* The header's claims that hold for every node. */
static int accept_header(struct bolt_node *node, const struct bolt_page_header *header)
{
	if (header->flags != BOLT_BRANCH && header->flags != BOLT_LEAF)
		return BOLT_PAGE_TYPE;
	node->leaf = header->flags == BOLT_LEAF;
	node->count = header->count;
	/* A branch without children makes bbolt index past its end. */
	if (!node->leaf && node->count == 0)
		return BOLT_PAGE_BOUNDS;
	return 0;
}

static int check_array(struct bolt_node *node)
{
	node->whole = node->elements.used == node->size;
	if (BOLT_PAGE_HEADER + (uint64_t)node->count * BOLT_ELEMENT_SIZE > node->size)
		return BOLT_PAGE_BOUNDS;
	return 0;
}

int bolt_node_load(struct bolt_node *node, const struct bolt_file *file, uint64_t page)
{
	struct bolt_page_header header;
	int r;

	if (page < BOLT_FIRST_DATA_PAGE || page >= file->high_water)
		return BOLT_PAGE_RANGE;
	begin_node(node, file, page, page * file->page_size, file->page_size);
	r = slide(node, &node->elements, 0, file->page_size);
	if (r < 0)
		return r;
	header = parse_header(node->elements.bytes);
	r = accept_header(node, &header);
	if (r != 0)
		return r;
	if (header.id != page)
		return BOLT_PAGE_ID;
	if (header.overflow >= file->high_water - page)
		return BOLT_PAGE_RANGE;
	node->pages = 1 + (uint64_t)header.overflow;
	if (header.overflow > 0) {
		node->size = node->pages * file->page_size;
		r = slide(node, &node->elements, 0, BOLT_PAGE_HEADER);
		if (r < 0)
			return r;
	}
	return check_array(node);
}

int bolt_node_load_inline(struct bolt_node *node, const struct bolt_file *file, uint64_t page,
			  uint64_t start, uint64_t size)
{
	struct bolt_page_header header;
	int r;

	begin_node(node, file, page, start, size);
	if (size < BOLT_PAGE_HEADER)
		return BOLT_PAGE_BOUNDS;
	r = slide(node, &node->elements, 0, BOLT_PAGE_HEADER);
	if (r < 0)
		return r;
	header = parse_header(node->elements.bytes);
	r = accept_header(node, &header);
	if (r != 0)
		return r;
	if (!node->leaf)
		return BOLT_PAGE_TYPE;
	return check_array(node);
}

int bolt_node_load_bucket(struct bolt_node *node, const struct bolt_file *file, uint64_t page,
			  const struct bolt_bucket *bucket)
{
	if (bucket->root != 0)
		return bolt_node_load(node, file, bucket->root);
	return bolt_node_load_inline(node, file, page, bucket->start, bucket->size);
}

void bolt_node_done(struct bolt_node *node)
{
	free(node->elements.bytes);
	free(node->data.bytes);
	*node = (struct bolt_node){0};
}

/* The words of element @index, which lies in the array behind the header. */
static int element_words(struct bolt_node *node, uint64_t offset, const uint8_t **ret)
{
	const uint8_t *bytes = in_window(&node->elements, offset, BOLT_ELEMENT_SIZE);
	int r;

	if (!bytes) {
		r = slide(node, &node->elements, offset, BOLT_ELEMENT_SIZE);
		if (r < 0)
			return r;
		bytes = node->elements.bytes;
	}
	*ret = bytes;
	return 0;
}

int bolt_node_element_apart(struct bolt_node *node, unsigned index, struct bolt_element *ret)
{
	uint64_t offset = BOLT_PAGE_HEADER + (uint64_t)index * BOLT_ELEMENT_SIZE;
	const uint8_t *words;
	int r = element_words(node, offset, &words);

	if (r == 0)
		r = bolt_parse_element(node, offset, words, ret);
	if (r != 0)
		return r;
	return bolt_node_bytes(node, ret->value - ret->key_size, ret->key_size, &ret->key);
}

int bolt_node_bucket(struct bolt_node *node, const struct bolt_element *element,
		     struct bolt_bucket *ret)
{
	const uint8_t *bytes;
	int r;

	if (element->value_size < BOLT_BUCKET_HEADER)
		return BOLT_PAGE_BOUNDS;
	r = bolt_node_bytes(node, element->value, BOLT_BUCKET_HEADER, &bytes);
	if (r != 0)
		return r;
	*ret = (struct bolt_bucket){
		.root = bolt_get64(bytes),
		.start = node->start + element->value + BOLT_BUCKET_HEADER,
		.size = element->value_size - BOLT_BUCKET_HEADER,
	};
	return 0;
}
