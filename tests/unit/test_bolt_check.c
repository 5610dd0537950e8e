#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "scanners/bolt.h"
#include "scanners/cleanup.h"
#include "tests/unit/bolt_build.h"
#include "tests/unit/fault.h"
#include "tests/unit/tap.h"

#define NO_FREELIST UINT64_MAX
#define KEYS 5000

static int tmp = -EBADF;
static char keys[KEYS][16];
static struct build_item many[KEYS];

static struct build begin(uint32_t page_size)
{
	int fd = openat(tmp, "file", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CHECK(fd >= 0);
	return (struct build){.fd = fd, .page_size = page_size, .next_page = 2};
}

static struct bolt_finding check_file(const struct build *b)
{
	struct bolt_finding finding;

	bolt_check(b->fd, &finding);
	return finding;
}

static void expect(const struct build *b, enum bolt_damage damage)
{
	struct bolt_finding finding = check_file(b);

	CHECK_EQ(finding.state, damage == BOLT_DAMAGE_NONE ? BOLT_SOUND : BOLT_DAMAGED);
	CHECK_STR(bolt_damage_name(finding.damage), bolt_damage_name(damage));
	CHECK_EQ(finding.whole_tree, damage == BOLT_DAMAGE_NONE);
}

/*
 * A file with one of each: a tree of three levels, an inline bucket, a value
 * and a key of several pages, an empty bucket. Returns the root of the tree.
 */
static uint64_t build_sample(struct build *b)
{
	static char long_value[300000], long_key[30000];
	uint8_t headers[3][16], inside[200];
	struct build_item in_bucket[] = {build_text("a", "1"), build_text("b", "2")};
	struct build_item big[2], top[4];
	uint64_t tree;

	memset(long_value, 'v', sizeof(long_value));
	memset(long_key, 'k', sizeof(long_key));
	big[0] = (struct build_item){"big", 3, long_value, sizeof(long_value), false};
	big[1] = (struct build_item){long_key, sizeof(long_key), "x", 1, false};
	tree = build_tree(b, many, KEYS);
	top[0] = build_bucket("big", build_tree(b, big, 2), headers[0]);
	top[1] = build_bucket("empty", build_tree(b, NULL, 0), headers[1]);
	top[2] = build_inline("inline", in_bucket, 2, inside);
	top[3] = build_bucket("tree", tree, headers[2]);
	build_finish(b, build_tree(b, top, 4), NO_FREELIST);
	return tree;
}

static void test_sound_with_every_page_size(void)
{
	for (uint32_t size = 1024; size <= 65536; size *= 2) {
		struct build b = begin(size);

		(void)build_sample(&b);
		expect(&b, BOLT_DAMAGE_NONE);
		(void)close(b.fd);
	}
}

static void test_real_file(void)
{
	struct bolt_finding finding;

	bolt_check_at(AT_FDCWD, "tests/fixtures/bolt/meta.db", &finding);
	CHECK_EQ(finding.state, BOLT_SOUND);
	CHECK(finding.whole_tree);
	CHECK_EQ(finding.leaked_pages, 0);
}

/* Every page in turn zeroed, or said to be another: each is in use and is missed. */
static void test_every_page_counts(void)
{
	struct build b = begin(4096);
	uint64_t header[2], none[2] = {0};
	struct bolt_finding finding;

	(void)build_sample(&b);
	for (uint64_t page = 2; page < b.next_page; page++) {
		off_t at = (off_t)(page * b.page_size);

		CHECK_EQ(pread(b.fd, header, sizeof(header), at), sizeof(header));
		/* The inside of a long value is anything. */
		if (header[0] != htole64(page))
			continue;
		build_write(&b, none, sizeof(none), page * b.page_size);
		expect(&b, BOLT_PAGE_TYPE);
		build_put64(none, page + 1);
		memcpy(&none[1], &header[1], 8);
		build_write(&b, none, sizeof(none), page * b.page_size);
		expect(&b, BOLT_PAGE_ID);
		finding = check_file(&b);
		CHECK_EQ(finding.page, page);
		memset(none, 0, sizeof(none));
		build_write(&b, header, sizeof(header), page * b.page_size);
	}
	expect(&b, BOLT_DAMAGE_NONE);
	(void)close(b.fd);
}

static void test_key_order(void)
{
	struct build_item swapped[] = {build_text("b", "1"), build_text("a", "2")};
	struct build_item twice[] = {build_text("a", "1"), build_text("a", "2")};
	struct build_item longer[] = {build_text("ab", "1"), build_text("a", "2")};
	struct build_item empty[] = {build_text("", "1"), build_text("a", "2")};
	struct build_item *wrong[] = {swapped, twice, longer, empty};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct build b = begin(4096);
		uint8_t inside[200];
		struct build_item top = build_inline("inline", wrong[i], 2, inside);

		build_finish(&b, build_tree(&b, wrong[i], 2), NO_FREELIST);
		expect(&b, BOLT_KEY_ORDER);
		build_finish(&b, build_tree(&b, &top, 1), NO_FREELIST);
		expect(&b, BOLT_KEY_ORDER);
		(void)close(b.fd);
	}
}

