#include "scanners/unitfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "scanners/cleanup.h"
#include "scanners/dir.h"

enum { UNIT_FILE_MAX = 256 * 1024 };

/* In systemd's order of precedence; generators write below /run. */
static const char *const unit_dirs[] = {
	"/etc/systemd/system.control",
	"/run/systemd/system.control",
	"/run/systemd/transient",
	"/run/systemd/generator.early",
	"/etc/systemd/system",
	"/etc/systemd/system.attached",
	"/run/systemd/system",
	"/run/systemd/system.attached",
	"/run/systemd/generator",
	"/usr/local/lib/systemd/system",
	"/usr/lib/systemd/system",
	"/lib/systemd/system",
	"/run/systemd/generator.late",
};

static const char *const manager_dirs[] = {
	"/etc/systemd",
	"/run/systemd",
	"/usr/local/lib/systemd",
	"/usr/lib/systemd",
};

static int add_setting(struct unit_file *unit, const char *section, const char *key,
		       const char *value)
{
	struct unit_setting setting;

	if (unit->count == unit->room) {
		size_t room = unit->room ? unit->room * 2 : 32;
		struct unit_setting *bigger = realloc(unit->settings, room * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		unit->settings = bigger;
		unit->room = room;
	}
	setting = (struct unit_setting){
		.section = strdup(section),
		.key = strdup(key),
		.value = strdup(value),
	};
	unit->settings[unit->count++] = setting;
	return setting.section && setting.key && setting.value ? 0 : -ENOMEM;
}

static char *strip(char *s)
{
	size_t len;

	s += strspn(s, " \t\r");
	len = strlen(s);
	while (len > 0 && strchr(" \t\r", s[len - 1]))
		len--;
	s[len] = '\0';
	return s;
}

static int parse_line(struct unit_file *unit, char *line, struct text *section)
{
	char *equals;
	size_t len;

	line = strip(line);
	len = strlen(line);
	if (line[0] == '[' && len > 1 && line[len - 1] == ']') {
		section->length = 0;
		return text_add(section, line + 1, len - 2);
	}
	equals = strchr(line, '=');
	if (!equals || !section->string)
		return 0; /* systemd warns and goes on */
	*equals = '\0';
	return add_setting(unit, section->string, strip(line), strip(equals + 1));
}

/* Lines joined over a trailing backslash; comment lines between them dropped. */
static int parse_text(struct unit_file *unit, char *text)
{
	cleanup_text struct text section = { 0 }, whole = { 0 };
	char *next;

	for (char *line = text; line; line = next) {
		const char *start;
		size_t len;
		int r;

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		start = line + strspn(line, " \t\r");
		if (*start == '#' || *start == ';')
			continue;
		len = strlen(line);
		if (len > 0 && line[len - 1] == '\\') {
			line[len - 1] = ' ';
			r = text_add(&whole, line, len);
			if (r < 0)
				return r;
			continue;
		}
		r = text_add(&whole, line, len);
		if (r == 0)
			r = parse_line(unit, whole.string, &section);
		if (r < 0)
			return r;
		whole.length = 0;
	}
	/* A file that ends in a continuation has that line all the same. */
	return whole.length > 0 ? parse_line(unit, whole.string, &section) : 0;
}

/*
 * Read the file @path into @unit. Returns 1 if it was there, 0 if it was not,
 * -ENODATA if it masks its name (empty, or a link to /dev/null), or an error.
 */
static int read_file(struct unit_file *unit, const char *prefix, const char *path)
{
	cleanup_free char *full = text_print("%s%s", prefix, path), *text = NULL;
	size_t size;
	int r;

	if (!full)
		return -ENOMEM;
	r = dir_read_path(full, UNIT_FILE_MAX, &text, &size);
	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r == -EINVAL || (r == 0 && size == 0))
		return -ENODATA;
	if (r < 0)
		return r;
	r = parse_text(unit, text);
	if (r < 0)
		return r;
	r = text_list_add(&unit->files, path);
	return r < 0 ? r : 1;
}

struct dropin {
	char *name, *path;
};

struct dropins {
	struct dropin *items;
	size_t count, room;
};

static void dropins_done(struct dropins *dropins)
{
	for (size_t i = 0; i < dropins->count; i++) {
		free(dropins->items[i].name);
		free(dropins->items[i].path);
	}
	free(dropins->items);
}

