/* Moving a root aside and back: what is moved, and what is not. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "recover/file.h"
#include "recover/ledger.h"
#include "recover/quarantine.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "tests/unit/fault.h"
#include "tests/unit/tap.h"

static const char *base;
static int world;

/* In the order in which they are moved aside. */
static const char *const children[] = {
	"root/io.containerd.grpc.v1.cri",
	"root/io.containerd.content.v1.content",
	"root/io.containerd.metadata.v1.bolt",
};

static char *path_of(const char *name)
{
	static char paths[4][4096];
	static int next;
	char *path = paths[next++ % 4];

	(void)snprintf(path, sizeof(paths[0]), "%s/%d/%s", base, world, name);
	return path;
}

static void put(const char *name, const char *text)
{
	cleanup_fd int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	CHECK_EQ(file_write_all(fd, text, strlen(text)), 0);
}

static void make(const char *name)
{
	CHECK_EQ(mkdir(path_of(name), 0755), 0);
}

static bool there(const char *name)
{
	return faccessat(AT_FDCWD, path_of(name), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static ino_t inode(const char *name)
{
	struct stat st;

	return lstat(path_of(name), &st) < 0 ? 0 : st.st_ino;
}

/* A new parent directory with a root and a neighbour; @mounted: the root is a mount point. */
static void new_world(bool mounted)
{
	char *top;

	world++;
	top = path_of("");
	CHECK_EQ(mkdir(top, 0755), 0);
	make("root");
	if (mounted)
		CHECK_EQ(mount("tmpfs", path_of("root"), "tmpfs", 0, "size=1M"), 0);
	CHECK_EQ(chmod(path_of("root"), 0711), 0);
	for (size_t i = 0; i < ARRAY_SIZE(children); i++)
		make(children[i]);
	put("root/io.containerd.metadata.v1.bolt/meta.db", "old");
	put("neighbour", "stays");
}

static void begin(struct data_root *place, struct ticket *ticket)
{
	json_t *manifest = json_object();

	CHECK_EQ(data_root_open(path_of("root"), place), 0);
	CHECK_EQ(ticket_create(place, manifest, ticket), 0);
	json_decref(manifest);
}

static void old_root_is_aside(const struct data_root *place, const struct ticket *ticket)
{
	struct data_root now;
	char in_jail[256];

	(void)snprintf(in_jail, sizeof(in_jail), "%s/%s/root/io.containerd.metadata.v1.bolt/meta.db",
		       ticket->inside ? "root/.quarantine" : "root.quarantine", ticket->id);
	CHECK(there(in_jail));
	CHECK(!there("root/io.containerd.metadata.v1.bolt"));
	CHECK(there("root"));
	CHECK(there("neighbour"));
	CHECK_EQ(data_root_open(place->root, &now), 0);
	CHECK_EQ(quarantine_where(&now, ticket), OLD_ROOT_ASIDE);
	data_root_done(&now);
}

static void old_root_stands(void)
{
	CHECK(there("root/io.containerd.metadata.v1.bolt/meta.db"));
	for (size_t i = 0; i < ARRAY_SIZE(children); i++)
		CHECK(there(children[i]));
	CHECK(there("neighbour"));
}

static void there_and_back(bool mounted)
{
	cleanup_data_root struct data_root place = { .parent_fd = -1, .root_fd = -1 };
	struct data_root again;
	cleanup_ticket struct ticket ticket = { .fd = -1, .stages.fd = -1 };
	ino_t old, db;
	struct stat st;

	new_world(mounted);
	old = inode("root");
	db = inode("root/io.containerd.metadata.v1.bolt/meta.db");
	begin(&place, &ticket);
	CHECK_EQ(ticket_state(&ticket), TICKET_BEGUN);
	CHECK_EQ(quarantine_where(&place, &ticket), OLD_ROOT_STANDS);
	CHECK_EQ(quarantine_move(&place, &ticket), 0);
	CHECK_EQ(ticket_state(&ticket), TICKET_MOVED);
	old_root_is_aside(&place, &ticket);
	CHECK_EQ(stat(path_of("root"), &st), 0);
	CHECK_EQ(st.st_mode & 07777, 0711);

	/* A containerd that ran meanwhile made its own. */
	make("root/io.containerd.metadata.v1.bolt");
	put("root/io.containerd.metadata.v1.bolt/meta.db", "new");
	CHECK_EQ(data_root_open(path_of("root"), &again), 0);
	CHECK_EQ(quarantine_restore(&again, &ticket), 0);
	CHECK_EQ(ticket_state(&ticket), TICKET_RESTORED);
	old_root_stands();
	CHECK_EQ(inode("root"), old);
	CHECK_EQ(inode("root/io.containerd.metadata.v1.bolt/meta.db"), db);
	data_root_done(&again);
	if (mounted)
		CHECK_EQ(umount2(path_of("root"), MNT_DETACH), 0);
}

static void test_exchange_and_restore(void)
{
	there_and_back(false);
}

static void test_mount_point_and_restore(void)
{
	there_and_back(true);
}

static void test_a_root_that_is_another_one_by_now_is_not_moved(void)
{
	cleanup_data_root struct data_root place = { .parent_fd = -1, .root_fd = -1 };
	cleanup_ticket struct ticket ticket = { .fd = -1, .stages.fd = -1 };

	new_world(false);
	begin(&place, &ticket);
	CHECK_EQ(rename(path_of("root"), path_of("elsewhere")), 0);
	CHECK_EQ(symlink("elsewhere", path_of("root")), 0);
	CHECK_EQ(quarantine_move(&place, &ticket), -ESTALE);
	CHECK_EQ(unlink(path_of("root")), 0);
	make("root");
	put("root/precious", "x");
	CHECK_EQ(quarantine_move(&place, &ticket), -ESTALE);
	CHECK(there("root/precious"));
	CHECK(there("elsewhere/io.containerd.metadata.v1.bolt/meta.db"));
}

static void test_names_that_are_others_by_now_are_not_moved(void)
{
	cleanup_data_root struct data_root place = { .parent_fd = -1, .root_fd = -1 };
	cleanup_ticket struct ticket ticket = { .fd = -1, .stages.fd = -1 };

	new_world(true);
	begin(&place, &ticket);
	/* Made before the old one goes, so that its inode is another. */
	make("root/x");
	put("root/x/precious", "x");
	CHECK_EQ(renameat2(AT_FDCWD, path_of("root/x"), AT_FDCWD,
			   path_of("root/io.containerd.content.v1.content"), RENAME_EXCHANGE), 0);
	CHECK_EQ(quarantine_move(&place, &ticket), 0);
	CHECK(there("root/io.containerd.content.v1.content/precious"));
	CHECK(!there("root/io.containerd.metadata.v1.bolt"));
	CHECK_EQ(umount2(path_of("root"), MNT_DETACH), 0);
}

/*
 * Every call that can fail, failing once, which is an error if @strict; then the
 * same ticket is tried again. Returns how many there were.
 */
static int faults(bool mounted, const char *call, int error, bool strict)
{
	unsigned moved = 0;
	int n;

	for (n = 1;; n++) {
		cleanup_data_root struct data_root place = { .parent_fd = -1, .root_fd = -1 };
		struct data_root again;
		cleanup_ticket struct ticket ticket = { .fd = -1, .stages.fd = -1 };
		bool fired;
		int r;

		new_world(mounted);
		begin(&place, &ticket);
		fault_arm(call, n, error);
		r = quarantine_move(&place, &ticket);
		fired = fault_fired();
		CHECK(!fired || !strict || r < 0);
		if (r < 0) {
			CHECK(there("neighbour"));
			CHECK_EQ(data_root_open(path_of("root"), &again), 0);
			CHECK(quarantine_where(&again, &ticket) != OLD_ROOT_UNKNOWN);
			if (!mounted) {
				moved += quarantine_has_root(&ticket);
				CHECK_EQ(quarantine_has_root(&ticket), quarantine_where(&again, &ticket) == OLD_ROOT_ASIDE);
			}
			CHECK_EQ(quarantine_move(&again, &ticket), 0);
			data_root_done(&again);
		}
		old_root_is_aside(&place, &ticket);
		if (mounted)
			CHECK_EQ(umount2(path_of("root"), MNT_DETACH), 0);
		if (!fired)
			break;
	}
	/* Behind the exchange things fail, too. */
	if (!mounted && strcmp(call, "any") == 0)
		CHECK(moved > 0);
	return n - 1;
}

static void test_every_fault_can_be_tried_again(void)
{
	(void)faults(false, "any", EIO, false);
	(void)faults(true, "any", EIO, false);
}

/* Both directories and both lines of the record, and none of them is taken for written. */
static void test_the_move_is_on_the_disk(void)
{
	for (int mounted = 0; mounted < 2; mounted++) {
		CHECK_EQ(faults(mounted, "fsync", EIO, true), 2);
		CHECK_EQ(faults(mounted, "fdatasync", EIO, true), 2);
	}
}

/* The same of the way back. */
static void test_every_fault_of_a_restore_can_be_tried_again(void)
{
	static const char *const calls[] = { "any", "fsync", "fdatasync" };

	for (size_t i = 0; i < 2 * ARRAY_SIZE(calls); i++) {
		const char *call = calls[i / 2];
		bool mounted = i % 2, fired = true;
		int n;

		for (n = 1; fired; n++) {
			cleanup_data_root struct data_root place = { .parent_fd = -1, .root_fd = -1 };
			struct data_root again;
			cleanup_ticket struct ticket ticket = { .fd = -1, .stages.fd = -1 };
			int r;

			new_world(mounted);
			begin(&place, &ticket);
			CHECK_EQ(quarantine_move(&place, &ticket), 0);
			make("root/io.containerd.grpc.v1.cri");
			put("root/new", "new");
			CHECK_EQ(data_root_open(path_of("root"), &again), 0);
			fault_arm(call, n, EIO);
			r = quarantine_restore(&again, &ticket);
			fired = fault_fired();
			CHECK(!fired || i < 2 || r < 0);
			data_root_done(&again);
			/* Once more, also behind a success: a run may have been killed there. */
			CHECK_EQ(data_root_open(path_of("root"), &again), 0);
			CHECK_EQ(quarantine_restore(&again, &ticket), 0);
			CHECK_EQ(ticket_state(&ticket), TICKET_RESTORED);
			old_root_stands();
			CHECK(!there("root/new"));
			data_root_done(&again);
			if (mounted)
				CHECK_EQ(umount2(path_of("root"), MNT_DETACH), 0);
		}
		/* What came meanwhile is moved on its own where the root is a mount point. */
		if (i >= 2)
			CHECK_EQ(n - 2, mounted && strcmp(call, "fsync") == 0 ? 4 : 2);
	}
}

/* A child whose move is stopped at the @n-th call of @function. Returns its pid. */
static pid_t stopped_at(const char *function, int n, int (*move)(const struct data_root *, struct ticket *),
			const struct data_root *place, struct ticket *ticket)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		fault_arm(function, n, FAULT_STOP);
		_exit(move(place, ticket) == -ESTALE ? 1 : 0);
	}
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK(WIFSTOPPED(status));
	return pid;
}

