/*
 * Bringing containerd up at the end of a run by hand, and waiting for it.
 */
#ifndef RECOVER_BRING_UP_H
#define RECOVER_BRING_UP_H

#include "scanners/config.h"

/*
 * Start @config's unit, wait for READY, then for CRI to answer; each is printed
 * with its time. Returns 0, or a negative errno which was logged. A containerd
 * whose CRI is disabled, or cannot be asked for want of libcurl, counts as up
 * when the unit says so.
 */
int bring_up(const struct config *config);

/* Stop it, printed in the same way. */
int bring_down(const struct config *config);

#endif
