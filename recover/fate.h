/*
 * Which sandboxes are lost: a pure decision from what the node shows
 * (scanners/inventory.h) and what containerd knows.
 */
#ifndef RECOVER_FATE_H
#define RECOVER_FATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "scanners/config.h"
#include "scanners/inventory.h"

/* Who said what containerd knows. */
enum known_source {
	KNOWN_NOTHING,	/* nobody could: nothing is lost, as far as can be told */
	KNOWN_CRI,	/* containerd runs and was asked */
	KNOWN_METADATA, /* it does not; all of meta.db was read */
	KNOWN_ABSENT,	/* it does not, and has no meta.db: a fresh root, or a root not mounted */
};

struct known {
	enum known_source source;
	json_t *ids;	     /* object with the ids of sandboxes and containers as keys */
	const char *problem; /* for KNOWN_NOTHING */
	char *sharer;	     /* another runtime that uses CNI's directories, NULL if there is none */
};

/*
 * Ask containerd, or read its meta.db if it is down. Returns 0 with @ret to end
 * with known_done(), also with KNOWN_NOTHING; or -ENOMEM.
 */
int known_read(const struct config *config, struct known *ret);

void known_done(struct known *known);
#define cleanup_known __attribute__((cleanup(known_done)))

enum fate {
	FATE_LIVE,  /* containerd's business */
	FATE_YOUNG, /* unknown to containerd, but may be in the making */
	FATE_OTHER, /* in containerd, but not a pod: ctr's, moby's */
	FATE_LOST,
};

/*
 * The fate of @sandbox at @now_sec; with containerd up, what is younger than
 * @min_age_sec is not judged. @ret_why is a line for people.
 */
enum fate fate_of(const struct sandbox *sandbox, const struct known *known, int64_t now_sec,
		  int64_t min_age_sec, const char **ret_why);

const char *fate_name(enum fate fate); /* "live", "young", "other", "lost" */

#endif
