/*
 * A snapshotter's metadata.db in files of our own. What it does not name is moved
 * aside by the sweep of orphans: it is sound only if every record of it was read.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>

#include "scanners/cleanup.h"
#include "scanners/metadata.h"
#include "tests/unit/bolt_build.h"
#include "tests/unit/fault.h"
#include "tests/unit/tap.h"

#define NO_FREELIST UINT64_MAX
#define FIXTURE "tests/fixtures/bolt/metadata.db"
#define RECORDS 6

static int tmp = -EBADF;

struct record {
	const char *name; /* NULL: none */
	const char *id, *kind;
	size_t id_size, kind_size;
	char second;
};

/* On a page of its own, so that every one costs the reader a node. */
static uint64_t build_record(struct build *b, const struct record *record)
{
	char updated[15] = {1, 0, 0, 0, 0x0e, (char)0xd2, 0, 0, record->second};
	struct build_item members[3];
	size_t n = 0;

	if (record->id)
		members[n++] = build_value("id", record->id, record->id_size);
	if (record->kind)
		members[n++] = build_value("kind", record->kind, record->kind_size);
	members[n++] = build_value("updatedat", updated, sizeof(updated));
	return build_tree(b, members, n);
}

static uint64_t build_records(struct build *b, const struct record *records)
{
	struct build_item items[RECORDS];
	uint8_t headers[RECORDS][16];
	size_t n = 0;

	for (; n < RECORDS && records[n].name; n++)
		items[n] = build_bucket(records[n].name, build_record(b, &records[n]), headers[n]);
	return build_tree(b, items, n);
}

struct file {
	struct build b;
	uint64_t snapshots, root;
};

static struct file build_file(const struct record *records, uint64_t freelist)
{
	struct file file = {
		.b.fd = openat(tmp, "metadata.db", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600),
		.b.page_size = 4096, .b.next_page = 2,
	};
	struct build_item item;
	uint8_t header[16];

	file.snapshots = build_records(&file.b, records);
	item = build_bucket("snapshots", file.snapshots, header);
	item = build_bucket("v1", build_tree(&file.b, &item, 1), header);
	file.root = build_tree(&file.b, &item, 1);
	build_finish(&file.b, file.root, freelist);
	return file;
}

static void lose(const struct file *file, uint64_t page)
{
	static const char nothing[4096];

	build_write(&file->b, nothing, sizeof(nothing), page * file->b.page_size);
}

static struct metadata_directories read_all(const struct file *file)
{
	struct metadata_directories d = {0};

	CHECK_EQ(metadata_read_directories_fd(file->b.fd, &d), 0);
	(void)close(file->b.fd);
	return d;
}

#define ID(text) .id = (text), .id_size = sizeof(text) - 1
#define KIND(text) .kind = (text), .kind_size = sizeof(text) - 1

static const char *name_of(const struct metadata_directories *d, uint64_t id)
{
	const struct metadata_directory *directory = metadata_find_directory(d, id);

	return directory ? directory->name : NULL;
}

/* By name in the file, by number in the result. */
static const struct record sound[RECORDS] = {
	{"k8s.io/1/a", ID("\x07"), KIND("\3"), 0}, {"k8s.io/2/b", ID("\x03"), KIND("\2"), 0},
	{"k8s.io/3/c", ID("\x80\x02"), KIND("\2"), 0}, {"k8s.io/4/d", ID("\x05"), KIND("\1"), 0},
};

static void test_a_sound_file(void)
{
	struct file file = build_file(sound, NO_FREELIST);
	cleanup_metadata_directories struct metadata_directories d = read_all(&file);

	CHECK_EQ(d.finding.state, BOLT_SOUND);
	CHECK_EQ(d.count, 4);
	CHECK_STR(name_of(&d, 7), "k8s.io/1/a");
	CHECK_STR(name_of(&d, 256), "k8s.io/3/c");
	CHECK_EQ(metadata_find_directory(&d, 3)->kind, SNAPSHOT_ACTIVE);
}

