/*
 * What can be read of a damaged meta.db, in files of our own: namespaces, versions
 * of records, names that are lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>

#include "scanners/cleanup.h"
#include "scanners/metadata.h"
#include "tests/unit/bolt_build.h"
#include "tests/unit/fault.h"
#include "tests/unit/tap.h"

#define ANY "\x0a\x01t\x12"
#define NO_FREELIST UINT64_MAX
#define FIXTURE "tests/fixtures/bolt/meta.db"

static int tmp = -EBADF;

static struct build begin(uint32_t page_size)
{
	int fd = openat(tmp, "meta.db", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	return (struct build){.fd = fd, .page_size = page_size, .next_page = 2};
}

/* A page that was written over. */
static void lose(const struct build *b, uint64_t page)
{
	static const char nothing[4096];

	build_write(b, nothing, sizeof(nothing), page * b->page_size);
}

static struct metadata read_all(const struct build *b)
{
	struct metadata m = {0};

	CHECK_EQ(metadata_read_fd(b->fd, &m), 0);
	(void)close(b->fd);
	return m;
}

/* One second of the year 2000-something. */
static struct build_item moment(const char *key, char second, char *bytes)
{
	static const char epoch[15] = {1, 0, 0, 0, 0x0e, (char)0xd2};

	memcpy(bytes, epoch, sizeof(epoch));
	bytes[8] = second;
	return build_value(key, bytes, sizeof(epoch));
}

struct container {
	const char *image;
	const char *json_id; /* in CRI's record; NULL: there is none */
	bool cri;	     /* has its label */
	bool no_spec;
	char second; /* of its last change */
};

static uint64_t build_container(struct build *b, struct container c)
{
	uint8_t inside[3][200];
	char json[100], times[2][15];
	struct build_item members[9], extension, name = build_text("name", "io.containerd.runc.v2");
	struct build_item label = build_text("io.cri-containerd.kind", "container");
	int size = snprintf(json, sizeof(json), ANY "%c{\"Metadata\":{\"ID\":\"%s\"}}",
			    c.json_id ? (int)strlen(c.json_id) + 22 : 1, c.json_id ?: "");
	size_t n = 0;

	members[n++] = moment("createdat", 0, times[0]);
	extension = build_value("io.cri-containerd.container.metadata", json, (size_t)size);
	if (c.json_id)
		members[n++] = build_inline("extensions", &extension, 1, inside[0]);
	members[n++] = build_text("image", c.image);
	if (c.cri)
		members[n++] = build_inline("labels", &label, 1, inside[1]);
	members[n++] = build_inline("runtime", &name, 1, inside[2]);
	members[n++] = build_text("sandboxid", "pod");
	members[n++] = build_text("snapshotKey", "key");
	if (!c.no_spec)
		members[n++] = build_value("spec", ANY "\x02{}", 7);
	members[n++] = moment("updatedat", c.second, times[1]);
	return build_tree(b, members, n);
}

static uint64_t build_image(struct build *b, const char *digest, bool cri, char second)
{
	uint8_t inside[2][200];
	char times[2][15];
	struct build_item members[4], target = build_text("digest", digest);
	struct build_item label = build_text("io.cri-containerd.image", "managed");
	size_t n = 0;

	members[n++] = moment("createdat", 0, times[0]);
	if (cri)
		members[n++] = build_inline("labels", &label, 1, inside[0]);
	members[n++] = build_inline("target", &target, 1, inside[1]);
	members[n++] = moment("updatedat", second, times[1]);
	return build_tree(b, members, n);
}

struct entry {
	const char *key;
	uint64_t page;
};

/* A bucket of buckets, to the first without a key. */
static uint64_t build_all(struct build *b, const struct entry *entries)
{
	struct build_item items[8];
	uint8_t headers[8][16];
	size_t n = 0;

	for (; entries[n].key; n++)
		items[n] = build_bucket(entries[n].key, entries[n].page, headers[n]);
	return build_tree(b, items, n);
}

#define ALL(...) ((const struct entry[]){__VA_ARGS__, {0}})

