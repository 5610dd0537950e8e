#include "scanners/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/config_files.h"
#include "scanners/config_foreign.h"
#include "scanners/config_start.h"
#include "scanners/text.h"
#include "scanners/unitexec.h"
#include "scanners/unitfile.h"

#define DEFAULT_UNIT "containerd.service"
#define DEFAULT_CONFIG "/etc/containerd/config.toml"
#define DEFAULT_ROOT "/var/lib/containerd"
#define DEFAULT_STATE "/run/containerd"
#define DEFAULT_ADDRESS "/run/containerd/containerd.sock"
#define DEFAULT_CNI_CONF_DIR "/etc/cni/net.d"
#define DEFAULT_CNI_BIN_DIR "/opt/cni/bin"
#define DEFAULT_SNAPSHOTTER "overlayfs"
#define DEFAULT_RUNTIME "runc"
#define RUNC_SHIM "io.containerd.runc.v2"

enum {
	DEFAULT_TIMEOUT_START_SEC = 90,
	USEC_PER_SEC = 1000000,
};

/* Sections and plugins by all the names they went by, newest first. */
static const char *const cri_runtime[] = { "io.containerd.cri.v1.runtime",
					   "io.containerd.grpc.v1.cri", "cri", NULL };
static const char *const cri_images[] = { "io.containerd.cri.v1.images",
					  "io.containerd.grpc.v1.cri", "cri", NULL };
static const char *const cri_names[] = { "io.containerd.grpc.v1.cri",
					 "io.containerd.cri.v1.runtime",
					 "io.containerd.cri.v1.images", "cri" };
static const char *const grpc_server[] = { "io.containerd.server.v1.grpc", NULL };

/* Everything read on the way; what of it matters ends in @config. */
struct reading {
	struct config *config;
	const char *prefix;
	const struct config_overrides *overrides;
	struct unit_file unit, manager;
	struct config_start start;
	struct config_files files;
};

static void reading_done(struct reading *reading)
{
	unit_file_done(&reading->unit);
	unit_file_done(&reading->manager);
	config_start_done(&reading->start);
	config_files_done(&reading->files);
}

/* Settle for @verdict: returns 1 (no more to read), or -ENOMEM. */
static int settle(struct config *config, enum config_verdict verdict, char *problem)
{
	if (!problem)
		return -ENOMEM;
	free(config->problem);
	config->problem = problem;
	config->verdict = verdict;
	return 1;
}

