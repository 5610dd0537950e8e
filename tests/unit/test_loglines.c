/* Whose a line is, and what of it is said by itself. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "scanners/cleanup.h"
#include "scanners/loglines.h"
#include "scanners/text.h"
#include "tests/unit/tap.h"

/* The log's lines, each by the letter of its writer. */
static char *writers(const char *text, size_t size)
{
	static const char letters[] = {
		[LOG_OTHER] = 'o',   [LOG_CONTAINERD] = 'c', [LOG_SUPERVISOR] = 's',
		[LOG_SYSTEMD] = 'y', [LOG_KERNEL] = 'k',     [LOG_BARE] = 'b',
	};
	cleanup_log struct log log = { 0 };
	struct text out = { 0 };

	CHECK_EQ(log_add_text(&log, text, size), 0);
	log_settle(&log);
	for (size_t i = 0; i < log.count; i++)
		CHECK_EQ(text_add(&out, &letters[log.lines[i].source], 1), 0);
	return text_take(&out);
}

struct row {
	const char *log, *want;
};

static void check_rows(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		cleanup_free char *got = writers(rows[i].log, strlen(rows[i].log));

		if (!CHECK_STR(got, rows[i].want))
			printf("# %s", rows[i].log);
	}
}

static void test_a_severity_in_front_of_the_name(void)
{
	static const struct row rows[] = {
		{ "Nov 23 10:15:01.123456 2026 sw1 INFO containerd[5]: x\n", "c" },
		{ "Nov 23 10:15:01 sw1 ERR containerd[5]: x\n", "c" },
		{ "Nov 23 10:15:01 sw1 ERR etcd[5]: x\n", "o" },
		{ "Nov 23 10:15:01 sw1 daemon.err containerd[5]: x\n", "c" },
		{ "Mon Nov 23 10:15:01 2026 daemon.err containerd[5]: x\n", "c" },
		{ "Mon Nov 23 10:15:01 2026 daemon.err dnsmasq[5]: x\n", "o" },
		{ "Nov 23 10:15:01 sw1 erratum containerd[5]: x\n", "b" },
		{ "Nov 23 10:15:01 sw1 info containerd[5]: x\n", "b" },
		{ "Nov 23 10:15:01 sw1 daemon.error5 containerd[5]: x\n", "b" },
		{ "Nov 23 10:15:01 INFO containerd[5]: x\n", "c" },
		{ "Nov 23 10:15:01 20 6 containerd[5]: x\n", "b" },
	};

	check_rows(rows, ARRAY_SIZE(rows));
}

static void test_the_kernel_by_way_of_talosctl(void)
{
	static const struct row rows[] = {
		{ "10.0.0.2: kern: warning: [2026-11-23T10:15:01.1Z]: x\n", "k" },
		{ "10.0.0.2: kern:     err: [2026-11-23T10:15:01.1Z]: x\n", "k" },
		{ " kern: warning: [2026-11-23T10:15:01.1Z]: x\n", "k" },
		{ "10.0.0.2: user: warning: [2026-11-23T10:15:01.1Z]: [talos] containerd[5]: x\n", "o" },
		{ "10.0.0.2: mail: warning: [2026-11-23T10:15:01.1Z]: x\n", "b" },
		{ "10.0.0.2: kern: warning: x\n", "b" },
		{ "kern: warning: [2026-11-23T10:15:01.1Z]\n", "b" },
		{ "10.0.0.2: kern\n", "b" },
	};

	check_rows(rows, ARRAY_SIZE(rows));
}

#define FATAL_JSON "{\\\"level\\\":\\\"fatal\\\",\\\"msg\\\":\\\"Failed to run CRI service\\\"}"
#define LOGRUS_JSON "{\"level\":\"fatal\",\"msg\":\"Failed to run CRI service\"}"

