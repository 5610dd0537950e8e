#include "scanners/pool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "scanners/array.h"
#include "scanners/cleanup.h"
#include "scanners/conflist.h"
#include "scanners/dir.h"
#include "scanners/ipam.h"

enum { ADDRESS_SIZE = 16, V4_SIZE = 4, COUNTED_BITS = 63 };

struct address {
	unsigned char bytes[ADDRESS_SIZE];
	unsigned size; /* 4 or 16 */
};

static int parse_address(const char *text, struct address *ret)
{
	bool six = strchr(text, ':') != NULL;

	ret->size = six ? ADDRESS_SIZE : V4_SIZE;
	return inet_pton(six ? AF_INET6 : AF_INET, text, ret->bytes) == 1 ? 0 : -EINVAL;
}

static int parse_subnet(const char *text, struct address *ret, unsigned *ret_prefix)
{
	cleanup_free char *address = strndup(text, strcspn(text, "/"));
	const char *slash = strchr(text, '/');
	unsigned long prefix;
	char *end;

	if (!address || !slash || parse_address(address, ret) < 0)
		return -EINVAL;
	prefix = strtoul(slash + 1, &end, 10);
	if (end == slash + 1 || *end || prefix > ret->size * 8UL)
		return -EINVAL;
	*ret_prefix = (unsigned)prefix;
	return 0;
}

static void keep_bits(struct address *address, unsigned prefix, bool ones)
{
	for (unsigned i = prefix; i < address->size * 8; i++) {
		unsigned char bit = (unsigned char)(0x80 >> i % 8);

		if (ones)
			address->bytes[i / 8] |= bit;
		else
			address->bytes[i / 8] &= (unsigned char)~bit;
	}
}

static void step(struct address *address, int by)
{
	for (unsigned i = address->size; i > 0; i--) {
		address->bytes[i - 1] = (unsigned char)(address->bytes[i - 1] + by);
		if (address->bytes[i - 1] != (by > 0 ? 0 : 0xff))
			break;
	}
}

/* last - first + 1, UINT64_MAX for more than 63 bits. */
static uint64_t distance(const struct address *first, const struct address *last)
{
	uint64_t high = 0, a = 0, b = 0;

	for (unsigned i = 0; i + 8 < first->size; i++)
		high |= first->bytes[i] ^ last->bytes[i];
	for (unsigned i = first->size > 8 ? first->size - 8 : 0; i < first->size; i++) {
		a = a << 8 | first->bytes[i];
		b = b << 8 | last->bytes[i];
	}
	if (high || (b - a) >> COUNTED_BITS)
		return UINT64_MAX;
	return b >= a ? b - a + 1 : 0;
}

static bool is_between(const struct address *a, const struct address *first,
		       const struct address *last)
{
	return a->size == first->size && memcmp(a->bytes, first->bytes, a->size) >= 0 &&
	       memcmp(a->bytes, last->bytes, a->size) <= 0;
}

int pool_capacity(const char *subnet, const char *start, const char *end, const char *gateway,
		  uint64_t *ret)
{
	struct address first, last, via;
	unsigned prefix;

	if (parse_subnet(subnet, &first, &prefix) < 0)
		return -EINVAL;
	keep_bits(&first, prefix, false);
	last = first;
	keep_bits(&last, prefix, true);
	step(&first, 1);
	via = first;
	/* IPv6 has no broadcast address, and host-local leaves the last one out all the same. */
	step(&last, -1);
	if ((start && parse_address(start, &first) < 0) || (end && parse_address(end, &last) < 0) ||
	    (gateway && parse_address(gateway, &via) < 0) || first.size != last.size)
		return -EINVAL;
	*ret = distance(&first, &last);
	if (*ret != UINT64_MAX && *ret > 0 && is_between(&via, &first, &last))
		--*ret;
	return 0;
}

int pool_has(const char *subnet, const char *address)
{
	struct address first, last, a;
	unsigned prefix;

	if (parse_subnet(subnet, &first, &prefix) < 0 || parse_address(address, &a) < 0)
		return -EINVAL;
	keep_bits(&first, prefix, false);
	last = first;
	keep_bits(&last, prefix, true);
	return is_between(&a, &first, &last);
}

static const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static int add_pool(struct pools *pools, const char *network, const json_t *range)
{
	const char *subnet = text_of(range, "subnet");
	uint64_t capacity;
	struct pool *pool;

	if (!subnet || pool_capacity(subnet, text_of(range, "rangeStart"), text_of(range, "rangeEnd"),
				     text_of(range, "gateway"), &capacity) < 0)
		return 0;
	pool = ARRAY_ADD(pools->items, pools->count);
	if (!pool)
		return -ENOMEM;
	pool->network = strdup(network);
	pool->subnet = strdup(subnet);
	pool->capacity = capacity;
	return pool->network && pool->subnet ? 0 : -ENOMEM;
}

/* "ranges": [[{…}, …], …], or in old configurations the range itself. */
static int add_ranges(struct pools *pools, const char *network, const json_t *ipam)
{
	const char *type = text_of(ipam, "type");
	size_t i, j;
	json_t *set, *range;
	int r;

	if (!type || strcmp(type, "host-local") != 0)
		return 0;
	r = add_pool(pools, network, ipam);
	json_array_foreach(json_object_get(ipam, "ranges"), i, set)
	{
		json_array_foreach(set, j, range)
		{
			if (r == 0)
				r = add_pool(pools, network, range);
		}
	}
	return r;
}

static int count_reserved(struct pools *pools)
{
	cleanup_ipam_leases struct ipam_leases leases = { 0 };
	cleanup_fd int fd = dir_open_path(IPAM_DATA_DIR);
	int r = fd < 0 ? fd : ipam_scan(fd, &leases);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	for (size_t i = 0; i < pools->count; i++)
		for (size_t j = 0; j < leases.count; j++)
			if (strcmp(pools->items[i].network, leases.items[j].network) == 0 &&
			    pool_has(pools->items[i].subnet, leases.items[j].address) > 0)
				pools->items[i].reserved++;
	return 0;
}

int pools_scan(const struct config *config, struct pools *ret)
{
	cleanup_conflists struct conflists conflists = { 0 };
	cleanup_pools struct pools pools = { 0 };
	int r = conflists_read(config->cni_conf_dir, config->cni_max_conf_num, &conflists);

	for (size_t i = 0; r == 0 && i < conflists.count; i++) {
		size_t j;
		json_t *plugin;

		json_array_foreach(conflists.items[i].plugins, j, plugin)
		{
			if (r == 0)
				r = add_ranges(&pools, conflists.items[i].name,
					       json_object_get(plugin, "ipam"));
		}
	}
	if (r == 0)
		r = count_reserved(&pools);
	if (r < 0)
		return r;
	*ret = pools;
	pools = (struct pools){ 0 };
	return 0;
}

void pools_done(struct pools *pools)
{
	for (size_t i = 0; i < pools->count; i++) {
		free(pools->items[i].network);
		free(pools->items[i].subnet);
	}
	free(pools->items);
	*pools = (struct pools){ 0 };
}
