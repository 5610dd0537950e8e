#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/metadata.h"
#include "tests/unit/bolt_build.h"
#include "tests/unit/fault.h"
#include "tests/unit/tap.h"

/* Of a containerd 1.6 with five pods, one of them with a container; an image in two namespaces.
 */
#define META "tests/fixtures/bolt/meta.db"
#define DIRECTORIES "tests/fixtures/bolt/metadata.db"
#define PODS 5
#define PAGE 4096
#define IMAGE "test.local/pause:1"

static int tmp = -EBADF;

static struct metadata read_fixture(void)
{
	struct metadata m = {0};

	CHECK_EQ(metadata_read(AT_FDCWD, META, &m), 0);
	CHECK_EQ(m.finding.state, BOLT_SOUND);
	CHECK(m.finding.whole_tree);
	return m;
}

/* Each pod's sandbox, and the one container in its pod. */
static void check_pods(const struct metadata *m)
{
	size_t sandboxes = 0, containers = 0;

	for (size_t i = 0; i < m->container_count; i++) {
		const struct metadata_container *c = &m->containers[i];

		CHECK_STR(c->ns, "k8s.io");
		CHECK_STR(c->pod_namespace, "default");
		CHECK(c->pod_name && strncmp(c->pod_name, "a-", 2) == 0);
		CHECK(c->pod_uid && strncmp(c->pod_uid, "uid-a-", 6) == 0);
		CHECK_STR(c->runtime, "io.containerd.runc.v2");
		CHECK_STR(c->snapshotter, "overlayfs");
		CHECK_STR(c->snapshot_key, c->id);
		CHECK(c->times.created_sec > 1600000000 &&
		      c->times.updated_sec >= c->times.created_sec);
		if (c->kind && strcmp(c->kind, "sandbox") == 0) {
			sandboxes++;
			CHECK_STR(c->sandbox_id, c->id);
			CHECK(c->netns && strstr(c->netns, "/netns/cni-"));
			CHECK(c->address && strncmp(c->address, "10.244.", 7) == 0);
			CHECK(c->cgroup_parent && strstr(c->cgroup_parent, c->pod_name));
		} else {
			containers++;
			CHECK_STR(c->kind, "container");
			CHECK_STR(c->container_name, "app");
			CHECK(c->log_path != NULL);
			CHECK(metadata_find_container(m, "k8s.io", c->sandbox_id) != NULL);
		}
	}
	CHECK_EQ(sandboxes, PODS);
	CHECK_EQ(containers, 1);
}

static void test_real_file(void)
{
	cleanup_metadata struct metadata m = read_fixture();
	const struct metadata_image *image = metadata_find_image(&m, "k8s.io", IMAGE);

	check_pods(&m);
	CHECK(!m.carved);
	CHECK_EQ(m.version, 3);
	CHECK(m.namespace_count >= 2);
	CHECK_STR(m.namespaces[0], "default");
	CHECK_STR(m.namespaces[1], "k8s.io");
	if (CHECK(image != NULL)) {
		CHECK(image->cri && !image->pinned);
		CHECK(strncmp(image->digest, "sha256:", 7) == 0);
		CHECK(strstr(image->media_type, "manifest") != NULL);
		CHECK(image->size > 100);
		CHECK(metadata_find_blob(&m, image->digest) != NULL);
	}
	for (size_t i = 0; i < m.blob_count; i++)
		CHECK(metadata_find_blob(&m, m.blobs[i].digest) != NULL);
	CHECK(metadata_find_image(&m, "default", IMAGE) != NULL);
	CHECK(metadata_find_image(&m, "nowhere", IMAGE) == NULL);
	CHECK(metadata_find_image(&m, "k8s.io", "other") == NULL);
	CHECK(metadata_find_container(&m, "k8s.io", "..") == NULL);
	CHECK(metadata_find_blob(&m, "sha256:00") == NULL);
	CHECK_EQ(m.lease_count, 1);
	CHECK_STR(m.leases[0].ns, "k8s.io");
	CHECK_EQ(m.sandbox_count, 0);
}

