/*
 * What is remembered of an incident beside its manifest and stages, in files of
 * its id in the directory of records, kept when its quarantine is long gone:
 *
 *	report-<id>.json	what only those knew who did it: counts, READY, user data
 *	<id>.json, <id>.stages	of the quarantine, once it is purged
 *	salvage-<id>.json, repull-<id>.txt	of its images
 */
#ifndef RECOVER_REPORT_STORE_H
#define RECOVER_REPORT_STORE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "scanners/text.h"

/*
 * Remember @value, which is taken over, as @key of incident @id. Best effort: an
 * incident is not to fail for its report; what went wrong is logged.
 */
void report_note(int records_fd, const char *id, const char *key, json_t *value);

/* What was noted of @id, a new reference; an empty object if nothing was. NULL: no memory. */
json_t *report_read(int records_fd, const char *id);

/* The JSON of the file "<prefix><id>.json", or NULL. */
json_t *report_read_file(int records_fd, const char *prefix, const char *id);

/*
 * Delete the records of incidents beyond the newest @keep, and of those older
 * than @max_age_sec, but for the ids in @live. Nothing whose
 * name is not one of ours is touched. Returns 0, or the first negative errno.
 */
int report_prune(int records_fd, const struct text_list *live, uint64_t keep, uint64_t max_age_sec);

#endif
