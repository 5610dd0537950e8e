/*
 * Bringing an archive of images into a running containerd by its own means:
 * `ctr images import -`, bounded in time, fed through a pipe.
 */
#ifndef RECOVER_SALVAGE_IMPORT_H
#define RECOVER_SALVAGE_IMPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "recover/child.h"
#include "scanners/config.h"

struct salvage_import {
	struct child child;
	int pipe;
	int64_t begun_msec, deadline_msec; /* CLOCK_MONOTONIC */
	uint64_t written, max_rate;	    /* bytes, bytes a second (0: any) */
};

struct salvage_import_options {
	const char *ns; /* containerd's namespace */
	unsigned budget_msec;
	uint64_t max_rate;  /* bytes a second, 0: any */
	bool all_platforms; /* keep those of other platforms, too; all of them must be whole */
};

/*
 * Start it for the containerd that @config describes. SIGPIPE is ignored from
 * now on.
 *
 * Returns 0 with @ret to end with one of the two below, -ENOENT where there is
 * no ctr, or another negative errno.
 */
int salvage_import_begin(const struct config *config, const struct salvage_import_options *options,
			 struct salvage_import *ret);

/* Why salvage_import_begin() returned @error; the caller's to free(), NULL without memory. */
char *salvage_import_problem(const struct config *config, int error);

/* An archive_write_fn; @data is the import. -EPIPE: it has ended. */
int salvage_import_write(void *data, const void *bytes, size_t size);

/*
 * The archive is complete: wait for the end. Returns 0, -ETIMEDOUT, or
 * -EREMOTEIO with what it printed in *@ret_output, the caller's to free().
 */
int salvage_import_end(struct salvage_import *import, char **ret_output);

/* It is not to be completed: kill it. */
void salvage_import_cancel(struct salvage_import *import);

/* Tell CRI never to remove these. What fails is logged: the images themselves are there. */
void salvage_import_pin(const struct config *config, const char *ns, char *const *names, size_t count);

#endif
