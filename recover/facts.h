/*
 * Facts: what was seen of the node, what could not be seen, and when. One plain
 * struct without pointers, so that triage is a pure function of it, and with a
 * JSON form, so that a decision can be shown, tested and replayed.
 */
#ifndef RECOVER_FACTS_H
#define RECOVER_FACTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum facts_answer { ANSWER_UNKNOWN, ANSWER_NO, ANSWER_YES };

/* Who holds the flock on meta.db. */
enum facts_lock {
	LOCK_UNKNOWN,
	LOCK_FREE,
	LOCK_BY_UNIT,  /* the unit's own main process: containerd runs */
	LOCK_BY_OTHER,
	LOCK_NO_FILE,  /* nothing to lock */
};

/* Same meaning as enum bolt_state, kept apart so that triage needs no scanner. */
enum facts_db { DB_UNREAD, DB_ABSENT, DB_EMPTY, DB_SOUND, DB_DAMAGED };

enum facts_config { FACTS_CONFIG_UNKNOWN, FACTS_CONFIG_DEFAULTS, FACTS_CONFIG_SOUND, FACTS_CONFIG_INVALID };

/* What the log of the failed starts says: see scanners/signatures.h. */
enum facts_log { LOG_SAYS_NOTHING, LOG_SAYS_HANDS_OFF, LOG_SAYS_PARTIAL, LOG_SAYS_QUARANTINE };

/* What was seen of CRI behind READY, where something was wrong. */
enum facts_cri { CRI_NOTHING_WRONG, CRI_DEGRADED, CRI_HUNG };

enum { FACT_TEXT = 256, FACT_PATH = 1024 };

struct facts {
	struct {
		int64_t realtime_sec;
		char boot_id[40];
		char version[32]; /* of containerd-recover */
		bool by_hand;	  /* `now` by an operator, who asks for a fresh root */
		bool force;	  /* and overrides cool-down and hold file */
	} taken;
	struct {
		char unit[FACT_TEXT];
		uint32_t config; /* enum facts_config */
		char config_problem[FACT_TEXT];
		bool policy_invalid;
		char policy_problem[FACT_TEXT];
		bool automatic; /* policy lets preflight act */
		char root[FACT_PATH]; /* links resolved */
		char state[FACT_PATH];
		bool foreign_snapshotter;
		char foreign_what[FACT_TEXT];
	} config;
	struct {
		uint32_t attempts, failures, timeouts, window_sec, failures_needed;
		bool last_failed;
		char last_result[40], last_code[40], last_status[40];
		/* enum facts_answer: containerd or its configuration, since it was last READY */
		uint32_t changed;
	} ledger;
	struct {
		bool hold;
		bool cooling_down; /* a quarantine was made within the cool-down */
		uint64_t cooldown_left_sec;
		uint32_t quarantines; /* kept at present */
		bool restarted; /* containerd was, for a cure, since it was last healthy */
		bool freed; /* the state directory was, since containerd was last healthy */
		bool tmpmounts; /* were set aside, since containerd was last healthy */
		bool deferred; /* deletions were, since containerd was last healthy */
	} history;
	struct {
		int32_t error; /* negative errno of looking at it; 0: seen */
		bool is_link, is_mount_point, is_empty;
		bool child_mount; /* the root and one of its top directories are mount points */
		bool lasting_mount; /* fstab or a mount unit has a place below it, or may have */
		char stranger[FACT_TEXT]; /* a name in it that is not containerd's, else empty */
		uint32_t mount_missing; /* enum facts_answer: fstab or a mount unit wants one at or above it */
		uint64_t dev, ino;
	} root;
	struct {
		int32_t error;
		char type[32];
		bool read_only;
		uint64_t block_bytes, blocks, blocks_free, inodes, inodes_free;
		bool no_space, no_inodes; /* below the policy's marks */
	} fs;
	struct {
		uint32_t state; /* enum facts_db */
		char damage[64];
		int32_t error;
		uint64_t page, size;
		bool whole_tree; /* every page was checked */
		uint32_t lock;	 /* enum facts_lock */
		uint32_t lock_pid;
		bool under_lock; /* read while we held the flock */
	} meta;
	/* The snapshotter's own metadata.db, read while meta.db is under our lock. */
	struct {
		uint32_t state; /* enum facts_db */
		char damage[64];
		uint64_t page;
		bool under_lock;
	} snapshots;
	struct {
		bool looked;
		uint32_t verdict; /* enum facts_log */
		char rule[64], class[64], what[FACT_TEXT];
		char line[FACT_PATH]; /* the first one that decides */
		uint32_t starts, shown_in; /* failed starts read, and those that show it */
		bool in_last;
		bool needs_check;     /* counts only with damage found by ourselves */
		bool needs_unchanged; /* counts only with the same containerd and configuration */
		bool needs_missing;   /* counts only while the file that @line misses is not there */
		uint32_t missing;     /* enum facts_answer: is it not? */
	} log;
	struct {
		bool looked;
		uint64_t entries;
		bool complete; /* entries is exact */
		bool bloated;  /* entries reached the policy's mark */
		uint32_t msec;
		uint64_t mark;
	} count;
	/* What containerd would delete inside its next start: scanners/deletions.h. */
	struct {
		bool looked, complete;
		bool excessive; /* it would take more than the policy's share of the start */
		uint32_t directories;
		uint64_t entries, mark;
		/* Of these, what was to be moved in this incident and could not be. */
		uint32_t tried_directories;
		uint64_t tried_entries;
	} leftovers;
	struct {
		bool looked, complete;
		char missed[FACT_TEXT]; /* what could not be looked at, and why; else empty */
		uint32_t sandboxes, shims, bundles, links, reservations, cache_files;
		uint32_t foreign_tasks; /* living tasks of other clients' namespaces */
		/* What their containers wrote, running or not: nobody makes that anew. */
		uint32_t foreign_layers;
		char foreign_namespace[64];
	} pods;
	struct {
		bool looked;   /* the last start timed out, so they were asked */
		bool complete; /* each of them could be */
		uint32_t dead, hung;
		bool kill_hung; /* policy lets hung ones be killed */
		uint32_t predicted_msec; /* what the dead ones will cost the next start */
		uint32_t allowed_msec;	 /* the share of TimeoutStartSec= that is theirs */
	} shims;
	/* What containerd would unmount first of all: scanners/tmpmounts.h. */
	struct {
		bool looked; /* the last start timed out */
		uint32_t own, others;
		char type[32]; /* file system of the first */
	} tmpmounts;
	struct {
		uint32_t state; /* enum facts_cri, of the start that is up, else of the last one */
		bool up;	/* that start is up */
	} cri;
};

json_t *facts_to_json(const struct facts *facts);

/*
 * Returns 0, or -EINVAL with *@ret_problem naming the member that is missing or
 * of the wrong type (the caller's, to free()), or -ENOMEM.
 */
int facts_from_json(const json_t *json, struct facts *ret, char **ret_problem);

#endif
