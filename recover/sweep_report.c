#include "recover/sweep_report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "recover/log.h"
#include "scanners/cleanup.h"
#include "scanners/text.h"

enum { ID_SHOWN = 12, POD_WIDTH = 28, ADDRESS_WIDTH = 24, LINK_WIDTH = 14 };

struct counts {
	size_t live, young, other, lost, released, deferred, failed;
};

static struct counts count(const struct sweep_report *report)
{
	struct counts counts = { 0 };

	for (size_t i = 0; i < report->inventory->sandbox_count; i++) {
		const struct judged *judged = &report->judged[i];

		counts.live += judged->fate == FATE_LIVE;
		counts.young += judged->fate == FATE_YOUNG;
		counts.other += judged->fate == FATE_OTHER;
		counts.lost += judged->fate == FATE_LOST;
		counts.released += judged->tried && judged->result == 0;
		counts.deferred += judged->tried && judged->result == -EINPROGRESS;
		counts.failed += judged->tried && judged->result < 0 &&
				 judged->result != -EINPROGRESS;
	}
	return counts;
}

static const char *known_name(enum known_source source)
{
	static const char *const names[] = { "nobody", "containerd", "meta.db", "no meta.db" };

	return names[source];
}

static int join_addresses(const struct sandbox *sandbox, struct text *ret)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < sandbox->reservation_count; i++) {
		if (i > 0)
			r = text_add_string(ret, " ");
		if (r == 0)
			r = text_add_string(ret, sandbox->reservations[i].address);
	}
	return r;
}

static int join_links(const struct sandbox *sandbox, struct text *ret)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < sandbox->link_count; i++) {
		if (i > 0)
			r = text_add_string(ret, " ");
		if (r == 0)
			r = text_add_string(ret, sandbox->links[i].name);
	}
	return r;
}

static const char *or_dash(const char *text)
{
	return text && *text ? text : "-";
}

static const char *state_of(const struct judged *judged)
{
	if (!judged->tried)
		return fate_name(judged->fate);
	return judged->result == 0	      ? "released" :
	       judged->result == -EINPROGRESS ? "deferred" :
						"failed";
}

static const char *reason_of(const struct judged *judged)
{
	if (!judged->tried || judged->result == 0)
		return judged->why;
	switch (judged->result) {
	case -EINPROGRESS:
		return "its network is left to its plugin, by a sweep while containerd runs";
	case -EREMOTEIO:
		return "its network's plugin failed; the next sweep tries again";
	case -EBUSY:
		return "its processes, a link or an address of it are still there";
	default:
		return strerror(-judged->result);
	}
}

static int print_row(const struct judged *judged)
{
	const struct sandbox *sandbox = judged->sandbox;
	cleanup_text struct text addresses = { 0 }, links = { 0 };
	cleanup_free char *pod = NULL;

	if (join_addresses(sandbox, &addresses) < 0 || join_links(sandbox, &links) < 0)
		return -ENOMEM;
	pod = sandbox->pod_name ? text_print("%s/%s", or_dash(sandbox->pod_namespace),
					     sandbox->pod_name) :
				  text_print("-");
	if (!pod)
		return -ENOMEM;
	printf("%-*s %-*.*s %-*s %-*s %-8s %s\n", POD_WIDTH, log_name(pod), ID_SHOWN, ID_SHOWN,
	       log_name(sandbox->id), ADDRESS_WIDTH, or_dash(addresses.string), LINK_WIDTH,
	       or_dash(links.string), state_of(judged), reason_of(judged));
	return 0;
}

