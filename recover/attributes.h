/*
 * Carrying a directory's mode, owner, SELinux label, ACLs and project id over to
 * another one, so that a fresh data root is treated as the old one was.
 */
#ifndef RECOVER_ATTRIBUTES_H
#define RECOVER_ATTRIBUTES_H

/*
 * Returns 0, or a negative errno after a part. What the file system does not
 * have (labels, ACLs, projects) is not missed.
 */
int attributes_copy(int from_fd, int to_fd);

#endif
