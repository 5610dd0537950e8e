/*
 * The data roots of which quarantines were made, in the records' file "roots":
 * a quarantine is beside its root, and is found there when containerd's
 * configuration names another one by now.
 */
#ifndef RECOVER_ROOTS_H
#define RECOVER_ROOTS_H

#include <jansson.h>

/*
 * Remember that @unit has data root @root, links resolved. Written once for each.
 * Returns 0, or a negative errno.
 */
int roots_note(int records_fd, const char *unit, const char *root);

/* [{unit, root}], the caller's; NULL for want of memory. What cannot be read is empty. */
json_t *roots_read(int records_fd);

#endif
