#include "scanners/bundle.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/process.h"
#include "scanners/text.h"

enum {
	SPEC_MAX = 4 * 1024 * 1024,
	SMALL_MAX = 64 * 1024, /* address, bootstrap.json, init.pid, shim-binary-path */
};

static int copy(char **ret, const char *text)
{
	if (!text || !*text)
		return 0;
	*ret = strdup(text);
	return *ret ? 0 : -ENOMEM;
}

/* A missing or unusable file is -EINVAL or its errno; only -ENOMEM matters to callers. */
static int load_json(int dirfd, const char *name, size_t max, json_t **ret)
{
	cleanup_free char *text = NULL;
	size_t size;
	json_t *json;
	int r;

	r = dir_read_file(dirfd, name, max, &text, &size);
	if (r < 0)
		return r;
	json = json_loadb(text, size, 0, NULL);
	if (!json)
		return -EINVAL;
	*ret = json;
	return 0;
}

static const char *network_namespace(const json_t *linux_spec)
{
	size_t i;
	json_t *ns;

	json_array_foreach(json_object_get(linux_spec, "namespaces"), i, ns)
	{
		const char *type = json_string_value(json_object_get(ns, "type"));

		if (type && strcmp(type, "network") == 0)
			return json_string_value(json_object_get(ns, "path"));
	}
	return NULL;
}

static int take_spec(const json_t *spec, struct bundle *bundle)
{
	const json_t *notes = json_object_get(spec, "annotations");
	const json_t *linux_spec = json_object_get(spec, "linux");
	const struct {
		char **ret;
		const char *text;
	} members[] = {
#define NOTE(name) json_string_value(json_object_get(notes, "io.kubernetes.cri." name))
		{ &bundle->sandbox_id, NOTE("sandbox-id") },
		{ &bundle->pod_name, NOTE("sandbox-name") },
		{ &bundle->pod_namespace, NOTE("sandbox-namespace") },
		{ &bundle->pod_uid, NOTE("sandbox-uid") },
#undef NOTE
		{ &bundle->netns, network_namespace(linux_spec) },
		{ &bundle->cgroup_path,
		  json_string_value(json_object_get(linux_spec, "cgroupsPath")) },
	};

	/* A path below directories that this program deletes in: no specification of CRI's. */
	if (members[0].text && !text_is_single_name(members[0].text))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (copy(members[i].ret, members[i].text) < 0)
			return -ENOMEM;
	bundle->readable = true;
	return 0;
}

static int read_spec(int fd, struct bundle *bundle)
{
	json_auto_t *spec = NULL;
	int r = load_json(fd, "config.json", SPEC_MAX, &spec);

	if (r < 0)
		return r == -ENOMEM ? r : 0;
	return json_is_object(spec) ? take_spec(spec, bundle) : 0;
}

/* The content of a small text file, without the white space at its end. */
static int read_line(int fd, const char *name, char **ret)
{
	size_t size;
	int r = dir_read_file(fd, name, SMALL_MAX, ret, &size);

	if (r < 0)
		return r == -ENOMEM ? r : 0;
	while (size > 0 && strchr(" \t\r\n", (*ret)[size - 1]))
		(*ret)[--size] = '\0';
	return 0;
}

static int read_address(int fd, struct bundle *bundle)
{
	json_auto_t *bootstrap = NULL;
	int r = load_json(fd, "bootstrap.json", SMALL_MAX, &bootstrap);
	const char *protocol = json_string_value(json_object_get(bootstrap, "protocol"));

	if (r == -ENOMEM)
		return r;
	if (r != 0)
		return read_line(fd, "address", &bundle->shim_address);
	bundle->shim_grpc = protocol && strcmp(protocol, "grpc") == 0;
	return copy(&bundle->shim_address,
		    json_string_value(json_object_get(bootstrap, "address")));
}

static int read_init(int fd, pid_t *ret)
{
	cleanup_free char *text = NULL;
	int r = read_line(fd, "init.pid", &text);
	char *end;
	long pid;

	if (r < 0 || !text)
		return r;
	pid = strtol(text, &end, 10);
	if (*text && *end == '\0' && pid > 0 && pid <= INT32_MAX)
		*ret = (pid_t)pid;
	return 0;
}

int bundle_read(int ns_fd, const char *ns, const char *id, struct bundle *ret)
{
	cleanup_bundle struct bundle bundle = { 0 };
	cleanup_fd int fd = dir_open_beneath(ns_fd, id);
	int r;

	if (fd < 0)
		return fd;
	(void)dir_changed(ns_fd, id, &bundle.changed_sec); /* 0 says unknown */
	r = copy(&bundle.ns, ns);
	if (r == 0)
		r = copy(&bundle.id, id);
	if (r == 0)
		r = read_spec(fd, &bundle);
	if (r == 0)
		r = read_address(fd, &bundle);
	if (r == 0)
		r = read_line(fd, "shim-binary-path", &bundle.runtime_binary);
	if (r == 0)
		r = read_init(fd, &bundle.init);
	if (r < 0)
		return r;
	*ret = bundle;
	bundle = (struct bundle){ 0 };
	return 0;
}

void bundle_done(struct bundle *bundle)
{
	free(bundle->ns);
	free(bundle->id);
	free(bundle->sandbox_id);
	free(bundle->pod_name);
	free(bundle->pod_namespace);
	free(bundle->pod_uid);
	free(bundle->netns);
	free(bundle->cgroup_path);
	free(bundle->runtime_binary);
	free(bundle->shim_address);
	*bundle = (struct bundle){ 0 };
}

static int load_runc_state(const char *ns, const char *id, json_t **ret)
{
	cleanup_free char *path = text_print(BUNDLE_RUNC_ROOT "/%s/%s/state.json", ns, id);

	if (!path)
		return -ENOMEM;
	return load_json(AT_FDCWD, path, SPEC_MAX, ret);
}

int bundle_runc_init(const char *ns, const char *id, struct process *ret)
{
	json_auto_t *state = NULL;
	json_int_t pid, start;
	int r;

	r = load_runc_state(ns, id, &state);
	if (r < 0)
		return r;
	pid = json_integer_value(json_object_get(state, "init_process_pid"));
	start = json_integer_value(json_object_get(state, "init_process_start"));
	if (pid <= 0 || pid > INT32_MAX || start <= 0)
		return -EINVAL;
	*ret = (struct process){ .pid = (pid_t)pid, .start_ticks = (uint64_t)start };
	return 0;
}

int bundle_runc_cgroups(const char *ns, const char *id, struct text_list *ret)
{
	json_auto_t *state = NULL;
	const char *controller;
	json_t *path;
	int r;

	r = load_runc_state(ns, id, &state);
	if (r < 0)
		return r;
	json_object_foreach(json_object_get(state, "cgroup_paths"), controller, path)
	{
		if (!json_is_string(path))
			continue;
		r = text_list_add(ret, json_string_value(path));
		if (r < 0)
			return r;
	}
	return 0;
}