static int add_dropin(struct dropins *dropins, const char *dir, const char *name)
{
	struct dropin dropin;

	/* The directory of higher precedence came first. */
	for (size_t i = 0; i < dropins->count; i++)
		if (strcmp(dropins->items[i].name, name) == 0)
			return 0;
	if (dropins->count == dropins->room) {
		size_t room = dropins->room ? dropins->room * 2 : 8;
		struct dropin *bigger = realloc(dropins->items, room * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		dropins->items = bigger;
		dropins->room = room;
	}
	dropin = (struct dropin){ .name = strdup(name), .path = text_print("%s/%s", dir, name) };
	dropins->items[dropins->count++] = dropin;
	return dropin.name && dropin.path ? 0 : -ENOMEM;
}

static int list_dropins(struct dropins *dropins, const char *prefix, const char *dir)
{
	cleanup_free char *full = text_print("%s%s", prefix, dir);
	cleanup_dir DIR *stream = NULL;
	cleanup_fd int fd = -EBADF;
	const char *name;
	int r;

	if (!full)
		return -ENOMEM;
	fd = dir_open_path(full);
	if (fd == -ENOENT || fd == -ENOTDIR)
		return 0;
	if (fd < 0)
		return fd;
	r = dir_stream(fd, &stream);
	if (r < 0)
		return r;
	while ((r = dir_next(stream, &name, NULL)) > 0) {
		size_t len = strlen(name);

		if (len <= strlen(".conf") || strcmp(name + len - strlen(".conf"), ".conf") != 0)
			continue;
		r = add_dropin(dropins, dir, name);
		if (r < 0)
			return r;
	}
	return r;
}

/* "<dir>/<name>.d" of every directory of units. */
static int list_dropins_of(struct dropins *dropins, const char *prefix, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(unit_dirs); i++) {
		cleanup_free char *dir = text_print("%s/%s.d", unit_dirs[i], name);
		int r = dir ? list_dropins(dropins, prefix, dir) : -ENOMEM;

		if (r < 0)
			return r;
	}
	return 0;
}

/* Drop-ins of "a-b-c.service" may stand under "a-b-.service.d" and "a-.service.d" too. */
static int list_dropins_of_prefixes(struct dropins *dropins, const char *prefix, const char *name)
{
	const char *suffix = strrchr(name, '.');

	for (const char *dash = suffix; dash > name; dash--) {
		cleanup_free char *shorter = NULL;
		int r;

		if (dash[-1] != '-' || dash == suffix)
			continue;
		shorter = text_print("%.*s%s", (int)(dash - name), name, suffix);
		r = shorter ? list_dropins_of(dropins, prefix, shorter) : -ENOMEM;
		if (r < 0)
			return r;
	}
	return 0;
}

/* "name@.service" of "name@instance.service", NULL if it has no instance. */
static char *template_of(const char *name)
{
	const char *at = strchr(name, '@'), *suffix = strrchr(name, '.');

	if (!at || !suffix || suffix <= at + 1)
		return NULL;
	return text_print("%.*s%s", (int)(at + 1 - name), name, suffix);
}

static int compare_dropins(const void *a, const void *b)
{
	return strcmp(((const struct dropin *)a)->name, ((const struct dropin *)b)->name);
}

static int read_dropins(struct unit_file *unit, const char *prefix, struct dropins *dropins)
{
	if (dropins->count > 0)
		qsort(dropins->items, dropins->count, sizeof(dropins->items[0]), compare_dropins);
	for (size_t i = 0; i < dropins->count; i++) {
		int r = read_file(unit, prefix, dropins->items[i].path);

		if (r < 0 && r != -ENODATA)
			return r;
	}
	return 0;
}

/* The name that the link at @path leads to, if it is another unit's: an alias. */
static int alias_of(const char *prefix, const char *path, char **ret)
{
	cleanup_free char *full = text_print("%s%s", prefix, path), *target = NULL;
	const char *base;
	int r;

	if (!full)
		return -ENOMEM;
	r = dir_read_link(AT_FDCWD, full, &target);
	if (r == -EINVAL)
		return 0; /* no link */
	if (r < 0)
		return r;
	base = strrchr(target, '/');
	*ret = strdup(base ? base + 1 : target);
	return *ret ? 0 : -ENOMEM;
}

static int read_fragment(struct unit_file *unit, const char *prefix, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(unit_dirs); i++) {
		cleanup_free char *path = text_print("%s/%s", unit_dirs[i], name);
		int r = path ? read_file(unit, prefix, path) : -ENOMEM;

		if (r == 0)
			continue;
		if (r < 0 && r != -ENODATA)
			return r;
		unit->masked = r == -ENODATA;
		unit->fragment = take_ptr(path);
		return 0;
	}
	return 0;
}

