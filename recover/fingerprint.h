/*
 * Is containerd, and is its configuration, still what it was when it last was
 * READY? A new version or a changed file explains a failing start better than
 * the data does.
 */
#ifndef RECOVER_FINGERPRINT_H
#define RECOVER_FINGERPRINT_H

#include "scanners/config.h"

enum { FINGERPRINT = 17 };

/*
 * A hash over the binary's inode, size and time of change and over the content
 * of every configuration file, in hex. What cannot be read counts as absent.
 */
void fingerprint_take(const struct config *config, char ret[FINGERPRINT]);

#endif
