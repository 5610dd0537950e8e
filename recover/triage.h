/*
 * Triage: from facts to a decision. A pure function over a table of rules,
 * which links nothing; docs/TRIAGE.md has a section for each rule.
 */
#ifndef RECOVER_TRIAGE_H
#define RECOVER_TRIAGE_H

#include <stddef.h>

#include "recover/facts.h"

/* What a decision lets the rest of the tool do. */
enum triage_step {
	STEP_CLEAR = 1 << 0,	  /* kill the lost, bundles aside, links down, reservations */
	STEP_QUARANTINE = 1 << 1, /* swap in a fresh root */
	STEP_SWEEP = 1 << 2,	  /* afterwards, in the background */
	STEP_PURGE = 1 << 3,
	STEP_DEFER = 1 << 4, /* move aside what containerd would delete inside its start */
	STEP_FREE_STATE = 1 << 5, /* end the pods of dead and hung shims, bundles aside */
	STEP_RESTART = 1 << 6, /* containerd, so that its start judges and cures */
	STEP_TMPMOUNTS = 1 << 7, /* move the temporary mounts out of containerd's way */
};

enum rule_kind {
	RULE_CAUSE, /* a cause that no data remedy cures: hands off, and say which */
	RULE_ROOT_CAUSE, /* speaks against a fresh root, and counts where one would be made */
	RULE_BRAKE, /* stops only what would otherwise be done */
	RULE_CURE,  /* positive evidence: act */
	RULE_NONE,  /* nothing to do */
};

/* Which facts to show with a decision. */
enum triage_evidence {
	SHOW_CONFIG = 1 << 0,
	SHOW_POLICY = 1 << 1,
	SHOW_LEDGER = 1 << 2,
	SHOW_HISTORY = 1 << 3,
	SHOW_ROOT = 1 << 4,
	SHOW_FS = 1 << 5,
	SHOW_META = 1 << 6,
	SHOW_LOCK = 1 << 7,
	SHOW_COUNT = 1 << 8,
	SHOW_PODS = 1 << 9,
	SHOW_LEFTOVERS = 1 << 10,
	SHOW_LOG = 1 << 11,
	SHOW_SNAPSHOTS = 1 << 12,
	SHOW_SHIMS = 1 << 13,
	SHOW_CRI = 1 << 14,
	SHOW_TMPMOUNTS = 1 << 15,
};

struct rule {
	const char *id; /* heading in docs/TRIAGE.md */
	enum rule_kind kind;
	bool (*matches)(const struct facts *facts);
	unsigned steps;	   /* of enum triage_step; of a brake: those that it holds back */
	unsigned evidence; /* of enum triage_evidence */
	const char *why;
	const char *change; /* what would have changed the decision */
	const char *verdict; /* "quarantine-root", "hands-off:config", "none" */
};

struct decision {
	const struct rule *rule;
	const struct rule *vetoed; /* the cure that @rule stopped, or NULL */
	unsigned steps;
};

/* First match wins; the last rule matches always. Never fails. */
struct decision triage(const struct facts *facts);

/* The table, for the test of docs/TRIAGE.md. */
extern const struct rule triage_rules[];
extern const size_t triage_rule_count;

#endif
