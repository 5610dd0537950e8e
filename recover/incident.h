/*
 * Carrying out a plan that ends in a fresh data root, stage by stage, each
 * recorded in the ticket before and after; and what a later run does with a
 * ticket that an earlier one left unfinished.
 */
#ifndef RECOVER_INCIDENT_H
#define RECOVER_INCIDENT_H

#include "recover/situation.h"
#include "recover/ticket.h"
#include "recover/triage.h"

struct incident_report {
	char id[TICKET_ID];
	size_t sandboxes, processes, links, addresses; /* ended, taken down, released */
	size_t failed;		   /* things that could not be cleared; logged */
	bool aside; /* on failure: the old root is moved all the same, and only the record of it is missing */
	unsigned msec[STAGE_COUNT]; /* how long each stage took */
};

/* {sandboxes, processes, links, addresses, failed}; NULL for want of memory. */
json_t *incident_report_to_json(const struct incident_report *report);

/*
 * Clear the way and quarantine the root of @s by @decision, under the lock on
 * meta.db that @s holds. @resume is the ticket of an unfinished run that is to
 * be gone on with, or NULL; it is used up.
 *
 * Returns 0 with @ret filled, or a negative errno with the old root in place
 * and what was moved aside put back, unless @ret says that it is aside: then the
 * next run goes on.
 */
int incident_quarantine(struct situation *s, const struct decision *decision,
			struct ticket *resume, struct incident_report *ret);

/*
 * Take back a ticket whose root was not moved. Its records are kept; where they cannot
 * be it stays for a later run, unless nothing had been done by it yet. Returns 0, or
 * a negative errno.
 */
int incident_undo(const struct config *config, const struct data_root *place,
		  struct ticket *ticket);

/*
 * Finish what killed runs left at @place, as far as that can be done without a
 * new decision: half-moved roots are moved, empty tickets removed. Nothing is
 * moved while a containerd has its meta.db open.
 *
 * Returns 1 with @ret_begun a ticket whose old root still stands (the caller's,
 * to go on with or to undo), 0 if there is none, or a negative errno, logged:
 * then something is half done, and nothing new may be begun on that root.
 */
int incident_mend(const struct config *config, const struct data_root *place,
		  struct ticket *ret_begun);

/*
 * The sandboxes of @inventory that a fresh root makes lost: those with a bundle
 * in Kubernetes' namespace. A shallow copy: free() only @ret->sandboxes.
 */
int incident_lost(const struct inventory *inventory, struct inventory *ret);

/*
 * Add @lost to the lost sandboxes of the ticket's manifest, on disk: those that
 * were made since it was written. Returns 0, or a negative errno.
 */
int incident_note_lost(struct ticket *ticket, const struct inventory *lost);

/*
 * Kill, bundles aside, links down, reservations released, for @lost, with the
 * stages recorded in @ticket. Best effort: what fails is logged and counted.
 * Returns 0, or a negative errno where a record could not be written.
 */
int incident_clear(const struct config *config, const struct inventory *lost,
		   const struct policy *policy, struct ticket *ticket, struct incident_report *report);

#endif
