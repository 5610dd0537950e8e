#include "recover/budget.h"

#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "recover/cli.h"
#include "recover/command.h"

static const char *said;

static void on_alarm(int signal)
{
	(void)signal;
	(void)!write(STDERR_FILENO, said, strlen(said));
	_exit(EXIT_OK);
}

static void kill_in(unsigned sec)
{
	static timer_t timer;
	static bool made;
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL };
	const struct itimerspec after = { .it_value.tv_sec = sec };

	if (!made)
		made = timer_create(CLOCK_MONOTONIC, &event, &timer) == 0;
	if (made)
		(void)timer_settime(timer, 0, &after, NULL); /* the alarm is the rule, this the exception */
}

void budget_set(unsigned sec, const char *text)
{
	said = text;
	(void)signal(SIGALRM, on_alarm);
	(void)alarm(sec);
	kill_in(sec + 1);
}
