/* Processes to be ended or spared by what is tested. */
#ifndef TESTS_UNIT_PROCESSES_H
#define TESTS_UNIT_PROCESSES_H

#include <sys/types.h>

#include "scanners/process.h"

/* fork(), after which the parent goes on once the child has closed @ret_ready. */
pid_t fork_until_ready(int *ret_ready);

/* A process with the command line of a shim: the test's own program, whose main()
 * begins with be_a_shim(), which returns in all others. */
pid_t spawn_shim(const char *ns, const char *id, const char *socket);
void be_a_shim(char **argv);

/* A process that answers nonsense to whoever asks at the listening socket @fd, until it is killed. */
pid_t answer_nonsense(int fd);

/* As the kernel shows it now. */
struct process process_of(pid_t pid);

/* The exit signal of @pid, 0 if it lives; a survivor is ended here. */
int ended_by(pid_t pid);

#endif
