/* An inventory while it is taken: shared by the files of scanners/inventory*.c, and by nobody else. */
#ifndef SCANNERS_INVENTORY_SCAN_H
#define SCANNERS_INVENTORY_SCAN_H

#include "scanners/cnicache.h"
#include "scanners/conflist.h"
#include "scanners/inventory.h"
#include "scanners/links.h"
#include "scanners/process.h"

#define CRI_NAMESPACE "k8s.io"

struct scan {
	const struct config *config;
	struct inventory *inventory;
	struct process_table processes;
	struct cnicache cache;
	struct links links;
	struct conflists networks; /* CRI's own */
	json_t *running;  /* ids of CRI's form in the cgroups of processes */
	json_t *by_id;	  /* "<namespace>/<id>" to the index of the sandbox */
	const char *source; /* that is being read, in words */
	int64_t deadline; /* CLOCK_MONOTONIC in milliseconds, 0: none */
};

/* A copy of @text (NULL: none) into @ret unless there is one. Returns 0 or -ENOMEM. */
int inventory_copy(char **ret, const char *text);

/* The sandbox @id of namespace @ns, made if @create. NULL: no such, or no memory. */
struct sandbox *inventory_sandbox_of(struct scan *scan, const char *ns, const char *id, bool create);

/* Links, and who is in the network namespaces: the last source, which uses all others. */
int inventory_scan_links(struct scan *scan);

#endif
