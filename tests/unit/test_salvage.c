/*
 * Images on their way, with stand-ins for ctr and containerd: what ctr is given,
 * what becomes of each image, and what is left in the stores where something goes
 * wrong in the middle.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scanners/cleanup.h"
#include "scanners/text.h"
#include "tests/unit/fault.h"
#include "tests/unit/salvage_scene.h"
#include "tests/unit/tap.h"

/* ---- whose root it is ---- */

/* The containerd that answers has another root: what is linked into this one is nobody's. */
static void test_another_containerds_root_is_left_alone(void)
{
	begin(READ TAKE);
	for (int locked = 0; locked < 2; locked++) {
		cleanup_salvage struct salvage salvage = { 0 };
		pid_t holder;

		stop_server(); /* it has the lock too */
		unlock_database();
		holder = locked ? fork() : 0;
		if (locked && holder == 0) {
			lock_database();
			(void)pause();
			_exit(0);
		}
		start_server();
		while (locked && tap_shell("flock --nonblock %s/new/" META " true", base) == 0)
			(void)usleep(1000);
		CHECK_EQ(salvage_with(&patient, &salvage), -EXDEV);
		check_all(&salvage, SALVAGE_PENDING, NULL);
		check_never_called();
		CHECK(!has(new_fd, BLOBS));
		if (locked) {
			CHECK_EQ(kill(holder, SIGKILL), 0);
			CHECK_EQ(waitpid(holder, NULL, 0), holder);
		}
	}
}

/* ---- it works ---- */

static void test_the_pause_image_first_and_then_the_others(void)
{
	const struct salvage_options only = { .budget_msec = 20000, .pause_only = true };
	cleanup_salvage struct salvage salvage = { 0 };
	cleanup_free char *first = NULL, *all = NULL;

	begin(READ TAKE);
	CHECK_EQ(salvage_with(&only, &salvage), 0);
	CHECK_EQ(salvage.count, 2);
	CHECK_STR(salvage.images[0].names[0], PAUSE);
	check_outcome(&salvage.images[0], SALVAGE_DONE, NULL);
	check_outcome(&salvage.images[1], SALVAGE_PENDING, NULL);
	CHECK(has(base_fd, "whole"));
	CHECK_EQ(tap_shell("cd %s && tar -xOf received index.json | grep -q '%s' && ! grep -q '%s' received", base,
			   PAUSE, APP), 0);
	for (int i = 0; i < 2 && geteuid() == 0; i++)
		CHECK_EQ(inode_in(new_fd, pause_image.layer[i]), inode_in(old_fd, pause_image.layer[i]));
	first = calls();
	CHECK(strstr(first, "--namespace k8s.io images import --snapshotter overlayfs -\n"));
	CHECK(strstr(first, "images label -- " PAUSE " io.cri-containerd.pinned=pinned\n"));
	CHECK_EQ(unlinkat(base_fd, "calls", 0), 0);

	/* After it, the other one, which nobody has pinned. */
	put_records(new_fd, META, &(struct record){ PAUSE, pause_image.manifest, false }, 1);
	CHECK_EQ(salvage_run(&config, old_fd, new_fd, &patient, &salvage), 0);
	check_outcome(&salvage.images[0], SALVAGE_DONE, NULL);
	check_outcome(&salvage.images[1], SALVAGE_DONE, NULL);
	all = calls();
	CHECK(strstr(all, "images import") && !strstr(all, "images label"));
}

static void test_what_is_there_is_left_alone(void)
{
	const struct record there[] = { { APP, pause_image.config, false }, { PAUSE, app_image.config, false } };
	cleanup_salvage struct salvage salvage = { 0 };

	begin(READ TAKE);
	put_records(new_fd, META, there, 2);
	CHECK_EQ(salvage_with(&patient, &salvage), 0);
	check_all(&salvage, SALVAGE_PRESENT, NULL);
	check_never_called();
}

/* ---- what is not what its name says ---- */