/* The root, with all that is above the namespaces. Returns its page. */
static uint64_t finish(struct build *b, uint64_t namespaces)
{
	uint64_t root = build_all(b, ALL({"v1", namespaces}));

	build_finish(b, root, NO_FREELIST);
	return root;
}

static const char *image_of(const struct metadata *m, const char *ns, const char *id)
{
	const struct metadata_container *c = metadata_find_container(m, ns, id);

	return c ? c->image : NULL;
}

static const char *digest_of(const struct metadata *m, const char *ns, const char *name)
{
	const struct metadata_image *image = metadata_find_image(m, ns, name);

	return image ? image->digest : NULL;
}

/* The same ids in two namespaces, in whatever page size, with the metas and without. */
static void test_namespaces(void)
{
	for (uint32_t size = 4096; size <= 65536; size *= 2)
		for (int metas = 0; metas < 2; metas++) {
			struct build b = begin(size);
			uint64_t first = build_all(
				&b, ALL({"c1", build_container(&b, (struct container){.image = "a"})},
					{"c3", build_container(&b, (struct container){.image = "b"})}));
			uint64_t second = build_all(
				&b, ALL({"c1", build_container(&b, (struct container){.image = "c"})},
					{"c2", build_container(&b, (struct container){.image = "d", .no_spec = true})}));
			uint64_t images = build_all(&b, ALL({"i", build_image(&b, "sha256:1", false, 0)}));
			uint64_t names = build_all(
				&b, ALL({"alpha", build_all(&b, ALL({"containers", first}, {"images", images}))},
					{"beta", build_all(&b, ALL({"containers", second}))}));
			uint64_t root = finish(&b, names);
			cleanup_metadata struct metadata m = {0};

			lose(&b, root);
			for (uint64_t meta = 0; meta < 2 && !metas; meta++)
				lose(&b, meta);
			m = read_all(&b);
			CHECK(m.carved);
			CHECK_EQ(m.container_count, 4);
			CHECK_STR(image_of(&m, "alpha", "c1"), "a");
			CHECK_STR(image_of(&m, "alpha", "c3"), "b");
			CHECK_STR(image_of(&m, "beta", "c1"), "c");
			CHECK_STR(image_of(&m, "beta", "c2"), "d");
			CHECK_STR(m.containers[0].sandbox_id, "pod");
			CHECK_EQ(m.image_count, 1);
			CHECK_STR(digest_of(&m, "alpha", "i"), "sha256:1");
		}
}

/* Pages are never written in place: what a record was lies about, before or behind what it is. */
static void test_the_latest_version_counts(void)
{
	for (int latest_last = 0; latest_last < 2; latest_last++) {
		struct build b = begin(4096);
		uint64_t names = 0;
		cleanup_metadata struct metadata m = {0};

		for (int i = 0; i < 2; i++) {
			bool latest = i == latest_last;
			uint64_t c = build_container(&b, (struct container){.image = latest ? "new" : "old",
									    .second = latest});
			uint64_t image = build_image(&b, latest ? "sha256:new" : "sha256:old", false, latest);

			names = build_all(&b, ALL({"alpha", build_all(&b, ALL({"containers", build_all(&b, ALL({"c", c}))},
									      {"images", build_all(&b, ALL({"i", image}))}))}));
		}
		lose(&b, finish(&b, names));
		m = read_all(&b);
		CHECK_EQ(m.container_count, 1);
		CHECK_STR(image_of(&m, "alpha", "c"), "new");
		CHECK_EQ(m.image_count, 1);
		CHECK_STR(digest_of(&m, "alpha", "i"), "sha256:new");
	}
}

