#include "scanners/config_start.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/unitenv.h"
#include "scanners/unitexec.h"

enum { RANCHER_CONFIG_MAX = 256 * 1024 };

static int answer(enum config_start_result result, char *problem, char **ret_problem)
{
	if (!problem)
		return -ENOMEM;
	*ret_problem = problem;
	return result;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int assign(char **field, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

/*
 * One flag of Go's flag package: "-name value", "--name=value". Returns how
 * many words of the @left ones at @words it takes, or -EINVAL for a flag
 * without its value.
 */
static int split_flag(char *const *words, size_t left, const char **ret_value)
{
	const char *equals = strchr(words[0], '=');

	if (equals) {
		*ret_value = equals + 1;
		return 1;
	}
	if (left < 2)
		return -EINVAL;
	*ret_value = words[1];
	return 2;
}

static bool flag_is(const char *word, const char *name)
{
	size_t len = strcspn(word, "=");

	return strlen(name) == len && strncmp(word, name, len) == 0;
}

/* Where the value of the flag @word belongs; NULL for flags of no interest here. */
static bool find_flag(struct config_start *start, const char *word, char ***ret)
{
	/* Those of every containerd since 1.0 that take a value. */
	const struct {
		const char *name, *alias;
		char **field;
	} flags[] = {
		{ "config", "c", &start->config },   { "root", "root", &start->root },
		{ "state", "state", &start->state }, { "address", "a", &start->address },
		{ "log-level", "l", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (flag_is(word, flags[i].name) || flag_is(word, flags[i].alias)) {
			*ret = flags[i].field;
			return true;
		}
	return false;
}

static int parse_flags(const struct text_list *argv, struct config_start *start,
		       char **ret_problem)
{
	for (size_t i = 1; i < argv->count;) {
		const char *word = argv->items[i], *value;
		char **field;
		int n;

		if (word[0] != '-' || !word[1])
			return answer(CONFIG_START_UNKNOWN,
				      text_print("ExecStart= runs a sub-command, '%s'", word),
				      ret_problem);
		if (!find_flag(start, word + 1 + (word[1] == '-'), &field))
			return answer(CONFIG_START_UNKNOWN,
				      text_print("unknown containerd flag %s", word), ret_problem);
		n = split_flag(argv->items + i, argv->count - i, &value);
		if (n < 0)
			return answer(CONFIG_START_INVALID,
				      text_print("containerd's flag %s has no value", word),
				      ret_problem);
		if (field && assign(field, value) < 0)
			return -ENOMEM;
		i += (size_t)n;
	}
	return CONFIG_START_KNOWN;
}

/* k3s and rke2 run containerd as their child, with fixed paths below one data directory. */
struct rancher {
	const char *binary, *data_dir, *data_dir_variable, *config_dir;
};

static const struct rancher ranchers[] = {
	{ "k3s", "/var/lib/rancher/k3s", "K3S_DATA_DIR", "/etc/rancher/k3s" },
	{ "rke2", "/var/lib/rancher/rke2", "RKE2_DATA_DIR", "/etc/rancher/rke2" },
};

/* Options that move containerd or replace it; in config.yaml they are keys. */
static const char *const rancher_moves[] = {
	"data-dir", "container-runtime-endpoint", "docker", "config", "root-dir",
};

/* Does a config.yaml at @path move containerd? Returns 1, 0, or a negative errno. */
static int rancher_config_moves(const char *prefix, const char *path)
{
	cleanup_free char *full = text_print("%s%s", prefix, path), *text = NULL;
	int r;

	if (!full)
		return -ENOMEM;
	r = dir_read_path(full, RANCHER_CONFIG_MAX, &text, NULL);
	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r < 0)
		return r == -ENOMEM ? r : 1;
	for (size_t i = 0; i < ARRAY_SIZE(rancher_moves); i++)
		if (strstr(text, rancher_moves[i]))
			return 1;
	return 0;
}

static int rancher_configs_move(const char *prefix, const struct rancher *rancher)
{
	cleanup_free char *main = text_print("%s/config.yaml", rancher->config_dir);
	cleanup_free char *dir = text_print("%s%s/config.yaml.d", prefix, rancher->config_dir);
	cleanup_dir DIR *stream = NULL;
	cleanup_fd int fd = -EBADF;
	const char *name;
	int r;

	if (!main || !dir)
		return -ENOMEM;
	r = rancher_config_moves(prefix, main);
	if (r != 0)
		return r;
	fd = dir_open_path(dir);
	if (fd < 0)
		return fd == -ENOENT ? 0 : 1;
	r = dir_stream(fd, &stream);
	if (r < 0)
		return r;
	while ((r = dir_next(stream, &name, NULL)) > 0) {
		cleanup_free char *path = text_print("%s/config.yaml.d/%s", rancher->config_dir, name);

		r = path ? rancher_config_moves(prefix, path) : -ENOMEM;
		if (r != 0)
			return r;
	}
	return r;
}

/* --data-dir, -d or its variable; -ENOTSUP for another option that moves things. */
static int rancher_data_dir(const struct rancher *rancher, const struct text_list *argv,
			    const struct unit_env *env, const char **ret)
{
	int r = unit_env_get(env, rancher->data_dir_variable, strlen(rancher->data_dir_variable),
			     ret);

	if (r < 0)
		return r;
	if (!**ret)
		*ret = rancher->data_dir;
	for (size_t i = 1; i < argv->count; i++) {
		const char *word = argv->items[i];

		if (word[0] != '-')
			continue;
		word += 1 + (word[1] == '-');
		if (flag_is(word, "data-dir") || flag_is(word, "d")) {
			r = split_flag(argv->items + i, argv->count - i, ret);
			if (r < 0)
				return -ENOTSUP;
			continue;
		}
		for (size_t k = 0; k < ARRAY_SIZE(rancher_moves); k++)
			if (flag_is(word, rancher_moves[k]) || flag_is(word, "c"))
				return -ENOTSUP;
	}
	return 0;
}

static int fill_rancher(const char *data_dir, struct config_start *start)
{
	start->config = text_print("%s/agent/etc/containerd/config.toml", data_dir);
	start->root = text_print("%s/agent/containerd", data_dir);
	start->state = strdup("/run/k3s/containerd");
	start->address = strdup("/run/k3s/containerd/containerd.sock");
	return start->config && start->root && start->state && start->address ? 0 : -ENOMEM;
}

static int read_rancher(const char *prefix, const struct rancher *rancher,
			const struct unit_file *unit, const struct unit_file *manager,
			const struct text_list *argv, struct config_start *start,
			char **ret_problem)
{
	cleanup_unit_env struct unit_env env = { 0 };
	const char *data_dir;
	int r;

	r = unit_env_read(prefix, unit, manager, &env);
	if (r == 0)
		r = rancher_data_dir(rancher, argv, &env, &data_dir);
	if (r == 0)
		r = rancher_configs_move(prefix, rancher);
	if (r == -ENOMEM)
		return r;
	if (r != 0)
		return answer(CONFIG_START_UNKNOWN,
			      text_print("%s is configured to keep containerd elsewhere, or its "
					 "configuration cannot be read",
					 rancher->binary),
			      ret_problem);
	r = fill_rancher(data_dir, start);
	return r < 0 ? r : CONFIG_START_KNOWN;
}

/* "containerd", also "containerd-2.1.4" and NixOS's ".containerd-wrapped". */
static bool is_containerd(const char *path)
{
	const char *name = base_name(path);

	if (strcmp(name, ".containerd-wrapped") == 0)
		return true;
	if (strncmp(name, "containerd", strlen("containerd")) != 0)
		return false;
	name += strlen("containerd");
	return !*name || (*name == '-' && name[1] >= '0' && name[1] <= '9');
}

static int read_start(const char *prefix, const struct unit_file *unit,
		      const struct unit_file *manager, struct config_start *start,
		      char **ret_problem)
{
	cleanup_text_list struct text_list argv = { 0 };
	int r = unit_exec_start(prefix, unit, manager, &argv, &start->exec_path, ret_problem);

	if (r == -ENOTSUP)
		return CONFIG_START_UNKNOWN;
	if (r == -ENOENT)
		return answer(CONFIG_START_UNKNOWN, text_print("%s has no ExecStart=", unit->name),
			      ret_problem);
	if (r < 0)
		return r;
	if (is_containerd(start->exec_path))
		return parse_flags(&argv, start, ret_problem);
	for (size_t i = 0; i < ARRAY_SIZE(ranchers); i++)
		if (strcmp(base_name(start->exec_path), ranchers[i].binary) == 0)
			return read_rancher(prefix, &ranchers[i], unit, manager, &argv, start,
					    ret_problem);
	return answer(CONFIG_START_UNKNOWN,
		      text_print("%s runs %s, not containerd", unit->name, start->exec_path),
		      ret_problem);
}

int config_start_read(const char *prefix, const struct unit_file *unit,
		      const struct unit_file *manager, struct config_start *ret,
		      char **ret_problem)
{
	cleanup_config_start struct config_start start = { 0 };
	int r = read_start(prefix, unit, manager, &start, ret_problem);

	if (r < 0)
		return r;
	*ret = start;
	start = (struct config_start){ 0 };
	return r;
}

void config_start_done(struct config_start *start)
{
	free(start->exec_path);
	free(start->config);
	free(start->root);
	free(start->state);
	free(start->address);
	*start = (struct config_start){ 0 };
}
