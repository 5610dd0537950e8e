/*
 * Which networks are CRI's: the first conflists of CNI's configuration
 * directory by name, as go-cni loads them (containerd/go-cni, opts.go).
 */
#ifndef SCANNERS_CONFLIST_H
#define SCANNERS_CONFLIST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct conflist {
	char *name;	 /* of the network */
	json_t *plugins; /* array of their configurations */
};

struct conflists {
	struct conflist *items;
	size_t count;
	char *refused; /* the file that go-cni refuses, and with it all behind it; NULL if none */
};

/*
 * The first @max networks (0: all) of the directory @dir. A directory that is
 * not there is an empty result. Returns 0 with @ret to end with
 * conflists_done(), or a negative errno with it untouched.
 */
int conflists_read(const char *dir, unsigned max, struct conflists *ret);

bool conflists_have(const struct conflists *conflists, const char *network);

void conflists_done(struct conflists *conflists);
#define cleanup_conflists __attribute__((cleanup(conflists_done)))

#endif
