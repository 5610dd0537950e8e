#include "recover/cni.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "recover/child.h"
#include "recover/log.h"
#include "recover/reservation.h"
#include "scanners/array.h"
#include "scanners/cleanup.h"
#include "scanners/cnicache.h"
#include "scanners/dir.h"
#include "scanners/netns.h"
#include "scanners/text.h"

enum {
	ENTRY_MAX = 1024 * 1024,
	PARALLEL_MOST = 32,
	LOCK_MSEC = 2000,
	HANGS_MOST = 3, /* of one plugin; then it is taken for dead */
};
#define SYSTEM_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/*
 * Plugins of containernetworking and flannel: what they make is named after the
 * container, so that it can be released without them (recover/rules.c,
 * recover/links.c, recover/reservation.c).
 */
static const char *const reference_plugins[] = {
	"bridge",    "ptp",	 "host-local", "loopback", "portmap", "bandwidth",
	"firewall",  "tuning",	 "flannel",    "sbr",	   "static",
};

/* One sandbox at work: its cache files one after another, their plugins in reverse. */
struct job {
	const struct sandbox *sandbox; /* NULL: idle */
	enum cni_outcome *outcome;
	size_t file; /* the next one of sandbox->cache_files */
	struct cnicache_entry entry; /* of the file before */
	size_t plugins; /* left to run for it */
	const char *type; /* of the one that runs */
};

/* A plugin that hangs for everybody is not waited for by everybody. */
struct hung {
	char *type;
	unsigned times;
};

struct replay {
	const struct config *config;
	const struct inventory *lost;
	const struct cni_options *options;
	int cache_fd;
	char *path;  /* CNI_PATH=… */
	size_t next; /* sandbox to begin */
	enum cni_outcome *outcomes;
	struct hung *hung;
	size_t hung_count;
};

static bool is_reference_plugin(const char *type)
{
	for (size_t i = 0; i < ARRAY_SIZE(reference_plugins); i++)
		if (strcmp(type, reference_plugins[i]) == 0)
			return true;
	return false;
}

static const json_t *plugin_at(const struct cnicache_entry *entry, size_t index)
{
	return json_array_get(json_object_get(entry->config, "plugins"), index);
}

/* "0.4.0" and later get the result of the ADD. */
static bool wants_result(const char *version)
{
	unsigned major = 0, minor = 0;

	if (!version || sscanf(version, "%u.%u", &major, &minor) != 2)
		return false;
	return major > 0 || minor >= 4;
}

/* The capability arguments that the plugin declares and the runtime had. */
static int put_runtime_config(const struct cnicache_entry *entry, json_t *input)
{
	json_t *arguments = json_object_get(entry->entry, "capabilityArgs");
	json_t *wanted = json_object_get(input, "capabilities");
	json_auto_t *given = json_object();
	const char *name;
	json_t *flag;

	if (!given)
		return -ENOMEM;
	json_object_foreach(wanted, name, flag)
	{
		json_t *argument = json_object_get(arguments, name);

		if (json_is_true(flag) && argument && json_object_set(given, name, argument) < 0)
			return -ENOMEM;
	}
	if (json_object_size(given) == 0)
		return 0;
	return json_object_set(input, "runtimeConfig", given) < 0 ? -ENOMEM : 0;
}

int cni_plugin_input(const struct cnicache_entry *entry, size_t index, char **ret)
{
	json_auto_t *input = json_copy((json_t *)plugin_at(entry, index));
	json_t *version = json_object_get(entry->config, "cniVersion");
	json_t *name = json_object_get(entry->config, "name");
	json_t *result = json_object_get(entry->entry, "result");
	char *text;

	if (!json_is_object(input))
		return -EINVAL;
	if (name && json_object_set(input, "name", name) < 0)
		return -ENOMEM;
	if (version && json_object_set(input, "cniVersion", version) < 0)
		return -ENOMEM;
	if (result && wants_result(json_string_value(version)) &&
	    json_object_set(input, "prevResult", result) < 0)
		return -ENOMEM;
	if (put_runtime_config(entry, input) < 0)
		return -ENOMEM;
	text = json_dumps(input, JSON_COMPACT);
	if (!text)
		return -ENOMEM;
	*ret = text;
	return 0;
}

