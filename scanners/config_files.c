#include "scanners/config_files.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/dir.h"

enum {
	CONFIG_FILE_MAX = 1024 * 1024,
	NEWEST_VERSION = 4, /* containerd 2.3 */
	MERGED_SINCE = 3,
};

static int problem(int error, char *text, char **ret_problem)
{
	if (!text)
		return -ENOMEM;
	*ret_problem = text;
	return error;
}

static bool is_loaded(const struct config_files *files, const char *path)
{
	for (size_t i = 0; i < files->paths.count; i++)
		if (strcmp(files->paths.items[i], path) == 0)
			return true;
	return false;
}

static int parse(const char *path, const char *text, size_t size, struct toml **ret,
		 char **ret_problem)
{
	struct toml_error error;
	int r = toml_parse(text, size, ret, &error);

	if (r == -EINVAL || r == -E2BIG)
		return problem(r, text_print("%s:%u: %s", path, error.line, error.reason),
			       ret_problem);
	return r;
}

static int read_text(const char *prefix, const char *path, char **ret, size_t *ret_size,
		     char **ret_problem)
{
	cleanup_free char *full = text_print("%s%s", prefix, path);
	int r = full ? dir_read_path(full, CONFIG_FILE_MAX, ret, ret_size) : -ENOMEM;

	if (r == 0 || r == -ENOMEM)
		return r;
	if (r == -EISDIR || r == -ENOTDIR || r == -ELOOP)
		r = -EINVAL; /* containerd cannot read it either */
	return problem(r, text_print("%s: %s", path, strerror(-r)), ret_problem);
}

/* The first file sets the ceiling for what it imports. */
static int take_version(struct config_files *files, const char *path, const struct toml *toml,
			int main_version, char **ret_problem)
{
	const struct toml_value *version = toml_get(toml_document(toml), "version");

	if (!version)
		return 0;
	if (version->type != TOML_INTEGER)
		return problem(-EINVAL, text_print("%s:%u: version is no integer", path, version->line),
			       ret_problem);
	if (version->integer < 0 || version->integer > NEWEST_VERSION)
		return problem(-EINVAL,
			       text_print("%s:%u: version %lld is not supported", path,
					  version->line, (long long)version->integer),
			       ret_problem);
	if (main_version > 0 && version->integer > main_version)
		return problem(-EINVAL,
			       text_print("%s:%u: version %lld is higher than the main file's",
					  path, version->line, (long long)version->integer),
			       ret_problem);
	if (version->integer > 0)
		files->version = (int)version->integer;
	return 0;
}

static int load_one(struct config_files *files, const char *prefix, const char *path,
		    int main_version, char **ret_problem)
{
	cleanup_free char *text = NULL;
	struct toml *toml = NULL;
	size_t size;
	int r;

	if (files->count == CONFIG_FILES_MAX)
		return problem(-E2BIG, text_print("%s: too many imports", path), ret_problem);
	r = read_text(prefix, path, &text, &size, ret_problem);
	if (r == 0)
		r = parse(path, text, size, &toml, ret_problem);
	if (r < 0)
		return r;
	files->docs[files->count++] = toml;
	r = text_list_add(&files->paths, path);
	if (r < 0)
		return r;
	return take_version(files, path, toml, main_version, ret_problem);
}

/* As Go's filepath.Clean: no "//", no "." and, where it can be told, no "..". */
static void clean_path(char *path)
{
	char *out = path;

	for (const char *at = path; *at;) {
		size_t len;

		at += strspn(at, "/");
		len = strcspn(at, "/");
		if (len == 2 && memcmp(at, "..", 2) == 0) {
			while (out > path && *--out != '/')
				;
		} else if (len > 0 && !(len == 1 && *at == '.')) {
			*out++ = '/';
			memmove(out, at, len);
			out += len;
		}
		at += len;
	}
	if (out == path)
		*out++ = '/';
	*out = '\0';
}

static int add_matches(const char *prefix, const char *pattern, struct text_list *pending)
{
	cleanup_free char *full = text_print("%s%s", prefix, pattern);
	glob_t found = { 0 };
	int r;

	if (!full)
		return -ENOMEM;
	r = glob(full, 0, NULL, &found) == GLOB_NOSPACE ? -ENOMEM : 0;
	for (size_t i = 0; i < found.gl_pathc && r == 0; i++)
		r = text_list_add(pending, found.gl_pathv[i] + strlen(prefix));
	globfree(&found);
	return r;
}

