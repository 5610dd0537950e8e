/*
 * Around the bringing over of images: which there are, the archive of the pause
 * image that is kept for when nothing else is left, and what is written down.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/text.h"
#include "tests/unit/fault.h"
#include "tests/unit/salvage_scene.h"
#include "tests/unit/tap.h"

/* ---- which images there are ---- */

static void check_image(const struct salvage *salvage, size_t i, const char *ns, const char *name, unsigned users,
			bool pause)
{
	CHECK_STR(salvage->images[i].ns, ns);
	CHECK_STR(salvage->images[i].names[0], name);
	CHECK_EQ(salvage->images[i].users, users);
	CHECK_EQ(salvage->images[i].pause, pause);
}

#define A "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C "sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define D "sha256:dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"

/* The configured pause image, what sandboxes are made of, and then by use. */
static void test_the_order_of_the_images(void)
{
	static const struct space spaces[] = {
		{ "k8s.io",
		  { { "a:1", A, false }, { "b:1", B, true }, { "old-pause:1", C, false }, { PAUSE, D, false },
		    { A, A, true }, { "sha256:1234", "sha256:5678", false } }, 6,
		  { { "1", "a:1", "container" }, { "2", "b:1", "container" }, { "3", A, "container" },
		    { "4", "old-pause:1", "sandbox" }, { "5", "none:1", "container" } }, 5 },
		{ "other", { { PAUSE, D, false } }, 1, { { 0 } }, 0 },
	};
	cleanup_salvage struct salvage salvage = { 0 };

	begin("");
	(void)put_spaces(old_fd, META, spaces, ARRAY_SIZE(spaces));
	CHECK_EQ(salvage_list(old_fd, &config, &salvage), 0);
	if (!CHECK_EQ(salvage.count, 6))
		return;
	check_image(&salvage, 0, "k8s.io", PAUSE, 0, true);
	check_image(&salvage, 1, "k8s.io", "old-pause:1", 0, true);
	check_image(&salvage, 2, "k8s.io", "a:1", 2, false);
	check_image(&salvage, 3, "k8s.io", "b:1", 1, false);
	check_image(&salvage, 4, "k8s.io", "sha256:1234", 0, false); /* has no other name */
	check_image(&salvage, 5, "other", PAUSE, 0, false);
	CHECK_EQ(salvage.images[2].name_count, 1);
	CHECK(!salvage.images[2].pinned && salvage.images[3].pinned);
	CHECK(salvage.images[0].by_config && !salvage.images[1].by_config && !salvage.images[5].by_config);
}

/* With the page lost that names them: those that had containers can still be named. */
static void test_images_by_their_containers(void)
{
	static const struct space space = {
		"k8s.io", { { "a:1", A, false }, { PAUSE, D, false } }, 2,
		{ { "1", "a:1", "container" }, { "2", A, "container" }, { "3", PAUSE, "sandbox" } }, 3,
	};
	cleanup_salvage struct salvage salvage = { 0 };
	cleanup_fd int fd = -EBADF;
	char zeros[4096] = "";
	uint64_t page;

	begin(READ TAKE);
	page = put_spaces(old_fd, META, &space, 1);
	fd = openat(old_fd, META, O_WRONLY | O_CLOEXEC);
	CHECK_EQ(pwrite(fd, zeros, sizeof(zeros), (off_t)page * 4096), 4096);
	CHECK_EQ(salvage_list(old_fd, &config, &salvage), 0);
	CHECK(salvage.carved);
	if (!CHECK_EQ(salvage.count, 2))
		return;
	CHECK_STR(salvage.images[0].names[0], PAUSE);
	CHECK_STR(salvage.images[1].names[0], "a:1");
	CHECK(!salvage.images[0].digest && !salvage.images[1].digest);
	CHECK_EQ(salvage_run(&config, old_fd, new_fd, &patient, &salvage), 0);
	check_all(&salvage, SALVAGE_MISSING, "record is lost");
}

/* Of old pages: what has no name but the one that CRI makes was deleted, most likely. */
static void test_images_of_old_pages(void)
{
	static const struct space space = {
		"k8s.io", { { "a:1", A, false }, { "sha256:1234", B, false } }, 2, { { 0 } }, 0,
	};
	cleanup_salvage struct salvage salvage = { 0 };
	cleanup_fd int fd = -EBADF;
	char zeros[8192] = "";

	begin("");
	(void)put_spaces(old_fd, META, &space, 1);
	fd = openat(old_fd, META, O_WRONLY | O_CLOEXEC);
	CHECK_EQ(pwrite(fd, zeros, sizeof(zeros), 0), 8192);
	CHECK_EQ(salvage_list(old_fd, &config, &salvage), 0);
	CHECK(salvage.carved);
	if (CHECK_EQ(salvage.count, 1))
		CHECK_STR(salvage.images[0].names[0], "a:1");
}

