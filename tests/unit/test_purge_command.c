/*
 * Which quarantines `purge` deletes, and which trees of them: the command itself,
 * on the paths of a real node.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "recover/command.h"
#include "recover/quarantine.h"
#include "recover/situation.h"
#include "recover/ticket.h"
#include "scanners/bundle.h"
#include "scanners/cleanup.h"
#include "tests/unit/fault.h"
#include "tests/unit/tap.h"
#include "tests/unit/world.h"

#define ID(c) c c c c c c c c c c c c c c c c
#define POD ID("aaa1")
#define PENDING RECORDS_PATH "/pending"
#define BOLT "io.containerd.metadata.v1.bolt"
#define KEPT "[quarantine]\ngrace = 1h\n[salvage]\nenabled = no\n"
#define DUE "[quarantine]\ngrace = 0\n[salvage]\nenabled = no\n"

/* A quarantine: where it is, and a file in its tree that stands for all of it. */
struct made {
	char id[TICKET_ID];
	char dir[256], file[512];
};

static void policy(const char *text)
{
	CHECK_EQ(tap_shell("printf '%s' >/etc/containerd-recover.conf", text), 0);
}

static int purge(const char *a, const char *b, const char *c)
{
	const char *argv[] = { "purge", a, b, c, NULL };
	int argc = 1;

	while (argv[argc])
		argc++;
	return purge_command(argc, (char **)argv);
}

static bool is_whole(const struct made *q)
{
	return world_has(q->file);
}

static bool is_gone(const struct made *q)
{
	return !world_has(q->dir);
}

static void open_it(const struct made *q, struct data_root *place, struct ticket *ticket)
{
	CHECK_EQ(data_root_open(ROOT, place), 0);
	CHECK_EQ(ticket_open(place, q->id, ticket), 0);
}

static void mark(const struct made *q, enum stage stage, bool done)
{
	cleanup_data_root struct data_root place = { .parent_fd = -EBADF, .root_fd = -EBADF };
	cleanup_ticket struct ticket ticket = TICKET_NONE;

	open_it(q, &place, &ticket);
	CHECK_EQ(stage_begin(&ticket.stages, stage), 0);
	if (done)
		CHECK_EQ(stage_done(&ticket.stages, stage), 0);
}

/* With @lost pods, if any; the root that stands is one that containerd has used. */
static void make(struct made *q, json_t *lost, bool move)
{
	cleanup_data_root struct data_root place = { .parent_fd = -EBADF, .root_fd = -EBADF };
	cleanup_ticket struct ticket ticket = TICKET_NONE;
	json_auto_t *manifest = json_pack("{s:O?}", "lost", lost);

	CHECK_EQ(data_root_open(ROOT, &place), 0);
	CHECK_EQ(ticket_create(&place, manifest, &ticket), 0);
	(void)strcpy(q->id, ticket.id);
	(void)snprintf(q->dir, sizeof(q->dir), "%s/%s", ticket.inside ? ROOT "/.quarantine" : JAIL, q->id);
	(void)snprintf(q->file, sizeof(q->file), "%s/root/" BOLT "/meta.db", q->dir);
	if (!move)
		return;
	CHECK_EQ(quarantine_move(&place, &ticket), 0);
	CHECK_EQ(tap_shell("mkdir -p " ROOT "/" BOLT " && echo new >" META), 0);
}

static void begin(struct made *q, const char *conf)
{
	world_begin();
	policy(conf);
	make(q, NULL, true);
}

static void put_back(const struct made *q)
{
	cleanup_data_root struct data_root place = { .parent_fd = -EBADF, .root_fd = -EBADF };
	cleanup_ticket struct ticket ticket = TICKET_NONE;

	open_it(q, &place, &ticket);
	CHECK_EQ(quarantine_restore(&place, &ticket), 0);
}

