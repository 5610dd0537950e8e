/*
 * The administrator's policy: /etc/containerd-recover.conf, then
 * /etc/containerd-recover.conf.d/<name>.conf in the order of their names. Every
 * key has a default; a key or value that is not understood makes the policy
 * invalid, and an invalid policy acts on nothing.
 */
#ifndef RECOVER_POLICY_H
#define RECOVER_POLICY_H

#include <stdbool.h>
#include <stdint.h>

enum { POLICY_LIST = 1024 };

struct policy {
	/* [crash-loop] */
	uint64_t failures;    /* failed starts that make a loop */
	uint64_t window_sec;  /* within this time */
	uint64_t healthy_sec; /* READY for this long ends a loop */
	uint64_t cri_sec;     /* behind READY, CRI must answer within this time */
	/* [bloat] */
	uint64_t bloat_entries; /* files and directories that make a root bloated */
	uint64_t probe_msec;	/* longest time spent counting them */
	/* [leftovers] */
	uint64_t usec_per_entry; /* what containerd's start takes to delete one */
	uint64_t start_percent;	 /* of TimeoutStartSec that deletions may take */
	/* [quarantine] */
	bool automatic;		/* preflight may act; off: it only says what it would do */
	uint64_t cooldown_sec;	/* no second quarantine within this time */
	uint64_t grace_sec;	/* a quarantine is kept this long before its purge */
	uint64_t min_free_bytes; /* below: no space, hands off */
	uint64_t min_free_inodes;
	/* [clear] */
	uint64_t term_grace_msec; /* SIGTERM to SIGKILL for lost containers */
	bool kill_hung; /* shims that do not answer, where a start timed out on them */
	/* [sweep] */
	uint64_t plugin_sec;	  /* longest run of one CNI plugin */
	uint64_t plugins_at_once;
	uint64_t min_age_sec; /* with containerd up: what is younger may be in the making */
	/* [purge] */
	uint64_t max_rate;    /* entries per second, 0: as the node can bear */
	uint64_t max_workers; /* ceiling of threads */
	/* Percent free below which the grace ends and the purge goes at full speed;
	 * the defaults lie just above kubelet's eviction thresholds. */
	uint64_t urgent_free_space, urgent_free_inodes;
	/* [salvage] */
	bool salvage;		   /* bring the images of a quarantined root over */
	bool salvage_pause_only;   /* the pause image alone */
	uint64_t salvage_sec;	   /* longest time spent on all of them */
	uint64_t salvage_rate;	   /* bytes per second, 0: any; not for the pause image */
	bool salvage_keep_archive; /* keep an archive of the pause image in better days */
	/* [evidence] */
	bool evidence;		    /* an archive for each action */
	uint64_t evidence_sec;	    /* longest time spent collecting */
	uint64_t evidence_file_max; /* of a database, more is cut */
	uint64_t evidence_keep;	    /* archives */
	uint64_t evidence_age_sec;  /* older ones are deleted */
	/* [keep] */
	char keep_pods[POLICY_LIST]; /* patterns (recover/pods.h): whose writable layers are user data */
	uint64_t keep_msec;	     /* longest time spent on taking the size of user data */
	/* [report] */
	uint64_t report_keep;	 /* incidents whose records are kept once they are over */
	uint64_t report_age_sec; /* older ones are deleted */
	/* [start] */
	uint64_t budget_sec;  /* preflight gives up after this and lets containerd start */
};

/* One key, for the parser, the man page's test and `plan --format=json`. */
struct policy_key {
	const char *section, *name;
	enum policy_type { POLICY_BOOL, POLICY_NUMBER, POLICY_SECONDS, POLICY_MSEC, POLICY_SIZE,
			   POLICY_PODS } type;
	uint64_t fallback, min, max;
	unsigned offset; /* in struct policy */
};

extern const struct policy_key policy_keys[];
extern const unsigned policy_key_count;

/* The defaults. */
void policy_init(struct policy *policy);

/*
 * Read the policy files below the directory @etc_path ("/etc").
 *
 * Returns 0, or a negative errno with @ret the defaults and *@ret_problem a
 * line that names file, line, key and cure (the caller's, to free(); NULL for
 * -ENOMEM). -EINVAL: a file is there but not understood.
 */
int policy_read(const char *etc_path, struct policy *ret, char **ret_problem);

/*
 * Take one file's text as policy. Same results as policy_read(); @name is for
 * the message.
 */
int policy_parse(const char *text, const char *name, struct policy *policy, char **ret_problem);

#endif
