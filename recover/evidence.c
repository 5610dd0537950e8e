#include "recover/evidence.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <time.h>

#include "recover/archive.h"
#include "recover/evidence_redact.h"
#include "recover/file.h"
#include "recover/stopwatch.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/text.h"
#include "scanners/unitfile.h"

#define PREFIX "evidence-"
#define SUFFIX ".tar.zst"
#define METADATA_DIR "io.containerd.metadata.v1.bolt"
#define SNAPSHOTTER_PREFIX "io.containerd.snapshotter.v1."

enum {
	TEXT_FILE_MAX = 4 << 20, /* of one file of /proc or /etc */
	COPY_BLOCK = 256 * 1024,
	UNFINISHED_SEC = 3600, /* nobody writes on one for so long */
};

struct collector {
	const struct evidence_options *options;
	struct archive_out *out;
	struct text missing;
	struct stopwatch since;
};

static bool out_of_time(const struct collector *c)
{
	return c->options->budget_msec && stopwatch_sec(&c->since) * 1000 >= c->options->budget_msec;
}

/* Whatever went wrong with one thing, the others are still wanted. */
static int note_missing(struct collector *c, const char *name, int error)
{
	cleanup_free char *line = text_print("%s: %s\n", name, strerror(-error));

	return line ? text_add_string(&c->missing, line) : -ENOMEM;
}

static int add_text(struct collector *c, const char *name, const char *text)
{
	if (!text)
		return 0;
	if (out_of_time(c))
		return note_missing(c, name, -ETIME);
	return archive_out_add(c->out, name, text, strlen(text));
}

static int add_json(struct collector *c, const char *name, const json_t *json)
{
	cleanup_text struct text redacted = { 0 };
	cleanup_free char *text = NULL;

	if (!json)
		return 0;
	text = json_dumps(json, JSON_INDENT(1));
	/* Lines of the log are quoted in it. */
	if (!text || redact_urls(text, &redacted) < 0)
		return -ENOMEM;
	return add_text(c, name, redacted.string);
}

/* A small file of /proc or /etc, credentials removed. */
static int add_file(struct collector *c, const char *name, const char *path,
		    int (*redact)(const char *, struct text *))
{
	cleanup_text struct text redacted = { 0 };
	cleanup_free char *text = NULL;
	int r;

	r = out_of_time(c) ? -ETIME : dir_read_path(path, TEXT_FILE_MAX, &text, NULL);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return note_missing(c, name, r);
	r = redact(text, &redacted);
	return r < 0 ? r : add_text(c, name, redacted.string ?: "");
}

static int copy_content(struct collector *c, int fd, uint64_t size)
{
	cleanup_free char *block = malloc(COPY_BLOCK);
	uint64_t done = 0;

	if (!block)
		return -ENOMEM;
	while (done < size && !out_of_time(c)) {
		ssize_t n = pread(fd, block, (size_t)MIN(size - done, (uint64_t)COPY_BLOCK),
				  (off_t)done);
		int r;

		if (n <= 0) /* it shrank, or the disk is bad: libarchive fills up with zeros */
			return n < 0 ? note_missing(c, "a part of a database", -errno) : 0;
		r = archive_out_data(c->out, block, (size_t)n);
		if (r < 0)
			return r;
		done += (uint64_t)n;
	}
	return done < size ? note_missing(c, "a part of a database", -ETIME) : 0;
}

