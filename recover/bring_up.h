/*
 * Stopping containerd for a run by hand, and bringing it up at its end, however
 * that comes: signals that a lost session or a person sends are put off between the
 * two, and where the run is killed systemd starts it (recover/outage.h).
 */
#ifndef RECOVER_BRING_UP_H
#define RECOVER_BRING_UP_H

#include "scanners/config.h"

/*
 * Stop @config's unit for @command, printed with its time. Returns 0, or a negative
 * errno which was logged; @ret_mark is to be given to bring_up() in either case.
 */
int bring_down(const struct config *config, const char *command, int *ret_mark);

/*
 * Start it, wait for READY, then for CRI to answer; each is printed
 * with its time. Nothing is changed any more: @lock, the run's, is closed before
 * the start, so that it and those that follow can be cured meanwhile, and Ctrl-C
 * ends the wait. One that takes longer than usual is told of; it ends early where
 * systemd has given the unit up. Returns 0, or a negative errno which was logged.
 * A containerd whose CRI is disabled, or cannot be asked for want of libcurl, counts
 * as up when the unit says so.
 */
int bring_up(const struct config *config, int *lock, int *mark);

#endif
