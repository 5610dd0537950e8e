/*
 * A Go program's last words in a log: "panic: …", "fatal error: …" or a fatal
 * signal, with the stack behind it; and whose they are. etcd, dockerd, podman
 * and BuildKit have bolt files of their own and die with the same words, and what
 * containerd's children say stands in the journal under its name. Once it is up, a
 * panic is its own only if the stack or systemd says so.
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

/* Does any of the lines say that a panic, and no mere dump, was on its way? */
bool log_has_panic(const struct log *log, size_t from, size_t end);

#endif
