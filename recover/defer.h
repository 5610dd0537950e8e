/*
 * Rung 1: what containerd would delete inside its next start is moved out of
 * its way, and deleted later. Nothing that containerd would have kept is
 * touched; image VOLUME data among it is kept for the grace period.
 *
 *	<jail>/<ticket>/root/<plugin>/<group>/<id>	from the data root
 *	<state>/.containerd-recover-deferred-<ticket>/…	from the state directory
 */
#ifndef RECOVER_DEFER_H
#define RECOVER_DEFER_H

#include "recover/situation.h"
#include "recover/ticket.h"
#include "recover/triage.h"

struct defer_report {
	char id[TICKET_ID];
	size_t moved, kept; /* kept: another one by now, or not to be moved; logged */
	uint64_t entries, kept_entries;
};

/*
 * Move the leftovers of @s aside by @decision, recorded in a ticket of their
 * own, under the lock on meta.db that @s holds. What stays where it is is written
 * down, for triage: it is not tried again in the same incident. Returns 0 with @ret
 * filled, or a negative errno; what was moved until then is in the ticket.
 */
int defer_leftovers(struct situation *s, const struct decision *decision, struct defer_report *ret);

/*
 * Delete what was moved aside in the state directory for @ticket: mounts below
 * are taken away first. Returns 0, or a negative errno with something left.
 */
int defer_clean_state(const struct config *config, const char *ticket);

/* Whether defer_clean_state() has something to do for @ticket; so too if that is not known. */
bool defer_has_state(const struct config *config, const char *ticket);

#endif