/* Somebody moved the tree in it elsewhere, and has something of his own there. */
static void replace_tree(const struct made *q)
{
	CHECK_EQ(tap_shell("mv %s/root %s/mine && mkdir -p %s/root/" BOLT " && echo precious >%s", q->dir, q->dir,
			   q->dir, q->file), 0);
}

/* What was recorded so far was so many seconds ago. */
static void age(const struct made *q, int sec)
{
	CHECK_EQ(tap_shell("while read -r a b c d; do echo $a $b $c $((d - %d)); done <%s/stages "
			   ">/run/stages && cat /run/stages >%s/stages", sec, q->dir, q->dir), 0);
}

static void test_nothing_goes_within_its_grace(void)
{
	struct made first, second;

	begin(&first, KEPT);
	make(&second, NULL, true);
	CHECK_EQ(purge(NULL, NULL, NULL), EXIT_OK);
	CHECK_EQ(purge(first.id, NULL, NULL), EXIT_HANDS_OFF);
	CHECK_EQ(purge("--yes", NULL, NULL), EXIT_USAGE);
	CHECK_EQ(purge("--dry-run", "--yes", first.id), EXIT_OK);
	CHECK(is_whole(&first) && is_whole(&second));
	CHECK_EQ(purge("--yes", first.id, NULL), EXIT_OK);
	CHECK(is_gone(&first) && is_whole(&second) && world_has(META));
	CHECK_EQ(purge("--yes", first.id, NULL), EXIT_FAILED);
	policy(DUE);
	CHECK_EQ(purge("--dry-run", NULL, NULL), EXIT_OK);
	CHECK(is_whole(&second));
	CHECK_EQ(purge(NULL, NULL, NULL), EXIT_OK);
	CHECK(is_gone(&second) && world_has(META));
	CHECK(!world_has(JAIL));
}

/* Since it was last dealt with, that is. */
static void test_the_grace_of_what_was_put_back(void)
{
	struct made q, deferred;

	begin(&q, KEPT);
	make(&deferred, NULL, false);
	mark(&deferred, STAGE_DEFER, true);
	age(&q, 100000);
	put_back(&q);
	CHECK_EQ(purge(NULL, NULL, NULL), EXIT_OK);
	CHECK(!is_gone(&q) && !is_gone(&deferred));
	age(&q, 100000);
	age(&deferred, 100000);
	CHECK_EQ(purge(NULL, NULL, NULL), EXIT_OK);
	CHECK(is_gone(&q) && is_gone(&deferred) && world_has(META));
}

/* A file system that does not say how large it is has room. */
static void test_no_size_is_no_full_disk(void)
{
	struct made q;

	CHECK_EQ(mount("none", "/var/lib", "tmpfs", 0, "size=0,nr_inodes=0"), 0);
	begin(&q, "[quarantine]\ngrace = 1h\n[purge]\nurgent_free_space = 100\n"
	      "urgent_free_inodes = 100\n[salvage]\nenabled = no\n");
	CHECK_EQ(purge(NULL, NULL, NULL), EXIT_OK);
	CHECK(is_whole(&q));
	CHECK_EQ(umount2("/var/lib", MNT_DETACH), 0);
}

