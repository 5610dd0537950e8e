/*
 * A decision in words and as JSON: which rule, on what evidence, what will be
 * done, and what would have changed it.
 */
#ifndef RECOVER_DECISION_H
#define RECOVER_DECISION_H

#include <jansson.h>
#include <stdio.h>

#include "recover/facts.h"
#include "recover/triage.h"

/* Lines for a person. */
void decision_print(FILE *to, const struct facts *facts, const struct decision *decision);

/* {verdict, rule, why, evidence[], steps[], change, vetoed}; NULL for want of memory. */
json_t *decision_to_json(const struct facts *facts, const struct decision *decision);

/* Log it as one line. */
void decision_log(const struct facts *facts, const struct decision *decision);

#endif
