#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scanners/bolt.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "tests/unit/tap.h"

/* Written by containerd 1.6 (bbolt 1.3.6): with a freelist. */
#define FIXTURE "tests/fixtures/bolt/meta.db"
#define PAGE 4096
#define META_AT(slot) ((size_t)(slot)*PAGE + 16)

static int tmp = -EBADF;
static char *sound;
static size_t sound_size;
static struct bolt_finding fresh;

static void put64(char *at, uint64_t value)
{
	value = htole64(value);
	memcpy(at, &value, sizeof(value));
}

static void put32(char *at, uint32_t value)
{
	value = htole32(value);
	memcpy(at, &value, sizeof(value));
}

/* Make the checksum of a meta page right again, as bbolt computes it. */
static void seal(char *meta)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (int i = 0; i < 56; i++)
		hash = (hash ^ (uint8_t)meta[i]) * 0x100000001b3u;
	put64(meta + 56, hash);
}

static struct bolt_finding peek_bytes(const char *bytes, size_t size)
{
	struct bolt_finding finding;
	int fd = openat(tmp, "file", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CHECK(fd >= 0);
	CHECK_EQ(write(fd, bytes, size), size);
	CHECK_EQ(close(fd), 0);
	bolt_peek_at(tmp, "file", &finding);
	return finding;
}

/* A copy of the sound file, to be damaged; the caller frees it. */
static char *copy(void)
{
	char *bytes = malloc(sound_size);

	memcpy(bytes, sound, sound_size);
	return bytes;
}

static void check_damage(const struct bolt_finding *finding, enum bolt_damage damage)
{
	CHECK_EQ(finding->state, BOLT_DAMAGED);
	CHECK_STR(bolt_damage_name(finding->damage), bolt_damage_name(damage));
}

static void test_sound_file(void)
{
	CHECK_EQ(fresh.state, BOLT_SOUND);
	CHECK_EQ(fresh.damage, BOLT_DAMAGE_NONE);
	CHECK_EQ(fresh.size, sound_size);
	CHECK(fresh.meta[0].valid && fresh.meta[1].valid);
	CHECK_EQ(fresh.live_meta, fresh.meta[1].txid > fresh.meta[0].txid);
	CHECK_EQ(fresh.meta[0].page_size, PAGE);
	CHECK(!fresh.whole_tree);
}

static void test_what_is_no_file(void)
{
	struct bolt_finding finding;

	bolt_peek_at(tmp, "absent", &finding);
	CHECK_EQ(finding.state, BOLT_ABSENT);
	CHECK_EQ(mkdirat(tmp, "dir", 0700), 0);
	bolt_peek_at(tmp, "dir", &finding);
	check_damage(&finding, BOLT_NOT_A_FILE);
	CHECK_EQ(mkfifoat(tmp, "fifo", 0600), 0);
	bolt_peek_at(tmp, "fifo", &finding);
	check_damage(&finding, BOLT_NOT_A_FILE);
	CHECK_EQ(symlinkat("dir", tmp, "link"), 0);
	bolt_peek_at(tmp, "link", &finding);
	CHECK_EQ(finding.state, BOLT_UNREAD);
	CHECK_EQ(finding.error, -ELOOP);
	bolt_peek(-EBADF, &finding);
	CHECK_EQ(finding.state, BOLT_UNREAD);
	CHECK_EQ(finding.error, -EBADF);
	bolt_peek(tmp, &finding);
	check_damage(&finding, BOLT_NOT_A_FILE);
}

static void test_short_files(void)
{
	static const struct {
		size_t size;
		enum bolt_damage damage;
	} cases[] = {
		{1, BOLT_META_INVALID},	    {100, BOLT_META_INVALID},
		{PAGE, BOLT_TOO_SHORT},	    {2 * PAGE - 1, BOLT_TOO_SHORT},
		{2 * PAGE, BOLT_TOO_SHORT},
	};
	struct bolt_finding finding = peek_bytes(sound, 0);

	CHECK_EQ(finding.state, BOLT_EMPTY);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		finding = peek_bytes(sound, cases[i].size);
		check_damage(&finding, cases[i].damage);
	}
}

static void test_shorter_than_the_high_water_mark(void)
{
	uint64_t used = fresh.meta[fresh.live_meta].high_water * PAGE;
	struct bolt_finding finding = peek_bytes(sound, used);

	CHECK_EQ(finding.state, BOLT_SOUND);
	finding = peek_bytes(sound, used - 1);
	check_damage(&finding, BOLT_TOO_SHORT);
}

static void test_meta_fallback(void)
{
	for (int lost = 0; lost < 2; lost++) {
		cleanup_free char *bytes = copy();
		struct bolt_finding finding;

		memset(bytes + (size_t)lost * PAGE, 0, PAGE);
		finding = peek_bytes(bytes, sound_size);
		CHECK_EQ(finding.state, BOLT_SOUND);
		CHECK_EQ(finding.live_meta, !lost);
		CHECK(!finding.meta[lost].valid);
		memset(bytes, 0, 2 * PAGE);
		finding = peek_bytes(bytes, sound_size);
		check_damage(&finding, BOLT_META_INVALID);
		CHECK_EQ(finding.live_meta, -1);
	}
}

static void test_both_metas_bad(void)
{
	cleanup_free char *bytes = copy();
	struct bolt_finding finding;

	for (int slot = 0; slot < 2; slot++)
		bytes[META_AT(slot) + 56] ^= 1;
	finding = peek_bytes(bytes, sound_size);
	check_damage(&finding, BOLT_META_CHECKSUM);
	for (int slot = 0; slot < 2; slot++) {
		put32(bytes + META_AT(slot) + 4, 3);
		seal(bytes + META_AT(slot));
	}
	finding = peek_bytes(bytes, sound_size);
	check_damage(&finding, BOLT_META_VERSION);
}