/* An object is what its members say it is; without them it is nobody's. */
static void test_objects(void)
{
	static const struct row rows[] = {
		{ LOGRUS_JSON "\n", "c" },
		{ "node: " LOGRUS_JSON "\n", "c" },
		{ "{\"error\":\"x\",\"level\":\"fatal\",\"msg\":\"Failed to run CRI service\",\"ti\n", "c" },
		{ "{\"_COMM\":\"etcd\",\"MESSAGE\":\"" FATAL_JSON "\"}\n", "o" },
		{ "{\"_COMM\":\"etcd\",\"MESSAGE\":\"" FATAL_JSON "\"},\n", "o" },
		{ " {\"_COMM\":\"etcd\",\"MESSAGE\":\"" FATAL_JSON "\"}\n", "o" },
		{ "\x1e{\"_COMM\":\"etcd\",\"MESSAGE\":\"" FATAL_JSON "\"}\n", "o" },
		{ "data: {\"_COMM\":\"etcd\",\"MESSAGE\":\"" FATAL_JSON "\"}\n", "o" },
		{ "data: {\"_COMM\":\"containerd\",\"_PID\":\"7\",\"MESSAGE\":\"x\"}\n", "c" },
		{ "{\"msg\":\"Failed to run CRI service\"}\n", "o" },
		/* bytes that are no UTF-8, and an end that is missing */
		{ "{\"X\":\"\xff\",\"_COMM\":\"etcd\",\"MESSAGE\":\"" FATAL_JSON "\"}\n", "o" },
		{ "{\"X\":\"\xff\",\"_COMM\":\"containerd\",\"_PID\":\"7\",\"MESSAGE\":\"x\"}\n", "c" },
		{ "{\"_COMM\":\"etcd\",\"MESSAGE\":\"" FATAL_JSON "\n", "o" },
		{ "{\"MESSAGE\":\"" FATAL_JSON "\n", "o" },
		/* somebody's own form, with it inside */
		{ "{\"pod\":\"etcd\",\"text\":\"" FATAL_JSON "\"}\n", "o" },
		{ "{\"pod\":{\"log\":\"" FATAL_JSON "\"}}\n", "o" },
	};

	check_rows(rows, ARRAY_SIZE(rows));
}

#define CURSOR "__CURSOR=s=1;i=1\n"
#define EIGHT(size) size "\0\0\0\0\0\0\0"

/* A value with newlines in it is no field, whatever stands in it. */
static void test_a_binary_field_of_an_export(void)
{
	static const char etcd[] = CURSOR "_COMM=etcd\n_PID=7\nMESSAGE\n" EIGHT("\x1b")
				   "hello\n_COMM=containerd\nbye.\n\n" CURSOR "_COMM=containerd\n_PID=8\nMESSAGE=x\n\n";
	static const char own[] = CURSOR "_COMM=containerd\n_PID=7\nMESSAGE\n" EIGHT("\x03") "a\nb\n\n";
	static const char beyond[] = CURSOR "_COMM=etcd\n_PID=7\nMESSAGE\n" EIGHT("\x7f") "a\n\n";
	cleanup_free char *of_etcd = writers(etcd, sizeof(etcd) - 1);
	cleanup_free char *of_own = writers(own, sizeof(own) - 1);
	cleanup_free char *of_beyond = writers(beyond, sizeof(beyond) - 1);

	CHECK_STR(of_etcd, "oooc");
	CHECK_STR(of_own, "cc");
	CHECK_STR(of_beyond, "");
}

static void test_a_long_export_begins_at_an_entry(void)
{
	cleanup_text struct text text = { 0 };
	cleanup_log struct log log = { 0 };

	CHECK_EQ(text_add_string(&text, CURSOR "_COMM=etcd\n_PID=7\nX=1\n"), 0);
	for (int i = 0; i < 32 * LOG_LINES_MAX - 3; i++)
		CHECK_EQ(text_add_string(&text, "X=1\n"), 0);
	CHECK_EQ(text_add_string(&text, "MESSAGE=lost\n\n" CURSOR "_COMM=etcd\nMESSAGE=kept\n"), 0);
	CHECK_EQ(log_add_text(&log, text.string, text.length), 0);
	CHECK(log.cut);
	CHECK_EQ(log.count, 1);
	CHECK_STR(log.lines[0].text, "kept");
}

