#include "scanners/progress.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/text.h"

/* The start of /proc/PID/task/TID/@file. */
static bool read_start(int tasks_fd, const char *tid, const char *file, char *to, size_t size)
{
	cleanup_free char *path = text_print("%s/%s", tid, file);
	cleanup_fd int fd = path ? openat(tasks_fd, path, O_RDONLY | O_CLOEXEC) : -1;
	ssize_t n = fd < 0 ? -1 : read(fd, to, size - 1);

	if (n < 0)
		return false;
	to[n] = '\0';
	return true;
}

/* Running, or waiting for a CPU or the disk. */
static bool wants_to_run(int tasks_fd, const char *tid)
{
	char stat[128]; /* pid, a name of 15 characters, state */
	const char *state;

	if (!read_start(tasks_fd, tid, "stat", stat, sizeof(stat)))
		return false;
	state = strrchr(stat, ')');
	return state && (strncmp(state, ") R", 3) == 0 || strncmp(state, ") D", 3) == 0);
}

static uint64_t ran(int tasks_fd, const char *tid)
{
	char text[64];

	/* "time on a CPU, time waiting for one, times": proc(5) */
	return read_start(tasks_fd, tid, "schedstat", text, sizeof(text)) ? strtoull(text, NULL, 10) : 0;
}

bool progress_seen(pid_t pid, uint64_t *ran_nsec)
{
	char path[sizeof("/proc//task") + 3 * sizeof(pid)];
	cleanup_fd int tasks_fd = -EBADF;
	cleanup_dir DIR *stream = NULL;
	uint64_t sum = 0;
	bool wants = false, moved;
	const char *tid;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid); /* fits */
	tasks_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (tasks_fd < 0 || dir_stream(tasks_fd, &stream) < 0)
		return false;
	while (dir_next(stream, &tid, NULL) > 0) {
		sum += ran(tasks_fd, tid);
		wants |= wants_to_run(tasks_fd, tid);
	}
	moved = sum != *ran_nsec;
	*ran_nsec = sum;
	return wants || moved;
}