/* 1.7 has no freelist and empty sandbox ids, 2.1 has a record for each sandbox. */
static void test_later_versions(void)
{
	static const char *const files[] = { "tests/fixtures/bolt/meta-1.7.db",
					     "tests/fixtures/bolt/meta-2.1.db" };

	for (size_t f = 0; f < ARRAY_SIZE(files); f++) {
		cleanup_metadata struct metadata m = { 0 };

		CHECK_EQ(metadata_read(AT_FDCWD, files[f], &m), 0);
		CHECK_EQ(m.finding.state, BOLT_SOUND);
		CHECK_EQ(m.finding.meta[0].freelist_page, UINT64_MAX);
		CHECK_EQ(m.container_count, 3);
		CHECK_EQ(m.sandbox_count, f == 1 ? 2 : 0);
		for (size_t i = 0; i < m.container_count; i++) {
			const struct metadata_container *c = &m.containers[i];

			CHECK(c->pod_name && strncmp(c->pod_name, "a-", 2) == 0);
			CHECK(c->sandbox_id &&
			      metadata_find_container(&m, "k8s.io", c->sandbox_id));
		}
		for (size_t i = 0; i < m.sandbox_count; i++) {
			CHECK_STR(m.sandboxes[i].sandbox_id, m.sandboxes[i].id);
			CHECK(m.sandboxes[i].pod_name && m.sandboxes[i].netns);
		}
	}
}

/* From a directory's number to its pod, as the report of a scan wants it. */
static void test_directory_to_pod(void)
{
	cleanup_metadata struct metadata m = read_fixture();
	cleanup_metadata_directories struct metadata_directories d = {0};
	size_t pods = 0, layers = 0;

	CHECK_EQ(metadata_read_directories(AT_FDCWD, DIRECTORIES, &d), 0);
	CHECK_EQ(d.finding.state, BOLT_SOUND);
	for (size_t i = 0; i < d.count; i++) {
		const struct metadata_snapshot *snapshot =
			metadata_snapshot_of(&m, "overlayfs", d.items[i].name);
		const struct metadata_container *user = NULL;

		CHECK(metadata_find_directory(&d, d.items[i].id) == &d.items[i]);
		if (!CHECK(snapshot != NULL))
			continue;
		user = metadata_user_of(&m, snapshot);
		pods += user && user->pod_name;
		layers += !user;
		CHECK_EQ(d.items[i].kind, user ? SNAPSHOT_ACTIVE : SNAPSHOT_COMMITTED);
		CHECK_EQ(d.items[i].parent != NULL, user != NULL);
	}
	CHECK_EQ(pods, PODS + 1);
	CHECK_EQ(layers, d.count - pods);
	CHECK(layers > 0);
	CHECK(metadata_find_directory(&d, 999) == NULL);
	CHECK(metadata_snapshot_of(&m, "native", d.items[0].name) == NULL);
}

/* By what it says itself; a name alone, or one of another namespace, is nobody's. */
static void test_whose_a_snapshot_is(void)
{
	struct metadata_container containers[] = {
		{.ns = (char *)"k8s.io", .id = (char *)"a", .snapshotter = (char *)"overlayfs", .snapshot_key = (char *)"x"},
		{.ns = (char *)"k8s.io", .id = (char *)"b", .snapshotter = (char *)"overlayfs", .snapshot_key = (char *)"b"},
	};
	const struct metadata m = {.containers = containers, .container_count = 2};
	struct metadata_snapshot snapshot = {.ns = (char *)"k8s.io", .snapshotter = (char *)"overlayfs"};

	snapshot.key = (char *)"b";
	CHECK(metadata_user_of(&m, &snapshot) == &containers[1]);
	snapshot.key = (char *)"x";
	CHECK(metadata_user_of(&m, &snapshot) == &containers[0]);
	snapshot.key = (char *)"a";
	CHECK(metadata_user_of(&m, &snapshot) == NULL);
	snapshot.key = (char *)"b";
	snapshot.ns = (char *)"moby";
	CHECK(metadata_user_of(&m, &snapshot) == NULL);
}

static void test_no_file(void)
{
	cleanup_metadata struct metadata m = {0};
	cleanup_metadata_directories struct metadata_directories d = {0};

	CHECK_EQ(metadata_read(tmp, "absent", &m), 0);
	CHECK_EQ(m.finding.state, BOLT_ABSENT);
	CHECK_EQ(m.container_count, 0);
	CHECK(metadata_find_container(&m, "k8s.io", "x") == NULL);
	CHECK_EQ(metadata_read_directories(tmp, "absent", &d), 0);
	CHECK_EQ(d.finding.state, BOLT_ABSENT);
	CHECK_EQ(symlinkat("absent", tmp, "link"), 0);
	CHECK_EQ(metadata_read(tmp, "link", &m), 0);
	CHECK_EQ(m.finding.state, BOLT_UNREAD);
}

