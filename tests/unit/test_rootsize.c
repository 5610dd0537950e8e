#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "recover/file.h"
#include "recover/scan.h"
#include "scanners/cleanup.h"
#include "scanners/rootsize.h"
#include "tests/unit/fault.h"
#include "tests/unit/tap.h"

#define SNAPSHOTS "io.containerd.snapshotter.v1.overlayfs/snapshots"
#define CONTAINERS "io.containerd.grpc.v1.cri/containers"

static const char *tmp, *other;
static int root = -EBADF;

/* @count files of a block each in @path below the root. */
static void make(const char *path, unsigned count)
{
	static char content[4096];
	char whole[4200], name[32];
	cleanup_fd int fd = -EBADF;

	(void)snprintf(whole, sizeof(whole), "%s/%s", tmp, path);
	fd = file_make_dirs(whole, 0700);
	CHECK(fd >= 0);
	for (unsigned i = 0; i < count; i++) {
		(void)snprintf(name, sizeof(name), "f%u", i);
		CHECK_EQ(file_replace(fd, name, content, sizeof(content), 0600), 0);
	}
}

static const struct root_part *find(const struct root_size *size, const char *path)
{
	for (uint32_t i = 1; i < size->count; i++) {
		cleanup_free char *at = root_size_path(size, i);

		if (at && strcmp(at, path) == 0)
			return &size->parts[i];
	}
	return NULL;
}

static uint64_t entries_of(const struct root_size *size, const char *path)
{
	const struct root_part *part = find(size, path);

	return part ? part->entries : UINT64_MAX;
}

static void test_parts_and_litter(void)
{
	cleanup_root_size struct root_size size = { 0 };
	const struct root_size_options options = { 0 };
	const struct root_part *part;
	uint64_t sum = 0;

	CHECK_EQ(root_size_scan(root, &options, &size), 0);
	CHECK(size.walk.complete);
	for (size_t i = 0; i < size.count; i++)
		sum += size.parts[i].entries;
	CHECK_EQ(sum, size.walk.entries);
	/* fs, repo, .git, objects, .cache, go-build, pip and the files. */
	CHECK_EQ(entries_of(&size, SNAPSHOTS "/7"), 7 + 10 + 5 + 4 + 3);
	CHECK_EQ(entries_of(&size, SNAPSHOTS "/8"), 1 + 6);
	CHECK_EQ(entries_of(&size, SNAPSHOTS), 2);
	CHECK_EQ(entries_of(&size, CONTAINERS "/abc"), 1 + 2);
	CHECK_EQ(entries_of(&size, CONTAINERS "/abc/volumes"), 1 + 9);
	CHECK_EQ(entries_of(&size, "io.containerd.runtime.v2.task/k8s.io/xyz"), 11);
	CHECK_EQ(entries_of(&size, "io.containerd.content.v1.content/ingest/d1"), 1);
	CHECK_EQ(entries_of(&size, "junk"), 1 + 12);

	part = find(&size, SNAPSHOTS "/7");
	CHECK_EQ(part->litter[LITTER_GIT], 10 + 1);
	CHECK_EQ(part->litter[LITTER_GO_BUILD], 5);
	CHECK_EQ(part->litter[LITTER_PIP], 4);
	CHECK_EQ(part->litter[LITTER_CACHE], 2 + 3);
	CHECK_EQ(part->litter[LITTER_NONE], 4); /* fs, repo, .git, .cache */
	CHECK(!part->measured);
	CHECK_EQ(part->bytes, 0);
	part = find(&size, "io.containerd.content.v1.content/blobs");
	CHECK(part->measured);
	CHECK(part->bytes >= 3 * 4096);
}

static void test_measuring(void)
{
	cleanup_root_size struct root_size all = { 0 }, one = { 0 };
	struct root_size_options options = { .measure = true };

	CHECK_EQ(root_size_scan(root, &options, &all), 0);
	options.measure = false;
	CHECK_EQ(root_size_scan(root, &options, &one), 0);
	for (uint32_t i = 0; i < one.count; i++)
		if (one.parts[i].kind == ROOT_SNAPSHOT)
			CHECK_EQ(root_size_measure(root, &one, i, 0), 0);
	CHECK(find(&all, SNAPSHOTS "/7")->bytes >= 22UL * 4096);
	CHECK(find(&one, SNAPSHOTS "/7")->measured);
	CHECK_EQ(find(&one, SNAPSHOTS "/7")->bytes, find(&all, SNAPSHOTS "/7")->bytes);
	CHECK_EQ(find(&one, SNAPSHOTS "/8")->bytes, find(&all, SNAPSHOTS "/8")->bytes);
}

