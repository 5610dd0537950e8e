/*
 * What stands in front of a line of log: time, host, process, by whatever wrote
 * it (syslog, journalctl -o short*, dmesg, logrus, Docker Desktop, talosctl).
 */
#ifndef SCANNERS_LOGPREFIX_H
#define SCANNERS_LOGPREFIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scanners/loglines.h"

/* Pieces of one line; they point into it and are not NUL-terminated. */
struct log_prefix {
	const char *host;
	size_t host_size;
	const char *sender;
	size_t sender_size; /* 0: no name */
	uint32_t pid;	    /* 0: no pid */
	bool kernel;	    /* a time since boot, nothing else: the kernel's ring buffer */
	const char *rest;
};

/* Take @line (NUL-terminated) apart; always succeeds. */
void log_prefix_split(const char *line, struct log_prefix *ret);

/*
 * The level of a message in any of logrus's forms (text, terminal, JSON), or of
 * a Go panic; LOG_LEVEL_NONE if it has none.
 */
enum log_level log_level_of(const char *text);

#endif
