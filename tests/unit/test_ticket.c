/* What a quarantine's record says, who may have it, and what goes with it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "recover/ticket.h"
#include "scanners/cleanup.h"
#include "tests/unit/tap.h"

static struct data_root place = { .parent_fd = -EBADF, .root_fd = -EBADF };
static int records;

static void create(struct ticket *ticket)
{
	json_t *manifest = json_object();

	CHECK_EQ(ticket_create(&place, manifest, ticket), 0);
	json_decref(manifest);
}

static bool there(int fd, const char *name)
{
	return faccessat(fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A restore that was purged is purged, and a root that moved is not undone. */
static void test_the_last_word_counts(void)
{
	struct ticket ticket = TICKET_NONE;

	CHECK_EQ(ticket_state(&ticket), TICKET_BEGUN);
	ticket.stages.done[STAGE_UNDO] = true;
	CHECK_EQ(ticket_state(&ticket), TICKET_UNDONE);
	ticket.stages.done[STAGE_MOVE] = true;
	CHECK_EQ(ticket_state(&ticket), TICKET_MOVED);
	ticket.stages.done[STAGE_RESTORE] = true;
	CHECK_EQ(ticket_state(&ticket), TICKET_RESTORED);
	ticket.stages.begun[STAGE_PURGE] = true;
	CHECK_EQ(ticket_state(&ticket), TICKET_PURGING);
}

/* Copies beside each other, a purge beside none; and who waited knows what was done meanwhile. */
static void test_the_data_is_one_purges_or_many_copies(void)
{
	cleanup_ticket struct ticket ticket = TICKET_NONE, copy = TICKET_NONE, second = TICKET_NONE;

	create(&ticket);
	CHECK_EQ(ticket_peek(&place, ticket.id, &copy), 0);
	CHECK_EQ(ticket_peek(&place, ticket.id, &second), 0);
	CHECK_EQ(ticket_lock_data(&copy, true), 0);
	CHECK_EQ(ticket_lock_data(&second, true), 0);
	CHECK_EQ(ticket_lock_data(&ticket, false), -EBUSY);
	ticket_done(&copy);
	ticket_done(&second);
	CHECK_EQ(ticket_peek(&place, ticket.id, &copy), 0);
	CHECK_EQ(ticket_lock_data(&ticket, false), 0);
	CHECK_EQ(ticket_lock_data(&copy, true), -EBUSY);
	CHECK_EQ(stage_begin(&ticket.stages, STAGE_PURGE), 0);
	CHECK(!copy.stages.begun[STAGE_PURGE]);
	cleanup_close(&ticket.stages.fd);
	ticket.stages.fd = -EBADF;
	CHECK_EQ(ticket_lock_data(&copy, true), 0);
	CHECK(copy.stages.begun[STAGE_PURGE]);
	CHECK_EQ(ticket_retire(&place, &copy, records), 0);
}

static void test_a_ticket_with_a_manifest_is_not_discarded(void)
{
	cleanup_ticket struct ticket ticket = TICKET_NONE;

	create(&ticket);
	CHECK_EQ(ticket_discard(&place, ticket.id), -EEXIST);
	CHECK(there(ticket.fd, "root") && there(ticket.fd, "stages"));
	/* Without, it is what a run that was killed left. */
	CHECK_EQ(renameat(ticket.fd, "manifest.json", ticket.fd, ".manifest.json.new"), 0);
	CHECK_EQ(ticket_discard(&place, ticket.id), 0);
	CHECK(!there(place.parent_fd, "root.quarantine"));
}

/* Nothing that is in it goes by the way, and it stays known until it is empty. */
static void test_what_is_not_empty_is_not_retired(void)
{
	static const char *const parts[] = { "root", "interim", "fresh" };

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		cleanup_ticket struct ticket ticket = TICKET_NONE;
		char name[64], inside[32];

		create(&ticket);
		(void)snprintf(inside, sizeof(inside), "%s/x", parts[i]);
		CHECK_EQ(mkdirat(ticket.fd, parts[i], 0700) == 0, i > 0);
		CHECK_EQ(mkdirat(ticket.fd, inside, 0700), 0);
		CHECK_EQ(ticket_retire(&place, &ticket, records), -ENOTEMPTY);
		CHECK(there(ticket.fd, inside) && there(ticket.fd, "manifest.json"));
		CHECK_EQ(unlinkat(ticket.fd, inside, AT_REMOVEDIR), 0);
		CHECK_EQ(ticket_retire(&place, &ticket, records), 0);
		(void)snprintf(name, sizeof(name), "%s.stages", ticket.id);
		CHECK(there(records, name));
		CHECK(!there(place.parent_fd, "root.quarantine"));
	}
}

/* What else lies in the jail, and names that lead out of it. */
static void test_what_is_no_ticket(void)
{
	static const char *const names[] = { ".", "..", ".hidden", "a/b", "../root", "",
					     "20260102T030405Z-abcdefghijklmnopqrstuvwxyz" };
	cleanup_ticket struct ticket ticket = TICKET_NONE, other = TICKET_NONE;
	cleanup_tickets char **ids = NULL;
	cleanup_fd int jail = -EBADF;

	create(&ticket);
	jail = data_root_open_jail(&place, false, false);
	CHECK_EQ(mkdirat(jail, ".hidden", 0700), 0);
	CHECK_EQ(mkdirat(jail, names[6], 0700), 0);
	CHECK_EQ(mknodat(jail, "file", S_IFREG | 0600, 0), 0);
	CHECK_EQ(symlinkat(ticket.id, jail, "link"), 0);
	CHECK_EQ(tickets_list(&place, &ids), 1);
	CHECK_STR(ids[0], ticket.id);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		CHECK(ticket_peek(&place, names[i], &other) < 0);
	CHECK(ticket_peek(&place, "link", &other) < 0);
	CHECK_EQ(ticket_peek(&place, ticket.id, &other), 0);
	CHECK(unlinkat(jail, "link", 0) == 0 && unlinkat(jail, "file", 0) == 0);
	CHECK(unlinkat(jail, ".hidden", AT_REMOVEDIR) == 0 && unlinkat(jail, names[6], AT_REMOVEDIR) == 0);
	CHECK_EQ(ticket_retire(&place, &ticket, records), 0);
}

int main(void)
{
	const char *base = tap_tmpdir(NULL);
	char root[4096];

	(void)snprintf(root, sizeof(root), "%s/root", base);
	if (mkdir(root, 0711) < 0 || data_root_open(root, &place) < 0)
		return 1;
	records = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	RUN(test_the_last_word_counts);
	RUN(test_the_data_is_one_purges_or_many_copies);
	RUN(test_a_ticket_with_a_manifest_is_not_discarded);
	RUN(test_what_is_not_empty_is_not_retired);
	RUN(test_what_is_no_ticket);
	data_root_done(&place);
	return tap_done();
}
