/*
 * Reasons why a fresh data root would not be the whole story: data that this
 * containerd keeps elsewhere, or others' data in its root.
 */
#ifndef SCANNERS_CONFIG_FOREIGN_H
#define SCANNERS_CONFIG_FOREIGN_H

#include "scanners/config.h"
#include "scanners/config_files.h"
#include "scanners/text.h"

/*
 * Add each reason to @ret, by the merged @files and the paths and snapshotter
 * in @config. All files count, whichever of them containerd's merging would
 * leave out. Returns 0 or -ENOMEM.
 */
int config_foreign(const struct config_files *files, const struct config *config,
		   struct text_list *ret);

#endif
