/*
 * The report of an incident, one page: what happened, why, what was done, lost
 * and kept, how long each stage took, what to do next. Composed whenever it is
 * asked for, of the manifest, the stages, and what was noted on the way
 * (recover/report_store.h): of one under way as of one long over.
 */
#ifndef RECOVER_REPORT_H
#define RECOVER_REPORT_H

#include <jansson.h>
#include <stdint.h>

#include "recover/data_root.h"
#include "recover/history.h"
#include "recover/policy.h"
#include "recover/stages.h"

/*
 * The report of the last action on @unit, as {id, event, state, time, unit,
 * root, why, done, lost, kept, stages, next}; the man page has its members.
 * @place may have no root (negative fds).
 *
 * Returns 1 with @ret a new reference, 0 if there was no action, or a negative
 * errno: -ENOENT where its records are gone by now, -EBADMSG as of ticket_open().
 */
int report_last(const struct data_root *place, int records_fd, const char *unit,
		const struct policy *policy, json_t **ret);

/* The ledger forgets: note when containerd was READY behind the incident @id with @manifest. */
void report_note_ready(int records_fd, const char *unit, const char *id, const json_t *manifest,
		       const struct stages *stages);

/*
 * Delete the records of old incidents, by @policy; those whose quarantine is at
 * @place, or whose pods are still to be freed, stay. Returns 0 or a negative errno.
 */
int report_prune_old(const struct data_root *place, int records_fd, const struct policy *policy);

/* For a person, on stdout. */
void report_print(const json_t *report);

#endif
