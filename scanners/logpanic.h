/*
 * A Go program's last words in a log: "panic: …", "fatal error: …" or a fatal
 * signal, with the stack behind it; and whose they are. etcd, dockerd, podman
 * and BuildKit have bolt files of their own and die with the same words.
 */
#ifndef SCANNERS_LOGPANIC_H
#define SCANNERS_LOGPANIC_H

#include <stdbool.h>
#include <stddef.h>

#include "scanners/loglines.h"

struct log_panic {
	size_t first, last; /* lines */
	bool own;	    /* containerd's, beyond doubt */
	bool bolt_on_top;   /* the first frame that is not Go's runtime is bolt's */
	size_t top;	    /* that frame's line, or first */
};

/* The first panic that begins in lines @from to @end. Returns false if there is none. */
bool log_panic_next(const struct log *log, size_t from, size_t end, struct log_panic *ret);

/* Is @text a stack frame of another program, or of a shim? */
bool log_frame_is_foreign(const char *text);

/* Is @text a function's frame of a module that the containerd daemon is not built from? */
bool log_frame_is_unknown(const char *text);

/* Is @text a stack frame of what only the containerd daemon is built from? */
bool log_frame_is_own(const char *text);

/* Is @text a stack frame in a bolt library? */
bool log_frame_is_bolt(const char *text);

/* Does any of the lines say that a panic, and no mere dump, was on its way? */
bool log_has_panic(const struct log *log, size_t from, size_t end);

#endif
