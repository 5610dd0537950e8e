/*
 * Lines for the person who reads the journal or the terminal: on stderr, with
 * the journal's "<3>" prefix when stderr is the journal ($JOURNAL_STREAM), else
 * with the program's name. Scanners and triage never log; their callers do.
 */
#ifndef RECOVER_LOG_H
#define RECOVER_LOG_H

#include <stdbool.h>

/* Look at the environment and stderr once; before that all goes to stderr as text. */
void log_open(bool verbose);

/* What the node's operator must see, should see, may like to see; -v only. */
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * A name read from disk, made safe for a line of text (strvis(3)). Returns one
 * of four rotating static buffers; long names are cut with "...".
 */
const char *log_name(const char *name);

#endif
