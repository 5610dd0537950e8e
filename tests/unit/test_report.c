/* What is remembered of incidents, for how long, and what the report makes of it. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "recover/file.h"
#include "recover/ledger.h"
#include "recover/report.h"
#include "recover/report_store.h"
#include "recover/roots.h"
#include "scanners/cleanup.h"
#include "tests/unit/fault.h"
#include "tests/unit/tap.h"

#define ID "20260102T030405Z-00a1"
#define UNIT "containerd.service"

static int records;

static void put(const char *name, const char *text)
{
	CHECK_EQ(file_replace(records, name, text, strlen(text), 0600), 0);
}

static bool there(const char *name)
{
	return faccessat(records, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static json_t *report(void)
{
	const struct data_root nowhere = { .parent_fd = -EBADF, .root_fd = -EBADF };
	json_t *json = NULL;
	struct policy policy;

	policy_init(&policy);
	CHECK_EQ(report_last(&nowhere, records, UNIT, &policy, &json), 1);
	return json;
}

static const char *at(const json_t *json, const char *first, const char *second)
{
	return json_string_value(json_object_get(json_object_get(json, first), second)) ?: "";
}

static json_int_t stage(const json_t *json, const char *name)
{
	return json_integer_value(json_object_get(json_object_get(json, "stages"), name));
}

static void write_incident(void)
{
	put("history", "1767323045 other.service quarantine 20260102T030405Z-ffff x\n"
		       "1767323045 " UNIT " quarantine " ID " bloat-loop\n"
		       "1767329045 " UNIT " purge " ID " done\n");
	put(ID ".json", "{\"root\":{\"path\":\"/data\"},\"boot_id\":\"boot-1\",\"looked_msec\":900,"
			"\"decision\":{\"rule\":\"bloat-loop\",\"why\":\"too much\",\"evidence\":[\"one\"]},"
			"\"lost\":{\"sandboxes\":[{\"pod_namespace\":\"a\",\"pod_name\":\"b\"},{}]}}");
	put(ID ".stages", "begin kill 1000 1\ndone kill 1040 1\nbegin move 1040 1\ndone move 1050 1\n"
			  "begin sweep 2000 2\ndone sweep 2300 2\nbegin purge 3000 3\ndone purge 9000 9\n");
	put(UNIT ".ledger", "containerd-recover ledger 1\nboot-0 1060 1 ready a -\nboot-1 1020 1 ready b -\n"
			    "boot-1 1550 1 ready c -\nboot-1 9550 1 ready d -\n");
	put("salvage-" ID ".json", "{\"images\":[{\"names\":[\"x:1\"],\"outcome\":\"done\"},"
				   "{\"names\":[\"y:1\"],\"outcome\":\"missing\",\"why\":\"layer\"}]}");
	report_note(records, ID, "quarantine", json_pack("{s:i, s:i}", "processes", 7, "links", 2));
}

static void test_of_a_purged_quarantine(void)
{
	json_auto_t *json = NULL;
	const json_t *lost, *kept;

	write_incident();
	json = report();
	CHECK_STR(json_string_value(json_object_get(json, "event")), "quarantine");
	CHECK_STR(json_string_value(json_object_get(json, "state")), "purged");
	CHECK_STR(json_string_value(json_object_get(json, "root")), "/data");
	CHECK_STR(at(json, "why", "rule"), "bloat-loop");
	CHECK_STR(at(json, "why", "text"), "too much");
	lost = json_object_get(json, "lost");
	kept = json_object_get(json, "kept");
	CHECK_EQ(json_array_size(json_object_get(lost, "pods")), 1);
	CHECK_STR(json_string_value(json_array_get(json_object_get(lost, "pods"), 0)), "a/b");
	CHECK_EQ(json_integer_value(json_object_get(lost, "processes")), 7);
	CHECK_EQ(json_array_size(json_object_get(lost, "images")), 1);
	CHECK_EQ(json_array_size(json_object_get(kept, "images")), 1);
	CHECK_EQ(stage(json, "detect"), 100);
	CHECK_EQ(stage(json, "kill"), 40);
	CHECK_EQ(stage(json, "ready"), 500);
	CHECK_EQ(stage(json, "sweep"), 300);
	CHECK_STR(at(json, "next", "restore"), "");
	CHECK_STR(at(json, "next", "keep"), "");
	CHECK(strstr(at(json, "next", "repull"), "repull-" ID) != NULL);
}

/* Once it is noted, the ledger may go. */
static void test_ready_is_remembered(void)
{
	json_auto_t *manifest = json_pack("{s:s}", "boot_id", "boot-1");
	json_auto_t *json = NULL;
	struct stages stages;

	write_incident();
	CHECK_EQ(stages_peek(records, ID ".stages", &stages), 0);
	report_note_ready(records, UNIT, ID, manifest, &stages);
	CHECK_EQ(unlinkat(records, UNIT ".ledger", 0), 0);
	json = report();
	CHECK_EQ(stage(json, "ready"), 500);
	CHECK_EQ(stage(json, "detect"), 100);
}

static void test_of_a_restore_in_another_boot(void)
{
	json_auto_t *json = NULL;

	write_incident();
	put("history", "1767323045 " UNIT " restore " ID " asked\n");
	put(UNIT ".ledger", "containerd-recover ledger 1\nboot-2 1550 1 ready c -\n");
	CHECK_EQ(unlinkat(records, "report-" ID ".json", 0), 0);
	json = report();
	CHECK_STR(json_string_value(json_object_get(json, "event")), "restore");
	CHECK_STR(at(json, "why", "rule"), "asked");
	CHECK(json_object_get(json_object_get(json, "stages"), "ready") == NULL);
	CHECK(json_object_get(json_object_get(json, "stages"), "detect") == NULL);
}

