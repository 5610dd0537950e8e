#include "recover/sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "recover/cni.h"
#include "recover/kill.h"
#include "recover/links.h"
#include "recover/log.h"
#include "recover/remnant.h"
#include "recover/reservation.h"
#include "recover/rules.h"
#include "scanners/cleanup.h"
#include "scanners/cnicache.h"
#include "scanners/dir.h"
#include "scanners/ipam.h"
#include "scanners/links.h"

#define FLANNEL_DIR "/var/lib/cni/flannel"
enum {
	GRACE_MSEC = 2000,  /* for what still runs; clear_kill() has ended most */
	LOCK_MSEC = 5000,   /* for host-local's lock: nobody waits for us now */
	DELETE_MSEC = 5000, /* for a shim's own delete, as containerd's timeout.shim.cleanup */
};

/* flannel's: the configuration that it handed on, and needs no more. */
static int drop_flannel_file(const struct sandbox *sandbox)
{
	cleanup_fd int fd = dir_open_path(FLANNEL_DIR);

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	return unlinkat(fd, sandbox->id, 0) < 0 && errno != ENOENT ? -errno : 0;
}

/*
 * They lead to nothing any more. The one that proves whose sandbox it was is the
 * first in the inventory, and the last to go.
 */
static int drop_cache_files(const struct sandbox *sandbox)
{
	cleanup_fd int fd = dir_open_path(CNI_CACHE_DIR);
	int first = 0;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	for (size_t i = sandbox->cache_file_count; i > 0; i--)
		if (unlinkat(fd, sandbox->cache_files[i - 1], 0) < 0 && errno != ENOENT && first == 0)
			first = -errno;
	return first;
}

static bool has_link(const struct sandbox *sandbox, const struct links *now)
{
	for (size_t i = 0; i < sandbox->link_count; i++) {
		const struct link_entry *link = links_by_index(now, sandbox->links[i].index);

		if (link && strcmp(link->name, sandbox->links[i].name) == 0)
			return true;
	}
	return false;
}

static bool has_reservation(const struct sandbox *sandbox)
{
	for (size_t i = 0; i < sandbox->reservation_count; i++) {
		const struct reservation *reservation = &sandbox->reservations[i];
		cleanup_fd int dir = dir_open_path(reservation->data_dir), fd = -EBADF;
		cleanup_free char *owner = NULL;

		fd = dir < 0 ? dir : dir_open_beneath(dir, reservation->network);
		if (fd >= 0 && ipam_read_lease(fd, reservation->address, &owner, NULL) == 0 &&
		    strcmp(owner, sandbox->id) == 0)
			return true;
	}
	return false;
}

/* Nothing of its network is left, or it is somebody's who must do it himself. */
static int judge_network(const struct sandbox *sandbox, const struct links *now,
			 enum cni_outcome outcome)
{
	int r = 0;

	if (has_link(sandbox, now) || has_reservation(sandbox)) {
		log_error("sandbox %s still has a link or an address", log_name(sandbox->id));
		return -EBUSY;
	}
	if (outcome == CNI_FAILED)
		return -EREMOTEIO;
	if (outcome == CNI_DEFERRED)
		return -EINPROGRESS;
	r = drop_flannel_file(sandbox);
	return r < 0 ? r : drop_cache_files(sandbox);
}

/* The sweep under way: what each sandbox's steps came to. */
struct sweep {
	const struct inventory *lost;
	enum cni_outcome *outcomes;
	int *results;
	int first;
};

static void note(struct sweep *sweep, int r)
{
	if (r < 0 && sweep->first == 0)
		sweep->first = r;
}

static void remove_remnants(struct sweep *sweep, const struct config *config,
			    const struct sweep_options *options)
{
	cleanup_mounts struct mounts mounts = { 0 };
	const struct remnants remnants = {
		.config = config,
		.ticket = options->ticket,
		.mounts = &mounts,
		.delete_msec = DELETE_MSEC,
	};
	int r = mounts_scan(&mounts);

	if (r < 0)
		log_error("cannot read the mount table: %s", strerror(-r));
	for (size_t i = 0; i < sweep->lost->sandbox_count; i++) {
		sweep->results[i] = r < 0 ? r : remnants_remove(&remnants, &sweep->lost->sandboxes[i]);
		note(sweep, sweep->results[i]);
	}
	if (options->ticket && r == 0)
		note(sweep, remnants_end(config, options->ticket));
}

/*
 * By hand for what no plugin released. An address comes last: only when its
 * link and its namespace are gone does nobody answer for it.
 */
static void release_network(struct sweep *sweep, const struct config *config,
			    const struct sweep_options *options)
{
	struct reservation_result reservations = { 0 };
	struct links_result links = { 0 };
	struct rules_result rules = { 0 };

	note(sweep, rules_remove(config, sweep->lost, &rules));
	note(sweep, links_delete(sweep->lost, &links));
	remove_remnants(sweep, config, options);
	note(sweep, reservations_release(sweep->lost, LOCK_MSEC, &reservations));
}

static void count_results(struct sweep *sweep, struct sweep_result *ret)
{
	cleanup_links struct links now = { 0 };
	int r = links_scan(&now);

	note(sweep, r);
	for (size_t i = 0; i < sweep->lost->sandbox_count; i++) {
		if (sweep->results[i] == 0)
			sweep->results[i] = r < 0 ? r : judge_network(&sweep->lost->sandboxes[i], &now,
								      sweep->outcomes[i]);
		if (sweep->results[i] == -EINPROGRESS) {
			ret->deferred++;
			continue;
		}
		note(sweep, sweep->results[i]);
		if (sweep->results[i] < 0)
			ret->failed++;
		else
			ret->released++;
	}
}

int sweep_sandboxes(const struct config *config, const struct inventory *lost,
		    const struct sweep_options *options, struct sweep_result *ret)
{
	cleanup_free enum cni_outcome *outcomes = calloc(lost->sandbox_count + 1, sizeof(*outcomes));
	cleanup_free int *results = calloc(lost->sandbox_count + 1, sizeof(*results));
	struct sweep sweep = { .lost = lost, .outcomes = outcomes, .results = results };
	struct sweep_result result = { .sandboxes = lost->sandbox_count };
	struct kill_result killed = { 0 };
	struct links_result isolated = { 0 };
	const struct cni_options plugins = { options->plugin_msec, options->parallel,
					     options->defer };

	if (!outcomes || !results)
		return -ENOMEM;
	if (!options->dry_run) {
		/* Whoever lives on in a namespace or a mount would keep it. */
		note(&sweep, kill_sandboxes(lost, GRACE_MSEC, &killed));
		/* Nobody answers for an address any more when a plugin gives it away. */
		note(&sweep, links_take_down(lost, &isolated));
		note(&sweep, cni_delete(config, lost, &plugins, outcomes));
		release_network(&sweep, config, options);
		count_results(&sweep, &result);
		if (options->results)
			memcpy(options->results, results, lost->sandbox_count * sizeof(*results));
	}
	*ret = result;
	return sweep.first;
}