/* Killed anywhere: never CRI's records without their data, nor data without its metadata. */
static void test_the_order_of_children(void)
{
	for (int n = 1; n <= 3; n++) {
		cleanup_data_root struct data_root place = { .parent_fd = -1, .root_fd = -1 };
		cleanup_ticket struct ticket ticket = { .fd = -1, .stages.fd = -1 };
		pid_t pid;

		new_world(true);
		begin(&place, &ticket);
		pid = stopped_at("renameat2", n, quarantine_move, &place, &ticket);
		CHECK_EQ(kill(pid, SIGKILL), 0);
		CHECK_EQ(waitpid(pid, NULL, 0), pid);
		for (int i = 0; i < 3; i++)
			CHECK_EQ(there(children[i]), i >= n - 1);
		CHECK_EQ(quarantine_move(&place, &ticket), 0);
		pid = stopped_at("renameat2", n, quarantine_restore, &place, &ticket);
		CHECK_EQ(kill(pid, SIGKILL), 0);
		CHECK_EQ(waitpid(pid, NULL, 0), pid);
		for (int i = 0; i < 3; i++)
			CHECK_EQ(there(children[i]), i > 3 - n);
		CHECK_EQ(umount2(path_of("root"), MNT_DETACH), 0);
	}
}

/* Somebody renames between the last look and the exchange. */
static void test_a_root_that_changes_in_that_moment_is_given_back(void)
{
	cleanup_data_root struct data_root place = { .parent_fd = -1, .root_fd = -1 };
	cleanup_ticket struct ticket ticket = { .fd = -1, .stages.fd = -1 };
	int status = 0;
	pid_t pid;

	new_world(false);
	make("other");
	put("other/precious", "x");
	begin(&place, &ticket);
	pid = stopped_at("renameat2", 1, quarantine_move, &place, &ticket);
	CHECK_EQ(renameat2(AT_FDCWD, path_of("root"), AT_FDCWD, path_of("other"), RENAME_EXCHANGE), 0);
	CHECK_EQ(kill(pid, SIGCONT), 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(WEXITSTATUS(status), 1); /* -ESTALE */
	CHECK(there("root/precious"));
	CHECK(there("other/io.containerd.metadata.v1.bolt/meta.db"));
	CHECK(!quarantine_has_root(&ticket));
}

/* What is neither here nor there, or both, or elsewhere by now, is nobody's to move. */
static void test_a_root_that_is_not_found_again_is_unknown(void)
{
	for (int mounted = 0; mounted < 2; mounted++) {
		cleanup_data_root struct data_root place = { .parent_fd = -1, .root_fd = -1 };
		cleanup_ticket struct ticket ticket = { .fd = -1, .stages.fd = -1 };
		struct data_root other;
		ino_t root;

		new_world(mounted);
		root = inode("root");
		begin(&place, &ticket);
		other = place;
		other.ino++;
		CHECK_EQ(quarantine_where(&other, &ticket), OLD_ROOT_UNKNOWN);
		CHECK_EQ(quarantine_move(&other, &ticket), -ESTALE);
		CHECK_EQ(quarantine_restore(&other, &ticket), -ESTALE);
		other = place;
		other.is_mount_point = !mounted;
		CHECK_EQ(quarantine_move(&other, &ticket), -ESTALE);
		CHECK_EQ(quarantine_restore(&other, &ticket), -ESTALE);
		CHECK_EQ(inode("root"), root);
		old_root_stands();
		CHECK(!ticket.stages.begun[STAGE_MOVE] && !ticket.stages.begun[STAGE_RESTORE]);
		CHECK_EQ(quarantine_move(&place, &ticket), 0);
		if (!mounted) { /* both at once: then it is told by neither */
			CHECK_EQ(quarantine_where(&place, &ticket), OLD_ROOT_UNKNOWN);
			continue;
		}
		make("away");
		CHECK_EQ(tap_shell("mv %s/.quarantine/*/root/* %s/away", path_of("root"), path_of("")), 0);
		CHECK_EQ(quarantine_where(&place, &ticket), OLD_ROOT_UNKNOWN);
		CHECK_EQ(quarantine_restore(&place, &ticket), -ESTALE);
		CHECK_EQ(umount2(path_of("root"), MNT_DETACH), 0);
	}
}

static void test_names_of_a_manifest_are_no_paths(void)
{
	cleanup_data_root struct data_root place = { .parent_fd = -1, .root_fd = -1 };
	cleanup_ticket struct ticket ticket = { .fd = -1, .stages.fd = -1 };

	new_world(true);
	begin(&place, &ticket);
	CHECK_EQ(json_array_append_new(json_object_get(ticket.manifest, "children"),
				       json_pack("{s:s, s:I}", "name", "../neighbour", "ino",
						 (json_int_t)inode("neighbour"))), 0);
	CHECK_EQ(quarantine_move(&place, &ticket), -ESTALE);
	old_root_stands();
	CHECK_EQ(umount2(path_of("root"), MNT_DETACH), 0);
}

/* Neither on the way there nor among what came meanwhile. */
static void test_nothing_is_moved_over(void)
{
	cleanup_data_root struct data_root place = { .parent_fd = -1, .root_fd = -1 };
	cleanup_ticket struct ticket ticket = { .fd = -1, .stages.fd = -1 };
	char in[256], name[300];

	new_world(true);
	begin(&place, &ticket);
	(void)snprintf(in, sizeof(in), "root/.quarantine/%s", ticket.id);
	(void)snprintf(name, sizeof(name), "%s/root/io.containerd.content.v1.content", in);
	make(name);
	CHECK_EQ(quarantine_move(&place, &ticket), -EEXIST);
	old_root_stands();
	CHECK_EQ(rmdir(path_of(name)), 0);
	CHECK_EQ(quarantine_move(&place, &ticket), 0);

	(void)snprintf(name, sizeof(name), "%s/interim", in);
	make(name);
	for (int i = 0; i < 2; i++) {
		(void)snprintf(name, sizeof(name), "%s/interim/file%s", in, i ? ".1" : "");
		put(name, "earlier");
	}
	put("root/file", "later, and longer");
	CHECK_EQ(quarantine_restore(&place, &ticket), 0);
	old_root_stands();
	for (int i = 0; i < 3; i++) {
		struct stat st;

		(void)snprintf(name, sizeof(name), "%s/interim/file%s", in, i == 2 ? ".2" : i ? ".1" : "");
		CHECK_EQ(stat(path_of(name), &st), 0);
		CHECK_EQ(st.st_size, i == 2 ? 17 : 7);
	}
	CHECK_EQ(umount2(path_of("root"), MNT_DETACH), 0);
}

/* A child that will not move, each in turn: those before it go back, and none is missed. */
static void test_a_child_that_stays_keeps_the_others(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(children); i++) {
		cleanup_data_root struct data_root place = { .parent_fd = -1, .root_fd = -1 };
		cleanup_ticket struct ticket ticket = { .fd = -1, .stages.fd = -1 };

		new_world(true);
		begin(&place, &ticket);
		CHECK_EQ(mount(path_of(children[i]), path_of(children[i]), NULL, MS_BIND, NULL), 0);
		CHECK_EQ(quarantine_move(&place, &ticket), -EBUSY);
		CHECK_EQ(quarantine_where(&place, &ticket), OLD_ROOT_STANDS);
		old_root_stands();
		CHECK_EQ(umount2(path_of(children[i]), MNT_DETACH), 0);
		CHECK_EQ(quarantine_move(&place, &ticket), 0);
		old_root_is_aside(&place, &ticket);
		CHECK_EQ(umount2(path_of("root"), MNT_DETACH), 0);
	}
}