/* Keys that are in order on their page, and outside what their parent says. */
static void test_keys_outside_their_parents_range(void)
{
	static const struct {
		const char *right[2];
		enum bolt_damage damage;
	} cases[] = {
		{{"g", "m"}, BOLT_DAMAGE_NONE},
		{{"h", "z"}, BOLT_DAMAGE_NONE},
		{{"f", "m"}, BOLT_KEY_ORDER},
	};
	static const char *const left[] = {"f", "g", "z"};

	for (size_t i = 0; i < ARRAY_SIZE(cases) + ARRAY_SIZE(left); i++) {
		struct build b = begin(4096);
		const char *last = i < ARRAY_SIZE(cases) ? "b" : left[i - ARRAY_SIZE(cases)];
		const char *const *second = cases[i < ARRAY_SIZE(cases) ? i : 0].right;
		struct build_item l[] = {build_text("a", "1"), build_text(last, "2")};
		struct build_item r[] = {build_text(second[0], "1"),
					 build_text(second[1], "2")};
		struct build_item parent[] = {build_text("a", ""), build_text("g", "")};
		uint64_t pages[] = {build_tree(&b, l, 2), build_tree(&b, r, 2)};

		build_finish(&b, build_branches(&b, parent, pages, 2), NO_FREELIST);
		expect(&b, i < ARRAY_SIZE(cases)    ? cases[i].damage
			   : strcmp(last, "f") == 0 ? BOLT_DAMAGE_NONE
						    : BOLT_KEY_ORDER);
		(void)close(b.fd);
	}
}

static void test_shared_pages_and_cycles(void)
{
	struct build b = begin(4096);
	struct build_item leaf = build_text("x", "1");
	uint8_t headers[2][16];
	struct build_item top[2];
	uint64_t shared = build_tree(&b, &leaf, 1);

	top[0] = build_bucket("a", shared, headers[0]);
	top[1] = build_bucket("b", shared, headers[1]);
	build_finish(&b, build_tree(&b, top, 2), NO_FREELIST);
	expect(&b, BOLT_PAGE_SHARED);
	/* A bucket in which it lies itself. */
	top[0] = build_bucket("a", b.next_page, headers[0]);
	build_finish(&b, build_tree(&b, top, 1), NO_FREELIST);
	expect(&b, BOLT_PAGE_SHARED);
	(void)close(b.fd);
}

/* Branches of one child each, one below the other. */
static void test_too_deep(void)
{
	for (int depth = 10; depth <= 40; depth += 30) {
		struct build b = begin(4096);
		struct build_item leaf = build_text("x", "1");
		uint64_t page = build_tree(&b, &leaf, 1);

		for (int i = 1; i < depth; i++) {
			uint8_t branch[16 + 16 + 1] = {0};

			build_put16(branch + 8, 1);
			build_put16(branch + 10, 1);
			build_put32(branch + 16, 16);
			build_put32(branch + 20, 1);
			build_put64(branch + 24, page);
			branch[32] = 'x';
			page = build_page(&b, branch, sizeof(branch));
		}
		build_finish(&b, page, NO_FREELIST);
		expect(&b, depth == 10 ? BOLT_DAMAGE_NONE : BOLT_TOO_DEEP);
		(void)close(b.fd);
	}
}

