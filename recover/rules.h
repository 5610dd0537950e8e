/*
 * Taking away the firewall rules of lost sandboxes: ipMasq's and portmap's, told
 * by their comment or by the chain that they jump to, and those chains, also
 * one that nothing jumps to any more: a plugin that is killed in between leaves
 * it. In nf_tables, and in the legacy tables where the node has them.
 */
#ifndef RECOVER_RULES_H
#define RECOVER_RULES_H

#include <stdbool.h>
#include <stddef.h>

#include "recover/rule_names.h"
#include "scanners/config.h"
#include "scanners/inventory.h"

struct rules_result {
	size_t removed; /* rules and chains; what was in the chains is not counted */
	size_t failed;
};

/* Returns 0, or the first negative errno after trying all. @config as in rule_names_make(). */
int rules_remove(const struct config *config, const struct inventory *lost,
		 struct rules_result *ret);

/* As rules_remove() for the legacy tables alone; called by it. */
int rules_remove_legacy(const struct rule_names *names, struct rules_result *ret);

/* Is @chain one that CNI's plugins make for a single container? */
bool rules_is_own_chain(const char *chain);

#endif
