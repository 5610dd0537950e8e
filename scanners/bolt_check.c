#include <string.h>

#include "scanners/bolt.h"
#include "scanners/bolt_page.h"
#include "scanners/cleanup.h"

#define BLOCK (64 * 1024)
#define SPARSE 8 /* read ahead if one page of so many is wanted */
#define BEHIND 8 /* pages; bbolt writes what is below a page just before it */

/* A key that outlives its window: a pointer into a whole node, or a copy. */
struct kept_key {
	const uint8_t *bytes; /* NULL: none */
	size_t size;
	uint8_t *copy;
	size_t room;
};

struct level {
	struct bolt_node node;
	unsigned next;
	bool above_leaves;	  /* a branch whose children were seen to be leaves */
	struct kept_key previous; /* the key before element next */
	struct kept_key bound;	  /* the key behind this node's in its parent */
	const struct kept_key *lower, *upper; /* NULL: unbounded */
};

/*
 * Each bucket is a tree of its own. The roots of those that were met are kept
 * as bits and taken in the order of the file, which is read but once that way.
 */
struct check {
	struct bolt_file file;
	struct bolt_ahead ahead;
	uint64_t *seen;	 /* a bit a page: reached, or in the freelist */
	uint64_t *roots; /* a bit a page: a bucket's, yet to be walked */
	uint64_t root_count;
	uint64_t next_root; /* where to look for one */
	uint64_t page;	    /* where the check is, for the finding */
	uint8_t *block;	    /* for reading what is not looked at */
	struct level *levels;
	unsigned depth;
};

static void check_done(struct check *check)
{
	for (unsigned i = 0; check->levels && i < BOLT_MAX_DEPTH; i++) {
		bolt_node_done(&check->levels[i].node);
		free(check->levels[i].previous.copy);
		free(check->levels[i].bound.copy);
	}
	bolt_ahead_done(&check->ahead);
	free(check->levels);
	free(check->block);
	free(check->roots);
	free(check->seen);
}

static int check_init(struct check *check, const struct bolt_file *file)
{
	check->file = *file;
	check->file.ahead = &check->ahead;
	if (bolt_ahead_init(&check->ahead) < 0)
		return -ENOMEM;
	check->seen = calloc(file->high_water / 64 + 1, sizeof(uint64_t));
	check->roots = calloc(file->high_water / 64 + 1, sizeof(uint64_t));
	check->block = malloc(BLOCK);
	check->levels = calloc(BOLT_MAX_DEPTH, sizeof(struct level));
	return check->seen && check->roots && check->block && check->levels ? 0 : -ENOMEM;
}

static bool get_bit(const uint64_t *bits, uint64_t page)
{
	return bits[page / 64] >> (page % 64) & 1;
}

static void set_bit(uint64_t *bits, uint64_t page)
{
	bits[page / 64] |= (uint64_t)1 << (page % 64);
}

static void clear_bit(uint64_t *bits, uint64_t page)
{
	bits[page / 64] &= ~((uint64_t)1 << (page % 64));
}

/* The first bit that is set in [@from, @to), or @to. */
static uint64_t find_bit(const uint64_t *bits, uint64_t from, uint64_t to)
{
	while (from < to) {
		uint64_t rest = bits[from / 64] >> (from % 64);

		if (rest)
			return from + (uint64_t)__builtin_ctzll(rest) < to
				       ? from + (uint64_t)__builtin_ctzll(rest)
				       : to;
		from = (from / 64 + 1) * 64;
	}
	return to;
}

/* Returns false if the page was marked before. The caller has checked the range. */
static bool mark(struct check *check, uint64_t page)
{
	bool was = get_bit(check->seen, page);

	set_bit(check->seen, page);
	return !was;
}

static bool mark_pages(struct check *check, uint64_t page, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		if (!mark(check, page + i))
			return false;
	return true;
}