static void print_summary(const struct sweep_report *report)
{
	struct counts counts = count(report);

	printf("\n%zu lost, %zu live, %zu young, %zu not pods, %zu not ours; %s said what containerd knows\n",
	       counts.lost, counts.live, counts.young, counts.other, report->strangers->count,
	       known_name(report->known->source));
	if (report->known->sharer)
		printf("another runtime uses CNI's directories: %s\n",
		       log_name(report->known->sharer));
	if (report->inventory->empty_reservation_count)
		printf("%zu addresses are reserved for nobody\n",
		       report->inventory->empty_reservation_count);
	if (report->orphans.bundles)
		printf("%zu bundles are half deleted\n", report->orphans.bundles);
	if (report->orphans.snapshots)
		printf("%zu snapshot directories are unknown to their database\n",
		       report->orphans.snapshots);
	if (report->orphans.waiting)
		printf("%zu such directories wait to be deleted, by a sweep while containerd runs\n",
		       report->orphans.waiting);
	if (report->inventory->unreadable)
		printf("%zu files could not be read\n", report->inventory->unreadable);
	for (size_t i = 0; i < report->pools->count; i++) {
		const struct pool *pool = &report->pools->items[i];

		if (pool->capacity != UINT64_MAX)
			printf("network %s, %s: %" PRIu64 " of %" PRIu64 " addresses are free\n",
			       log_name(pool->network), log_name(pool->subnet),
			       pool->capacity > pool->reserved ? pool->capacity - pool->reserved : 0,
			       pool->capacity);
	}
	if (report->acted)
		printf("released %zu, deferred %zu, not in full %zu\n", counts.released,
		       counts.deferred, counts.failed);
	else if (counts.lost || report->inventory->empty_reservation_count ||
		 report->orphans.bundles || report->orphans.snapshots || report->orphans.waiting)
		printf("nothing was changed; --yes releases what is lost\n");
}

static int print_text(const struct sweep_report *report)
{
	int r = 0;

	if (report->inventory->sandbox_count)
		printf("%-*s %-*s %-*s %-*s %-8s %s\n", POD_WIDTH, "POD", ID_SHOWN, "SANDBOX",
		       ADDRESS_WIDTH, "ADDRESSES", LINK_WIDTH, "LINKS", "FATE", "WHY");
	for (size_t i = 0; r == 0 && i < report->inventory->sandbox_count; i++)
		r = print_row(&report->judged[i]);
	if (report->strangers->count)
		printf("\nNot ours, left alone:\n");
	for (size_t i = 0; i < report->strangers->count; i++)
		printf("  %s %s: %s\n", report->strangers->items[i].kind,
		       log_name(report->strangers->items[i].name), report->strangers->items[i].why);
	print_summary(report);
	return r;
}

static json_t *sources_to_json(const struct sandbox *sandbox)
{
	const struct {
		bool is;
		const char *name;
	} sources[] = {
		{ sandbox->from_bundle, "bundle" },
		{ sandbox->from_shim, "shim" },
		{ sandbox_is_running(sandbox), "process" },
		{ sandbox->netns_mounted, "namespace" },
		{ sandbox->link_count > 0, "link" },
		{ sandbox->from_cache, "cache" },
		{ sandbox->from_reservation, "reservation" },
	};
	json_t *array = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
		if (sources[i].is)
			(void)json_array_append_new(array, json_string(sources[i].name));
	return array;
}

static json_t *judged_to_json(const struct judged *judged)
{
	const struct sandbox *sandbox = judged->sandbox;
	json_auto_t *addresses = json_array(), *links = json_array(), *json = NULL;

	for (size_t i = 0; i < sandbox->reservation_count; i++)
		if (json_array_append_new(addresses,
					  json_pack("{s:s, s:s}", "network",
						    sandbox->reservations[i].network, "address",
						    sandbox->reservations[i].address)) < 0)
			return NULL;
	for (size_t i = 0; i < sandbox->link_count; i++)
		if (json_array_append_new(links, json_string(sandbox->links[i].name)) < 0)
			return NULL;
	json = json_pack("{s:s, s:s, s:s*, s:s*, s:s*, s:s, s:s, s:o, s:O, s:O}", "id", sandbox->id,
			 "containerd_namespace", sandbox->ns, "pod", sandbox->pod_name,
			 "pod_namespace", sandbox->pod_namespace, "pod_uid", sandbox->pod_uid,
			 "fate", fate_name(judged->fate), "why", judged->why, "sources",
			 sources_to_json(sandbox), "addresses", addresses, "links", links);
	if (json && judged->tried &&
	    (json_object_set_new(json, "released", json_boolean(judged->result == 0)) < 0 ||
	     json_object_set_new(json, "result", json_string(state_of(judged))) < 0))
		return NULL;
	return take_ptr(json);
}