static int set(char **field, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

static int take_list(struct text_list *list, char ***ret, size_t *ret_count)
{
	*ret = list->items;
	*ret_count = list->count;
	*list = (struct text_list){ 0 };
	return 0;
}

static int set_defaults(struct config *config, const char *unit)
{
	config->timeout_start_sec = DEFAULT_TIMEOUT_START_SEC;
	config->cni_max_conf_num = 1;
	if (set(&config->unit, unit) < 0 || set(&config->root, DEFAULT_ROOT) < 0 ||
	    set(&config->state, DEFAULT_STATE) < 0 || set(&config->address, DEFAULT_ADDRESS) < 0 ||
	    set(&config->cni_conf_dir, DEFAULT_CNI_CONF_DIR) < 0 ||
	    set(&config->snapshotter, DEFAULT_SNAPSHOTTER) < 0)
		return -ENOMEM;
	return 0;
}

/* An unusable value is ignored, as systemd does; 0 means infinity. */
static void take_timeout(const char *text, unsigned *seconds)
{
	uint64_t usec;

	if (unit_time_span(text, &usec) < 0)
		return;
	if (usec == UINT64_MAX || usec == 0)
		*seconds = 0;
	else if (usec / USEC_PER_SEC < UINT32_MAX)
		*seconds = (unsigned)((usec + USEC_PER_SEC - 1) / USEC_PER_SEC);
}

static void read_timeouts(const struct reading *reading)
{
	const struct unit_file *unit = &reading->unit;
	const char *text = unit_file_get(&reading->manager, "Manager", "DefaultTimeoutStartSec");
	unsigned *seconds = &reading->config->timeout_start_sec;

	if (text)
		take_timeout(text, seconds);
	for (size_t i = 0; i < unit->count; i++)
		if (strcmp(unit->settings[i].section, "Service") == 0 &&
		    (strcmp(unit->settings[i].key, "TimeoutStartSec") == 0 ||
		     strcmp(unit->settings[i].key, "TimeoutSec") == 0))
			take_timeout(unit->settings[i].value, seconds);
}

static int add_mounts(struct text_list *list, const char *value, const char *unit_name)
{
	cleanup_free char *word = NULL;
	int r;

	while ((r = unit_next_word(&value, false, &word)) > 0) {
		char *path = NULL;

		r = unit_expand_specifiers(word, unit_name, &path);
		if (r == 0)
			r = text_list_take(list, path);
		else if (r == -ENOTSUP)
			r = 0;
		if (r < 0)
			return r;
		free(take_ptr(word));
	}
	return r == -EINVAL ? 0 : r;
}

static int read_mounts(const struct reading *reading)
{
	cleanup_text_list struct text_list list = { 0 };
	const struct unit_file *unit = &reading->unit;

	for (size_t i = 0; i < unit->count; i++) {
		int r = 0;

		if (strcmp(unit->settings[i].section, "Unit") == 0 &&
		    (strcmp(unit->settings[i].key, "RequiresMountsFor") == 0 ||
		     strcmp(unit->settings[i].key, "WantsMountsFor") == 0))
			r = add_mounts(&list, unit->settings[i].value, unit->name);
		if (r < 0)
			return r;
	}
	return take_list(&list, &reading->config->requires_mounts_for,
			 &reading->config->requires_mounts_for_count);
}

static int read_unit_files(struct reading *reading)
{
	struct config *config = reading->config;
	int r = unit_file_read(reading->prefix, config->unit, &reading->unit);

	if (r == 0)
		r = unit_manager_read(reading->prefix, &reading->manager);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return settle(config, CONFIG_UNKNOWN,
			      text_print("%s: %s", config->unit, strerror(-r)));
	if (set(&config->unit, reading->unit.name) < 0)
		return -ENOMEM;
	if (reading->unit.fragment && set(&config->unit_file, reading->unit.fragment) < 0)
		return -ENOMEM;
	read_timeouts(reading);
	return read_mounts(reading);
}

static bool is_set(const struct unit_file *unit, const char *key)
{
	const char *value = unit_file_get(unit, "Service", key);

	return value && *value;
}

/* Is our drop-in there, or one like it? */
static bool runs_preflight(const struct unit_file *unit)
{
	bool found = false;

	for (size_t i = 0; i < unit->count; i++) {
		const struct unit_setting *setting = &unit->settings[i];

		if (strcmp(setting->section, "Service") != 0 ||
		    strcmp(setting->key, "ExecStartPre") != 0)
			continue;
		/* An empty value takes back the ones before it. */
		found = *setting->value &&
			(found || strstr(setting->value, "containerd-recover preflight"));
	}
	return found;
}

/* How the unit starts containerd. Without a unit the caller's paths must do. */
static int read_unit(struct reading *reading)
{
	struct config *config = reading->config;
	cleanup_free char *problem = NULL;
	int r = read_unit_files(reading);

	if (r != 0)
		return r;
	if (!config->unit_file) {
		if (reading->overrides->config || reading->overrides->root)
			return 0;
		return settle(config, CONFIG_UNKNOWN,
			      text_print("there is no %s; containerd's unit is named by --unit",
					 config->unit));
	}
	if (reading->unit.masked)
		return settle(config, CONFIG_UNKNOWN,
			      text_print("%s is masked; another unit of containerd is named by --unit",
					 config->unit));
	config->runs_preflight = runs_preflight(&reading->unit);
	if (is_set(&reading->unit, "RootDirectory") || is_set(&reading->unit, "RootImage"))
		return settle(config, CONFIG_UNKNOWN,
			      text_print("%s has a root of its own", config->unit));
	r = config_start_read(reading->prefix, &reading->unit, &reading->manager, &reading->start,
			      &problem);
	if (r == CONFIG_START_INVALID || r == CONFIG_START_UNKNOWN)
		return settle(config,
			      r == CONFIG_START_INVALID ? CONFIG_INVALID : CONFIG_UNKNOWN,
			      take_ptr(problem));
	if (r == CONFIG_START_KNOWN)
		r = set(&config->exec_path, reading->start.exec_path);
	return r;
}

static int read_files(struct reading *reading)
{
	struct config *config = reading->config;
	const char *named = reading->overrides->config ? reading->overrides->config :
							 reading->start.config;
	const char *path = named ? named : DEFAULT_CONFIG;
	cleanup_free char *problem = NULL;
	int r;

	if (*path != '/')
		return settle(config, *path ? CONFIG_UNKNOWN : CONFIG_INVALID,
			      text_print("the path of the configuration, '%s', is not absolute", path));
	r = config_files_load(&reading->files, reading->prefix, path, &problem);
	if (r == -ENOMEM)
		return r;
	if (r == -ENOENT && !named) {
		config->verdict = CONFIG_DEFAULTS;
		return 0;
	}
	if (set(&config->config_path, path) < 0)
		return -ENOMEM;
	if (r == 0)
		r = config_files_check(&reading->files, &problem);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return settle(config,
			      r == -EINVAL || r == -ENOENT ? CONFIG_INVALID : CONFIG_UNKNOWN,
			      take_ptr(problem));
	config->verdict = CONFIG_SOUND;
	config->version = reading->files.version;
	return 0;
}

static int set_paths(struct reading *reading)
{
	const struct config_overrides *overrides = reading->overrides;
	const struct config_start *start = &reading->start;
	const struct config_files *files = &reading->files;
	struct config *config = reading->config;
	const struct toml_value *served = config_files_plugin(files, grpc_server, "address");
	const char *root = config_files_string(files, "root", config->root);
	const char *state = config_files_string(files, "state", config->state);
	const char *address = config_files_string(files, "grpc.address", config->address);

	if (served && served->type == TOML_STRING)
		address = served->string;
	if (start->address && *start->address)
		address = start->address;
	if (start->root && *start->root)
		root = start->root;
	if (start->state && *start->state)
		state = start->state;
	if (overrides->root)
		root = overrides->root;
	if (overrides->state)
		state = overrides->state;
	if (set(&config->root, root) < 0 || set(&config->state, state) < 0 ||
	    set(&config->address, address) < 0)
		return -ENOMEM;
	return 0;
}

static const char *plugin_string(const struct config_files *files, const char *const *ids,
				 const char *path)
{
	const struct toml_value *value = config_files_plugin(files, ids, path);

	return value && value->type == TOML_STRING ? value->string : NULL;
}

static bool plugin_true(const struct config_files *files, const char *const *ids,
			const char *path)
{
	const struct toml_value *value = config_files_plugin(files, ids, path);

	return value && value->type == TOML_BOOLEAN && value->boolean;
}

static int set_cni(struct reading *reading)
{
	const struct config_files *files = &reading->files;
	struct config *config = reading->config;
	cleanup_text_list struct text_list dirs = { 0 };
	const char *conf = plugin_string(files, cri_runtime, "cni.conf_dir");
	const char *bin = plugin_string(files, cri_runtime, "cni.bin_dir");
	const struct toml_value *bins = config_files_plugin(files, cri_runtime, "cni.bin_dirs");
	const struct toml_value *max = config_files_plugin(files, cri_runtime, "cni.max_conf_num");
	int r = 0;

	if (conf && set(&config->cni_conf_dir, conf) < 0)
		return -ENOMEM;
	if (bins && bins->type == TOML_ARRAY)
		for (const struct toml_value *i = bins->first; i && r == 0; i = i->next)
			r = text_list_add(&dirs, i->string);
	if (dirs.count == 0 && r == 0)
		r = text_list_add(&dirs, bin ? bin : DEFAULT_CNI_BIN_DIR);
	if (r < 0)
		return r;
	if (max && max->type == TOML_INTEGER && max->integer >= 0 && max->integer <= UINT32_MAX)
		config->cni_max_conf_num = (unsigned)max->integer;
	return take_list(&dirs, &config->cni_bin_dirs, &config->cni_bin_dir_count);
}

static bool systemd_cgroup(const struct config_files *files)
{
	const char *runtime = plugin_string(files, cri_runtime, "containerd.default_runtime_name");
	const struct toml_value *runtimes =
		config_files_plugin(files, cri_runtime, "containerd.runtimes");
	const struct toml_value *value;

	value = toml_get(runtimes, runtime ? runtime : DEFAULT_RUNTIME);
	value = toml_get(toml_get(value, "options"), "SystemdCgroup");
	if (value && value->type == TOML_BOOLEAN)
		return value->boolean;
	return plugin_true(files, cri_runtime, "systemd_cgroup");
}

static const char *runtime_string(const struct config_files *files, const char *runtime,
				  const char *key)
{
	cleanup_free char *path = text_print("containerd.runtimes.%s.%s", runtime, key);

	return path ? plugin_string(files, cri_runtime, path) : NULL;
}

/*
 * NULL where a runtime is set in a way that we would have to guess at: without its type,
 * which is not the default's then in every containerd, by a path, or as containerd 1.x's
 * older default_runtime.
 */
static const char *runc_binary(const struct config_files *files)
{
	const char *old = plugin_string(files, cri_runtime, "containerd.default_runtime.runtime_type");
	const char *name = plugin_string(files, cri_runtime, "containerd.default_runtime_name");
	const char *type, *binary;
	cleanup_free char *table = NULL;

	if (!name)
		name = DEFAULT_RUNTIME;
	table = text_print("containerd.runtimes.%s", name);
	if (old || strchr(name, '.') || !table)
		return NULL;
	type = runtime_string(files, name, "runtime_type");
	if (!type)
		return strcmp(name, DEFAULT_RUNTIME) == 0 && !config_files_plugin(files, cri_runtime, table) ?
			       DEFAULT_RUNTIME :
			       NULL;
	if (strcmp(type, RUNC_SHIM) != 0 || runtime_string(files, name, "runtime_path") ||
	    runtime_string(files, name, "runtime_engine"))
		return NULL;
	binary = runtime_string(files, name, "options.BinaryName");
	return binary ? binary : DEFAULT_RUNTIME;
}

static int set_cri(struct reading *reading)
{
	const struct config_files *files = &reading->files;
	struct config *config = reading->config;
	const char *image = plugin_string(files, cri_images, "pinned_images.sandbox");
	const char *snapshotter = plugin_string(files, cri_images, "snapshotter");
	const char *runc = runc_binary(files);

	if (!image)
		image = plugin_string(files, cri_images, "sandbox_image");
	if (!snapshotter)
		snapshotter = plugin_string(files, cri_images, "containerd.snapshotter");
	if (image && set(&config->sandbox_image, image) < 0)
		return -ENOMEM;
	if (snapshotter && set(&config->snapshotter, snapshotter) < 0)
		return -ENOMEM;
	if (runc && set(&config->runc, runc) < 0)
		return -ENOMEM;
	config->netns_under_state = plugin_true(files, cri_runtime, "netns_mounts_under_state_dir");
	config->systemd_cgroup = systemd_cgroup(files);
	for (size_t i = 0; i < ARRAY_SIZE(cri_names); i++) {
		config->cri_disabled |= config_files_lists(files, "disabled_plugins", cri_names[i]);
		config->cri_required |= config_files_lists(files, "required_plugins", cri_names[i]);
	}
	return set_cni(reading);
}

static size_t length_without_slashes(const char *path)
{
	size_t len = strlen(path);

	while (len > 1 && path[len - 1] == '/')
		len--;
	return len;
}

static int check_paths(struct config *config)
{
	size_t root_len = length_without_slashes(config->root);

	if (strcmp(config->root, config->state) == 0)
		return settle(config, CONFIG_INVALID,
			      text_print("root and state are both %s", config->root));
	if (config->root[0] != '/' || config->state[0] != '/')
		return settle(config, CONFIG_UNKNOWN,
			      text_print("root %s or state %s is not absolute", config->root,
					 config->state));
	if (root_len == length_without_slashes(config->state) &&
	    strncmp(config->root, config->state, root_len) == 0)
		return settle(config, CONFIG_UNKNOWN,
			      text_print("root and state are both %s", config->root));
	return 0;
}

static int read_config(struct reading *reading)
{
	struct config *config = reading->config;
	cleanup_text_list struct text_list foreign = { 0 };
	int r;

	r = set_defaults(config, reading->overrides->unit ? reading->overrides->unit : DEFAULT_UNIT);
	if (r == 0)
		r = read_unit(reading);
	if (r == 0)
		r = read_files(reading);
	if (r != 0)
		return r;
	r = set_paths(reading);
	if (r == 0)
		r = set_cri(reading);
	if (r == 0)
		r = config_foreign(&reading->files, config, &foreign);
	if (r == 0)
		r = take_list(&foreign, &config->foreign, &config->foreign_count);
	return r < 0 ? r : check_paths(config);
}

int config_read(const struct config_overrides *overrides, struct config *ret)
{
	cleanup_config struct config config = { 0 };
	__attribute__((cleanup(reading_done))) struct reading reading = {
		.config = &config,
		.prefix = overrides->prefix ? overrides->prefix : "",
		.overrides = overrides,
	};
	int r = read_config(&reading);

	if (r < 0)
		return r;
	take_list(&reading.files.paths, &config.files, &config.file_count);
	*ret = config;
	config = (struct config){ 0 };
	return 0;
}

static void free_strings(char **items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(items[i]);
	free(items);
}

void config_done(struct config *config)
{
	free(config->problem);
	free(config->unit);
	free(config->unit_file);
	free(config->exec_path);
	free(config->config_path);
	free_strings(config->files, config->file_count);
	free(config->root);
	free(config->state);
	free(config->address);
	free(config->cni_conf_dir);
	free_strings(config->cni_bin_dirs, config->cni_bin_dir_count);
	free(config->sandbox_image);
	free(config->snapshotter);
	free(config->runc);
	free_strings(config->foreign, config->foreign_count);
	free_strings(config->requires_mounts_for, config->requires_mounts_for_count);
	*config = (struct config){ 0 };
}

const char *config_verdict_name(enum config_verdict verdict)
{
	static const char *const names[] = {
		[CONFIG_UNKNOWN] = "unknown",
		[CONFIG_DEFAULTS] = "defaults",
		[CONFIG_SOUND] = "sound",
		[CONFIG_INVALID] = "invalid",
	};

	return names[verdict];
}