#define VERBOSE "Wed 2026-11-25 22:17:21.123456 UTC [s=1;i=1]\n"

static void test_what_continues_a_verbose_field(void)
{
	static const struct row rows[] = {
		{ VERBOSE "    _COMM=etcd\n    _PID=7\n    MESSAGE=a\n            _COMM=containerd\n", "o" },
		{ VERBOSE "    MESSAGE=a\n            MESSAGE=b\n            _COMM=containerd\n    _COMM=etcd\n", "o" },
		{ VERBOSE "    MESSAGE=a\n    _COMM=containerd\n    _PID=7\n", "c" },
	};

	check_rows(rows, ARRAY_SIZE(rows));
}

#define ETCD "Nov 23 10:15:01 n etcd[7]: "
#define UNDER_IT "                           " /* as wide */
#define OWN "level=info msg=\"starting containerd\""

/* The lines of one message stand under each other; all of them are its writer's. */
static void test_a_message_of_several_lines(void)
{
	static const struct row rows[] = {
		{ ETCD "a\n" UNDER_IT OWN "\n", "oo" },
		{ ETCD "a\n" UNDER_IT "b\n" UNDER_IT OWN "\n", "ooo" },
		{ ETCD "a\n" UNDER_IT "Nov 23 10:15:01 n containerd[1]: x\n", "oo" },
		{ ETCD "a\n" UNDER_IT " " OWN "\n", "oo" },
		{ ETCD "a\n" OWN "\n" UNDER_IT OWN "\n", "occ" },
		{ ETCD "a\n" UNDER_IT "b\n" UNDER_IT "{\"_COMM\":\"containerd\",\"MESSAGE\":\"x\"}\n", "ooo" },
		{ ETCD "a\n{\"_COMM\":\"containerd\",\"MESSAGE\":\"x\"}\n", "oc" },
		{ ETCD "a\n" OWN "\n", "oc" },
		{ "    " ETCD "a\n    " UNDER_IT OWN "\n", "oo" },
		{ "Nov 23 10:15:01 n containerd[7]: a\n      " UNDER_IT "panic: x\n", "cc" },
		{ OWN "\n" UNDER_IT OWN "\n", "cc" },
	};

	check_rows(rows, ARRAY_SIZE(rows));
}

/* PID 1, and its child before it became containerd, about this unit and about others. */
static void test_who_is_systemd(void)
{
	static const struct row rows[] = {
		{ "Nov 23 10:15:01 n systemd[1]: containerd.service: x\n", "y" },
		{ "Nov 23 10:15:01 n init.scope[1]: containerd.service: x\n", "y" },
		{ "Nov 23 10:15:01 n (ntainerd)[4]: containerd.service: x\n", "y" },
		{ "Nov 23 10:15:01 n (etcd)[4]: etcd.service: x\n", "o" },
		{ "Nov 23 10:15:01 n systemd[1]: etcd.service: x of containerd\n", "o" },
		{ "Nov 23 10:15:01 n systemd[1]: cri-containerd-a1.scope: x\n", "o" },
		{ "Nov 23 10:15:01 n systemd[1]: etcd.service: x, containerd.service: y\n", "y" },
	};

	check_rows(rows, ARRAY_SIZE(rows));
}