/* Buckets in buckets are no matter: each is a tree of its own. */
static void test_many_nested_buckets(void)
{
	struct build b = begin(4096);
	struct build_item leaf = build_text("x", "1");
	uint64_t root = build_tree(&b, &leaf, 1);
	uint8_t header[16];

	for (int i = 1; i < 1000; i++) {
		leaf = build_bucket("b", root, header);
		root = build_tree(&b, &leaf, 1);
	}
	build_finish(&b, root, NO_FREELIST);
	expect(&b, BOLT_DAMAGE_NONE);
	(void)close(b.fd);
}

static void test_bad_buckets(void)
{
	struct build b = begin(4096);
	struct build_item leaf = build_text("x", "1");
	uint8_t value[200] = {0};
	struct build_item top = build_inline("b", &leaf, 1, value);

	top.value_size = 15;
	build_finish(&b, build_tree(&b, &top, 1), NO_FREELIST);
	expect(&b, BOLT_PAGE_BOUNDS);
	top.value_size = 31;
	build_finish(&b, build_tree(&b, &top, 1), NO_FREELIST);
	expect(&b, BOLT_PAGE_BOUNDS);
	top.value_size = 16 + 16 + 16 + 1; /* the value of "x" is behind the end */
	build_finish(&b, build_tree(&b, &top, 1), NO_FREELIST);
	expect(&b, BOLT_PAGE_BOUNDS);
	top = build_bucket("b", 9999, value);
	build_finish(&b, build_tree(&b, &top, 1), NO_FREELIST);
	expect(&b, BOLT_PAGE_RANGE);
	top = build_inline("b", &leaf, 1, value);
	value[16 + 8] = 1; /* an inline branch */
	build_finish(&b, build_tree(&b, &top, 1), NO_FREELIST);
	expect(&b, BOLT_PAGE_TYPE);
	(void)close(b.fd);
}

/* A freelist of @ids, with its count where bbolt puts one that is too long. */
static uint64_t build_freelist(struct build *b, const uint64_t *ids, size_t count)
{
	bool extended = count >= UINT16_MAX;
	size_t size = 16 + 8 * (count + extended);
	uint8_t *bytes = calloc(1, size);
	uint64_t page;

	build_put16(bytes + 8, 0x10);
	build_put16(bytes + 10, extended ? UINT16_MAX : (uint16_t)count);
	if (extended)
		build_put64(bytes + 16, count);
	for (size_t i = 0; i < count; i++)
		build_put64(bytes + 16 + 8 * (i + extended), ids[i]);
	page = build_page(b, bytes, size);
	free(bytes);
	return page;
}

