/*
 * Evidence: one archive for each action, of what the decision was made on and
 * what a person will ask for afterwards. Bounded in time and size, mode 0600,
 * without the credentials of containerd's configuration, pruned by number and
 * age.
 */
#ifndef RECOVER_EVIDENCE_H
#define RECOVER_EVIDENCE_H

#include <jansson.h>
#include <stdint.h>

#include "recover/policy.h"
#include "scanners/config.h"
#include "scanners/inventory.h"

#define EVIDENCE_PATH "/var/lib/containerd-recover/evidence"

struct evidence_options {
	const char *directory; /* where the archives are; made if it is missing */
	const char *why;       /* for the name: a ticket's id, "by-hand" */
	const struct config *config;
	int root_fd; /* of the root with the databases to keep, or negative */

	/* What the caller has; each may be NULL. They stay the caller's. */
	const json_t *facts, *decision, *manifest, *scan;
	const struct inventory *inventory;
	const char *journal; /* lines of the failed starts */

	unsigned budget_msec;	 /* what has not been collected by then is left out */
	uint64_t file_bytes_max; /* a bigger file is cut */
	unsigned keep;		 /* archives, this one included; 0: any number */
	uint64_t max_age_sec;	 /* of older ones; 0: any age */
};

/*
 * Write one archive. What could not be collected is named in it, in
 * "missing.txt", and is no error.
 *
 * Returns 0 with its path in @ret_path, the caller's to free() (may be NULL);
 * or a negative errno with nothing left behind: -ELIBACC without libarchive.
 */
int evidence_write(const struct evidence_options *options, char **ret_path);

/* Is there an archive for @why below @directory? Returns 1, 0, or a negative errno. */
int evidence_exists(const char *directory, const char *why);

/*
 * What systemd's journal has of the failed starts of @unit in the ledger. Returns
 * 0 with @ret the caller's, to free() (NULL where there is no journal), or a
 * negative errno.
 */
int evidence_journal(const char *unit, const struct policy *policy, char **ret);

/* Delete archives of ours below @directory beyond @keep and @max_age_sec. */
int evidence_prune(const char *directory, unsigned keep, uint64_t max_age_sec);

#endif
