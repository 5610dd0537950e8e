#include "recover/report_store.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "recover/file.h"
#include "recover/log.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/text.h"

enum { RECORD_MAX = 64 << 20, ID_LENGTH = 21 };

static const struct {
	const char *prefix, *suffix;
} files[] = {
	{ "", ".json" },	  { "", ".stages" },
	{ "report-", ".json" }, { "salvage-", ".json" },
	{ "repull-", ".txt" },
};

static int read_file(int records_fd, const char *prefix, const char *id, json_t **ret)
{
	cleanup_free char *name = text_print("%s%s.json", prefix, id), *text = NULL;
	size_t size;
	int r = name ? dir_read_file(records_fd, name, RECORD_MAX, &text, &size) : -ENOMEM;

	if (r < 0)
		return r;
	*ret = json_loadb(text, size, 0, NULL);
	return *ret ? 0 : -EBADMSG;
}

json_t *report_read_file(int records_fd, const char *prefix, const char *id)
{
	json_t *json = NULL;

	return read_file(records_fd, prefix, id, &json) < 0 ? NULL : json;
}

json_t *report_read(int records_fd, const char *id)
{
	return report_read_file(records_fd, "report-", id) ?: json_object();
}

void report_note(int records_fd, const char *id, const char *key, json_t *value)
{
	cleanup_free char *name = text_print("report-%s.json", id), *text = NULL;
	json_auto_t *report = NULL;
	int r = read_file(records_fd, "report-", id, &report);

	/* What cannot be read is not written over. */
	if (r == -ENOENT || r == -EBADMSG)
		report = json_object();
	if (report || r == 0)
		r = json_object_set_new(report, key, value) == 0 ? 0 : -ENOMEM;
	else
		json_decref(value);
	if (r == 0)
		text = json_dumps(report, JSON_INDENT(1));
	if (r == 0)
		r = name && text ? file_replace(records_fd, name, text, strlen(text), 0600) : -ENOMEM;
	if (r < 0)
		log_warning("the report of %s will miss its %s: %s", id, key, strerror(-r));
}

/* "20231114T221320Z-1a2b": when was that? */
static bool is_id(const char *id, size_t length, time_t *ret_sec)
{
	struct tm tm = { 0 };
	const char *end;

	if (length != ID_LENGTH || id[length - 5] != '-')
		return false;
	for (size_t i = length - 4; i < length; i++)
		if (!isxdigit((unsigned char)id[i]) || isupper((unsigned char)id[i]))
			return false;
	end = strptime(id, "%Y%m%dT%H%M%SZ", &tm);
	if (end != id + length - 5)
		return false;
	*ret_sec = timegm(&tm);
	return true;
}

/* The id in a name of ours. Returns whether it is one. */
static bool id_of(const char *name, const char **ret_id, time_t *ret_sec)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		size_t before = strlen(files[i].prefix), behind = strlen(files[i].suffix);

		if (length != before + ID_LENGTH + behind ||
		    strncmp(name, files[i].prefix, before) != 0 ||
		    strcmp(name + length - behind, files[i].suffix) != 0)
			continue;
		*ret_id = name + before;
		return is_id(name + before, ID_LENGTH, ret_sec);
	}
	return false;
}

static int list_ids(int records_fd, struct text_list *ids)
{
	cleanup_dir DIR *stream = NULL;
	const char *name, *id;
	time_t sec;
	int r = dir_stream(records_fd, &stream);

	while (r >= 0 && (r = dir_next(stream, &name, NULL)) > 0)
		r = id_of(name, &id, &sec) ? text_list_take(ids, strndup(id, ID_LENGTH)) : 0;
	return r;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)b, *(char *const *)a);
}

static bool is_live(const struct text_list *live, const char *id)
{
	for (size_t i = 0; i < live->count; i++)
		if (strcmp(live->items[i], id) == 0)
			return true;
	return false;
}

static int remove_of(int records_fd, const char *id)
{
	int first_error = 0;

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		cleanup_free char *name = text_print("%s%s%s", files[i].prefix, id, files[i].suffix);
		int r = !name ? -ENOMEM : unlinkat(records_fd, name, 0) < 0 ? -errno : 0;

		if (r < 0 && r != -ENOENT && first_error == 0)
			first_error = r;
	}
	return first_error;
}

int report_prune(int records_fd, const struct text_list *live, uint64_t keep, uint64_t max_age_sec)
{
	cleanup_text_list struct text_list ids = { 0 };
	int first_error = list_ids(records_fd, &ids);
	const char *last = "";
	uint64_t kept = 0;
	time_t now = time(NULL);

	if (first_error < 0 || ids.count == 0)
		return first_error;
	/* The newest first, each in several files. */
	qsort(ids.items, ids.count, sizeof(*ids.items), compare);
	for (size_t i = 0; i < ids.count; i++) {
		const char *id = ids.items[i];
		time_t sec = now;
		int r;

		if (strcmp(id, last) == 0)
			continue;
		last = id;
		(void)is_id(id, ID_LENGTH, &sec); /* it is */
		if (is_live(live, id))
			continue;
		if (kept < keep && (now < sec || (uint64_t)(now - sec) <= max_age_sec)) {
			kept++;
			continue;
		}
		r = remove_of(records_fd, id);
		first_error = first_error ?: r;
	}
	return first_error;
}
