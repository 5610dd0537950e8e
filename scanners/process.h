/*
 * Processes as /proc shows them, in one pass. A pid alone may be another's by
 * the time something is done with it: struct process adds the start time, which
 * is what recover/kill.c compares before it signals.
 */
#ifndef SCANNERS_PROCESS_H
#define SCANNERS_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A process as judged. */
struct process {
	pid_t pid;
	uint64_t start_ticks; /* field 22 of /proc/PID/stat; 0: not running */
};

struct process_entry {
	struct process process;
	pid_t parent;
	char name[16];	/* comm: cut to 15 characters by the kernel */
	bool zombie;
	char *cgroups;	/* /proc/PID/cgroup, NULL if it could not be read */
	uint64_t netns; /* inode of its network namespace, 0 if unknown */
};

struct process_table {
	struct process_entry *items; /* ascending by pid; no kernel threads */
	size_t count;
};

/* Returns 0 with @ret to end with process_table_done(), or a negative errno. */
int process_table_read(struct process_table *ret);

void process_table_done(struct process_table *table);
#define cleanup_process_table __attribute__((cleanup(process_table_done)))

/* The entry of @pid, or NULL. */
const struct process_entry *process_find(const struct process_table *table, pid_t pid);

/* /proc/PID/stat as text into @ret. Returns 0 or -EINVAL. */
int process_parse_stat(const char *text, struct process_entry *ret);

/* Is @process still the one judged, and not a zombie? Returns 1, 0, or a negative errno. */
int process_is_running(const struct process *process);

/* Unix time at which @process started, by the clock as it is set now. */
int64_t process_started_sec(const struct process *process);

/* /proc/PID/cgroup. Returns 0 with @ret the caller's, to free(), or a negative errno. */
int process_read_cgroups(pid_t pid, char **ret);

/*
 * Does the text of a /proc/PID/cgroup put its process into the container @id?
 * Containers of CRI have random ids of 64 hex digits: one path component must
 * contain the id as a word, which holds for every driver and cgroup version
 * ("…/cri-containerd-<id>.scope", "/kubepods/…/<id>", "/<slice>/<id>"). Other
 * ids must be the last component of @cgroup_path (cgroupsPath of config.json),
 * which itself must be in the text.
 */
bool process_cgroups_name(const char *cgroups, const char *id, const char *cgroup_path);

/*
 * The next id of CRI's form (64 hex digits as a word) at or behind @text: NULL,
 * or where to go on from, with the id copied.
 */
enum { CRI_ID_LENGTH = 64 };
const char *process_next_cri_id(const char *text, char id[CRI_ID_LENGTH + 1]);

/* Is @id of CRI's form? */
bool process_is_cri_id(const char *id);

/*
 * Would @signal do nothing to @pid? Ignored, or not handled by the first process
 * of a pid namespace, which the kernel then spares. Returns 1, 0, or a negative
 * errno.
 */
int process_ignores(pid_t pid, int signal);

/* The flags of a shim's command line that say whose it is; pointers into the text. */
struct shim_args {
	const char *ns;
	const char *id;
	const char *address; /* containerd's socket, as its config.toml has it */
};

/*
 * @size bytes of /proc/PID/cmdline, a NUL behind them, into @ret. Returns 0, or
 * -EINVAL for what is not a shim at work (`start` and `delete` are its helpers).
 */
int process_parse_shim(const char *text, size_t size, struct shim_args *ret);

/*
 * The command line of @pid if its pid namespace is ours: a container may hold a
 * whole node, with shims whose command lines equal ours.
 *
 * Returns 0 with @ret the caller's, to free(), -EXDEV for a process of another
 * pid namespace, or another negative errno.
 */
int process_read_cmdline(pid_t pid, char **ret, size_t *ret_size);

/*
 * The process that listens on the unix socket @address, with or without
 * "unix://", as the kernel saw it when it began to; 0 if nobody does. It is not
 * spoken to.
 */
pid_t process_listening(const char *address);

#endif
