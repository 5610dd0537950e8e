/*
 * What was done on this node, one line an event, kept over boots: the cool-down
 * and `status --last` read it.
 *
 *	1700000000 containerd.service begin 20231114T221320Z-1a2b meta-damaged
 *	1700000000 containerd.service quarantine 20231114T221320Z-1a2b meta-damaged
 *
 * The events: begin and quarantine or failed, restore, purge, defer, free-state,
 * restart; kept, of a defer that left something where it was, with "<entries>/<directories>"
 * for a rule.
 */
#ifndef RECOVER_HISTORY_H
#define RECOVER_HISTORY_H

#include <stdint.h>

/* Append one event, with fsync. Returns 0, or a negative errno. */
int history_append(int records_fd, const char *unit, const char *event, const char *ticket,
		   const char *rule);

/* Is @event of @ticket written down? Returns 1, 0, or a negative errno. */
int history_has(int records_fd, const char *event, const char *ticket);

/*
 * Unix time of the last @event of @unit. Returns 1 with @ret filled, 0 if there
 * is none, or a negative errno: then it is not known, and that vetoes.
 */
int history_last(int records_fd, const char *unit, const char *event, int64_t *ret);

/* One event, as it is written. */
struct history_event {
	int64_t sec;
	char event[32], ticket[64], rule[64];
};

/* The last @event of @unit: same results as history_last(). */
int history_last_event(int records_fd, const char *unit, const char *event,
		       struct history_event *ret);

/* The last of @unit that is an action: same results as history_last(). */
int history_last_action(int records_fd, const char *unit, struct history_event *ret);

/* The same of the last quarantine of @unit, made or tried in vain: the cool-down's. */
int history_last_quarantine(int records_fd, const char *unit, int64_t *ret);

#endif
