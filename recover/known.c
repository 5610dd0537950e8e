#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>

#include "recover/fate.h"
#include "scanners/cleanup.h"
#include "scanners/cri.h"
#include "scanners/dir.h"
#include "scanners/metadata.h"
#include "scanners/records.h"
#include "scanners/sharers.h"
#include "scanners/text.h"

#define CRI_NAMESPACE "k8s.io"
enum { CRI_MSEC = 10000 };

static int add_id(struct known *known, const char *id)
{
	if (!id)
		return 0;
	return json_object_set_new_nocheck(known->ids, id, json_true()) < 0 ? -ENOMEM : 0;
}

static int add_records(struct known *known, const struct metadata *metadata)
{
	int r = 0;

	/* A container that outlived its sandbox's record still speaks for it. */
	for (size_t i = 0; r == 0 && i < metadata->container_count; i++) {
		r = add_id(known, metadata->containers[i].id);
		if (r == 0)
			r = add_id(known, metadata->containers[i].sandbox_id);
	}
	for (size_t i = 0; r == 0 && i < metadata->sandbox_count; i++)
		r = add_id(known, metadata->sandboxes[i].id);
	return r;
}

/* A containerd that is starting has its lock before it has its socket. */
static bool is_in_use(int root_fd)
{
	cleanup_fd int fd = openat(root_fd, METADATA_DIR "/" METADATA_FILE,
				   O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

static int read_records(const struct config *config, struct known *known)
{
	cleanup_metadata struct metadata metadata = { 0 };
	cleanup_fd int root = dir_open_path(config->root);
	int r;

	if (root == -ENOENT) {
		known->source = KNOWN_ABSENT;
		return 0;
	}
	if (root < 0 || is_in_use(root)) {
		known->problem = root < 0 ? "containerd is down and its data root cannot be read" :
					    "containerd does not answer, but somebody has its metadata open";
		return 0;
	}
	r = metadata_read_root(root, &metadata);
	if (r < 0)
		return r;
	switch (metadata.finding.state) {
	case BOLT_SOUND:
		known->source = KNOWN_METADATA;
		return add_records(known, &metadata);
	case BOLT_ABSENT:
	case BOLT_EMPTY:
		known->source = KNOWN_ABSENT;
		return 0;
	default:
		known->problem = "containerd is down and its metadata is damaged or unreadable";
		return 0;
	}
}

/*
 * Containers too: of a bundle whose config.json is torn, the id says not what it is.
 * And records that CRI does not list: what nerdctl runs beside the pods.
 */
static int ask(const struct config *config, struct known *known)
{
	cleanup_cri_sandboxes struct cri_sandboxes sandboxes = { 0 };
	cleanup_cri_containers struct cri_containers containers = { 0 };
	cleanup_text_list struct text_list records = { 0 };
	int r = cri_list_sandboxes(config->address, CRI_MSEC, &sandboxes);

	if (r == 0)
		r = cri_list_containers(config->address, CRI_MSEC, &containers);
	if (r == 0)
		r = records_list(config->address, CRI_NAMESPACE, CRI_MSEC, &records);
	if (r == -ENOENT || r == -ECONNREFUSED)
		return read_records(config, known);
	if (r < 0) {
		known->problem = cri_error_name(r);
		return r == -ENOMEM ? r : 0;
	}
	known->source = KNOWN_CRI;
	for (size_t i = 0; r == 0 && i < records.count; i++)
		r = add_id(known, records.items[i]);
	for (size_t i = 0; r == 0 && i < sandboxes.count; i++)
		r = add_id(known, sandboxes.items[i].id);
	for (size_t i = 0; r == 0 && i < containers.count; i++) {
		r = add_id(known, containers.items[i].id);
		if (r == 0)
			r = add_id(known, containers.items[i].sandbox_id);
	}
	return r;
}

int known_read(const struct config *config, struct known *ret)
{
	cleanup_known struct known known = { .ids = json_object() };
	int r = known.ids ? ask(config, &known) : -ENOMEM;

	if (r == 0)
		r = sharers_find(config, &known.sharer);
	if (r < 0)
		return r;
	*ret = known;
	known = (struct known){ 0 };
	return 0;
}

void known_done(struct known *known)
{
	json_decref(known->ids);
	free(known->sharer);
	*known = (struct known){ 0 };
}
