#include "scanners/config_foreign.h"

#include <string.h>

#include "scanners/cleanup.h"

#define SNAPSHOTTER_PREFIX "io.containerd.snapshotter.v1."

/* Those that keep all they have below the root, as plain files and directories. */
static const char *const plain_snapshotters[] = { "overlayfs", "native" };

static bool is_plain(const char *snapshotter)
{
	for (size_t i = 0; i < ARRAY_SIZE(plain_snapshotters); i++)
		if (strcmp(plain_snapshotters[i], snapshotter) == 0)
			return true;
	return false;
}

static const char *string_at(const struct toml_value *table, const char *key)
{
	const struct toml_value *value = toml_get(table, key);

	return value && value->type == TOML_STRING && *value->string ? value->string : NULL;
}

/* [proxy_plugins.x]: differs and sandbox controllers keep no data. */
static int add_proxies(const struct toml_value *document, struct text_list *ret)
{
	const struct toml_value *proxies = toml_get(document, "proxy_plugins");
	int r = 0;

	for (const struct toml_value *i = proxies ? proxies->first : NULL; i && r == 0; i = i->next) {
		const char *type = string_at(i, "type");

		if (type && strstr(type, "snapshot"))
			r = text_list_take(ret, text_print("proxy snapshotter %s", i->key));
		else if (type && strstr(type, "content"))
			r = text_list_take(ret, text_print("proxy content %s", i->key));
	}
	return r;
}

/* The name of the snapshotter whose section @id is, NULL if it is no snapshotter's. */
static const char *snapshotter_of(const char *id)
{
	static const char *const short_ids[] = { "overlayfs", "native", "btrfs", "zfs",
						 "devmapper", "aufs",	"stargz" };

	if (strncmp(id, SNAPSHOTTER_PREFIX, strlen(SNAPSHOTTER_PREFIX)) == 0)
		return id + strlen(SNAPSHOTTER_PREFIX);
	for (size_t i = 0; i < ARRAY_SIZE(short_ids); i++)
		if (strcmp(short_ids[i], id) == 0)
			return id;
	return NULL;
}

static int add_snapshotter_sections(const struct toml_value *document, struct text_list *ret)
{
	const struct toml_value *plugins = toml_get(document, "plugins");
	int r = 0;

	for (const struct toml_value *i = plugins ? plugins->first : NULL; i && r == 0; i = i->next) {
		const char *name = snapshotter_of(i->key);
		const char *root_path = string_at(i, "root_path");
		const char *pool = string_at(i, "pool_name");

		if (!name)
			continue;
		if (root_path)
			r = text_list_take(ret, text_print("%s root_path %s", name, root_path));
		else if (pool)
			r = text_list_take(ret, text_print("%s pool %s", name, pool));
	}
	return r;
}

static int add_runtime_snapshotters(const struct toml_value *section, struct text_list *ret)
{
	const struct toml_value *runtimes = toml_get(toml_get(section, "containerd"), "runtimes");
	const struct toml_value *platforms = toml_get(section, "runtime_platforms");
	const struct toml_value *maps[] = { runtimes, platforms };
	int r = 0;

	for (size_t m = 0; m < ARRAY_SIZE(maps); m++)
		for (const struct toml_value *i = maps[m] && maps[m]->type == TOML_TABLE ?
							  maps[m]->first : NULL;
		     i && r == 0; i = i->next) {
			const char *name = string_at(i, "snapshotter");

			if (name && !is_plain(name))
				r = text_list_take(ret, text_print("snapshotter %s of runtime %s",
								   name, i->key));
		}
	return r;
}

/* Where others live too: a root here was set by mistake, or says that all is one disk. */
static bool is_system_directory(const char *path, size_t len)
{
	static const char *const shared[] = { "/",     "/var",	"/var/lib", "/usr",  "/etc", "/home",
					      "/root", "/opt",	"/run",	    "/srv",  "/mnt", "/media",
					      "/boot", "/dev",	"/proc",    "/sys",  "/tmp", "/lib",
					      "/bin",  "/sbin", "/lib64",   "/var/lib/kubelet" };

	for (size_t i = 0; i < ARRAY_SIZE(shared); i++)
		if (strlen(shared[i]) == len && strncmp(shared[i], path, len) == 0)
			return true;
	return false;
}

static size_t length_without_slashes(const char *path)
{
	size_t len = strlen(path);

	while (len > 1 && path[len - 1] == '/')
		len--;
	return len;
}

static bool is_below(const char *path, const char *top)
{
	size_t len = length_without_slashes(top);

	return strncmp(path, top, len) == 0 && path[len] == '/' && path[len + strspn(path + len, "/")];
}

static int add_paths(const struct config *config, struct text_list *ret)
{
	int r = 0;

	if (is_system_directory(config->root, length_without_slashes(config->root)))
		r = text_list_take(ret, text_print("root is %s", config->root));
	if (r == 0 && is_below(config->state, config->root))
		r = text_list_take(ret, text_print("state %s is below root %s", config->state,
						   config->root));
	if (r == 0 && is_below(config->root, config->state))
		r = text_list_take(ret, text_print("root %s is below state %s", config->root,
						   config->state));
	return r;
}

int config_foreign(const struct config_files *files, const struct config *config,
		   struct text_list *ret)
{
	static const char *const cri_ids[] = { "io.containerd.cri.v1.runtime",
					       "io.containerd.cri.v1.images",
					       "io.containerd.grpc.v1.cri", "cri" };
	int r = 0;

	if (!is_plain(config->snapshotter))
		r = text_list_take(ret, text_print("snapshotter %s", config->snapshotter));
	for (size_t i = 0; i < files->count && r == 0; i++) {
		const struct toml_value *document = toml_document(files->docs[i]);
		const struct toml_value *plugins = toml_get(document, "plugins");

		r = add_proxies(document, ret);
		if (r == 0)
			r = add_snapshotter_sections(document, ret);
		for (size_t k = 0; k < ARRAY_SIZE(cri_ids) && r == 0; k++)
			r = add_runtime_snapshotters(toml_get(plugins, cri_ids[k]), ret);
	}
	return r < 0 ? r : add_paths(config, ret);
}
