/*
 * The commands, one function each, named in recover/commands.def. A command
 * gets its own argv (argv[0] is its name) and returns the exit status.
 */
#ifndef RECOVER_COMMAND_H
#define RECOVER_COMMAND_H

/* Exit statuses are API; the man page has them. */
enum {
	EXIT_OK = 0,
	EXIT_FAILED = 1,    /* tried and failed, or found nothing to work on */
	EXIT_USAGE = 2,     /* wrong options or arguments */
	EXIT_HANDS_OFF = 3, /* a veto: nothing was changed, on purpose */
	EXIT_PARTIAL = 4,   /* done in part; the rest is named on stderr */
	EXIT_DECLINED = 5,  /* the person at the terminal said no */
};

#define COMMAND(name, function, summary) int function(int argc, char **argv);
#include "recover/commands.def"
#undef COMMAND

#endif
