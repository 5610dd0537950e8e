/*
 * By what the firewall rules of lost sandboxes are known: their ids, which stand
 * in comments, and what the plugins make of network and id by hash: the names
 * of a container's own chains, and how some comments begin.
 */
#ifndef RECOVER_RULE_NAMES_H
#define RECOVER_RULE_NAMES_H

#include <jansson.h>
#include <stdbool.h>

#include "scanners/config.h"
#include "scanners/inventory.h"

struct rule_names {
	json_t *ids, *hashes; /* objects with the names as keys */
};

/*
 * For every network that a sandbox of @lost may have been in: those of its cache
 * files and reservations, and CRI's own (@config NULL: not these). Returns 0
 * with @ret to end with rule_names_done(), or a negative errno.
 */
int rule_names_make(const struct config *config, const struct inventory *lost,
		    struct rule_names *ret);

/* Is @chain a lost container's own? */
bool rule_names_have_chain(const struct rule_names *names, const char *chain);

/* Does @comment name a lost container, by id or by hash? */
bool rule_names_have_comment(const struct rule_names *names, const char *comment);

void rule_names_done(struct rule_names *names);
#define cleanup_rule_names __attribute__((cleanup(rule_names_done)))

#endif
