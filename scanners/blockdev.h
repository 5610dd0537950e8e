/* The block device below an ext4. */
#ifndef SCANNERS_BLOCKDEV_H
#define SCANNERS_BLOCKDEV_H

/*
 * Open the block device that the ext4 of @fd lies on, for reading alone. Returns
 * an fd, or a negative errno: -EOPNOTSUPP for a file system that is not ext4's
 * like, -ENODEV if its device cannot be found.
 */
int blockdev_open_ext4(int fd);

#endif
