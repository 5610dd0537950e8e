/*
 * Images on their way, with stand-ins for ctr and containerd that do what a test
 * wants of them: what ctr is given, what becomes of each image, and what is left
 * in the stores where something goes wrong in the middle.
 */
#include "recover/salvage.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <sha2.h>

#include "recover/file.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/text.h"
#include "tests/unit/bolt_build.h"
#include "tests/unit/fault.h"
#include "tests/unit/tap.h"

#define BLOBS "io.containerd.content.v1.content/blobs/sha256"
#define META "io.containerd.metadata.v1.bolt/meta.db"
#define PAUSE "registry.example/pause:1"
#define APP "registry.example/app:1"
/* What ctr does, as lines of a shell's: all of it is read; it becomes containerd's. */
#define READ "cat >received && touch whole; "
#define TAKE "cp after.db new/" META "; "

static const char *base;
static int base_fd, old_fd, new_fd, store;
static pid_t server;
static struct config config = { .snapshotter = (char *)"overlayfs", .sandbox_image = (char *)PAUSE };

struct image {
	char manifest[80], config[80], layer[2][80];
};

static struct image pause_image, app_image;

static void put_in(int dirfd, const char *name, const char *text)
{
	CHECK_EQ(file_replace(dirfd, name, text, strlen(text), 0755), 0);
}

/* A blob of @size bytes that begin with @text. */
static void put_blob(const char *text, size_t size, char digest[80])
{
	cleanup_free char *bytes = calloc(1, size);

	memcpy(bytes, text, strlen(text));
	(void)strcpy(digest, "sha256:");
	CHECK(SHA256Data((const uint8_t *)bytes, size, digest + 7) != NULL);
	CHECK_EQ(file_replace(store, digest + 7, bytes, size, 0600), 0);
}

/* More than a pipe holds, so that ctr can act in the middle of it. */
enum { LAYER = 3 << 20 };

static void put_image(const char *seed, struct image *image)
{
	cleanup_free char *text = NULL, *name = text_print("{\"of\":\"%s\"}", seed);

	put_blob(name, strlen(name), image->config);
	put_blob(seed, LAYER, image->layer[0]);
	put_blob(seed, 1000, image->layer[1]);
	text = text_print("{\"config\":{\"digest\":\"%s\",\"size\":%zu},\"layers\":[{\"digest\":\"%s\",\"size\":%d},"
			  "{\"digest\":\"%s\",\"size\":1000}]}",
			  image->config, strlen(name), image->layer[0], LAYER, image->layer[1]);
	put_blob(text, strlen(text), image->manifest);
}

/* ---- containerd's records ---- */

struct record {
	const char *name, *digest;
	bool pinned;
};

static uint64_t build_image(struct build *b, const struct record *record)
{
	static const char time[15] = { 1, 0, 0, 0, 0x0e, (char)0xd2 };
	uint8_t inside[2][400];
	struct build_item label = build_text("io.cri-containerd.pinned", "pinned");
	struct build_item target[] = { build_text("digest", record->digest), build_text("mediatype", "m"),
				       build_text("size", "\x10") };
	struct build_item members[] = { { "createdat", 9, time, sizeof(time), false }, { 0 }, { 0 },
					{ "updatedat", 9, time, sizeof(time), false } };

	members[1] = build_inline("labels", &label, record->pinned, inside[0]);
	members[2] = build_inline("target", target, ARRAY_SIZE(target), inside[1]);
	return build_tree(b, members, ARRAY_SIZE(members));
}

