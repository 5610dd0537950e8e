#include "recover/policy.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <ini.h>
#include <inttypes.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>

#include "recover/pods.h"
#include "recover/purge/purge.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/text.h"

enum { POLICY_FILE_MAX = 1 << 16, DAY = 24 * 3600 };

#define KEY(section, name, member, type, fallback, min, max) \
	{ section, name, type, fallback, min, max, offsetof(struct policy, member) }

const struct policy_key policy_keys[] = {
	KEY("crash-loop", "failures", failures, POLICY_NUMBER, 3, 2, 100),
	KEY("crash-loop", "window", window_sec, POLICY_SECONDS, 600, 10, DAY),
	KEY("crash-loop", "healthy", healthy_sec, POLICY_SECONDS, 60, 1, DAY),
	KEY("bloat", "entries", bloat_entries, POLICY_NUMBER, 200000, 1000, UINT64_MAX),
	KEY("bloat", "probe", probe_msec, POLICY_MSEC, 2000, 10, 60000),
	KEY("crash-loop", "cri_timeout", cri_sec, POLICY_SECONDS, 60, 1, 1800),
	KEY("leftovers", "usec_per_entry", usec_per_entry, POLICY_NUMBER, 100, 1, 1000000),
	KEY("leftovers", "start_percent", start_percent, POLICY_NUMBER, 33, 1, 100),
	KEY("quarantine", "automatic", automatic, POLICY_BOOL, 1, 0, 1),
	KEY("quarantine", "cooldown", cooldown_sec, POLICY_SECONDS, 6 * 3600, 60, 30 * DAY),
	KEY("quarantine", "grace", grace_sec, POLICY_SECONDS, 900, 0, 30 * DAY),
	KEY("quarantine", "min_free_space", min_free_bytes, POLICY_SIZE, 32 << 20, 0, UINT64_MAX),
	KEY("quarantine", "min_free_inodes", min_free_inodes, POLICY_NUMBER, 256, 0, UINT64_MAX),
	KEY("clear", "term_grace", term_grace_msec, POLICY_MSEC, 2000, 0, 60000),
	KEY("clear", "kill_hung", kill_hung, POLICY_BOOL, 1, 0, 1),
	KEY("sweep", "plugin_timeout", plugin_sec, POLICY_SECONDS, 10, 1, 600),
	KEY("sweep", "plugins_at_once", plugins_at_once, POLICY_NUMBER, 4, 1, 64),
	KEY("sweep", "min_age", min_age_sec, POLICY_SECONDS, 300, 0, DAY),
	KEY("purge", "max_rate", max_rate, POLICY_NUMBER, 0, 0, UINT_MAX),
	KEY("purge", "max_workers", max_workers, POLICY_NUMBER, WORKERS_MAX, 1, WORKERS_MAX),
	KEY("purge", "urgent_free_space", urgent_free_space, POLICY_NUMBER, 17, 0, 100),
	KEY("purge", "urgent_free_inodes", urgent_free_inodes, POLICY_NUMBER, 7, 0, 100),
	KEY("salvage", "enabled", salvage, POLICY_BOOL, 1, 0, 1),
	KEY("salvage", "pause_only", salvage_pause_only, POLICY_BOOL, 0, 0, 1),
	KEY("salvage", "budget", salvage_sec, POLICY_SECONDS, 1200, 1, DAY),
	KEY("salvage", "max_rate", salvage_rate, POLICY_SIZE, 256 << 20, 0, UINT64_MAX),
	KEY("salvage", "keep_archive", salvage_keep_archive, POLICY_BOOL, 0, 0, 1),
	KEY("evidence", "enabled", evidence, POLICY_BOOL, 1, 0, 1),
	KEY("evidence", "budget", evidence_sec, POLICY_SECONDS, 30, 1, 3600),
	KEY("evidence", "max_file", evidence_file_max, POLICY_SIZE, 64 << 20, 0, UINT64_MAX),
	KEY("evidence", "keep", evidence_keep, POLICY_NUMBER, 10, 1, 10000),
	KEY("evidence", "max_age", evidence_age_sec, POLICY_SECONDS, 30 * DAY, DAY, 3650 * DAY),
	KEY("keep", "pods", keep_pods, POLICY_PODS, 0, 0, 0),
	KEY("keep", "budget", keep_msec, POLICY_MSEC, 10000, 100, 600000),
	KEY("report", "keep", report_keep, POLICY_NUMBER, 100, 1, 100000),
	KEY("report", "max_age", report_age_sec, POLICY_SECONDS, 365 * DAY, DAY, 3650 * DAY),
	KEY("start", "budget", budget_sec, POLICY_SECONDS, 30, 1, 600),
};
const unsigned policy_key_count = ARRAY_SIZE(policy_keys);

