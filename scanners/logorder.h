/*
 * The order of a log's lines. journalctl -r and some log viewers put the newest
 * line first; what is said last must come last before anybody judges by it.
 */
#ifndef SCANNERS_LOGORDER_H
#define SCANNERS_LOGORDER_H

#include "scanners/loglines.h"

/* When @line was written, if it says so with the year: only good to compare. Else -1. */
long long log_time_of(const char *line);

/* Turn @log round if the times in its lines run backwards. */
void log_order(struct log *log);

#endif