/* Where the page that names the namespace is gone: CRI's labels tell, else nobody does. */
static void test_without_a_namespace(void)
{
	struct build b = begin(4096);
	uint64_t known = build_all(&b, ALL({"i1", build_image(&b, "sha256:1", false, 0)}));
	uint64_t own = build_all(&b, ALL({"c1", build_container(&b, (struct container){.image = "a"})}));
	uint64_t names = build_all(&b, ALL({"alpha", build_all(&b, ALL({"containers", own}, {"images", known}))}));
	cleanup_metadata struct metadata m = {0};

	(void)build_all(&b, ALL({"i1", build_image(&b, "sha256:1", false, 9)}));
	(void)build_all(&b, ALL({"i1", build_image(&b, "sha256:2", false, 9)}, {"i3", build_image(&b, "sha256:3", true, 0)},
				{"i4", build_image(&b, "sha256:4", false, 0)}));
	(void)build_all(&b, ALL({"c1", build_container(&b, (struct container){.image = "a", .second = 9})},
				{"c2", build_container(&b, (struct container){.image = "b"})},
				{"c3", build_container(&b, (struct container){.image = "c", .cri = true})}));
	lose(&b, finish(&b, names));
	m = read_all(&b);
	/* The same as the one that is known; by another digest it may be another's. */
	CHECK_EQ(m.image_count, 4);
	CHECK_STR(digest_of(&m, "alpha", "i1"), "sha256:1");
	CHECK_STR(digest_of(&m, NULL, "i1"), "sha256:2");
	CHECK_STR(digest_of(&m, "k8s.io", "i3"), "sha256:3");
	CHECK_STR(digest_of(&m, NULL, "i4"), "sha256:4");
	CHECK_EQ(m.container_count, 3);
	CHECK_STR(image_of(&m, "alpha", "c1"), "a");
	CHECK_STR(image_of(&m, NULL, "c2"), "b");
	CHECK_STR(image_of(&m, "k8s.io", "c3"), "c");
}

/* The page is lost that names the containers: CRI's say their own, others cannot. */
static void test_containers_without_their_names(void)
{
	struct build b = begin(4096);
	uint64_t lost = build_all(
		&b, ALL({"c1", build_container(&b, (struct container){.image = "a", .cri = true, .json_id = "c1"})},
			{"c2", build_container(&b, (struct container){.image = "b"})}));
	/* Another client of CRI's library has a namespace of its own. */
	uint64_t other = build_all(
		&b, ALL({"c4", build_container(&b, (struct container){.image = "d", .cri = true, .json_id = "c4"})}));
	uint64_t names = build_all(&b, ALL({"k8s.io", build_all(&b, ALL({"containers", lost}))},
					   {"other", build_all(&b, ALL({"containers", other}))}));
	cleanup_metadata struct metadata m = {0};

	(void)finish(&b, names);
	/* The file's last page. */
	(void)build_container(&b, (struct container){.image = "e", .cri = true, .json_id = "c5"});
	build_finish(&b, b.next_page - 2, NO_FREELIST);
	lose(&b, lost);
	m = read_all(&b);
	CHECK(m.carved);
	CHECK_EQ(m.container_count, 3);
	CHECK_STR(image_of(&m, "k8s.io", "c1"), "a");
	CHECK_STR(image_of(&m, "other", "c4"), "d");
	CHECK_STR(image_of(&m, "k8s.io", "c5"), "e");
}

/* A page that was freed may be another namespace's by now: what lives decides, else nothing. */
static void test_two_namespaces_claim_a_record(void)
{
	for (int live = 0; live < 2; live++) {
		struct build b = begin(4096);
		uint64_t spare = build_container(&b, (struct container){.image = "b"});
		uint64_t c = build_container(&b, (struct container){.image = "a"});
		uint64_t image = build_image(&b, "sha256:1", false, 0);
		uint64_t names = 0;
		const char *ns[] = {"older", "newer"};
		cleanup_metadata struct metadata m = {0};

		for (int i = 0; i < 2; i++)
			names = build_all(&b, ALL({ns[i], build_all(&b, ALL({"containers", build_all(&b, ALL({"c", c}, {"d", spare}))},
									    {"images", build_all(&b, ALL({"i", image}))}))}));
		if (live)
			(void)finish(&b, names);
		lose(&b, live ? spare : finish(&b, names));
		m = read_all(&b);
		CHECK(m.carved);
		CHECK_EQ(m.container_count, live ? 1 : 2);
		CHECK_STR(image_of(&m, live ? "newer" : NULL, "c"), "a");
		/* What only old pages name is no image that is there. */
		CHECK_EQ(m.image_count, 1);
		CHECK_STR(digest_of(&m, live ? "newer" : NULL, "i"), "sha256:1");
	}
}