/* ---- the archive that was kept ---- */

static char *archives;

/* Names of archives of the two images. */
static char *of_pause, *of_app;

static void clear_archives(void)
{
	CHECK_EQ(tap_shell("rm -rf %s", archives), 0);
}

static unsigned count_archives(void)
{
	cleanup_fd int fd = dir_open_beneath(base_fd, "images");
	cleanup_dir DIR *stream = NULL;
	unsigned count = 0;

	CHECK_EQ(dir_stream(fd, &stream), 0);
	while (dir_next(stream, NULL, NULL) > 0)
		count++;
	return count;
}

static void test_an_archive_is_kept(void)
{
	struct record records[] = { { PAUSE, pause_image.manifest, false } };
	struct stat first, second;

	begin("");
	of_pause = text_print("images/pause-%s.tar", pause_image.manifest + 7);
	of_app = text_print("images/pause-%s.tar", app_image.manifest + 7);
	clear_archives();
	CHECK_EQ(salvage_keep_archive(&config, new_fd, archives), 0); /* no such image */
	CHECK_EQ(salvage_keep_archive(&config, old_fd, archives), 1);
	CHECK_EQ(fstatat(base_fd, of_pause, &first, 0), 0);
	CHECK_EQ(tap_shell("cd %s && tar -xOf %s index.json | grep -q '%s'", base, of_pause, PAUSE), 0);
	CHECK_EQ(tap_shell("cd %s && tar -xOf %s blobs/sha256/%s | cmp - old/" BLOBS "/%s", base,
			   of_pause, pause_image.layer[0] + 7, pause_image.layer[0] + 7), 0);
	CHECK_EQ(first.st_mode & 07777, 0600);
	CHECK_EQ(salvage_keep_archive(&config, old_fd, archives), 0);
	CHECK_EQ(fstatat(base_fd, of_pause, &second, 0), 0);
	CHECK_EQ(first.st_ino, second.st_ino);

	/* Another pause image by now. What an operator has put there is not ours. */
	CHECK_EQ(tap_shell("cd %s && touch pause-1.tar pause-$(printf %%068d 7) other-$(printf %%064d 7).tar "
			   ".pause-$(printf %%064d 7).tar", archives), 0);
	/* Longer than what is written, and a link, where a killed run left its own. */
	CHECK_EQ(tap_shell("cd %s && head -c 9000000 /dev/zero >.pause-%s.tar", archives, app_image.manifest + 7), 0);
	records[0].digest = app_image.manifest;
	put_records(old_fd, META, records, 1);
	CHECK_EQ(salvage_keep_archive(&config, old_fd, archives), 1);
	CHECK(has(base_fd, of_app) && !has(base_fd, of_pause));
	CHECK_EQ(count_archives(), 4);
	CHECK_EQ(fstatat(base_fd, of_app, &second, 0), 0);
	CHECK_EQ(first.st_size, second.st_size);

	/* A link in the place of what is being written. */
	CHECK_EQ(tap_shell("cd %s && rm pause-*[0-9a-f].tar && echo precious >../precious && ln -s ../precious .pause-%s.tar",
			   archives, app_image.manifest + 7), 0);
	CHECK_EQ(salvage_keep_archive(&config, old_fd, archives), -ELOOP);
	CHECK_EQ(tap_shell("grep -q precious %s/precious", base), 0);
	clear_archives();
	/* Of what is not the pause image, none. */
	records[0].name = APP;
	put_records(old_fd, META, records, 1);
	CHECK_EQ(salvage_keep_archive(&config, old_fd, archives), 0);
	CHECK(!has(base_fd, "images"));
}

/* Under its name it is whole, also if we are killed in the middle. */
static void test_an_archive_that_is_being_written(void)
{
	int status;
	pid_t child;

	begin("");
	clear_archives();
	child = fork();
	if (child == 0) {
		fault_arm("write", 3, FAULT_STOP);
		(void)salvage_keep_archive(&config, old_fd, archives);
		_exit(0);
	}
	CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
	CHECK(WIFSTOPPED(status));
	CHECK(!has(base_fd, of_pause));
	CHECK_EQ(count_archives(), 1);
	CHECK_EQ(kill(child, SIGKILL), 0);
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(salvage_keep_archive(&config, old_fd, archives), 1);
	CHECK_EQ(count_archives(), 1);
	for (int n = 1; n <= 2; n++) {
		clear_archives();
		fault_arm("fsync", n, EIO);
		CHECK_EQ(salvage_keep_archive(&config, old_fd, archives), -EIO);
		CHECK(fault_fired());
		CHECK_EQ(has(base_fd, of_pause), n == 2); /* it may not outlive a crash: said */
	}
}

