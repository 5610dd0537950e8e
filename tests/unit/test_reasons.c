/* Which of containerd's sentences decide, each beside the one that looks like it. */
#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/loglines.h"
#include "scanners/signatures.h"
#include "tests/unit/tap.h"

static struct signature_finding find(const char *text)
{
	cleanup_log struct log log = { 0 };
	struct signature_finding finding = { 0 };

	CHECK_EQ(log_add_text(&log, text, strlen(text)), 0);
	log_settle(&log);
	signature_find(&log, &finding, NULL);
	return finding;
}

#define OF(who, text) "Nov 23 10:15:01 n " who ": " text "\n"
#define OWN(text) OF("containerd[1]", text)
#define LEFT_OUT(plugin) "level=warning msg=\"failed to load plugin io.containerd." plugin "\" error=\"invalid database\""
#define REQUIRED "containerd: load required plugin io.containerd.x.v1.y: invalid database"
#define RESERVED "failed to recover state: failed to reserve sandbox name"
#define SIGNAL(name) OWN("fatal error: unexpected signal during runtime execution") OWN("[signal " name ": x]") \
		     OWN("runtime.throw(0x1)")

static void test_what_decides(void)
{
	static const struct {
		const char *log;
		enum signature signature;
	} cases[] = {
		{ OWN(LEFT_OUT("metadata.v1.bolt")), SIGNATURE_BOLT_INVALID },
		{ OF("etcd[7]", LEFT_OUT("metadata.v1.bolt")), SIGNATURE_NONE },
		{ OWN(LEFT_OUT("content.v1.content")), SIGNATURE_NONE },
		{ OWN(REQUIRED), SIGNATURE_BOLT_INVALID },
		{ OWN(LEFT_OUT("mount-manager.v1.bolt")) OWN(REQUIRED), SIGNATURE_MOUNTS_DB },
		{ OF("etcd[7]", REQUIRED), SIGNATURE_NONE },
		{ OWN("level=fatal msg=\"Failed to run CRI service\" error=\"" RESERVED "\""), SIGNATURE_NAME_RESERVED },
		{ OWN("level=fatal msg=\"Failed to run CRI service\" errorly \"" RESERVED "\""), SIGNATURE_RECOVER_FAILED },
		{ OF("etcd[7]", "level=fatal msg=\"Failed to run CRI service\" error=\"" RESERVED "\""), SIGNATURE_NONE },
		/* a page of the binary, or the binary itself */
		{ SIGNAL("SIGBUS"), SIGNATURE_IO_ERROR },
		{ SIGNAL("SIGSEGV"), SIGNATURE_BROKEN_BINARY },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (!CHECK_EQ(find(cases[i].log).signature, cases[i].signature))
			printf("# %s", cases[i].log);
}

/* Windows's names of machines: bolt may fail on a sound file there. */
static void test_machines_of_windows(void)
{
	CHECK_EQ(find("Nov 23 10:15:01 n containerd[1]: panic: page 7 already freed\n").verdict, SIGNATURE_QUARANTINE);
	CHECK_EQ(find("Nov 23 10:15:01 DESKTOP-A1 containerd[1]: panic: page 7 already freed\n").verdict,
		 SIGNATURE_UNDECIDED);
	CHECK_EQ(find("Nov 23 10:15:01 LAPTOP-A1 containerd[1]: panic: page 7 already freed\n").verdict,
		 SIGNATURE_UNDECIDED);
}

#define BEGUN OF("systemd[1]", "Starting containerd container runtime...")
#define ENDED OF("systemd[1]", "containerd.service: Main process exited, code=exited, status=2")
#define ENTRY(invocation) "{\"_COMM\":\"containerd\",\"_PID\":\"1\"," invocation "\"MESSAGE\":\"x\"}\n"

/* What another process says begins no start, and what systemd says does. */
static void test_where_a_start_begins(void)
{
	static const struct {
		const char *log;
		uint32_t starts;
	} cases[] = {
		{ OWN("x") OF("etcd[7]", "x") OWN("x"), 1 },
		{ OWN("x") OF("containerd[2]", "x"), 2 },
		{ BEGUN ENDED BEGUN, 2 },
		{ BEGUN BEGUN, 1 },
		{ BEGUN OF("etcd[7]", "x exited") BEGUN, 1 },
		{ ENTRY("\"_SYSTEMD_INVOCATION_ID\":\"a\",") ENTRY("") ENTRY("\"_SYSTEMD_INVOCATION_ID\":\"a\","), 1 },
		{ ENTRY("\"_SYSTEMD_INVOCATION_ID\":\"a\",") ENTRY("\"_SYSTEMD_INVOCATION_ID\":\"b\","), 2 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (!CHECK_EQ(find(cases[i].log).starts, cases[i].starts))
			printf("# %s", cases[i].log);
}

int main(void)
{
	RUN(test_what_decides);
	RUN(test_machines_of_windows);
	RUN(test_where_a_start_begins);
	return tap_done();
}
