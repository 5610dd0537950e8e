/* silentfs PATH: mounts tests/silentfs.h there, and waits to be killed. */
#include "tests/silentfs.h"

int main(int argc, char **argv)
{
	int fd = argc == 2 ? silentfs_mount(argv[1], "fuse", "silent") : -EINVAL;

	if (fd < 0) {
		fprintf(stderr, "silentfs: %s\n", strerror(-fd));
		return 1;
	}
	printf("mounted\n");
	(void)fflush(stdout);
	for (;;)
		(void)pause();
}