static void test_without_any(void)
{
	const struct data_root nowhere = { .parent_fd = -EBADF, .root_fd = -EBADF };
	json_t *json = NULL;
	struct policy policy;

	policy_init(&policy);
	write_incident();
	CHECK_EQ(report_last(&nowhere, records, "another.service", &policy, &json), 0);
	CHECK_EQ(unlinkat(records, ID ".json", 0), 0);
	CHECK_EQ(report_last(&nowhere, records, UNIT, &policy, &json), -ENOENT);
	put(ID ".json", "not JSON");
	CHECK_EQ(report_last(&nowhere, records, UNIT, &policy, &json), -ENOENT);
}

static void test_a_note_that_cannot_be_written_leaves_the_others(void)
{
	json_auto_t *noted = NULL;

	write_incident();
	for (int n = 1; n < 20; n++) {
		fault_arm("any", n, EIO);
		report_note(records, ID, "more", json_integer(n));
		if (!fault_fired())
			break;
		json_decref(noted);
		noted = report_read(records, ID);
		CHECK(json_object_get(noted, "quarantine") != NULL);
		write_incident();
	}
	CHECK(!there(".report-" ID ".json.new"));
}

/* By count and age; nothing whose name is not one of ours, nothing that is still there. */
static void test_pruning(void)
{
	static char live_id[] = "20200101T000000Z-0001";
	char *live_items[] = { live_id };
	const struct text_list live = { .items = live_items, .count = 1 };
	static const char *const strangers[] = {
		"history", "hold", UNIT ".ledger", "20200101T000000Z-zzzz.json", "20200101T000000Z-0003.txt",
		"20209901T000000Z-0003.json", "notes-20200101T000000Z-0003.json",
	};
	char young[64];
	time_t now = time(NULL);
	struct tm tm;

	CHECK(gmtime_r(&now, &tm) != NULL);
	(void)strftime(young, sizeof(young), "%Y%m%dT%H%M%SZ-0009.json", &tm);
	for (size_t i = 0; i < ARRAY_SIZE(strangers); i++)
		put(strangers[i], "");
	put("20200101T000000Z-0001.json", "");
	put("20200101T000000Z-0002.json", "");
	put("20200101T000000Z-0002.stages", "");
	put("report-20200101T000000Z-0002.json", "");
	put("salvage-20200101T000000Z-0002.json", "");
	put("repull-20200101T000000Z-0002.txt", "");
	put(young, "");
	put(ID ".json", "");
	CHECK_EQ(report_prune(records, &live, 100, 3650 * 86400UL), 0);
	CHECK(there("20200101T000000Z-0002.json"));
	CHECK_EQ(report_prune(records, &live, 2, 3650 * 86400UL), 0);
	CHECK(!there("20200101T000000Z-0002.json"));
	CHECK(!there("20200101T000000Z-0002.stages"));
	CHECK(!there("report-20200101T000000Z-0002.json"));
	CHECK(!there("salvage-20200101T000000Z-0002.json"));
	CHECK(!there("repull-20200101T000000Z-0002.txt"));
	CHECK(there(ID ".json"));
	CHECK_EQ(report_prune(records, &live, 100, 3600), 0);
	CHECK(there(young));
	CHECK(there("20200101T000000Z-0001.json"));
	for (size_t i = 0; i < ARRAY_SIZE(strangers); i++)
		CHECK(there(strangers[i]));
}

static size_t roots_known(void)
{
	json_auto_t *roots = roots_read(records);

	return json_array_size(roots);
}

static void test_each_root_of_a_unit_is_remembered_once(void)
{
	struct stat before, after;

	CHECK_EQ(roots_known(), 0);
	CHECK_EQ(roots_note(records, UNIT, "/data"), 0);
	CHECK_EQ(fstatat(records, "roots", &before, 0), 0);
	CHECK_EQ(roots_note(records, UNIT, "/data"), 0);
	CHECK_EQ(fstatat(records, "roots", &after, 0), 0);
	CHECK_EQ(after.st_ino, before.st_ino); /* it is not written at each incident */
	CHECK_EQ(roots_note(records, "other.service", "/data"), 0);
	CHECK_EQ(roots_note(records, UNIT, "/two\nlines"), 0);
	CHECK_EQ(roots_known(), 3);
	fault_arm("fsync", 1, ENOSPC);
	CHECK_EQ(roots_note(records, UNIT, "/more"), -ENOSPC);
	CHECK(fault_fired());
	CHECK_EQ(roots_known(), 3);
	put("roots", "[{\"unit\"");
	CHECK_EQ(roots_known(), 0);
	CHECK_EQ(roots_note(records, UNIT, "/data"), 0);
	CHECK_EQ(roots_known(), 1);
	CHECK_EQ(unlinkat(records, "roots", 0), 0);
}

int main(void)
{
	records = open(tap_tmpdir(NULL), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	RUN(test_each_root_of_a_unit_is_remembered_once);
	RUN(test_of_a_purged_quarantine);
	RUN(test_ready_is_remembered);
	RUN(test_of_a_restore_in_another_boot);
	RUN(test_without_any);
	RUN(test_a_note_that_cannot_be_written_leaves_the_others);
	RUN(test_pruning);
	return tap_done();
}
