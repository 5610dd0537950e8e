/* Do the faults that other tests arm happen? One that never does proves nothing. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scanners/cleanup.h"
#include "scanners/sys.h"
#include "tests/unit/fault.h"
#include "tests/unit/tap.h"

static struct stat st;
static char buffer[64];
static void *volatile memory;

/* What each call says where it fails. */
#define CALL(name, expression, failure) \
	static bool call_##name(void) { return (expression) == (failure); }
CALL(fsync, fsync(-1), -1)
CALL(fdatasync, fdatasync(-1), -1)
CALL(renameat, renameat(-1, "a", -1, "b"), -1)
CALL(renameat2, renameat2(-1, "a", -1, "b", 0), -1)
CALL(mkdirat, mkdirat(-1, "a", 0700), -1)
CALL(unlinkat, unlinkat(-1, "a", 0), -1)
CALL(write, write(-1, buffer, 1), -1)
CALL(fstat, fstat(0, &st), -1)
CALL(fstatat, fstatat(AT_FDCWD, "/", &st, 0), -1)
CALL(fchmod, fchmod(-1, 0700), -1)
CALL(fchown, fchown(-1, 0, 0), -1)
CALL(getdents64, getdents64(-1, buffer, sizeof(buffer)), -1)
CALL(pread, pread(-1, buffer, 1, 0), -1)
CALL(open_by_handle_at, open_by_handle_at(-1, (struct file_handle *)buffer, O_RDONLY), -1)
CALL(flock, flock(-1, LOCK_EX), -1)
CALL(malloc, memory = malloc(1), NULL)
CALL(calloc, memory = calloc(1, 1), NULL)
CALL(realloc, memory = realloc(memory, 1), NULL)
CALL(mnl_socket_recvfrom, mnl_socket_recvfrom((struct mnl_socket *)buffer, buffer, 1), -1)
CALL(sys_openat2, sys_openat2(AT_FDCWD, "/", O_RDONLY, 0, 0), -EUCLEAN)
CALL(openat, openat(AT_FDCWD, "/", O_RDONLY | O_CLOEXEC), -1)

static void test_every_fault_happens(void)
{
#define CASE(name) { #name, call_##name }
	static const struct {
		const char *name;
		bool (*fails)(void);
	} calls[] = {
		CASE(fsync), CASE(fdatasync), CASE(renameat), CASE(renameat2), CASE(mkdirat),
		CASE(unlinkat), CASE(write), CASE(fstat), CASE(fstatat), CASE(fchmod), CASE(fchown),
		CASE(getdents64), CASE(pread), CASE(open_by_handle_at), CASE(flock), CASE(malloc),
		CASE(calloc), CASE(realloc), CASE(mnl_socket_recvfrom), CASE(openat),
		CASE(sys_openat2),
	};

	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		bool fails;
		int error;

		fault_arm(calls[i].name, 1, EUCLEAN);
		fails = calls[i].fails();
		error = errno;
		if (!CHECK(fault_fired() && fails && error == EUCLEAN))
			printf("# %s does not fail\n", calls[i].name);
	}
}

int main(void)
{
	RUN(test_every_fault_happens);
	return tap_done();
}
