#include "recover/ticket.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "recover/attributes.h"
#include "recover/file.h"
#include "recover/ledger.h"
#include "recover/log.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/text.h"

enum { MANIFEST_MAX = 64 << 20, ID_TRIES = 16 };

int ticket_make_id(char id[TICKET_ID])
{
	time_t now = time(NULL);
	uint16_t salt;
	struct tm tm;
	size_t n;

	if (getrandom(&salt, sizeof(salt), 0) != sizeof(salt))
		return -EIO;
	if (!gmtime_r(&now, &tm))
		return -EOVERFLOW;
	n = strftime(id, TICKET_ID, "%Y%m%dT%H%M%SZ", &tm);
	(void)snprintf(id + n, TICKET_ID - n, "-%04x", salt);
	return 0;
}

static int make_dir(int jail_fd, char id[TICKET_ID])
{
	for (int i = 0; i < ID_TRIES; i++) {
		int fd, r = ticket_make_id(id);

		if (r < 0)
			return r;
		if (mkdirat(jail_fd, id, 0700) < 0) {
			if (errno == EEXIST)
				continue;
			return -errno;
		}
		fd = dir_open_beneath(jail_fd, id);
		if (fd < 0)
			(void)unlinkat(jail_fd, id, AT_REMOVEDIR);
		return fd;
	}
	return -EEXIST;
}

/* Makes <ticket>/root like the root it will stand for. */
static int make_fresh_root(const struct data_root *place, int ticket_fd, uint64_t *ret_ino)
{
	cleanup_fd int fd = -EBADF;
	struct stat st;
	int r;

	if (mkdirat(ticket_fd, "root", 0700) < 0)
		return -errno;
	fd = dir_open_beneath(ticket_fd, "root");
	if (fd < 0)
		return fd;
	/* Inside a mount point it only holds the children: nobody else's business. */
	if (!place->is_mount_point) {
		r = attributes_copy(place->root_fd, fd);
		if (r < 0)
			return r;
	}
	if (fstat(fd, &st) < 0)
		return -errno;
	if (fsync(fd) < 0)
		return -errno;
	*ret_ino = st.st_ino;
	return 0;
}

bool ticket_is_not_child(const char *name)
{
	return strcmp(name, JAIL_SUFFIX) == 0 || strcmp(name, "lost+found") == 0;
}

