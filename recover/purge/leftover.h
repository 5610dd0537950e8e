/*
 * What could not be deleted: each counted once, the first ones named.
 */
#ifndef RECOVER_PURGE_LEFTOVER_H
#define RECOVER_PURGE_LEFTOVER_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

enum { LEFTOVERS_KNOWN = 4096 };

struct node;

struct leftovers {
	pthread_mutex_t lock;
	void (*name)(const char *path, int error, void *data);
	void *data;
	uint64_t count, mounts;
	int first_error;
	uint64_t known[LEFTOVERS_KNOWN]; /* hashes of their places: a directory may be read twice */
};

int leftovers_init(struct leftovers *leftovers);
void leftovers_done(struct leftovers *leftovers);

/* @name in the directory @node, or @node itself if @name is NULL, stays with @error. */
void leftovers_add(struct leftovers *leftovers, const struct node *node, const char *name, int error);

/* As if there were none yet. */
void leftovers_forget(struct leftovers *leftovers);

void leftovers_count(struct leftovers *leftovers, uint64_t *ret_count, uint64_t *ret_mounts);

#endif
