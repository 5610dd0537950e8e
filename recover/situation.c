#include "recover/situation.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#include "recover/fingerprint.h"
#include "recover/history.h"
#include "recover/meta_lock.h"
#include "recover/log.h"
#include "recover/startlog.h"
#include "recover/ticket.h"
#include "scanners/bolt.h"
#include "scanners/cleanup.h"
#include "scanners/count.h"
#include "scanners/dir.h"
#include "scanners/expected_mount.h"
#include "scanners/metadata.h"
#include "scanners/text.h"
#include "scanners/tmpmounts.h"

#define KUBERNETES_NAMESPACE "k8s.io"

enum {
	INVENTORY_MSEC = 5000,
	TIMEOUT_SEC = 90,
	SHIM_WAIT_MSEC = 5000, /* as containerd's timeout.shim.load */
	SHIM_WAIT_SHARE = 4,   /* of TimeoutStartSec=, which ExecStartPre= has too; slow ones get twice that */
	DEAD_SHIM_MSEC = 120,  /* that containerd takes to clean up behind one, one after the other */
};

#define SET_TEXT(member, text) (void)snprintf((member), sizeof(member), "%s", (text) ? (text) : "")

char *situation_ledger_name(const char *unit)
{
	char *name;

	if (asprintf(&name, "%s.ledger", unit) < 0)
		return NULL;
	return name;
}

static void look_at_policy(struct situation *s)
{
	int r = policy_read(ETC_PATH, &s->policy, &s->policy_problem);

	s->facts.config.policy_invalid = r < 0;
	s->facts.config.automatic = s->policy.automatic;
	if (r < 0)
		SET_TEXT(s->facts.config.policy_problem,
			 s->policy_problem ? s->policy_problem : strerror(-r));
}

static void look_at_config(struct situation *s)
{
	struct facts *f = &s->facts;
	const struct config *config = &s->config;

	switch (config->verdict) {
	case CONFIG_DEFAULTS:
		f->config.config = FACTS_CONFIG_DEFAULTS;
		break;
	case CONFIG_SOUND:
		f->config.config = FACTS_CONFIG_SOUND;
		break;
	case CONFIG_INVALID:
		f->config.config = FACTS_CONFIG_INVALID;
		break;
	case CONFIG_UNKNOWN:
		f->config.config = FACTS_CONFIG_UNKNOWN;
		break;
	}
	SET_TEXT(f->config.unit, config->unit);
	SET_TEXT(f->config.config_problem, config->problem);
	SET_TEXT(f->config.root, config->root);
	SET_TEXT(f->config.state, config->state);
	f->config.foreign_snapshotter = config->foreign_count > 0;
	if (config->foreign_count > 0)
		SET_TEXT(f->config.foreign_what, config->foreign[0]);
}

static void look_at_ledger(struct situation *s, int records_fd)
{
	cleanup_free char *name = situation_ledger_name(s->config.unit);
	char fingerprint[FINGERPRINT];
	struct facts *f = &s->facts;

	if (records_fd >= 0 && name)
		(void)ledger_read(records_fd, name, &s->clock, &s->policy, &s->ledger); /* zeroed */
	f->ledger.attempts = s->ledger.attempts;
	f->ledger.failures = s->ledger.failures;
	f->ledger.timeouts = s->ledger.timeouts;
	f->ledger.last_failed = s->ledger.last_failed;
	f->ledger.window_sec = (uint32_t)s->policy.window_sec;
	f->ledger.failures_needed = (uint32_t)s->policy.failures;
	fingerprint_take(&s->config, fingerprint);
	if (*s->ledger.ready_fingerprint && strcmp(s->ledger.ready_fingerprint, "-") != 0)
		f->ledger.changed = strcmp(s->ledger.ready_fingerprint, fingerprint) == 0 ? ANSWER_NO :
											    ANSWER_YES;
	SET_TEXT(f->ledger.last_result, s->ledger.last_result);
	SET_TEXT(f->ledger.last_code, s->ledger.last_code);
	SET_TEXT(f->ledger.last_status, s->ledger.last_status);
	f->cri.up = s->ledger.up;
	f->cri.state = strcmp(s->ledger.unready, LEDGER_DEGRADED) == 0 ? CRI_DEGRADED :
		       strcmp(s->ledger.unready, LEDGER_HUNG) == 0     ? CRI_HUNG :
									 CRI_NOTHING_WRONG;
}

