#include "scanners/process.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "scanners/array.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"

enum {
	STAT_MAX = 4096,
	CGROUP_MAX = 64 * 1024,
	CMDLINE_MAX = 128 * 1024,
	/* Fields of /proc/PID/stat behind the name, counted from the state. */
	FIELD_PARENT = 1,
	FIELD_FLAGS = 6,
	FIELD_START = 19,
};
#define KERNEL_THREAD 0x00200000ULL /* PF_KTHREAD of linux/sched.h */

static int parse_fields(const char *text, struct process_entry *ret, uint64_t *ret_flags)
{
	const char *open = strchr(text, '('), *at = strrchr(text, ')');
	uint64_t fields[FIELD_START + 1];
	size_t length;
	char *end;

	/* The name is the process's own choice and may contain anything. */
	if (!open || !at || at < open || at[1] != ' ' || !at[2])
		return -EINVAL;
	ret->process.pid = (pid_t)strtol(text, NULL, 10);
	length = (size_t)(at - open - 1);
	if (length >= sizeof(ret->name))
		length = sizeof(ret->name) - 1;
	memcpy(ret->name, open + 1, length);
	ret->name[length] = '\0';
	ret->zombie = at[2] == 'Z' || at[2] == 'X';

	at += 3;
	for (int i = FIELD_PARENT; i <= FIELD_START; i++) {
		fields[i] = strtoull(at, &end, 10);
		if (end == at)
			return -EINVAL;
		at = end;
	}
	ret->parent = (pid_t)fields[FIELD_PARENT];
	ret->process.start_ticks = fields[FIELD_START];
	*ret_flags = fields[FIELD_FLAGS];
	return ret->process.pid > 0 ? 0 : -EINVAL;
}

int process_parse_stat(const char *text, struct process_entry *ret)
{
	uint64_t flags;

	return parse_fields(text, ret, &flags);
}

static int read_proc(pid_t pid, const char *name, size_t max, char **ret, size_t *ret_size)
{
	char path[sizeof("/proc/") + 3 * sizeof(pid) + 32];
	int n = snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);

	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	return dir_read_file(AT_FDCWD, path, max, ret, ret_size);
}

static bool is_gone(int r)
{
	return r == -ENOENT || r == -ESRCH;
}

int64_t process_started_sec(const struct process *process)
{
	struct timespec now, since_boot;

	/* Neither these clocks nor this limit can be missing on Linux. */
	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)clock_gettime(CLOCK_BOOTTIME, &since_boot);
	return now.tv_sec - since_boot.tv_sec +
	       (int64_t)(process->start_ticks / (uint64_t)sysconf(_SC_CLK_TCK));
}

int process_read_cgroups(pid_t pid, char **ret)
{
	return read_proc(pid, "cgroup", CGROUP_MAX, ret, NULL);
}

static int namespace_inode(int proc_fd, const char *path, uint64_t *ret)
{
	struct stat st;

	if (fstatat(proc_fd, path, &st, 0) < 0)
		return -errno;
	*ret = st.st_ino;
	return 0;
}

static int add_entry(struct process_table *table, int proc_fd, pid_t pid)
{
	cleanup_free char *text = NULL;
	struct process_entry entry = { 0 }, *added;
	char path[3 * sizeof(pid) + sizeof("/ns/net")];
	uint64_t flags;
	int r;

	r = read_proc(pid, "stat", STAT_MAX, &text, NULL);
	if (r < 0)
		return is_gone(r) ? 0 : r;
	r = parse_fields(text, &entry, &flags);
	if (r < 0 || (flags & KERNEL_THREAD))
		return r;

	r = process_read_cgroups(pid, &entry.cgroups);
	if (r == -ENOMEM)
		return r;
	(void)snprintf(path, sizeof(path), "%d/ns/net", (int)pid);
	(void)namespace_inode(proc_fd, path, &entry.netns); /* 0 says unknown */

	added = ARRAY_ADD(table->items, table->count);
	if (!added) {
		free(entry.cgroups);
		return -ENOMEM;
	}
	*added = entry;
	return 0;
}

