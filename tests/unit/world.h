/*
 * The paths of a real node for tests that run whole commands: /run, /etc and
 * /var/lib of their own, in mount and network namespaces that end with the test.
 */
#ifndef TESTS_UNIT_WORLD_H
#define TESTS_UNIT_WORLD_H

#include <stdbool.h>
#include <sys/types.h>

#define ROOT "/var/lib/containerd"
#define JAIL ROOT ".quarantine"
#define META ROOT "/io.containerd.metadata.v1.bolt/meta.db"
#define STATE "/run/containerd"
#define TASKS STATE "/io.containerd.runtime.v2.task"

/* Returns false, having said that the test is skipped, without the right to. */
bool world_enter(void);

/* A node with a root that holds something, a bundle, and no records. */
void world_begin(void);

/* A check that @command, for a shell, succeeds. */
void world_run(const char *command);

/* Is there anything at @path, a link that leads nowhere included? */
bool world_has(const char *path);

/* 0 where there is nothing. */
ino_t world_inode(const char *path);

#endif