/* The grace period ends early where there is no room; images that are still wanted come first. */
static void test_a_full_disk_ends_it(void)
{
	static const struct {
		const char *space, *inodes, *salvage;
		bool goes;
	} cases[] = {
		{ "0", "0", "no", false }, { "100", "0", "no", true }, { "0", "100", "no", true },
		{ "100", "100", "yes", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *conf = NULL;
		struct made q;

		CHECK(asprintf(&conf, "[quarantine]\ngrace = 1h\n[salvage]\nenabled = %s\n[purge]\n"
			       "urgent_free_space = %s\nurgent_free_inodes = %s\n", cases[i].salvage,
			       cases[i].space, cases[i].inodes) > 0);
		begin(&q, conf);
		CHECK_EQ(purge(NULL, NULL, NULL), EXIT_OK);
		CHECK_EQ(is_gone(&q), cases[i].goes);
		CHECK_EQ(is_whole(&q), !cases[i].goes);
	}
}

#define WITH_IMAGES "[quarantine]\ngrace = 0\n[salvage]\nenabled = yes\nbudget = 1\n"

static void test_images_come_first(void)
{
	struct made q, restored;

	begin(&q, WITH_IMAGES);
	CHECK_EQ(purge(NULL, NULL, NULL), EXIT_OK);
	CHECK_EQ(purge(q.id, NULL, NULL), EXIT_HANDS_OFF);
	CHECK(is_whole(&q));
	CHECK_EQ(purge("--yes", q.id, NULL), EXIT_OK);
	CHECK(is_gone(&q));

	begin(&q, WITH_IMAGES);
	mark(&q, STAGE_SALVAGE, false);
	CHECK_EQ(purge(NULL, NULL, NULL), EXIT_OK);
	CHECK(is_whole(&q));
	mark(&q, STAGE_SALVAGE, true);
	CHECK_EQ(purge(NULL, NULL, NULL), EXIT_OK);
	CHECK(is_gone(&q));

	/* Nobody misses those of one that was put back. */
	begin(&restored, WITH_IMAGES);
	put_back(&restored);
	CHECK_EQ(purge(NULL, NULL, NULL), EXIT_OK);
	CHECK(is_gone(&restored));
	world_run("grep -q old " META);
}

/* One that nobody ends: twice its budget, and not for ever. */
static void test_images_do_not_come_for_ever(void)
{
	static const int ages[] = { 1, 10 };

	for (size_t i = 0; i < ARRAY_SIZE(ages); i++) {
		struct made q;

		begin(&q, "[quarantine]\ngrace = 0\n[salvage]\nenabled = yes\nbudget = 4\n");
		age(&q, ages[i]);
		CHECK_EQ(purge(NULL, NULL, NULL), EXIT_OK);
		CHECK_EQ(is_gone(&q), i == 1);
		CHECK_EQ(is_whole(&q), i == 0);
	}
}

/* How long to keep it is not known; what was begun is no longer whole anyway. */
static void test_a_policy_that_is_not_understood(void)
{
	struct made q, begun;

	begin(&q, "[quarantine]\ngrace = soon\n[salvage]\nenabled = no\n");
	age(&q, 100000);
	make(&begun, NULL, true);
	mark(&begun, STAGE_PURGE, false);
	CHECK_EQ(purge(NULL, NULL, NULL), EXIT_OK);
	CHECK(is_whole(&q) && is_gone(&begun));
	CHECK_EQ(purge("--yes", q.id, NULL), EXIT_OK);
	CHECK(is_gone(&q));
}

/* preflight finishes it or takes it back, whoever asks. */
static void test_what_is_half_done_is_left(void)
{
	struct made q, begun, undone;

	begin(&q, DUE);
	mark(&q, STAGE_RESTORE, false);
	make(&begun, NULL, false);
	make(&undone, NULL, false);
	mark(&undone, STAGE_UNDO, true);
	CHECK_EQ(purge(NULL, NULL, NULL), EXIT_OK);
	(void)purge("--yes", q.id, NULL);
	(void)purge("--yes", begun.id, NULL);
	(void)purge("--yes", undone.id, NULL);
	CHECK(is_whole(&q) && !is_gone(&begun) && !is_gone(&undone) && world_has(META));
}

static void test_only_what_the_manifest_says(void)
{
	struct made q;

	begin(&q, DUE);
	replace_tree(&q);
	CHECK_EQ(purge("--yes", q.id, NULL), EXIT_FAILED);
	CHECK(is_whole(&q));
	CHECK_EQ(tap_shell("grep purge %s/stages", q.dir) != 0, 1);

	/* Put back, and the two exchanged by a hand. */
	begin(&q, DUE);
	put_back(&q);
	CHECK_EQ(tap_shell("mv " ROOT " /var/lib/x && mv %s/root " ROOT " && mv /var/lib/x %s/root", q.dir, q.dir), 0);
	CHECK_EQ(purge("--yes", q.id, NULL), EXIT_FAILED);
	CHECK(is_whole(&q));

	/* What was in containerd's way alone. */
	for (int replaced = 0; replaced < 2; replaced++) {
		world_begin();
		policy(DUE);
		make(&q, NULL, false);
		mark(&q, STAGE_DEFER, true);
		CHECK_EQ(tap_shell("mkdir %s/root/" BOLT " && echo left >%s", q.dir, q.file), 0);
		if (replaced)
			replace_tree(&q);
		CHECK_EQ(purge("--yes", q.id, NULL), replaced ? EXIT_FAILED : EXIT_OK);
		CHECK_EQ(replaced ? is_whole(&q) : is_gone(&q), 1);
		CHECK(world_has(META));
	}
}

/* Containerd's own root is none, however it came to be in a quarantine. */
static void test_the_root_that_stands(void)
{
	struct made q;

	begin(&q, DUE);
	CHECK_EQ(tap_shell("mount --bind %s/root " ROOT, q.dir), 0);
	CHECK_EQ(purge("--yes", q.id, NULL), EXIT_FAILED);
	CHECK(is_whole(&q));
	CHECK_EQ(umount2(ROOT, MNT_DETACH), 0);

	CHECK_EQ(tap_shell("mkdir -p /etc/containerd && echo 'root = \"%s/root\"' >/etc/containerd/config.toml",
			   q.dir), 0);
	CHECK_EQ(purge("--root=" ROOT, "--yes", q.id), EXIT_HANDS_OFF);
	CHECK(is_whole(&q));
}

static void test_in_a_mount_point(void)
{
	for (int replaced = 0; replaced < 2; replaced++) {
		struct made q;

		world_begin();
		policy(DUE);
		CHECK_EQ(mount("tmpfs", ROOT, "tmpfs", 0, "size=1M"), 0);
		world_run("mkdir -p " ROOT "/" BOLT " " ROOT "/lost+found && echo old >" META
			  " && touch " ROOT "/lost+found/file");
		make(&q, NULL, true);
		if (replaced)
			replace_tree(&q);
		CHECK_EQ(purge(NULL, NULL, NULL), replaced ? EXIT_FAILED : EXIT_OK);
		CHECK_EQ(replaced ? is_whole(&q) : is_gone(&q), 1);
		world_run("grep -q new " META);
		CHECK(world_has(ROOT "/lost+found/file"));
		CHECK_EQ(umount2(ROOT, MNT_DETACH), 0);
	}
}

/* What its pods left on the node is known from it alone. */
static void test_a_manifest_outlives_its_data(void)
{
	json_auto_t *lost = json_pack("{s:[{}]}", "sandboxes");
	cleanup_free char *manifest = NULL;
	struct made q;

	begin(&q, DUE);
	make(&q, lost, true);
	CHECK(asprintf(&manifest, "%s/manifest.json", q.dir) > 0);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(purge("--yes", q.id, NULL), EXIT_OK);
		CHECK(!is_whole(&q) && world_has(manifest));
		CHECK_EQ(purge(NULL, NULL, NULL), EXIT_OK);
		CHECK(world_has(manifest));
	}
	mark(&q, STAGE_SWEEP, true);
	CHECK_EQ(purge(NULL, NULL, NULL), EXIT_OK);
	CHECK(is_gone(&q));

	/* So is what was deferred in the state directory. */
	make(&q, NULL, false);
	mark(&q, STAGE_DEFER, true);
	free(manifest);
	CHECK(asprintf(&manifest, "%s/manifest.json", q.dir) > 0);
	CHECK_EQ(tap_shell("mkdir -p " STATE "/.containerd-recover-deferred-%s", q.id), 0);
	CHECK_EQ(purge(NULL, NULL, NULL), EXIT_OK);
	CHECK(world_has(manifest));
	CHECK_EQ(tap_shell("rmdir " STATE "/.containerd-recover-deferred-%s", q.id), 0);
	CHECK_EQ(purge(NULL, NULL, NULL), EXIT_OK);
	CHECK(is_gone(&q));
}