static int by_pid(const void *a, const void *b)
{
	const struct process_entry *x = a, *y = b;

	return (x->process.pid > y->process.pid) - (x->process.pid < y->process.pid);
}

int process_table_read(struct process_table *ret)
{
	cleanup_process_table struct process_table table = { 0 };
	cleanup_dir DIR *stream = NULL;
	cleanup_fd int fd = dir_open_path("/proc");
	const char *name;
	int r;

	if (fd < 0)
		return fd;
	r = dir_stream(fd, &stream);
	if (r < 0)
		return r;
	while ((r = dir_next(stream, &name, NULL)) > 0) {
		if (!isdigit((unsigned char)name[0]))
			continue;
		r = add_entry(&table, fd, (pid_t)strtol(name, NULL, 10));
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	if (table.count)
		qsort(table.items, table.count, sizeof(*table.items), by_pid);
	*ret = table;
	table = (struct process_table){ 0 };
	return 0;
}

void process_table_done(struct process_table *table)
{
	for (size_t i = 0; i < table->count; i++)
		free(table->items[i].cgroups);
	free(table->items);
	*table = (struct process_table){ 0 };
}

const struct process_entry *process_find(const struct process_table *table, pid_t pid)
{
	const struct process_entry key = { .process.pid = pid };

	if (table->count == 0)
		return NULL;
	return bsearch(&key, table->items, table->count, sizeof(*table->items), by_pid);
}

int process_is_running(const struct process *process)
{
	cleanup_free char *text = NULL;
	struct process_entry now = { 0 };
	int r;

	if (process->pid <= 0 || process->start_ticks == 0)
		return 0;
	r = read_proc(process->pid, "stat", STAT_MAX, &text, NULL);
	if (r < 0)
		return is_gone(r) ? 0 : r;
	r = process_parse_stat(text, &now);
	if (r < 0)
		return r;
	return now.process.start_ticks == process->start_ticks && !now.zombie;
}

bool process_is_cri_id(const char *id)
{
	return strlen(id) == CRI_ID_LENGTH && strspn(id, "0123456789abcdef") == CRI_ID_LENGTH;
}

const char *process_next_cri_id(const char *text, char id[CRI_ID_LENGTH + 1])
{
	while (*text) {
		size_t word = 0;

		while (isalnum((unsigned char)text[word]))
			word++;
		if (word == CRI_ID_LENGTH && strspn(text, "0123456789abcdef") == CRI_ID_LENGTH) {
			memcpy(id, text, CRI_ID_LENGTH);
			id[CRI_ID_LENGTH] = '\0';
			return text + CRI_ID_LENGTH;
		}
		text += word ? word : 1;
	}
	return NULL;
}

/* @word stands in @text between characters that could not belong to an id. */
static const char *find_word(const char *text, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = text; (at = strstr(at, word)); at++) {
		bool left = at == text || !isalnum((unsigned char)at[-1]);

		if (left && !isalnum((unsigned char)at[length]))
			return at;
	}
	return NULL;
}

/* "system.slice:cri-containerd:ID" is systemd's way to say cri-containerd-ID.scope. */
static int scope_of(const char *cgroup_path, char **ret)
{
	const char *prefix = strchr(cgroup_path, ':'), *name = strrchr(cgroup_path, ':');

	if (!prefix || name == prefix)
		return -EINVAL;
	if (asprintf(ret, "/%.*s-%s.scope", (int)(name - prefix - 1), prefix + 1, name + 1) < 0) {
		*ret = NULL;
		return -ENOMEM;
	}
	return 0;
}

static bool has_path(const char *cgroups, const char *path)
{
	size_t length = strlen(path);

	for (const char *at = cgroups; (at = strstr(at, path)); at++)
		if (at[length] == '/' || at[length] == '\n' || at[length] == '\0')
			return true;
	return false;
}

bool process_cgroups_name(const char *cgroups, const char *id, const char *cgroup_path)
{
	cleanup_free char *scope = NULL;
	const char *last;

	if (!cgroups || !id || !*id)
		return false;
	if (process_is_cri_id(id))
		return find_word(cgroups, id) != NULL;
	if (!cgroup_path)
		return false;
	if (scope_of(cgroup_path, &scope) == 0)
		cgroup_path = scope;
	last = strrchr(cgroup_path, '/');
	if (!last || last == cgroup_path || !find_word(last, id))
		return scope && find_word(scope, id) && has_path(cgroups, scope);
	return has_path(cgroups, cgroup_path);
}

