/*
 * purgetree [-u] [-r RATE] [-w WORKERS] [-v] DIR: purge_tree() of everything
 * below DIR, without the checks that `containerd-recover purge` makes first.
 * Prints entries, seconds, left and the peak of resident memory in kB.
 */
#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "recover/purge/purge.h"

static bool show(const struct purge_progress *p, void *data)
{
	(void)data;
	fprintf(stderr, "%5" PRIu64 " ms %8" PRIu64 " entries %6u/s %2u workers %s\n",
		p->elapsed_msec, p->entries, p->rate, p->workers, p->why);
	return false;
}

static void name_left(const char *path, int error, void *data)
{
	(void)data;
	fprintf(stderr, "left: %s: %s\n", path, strerror(-error));
}

int main(int argc, char **argv)
{
	struct purge_options options = PURGE_OPTIONS_DEFAULT;
	struct purge_progress p;
	struct rusage usage;
	int fd, c, r;

	options.left = name_left;
	options.urgent_bytes_percent = options.urgent_inodes_percent = 0;
	while ((c = getopt(argc, argv, "ur:w:v")) != -1) {
		if (c == 'u')
			options.urgent = true;
		else if (c == 'r')
			options.max_rate = (unsigned)atoi(optarg);
		else if (c == 'w')
			options.max_workers = (unsigned)atoi(optarg);
		else if (c == 'v')
			options.progress = show;
		else
			return 2;
	}
	fd = optind < argc ? open(argv[optind], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (fd < 0)
		err(2, "usage: purgetree [-u] [-r RATE] [-w WORKERS] [-v] DIR");
	r = purge_tree(fd, &options, &p);
	getrusage(RUSAGE_SELF, &usage);
	if (r < 0)
		warnx("%s", strerror(-r));
	printf("%" PRIu64 " entries %.3f s %" PRIu64 " left %ld kB\n", p.entries,
	       (double)p.elapsed_msec / 1000, p.left, usage.ru_maxrss);
	return r == 0 ? 0 : 1;
}
