/*
 * Does somebody mean a file system to be mounted where a directory is? An empty
 * or tiny data root may be a disk that is not there yet.
 */
#ifndef SCANNERS_EXPECTED_MOUNT_H
#define SCANNERS_EXPECTED_MOUNT_H

/*
 * Look for an fstab(5) entry or a systemd mount unit for the absolute @path or
 * a directory above it (not "/") which is not a mount point at present. @prefix
 * is put before the paths of fstab and units ("" on a node).
 *
 * Returns 1 if there is one, with the mount point in *@ret_where (the caller's,
 * to free(); may be NULL), 0 if not, or a negative errno.
 */
int expected_mount_missing(const char *prefix, const char *path, char **ret_where);

/*
 * Is there an fstab(5) entry or a systemd mount unit for a place below the
 * absolute @path? What is mounted there now comes back there after a reboot,
 * whatever has been moved meanwhile. Returns 1, 0, or a negative errno.
 */
int expected_mount_below(const char *prefix, const char *path);

#endif