static void test_no_archive_of_what_is_not_whole(void)
{
	int fd;

	begin("");
	clear_archives();
	CHECK_EQ(salvage_keep_archive(&config, old_fd, archives), 1);
	CHECK_EQ(renameat(base_fd, of_pause, base_fd, of_app), 0);
	fd = openat(store, pause_image.layer[0] + 7, O_WRONLY | O_CLOEXEC);
	CHECK_EQ(pwrite(fd, "X", 1, LAYER - 1), 1);
	(void)close(fd);
	CHECK_EQ(salvage_keep_archive(&config, old_fd, archives), -EBADMSG);
	CHECK_EQ(unlinkat(store, pause_image.layer[0] + 7, 0), 0);
	CHECK_EQ(salvage_keep_archive(&config, old_fd, archives), 0);
	/* The last good one stays. */
	CHECK(has(base_fd, of_app));
	CHECK_EQ(count_archives(), 1);
}

static void test_an_archive_is_whole_or_not_there(void)
{
	begin("");
	for (int n = 1;; n++) {
		bool fired;
		int r;

		clear_archives();
		CHECK_EQ(tap_shell("mkdir %s && touch %s/%s", archives, base, of_app), 0);
		fault_arm("any", n, EIO);
		r = salvage_keep_archive(&config, old_fd, archives);
		fired = fault_fired();
		if (has(base_fd, of_pause))
			CHECK_EQ(tap_shell("cd %s && tar -xOf %s index.json | grep -q '%s'", base,
					   of_pause, PAUSE), 0);
		else
			CHECK(r <= 0 && has(base_fd, of_app));
		CHECK(count_archives() <= 2);
		CHECK_EQ(tap_shell("test -z \"$(find %s -name '.*' -type f)\"", archives), 0);
		if (!fired)
			break;
	}
	CHECK_EQ(count_archives(), 1);
}

/* The last resort, for the pause image alone. */
static void test_the_archive_is_brought_over(void)
{
	const struct salvage_options with = { .budget_msec = 20000, .pause_only = true, .archives = archives };
	static const struct {
		const char *make, *import;
		enum salvage_outcome outcome;
	} cases[] = {
		{ "true", READ, SALVAGE_MISSING },
		{ "head -c 3000000 /dev/urandom >images/pause-1.tar", READ TAKE, SALVAGE_DONE },
		{ "head -c 3000000 /dev/urandom >images/pause-1.tar", "head -c 1000 >received", SALVAGE_MISSING },
		{ "head -c 3000000 /dev/urandom >images/pause-1.tar", READ "exit 1", SALVAGE_MISSING },
		{ "head -c 3000000 /dev/urandom >images/pause-1.tar", READ, SALVAGE_MISSING }, /* of another image */
		{ "head -c 3000000 /dev/urandom >images/other.tar", READ TAKE, SALVAGE_MISSING },
		{ "head -c 3000000 /dev/urandom >x.tar; ln -s ../x.tar images/pause-1.tar", READ TAKE, SALVAGE_MISSING },
		{ "mkdir images/pause-1.tar", READ TAKE, SALVAGE_MISSING },
		{ "mkfifo images/pause-1.tar", READ TAKE, SALVAGE_MISSING },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_salvage struct salvage salvage = { 0 };
		cleanup_free char *called = NULL;

		begin(cases[i].import);
		clear_archives();
		CHECK_EQ(tap_shell("cd %s && mkdir images && { %s; }", base, cases[i].make), 0);
		CHECK_EQ(unlinkat(store, pause_image.layer[0] + 7, 0), 0);
		CHECK_EQ(salvage_with(&with, &salvage), 0);
		check_outcome(&salvage.images[0], cases[i].outcome,
			      cases[i].outcome == SALVAGE_DONE ? "archive that was kept" : "discarded");
		called = calls();
		if (cases[i].outcome == SALVAGE_DONE)
			CHECK_EQ(tap_shell("cd %s && cmp received images/pause-1.tar", base), 0);
		else
			CHECK(!strstr(called, "images label"));
		CHECK(i < 5 || !*called);
	}
}

/* The archive must not come to an end that could be taken for a good one. */
static void test_an_archive_that_cannot_be_read(void)
{
	const struct salvage_options with = { .budget_msec = 20000, .pause_only = true, .archives = archives };
	cleanup_salvage struct salvage salvage = { 0 };

	if (geteuid() != 0) {
		tap_skip("needs root");
		return;
	}
	begin(READ TAKE);
	clear_archives();
	CHECK_EQ(unlinkat(store, pause_image.layer[0] + 7, 0), 0);
	/* A regular file that gives EIO. */
	CHECK_EQ(tap_shell("mkdir %s && touch %s/pause-1.tar && mount --bind /proc/1/mem %s/pause-1.tar", archives,
			   archives, archives), 0);
	CHECK_EQ(salvage_with(&with, &salvage), 0);
	check_outcome(&salvage.images[0], SALVAGE_MISSING, "discarded");
	CHECK(!has(base_fd, "whole"));
	CHECK_EQ(tap_shell("umount %s/pause-1.tar", archives), 0);
}

