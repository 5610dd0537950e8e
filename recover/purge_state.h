/*
 * How far a purge is: a small file below /run that `status` reads, and a line
 * for people. Losing it loses nothing; the tree is the state.
 */
#ifndef RECOVER_PURGE_STATE_H
#define RECOVER_PURGE_STATE_H

#include <jansson.h>
#include <stddef.h>

#include "recover/purge/purge.h"

/* "120000 entries, 310 MiB freed, 4800/s, gentle, 3 to 5 min left" */
void purge_state_line(const struct purge_progress *progress, char *to, size_t size);

/* Best effort: there is nobody to tell. */
void purge_state_write(const char *ticket, const struct purge_progress *progress);
void purge_state_remove(const char *ticket);

/* What was last written for @ticket, or NULL. */
json_t *purge_state_read(const char *ticket);

#endif