/* A stream without names is containerd's only where nobody else is heard, first or last. */
static void test_a_stream_without_names(void)
{
	static const struct row rows[] = {
		{ OWN "\nx\n", "cc" },
		{ "x\n", "b" },
		{ "level=info msg=\"API listen on x\"\n" OWN "\n", "bb" },
		{ OWN "\nlevel=info msg=\"API listen on x\"\n", "bb" },
		{ "E1123 10:15:01.003123    1234 a.go:2356] x\n" OWN "\n", "bb" },
		{ "E11233 10:15:01.003123    1234 a.go:2356] x\n" OWN "\n", "cc" },
		{ "E1123 10:15:01.003123    1234 a.go] x\n" OWN "\n", "cc" },
		{ "X1123 10:15:01.003123    1234 a.go:2356] x\n" OWN "\n", "cc" },
		{ "github.com/docker/docker/daemon.x(0x1)\n" OWN "\n", "bb" },
		{ "example.org/a/b.x(0x1)\n" OWN "\n", "bb" },
	};

	check_rows(rows, ARRAY_SIZE(rows));
}

static void test_a_wrapper_beside_containerd_is_a_script(void)
{
	static const struct row rows[] = {
		{ "Nov 23 10:15:01 n sh[7]: " OWN "\n", "c" },
		{ "Nov 23 10:15:01 n sh[7]: " OWN "\nNov 23 10:15:01 n sh[8]: x\n", "co" },
		{ "Nov 23 10:15:01 n sh[7]: " OWN "\nNov 23 10:15:01 n cron[7]: x\n", "co" },
		{ "Nov 23 10:15:01 n sh[7]: " OWN "\nNov 23 10:15:01 n containerd[1]: x\n", "oc" },
	};

	check_rows(rows, ARRAY_SIZE(rows));
}

#define EXITED(host) "Nov 23 10:15:02 " host " systemd[1]: containerd.service: Main process exited, code=exited, status=1/FAILURE\n"

static void test_a_host_that_is_named_as_a_program(void)
{
	static const struct row rows[] = {
		{ EXITED("n") "Nov 23 10:15:01 n[7]: x\n", "yc" },
		{ EXITED("n") "Nov 23 10:15:01 m[7]: x\n", "yo" },
		{ EXITED("etcd") "Nov 23 10:15:01 etcd[7]: x\n", "yo" },
	};

	check_rows(rows, ARRAY_SIZE(rows));
}

/* What journalctl explains is nobody's sentence. */
static void test_the_catalog(void)
{
	static const struct row rows[] = {
		{ "-- Unit containerd.service has begun starting up.\n", "o" },
		{ "\xe2\x96\x91\xe2\x96\x91 Defined-By: systemd\n", "o" },
		{ "--- x\n", "b" },
		{ "-- Nov 23 10:15:01 n containerd[1]: x\n", "c" },
	};

	check_rows(rows, ARRAY_SIZE(rows));
}