/* containerd has another root by now, so that no start of it comes for what this one's pods left. */
static void test_a_manifest_of_a_root_that_is_gone(void)
{
	char *finish[] = { (char *)"finish", NULL, NULL };
	struct container container = { .ns = (char *)"k8s.io", .id = (char *)POD, .sandbox_id = (char *)POD };
	struct sandbox sandbox = { .ns = (char *)"k8s.io", .id = (char *)POD, .containers = &container,
				   .container_count = 1, .from_bundle = true };
	const struct inventory inventory = { .sandboxes = &sandbox, .sandbox_count = 1, .complete = true };
	json_auto_t *lost = inventory_to_json(&inventory);
	struct made q;

	world_begin();
	policy(DUE "[evidence]\nenabled = no\n");
	make(&q, lost, true);
	world_run("mkdir -p " BUNDLE_RUNC_ROOT "/k8s.io/" POD " && mv " ROOT " /var/lib/elsewhere");
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(purge("--root=" ROOT, "--yes", q.id), EXIT_OK);
		CHECK(!is_whole(&q) && !is_gone(&q));
	}
	CHECK_EQ(finish_command(1, finish), EXIT_PARTIAL);
	CHECK(world_has(BUNDLE_RUNC_ROOT "/k8s.io/" POD));
	finish[1] = (char *)"--root=" ROOT;
	CHECK_EQ(finish_command(2, finish), EXIT_OK);
	CHECK(!world_has(BUNDLE_RUNC_ROOT "/k8s.io/" POD));
	CHECK_EQ(purge("--root=" ROOT, "--yes", q.id), EXIT_OK);
	CHECK(is_gone(&q));
}

