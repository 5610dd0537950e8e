#include "recover/pods.h"

#include <errno.h>
#include <fnmatch.h>
#include <string.h>

#include "scanners/cleanup.h"

bool pods_is_pattern(const char *text)
{
	const char *slash = strchr(text, '/');

	return slash && slash > text && slash[1] && !strchr(slash + 1, '/');
}

int pods_split(char *list, const char *patterns[PODS_MAX])
{
	char *save = NULL;
	int count = 0;

	for (char *one = strtok_r(list, ", \t", &save); one; one = strtok_r(NULL, ", \t", &save)) {
		if (!pods_is_pattern(one))
			return -EINVAL;
		if (count == PODS_MAX)
			return -E2BIG;
		patterns[count++] = one;
	}
	return count;
}

static bool matches(const char *pattern, const char *ns, const char *name)
{
	const char *slash = strchr(pattern, '/');
	cleanup_free char *first = slash ? strndup(pattern, (size_t)(slash - pattern)) : NULL;

	return first && fnmatch(first, ns, 0) == 0 && fnmatch(slash + 1, name, 0) == 0;
}

bool pods_match(const char *ns, const char *name, const char *const *patterns, size_t count)
{
	for (size_t i = 0; ns && name && i < count; i++)
		if (matches(patterns[i], ns, name))
			return true;
	return false;
}