/* The children by inode: what is moved later is what was judged now. */
static int list_children(int root_fd, json_t *manifest)
{
	json_t *list = json_array();
	cleanup_dir DIR *stream = NULL;
	const char *name;
	struct stat st;
	int r;

	if (json_object_set_new(manifest, "children", list) < 0)
		return -ENOMEM;
	r = dir_stream(root_fd, &stream);
	while (r == 0 && (r = dir_next(stream, &name, NULL)) > 0) {
		r = 0;
		if (ticket_is_not_child(name))
			continue;
		if (fstatat(root_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
		if (json_array_append_new(list, json_pack("{s:s, s:I}", "name", name, "ino",
							  (json_int_t)st.st_ino)) < 0)
			return -EILSEQ; /* not UTF-8: no child of containerd's */
	}
	return r;
}

static int write_manifest(const struct data_root *place, const struct ticket *ticket, json_t *manifest)
{
	cleanup_free char *text = NULL;
	json_t *own = json_pack("{s:i, s:s, s:I, s:{s:s, s:I, s:I, s:b}, s:I, s:b}", "version", 1, "id",
				ticket->id, "created", (json_int_t)ticket->created_sec, "root", "path",
				place->root, "dev", (json_int_t)place->dev, "ino", (json_int_t)place->ino,
				"is_link", place->is_link, "fresh_ino", (json_int_t)ticket->fresh_ino,
				"inside", ticket->inside);
	int r = own ? json_object_update(manifest, own) : -1;

	json_decref(own);
	if (r < 0)
		return -ENOMEM;
	text = json_dumps(manifest, JSON_INDENT(1));
	if (!text)
		return -ENOMEM;
	return file_replace(ticket->fd, "manifest.json", text, strlen(text), 0600);
}

static int fill(const struct data_root *place, json_t *manifest, struct ticket *ticket)
{
	int r;

	if (flock(ticket->fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	r = make_fresh_root(place, ticket->fd, &ticket->fresh_ino);
	if (r < 0)
		return r;
	r = stages_open(ticket->fd, true, &ticket->stages);
	if (r == 0 && ticket->inside)
		r = list_children(place->root_fd, manifest);
	if (r < 0)
		return r;
	/* The manifest comes last: without it the ticket is nobody's and harmless. */
	return write_manifest(place, ticket, manifest);
}

int ticket_create(const struct data_root *place, json_t *manifest, struct ticket *ret)
{
	cleanup_ticket struct ticket ticket = TICKET_NONE;
	cleanup_fd int jail_fd = data_root_open_jail(place, place->is_mount_point, true);
	int r;

	if (jail_fd < 0)
		return jail_fd;
	ticket.inside = place->is_mount_point;
	ticket.created_sec = time(NULL);
	ticket.old_ino = place->ino;
	ticket.fd = make_dir(jail_fd, ticket.id);
	if (ticket.fd < 0)
		return ticket.fd;
	r = fill(place, manifest, &ticket);
	if (r == 0 && fsync(jail_fd) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlinkat(ticket.fd, "manifest.json", 0);
		(void)unlinkat(ticket.fd, "stages", 0);
		(void)ticket_discard(place, ticket.id);
		return r;
	}
	ticket.manifest = json_incref(manifest);
	*ret = ticket;
	ticket = (struct ticket)TICKET_NONE;
	return 0;
}

static int read_manifest(struct ticket *ticket)
{
	cleanup_free char *text = NULL;
	json_int_t old_ino, fresh_ino, created;
	const char *id;
	int r, inside;
	size_t size;

	r = dir_read_file(ticket->fd, "manifest.json", MANIFEST_MAX, &text, &size);
	if (r < 0)
		return r == -ENOENT ? -EBADMSG : r;
	ticket->manifest = json_loadb(text, size, 0, NULL);
	if (!ticket->manifest)
		return -EBADMSG;
	if (json_unpack(ticket->manifest, "{s:s, s:I, s:{s:I}, s:I, s:b}", "id", &id, "created",
			&created, "root", "ino", &old_ino, "fresh_ino", &fresh_ino, "inside",
			&inside) < 0)
		return -EBADMSG;
	if (strcmp(id, ticket->id) != 0 || !inside != !ticket->inside)
		return -EBADMSG; /* copied or moved here by somebody */
	ticket->old_ino = (uint64_t)old_ino;
	ticket->fresh_ino = (uint64_t)fresh_ino;
	ticket->created_sec = created;
	return 0;
}

static int open_in(const struct data_root *place, bool inside, const char *id, bool lock,
		   struct ticket *ret)
{
	cleanup_ticket struct ticket ticket = TICKET_NONE;
	cleanup_fd int jail_fd = data_root_open_jail(place, inside, false);
	int r;

	if (jail_fd < 0)
		return jail_fd;
	if (strlen(id) >= sizeof(ticket.id) || strchr(id, '/') || id[0] == '.')
		return -ENOENT;
	ticket.inside = inside;
	(void)snprintf(ticket.id, sizeof(ticket.id), "%s", id);
	ticket.fd = dir_open_beneath(jail_fd, id);
	if (ticket.fd < 0)
		return ticket.fd;
	if (lock && flock(ticket.fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	r = read_manifest(&ticket);
	if (r < 0)
		return r;
	r = stages_open(ticket.fd, false, &ticket.stages);
	if (r < 0)
		return r == -ENOENT ? -EBADMSG : r;
	*ret = ticket;
	ticket = (struct ticket)TICKET_NONE;
	return 0;
}

static int open_either(const struct data_root *place, const char *id, bool lock, struct ticket *ret)
{
	int r = open_in(place, false, id, lock, ret);

	return r == -ENOENT ? open_in(place, true, id, lock, ret) : r;
}

int ticket_open(const struct data_root *place, const char *id, struct ticket *ret)
{
	return open_either(place, id, true, ret);
}

int ticket_peek(const struct data_root *place, const char *id, struct ticket *ret)
{
	return open_either(place, id, false, ret);
}

const char *ticket_problem(int error)
{
	return error == -EBADMSG ? "its manifest.json or stages are missing, not ours, or of another name" :
				   strerror(-error);
}

int ticket_lock_data(struct ticket *ticket, bool shared)
{
	if (flock(ticket->stages.fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	return stages_read_again(ticket->fd, &ticket->stages);
}

void ticket_done(struct ticket *ticket)
{
	json_decref(ticket->manifest);
	stages_close(&ticket->stages);
	cleanup_close(&ticket->fd); /* and with it the lock */
	*ticket = (struct ticket)TICKET_NONE;
}

enum ticket_state ticket_state(const struct ticket *ticket)
{
	const struct stages *s = &ticket->stages;

	if (s->begun[STAGE_PURGE])
		return TICKET_PURGING;
	if (s->done[STAGE_RESTORE])
		return TICKET_RESTORED;
	if (s->done[STAGE_MOVE])
		return TICKET_MOVED;
	if (s->done[STAGE_DEFER])
		return TICKET_DEFERRED;
	if (s->done[STAGE_UNDO])
		return TICKET_UNDONE;
	return TICKET_BEGUN;
}

int64_t ticket_kept_sec(const struct ticket *ticket, enum stage stage)
{
	const char *boot_id = json_string_value(json_object_get(ticket->manifest, "boot_id"));
	const struct stages *s = &ticket->stages;
	struct ledger_clock now;
	int64_t sec;

	if (ledger_clock_now(&now) == 0 && boot_id && strcmp(boot_id, now.boot_id) == 0)
		sec = (now.boottime_msec - s->begun_msec[stage] - (int64_t)s->msec[stage]) / 1000;
	else
		sec = (int64_t)time(NULL) - s->done_sec[stage];
	return sec > 0 ? sec : 0;
}

const char *ticket_state_name(enum ticket_state state)
{
	static const char *const names[] = {
		[TICKET_BEGUN] = "begun",	[TICKET_MOVED] = "quarantined",
		[TICKET_UNDONE] = "undone",	[TICKET_RESTORED] = "restored",
		[TICKET_PURGING] = "purging",
		[TICKET_DEFERRED] = "deferred",
	};

	return names[state];
}

static int is_id(const struct dirent *entry)
{
	return entry->d_name[0] != '.' && strlen(entry->d_name) < TICKET_ID &&
	       (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN);
}

static int compare_ids(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_ids(const struct data_root *place, bool inside, char ***ids, int count)
{
	cleanup_fd int fd = data_root_open_jail(place, inside, false);
	struct dirent **entries;
	char **bigger;
	int n, r = 0;

	if (fd < 0)
		return fd == -ENOENT ? count : fd;
	n = scandirat(fd, ".", &entries, is_id, NULL);
	if (n < 0)
		return -errno;
	bigger = reallocarray(*ids, (size_t)count + (size_t)n + 1, sizeof(**ids));
	if (bigger)
		*ids = bigger;
	else
		r = -ENOMEM;
	for (int i = 0; i < n; i++) {
		char *copy = r == 0 ? strdup(entries[i]->d_name) : NULL;

		if (copy)
			(*ids)[count++] = copy;
		else
			r = -ENOMEM;
		free(entries[i]);
	}
	free(entries);
	if (*ids)
		(*ids)[count] = NULL;
	return r < 0 ? r : count;
}

int tickets_list(const struct data_root *place, char ***ret_ids)
{
	cleanup_tickets char **ids = calloc(1, sizeof(*ids));
	int count;

	if (!ids)
		return -ENOMEM;
	count = add_ids(place, false, &ids, 0);
	if (count >= 0)
		count = add_ids(place, true, &ids, count);
	if (count < 0)
		return count;
	qsort(ids, (size_t)count, sizeof(*ids), compare_ids);
	*ret_ids = take_ptr(ids);
	return count;
}

void tickets_free(char **ids)
{
	for (char **id = ids; id && *id; id++)
		free(*id);
	free(ids);
}

void tickets_say_unknown(const struct data_root *place, const char *id)
{
	cleanup_tickets char **ids = NULL;
	cleanup_text struct text all = { 0 };
	int n = tickets_list(place, &ids);

	for (int i = 0; i < n; i++)
		(void)(text_add_string(&all, i ? ", " : "") < 0 ||
		       text_add_string(&all, log_name(ids[i])) < 0); /* a shorter list, then */
	if (all.length)
		log_error("there is no quarantine '%s'; there are: %s", log_name(id), all.string);
	else
		log_error("there is no quarantine '%s', nor any other of data root %s", log_name(id),
			  log_name(place->root));
}

static int keep_record(int ticket_fd, const char *file, int records_fd, const char *id,
		       const char *suffix)
{
	cleanup_free char *text = NULL, *name = NULL;
	size_t size;
	int r = records_fd < 0 ? -ENOENT : dir_read_file(ticket_fd, file, MANIFEST_MAX, &text, &size);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (asprintf(&name, "%s.%s", id, suffix) < 0) {
		name = NULL;
		return -ENOMEM;
	}
	return file_replace(records_fd, name, text, size, 0600);
}

static int remove_if_there(int dirfd, const char *name, int flags)
{
	return unlinkat(dirfd, name, flags) < 0 && errno != ENOENT ? -errno : 0;
}

static void remove_empty_jail(const struct data_root *place, bool inside)
{
	cleanup_free char *name = NULL;

	if (asprintf(&name, "%s" JAIL_SUFFIX, inside ? "" : place->name) < 0) {
		name = NULL;
		return;
	}
	/* ENOTEMPTY is the common case, and as good. */
	(void)unlinkat(inside ? place->root_fd : place->parent_fd, name, AT_REMOVEDIR);
}

int ticket_retire(const struct data_root *place, struct ticket *ticket, int records_fd)
{
	cleanup_fd int jail_fd = data_root_open_jail(place, ticket->inside, false);
	int r;

	if (jail_fd < 0)
		return jail_fd;
	r = remove_if_there(ticket->fd, "root", AT_REMOVEDIR);
	if (r == 0)
		r = remove_if_there(ticket->fd, "interim", AT_REMOVEDIR);
	if (r == 0)
		r = remove_if_there(ticket->fd, "fresh", AT_REMOVEDIR);
	if (r == 0)
		r = keep_record(ticket->fd, "manifest.json", records_fd, ticket->id, "json");
	if (r == 0)
		r = keep_record(ticket->fd, "stages", records_fd, ticket->id, "stages");
	if (r == 0)
		r = remove_if_there(ticket->fd, ".manifest.json.new", 0); /* of a run that was killed */
	if (r == 0)
		r = remove_if_there(ticket->fd, "manifest.json", 0);
	if (r == 0)
		r = remove_if_there(ticket->fd, "stages", 0);
	if (r == 0)
		r = remove_if_there(jail_fd, ticket->id, AT_REMOVEDIR);
	if (r == 0)
		remove_empty_jail(place, ticket->inside);
	return r;
}

int ticket_discard(const struct data_root *place, const char *id)
{
	cleanup_fd int jail_fd = data_root_open_jail(place, false, false);
	cleanup_fd int fd = -EBADF;
	bool inside = false;

	if (jail_fd >= 0)
		fd = dir_open_beneath(jail_fd, id);
	if (fd == -ENOENT || jail_fd == -ENOENT) {
		cleanup_close(&jail_fd);
		inside = true;
		jail_fd = data_root_open_jail(place, true, false);
		if (jail_fd >= 0)
			fd = dir_open_beneath(jail_fd, id);
	}
	if (jail_fd < 0 || fd < 0)
		return jail_fd < 0 ? jail_fd : fd;
	if (faccessat(fd, "manifest.json", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return -EEXIST;
	/* Only what an unfinished ticket_create() can have left; with a root that is
	 * not empty it is a quarantine that lost its manifest, and all of it stays. */
	if (unlinkat(fd, "root", AT_REMOVEDIR) < 0 && errno != ENOENT)
		return -errno;
	(void)unlinkat(fd, ".manifest.json.new", 0);
	(void)unlinkat(fd, "stages", 0);
	if (unlinkat(jail_fd, id, AT_REMOVEDIR) < 0)
		return -errno;
	remove_empty_jail(place, inside);
	return 0;
}
