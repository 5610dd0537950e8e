/*
 * Control groups of containers, on version 1, hybrid and version 2 hierarchies.
 */
#ifndef RECOVER_CGROUP_H
#define RECOVER_CGROUP_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * SIGKILL to the whole container @id, of CRI's form, that @pid is in, as one
 * step: cgroup.kill of the version 2 group that bears the id.
 *
 * Returns 0, or a negative errno: -ENOENT where there is no such group or no
 * cgroup.kill.
 */
int cgroup_kill(pid_t pid, const char *id);

/*
 * Freeze the container @id that @pid is in, or thaw it: version 1's freezer, so
 * that nothing forks while it is killed, and what was frozen before can die.
 * Returns 0, or a negative errno: -ENOENT where there is no such group.
 */
int cgroup_freeze(pid_t pid, const char *id, bool freeze);

/*
 * Remove the empty group @path of container @id, with the empty groups in it,
 * from every hierarchy. @path is absolute below /sys/fs/cgroup (as runc records
 * it), or cgroupsPath of a specification: a path below each hierarchy, or
 * "<slice>:<prefix>:<name>" for systemd. A path that does not end in the id is
 * not touched.
 *
 * Returns 0, also if there is none, or a negative errno: -EBUSY if a process is
 * left in it.
 */
int cgroup_remove(const char *path, const char *id);

/* The path of "<slice>:<prefix>:<name>". Returns 0 with @ret the caller's, or -EINVAL, -ENOMEM. */
int cgroup_systemd_path(const char *text, char **ret);

#endif
