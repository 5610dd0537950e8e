/*
 * killat N COMMAND [ARGUMENT...]: runs the command and kills it, by SIGKILL,
 * before the N-th of its system calls that change the node: unlinks, renames,
 * unmounts, signals, messages to the kernel, new processes. Prints "killed"
 * or "ended STATUS".
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static bool changes_something(long number)
{
	static const long calls[] = {
		SYS_unlinkat, SYS_renameat2, SYS_umount2, SYS_pidfd_send_signal, SYS_sendto,
		SYS_clone3,   SYS_clone,     SYS_mkdirat,
#ifdef SYS_unlink
		SYS_unlink,   SYS_rename,    SYS_rmdir,   SYS_vfork,
#endif
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (calls[i] == number)
			return true;
	return false;
}

static int trace(pid_t pid, long left)
{
	struct __ptrace_syscall_info info;
	int status, signal = 0;

	for (;;) {
		if (ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(long)signal) < 0 ||
		    waitpid(pid, &status, 0) < 0)
			return 2;
		if (WIFEXITED(status)) {
			printf("ended %d\n", WEXITSTATUS(status));
			return 0;
		}
		if (!WIFSTOPPED(status))
			return 2;
		signal = WSTOPSIG(status);
		if (signal != (SIGTRAP | 0x80))
			continue;
		signal = 0;
		if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof(info), &info) < 0)
			return 2;
		if (info.op != PTRACE_SYSCALL_INFO_ENTRY ||
		    !changes_something((long)info.entry.nr) || --left > 0)
			continue;
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, &status, 0);
		printf("killed\n");
		return 0;
	}
}

int main(int argc, char **argv)
{
	pid_t pid;
	int status;

	if (argc < 3)
		return 2;
	pid = fork();
	if (pid == 0) {
		(void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		(void)execvp(argv[2], argv + 2);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFSTOPPED(status) ||
	    ptrace(PTRACE_SETOPTIONS, pid, NULL,
		   (void *)(long)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)) < 0)
		return 2;
	return trace(pid, strtol(argv[1], NULL, 10));
}
