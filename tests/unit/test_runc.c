#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scanners/cleanup.h"
#include "scanners/runc.h"
#include "tests/unit/tap.h"

static const char *dir;

static void put(const char *name, mode_t mode)
{
	cleanup_free char *path = NULL;
	int fd;

	CHECK(asprintf(&path, "%s/%s", dir, name) > 0);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, mode);
	CHECK(fd >= 0);
	(void)close(fd);
}

static int look(const char *name, pid_t containerd)
{
	cleanup_free char *path = NULL, *where = NULL;
	struct config config = { 0 };
	int r;

	CHECK(asprintf(&path, "%s/%s", dir, name) > 0);
	config.runc = path;
	r = runc_look(&config, containerd, &where);
	if (r == 0)
		CHECK_STR(where, path);
	else
		CHECK(where == NULL);
	return r;
}

static void test_by_its_path(void)
{
	cleanup_fd int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	put("program", 0700);
	put("text", 0600);
	CHECK_EQ(symlinkat("program", dir_fd, "link"), 0);
	CHECK_EQ(mkdirat(dir_fd, "directory", 0700), 0);
	for (int with_pid = 0; with_pid < 2; with_pid++) {
		pid_t pid = with_pid ? getpid() : 0;

		CHECK_EQ(look("program", pid), 1);
		CHECK_EQ(look("link", pid), 1);
		CHECK_EQ(look("text", pid), 0);
		CHECK_EQ(look("directory", pid), 0);
		CHECK_EQ(look("nothing", pid), 0);
		CHECK_EQ(look("text/nothing", pid), 0);
	}
}

/* As its shim searches: along the PATH that containerd was started with. */
static void test_by_path(void)
{
	struct config config = { .runc = (char *)"sh" };
	cleanup_free char *where = NULL;

	CHECK_EQ(runc_look(&config, getpid(), &where), 1);
	CHECK(where == NULL);
	config.runc = (char *)"no-such-program-anywhere";
	CHECK_EQ(runc_look(&config, getpid(), &where), 0);
	CHECK_STR(where, getenv("PATH"));
}

static void test_what_cannot_be_known(void)
{
	struct config config = { 0 };
	char *where = NULL;

	CHECK_EQ(runc_look(&config, getpid(), &where), -EOPNOTSUPP); /* another shim's runtime */
	config.runc = (char *)"runc";
	CHECK_EQ(runc_look(&config, 0, &where), -EOPNOTSUPP); /* whose PATH? */
	config.runc = (char *)"bin/runc";
	CHECK_EQ(runc_look(&config, getpid(), &where), -EOPNOTSUPP);
	config.runc = (char *)"/bin/sh";
	CHECK_EQ(runc_look(&config, 1 << 30, &where), -ENOENT); /* it has ended */
	CHECK(where == NULL);
}

int main(void)
{
	dir = tap_tmpdir(NULL);
	RUN(test_by_its_path);
	RUN(test_by_path);
	RUN(test_what_cannot_be_known);
	return tap_done();
}
