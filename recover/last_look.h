/*
 * What preflight decided before the last start, for `status`: in /run, which can
 * be written to when the disk is full or read-only.
 */
#ifndef RECOVER_LAST_LOOK_H
#define RECOVER_LAST_LOOK_H

#include <jansson.h>

#include "recover/facts.h"
#include "recover/triage.h"

/* Best effort: the journal has it too. @run_fd is the directory in /run. */
void last_look_write(int run_fd, const char *unit, const struct facts *facts,
		     const struct decision *decision);

/* Nothing called for a closer look. */
void last_look_forget(int run_fd, const char *unit);

/*
 * {time, verdict, rule, why, evidence[], steps[], change, vetoed}, the caller's;
 * NULL if nothing called for a closer look, or it is not known.
 */
json_t *last_look_read(int run_fd, const char *unit);

#endif
