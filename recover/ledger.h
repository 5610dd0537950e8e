/*
 * The ledger: what the drop-in told us of containerd's starts, one line each.
 *
 *	containerd-recover ledger 1
 *	<boot id> <boottime ms> <unix time> attempt <invocation>
 *	<boot id> <boottime ms> <unix time> ready <invocation> <fingerprint>
 *	<boot id> <boottime ms> <unix time> stopped <invocation> <result> <code> <status>
 *	<boot id> <boottime ms> <unix time> unready <invocation> <degraded or hung>
 *
 * systemd itself forgets: Result is reset before ExecStartPre runs, and
 * NRestarts never ages. Only lines of the running boot count, so a line lost
 * with the power is not missed: an attempt is written without fsync (it is part
 * of every start), a failure with it.
 */
#ifndef RECOVER_LEDGER_H
#define RECOVER_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "recover/policy.h"

enum ledger_event { LEDGER_ATTEMPT, LEDGER_READY, LEDGER_STOPPED, LEDGER_UNREADY };

struct ledger_entry {
	enum ledger_event event;
	const char *invocation; /* NULL or empty: unknown */
	const char *result, *code, *status; /* of LEDGER_STOPPED, as systemd words them */
	const char *unready; /* of LEDGER_UNREADY: LEDGER_DEGRADED or LEDGER_HUNG */
	const char *fingerprint; /* of LEDGER_READY: recover/fingerprint.h */
};

struct ledger_clock {
	char boot_id[40];
	int64_t boottime_msec, realtime_sec;
};

enum { LEDGER_INVOCATIONS = 8, LEDGER_WORD = 40 };

/* READY, but CRI is not there, or does not answer. */
#define LEDGER_DEGRADED "degraded"
#define LEDGER_HUNG "hung"

/* What the ledger says of the running boot. */
struct ledger_summary {
	unsigned attempts; /* starts since boot, or as far back as the ledger goes */
	unsigned failures; /* failed starts in the window, since the last healthy stretch */
	unsigned timeouts; /* of these, how many ran into the unit's start timeout */
	/* Unix time at which the first start that failed since the last healthy stretch began, or 0. */
	int64_t failing_since_sec;
	bool last_failed;  /* the last start that ended was a failure */
	bool in_start;	   /* the last line is an attempt: neither READY nor ended yet */
	bool up; /* READY and not ended */
	char up_invocation[LEDGER_WORD];
	/* LEDGER_DEGRADED or LEDGER_HUNG, if the start that is up, else the last one that ended, was. */
	char unready[LEDGER_WORD];
	unsigned malformed; /* lines that were not understood, a torn last one included */
	char last_result[LEDGER_WORD], last_code[LEDGER_WORD], last_status[LEDGER_WORD];
	char ready_fingerprint[LEDGER_WORD]; /* of the last READY; "" or "-": not known */
	/* Invocations of the failures, the last one first. */
	char invocations[LEDGER_INVOCATIONS][LEDGER_WORD];
	unsigned invocation_count;
};

/* Returns 0, or a negative errno with @ret untouched. */
int ledger_clock_now(struct ledger_clock *ret);

/*
 * Summarise @size bytes of ledger text. A start failed if it ended with a
 * result other than success before READY, or after READY but sooner than
 * healthy_sec, or if it was unready, however long; a TERM or KILL after READY
 * is an operator's and counts as nothing. Pure; lines it does not understand are counted and skipped.
 */
void ledger_summarise(const char *text, size_t size, const struct ledger_clock *now,
		      const struct policy *policy, struct ledger_summary *ret);

/*
 * Read the ledger @name below @dirfd and summarise it. A ledger that is not
 * ours (wrong first line, a link, too large) is an empty one. Returns 0, or a
 * negative errno with @ret zeroed: it is never a reason not to start.
 */
int ledger_read(int dirfd, const char *name, const struct ledger_clock *now,
		const struct policy *policy, struct ledger_summary *ret);

/*
 * The boot time of the first READY of boot @boot_id at or after @after_msec, in
 * the ledger @name below @dirfd. Returns 1 with @ret, 0, or a negative errno.
 */
int ledger_first_ready(int dirfd, const char *name, const char *boot_id, int64_t after_msec,
		       int64_t *ret_msec);

/*
 * Append one line; makes the file if need be, mends a torn last line, sets a
 * foreign file aside as <name>.foreign, and drops the older half at 64 KiB.
 * @sync: fsync it. Returns 0, or a negative errno.
 */
int ledger_append(int dirfd, const char *name, const struct ledger_clock *now,
		  const struct ledger_entry *entry, bool sync);

#endif
