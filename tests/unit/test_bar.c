#include <fcntl.h>
#include <pty.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "recover/bar.h"
#include "scanners/cleanup.h"
#include "tests/unit/tap.h"

/* What a terminal of @columns is told; the caller's until the next call. */
static const char *told(unsigned short columns, uint64_t done, uint64_t total, const char *text)
{
	static char said[1024];
	struct winsize size = { .ws_row = 25, .ws_col = columns };
	cleanup_fd int saved = dup(STDERR_FILENO), master = -EBADF, slave = -EBADF;
	ssize_t n;

	CHECK_EQ(openpty(&master, &slave, NULL, NULL, &size), 0);
	CHECK(dup2(slave, STDERR_FILENO) >= 0);
	bar_show(done, total, text);
	CHECK(dup2(saved, STDERR_FILENO) >= 0);
	n = read(master, said, sizeof(said) - 1);
	said[n > 0 ? n : 0] = '\0';
	CHECK(strncmp(said, "\r\033[K", 4) == 0);
	return said + 4;
}

static void test_the_bar_is_as_long_as_there_is_done(void)
{
	CHECK_STR(told(60, 0, 10, "some text"), "[                              ]   0 %  some text");
	CHECK_STR(told(60, 5, 10, "some text"), "[###############               ]  50 %  some text");
	CHECK_STR(told(60, 10, 10, "some text"), "[##############################] 100 %  some text");
	CHECK_STR(told(60, 11, 10, "some text"), "[##############################] 100 %  some text");
	CHECK_STR(told(60, UINT64_MAX / 2, UINT64_MAX, "x"), "[###############               ]  50 %  x");
}

static void test_an_unknown_whole_has_no_bar(void)
{
	CHECK_STR(told(60, 5, 0, "some text"), "some text");
}

static void test_a_narrow_terminal_is_not_wrapped(void)
{
	CHECK_STR(told(30, 5, 10, "some text"), "[#####     ]  50 %  some text");
	CHECK_STR(told(29, 5, 10, "some text"), "[##   ]  50 %  some text");
	CHECK_STR(told(20, 5, 10, "some text"), "[##   ]  50 %  some");
	/* It does not say how wide it is. */
	CHECK_EQ(strlen(told(0, 5, 10, "123456789 123456789 123456789 123456789 123456789 "
				       "123456789 123456789 123456789 ")), 79);
}

int main(void)
{
	RUN(test_the_bar_is_as_long_as_there_is_done);
	RUN(test_an_unknown_whole_has_no_bar);
	RUN(test_a_narrow_terminal_is_not_wrapped);
	return tap_done();
}