/* The same on the way back: containerd is started on what stood, not on a part of each. */
static void test_a_child_that_does_not_come_back_keeps_the_others(void)
{
	cleanup_data_root struct data_root place = { .parent_fd = -1, .root_fd = -1 };
	cleanup_ticket struct ticket ticket = { .fd = -1, .stages.fd = -1 };
	char cri[256];

	new_world(true);
	begin(&place, &ticket);
	CHECK_EQ(quarantine_move(&place, &ticket), 0);
	(void)snprintf(cri, sizeof(cri), "root/.quarantine/%s/root/io.containerd.grpc.v1.cri", ticket.id);
	CHECK_EQ(mount(path_of(cri), path_of(cri), NULL, MS_BIND, NULL), 0);
	CHECK_EQ(quarantine_restore(&place, &ticket), -EBUSY);
	CHECK_EQ(quarantine_where(&place, &ticket), OLD_ROOT_ASIDE);
	CHECK(quarantine_root_is_unused(&place));
	fault_arm("any", 1, EIO);
	CHECK(!quarantine_root_is_unused(&place) && fault_fired()); /* not known to be */
	old_root_is_aside(&place, &ticket);
	CHECK_EQ(umount2(path_of(cri), MNT_DETACH), 0);
	CHECK_EQ(quarantine_restore(&place, &ticket), 0);
	old_root_stands();
	CHECK_EQ(umount2(path_of("root"), MNT_DETACH), 0);
}

