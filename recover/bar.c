#include "recover/bar.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/param.h>
#include <unistd.h>

enum {
	BAR_MAX = 30,
	BAR_STEP = 5,
	AROUND = sizeof("[] 100 %  ") - 1,
	LINE = 256,
	COLUMNS = 80, /* of a terminal that does not say */
};

/* Of the terminal, with room for the cursor. */
static int width(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
		size.ws_col = COLUMNS;
	return MIN(size.ws_col, LINE) - 1;
}

/* Columns for the bar, so that @text is seen whole if it can be; in steps, so that it does not jump. */
static int bar_width(int columns, const char *text)
{
	int room = columns - AROUND - (int)MIN(strlen(text), LINE);

	return MAX(MIN(room, BAR_MAX), BAR_STEP) / BAR_STEP * BAR_STEP;
}

void bar_show(uint64_t done, uint64_t total, const char *text)
{
	static const char full[BAR_MAX + 1] = "##############################";
	double part = total ? (double)MIN(done, total) / (double)total : 0;
	int columns = width(), bar = bar_width(columns, text), filled = (int)(part * bar);
	char line[LINE];

	if (total)
		(void)snprintf(line, sizeof(line), "[%.*s%*s] %3d %%  %s", filled, full, bar - filled, "",
			       (int)(part * 100), text);
	else
		(void)snprintf(line, sizeof(line), "%s", text);
	fprintf(stderr, "\r\033[K%.*s", columns, line);
}

void bar_clear(void)
{
	fprintf(stderr, "\r\033[K");
}