/* Go's flag package: one dash or two, the value behind "=" or as the next word. */
static const char *flag_value(const char *word, const char *next, const char *name, bool *ret_used)
{
	size_t length = strlen(name);

	if (*word != '-')
		return NULL;
	word += word[1] == '-' ? 2 : 1;
	if (strncmp(word, name, length) != 0)
		return NULL;
	if (word[length] == '=')
		return word + length + 1;
	if (word[length] != '\0' || !next)
		return NULL;
	*ret_used = true;
	return next;
}

/* The value behind "@name:" at the start of a line of /proc/PID/status. */
static const char *status_value(const char *status, const char *name)
{
	size_t length = strlen(name);

	for (const char *line = status; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, length) == 0 && line[length] == ':')
			return line + length + 1;
		if (!*line)
			break;
	}
	return NULL;
}

static bool has_signal(const char *mask, int signal)
{
	return mask && (strtoull(mask, NULL, 16) & (1ULL << (signal - 1)));
}

/* "NSpid: 4711 1": the pid in each namespace, the innermost last. */
static bool is_namespace_init(const char *pids)
{
	const char *end = pids ? strchr(pids, '\n') : NULL;

	return end && end - pids > 2 && end[-1] == '1' && isspace((unsigned char)end[-2]);
}

int process_ignores(pid_t pid, int signal)
{
	cleanup_free char *status = NULL;
	int r = read_proc(pid, "status", CGROUP_MAX, &status, NULL);

	if (r < 0)
		return r;
	if (has_signal(status_value(status, "SigIgn"), signal))
		return 1;
	return !has_signal(status_value(status, "SigCgt"), signal) &&
	       is_namespace_init(status_value(status, "NSpid"));
}

static bool is_helper(const char *word)
{
	return strcmp(word, "start") == 0 || strcmp(word, "delete") == 0;
}

int process_parse_shim(const char *text, size_t size, struct shim_args *ret)
{
	struct shim_args args = { 0 };
	const char *end = text + size;
	const char *word = text + strlen(text) + 1; /* behind argv[0] */

	while (word < end) {
		const char *next = word + strlen(word) + 1;
		const char *following = next < end ? next : NULL;
		bool used = false;
		const char *value;

		if (is_helper(word))
			return -EINVAL;
		if ((value = flag_value(word, following, "namespace", &used)))
			args.ns = value;
		else if ((value = flag_value(word, following, "id", &used)))
			args.id = value;
		else if ((value = flag_value(word, following, "address", &used)))
			args.address = value;
		word = used && following ? following + strlen(following) + 1 : next;
	}
	if (!args.ns || !args.id || !args.address)
		return -EINVAL;
	*ret = args;
	return 0;
}

int process_read_cmdline(pid_t pid, char **ret, size_t *ret_size)
{
	char path[sizeof("/proc/") + 3 * sizeof(pid) + sizeof("/ns/pid")];
	uint64_t ours = 0, theirs = 0;
	int r;

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)pid);
	r = namespace_inode(AT_FDCWD, path, &theirs);
	if (r < 0)
		return r;
	r = namespace_inode(AT_FDCWD, "/proc/self/ns/pid", &ours);
	if (r < 0)
		return r;
	if (ours != theirs)
		return -EXDEV;
	return read_proc(pid, "cmdline", CMDLINE_MAX, ret, ret_size);
}

pid_t process_listening(const char *address)
{
	static const char scheme[] = "unix://";
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct ucred peer = { 0 };
	socklen_t size = sizeof(peer);

	if (strncmp(address, scheme, strlen(scheme)) == 0)
		address += strlen(scheme);
	if (fd < 0 || strlen(address) >= sizeof(name.sun_path))
		return 0;
	memcpy(name.sun_path, address, strlen(address));
	if (connect(fd, (const struct sockaddr *)&name, sizeof(name)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return 0;
	return peer.pid;
}
