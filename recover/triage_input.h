/*
 * A saved log as people hand it on: plain text in any of the forms that
 * scanners/loglines.h knows, or a JSON object with the members "log" (lines, or
 * one string) and "systemd" ("unit", "result", "exit_code", "status_lines").
 */
#ifndef RECOVER_TRIAGE_INPUT_H
#define RECOVER_TRIAGE_INPUT_H

#include "scanners/loglines.h"

/* What systemd knew and the log may not say; NULL: not given. */
struct triage_systemd {
	const char *result;	 /* "timeout", "exit-code", "signal", "oom-kill", … */
	const char *exit_status; /* "1", "203/EXEC", "killed/KILL", "dumped 5/TRAP" */
};

/* Add @size bytes of @text. Returns 0 or -ENOMEM. */
int triage_input_add(struct log *log, const char *text, size_t size);

/* Add what systemd knew. Returns 0 or -ENOMEM. */
int triage_input_add_systemd(struct log *log, const struct triage_systemd *systemd);

#endif
