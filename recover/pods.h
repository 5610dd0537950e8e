/*
 * Patterns that pods are named by: "namespace/name", each part with the shell's
 * wildcards (fnmatch(3)), which do not match the slash.
 */
#ifndef RECOVER_PODS_H
#define RECOVER_PODS_H

#include <stdbool.h>
#include <stddef.h>

enum { PODS_MAX = 64 }; /* patterns in a list, or on a command line */

bool pods_is_pattern(const char *text);

/*
 * Split @list, patterns with blanks or commas between them, in place. Returns
 * their number, or -EINVAL for one that is none, -E2BIG for too many.
 */
int pods_split(char *list, const char *patterns[PODS_MAX]);

/* Does one of @patterns match the pod @ns/@name? What is unknown (NULL) is matched by none. */
bool pods_match(const char *ns, const char *name, const char *const *patterns, size_t count);

#endif