/* @records are in the order of their names. */
static void put_records(int dirfd, const char *path, const struct record *records, size_t count)
{
	cleanup_fd int fd = openat(dirfd, path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct build b = { .fd = fd, .page_size = 4096, .next_page = 2 };
	struct build_item images[10], top[2], kind;
	uint8_t headers[10][16], upper[3][16];

	for (size_t i = 0; i < count; i++)
		images[i] = build_bucket(records[i].name, build_image(&b, &records[i]), headers[i]);
	kind = build_bucket("images", build_tree(&b, images, count), upper[0]);
	top[0] = build_bucket("k8s.io", build_tree(&b, &kind, 1), upper[1]);
	top[1] = build_text("version", "\x06");
	top[0] = build_bucket("v1", build_tree(&b, top, 2), upper[2]);
	build_finish(&b, build_tree(&b, top, 1), UINT64_MAX);
}

/* ---- the stand-ins ---- */

static void stop_server(void)
{
	if (server > 0) {
		(void)kill(server, SIGKILL);
		CHECK_EQ(waitpid(server, NULL, 0), server);
	}
	server = 0;
	(void)unlinkat(base_fd, "sock", 0);
}

/* That it answers nonsense is enough: it takes images. */
static void start_server(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, config.address, strlen(config.address) + 1);
	CHECK_EQ(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	CHECK_EQ(listen(fd, 5), 0);
	server = fork();
	if (server == 0) {
		(void)signal(SIGPIPE, SIG_IGN);
		for (;;) {
			int peer = accept(fd, NULL, NULL);
			char question[1000];

			if (read(peer, question, sizeof(question)) > 0)
				(void)!write(peer, "nonsense", 8);
			(void)close(peer);
		}
	}
	(void)close(fd);
	put_in(base_fd, "server", text_print("%d", server));
}

static bool has(int dirfd, const char *name)
{
	return faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* An old root with both images and a new one with none; ctr does @import. */
static void begin(const char *import)
{
	const struct record records[] = { { APP, app_image.manifest, false }, { PAUSE, pause_image.manifest, true } };

	stop_server();
	CHECK_EQ(tap_shell("cd %s && rm -rf old new received whole calls && "
			   "mkdir -p new/%s old/io.containerd.metadata.v1.bolt old/" BLOBS
			   " new/io.containerd.content.v1.content", base, "io.containerd.metadata.v1.bolt"), 0);
	cleanup_close(&old_fd);
	cleanup_close(&new_fd);
	cleanup_close(&store);
	old_fd = dir_open_beneath(base_fd, "old");
	new_fd = dir_open_beneath(base_fd, "new");
	store = openat(old_fd, BLOBS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	put_image("pause", &pause_image);
	put_image("app", &app_image);
	put_records(old_fd, META, records, 2);
	put_records(base_fd, "after.db", records, 2);
	put_in(base_fd, "import", import);
	put_in(base_fd, "label", "true");
	start_server();
}

static const struct salvage_options patient = { .budget_msec = 20000 };

static int salvage_with(const struct salvage_options *options, struct salvage *salvage)
{
	CHECK_EQ(salvage_list(old_fd, &config, salvage), 0);
	return salvage_run(&config, old_fd, new_fd, options, salvage);
}

/* What ctr was called with. */
static char *calls(void)
{
	char *text = NULL;

	return dir_read_file(base_fd, "calls", 10000, &text, NULL) < 0 ? strdup("") : text;
}

static void check_never_called(void)
{
	CHECK(!has(base_fd, "calls"));
}

static ino_t inode_in(int root_fd, const char *digest)
{
	cleanup_free char *path = text_print(BLOBS "/%s", digest + 7);
	struct stat st = { 0 };

	return fstatat(root_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_ino : 0;
}

static void check_outcome(const struct salvage_image *image, enum salvage_outcome outcome, const char *why)
{
	CHECK_STR(salvage_outcome_name(image->outcome), salvage_outcome_name(outcome));
	if (!CHECK(why ? image->why && strstr(image->why, why) : !image->why))
		printf("#   why: %s\n", image->why);
	CHECK(!image->why || !strchr(image->why, '\n'));
}

/* Both, as they are where none is brought over. */
static void check_all(const struct salvage *salvage, enum salvage_outcome outcome, const char *why)
{
	CHECK_EQ(salvage->count, 2);
	for (size_t i = 0; i < salvage->count; i++)
		check_outcome(&salvage->images[i], outcome, why);
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
	CHECK_EQ(salvage_with(&(struct salvage_options){ .budget_msec = 20000, .pause_only = true }, &salvage), 0);
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
	CHECK_EQ(salvage_with(&(struct salvage_options){ .budget_msec = 20000, .pause_only = true }, &salvage), 0);
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
		CHECK_EQ(salvage_with(&(struct salvage_options){ .budget_msec = 20000, .pause_only = true }, &salvage),
			 0);
		check_outcome(&salvage.images[0], cases[i].outcome, cases[i].why);
		/* Of what is there that was pinned, whether or not it is unpacked. */
		called = calls();
		CHECK_EQ(strstr(called, "images label") != NULL, cases[i].outcome == SALVAGE_DONE);
	}
}

static void test_time_runs_out(void)
{
	static const char *const imports[] = { "sleep 60", "cat >/dev/null; sleep 60" };

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

static void test_there_is_no_room(void)
{
	cleanup_salvage struct salvage salvage = { 0 };

	begin(READ TAKE);
	CHECK_EQ(salvage_with(&(struct salvage_options){ .budget_msec = 20000, .min_free_bytes = UINT64_MAX / 2 },
			      &salvage), 0);
	check_all(&salvage, SALVAGE_NO_ROOM, NULL);
	check_never_called();
	CHECK_EQ(inode_in(new_fd, pause_image.layer[0]), 0);
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
	CHECK_EQ(symlinkat("../../after.db", new_fd, META), 0);
	CHECK_EQ(salvage_with(&patient, &salvage), 0);
	check_all(&salvage, SALVAGE_FAILED, "records cannot be read");
	check_never_called();
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
	CHECK_EQ(tap_shell("cd %s && touch pause-1.tar pause-of-a-name-that-is-as-long-as-one-that-is-made-here-but-no-tar-123 "
			   "other-$(printf %%064d 7).tar", archives), 0);
	records[0].digest = app_image.manifest;
	put_records(old_fd, META, records, 1);
	CHECK_EQ(salvage_keep_archive(&config, old_fd, archives), 1);
	CHECK(has(base_fd, of_app) && !has(base_fd, of_pause));
	CHECK_EQ(count_archives(), 4);
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
	char *names[] = { (char *)"a.example/x:1", (char *)"sha256:0123", (char *)"a.example/x:2" };
	struct salvage_image images[] = {
		{ .ns = (char *)"k8s.io", .names = names, .name_count = 3, .outcome = SALVAGE_MISSING, .why = (char *)"\xff" },
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
}

int main(void)
{
	cleanup_fd int bin = -EBADF;

	base = tap_tmpdir(NULL);
	base_fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	old_fd = new_fd = store = -EBADF;
	config.address = text_print("%s/sock", base);
	config.exec_path = text_print("%s/bin/containerd", base);
	archives = text_print("%s/images", base);
	CHECK_EQ(mkdirat(base_fd, "bin", 0700), 0);
	bin = dir_open_beneath(base_fd, "bin");
	put_in(bin, "ctr",
	       text_print("#!/bin/sh\ncd %s\necho \"$*\" >>calls\ncase \"$*\" in\n*\" images import \"*) . ./import ;;\n"
			  "*) . ./label ;;\nesac\n", base));
	RUN(test_the_pause_image_first_and_then_the_others);
	RUN(test_what_is_there_is_left_alone);
	RUN(test_what_is_damaged_is_not_even_tried);
	RUN(test_what_changes_while_it_is_streamed);
	RUN(test_a_name_that_is_taken_meanwhile);
	RUN(test_ctr_fails);
	RUN(test_time_runs_out);
	RUN(test_the_rate_is_held);
	RUN(test_there_is_no_room);
	RUN(test_containerd_is_not_there_or_ends);
	RUN(test_records_that_cannot_be_read);
	RUN(test_an_archive_is_kept);
	RUN(test_no_archive_of_what_is_not_whole);
	RUN(test_an_archive_is_whole_or_not_there);
	RUN(test_the_archive_is_brought_over);
	RUN(test_no_archive_where_the_image_is_there);
	RUN(test_what_is_to_be_pulled);
	stop_server();
	return tap_done();
}
