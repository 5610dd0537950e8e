#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "recover/triage.h"
#include "recover/triage_input.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/loglines.h"
#include "scanners/signatures.h"
#include "scanners/text.h"
#include "tests/unit/fault.h"
#include "tests/unit/tap.h"

#define FIXTURES "tests/fixtures/triage"
#define CASES "../shared/triage-cases" /* real ones, where they are at hand */
#define MANUAL "docs/TRIAGE.md"

enum { FILE_MAX = 1024 * 1024 };

static struct signature_finding judge(const char *text)
{
	cleanup_log struct log log = { 0 };
	struct signature_finding finding = { 0 };

	CHECK_EQ(triage_input_add(&log, text, strlen(text)), 0);
	log_settle(&log);
	signature_find(&log, &finding, NULL);
	return finding;
}

/* "rule.what.log": the rule that each of our own logs must show. */
static void test_fixtures(void)
{
	bool shown[SIGNATURE_COUNT] = { false };
	cleanup_dir DIR *dir = opendir(FIXTURES);
	const struct dirent *entry;

	if (!CHECK(dir != NULL))
		return;
	while ((entry = readdir(dir))) {
		cleanup_free char *path = text_print(FIXTURES "/%s", entry->d_name), *text = NULL;
		cleanup_free char *want = strndup(entry->d_name, strcspn(entry->d_name, "."));
		struct signature_finding finding;

		if (entry->d_name[0] == '.' || !CHECK_EQ(dir_read_path(path, FILE_MAX, &text, NULL), 0))
			continue;
		finding = judge(text);
		shown[finding.signature] = true;
		if (!CHECK_STR(signature_info(finding.signature)->id, want))
			printf("# in %s\n", path);
		CHECK_EQ(finding.verdict, signature_info(finding.signature)->verdict);
	}
	for (int i = 0; i < SIGNATURE_COUNT; i++)
		if (!CHECK(shown[i]))
			printf("# no fixture shows %s\n", signature_info(i)->id);
}

struct score {
	char class[64];
	unsigned cases, right, undecided, wrong;
};

static struct score *score_of(struct score *scores, size_t *count, const char *class)
{
	for (size_t i = 0; i < *count; i++)
		if (strcmp(scores[i].class, class) == 0)
			return &scores[i];
	(void)snprintf(scores[*count].class, sizeof(scores[*count].class), "%s", class);
	return &scores[(*count)++];
}

static bool same_kind(const char *a, const char *b)
{
	size_t len = strcspn(a, ":");

	return len == strcspn(b, ":") && strncmp(a, b, len) == 0;
}

/*
 * Right: what the log alone allows. Undecided where it would have decided is no
 * error, another answer is one, and a fresh root that nobody needed is the one
 * that must never be.
 */
static void score_case(const char *name, const char *text, const json_t *json, struct score *score)
{
	struct signature_finding finding = judge(text);
	const char *got = signature_verdict_name(finding.verdict);
	const char *want = json_string_value(json_object_get(json, "from_log_alone"));
	const char *final = json_string_value(json_object_get(json, "verdict"));

	score->cases++;
	if (same_kind(got, want))
		score->right++;
	else if (finding.verdict == SIGNATURE_UNDECIDED)
		score->undecided++;
	else if (!CHECK_EQ(++score->wrong, 0))
		printf("# %s: got %s (%s), want %s\n", name, got,
		       signature_info(finding.signature)->id, want);
	if (finding.verdict == SIGNATURE_QUARANTINE && !CHECK(same_kind(final, "quarantine-root")))
		printf("# %s: a fresh root, but the cause is %s\n", name, final);
}

/* However much of a log is missing: no fresh root for another cause. */
static void check_cuts(const char *name, json_t *json)
{
	const char *final = json_string_value(json_object_get(json, "verdict"));
	const json_t *lines = json_object_get(json, "log");
	size_t count = json_array_size(lines);

	for (size_t from = 0; from < count && !same_kind(final, "quarantine-root"); from++)
		for (size_t to = from + 1; to <= count; to++) {
			cleanup_text struct text part = { 0 };

			for (size_t i = from; i < to; i++) {
				const char *line = json_string_value(json_array_get(lines, i));

				CHECK_EQ(text_add_string(&part, line), 0);
				CHECK_EQ(text_add_string(&part, "\n"), 0);
			}
			if (!CHECK(judge(part.string).verdict != SIGNATURE_QUARANTINE))
				printf("# %s, lines %zu to %zu\n", name, from, to);
		}
}

static void print_scores(const struct score *scores, size_t count)
{
	struct score total = { "all", 0, 0, 0, 0 };

	printf("#| %-28s %5s %5s %9s %5s\n", "class", "cases", "right", "undecided", "wrong");
	for (size_t i = 0; i <= count; i++) {
		const struct score *s = i < count ? &scores[i] : &total;

		printf("#| %-28s %5u %5u %9u %5u\n", s->class, s->cases, s->right, s->undecided,
		       s->wrong);
		total.cases += s->cases;
		total.right += s->right;
		total.undecided += s->undecided;
		total.wrong += s->wrong;
	}
}

