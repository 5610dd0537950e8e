#include "tests/unit/salvage_scene.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
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
#include "tests/unit/processes.h"
#include "tests/unit/tap.h"

const char *base;
int base_fd, old_fd, new_fd, store;
bool has_own_disk;
struct config config = { .snapshotter = (char *)"overlayfs", .sandbox_image = (char *)PAUSE };

static int database = -EBADF;
static pid_t server;
struct image pause_image, app_image;

void put_in(int dirfd, const char *name, const char *text)
{
	CHECK_EQ(file_replace(dirfd, name, text, strlen(text), 0755), 0);
}

void put_blob(const char *text, size_t size, char digest[80])
{
	cleanup_free char *bytes = calloc(1, size);

	memcpy(bytes, text, strlen(text));
	(void)strcpy(digest, "sha256:");
	CHECK(SHA256Data((const uint8_t *)bytes, size, digest + 7) != NULL);
	CHECK_EQ(file_replace(store, digest + 7, bytes, size, 0600), 0);
}

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

#define TIME "\1\0\0\0\x0e\xd2\0\0\0\0\0\0\0\0"
#define TIME_SIZE sizeof(TIME)

static uint64_t build_image(struct build *b, const struct record *record)
{
	uint8_t inside[2][400];
	struct build_item label = build_text("io.cri-containerd.pinned", "pinned");
	struct build_item target[] = { build_text("digest", record->digest), build_text("mediatype", "m"),
				       build_text("size", "\x10") };
	struct build_item members[] = { { "createdat", 9, TIME, TIME_SIZE, false }, { 0 }, { 0 },
					{ "updatedat", 9, TIME, TIME_SIZE, false } };

	members[1] = build_inline("labels", &label, record->pinned, inside[0]);
	members[2] = build_inline("target", target, ARRAY_SIZE(target), inside[1]);
	return build_tree(b, members, ARRAY_SIZE(members));
}

static uint64_t build_user(struct build *b, const char *image, const char *kind)
{
	uint8_t inside[2][400];
	struct build_item label = build_text("io.cri-containerd.kind", kind);
	struct build_item runtime = build_text("name", "r");
	struct build_item members[] = { { "createdat", 9, TIME, TIME_SIZE, false }, build_text("image", image), { 0 },
					{ 0 }, build_text("snapshotKey", "s") };

	members[2] = build_inline("labels", &label, 1, inside[0]);
	members[3] = build_inline("runtime", &runtime, 1, inside[1]);
	return build_tree(b, members, ARRAY_SIZE(members));
}

