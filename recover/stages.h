/*
 * The stages of an incident, recorded: a line before and a line after each, with
 * fsync, in the file "stages" of the quarantine. A run that was killed leaves a
 * stage begun and not done; the next run finishes or undoes it.
 *
 *	begin kill 123456 1700000000		(boot time in ms, unix time)
 *	done kill 123470 1700000000
 */
#ifndef RECOVER_STAGES_H
#define RECOVER_STAGES_H

#include <stdbool.h>
#include <stdint.h>

enum stage {
	STAGE_KILL,    /* lost shims and containers */
	STAGE_BUNDLES, /* aside, within the state directory */
	STAGE_LINKS,   /* down */
	STAGE_RELEASE, /* reservations */
	STAGE_MOVE,    /* the fresh root in, the old one aside */
	STAGE_UNDO,    /* what was begun is taken back: the root was not moved */
	STAGE_SALVAGE,
	STAGE_SWEEP,
	STAGE_RESTORE, /* the old root back */
	STAGE_DEFER, /* single directories aside: recover/defer.h */
	STAGE_PURGE,
	STAGE_COUNT,
};

struct stages {
	int fd;
	bool begun[STAGE_COUNT], done[STAGE_COUNT];
	int64_t begun_msec[STAGE_COUNT]; /* boot time of the last begin */
	int64_t done_sec[STAGE_COUNT];	 /* unix time of the last done */
	unsigned msec[STAGE_COUNT];	 /* how long the stage took, when done */
};

extern const char *const stage_names[STAGE_COUNT];

/*
 * Open (and with @create make) the record below @ticket_fd and read it; a torn
 * last line is as if it had not been written. Returns 0 with @ret to end with
 * stages_close(), or a negative errno with it untouched.
 */
int stages_open(int ticket_fd, bool create, struct stages *ret);
void stages_close(struct stages *stages);

/* Look at the record @name below @dirfd only. Same results, with nothing to be closed. */
int stages_peek(int dirfd, const char *name, struct stages *ret);

/* Read what was written since. Returns 0, or a negative errno with @stages as it was. */
int stages_read_again(int ticket_fd, struct stages *stages);

/*
 * Record that @stage begins or is done; what is begun already is not written
 * again. Returns 0 once it is on disk, or a negative errno: then the stage must
 * not be run.
 */
int stage_begin(struct stages *stages, enum stage stage);
int stage_done(struct stages *stages, enum stage stage);

/*
 * The tests kill us behind every line that is written, and wherever else this is
 * called, to see the next run mend it. Does nothing but in builds for tests.
 */
void stages_fault_point(void);

#endif