/* Only who looks at containerd's own root knows which of its quarantines are still there. */
static void test_records_are_not_pruned_by_another_root(void)
{
	const char *record = RECORDS_PATH "/report-20010101T000000Z-1a2b.json";
	char *finish[] = { (char *)"finish", (char *)"--root=" ROOT, NULL };
	struct made q;

	begin(&q, KEPT);
	CHECK_EQ(tap_shell("mkdir -p " RECORDS_PATH " && echo {} >%s", record), 0);
	CHECK_EQ(purge("--root=" ROOT, "--yes", q.id), EXIT_OK);
	CHECK(is_gone(&q));
	CHECK_EQ(finish_command(2, finish), EXIT_OK);
	CHECK(world_has(record));
	CHECK_EQ(finish_command(1, finish), EXIT_OK);
	CHECK(!world_has(record));

	CHECK_EQ(tap_shell("echo {} >%s", record), 0);
	make(&q, NULL, true);
	CHECK_EQ(purge("--yes", q.id, NULL), EXIT_OK);
	CHECK(is_gone(&q) && !world_has(record));
}

static void test_what_cannot_go_is_gone_on_with(void)
{
	cleanup_free char *manifest = NULL;
	struct made q;

	begin(&q, DUE);
	CHECK(asprintf(&manifest, "%s/manifest.json", q.dir) > 0);
	CHECK_EQ(tap_shell("mkdir %s/root/m && mount -t tmpfs none %s/root/m && echo precious >%s/root/m/file", q.dir,
			   q.dir, q.dir), 0);
	CHECK_EQ(purge(NULL, NULL, NULL), EXIT_FAILED);
	CHECK(!is_whole(&q) && world_has(manifest));
	CHECK_EQ(tap_shell("grep -q precious %s/root/m/file && ! grep -q 'done purge' %s/stages", q.dir, q.dir), 0);
	CHECK_EQ(tap_shell("umount %s/root/m", q.dir), 0);
	policy(KEPT);
	CHECK_EQ(purge(NULL, NULL, NULL), EXIT_OK);
	CHECK(is_gone(&q));
}

