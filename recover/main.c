/*
 * containerd-recover: gets a node whose containerd will not start back into
 * service. The map of the program is docs/ARCHITECTURE.md; in short,
 *
 *	scanners/	observe the node and change nothing
 *	recover/triage	decides: a pure function from facts to a plan
 *	recover/…	acts, one file per command and per thing acted on
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recover/command.h"
#include "scanners/cleanup.h"

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
} commands[] = {
#define COMMAND(name, function, summary) { name, function, summary },
#include "recover/commands.def"
#undef COMMAND
};

static void usage(void)
{
	printf("Usage: containerd-recover COMMAND [OPTION]...\n"
	       "Gets a node whose containerd will not start back into service.\n\n"
	       "Commands:\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		printf("  %-10s %s\n", commands[i].name, commands[i].summary);
	printf("\nOptions:\n"
	       "  -h, --help     show this help; COMMAND --help shows a command's options\n"
	       "  -V, --version  show the version\n\n"
	       "See containerd-recover(8).\n");
}

static int flush_stdout(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	fprintf(stderr, "containerd-recover: cannot write to standard output: %s\n",
		strerror(errno));
	return status == EXIT_SUCCESS ? EXIT_FAILURE : status;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	if (strcmp(name, "-h") == 0 || strcmp(name, "--help") == 0) {
		usage();
		return flush_stdout(EXIT_SUCCESS);
	}
	if (strcmp(name, "-V") == 0 || strcmp(name, "--version") == 0) {
		printf("containerd-recover %s\n", VERSION);
		return flush_stdout(EXIT_SUCCESS);
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(name, commands[i].name) == 0)
			return flush_stdout(commands[i].run(argc - 1, argv + 1));

	if (*name)
		fprintf(stderr, "containerd-recover: unknown command '%s'\n", name);
	else
		fprintf(stderr, "containerd-recover: no command given\n");
	fprintf(stderr, "Try 'containerd-recover --help'.\n");
	return EXIT_USAGE;
}
