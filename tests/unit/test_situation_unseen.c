/*
 * Whatever cannot be looked at on a node is said to be unknown: no fact about it is
 * more harmless than what is there. In a mount namespace of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "recover/situation.h"
#include "scanners/cleanup.h"
#include "tests/unit/bolt_build.h"
#include "tests/unit/fault.h"
#include "tests/unit/tap.h"
#include "tests/unit/world.h"

#define UNIT "containerd.service"
#define SNAPSHOTTER ROOT "/io.containerd.snapshotter.v1.overlayfs"

static char *top; /* where the fixtures are */

static struct situation look(void)
{
	const struct situation_options options = { .overrides = { .root = ROOT, .state = STATE }, .whole_tree = true };
	struct situation s = SITUATION_NONE;

	(void)situation_look(&options, NULL, &s); /* without a clock: none */
	return s;
}

static void add_databases(void)
{
	world_run("mkdir -p " SNAPSHOTTER);
	CHECK_EQ(tap_shell("cp %s/tests/fixtures/bolt/meta.db " META " && cp %s/tests/fixtures/bolt/metadata.db "
			   SNAPSHOTTER "/", top, top), 0);
}

static void begin(void)
{
	world_begin();
	add_databases();
}

/* The last start did, a minute ago. */
static void time_out(void)
{
	struct ledger_entry entry = { .event = LEDGER_ATTEMPT, .invocation = "a" };
	cleanup_fd int records = open(RECORDS_PATH, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct ledger_clock clock;

	CHECK_EQ(ledger_clock_now(&clock), 0);
	clock.boottime_msec -= 60000;
	clock.realtime_sec -= 60;
	CHECK_EQ(ledger_append(records, UNIT ".ledger", &clock, &entry, false), 0);
	entry = (struct ledger_entry){ .event = LEDGER_STOPPED, .invocation = "a", .result = "timeout" };
	CHECK_EQ(ledger_append(records, UNIT ".ledger", &clock, &entry, false), 0);
}

/* A node on which everything speaks against a fresh root. */
static void begin_with_reasons(void)
{
	world_begin();
	CHECK_EQ(mount("tmpfs", ROOT, "tmpfs", 0, "size=1M"), 0);
	world_run("mkdir -p " ROOT "/io.containerd.metadata.v1.bolt " ROOT "/opt " ROOT "/backup");
	add_databases();
	CHECK_EQ(mount("tmpfs", ROOT "/opt", "tmpfs", 0, NULL), 0);
	world_run("touch " RECORDS_PATH "/hold; mkdir -p " TASKS "/moby/x");
	CHECK_EQ(tap_shell("for e in quarantine free-state restart tmpmounts defer; do echo %lld " UNIT
			   " $e id x; done >" RECORDS_PATH "/history", (long long)time(NULL) - 10), 0);
	time_out();
}

static void end(struct situation *s)
{
	situation_done(s);
	CHECK_EQ(umount2(ROOT, MNT_DETACH), 0);
}

/* Is what @f says as @all does, or said not to be known? */
static bool no_better(const struct facts *f, const struct facts *all)
{
	bool root = f->root.error || (f->root.is_mount_point && f->root.child_mount && !f->root.is_empty &&
				      *f->root.stranger);
	bool fs = f->fs.error || f->root.error || (f->fs.no_space && f->fs.blocks == all->fs.blocks);
	bool meta = f->root.error || f->meta.state == DB_SOUND || (f->meta.state == DB_UNREAD && f->meta.error);
	bool lock = f->root.error || f->meta.lock == LOCK_FREE || f->meta.lock == LOCK_UNKNOWN;
	bool under = f->root.error || f->meta.under_lock == (f->meta.lock == LOCK_FREE || f->meta.lock == LOCK_NO_FILE);
	bool snapshots = f->root.error || f->snapshots.state == DB_SOUND || f->snapshots.state == DB_UNREAD;
	bool pods = !f->pods.looked || !f->pods.complete || f->pods.bundles == all->pods.bundles;
	bool rest = f->pods.looked || (!f->leftovers.looked && !f->shims.looked);
	/* Without the ledger no start is known to have failed, and nothing tried since. */
	bool tried = f->history.cooling_down &&
		     (f->ledger.failures == 0 || (f->history.freed && f->history.restarted &&
						  f->history.tmpmounts && f->history.deferred));

	return CHECK(root) && CHECK(fs) && CHECK(meta) && CHECK(lock) && CHECK(under) && CHECK(snapshots) &&
	       CHECK(pods) && CHECK(rest) && CHECK(tried);
}

static void test_whatever_fails(void)
{
	static const char *const calls[] = { "openat", "sys_openat2", "fstat", "fstatat", "pread", "flock",
					     "fstatfs", "malloc", "calloc", "realloc" };
	struct situation s;
	struct facts all;

	begin_with_reasons();
	s = look();
	all = s.facts;
	CHECK(no_better(&all, &all));
	CHECK(!all.root.error && all.pods.complete && all.history.hold && all.shims.looked && all.leftovers.looked);
	situation_done(&s);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		for (int n = 1; n < 2000; n++) {
			bool fired;

			fault_arm(calls[i], n, i < 7 ? EIO : ENOMEM);
			s = look();
			fired = fault_fired();
			if (s.config.root && s.facts.config.config != FACTS_CONFIG_UNKNOWN && !no_better(&s.facts, &all))
				printf("# %s, call %d\n", calls[i], n);
			situation_done(&s);
			if (!fired)
				break;
		}
	end(&s);
}

/* containerd follows it, and nobody here does. */
static void test_a_database_behind_a_link(void)
{
	cleanup_situation struct situation s = SITUATION_NONE;

	begin();
	world_run("mv " META " /var/lib/elsewhere && ln -s /var/lib/elsewhere " META);
	s = look();
	CHECK_EQ(s.facts.meta.state, DB_UNREAD);
	CHECK_EQ(s.facts.meta.error, -ELOOP);
}

/* Below a root that is moved as one, a mount goes along. */
static void test_a_mount_in_a_root_that_is_none(void)
{
	cleanup_situation struct situation s = SITUATION_NONE;

	begin();
	world_run("mkdir " ROOT "/opt");
	CHECK_EQ(mount("tmpfs", ROOT "/opt", "tmpfs", 0, NULL), 0);
	s = look();
	CHECK(!s.facts.root.child_mount && !s.facts.root.is_mount_point);
	CHECK_EQ(umount2(ROOT "/opt", 0), 0);
}

/* READY for long, and its stop timed out: no start has failed. */
static void test_a_stop_that_timed_out(void)
{
	static const struct ledger_entry entries[] = {
		{ .event = LEDGER_ATTEMPT, .invocation = "a" }, { .event = LEDGER_READY, .invocation = "a" },
		{ .event = LEDGER_STOPPED, .invocation = "a", .result = "timeout", .code = "killed", .status = "KILL" },
	};
	cleanup_situation struct situation s = SITUATION_NONE;
	cleanup_fd int records = -EBADF;

	begin();
	records = open(RECORDS_PATH, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 3; i++) {
		struct ledger_clock clock;

		CHECK_EQ(ledger_clock_now(&clock), 0);
		clock.boottime_msec -= i == 2 ? 1000 : 500000;
		CHECK_EQ(ledger_append(records, UNIT ".ledger", &clock, &entries[i], false), 0);
	}
	s = look();
	CHECK_EQ(s.facts.ledger.failures, 0);
	CHECK(!s.facts.shims.looked && !s.facts.tmpmounts.looked);
}

/* What another client's containers wrote is nobody's to put aside unasked. */
static void test_layers_of_others(void)
{
	static const struct {
		const char *name;
		char kind;
		unsigned count;
	} cases[] = {
		{ "moby/1/x", 2, 1 },	       { "moby/1/x", 3, 0 }, { "moby/1/extract-5 sha256:1", 2, 0 },
		{ "k8s.io/1/x", 2, 0 },	       { "k8s.io2/1/x", 2, 1 }, { "moby/1", 2, 0 },
		{ "moby", 2, 0 },	       { "moby/1/x", 1, 0 }, { "default/1/extract", 2, 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_situation struct situation s = SITUATION_NONE;
		struct build b = { .page_size = 4096, .next_page = 2 };
		struct build_item item, members[] = { build_text("id", "\1"),
						      build_value("kind", &cases[i].kind, 1) };
		uint8_t inside[200], header[16];

		begin();
		if (i == 0)
			world_run("mv " SNAPSHOTTER " " ROOT "/io.containerd.snapshotter.v1.native");
		b.fd = open(i == 0 ? ROOT "/io.containerd.snapshotter.v1.native/metadata.db" : SNAPSHOTTER "/metadata.db",
			    O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		item = build_inline(cases[i].name, members, 2, inside);
		item = build_bucket("snapshots", build_tree(&b, &item, 1), header);
		item = build_bucket("v1", build_tree(&b, &item, 1), header);
		build_finish(&b, build_tree(&b, &item, 1), UINT64_MAX);
		(void)close(b.fd);
		s = look();
		CHECK_EQ(s.facts.snapshots.state, i == 0 ? DB_ABSENT : DB_SOUND);
		if (!CHECK_EQ(s.facts.pods.foreign_layers, cases[i].count))
			printf("# case %zu\n", i);
		CHECK_EQ(strncmp(s.facts.pods.foreign_namespace, cases[i].name, strcspn(cases[i].name, "/")) == 0 &&
			 strlen(s.facts.pods.foreign_namespace) == strcspn(cases[i].name, "/"), cases[i].count);
	}
}

/* A shim's socket, as its bundle names it; nobody answers. */
static int listen_at(const char *bundle, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)strcpy(address.sun_path, path);
	CHECK_EQ(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	CHECK_EQ(listen(fd, 5), 0);
	CHECK_EQ(tap_shell("mkdir -p " TASKS "/k8s.io/%s && printf unix://%s >" TASKS "/k8s.io/%s/address", bundle, path,
			   bundle), 0);
	return fd;
}

/* A quarter of the start's own time is theirs: one that is slow answers within it, one that is silent hangs. */
static void test_shims_that_hang(void)
{
	cleanup_situation struct situation s = SITUATION_NONE;
	cleanup_fd int silent = -EBADF, slow = -EBADF;
	pid_t child;

	begin();
	world_run("rm -r " TASKS "/k8s.io; mkdir -p /etc/systemd/system && printf '[Service]\\nExecStart=/usr/bin/containerd\\n"
		  "TimeoutStartSec=4\\n' >/etc/systemd/system/" UNIT);
	world_run("printf '[clear]\\nkill_hung = no\\n' >/etc/containerd-recover.conf");
	time_out();
	silent = listen_at("a", STATE "/silent");
	slow = listen_at("b", STATE "/slow");
	child = fork();
	if (child == 0) {
		int fd = accept(slow, NULL, NULL);

		(void)usleep(300000);
		(void)!write(fd, "x", 1);
		_exit(0);
	}
	s = look();
	CHECK(s.facts.shims.looked && s.facts.shims.complete);
	CHECK_EQ(s.facts.shims.hung, 1);
	CHECK_EQ(s.facts.shims.dead, 0);
	CHECK_EQ(s.facts.shims.allowed_msec, 1320);
	CHECK(!s.facts.shims.kill_hung);
	CHECK_EQ(waitpid(child, NULL, 0), child);
	situation_done(&s);
	/* One with an address of another form cannot be judged. */
	world_run("printf vsock://1:2 >" TASKS "/k8s.io/a/address; rm -r " TASKS "/k8s.io/b");
	s = look();
	CHECK(s.facts.shims.looked && !s.facts.shims.complete);
}

/* What lives in another client's namespace would be ended by a fresh root, and made anew by nobody. */
static void test_tasks_of_others(void)
{
	cleanup_situation struct situation s = SITUATION_NONE;
	pid_t child;

	begin();
	child = fork();
	if (child == 0) {
		(void)pause();
		_exit(0);
	}
	CHECK_EQ(tap_shell("for ns in moby k8s.io; do mkdir -p " TASKS "/$ns/x " "/run/containerd/runc/$ns/x; "
			   "printf %d >" TASKS "/$ns/x/init.pid; printf '{\"init_process_pid\": %d, \"init_process_start\": %%s}' "
			   "$(cut -d' ' -f22 /proc/%d/stat) >/run/containerd/runc/$ns/x/state.json; done", (int)child, (int)child,
			   (int)child), 0);
	s = look();
	CHECK_EQ(s.facts.pods.foreign_tasks, 1);
	CHECK_STR(s.facts.pods.foreign_namespace, "moby");
	CHECK_EQ(kill(child, SIGKILL), 0);
	CHECK_EQ(waitpid(child, NULL, 0), child);
	situation_done(&s);
	s = look();
	CHECK_EQ(s.facts.pods.foreign_tasks, 0);
}

static void test_quarantines_and_a_configuration_at_hand(void)
{
	const struct config_overrides paths = { .root = ROOT, .state = STATE };
	const struct situation_options options = { .overrides = paths };
	struct config config = { 0 };
	struct situation s = SITUATION_NONE;

	begin();
	world_run("mkdir -m 700 -p " JAIL "/20260101T000000Z-1a2b " JAIL "/20260101T000000Z-1a2c");
	CHECK_EQ(config_read(&paths, &config), 0);
	CHECK_EQ(situation_look(&options, &config, &s), 0);
	CHECK(config.root == NULL); /* taken over */
	CHECK_STR(s.config.root, ROOT);
	CHECK_EQ(s.facts.history.quarantines, 2);
	situation_done(&s);
	world_run("rm -r " JAIL "; touch " JAIL);
	s = look();
	CHECK_EQ(s.facts.history.quarantines, 0);
	situation_done(&s);
}

int main(void)
{
	top = realpath(".", NULL);
	if (!top || !world_enter())
		return 0;
	RUN(test_whatever_fails);
	RUN(test_a_database_behind_a_link);
	RUN(test_a_mount_in_a_root_that_is_none);
	RUN(test_a_stop_that_timed_out);
	RUN(test_layers_of_others);
	RUN(test_shims_that_hang);
	RUN(test_tasks_of_others);
	RUN(test_quarantines_and_a_configuration_at_hand);
	free(top);
	return tap_done();
}