static int add_import(const char *prefix, const char *parent, const char *import,
		      struct text_list *pending)
{
	cleanup_free char *path = NULL;

	if (import[0] == '/')
		path = strdup(import);
	else
		path = text_print("%.*s/%s", (int)(strrchr(parent, '/') - parent), parent, import);
	if (!path)
		return -ENOMEM;
	clean_path(path);
	if (strchr(path, '*'))
		return add_matches(prefix, path, pending);
	return text_list_take(pending, take_ptr(path));
}

static int add_imports(const char *prefix, const char *parent, const struct toml *toml,
		       struct text_list *pending, char **ret_problem)
{
	const struct toml_value *imports = toml_get(toml_document(toml), "imports");
	int r = 0;

	if (!imports)
		return 0;
	if (imports->type != TOML_ARRAY)
		return problem(-EINVAL,
			       text_print("%s:%u: imports is no array", parent, imports->line),
			       ret_problem);
	for (const struct toml_value *i = imports->first; i && r == 0; i = i->next) {
		if (i->type != TOML_STRING)
			return problem(-EINVAL,
				       text_print("%s:%u: imports has something that is no string",
						  parent, i->line),
				       ret_problem);
		r = add_import(prefix, parent, i->string, pending);
	}
	return r;
}

int config_files_load(struct config_files *files, const char *prefix, const char *path,
		      char **ret_problem)
{
	cleanup_text_list struct text_list pending = { 0 };
	int main_version = 0;
	int r = text_list_add(&pending, path);

	for (size_t i = 0; i < pending.count && r == 0; i++) {
		const char *next = pending.items[i];

		if (is_loaded(files, next))
			continue;
		r = load_one(files, prefix, next, main_version, ret_problem);
		if (r == -ENOENT && i > 0)
			r = -EINVAL; /* a missing import is fatal */
		if (r < 0)
			return r;
		if (main_version == 0)
			main_version = files->version;
		r = add_imports(prefix, next, files->docs[files->count - 1], &pending,
				ret_problem);
	}
	return r;
}

void config_files_done(struct config_files *files)
{
	for (size_t i = 0; i < files->count; i++)
		toml_free(files->docs[i]);
	files->count = 0;
	text_list_done(&files->paths);
}

static const struct toml_value *walk(const struct toml_value *table, const char *path)
{
	char key[64];

	while (table && *path) {
		size_t len = strcspn(path, ".");

		if (len >= sizeof(key))
			return NULL;
		memcpy(key, path, len);
		key[len] = '\0';
		table = toml_get(table, key);
		path += len + (path[len] == '.');
	}
	return table;
}

static bool is_set(const struct toml_value *value)
{
	return value && !(value->type == TOML_STRING && !*value->string);
}

static const struct toml_value *last_set(const struct config_files *files, const char *path)
{
	for (size_t i = files->count; i-- > 0;) {
		const struct toml_value *value = walk(toml_document(files->docs[i]), path);

		if (is_set(value))
			return value;
	}
	return NULL;
}

const struct toml_value *config_files_plugin(const struct config_files *files,
					     const char *const *ids, const char *path)
{
	for (size_t i = files->count; i-- > 0;) {
		const struct toml_value *plugins = toml_get(toml_document(files->docs[i]), "plugins");
		bool seen = false;

		for (const char *const *id = ids; *id; id++) {
			const struct toml_value *section = toml_get(plugins, *id);
			const struct toml_value *value = walk(section, path);

			if (is_set(value))
				return value;
			seen |= section != NULL;
		}
		if (seen && files->version < MERGED_SINCE)
			return NULL;
	}
	return NULL;
}

const char *config_files_string(const struct config_files *files, const char *path,
				const char *fallback)
{
	const struct toml_value *value = last_set(files, path);

	return value && value->type == TOML_STRING ? value->string : fallback;
}

static bool array_has(const struct toml_value *array, const char *name)
{
	if (!array || array->type != TOML_ARRAY)
		return false;
	for (const struct toml_value *i = array->first; i; i = i->next)
		if (i->type == TOML_STRING && strcmp(i->string, name) == 0)
			return true;
	return false;
}

bool config_files_lists(const struct config_files *files, const char *key, const char *name)
{
	for (size_t i = 0; i < files->count; i++)
		if (array_has(toml_get(toml_document(files->docs[i]), key), name))
			return true;
	return false;
}
