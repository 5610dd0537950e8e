/*
 * Walking through a tree that is to be copied: by directory fd, no link
 * followed, no mount crossed (bind mounts of the same file system included),
 * flat in fds whatever the depth. Where it goes to is a sink's business:
 * recover/keep/directory.h, recover/keep/archive.h.
 */
#ifndef RECOVER_KEEP_TREE_H
#define RECOVER_KEEP_TREE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/* One entry of the tree, while it is copied. */
struct keep_entry {
	const char *path; /* in the copy */
	const char *name; /* its last component */
	int dirfd;	  /* where it is in the source */
	int fd;		  /* open to be read: directories and regular files; else negative */
	struct stat st;
	bool overlay; /* of an overlayfs layer: whiteouts are meant as such */
};

/* Counts, and names the first of what could not be copied. */
struct keep_report {
	uint64_t entries, bytes;
	uint64_t left; /* left out, or kept without something; logged up to KEEP_NAMED */
	const volatile sig_atomic_t *stop; /* set: end soon, with -ECANCELED */
};

enum { KEEP_NAMED = 20 };

#define KEEP_UNREAD_ATTRIBUTE "kept without an attribute that cannot be read"

/* @path, or a part of it, is not in the copy because of @why. */
void keep_left(struct keep_report *report, const char *path, const char *why);

/* Behind the content of a regular file: say so if it became shorter meanwhile. */
void keep_check_size(struct keep_report *report, const struct keep_entry *entry);

/*
 * What cannot be read of the source is left out by keep_left() and no error. An
 * error is the copy's, and ends it.
 */
struct keep_sink {
	/* A directory begins. Its attributes are for leave(): what is made in it changes them. */
	int (*enter)(void *to, const struct keep_entry *directory);
	int (*leave)(void *to, const struct keep_entry *directory);
	/* Anything else, whole. */
	int (*add)(void *to, const struct keep_entry *entry);
	/* A directory of our own, which may be there already; leave() has no source then (fd negative). */
	int (*make)(void *to, const char *path, const char *name);
	/* A file of our own at the top. */
	int (*note)(void *to, const char *name, const char *text, size_t size);
};

/*
 * Copy the directory open at @fd to @path, a relative one whose parents are
 * made. Returns 0, -ECANCELED, or another negative errno.
 */
int keep_tree(int fd, const char *path, bool overlay, const struct keep_sink *sink, void *to,
	      struct keep_report *report);

#endif