uint64_t put_spaces(int dirfd, const char *path, const struct space *spaces, size_t count)
{
	cleanup_fd int fd = openat(dirfd, path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct build b = { .fd = fd, .page_size = 4096, .next_page = 2 };
	struct build_item top[5];
	uint8_t upper[5][16], v1[16];
	uint64_t page = 0;

	for (size_t n = 0; n < count; n++) {
		const struct space *space = &spaces[n];
		struct build_item images[6], users[6], kinds[2];
		uint8_t headers[14][16];

		for (size_t i = 0; i < space->count; i++)
			images[i] = build_bucket(space->records[i].name, build_image(&b, &space->records[i]), headers[i]);
		for (size_t i = 0; i < space->user_count; i++)
			users[i] = build_bucket(space->users[i].id,
						build_user(&b, space->users[i].image, space->users[i].kind),
						headers[6 + i]);
		kinds[0] = build_bucket("containers", build_tree(&b, users, space->user_count), headers[12]);
		page = build_tree(&b, images, space->count);
		kinds[1] = build_bucket("images", page, headers[13]);
		top[n] = build_bucket(space->ns, build_tree(&b, kinds, 2), upper[n]);
	}
	top[count] = build_text("version", "\x06");
	top[0] = build_bucket("v1", build_tree(&b, top, count + 1), v1);
	build_finish(&b, build_tree(&b, top, 1), UINT64_MAX);
	return page;
}

void put_records(int dirfd, const char *path, const struct record *records, size_t count)
{
	struct space space = { .ns = "k8s.io", .count = count };

	for (size_t i = 0; i < count; i++)
		space.records[i] = records[i];
	(void)put_spaces(dirfd, path, &space, 1);
}

/* ---- the stand-ins ---- */

void stop_server(void)
{
	if (server > 0) {
		(void)kill(server, SIGKILL);
		CHECK_EQ(waitpid(server, NULL, 0), server);
	}
	server = 0;
	(void)unlinkat(base_fd, "sock", 0);
}

/* That it answers nonsense is enough: it takes images. */
void start_server(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char pid[16];

	memcpy(address.sun_path, config.address, strlen(config.address) + 1);
	CHECK_EQ(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	CHECK_EQ(listen(fd, 5), 0);
	server = answer_nonsense(fd);
	(void)close(fd);
	(void)snprintf(pid, sizeof(pid), "%d", server);
	put_in(base_fd, "server", pid);
}

bool has(int dirfd, const char *name)
{
	return faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

void lock_database(void)
{
	unlock_database();
	database = openat(new_fd, META, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK(database >= 0 && flock(database, LOCK_EX | LOCK_NB) == 0);
}

void unlock_database(void)
{
	cleanup_close(&database);
	database = -EBADF;
}

/* An old root with both images and a new one with none; ctr does @import. */
void begin(const char *import)
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
	lock_database();
	start_server();
}

const struct salvage_options patient = { .budget_msec = 20000 };
const struct salvage_options pause_alone = { .budget_msec = 20000, .pause_only = true };

int salvage_with(const struct salvage_options *options, struct salvage *salvage)
{
	CHECK_EQ(salvage_list(old_fd, &config, salvage), 0);
	return salvage_run(&config, old_fd, new_fd, options, salvage);
}

char *calls(void)
{
	char *text = NULL;

	return dir_read_file(base_fd, "calls", 10000, &text, NULL) < 0 ? strdup("") : text;
}

void check_never_called(void)
{
	CHECK(!has(base_fd, "calls"));
}

ino_t inode_in(int root_fd, const char *digest)
{
	cleanup_free char *path = text_print(BLOBS "/%s", digest + 7);
	struct stat st = { 0 };

	return fstatat(root_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_ino : 0;
}

void check_outcome(const struct salvage_image *image, enum salvage_outcome outcome, const char *why)
{
	CHECK_STR(salvage_outcome_name(image->outcome), salvage_outcome_name(outcome));
	if (!CHECK(why ? image->why && strstr(image->why, why) : !image->why))
		printf("#   why: %s\n", image->why);
	CHECK(!image->why || !strchr(image->why, '\n'));
}

void check_all(const struct salvage *salvage, enum salvage_outcome outcome, const char *why)
{
	CHECK_EQ(salvage->count, 2);
	for (size_t i = 0; i < salvage->count; i++)
		check_outcome(&salvage->images[i], outcome, why);
}

void scene_enter(void)
{
	cleanup_free char *script = NULL;
	cleanup_fd int bin = -EBADF;

	/* A disk of our own: the room on it is nobody else's, and syncing costs nothing. */
	base = tap_tmpdir(NULL);
	if (geteuid() == 0) {
		tap_private_mounts();
		has_own_disk = mount("none", base, "tmpfs", 0, "size=256M") == 0;
	}
	base_fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	old_fd = new_fd = store = -EBADF;
	config.address = text_print("%s/sock", base);
	config.exec_path = text_print("%s/bin/containerd", base);
	CHECK_EQ(mkdirat(base_fd, "bin", 0700), 0);
	bin = dir_open_beneath(base_fd, "bin");
	script = text_print("#!/bin/sh\ncd %s\necho \"$*\" >>calls\ncase \"$*\" in\n*\" images import \"*) . ./import ;;\n"
			    "*) . ./label ;;\nesac\n", base);
	put_in(bin, "ctr", script);
}

void scene_leave(void)
{
	stop_server();
	unlock_database();
	cleanup_close(&old_fd);
	cleanup_close(&new_fd);
	cleanup_close(&store);
	(void)close(base_fd);
	CHECK(!has_own_disk || umount2(base, MNT_DETACH) == 0);
}
