#include "scanners/unitenv.h"

#include <ctype.h>
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/unitexec.h"

enum { ENVIRONMENT_FILE_MAX = 256 * 1024 };

/* A word whose specifiers only PID 1 can expand: its variable's value is not known. */
static int add_unknown(struct text_list *unknown, const char *word)
{
	return text_list_take(unknown, strndup(word, strcspn(word, "=")));
}

/* Every word of @value into @list, specifiers expanded, or its name into @unknown. */
static int add_words(struct text_list *list, struct text_list *unknown, const char *value,
		     const char *unit_name)
{
	cleanup_free char *word = NULL;
	int r;

	while ((r = unit_next_word(&value, true, &word)) > 0) {
		char *expanded = NULL;

		r = unit_expand_specifiers(word, unit_name, &expanded);
		if (r == 0)
			r = text_list_take(list, expanded);
		else if (r == -ENOTSUP)
			r = add_unknown(unknown, word);
		if (r < 0)
			return r;
		free(take_ptr(word));
	}
	return r == -EINVAL ? 0 : r; /* systemd warns and ignores the rest of the line */
}

/* One value of an environment file: quoted parts, escapes, continued lines. */
static int scan_value(const char **at, struct text *out)
{
	const char *s = *at;
	size_t kept = out->length; /* blanks behind this are trailing ones */
	char quote = 0;
	int r = 0;

	for (; *s && (quote || *s != '\n') && r == 0; s++) {
		if (quote ? *s == quote : *s == '\'' || *s == '"') {
			quote = quote ? 0 : *s;
			kept = out->length;
			continue;
		}
		if (*s == '\\' && quote != '\'') {
			if (s[1] == '\0')
				break;
			if (*++s == '\n')
				continue;
			if (quote && !strchr("\"\\`$", *s))
				r = text_add(out, "\\", 1);
			if (r == 0)
				r = text_add(out, s, 1);
			kept = out->length;
			continue;
		}
		r = text_add(out, s, 1);
		if (quote || (*s != ' ' && *s != '\t' && *s != '\r'))
			kept = out->length;
	}
	if (out->string)
		out->string[out->length = kept] = '\0';
	*at = s;
	return r;
}

static int parse_environment_file(struct text_list *list, const char *s)
{
	while (*s) {
		cleanup_text struct text assignment = { 0 };
		const char *end;
		int r;

		s += strspn(s, " \t\r\n");
		end = s + strcspn(s, "=\n");
		if (*s == '#' || *s == ';' || *end != '=') {
			s += strcspn(s, "\n");
			continue;
		}
		r = text_add(&assignment, s, (size_t)(end - s));
		if (r < 0)
			return r;
		while (assignment.length > 0 && isblank(assignment.string[assignment.length - 1]))
			assignment.length--;
		r = text_add(&assignment, "=", 1);
		s = end + 1;
		s += strspn(s, " \t");
		if (r == 0)
			r = scan_value(&s, &assignment);
		if (r == 0)
			r = text_list_take(list, text_take(&assignment));
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_environment_file(struct text_list *list, const char *path)
{
	cleanup_free char *text = NULL;
	int r = dir_read_path(path, ENVIRONMENT_FILE_MAX, &text, NULL);

	return r < 0 ? r : parse_environment_file(list, text);
}

/* One EnvironmentFile=: "-" in front allows it to be missing; it may be a pattern. */
static int add_environment_files(struct text_list *list, const char *prefix, const char *path)
{
	bool optional = *path == '-';
	cleanup_free char *full = text_print("%s%s", prefix, path + optional);
	glob_t found = { 0 };
	int r;

	if (!full)
		return -ENOMEM;
	r = glob(full, 0, NULL, &found);
	if (r == GLOB_NOSPACE)
		return -ENOMEM;
	r = r == 0 || optional ? 0 : -ENOTSUP;
	for (size_t i = 0; i < found.gl_pathc && r == 0; i++) {
		r = read_environment_file(list, found.gl_pathv[i]);
		if (r < 0 && r != -ENOMEM)
			r = optional ? 0 : -ENOTSUP;
	}
	globfree(&found);
	return r;
}

/* All values of a list-like @key in [Service]; an empty one resets. */
static int collect(const struct unit_file *unit, const char *key, struct text_list *ret,
		   struct text_list *unknown)
{
	for (size_t i = 0; i < unit->count; i++) {
		const struct unit_setting *setting = &unit->settings[i];
		int r = 0;

		if (strcmp(setting->section, "Service") != 0 || strcmp(setting->key, key) != 0)
			continue;
		if (!*setting->value)
			text_list_clear(ret);
		else
			r = add_words(ret, unknown, setting->value, unit->name);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool names(const char *assignment, const char *name, size_t size)
{
	return strncmp(assignment, name, size) == 0 && assignment[size] == '=';
}

static void unset(struct text_list *list, const char *what)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->items[i], what) == 0 ||
		    names(list->items[i], what, strlen(what)))
			free(list->items[i]);
		else
			list->items[kept++] = list->items[i];
	}
	list->count = kept;
}

int unit_env_read(const char *prefix, const struct unit_file *unit,
		  const struct unit_file *manager, struct unit_env *ret)
{
	cleanup_unit_env struct unit_env env = { 0 };
	cleanup_text_list struct text_list files = { 0 }, gone = { 0 }, unreadable = { 0 };
	const char *defaults = unit_file_get(manager, "Manager", "DefaultEnvironment");
	int r = 0;

	if (defaults)
		r = add_words(&env.assignments, &env.unknown, defaults, unit->name);
	if (r == 0)
		r = collect(unit, "PassEnvironment", &env.unknown, &env.unknown);
	if (r == 0)
		r = collect(unit, "Environment", &env.assignments, &env.unknown);
	if (r == 0)
		r = collect(unit, "EnvironmentFile", &files, &unreadable);
	if (r == 0 && unreadable.count > 0)
		r = -ENOTSUP;
	for (size_t i = 0; i < files.count && r == 0; i++)
		r = add_environment_files(&env.assignments, prefix, files.items[i]);
	if (r == 0)
		r = collect(unit, "UnsetEnvironment", &gone, &env.unknown);
	if (r < 0)
		return r;
	for (size_t i = 0; i < gone.count; i++)
		unset(&env.assignments, gone.items[i]);
	*ret = env;
	env = (struct unit_env){ 0 };
	return 0;
}

void unit_env_done(struct unit_env *env)
{
	text_list_done(&env->assignments);
	text_list_done(&env->unknown);
}

int unit_env_get(const struct unit_env *env, const char *name, size_t size, const char **ret)
{
	for (size_t i = 0; i < env->unknown.count; i++)
		if (strlen(env->unknown.items[i]) == size &&
		    memcmp(env->unknown.items[i], name, size) == 0)
			return -ENOTSUP;
	for (size_t i = env->assignments.count; i-- > 0;)
		if (names(env->assignments.items[i], name, size)) {
			*ret = env->assignments.items[i] + size + 1;
			return 0;
		}
	*ret = "";
	return 0;
}
