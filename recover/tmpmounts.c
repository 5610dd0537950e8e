#include "recover/tmpmounts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "recover/decision.h"
#include "recover/file.h"
#include "recover/history.h"
#include "recover/log.h"
#include "recover/pending.h"
#include "recover/roots.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/text.h"
#include "scanners/tmpmounts.h"

enum { UNMOUNT_MSEC = 2000, KERNEL_MINOR_BITS = 20 };

static int begin(struct situation *s, const struct decision *decision, struct ticket *ret)
{
	json_auto_t *manifest = json_pack("{s:s, s:s, s:s, s:s, s:I, s:o*, s:o*}", "kind", "tmpmounts", "unit",
					  s->config.unit, "state", s->config.state, "boot_id",
					  s->clock.boot_id, "looked_msec",
					  (json_int_t)s->clock.boottime_msec, "facts",
					  facts_to_json(&s->facts), "decision",
					  decision_to_json(&s->facts, decision));

	return manifest ? ticket_create(&s->place, manifest, ret) : -ENOMEM;
}

static int move(int root_fd, const struct ticket *ticket)
{
	cleanup_fd int aside_fd = dir_open_beneath(ticket->fd, "root");

	if (aside_fd < 0)
		return aside_fd;
	if (renameat2(root_fd, TMPMOUNTS, aside_fd, TMPMOUNTS, RENAME_NOREPLACE) < 0)
		return -errno;
	return fsync(aside_fd) < 0 || fsync(root_fd) < 0 ? -errno : 0;
}

int tmpmounts_set_aside(struct situation *s, const struct decision *decision,
			char ret_id[TICKET_ID])
{
	cleanup_ticket struct ticket ticket = TICKET_NONE;
	cleanup_fd int records_fd = file_make_dirs(RECORDS_PATH, 0700);
	/* Before anything is moved: killed right behind it, `finish` must still come. */
	int r = pending_mark(records_fd);
	int moved;

	if (r == 0)
		r = roots_note(records_fd, s->config.unit, s->place.root);
	if (r == 0)
		r = begin(s, decision, &ticket);
	if (r == 0) /* a purge that saw no ticket may have taken it away, which is rare */
		(void)pending_mark(records_fd);
	if (r == 0)
		r = stage_begin(&ticket.stages, STAGE_DEFER);
	if (r < 0)
		return r;
	/* Done also where it was refused: there is nothing to go on with. */
	moved = move(s->place.root_fd, &ticket);
	r = stage_done(&ticket.stages, STAGE_DEFER);
	/* Tried, whatever came of it: what did not help is not tried twice in a row. */
	if (history_append(records_fd, s->config.unit, "tmpmounts", ticket.id, decision->rule->id) < 0)
		log_warning("cannot write the history; the same may be tried again");
	if (moved < 0 || r < 0)
		return moved < 0 ? moved : r;
	memcpy(ret_id, ticket.id, TICKET_ID);
	return 0;
}

/* Wait for @pid, which may be stuck in the kernel. Returns its status, or -ETIMEDOUT. */
static int wait_for(pid_t pid, int msec)
{
	cleanup_fd int fd = pidfd_open(pid, 0);
	struct pollfd ended = { .fd = fd, .events = POLLIN };
	int status, r;

	if (fd < 0)
		return -errno;
	do
		r = poll(&ended, 1, msec);
	while (r < 0 && errno == EINTR);
	if (r == 0)
		return -ETIMEDOUT;
	if (r < 0 || waitpid(pid, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

/* The request that the unmount waits for, and every other, fails at once. The
 * kernel names connections by device numbers of its own form. */
static void cut_connection(dev_t dev)
{
	unsigned number = major(dev) << KERNEL_MINOR_BITS | minor(dev);
	cleanup_free char *path = text_print("/sys/fs/fuse/connections/%u/abort", number);
	cleanup_fd int fd = path ? open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW) : -EBADF;

	if (fd >= 0 && write(fd, "1", 1) != 1)
		log_warning("cannot cut FUSE connection %u: %s", number, strerror(errno));
}

static int detach(const struct mount_entry *mount)
{
	pid_t pid = fork();
	int r;

	if (pid < 0)
		return -errno;
	if (pid == 0)
		_exit(umount2(mount->path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? errno : 0);
	r = wait_for(pid, UNMOUNT_MSEC);
	if (r == -ETIMEDOUT && strncmp(mount->type, "fuse", strlen("fuse")) == 0) {
		cut_connection(mount->dev);
		r = wait_for(pid, UNMOUNT_MSEC);
	}
	/* No longer a mount point, or gone with the one above it. */
	return r == -EINVAL || r == -ENOENT ? 0 : r;
}

/* The real path of the ticket's tmpmounts. Returns 0, -ENOENT, or another negative errno. */
static int find_dir(const struct ticket *ticket, char **ret)
{
	cleanup_fd int root_fd = dir_open_beneath(ticket->fd, "root");
	cleanup_fd int fd = root_fd < 0 ? root_fd : dir_open_beneath(root_fd, TMPMOUNTS);
	cleanup_free char *link = NULL;

	if (fd < 0)
		return fd;
	link = text_print("/proc/self/fd/%d", fd);
	return link ? dir_read_link(AT_FDCWD, link, ret) : -ENOMEM;
}

int tmpmounts_detach(const struct ticket *ticket)
{
	cleanup_mounts struct mounts mounts = { 0 };
	cleanup_free char *dir = NULL;
	int first_error = 0;
	int r = find_dir(ticket, &dir);

	if (r == 0)
		r = mounts_scan(&mounts);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	/* Those below go with it, and are not to be reached but through it. */
	for (size_t i = mounts.count; i-- > 0;) {
		if (!tmpmounts_is_own(mounts.items[i].path, dir))
			continue;
		r = detach(&mounts.items[i]);
		if (r < 0)
			log_warning("%s (%s) does not unmount: %s", log_name(mounts.items[i].path),
				    mounts.items[i].type, strerror(-r));
		if (first_error == 0)
			first_error = r;
	}
	return first_error;
}
