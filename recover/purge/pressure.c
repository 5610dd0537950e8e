#include "recover/purge/pressure.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "scanners/cleanup.h"

void pressure_init(struct pressure *pressure)
{
	*pressure = (struct pressure){
		.fds = { open("/proc/pressure/io", O_RDONLY | O_CLOEXEC),
			 open("/proc/pressure/memory", O_RDONLY | O_CLOEXEC) },
	};
}

void pressure_done(struct pressure *pressure)
{
	for (size_t i = 0; i < ARRAY_SIZE(pressure->fds); i++)
		cleanup_close(&pressure->fds[i]);
}

int pressure_parse(const char *text, uint64_t *ret_usec)
{
	const char *full = strstr(text, "full "), *total = full ? strstr(full, "total=") : NULL;
	uint64_t usec;

	if (!total || sscanf(total, "total=%" SCNu64, &usec) != 1)
		return -EINVAL;
	*ret_usec = usec;
	return 0;
}

static int read_total(int fd, uint64_t *ret_usec)
{
	char text[512];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	return pressure_parse(text, ret_usec);
}

double pressure_stalled(struct pressure *pressure, uint64_t now_nsec)
{
	double worst = 0, usec = (double)(now_nsec - pressure->since_nsec) / 1000;
	bool first = pressure->since_nsec == 0;

	for (size_t i = 0; i < ARRAY_SIZE(pressure->fds); i++) {
		uint64_t before = pressure->total_usec[i];
		double share;

		if (pressure->fds[i] < 0 ||
		    read_total(pressure->fds[i], &pressure->total_usec[i]) < 0)
			continue;
		share = (double)(pressure->total_usec[i] - before) / usec;
		if (!first && share > worst)
			worst = share;
	}
	pressure->since_nsec = now_nsec;
	return worst;
}