static json_t *report_to_json(const struct sweep_report *report)
{
	struct counts counts = count(report);
	json_auto_t *sandboxes = json_array(), *strangers = json_array(), *pools = json_array();

	for (size_t i = 0; i < report->inventory->sandbox_count; i++)
		if (json_array_append_new(sandboxes, judged_to_json(&report->judged[i])) < 0)
			return NULL;
	for (size_t i = 0; i < report->strangers->count; i++) {
		const struct stranger *stranger = &report->strangers->items[i];

		if (json_array_append_new(strangers,
					  json_pack("{s:s, s:s, s:s}", "kind", stranger->kind, "name",
						    stranger->name, "why", stranger->why)) < 0)
			return NULL;
	}
	for (size_t i = 0; i < report->pools->count; i++) {
		const struct pool *pool = &report->pools->items[i];

		if (pool->capacity == UINT64_MAX)
			continue;
		if (json_array_append_new(pools, json_pack("{s:s, s:s, s:I, s:I}", "network",
							   pool->network, "subnet", pool->subnet,
							   "capacity", (json_int_t)pool->capacity,
							   "reserved", (json_int_t)pool->reserved)) < 0)
			return NULL;
	}
	return json_pack("{s:b, s:b, s:s, s:s*, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:O, s:O, s:O}",
			 "acted", report->acted, "complete", report->inventory->complete, "known_by",
			 known_name(report->known->source), "sharer", report->known->sharer, "lost",
			 (json_int_t)counts.lost, "live", (json_int_t)counts.live, "young", (json_int_t)counts.young, "foreign",
			 (json_int_t)report->strangers->count, "released",
			 (json_int_t)counts.released, "deferred", (json_int_t)counts.deferred,
			 "failed", (json_int_t)counts.failed,
			 "empty_reservations",
			 (json_int_t)report->inventory->empty_reservation_count, "unreadable",
			 (json_int_t)report->inventory->unreadable, "orphan_bundles",
			 (json_int_t)report->orphans.bundles, "orphan_snapshots",
			 (json_int_t)report->orphans.snapshots, "orphans_waiting",
			 (json_int_t)report->orphans.waiting, "sandboxes", sandboxes,
			 "strangers", strangers, "networks", pools);
}

static void print_metric(const char *name, const char *help, size_t value)
{
	printf("# HELP containerd_recover_sweep_%s %s\n# TYPE containerd_recover_sweep_%s gauge\n"
	       "containerd_recover_sweep_%s %zu\n",
	       name, help, name, name, value);
}

/* A label's value: backslash, quote and line feed escaped (exposition format 0.0.4). */
static void print_label(const char *value)
{
	for (; *value; value++) {
		if (*value == '\\' || *value == '"')
			putchar('\\');
		if (*value == '\n')
			printf("\\n");
		else
			putchar(*value);
	}
}

static void print_prometheus(const struct sweep_report *report)
{
	static const char free_name[] = "containerd_recover_network_free_addresses";
	struct counts counts = count(report);

	print_metric("lost", "Pod sandboxes that containerd lost and that left something behind",
		     counts.lost);
	print_metric("released", "Of them, released by this run", counts.released);
	print_metric("failed", "Of them, of which this run left something", counts.failed);
	print_metric("deferred", "Of them, whose network is left to its plugin", counts.deferred);
	print_metric("kept", "Pod sandboxes that are containerd's or may be in the making",
		     counts.live + counts.young + counts.other);
	print_metric("foreign", "Reservations, links and namespaces that are not containerd's",
		     report->strangers->count);
	printf("# HELP %s Addresses that host-local has left to give\n# TYPE %s gauge\n", free_name,
	       free_name);
	for (size_t i = 0; i < report->pools->count; i++) {
		const struct pool *pool = &report->pools->items[i];

		if (pool->capacity == UINT64_MAX)
			continue;
		printf("%s{network=\"", free_name);
		print_label(pool->network);
		printf("\",subnet=\"");
		print_label(pool->subnet);
		printf("\"} %" PRIu64 "\n",
		       pool->capacity > pool->reserved ? pool->capacity - pool->reserved : 0);
	}
}

int sweep_report_print(const struct sweep_report *report, enum cli_format format)
{
	json_auto_t *json = NULL;

	if (format == FORMAT_TEXT)
		return print_text(report);
	if (format == FORMAT_PROMETHEUS) {
		print_prometheus(report);
		return 0;
	}
	json = report_to_json(report);
	if (!json)
		return -ENOMEM;
	(void)json_dumpf(json, stdout, JSON_INDENT(1)); /* main() checks stdout */
	putchar('\n');
	return 0;
}