static int read_unit(struct unit_file *unit, const char *prefix)
{
	__attribute__((cleanup(dropins_done))) struct dropins dropins = { 0 };
	cleanup_free char *alias = NULL, *template = template_of(unit->name);
	const char *names[] = { unit->name, template, NULL };
	int r;

	r = read_fragment(unit, prefix, unit->name);
	if (r == 0 && !unit->fragment && template)
		r = read_fragment(unit, prefix, template);
	if (r == 0 && unit->fragment && !unit->masked)
		r = alias_of(prefix, unit->fragment, &alias);
	if (r < 0)
		return r;
	if (alias && strcmp(alias, unit->name) != 0)
		names[2] = alias;
	for (size_t i = 0; i < ARRAY_SIZE(names) && r == 0; i++)
		if (names[i])
			r = list_dropins_of(&dropins, prefix, names[i]);
	if (r == 0)
		r = list_dropins_of_prefixes(&dropins, prefix, unit->name);
	if (r == 0)
		r = list_dropins_of(&dropins, prefix, strrchr(unit->name, '.') + 1);
	return r < 0 ? r : read_dropins(unit, prefix, &dropins);
}

int unit_file_read(const char *prefix, const char *name, struct unit_file *ret)
{
	cleanup_unit_file struct unit_file unit = { 0 };
	int r;

	if (!*name || *name == '.' || strchr(name, '/'))
		return -EINVAL;
	unit.name = text_print("%s%s", name, strrchr(name, '.') ? "" : ".service");
	if (!unit.name)
		return -ENOMEM;
	r = read_unit(&unit, prefix);
	if (r < 0)
		return r;
	*ret = unit;
	unit = (struct unit_file){ 0 };
	return 0;
}

int unit_manager_read(const char *prefix, struct unit_file *ret)
{
	__attribute__((cleanup(dropins_done))) struct dropins dropins = { 0 };
	cleanup_unit_file struct unit_file unit = { 0 };
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(manager_dirs) && r == 0; i++) {
		cleanup_free char *path = text_print("%s/system.conf", manager_dirs[i]);

		r = path ? read_file(&unit, prefix, path) : -ENOMEM;
	}
	if (r < 0 && r != -ENODATA)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(manager_dirs); i++) {
		cleanup_free char *dir = text_print("%s/system.conf.d", manager_dirs[i]);

		r = dir ? list_dropins(&dropins, prefix, dir) : -ENOMEM;
		if (r < 0)
			return r;
	}
	r = read_dropins(&unit, prefix, &dropins);
	if (r < 0)
		return r;
	*ret = unit;
	unit = (struct unit_file){ 0 };
	return 0;
}

void unit_file_done(struct unit_file *unit)
{
	for (size_t i = 0; i < unit->count; i++) {
		free(unit->settings[i].section);
		free(unit->settings[i].key);
		free(unit->settings[i].value);
	}
	free(unit->settings);
	free(unit->name);
	free(unit->fragment);
	text_list_done(&unit->files);
	*unit = (struct unit_file){ 0 };
}

const char *unit_file_get(const struct unit_file *unit, const char *section, const char *key)
{
	for (size_t i = unit->count; i-- > 0;)
		if (strcmp(unit->settings[i].section, section) == 0 &&
		    strcmp(unit->settings[i].key, key) == 0)
			return unit->settings[i].value;
	return NULL;
}

static double unit_of_time(const char *name, size_t len)
{
	static const struct {
		const char *names;
		double usec;
	} units[] = {
		{ " us usec \xc2\xb5s \xce\xbcs ", 1 },
		{ " ms msec ", 1e3 },
		{ "  s sec second seconds ", 1e6 },
		{ " m min minute minutes ", 60e6 },
		{ " h hr hour hours ", 3600e6 },
		{ " d day days ", 86400e6 },
		{ " w week weeks ", 7 * 86400e6 },
		{ " M month months ", 30.44 * 86400e6 },
		{ " y year years ", 365.25 * 86400e6 },
	};
	char padded[16] = " ";

	if (len == 0)
		return 1e6;
	if (len > sizeof(padded) - 3)
		return 0;
	memcpy(padded + 1, name, len);
	padded[len + 1] = ' ';
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (strstr(units[i].names, padded))
			return units[i].usec;
	return 0;
}

int unit_time_span(const char *text, uint64_t *ret)
{
	double total = 0;

	text += strspn(text, " \t");
	if (strcmp(text, "infinity") == 0) {
		*ret = UINT64_MAX;
		return 0;
	}
	if (!*text)
		return -EINVAL;
	while (*text) {
		double number, usec;
		size_t len;
		char *end;

		if (*text < '0' || *text > '9')
			return -EINVAL;
		number = strtod(text, &end);
		text = end + strspn(end, " \t");
		len = strcspn(text, " \t0123456789");
		usec = unit_of_time(text, len);
		if (usec == 0)
			return -EINVAL;
		total += number * usec;
		text += len;
		text += strspn(text, " \t");
	}
	if (!(total < 1e18))
		return -EINVAL;
	*ret = (uint64_t)total;
	return 0;
}
