#include "tests/unit/tap.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

static unsigned tests, failures;
static bool test_failed;
static const char *skip_reason;

bool tap_check(bool ok, const char *file, int line, const char *text)
{
	if (!ok) {
		test_failed = true;
		printf("# %s:%d: failed: %s\n", file, line, text);
	}
	return ok;
}

bool tap_check_int(long long got, long long want, const char *file, int line, const char *text)
{
	if (!tap_check(got == want, file, line, text))
		printf("#   got %lld, want %lld\n", got, want);
	return got == want;
}

bool tap_check_str(const char *got, const char *want, const char *file, int line,
		   const char *text)
{
	bool same = got && want ? strcmp(got, want) == 0 : got == want;

	if (!tap_check(same, file, line, text))
		printf("#   got  \"%s\"\n#   want \"%s\"\n", got ? got : "(null)",
		       want ? want : "(null)");
	return same;
}

void tap_skip(const char *reason)
{
	skip_reason = reason;
}

void tap_run(void (*test)(void), const char *name)
{
	test_failed = false;
	skip_reason = NULL;
	test();
	tests++;
	failures += test_failed;
	printf("%s %u - %s", test_failed ? "not ok" : "ok", tests, name);
	if (skip_reason)
		printf(" # SKIP %s", skip_reason);
	printf("\n");
	fflush(stdout);
}

int tap_done(void)
{
	printf("1..%u\n", tests);
	return failures ? 1 : 0;
}

static char tmpdirs[4][PATH_MAX]; /* as many as one test asks for */
static size_t tmpdir_count;
static pid_t tmpdir_owner;

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static void remove_tmpdirs(void)
{
	for (size_t i = 0; i < tmpdir_count && getpid() == tmpdir_owner; i++)
		(void)nftw(tmpdirs[i], remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

const char *tap_tmpdir(const char *base)
{
	char *dir = tmpdirs[tmpdir_count];

	if (!base)
		base = getenv("TMPDIR");
	if (!base)
		base = "/tmp";
	if (tmpdir_count == sizeof(tmpdirs) / sizeof(tmpdirs[0]) ||
	    snprintf(dir, PATH_MAX, "%s/recover-test.XXXXXX", base) >= PATH_MAX || !mkdtemp(dir)) {
		printf("Bail out! no temporary directory below %s\n", base);
		exit(1);
	}
	tmpdir_owner = getpid();
	if (tmpdir_count++ == 0)
		(void)atexit(remove_tmpdirs);
	return dir;
}

int tap_refuse(unsigned number)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}

void tap_private_mounts(void)
{
	if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
		return;
	printf("Bail out! cannot make a mount namespace\n");
	exit(1);
}

int tap_shell(const char *format, ...)
{
	char *command;
	va_list args;
	int r;

	va_start(args, format);
	r = vasprintf(&command, format, args);
	va_end(args);
	if (r < 0)
		return -ENOMEM;
	r = system(command); // NOLINT: the test's own words
	free(command);
	return r;
}