/* Was that done since containerd was last healthy? What is not known was. */
static bool was_tried(const struct situation *s, int records_fd, const char *event)
{
	int64_t last = 0;
	int r = history_last(records_fd, s->config.unit, event, &last);

	return r < 0 || (r > 0 && s->ledger.failing_since_sec > 0 && last >= s->ledger.failing_since_sec);
}

/* What of the leftovers could not be moved when that was tried last, in this incident. */
static void look_at_kept(struct situation *s, int records_fd)
{
	struct facts *f = &s->facts;
	struct history_event kept;
	uint64_t entries;
	uint32_t directories;
	int64_t done = 0;

	if (s->ledger.failing_since_sec == 0 ||
	    history_last_event(records_fd, s->config.unit, "kept", &kept) <= 0 ||
	    kept.sec < s->ledger.failing_since_sec ||
	    sscanf(kept.rule, "%" SCNu64 "/%" SCNu32, &entries, &directories) != 2)
		return;
	/* One that left nothing behind came later. */
	if (history_last(records_fd, s->config.unit, "defer", &done) > 0 && done > kept.sec)
		return;
	f->leftovers.tried_entries = entries;
	f->leftovers.tried_directories = directories;
}

/* A history that cannot be read may hold a quarantine made a minute ago. */
static void look_at_history(struct situation *s, int records_fd)
{
	struct facts *f = &s->facts;
	int64_t last = 0, age;
	int r;

	if (records_fd < 0) {
		bool unknown = records_fd != -ENOENT;

		f->history.cooling_down = unknown;
		f->history.freed = f->history.restarted = unknown;
		f->history.tmpmounts = f->history.deferred = unknown;
		return;
	}
	f->history.hold = faccessat(records_fd, "hold", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	f->history.freed = was_tried(s, records_fd, "free-state");
	f->history.restarted = was_tried(s, records_fd, "restart");
	f->history.tmpmounts = was_tried(s, records_fd, "tmpmounts");
	f->history.deferred = was_tried(s, records_fd, "defer");
	look_at_kept(s, records_fd);
	r = history_last_quarantine(records_fd, s->config.unit, &last);
	if (r == 0)
		return;
	age = r < 0 || s->clock.realtime_sec < last ? 0 : s->clock.realtime_sec - last;
	if ((uint64_t)age >= s->policy.cooldown_sec)
		return;
	f->history.cooling_down = true;
	f->history.cooldown_left_sec = s->policy.cooldown_sec - (uint64_t)age;
}

/* Returns 1 if one of the top directories is a mount point itself, 0, or a negative errno. */
static int has_child_mount(int root_fd)
{
	cleanup_dir DIR *stream = NULL;
	const char *name;
	int r = dir_stream(root_fd, &stream);

	while (r == 0 && (r = dir_next(stream, &name, NULL)) > 0) {
		cleanup_fd int fd = openat(root_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

		if (fd < 0)
			return -errno;
		r = dir_is_mount_point(fd);
		if (r != 0)
			return r;
	}
	return r;
}

/* Is it empty, and whose is what is in it? Returns 0, or a negative errno. */
static int look_at_names(struct facts *f, int root_fd)
{
	cleanup_dir DIR *stream = NULL;
	const char *name;
	int r = dir_stream(root_fd, &stream);

	f->root.is_empty = r == 0;
	while (r == 0 && (r = dir_next(stream, &name, NULL)) > 0) {
		r = 0;
		if (ticket_is_not_child(name))
			continue;
		f->root.is_empty = false;
		if (!*f->root.stranger && !data_root_is_known_name(name))
			SET_TEXT(f->root.stranger, log_name(name));
	}
	return r;
}

static void look_at_mounts(struct facts *f, const char *path)
{
	int r = expected_mount_missing("", path, NULL);

	if (r < 0)
		f->root.mount_missing = ANSWER_UNKNOWN;
	else
		f->root.mount_missing = r ? ANSWER_YES : ANSWER_NO;
}

static void look_at_root(struct situation *s)
{
	struct facts *f = &s->facts;
	struct stat st;
	int r = data_root_open(s->config.root, &s->place);

	if (r < 0) {
		/* No root yet is an empty one; a disk may be missing there. */
		f->root.is_empty = r == -ENOENT;
		f->root.error = r == -ENOENT ? 0 : r;
		f->root.is_link = lstat(s->config.root, &st) == 0 && S_ISLNK(st.st_mode);
		f->meta.state = DB_ABSENT;
		f->meta.lock = LOCK_NO_FILE;
		look_at_mounts(f, s->config.root);
		return;
	}
	SET_TEXT(f->config.root, s->place.root);
	f->root.is_link = s->place.is_link;
	f->root.is_mount_point = s->place.is_mount_point;
	f->root.dev = s->place.dev;
	f->root.ino = s->place.ino;
	look_at_mounts(f, s->place.root);
	f->root.lasting_mount = expected_mount_below("", s->place.root) != 0;
	r = look_at_names(f, s->place.root_fd);
	if (r >= 0 && s->place.is_mount_point) {
		r = has_child_mount(s->place.root_fd);
		f->root.child_mount = r > 0;
	}
	if (r < 0)
		f->root.error = r;
}

static const char *fs_type_name(unsigned long type, char *number, size_t size)
{
	switch (type) {
	case EXT4_SUPER_MAGIC:
		return "ext4";
	case XFS_SUPER_MAGIC:
		return "xfs";
	case BTRFS_SUPER_MAGIC:
		return "btrfs";
	case OVERLAYFS_SUPER_MAGIC:
		return "overlay";
	case TMPFS_MAGIC:
		return "tmpfs";
	default:
		(void)snprintf(number, size, "0x%lx", type);
		return number;
	}
}

static void look_at_fs(struct situation *s)
{
	struct facts *f = &s->facts;
	struct statfs fs;
	char number[24];

	if (fstatfs(s->place.root_fd, &fs) < 0) {
		f->fs.error = -errno;
		return;
	}
	SET_TEXT(f->fs.type, fs_type_name((unsigned long)fs.f_type, number, sizeof(number)));
	f->fs.read_only = fs.f_flags & ST_RDONLY;
	f->fs.block_bytes = (uint64_t)fs.f_bsize;
	f->fs.blocks = fs.f_blocks;
	f->fs.blocks_free = fs.f_bavail;
	f->fs.inodes = fs.f_files;
	f->fs.inodes_free = fs.f_ffree;
	f->fs.no_space = fs.f_bavail * (uint64_t)fs.f_bsize < s->policy.min_free_bytes;
	/* btrfs has no fixed number of inodes and says 0. */
	f->fs.no_inodes = fs.f_files > 0 && fs.f_ffree < s->policy.min_free_inodes;
}

static enum facts_db db_of(enum bolt_state state)
{
	switch (state) {
	case BOLT_ABSENT:
		return DB_ABSENT;
	case BOLT_EMPTY:
		return DB_EMPTY;
	case BOLT_SOUND:
		return DB_SOUND;
	case BOLT_DAMAGED:
		return DB_DAMAGED;
	case BOLT_UNREAD:
		break;
	}
	return DB_UNREAD;
}

static void look_at_meta(struct situation *s, const struct situation_options *options)
{
	cleanup_fd int dir_fd = openat(s->place.root_fd, METADATA_DIR,
				       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct facts *f = &s->facts;
	struct bolt_finding finding = { .state = BOLT_ABSENT };
	struct meta_lock lock;

	if (dir_fd < 0) {
		f->meta.error = errno == ENOENT ? 0 : -errno;
		f->meta.state = errno == ENOENT ? DB_ABSENT : DB_UNREAD;
		f->meta.lock = errno == ENOENT ? LOCK_NO_FILE : LOCK_UNKNOWN;
		return;
	}
	meta_lock_take(dir_fd, METADATA_FILE, options->down ? NULL : s->config.unit, &lock);
	s->meta_fd = lock.fd;
	f->meta.lock = lock.state;
	f->meta.lock_pid = (uint32_t)lock.pid;
	f->meta.under_lock = f->meta.lock == LOCK_FREE || f->meta.lock == LOCK_NO_FILE;
	/* A containerd that hangs does not write, and can be checked while it runs. */
	if (options->whole_tree && (f->meta.under_lock || f->cri.state != CRI_NOTHING_WRONG))
		bolt_check_at(dir_fd, METADATA_FILE, &finding);
	if (finding.state == BOLT_ABSENT || finding.error == -EAGAIN)
		bolt_peek_at(dir_fd, METADATA_FILE, &finding);
	f->meta.error = finding.state == BOLT_UNREAD ? finding.error : 0;
	f->meta.page = finding.page;
	f->meta.size = finding.size;
	f->meta.whole_tree = finding.whole_tree;
	f->meta.state = db_of(finding.state);
	if (finding.state == BOLT_DAMAGED)
		SET_TEXT(f->meta.damage, bolt_damage_name(finding.damage));
}

/* Only meta.db's lock keeps containerd from having it open. */
static void look_at_snapshots(struct situation *s, bool whole_tree)
{
	cleanup_free char *name = NULL;
	cleanup_fd int dir_fd = -EBADF;
	struct bolt_finding finding;
	struct facts *f = &s->facts;

	if (asprintf(&name, METADATA_SNAPSHOTTER_DIR "%s", s->config.snapshotter) < 0) {
		name = NULL;
		return;
	}
	dir_fd = dir_open_beneath(s->place.root_fd, name);
	f->snapshots.state = dir_fd == -ENOENT ? DB_ABSENT : DB_UNREAD;
	f->snapshots.under_lock = f->meta.lock == LOCK_FREE;
	if (dir_fd < 0)
		return;
	if (whole_tree && f->snapshots.under_lock)
		bolt_check_at(dir_fd, METADATA_SNAPSHOTTER_FILE, &finding);
	else
		bolt_peek_at(dir_fd, METADATA_SNAPSHOTTER_FILE, &finding);
	f->snapshots.state = db_of(finding.state);
	f->snapshots.page = finding.page;
	if (finding.state == BOLT_DAMAGED)
		SET_TEXT(f->snapshots.damage, bolt_damage_name(finding.damage));
}

static void count_root(struct situation *s)
{
	struct facts *f = &s->facts;
	struct count_result result;

	f->count.mark = s->policy.bloat_entries;
	if (count_entries(s->place.root_fd, s->policy.bloat_entries, (unsigned)s->policy.probe_msec,
			  &result) < 0)
		return;
	f->count.looked = true;
	f->count.entries = result.entries;
	f->count.complete = result.complete;
	f->count.bloated = result.reached;
	f->count.msec = result.msec;
}

static void look_at_pods(struct situation *s)
{
	struct facts *f = &s->facts;
	int r = inventory_scan(&s->config, INVENTORY_MSEC, &s->inventory);

	if (r < 0) {
		SET_TEXT(f->pods.missed, strerror(-r));
		return;
	}
	f->pods.looked = true;
	f->pods.complete = s->inventory.complete;
	if (s->inventory.missed)
		(void)snprintf(f->pods.missed, sizeof(f->pods.missed), "%s: %s", s->inventory.missed,
			       strerror(-s->inventory.missed_error));
	f->pods.sandboxes = (uint32_t)s->inventory.sandbox_count;
	for (size_t i = 0; i < s->inventory.sandbox_count; i++) {
		const struct sandbox *sandbox = &s->inventory.sandboxes[i];

		f->pods.shims += sandbox->shim.start_ticks != 0;
		f->pods.bundles += (uint32_t)sandbox->container_count;
		f->pods.links += (uint32_t)sandbox->link_count;
		f->pods.reservations += (uint32_t)sandbox->reservation_count;
		f->pods.cache_files += (uint32_t)sandbox->cache_file_count;
		if (!sandbox->ns || strcmp(sandbox->ns, KUBERNETES_NAMESPACE) == 0 ||
		    f->pods.foreign_tasks > 0)
			continue;
		f->pods.foreign_tasks = (uint32_t)inventory_live_count(&s->inventory, sandbox->ns);
		SET_TEXT(f->pods.foreign_namespace, sandbox->ns);
	}
}

/* "<ns>/<number>/<key>": a layer that a container of another client's writes to. One that
 * an image is being unpacked to has a key of its own. */
static void take_layer(struct facts *f, const struct metadata_directory *layer)
{
	static const char own[] = KUBERNETES_NAMESPACE "/", unpacking[] = "/extract-";
	size_t length = strcspn(layer->name, "/");
	const char *key = strchr(layer->name + length + (layer->name[length] == '/'), '/');

	if (layer->kind != SNAPSHOT_ACTIVE || strncmp(layer->name, own, strlen(own)) == 0 || !key ||
	    strncmp(key, unpacking, strlen(unpacking)) == 0)
		return;
	if (f->pods.foreign_layers++ == 0 && !f->pods.foreign_tasks)
		(void)snprintf(f->pods.foreign_namespace, sizeof(f->pods.foreign_namespace), "%.*s",
			       (int)length, layer->name);
}

/* docker's images and nerdctl's containers may be in the same root, running or not. */
static void look_at_layers(struct situation *s)
{
	static const char *const snapshotters[] = { "overlayfs", "native" };

	for (size_t i = 0; i < ARRAY_SIZE(snapshotters); i++) {
		cleanup_metadata_directories struct metadata_directories layers = { 0 };

		if (metadata_read_snapshotter(s->place.root_fd, snapshotters[i], &layers) < 0)
			continue; /* no memory: then the rest ends, too */
		for (size_t j = 0; j < layers.count; j++)
			take_layer(&s->facts, &layers.items[j]);
	}
}

/* What a start may delete, in entries, before it takes too long. */
static uint64_t leftovers_mark(const struct situation *s)
{
	uint64_t timeout = s->config.timeout_start_sec ? s->config.timeout_start_sec : TIMEOUT_SEC;

	return timeout * 1000000 * s->policy.start_percent / 100 / s->policy.usec_per_entry;
}

static void look_at_leftovers(struct situation *s)
{
	cleanup_metadata struct metadata metadata = { 0 };
	cleanup_fd int state_fd = dir_open_path(s->config.state);
	struct deletions_known known = { &s->inventory, &metadata };
	struct facts *f = &s->facts;

	f->leftovers.mark = leftovers_mark(s);
	if (!f->pods.looked || metadata_read_root(s->place.root_fd, &metadata) < 0)
		return;
	if (deletions_scan(s->place.root_fd, state_fd, &known, 0, (unsigned)s->policy.probe_msec,
			   &s->leftovers) < 0)
		return;
	f->leftovers.looked = true;
	f->leftovers.complete = s->leftovers.complete;
	f->leftovers.entries = s->leftovers.entries;
	f->leftovers.directories = (uint32_t)s->leftovers.count;
	f->leftovers.excessive = s->leftovers.entries >= f->leftovers.mark;
}

static bool last_timed_out(const struct facts *f)
{
	return f->ledger.last_failed && strcmp(f->ledger.last_result, "timeout") == 0;
}

/* Each start unmounts all it can: what is there behind one that timed out, it
 * could not. */
static void look_at_tmpmounts(struct situation *s)
{
	cleanup_free char *dir = text_print("%s/" TMPMOUNTS, s->place.root);
	struct facts *f = &s->facts;
	struct tmpmounts found;

	if (!dir || !last_timed_out(f) || tmpmounts_scan(dir, &found) < 0)
		return;
	f->tmpmounts.looked = true;
	f->tmpmounts.own = found.own;
	f->tmpmounts.others = found.others;
	SET_TEXT(f->tmpmounts.type, found.type);
}

/* A start that timed out may have waited for shims: ask them, for less long than
 * containerd would, since this is part of the start too. */
static void look_at_shims(struct situation *s)
{
	uint64_t timeout = s->config.timeout_start_sec ? s->config.timeout_start_sec : TIMEOUT_SEC;
	uint64_t wait_msec = timeout * 1000 / SHIM_WAIT_SHARE;
	struct facts *f = &s->facts;

	if (!f->pods.looked || !last_timed_out(f))
		return;
	s->shims = calloc(s->inventory.sandbox_count + 1, sizeof(*s->shims));
	if (!s->shims ||
	    shim_probe(&s->inventory, wait_msec < SHIM_WAIT_MSEC ? (unsigned)wait_msec : SHIM_WAIT_MSEC,
		       s->shims) < 0)
		return;
	f->shims.looked = f->shims.complete = true;
	for (size_t i = 0; i < s->inventory.sandbox_count; i++) {
		const struct sandbox *sandbox = &s->inventory.sandboxes[i];

		if (!sandbox->from_bundle || !sandbox->ns || strcmp(sandbox->ns, KUBERNETES_NAMESPACE) != 0)
			continue;
		f->shims.complete &= s->shims[i] != SHIM_UNASKED;
		f->shims.dead += s->shims[i] == SHIM_DEAD;
		f->shims.hung += s->shims[i] == SHIM_HUNG;
	}
	f->shims.kill_hung = s->policy.kill_hung;
	f->shims.predicted_msec = f->shims.dead * DEAD_SHIM_MSEC;
	f->shims.allowed_msec = (uint32_t)(timeout * 1000 * s->policy.start_percent / 100);
}

static void look(struct situation *s, const struct situation_options *options)
{
	cleanup_fd int records_fd = dir_open_path(RECORDS_PATH);
	struct facts *f = &s->facts;

	f->taken.realtime_sec = s->clock.realtime_sec;
	SET_TEXT(f->taken.boot_id, s->clock.boot_id);
	SET_TEXT(f->taken.version, VERSION);
	f->taken.by_hand = options->by_hand;
	f->taken.force = options->force;
	look_at_policy(s);
	look_at_config(s);
	look_at_ledger(s, records_fd);
	look_at_history(s, records_fd);
	if (s->ledger.last_failed)
		startlog_look(&s->ledger, f);
	if (f->config.config == FACTS_CONFIG_INVALID || f->config.config == FACTS_CONFIG_UNKNOWN)
		return; /* where to look further is not known */
	look_at_root(s);
	if (s->place.root_fd >= 0) {
		cleanup_tickets char **ids = NULL;
		int n = tickets_list(&s->place, &ids);

		f->history.quarantines = n > 0 ? (uint32_t)n : 0;
		look_at_fs(s);
		if (f->log.needs_missing)
			startlog_look_for_missing(s->place.root_fd, f);
		look_at_meta(s, options);
		look_at_snapshots(s, options->whole_tree);
		if (options->count_always ||
		    (f->ledger.failures >= f->ledger.failures_needed && f->meta.state == DB_SOUND))
			count_root(s);
	}
	look_at_pods(s);
	if (s->place.root_fd >= 0)
		look_at_layers(s);
	if (s->place.root_fd >= 0 && f->meta.under_lock) {
		look_at_leftovers(s);
		look_at_tmpmounts(s);
	}
	look_at_shims(s);
}

int situation_look(const struct situation_options *options, struct config *config,
		   struct situation *ret)
{
	cleanup_situation struct situation s = SITUATION_NONE;
	int r = 0;

	if (config) {
		s.config = *config;
		*config = (struct config){ 0 };
	} else {
		r = config_read(&options->overrides, &s.config);
	}
	if (r == 0)
		r = ledger_clock_now(&s.clock);
	if (r < 0)
		return r;
	look(&s, options);
	*ret = s;
	s = (struct situation)SITUATION_NONE;
	return 0;
}

void situation_done(struct situation *s)
{
	config_done(&s->config);
	data_root_done(&s->place);
	inventory_done(&s->inventory);
	deletions_done(&s->leftovers);
	cleanup_close(&s->meta_fd); /* and with it the lock */
	free(s->shims);
	free(s->policy_problem);
	*s = (struct situation)SITUATION_NONE;
}
