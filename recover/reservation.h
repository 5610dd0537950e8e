/*
 * Releasing reservations of CNI's host-local plugin, under the lock that the
 * plugin itself takes (<data dir>/<network>/lock).
 */
#ifndef RECOVER_RESERVATION_H
#define RECOVER_RESERVATION_H

#include <stddef.h>

#include "scanners/inventory.h"

struct reservation_result {
	size_t released;
	size_t kept;   /* somebody else's by now, or its old link still answers for it */
	size_t failed; /* each was logged */
};

/*
 * Release the reservations of @lost. Under the lock each file is read again and
 * must still name its sandbox. A reservation is kept while its sandbox has a
 * link that is up, or a network namespace of which it cannot be told: the
 * address would be answered for twice.
 *
 * A lock that is held longer than @lock_msec is a failure of that network's
 * reservations. What is gone is success. Returns 0, or the first negative errno
 * after trying all.
 */
int reservations_release(const struct inventory *lost, unsigned lock_msec,
			 struct reservation_result *ret);

/*
 * Release what host-local left without an owner when it died while it wrote:
 * @inventory's empty_reservations, those that are still empty under the lock.
 * Same results.
 */
int reservations_release_empty(const struct inventory *inventory, unsigned lock_msec,
			       struct reservation_result *ret);

/*
 * Make sure that @reservation is @id's, taking it (back) if it is free. Returns 1
 * if it is, 0 if it is another's, or a negative errno.
 */
int reservation_hold(const struct reservation *reservation, const char *id, const char *ifname,
		     unsigned lock_msec);

#endif
