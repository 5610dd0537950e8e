#include "recover/rule_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/cniname.h"
#include "scanners/conflist.h"
#include "scanners/process.h"

#define IFNAME "eth0" /* go-cni's first; of others a cache file tells */

static int put(json_t *object, const char *name)
{
	return json_object_set_new_nocheck(object, name, json_true()) < 0 ? -ENOMEM : 0;
}

static int add_network(struct rule_names *names, const char *id, const char *network,
		       const char *ifname)
{
	static const char *const kinds[] = { "", "DN-", "SN-" };
	char chain[CNINAME_CHAIN_SIZE], comment[CNINAME_COMMENT_SIZE];
	int r = cniname_comment(network, ifname, id, comment);

	if (r == 0)
		r = put(names->hashes, comment);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(kinds); i++) {
		r = cniname_chain(kinds[i], network, id, chain);
		if (r == 0)
			r = put(names->hashes, chain);
	}
	return r;
}

/* "<network>-<id>-<interface>", which a torn file has too. */
static int add_cache_file(struct rule_names *names, const char *id, const char *file)
{
	const char *at = strstr(file, id), *ifname = at ? at + strlen(id) : NULL;
	cleanup_free char *network = NULL;

	if (!at || at == file || at[-1] != '-' || *ifname != '-')
		return 0;
	network = strndup(file, (size_t)(at - file) - 1);
	return network ? add_network(names, id, network, ifname + 1) : -ENOMEM;
}

static int add_sandbox(struct rule_names *names, const struct conflists *networks,
		       const struct sandbox *sandbox)
{
	int r = put(names->ids, sandbox->id);

	for (size_t i = 0; r == 0 && i < sandbox->cache_file_count; i++)
		r = add_cache_file(names, sandbox->id, sandbox->cache_files[i]);
	for (size_t i = 0; r == 0 && i < sandbox->reservation_count; i++)
		r = add_network(names, sandbox->id, sandbox->reservations[i].network, IFNAME);
	for (size_t i = 0; r == 0 && i < networks->count; i++)
		r = add_network(names, sandbox->id, networks->items[i].name, IFNAME);
	return r;
}

int rule_names_make(const struct config *config, const struct inventory *lost,
		    struct rule_names *ret)
{
	cleanup_rule_names struct rule_names names = { json_object(), json_object() };
	cleanup_conflists struct conflists networks = { 0 };
	int r = names.ids && names.hashes ? 0 : -ENOMEM;

	if (r == 0 && config)
		r = conflists_read(config->cni_conf_dir, config->cni_max_conf_num, &networks);
	for (size_t i = 0; r == 0 && i < lost->sandbox_count; i++)
		r = add_sandbox(&names, &networks, &lost->sandboxes[i]);
	if (r < 0)
		return r;
	*ret = names;
	names = (struct rule_names){ 0 };
	return 0;
}

bool rule_names_have_chain(const struct rule_names *names, const char *chain)
{
	return json_object_get(names->hashes, chain) != NULL;
}

bool rule_names_have_comment(const struct rule_names *names, const char *comment)
{
	char id[CRI_ID_LENGTH + 1], head[CNINAME_COMMENT_SIZE];

	memset(head, 0, sizeof(head));
	memcpy(head, comment, strnlen(comment, sizeof(head) - 1));
	if (json_object_get(names->hashes, head))
		return true;
	while ((comment = process_next_cri_id(comment, id)))
		if (json_object_get(names->ids, id))
			return true;
	return false;
}

void rule_names_done(struct rule_names *names)
{
	json_decref(names->ids);
	json_decref(names->hashes);
	*names = (struct rule_names){ 0 };
}
