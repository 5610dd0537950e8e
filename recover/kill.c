#include "recover/kill.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "recover/cgroup.h"
#include "recover/log.h"
#include "scanners/array.h"
#include "scanners/bundle.h"
#include "scanners/cleanup.h"
#include "scanners/clock.h"
#include "scanners/dir.h"

enum {
	END_MSEC = 1000, /* for SIGKILL to take effect, once per round */
	ROUNDS = 3,	 /* a container that forks while it is killed shows up again */
};

struct target {
	struct process process;
	int pidfd;
	const char *id; /* container, of CRI's form; NULL if known by other means */
	bool first;	/* the first process of a container: gets SIGTERM */
	bool done;
};

struct targets {
	struct target *items;
	size_t count;
};

/* Whose processes are looked for, by container id. */
struct wanted {
	const struct inventory *lost;
	json_t *by_id; /* CRI ids to the container's number */
	struct wanted_container {
		const char *id;
		bool seen; /* a process of it was found */
	} *containers;
	size_t count;
};

static void targets_done(struct targets *targets)
{
	for (size_t i = 0; i < targets->count; i++)
		cleanup_close(&targets->items[i].pidfd);
	free(targets->items);
	*targets = (struct targets){ 0 };
}
#define cleanup_targets __attribute__((cleanup(targets_done)))

static void wanted_done(struct wanted *wanted)
{
	json_decref(wanted->by_id);
	free(wanted->containers);
}
#define cleanup_wanted __attribute__((cleanup(wanted_done)))

/*
 * The pidfd keeps the pid from being reused, so the look behind it holds until
 * it is closed. Returns 0, also if the process is gone or another, or a
 * negative errno.
 */
static int add_target(struct targets *targets, const struct process *process, const char *id,
		      bool first)
{
	cleanup_fd int fd = pidfd_open(process->pid, 0);
	struct target *target;
	int r;

	if (fd < 0)
		return errno == ESRCH ? 0 : -errno;
	r = process_is_running(process);
	if (r <= 0)
		return r;
	target = ARRAY_ADD(targets->items, targets->count);
	if (!target)
		return -ENOMEM;
	target->process = *process;
	target->pidfd = take_fd(&fd);
	target->id = id;
	target->first = first;
	return 0;
}

static int signal_target(const struct target *target, int signal)
{
	if (pidfd_send_signal(target->pidfd, signal, NULL, 0) < 0)
		return errno == ESRCH ? 0 : -errno;
	log_debug("SIG%s sent to process %d of %s", sigabbrev_np(signal), target->process.pid,
		  target->id ? log_name(target->id) : "a shim");
	return 0;
}

static int signal_all(const struct targets *targets, int signal)
{
	int first = 0;

	for (size_t i = 0; i < targets->count; i++) {
		int r = targets->items[i].done ? 0 : signal_target(&targets->items[i], signal);

		if (r < 0 && first == 0)
			first = r;
	}
	return first;
}

/* Wait until all are gone, at most @msec. Returns how many are left, or a negative errno. */
static ssize_t wait_for_end(struct targets *targets, unsigned msec)
{
	int64_t deadline = clock_msec() + msec;
	cleanup_free struct pollfd *fds = calloc(targets->count + 1, sizeof(*fds));
	size_t left;

	if (!fds)
		return -ENOMEM;
	for (;;) {
		int64_t rest = deadline - clock_msec();
		int n;

		left = 0;
		for (size_t i = 0; i < targets->count; i++)
			if (!targets->items[i].done)
				fds[left++] = (struct pollfd){ .fd = targets->items[i].pidfd,
							       .events = POLLIN };
		if (left == 0)
			return 0;
		n = poll(fds, left, rest > 0 ? (int)rest : 0);
		if (n < 0 && errno != EINTR)
			return -errno;
		for (size_t i = 0, j = 0; n > 0 && i < targets->count; i++)
			if (!targets->items[i].done)
				targets->items[i].done = fds[j++].revents != 0;
		if (n == 0 && rest <= 0)
			return (ssize_t)left;
	}
}

static int want(struct wanted *wanted, const char *id)
{
	struct wanted_container *container;

	if (!process_is_cri_id(id) || json_object_get(wanted->by_id, id))
		return 0;
	container = ARRAY_ADD(wanted->containers, wanted->count);
	if (!container)
		return -ENOMEM;
	container->id = id;
	return json_object_set_new_nocheck(wanted->by_id, id,
					   json_integer((json_int_t)wanted->count - 1));
}

static int wanted_open(const struct inventory *lost, struct wanted *wanted)
{
	wanted->lost = lost;
	wanted->by_id = json_object();
	if (!wanted->by_id)
		return -ENOMEM;
	for (size_t i = 0; i < lost->sandbox_count; i++) {
		const struct sandbox *sandbox = &lost->sandboxes[i];

		/* A pod's own cgroup may bear the sandbox's id (kata). */
		if (want(wanted, sandbox->id) < 0)
			return -ENOMEM;
		for (size_t j = 0; j < sandbox->container_count; j++)
			if (want(wanted, sandbox->containers[j].id) < 0)
				return -ENOMEM;
	}
	return 0;
}

