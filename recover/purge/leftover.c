#include "recover/purge/leftover.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "recover/purge/purge.h"
#include "recover/purge/queue.h"
#include "scanners/cleanup.h"

int leftovers_init(struct leftovers *leftovers)
{
	memset(leftovers, 0, sizeof(*leftovers));
	return -pthread_mutex_init(&leftovers->lock, NULL);
}

void leftovers_done(struct leftovers *leftovers)
{
	(void)pthread_mutex_destroy(&leftovers->lock); /* nobody holds it */
}

/* Writes @part in front of @at; what stands there is its end or its rest. */
static char *prepend(char *at, const char *part, char behind)
{
	size_t length = strlen(part);

	at -= length + 1;
	memcpy(at, part, length + 1);
	at[length] = behind;
	return at;
}

static char *path_of(const struct node *node, const char *name)
{
	size_t length = name ? strlen(name) + 1 : 0;
	char *path, *at;

	for (const struct node *n = node; n->parent; n = n->parent)
		length += strlen(n->name) + 1;
	if (length == 0)
		return strdup(".");
	path = malloc(length);
	if (!path)
		return NULL;
	at = path + length;
	if (name)
		at = prepend(at, name, '\0');
	for (const struct node *n = node; n->parent; n = n->parent)
		at = prepend(at, n->name, at == path + length ? '\0' : '/');
	return path;
}

static uint64_t hash(const char *path)
{
	uint64_t h = 14695981039346656037ULL; /* FNV-1a */

	for (; *path; path++)
		h = (h ^ (unsigned char)*path) * 1099511628211ULL;
	return h ? h : 1;
}

/* A full table knows nothing new: then the count is an upper bound. */
static bool is_known(struct leftovers *leftovers, uint64_t place)
{
	for (size_t i = 0; i < LEFTOVERS_KNOWN; i++) {
		uint64_t *slot = &leftovers->known[(place + i) % LEFTOVERS_KNOWN];

		if (*slot == place)
			return true;
		if (*slot == 0) {
			*slot = place;
			return false;
		}
	}
	return false;
}

void leftovers_add(struct leftovers *leftovers, const struct node *node, const char *name,
		   int error)
{
	cleanup_free char *path = path_of(node, name);

	pthread_mutex_lock(&leftovers->lock);
	if (!path || !is_known(leftovers, hash(path))) {
		leftovers->count++;
		leftovers->mounts += error == -EXDEV || error == -EBUSY;
		if (!leftovers->first_error)
			leftovers->first_error = error;
		if (leftovers->name && path && leftovers->count <= PURGE_NAMED_MAX)
			leftovers->name(path, error, leftovers->data);
	}
	pthread_mutex_unlock(&leftovers->lock);
}

void leftovers_forget(struct leftovers *leftovers)
{
	pthread_mutex_lock(&leftovers->lock);
	leftovers->count = leftovers->mounts = 0;
	leftovers->first_error = 0;
	memset(leftovers->known, 0, sizeof(leftovers->known));
	pthread_mutex_unlock(&leftovers->lock);
}

void leftovers_count(struct leftovers *leftovers, uint64_t *ret_count, uint64_t *ret_mounts)
{
	pthread_mutex_lock(&leftovers->lock);
	*ret_count = leftovers->count;
	*ret_mounts = leftovers->mounts;
	pthread_mutex_unlock(&leftovers->lock);
}
