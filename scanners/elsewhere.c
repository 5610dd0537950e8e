#include "scanners/elsewhere.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/text.h"

/* What containerd calls its plugins' directories below a state directory. */
#define PLUGIN "/io.containerd."

/* Of "<state>/<plugin>/<namespace>/<id>", where a shim works, the state directory; else NULL. */
static char *state_of(pid_t pid)
{
	cleanup_free char *link = text_print("/proc/%d/cwd", pid), *path = NULL;
	char *slash = NULL;

	if (!link || dir_read_link(AT_FDCWD, link, &path) < 0)
		return NULL; /* it has just ended */
	for (int i = 0; i < 3; i++) {
		slash = strrchr(path, '/');
		if (!slash || slash == path)
			return NULL;
		if (i < 2)
			*slash = '\0';
	}
	if (strncmp(slash, PLUGIN, strlen(PLUGIN)) != 0)
		return NULL;
	*slash = '\0';
	return take_ptr(path);
}

int elsewhere_scan(const char *state, const struct inventory *inventory, struct elsewhere *ret)
{
	cleanup_free char *real = realpath(state, NULL), *first = NULL;
	struct elsewhere found = { 0 };

	if (!real && errno == ENOMEM)
		return -ENOMEM;
	for (size_t i = 0; i < inventory->sandbox_count; i++) {
		const struct sandbox *sandbox = &inventory->sandboxes[i];
		cleanup_free char *other = NULL;

		if (!sandbox->from_shim || process_is_running(&sandbox->shim) != 1)
			continue;
		found.here += sandbox->from_bundle;
		if (sandbox->from_bundle)
			continue;
		other = state_of(sandbox->shim.pid);
		if (!other || strcmp(other, real ? real : state) == 0)
			continue;
		if (found.count++ == 0) {
			found.pid = sandbox->shim.pid;
			first = take_ptr(other);
		}
	}
	found.state = take_ptr(first);
	*ret = found;
	return 0;
}