/* No exchange on this file system: renames, each of which may fail as well. */
static void test_fallback_without_exchange(void)
{
	cleanup_data_root struct data_root place = { .parent_fd = -1, .root_fd = -1 };
	cleanup_ticket struct ticket ticket = { .fd = -1, .stages.fd = -1 };

	(void)faults(false, "renameat2", EINVAL, false);
	new_world(false);
	begin(&place, &ticket);
	CHECK_EQ(tap_refuse(SYS_renameat2), 0); /* to the end of the program */
	CHECK_EQ(quarantine_move(&place, &ticket), 0);
	old_root_is_aside(&place, &ticket);
	CHECK_EQ(ticket_retire(&place, &ticket, -1), -ENOTEMPTY);
	CHECK_EQ(faults(false, "renameat", EIO, true), 3);
}

/* As a kill between the renames leaves it. */
static void test_a_missing_root_is_put_in_place(void)
{
	cleanup_data_root struct data_root place = { .parent_fd = -1, .root_fd = -1 };
	struct ticket ticket = { .fd = -1, .stages.fd = -1 };
	cleanup_data_root struct data_root missing = { .parent_fd = -1, .root_fd = -1 };
	char fresh[256], root[256], id[TICKET_ID];

	new_world(false);
	begin(&place, &ticket);
	(void)snprintf(root, sizeof(root), "root.quarantine/%s/root", ticket.id);
	(void)snprintf(fresh, sizeof(fresh), "root.quarantine/%s/fresh", ticket.id);
	(void)strcpy(id, ticket.id);
	CHECK_EQ(quarantine_finish_rename(path_of("root")), -EEXIST);
	CHECK_EQ(rename(path_of(root), path_of(fresh)), 0);
	make("root.quarantine/0-unfinished"); /* is passed over */
	ticket_done(&ticket);

	/* Behind the first rename: the old root stands, and a new try works. */
	CHECK_EQ(ticket_open(&place, id, &ticket), 0);
	CHECK_EQ(quarantine_where(&place, &ticket), OLD_ROOT_STANDS);
	CHECK_EQ(rename(path_of("root"), path_of(root)), 0);
	ticket_done(&ticket);

	/* Behind the second: nothing at the path. */
	CHECK_EQ(data_root_open(path_of("root"), &missing), -ENOENT);
	CHECK_EQ(rename(path_of(fresh), path_of("away")), 0);
	make(fresh); /* somebody else's */
	CHECK_EQ(quarantine_finish_rename(path_of("root")), 0);
	CHECK(!there("root"));
	CHECK_EQ(renameat2(AT_FDCWD, path_of("away"), AT_FDCWD, path_of(fresh), RENAME_EXCHANGE), 0);
	CHECK_EQ(quarantine_finish_rename(path_of("root")), 1);
	CHECK_EQ(data_root_open(path_of("root"), &missing), 0);
	CHECK_EQ(ticket_open(&missing, id, &ticket), 0);
	CHECK_EQ(quarantine_where(&missing, &ticket), OLD_ROOT_ASIDE);
	CHECK_EQ(quarantine_move(&missing, &ticket), 0);
	old_root_is_aside(&missing, &ticket);
	ticket_done(&ticket);
}