static void test_real_cases(void)
{
	enum { CLASSES_MAX = 100 };
	static struct score scores[CLASSES_MAX];
	size_t count = 0;
	cleanup_dir DIR *dir = opendir(CASES);
	const struct dirent *entry;

	if (!dir) {
		tap_skip("no " CASES);
		return;
	}
	while ((entry = readdir(dir))) {
		cleanup_free char *path = text_print(CASES "/%s", entry->d_name), *text = NULL;
		json_t *json;

		if (!strstr(entry->d_name, ".json") || dir_read_path(path, FILE_MAX, &text, NULL) < 0)
			continue;
		json = json_loads(text, 0, NULL);
		if (CHECK(json != NULL) && CHECK(count < CLASSES_MAX)) {
			const char *class = json_string_value(json_object_get(json, "cause_class"));

			score_case(entry->d_name, text, json, score_of(scores, &count, class));
			check_cuts(entry->d_name, json);
		}
		json_decref(json);
	}
	print_scores(scores, count);
}

#define PANIC(pid) "Nov 23 10:15:01 n containerd[" pid "]: panic: invalid page type: 0: 0\n"
#define STARTING(pid) \
	"Nov 23 10:15:01 n containerd[" pid "]: time=\"x\" level=info msg=\"starting containerd\"\n"

static void test_starts_are_counted(void)
{
	struct signature_finding once = judge(STARTING("1") PANIC("1"));
	struct signature_finding thrice = judge(STARTING("1") PANIC("1") STARTING("2") PANIC("2")
							STARTING("3") PANIC("3"));
	struct signature_finding begun = judge(STARTING("1") PANIC("1") STARTING("2"));

	CHECK_EQ(once.starts, 1);
	CHECK_EQ(once.shown_in, 1);
	CHECK(once.needs & NEED_REPEAT);
	CHECK_EQ(thrice.starts, 3);
	CHECK_EQ(thrice.shown_in, 3);
	CHECK(!(thrice.needs & NEED_REPEAT)); /* it was seen to repeat */
	CHECK(thrice.needs & NEED_BOLT_CHECK);
	CHECK_EQ(begun.starts, 2);
	CHECK(!begun.in_last);
	CHECK_EQ(begun.verdict, SIGNATURE_QUARANTINE); /* the last one has not failed yet */
}

/* What the last start says counts against what earlier ones said. */
static void test_a_last_start_that_differs(void)
{
	struct signature_finding healed = judge(
		STARTING("1") PANIC("1") STARTING("2")
		"Nov 23 10:15:01 n containerd[2]: level=info msg=\"containerd successfully booted\"\n");
	struct signature_finding other = judge(
		STARTING("1") PANIC("1") STARTING("2")
		"Nov 23 10:15:01 n containerd[2]: time=\"x\" level=error msg=\"nobody knows\"\n");
	struct signature_finding full = judge(
		STARTING("1") PANIC("1") STARTING("2")
		"Nov 23 10:15:01 n containerd[2]: containerd: mkdir /x: no space left on device\n");

	struct signature_finding serving = judge(
		STARTING("1") PANIC("1") STARTING("2")
		"Nov 23 10:15:01 n containerd[2]: level=info msg=\"RunPodSandbox for name\"\n");

	CHECK_EQ(healed.verdict, SIGNATURE_UNDECIDED);
	CHECK_EQ(serving.verdict, SIGNATURE_UNDECIDED);
	CHECK_EQ(other.verdict, SIGNATURE_UNDECIDED);
	CHECK_EQ(full.verdict, SIGNATURE_HANDS_OFF);
	CHECK_STR(signature_info(full.signature)->id, "log-no-space");
}

#define BEGUN "Nov 23 10:15:01 n systemd[1]: Starting containerd container runtime...\n"
#define STARTED "Nov 23 10:15:01 n systemd[1]: Started containerd container runtime.\n"
#define ENDED "Nov 23 10:15:01 n systemd[1]: containerd.service: Main process exited, code=exited, status=2\n"

#define BUSY "Nov 23 10:15:01 n containerd[1]: containerd: unmounting temp mounts: failed to unmount target /var/lib/containerd/tmpmounts/containerd-mount1: device or resource busy\n"