/* One that does not decode: the others are told, but not that these were all. */
static void test_a_record_that_does_not_decode(void)
{
	static const struct record bad[] = {
		{"k8s.io/3/c", NULL, "\2", 0, 1, 0},
		{"k8s.io/3/c", ID("\x80"), KIND("\2"), 0},
		{"k8s.io/3/c", ID(""), KIND("\2"), 0},
		{"k8s.io/3/c", ID("\x09"), KIND("\4"), 0},
		{"k8s.io/3/c", ID("\x09"), KIND("\2\0"), 0},
		{"k8s.io/3/c", ID("\x09"), KIND(""), 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct record records[RECORDS];
		struct file file;
		cleanup_metadata_directories struct metadata_directories d = {0};

		memcpy(records, sound, sizeof(records));
		records[2] = bad[i];
		file = build_file(records, NO_FREELIST);
		d = read_all(&file);
		CHECK_EQ(d.finding.state, BOLT_DAMAGED);
		CHECK_EQ(d.finding.damage, BOLT_VALUE);
		CHECK_EQ(d.finding.page, 4); /* its own */
		CHECK(!d.carved);
		CHECK_EQ(d.count, i < 3 ? 3 : 4); /* without its number it is none */
		CHECK_STR(name_of(&d, 7), "k8s.io/1/a");
		CHECK_STR(name_of(&d, 5), "k8s.io/4/d");
	}
}

/* Of the same number the last version; within a second, what was committed. */
static void test_versions(void)
{
	static const struct record old[RECORDS] = {
		{"k8s.io/9/extract-1 x", ID("\x07"), KIND("\2"), 0}, /* prepared, to become 7 */
		{"k8s.io/9/later", ID("\x03"), KIND("\2"), 5},
		{"k8s.io/9/no-kind", ID("\x0a")},
	};
	static const struct record others[RECORDS] = {
		{"labels", ID("\x0b"), KIND("\2"), 0},
		{"one/slash", ID("\x0c"), KIND("\2"), 0},
	};
	struct file file = {0};
	cleanup_metadata_directories struct metadata_directories d = {0};

	file = build_file(sound, NO_FREELIST);
	(void)build_records(&file.b, old);
	(void)build_records(&file.b, others);
	build_finish(&file.b, file.root, NO_FREELIST);
	lose(&file, file.root);
	d = read_all(&file);
	CHECK_EQ(d.finding.state, BOLT_DAMAGED);
	CHECK(d.carved);
	CHECK_EQ(d.count, 4);
	CHECK_STR(name_of(&d, 7), "k8s.io/1/a");
	CHECK_STR(name_of(&d, 3), "k8s.io/9/later");
	CHECK_STR(name_of(&d, 256), "k8s.io/3/c");
	CHECK_STR(name_of(&d, 5), "k8s.io/4/d");
}

/* The walk that met the damage does not count against the search behind it. */
static void test_damage_in_the_middle(void)
{
	struct file file = build_file(sound, NO_FREELIST);
	cleanup_metadata_directories struct metadata_directories d = {0};

	lose(&file, file.snapshots - 2); /* the last record but one */
	d = read_all(&file);
	CHECK(d.carved);
	CHECK_EQ(d.count, 3);
	CHECK_STR(name_of(&d, 7), "k8s.io/1/a");
	CHECK_STR(name_of(&d, 5), "k8s.io/4/d");
}

/* The tree is whole, and all of it is read; yet the file is damaged. */
static void test_damage_beside_the_tree(void)
{
	struct file file = build_file(sound, 2);
	cleanup_metadata_directories struct metadata_directories d = read_all(&file);

	CHECK_EQ(d.finding.state, BOLT_DAMAGED);
	CHECK_EQ(d.finding.damage, BOLT_FREELIST);
	CHECK(!d.carved);
	CHECK_EQ(d.count, 4);
	CHECK_STR(name_of(&d, 256), "k8s.io/3/c");
}

static bool fails(const char *function, int n, int fd)
{
	struct metadata_directories d = {.count = 0, .carved = true};
	int r;

	fault_arm(function, n, ENOMEM);
	r = metadata_read_directories_fd(fd, &d);
	if (!fault_fired()) {
		CHECK_EQ(r, 0);
		metadata_directories_done(&d);
		return false;
	}
	return CHECK_EQ(r, -ENOMEM) && CHECK(d.carved && !d.items);
}

static void test_no_memory(void)
{
	static const char *const functions[] = {"malloc", "calloc", "realloc"};

	for (int damaged = 0; damaged < 2; damaged++) {
		struct file file = build_file(sound, NO_FREELIST);

		if (damaged)
			lose(&file, file.snapshots - 1);
		for (size_t f = 0; f < ARRAY_SIZE(functions); f++)
			for (int n = 1; n < 10000 && fails(functions[f], n, file.b.fd); n++)
				;
		(void)close(file.b.fd);
	}
}

/* A disk that fails under it: never sound without all, and nothing where nothing is known. */
static void test_a_bad_disk(void)
{
	cleanup_metadata_directories struct metadata_directories whole = {0};

	CHECK_EQ(metadata_read_directories(AT_FDCWD, FIXTURE, &whole), 0);
	for (int n = 1; n < 10000; n++) {
		cleanup_metadata_directories struct metadata_directories d = {0};

		fault_arm("pread", n, EIO);
		CHECK_EQ(metadata_read_directories(AT_FDCWD, FIXTURE, &d), 0);
		if (!fault_fired())
			break;
		CHECK_EQ(d.count, d.finding.state == BOLT_SOUND ? whole.count :
				  d.finding.state == BOLT_UNREAD ? 0 : d.count);
	}
}

/* What is read while containerd commits is of one moment, or is not given out. */
static void test_written_meanwhile(void)
{
	struct file file = build_file(sound, NO_FREELIST);
	size_t right = 0;
	time_t patience = time(NULL) + 30; /* a busy machine may let the reader wait */
	pid_t writer = fork();

	if (writer == 0)
		for (struct build b = file.b;; (void)usleep(20), b.txid++)
			build_meta_of(&b, (int)(b.txid % 2), file.root, NO_FREELIST, b.txid + 2);
	for (int i = 0; i < 300 || (right == 0 && time(NULL) < patience); i++) {
		cleanup_metadata_directories struct metadata_directories d = {0};

		CHECK_EQ(metadata_read_directories_fd(file.b.fd, &d), 0);
		CHECK_EQ(d.count, d.finding.state == BOLT_SOUND ? 4 : 0);
		right += d.count == 4;
	}
	CHECK(right > 0);
	CHECK_EQ(kill(writer, SIGKILL), 0);
	CHECK_EQ(waitpid(writer, NULL, 0), writer);
	(void)close(file.b.fd);
}

int main(void)
{
	tmp = open(tap_tmpdir(NULL), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	RUN(test_a_sound_file);
	RUN(test_a_record_that_does_not_decode);
	RUN(test_versions);
	RUN(test_damage_in_the_middle);
	RUN(test_damage_beside_the_tree);
	RUN(test_no_memory);
	RUN(test_a_bad_disk);
	RUN(test_written_meanwhile);
	return tap_done();
}