static void test_tickets_exclude_each_other_and_refuse_strangers(void)
{
	cleanup_free char *jail = NULL;
	cleanup_data_root struct data_root place = { .parent_fd = -1, .root_fd = -1 };
	struct ticket ticket = { .fd = -1, .stages.fd = -1 }, second;
	cleanup_tickets char **ids = NULL;
	char name[256], id[TICKET_ID];

	new_world(false);
	begin(&place, &ticket);
	CHECK_EQ(ticket_open(&place, ticket.id, &second), -EBUSY);
	CHECK_EQ(ticket_peek(&place, ticket.id, &second), 0);
	ticket_done(&second);
	CHECK_EQ(tickets_list(&place, &ids), 1);
	(void)strcpy(id, ticket.id);
	ticket_done(&ticket);

	/* A directory that somebody put there is neither opened nor discarded. */
	make("root.quarantine/mine");
	put("root.quarantine/mine/file", "x");
	CHECK_EQ(ticket_open(&place, "mine", &ticket), -EBADMSG);
	CHECK(ticket_discard(&place, "mine") < 0);
	CHECK(there("root.quarantine/mine/file"));
	/* Nor is a ticket that was renamed or copied. */
	(void)snprintf(name, sizeof(name), "root.quarantine/%s", id);
	CHECK_EQ(rename(path_of(name), path_of("root.quarantine/copy")), 0);
	CHECK_EQ(ticket_open(&place, "copy", &ticket), -EBADMSG);
	CHECK_EQ(ticket_open(&place, "../root", &ticket), -ENOENT);
	/* A jail that others may write to is none of ours. */
	CHECK_EQ(chmod(path_of("root.quarantine"), 0777), 0);
	CHECK_EQ(ticket_open(&place, "copy", &ticket), -EPERM);
	CHECK_EQ(data_root_check_jails(&place, &jail), -EPERM);
	CHECK_STR(jail, path_of("root.quarantine"));
}

