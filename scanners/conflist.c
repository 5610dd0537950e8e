#include "scanners/conflist.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "scanners/array.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"

enum { CONFLIST_MAX = 1024 * 1024 };

struct file_names {
	char **items;
	size_t count;
};

static void file_names_done(struct file_names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->items[i]);
	free(names->items);
}
#define cleanup_file_names __attribute__((cleanup(file_names_done)))

static bool is_configuration(const char *name)
{
	static const char *const suffixes[] = { ".conf", ".conflist", ".json" };
	size_t length = strlen(name);

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		size_t suffix = strlen(suffixes[i]);

		if (length > suffix && strcmp(name + length - suffix, suffixes[i]) == 0)
			return true;
	}
	return false;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_files(int fd, struct file_names *names)
{
	cleanup_dir DIR *stream = NULL;
	const char *name;
	int r = dir_stream(fd, &stream);

	if (r < 0)
		return r;
	while ((r = dir_next(stream, &name, NULL)) > 0) {
		char **added;

		if (!is_configuration(name))
			continue;
		added = ARRAY_ADD(names->items, names->count);
		if (!added || !(*added = strdup(name)))
			return -ENOMEM;
	}
	if (names->count)
		qsort(names->items, names->count, sizeof(*names->items), by_name);
	return r;
}

/* A file of a single plugin (.conf) is a list of one. */
static json_t *plugins_of(json_t *json)
{
	json_t *plugins = json_object_get(json, "plugins");

	return json_is_array(plugins) ? json_incref(plugins) : json_pack("[O]", json);
}

static int add_network(int fd, const char *file, struct conflists *conflists)
{
	cleanup_free char *text = NULL;
	json_auto_t *json = NULL;
	struct conflist *added;
	const char *name;
	size_t size;
	int r;

	r = dir_read_file(fd, file, CONFLIST_MAX, &text, &size);
	if (r == -ENOMEM)
		return r;
	if (r == 0)
		json = json_loadb(text, size, 0, NULL);
	name = json_string_value(json_object_get(json, "name"));
	if (!name || !*name) {
		conflists->refused = strdup(file);
		return conflists->refused ? 0 : -ENOMEM;
	}
	added = ARRAY_ADD(conflists->items, conflists->count);
	if (!added)
		return -ENOMEM;
	added->name = strdup(name);
	added->plugins = plugins_of(json);
	return added->name && added->plugins ? 0 : -ENOMEM;
}

int conflists_read(const char *dir, unsigned max, struct conflists *ret)
{
	cleanup_conflists struct conflists conflists = { 0 };
	cleanup_file_names struct file_names files = { 0 };
	cleanup_fd int fd = dir_open_path(dir);
	int r;

	if (fd < 0 && fd != -ENOENT)
		return fd;
	r = fd < 0 ? 0 : list_files(fd, &files);
	if (r < 0)
		return r;
	/* Behind a file that go-cni refuses it loads nothing; the next may be podman's. */
	for (size_t i = 0; i < files.count && !conflists.refused &&
			   (max == 0 || conflists.count < max); i++) {
		r = add_network(fd, files.items[i], &conflists);
		if (r < 0)
			return r;
	}
	*ret = conflists;
	conflists = (struct conflists){ 0 };
	return 0;
}

bool conflists_have(const struct conflists *conflists, const char *network)
{
	for (size_t i = 0; i < conflists->count; i++)
		if (strcmp(conflists->items[i].name, network) == 0)
			return true;
	return false;
}

void conflists_done(struct conflists *conflists)
{
	for (size_t i = 0; i < conflists->count; i++) {
		free(conflists->items[i].name);
		json_decref(conflists->items[i].plugins);
	}
	free(conflists->refused);
	free(conflists->items);
	*conflists = (struct conflists){ 0 };
}
