/* What containerd would delete inside its start, and what it would not. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "scanners/cleanup.h"
#include "scanners/deletions.h"
#include "tests/unit/tap.h"

enum { MANY = 200 };

static const char *base;
static int root = -EBADF, state = -EBADF;

static void fill(const char *dir, int files)
{
	char path[4096], *slash;

	(void)snprintf(path, sizeof(path), "%s/%s", base, dir);
	for (slash = path + strlen(base) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		(void)mkdir(path, 0700);
		*slash = '/';
	}
	(void)mkdir(path, 0700);
	for (int i = 0; i < files; i++) {
		char file[4200];
		int fd;

		(void)snprintf(file, sizeof(file), "%s/%d", path, i);
		fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		CHECK(fd >= 0);
		(void)close(fd);
	}
}

#define TASKS "io.containerd.runtime.v2.task/"
#define CRI "io.containerd.grpc.v1.cri/"

static bool found(const struct deletions *d, bool in_state, const char *id)
{
	for (size_t i = 0; i < d->count; i++)
		if (d->items[i].in_state == in_state && strcmp(d->items[i].id, id) == 0)
			return true;
	return false;
}

static struct container bundle(const char *id, uint64_t ticks)
{
	return (struct container){ .ns = (char *)"k8s.io", .id = (char *)id, .init.start_ticks = ticks };
}

static void test_what_is_dead_counts_and_what_lives_does_not(void)
{
	struct container alive = bundle("alive", 5), dead = bundle("dead", 0);
	struct sandbox sandboxes[2] = {
		{ .containers = &alive, .container_count = 1 },
		{ .containers = &dead, .container_count = 1 },
	};
	struct inventory inventory = { .sandboxes = sandboxes, .sandbox_count = 2, .complete = true };
	struct metadata_container record = { .ns = (char *)"k8s.io", .id = (char *)"known" };
	struct metadata metadata = {
		.finding.state = BOLT_SOUND, .containers = &record, .container_count = 1,
	};
	struct deletions_known known = { &inventory, &metadata };
	cleanup_deletions struct deletions d = { 0 };

	fill("state/" TASKS "k8s.io/alive", MANY);
	fill("state/" TASKS "k8s.io/dead", MANY);
	fill("state/" TASKS "k8s.io/.hidden", MANY);
	fill("root/" TASKS "k8s.io/alive", MANY);
	fill("root/" TASKS "k8s.io/dead", MANY);
	fill("root/" TASKS "k8s.io/orphan", MANY);
	fill("root/" TASKS "k8s.io/small", 10);
	fill("root/" TASKS "unseen/orphan2", MANY); /* no such namespace in the state directory */
	fill("root/" CRI "containers/known/volumes/v", MANY);
	fill("root/" CRI "containers/unknown/volumes/v", MANY);
	fill("state/" CRI "sandboxes/unknown2", MANY);
	CHECK_EQ(deletions_scan(root, state, &known, 0, 5000, &d), 0);
	CHECK(d.complete);
	CHECK_EQ(d.count, 5);
	CHECK(found(&d, true, "dead"));
	CHECK(found(&d, false, "dead"));
	CHECK(found(&d, false, "orphan"));
	CHECK(found(&d, false, "unknown"));
	CHECK(found(&d, true, "unknown2"));
	CHECK(d.entries >= 5 * MANY && d.entries < 5 * MANY + 10);

	/* A record that could not be read may be there. */
	deletions_done(&d);
	metadata.finding.state = BOLT_DAMAGED;
	inventory.complete = false;
	CHECK_EQ(deletions_scan(root, state, &known, 0, 5000, &d), 0);
	CHECK(!found(&d, false, "unknown"));
	CHECK(!found(&d, true, "unknown2"));
	CHECK(found(&d, true, "dead"));
}

static void test_volumes_are_told(void)
{
	cleanup_deletions struct deletions d = { 0 };

	CHECK_EQ(deletions_scan(root, -1, NULL, 0, 5000, &d), 0);
	for (size_t i = 0; i < d.count; i++)
		CHECK_EQ(d.items[i].has_volumes, strcmp(d.items[i].group, "containers") == 0);
}

static void test_the_first_look_stops_early(void)
{
	cleanup_deletions struct deletions d = { 0 };

	CHECK_EQ(deletions_scan(root, state, NULL, 100, 5000, &d), 0);
	CHECK(!d.complete);
	CHECK(d.entries >= 100 && d.entries < 3 * MANY);
}

static void test_links_are_not_followed(void)
{
	cleanup_deletions struct deletions d = { 0 };
	char target[4096], link[4096];

	(void)snprintf(target, sizeof(target), "%s/outside", base);
	(void)snprintf(link, sizeof(link), "%s/root/" TASKS "k8s.io/link", base);
	fill("outside", MANY);
	CHECK_EQ(symlink(target, link), 0);
	CHECK_EQ(deletions_scan(root, state, NULL, 0, 5000, &d), 0);
	CHECK(!found(&d, false, "link"));
}

static void test_nothing_is_no_error(void)
{
	cleanup_deletions struct deletions d = { 0 };

	CHECK_EQ(deletions_scan(-1, -1, NULL, 0, 5000, &d), 0);
	CHECK_EQ(d.count, 0);
	CHECK(d.complete);
}

static int open_dir(const char *name)
{
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/%s", base, name);
	(void)mkdir(path, 0700);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int main(void)
{
	base = tap_tmpdir(NULL);
	root = open_dir("root");
	state = open_dir("state");
	RUN(test_what_is_dead_counts_and_what_lives_does_not);
	RUN(test_volumes_are_told);
	RUN(test_the_first_look_stops_early);
	RUN(test_links_are_not_followed);
	RUN(test_nothing_is_no_error);
	return tap_done();
}
