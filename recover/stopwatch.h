/*
 * The stages of a run by hand, shown with their times as they end:
 *
 *	stop containerd .......... 0.31 s
 */
#ifndef RECOVER_STOPWATCH_H
#define RECOVER_STOPWATCH_H

#include <stdbool.h>
#include <time.h>

struct stopwatch {
	struct timespec since;
};

void stopwatch_start(struct stopwatch *watch);
double stopwatch_sec(const struct stopwatch *watch);

/* Print "@what .... N.NN s" for the time since @watch was started, and start it again. */
void stopwatch_print(struct stopwatch *watch, const char *what);

/* The same with a time that somebody else took. */
void stopwatch_print_sec(const char *what, double sec);

#endif
