/*
 * What `plan` and `scan` say besides the decision: things no rule acts on, which keep a node
 * from running pods all the same while nothing is wrong with containerd's start.
 */
#ifndef RECOVER_NOTICES_H
#define RECOVER_NOTICES_H

#include <jansson.h>

#include "recover/situation.h"

/*
 * [{id, text}]: the id is for programs and does not change, the text is a line for a
 * person. What cannot be told is passed over. The caller's; NULL for want of memory.
 *
 *	stopped		`now` or `restore` has stopped containerd
 *	records		our own records cannot be written
 *	lock-holder	somebody else has meta.db
 *	fresh-root-held	a fresh root would be held back if it were called for
 *	cri		CRI calls its runtime or its network not ready
 *	lost-sandboxes	pods that containerd lost hold something of the node
 *	runtime		the default runtime's program, runc, is not there
 *	snapshots	meta.db names snapshots that their own database does not
 */
json_t *notices_gather(const struct situation *s);

/* A line on stdout for each. */
void notices_print(const json_t *notices);

#endif
