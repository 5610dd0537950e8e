/*
 * Putting a quarantined data root back, with containerd down: what stood until
 * now goes into a quarantine of its own. recover/restore.c is the command, which
 * looks, asks, and stops and starts containerd around it.
 */
#ifndef RECOVER_PUT_BACK_H
#define RECOVER_PUT_BACK_H

#include "recover/incident.h"

/*
 * Open the ticket @id, locked if @lock, as one that can be put back: its root was
 * moved and is whole, nobody uses it, and nobody copies from it.
 *
 * Returns 0 with @ret the caller's, or a negative errno, logged; @ret is to be
 * ended with ticket_done() either way.
 */
int put_back_open(const struct situation *s, const char *id, bool lock, struct ticket *ret);

/* Stop the units that may work on a ticket just now. Best effort. */
void put_back_stop_background(void);

/* Log who has meta.db, and that nothing is put back @when it is so. */
void put_back_say_holder(const struct situation *s, const char *when);

/*
 * Put the root of ticket @id back: what an earlier run left is mended first, the
 * pods that run are ended, the root that stands is set aside unless it is unused.
 *
 * Returns 0 with @report telling what was ended and set aside, or a negative
 * errno, logged: then the root stands that stood, as far as it can be had back.
 */
int put_back(const struct config_overrides *paths, const struct config *config, const char *id,
	     struct incident_report *report);

#endif
