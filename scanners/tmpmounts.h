/*
 * Temporary mounts that containerd left in <root>/tmpmounts/containerd-mount<N>.
 * At its start, before all else, it looks at each and unmounts it: where the
 * server of one does not answer (FUSE, NFS), it waits there for ever.
 *
 * Taken from the mount table alone. Who so much as stats such a mount waits too.
 */
#ifndef SCANNERS_TMPMOUNTS_H
#define SCANNERS_TMPMOUNTS_H

#include "scanners/mounts.h"

#define TMPMOUNTS "tmpmounts"

struct tmpmounts {
	unsigned own;	 /* in containerd-mount<N>, and below */
	unsigned others; /* whatever else is mounted there, or on the directory itself */
	char type[32];	 /* file system of the first of its own; "" for none */
};

/*
 * Look for mounts at and below @dir, the real path of a directory tmpmounts.
 * Returns 0, or a negative errno as mounts_scan() with @ret untouched.
 */
int tmpmounts_scan(const char *dir, struct tmpmounts *ret);

/* Is @path one of containerd's temporary mount points in @dir (not one below it)? */
bool tmpmounts_is_own(const char *path, const char *dir);

#endif
