/*
 * counttree DIR: counts by scanners/count.h and prints the entries, and the peak
 * of memory in KiB.
 */
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>

#include "scanners/count.h"
#include "scanners/dir.h"

int main(int argc, char **argv)
{
	struct count_result result;
	struct rusage usage;
	int fd = argc == 2 ? dir_open_path(argv[1]) : -1;

	if (fd < 0 || count_entries(fd, 0, 0, &result) < 0 || !result.complete)
		return 1;
	(void)getrusage(RUSAGE_SELF, &usage); /* cannot fail with these arguments */
	printf("%" PRIu64 " %ld\n", result.entries, usage.ru_maxrss);
	return 0;
}
