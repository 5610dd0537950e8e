#include "scanners/rootsize.h"

#include <pthread.h>
#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/text.h"

enum {
	CHUNK = 256,	  /* parts that are allocated at once */
	CHUNKS = 256,	  /* 65,536 parts at most: a root has a few hundred */
	LITTER_SHIFT = 32, /* in a tag; below it is the part's index */
};

/* The first match counts. @name: NULL is any; "x*" a prefix. */
static const struct step {
	enum root_class from;
	const char *name;
	enum root_class to;
} steps[] = {
	{ ROOT_TOP, "io.containerd.metadata.v1.bolt", ROOT_METADATA },
	{ ROOT_TOP, "io.containerd.content.v1.content", ROOT_CONTENT },
	{ ROOT_TOP, "io.containerd.snapshotter.v1.*", ROOT_SNAPSHOTTER },
	{ ROOT_TOP, "io.containerd.runtime.v2.task", ROOT_TASKS },
	{ ROOT_TOP, "io.containerd.runtime.v1.linux", ROOT_TASKS },
	{ ROOT_TOP, "io.containerd.sandbox.controller.v1.shim", ROOT_TASKS },
	{ ROOT_TOP, "io.containerd.grpc.v1.cri", ROOT_CRI },
	{ ROOT_TOP, "tmpmounts", ROOT_TMPMOUNTS },
	{ ROOT_TOP, ".quarantine", ROOT_QUARANTINE },
	{ ROOT_TOP, NULL, ROOT_OTHER },
	{ ROOT_CONTENT, "blobs", ROOT_BLOBS },
	{ ROOT_CONTENT, "ingest", ROOT_INGESTS },
	{ ROOT_INGESTS, NULL, ROOT_INGEST },
	{ ROOT_SNAPSHOTTER, "snapshots", ROOT_SNAPSHOTS },
	{ ROOT_SNAPSHOTS, NULL, ROOT_SNAPSHOT },
	{ ROOT_TASKS, NULL, ROOT_TASK_NS },
	{ ROOT_TASK_NS, NULL, ROOT_TASK },
	{ ROOT_CRI, "sandboxes", ROOT_SANDBOXES },
	{ ROOT_CRI, "containers", ROOT_CONTAINERS },
	{ ROOT_SANDBOXES, NULL, ROOT_SANDBOX },
	{ ROOT_CONTAINERS, NULL, ROOT_CONTAINER },
	{ ROOT_CONTAINER, "volumes", ROOT_VOLUMES },
	{ ROOT_TMPMOUNTS, NULL, ROOT_TMPMOUNT },
};

/* Big files and few: worth a statx each even when time is short. */
static bool is_cheap(enum root_class kind)
{
	switch (kind) {
	case ROOT_TOP:
	case ROOT_METADATA:
	case ROOT_CONTENT:
	case ROOT_BLOBS:
	case ROOT_INGESTS:
	case ROOT_INGEST:
	case ROOT_SNAPSHOTTER:
	case ROOT_CRI:
	case ROOT_SANDBOX:
	case ROOT_CONTAINER:
		return true;
	default:
		return false;
	}
}

bool root_class_is_item(enum root_class kind)
{
	switch (kind) {
	case ROOT_INGEST:
	case ROOT_SNAPSHOT:
	case ROOT_TASK:
	case ROOT_SANDBOX:
	case ROOT_CONTAINER:
	case ROOT_VOLUMES:
	case ROOT_TMPMOUNT:
	case ROOT_QUARANTINE:
	case ROOT_OTHER:
		return true;
	default:
		return false;
	}
}

/* Parts as they are found: they never move, for workers count into them. */
struct finding {
	const struct root_size_options *options;
	pthread_mutex_t mutex;
	bool cut, no_memory;
	uint32_t count;
	struct root_part *chunks[CHUNKS];
};

static struct root_part *part_at(const struct finding *finding, uint32_t index)
{
	return &finding->chunks[index / CHUNK][index % CHUNK];
}

/* Returns 0 with the index, or a negative errno. */
static int add_part(struct finding *finding, uint32_t parent, enum root_class kind,
		    const char *name, uint32_t *ret)
{
	uint32_t index = finding->count;
	struct root_part **chunk;
	struct root_part *part;
	char *copy;

	if (index == CHUNK * CHUNKS)
		return -ENOBUFS;
	chunk = &finding->chunks[index / CHUNK];
	if (!*chunk)
		*chunk = calloc(CHUNK, sizeof(**chunk));
	copy = *chunk ? strdup(name) : NULL;
	if (!copy)
		return -ENOMEM;
	part = part_at(finding, index);
	part->kind = kind;
	part->parent = parent;
	part->name = copy;
	part->measured = finding->options->measure || is_cheap(kind);
	finding->count++;
	*ret = index;
	return 0;
}

static bool name_matches(const char *pattern, const char *name)
{
	size_t len;

	if (!pattern)
		return true;
	len = strlen(pattern);
	if (pattern[len - 1] == '*')
		return strncmp(pattern, name, len - 1) == 0;
	return strcmp(pattern, name) == 0;
}

static const struct step *find_step(enum root_class from, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		if (steps[i].from == from && name_matches(steps[i].name, name))
			return &steps[i];
	return NULL;
}

