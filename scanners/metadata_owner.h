/*
 * Which namespace the records of a damaged meta.db belong to, by what is left of
 * the pages that name namespaces. A record's bucket is known by its root page:
 * records are nested buckets, and those are never inside another's page.
 */
#ifndef SCANNERS_METADATA_OWNER_H
#define SCANNERS_METADATA_OWNER_H

#include "scanners/bolt_tree.h"

/* A path from a namespace to the page of a record. */
struct metadata_claim {
	uint64_t page;
	size_t ns;  /* of metadata_owners.namespaces */
	bool live; /* reached from the root of the live meta page */
};

/* An image, as the live tree names it; its record may be there or not. */
struct metadata_name {
	size_t ns;
	char *name;
};

struct metadata_owners {
	struct metadata_claim *claims; /* by page, live ones first */
	size_t count;
	char **namespaces;
	size_t namespace_count;
	struct metadata_name *images;
	size_t image_count;
};

/*
 * Look for namespaces on every page of @tree's file: first those that its root
 * leads to, if it has one, then what older versions of pages say.
 *
 * Returns 0 with @ret to end with metadata_owners_done(), or -ENOMEM.
 */
int metadata_owners_find(struct bolt_tree *tree, struct metadata_owners *ret);

/*
 * The namespace of the record whose bucket begins on @page; NULL if none, or if
 * old pages disagree: a page that was freed may be another namespace's by now.
 */
const char *metadata_owner(const struct metadata_owners *owners, uint64_t page);

void metadata_owners_done(struct metadata_owners *owners);
#define cleanup_metadata_owners __attribute__((cleanup(metadata_owners_done)))

#endif
