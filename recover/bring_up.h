/*
 * Bringing containerd up at the end of a run by hand, and waiting for it.
 */
#ifndef RECOVER_BRING_UP_H
#define RECOVER_BRING_UP_H

#include "scanners/config.h"

/*
 * Start @config's unit, wait for READY, then for CRI to answer; each is printed
 * with its time. Nothing is changed any more: @lock, the run's, is closed before
 * the start, so that it and those that follow can be cured meanwhile, and Ctrl-C
 * ends the wait. Returns 0, or a negative errno which was logged. A containerd
 * whose CRI is disabled, or cannot be asked for want of libcurl, counts as up
 * when the unit says so.
 */
int bring_up(const struct config *config, int *lock);

/* Stop it, printed in the same way. Ctrl-C is put off until bring_up(). */
int bring_down(const struct config *config);

#endif
