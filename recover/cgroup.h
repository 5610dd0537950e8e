/*
 * Control groups of containers, on version 1, hybrid and version 2 hierarchies.
 */
#ifndef RECOVER_CGROUP_H
#define RECOVER_CGROUP_H

#include <sys/types.h>

/*
 * SIGKILL to the whole container @id, of CRI's form, that @pid is in, as one
 * step: cgroup.kill of the version 2 group that bears the id.
 *
 * Returns 0, or a negative errno: -ENOENT where there is no such group or no
 * cgroup.kill.
 */
int cgroup_kill(pid_t pid, const char *id);

#endif
