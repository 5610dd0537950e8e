/*
 * Moving a data root aside, and back. What was judged is an inode: nothing is
 * moved that is not it. Both directions may be killed anywhere and called again.
 *
 * The usual root is exchanged with the fresh one of its ticket by
 * renameat2(RENAME_EXCHANGE), so that the path never ceases to exist; where the
 * file system has no exchange, by two renames. A root that is a mount point
 * cannot be renamed: its children are moved, CRI's first and meta.db last, so
 * that no containerd started in between finds records without their data.
 */
#ifndef RECOVER_QUARANTINE_H
#define RECOVER_QUARANTINE_H

#include "recover/data_root.h"
#include "recover/ticket.h"

enum quarantine_where {
	OLD_ROOT_STANDS,  /* nothing was moved */
	OLD_ROOT_PARTLY,  /* some children were, or the second rename is missing */
	OLD_ROOT_ASIDE,	  /* the old root is in the ticket */
	OLD_ROOT_UNKNOWN, /* neither is where it should be: touch nothing */
};

/* Where the ticket's old root is now, by inode. Never fails. */
enum quarantine_where quarantine_where(const struct data_root *place, const struct ticket *ticket);

/* Is the old root, as a whole, in the ticket? Also where @place, opened before, has gone stale. */
bool quarantine_has_root(const struct ticket *ticket);

/*
 * Put the ticket's fresh root in the place of the old one. Records STAGE_MOVE.
 *
 * Returns 0, -ESTALE where the root is not the one that was judged, or another
 * negative errno; then the old root stands, or quarantine_where() tells what was
 * reached where it could not be moved back either.
 */
int quarantine_move(const struct data_root *place, struct ticket *ticket);

/* Has the root nothing in it, but for quarantines? Then no containerd was ever started on it. */
bool quarantine_root_is_unused(const struct data_root *place);

/*
 * Put the old root back; what the root held meanwhile goes into the ticket, and
 * with it the way back: whoever wants that sets the root aside in a ticket of
 * its own before. Records STAGE_RESTORE. Same errors, and then the old root is aside
 * as before.
 */
int quarantine_restore(const struct data_root *place, struct ticket *ticket);

/*
 * For a run that finds a restore begun: finish it if a part of the old root is
 * back, or if the root that stands is unused; else call it off. Nothing says how
 * long ago that was, and the root that stands may have pods by now. Same errors.
 */
int quarantine_mend_restore(const struct data_root *place, struct ticket *ticket);

/*
 * For a run that found no root at its path at all: where the ticket lies beside
 * @root_path with the second rename missing, finish it. Returns 1 if a root was
 * put in place, 0 if there was nothing to do, or a negative errno.
 */
int quarantine_finish_rename(const char *root_path);

#endif