static void test_failures_leave_nothing(void)
{
	static const char *const functions[] = { "calloc", "malloc", "realloc" };

	for (size_t f = 0; f < ARRAY_SIZE(functions); f++) {
		for (int n = 1; n < 100; n++) {
			const struct root_size_options options = { 0 };
			struct root_size size = { .count = 77 };
			int r;

			fault_arm(functions[f], n, ENOMEM);
			r = root_size_scan(root, &options, &size);
			if (r < 0)
				CHECK_EQ(size.count, 77);
			else
				root_size_done(&size);
			if (!fault_fired())
				break;
		}
	}
}

static void test_many_parts_are_cut(void)
{
	cleanup_root_size struct root_size size = { 0 };
	const struct root_size_options options = { 0 };
	cleanup_fd int fd = -EBADF;
	char path[4200], name[32];

	(void)snprintf(path, sizeof(path), "%s/tmpmounts", tmp);
	fd = file_make_dirs(path, 0700);
	for (unsigned i = 0; i < 66000; i++) {
		(void)snprintf(name, sizeof(name), "m%u", i);
		(void)mkdirat(fd, name, 0700);
	}
	CHECK_EQ(root_size_scan(root, &options, &size), 0);
	CHECK(size.parts_cut);
	CHECK(size.count <= 65536);
	CHECK_EQ(entries_of(&size, "tmpmounts"), 66000);
}

static void test_export_is_json_with_all(void)
{
	char *text = NULL;
	size_t length = 0;
	FILE *to = open_memstream(&text, &length);
	json_error_t error;
	json_t *json;

	CHECK_EQ(unlinkat(root, "junk/f1", 0), 0);
	CHECK_EQ(symlinkat("\"odd\"\n", root, "junk/a\"b\n\\"), 0);
	CHECK_EQ(scan_export(root, "/var/lib/containerd", to), 0);
	CHECK_EQ(fclose(to), 0);
	json = json_loads(text, 0, &error);
	CHECK(json != NULL);
	CHECK_EQ(json_integer_value(json_array_get(json, 0)), 1);
	CHECK_STR(json_string_value(json_object_get(json_array_get(json_array_get(json, 3), 0), "name")),
		  "/var/lib/containerd");
	/* The root's own record, then one for each entry. */
	CHECK_EQ(json_array_size(json_array_get(json, 3)), 1 + 5);
	CHECK(strstr(text, "\"a\\\"b\\u000a\\\\\"") != NULL);
	json_decref(json);
	free(text);
}

/* What scan_print() says; the caller's, to free(). */
static char *said(const struct scan *scan, uint64_t mark, size_t top)
{
	char *text = NULL;
	size_t length = 0;
	FILE *to = open_memstream(&text, &length);

	scan_print(to, scan, "/var/lib/containerd", mark, top);
	CHECK_EQ(fclose(to), 0);
	return text;
}

static void test_words_say_what_is_not_known(void)
{
	const struct config config = { 0 };
	const struct scan_options options = { .top = 1 };
	cleanup_scan struct scan scan = { 0 };
	cleanup_free char *all = NULL, *part = NULL, *unread = NULL;

	CHECK_EQ(scan_root(root, &config, NULL, &options, &scan), 0);
	all = said(&scan, scan.size.walk.entries, 1);
	CHECK(strstr(all, "/var/lib/containerd holds ") == all);
	CHECK(!strstr(all, "at least"));
	CHECK(strstr(all, "It is bloated: the mark is "));
	CHECK(strstr(all, "The biggest part, ") && strstr(all, " % of it .git.\n"));
	CHECK(strstr(all, "whose (the 1 biggest of "));
	CHECK(strstr(all, "-: not measured; --full measures everything"));
	CHECK(strstr(all, "bundles and mounts cannot be told"));

	scan.state_read = true;
	scan.size.walk.complete = false;
	part = said(&scan, scan.size.walk.entries + 1, 1);
	CHECK(strstr(part, "holds at least "));
	CHECK(strstr(part, "--budget=SECONDS gives more, --full any"));
	CHECK(strstr(part, "Left over, as far as was counted:"));
	CHECK(!strstr(part, "bundles and mounts cannot be told"));
	CHECK(!strstr(part, "bloated"));

	scan.size.walk.error = -EACCES;
	unread = said(&scan, UINT64_MAX, scan.item_count);
	CHECK(strstr(unread, "Not everything could be read: Permission denied."));
	CHECK(!strstr(unread, "--budget"));
	CHECK(strstr(unread, "  whose\n"));
}

