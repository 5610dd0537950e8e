#include "scanners/bolt_page.h"

#include <endian.h>
#include <string.h>

#include "scanners/cleanup.h"

/* What of a node is held in memory at a time; more only for a longer key. */
#define WINDOW (64 * 1024)
#define ELEMENT_SIZE 16

static uint16_t get16(const uint8_t *bytes)
{
	uint16_t value;

	memcpy(&value, bytes, sizeof(value));
	return le16toh(value);
}

static uint32_t get32(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return le32toh(value);
}

uint64_t bolt_get64(const uint8_t *bytes)
{
	uint64_t value;

	memcpy(&value, bytes, sizeof(value));
	return le64toh(value);
}

int bolt_pread(int fd, void *buffer, size_t size, uint64_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, (char *)buffer + done, size - done,
				  (off_t)(offset + done));

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

static struct bolt_page_header parse_header(const uint8_t *bytes)
{
	return (struct bolt_page_header){
		.id = bolt_get64(bytes),
		.flags = get16(bytes + 8),
		.count = get16(bytes + 10),
		.overflow = get32(bytes + 12),
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
static int slide(struct bolt_node *node, struct bolt_window *window, uint64_t offset, size_t size)
{
	uint64_t rest = node->size - offset;
	size_t want = rest < WINDOW ? (size_t)rest : WINDOW;
	int r;

	if (want < size)
		want = size;
	if (want > window->room) {
		uint8_t *bigger = realloc(window->bytes, want);

		if (!bigger)
			return -ENOMEM;
		window->bytes = bigger;
		window->room = want;
	}
	window->used = 0;
	r = bolt_pread(node->file->fd, window->bytes, want, node->start + offset);
	if (r < 0)
		return r;
	window->start = offset;
	window->used = want;
	return 0;
}

static const uint8_t *in_window(const struct bolt_window *window, uint64_t offset, size_t size)
{
	if (offset < window->start || offset - window->start > window->used ||
	    size > window->used - (offset - window->start))
		return NULL;
	return window->bytes + (offset - window->start);
}

int bolt_node_bytes(struct bolt_node *node, uint64_t offset, size_t size, const uint8_t **ret)
{
	const uint8_t *bytes;
	int r;

	if (offset > node->size || size > node->size - offset)
		return BOLT_PAGE_BOUNDS;
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

bool bolt_node_is_whole(const struct bolt_node *node)
{
	return node->elements.start == 0 && node->elements.used == node->size;
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

static int check_array(const struct bolt_node *node)
{
	if (BOLT_PAGE_HEADER + (uint64_t)node->count * ELEMENT_SIZE > node->size)
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
	*node = (struct bolt_node){ 0 };
}

/* The words of element @index, which lies in the array behind the header. */
static int element_words(struct bolt_node *node, unsigned index, uint64_t *ret_offset,
			 const uint8_t **ret)
{
	uint64_t offset = BOLT_PAGE_HEADER + (uint64_t)index * ELEMENT_SIZE;
	const uint8_t *bytes = in_window(&node->elements, offset, ELEMENT_SIZE);
	int r;

	if (!bytes) {
		r = slide(node, &node->elements, offset, ELEMENT_SIZE);
		if (r < 0)
			return r;
		bytes = node->elements.bytes;
	}
	*ret_offset = offset;
	*ret = bytes;
	return 0;
}

int bolt_node_element(struct bolt_node *node, unsigned index, struct bolt_element *ret)
{
	struct bolt_element element = { 0 };
	const uint8_t *words;
	uint64_t offset;
	int r = element_words(node, index, &offset, &words);

	if (r != 0)
		return r;
	if (node->leaf) {
		element.bucket = get32(words) & 1;
		offset += get32(words + 4);
		element.key_size = get32(words + 8);
		element.value_size = get32(words + 12);
	} else {
		offset += get32(words);
		element.key_size = get32(words + 4);
		element.child = bolt_get64(words + 8);
	}
	/* Keys and values lie behind the array, inside the node. */
	if (element.key_size > BOLT_MAX_KEY ||
	    offset < BOLT_PAGE_HEADER + (uint64_t)node->count * ELEMENT_SIZE ||
	    offset + element.key_size + element.value_size > node->size)
		return BOLT_PAGE_BOUNDS;
	r = bolt_node_bytes(node, offset, element.key_size, &element.key);
	if (r != 0)
		return r;
	element.value = offset + element.key_size;
	*ret = element;
	return 0;
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