static void test_what_is_damaged_is_not_even_tried(void)
{
	cleanup_salvage struct salvage salvage = { 0 };
	int fd;

	begin(READ TAKE);
	fd = openat(store, pause_image.layer[0] + 7, O_WRONLY | O_CLOEXEC);
	CHECK_EQ(pwrite(fd, "X", 1, LAYER - 1), 1);
	(void)close(fd);
	CHECK_EQ(unlinkat(store, app_image.layer[1] + 7, 0), 0);
	CHECK_EQ(salvage_with(&patient, &salvage), 0);
	check_outcome(&salvage.images[0], SALVAGE_MISSING, pause_image.layer[0]);
	check_outcome(&salvage.images[1], SALVAGE_MISSING, "discarded");
	check_never_called();
	CHECK_EQ(inode_in(new_fd, pause_image.layer[0]), 0);
	CHECK_EQ(inode_in(new_fd, app_image.layer[0]), 0);
}

/* The archive must not come to an end that could be taken for a good one. */
static void test_what_changes_while_it_is_streamed(void)
{
	cleanup_salvage struct salvage salvage = { 0 };
	cleanup_free char *import = NULL;

	begin("");
	import = text_print("head -c 100000 >/dev/null; printf X | dd of=old/" BLOBS "/%s conv=notrunc status=none; "
			    READ "touch ended", pause_image.layer[1] + 7);
	put_in(base_fd, "import", import);
	CHECK_EQ(salvage_with(&pause_alone, &salvage), 0);
	check_outcome(&salvage.images[0], SALVAGE_MISSING, pause_image.layer[1]);
	CHECK(!has(base_fd, "whole"));
	CHECK_EQ(inode_in(new_fd, pause_image.layer[1]), 0);
	CHECK(inode_in(old_fd, pause_image.layer[1]) != 0);
	/* The others are what they should be, and stay for the next try. */
	CHECK(geteuid() != 0 || inode_in(new_fd, pause_image.layer[0]) == inode_in(old_fd, pause_image.layer[0]));
}

/* The kubelet was faster: its version stands, and no name is given to ours. */
static void test_a_name_that_is_taken_meanwhile(void)
{
	const struct record theirs = { PAUSE, app_image.config, false };
	cleanup_salvage struct salvage salvage = { 0 };

	begin("head -c 100000 >/dev/null; cp theirs.db new/" META "; " READ);
	put_records(base_fd, "theirs.db", &theirs, 1);
	CHECK_EQ(salvage_with(&pause_alone, &salvage), 0);
	check_outcome(&salvage.images[0], SALVAGE_PRESENT, NULL);
	CHECK(!has(base_fd, "whole"));
}

/* ---- ctr, and containerd behind it ---- */

static void test_ctr_fails(void)
{
	static const struct {
		const char *import;
		enum salvage_outcome outcome;
		const char *why;
	} cases[] = {
		{ READ "echo 'unpacking: ctr: first'; echo 'ctr: no such thing' >&2; exit 1", SALVAGE_FAILED,
		  "no such thing" },
		{ READ TAKE "echo 'ctr: cannot be unpacked'; exit 1", SALVAGE_DONE, "but not unpacked: cannot be unpacked" },
		/* The same name, and another image. */
		{ READ "cp other.db new/" META "; echo 'ctr: cannot be unpacked'; exit 1", SALVAGE_FAILED, "cannot be unpacked" },
		/* It is content with a part of it. */
		{ "head -c 1000 >received", SALVAGE_FAILED, "Broken pipe" },
		{ READ "kill -9 $$", SALVAGE_FAILED, "" },
	};
	const struct record other[] = { { APP, pause_image.manifest, false }, { PAUSE, app_image.manifest, false } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_salvage struct salvage salvage = { 0 };
		cleanup_free char *called = NULL;

		begin(cases[i].import);
		put_records(base_fd, "other.db", other, 2);
		CHECK_EQ(salvage_with(&pause_alone, &salvage),
			 0);
		check_outcome(&salvage.images[0], cases[i].outcome, cases[i].why);
		/* Of what is there that was pinned, whether or not it is unpacked. */
		called = calls();
		CHECK_EQ(strstr(called, "images label") != NULL, cases[i].outcome == SALVAGE_DONE);
	}
}

