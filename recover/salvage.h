/*
 * Bringing the images of a quarantined root into the containerd with the fresh
 * one: the pause image first, then by how many lost pods used them. What is
 * brought over was verified by digest; what is there already is left alone; a
 * list of all references is kept for pulling what could not be had.
 *
 * No archive touches the disk, and a verified blob is linked into the new
 * store before it is imported, so that its content is on the disk once, and
 * stays in the quarantine for a restore.
 */
#ifndef RECOVER_SALVAGE_H
#define RECOVER_SALVAGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scanners/bolt.h"
#include "scanners/config.h"

enum salvage_outcome {
	SALVAGE_PENDING,
	SALVAGE_DONE,
	SALVAGE_PRESENT, /* was there already, by this name */
	SALVAGE_MISSING, /* blobs are not there, or not what their names say */
	SALVAGE_FAILED,	 /* containerd did not take it */
	SALVAGE_NO_TIME, /* the budget ended */
	SALVAGE_NO_ROOM,
	SALVAGE_NOT_WANTED, /* by policy */
};

struct salvage_image {
	char *ns;     /* containerd's namespace, NULL if unknown */
	char *digest; /* of the manifest or index; NULL if its record is lost */
	char **names;
	size_t name_count;
	unsigned users; /* lost containers of this image */
	bool pause;     /* what sandboxes are made of */
	bool by_config; /* the pause image of the configuration */
	bool pinned;    /* CRI was told never to remove it */
	enum salvage_outcome outcome;
	char *why; /* of an outcome that is not good, may be NULL */
	uint64_t bytes;
	unsigned msec;
};

struct salvage {
	struct salvage_image *images; /* in the order in which they are brought over */
	size_t count;
	enum bolt_state records; /* of the quarantined meta.db */
	bool carved;
};

struct salvage_options {
	bool pause_only;	 /* leave the others for another call */
	unsigned budget_msec;	 /* of this call */
	uint64_t max_rate;	 /* bytes per second, but for the pause image; 0: any */
	uint64_t min_free_bytes; /* to leave on the file system */
	const char *archives;	 /* directory of salvage_keep_archive(), or NULL; for
				    the pause image, if it cannot be had otherwise */
};

/*
 * What images the quarantined root @old_root_fd had, by its records.
 *
 * Returns 0 with @ret to end with salvage_done(), or a negative errno.
 */
int salvage_list(int old_root_fd, const struct config *config, struct salvage *ret);

/*
 * Bring over what is pending, into the running containerd of @config with its
 * root at @new_root_fd. Repeatable: what was brought over before is present.
 *
 * Returns 0 with the outcome of each in @salvage (those that were not come to
 * stay pending with @pause_only, else they are SALVAGE_NO_TIME), or a negative
 * errno: -ENOTCONN where containerd does not answer, or was restarted meanwhile;
 * -EXDEV where the one that answers has another root, and nothing is brought over.
 */
int salvage_run(const struct config *config, int old_root_fd, int new_root_fd,
		const struct salvage_options *options, struct salvage *salvage);

/*
 * Write repull-<id>.txt below @records_fd, with what is not there (yet): a line
 * "<namespace> <reference>" for each, "-" if it is not known. Returns 0 or a
 * negative errno.
 */
int salvage_record_list(int records_fd, const char *id, const struct salvage *salvage);

/* That, and at the end of it all salvage-<id>.json. Returns 0 or a negative errno. */
int salvage_record(int records_fd, const char *id, const struct salvage *salvage);

/* "done", "missing", … */
const char *salvage_outcome_name(enum salvage_outcome outcome);

#define SALVAGE_ARCHIVE_PREFIX "pause-"

/*
 * Keep an archive of the pause image of the running containerd's root @root_fd
 * in @directory, so that it can be had even if the whole content store is lost.
 * Costs nothing if the archive there is of the same image.
 *
 * Returns 1 if an archive was written, 0 if it was there or there is no such
 * image, or a negative errno.
 */
int salvage_keep_archive(const struct config *config, int root_fd, const char *directory);

void salvage_done(struct salvage *salvage);
#define cleanup_salvage __attribute__((cleanup(salvage_done)))

#endif
