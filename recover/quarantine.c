#include "recover/quarantine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scanners/cleanup.h"
#include "scanners/dir.h"

enum { FREE_NAME_TRIES = 64 };

/* The inode of the directory @name, 0 if there is none. */
static uint64_t inode_at(int dirfd, const char *name)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
		return 0;
	return st.st_ino;
}

/* One of the children that the manifest lists: what was judged are these inodes. */
struct child {
	const char *name;
	uint64_t ino;
};

/* CRI's records first and the metadata last: see quarantine.h. */
static int rank(const char *name)
{
	if (strncmp(name, "io.containerd.grpc.v1.cri", 25) == 0)
		return 0;
	return strncmp(name, "io.containerd.metadata", 22) == 0 ? 2 : 1;
}

static int by_rank(const void *a, const void *b)
{
	return rank(((const struct child *)a)->name) - rank(((const struct child *)b)->name);
}

static int by_rank_reversed(const void *a, const void *b)
{
	return by_rank(b, a);
}

/* The listed children, to free(); the names are the manifest's. */
static int listed_children(const struct ticket *ticket, struct child **ret, size_t *ret_count)
{
	const json_t *list = json_object_get(ticket->manifest, "children");
	size_t count = json_array_size(list);
	struct child *children = calloc(count + 1, sizeof(*children));

	if (!children)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		json_int_t ino;

		if (json_unpack(json_array_get(list, i), "{s:s, s:I}", "name", &children[i].name, "ino",
				&ino) < 0 || strchr(children[i].name, '/')) {
			free(children);
			return -EBADMSG;
		}
		children[i].ino = (uint64_t)ino;
	}
	*ret = children;
	*ret_count = count;
	return 0;
}

/* Returns 1 if @child is in @dirfd, 0 if not, or a negative errno: what cannot be
 * looked at is not passed over, or a part of the root would stay behind. */