/* systemd's "Started" means READY, unless the starts that failed were called so, too. */
static void test_a_last_start_that_systemd_calls_started(void)
{
	CHECK_EQ(judge(BEGUN PANIC("1") ENDED BEGUN STARTED).verdict, SIGNATURE_UNDECIDED);
	CHECK_EQ(judge(BEGUN STARTED PANIC("1") ENDED BEGUN STARTED).verdict, SIGNATURE_QUARANTINE);
	CHECK_EQ(judge(BEGUN PANIC("1") ENDED BEGUN).verdict, SIGNATURE_QUARANTINE);
	CHECK_EQ(judge(BEGUN PANIC("1") ENDED BEGUN STARTED ENDED).verdict, SIGNATURE_QUARANTINE);
	/* What another process says in the last one is no other cause of it. */
	CHECK_EQ(judge(BEGUN PANIC("1") ENDED BEGUN "Nov 23 10:15:01 n etcd[7]: panic: invalid page type: 0: 0\n").verdict,
		 SIGNATURE_QUARANTINE);
	/* What the failed one was called is not in the log. */
	CHECK_EQ(judge(PANIC("1") ENDED BEGUN STARTED).verdict, SIGNATURE_UNDECIDED);
	CHECK_EQ(judge(BUSY ENDED BEGUN STARTED).verdict, SIGNATURE_PARTIAL);
	CHECK_EQ(judge(BEGUN BUSY ENDED BEGUN STARTED).verdict, SIGNATURE_UNDECIDED);
}

#define AT(time, pid, text) "Nov 23 10:15:01 n containerd[" pid "]: time=\"" time "\" level=info msg=\"" text "\"\n"

/* Two boots, the newer one in front: a healthy start counts by its time. */
static void test_newer_boot_first(void)
{
	CHECK_EQ(judge(AT("2026-11-25T10:15:01Z", "2", "containerd successfully booted in 1s")
		       AT("2026-11-23T10:15:01Z", "1", "starting containerd") PANIC("1")).verdict,
		 SIGNATURE_UNDECIDED);
	CHECK_EQ(judge(AT("2026-11-21T10:15:01Z", "2", "containerd successfully booted in 1s")
		       AT("2026-11-23T10:15:01Z", "1", "starting containerd") PANIC("1")).verdict,
		 SIGNATURE_QUARANTINE);
}

/* journalctl -r: what stands last was said first. */
static void test_newest_line_first(void)
{
	struct signature_finding healed = judge(
		"Nov 23 10:15:09 n containerd[2]: level=info msg=\"containerd successfully booted\"\n"
		"Nov 23 10:15:08 n containerd[2]: level=info msg=\"loading plugin\"\n"
		"Nov 23 10:15:07 n containerd[2]: level=info msg=\"starting containerd\"\n"
		"Nov 23 10:15:01 n containerd[1]: panic: invalid page type: 0: 0\n");
	struct signature_finding loop = judge(
		"Nov 23 10:15:09 n containerd[2]: panic: invalid page type: 0: 0\n"
		"Nov 23 10:15:08 n containerd[2]: level=info msg=\"starting containerd\"\n"
		"Nov 23 10:15:01 n containerd[1]: panic: invalid page type: 0: 0\n"
		"Nov 23 10:15:00 n containerd[1]: level=info msg=\"starting containerd\"\n");

	CHECK_EQ(healed.verdict, SIGNATURE_UNDECIDED);
	CHECK_EQ(loop.verdict, SIGNATURE_QUARANTINE);
	CHECK_EQ(loop.starts, 2);
	CHECK_EQ(loop.shown_in, 2);
}

/* A clock that was set once, or a new year, turns nothing round. */
static void test_one_step_back(void)
{
	struct signature_finding finding = judge(
		"Dec 31 23:59:59 n containerd[1]: panic: invalid page type: 0: 0\n"
		"Jan  1 00:00:03 n containerd[2]: level=info msg=\"containerd successfully booted\"\n");

	CHECK_EQ(finding.verdict, SIGNATURE_UNDECIDED);
}

/* Two boots in one log, and the same pid in both. */
static void test_boots_divide_starts(void)
{
	struct signature_finding finding = judge(
		"-- Boot 0123456789abcdef0123456789abcdef --\n" PANIC("1")
		"-- Boot 1123456789abcdef0123456789abcdef --\n"
		"Nov 23 10:15:01 n containerd[1]: level=info msg=\"containerd successfully booted\"\n");

	CHECK_EQ(finding.starts, 2);
	CHECK_EQ(finding.verdict, SIGNATURE_UNDECIDED);
}

/* Where several signatures begin alike, a line that ends there shows none of them. */
static void test_a_cut_line_asks_for_no_fresh_root(void)
{
	static const char *const lines[] = {
		"level=fatal msg=\"Failed to run CRI service\" error=\"failed to recover state: failed to ",
		"level=error msg=\"x\" error=\"walk all snapshots failed: failed to open database file: >",
		"level=warning msg=\"failed to load plugin io.containerd.metadata.v1.bolt\" error=\"inv",
	};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		cleanup_free char *text = text_print(STARTING("1") "Nov 23 10:15:01 n containerd[1]: %s\n",
						     lines[i]);

		if (!CHECK(judge(text).verdict != SIGNATURE_QUARANTINE))
			printf("# %s\n", lines[i]);
	}
}

