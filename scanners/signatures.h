/*
 * What a log says about why containerd did not start: one table of signatures
 * (signatures.def), each with the verdict that the log alone allows and the
 * further facts without which nobody should act on it.
 */
#ifndef SCANNERS_SIGNATURES_H
#define SCANNERS_SIGNATURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scanners/loglines.h"

enum signature_verdict {
	SIGNATURE_UNDECIDED, /* the log does not decide: touch nothing */
	SIGNATURE_HANDS_OFF, /* a cause that no data remedy cures */
	SIGNATURE_PARTIAL,   /* a smaller remedy than a fresh root */
	SIGNATURE_QUARANTINE,
};

/* Facts of the node that outrank the log, and that this signature waits for. */
enum signature_need {
	NEED_BOLT_CHECK = 1 << 0, /* our own check of that very file finds the damage */
	NEED_SPACE = 1 << 1,	  /* room and inodes now */
	NEED_LOCK = 1 << 2,	  /* nobody else holds meta.db */
	NEED_MOUNTS = 1 << 3,	  /* the disk is mounted that fstab and unit want */
	NEED_SHIMS = 1 << 4,	  /* which shims are dead or hang */
	NEED_LEFTOVERS = 1 << 5,  /* what the start would delete, and how much of it */
	NEED_REPEAT = 1 << 6,	  /* the same in every failed start */
	NEED_UNCHANGED = 1 << 7,  /* same containerd and configuration as in the last healthy start */
	NEED_DISK = 1 << 8,	  /* the disk's own health: the kernel's log, SMART */
	NEED_LOG = 1 << 9,	  /* more of the log: that of one whole failed start */
	NEED_MISSING = 1 << 10,	  /* the file that the line misses still is not there */
};

enum signature {
#define SIGNATURE(name, ...) SIGNATURE_##name,
#include "scanners/signatures.def"
#undef SIGNATURE
	SIGNATURE_COUNT,
};

/* Plain, so that it can be a fact (no pointer is needed to decide by it). */
struct signature_finding {
	uint32_t signature; /* enum signature; SIGNATURE_NONE: nothing known was found */
	uint32_t verdict;   /* enum signature_verdict */
	uint32_t needs;	    /* of enum signature_need */
	uint32_t starts;    /* failed starts that were looked at */
	uint32_t shown_in;  /* of them show this signature */
	bool in_last;	    /* the last one does */
};

enum { SIGNATURE_EVIDENCE_MAX = 8 };

struct signature_evidence {
	size_t lines[SIGNATURE_EVIDENCE_MAX]; /* indices into the log */
	size_t count;
};

/*
 * Judge a settled @log. Of several signatures of one start the one further up in
 * the table counts: causes outside the data root are on top, so that none below
 * them can outvote them. Of several starts the last one that names a cause counts,
 * unless an earlier one shows a failing disk. @ret_evidence may be NULL.
 */
void signature_find(const struct log *log, struct signature_finding *ret,
		    struct signature_evidence *ret_evidence);

/* One row of the table. */
struct signature_info {
	const char *id;	   /* heading in docs/TRIAGE.md */
	const char *class; /* of causes; several signatures may share one */
	enum signature_verdict verdict;
	const char *what; /* hands off why, or what the partial remedy is */
	unsigned needs;
};

const struct signature_info *signature_info(enum signature signature);

/* "quarantine-root", "hands-off", …; "bolt-check", "space-now", … */
const char *signature_verdict_name(enum signature_verdict verdict);
const char *signature_need_name(enum signature_need need);

#endif