static void set(struct policy *policy, const struct policy_key *key, uint64_t value)
{
	char *member = (char *)policy + key->offset;

	if (key->type == POLICY_PODS)
		*member = '\0';
	else if (key->type == POLICY_BOOL)
		*(bool *)member = value;
	else
		memcpy(member, &value, sizeof(value));
}

void policy_init(struct policy *policy)
{
	*policy = (struct policy){ 0 };
	for (unsigned i = 0; i < policy_key_count; i++)
		set(policy, &policy_keys[i], policy_keys[i].fallback);
}

static const struct unit {
	enum policy_type type;
	const char *suffix;
	uint64_t factor;
} units[] = {
	{ POLICY_NUMBER, "", 1 },
	{ POLICY_SECONDS, "", 1 },    { POLICY_SECONDS, "s", 1 },
	{ POLICY_SECONDS, "min", 60 }, { POLICY_SECONDS, "m", 60 },
	{ POLICY_SECONDS, "h", 3600 }, { POLICY_SECONDS, "d", DAY },
	{ POLICY_MSEC, "ms", 1 },      { POLICY_MSEC, "s", 1000 },
	{ POLICY_SIZE, "", 1 },	       { POLICY_SIZE, "K", 1 << 10 },
	{ POLICY_SIZE, "M", 1 << 20 }, { POLICY_SIZE, "G", 1 << 30 },
};

static int parse_bool(const char *text, uint64_t *ret)
{
	if (strcmp(text, "yes") == 0 || strcmp(text, "true") == 0 || strcmp(text, "on") == 0)
		*ret = 1;
	else if (strcmp(text, "no") == 0 || strcmp(text, "false") == 0 || strcmp(text, "off") == 0)
		*ret = 0;
	else
		return -EINVAL;
	return 0;
}

static int parse_value(const struct policy_key *key, const char *text, uint64_t *ret)
{
	uint64_t number;
	char *end;

	if (key->type == POLICY_BOOL)
		return parse_bool(text, ret);
	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno)
		return -ERANGE;
	while (*end == ' ')
		end++;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (units[i].type != key->type || strcmp(units[i].suffix, end) != 0)
			continue;
		if (__builtin_mul_overflow(number, units[i].factor, &number))
			return -ERANGE;
		if (number < key->min || number > key->max)
			return -ERANGE;
		*ret = number;
		return 0;
	}
	return -EINVAL;
}

static const char *type_hint(enum policy_type type)
{
	switch (type) {
	case POLICY_BOOL:
		return "yes or no";
	case POLICY_NUMBER:
		return "a whole number";
	case POLICY_SECONDS:
		return "a time such as 90s, 15min, 6h or 1d";
	case POLICY_MSEC:
		return "a time such as 500ms or 2s";
	case POLICY_SIZE:
		return "a size such as 64M or 1G";
	case POLICY_PODS:
		return "patterns such as namespace/name-*, with blanks between them";
	}
	return "";
}

