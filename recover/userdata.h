/*
 * The user data in a quarantine: what containers wrote that no image and no
 * kubelet brings back. Image VOLUMEs, and the writable layers of containers,
 * each with its pod, by containerd's own records (carved if they are damaged)
 * and by the list of lost sandboxes in the manifest.
 */
#ifndef RECOVER_USERDATA_H
#define RECOVER_USERDATA_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "recover/ticket.h"
#include "scanners/text.h"

struct userdata_item {
	enum userdata_kind { USERDATA_VOLUMES, USERDATA_LAYER } kind;
	char *container;		/* its id */
	char *container_name;		/* these three: NULL where unknown */
	char *pod_namespace, *pod_name; /* both, or neither */
	char *path;			/* of its directory, below the ticket's */
	bool overlay;	/* a layer with overlayfs's whiteouts */
	bool measured;	/* the two numbers are set */
	bool complete;	/* they are all there is; false: there is at least so much */
	uint64_t entries, bytes; /* allocated */
};

struct userdata {
	struct userdata_item *items;
	size_t count;
	struct text_list pods; /* "namespace/name" of all that are known, sorted */
	bool carved;	       /* records are damaged: something may be missing */
	bool layers_unknown;   /* which directory is whose layer cannot be told */
};

/*
 * All there is in @ticket. Returns 0 with @ret to end with userdata_done(), or a
 * negative errno with it untouched.
 */
int userdata_list(const struct ticket *ticket, struct userdata *ret);

/*
 * Drop what is not asked for: layers of pods that match none of @patterns, and
 * with @volumes_too also volumes of such.
 */
void userdata_select(struct userdata *data, const char *const *patterns, size_t count,
		     bool volumes_too);

/*
 * Take the size of every item, within @budget_msec (0: no bound) in all. What
 * time did not suffice for is marked as such, and what cannot be read, too.
 * Returns 0, or -ENOMEM.
 */
int userdata_measure(const struct ticket *ticket, unsigned budget_msec, struct userdata *data);

/* The directory of @item. Returns an fd, or a negative errno. */
int userdata_open(const struct ticket *ticket, const struct userdata_item *item);

/* [{kind, namespace, pod, container, container_name, path, entries, bytes, complete}] */
json_t *userdata_to_json(const struct userdata *data);

void userdata_done(struct userdata *data);
#define cleanup_userdata __attribute__((cleanup(userdata_done)))

#endif