/* Marks of what the line itself says stay, those of what it quotes become single ones. */
static void test_depth_of_quotation(void)
{
	static const struct {
		const char *line, *text;
	} cases[] = {
		{ "msg=\"a \\\"b\\\"\"", "msg=\"a 'b'\"" },
		{ "msg=\\\"a \\\\\\\"b\\\\\\\"\\\"", "msg=\"a 'b'\"" },
		{ "n: \"Nov 23 10:15:01 n x[1]: msg=\\\"a\\\"\"", "n: \"Nov 23 10:15:01 n x[1]: msg='a'\"" },
		{ "\"Nov 23 10:15:01 n x[1]: msg=\\\"a\\\"\"", "msg=\"a\"\"" },
		{ "Nov 23 10:15:01 n x[1]: msg=\\\"a\\\"", "msg='a'" },
		{ "time=\"x\" level=info msg=\"level=fatal msg=\\\"a\\\"\" component=containerd", "level=fatal msg=\"a\"" },
		{ "a\\nb\\tc\\\\d\\", "a b cd" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_log struct log log = { 0 };

		CHECK_EQ(log_add_text(&log, cases[i].line, strlen(cases[i].line)), 0);
		if (CHECK_EQ(log.count, 1))
			CHECK_STR(log.lines[0].text, cases[i].text);
	}
}

#define BOOT(clock, pid) "Nov 23 " clock " n containerd[" pid "]: level=info msg=\"starting containerd\"\n" \
			 "Nov 23 " clock " n containerd[" pid "]: x\n"

/* A clock that every boot sets back turns nothing round: processes still begin at their beginning. */
static void test_a_clock_that_is_set_back(void)
{
	static const char forth[] = BOOT("12:00:00", "1") BOOT("11:00:00", "2") BOOT("10:00:00", "3");
	static const char back[] = "Nov 23 12:00:00 n containerd[1]: x\n" BOOT("11:00:00", "2")
				   "Nov 23 10:00:00 n containerd[3]: y\n" "Nov 23 09:00:00 n containerd[4]: z\n";
	static const char turned[] = "Nov 23 12:00:00 n containerd[2]: y\n"
				     "Nov 23 11:00:00 n containerd[2]: level=info msg=\"starting containerd\"\n"
				     "Nov 23 10:00:00 n containerd[1]: x\n";
	const struct {
		const char *log;
		uint32_t first;
	} cases[] = { { forth, 1 }, { back, 1 }, { turned, 1 } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_log struct log log = { 0 };

		CHECK_EQ(log_add_text(&log, cases[i].log, strlen(cases[i].log)), 0);
		log_settle(&log);
		CHECK_EQ(log.lines[0].pid, cases[i].first);
	}
}

/* Cut off at every byte, with nothing behind it, not even an end. */
static void test_nothing_is_read_behind_the_end(void)
{
	static const char *const texts[] = {
		"Nov 23 10:00:00 n containerd[1]: x\n                                   {\"a\": 1}\n                    ",
		"{\"MESSAGE\": \"x\", \"_PID\": \"1\", \"_COMM\": \"containerd\"}\nn: {\"msg\": \"x\", \"level\": \"info\"}",
		"__CURSOR=x\n_COMM=containerd\nMESSAGE\n\3\n_PID=1\nMESSAGE=a\\\"b\n\n_COMM=etcd\n",
		"Mon 2026-11-23 10:00:00.1 UTC [s=1;i=1]\n    _COMM=containerd\n    MESSAGE=x\n            y\n",
		"10.0.0.2: kern: warning: [2026-11-25T22:17:21.003Z]: I/O error\ndaemon: err: [2026-11-25T22:17:21.003Z]: x",
		"Nov 23 10:15:01 sw1 daemon.err containerd[5]: panic: x\\\\\"y\\n\ngoroutine 1 [running]:\nmain.x()\n\t/x.go:1",
	};
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *memory = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (!CHECK(memory != MAP_FAILED))
		return;
	CHECK_EQ(mprotect(memory + page, page, PROT_NONE), 0);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		for (size_t size = 0; size <= strlen(texts[i]); size++) {
			cleanup_free char *got = NULL;

			memcpy(memory + page - size, texts[i], size);
			got = writers(memory + page - size, size);
			CHECK(size == 0 || got);
		}
	CHECK_EQ(munmap(memory, 2 * page), 0);
}

int main(void)
{
	RUN(test_a_severity_in_front_of_the_name);
	RUN(test_the_kernel_by_way_of_talosctl);
	RUN(test_objects);
	RUN(test_a_binary_field_of_an_export);
	RUN(test_a_long_export_begins_at_an_entry);
	RUN(test_what_continues_a_verbose_field);
	RUN(test_a_message_of_several_lines);
	RUN(test_who_is_systemd);
	RUN(test_a_stream_without_names);
	RUN(test_a_wrapper_beside_containerd_is_a_script);
	RUN(test_a_host_that_is_named_as_a_program);
	RUN(test_the_catalog);
	RUN(test_depth_of_quotation);
	RUN(test_a_clock_that_is_set_back);
	RUN(test_nothing_is_read_behind_the_end);
	return tap_done();
}
