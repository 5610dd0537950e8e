/*
 * counttree DIR: counts as `scan` does (scanners/rootsize.h), without bytes, and
 * prints the entries and the peak of memory in KiB.
 */
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>

#include "scanners/dir.h"
#include "scanners/rootsize.h"

int main(int argc, char **argv)
{
	const struct root_size_options options = { 0 };
	cleanup_root_size struct root_size size = { 0 };
	struct rusage usage;
	int fd = argc == 2 ? dir_open_path(argv[1]) : -1;

	if (fd < 0 || root_size_scan(fd, &options, &size) < 0 || !size.walk.complete)
		return 1;
	(void)getrusage(RUSAGE_SELF, &usage); /* cannot fail with these arguments */
	printf("%" PRIu64 " %ld\n", size.walk.entries, usage.ru_maxrss);
	return 0;
}