static uint64_t count_unmarked(const struct check *check)
{
	uint64_t marked = 0;

	for (uint64_t i = 0; i <= check->file.high_water / 64; i++)
		marked += (uint64_t)__builtin_popcountll(check->seen[i]);
	return check->file.high_water - marked;
}

static int mark_free(struct check *check, const uint8_t *ids, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		uint64_t id = bolt_get64(ids + i * sizeof(uint64_t));

		if (id < BOLT_FIRST_DATA_PAGE || id >= check->file.high_water ||
		    !mark(check, id))
			return BOLT_FREELIST;
	}
	return 0;
}

/* Where the ids are and how many: a count that overflows its field stands before them. */
static int find_ids(const struct bolt_file *file, const struct bolt_page_header *header,
		    uint64_t *ret_offset, uint64_t *ret_count)
{
	uint64_t offset = file->freelist_page * file->page_size + BOLT_PAGE_HEADER;
	uint64_t end = (file->freelist_page + 1 + header->overflow) * file->page_size;
	uint64_t count = header->count;

	if (count == UINT16_MAX) {
		uint8_t bytes[sizeof(uint64_t)];
		int r = bolt_pread(file->fd, bytes, sizeof(bytes), offset);

		if (r < 0)
			return r;
		count = bolt_get64(bytes);
		offset += sizeof(bytes);
	}
	if (count > (end - offset) / sizeof(uint64_t))
		return BOLT_FREELIST;
	*ret_offset = offset;
	*ret_count = count;
	return 0;
}

static int check_freelist(struct check *check)
{
	const struct bolt_file *file = &check->file;
	struct bolt_page_header header;
	uint64_t offset, count;
	int r;

	if (file->freelist_page == BOLT_NO_FREELIST)
		return 0;
	check->page = file->freelist_page;
	r = bolt_check_freelist_page(file, &header);
	if (r != 0)
		return r;
	(void)mark_pages(check, file->freelist_page, 1 + (uint64_t)header.overflow);
	r = find_ids(file, &header, &offset, &count);
	while (r == 0 && count > 0) {
		uint64_t ids =
			count < BLOCK / sizeof(uint64_t) ? count : BLOCK / sizeof(uint64_t);

		r = bolt_pread(file->fd, check->block, ids * sizeof(uint64_t), offset);
		if (r == 0)
			r = mark_free(check, check->block, ids);
		offset += ids * sizeof(uint64_t);
		count -= ids;
	}
	return r;
}

static int keep_key(struct kept_key *kept, const struct bolt_element *element, bool whole)
{
	kept->size = element->key_size;
	if (whole) {
		kept->bytes = element->key;
		return 0;
	}
	if (kept->room < element->key_size) {
		uint8_t *bigger = realloc(kept->copy, element->key_size);

		if (!bigger)
			return -ENOMEM;
		kept->copy = bigger;
		kept->room = element->key_size;
	}
	memcpy(kept->copy, element->key, element->key_size);
	kept->bytes = kept->copy;
	return 0;
}

static int compare(const struct kept_key *a, const struct bolt_element *b)
{
	size_t shorter = a->size < b->key_size ? a->size : b->key_size;
	int order = memcmp(a->bytes, b->key, shorter);

	return order ? order : (a->size > b->key_size) - (a->size < b->key_size);
}

/* Keys ascend, begin at or behind their parent's and end before its next one's. */
static int check_key(const struct level *level, const struct bolt_element *element)
{
	if (element->key_size == 0)
		return BOLT_KEY_ORDER;
	if (level->previous.bytes) {
		if (compare(&level->previous, element) >= 0)
			return BOLT_KEY_ORDER;
	} else if (level->lower && compare(level->lower, element) > 0) {
		return BOLT_KEY_ORDER;
	}
	if (level->upper && compare(level->upper, element) <= 0)
		return BOLT_KEY_ORDER;
	return 0;
}

