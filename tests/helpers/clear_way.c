/*
 * clear_way STATE				the inventory as JSON
 * clear_way STATE clear TICKET MANIFEST	clears the way, the inventory into MANIFEST
 * clear_way STATE sweep TICKET MANIFEST	sweeps what MANIFEST lists
 * clear_way STATE links TICKET MANIFEST	deletes its links and nothing else
 *
 * For the containerd with state directory STATE; the milliseconds of each stage
 * on stderr.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "recover/clear.h"
#include "recover/links.h"
#include "recover/sweep.h"
#include "scanners/cleanup.h"

static double msec(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static double stage_begin;

static void stage(const char *name, int r)
{
	fprintf(stderr, "%s %.1f ms, %s\n", name, msec() - stage_begin, strerror(-r));
	stage_begin = msec();
}

static int clear(const struct config *config, const struct inventory *lost, const char *ticket)
{
	struct clear_result result = { 0 };

	stage("kill", clear_kill(lost, 2000, &result));
	stage("bundles", clear_bundles(config, lost, ticket, &result));
	stage("links", clear_links_down(lost, &result));
	stage("reservations", clear_reservations(config, lost, &result));
	fprintf(stderr, "shims %zu containers %zu bundles %zu links %zu released %zu kept %zu failed %zu\n",
		result.shims_killed, result.containers_killed, result.bundles_moved,
		result.links_down, result.released, result.kept, result.failed);
	return result.failed ? 1 : 0;
}

static int sweep(const struct config *config, const struct inventory *lost, const char *ticket)
{
	const struct sweep_options options = {
		.ticket = ticket,
		.plugin_msec = 5000,
		.parallel = getenv("PARALLEL") ? (unsigned)atoi(getenv("PARALLEL")) : 4,
	};
	struct sweep_result result = { 0 };

	stage("sweep", sweep_sandboxes(config, lost, &options, &result));
	fprintf(stderr, "sandboxes %zu released %zu failed %zu\n", result.sandboxes,
		result.released, result.failed);
	return result.failed ? 1 : 0;
}

static int delete_links(const struct inventory *lost)
{
	struct links_result result = { 0 };

	stage("links", links_delete(lost, &result));
	fprintf(stderr, "deleted %zu failed %zu\n", result.done, result.failed);
	return result.failed ? 1 : 0;
}

int main(int argc, char **argv)
{
	static char *plugins[] = { (char *)"/usr/lib/cni", (char *)"/opt/cni/bin" };
	cleanup_inventory struct inventory inventory = { 0 };
	cleanup_free char *address = NULL;
	json_auto_t *json = NULL;

	if (argc < 2 || asprintf(&address, "%s/containerd.sock", argv[1]) < 0)
		return 2;
	const struct config config = {
		.state = argv[1],
		.address = address,
		.cni_conf_dir = (char *)"/etc/cni/net.d",
		.cni_max_conf_num = 1,
		.cni_bin_dirs = plugins,
		.cni_bin_dir_count = ARRAY_SIZE(plugins),
	};
	stage_begin = msec();
	if (argc == 5 && strcmp(argv[2], "clear") != 0) {
		json = json_load_file(argv[4], 0, NULL);
		if (inventory_from_json(json, &inventory) < 0)
			return 1;
		stage("read", 0);
		return strcmp(argv[2], "links") == 0 ? delete_links(&inventory) :
						       sweep(&config, &inventory, argv[3]);
	}
	stage("inventory", inventory_scan(&config, 0, &inventory));
	json = inventory_to_json(&inventory);
	if (argc == 5) {
		if (!json || json_dump_file(json, argv[4], 0) < 0)
			return 1;
		return clear(&config, &inventory, argv[3]);
	}
	return json && json_dumpf(json, stdout, JSON_INDENT(2)) == 0 ? 0 : 1;
}