/* The wanted container that these cgroups are of, or NULL. */
static struct wanted_container *find_container(const struct wanted *wanted, const char *cgroups)
{
	char id[CRI_ID_LENGTH + 1];

	while (cgroups && (cgroups = process_next_cri_id(cgroups, id))) {
		const json_t *number = json_object_get(wanted->by_id, id);

		if (number)
			return &wanted->containers[json_integer_value(number)];
	}
	return NULL;
}

static bool same_process(const struct process *a, const struct process *b)
{
	return a->pid == b->pid && a->start_ticks == b->start_ticks;
}

/* Does @shim's command line still say that it works for @sandbox? */
static bool is_shim_of(const struct process *shim, const struct sandbox *sandbox)
{
	cleanup_free char *cmdline = NULL;
	struct shim_args args;
	size_t size;

	if (process_read_cmdline(shim->pid, &cmdline, &size) < 0 || size == 0 ||
	    process_parse_shim(cmdline, size, &args) < 0 || strcmp(args.ns, sandbox->ns) != 0)
		return false;
	if (strcmp(args.id, sandbox->id) == 0)
		return true;
	for (size_t i = 0; i < sandbox->container_count; i++)
		if (strcmp(args.id, sandbox->containers[i].id) == 0)
			return true;
	return false;
}

static bool is_lone_member(const struct wanted *wanted, const struct process_entry *entry)
{
	for (size_t i = 0; i < wanted->lost->sandbox_count; i++) {
		const struct sandbox *sandbox = &wanted->lost->sandboxes[i];

		for (size_t j = 0; j < sandbox->container_count; j++) {
			const struct container *container = &sandbox->containers[j];

			if (!process_is_cri_id(container->id) &&
			    process_cgroups_name(entry->cgroups, container->id,
						 container->cgroup_path))
				return true;
		}
	}
	return false;
}

/*
 * Judged by the inventory to be a container's first process. An inventory may
 * be of before a reboot, where pid and start time come up again; what proves it
 * now is its cgroup, or runc's own record.
 */
static bool is_init(const struct wanted *wanted, const struct process_entry *entry, bool member)
{
	for (size_t i = 0; i < wanted->lost->sandbox_count; i++) {
		const struct sandbox *sandbox = &wanted->lost->sandboxes[i];

		for (size_t j = 0; j < sandbox->container_count; j++) {
			const struct container *container = &sandbox->containers[j];
			struct process recorded;

			if (!same_process(&container->init, &entry->process))
				continue;
			if (member || (bundle_runc_init(container->ns, container->id, &recorded) == 0 &&
				       same_process(&recorded, &entry->process)))
				return true;
		}
	}
	return false;
}

static bool is_shim_child(const struct wanted *wanted, const struct process_table *table,
			  const struct process_entry *entry)
{
	const struct process_entry *parent = process_find(table, entry->parent);

	for (size_t i = 0; parent && i < wanted->lost->sandbox_count; i++) {
		const struct process *shim = &wanted->lost->sandboxes[i].shim;

		if (same_process(shim, &parent->process) &&
		    is_shim_of(shim, &wanted->lost->sandboxes[i]))
			return true;
	}
	return false;
}

static bool is_shim(const struct wanted *wanted, const struct process *process)
{
	for (size_t i = 0; i < wanted->lost->sandbox_count; i++) {
		const struct process *shim = &wanted->lost->sandboxes[i].shim;

		if (same_process(shim, process))
			return true;
	}
	return false;
}

/* Its own pid as /proc has it: with the node's /proc in a namespace of its own it is another. */
static pid_t own_pid(void)
{
	cleanup_free char *text = NULL;

	return dir_read_link(AT_FDCWD, "/proc/self", &text) < 0 ? getpid() : (pid_t)atol(text);
}

int kill_ends_us(const struct inventory *lost)
{
	cleanup_process_table struct process_table table = { 0 };
	cleanup_wanted struct wanted wanted = { 0 };
	const struct process_entry *entry;
	int r = wanted_open(lost, &wanted);

	if (r == 0)
		r = process_table_read(&table);
	if (r < 0)
		return r;
	/* In a cgroup namespace of its own a process does not see its group: then its parents tell. */
	entry = process_find(&table, own_pid());
	for (size_t i = 0; entry && i < table.count; i++) {
		if (find_container(&wanted, entry->cgroups) || is_lone_member(&wanted, entry) ||
		    is_shim(&wanted, &entry->process))
			return 1;
		entry = process_find(&table, entry->parent);
	}
	return 0;
}

