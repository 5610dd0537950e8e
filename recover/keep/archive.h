/*
 * A copy that is a tar, for any tar to unpack: owner, mode, times, extended
 * attributes, ACLs, hard links, holes, links, devices and pipes as they were;
 * sockets are left out. In layers, overlayfs's whiteouts and opaque marks become
 * those of OCI layers (.wh.NAME, .wh..wh..opq), which every image tool knows.
 */
#ifndef RECOVER_KEEP_ARCHIVE_H
#define RECOVER_KEEP_ARCHIVE_H

#include "recover/archive.h"
#include "recover/keep/tree.h"

struct keep_archive;

/*
 * Write to @fd, which stays the caller's, @how as in recover/archive.h. Returns
 * 0 with @ret to end with keep_archive_finish() or keep_archive_free(),
 * -ELIBACC without libarchive, -ENOTSUP where it lacks the compression, or
 * another negative errno.
 */
int keep_archive_new(int fd, unsigned how, struct keep_report *report, struct keep_archive **ret);
void keep_archive_free(struct keep_archive *archive);

extern const struct keep_sink keep_archive_sink;

/* Complete the archive. Returns 0, or a negative errno: then it is not to be used. */
int keep_archive_finish(struct keep_archive *archive);

#endif
