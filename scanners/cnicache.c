#include "scanners/cnicache.h"

#include <dirent.h>
#include <string.h>

#include "scanners/array.h"
#include "scanners/base64.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"

enum { ENTRY_MAX = 1024 * 1024 };

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text && *text ? text : NULL;
}

static int copy(char **ret, const char *text)
{
	if (!text || *ret)
		return 0;
	*ret = strdup(text);
	return *ret ? 0 : -ENOMEM;
}

static int take_args(struct cnicache_entry *entry)
{
	const struct {
		const char *name;
		char **ret;
	} known[] = {
		{ "K8S_POD_NAME", &entry->pod_name },
		{ "K8S_POD_NAMESPACE", &entry->pod_namespace },
		{ "K8S_POD_UID", &entry->pod_uid },
		{ "K8S_POD_INFRA_CONTAINER_ID", &entry->infra_id },
	};
	size_t i;
	json_t *pair;

	json_array_foreach(json_object_get(entry->entry, "cniArgs"), i, pair)
	{
		const char *name = json_string_value(json_array_get(pair, 0));
		const char *value = json_string_value(json_array_get(pair, 1));

		for (size_t j = 0; name && value && *value && j < ARRAY_SIZE(known); j++)
			if (strcmp(name, known[j].name) == 0 && copy(known[j].ret, value) < 0)
				return -ENOMEM;
	}
	return 0;
}

static int add_link(struct cnicache_entry *entry, const json_t *interface)
{
	struct cnicache_link *link;

	if (!text_of(interface, "name"))
		return 0;
	link = ARRAY_ADD(entry->links, entry->link_count);
	if (!link || copy(&link->name, text_of(interface, "name")) < 0 ||
	    copy(&link->mac, text_of(interface, "mac")) < 0)
		return -ENOMEM;
	return 0;
}

static int add_address(struct cnicache_entry *entry, const char *address)
{
	char **added;

	if (!address)
		return 0;
	added = ARRAY_ADD(entry->addresses, entry->address_count);
	if (!added)
		return -ENOMEM;
	*added = strndup(address, strcspn(address, "/"));
	return *added ? 0 : -ENOMEM;
}

static int take_result(struct cnicache_entry *entry)
{
	const json_t *result = json_object_get(entry->entry, "result");
	size_t i;
	json_t *item;

	json_array_foreach(json_object_get(result, "interfaces"), i, item)
	{
		const char *sandbox = text_of(item, "sandbox");
		int r = sandbox ? copy(&entry->netns, sandbox) : add_link(entry, item);

		if (r < 0)
			return r;
	}
	json_array_foreach(json_object_get(result, "ips"), i, item)
	{
		int r = add_address(entry, text_of(item, "address"));

		if (r < 0)
			return r;
	}
	/* Results of before 0.3.0. */
	for (size_t v = 0; v < 2; v++) {
		const json_t *ip = json_object_get(result, v ? "ip6" : "ip4");
		int r = add_address(entry, text_of(ip, "ip"));

		if (r < 0)
			return r;
	}
	return 0;
}

static int take_config(struct cnicache_entry *entry, bool keep)
{
	const char *encoded = text_of(entry->entry, "config");
	cleanup_free char *text = NULL;
	size_t size, i;
	json_t *plugin;
	int r;

	if (!encoded)
		return 0;
	r = base64_decode(encoded, &text, &size);
	/* The same list in every entry: parsed only for what is in it. */
	if (r < 0 || (!keep && !strstr(text, "\"dataDir\"")))
		return r;
	entry->config = json_loadb(text, size, 0, NULL);
	if (!json_is_object(entry->config))
		return -EINVAL;
	json_array_foreach(json_object_get(entry->config, "plugins"), i, plugin)
	{
		r = copy(&entry->data_dir, text_of(json_object_get(plugin, "ipam"), "dataDir"));
		if (r < 0)
			return r;
	}
	return 0;
}

static int take_entry(const char *name, bool with_config, struct cnicache_entry *entry)
{
	const char *id = text_of(entry->entry, "containerId");
	const char *network = text_of(entry->entry, "networkName");
	const char *ifname = text_of(entry->entry, "ifName");
	const char *kind = text_of(entry->entry, "kind");
	int r;

	if (!kind || strcmp(kind, "cniCacheV1") != 0 || !id || !network || !ifname)
		return -EINVAL;
	if (copy(&entry->file, name) < 0 || copy(&entry->container_id, id) < 0 ||
	    copy(&entry->network, network) < 0 || copy(&entry->ifname, ifname) < 0 ||
	    copy(&entry->netns, text_of(entry->entry, "netns")) < 0)
		return -ENOMEM;
	r = take_args(entry);
	if (r == 0)
		r = take_result(entry);
	if (r == 0)
		r = take_config(entry, with_config);
	return r;
}

int cnicache_parse(const char *name, const char *text, size_t size, bool with_config,
		   struct cnicache_entry *ret)
{
	cleanup_cnicache_entry struct cnicache_entry entry = { 0 };
	int r;

	entry.entry = json_loadb(text, size, 0, NULL);
	if (!json_is_object(entry.entry))
		return -EINVAL;
	r = take_entry(name, with_config, &entry);
	if (r < 0)
		return r;
	*ret = entry;
	entry = (struct cnicache_entry){ 0 };
	return 0;
}

static int add_file(struct cnicache *cache, int fd, const char *name)
{
	struct cnicache_entry entry, *added;
	cleanup_free char *text = NULL;
	size_t size;
	int r;

	r = dir_read_file(fd, name, ENTRY_MAX, &text, &size);
	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = cnicache_parse(name, text, size, false, &entry);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		char **skipped = ARRAY_ADD(cache->malformed, cache->malformed_count);

		return skipped ? copy(skipped, name) : -ENOMEM;
	}
	(void)dir_changed(fd, name, &entry.changed_sec); /* 0 says unknown */
	added = ARRAY_ADD(cache->items, cache->count);
	if (!added) {
		cnicache_entry_done(&entry);
		return -ENOMEM;
	}
	*added = entry;
	return 0;
}

int cnicache_scan(int fd, struct cnicache *ret)
{
	cleanup_cnicache struct cnicache cache = { 0 };
	cleanup_dir DIR *stream = NULL;
	const char *name;
	int r;

	r = dir_stream(fd, &stream);
	if (r < 0)
		return r;
	while ((r = dir_next(stream, &name, NULL)) > 0) {
		r = add_file(&cache, fd, name);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	*ret = cache;
	cache = (struct cnicache){ 0 };
	return 0;
}

void cnicache_entry_done(struct cnicache_entry *entry)
{
	for (size_t i = 0; i < entry->link_count; i++) {
		free(entry->links[i].name);
		free(entry->links[i].mac);
	}
	for (size_t i = 0; i < entry->address_count; i++)
		free(entry->addresses[i]);
	free(entry->links);
	free(entry->addresses);
	free(entry->file);
	free(entry->container_id);
	free(entry->network);
	free(entry->ifname);
	free(entry->netns);
	free(entry->pod_name);
	free(entry->pod_namespace);
	free(entry->pod_uid);
	free(entry->infra_id);
	free(entry->data_dir);
	json_decref(entry->entry);
	json_decref(entry->config);
	*entry = (struct cnicache_entry){ 0 };
}

void cnicache_done(struct cnicache *cache)
{
	for (size_t i = 0; i < cache->count; i++)
		cnicache_entry_done(&cache->items[i]);
	for (size_t i = 0; i < cache->malformed_count; i++)
		free(cache->malformed[i]);
	free(cache->malformed);
	free(cache->items);
	*cache = (struct cnicache){ 0 };
}
