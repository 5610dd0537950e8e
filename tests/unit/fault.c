#include "tests/unit/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char *armed_function;
static int calls_left, failures_left, armed_error;
static bool fired;

void fault_arm(const char *function, int n, int error)
{
	fault_arm_times(function, n, 1, error);
}

void fault_arm_times(const char *function, int n, int times, int error)
{
	armed_function = function;
	calls_left = n;
	failures_left = times;
	armed_error = error;
	fired = false;
}

bool fault_fired(void)
{
	armed_function = NULL;
	return fired;
}

static bool hit(const char *function)
{
	if (!armed_function ||
	    (strcmp(armed_function, function) != 0 && strcmp(armed_function, "any") != 0))
		return false;
	if (--calls_left > 0 || failures_left == 0)
		return false;
	failures_left--;
	fired = true;
	if (armed_error == FAULT_HANG) {
		(void)usleep(FAULT_HANG_MSEC * 1000);
		return false;
	}
	if (armed_error == FAULT_STOP) {
		(void)raise(SIGSTOP);
		return false;
	}
	errno = armed_error;
	return true;
}

/* WRAP(function, type, failure, parameters, arguments): the Makefile reads the
 * first word behind "WRAP(" for ld's --wrap, and with WRAP64 its 64-bit name too:
 * that is what our objects call (_FILE_OFFSET_BITS). */
#define WRAP(function, type, failure, parameters, arguments) \
	type __real_##function parameters; \
	type __wrap_##function parameters; \
	type __wrap_##function parameters \
	{ \
		return hit(#function) ? (failure) : __real_##function arguments; \
	}
#define WRAP64(function, type, failure, parameters, arguments) \
	type __real_##function##64 parameters; \
	type __wrap_##function##64 parameters; \
	type __wrap_##function##64 parameters \
	{ \
		return hit(#function) ? (failure) : __real_##function##64 arguments; \
	}

WRAP(fsync, int, -1, (int fd), (fd))
WRAP(fdatasync, int, -1, (int fd), (fd))
WRAP(renameat, int, -1, (int a, const char *b, int c, const char *d), (a, b, c, d))
WRAP(renameat2, int, -1, (int a, const char *b, int c, const char *d, unsigned e), (a, b, c, d, e))
WRAP(mkdirat, int, -1, (int a, const char *b, mode_t c), (a, b, c))
WRAP(unlinkat, int, -1, (int a, const char *b, int c), (a, b, c))
WRAP(write, ssize_t, -1, (int a, const void *b, size_t c), (a, b, c))
WRAP64(fstat, int, -1, (int a, struct stat *b), (a, b))
WRAP64(fstatfs, int, -1, (int a, struct statfs *b), (a, b))
WRAP64(fstatat, int, -1, (int a, const char *b, struct stat *c, int d), (a, b, c, d))
WRAP(fchmod, int, -1, (int a, mode_t b), (a, b))
WRAP(fchown, int, -1, (int a, uid_t b, gid_t c), (a, b, c))
WRAP(getdents64, ssize_t, -1, (int a, void *b, size_t c), (a, b, c))
WRAP64(pread, ssize_t, -1, (int a, void *b, size_t c, off_t d), (a, b, c, d))
WRAP64(pwrite, ssize_t, -1, (int a, const void *b, size_t c, off_t d), (a, b, c, d))
WRAP64(lseek, off_t, -1, (int a, off_t b, int c), (a, b, c))
WRAP64(ftruncate, int, -1, (int a, off_t b), (a, b))
WRAP(copy_file_range, ssize_t, -1, (int a, off_t *b, int c, off_t *d, size_t e, unsigned f), (a, b, c, d, e, f))
WRAP(linkat, int, -1, (int a, const char *b, int c, const char *d, int e), (a, b, c, d, e))
WRAP(fchownat, int, -1, (int a, const char *b, uid_t c, gid_t d, int e), (a, b, c, d, e))
WRAP(flistxattr, ssize_t, -1, (int a, char *b, size_t c), (a, b, c))
WRAP(fgetxattr, ssize_t, -1, (int a, const char *b, void *c, size_t d), (a, b, c, d))
WRAP(fsetxattr, int, -1, (int a, const char *b, const void *c, size_t d, int e), (a, b, c, d, e))
WRAP(open_by_handle_at, int, -1, (int a, struct file_handle *b, int c), (a, b, c))
WRAP(flock, int, -1, (int a, int b), (a, b))
WRAP(malloc, void *, NULL, (size_t a), (a))
WRAP(calloc, void *, NULL, (size_t a, size_t b), (a, b))
WRAP(mmap, void *, MAP_FAILED, (void *a, size_t b, int c, int d, int e, off_t f), (a, b, c, d, e, f))
WRAP(realloc, void *, NULL, (void *a, size_t b), (a, b))
WRAP(sys_openat2, int, -errno, (int a, const char *b, uint64_t c, uint64_t d, uint64_t e), (a, b, c, d, e))
WRAP(mnl_socket_recvfrom, ssize_t, -1, (const struct mnl_socket *a, void *b, size_t c), (a, b, c))

int __real_openat64(int dirfd, const char *path, int flags, ...);
int __wrap_openat64(int dirfd, const char *path, int flags, ...);
int __wrap_openat64(int dirfd, const char *path, int flags, ...)
{
	mode_t mode = 0;

	if (flags & O_CREAT) {
		va_list args;

		va_start(args, flags);
		mode = va_arg(args, mode_t);
		va_end(args);
	}
	return hit("openat") ? -1 : __real_openat64(dirfd, path, flags, mode);
}