/* Everything that runs in a wanted container, as of now. */
static int find_members(struct wanted *wanted, struct targets *targets)
{
	cleanup_process_table struct process_table table = { 0 };
	int first = 0, r;

	r = process_table_read(&table);
	if (r < 0)
		return r;
	for (size_t i = 0; i < table.count; i++) {
		const struct process_entry *entry = &table.items[i];
		struct wanted_container *container = find_container(wanted, entry->cgroups);
		bool member, child;

		if (entry->zombie || is_shim(wanted, &entry->process))
			continue;
		member = container || is_lone_member(wanted, entry);
		child = is_init(wanted, entry, member) || is_shim_child(wanted, &table, entry);
		if (!child && !member)
			continue;
		r = add_target(targets, &entry->process, container ? container->id : NULL, child);
		if (r < 0 && first == 0)
			first = r;
		if (container)
			container->seen = true;
	}
	return first;
}

/* Ask once. Whoever cannot hear it is not worth waiting for. */
static int terminate(const struct targets *targets)
{
	int first = 0;

	for (size_t i = 0; i < targets->count; i++) {
		const struct target *target = &targets->items[i];
		int r, deaf;

		if (!target->first)
			continue;
		deaf = process_ignores(target->process.pid, SIGTERM);
		r = signal_target(target, deaf > 0 ? SIGKILL : SIGTERM);
		if (r < 0 && first == 0)
			first = r;
	}
	return first;
}

/*
 * cgroup.kill reaches what is forked at this moment; version 1 is frozen for it.
 * Where there is neither, pidfds reach what was seen, and the next round the rest.
 */
static void kill_members(const struct targets *targets)
{
	for (size_t i = 0; i < targets->count; i++) {
		const struct target *target = &targets->items[i];

		if (!target->done && target->id &&
		    cgroup_kill(target->process.pid, target->id) < 0)
			(void)cgroup_freeze(target->process.pid, target->id, true);
	}
	(void)signal_all(targets, SIGKILL); /* who is left tells */
	for (size_t i = 0; i < targets->count; i++)
		if (!targets->items[i].done && targets->items[i].id)
			(void)cgroup_freeze(targets->items[i].process.pid, targets->items[i].id,
					    false);
}

static int end_containers(struct wanted *wanted, struct targets *members, unsigned grace_msec,
			  struct kill_result *ret)
{
	ssize_t left;
	int r;

	r = terminate(members);
	left = wait_for_end(members, grace_msec);
	if (left < 0)
		return (int)left;
	for (int round = 0; round < ROUNDS; round++) {
		if (left > 0) {
			kill_members(members);
			left = wait_for_end(members, END_MSEC);
			if (left < 0)
				return (int)left;
		}
		targets_done(members);
		r = find_members(wanted, members);
		left = (ssize_t)members->count;
		if (left == 0)
			break;
	}
	for (size_t i = 0; i < members->count; i++)
		log_error("process %d of a lost container does not end",
			  (int)members->items[i].process.pid);
	ret->failed += members->count;
	return left > 0 && r == 0 ? -EBUSY : r;
}

/* A pidfd for each process of hundreds of pods; the soft limit is often 1024. */
static void raise_file_limit(struct rlimit *ret_old)
{
	struct rlimit raised;

	if (getrlimit(RLIMIT_NOFILE, ret_old) < 0)
		return;
	raised = (struct rlimit){ ret_old->rlim_max, ret_old->rlim_max };
	(void)setrlimit(RLIMIT_NOFILE, &raised); /* what fails for want of fds is reported */
}

static int end_sandboxes(struct wanted *wanted, unsigned grace_msec, struct kill_result *ret)
{
	cleanup_targets struct targets shims = { 0 }, members = { 0 };
	int first = 0, r;
	ssize_t left;

	for (size_t i = 0; i < wanted->lost->sandbox_count; i++) {
		const struct process *shim = &wanted->lost->sandboxes[i].shim;

		if (!shim->start_ticks || !is_shim_of(shim, &wanted->lost->sandboxes[i]))
			continue;
		r = add_target(&shims, shim, NULL, false);
		if (r < 0 && first == 0)
			first = r;
	}
	/* Before the shims die: their children are known by their parent. */
	r = find_members(wanted, &members);
	if (r < 0 && first == 0)
		first = r;
	r = signal_all(&shims, SIGKILL);
	if (r < 0 && first == 0)
		first = r;
	r = end_containers(wanted, &members, grace_msec, ret);
	if (r < 0 && first == 0)
		first = r;
	left = wait_for_end(&shims, END_MSEC);
	if (left < 0)
		return (int)left;
	ret->shims += shims.count - (size_t)left;
	ret->failed += (size_t)left;
	return left > 0 && first == 0 ? -EBUSY : first;
}

int kill_sandboxes(const struct inventory *lost, unsigned grace_msec, struct kill_result *ret)
{
	cleanup_wanted struct wanted wanted = { 0 };
	struct rlimit old = { 0 };
	int r = wanted_open(lost, &wanted);

	if (r < 0)
		return r;
	raise_file_limit(&old);
	r = end_sandboxes(&wanted, grace_msec, ret);
	if (old.rlim_cur)
		(void)setrlimit(RLIMIT_NOFILE, &old); /* back to what it was: cannot fail */
	for (size_t i = 0; i < wanted.count; i++)
		ret->containers += wanted.containers[i].seen;
	return r;
}
