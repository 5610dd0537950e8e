/* Facts that outrank what the failed starts said. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "recover/startlog.h"
#include "scanners/cleanup.h"
#include "tests/unit/tap.h"

#define CRI "io.containerd.grpc.v1.cri"
#define ID "2664d51a384bf98e94aded002174845ed656c241b862c7248fa98424233a17ba"

static int root = -EBADF;

static void make_dir(const char *path)
{
	CHECK_EQ(mkdirat(root, path, 0700), 0);
}

static uint32_t missing(const char *line)
{
	struct facts f = { .log.missing = ANSWER_NO };

	(void)snprintf(f.log.line, sizeof(f.log.line), "%s", line);
	startlog_look_for_missing(root, &f);
	return f.log.missing;
}

/* Another root's name in the line is the same disk under another path, or this one's link. */
static void test_a_checkpoint_is_looked_for(void)
{
	static const char line[] =
		"level=warning msg=\"Failed to load container status for \\\"" ID "\\\"\" error=\"failed to "
		"read status from \\\"/data/docker/" CRI "/containers/" ID "/status\\\": open /data/docker/"
		CRI "/containers/" ID "/status: no such file or directory\"";
	cleanup_fd int fd = -EBADF;

	CHECK_EQ(missing(line), ANSWER_UNKNOWN); /* no such directory at all: another disk's? */
	make_dir(CRI);
	make_dir(CRI "/containers");
	CHECK_EQ(missing(line), ANSWER_YES);
	make_dir(CRI "/containers/" ID);
	CHECK_EQ(missing(line), ANSWER_YES);
	fd = openat(root, CRI "/containers/" ID "/status", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0);
	CHECK_EQ(missing(line), ANSWER_NO);
}

static void test_lines_that_name_no_checkpoint(void)
{
	CHECK_EQ(missing(""), ANSWER_UNKNOWN);
	CHECK_EQ(missing("open /r/" CRI "/containers/" ID ": no such file"), ANSWER_UNKNOWN);
	CHECK_EQ(missing("open /r/" CRI "/containers//status: no such file"), ANSWER_UNKNOWN);
	CHECK_EQ(missing("open /r/" CRI "/containers/../status: no such file"), ANSWER_UNKNOWN);
	CHECK_EQ(missing("open /r/" CRI "/containers/a/b/status: no such file"), ANSWER_UNKNOWN);
	CHECK_EQ(missing("open /r/" CRI "/containers/" ID "2/status: no such file"), ANSWER_YES);
}

/* What stands there instead and cannot be entered proves nothing. */
static void test_a_link_in_its_place(void)
{
	CHECK_EQ(symlinkat("/", root, CRI "/containers/link"), 0);
	CHECK_EQ(missing("open /r/" CRI "/containers/link/status: no such file"), ANSWER_UNKNOWN);
}

int main(void)
{
	root = open(tap_tmpdir(NULL), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	RUN(test_a_checkpoint_is_looked_for);
	RUN(test_lines_that_name_no_checkpoint);
	RUN(test_a_link_in_its_place);
	return tap_done();
}
