/* The block device below a file system. */
#ifndef SCANNERS_BLOCKDEV_H
#define SCANNERS_BLOCKDEV_H

/*
 * Open the block device that the file system of @fd lies on, for reading alone.
 * Returns an fd, or a negative errno: -ENODEV if it has none, or that cannot be
 * found.
 */
int blockdev_open(int fd);

#endif
