/*
 * The report of the last incident, one page: what happened, why, what was done
 * and lost, how long each stage took, what to do next. Made of the ticket, or
 * of its records once it is purged.
 */
#ifndef RECOVER_INCIDENT_REPORT_H
#define RECOVER_INCIDENT_REPORT_H

#include <stdbool.h>

#include "scanners/config.h"

/* Print it on stdout. Returns an exit status; problems are logged. */
int incident_report_print(const struct config_overrides *paths, bool json);

#endif
