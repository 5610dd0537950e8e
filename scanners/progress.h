/*
 * Does a silent process get on? One that waits for a CPU or for the disk, or that
 * ran since it was last looked at, is slow; one that neither runs nor wants to is
 * stuck, stopped or waits for another.
 */
#ifndef SCANNERS_PROGRESS_H
#define SCANNERS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Look at all threads of @pid. *@ran_nsec is what they had of the CPUs when looked
 * at last, 0 at first, and is brought up to date (/proc/PID/task/TID/schedstat;
 * on a kernel without it only their states are seen).
 *
 * A process that cannot be looked at is not at work.
 */
bool progress_seen(pid_t pid, uint64_t *ran_nsec);

#endif
