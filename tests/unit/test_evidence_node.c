/*
 * What an archive of evidence takes from the node itself: its unit, with what is
 * set there, and its tables; without their credentials. In a mount namespace of its own.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "recover/evidence.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "tests/unit/tap.h"
#include "tests/unit/world.h"

#define DIRECTORY "/var/lib/evidence"
#define UNITS "/etc/systemd/system/containerd.service"

/* All that is in the archive, its names first. */
static char *write_and_read(const struct config *config)
{
	const struct evidence_options options = { .directory = DIRECTORY, .why = "x", .config = config,
						  .root_fd = -EBADF, .file_bytes_max = 1 << 20 };
	cleanup_free char *path = NULL;
	char *text = NULL;

	CHECK_EQ(evidence_write(&options, &path), 0);
	CHECK_EQ(tap_shell("(tar --zstd -tf %s && tar --zstd -xOf %s) >/run/text 2>&1", path, path), 0);
	CHECK_EQ(dir_read_path("/run/text", 1 << 24, &text, NULL), 0);
	return text ?: strdup("");
}

static void test_the_unit_and_its_tables(void)
{
	struct config config = { .unit = (char *)"containerd.service" };
	cleanup_free char *text = NULL;

	world_begin();
	world_run("mkdir -p " UNITS ".d && printf '[Service]\\nExecStart=/usr/bin/containerd --log-level debug\\n"
		  "SetCredential=pull:hunter1\\n' >" UNITS " && printf '[Service]\\nEnvironment=A=1 TOKEN=hunter2\\n"
		  "LimitNOFILE=17\\n' >" UNITS ".d/limit.conf");
	world_run("echo '//server/share /mnt cifs username=u,password=hunter3 0 0' >/etc/fstab");
	text = write_and_read(&config);
	CHECK(strstr(text, "config" UNITS "\n") != NULL);
	CHECK(strstr(text, "config" UNITS ".d/limit.conf\n") != NULL);
	CHECK(strstr(text, "--log-level debug") != NULL);
	CHECK(strstr(text, "LimitNOFILE=17") != NULL);
	CHECK(strstr(text, "//server/share /mnt cifs") != NULL);
	CHECK(strstr(text, "hunter") == NULL);
}

/* No unit is no error, of whatever kind. */
static void test_without_a_unit(void)
{
	static const char *const units[] = { NULL, "gone.service", "containerd.service" };

	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		struct config config = { .unit = (char *)(uintptr_t)units[i] };
		cleanup_free char *text = NULL;

		world_begin();
		world_run("mkdir -p " UNITS " && touch /etc/fstab"); /* a directory in its place */
		text = write_and_read(&config);
		CHECK(strstr(text, "system/mountinfo\n") != NULL);
	}
}

int main(void)
{
	if (!world_enter())
		return 0;
	RUN(test_the_unit_and_its_tables);
	RUN(test_without_a_unit);
	return tap_done();
}