/* The key of the first element of the leaf @page ends beyond it. */
static void spoil(const struct build *b, uint64_t page)
{
	uint8_t size[4];

	build_put32(size, 5000);
	build_write(b, size, sizeof(size), page * b->page_size + 16 + 8);
}

/* Behind a bad element the others still do, of namespaces as of records. */
static void test_behind_a_bad_element(void)
{
	struct build b = begin(4096);
	uint64_t c = build_container(&b, (struct container){.image = "a"});
	uint64_t d = build_container(&b, (struct container){.image = "b"});
	uint64_t containers = build_all(&b, ALL({"c", c}));
	uint64_t names = build_all(&b, ALL({"bad", c}, {"k8s.io", build_all(&b, ALL({"containers", containers}))}));
	cleanup_metadata struct metadata m = {0};

	spoil(&b, build_all(&b, ALL({"bad", d}, {"d", d})));
	lose(&b, finish(&b, names));
	spoil(&b, names);
	m = read_all(&b);
	CHECK_EQ(m.container_count, 2);
	CHECK_STR(image_of(&m, "k8s.io", "c"), "a");
	CHECK_STR(image_of(&m, NULL, "d"), "b");
}

/* All is read, but that what is free is not known; or not even all. */
static void test_damage_beside_the_tree(void)
{
	for (int bad = 0; bad < 2; bad++) {
		struct build b = begin(4096);
		uint64_t c = build_container(&b, (struct container){.image = bad ? "a\1b" : "a"});
		uint64_t names = build_all(&b, ALL({"k8s.io", build_all(&b, ALL({"containers", build_all(&b, ALL({"c", c}))}))}));
		uint64_t root = build_all(&b, ALL({"v1", names}));
		cleanup_metadata struct metadata m = {0};

		build_finish(&b, root, names); /* which is no freelist */
		if (bad) /* a time that does not decode, at the end of its page */
			build_write(&b, "\7", 1, c * b.page_size + 16 + 16 * 7 + strlen("createdat"));
		m = read_all(&b);
		CHECK_EQ(m.finding.state, BOLT_DAMAGED);
		CHECK(m.finding.damage != BOLT_VALUE);
		CHECK_EQ(m.carved, bad);
		CHECK_EQ(m.container_count, 1);
		CHECK_EQ(m.namespace_count, !bad);
	}
}

/* The way of whatever function fails for want of memory. */
static bool fails(const char *function, int n, int fd)
{
	struct metadata m = {.version = 77};
	int r;

	fault_arm(function, n, ENOMEM);
	r = metadata_read_fd(fd, &m);
	if (!fault_fired()) {
		CHECK_EQ(r, 0);
		metadata_done(&m);
		return false;
	}
	return CHECK_EQ(r, -ENOMEM) && CHECK_EQ(m.version, 77);
}

static int open_damaged(void)
{
	int fd;

	CHECK_EQ(tap_shell("cp %s /proc/%d/fd/%d/lost.db", FIXTURE, (int)getpid(), tmp), 0);
	fd = openat(tmp, "lost.db", O_RDWR | O_CLOEXEC);
	CHECK_EQ(pwrite(fd, "", 1, 0), 1); /* both metas: */
	CHECK_EQ(pwrite(fd, "\0\0\0\0", 4, 16), 4);
	CHECK_EQ(pwrite(fd, "\0\0\0\0", 4, 4096 + 16), 4);
	return fd;
}

static void test_no_memory(void)
{
	static const char *const functions[] = {"malloc", "calloc", "realloc"};
	cleanup_fd int fd = open_damaged();

	for (size_t f = 0; f < ARRAY_SIZE(functions); f++)
		for (int n = 1; n < 100000 && fails(functions[f], n, fd); n++)
			;
}

static int json_left;

static void *scarce(size_t size)
{
	return --json_left == 0 ? NULL : malloc(size);
}

/* jansson takes some of it for bad syntax: a file is never sound of which a part was not read. */
static void check_containers(const struct metadata *m)
{
	for (size_t i = 0; i < m->container_count; i++)
		CHECK(m->containers[i].sandbox_id && m->containers[i].pod_name);
}

