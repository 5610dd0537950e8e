#include "recover/stopwatch.h"

#include <stdio.h>
#include <string.h>

enum { COLUMN = 44 };

void stopwatch_start(struct stopwatch *watch)
{
	(void)clock_gettime(CLOCK_MONOTONIC, &watch->since); /* cannot fail for this clock */
}

double stopwatch_sec(const struct stopwatch *watch)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - watch->since.tv_sec) +
	       (double)(now.tv_nsec - watch->since.tv_nsec) / 1e9;
}

void stopwatch_print_sec(const char *what, double sec)
{
	static const char dots[] = "............................................";
	size_t len = strlen(what);

	printf("  %s %s %6.2f s\n", what, len < COLUMN - 3 ? dots + len : "..", sec);
	(void)fflush(stdout); /* for whoever watches; main() checks the stream at the end */
}

void stopwatch_print(struct stopwatch *watch, const char *what)
{
	stopwatch_print_sec(what, stopwatch_sec(watch));
	stopwatch_start(watch);
}