/* Values are not looked at, but a bad sector below one kills containerd too. */
static int read_through(struct check *check, const struct bolt_node *node)
{
	for (uint64_t done = 0; done < node->size; done += BLOCK) {
		uint64_t rest = node->size - done;
		int r = bolt_pread(check->file.fd, check->block,
				   rest < BLOCK ? (size_t)rest : BLOCK, node->start + done);

		if (r < 0)
			return r;
	}
	return 0;
}

static struct level *next_level(struct check *check)
{
	struct level *level;

	if (check->depth == BOLT_MAX_DEPTH)
		return NULL;
	level = &check->levels[check->depth];
	level->next = 0;
	level->above_leaves = false;
	level->previous.bytes = NULL;
	level->lower = level->upper = NULL;
	return level;
}

/* The node that was loaded into next_level() is the one to walk next. */
static int enter(struct check *check, struct level *level)
{
	const struct bolt_node *node = &level->node;

	if (!mark_pages(check, node->page, node->pages))
		return BOLT_PAGE_SHARED;
	check->depth++;
	return node->whole ? 0 : read_through(check, node);
}

/* Read pages @first to @last at once, and those that were written with them. */
static void read_ahead(struct check *check, uint64_t first, uint64_t last, uint64_t behind)
{
	const struct bolt_file *file = &check->file;
	uint64_t slack =
		first - BOLT_FIRST_DATA_PAGE < behind ? first - BOLT_FIRST_DATA_PAGE : behind;

	bolt_read_ahead(file, (first - slack) * file->page_size,
			(last - first + slack + 1) * file->page_size);
}

/*
 * Siblings often lie together: read @page and those behind it at once, as far
 * as enough of what is read will be wanted.
 */
static void look_ahead(struct check *check, struct level *parent, uint64_t page)
{
	const struct bolt_file *file = &check->file;
	uint64_t first = page, last = page, most = BOLT_AHEAD / file->page_size;
	struct bolt_element element;
	unsigned wanted = 1;

	/* Between two branches all their leaves are read: what was read ahead is gone by then.
	 */
	if (!parent->above_leaves || !parent->node.whole || page < BOLT_FIRST_DATA_PAGE ||
	    page >= file->high_water || bolt_is_ahead(file, page))
		return;
	for (unsigned i = parent->next; i < parent->node.count; i++) {
		uint64_t from, to;

		if (bolt_node_element(&parent->node, i, &element) != 0)
			break;
		from = element.child < first ? element.child : first;
		to = element.child > last ? element.child : last;
		if (from < BOLT_FIRST_DATA_PAGE || to >= file->high_water ||
		    to - from >= most || to - from >= (uint64_t)wanted * SPARSE)
			break;
		first = from;
		last = to;
		wanted++;
	}
	if (wanted > 1)
		read_ahead(check, first, last, 0);
}

static int descend(struct check *check, struct level *parent,
		   const struct bolt_element *element)
{
	struct level *level = next_level(check);
	struct bolt_element behind;
	int r;

	if (!level)
		return BOLT_TOO_DEEP;
	level->lower = &parent->previous;
	level->upper = parent->upper;
	if (parent->next < parent->node.count) {
		r = bolt_node_element(&parent->node, parent->next, &behind);
		if (r == 0)
			r = keep_key(&level->bound, &behind, parent->node.whole);
		if (r != 0)
			return r;
		level->upper = &level->bound;
	}
	check->page = element->child;
	look_ahead(check, parent, element->child);
	r = bolt_node_load(&level->node, &check->file, element->child);
	parent->above_leaves = level->node.leaf;
	return r != 0 ? r : enter(check, level);
}

static int remember_root(struct check *check, uint64_t page)
{
	check->page = page;
	if (page < BOLT_FIRST_DATA_PAGE || page >= check->file.high_water)
		return BOLT_PAGE_RANGE;
	if (get_bit(check->roots, page) || get_bit(check->seen, page))
		return BOLT_PAGE_SHARED;
	set_bit(check->roots, page);
	check->root_count++;
	return 0;
}

