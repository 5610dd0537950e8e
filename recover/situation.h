/*
 * A situation: the facts of one node at one moment together with what was held
 * open to judge them, so that what is acted on is what was judged.
 */
#ifndef RECOVER_SITUATION_H
#define RECOVER_SITUATION_H

#include <stdbool.h>

#include "recover/data_root.h"
#include "recover/facts.h"
#include "recover/ledger.h"
#include "recover/policy.h"
#include "scanners/config.h"
#include "scanners/inventory.h"
#include "scanners/deletions.h"
#include "scanners/shimprobe.h"

/* Where the tool keeps its own things; tests put them elsewhere. */
#define ETC_PATH "/etc"
#define RECORDS_PATH "/var/lib/containerd-recover"
#define RUN_PATH "/run/containerd-recover"

/* With RECORDS_PATH and why: what it means that nothing can be written there. */
#define RECORDS_UNWRITABLE "%s: %s: failed starts are not counted, and no fresh root is put in place"

struct situation_options {
	struct config_overrides overrides;
	bool by_hand;	    /* an operator asks for a fresh root */
	bool force;	    /* and overrides cool-down and hold file */
	bool down;	    /* the unit's main process is known to be down: whoever
			       holds meta.db is another one */
	bool whole_tree;    /* check all of meta.db, not just its metas and root page */
	bool count_always;  /* count the root's entries without a crash loop too */
};

struct situation {
	struct facts facts;
	struct policy policy;
	struct config config;
	struct ledger_clock clock;
	struct ledger_summary ledger;
	struct data_root place;	/* valid if facts.root.error is 0 */
	struct inventory inventory; /* valid if facts.pods.looked */
	struct deletions leftovers; /* valid if facts.leftovers.looked */
	enum shim_health *shims; /* of the inventory's sandboxes; NULL if they were not asked */
	int meta_fd; /* holds the flock of meta.db while the situation lasts */
	char *policy_problem;
};

/*
 * Look at the node. The configuration is read first unless @config is given,
 * which is then taken over.
 *
 * Returns 0 with @ret to end with situation_done(), or a negative errno only
 * where not even a clock or memory was to be had: what could not be seen is a
 * fact, and vetoes.
 */
int situation_look(const struct situation_options *options, struct config *config,
		   struct situation *ret);

void situation_done(struct situation *situation);
#define cleanup_situation __attribute__((cleanup(situation_done)))

#define SITUATION_NONE \
	{ .meta_fd = -EBADF, .place = { .parent_fd = -EBADF, .root_fd = -EBADF } }

/*
 * One line on stdout, for a person: does containerd run, and on what root and
 * file system? "containerd.service runs, data root /var/lib/containerd (ext4, …)".
 */
void situation_print(const struct situation *s);

/* Is it down because a run of ours stopped it? In a sentence, the caller's to free(), else NULL. */
char *situation_outage(const struct situation *s);

/* "containerd.service.ledger": the caller's, to free(); NULL for want of memory. */
char *situation_ledger_name(const char *unit);

#endif
