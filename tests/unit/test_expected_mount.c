/* fstab and mount units, as written below a folder of our own. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scanners/cleanup.h"
#include "scanners/expected_mount.h"
#include "tests/unit/tap.h"

#define ROOT "/var/lib/a-root"

static const char *prefix;

static void put(const char *name, const char *text)
{
	char path[256];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s", prefix, name);
	for (char *slash = path + strlen(prefix) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		(void)mkdir(path, 0755);
		*slash = '/';
	}
	file = fopen(path, "we");
	if (!CHECK(file != NULL))
		return;
	CHECK(fputs(text, file) >= 0);
	CHECK_EQ(fclose(file), 0);
}

static void drop(const char *name)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", prefix, name);
	CHECK_EQ(unlink(path), 0);
}

static void test_fstab(void)
{
	static const struct {
		const char *line;
		int missing, below;
	} cases[] = {
		{ "", 0, 0 },
		{ "# /dev/x " ROOT " ext4", 0, 0 },
		{ "/dev/x " ROOT " ext4", 1, 0 },
		{ "/dev/x " ROOT "/ ext4", 1, 0 },
		{ "/dev/x " ROOT "// ext4", 1, 0 },
		{ "/dev/x " ROOT "2 ext4", 0, 0 },
		{ "/dev/x " ROOT "/content ext4", 0, 1 },
		{ "/dev/x " ROOT "/a/b/ ext4", 0, 1 },
		{ "/dev/x " ROOT "-b/content ext4", 0, 0 },
		{ "/dev/x / ext4", 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *where = NULL;

		put("etc/fstab", cases[i].line);
		CHECK_EQ(expected_mount_missing(prefix, ROOT, &where), cases[i].missing);
		CHECK_STR(where, cases[i].missing ? ROOT : NULL);
		CHECK_EQ(expected_mount_below(prefix, ROOT), cases[i].below);
	}
	drop("etc/fstab");
}

static void test_units(void)
{
	static const struct {
		const char *name;
		int missing, below;
	} cases[] = {
		{ "etc/systemd/system/var-lib-a\\x2droot.mount", 1, 0 },
		{ "run/systemd/generator/var-lib-a\\x2droot-content.mount", 0, 1 },
		{ "usr/lib/systemd/system/var-lib-a\\x2droot-content.service", 0, 0 },
		{ "etc/systemd/system/var-lib-a\\x2droot\\x2dtwo.mount", 0, 0 },
		{ "etc/systemd/system/var-lib-a-root-content.mount", 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		put(cases[i].name, "[Mount]\n");
		CHECK_EQ(expected_mount_missing(prefix, ROOT, NULL), cases[i].missing);
		CHECK_EQ(expected_mount_below(prefix, ROOT), cases[i].below);
		drop(cases[i].name);
	}
}

int main(void)
{
	prefix = tap_tmpdir(NULL);
	RUN(test_fstab);
	RUN(test_units);
	return tap_done();
}