/* Children that were moved out of a half-used root on its way back. */
static void test_the_interim_goes_too(void)
{
	struct made q;

	begin(&q, DUE);
	CHECK_EQ(tap_shell("mkdir -p %s/interim/x && touch %s/interim/x/y && mount -t tmpfs none %s/interim", q.dir,
			   q.dir, q.dir), 0);
	/* Whether somebody works on what is behind it is not known. */
	CHECK_EQ(purge(NULL, NULL, NULL), EXIT_FAILED);
	CHECK(is_whole(&q));
	CHECK_EQ(tap_shell("umount %s/interim && mount -t tmpfs none %s/interim/x", q.dir, q.dir), 0);
	CHECK_EQ(purge(NULL, NULL, NULL), EXIT_FAILED);
	CHECK_EQ(tap_shell("! grep -q 'done purge' %s/stages && umount %s/interim/x", q.dir, q.dir), 0);
	CHECK_EQ(purge(NULL, NULL, NULL), EXIT_OK);
	CHECK(is_gone(&q));
}

/* A restore would not know that it is no longer whole, nor a report what became of it. */
static void test_nothing_goes_unrecorded(void)
{
	struct made q;

	begin(&q, DUE);
	fault_arm("fdatasync", 1, EIO);
	CHECK_EQ(purge(NULL, NULL, NULL), EXIT_FAILED);
	CHECK(fault_fired());
	CHECK(is_whole(&q));

	begin(&q, DUE);
	world_run("rm -r " RECORDS_PATH " && touch " RECORDS_PATH);
	CHECK_EQ(purge(NULL, NULL, NULL), EXIT_FAILED);
	CHECK(is_whole(&q));
}

/* Of the quarantine, of its data, of a database in it. */
static void test_nothing_goes_without_every_lock(void)
{
	struct made q;
	int n;

	for (n = 1;; n++) {
		bool fired;
		int status;

		begin(&q, DUE);
		fault_arm("flock", n, EIO);
		status = purge(NULL, NULL, NULL);
		fired = fault_fired();
		CHECK_EQ(status != EXIT_OK, fired);
		CHECK_EQ(is_whole(&q), fired);
		if (!fired)
			break;
	}
	CHECK(n > 3);
}

/* Nor does it become somebody's on the way. */
static void test_the_locks_are_held_to_the_end(void)
{
	struct made q;
	pid_t child;
	int status, fd;

	begin(&q, DUE);
	child = fork();
	if (child == 0) {
		fault_arm("unlinkat", 1, FAULT_STOP);
		_exit(purge(NULL, NULL, NULL));
	}
	CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
	CHECK(WIFSTOPPED(status) && is_whole(&q));
	fd = open(q.file, O_RDONLY | O_CLOEXEC);
	CHECK(flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK);
	(void)close(fd);
	CHECK_EQ(kill(child, SIGCONT), 0);
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_OK);
	CHECK(is_gone(&q));
}

/* By a copy of `keep`, by another run, by a containerd on it. */
static void test_what_is_held_is_left(void)
{
	static const struct {
		const char *name;
		int how;
	} cases[] = {
		{ "stages", LOCK_SH }, { ".", LOCK_EX }, { "root/" BOLT "/meta.db", LOCK_EX },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *path = NULL;
		struct made held, other;
		int fd;

		begin(&held, DUE);
		make(&other, NULL, true);
		CHECK(asprintf(&path, "%s/%s", held.dir, cases[i].name) > 0);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		CHECK_EQ(flock(fd, cases[i].how), 0);
		CHECK_EQ(purge("--yes", held.id, NULL), EXIT_HANDS_OFF);
		(void)purge(NULL, NULL, NULL);
		CHECK(is_whole(&held) && is_gone(&other));
		CHECK_EQ(tap_shell("grep purge %s/stages", held.dir) != 0, 1);
		(void)close(fd);
		CHECK_EQ(purge(NULL, NULL, NULL), EXIT_OK);
		CHECK(is_gone(&held));
	}
}