static int take_pods(struct policy *policy, const struct policy_key *key, const char *text)
{
	const char *patterns[PODS_MAX];
	char copy[POLICY_LIST];
	size_t size = strlen(text) + 1;

	if (size > sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, size);
	if (pods_split(copy, patterns) < 0)
		return -EINVAL;
	memcpy((char *)policy + key->offset, text, size);
	return 0;
}

struct parse {
	struct policy *policy;
	const char *rest; /* of the text */
	int line;	  /* the one that was read last */
	char *problem;	  /* the first one: inih goes on behind it */
	int problem_line;
	bool no_memory;
};

static int note_problem(struct parse *parse, char *problem)
{
	if (!problem)
		parse->no_memory = true;
	if (parse->problem) {
		free(problem);
	} else {
		parse->problem = problem;
		parse->problem_line = parse->line;
	}
	return 0; /* inih's word for an error */
}

/* inih's fgets(). Without indents, in which it sees a further value of the key above,
 * and which then would be the only one; and without cutting a line in two. */
static char *next_line(char *line, int size, void *data)
{
	struct parse *parse = data;
	size_t length;

	if (!*parse->rest)
		return NULL;
	parse->line++;
	parse->rest += strspn(parse->rest, " \t");
	length = strcspn(parse->rest, "\n");
	if (length >= (size_t)size) {
		(void)note_problem(parse, text_print("the line is too long; give %d bytes at most", size - 1));
		return NULL;
	}
	memcpy(line, parse->rest, length);
	line[length] = '\0';
	parse->rest += length + (parse->rest[length] == '\n');
	return line;
}

/* The unit that the limits of a key are in. */
static const char *limit_unit(enum policy_type type)
{
	switch (type) {
	case POLICY_SECONDS:
		return " s";
	case POLICY_MSEC:
		return " ms";
	case POLICY_SIZE:
		return " bytes";
	default:
		return "";
	}
}

static char *out_of_range(const struct policy_key *key, const char *text)
{
	const char *unit = limit_unit(key->type);

	if (key->max == UINT64_MAX)
		return text_print("[%s] %s = %s is out of range; give at least %" PRIu64 "%s", key->section,
				  key->name, text, key->min, unit);
	return text_print("[%s] %s = %s is out of range; give %" PRIu64 "%s to %" PRIu64 "%s",
			  key->section, key->name, text, key->min, unit, key->max, unit);
}

static int take_value(struct policy *policy, const struct policy_key *key, const char *text)
{
	uint64_t value = 0;
	int r;

	if (key->type == POLICY_PODS)
		return take_pods(policy, key, text);
	r = parse_value(key, text, &value);
	if (r == 0)
		set(policy, key, value);
	return r;
}

static const struct policy_key *find_key(const char *section, const char *name)
{
	for (unsigned i = 0; i < policy_key_count; i++)
		if (strcmp(policy_keys[i].section, section) == 0 && strcmp(policy_keys[i].name, name) == 0)
			return &policy_keys[i];
	return NULL;
}

/* Of a key that there is not, or not there. */
static char *no_key(const char *section, const char *name)
{
	static const char see[] = "see containerd-recover(8) for the keys";
	const char *elsewhere = NULL;
	bool known = false;

	for (unsigned i = 0; i < policy_key_count; i++) {
		known |= strcmp(policy_keys[i].section, section) == 0;
		if (strcmp(policy_keys[i].name, name) == 0)
			elsewhere = policy_keys[i].section;
	}
	if (!known)
		return text_print("there is no section [%s]; %s", section, see);
	if (elsewhere)
		return text_print("[%s] has no key %s, which is one of [%s]", section, name, elsewhere);
	return text_print("[%s] has no key %s; %s", section, name, see);
}