/* CNI_ARGS as libcni joins them: "K=V;K=V". */
static int join_args(const struct cnicache_entry *entry, char **ret)
{
	cleanup_text struct text args = { 0 };
	const char *separator = "CNI_ARGS=";
	int r = 0;
	size_t i;
	json_t *pair;

	json_array_foreach(json_object_get(entry->entry, "cniArgs"), i, pair)
	{
		const char *parts[] = {
			separator,
			json_string_value(json_array_get(pair, 0)),
			"=",
			json_string_value(json_array_get(pair, 1)),
		};

		for (size_t j = 0; r == 0 && parts[1] && parts[3] && j < ARRAY_SIZE(parts); j++)
			r = text_add_string(&args, parts[j]);
		if (r < 0)
			return r;
		separator = args.length ? ";" : separator;
	}
	*ret = args.length ? text_take(&args) : strdup(separator);
	return *ret ? 0 : -ENOMEM;
}

/* A plugin's file in the first of the configured directories that has it. */
static int find_plugin(const struct config *config, const char *type, char **ret)
{
	if (!*type || strchr(type, '/'))
		return -EINVAL;
	for (size_t i = 0; i < config->cni_bin_dir_count; i++) {
		cleanup_free char *path = NULL;
		struct stat st;

		if (asprintf(&path, "%s/%s", config->cni_bin_dirs[i], type) < 0) {
			path = NULL;
			return -ENOMEM;
		}
		if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
			*ret = take_ptr(path);
			return 0;
		}
	}
	return -ENOENT;
}

/* Every plugin of the list is known, and does its DEL without an agent. */
static bool is_reference_list(const struct cnicache_entry *entry)
{
	size_t count = json_array_size(json_object_get(entry->config, "plugins"));

	for (size_t i = 0; i < count; i++) {
		const char *type = json_string_value(json_object_get(plugin_at(entry, i), "type"));

		if (!type || !is_reference_plugin(type))
			return false;
	}
	return true;
}

static int start_plugin(const struct replay *replay, struct job *job, struct child *child)
{
	const struct cnicache_entry *entry = &job->entry;
	const char *netns = netns_is_there(job->sandbox) ? job->sandbox->netns : "";
	cleanup_free char *program = NULL, *input = NULL, *args = NULL, *id = NULL, *ifname = NULL,
			  *ns = NULL;
	int r = find_plugin(replay->config, job->type, &program);

	if (r == 0)
		r = cni_plugin_input(entry, job->plugins, &input);
	if (r == 0)
		r = join_args(entry, &args);
	if (r != 0)
		return r;
	id = text_print("CNI_CONTAINERID=%s", entry->container_id);
	ifname = text_print("CNI_IFNAME=%s", entry->ifname);
	ns = text_print("CNI_NETNS=%s", netns);
	if (!id || !ifname || !ns)
		return -ENOMEM;
	return child_start(&(struct child_options){
		.path = program,
		.argv = (char *[]){ program, NULL },
		.envp = (char *[]){ (char *)"CNI_COMMAND=DEL", id, ifname, ns, args, replay->path,
				    (char *)SYSTEM_PATH, NULL },
		.input = input,
		.input_size = strlen(input),
		.msec = replay->options->plugin_msec,
	}, child);
}

static struct hung *hung_of(struct replay *replay, const char *type)
{
	struct hung *hung;

	for (size_t i = 0; i < replay->hung_count; i++)
		if (strcmp(replay->hung[i].type, type) == 0)
			return &replay->hung[i];
	hung = ARRAY_ADD(replay->hung, replay->hung_count);
	if (!hung)
		return NULL;
	hung->type = strdup(type);
	if (hung->type)
		return hung;
	replay->hung_count--;
	return NULL;
}