static int add_database(struct collector *c, int dirfd, const char *file, const char *name)
{
	cleanup_fd int fd = -EBADF;
	struct stat st;
	uint64_t size;
	int r;

	fd = openat(dirfd, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return note_missing(c, name, -errno);
	if (!S_ISREG(st.st_mode))
		return note_missing(c, name, -EINVAL);
	size = MIN((uint64_t)st.st_size, c->options->file_bytes_max);
	if (size < (uint64_t)st.st_size && (r = note_missing(c, name, -EFBIG)) < 0)
		return r;
	r = archive_out_begin(c->out, name, size);
	return r < 0 ? r : copy_content(c, fd, size);
}

static int add_database_of(struct collector *c, const char *directory, const char *file)
{
	cleanup_free char *name = text_print("databases/%s-%s", directory, file);
	cleanup_fd int fd = -EBADF;

	if (!name)
		return -ENOMEM;
	fd = dir_open_beneath(c->options->root_fd, directory);
	if (fd < 0)
		return note_missing(c, name, fd);
	return add_database(c, fd, file, name);
}

static int add_databases(struct collector *c)
{
	cleanup_dir DIR *stream = NULL;
	const char *name;
	int r;

	if (c->options->root_fd < 0)
		return 0;
	r = dir_stream(c->options->root_fd, &stream);
	if (r < 0)
		return note_missing(c, "databases", r);
	r = add_database_of(c, METADATA_DIR, "meta.db");
	while (r == 0 && (r = dir_next(stream, &name, NULL)) > 0)
		r = strncmp(name, SNAPSHOTTER_PREFIX, strlen(SNAPSHOTTER_PREFIX)) == 0
			    ? add_database_of(c, name, "metadata.db")
			    : 0;
	return r;
}

/* Its file and the drop-ins: what is set there is why it starts as it does. */
static int add_unit(struct collector *c)
{
	cleanup_unit_file struct unit_file unit = { 0 };
	const char *unit_name = c->options->config->unit;
	int r = unit_name ? unit_file_read("", unit_name, &unit) : 0;

	if (r < 0)
		return r == -ENOMEM ? r : note_missing(c, "config/unit", r);
	for (size_t i = 0; i < unit.files.count && r == 0; i++) {
		cleanup_free char *name = text_print("config%s", unit.files.items[i]);

		r = name ? add_file(c, name, unit.files.items[i], redact_unit) : -ENOMEM;
	}
	return r;
}

static int add_config(struct collector *c)
{
	const struct config *config = c->options->config;
	int r = 0;

	for (size_t i = 0; i < config->file_count && r == 0; i++) {
		cleanup_free char *name = text_print("config%s", config->files[i]);

		r = name ? add_file(c, name, config->files[i], redact_config) : -ENOMEM;
	}
	/* One that is not understood is not among the merged ones. */
	if (r == 0 && config->file_count == 0 && config->config_path)
		r = add_file(c, "config/config.toml", config->config_path, redact_config);
	if (r == 0 && config->problem)
		r = add_text(c, "config/problem.txt", config->problem);
	return r == 0 ? add_unit(c) : r;
}

static int add_system(struct collector *c)
{
	static const char *const files[][2] = {
		{ "system/mountinfo", "/proc/self/mountinfo" }, { "system/fstab", "/etc/fstab" },
		{ "system/meminfo", "/proc/meminfo" },		{ "system/loadavg", "/proc/loadavg" },
		{ "system/locks", "/proc/locks" },		{ "system/io.pressure", "/proc/pressure/io" },
		{ "system/version", "/proc/version" },		{ "system/os-release", "/etc/os-release" },
		{ "system/net-dev", "/proc/net/dev" },
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(files) && r == 0; i++)
		r = add_file(c, files[i][0], files[i][1], redact_lines);
	return r;
}

static int add_journal(struct collector *c)
{
	cleanup_text struct text redacted = { 0 };
	int r;

	if (!c->options->journal)
		return 0;
	r = redact_lines(c->options->journal, &redacted);
	return r < 0 ? r : add_text(c, "journal.txt", redacted.string ?: "");
}

static int add_inventory(struct collector *c)
{
	json_t *json;
	int r;

	if (!c->options->inventory)
		return 0;
	json = inventory_to_json(c->options->inventory);
	if (!json)
		return -ENOMEM;
	r = add_json(c, "inventory.json", json);
	json_decref(json);
	return r;
}

/* The small and telling first: time may end. */
static int collect(struct collector *c)
{
	const struct evidence_options *options = c->options;
	int r;

	if ((r = add_json(c, "facts.json", options->facts)) < 0 ||
	    (r = add_json(c, "decision.json", options->decision)) < 0 ||
	    (r = add_json(c, "manifest.json", options->manifest)) < 0 ||
	    (r = add_journal(c)) < 0 || (r = add_config(c)) < 0 || (r = add_inventory(c)) < 0 ||
	    (r = add_system(c)) < 0 || (r = add_json(c, "scan.json", options->scan)) < 0 ||
	    (r = add_databases(c)) < 0)
		return r;
	if (c->missing.string)
		return archive_out_add(c->out, "missing.txt", c->missing.string, c->missing.length);
	return 0;
}

static int write_to_file(void *data, const void *bytes, size_t size)
{
	return file_write_all(*(int *)data, bytes, size);
}

static int write_archive(int fd, const struct evidence_options *options)
{
	cleanup_archive_out struct archive_out *out = NULL;
	struct collector c = { .options = options };
	int r;

	stopwatch_start(&c.since);
	r = archive_out_open(write_to_file, &fd, true, &out);
	if (r < 0)
		return r;
	c.out = out;
	r = collect(&c);
	text_done(&c.missing);
	if (r < 0)
		return r;
	r = archive_out_close(take_ptr(out));
	return r == 0 && fsync(fd) < 0 ? -errno : r;
}

/* "evidence-20261123T144500Z-<why>.tar.zst" */
static char *make_name(const char *why)
{
	char when[32];
	struct tm tm;
	time_t now = time(NULL);
	char *name;

	if (!gmtime_r(&now, &tm) || strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", &tm) == 0)
		when[0] = '\0';
	name = text_print(PREFIX "%s-%s" SUFFIX, when, why);
	for (char *c = name; c && *c; c++)
		if (!isalnum((unsigned char)*c) && *c != '.' && *c != '-')
			*c = '-';
	return name;
}

static int write_new(int dirfd, const char *name, const struct evidence_options *options)
{
	cleanup_free char *temporary = text_print(".%s", name);
	cleanup_fd int fd = -EBADF;
	int r;

	if (!temporary)
		return -ENOMEM;
	fd = openat(dirfd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = file_commit(dirfd, temporary, name, write_archive(fd, options));
	if (r < 0)
		return r;
	return fsync(dirfd) < 0 ? -errno : 0;
}

int evidence_write(const struct evidence_options *options, char **ret_path)
{
	cleanup_free char *name = make_name(options->why), *path = NULL;
	cleanup_fd int dirfd = -EBADF;
	int r;

	path = name ? text_print("%s/%s", options->directory, name) : NULL;
	if (!path)
		return -ENOMEM;
	dirfd = file_make_dirs(options->directory, 0700);
	if (dirfd < 0)
		return dirfd;
	r = write_new(dirfd, name, options);
	if (r < 0)
		return r;
	/* An old archive that cannot be deleted does not spoil the new one. */
	(void)evidence_prune(options->directory, options->keep, options->max_age_sec);
	if (ret_path)
		*ret_path = take_ptr(path);
	return 0;
}

static bool is_ours(const char *name)
{
	size_t length = strlen(name);

	if (*name == '.') /* left by a run that was killed */
		return strncmp(name + 1, PREFIX, strlen(PREFIX)) == 0;
	return strncmp(name, PREFIX, strlen(PREFIX)) == 0 && length > strlen(SUFFIX) &&
	       strcmp(name + length - strlen(SUFFIX), SUFFIX) == 0;
}

int evidence_exists(const char *directory, const char *why)
{
	cleanup_free char *ending = text_print("-%s" SUFFIX, why);
	cleanup_dir DIR *stream = NULL;
	cleanup_fd int dirfd = dir_open_path(directory);
	const char *name;
	int r;

	if (!ending)
		return -ENOMEM;
	if (dirfd < 0)
		return dirfd == -ENOENT ? 0 : dirfd;
	r = dir_stream(dirfd, &stream);
	while (r >= 0 && (r = dir_next(stream, &name, NULL)) > 0)
		if (*name != '.' && is_ours(name) && strlen(name) > strlen(ending) &&
		    strcmp(name + strlen(name) - strlen(ending), ending) == 0)
			return 1;
	return r;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)b, *(char *const *)a);
}

static bool is_too_old(int dirfd, const char *name, uint64_t max_age_sec)
{
	struct stat st;
	time_t now = time(NULL);

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	return max_age_sec && now > st.st_mtime && (uint64_t)(now - st.st_mtime) > max_age_sec;
}

int evidence_prune(const char *directory, unsigned keep, uint64_t max_age_sec)
{
	cleanup_text_list struct text_list names = { 0 };
	cleanup_dir DIR *stream = NULL;
	cleanup_fd int dirfd = dir_open_path(directory);
	const char *name;
	unsigned kept = 0;
	int r, result = 0;

	if (dirfd < 0)
		return dirfd;
	r = dir_stream(dirfd, &stream);
	while (r >= 0 && (r = dir_next(stream, &name, NULL)) > 0)
		if (is_ours(name) && (r = text_list_add(&names, name)) < 0)
			break;
	if (r < 0)
		return r;
	/* Names begin with the time: the newest first, what a dead run left last. */
	if (names.count > 0)
		qsort(names.items, names.count, sizeof(*names.items), compare_names);
	for (size_t i = 0; i < names.count; i++) {
		bool unfinished = names.items[i][0] == '.';
		bool remove = unfinished ? is_too_old(dirfd, names.items[i], UNFINISHED_SEC)
					 : (keep && kept >= keep) ||
						   is_too_old(dirfd, names.items[i], max_age_sec);

		kept += !remove;
		if (remove && unlinkat(dirfd, names.items[i], 0) < 0 && errno != ENOENT)
			result = result ?: -errno;
	}
	return result;
}
