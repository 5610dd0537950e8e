/*
 * What `plan` says besides its decision: things no rule acts on, which keep a node
 * from running pods all the same while nothing is wrong with containerd's start.
 */
#ifndef RECOVER_NOTICES_H
#define RECOVER_NOTICES_H

#include "recover/situation.h"

/*
 * A line on stdout for each: who else has meta.db, what would hold a fresh root
 * back, pods that containerd lost, a network that CRI calls not ready, snapshots
 * that meta.db names and their database does not. What cannot be told is passed over.
 */
void notices_print(const struct situation *s);

#endif
