/*
 * probe DIR SECONDS: what a node feels: a file made, 4 KiB written, fsynced and
 * unlinked every 5 ms in DIR. Prints, in milliseconds: p50 p99 max count.
 */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { EVERY_NSEC = 5000000, BLOCK = 4096 };

static uint64_t now_nsec(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void once(int dirfd)
{
	static const char block[BLOCK] = "probe";
	int fd = openat(dirfd, "probe.tmp", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, block, BLOCK) != BLOCK || fsync(fd) < 0 || close(fd) < 0 ||
	    unlinkat(dirfd, "probe.tmp", 0) < 0)
		err(1, "probe");
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	double seconds = argc == 3 ? atof(argv[2]) : 0;
	size_t room = (size_t)(seconds * 1e9 / EVERY_NSEC) + 1, count = 0;
	double *took = calloc(room, sizeof(*took));
	int dirfd = seconds > 0 ? open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	uint64_t end = now_nsec() + (uint64_t)(seconds * 1e9);

	if (dirfd < 0 || !took)
		errx(2, "usage: probe DIR SECONDS");
	while (count < room && now_nsec() < end) {
		struct timespec pause = { .tv_nsec = EVERY_NSEC };
		uint64_t start = now_nsec();

		once(dirfd);
		took[count++] = (double)(now_nsec() - start) / 1e6;
		nanosleep(&pause, NULL);
	}
	qsort(took, count, sizeof(*took), compare);
	printf("%.2f %.2f %.2f %zu\n", took[count / 2], took[count * 99 / 100], took[count - 1],
	       count);
	free(took);
	return 0;
}