static void test_time_runs_out(void)
{
	static const char *const imports[] = { "sleep 1000", "cat >/dev/null; sleep 1000", "exec <&-; sleep 1000" };

	for (size_t i = 0; i < ARRAY_SIZE(imports); i++) {
		cleanup_salvage struct salvage salvage = { 0 };

		begin(imports[i]);
		CHECK_EQ(salvage_with(&(struct salvage_options){ .budget_msec = 500 }, &salvage), 0);
		check_all(&salvage, SALVAGE_NO_TIME, NULL);
	}
}

/* As slow as is allowed; the pause image, which pods wait for, is not held up. */
static void test_the_rate_is_held(void)
{
	const struct salvage_options slow = { .budget_msec = 700, .max_rate = 100000 };
	cleanup_salvage struct salvage salvage = { 0 };

	begin(READ TAKE);
	put_records(base_fd, "after.db", &(struct record){ PAUSE, pause_image.manifest, false }, 1);
	CHECK_EQ(salvage_with(&slow, &salvage), 0);
	check_outcome(&salvage.images[0], SALVAGE_DONE, NULL);
	check_outcome(&salvage.images[1], SALVAGE_NO_TIME, NULL);
}

/* An image takes twice its layer of 3 MB, and its base file system is our own. */
static void test_there_is_no_room(void)
{
	static const struct {
		uint64_t short_by;
		enum salvage_outcome outcome;
	} cases[] = { { 0, SALVAGE_NO_ROOM }, { LAYER, SALVAGE_NO_ROOM }, { 5 * LAYER, SALVAGE_DONE } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_salvage struct salvage salvage = { 0 };
		struct salvage_options options = { .budget_msec = 20000 };
		struct statvfs fs;

		begin(READ TAKE);
		CHECK_EQ(statvfs(base, &fs), 0);
		options.min_free_bytes = fs.f_bavail * fs.f_frsize - cases[i].short_by;
		if (!has_own_disk && i > 0)
			continue;
		CHECK_EQ(salvage_with(&options, &salvage), 0);
		check_outcome(&salvage.images[0], cases[i].outcome, NULL);
		CHECK_EQ(has(base_fd, "calls"), cases[i].outcome == SALVAGE_DONE);
		CHECK_EQ(inode_in(new_fd, pause_image.layer[0]) != 0, geteuid() == 0 && cases[i].outcome == SALVAGE_DONE);
	}
}

/* A file that is nothing but a hole: it would be read for years. */
static void test_an_absurd_size(void)
{
	cleanup_salvage struct salvage salvage = { 0 };
	cleanup_free char *text = NULL;
	char digest[80];
	struct record record = { PAUSE, digest, false };

	begin(READ TAKE);
	CHECK_EQ(tap_shell("cd %s/old/" BLOBS " && truncate -s 1P %s", base, pause_image.layer[0] + 7), 0);
	text = text_print("{\"config\":{\"digest\":\"%s\",\"size\":14},\"layers\":[{\"digest\":\"%s\",\"size\":%llu}]}",
			  pause_image.config, pause_image.layer[0], 1ULL << 50);
	put_blob(text, strlen(text), digest);
	put_records(old_fd, META, &record, 1);
	CHECK_EQ(salvage_with(&patient, &salvage), 0);
	check_outcome(&salvage.images[0], SALVAGE_NO_ROOM, NULL);
	check_never_called();
}