static void note_failure(struct job *job, const char *why)
{
	enum cni_outcome outcome =
		job->type && is_reference_plugin(job->type) ? CNI_REPLACED : CNI_FAILED;

	log_warning("CNI DEL of sandbox %s by plugin %s: %s", log_name(job->sandbox->id),
		    job->type ? log_name(job->type) : "(none)", why);
	if (*job->outcome < outcome)
		*job->outcome = outcome;
}

/* What the plugin said, as it says it (SPEC.md, "Error"): {"msg": …, "details": …}. */
static void note_end(struct replay *replay, struct job *job, const struct child *child)
{
	cleanup_free char *output = NULL;
	json_auto_t *error = NULL;
	const char *message;
	struct hung *hung;

	if (child->result == 0 || !job->sandbox || !job->type)
		return;
	if (child->result == -ETIMEDOUT) {
		hung = hung_of(replay, job->type);
		if (hung)
			hung->times++;
		note_failure(job, "killed, it took too long");
		return;
	}
	if (child_output(child, &output) == 0)
		error = json_loads(output, JSON_DISABLE_EOF_CHECK, NULL);
	message = json_string_value(json_object_get(error, "msg"));
	note_failure(job, message ? log_name(message) : "failed without a message");
}

/*
 * The firewall plugin knows its rules by address alone. Where the address is
 * ours, or can be made ours again until host-local gives it back, they are the
 * lost pod's; where it is another's by now, so are they.
 */
static int owns_addresses(const struct job *job)
{
	const struct sandbox *sandbox = job->sandbox;

	for (size_t i = 0; i < sandbox->reservation_count; i++) {
		int r = reservation_hold(&sandbox->reservations[i], sandbox->id, job->entry.ifname,
					 LOCK_MSEC);

		if (r <= 0)
			return r;
	}
	return 1;
}

/* Returns 1 if there is no need to run it. */
static int is_needless(struct replay *replay, struct job *job)
{
	const struct hung *hung = hung_of(replay, job->type);
	int r;

	/* It would only take down an interface that ends with its namespace. */
	if (strcmp(job->type, "loopback") == 0)
		return 1;
	if (hung && hung->times >= HANGS_MOST) {
		note_failure(job, "not run, it hung before");
		return 1;
	}
	if (strcmp(job->type, "firewall") != 0)
		return 0;
	r = owns_addresses(job);
	return r < 0 ? r : r == 0;
}

/* Start the next plugin of the current file. Returns 1 if one runs, 0 if none is left. */
static int next_plugin(struct replay *replay, struct job *job, struct child *child)
{
	while (job->plugins > 0) {
		int r;

		job->plugins--;
		job->type = json_string_value(
			json_object_get(plugin_at(&job->entry, job->plugins), "type"));
		r = job->type ? is_needless(replay, job) : -EINVAL;
		if (r == 0)
			r = start_plugin(replay, job, child);
		else if (r > 0)
			continue;
		if (r == 0)
			return 1;
		note_failure(job, r == -ENOENT ? "not installed" : strerror(-r));
	}
	return 0;
}

static void end_file(struct job *job)
{
	if (!job->entry.file)
		return;
	if (*job->outcome == CNI_NOTHING)
		*job->outcome = CNI_DELETED;
	cnicache_entry_done(&job->entry);
	job->plugins = 0;
	job->type = NULL;
}

/* Returns 0 with the job's entry read, or a negative errno: -ENOENT if it is gone. */
static int read_entry(struct replay *replay, struct job *job, const char *file)
{
	cleanup_free char *text = NULL;
	size_t size;
	int r;

	r = dir_read_file(replay->cache_fd, file, ENTRY_MAX, &text, &size);
	if (r == 0)
		r = cnicache_parse(file, text, size, true, &job->entry);
	if (r == 0 && strcmp(job->entry.container_id, job->sandbox->id) != 0) {
		cnicache_entry_done(&job->entry);
		r = -ESTALE;
	}
	if (r == 0)
		job->plugins = json_array_size(json_object_get(job->entry.config, "plugins"));
	return r;
}

