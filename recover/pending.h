/*
 * The mark in the records that something is left to do behind a cure: systemd starts
 * the units for it only where it is there. `purge` takes it away.
 */
#ifndef RECOVER_PENDING_H
#define RECOVER_PENDING_H

#define PENDING_NAME "pending"

/* Returns 0, or a negative errno; that of @records_fd where the records are not open. */
int pending_mark(int records_fd);

/* The same where it is no reason to stop: said in the log. */
void pending_try_to_mark(int records_fd);

#endif
