/*
 * filltree DIR COUNT [PER-DIRECTORY]: what job pods leave behind. COUNT files
 * below DIR (made if need be), empty ones, PER-DIRECTORY (default 1000) in each
 * of its directories.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void fill_one(int dirfd, unsigned long files)
{
	char name[32];

	for (unsigned long i = 0; i < files; i++) {
		int fd;

		snprintf(name, sizeof(name), "object-%lu.pyc", i);
		fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		if (fd < 0 || close(fd) < 0)
			err(1, "%s", name);
	}
}

int main(int argc, char **argv)
{
	unsigned long left, per_directory;
	char name[32];
	int top;

	if (argc < 3)
		errx(2, "usage: filltree DIR COUNT [PER-DIRECTORY]");
	left = strtoul(argv[2], NULL, 10);
	per_directory = argc > 3 ? strtoul(argv[3], NULL, 10) : 1000;
	(void)mkdir(argv[1], 0755); /* may be there */
	top = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (top < 0)
		err(1, "%s", argv[1]);

	for (unsigned long i = 0; left > 0; i++) {
		unsigned long files = left < per_directory ? left : per_directory;
		int fd;

		snprintf(name, sizeof(name), "__pycache__%lu", i);
		if (mkdirat(top, name, 0755) < 0)
			err(1, "%s", name);
		fd = openat(top, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			err(1, "%s", name);
		fill_one(fd, files);
		(void)close(fd); /* read-only */
		left -= files;
	}
	return 0;
}
