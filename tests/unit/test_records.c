/* Our own small records: what a power cut or a full disk left in them must not
 * hide what was written behind it. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "recover/file.h"
#include "recover/history.h"
#include "recover/stages.h"
#include "scanners/cleanup.h"
#include "tests/unit/tap.h"

static int records = -EBADF;

static void append(const char *name, const void *data, size_t size)
{
	cleanup_fd int fd = openat(records, name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

	CHECK_EQ(file_write_all(fd, data, size), 0);
}

static void check_history(const char *what, size_t size)
{
	int64_t last = 0;

	(void)unlinkat(records, "history", 0);
	append("history", what, size);
	CHECK_EQ(history_append(records, "containerd.service", "quarantine", "T1", "meta-damaged"), 0);
	CHECK_EQ(history_has(records, "quarantine", "T1"), 1);
	CHECK_EQ(history_last(records, "containerd.service", "quarantine", &last), 1);
	CHECK(last > 1700000000);
}

static void test_a_torn_history_hides_no_quarantine(void)
{
	static const char torn[] = "1700000000 containerd.service quar";
	static const char zeros[] = "1700000000 containerd.service defer T0 slow-deletions\n\0\0\0\0\0\0";
	static const char whole[] = "1700000000 containerd.service defer T0 slow-deletions\n";

	check_history(torn, sizeof(torn) - 1);
	check_history(zeros, sizeof(zeros) - 1);
	check_history("\0\0\0\0", 4);
	check_history(whole, sizeof(whole) - 1);
	check_history("", 0);
}

static void reopen(struct stages *stages)
{
	stages_close(stages);
	CHECK_EQ(stages_open(records, false, stages), 0);
}

static void test_a_torn_stage_hides_no_later_one(void)
{
	struct stages stages = { .fd = -EBADF };

	(void)unlinkat(records, "stages", 0);
	CHECK_EQ(stages_open(records, true, &stages), 0);
	CHECK_EQ(stage_begin(&stages, STAGE_KILL), 0);
	append("stages", "\0\0\0\0", 4);
	reopen(&stages);
	CHECK_EQ(stage_done(&stages, STAGE_KILL), 0);
	append("stages", "done rel", 8);
	reopen(&stages);
	CHECK_EQ(stage_begin(&stages, STAGE_MOVE), 0);
	CHECK_EQ(stage_done(&stages, STAGE_MOVE), 0);
	reopen(&stages);
	CHECK(stages.begun[STAGE_KILL] && stages.done[STAGE_KILL]);
	CHECK(!stages.done[STAGE_RELEASE]);
	CHECK(stages.begun[STAGE_MOVE] && stages.done[STAGE_MOVE]);
	stages_close(&stages);
}

/* A containerd that never comes has its background work tried at each start. */
static void test_what_is_begun_for_ever_does_not_outgrow_the_record(void)
{
	struct stages stages = { .fd = -EBADF };

	(void)unlinkat(records, "stages", 0);
	CHECK_EQ(stages_open(records, true, &stages), 0);
	CHECK_EQ(stage_done(&stages, STAGE_MOVE), 0);
	for (int i = 0; i < 2500; i++) {
		CHECK_EQ(stage_begin(&stages, STAGE_SALVAGE), 0);
		if (i % 500 == 0)
			reopen(&stages);
	}
	reopen(&stages);
	CHECK(stages.done[STAGE_MOVE]);
	CHECK(stages.begun[STAGE_SALVAGE] && !stages.done[STAGE_SALVAGE]);
	CHECK_EQ(stage_done(&stages, STAGE_SALVAGE), 0);
	reopen(&stages);
	CHECK(stages.done[STAGE_SALVAGE]);
	stages_close(&stages);
}

int main(void)
{
	records = open(tap_tmpdir(NULL), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	RUN(test_a_torn_history_hides_no_quarantine);
	RUN(test_a_torn_stage_hides_no_later_one);
	RUN(test_what_is_begun_for_ever_does_not_outgrow_the_record);
	return tap_done();
}
