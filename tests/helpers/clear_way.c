/*
 * clear_way STATE [TICKET]: prints the inventory of the containerd with state
 * directory STATE as JSON; with TICKET clears the way for its successor, with
 * the milliseconds of each stage on stderr.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "recover/clear.h"
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

int main(int argc, char **argv)
{
	cleanup_inventory struct inventory inventory = { 0 };
	cleanup_free char *address = NULL;
	struct clear_result result = { 0 };
	struct config config = { 0 };
	json_auto_t *json = NULL;

	if (argc < 2)
		return 2;
	if (asprintf(&address, "%s/containerd.sock", argv[1]) < 0)
		return 1;
	config.state = argv[1];
	config.address = address;
	config.cni_conf_dir = (char *)"/etc/cni/net.d";
	config.cni_max_conf_num = 1;
	stage_begin = msec();
	stage("inventory", inventory_scan(&config, 0, &inventory));
	if (argc > 2) {
		stage("kill", clear_kill(&inventory, 2000, &result));
		stage("bundles", clear_bundles(&config, &inventory, argv[2], &result));
		stage("links", clear_links_down(&inventory, &result));
		stage("reservations", clear_reservations(&config, &inventory, &result));
		fprintf(stderr, "shims %zu containers %zu bundles %zu links %zu released %zu kept %zu failed %zu\n",
			result.shims_killed, result.containers_killed, result.bundles_moved,
			result.links_down, result.released, result.kept, result.failed);
		return result.failed ? 1 : 0;
	}
	json = inventory_to_json(&inventory);
	return json && json_dumpf(json, stdout, JSON_INDENT(2)) == 0 ? 0 : 1;
}