/* Pages of 16 and 64 KiB: the second meta page is elsewhere, also with the first gone. */
static void test_other_page_sizes(void)
{
	for (uint32_t page = 1024; page <= 65536; page *= 4) {
		cleanup_free char *bytes = calloc(8, page);
		struct bolt_finding finding;

		memcpy(bytes, sound, 80);
		put32(bytes + 16 + 8, page);
		put64(bytes + 16 + 16, 3);	    /* root */
		put64(bytes + 16 + 32, UINT64_MAX); /* no freelist */
		put64(bytes + 16 + 40, 4);	    /* high-water mark */
		seal(bytes + 16);
		memcpy(bytes + page, bytes, 80);
		bytes[3 * (size_t)page] = 3;
		bytes[3 * (size_t)page + 8] = 2; /* a leaf without elements */
		finding = peek_bytes(bytes, 8 * (size_t)page);
		CHECK_EQ(finding.state, BOLT_SOUND);
		memset(bytes, 0, 80);
		finding = peek_bytes(bytes, 8 * (size_t)page);
		CHECK_EQ(finding.state, BOLT_SOUND);
		CHECK_EQ(finding.live_meta, 1);
		CHECK_EQ(finding.meta[1].page_size, page);
	}
}

struct edit {
	size_t at; /* in the root page */
	uint32_t value;
	enum bolt_damage damage;
};

static void test_root_page(void)
{
	static const struct edit edits[] = {
		{0, 1, BOLT_PAGE_ID},	/* id */
		{8, 0, BOLT_PAGE_TYPE}, /* flags and count */
		{8, 0x10004, BOLT_PAGE_TYPE},
		{8, 0x10003, BOLT_PAGE_TYPE},
		{8, 0x00001, BOLT_PAGE_BOUNDS}, /* a branch without children */
		{8, 0xffff0002, BOLT_PAGE_BOUNDS},
		{12, 0xffff, BOLT_PAGE_RANGE},
		{20, 0, BOLT_PAGE_BOUNDS}, /* position of the first key */
		{20, 5000, BOLT_PAGE_BOUNDS},
		{20, 0xffffffff, BOLT_PAGE_BOUNDS},
		{24, 0xffffffff, BOLT_PAGE_BOUNDS},
		{28, 0xffffffff, BOLT_PAGE_BOUNDS},
	};
	uint64_t root = fresh.meta[fresh.live_meta].root_page;

	for (size_t i = 0; i < ARRAY_SIZE(edits); i++) {
		cleanup_free char *bytes = copy();
		struct bolt_finding finding;

		put32(bytes + root * PAGE + edits[i].at, edits[i].value);
		finding = peek_bytes(bytes, sound_size);
		check_damage(&finding, edits[i].damage);
		CHECK_EQ(finding.page, root);
	}
}

static void test_page_numbers_of_the_meta(void)
{
	static const struct {
		size_t at;
		uint64_t value;
		enum bolt_damage damage;
	} edits[] = {
		{16, 9999, BOLT_PAGE_RANGE},	  {16, UINT64_MAX, BOLT_PAGE_RANGE},
		{16, 0, BOLT_PAGE_RANGE},	  {32, 9999, BOLT_FREELIST},
		{40, UINT64_MAX, BOLT_TOO_SHORT}, {40, 0, BOLT_TOO_SHORT},
	};

	for (size_t i = 0; i < ARRAY_SIZE(edits); i++) {
		cleanup_free char *bytes = copy();
		struct bolt_finding finding;

		for (int slot = 0; slot < 2; slot++) {
			put64(bytes + META_AT(slot) + edits[i].at, edits[i].value);
			seal(bytes + META_AT(slot));
		}
		finding = peek_bytes(bytes, sound_size);
		check_damage(&finding, edits[i].damage);
	}
}

static void test_freelist_page(void)
{
	uint64_t page = fresh.meta[fresh.live_meta].freelist_page;
	cleanup_free char *bytes = copy();
	struct bolt_finding finding;

	CHECK(page != UINT64_MAX);
	memset(bytes + page * PAGE, 0, PAGE);
	finding = peek_bytes(bytes, sound_size);
	check_damage(&finding, BOLT_FREELIST);
	CHECK_EQ(finding.page, page);
}

static void test_every_kind_has_a_name(void)
{
	for (int i = 0; i <= BOLT_DAMAGED; i++)
		CHECK(strcmp(bolt_state_name((enum bolt_state)i), "unknown") != 0);
	for (int i = 0; i <= BOLT_VALUE; i++)
		CHECK(strcmp(bolt_damage_name((enum bolt_damage)i), "unknown") != 0);
}

int main(void)
{
	tmp = open(tap_tmpdir(NULL), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_EQ(dir_read_file(AT_FDCWD, FIXTURE, 1 << 20, &sound, &sound_size), 0);
	bolt_peek_at(AT_FDCWD, FIXTURE, &fresh);
	if (!sound || fresh.live_meta < 0) {
		printf("Bail out! cannot read %s\n", FIXTURE);
		return 1;
	}
	RUN(test_sound_file);
	RUN(test_what_is_no_file);
	RUN(test_short_files);
	RUN(test_shorter_than_the_high_water_mark);
	RUN(test_meta_fallback);
	RUN(test_both_metas_bad);
	RUN(test_other_page_sizes);
	RUN(test_root_page);
	RUN(test_page_numbers_of_the_meta);
	RUN(test_freelist_page);
	RUN(test_every_kind_has_a_name);
	free(sound);
	return tap_done();
}
