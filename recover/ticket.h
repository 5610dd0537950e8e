/*
 * A ticket: one quarantine with its records.
 *
 *	<jail>/<id>/manifest.json	what was seen, decided and lost
 *	<jail>/<id>/stages		what was begun and done (recover/stages.h)
 *	<jail>/<id>/root/		the fresh root before the move, the old one after
 *	<jail>/<id>/interim/		of a mount point, after a restore: what else was in the root
 *
 * A ticket is whoever's lock on its directory is: purge and restore exclude
 * each other by it. Its data has a lock of its own, on "stages": `keep` copies
 * beside the background work, and neither purge nor restore begin meanwhile.
 */
#ifndef RECOVER_TICKET_H
#define RECOVER_TICKET_H

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "recover/data_root.h"
#include "recover/stages.h"

enum { TICKET_ID = 32 };

struct ticket {
	char id[TICKET_ID];
	int fd;
	bool inside; /* in the jail inside the root; its children were moved one by one */
	json_t *manifest;
	struct stages stages;
	uint64_t old_ino, fresh_ino; /* of the root that was judged, and of <id>/root as made */
	int64_t created_sec;
};

#define TICKET_NONE { .fd = -EBADF, .stages = { .fd = -EBADF } }

enum ticket_state {
	TICKET_BEGUN,	 /* the old root still stands */
	TICKET_MOVED,	 /* quarantined; can be restored */
	TICKET_UNDONE,	 /* taken back before the move */
	TICKET_DEFERRED, /* single directories are in it; the root stays */
	TICKET_RESTORED, /* the old root is back */
	TICKET_PURGING,	 /* its purge has begun; no way back */
};

/* A new id: the time, and a random part. Returns 0 or a negative errno. */
int ticket_make_id(char id[TICKET_ID]);

/*
 * Make a new ticket for @place, with a fresh root of the old one's mode, owner,
 * label, ACLs and project id in it, and @manifest (to which id, root, inodes
 * and, for a mount point, the children are added; stays the caller's) on disk. The ticket is locked.
 *
 * Returns 0 with @ret to end with ticket_done(), or a negative errno with
 * nothing left behind.
 */
int ticket_create(const struct data_root *place, json_t *manifest, struct ticket *ret);

/*
 * Open ticket @id, from either jail, and lock it.
 *
 * Returns 0, -ENOENT, -EBUSY where somebody else has its lock, -EBADMSG for a
 * directory that has no manifest of ours, or another negative errno.
 */
int ticket_open(const struct data_root *place, const char *id, struct ticket *ret);

/* As ticket_open(), but without the lock: to look at only. */
int ticket_peek(const struct data_root *place, const char *id, struct ticket *ret);

/* Why a ticket could not be opened, in words, by the negative errno that said so. */
const char *ticket_problem(int error);

/*
 * Lock what is in the ticket, until ticket_done(): @shared to read it, alone to
 * take it away. The stages are read again under the lock. Returns 0, -EBUSY, or
 * another negative errno.
 */
int ticket_lock_data(struct ticket *ticket, bool shared);

void ticket_done(struct ticket *ticket);
#define cleanup_ticket __attribute__((cleanup(ticket_done)))

/* Names in a root that are never moved as its children: the jail, lost+found. */
bool ticket_is_not_child(const char *name);

enum ticket_state ticket_state(const struct ticket *ticket);
/*
 * For how many seconds @stage of the ticket is done: by the boot's own clock as
 * long as it is the same boot, since the clock on the wall may be set meanwhile.
 */
int64_t ticket_kept_sec(const struct ticket *ticket, enum stage stage);
const char *ticket_state_name(enum ticket_state state);

/*
 * The ids of all tickets of @place, oldest first. Returns their number with
 * @ret_ids to end with tickets_free(), or a negative errno. A place without a
 * jail has none.
 */
int tickets_list(const struct data_root *place, char ***ret_ids);
void tickets_free(char **ids);

#define cleanup_tickets __attribute__((cleanup(tickets_freep)))
static inline void tickets_freep(char ***ids)
{
	tickets_free(*ids);
}

/* Log that @place has no quarantine @id, and which it has. */
void tickets_say_unknown(const struct data_root *place, const char *id);

/*
 * Remove a ticket's records once nothing else is in it, and the jail once it is
 * empty; the manifest and the stages are kept as <id>.json and <id>.stages below
 * @records_fd (negative: not kept). Returns 0, or a negative errno: -ENOTEMPTY where data is left.
 */
int ticket_retire(const struct data_root *place, struct ticket *ticket, int records_fd);

/* Remove a ticket directory that a killed run left without a manifest: empty ones only. */
int ticket_discard(const struct data_root *place, const char *id);

#endif