static uint64_t make_tag(uint32_t index, enum litter litter, bool measured)
{
	return index | (uint64_t)litter << LITTER_SHIFT | (measured ? WALK_MEASURE : 0);
}

static enum litter tag_litter(uint64_t tag)
{
	return (enum litter)((tag & ~WALK_MEASURE) >> LITTER_SHIFT);
}

static uint64_t enter(uint64_t parent, const char *name, unsigned depth, void *data)
{
	struct finding *finding = data;
	uint32_t index = (uint32_t)parent;
	struct root_part *part = part_at(finding, index);
	const struct step *step = find_step(part->kind, name);
	bool measured = part->measured;
	int r;

	(void)depth;
	if (!step)
		return make_tag(index, litter_of(tag_litter(parent), name), measured);
	(void)pthread_mutex_lock(&finding->mutex);
	r = add_part(finding, index, step->to, name, &index);
	if (r == 0)
		measured = part_at(finding, index)->measured;
	else if (r == -ENOBUFS)
		finding->cut = true;
	else
		finding->no_memory = true;
	(void)pthread_mutex_unlock(&finding->mutex);
	return make_tag(index, LITTER_NONE, measured);
}

static void tally(uint64_t tag, const struct walk_sums *sums, void *data)
{
	struct root_part *part = part_at(data, (uint32_t)tag);

	__atomic_fetch_add(&part->entries, sums->entries, __ATOMIC_RELAXED);
	__atomic_fetch_add(&part->bytes, sums->bytes, __ATOMIC_RELAXED);
	__atomic_fetch_add(&part->litter[tag_litter(tag)], sums->entries, __ATOMIC_RELAXED);
}

static bool report(uint64_t entries, void *data)
{
	const struct finding *finding = data;

	return finding->options->progress(entries, finding->options->data);
}

static void finding_done(struct finding *finding)
{
	for (uint32_t i = 0; i < finding->count; i++)
		free(part_at(finding, i)->name);
	for (size_t i = 0; i < CHUNKS; i++)
		free(finding->chunks[i]);
	(void)pthread_mutex_destroy(&finding->mutex);
}

/* The parts as one array; their names move along. */
static int flatten(struct finding *finding, struct root_size *size)
{
	struct root_part *parts = calloc(finding->count, sizeof(*parts));

	if (!parts)
		return -ENOMEM;
	for (uint32_t i = 0; i < finding->count; i++)
		parts[i] = *part_at(finding, i);
	size->parts = parts;
	size->count = finding->count;
	size->parts_cut = finding->cut;
	finding->count = 0;
	return 0;
}

int root_size_scan(int root_fd, const struct root_size_options *options, struct root_size *ret)
{
	struct finding finding = { .options = options, .mutex = PTHREAD_MUTEX_INITIALIZER };
	struct walk_options walk = {
		.budget_msec = options->budget_msec,
		.enter = enter,
		.tally = tally,
		.progress = options->progress ? report : NULL,
		.data = &finding,
	};
	struct root_size size = { 0 };
	uint32_t top;
	int r;

	r = add_part(&finding, 0, ROOT_TOP, "", &top);
	if (r == 0) {
		walk.tag = make_tag(top, LITTER_NONE, part_at(&finding, top)->measured);
		r = walk_tree(root_fd, &walk, &size.walk);
	}
	if (r == 0)
		r = finding.no_memory ? -ENOMEM : flatten(&finding, &size);
	finding_done(&finding);
	if (r == 0)
		*ret = size;
	return r;
}

static int open_part(int root_fd, const struct root_size *size, uint32_t part)
{
	cleanup_fd int parent = -EBADF;

	if (size->parts[part].parent == 0)
		return dir_open_beneath(root_fd, size->parts[part].name);
	parent = open_part(root_fd, size, size->parts[part].parent);
	if (parent < 0)
		return parent;
	return dir_open_beneath(parent, size->parts[part].name);
}

int root_size_measure(int root_fd, struct root_size *size, uint32_t part, unsigned budget_msec)
{
	cleanup_fd int fd = -EBADF;
	const struct walk_options walk = { .budget_msec = budget_msec, .tag = WALK_MEASURE };
	struct walk_result result;
	int r;

	fd = open_part(root_fd, size, part);
	if (fd < 0)
		return fd;
	r = walk_tree(fd, &walk, &result);
	if (r < 0)
		return r;
	if (!result.complete)
		return result.error ?: -ETIME;
	size->parts[part].bytes = result.bytes;
	size->parts[part].measured = true;
	return 0;
}

uint32_t root_size_component(const struct root_size *size, uint32_t part)
{
	while (size->parts[part].parent != 0)
		part = size->parts[part].parent;
	return part;
}

char *root_size_path(const struct root_size *size, uint32_t part)
{
	cleanup_free char *parent = NULL;

	if (size->parts[part].parent == 0)
		return strdup(size->parts[part].name);
	parent = root_size_path(size, size->parts[part].parent);
	return parent ? text_print("%s/%s", parent, size->parts[part].name) : NULL;
}

void root_size_done(struct root_size *size)
{
	for (size_t i = 0; i < size->count; i++)
		free(size->parts[i].name);
	free(size->parts);
	*size = (struct root_size){ 0 };
}