static void test_below_a_data_root(void)
{
	cleanup_metadata struct metadata m = {0};
	cleanup_metadata_directories struct metadata_directories d = {0};

	CHECK_EQ(metadata_read_root(tmp, &m), 0);
	CHECK_EQ(m.finding.state, BOLT_ABSENT);
	CHECK_EQ(mkdirat(tmp, METADATA_DIR, 0700), 0);
	CHECK_EQ(metadata_read_root(tmp, &m), 0);
	CHECK_EQ(m.finding.state, BOLT_ABSENT);
	CHECK_EQ(symlinkat(METADATA_DIR, tmp, METADATA_SNAPSHOTTER_DIR "overlayfs"), 0);
	CHECK_EQ(metadata_read_snapshotter(tmp, "overlayfs", &d), 0);
	CHECK_EQ(d.finding.state, BOLT_UNREAD);
	CHECK(d.finding.error == -ELOOP || d.finding.error == -ENOTDIR);
	CHECK_EQ(metadata_read_snapshotter(tmp, "native", &d), 0);
	CHECK_EQ(d.finding.state, BOLT_ABSENT);
}

/* ---- files of our own ---- */

static const char now[15] = {1, 0, 0, 0, 0x0e, (char)0xd2, 0, 0, 0, 0, 0, 0, 0, 0, 0};

/* A record with one member replaced. */
struct variant {
	const char *key;
	const char *value;
	size_t size;
};

static void replace(struct build_item *items, size_t count, const struct variant *variant)
{
	for (size_t i = 0; variant && i < count; i++)
		if (items[i].key && strcmp(items[i].key, variant->key) == 0)
			items[i] = build_value(variant->key, variant->value, variant->size);
}

static uint64_t build_image(struct build *b, const struct variant *variant)
{
	uint8_t inside[2][300];
	struct build_item labels[] = {build_text("io.cri-containerd.pinned", "pinned")};
	struct build_item target[] = {
		build_text("digest", "sha256:abc"),
		build_text("mediatype", "application/vnd.oci.image.index.v1+json"),
		build_value("size", "\x90\x03", 2),
	};
	struct build_item members[] = {
		build_value("createdat", now, sizeof(now)),
		{0},
		{0},
		build_value("updatedat", now, sizeof(now)),
	};

	replace(target, ARRAY_SIZE(target), variant);
	replace(members, ARRAY_SIZE(members), variant);
	members[1] = build_inline("labels", labels, 1, inside[0]);
	members[2] = build_inline("target", target, ARRAY_SIZE(target), inside[1]);
	return build_tree(b, members, ARRAY_SIZE(members));
}

#define ANY "\x0a\x01t\x12"
#define SANDBOX_JSON                                                                           \
	"{\"Version\":\"v1\",\"Metadata\":{\"ID\":\"c1\",\"NetNSPath\":\"/n\","                \
	"\"Config\":{\"metadata\":{\"name\":\"p\"}}}}"

static uint64_t build_container(struct build *b, const struct variant *variant)
{
	uint8_t inside[3][400];
	struct build_item extensions[] = {
		build_value("io.cri-containerd.sandbox.metadata", ANY "\x5b" SANDBOX_JSON, 5 + 0x5b),
		build_value("somebody.else", ANY "\x01x", 6)};
	struct build_item labels[] = {build_text("io.cri-containerd.kind", "sandbox")};
	struct build_item runtime[] = {build_text("name", "io.containerd.runc.v2"),
				       build_value("options", ANY "\x01x", 6)};
	struct build_item members[] = {
		build_value("createdat", now, sizeof(now)),
		{0},
		build_text("image", IMAGE),
		{0},
		{0},
		build_text("snapshotKey", "c1"),
		build_text("snapshotter", "overlayfs"),
		build_value("spec", ANY "\x02{}", 7),
		build_value("updatedat", now, sizeof(now)),
	};

	CHECK_EQ(strlen(SANDBOX_JSON), 0x5b);
	replace(extensions, ARRAY_SIZE(extensions), variant);
	replace(runtime, ARRAY_SIZE(runtime), variant);
	replace(members, ARRAY_SIZE(members), variant);
	members[1] = build_inline("extensions", extensions, 2, inside[0]);
	members[3] = build_inline("labels", labels, 1, inside[1]);
	members[4] = build_inline("runtime", runtime, 2, inside[2]);
	return build_tree(b, members, ARRAY_SIZE(members));
}