static void test_freelists(void)
{
	struct build_item leaf = build_text("x", "1");
	static const struct {
		uint64_t ids[2];
		enum bolt_damage damage;
		uint64_t leaked;
	} cases[] = {
		/* page 2 is the tree, 3 the freelist, 4 and 5 are unused */
		{{4, 5}, BOLT_DAMAGE_NONE, 0}, {{2, 4}, BOLT_PAGE_SHARED, 0},
		{{4, 4}, BOLT_FREELIST, 0},    {{3, 4}, BOLT_FREELIST, 0},
		{{4, 6}, BOLT_FREELIST, 0},    {{4, UINT64_MAX}, BOLT_FREELIST, 0},
		{{1, 4}, BOLT_FREELIST, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct build b = begin(4096);
		uint64_t root = build_tree(&b, &leaf, 1);
		uint64_t page = build_freelist(&b, cases[i].ids, 2);

		b.next_page += 2;
		build_finish(&b, root, page);
		expect(&b, cases[i].damage);
		b.next_page += 3;
		build_finish(&b, root, page);
		if (cases[i].damage == BOLT_DAMAGE_NONE)
			CHECK_EQ(check_file(&b).leaked_pages, 3);
		(void)close(b.fd);
	}
}

static void test_long_freelist(void)
{
	struct build_item leaf = build_text("x", "1");
	size_t count = 70000;
	struct build b = begin(1024);
	uint64_t *ids = calloc(count, sizeof(*ids));
	uint64_t root = build_tree(&b, &leaf, 1), first = 3 + (16 + 8 * (count + 1)) / 1024 + 1,
		 page;

	for (size_t i = 0; i < count; i++)
		ids[i] = first + i;
	page = build_freelist(&b, ids, count);
	CHECK_EQ(b.next_page, first);
	b.next_page += count;
	build_finish(&b, root, page);
	expect(&b, BOLT_DAMAGE_NONE);
	CHECK_EQ(check_file(&b).leaked_pages, 0);
	/* More of them than the page has room for. */
	build_put64(ids, 1000000);
	build_write(&b, ids, 8, page * 1024 + 16);
	expect(&b, BOLT_FREELIST);
	free(ids);
	(void)close(b.fd);
}

static void test_cut_short(void)
{
	struct build b = begin(4096);
	struct bolt_finding finding;

	(void)build_sample(&b);
	CHECK_EQ(ftruncate(b.fd, (off_t)((b.next_page - 1) * 4096)), 0);
	expect(&b, BOLT_TOO_SHORT);
	CHECK_EQ(ftruncate(b.fd, 0), 0);
	finding = check_file(&b);
	CHECK_EQ(finding.state, BOLT_EMPTY);
	(void)close(b.fd);
}

/* A writer as bbolt is one: it writes the older meta page, time and again. */
static void write_for_ever(const struct build *b, uint64_t root)
{
	struct build writing = *b;

	for (;;)
		for (int slot = 0; slot < 2; slot++)
			build_meta_of(&writing, slot, root, NO_FREELIST, ++writing.txid);
}

/* What is read while containerd commits proves nothing against it. */
static void test_written_all_the_while(void)
{
	struct build b = begin(4096);
	uint64_t tree = build_sample(&b), zero = 0, root = b.next_page - 1;
	struct bolt_finding finding = {.state = BOLT_DAMAGED};
	time_t patience = time(NULL) + 30; /* a busy machine may let the writer wait */
	pid_t writer;

	build_write(&b, &zero, 8, tree * b.page_size);
	expect(&b, BOLT_PAGE_ID);
	writer = fork();
	if (writer == 0)
		write_for_ever(&b, root);
	while (finding.state != BOLT_UNREAD && time(NULL) < patience)
		finding = check_file(&b);
	CHECK_EQ(finding.state, BOLT_UNREAD);
	CHECK_EQ(finding.error, -EAGAIN);
	CHECK_EQ(kill(writer, SIGKILL), 0);
	CHECK_EQ(waitpid(writer, NULL, 0), writer);
	expect(&b, BOLT_PAGE_ID);
	(void)close(b.fd);
}

/* Without memory nothing is said of the file. */
static void test_no_memory(void)
{
	static const char *const functions[] = {"malloc", "calloc", "realloc"};
	struct build b = begin(4096);

	(void)build_sample(&b);
	for (size_t f = 0; f < ARRAY_SIZE(functions); f++) {
		for (int n = 1; n < 1000; n++) {
			struct bolt_finding finding;

			fault_arm(functions[f], n, ENOMEM);
			bolt_check(b.fd, &finding);
			if (!fault_fired()) {
				CHECK_EQ(finding.state, BOLT_SOUND);
				break;
			}
			CHECK_EQ(finding.state, BOLT_UNREAD);
			CHECK_EQ(finding.error, -ENOMEM);
			CHECK(!finding.whole_tree);
		}
	}
	(void)close(b.fd);
}

int main(void)
{
	tmp = open(tap_tmpdir(NULL), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < KEYS; i++) {
		(void)snprintf(keys[i], sizeof(keys[i]), "key-%08d", i);
		many[i] = build_text(keys[i], "value");
	}
	RUN(test_sound_with_every_page_size);
	RUN(test_real_file);
	RUN(test_every_page_counts);
	RUN(test_key_order);
	RUN(test_keys_outside_their_parents_range);
	RUN(test_shared_pages_and_cycles);
	RUN(test_too_deep);
	RUN(test_many_nested_buckets);
	RUN(test_bad_buckets);
	RUN(test_freelists);
	RUN(test_long_freelist);
	RUN(test_cut_short);
	RUN(test_written_all_the_while);
	RUN(test_no_memory);
	return tap_done();
}
