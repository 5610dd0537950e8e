/*
 * What makes this root big, with names to the numbers: the size of its parts
 * joined with containerd's records.
 */
#ifndef RECOVER_SCAN_H
#define RECOVER_SCAN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "scanners/config.h"
#include "scanners/inventory.h"
#include "scanners/rootsize.h"

enum scan_owner {
	SCAN_UNKNOWN, /* containerd's records could not be read */
	SCAN_POD,
	SCAN_CONTAINER, /* of a client other than Kubernetes */
	SCAN_IMAGE,
	SCAN_ORPHAN, /* containerd has no record of it */
	SCAN_OURS,   /* a quarantine */
};

struct scan_item {
	uint32_t part; /* in struct root_size */
	enum scan_owner owner;
	char *label; /* "pod ci/build-7, main", "layer of an image" */
};

struct scan_left {
	uint64_t snapshots, snapshot_entries;
	uint64_t blobs, blob_bytes;
	uint64_t bundles; /* without a living process */
	uint64_t mounts;  /* below the state directory, of such bundles or of none */
};

struct scan {
	struct root_size size;
	struct scan_item *items; /* most entries first */
	size_t item_count;
	bool records_read; /* of meta.db: false, and nothing is called an orphan */
	char *records_problem; /* why not, or NULL */
	bool state_read; /* of the state directory: false, and bundles and mounts are not told */
	struct scan_left left;
};

struct scan_options {
	unsigned budget_msec; /* 0: no bound */
	bool full;	      /* measure the bytes of everything */
	size_t top;	      /* items to measure if not all are */
	bool (*progress)(uint64_t entries, void *data);
	void *data;
};

/*
 * Scan the root at @root_fd. @inventory may be NULL: then bundles and mounts
 * are not looked at. Returns 0 with @ret to end with scan_done(), or a negative
 * errno with it untouched.
 */
int scan_root(int root_fd, const struct config *config, const struct inventory *inventory,
	      const struct scan_options *options, struct scan *ret);

void scan_done(struct scan *scan);
#define cleanup_scan __attribute__((cleanup(scan_done)))

/* Give every item its owner and label, and count what is left over. */
int scan_name_items(int root_fd, struct scan *scan);

/* A directory at the top of the root, with all that is below it. */
struct scan_component {
	uint32_t part; /* 0: what lies in the root itself */
	uint64_t entries, bytes;
	bool measured; /* all of it: else bytes are not known */
};

/*
 * The components, most entries first, in *@ret, the caller's to free(). Returns
 * their number, 0 for want of memory.
 */
size_t scan_sum_components(const struct root_size *size, struct scan_component **ret);

/* Count bundles and mounts that no living sandbox of @inventory has. */
int scan_left_in_state(const struct config *config, const struct inventory *inventory,
		       struct scan_left *left);

/* For a person: @root is its name, @mark the entries that make it bloated; at most @top items. */
void scan_print(FILE *to, const struct scan *scan, const char *root, uint64_t mark, size_t top);

/* As containerd-recover(8), JSON, has it; NULL for want of memory. */
json_t *scan_to_json(const struct scan *scan, size_t top);

/*
 * Write the tree at @root_fd, shown as @name, in the format that `ncdu -f`
 * reads. Returns 0, or a negative errno: what could not be read is marked in
 * the export and is no error.
 */
int scan_export(int root_fd, const char *name, FILE *to);

#endif