/* meta.db with one image, one container, one sandbox of 2.x's; metadata.db beside it. */
static struct build build_metadata(const struct variant *variant)
{
	int fd = openat(tmp, "meta.db", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct build b = {.fd = fd, .page_size = PAGE, .next_page = 2};
	uint8_t headers[8][16], inside[7][400];
	struct build_item sandbox_extensions[] = {
		build_value("metadata", ANY "\x5b" SANDBOX_JSON, 5 + 0x5b)};
	struct build_item sandbox[] = {build_value("createdat", now, sizeof(now)), {0}};
	struct build_item snapshot[] = {build_text("name", "k8s.io/3/c1"), build_text("parent", "sha256:1")};
	struct build_item image, container, blob, content[2], kinds[5], top[2];

	replace(sandbox_extensions, 1, variant);
	replace(snapshot, ARRAY_SIZE(snapshot), variant);
	image = build_bucket(IMAGE, build_image(&b, variant), headers[0]);
	container = build_bucket("c1", build_container(&b, variant), headers[1]);
	sandbox[1] = build_inline("extensions", sandbox_extensions, 1, inside[0]);
	sandbox[0] = build_inline("c1", sandbox, 2, inside[1]);
	snapshot[0] = build_inline("c1", snapshot, 2, inside[2]);
	snapshot[0] = build_inline("overlayfs", snapshot, 1, inside[3]);
	blob = build_value("size", "\x02", 1);
	content[0] = build_inline("sha256:abc", &blob, 1, inside[4]);
	content[0] = build_inline("blob", content, 1, inside[5]);
	content[1] = build_inline("ingests", content, 1, inside[6]);
	kinds[0] = build_bucket("containers", build_tree(&b, &container, 1), headers[2]);
	kinds[1] = build_bucket("content", build_tree(&b, content, 2), headers[6]);
	kinds[2] = build_bucket("images", build_tree(&b, &image, 1), headers[3]);
	kinds[3] = build_bucket("sandboxes", build_tree(&b, sandbox, 1), headers[4]);
	kinds[4] = build_bucket("snapshots", build_tree(&b, snapshot, 1), headers[7]);
	top[0] = build_bucket("k8s.io", build_tree(&b, kinds, 5), headers[5]);
	top[1] = build_value("version", "\x06", 1);
	replace(top, 2, variant);
	top[0] = build_bucket("v1", build_tree(&b, top, 2), headers[0]);
	build_finish(&b, build_tree(&b, top, 1), UINT64_MAX);
	return b;
}

static void test_our_own_file(void)
{
	struct build b = build_metadata(NULL);
	cleanup_metadata struct metadata m = {0};

	CHECK_EQ(metadata_read(tmp, "meta.db", &m), 0);
	CHECK_EQ(m.finding.state, BOLT_SOUND);
	CHECK_EQ(m.version, 3);
	CHECK_EQ(m.image_count, 1);
	CHECK_EQ(m.images[0].size, 200);
	CHECK(!m.images[0].cri);
	CHECK(m.images[0].pinned);
	CHECK_EQ(m.snapshot_count, 1);
	CHECK_STR(m.snapshots[0].parent, "sha256:1");
	CHECK_EQ(m.blob_count, 1); /* what is being pulled is none */
	CHECK_STR(m.blobs[0].digest, "sha256:abc");
	CHECK_EQ(m.container_count, 1);
	CHECK_STR(m.containers[0].pod_name, "p");
	CHECK_STR(m.containers[0].netns, "/n");
	CHECK_EQ(m.sandbox_count, 1);
	if (CHECK(metadata_find_sandbox(&m, "k8s.io", "c1") != NULL))
		CHECK_STR(m.sandboxes[0].pod_name, "p");
	/* 0x0ed2000000 seconds since the year 1. */
	CHECK_EQ(m.containers[0].times.created_sec,
		 INT64_C(0x0ed2000000) - INT64_C(62135596800));
	(void)close(b.fd);
}

/* A record's own name stands, whatever is in it; an empty text is none. */
static void test_what_cri_says_otherwise(void)
{
	static const struct variant variant = {"io.cri-containerd.sandbox.metadata",
		ANY "\x20{\"Metadata\":{\"ID\":\"zz\",\"IP\":\"\"}}", 5 + 0x20};
	struct build b = build_metadata(&variant);
	cleanup_metadata struct metadata m = {0};

	CHECK_EQ(metadata_read(tmp, "meta.db", &m), 0);
	CHECK_EQ(m.finding.state, BOLT_SOUND);
	CHECK_STR(m.containers[0].id, "c1");
	CHECK_STR(m.containers[0].sandbox_id, "zz");
	CHECK(m.containers[0].address == NULL);
	(void)close(b.fd);
}

static void test_values_that_do_not_decode(void)
{
	static const struct variant variants[] = {
		{"createdat", now, 14},
		{"createdat", "\2..............", 15},
		{"createdat", "\1...............", 16},
		{"updatedat", "", 0},
		{"digest", "abc", 3},
		{"digest", "sha256:a\0c", 10},
		{"size", "\xff", 1},
		{"size", "", 0},
		{"spec", "{}", 2},
		{"spec", ANY "\x03{}", 7},
		{"spec", "\x12\x02{}", 4},
		{"spec", "\x0a\0\x12\x02{}", 6},
		{"spec", ANY "\x90", 5},
		{"options", "\xff\xff", 2},
		{"name", "a\0b", 3},
		{"snapshotKey", "a\0b", 3},
		{"version", "\x80", 1},
		{"somebody.else", "{}", 2},
		{"name", "", 0},
		{"io.cri-containerd.sandbox.metadata", ANY "\x02{}", 7},
		{"io.cri-containerd.sandbox.metadata", ANY "\x02{x", 7},
		{"io.cri-containerd.sandbox.metadata", "", 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(variants); i++) {
		struct build b = build_metadata(&variants[i]);
		cleanup_metadata struct metadata m = {0};
		bool ok = true;

		CHECK_EQ(metadata_read(tmp, "meta.db", &m), 0);
		ok &= CHECK_EQ(m.finding.state, BOLT_DAMAGED);
		ok &= CHECK_EQ(m.finding.damage, BOLT_VALUE);
		ok &= CHECK(m.finding.page >= 2 && m.finding.page < b.next_page);
		/* The record itself is not given up, but for an image without a digest. */
		ok &= CHECK_EQ(m.container_count, 1);
		ok &= CHECK_EQ(m.image_count, strcmp(variants[i].key, "digest") != 0);
		CHECK(!m.carved);
		if (!ok)
			printf("# in %s, case %zu\n", variants[i].key, i);
		(void)close(b.fd);
	}
}

/* What was never set is stored as nothing. */
static void test_values_that_may_be_empty(void)
{
	static const struct variant variants[] = {
		{"options", "", 0},
		{"spec", "", 0},
		{"snapshotKey", "", 0},
		{"image", "", 0},
		/* As a later Go writes it; what another client has where CRI has its own. */
		{"createdat", "\2...............", 16},
		{"metadata", ANY "\x02{}", 7},
		{"io.cri-containerd.sandbox.metadata", ANY "\x5b" SANDBOX_JSON "\x1a\x01x", 8 + 0x5b},
		{"options", "\x0a\x01t\x19" "12345678", 12},
	};

	for (size_t i = 0; i < ARRAY_SIZE(variants); i++) {
		struct build b = build_metadata(&variants[i]);
		cleanup_metadata struct metadata m = {0};

		CHECK_EQ(metadata_read(tmp, "meta.db", &m), 0);
		if (!CHECK_EQ(m.finding.state, BOLT_SOUND))
			printf("# in %s, case %zu\n", variants[i].key, i);
		(void)close(b.fd);
	}
}

/* ---- carving ---- */

static char *fixture;
static size_t fixture_size;

static struct metadata read_bytes(const char *bytes, size_t size)
{
	struct metadata m = {0};
	int fd = openat(tmp, "meta.db", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CHECK_EQ(write(fd, bytes, size), size);
	CHECK_EQ(close(fd), 0);
	CHECK_EQ(metadata_read(tmp, "meta.db", &m), 0);
	return m;
}

/* All that was, and perhaps what was deleted before. */
static void check_carved(const struct metadata *m)
{
	cleanup_metadata struct metadata whole = read_fixture();

	CHECK(m->carved);
	for (size_t i = 0; i < whole.container_count; i++) {
		const struct metadata_container *want = &whole.containers[i];
		const struct metadata_container *got =
			metadata_find_container(m, "k8s.io", want->id);

		if (!CHECK(got != NULL))
			continue;
		CHECK_STR(got->pod_name, want->pod_name);
		CHECK_STR(got->netns, want->netns);
		CHECK_STR(got->sandbox_id, want->sandbox_id);
	}
	for (size_t i = 0; i < whole.image_count; i++) {
		const struct metadata_image *want = &whole.images[i];
		const struct metadata_image *got =
			metadata_find_image(m, want->cri ? want->ns : NULL, want->name)
				?: metadata_find_image(m, "k8s.io", want->name);

		if (CHECK(got != NULL))
			CHECK_STR(got->digest, want->digest);
	}
}

static void test_carving_without_metas(void)
{
	cleanup_free char *bytes = malloc(fixture_size);
	cleanup_metadata struct metadata m = {0};

	memcpy(bytes, fixture, fixture_size);
	memset(bytes, 0, 2 * (size_t)PAGE);
	m = read_bytes(bytes, fixture_size);
	CHECK_EQ(m.finding.damage, BOLT_META_INVALID);
	check_carved(&m);
}

static void test_carving_without_the_root(void)
{
	cleanup_free char *bytes = malloc(fixture_size);
	cleanup_metadata struct metadata m = {0}, whole = read_fixture();
	const struct bolt_meta *live = &whole.finding.meta[whole.finding.live_meta];

	memcpy(bytes, fixture, fixture_size);
	memset(bytes + live->root_page * PAGE, 0xff, PAGE);
	m = read_bytes(bytes, fixture_size);
	CHECK_EQ(m.finding.damage, BOLT_PAGE_TYPE);
	check_carved(&m);
}

/* The images of @whole that are in @m, of the same namespace. */
static size_t images_kept(const struct metadata *whole, const struct metadata *m, size_t *ret_named)
{
	size_t kept = 0;

	for (size_t i = 0; i < whole->image_count; i++) {
		const struct metadata_image *want = &whole->images[i];
		const struct metadata_image *got = metadata_find_image(m, want->ns, want->name);

		kept += got && got->digest && strcmp(got->digest, want->digest) == 0;
		*ret_named += got != NULL;
	}
	return kept;
}

/* One page less, one record less at most, but for the pages that name the images. */
static void test_carving_without_any_one_page(void)
{
	cleanup_metadata struct metadata whole = read_fixture();
	size_t complete = 0, damaged = 0, uncarved = 0, names_lost = 0,
	       records_lost = 0;

	for (size_t page = 2; page < fixture_size / PAGE; page++) {
		cleanup_free char *bytes = malloc(fixture_size);
		cleanup_metadata struct metadata m = {0};
		size_t kept, named = 0;

		memcpy(bytes, fixture, fixture_size);
		memset(bytes + page * PAGE, 0, PAGE);
		m = read_bytes(bytes, fixture_size);
		if (m.finding.state != BOLT_DAMAGED)
			continue;
		damaged++;
		uncarved += !m.carved;
		kept = images_kept(&whole, &m, &named);
		/* Of a lost record the name is known, of a lost page of names nothing. */
		names_lost += named < whole.image_count;
		records_lost += kept < named;
		complete += m.container_count >= whole.container_count - 1 && m.image_count > 0;
		/* The freelist's: all is read as if nothing had happened. */
		if (!m.carved)
			CHECK_EQ(kept, whole.image_count);
	}
	CHECK(damaged > 20);
	CHECK_EQ(uncarved, 1);
	CHECK_EQ(complete, damaged);
	CHECK(names_lost <= 3);
	CHECK(records_lost >= 2);
	printf("# of %zu images: %zu pages hold names, %zu a record\n", whole.image_count, names_lost, records_lost);
}

static void test_carving_noise(void)
{
	cleanup_free char *bytes = malloc(fixture_size);
	cleanup_metadata struct metadata m = {0};

	for (size_t i = 0; i < fixture_size; i++)
		bytes[i] = (char)(i * 2654435761u >> 13);
	m = read_bytes(bytes, fixture_size);
	CHECK(m.carved);
	CHECK_EQ(m.image_count + m.container_count, 0);
}

/* Whatever page of a snapshotter's records is lost: what is found is what was. */
static void test_carving_directories(void)
{
	cleanup_metadata_directories struct metadata_directories whole = {0};
	cleanup_free char *fixture_text = NULL;
	char noise[2 * PAGE];
	size_t size, damaged = 0, found = 0;

	CHECK_EQ(metadata_read_directories(AT_FDCWD, DIRECTORIES, &whole), 0);
	CHECK_EQ(dir_read_file(AT_FDCWD, DIRECTORIES, 1 << 20, &fixture_text, &size), 0);
	for (size_t page = 0; page < size / PAGE; page++) {
		cleanup_metadata_directories struct metadata_directories d = {0};
		/* Page 0 stands for both metas. */
		size_t hole = page == 0 ? 2 * (size_t)PAGE : PAGE;
		int fd = openat(tmp, "metadata.db", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		CHECK_EQ(write(fd, fixture_text, size), size);
		memset(noise, 0xff, hole);
		CHECK_EQ(pwrite(fd, noise, hole, (off_t)(page * PAGE)), hole);
		CHECK_EQ(close(fd), 0);
		CHECK_EQ(metadata_read_directories(tmp, "metadata.db", &d), 0);
		if (page == 0)
			CHECK_EQ(d.count, whole.count);
		if (d.finding.state != BOLT_DAMAGED)
			continue;
		damaged++;
		found += d.count;
		CHECK(d.carved || d.count == whole.count);
		for (size_t i = 0; i < d.count; i++) {
			const struct metadata_directory *want =
				metadata_find_directory(&whole, d.items[i].id);

			/* Of a layer whose record is lost, that of its unpacking may still lie about. */
			if (CHECK(want != NULL) && (page == 0 || want->kind == d.items[i].kind))
				CHECK_STR(d.items[i].name, want->name);
		}
	}
	CHECK(damaged >= 2);
	CHECK(found >= whole.count * (damaged - 1));
}

/* ---- failing calls ---- */

/* The fuzzer's corpus, what it once crashed on included. */
static void test_what_the_fuzzer_found(void)
{
	static const char corpus[] = "tests/fuzz/corpus/fuzz_bolt";
	cleanup_fd int dirfd = dir_open_path(corpus);
	cleanup_dir DIR *stream = NULL;
	const char *name;
	unsigned count = 0;

	CHECK_EQ(dir_stream(dirfd, &stream), 0);
	while (dir_next(stream, &name, NULL) > 0) {
		struct metadata m = {0};

		if (CHECK_EQ(metadata_read(dirfd, name, &m), 0))
			count++;
		metadata_done(&m);
	}
	CHECK(count >= 4);
}

static void test_no_memory(void)
{
	static const char *const functions[] = {"malloc", "calloc", "realloc"};

	for (size_t f = 0; f < ARRAY_SIZE(functions); f++) {
		for (int n = 1; n < 100000; n++) {
			struct metadata m = {.version = 77};
			int r;

			fault_arm(functions[f], n, ENOMEM);
			r = metadata_read(AT_FDCWD, META, &m);
			if (!fault_fired()) {
				CHECK_EQ(r, 0);
				metadata_done(&m);
				break;
			}
			if (!CHECK_EQ(r, -ENOMEM) || !CHECK_EQ(m.version, 77))
				return;
		}
	}
}

int main(void)
{
	tmp = open(tap_tmpdir(NULL), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_read_file(AT_FDCWD, META, 1 << 20, &fixture, &fixture_size) < 0) {
		printf("Bail out! cannot read %s\n", META);
		return 1;
	}
	RUN(test_real_file);
	RUN(test_later_versions);
	RUN(test_directory_to_pod);
	RUN(test_whose_a_snapshot_is);
	RUN(test_no_file);
	RUN(test_below_a_data_root);
	RUN(test_our_own_file);
	RUN(test_what_cri_says_otherwise);
	RUN(test_values_that_do_not_decode);
	RUN(test_values_that_may_be_empty);
	RUN(test_carving_without_metas);
	RUN(test_carving_without_the_root);
	RUN(test_carving_directories);
	RUN(test_carving_without_any_one_page);
	RUN(test_carving_noise);
	RUN(test_what_the_fuzzer_found);
	RUN(test_no_memory);
	free(fixture);
	return tap_done();
}