/* modprobe's line may fail and does, where there is no kmod. */
static void test_an_ignored_command_is_no_cause(void)
{
	struct signature_finding finding = judge(
		STARTING("1")
		"Nov 23 10:15:01 n (modprobe)[2]: containerd.service: Unable to locate executable "
		"'/sbin/modprobe': No such file or directory\n"
		"Nov 23 10:15:01 n (modprobe)[2]: containerd.service: Failed at step EXEC spawning "
		"/sbin/modprobe: No such file or directory\n" PANIC("1"));

	CHECK_EQ(finding.verdict, SIGNATURE_QUARANTINE);
}

#define NAMELESS "panic: invalid page type: 0: 0\n"
#define OPENING "level=info msg=\"loading plugin\" id=io.containerd.metadata.v1.bolt\n"
#define BOLT_FRAME "go.etcd.io/bbolt.(*DB).x(0x1)\n"
#define OWN_FRAMES "go.etcd.io/bbolt.(*DB).x(0x1)\ngithub.com/containerd/containerd/services/server.New(0x1)\n"
#define DOCKERD "Nov 23 10:15:01 n dockerd[7]: "
#define UNDER_IT "                              " /* as wide */

/* The same panic, with one thing changed that makes it somebody else's. */
static void test_who_panics(void)
{
	static const struct {
		const char *log;
		bool quarantine;
	} cases[] = {
		{ "Nov 23 10:15:01 n containerd[1]: panic: invalid page type: 0: 0\n", true },
		{ "2026-11-23T10:15:01+0000 n containerd[1]: panic: invalid page type: 0: 0\n", true },
		{ "2026-11-23T10:15:01.123456+08:00 n containerd[1]: panic: invalid page type: 0: 0\n", true },
		{ "[    9.123456] n containerd[1]: panic: invalid page type: 0: 0\n", true },
		{ "Nov 23 10:15:01 containerd[1]: panic: invalid page type: 0: 0\n", true },
		{ "Nov 23 10:15:01 n microk8s.daemon-containerd[1]: panic: invalid page type: 0: 0\n", true },
		{ "Nov 23 10:15:01 n containerd-shim[1]: panic: invalid page type: 0: 0\n", false },
		{ "Nov 23 10:15:01 n containerd-stargz-grpc[1]: panic: invalid page type: 0: 0\n", false },
		{ "Nov 23 10:15:01 n mycontainerd[1]: panic: invalid page type: 0: 0\n", false },
		{ "Nov 23 10:15:01 n etcd[1]: panic: invalid page type: 0: 0\n", false },
		{ "Nov 23 10:15:01 n dockerd[1]: panic: invalid page type: 0: 0\n", false },
		{ "[    9.123456] containerd: panic: invalid page type: 0: 0\n", false },
		{ "panic: invalid page type: 0: 0\n", false },
		{ "{\"_COMM\":\"containerd-shim\",\"SYSLOG_IDENTIFIER\":\"containerd\",\"_PID\":\"7\","
		  "\"MESSAGE\":\"panic: invalid page type: 0: 0\"}\n", false },
		{ "{\"_COMM\":\"containerd\",\"SYSLOG_IDENTIFIER\":\"x\",\"_PID\":\"7\","
		  "\"MESSAGE\":\"panic: invalid page type: 0: 0\"}\n", true },
		{ "Nov 23 10:15:01 n containerd[1]: time=\"x\" level=info msg=\"panic: invalid page type: 0: 0\"\n",
		  false },
		/* what the process calls itself is not what it is */
		{ "{\"_COMM\":\"etcd\",\"SYSLOG_IDENTIFIER\":\"containerd\",\"_PID\":\"7\","
		  "\"MESSAGE\":\"panic: invalid page type: 0: 0\"}\n", false },
		{ "{\"_COMM\":\"dockerd\",\"SYSLOG_IDENTIFIER\":\"containerd\",\"_PID\":\"7\","
		  "\"MESSAGE\":\"panic: invalid page type: 0: 0\"}\n", false },
		{ "{\"_COMM\":\"docker-containe\",\"SYSLOG_IDENTIFIER\":\"dockerd\",\"_PID\":\"7\","
		  "\"MESSAGE\":\"panic: invalid page type: 0: 0\"}\n", true },
		{ "{\"_COMM\":\"containerd\",\"_PID\":\"7\",\"MESSAGE\":[27,91,51,49,109,112,97,110,105,99,"
		  "58,32,112,97,103,101,32,55,32,97,108,114,101,97,100,121,32,102,114,101,101,100]}\n", true },
		/* other forms of the same line */
		{ "Mon 2026-11-23 10:15:01 CEST n containerd[1]: panic: invalid page type: 0: 0\n", true },
		{ "Mon 2026-11-23 10:15:01 +08 n containerd[1]: panic: invalid page type: 0: 0\n", true },
		{ "Mon 2026-11-23 10:15:01 UTC n etcd.service[1]: panic: invalid page type: 0: 0\n", false },
		{ "1732530000.123456 n containerd[1]: panic: invalid page type: 0: 0\n", true },
		{ "Nov 23 2026 10:15:01 n containerd[1]: panic: invalid page type: 0: 0\n", true },
		{ "<30>Nov 23 10:15:01 n containerd[1]: panic: invalid page type: 0: 0\r\n", true },
		{ "<30>1 2026-11-23T10:15:01.003Z n containerd 1 ID47 - panic: invalid page type: 0: 0\n", true },
		{ "<30>1 2026-11-23T10:15:01.003Z n etcd 1 - - panic: invalid page type: 0: 0\n", false },
		{ "<30>1 2026-11-23T10:15:01.003Z n containerd 1 - [x \"panic: invalid page type: 0: 0\n", false },
		{ "\xef\xbb\xbfNov 23 10:15:01 n containerd[1]: panic: invalid page type: 0: 0\n", true },
		{ "\x1b[0;1;39mNov 23 10:15:01 n containerd[1]: panic: invalid page type: 0: 0\x1b[0m\n", true },
		/* logged once more, quoted in a list, or collected */
		{ "2026-11-23T10:15:01.1Z Nov 23 10:15:01 n containerd[1]: panic: invalid page type: 0: 0\n", true },
		{ "2026-11-23T10:15:01.1Z Nov 23 10:15:01 n etcd[1]: panic: invalid page type: 0: 0\n", false },
		{ "2026-11-23T10:15:01.1Z Nov 23 10:15: n containerd[1]: panic: invalid page type: 0: 0\n", false },
		{ "2026-11-23T10:15:01.1Z Non 23 10:15:01 n containerd[1]: panic: invalid page type: 0: 0\n", false },
		{ "2026-11-23T10:15:01.1Z Nov 233 10:15:01 n containerd[1]: panic: invalid page type: 0: 0\n", false },
		{ "    \"Nov 23 10:15:01 n containerd[1]: panic: invalid page type: 0: 0\",\n", true },
		{ "    \"Nov 23 10:15:01 n etcd[1]: panic: invalid page type: 0: 0\",\n", false },
		{ "{\"message\":\"Nov 23 10:15:01 n containerd[1]: panic: invalid page type: 0: 0\"}\n", true },
		{ "{\"log\":\"Nov 23 10:15:01 n containerd[1]: panic: invalid page type: 0: 0\"}\n", true },
		{ "{\"message\":\"Nov 23 10:15:01 n etcd[1]: panic: invalid page type: 0: 0\"}\n", false },
		{ "{\"message\":\"panic: invalid page type: 0: 0\"}\n", false },
		/* a process that becomes containerd */
		{ "Nov 23 10:15:01 n env[1]: containerd: x\nNov 23 10:15:01 n env[1]: panic: invalid page type: 0: 0\n", true },
		{ "Nov 23 10:15:01 n env[1]: containerd: x\nNov 23 10:15:01 n env[2]: panic: invalid page type: 0: 0\n", false },
		{ "Nov 23 10:15:01 n env[1]: panic: invalid page type: 0: 0\n", false },
		{ "Nov 23 10:15:01 n a1b2[1]: containerd: x\nNov 23 10:15:01 n a1b2[1]: panic: invalid page type: 0: 0\n", false },
		{ "Nov 23 10:15:01 n containerd-rootless.sh[1]: panic: invalid page type: 0: 0\n", true },
		{ "Nov 23 10:15:01 n containerd-rootless.shx[1]: panic: invalid page type: 0: 0\n", false },
		/* a child of containerd's, and the next containerd */
		{ AT("x", "1", "starting containerd") PANIC("2"), false },
		{ AT("x", "1", "starting containerd") PANIC("2") "Nov 23 10:15:01 n containerd[2]: \tcontainerd/server.go:1 +0x1\n", true },
		{ AT("x", "1", "starting containerd") ENDED PANIC("2"), true },
		{ AT("x", "1", "starting containerd") AT("x", "2", "starting containerd") PANIC("2"), true },
		{ PANIC("1") PANIC("2"), true },
		/* once it is up, the panic must be of the daemon */
		{ AT("x", "1", "containerd successfully booted") PANIC("1"), false },
		{ AT("x", "1", "containerd successfully booted") PANIC("1") ENDED, true },
		{ AT("x", "1", "containerd successfully booted") PANIC("1")
		  "Nov 23 10:15:01 n containerd[1]: github.com/containerd/containerd/gc.Tricolor(0x1)\n", true },
		/* dockerd passes on line by line what its containerd says, and quotes what stands under a line */
		{ DOCKERD "panic: invalid page type: 0: 0\n" DOCKERD "containerd/server/server.go:1 +0x1\n", true },
		{ DOCKERD "x\n" UNDER_IT "panic: invalid page type: 0: 0\n" UNDER_IT "containerd/server/server.go:1 +0x1\n", false },
		{ "{\"_COMM\":\"dockerd\",\"_PID\":\"7\",\"MESSAGE\":\"x\\npanic: invalid page type: 0: 0\\n"
		  "containerd/server/server.go:1 +0x1\"}\n", false },
		{ "{\"_COMM\":\"dockerd\",\"_PID\":\"7\",\"MESSAGE\":\"panic: invalid page type: 0: 0\\n"
		  "containerd/server/server.go:1 +0x1\"}\n", true },
		/* without a name, the words right before it must be containerd's about the file */
		{ OPENING NAMELESS BOLT_FRAME, true },
		{ OPENING "level=info msg=\"x\"\n" NAMELESS BOLT_FRAME, true },
		{ OPENING "And my other service:\n" NAMELESS BOLT_FRAME, false },
		{ OPENING NAMELESS, false },
		/* a stack that does not run is not the one that panics */
		{ NAMELESS "goroutine 7 [running]:\n" OWN_FRAMES, true },
		{ NAMELESS "goroutine 7 [running, locked to thread]:\n" OWN_FRAMES, true },
		{ NAMELESS "goroutine 7 [select, 2 minutes]:\n" OWN_FRAMES, false },
		{ NAMELESS OWN_FRAMES BEGUN "Nov 23 10:15:01 n containerd[2]: level=info msg=\"containerd successfully booted\"\n", false },
		/* another's line that quotes containerd's */
		{ "Nov 23 10:15:01 n etcd[1]: containerd[9]: panic: invalid page type: 0: 0\n", false },
		{ "[pod/etcd-n/etcd] panic: invalid page type: 0: 0\n", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (!CHECK_EQ(judge(cases[i].log).verdict == SIGNATURE_QUARANTINE,
			      cases[i].quarantine))
			printf("# %s", cases[i].log);
}

#define STATUS_GONE                                                                          \
	"Nov 23 10:15:01 n containerd[1]: time=\"x\" level=warning msg=\"Failed to load container " \
	"status for \\\"a\\\"\" error=\"open /r/a/status: no such file or directory\"\n"
#define SYSTEMD(text) "Nov 23 10:15:01 n systemd[1]: containerd.service: " text "\n"
#define CONTAINERD(text) "Nov 23 10:15:01 n containerd[1]: " text "\n"
#define EXIT_1 SYSTEMD("Main process exited, code=exited, status=1/FAILURE")

/* A missing checkpoint counts only where nothing else ended the start. */
static void test_who_ended_a_start_without_checkpoints(void)
{
	static const struct {
		const char *log;
		bool quarantine;
	} cases[] = {
		{ STATUS_GONE, true },
		{ STATUS_GONE EXIT_1, true },
		{ CONTAINERD("level=warning msg=\"a\" output=\"Failed to load container status for a: no such file or directory\"")
		  EXIT_1, false },
		{ STATUS_GONE SYSTEMD("Main process exited, code=exited, status=0/SUCCESS"), false },
		{ STATUS_GONE STARTED EXIT_1, false },
		{ STARTED STATUS_GONE EXIT_1, true },
		{ STATUS_GONE SYSTEMD("Main process exited, code=killed, status=9/KILL"), false },
		{ STATUS_GONE SYSTEMD("Failed with result 'signal'."), false },
		{ STATUS_GONE SYSTEMD("Failed with result 'watchdog'."), false },
		{ STATUS_GONE CONTAINERD("containerd: a plugin says why") EXIT_1, false },
		{ STATUS_GONE CONTAINERD("SIGABRT: abort") EXIT_1, false },
		{ STATUS_GONE CONTAINERD("level=info msg=\\\"a\\\"") EXIT_1, true },
		{ STATUS_GONE "Nov 23 10:15:01 n kubelet[9]: I1123 SyncLoop\n", false },
		{ STATUS_GONE "Nov 23 10:15:01 n containerd[1]: level=info msg=\"RunPodSandbox for a\"\n", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (!CHECK_EQ(judge(cases[i].log).verdict == SIGNATURE_QUARANTINE, cases[i].quarantine))
			printf("# %s", cases[i].log);
}

#define FATAL(error) CONTAINERD("level=fatal msg=\"Failed to run CRI service\" error=\"" error "\"")
#define RESERVED "failed to recover state: failed to reserve sandbox name"

#define OPEN "failed to open database file: invalid database"
#define REPEATED(error) "level=info msg=\"level=fatal msg=\\\"Failed to run CRI service\\\" error=\\\"" error "\\\"\" component=containerd\n"
#define PANIC_OF_OWN "panic: invalid page type: 0: 0\n" DOCKERD "containerd/server/server.go:1 +0x1\n"

/* A reason must be the line's own, not one that it tells of, nor the rest of a long line that quotes. */
static void test_whose_reason_it_is(void)
{
	static const struct {
		const char *log;
		bool quarantine;
	} cases[] = {
		{ FATAL(RESERVED), true },
		{ FATAL("a hook: error=\\\"" RESERVED "\\\""), false },
		{ FATAL("failed to recover state: a hook: " RESERVED), false },
		{ CONTAINERD("level=fatal msg=\"a\" output=\"msg=\\\"Failed to run CRI service\\\" error=\\\"" RESERVED "\\\"\""), false },
		{ CONTAINERD("level=fatal msg=\\\"Failed to run CRI service\\\" error=\\\"" RESERVED "\\\""), false },
		{ CONTAINERD("level=error msg=\"a\" error=\"b: " OPEN "\""), true },
		{ CONTAINERD("level=error msg=\"a\" output=\"b: " OPEN "\""), false },
		{ CONTAINERD("level=error msg=\"a\" error=\"b: " OPEN), false },
		{ CONTAINERD("level=error msg=\"a\" error=\"b: " OPEN ": unknown\""), false },
		{ CONTAINERD("level=error msg=\"a\" error=\"b: error=\\\"" OPEN "\\\"\""), true },
		{ CONTAINERD("level=error msg=\"a\" output=\"b: error=\\\"" OPEN "\\\"\""), false },
		{ "{\"error\":\"b: " OPEN "\",\"level\":\"error\",\"msg\":\"starting containerd\"}\n", true },
		/* k0s repeats what its containerd says; nobody else does */
		{ "Nov 23 10:15:01 n k0s[7]: " REPEATED(RESERVED), true },
		{ "Nov 23 10:15:01 n dockerd[7]: " REPEATED(RESERVED), false },
		{ "{\"_COMM\":\"k3s\",\"MESSAGE\":\"level=info msg=\\\"containerd: x\\\" component=containerd\"}\n", false },
		/* the engine's next start is one of its containerd's, too */
		{ DOCKERD PANIC_OF_OWN, true },
		{ DOCKERD PANIC_OF_OWN BEGUN "Nov 23 10:15:01 n containerd[2]: level=info msg=\"containerd successfully booted\"\n", false },
		{ FATAL(RESERVED) EXIT_1 BEGUN "Nov 23 10:15:01 n containerd[2]: containerd: something new\n", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (!CHECK_EQ(judge(cases[i].log).verdict == SIGNATURE_QUARANTINE, cases[i].quarantine))
			printf("# %s", cases[i].log);
}

#define NIL "panic: runtime error: invalid memory address or nil pointer dereference\n"
#define STORE "github.com/containerd/containerd/pkg/cri/store/container.x(0x1)\n"

/* Only containerd's own nil pointer, and only in CRI's store, is a stored status. */
static void test_whose_status_it_is(void)
{
	static const struct {
		const char *log;
		enum signature signature;
	} cases[] = {
		{ NIL "goroutine 1 [running]:\n" STORE, SIGNATURE_CRI_STATUS_PANIC },
		{ "Nov 23 10:15:01 n etcd[7]: " NIL "Nov 23 10:15:01 n etcd[7]: " STORE, SIGNATURE_OTHER_PROCESS },
		{ "panic: close of closed channel\ngoroutine 1 [running]:\n" STORE, SIGNATURE_PANIC },
		{ NIL "goroutine 1 [running]:\ngithub.com/containerd/containerd/services/server.New(0x1)\n", SIGNATURE_PANIC },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (!CHECK_EQ(judge(cases[i].log).signature, cases[i].signature))
			printf("# %s", cases[i].log);
}

static void test_systemd_given_apart(void)
{
	static const struct {
		struct triage_systemd systemd;
		const char *rule;
	} cases[] = {
		{ { NULL, "203/EXEC" }, "log-not-executed" },
		{ { NULL, "127" }, "log-loader" },
		{ { "oom-kill", "killed/KILL" }, "log-out-of-memory" },
		{ { "signal", "killed/KILL" }, "log-killed" },
		{ { "signal", "KILL" }, "log-killed" },
		{ { "core-dump", "dumped 5/TRAP" }, "log-broken-binary" },
		{ { "timeout", NULL }, "log-start-timeout" },
		{ { "exit-code", "1" }, "log-undecided" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_log struct log log = { 0 };
		struct signature_finding finding;

		CHECK_EQ(triage_input_add_systemd(&log, &cases[i].systemd), 0);
		log_settle(&log);
		signature_find(&log, &finding, NULL);
		CHECK_STR(signature_info(finding.signature)->id, cases[i].rule);
	}
}

static void test_evidence_is_the_deciding_line(void)
{
	static const char text[] = STARTING("1") PANIC("1");
	cleanup_log struct log log = { 0 };
	struct signature_evidence evidence;
	struct signature_finding finding;

	CHECK_EQ(log_add_text(&log, text, strlen(text)), 0);
	log_settle(&log);
	signature_find(&log, &finding, &evidence);
	CHECK_EQ(evidence.count, 1);
	CHECK_STR(log.lines[evidence.lines[0]].raw,
		  "Nov 23 10:15:01 n containerd[1]: panic: invalid page type: 0: 0");
}

static void test_an_empty_log_decides_nothing(void)
{
	struct signature_finding finding = judge("");

	CHECK_EQ(finding.signature, SIGNATURE_NONE);
	CHECK_EQ(finding.verdict, SIGNATURE_UNDECIDED);
	CHECK_EQ(finding.starts, 0);
}

static void test_cut_lines(void)
{
	CHECK(log_contains("error=\"no space left on device\"", "no space left on device"));
	CHECK(log_contains("error=\"no space le", "no space left on device"));
	CHECK(log_contains("error=\"no space lef>", "no space left on device"));
	CHECK(!log_contains("error=\"no space", "no space left on device"));
	CHECK(!log_contains("error=\"no space left\"", "no space left on device"));
}

/* Only the end of an endless log is kept, and that is said. */
static void test_bounds(void)
{
	cleanup_log struct log log = { 0 };
	cleanup_text struct text text = { 0 };

	for (int i = 0; i < LOG_LINES_MAX + 100; i++)
		CHECK_EQ(text_add_string(&text, "x\n"), 0);
	CHECK_EQ(text_add_string(&text, PANIC("1")), 0);
	CHECK_EQ(log_add_text(&log, text.string, text.length), 0);
	CHECK_EQ(log.count, LOG_LINES_MAX);
	CHECK(log.cut);
	CHECK(strstr(log.lines[log.count - 1].raw, "panic"));
}

static void test_memory_faults(void)
{
	for (int n = 1;; n++) {
		cleanup_log struct log log = { 0 };
		int r;

		fault_arm("realloc", n, ENOMEM);
		r = log_add_text(&log, PANIC("1") PANIC("2"), strlen(PANIC("1") PANIC("2")));
		if (!fault_fired()) {
			CHECK_EQ(r, 0);
			break;
		}
		CHECK_EQ(r, -ENOMEM);
	}
}

/* The section of @id in @manual, from its heading to the next one. */
static char *section_of(const char *manual, const char *id)
{
	cleanup_free char *heading = text_print("\n### %s\n", id);
	const char *start = strstr(manual, heading), *end;

	if (!start)
		return NULL;
	start += strlen(heading);
	end = strstr(start, "\n##");
	return strndup(start, end ? (size_t)(end - start) : strlen(start));
}

/* Every signature has its section, which tells its verdict and needs; no other has one. */
static void test_manual(void)
{
	cleanup_free char *manual = NULL;
	unsigned headings = 0, rules = 0;

	if (!CHECK_EQ(dir_read_path(MANUAL, FILE_MAX, &manual, NULL), 0))
		return;
	for (int i = 0; i < SIGNATURE_COUNT; i++) {
		const struct signature_info *info = signature_info(i);
		cleanup_free char *section = section_of(manual, info->id);
		const char *verdict = signature_verdict_name(info->verdict);

		if (!CHECK(section != NULL) || !CHECK(strstr(section, verdict)))
			printf("# %s\n", info->id);
		for (unsigned bit = 1; section && bit <= NEED_MISSING; bit <<= 1) {
			bool named = strstr(section, signature_need_name(bit));

			if (!CHECK_EQ(named, !!(info->needs & bit)))
				printf("# %s: %s\n", info->id, signature_need_name(bit));
		}
	}
	for (const char *at = manual; (at = strstr(at, "\n### log-")); at++)
		headings++;
	for (size_t i = 0; i < triage_rule_count; i++)
		rules += strncmp(triage_rules[i].id, "log-", 4) == 0;
	CHECK_EQ(headings, SIGNATURE_COUNT + rules);
}

int main(void)
{
	RUN(test_fixtures);
	RUN(test_real_cases);
	RUN(test_starts_are_counted);
	RUN(test_a_last_start_that_differs);
	RUN(test_a_last_start_that_systemd_calls_started);
	RUN(test_newer_boot_first);
	RUN(test_newest_line_first);
	RUN(test_one_step_back);
	RUN(test_boots_divide_starts);
	RUN(test_a_cut_line_asks_for_no_fresh_root);
	RUN(test_an_ignored_command_is_no_cause);
	RUN(test_who_panics);
	RUN(test_who_ended_a_start_without_checkpoints);
	RUN(test_whose_reason_it_is);
	RUN(test_whose_status_it_is);
	RUN(test_systemd_given_apart);
	RUN(test_evidence_is_the_deciding_line);
	RUN(test_an_empty_log_decides_nothing);
	RUN(test_cut_lines);
	RUN(test_bounds);
	RUN(test_memory_faults);
	RUN(test_manual);
	return tap_done();
}
