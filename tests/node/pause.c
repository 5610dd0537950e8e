/*
 * The only program in the test images. As PID 1 of a pod it waits for SIGTERM;
 * "/pause stubborn" ignores it, as a container that must be killed does.
 */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void leave(int sig)
{
	(void)sig;
	_exit(0);
}

int main(int argc, char **argv)
{
	/* Ignoring SIGCHLD has the kernel reap orphans. */
	signal(SIGCHLD, SIG_IGN);
	if (argc > 1 && strcmp(argv[1], "stubborn") == 0)
		signal(SIGTERM, SIG_IGN);
	else
		signal(SIGTERM, leave);
	for (;;)
		pause();
}