static void test_no_memory_for_json(void)
{
	json_malloc_t own_malloc;
	json_free_t own_free;

	json_get_alloc_funcs(&own_malloc, &own_free);
	for (int n = 1; n < 100000; n++) {
		struct metadata m = {.version = 77};
		int r;

		json_left = n;
		json_set_alloc_funcs(scarce, free);
		r = metadata_read(AT_FDCWD, FIXTURE, &m);
		json_set_alloc_funcs(own_malloc, own_free);
		if (json_left > 0) {
			CHECK_EQ(r, 0);
			CHECK_EQ(m.finding.state, BOLT_SOUND);
			metadata_done(&m);
			break;
		}
		if (r == 0) {
			CHECK(n > 1);
			if (m.finding.damage != BOLT_VALUE)
				check_containers(&m);
			metadata_done(&m);
		} else {
			CHECK_EQ(r, -ENOMEM);
			CHECK_EQ(m.version, 77);
		}
	}
}

/* A disk that fails under it: never sound without all, and nothing where nothing is known. */
static void test_a_bad_disk(void)
{
	cleanup_metadata struct metadata whole = {0};

	CHECK_EQ(metadata_read(AT_FDCWD, FIXTURE, &whole), 0);
	for (int n = 1; n < 10000; n++) {
		cleanup_metadata struct metadata m = {0};

		fault_arm("pread", n, EIO);
		CHECK_EQ(metadata_read(AT_FDCWD, FIXTURE, &m), 0);
		if (!fault_fired())
			break;
		if (m.finding.state == BOLT_SOUND) {
			CHECK_EQ(m.container_count, whole.container_count);
			CHECK_EQ(m.image_count, whole.image_count);
			CHECK_EQ(m.snapshot_count, whole.snapshot_count);
		} else if (m.finding.state == BOLT_UNREAD) {
			CHECK_EQ(m.container_count + m.image_count + m.snapshot_count + m.blob_count, 0);
		} else {
			CHECK(m.carved && m.snapshot_count == 0);
		}
	}
}

/* What is read while containerd commits is of one moment, or is not given out. */
static void test_written_meanwhile(void)
{
	struct build b = begin(4096);
	uint64_t c = build_container(&b, (struct container){.image = "a"});
	uint64_t names = build_all(&b, ALL({"k8s.io", build_all(&b, ALL({"containers", build_all(&b, ALL({"c", c}))}))}));
	uint64_t root = finish(&b, names);
	size_t sound = 0;
	time_t patience = time(NULL) + 30; /* a busy machine may let the reader wait */
	pid_t writer = fork();

	if (writer == 0)
		for (;;)
			for (int slot = 0; slot < 2; slot++, b.txid++) {
				build_meta_of(&b, slot, root, NO_FREELIST, b.txid + 2);
				(void)usleep(20);
			}
	for (int i = 0; i < 300 || (sound == 0 && time(NULL) < patience); i++) {
		cleanup_metadata struct metadata m = {0};

		CHECK_EQ(metadata_read_fd(b.fd, &m), 0);
		sound += m.finding.state == BOLT_SOUND;
		CHECK_EQ(m.container_count, m.finding.state == BOLT_SOUND);
		CHECK_EQ(m.namespace_count, m.finding.state == BOLT_SOUND);
	}
	CHECK(sound > 0);
	CHECK_EQ(kill(writer, SIGKILL), 0);
	CHECK_EQ(waitpid(writer, NULL, 0), writer);
	(void)close(b.fd);
}

int main(void)
{
	tmp = open(tap_tmpdir(NULL), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	RUN(test_namespaces);
	RUN(test_the_latest_version_counts);
	RUN(test_without_a_namespace);
	RUN(test_containers_without_their_names);
	RUN(test_two_namespaces_claim_a_record);
	RUN(test_behind_a_bad_element);
	RUN(test_damage_beside_the_tree);
	RUN(test_no_memory);
	RUN(test_no_memory_for_json);
	RUN(test_a_bad_disk);
	RUN(test_written_meanwhile);
	return tap_done();
}
