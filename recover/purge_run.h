/*
 * What the parts of `purge` share: when a quarantine may be deleted
 * (purge_due.c), how one is (purge_ticket.c), and the rounds over all of them
 * (purge_command.c).
 */
#ifndef RECOVER_PURGE_RUN_H
#define RECOVER_PURGE_RUN_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "recover/cli.h"
#include "recover/in_use.h"
#include "recover/policy.h"
#include "recover/ticket.h"
#include "scanners/config.h"

/* A salvage is waited for, and looked at again as often. */
#define PURGE_NAP_SEC 10

struct purge_run {
	const struct cli *cli;
	const struct config *config;
	struct data_root *place; /* as of this round: another quarantine changes it */
	struct policy policy;
	bool policy_invalid;
	const char *id; /* of the ticket at work */
	uint64_t expected; /* entries in its root, 0: unknown */
	char **failed;	/* or in use: ids that are not tried again until the next start */
	size_t failed_count;
	bool terminal;
	const volatile sig_atomic_t *stop_asked;
};

/* Seconds until @ticket may be purged: 0 now, -1 never by us. */
int64_t purge_due_in(const struct purge_run *run, const struct ticket *ticket);

/* A salvage that nobody ends must not keep the disk for ever. */
bool purge_waits_for_salvage(const struct purge_run *run, const struct ticket *ticket);

/*
 * What its pods left on the node is known from its manifest alone: that stays
 * until `finish` has given it back. Only the data is deleted before.
 */
bool purge_waits_for_finish(const struct purge_run *run, const struct ticket *ticket);

/*
 * Delete the trees of @ticket, which is due and locked by @locks, and then the
 * ticket. Lets go of @locks once nothing is left to be locked.
 *
 * Returns 0, 1 if it was stopped, or a negative errno: what could not be
 * deleted was named.
 */
int purge_ticket(struct purge_run *run, struct ticket *ticket, struct tree_locks *locks);

/* Say what still keeps the manifest of a quarantine whose data is deleted. */
void purge_note_finish(const struct purge_run *run, const char *id);

#endif
