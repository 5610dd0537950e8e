/*
 * Taking the host links of lost sandboxes down, and deleting them, many at once:
 * the links are put into a group of their own (IFLA_GROUP) and one message is
 * sent to the group, so that they share the kernel's waits. Groups are kept
 * small enough that RTNL, which everybody on the node waits for, is never held
 * long. A link in somebody else's group is handled by itself and stays in it.
 */
#ifndef RECOVER_LINKS_H
#define RECOVER_LINKS_H

#include <stddef.h>

#include "scanners/inventory.h"

struct links_result {
	size_t done;   /* down, or deleted */
	size_t failed; /* each was logged */
};

/*
 * Every link is looked up again: only a veth or ifb that still has the index, name
 * and address that were judged is touched; one that is gone is success.
 *
 * Return 0, or the first negative errno after trying all.
 */
int links_take_down(const struct inventory *lost, struct links_result *ret);
int links_delete(const struct inventory *lost, struct links_result *ret);

#endif
