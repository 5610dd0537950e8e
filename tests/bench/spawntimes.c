/*
 * spawntimes RUNS COMMAND... -- COMMAND... [-- ...]: runs the commands in turns,
 * RUNS times each, and prints for each the median of the elapsed time and of the
 * processor's time in microseconds, with the quartiles of the former.
 */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

enum { COMMANDS = 8 };

struct series {
	char **argv;
	double *elapsed, *cpu;
};

static double usec(struct timeval t)
{
	return (double)t.tv_sec * 1e6 + (double)t.tv_usec;
}

static void run_once(struct series *s, int i)
{
	struct timespec from, to;
	struct rusage usage;
	int status;
	pid_t pid;

	clock_gettime(CLOCK_MONOTONIC, &from);
	if (posix_spawn(&pid, s->argv[0], NULL, NULL, s->argv, environ) != 0 ||
	    wait4(pid, &status, 0, &usage) < 0 || status != 0) {
		fprintf(stderr, "spawntimes: %s failed\n", s->argv[0]);
		exit(1);
	}
	clock_gettime(CLOCK_MONOTONIC, &to);
	s->elapsed[i] = (double)(to.tv_sec - from.tv_sec) * 1e6 + (double)(to.tv_nsec - from.tv_nsec) / 1e3;
	s->cpu[i] = usec(usage.ru_utime) + usec(usage.ru_stime);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int split(char **argv, int runs, struct series *series)
{
	int n = 0;

	while (*argv && n < COMMANDS) {
		series[n].argv = argv;
		series[n].elapsed = calloc((size_t)runs, sizeof(double));
		series[n].cpu = calloc((size_t)runs, sizeof(double));
		if (!series[n].elapsed || !series[n].cpu)
			exit(1);
		n++;
		while (*argv && strcmp(*argv, "--") != 0)
			argv++;
		if (*argv)
			*argv++ = NULL;
	}
	return n;
}

int main(int argc, char **argv)
{
	struct series series[COMMANDS];
	int runs = argc > 2 ? atoi(argv[1]) : 0;
	int n;

	if (runs <= 0) {
		fprintf(stderr, "Usage: spawntimes RUNS COMMAND... [-- COMMAND...]...\n");
		return 2;
	}
	n = split(argv + 2, runs, series);
	for (int i = 0; i < runs; i++)
		for (int k = 0; k < n; k++)
			run_once(&series[k], i);
	for (int k = 0; k < n; k++) {
		qsort(series[k].elapsed, (size_t)runs, sizeof(double), compare);
		qsort(series[k].cpu, (size_t)runs, sizeof(double), compare);
		printf("%.0f %.0f %.0f %.0f\n", series[k].elapsed[runs / 2], series[k].cpu[runs / 2],
		       series[k].elapsed[runs / 4], series[k].elapsed[runs * 3 / 4]);
	}
	return 0;
}