/* Nothing is decided then: the next start's run goes on. */
static void test_containerd_is_not_there_or_ends(void)
{
	cleanup_salvage struct salvage salvage = { 0 };

	begin(READ TAKE);
	stop_server();
	CHECK_EQ(salvage_with(&(struct salvage_options){ .budget_msec = 200 }, &salvage), -ENOTCONN);
	check_all(&salvage, SALVAGE_PENDING, NULL);
	check_never_called();
	salvage_done(&salvage);
	begin(READ "kill -9 $(cat server); until grep -q '^State:.*Z' /proc/$(cat server)/status; do sleep 0.01; done; echo 'ctr: it is gone'; exit 1");
	CHECK_EQ(salvage_with(&patient, &salvage), -ENOTCONN);
	check_all(&salvage, SALVAGE_PENDING, NULL);
}

static void test_records_that_cannot_be_read(void)
{
	cleanup_salvage struct salvage salvage = { 0 };

	begin(READ TAKE);
	CHECK_EQ(unlinkat(new_fd, META, 0), 0);
	CHECK_EQ(symlinkat("../../after.db", new_fd, META), 0);
	CHECK_EQ(salvage_with(&patient, &salvage), 0);
	check_all(&salvage, SALVAGE_FAILED, "records cannot be read");
	check_never_called();
}

/* Of an image, too, that containerd has under one of two names: the other one is wanted. */
static void test_one_of_two_names_is_there(void)
{
	const struct record records[] = { { APP, app_image.manifest, false }, { APP "9", app_image.manifest, false } };

	for (int there = 0; there < 2; there++) {
		cleanup_salvage struct salvage salvage = { 0 };

		begin(READ TAKE);
		put_records(old_fd, META, records, 2);
		put_records(base_fd, "after.db", records, 2);
		put_records(new_fd, META, &records[there], 1);
		CHECK_EQ(salvage_with(&patient, &salvage), 0);
		CHECK_EQ(salvage.count, 1);
		check_outcome(&salvage.images[0], SALVAGE_DONE, NULL);
		CHECK_EQ(tap_shell("cd %s && tar -xOf received index.json | grep -q '\"%s\"' && ! grep -q '\"%s\"' received",
				   base, records[!there].name, records[there].name), 0);
	}
}

/* containerd collected the links as garbage meanwhile, and wrote the blobs anew. */
static void test_blobs_that_were_written_anew_are_united(void)
{
	cleanup_salvage struct salvage salvage = { 0 };

	begin(READ TAKE "for f in new/" BLOBS "/*; do cp $f x && mv x $f; done");
	CHECK_EQ(salvage_with(&pause_alone, &salvage), 0);
	check_outcome(&salvage.images[0], SALVAGE_DONE, NULL);
	for (int i = 0; i < 2 && geteuid() == 0; i++)
		CHECK_EQ(inode_in(new_fd, pause_image.layer[i]), inode_in(old_fd, pause_image.layer[i]));
}

/* Only an index of which all is there is kept whole: containerd would miss the rest. */
static void test_an_index_that_is_not_whole(void)
{
	cleanup_free char *text = text_print("{\"manifests\":[{\"digest\":\"%s\"},{\"digest\":\"%s\"}]}",
					     pause_image.manifest, app_image.manifest);
	char digest[80];
	struct record record = { PAUSE, digest, false };

	for (int whole = 0; whole < 2; whole++) {
		cleanup_salvage struct salvage salvage = { 0 };
		cleanup_free char *called = NULL;

		begin(READ TAKE);
		put_blob(text, strlen(text), digest);
		put_records(old_fd, META, &record, 1);
		put_records(base_fd, "after.db", &record, 1);
		if (!whole)
			CHECK_EQ(unlinkat(store, app_image.layer[0] + 7, 0), 0);
		CHECK_EQ(salvage_with(&patient, &salvage), 0);
		check_outcome(&salvage.images[0], SALVAGE_DONE, NULL);
		called = calls();
		CHECK_EQ(strstr(called, "overlayfs --all-platforms -\n") != NULL, whole);
	}
}