static int on_key(void *data, const char *section, const char *name, const char *text)
{
	const struct policy_key *key = find_key(section, name);
	struct parse *parse = data;
	int r;

	if (!key && !*section)
		return note_problem(parse, text_print("'%s' stands before the first [section]", name));
	if (!key)
		return note_problem(parse, no_key(section, name));
	r = take_value(parse->policy, key, text);
	if (r == 0)
		return 1;
	if (r == -ERANGE)
		return note_problem(parse, out_of_range(key, text));
	return note_problem(parse, text_print("[%s] %s = %s is not understood; give %s", section, name, text,
					      type_hint(key->type)));
}

int policy_parse(const char *text, const char *name, struct policy *policy, char **ret_problem)
{
	struct policy changed = *policy;
	struct parse parse = { .policy = &changed, .rest = text };
	int line = ini_parse_stream(next_line, &parse, on_key, &parse);
	cleanup_free char *problem = parse.problem;

	if (line == 0 && !problem && !parse.no_memory) {
		*policy = changed;
		return 0;
	}
	*ret_problem = NULL;
	if (line < 0 || parse.no_memory)
		return -ENOMEM;
	if (problem && (line == 0 || parse.problem_line <= line))
		*ret_problem = text_print("%s:%d: %s", name, parse.problem_line, problem);
	else
		*ret_problem = text_print("%s:%d: neither a [section] nor a key = value", name, line);
	return *ret_problem ? -EINVAL : -ENOMEM;
}

static const char *read_problem(int error)
{
	switch (error) {
	case -ELOOP:
		return "it is a link, which is not followed; put the file itself there";
	case -EFBIG:
		return "it is too large; 64 KiB are read at most";
	default:
		return strerror(-error);
	}
}

/* @path is what @dirfd is called. */
static int read_file(int dirfd, const char *path, const char *name, struct policy *policy,
		     char **ret_problem)
{
	cleanup_free char *text = NULL, *whole = text_print("%s/%s", path, name);
	size_t size;
	int r = dir_read_file(dirfd, name, POLICY_FILE_MAX, &text, &size);

	if (r == -ENOENT)
		return 0;
	if (!whole)
		return -ENOMEM;
	if (r < 0) {
		*ret_problem = text_print("%s cannot be read: %s", whole, read_problem(r));
		return r;
	}
	if (strlen(text) == size)
		return policy_parse(text, whole, policy, ret_problem);
	/* What a loss of power makes of a file: its keys must not fall back to defaults. */
	*ret_problem = text_print("%s has a NUL byte at %zu: it is damaged; write it anew", whole, strlen(text));
	return -EINVAL;
}

static int is_conf(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return len > 5 && entry->d_name[0] != '.' && strcmp(entry->d_name + len - 5, ".conf") == 0;
}

static int read_dropins(int etc_fd, const char *etc_path, struct policy *policy, char **ret_problem)
{
	static const char name[] = "containerd-recover.conf.d";
	cleanup_fd int fd = openat(etc_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_free char *path = text_print("%s/%s", etc_path, name);
	struct dirent **entries;
	int n, r = 0;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (!path)
		return -ENOMEM;
	if (fd < 0) {
		r = -errno;
		*ret_problem = text_print("%s cannot be read: %s", path, strerror(-r));
		return r;
	}
	n = scandirat(fd, ".", &entries, is_conf, alphasort);
	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		if (r == 0)
			r = read_file(fd, path, entries[i]->d_name, policy, ret_problem);
		free(entries[i]);
	}
	free(entries);
	return r;
}

int policy_read(const char *etc_path, struct policy *ret, char **ret_problem)
{
	cleanup_fd int etc_fd = dir_open_path(etc_path);
	struct policy policy;
	int r;

	policy_init(ret);
	*ret_problem = NULL;
	if (etc_fd < 0)
		return etc_fd;
	policy = *ret;
	r = read_file(etc_fd, etc_path, "containerd-recover.conf", &policy, ret_problem);
	if (r == 0)
		r = read_dropins(etc_fd, etc_path, &policy, ret_problem);
	if (r == 0)
		*ret = policy;
	return r;
}
