/*
 * What makes a data root big: its entries and bytes by part, a part being a
 * directory that containerd made for one thing (a snapshot, a container, a
 * download, …), and by kind of litter. One parallel walk, bounded.
 */
#ifndef SCANNERS_ROOTSIZE_H
#define SCANNERS_ROOTSIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scanners/litter.h"
#include "scanners/walk.h"

enum root_class {
	ROOT_TOP, /* the root itself */
	ROOT_METADATA,
	ROOT_CONTENT, ROOT_BLOBS, ROOT_INGESTS, ROOT_INGEST,
	ROOT_SNAPSHOTTER, ROOT_SNAPSHOTS, ROOT_SNAPSHOT,
	ROOT_TASKS, ROOT_TASK_NS, ROOT_TASK, /* work directories of the runtime */
	ROOT_CRI, ROOT_SANDBOXES, ROOT_SANDBOX, ROOT_CONTAINERS, ROOT_CONTAINER, ROOT_VOLUMES,
	ROOT_TMPMOUNTS, ROOT_TMPMOUNT,
	ROOT_QUARANTINE,
	ROOT_OTHER, /* what containerd did not make */
	ROOT_CLASSES,
};

/* Entries and bytes are of what lies in no deeper part. */
struct root_part {
	enum root_class kind;
	uint32_t parent; /* index; the first part is the root and its own parent */
	char *name;	 /* of its directory */
	uint64_t entries;
	uint64_t bytes;
	bool measured; /* false: bytes are not known */
	uint64_t litter[LITTER_KINDS];
};

struct root_size {
	struct root_part *parts;
	size_t count;
	bool parts_cut; /* there are more parts: what is in those counts for their parents */
	struct walk_result walk;
};

struct root_size_options {
	unsigned budget_msec; /* 0: no bound */
	bool measure;	      /* everything; else what has few files */
	bool (*progress)(uint64_t entries, void *data); /* as in struct walk_options */
	void *data;
};

/*
 * Take the size of the root at @root_fd, which stays the caller's. Returns 0
 * with @ret to end with root_size_done(), or a negative errno with it untouched.
 */
int root_size_scan(int root_fd, const struct root_size_options *options, struct root_size *ret);

/*
 * Measure the bytes of @part, which has no deeper parts, within @budget_msec.
 *
 * Returns 0, or a negative errno: -ETIME if there was not.
 */
int root_size_measure(int root_fd, struct root_size *size, uint32_t part, unsigned budget_msec);

/* Is it one thing, to be listed by itself: a snapshot, a container, …? */
bool root_class_is_item(enum root_class kind);

/* The top directory, below the root, that @part belongs to; 0 for the root's own. */
uint32_t root_size_component(const struct root_size *size, uint32_t part);

/* Its path below the root, the caller's to free(); NULL for want of memory. */
char *root_size_path(const struct root_size *size, uint32_t part);

void root_size_done(struct root_size *size);
#define cleanup_root_size __attribute__((cleanup(root_size_done)))

#endif
