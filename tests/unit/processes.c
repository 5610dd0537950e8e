#include "tests/unit/processes.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scanners/process.h"
#include "tests/unit/tap.h"

#define SHIM "containerd-shim-runc-v2"

pid_t fork_until_ready(int *ret_ready)
{
	int ends[2] = { -1, -1 };
	char byte;
	pid_t pid;

	CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		*ret_ready = ends[1];
		return 0;
	}
	(void)close(ends[1]);
	CHECK_EQ(read(ends[0], &byte, 1), 0);
	(void)close(ends[0]);
	return pid;
}

/* By the name it gives itself, which is behind its command line. */
static bool is_shim(pid_t pid)
{
	static const char name[] = "containerd-shim\n"; /* as the kernel cuts it */
	char path[32], line[32] = "";
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	file = fopen(path, "re");
	if (file && !fgets(line, sizeof(line), file))
		*line = '\0';
	if (file)
		(void)fclose(file);
	return strcmp(line, name) == 0;
}

pid_t spawn_shim(const char *ns, const char *id, const char *socket)
{
	pid_t pid = fork();

	if (pid == 0) {
		execl("/proc/self/exe", SHIM, "-namespace", ns, "-id", id, "-address", socket, (char *)NULL);
		_exit(127);
	}
	for (int i = 0; i < 500 && !is_shim(pid); i++)
		usleep(10000);
	return pid;
}

void be_a_shim(char **argv)
{
	if (strcmp(argv[0], SHIM) != 0)
		return;
	(void)prctl(PR_SET_NAME, SHIM);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		pause();
}

int ended_by(pid_t pid)
{
	int status;

	for (int i = 0; i < 60; i++, usleep(5000))
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFSIGNALED(status) ? WTERMSIG(status) : -1;
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return 0;
}

pid_t answer_nonsense(int fd)
{
	pid_t server = fork();

	if (server == 0) {
		(void)signal(SIGPIPE, SIG_IGN); /* some only look whether anybody listens */
		for (;;) {
			int peer = accept(fd, NULL, NULL);
			char question[1000];

			if (read(peer, question, sizeof(question)) > 0)
				(void)!write(peer, "nonsense", 8);
			(void)close(peer);
		}
	}
	return server;
}

struct process process_of(pid_t pid)
{
	cleanup_process_table struct process_table table = { 0 };
	const struct process_entry *entry;

	CHECK_EQ(process_table_read(&table), 0);
	entry = process_find(&table, pid);
	CHECK(entry != NULL);
	return entry ? entry->process : (struct process){ 0 };
}