static void test_what_is_not_known_of_an_image(void)
{
	cleanup_salvage struct salvage salvage = { 0 };

	begin(READ TAKE);
	CHECK_EQ(salvage_list(old_fd, &config, &salvage), 0);
	free(take_ptr(salvage.images[0].ns));
	free(take_ptr(salvage.images[1].digest));
	CHECK_EQ(salvage_run(&config, old_fd, new_fd, &patient, &salvage), 0);
	check_outcome(&salvage.images[0], SALVAGE_MISSING, "namespace is not known");
	check_outcome(&salvage.images[1], SALVAGE_MISSING, "record is lost");
	check_never_called();
}

/* It says nothing of the images: they are neither there nor missing. */
static void test_no_memory(void)
{
	static const char *const calls_of[] = { "malloc", "calloc", "realloc" };

	for (size_t i = 0; i < ARRAY_SIZE(calls_of); i++)
		for (int n = 1;; n++) {
			cleanup_salvage struct salvage salvage = { 0 };
			bool fired;
			int r;

			begin(READ TAKE);
			CHECK_EQ(salvage_list(old_fd, &config, &salvage), 0);
			fault_arm(calls_of[i], n, ENOMEM);
			r = salvage_run(&config, old_fd, new_fd, &pause_alone,
					&salvage);
			fired = fault_fired();
			CHECK(salvage.images[0].outcome != SALVAGE_MISSING && salvage.images[0].outcome != SALVAGE_PRESENT);
			CHECK(r == -ENOMEM || salvage.images[0].outcome != SALVAGE_PENDING);
			CHECK(salvage.images[0].outcome != SALVAGE_DONE || has(new_fd, META));
			if (!fired)
				break;
		}
}

/* While the blobs are read, which may take longest of all. */
static void test_time_runs_out_over_the_verification(void)
{
	const struct salvage_options options = { .budget_msec = 300, .pause_only = true };

	for (int n = 1;; n++) {
		cleanup_salvage struct salvage first = { 0 }, salvage = { 0 };

		begin(READ TAKE);
		CHECK_EQ(salvage_list(old_fd, &config, &first), 0);
		fault_arm("fstat", n, EIO);
		(void)salvage_run(&config, old_fd, new_fd, &patient, &first);
		if (!CHECK(fault_fired()))
			return;
		if (first.images[0].outcome != SALVAGE_MISSING || !strstr(first.images[0].why, ": Input/output error"))
			continue;
		begin(READ TAKE);
		CHECK_EQ(salvage_list(old_fd, &config, &salvage), 0);
		fault_arm("fstat", n, FAULT_HANG);
		CHECK_EQ(salvage_run(&config, old_fd, new_fd, &options, &salvage), 0);
		CHECK(fault_fired());
		check_outcome(&salvage.images[0], SALVAGE_NO_TIME, NULL);
		check_never_called();
		return;
	}
}

int main(void)
{
	scene_enter();
	RUN(test_another_containerds_root_is_left_alone);
	RUN(test_the_pause_image_first_and_then_the_others);
	RUN(test_what_is_there_is_left_alone);
	RUN(test_what_is_damaged_is_not_even_tried);
	RUN(test_what_changes_while_it_is_streamed);
	RUN(test_a_name_that_is_taken_meanwhile);
	RUN(test_ctr_fails);
	RUN(test_time_runs_out);
	RUN(test_the_rate_is_held);
	RUN(test_there_is_no_room);
	RUN(test_an_absurd_size);
	RUN(test_containerd_is_not_there_or_ends);
	RUN(test_records_that_cannot_be_read);
	RUN(test_one_of_two_names_is_there);
	RUN(test_blobs_that_were_written_anew_are_united);
	RUN(test_an_index_that_is_not_whole);
	RUN(test_what_is_not_known_of_an_image);
	RUN(test_no_memory);
	RUN(test_time_runs_out_over_the_verification);
	scene_leave();
	return tap_done();
}
