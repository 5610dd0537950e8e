/*
 * config.toml and what it imports, as containerd loads them: breadth first,
 * each file once; and the values that all of them together give.
 */
#ifndef SCANNERS_CONFIG_FILES_H
#define SCANNERS_CONFIG_FILES_H

#include <stddef.h>

#include "scanners/text.h"
#include "scanners/toml.h"

enum { CONFIG_FILES_MAX = 256 };

struct config_files {
	struct text_list paths;	   /* in the order of merging */
	struct toml *docs[CONFIG_FILES_MAX];
	size_t count;
	int version; /* the last one that is not 0 counts; 0 is 1 */
};

/*
 * Load @path and its imports. @prefix is where the node's / is.
 *
 * Returns 0, -ENOENT if there is no @path, -EINVAL if containerd will refuse
 * what is there, or another errno of a file that cannot be read; the last two
 * with @ret_problem, to free(); or -ENOMEM. @files is to end with
 * config_files_done() in any case.
 */
int config_files_load(struct config_files *files, const char *prefix, const char *path,
		      char **ret_problem);

void config_files_done(struct config_files *files);
#define cleanup_config_files __attribute__((cleanup(config_files_done)))

/*
 * The keys that containerd decodes, checked for type, plugin names and
 * durations. Returns 0, -EINVAL with @ret_problem, or -ENOMEM.
 */
int config_files_check(const struct config_files *files, char **ret_problem);

/*
 * The value at the dotted @path below the section of a plugin, which went by up
 * to three names over time: @ids ends with NULL, newest first. Of the last file
 * that has it and, for a string, has it non-empty; up to version 2 a later file's
 * section replaces an earlier one as a whole, since 3 they are merged. The
 * files'; NULL if there is none.
 */
const struct toml_value *config_files_plugin(const struct config_files *files,
					     const char *const *ids, const char *path);

/* The string at the dotted @path of the last file that has it non-empty, or @fallback. */
const char *config_files_string(const struct config_files *files, const char *path,
				const char *fallback);

/* Is @name in the array of strings @key of any file? Arrays add up. */
bool config_files_lists(const struct config_files *files, const char *key, const char *name);

#endif
