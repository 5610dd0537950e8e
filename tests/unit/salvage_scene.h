/*
 * A quarantined root with two images and a fresh one with none, and stand-ins for
 * ctr and containerd that do what a test wants of them.
 */
#ifndef TESTS_UNIT_SALVAGE_SCENE_H
#define TESTS_UNIT_SALVAGE_SCENE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "recover/salvage.h"

#define BLOBS "io.containerd.content.v1.content/blobs/sha256"
#define META "io.containerd.metadata.v1.bolt/meta.db"
#define PAUSE "registry.example/pause:1"
#define APP "registry.example/app:1"
/* What ctr does, as lines of a shell's: all of it is read; it becomes containerd's. */
#define READ "cat >received && touch whole; "
#define TAKE "cp after.db new/" META "; "

enum { LAYER = 3 << 20 }; /* more than a pipe holds, so that ctr can act in the middle of it */

/* Digests, "sha256:…". */
struct image {
	char manifest[80], config[80], layer[2][80];
};

/* In a directory of its own: old/, new/, images/ and what ctr leaves: calls, received, whole. */
extern const char *base;
extern int base_fd, old_fd, new_fd;
extern bool has_own_disk; /* nobody else's files are on it */
extern int store; /* old/'s blobs */
extern struct image pause_image, app_image;
extern struct config config;
extern const struct salvage_options patient, pause_alone;

void scene_enter(void);
void scene_leave(void);

/* Both roots anew; ctr will do @import, whose records to take are in after.db. */
void begin(const char *import);
void start_server(void);
void stop_server(void);

/* new/'s meta.db, which the containerd that answers has locked; so has the one that is started meanwhile. */
void lock_database(void);
void unlock_database(void);

void put_in(int dirfd, const char *name, const char *text);
/* A blob of @size bytes that begin with @text. */
void put_blob(const char *text, size_t size, char digest[80]);

struct record {
	const char *name, *digest;
	bool pinned;
};

struct user {
	const char *id, *image, *kind;
};

/* Everything in the order of its names. */
struct space {
	const char *ns;
	struct record records[6];
	size_t count;
	struct user users[6];
	size_t user_count;
};

/* Write a meta.db. Returns the page that names the images of the last of @spaces. */
uint64_t put_spaces(int dirfd, const char *path, const struct space *spaces, size_t count);
/* One of k8s.io's images alone. */
void put_records(int dirfd, const char *path, const struct record *records, size_t count);

int salvage_with(const struct salvage_options *options, struct salvage *salvage);

/* What ctr was called with; the caller's to free(). */
char *calls(void);
void check_never_called(void);

bool has(int dirfd, const char *name);
/* Of a blob below a root, 0 where there is none. */
ino_t inode_in(int root_fd, const char *digest);
/* @why NULL: none is given. */
void check_outcome(const struct salvage_image *image, enum salvage_outcome outcome, const char *why);
/* Both, as they are where none is brought over. */
void check_all(const struct salvage *salvage, enum salvage_outcome outcome, const char *why);

#endif
