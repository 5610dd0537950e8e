/*
 * Makes the n-th call of a function fail, so that every failure path runs:
 *
 *	for (int n = 1; ; n++) {
 *		fault_arm("fsync", n, EIO);
 *		r = quarantine_…();
 *		if (!fault_fired())
 *			break;		// no n-th call: all were covered
 *		CHECK(r < 0);
 *		…what is left on disk…
 *	}
 *
 * Calls from our objects are caught (ld --wrap), calls inside libraries are not.
 */
#ifndef TESTS_UNIT_FAULT_H
#define TESTS_UNIT_FAULT_H

#include <stdbool.h>

/*
 * Instead of an error: the call hangs for so long, then works; or the process stops
 * (SIGSTOP), for whoever waits for it to look, to kill it or to let it go on.
 */
enum { FAULT_HANG = -1, FAULT_STOP = -2, FAULT_HANG_MSEC = 400 };

/* The @n-th call (from 1) of @function fails with @error; "any" is every wrapped one. */
void fault_arm(const char *function, int n, int error);

/* So do the calls behind it, @times in all: what is tried again fails again. */
void fault_arm_times(const char *function, int n, int times, int error);

/* Disarm; returns whether the fault happened since fault_arm(). */
bool fault_fired(void);

#endif
