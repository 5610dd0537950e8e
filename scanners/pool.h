/*
 * How many addresses host-local has left to give on CRI's own networks: the
 * ranges of the conflist less the files in the network's directory.
 */
#ifndef SCANNERS_POOL_H
#define SCANNERS_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "scanners/config.h"

struct pool {
	char *network;
	char *subnet;	   /* as configured */
	uint64_t capacity; /* addresses that can be given; UINT64_MAX: more than can be counted */
	uint64_t reserved; /* of them */
};

struct pools {
	struct pool *items;
	size_t count;
};

/* Returns 0 with @ret to end with pools_done(), or a negative errno. */
int pools_scan(const struct config *config, struct pools *ret);

/*
 * The pool of one range of host-local's: capacity, without the network's and
 * the broadcast address and the gateway (given, or the first one). @start and
 * @end may be NULL. Returns 0 or -EINVAL.
 */
int pool_capacity(const char *subnet, const char *start, const char *end, const char *gateway,
		  uint64_t *ret);

/* Is @address in @subnet? */
int pool_has(const char *subnet, const char *address);

void pools_done(struct pools *pools);
#define cleanup_pools __attribute__((cleanup(pools_done)))

#endif
