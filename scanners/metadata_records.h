/*
 * The records of meta.db, one bucket each, into struct metadata. What
 * scanners/metadata*.c share.
 */
#ifndef SCANNERS_METADATA_RECORDS_H
#define SCANNERS_METADATA_RECORDS_H

#include "scanners/bolt_tree.h"
#include "scanners/metadata.h"

#define METADATA_CRI_NAMESPACE "k8s.io"

/* What does not decode is noted and left out. */
struct metadata_reading {
	struct metadata *out;
	bool bad_value;
	uint64_t bad_page; /* the first one's */
	const char *ns;	   /* where reading is */
	const char *snapshotter;
};

/* Every record of the tree. Returns 0, damage or errno; bad values are noted in @reading. */
int metadata_read_tree(struct bolt_tree *tree, struct metadata_reading *reading);

/* The record that @item, a bucket, is; its key is the name or id. Returns 0, damage or errno.
 */
int metadata_read_image(struct bolt_tree *tree, const struct bolt_item *item,
			struct metadata_reading *reading);
int metadata_read_container(struct bolt_tree *tree, const struct bolt_item *item,
			    struct metadata_reading *reading);
/* A container's bucket whose name is lost: if it is CRI's it knows its id. */
int metadata_read_lost_container(struct bolt_tree *tree, const struct bolt_bucket *bucket,
				 struct metadata_reading *reading);
int metadata_read_sandbox(struct bolt_tree *tree, const struct bolt_item *item,
			  struct metadata_reading *reading);

/* "createdat" and "updatedat"; returns -ENOENT if @item is neither. */
int metadata_read_times(const struct bolt_item *item, struct metadata_times *times);

/*
 * Append a copy of the @size bytes at @record to the array @items of @count;
 * @items is a pointer to the array's pointer. Returns 0, or -ENOMEM.
 */
int metadata_keep(void *items, size_t *count, const void *record, size_t size);

/* strdup() into @ret unless @text is NULL. Returns 0, or -ENOMEM. */
int metadata_copy_text(const char *text, char **ret);

/* A member of a record that is a text. */
struct metadata_text_field {
	const char *key;
	size_t offset; /* of a char * in the record */
};

/* Returns what metadata_text() does, or -ENOENT if @item is none of @fields. */
int metadata_take_text(const struct bolt_item *item, const struct metadata_text_field *fields,
		       size_t count, void *record);

/* 0 for BOLT_VALUE, which is noted; else @outcome. */
int metadata_note(struct metadata_reading *reading, const struct bolt_tree *tree, int outcome);

/* A directory of the data root. Returns an fd, or a negative number with @ret telling why. */
int metadata_open_dir(int root_fd, const char *name, struct bolt_finding *ret);

void metadata_image_done(struct metadata_image *image);
void metadata_container_done(struct metadata_container *container);
void metadata_snapshot_done(struct metadata_snapshot *snapshot);
void metadata_lease_done(struct metadata_lease *lease);
void metadata_blob_done(struct metadata_blob *blob);

#endif
