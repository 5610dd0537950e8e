/*
 * A copy that is a directory: owner, mode, times, extended attributes, ACLs,
 * hard links, holes, links, devices, pipes and sockets as they were. Overlayfs's
 * whiteouts and marks stay as they are, so that it can be mounted again.
 */
#ifndef RECOVER_KEEP_DIRECTORY_H
#define RECOVER_KEEP_DIRECTORY_H

#include "recover/keep/tree.h"

struct keep_directory;

/*
 * Copy into the empty directory @fd; @links_fd is another one on the same file
 * system, for our own use, which is empty again at the end of it all. Both stay
 * the caller's. NULL: no memory.
 */
struct keep_directory *keep_directory_new(int fd, int links_fd, struct keep_report *report);
void keep_directory_free(struct keep_directory *directory);

extern const struct keep_sink keep_directory_sink;

/* Every file is in place: take what helped with hard links away. 0 or a negative errno. */
int keep_directory_finish(struct keep_directory *directory);

#endif