static int enter_bucket(struct check *check, struct level *parent,
			const struct bolt_element *element)
{
	struct bolt_bucket bucket;
	struct level *level;
	int r = bolt_node_bucket(&parent->node, element, &bucket);

	if (r != 0)
		return r;
	if (bucket.root != 0)
		return remember_root(check, bucket.root);
	level = next_level(check);
	if (!level)
		return BOLT_TOO_DEEP;
	r = bolt_node_load_bucket(&level->node, &check->file, parent->node.page, &bucket);
	return r != 0 ? r : enter(check, level);
}

/* Takes the elements up to the next that has a tree below it. */
static int step(struct check *check, struct level *level)
{
	struct bolt_node *node = &level->node;
	struct bolt_element element;
	int r;

	check->page = node->page;
	while (level->next < node->count) {
		r = bolt_node_element(node, level->next, &element);
		if (r == 0)
			r = check_key(level, &element);
		if (r == 0)
			r = keep_key(&level->previous, &element, node->whole);
		if (r != 0)
			return r;
		level->next++;
		if (!node->leaf)
			return descend(check, level, &element);
		if (element.bucket)
			return enter_bucket(check, level, &element);
	}
	check->depth--;
	return 0;
}

static int check_tree(struct check *check, uint64_t root)
{
	struct level *level = next_level(check);
	int r;

	check->page = root;
	r = bolt_node_load(&level->node, &check->file, root);
	if (r == 0)
		r = enter(check, level);
	while (r == 0 && check->depth > 0)
		r = step(check, &check->levels[check->depth - 1]);
	return r;
}

/* The next root from where the last one was, with those near it already in memory. */
static uint64_t next_root(struct check *check)
{
	const struct bolt_file *file = &check->file;
	uint64_t most = BOLT_AHEAD / file->page_size,
		 behind = BEHIND < most / 2 ? BEHIND : most / 2;
	uint64_t from = check->next_root < behind ? 0 : check->next_root - behind;
	uint64_t root = find_bit(check->roots, from, file->high_water), last = root, wanted = 0;

	if (root == file->high_water)
		root = last = find_bit(check->roots, 0, file->high_water);
	if (bolt_is_ahead(file, root))
		return root;
	for (uint64_t next = root; next < file->high_water && next - root < most - behind;
	     next = find_bit(check->roots, next + 1, file->high_water)) {
		last = next;
		wanted++;
	}
	if (wanted > 1 && last - root < wanted * SPARSE)
		read_ahead(check, root, last, behind);
	return root;
}

static int check_trees(struct check *check)
{
	int r = remember_root(check, check->file.root_page);

	while (r == 0 && check->root_count > 0) {
		uint64_t root = next_root(check);

		clear_bit(check->roots, root);
		check->root_count--;
		check->next_root = root;
		r = check_tree(check, root);
	}
	return r;
}

static void check_once(int fd, struct bolt_finding *ret, struct bolt_file *file)
{
	struct check check = {0};
	int r;

	if (!bolt_begin(fd, ret, file))
		return;
	r = check_init(&check, file);
	if (r == 0) {
		(void)mark_pages(&check, 0, BOLT_FIRST_DATA_PAGE);
		r = check_freelist(&check);
	}
	if (r == 0)
		r = check_trees(&check);
	if (r == 0) {
		ret->whole_tree = true;
		if (file->freelist_page != BOLT_NO_FREELIST)
			ret->leaked_pages = count_unmarked(&check);
	}
	bolt_conclude(r, check.page, ret);
	check_done(&check);
}

void bolt_check(int fd, struct bolt_finding *ret)
{
	bolt_look(fd, check_once, ret);
}

void bolt_check_at(int dirfd, const char *name, struct bolt_finding *ret)
{
	cleanup_fd int fd = bolt_open_at(dirfd, name, ret);

	if (fd >= 0)
		bolt_check(fd, ret);
}
