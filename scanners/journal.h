/*
 * The lines of containerd's starts from systemd's journal, by the invocation
 * ids that the ledger keeps. libsystemd is opened when first needed.
 */
#ifndef SCANNERS_JOURNAL_H
#define SCANNERS_JOURNAL_H

#include <stddef.h>

#include "scanners/loglines.h"

struct journal_query {
	const char *const *invocations; /* 32 hex digits each, oldest first */
	size_t invocation_count;
	unsigned lines_per_start; /* the last ones of each */
	unsigned budget_msec;	  /* for all of it; 0: no bound */
	const char *directory;	  /* of journal files; NULL: this machine's own */
};

/*
 * Add what the unit's processes and PID 1 said in these starts to @log, oldest
 * first, each invocation as a start of its own. The caller still settles it.
 *
 * Returns 0; a budget that ran out sets @log's cut, and what was read until
 * then stands. -ENOENT where there is no journal or no libsystemd: no evidence,
 * not an error. -ENOMEM or another errno of the journal's otherwise.
 */
int journal_read(const struct journal_query *query, struct log *log);

#endif