static void test_a_ticket_that_cannot_be_made_leaves_nothing(void)
{
	for (int n = 1;; n++) {
		cleanup_data_root struct data_root place = { .parent_fd = -1, .root_fd = -1 };
		struct ticket ticket = { .fd = -1, .stages.fd = -1 };
		cleanup_tickets char **ids = NULL;
		json_t *manifest = json_object();
		int r;

		new_world(false);
		CHECK_EQ(data_root_open(path_of("root"), &place), 0);
		fault_arm("any", n, EIO);
		r = ticket_create(&place, manifest, &ticket);
		json_decref(manifest);
		if (!fault_fired()) {
			CHECK_EQ(r, 0);
			ticket_done(&ticket);
			break;
		}
		ticket_done(&ticket);
		CHECK(r < 0);
		CHECK_EQ(tickets_list(&place, &ids), 0);
		old_root_stands();
	}
}

static void test_retire_keeps_the_records(void)
{
	cleanup_data_root struct data_root place = { .parent_fd = -1, .root_fd = -1 };
	struct ticket ticket = { .fd = -1, .stages.fd = -1 };
	cleanup_fd int records = -1;
	char kept[256];

	new_world(false);
	make("records");
	records = open(path_of("records"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	begin(&place, &ticket);
	(void)snprintf(kept, sizeof(kept), "root.quarantine/%s/.manifest.json.new", ticket.id);
	put(kept, "{"); /* killed in the middle of adding to it */
	CHECK_EQ(ticket_retire(&place, &ticket, records), 0);
	(void)snprintf(kept, sizeof(kept), "records/%s.json", ticket.id);
	CHECK(there(kept));
	CHECK(!there("root.quarantine"));
	ticket_done(&ticket);
	old_root_stands();
}

/* A clock that is set counts in another boot only; one set back never counts against us. */
static void test_how_long_a_ticket_is_kept(void)
{
	struct ledger_clock now;
	struct ticket ticket = { .manifest = json_object() };
	struct stages *s = &ticket.stages;

	CHECK_EQ(ledger_clock_now(&now), 0);
	s->begun_msec[STAGE_MOVE] = now.boottime_msec - 100500;
	s->msec[STAGE_MOVE] = 500;
	s->done_sec[STAGE_MOVE] = now.realtime_sec - 5000;
	CHECK(llabs(ticket_kept_sec(&ticket, STAGE_MOVE) - 5000) <= 2);
	CHECK_EQ(json_object_set_new(ticket.manifest, "boot_id", json_string("another")), 0);
	CHECK(llabs(ticket_kept_sec(&ticket, STAGE_MOVE) - 5000) <= 2);
	s->done_sec[STAGE_MOVE] = now.realtime_sec + 5000;
	CHECK_EQ(ticket_kept_sec(&ticket, STAGE_MOVE), 0);
	CHECK_EQ(json_object_set_new(ticket.manifest, "boot_id", json_string(now.boot_id)), 0);
	CHECK(llabs(ticket_kept_sec(&ticket, STAGE_MOVE) - 100) <= 2);
	json_decref(ticket.manifest);
}

static void test_links_are_resolved_before_anything_moves(void)
{
	cleanup_data_root struct data_root place = { .parent_fd = -1, .root_fd = -1 };
	cleanup_ticket struct ticket ticket = { .fd = -1, .stages.fd = -1 };
	json_t *manifest = json_object();

	new_world(false);
	make("disk");
	CHECK_EQ(rename(path_of("root"), path_of("disk/root")), 0);
	CHECK_EQ(symlink(path_of("disk/root"), path_of("root")), 0);
	CHECK_EQ(data_root_open(path_of("root"), &place), 0);
	CHECK(place.is_link);
	CHECK_EQ(ticket_create(&place, manifest, &ticket), 0);
	CHECK_EQ(quarantine_move(&place, &ticket), 0);
	CHECK(there("disk/root.quarantine"));
	CHECK(there("root"));
	CHECK(!there("disk/root/io.containerd.metadata.v1.bolt"));
	json_decref(manifest);
}

int main(void)
{
	tap_private_mounts();
	base = tap_tmpdir(NULL);
	RUN(test_exchange_and_restore);
	RUN(test_mount_point_and_restore);
	RUN(test_a_root_that_is_another_one_by_now_is_not_moved);
	RUN(test_names_that_are_others_by_now_are_not_moved);
	RUN(test_every_fault_can_be_tried_again);
	RUN(test_the_move_is_on_the_disk);
	RUN(test_every_fault_of_a_restore_can_be_tried_again);
	RUN(test_the_order_of_children);
	RUN(test_a_root_that_changes_in_that_moment_is_given_back);
	RUN(test_a_root_that_is_not_found_again_is_unknown);
	RUN(test_names_of_a_manifest_are_no_paths);
	RUN(test_nothing_is_moved_over);
	RUN(test_a_child_that_stays_keeps_the_others);
	RUN(test_a_child_that_does_not_come_back_keeps_the_others);
	RUN(test_a_missing_root_is_put_in_place);
	RUN(test_tickets_exclude_each_other_and_refuse_strangers);
	RUN(test_a_ticket_that_cannot_be_made_leaves_nothing);
	RUN(test_retire_keeps_the_records);
	RUN(test_how_long_a_ticket_is_kept);
	RUN(test_links_are_resolved_before_anything_moves);
	RUN(test_fallback_without_exchange);
	return tap_done();
}