static void test_no_archive_where_the_image_is_there(void)
{
	const struct salvage_options with = { .budget_msec = 20000, .pause_only = true, .archives = archives };
	cleanup_salvage struct salvage salvage = { 0 };
	cleanup_free char *called = NULL;

	begin(READ TAKE);
	clear_archives();
	CHECK_EQ(tap_shell("mkdir %s && touch %s/pause-1.tar", archives, archives), 0);
	CHECK_EQ(salvage_with(&with, &salvage), 0);
	called = calls();
	CHECK(strstr(called, "images import") == strrchr(called, 'i') || !strstr(strstr(called, "images import") + 1, "images import"));
	check_outcome(&salvage.images[0], SALVAGE_DONE, NULL);

	/* Pulled by the kubelet; nor in the run for the others. */
	salvage_done(&salvage);
	begin(READ TAKE);
	put_records(new_fd, META, &(struct record){ PAUSE, app_image.manifest, false }, 1);
	CHECK_EQ(salvage_with(&with, &salvage), 0);
	check_outcome(&salvage.images[0], SALVAGE_PRESENT, NULL);
	check_never_called();
	salvage_done(&salvage);
	begin(READ TAKE);
	put_records(old_fd, META, NULL, 0);
	CHECK_EQ(salvage_with(&(struct salvage_options){ .budget_msec = 20000, .archives = archives }, &salvage), 0);
	check_never_called();

	/* Not named by the old records at all: by those of the containerd that runs. */
	salvage_done(&salvage);
	for (int there = 0; there < 2; there++) {
		begin(READ TAKE);
		put_records(old_fd, META, NULL, 0);
		if (there)
			put_records(new_fd, META, &(struct record){ PAUSE, app_image.manifest, false }, 1);
		CHECK_EQ(salvage_with(&with, &salvage), 0);
		CHECK_EQ(salvage.count, 0);
		CHECK_EQ(has(base_fd, "calls"), !there);
		salvage_done(&salvage);
	}
}

/* ---- what is written down ---- */

static void test_what_is_to_be_pulled(void)
{
	char *names[] = { (char *)"a.example/x:1", (char *)"sha256:0123", (char *)"a.example/x:2",
			  (char *)"x:3\nk8s.io bad.example/x:1", (char *)"x:4 x" };
	struct salvage_image images[] = {
		{ .ns = (char *)"k8s.io", .names = names, .name_count = 5, .outcome = SALVAGE_MISSING, .why = (char *)"\xff" },
		{ .names = names, .name_count = 1, .outcome = SALVAGE_PENDING },
		{ .ns = (char *)"here", .names = names, .name_count = 1, .outcome = SALVAGE_DONE },
		{ .ns = (char *)"there", .names = names, .name_count = 1, .outcome = SALVAGE_PRESENT },
	};
	struct salvage salvage = { .images = images, .count = ARRAY_SIZE(images) };
	cleanup_free char *list = NULL, *record = NULL;
	json_auto_t *json = NULL;

	CHECK_EQ(salvage_record(base_fd, "ID", &salvage), 0);
	CHECK_EQ(dir_read_file(base_fd, "repull-ID.txt", 10000, &list, NULL), 0);
	CHECK_STR(list, "k8s.io a.example/x:1\nk8s.io a.example/x:2\n- a.example/x:1\n");
	CHECK_EQ(dir_read_file(base_fd, "salvage-ID.json", 10000, &record, NULL), 0);
	json = json_loads(record, 0, NULL);
	CHECK_EQ(json_array_size(json_object_get(json, "images")), 4);

	/* What cannot be listed is not recorded as done. */
	CHECK_EQ(unlinkat(base_fd, "salvage-ID.json", 0), 0);
	fault_arm("write", 1, ENOSPC);
	CHECK_EQ(salvage_record(base_fd, "ID", &salvage), -ENOSPC);
	CHECK(fault_fired() && !has(base_fd, "salvage-ID.json"));
}

int main(void)
{
	scene_enter();
	archives = text_print("%s/images", base);
	RUN(test_the_order_of_the_images);
	RUN(test_images_by_their_containers);
	RUN(test_images_of_old_pages);
	RUN(test_an_archive_is_kept);
	RUN(test_an_archive_that_is_being_written);
	RUN(test_no_archive_of_what_is_not_whole);
	RUN(test_an_archive_is_whole_or_not_there);
	RUN(test_the_archive_is_brought_over);
	RUN(test_an_archive_that_cannot_be_read);
	RUN(test_no_archive_where_the_image_is_there);
	RUN(test_what_is_to_be_pulled);
	scene_leave();
	return tap_done();
}
