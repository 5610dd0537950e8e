#include "tests/unit/world.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "recover/situation.h"
#include "tests/unit/tap.h"

static bool entered;

bool world_enter(void)
{
	static const char *const own[] = { "/run", "/etc", "/var/lib" };

	entered = geteuid() == 0 && unshare(CLONE_NEWNS | CLONE_NEWNET) == 0 &&
		  mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;

	for (size_t i = 0; entered && i < sizeof(own) / sizeof(own[0]); i++)
		entered = mount("none", own[i], "tmpfs", 0, NULL) == 0;
	if (!entered)
		printf("1..0 # SKIP needs root and namespaces\n");
	return entered;
}

void world_run(const char *command)
{
	if (!CHECK(system(command) == 0)) // NOLINT: the test's own words
		printf("#   command: %s\n", command);
}

void world_begin(void)
{
	if (!entered)
		abort(); /* what is removed here would be the machine's */
	world_run("rm -rf /var/lib/* /run/* /etc/*");
	world_run("mkdir -p " ROOT "/io.containerd.metadata.v1.bolt " ROOT "/io.containerd.content.v1.content "
		  TASKS "/k8s.io/pod " RECORDS_PATH);
	world_run("echo old >" META);
}

bool world_has(const char *path)
{
	return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

ino_t world_inode(const char *path)
{
	struct stat st;

	return lstat(path, &st) < 0 ? 0 : st.st_ino;
}