/*
 * A big file of another file system is mounted over a small one: its name counts,
 * and nothing else of it is asked.
 */
static void test_a_mounted_file_is_a_name(void)
{
	static const char big[1 << 20] = { 1 };
	cleanup_root_size struct root_size before = { 0 }, after = { 0 };
	const struct root_size_options options = { .measure = true };
	cleanup_fd int fd = -EBADF;
	cleanup_free char *text = NULL;
	char file[4200], source[4200];
	size_t length = 0;
	FILE *to;

	(void)snprintf(file, sizeof(file), "%s/junk/f0", tmp);
	(void)snprintf(source, sizeof(source), "%s/big", other);
	fd = open(other, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_EQ(file_replace(fd, "big", big, sizeof(big), 0600), 0);
	CHECK_EQ(root_size_scan(root, &options, &before), 0);
	if (mount(source, file, NULL, MS_BIND, NULL) < 0) {
		tap_skip("nothing can be mounted here");
		return;
	}
	CHECK_EQ(root_size_scan(root, &options, &after), 0);
	to = open_memstream(&text, &length);
	CHECK_EQ(scan_export(root, "root", to), 0);
	CHECK_EQ(fclose(to), 0);
	CHECK_EQ(umount2(file, MNT_DETACH), 0);

	CHECK(after.walk.complete);
	CHECK_EQ(after.walk.error, 0);
	CHECK_EQ(after.walk.entries, before.walk.entries);
	CHECK_EQ(after.walk.bytes + 4096, before.walk.bytes);
	CHECK_EQ(find(&after, "junk")->bytes + 4096, find(&before, "junk")->bytes);
	CHECK(strstr(text, "{\"name\":\"f0\",\"excluded\":\"otherfs\"}"));
	CHECK(!strstr(text, "\"asize\":1048576"));
}

int main(void)
{
	tap_private_mounts();
	other = tap_tmpdir(NULL);
	tmp = tap_tmpdir(access("/dev/shm", W_OK) == 0 ? "/dev/shm" : NULL);
	root = open(tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make(SNAPSHOTS "/7/fs", 3);
	CHECK_EQ(unlinkat(root, SNAPSHOTS "/7/fs/f0", 0), 0);
	CHECK_EQ(unlinkat(root, SNAPSHOTS "/7/fs/f1", 0), 0);
	CHECK_EQ(unlinkat(root, SNAPSHOTS "/7/fs/f2", 0), 0);
	make(SNAPSHOTS "/7/fs/repo/.git/objects", 10);
	make(SNAPSHOTS "/7/fs/.cache/go-build", 5);
	make(SNAPSHOTS "/7/fs/.cache/pip", 4);
	make(SNAPSHOTS "/7/fs/.cache", 3);
	make(SNAPSHOTS "/8/fs", 6);
	make(CONTAINERS "/abc", 2);
	make(CONTAINERS "/abc/volumes/v1", 9);
	make("io.containerd.runtime.v2.task/k8s.io/xyz", 11);
	make("io.containerd.content.v1.content/blobs/sha256", 3);
	make("io.containerd.content.v1.content/ingest/d1", 1);
	make("junk/deeper", 12);
	RUN(test_parts_and_litter);
	RUN(test_measuring);
	RUN(test_failures_leave_nothing);
	RUN(test_words_say_what_is_not_known);
	make("junk", 2);
	RUN(test_a_mounted_file_is_a_name);
	RUN(test_export_is_json_with_all);
	RUN(test_many_parts_are_cut);
	return tap_done();
}
