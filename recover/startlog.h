/*
 * What the failed starts said, as a fact: the journal's lines of the ledger's
 * invocations, judged by the table of signatures.
 */
#ifndef RECOVER_STARTLOG_H
#define RECOVER_STARTLOG_H

#include "recover/facts.h"
#include "recover/ledger.h"

/* Best effort: without a journal there is no evidence, and @facts->log says so. */
void startlog_look(const struct ledger_summary *ledger, struct facts *facts);

/*
 * Is the file that @facts->log.line misses, a container's checkpoint, not there below
 * the data root @root_fd either? Answers in @facts->log.missing.
 */
void startlog_look_for_missing(int root_fd, struct facts *facts);

#endif