static int child_is_in(int dirfd, const struct child *child)
{
	struct stat st;

	if (fstatat(dirfd, child->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	return st.st_ino == child->ino;
}

static enum quarantine_where where_children(const struct data_root *place, const struct ticket *ticket)
{
	cleanup_fd int aside_fd = dir_open_beneath(ticket->fd, "root");
	cleanup_free struct child *children = NULL;
	size_t count, here = 0, aside = 0;

	if (aside_fd < 0 || place->ino != ticket->old_ino ||
	    listed_children(ticket, &children, &count) < 0)
		return OLD_ROOT_UNKNOWN;
	for (size_t i = 0; i < count; i++) {
		int is_here = child_is_in(place->root_fd, &children[i]);
		int is_aside = child_is_in(aside_fd, &children[i]);

		if (is_here < 0 || is_aside < 0)
			return OLD_ROOT_UNKNOWN;
		here += (size_t)is_here;
		aside += (size_t)is_aside;
	}
	if (here == 0 && aside == 0)
		return count == 0 ? OLD_ROOT_STANDS : OLD_ROOT_UNKNOWN;
	if (here > 0 && aside > 0)
		return OLD_ROOT_PARTLY;
	return aside > 0 ? OLD_ROOT_ASIDE : OLD_ROOT_STANDS;
}

enum quarantine_where quarantine_where(const struct data_root *place, const struct ticket *ticket)
{
	uint64_t in_ticket = inode_at(ticket->fd, "root");

	if (ticket->inside)
		return where_children(place, ticket);
	if (place->ino == ticket->old_ino && in_ticket != ticket->old_ino)
		return OLD_ROOT_STANDS;
	if (in_ticket == ticket->old_ino && place->ino != ticket->old_ino)
		return OLD_ROOT_ASIDE;
	return OLD_ROOT_UNKNOWN;
}

bool quarantine_has_root(const struct ticket *ticket)
{
	return !ticket->inside && inode_at(ticket->fd, "root") == ticket->old_ino;
}

static int sync_both(int a, int b)
{
	/* The new names are durable before anybody relies on the old ones' absence. */
	return fsync(a) < 0 || fsync(b) < 0 ? -errno : 0;
}

static bool no_exchange(int error)
{
	return error == EINVAL || error == ENOSYS || error == EOPNOTSUPP;
}

/* For file systems without an exchange: the path is missing between two renames. */
static int swap_by_renames(const struct data_root *place, int ticket_fd)
{
	if (renameat(ticket_fd, "root", ticket_fd, "fresh") < 0)
		return -errno;
	if (renameat(place->parent_fd, place->name, ticket_fd, "root") < 0) {
		int r = -errno;

		(void)renameat(ticket_fd, "fresh", ticket_fd, "root"); /* as it was */
		return r;
	}
	if (renameat(ticket_fd, "fresh", place->parent_fd, place->name) < 0) {
		int r = -errno;

		(void)renameat(ticket_fd, "root", place->parent_fd, place->name);
		(void)renameat(ticket_fd, "fresh", ticket_fd, "root");
		return r;
	}
	return 0;
}

/* A run that was killed behind the first rename left the ticket's root as "fresh". */
static int mend_first_rename(const struct ticket *ticket)
{
	if (inode_at(ticket->fd, "root") != 0 || inode_at(ticket->fd, "fresh") == 0)
		return 0;
	return renameat2(ticket->fd, "fresh", ticket->fd, "root", RENAME_NOREPLACE) < 0 ? -errno : 0;
}

/* Exchange the root that was opened as @place, if it still has that name, with <ticket>/root. */
static int swap(const struct data_root *place, const struct ticket *ticket)
{
	int r = mend_first_rename(ticket);

	if (r < 0)
		return r;
	if (inode_at(place->parent_fd, place->name) != place->ino)
		return -ESTALE;
	if (renameat2(place->parent_fd, place->name, ticket->fd, "root", RENAME_EXCHANGE) < 0) {
		if (!no_exchange(errno))
			return -errno;
		r = swap_by_renames(place, ticket->fd);
		if (r < 0)
			return r;
	}
	if (inode_at(ticket->fd, "root") != place->ino) {
		/* Somebody else renamed in that very moment: give it back. */
		(void)renameat2(place->parent_fd, place->name, ticket->fd, "root", RENAME_EXCHANGE);
		return -ESTALE;
	}
	return sync_both(ticket->fd, place->parent_fd);
}

/* Move the listed children that are at @from_fd; others of the same name stay. */
static int move_listed(const struct ticket *ticket, int from_fd, int to_fd,
		       int (*order)(const void *, const void *))
{
	cleanup_free struct child *children = NULL;
	size_t count;
	int r = listed_children(ticket, &children, &count);

	if (r < 0)
		return r;
	qsort(children, count, sizeof(*children), order);
	for (size_t i = 0; i < count; i++) {
		const char *name = children[i].name;

		r = child_is_in(from_fd, &children[i]);
		if (r < 0)
			return r;
		if (r > 0 && renameat2(from_fd, name, to_fd, name, RENAME_NOREPLACE) < 0)
			return -errno;
	}
	return sync_both(to_fd, from_fd);
}

/* containerd starts next: not on a part of the old root. */
static int move_all_or_none(const struct ticket *ticket, int from_fd, int to_fd, bool aside)
{
	int r = move_listed(ticket, from_fd, to_fd, aside ? by_rank : by_rank_reversed);

	if (r < 0) /* what does not go back either is mended by a later run */
		(void)move_listed(ticket, to_fd, from_fd, aside ? by_rank_reversed : by_rank);
	return r;
}

static int move_in(const struct data_root *place, const struct ticket *ticket)
{
	cleanup_fd int to_fd = dir_open_beneath(ticket->fd, "root");

	return to_fd < 0 ? to_fd : move_all_or_none(ticket, place->root_fd, to_fd, true);
}

int quarantine_move(const struct data_root *place, struct ticket *ticket)
{
	enum quarantine_where where = quarantine_where(place, ticket);
	int r;

	if (where == OLD_ROOT_UNKNOWN || place->is_mount_point != ticket->inside)
		return -ESTALE;
	if (!ticket->stages.begun[STAGE_MOVE]) {
		r = stage_begin(&ticket->stages, STAGE_MOVE);
		if (r < 0)
			return r;
	}
	if (ticket->inside)
		r = move_in(place, ticket);
	else
		r = where == OLD_ROOT_ASIDE ? 0 : swap(place, ticket);
	if (r < 0)
		return r;
	return stage_done(&ticket->stages, STAGE_MOVE);
}

static int open_or_make(int dirfd, const char *name)
{
	if (mkdirat(dirfd, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	return dir_open_beneath(dirfd, name);
}

/* Returns 1 if the entry @name of @dirfd is one of @children, 0 if not, or a negative errno. */
static int is_listed(const struct child *children, size_t count, int dirfd, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(children[i].name, name) == 0)
			return child_is_in(dirfd, &children[i]);
	return 0;
}

/* A name may be taken: a containerd that ran between two tries made it again. */
static int move_to_free_name(int from_fd, const char *name, int to_fd)
{
	cleanup_free char *numbered = NULL;

	if (renameat2(from_fd, name, to_fd, name, RENAME_NOREPLACE) == 0)
		return 0;
	for (int i = 1; errno == EEXIST && i <= FREE_NAME_TRIES; i++) {
		free(take_ptr(numbered));
		if (asprintf(&numbered, "%s.%d", name, i) < 0) {
			numbered = NULL;
			return -ENOMEM;
		}
		if (renameat2(from_fd, name, to_fd, numbered, RENAME_NOREPLACE) == 0)
			return 0;
	}
	return -errno;
}

/* All that came into the root since the move goes into the ticket. */
static int move_interim(const struct data_root *place, const struct ticket *ticket)
{
	cleanup_fd int to_fd = open_or_make(ticket->fd, "interim");
	cleanup_free struct child *children = NULL;
	cleanup_dir DIR *stream = NULL;
	const char *name;
	size_t count;
	int r;

	if (to_fd < 0)
		return to_fd;
	r = listed_children(ticket, &children, &count);
	if (r == 0)
		r = dir_stream(place->root_fd, &stream);
	while (r == 0 && (r = dir_next(stream, &name, NULL)) > 0) {
		r = ticket_is_not_child(name) ? 1 : is_listed(children, count, place->root_fd, name);
		if (r == 0)
			r = move_to_free_name(place->root_fd, name, to_fd);
		else if (r > 0)
			r = 0;
	}
	return r < 0 ? r : sync_both(to_fd, place->root_fd);
}

static int restore_children(const struct data_root *place, const struct ticket *ticket)
{
	cleanup_fd int old_fd = dir_open_beneath(ticket->fd, "root");
	int r;

	if (old_fd < 0)
		return old_fd;
	r = move_interim(place, ticket);
	return r < 0 ? r : move_all_or_none(ticket, old_fd, place->root_fd, false);
}

bool quarantine_root_is_unused(const struct data_root *place)
{
	cleanup_dir DIR *stream = NULL;
	const char *name;
	int r = dir_stream(place->root_fd, &stream);

	while (r == 0 && (r = dir_next(stream, &name, NULL)) > 0)
		r = ticket_is_not_child(name) ? 0 : -ENOTEMPTY;
	return r == 0;
}

int quarantine_restore(const struct data_root *place, struct ticket *ticket)
{
	enum quarantine_where where;
	int r = ticket->inside ? 0 : mend_first_rename(ticket);

	if (r < 0)
		return r;
	where = quarantine_where(place, ticket);

	if (where == OLD_ROOT_UNKNOWN || place->is_mount_point != ticket->inside)
		return -ESTALE;
	if (!ticket->stages.begun[STAGE_RESTORE]) {
		r = stage_begin(&ticket->stages, STAGE_RESTORE);
		if (r < 0)
			return r;
	}
	if (ticket->inside)
		r = restore_children(place, ticket);
	else
		r = where == OLD_ROOT_STANDS ? 0 : swap(place, ticket);
	if (r < 0)
		return r;
	return stage_done(&ticket->stages, STAGE_RESTORE);
}

int quarantine_mend_restore(const struct data_root *place, struct ticket *ticket)
{
	int r = ticket->inside ? 0 : mend_first_rename(ticket);

	if (r < 0)
		return r;
	if (quarantine_where(place, ticket) == OLD_ROOT_ASIDE && !quarantine_root_is_unused(place))
		return stage_done(&ticket->stages, STAGE_MOVE);
	return quarantine_restore(place, ticket);
}

static int put_in_place(const struct data_root *place, const char *id)
{
	cleanup_ticket struct ticket ticket = TICKET_NONE;
	uint64_t waiting;
	int r = ticket_open(place, id, &ticket);

	if (r < 0)
		return r == -EBADMSG ? 0 : r;
	waiting = inode_at(ticket.fd, "fresh");
	if (waiting == 0 || (waiting != ticket.fresh_ino && waiting != ticket.old_ino))
		return 0;
	if (renameat2(ticket.fd, "fresh", place->parent_fd, place->name, RENAME_NOREPLACE) < 0)
		return -errno;
	r = sync_both(place->parent_fd, ticket.fd);
	return r < 0 ? r : 1;
}

int quarantine_finish_rename(const char *root_path)
{
	cleanup_data_root struct data_root place = { .parent_fd = -EBADF, .root_fd = -EBADF };
	cleanup_tickets char **ids = NULL;
	int r = data_root_open_missing(root_path, &place);

	if (r < 0)
		return r;
	r = tickets_list(&place, &ids);
	if (r < 0)
		return r;
	for (char **id = ids; *id; id++) {
		r = put_in_place(&place, *id);
		if (r != 0)
			return r;
	}
	return 0;
}