/* By the path that status shows, and by no other that ends so. */
static void test_what_an_argument_names(void)
{
	static const char *const others[] = {
		"/var/lib", JAIL "x", JAIL "/sub", ROOT,
	};
	cleanup_free char *path = NULL;
	struct made q;

	begin(&q, KEPT);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		cleanup_free char *other = NULL;

		CHECK(asprintf(&other, "%s/%s", others[i], q.id) > 0);
		CHECK_EQ(tap_shell("mkdir -p %s", other), 0);
		CHECK_EQ(purge("--yes", other, NULL), EXIT_FAILED);
		CHECK(is_whole(&q));
	}
	CHECK(asprintf(&path, "/var/lib/../lib/containerd.quarantine/%s", q.id) > 0);
	CHECK_EQ(purge("--yes", path, NULL), EXIT_OK);
	CHECK(is_gone(&q));
}

/* What has the background units started. */
static void test_what_is_left_to_do_stays_marked(void)
{
	struct made first, second;

	begin(&first, KEPT);
	make(&second, NULL, true);
	world_run("touch " PENDING);
	CHECK_EQ(purge("--yes", first.id, NULL), EXIT_OK);
	CHECK(is_gone(&first) && world_has(PENDING));
	world_run("mkdir -p " RECORDS_PATH "/freed/x");
	CHECK_EQ(purge("--root=" ROOT, "--yes", second.id), EXIT_OK);
	CHECK(is_gone(&second) && world_has(PENDING));
	CHECK_EQ(purge(NULL, NULL, NULL), EXIT_OK);
	CHECK(world_has(PENDING));
	world_run("rmdir " RECORDS_PATH "/freed/x");
	CHECK_EQ(purge("--root=" ROOT, NULL, NULL), EXIT_OK);
	CHECK_EQ(purge("--dry-run", NULL, NULL), EXIT_OK);
	CHECK(world_has(PENDING));
	CHECK_EQ(purge(NULL, NULL, NULL), EXIT_OK);
	CHECK(!world_has(PENDING));
}

/* Without its root it is found by hand alone, by the root's name. */
static void test_the_root_is_gone(void)
{
	struct made q;

	begin(&q, DUE);
	world_run("mv " ROOT " /var/lib/elsewhere");
	CHECK_EQ(purge(NULL, NULL, NULL), EXIT_FAILED);
	CHECK_EQ(purge("--root=" ROOT, NULL, NULL), EXIT_FAILED);
	CHECK_EQ(purge("--yes", q.id, NULL), EXIT_FAILED);
	CHECK(is_whole(&q));
	CHECK_EQ(purge("--root=" ROOT, "--yes", q.id), EXIT_OK);
	CHECK(is_gone(&q));
}

int main(void)
{
	if (!world_enter())
		return 0;
	RUN(test_nothing_goes_within_its_grace);
	RUN(test_the_grace_of_what_was_put_back);
	RUN(test_a_full_disk_ends_it);
	RUN(test_no_size_is_no_full_disk);
	RUN(test_images_come_first);
	RUN(test_images_do_not_come_for_ever);
	RUN(test_a_policy_that_is_not_understood);
	RUN(test_what_is_half_done_is_left);
	RUN(test_only_what_the_manifest_says);
	RUN(test_the_root_that_stands);
	RUN(test_in_a_mount_point);
	RUN(test_a_manifest_outlives_its_data);
	RUN(test_a_manifest_of_a_root_that_is_gone);
	RUN(test_records_are_not_pruned_by_another_root);
	RUN(test_what_cannot_go_is_gone_on_with);
	RUN(test_the_interim_goes_too);
	RUN(test_nothing_goes_unrecorded);
	RUN(test_nothing_goes_without_every_lock);
	RUN(test_the_locks_are_held_to_the_end);
	RUN(test_what_is_held_is_left);
	RUN(test_what_an_argument_names);
	RUN(test_what_is_left_to_do_stays_marked);
	RUN(test_the_root_is_gone);
	return tap_done();
}
