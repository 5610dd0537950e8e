/*
 * Taking away the firewall rules of lost sandboxes: ipMasq's and portmap's, told
 * by the container id in their comment, and the chains of their own that they
 * jump to (CNI-<hash>, CNI-DN-<hash>). In nf_tables, and in the legacy tables
 * where the node has them.
 */
#ifndef RECOVER_RULES_H
#define RECOVER_RULES_H

#include <stdbool.h>
#include <stddef.h>

#include "scanners/inventory.h"

struct rules_result {
	size_t removed; /* rules with a comment; their chains' content is not counted */
	size_t failed;
};

/* Returns 0, or the first negative errno after trying all. */
int rules_remove(const struct inventory *lost, struct rules_result *ret);

/* As rules_remove() for the legacy tables alone; called by it. */
int rules_remove_legacy(const struct inventory *lost, struct rules_result *ret);

/*
 * Whether @comment names a sandbox of @lost: returns its index, or -1.
 */
ptrdiff_t rules_owner(const struct inventory *lost, const char *comment);

/* Is @chain one that CNI's plugins make for a single container? */
bool rules_is_own_chain(const char *chain);

#endif
