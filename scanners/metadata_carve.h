/*
 * What can still be had of a damaged meta.db: every page is looked at by
 * itself. An item of a leaf page that is a bucket is an image's or a
 * container's if what it points to still looks like one.
 */
#ifndef SCANNERS_METADATA_CARVE_H
#define SCANNERS_METADATA_CARVE_H

#include "scanners/bolt_tree.h"
#include "scanners/metadata.h"

/*
 * Add what is found in @fd, of which @finding is known, to @metadata's images and containers,
 * and mark it as carved; of several versions of a record the latest. What cannot be read is
 * left out. Returns 0, or -ENOMEM.
 */
int metadata_carve(int fd, const struct bolt_finding *finding, struct metadata *metadata);

/*
 * For another file: if @whole can read the tree after all, for the damage is beside it, that is
 * that. Else call @visit with every item of a leaf page of @fd that is a bucket, whichever
 * version of the tree it is of; what it returns but -ENOMEM does not end the carving.
 *
 * Returns 1 if @whole returned 0, 0 if it was carved, or -ENOMEM.
 */
int metadata_carve_buckets(int fd, const struct bolt_finding *finding, bolt_reader *whole,
			   bolt_visit *visit, void *data);

#endif