/* Returns 1 if there is another file to work on. */
static int next_file(struct replay *replay, struct job *job)
{
	while (job->file < job->sandbox->cache_file_count) {
		const char *file = job->sandbox->cache_files[job->file++];
		int r = read_entry(replay, job, file);

		if (r == 0 && replay->options->defer && !is_reference_list(&job->entry)) {
			cnicache_entry_done(&job->entry);
			job->plugins = 0;
			if (*job->outcome < CNI_DEFERRED)
				*job->outcome = CNI_DEFERRED;
			continue;
		}
		if (r == 0)
			return 1;
		if (r == -ENOENT)
			continue;
		log_warning("cannot use CNI's cache file %s: %s", log_name(file), strerror(-r));
		if (*job->outcome < CNI_REPLACED && r == -EINVAL)
			*job->outcome = CNI_REPLACED;
		else if (r != -EINVAL)
			*job->outcome = CNI_FAILED;
	}
	return 0;
}

/* Returns 1 with the job's next sandbox begun, 0 if there is none. */
static int next_sandbox(struct replay *replay, struct job *job)
{
	if (replay->next == replay->lost->sandbox_count)
		return 0;
	job->sandbox = &replay->lost->sandboxes[replay->next];
	job->outcome = &replay->outcomes[replay->next++];
	job->file = 0;
	return 1;
}

/* On with the job until a plugin runs. Returns 1 if one does, 0 if there is no more to do. */
static int advance(struct replay *replay, struct job *job, struct child *child)
{
	while (job->sandbox || next_sandbox(replay, job)) {
		if (next_plugin(replay, job, child) > 0)
			return 1;
		end_file(job);
		if (!next_file(replay, job))
			job->sandbox = NULL;
	}
	return 0;
}

static int run_all(struct replay *replay, unsigned parallel)
{
	struct child children[PARALLEL_MOST] = { 0 };
	struct job jobs[PARALLEL_MOST] = { 0 };
	ssize_t i;

	if (parallel == 0 || parallel > PARALLEL_MOST)
		parallel = parallel ? PARALLEL_MOST : 1;
	for (size_t j = 0; j < parallel; j++)
		(void)advance(replay, &jobs[j], &children[j]); /* none left to start is no error */
	while ((i = child_wait(children, parallel)) >= 0) {
		note_end(replay, &jobs[i], &children[i]);
		child_done(&children[i]);
		(void)advance(replay, &jobs[i], &children[i]);
	}
	for (size_t j = 0; j < parallel; j++) {
		child_done(&children[j]);
		cnicache_entry_done(&jobs[j].entry);
	}
	return i == -ECHILD ? 0 : (int)i;
}

static int join_path(const struct config *config, char **ret)
{
	cleanup_text struct text path = { 0 };
	int r = text_add_string(&path, "CNI_PATH=");

	for (size_t i = 0; r == 0 && i < config->cni_bin_dir_count; i++) {
		if (i > 0)
			r = text_add_string(&path, ":");
		if (r == 0)
			r = text_add_string(&path, config->cni_bin_dirs[i]);
	}
	if (r < 0)
		return r;
	*ret = text_take(&path);
	return *ret ? 0 : -ENOMEM;
}

int cni_delete(const struct config *config, const struct inventory *lost,
	       const struct cni_options *options, enum cni_outcome *outcomes)
{
	cleanup_fd int cache_fd = dir_open_path(CNI_CACHE_DIR);
	struct replay replay = {
		.config = config,
		.lost = lost,
		.options = options,
		.cache_fd = cache_fd,
		.outcomes = outcomes,
	};
	int r;

	for (size_t i = 0; i < lost->sandbox_count; i++)
		outcomes[i] = CNI_NOTHING;
	if (cache_fd < 0)
		return cache_fd == -ENOENT ? 0 : cache_fd;
	r = join_path(config, &replay.path);
	if (r == 0)
		r = run_all(&replay, options->parallel);
	for (size_t i = 0; i < replay.hung_count; i++)
		free(replay.hung[i].type);
	free(replay.hung);
	free(replay.path);
	return r;
}
