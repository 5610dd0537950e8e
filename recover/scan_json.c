#include <errno.h>
#include <string.h>
#include <sys/param.h>

#include "recover/scan.h"
#include "scanners/cleanup.h"

static const char *owner_name(enum scan_owner owner)
{
	static const char *const names[] = {
		[SCAN_UNKNOWN] = "unknown", [SCAN_POD] = "pod",	      [SCAN_CONTAINER] = "container",
		[SCAN_IMAGE] = "image",	    [SCAN_ORPHAN] = "orphan", [SCAN_OURS] = "quarantine",
	};

	return names[owner];
}

/* Names from disk need not be UTF-8, JSON must be: then they are left out. */
static json_t *text(const char *string)
{
	json_t *json = string ? json_string(string) : NULL;

	return json ?: json_null();
}

static json_t *bytes(uint64_t number, bool measured)
{
	return measured ? json_integer((json_int_t)number) : json_null();
}

static json_t *litter(const uint64_t sums[LITTER_KINDS])
{
	json_t *json = json_object();

	for (enum litter kind = LITTER_NONE + 1; json && kind < LITTER_KINDS; kind++)
		if (sums[kind] > 0)
			(void)json_object_set_new(json, litter_name(kind),
						  json_integer((json_int_t)sums[kind]));
	return json;
}

static json_t *item(const struct scan *scan, const struct scan_item *from)
{
	const struct root_part *part = &scan->size.parts[from->part];
	cleanup_free char *path = root_size_path(&scan->size, from->part);

	return json_pack("{s:o, s:s, s:o, s:I, s:o, s:o}", "path", text(path), "owner",
			 owner_name(from->owner), "label", text(from->label), "entries",
			 (json_int_t)part->entries, "bytes", bytes(part->bytes, part->measured), "litter",
			 litter(part->litter));
}

static json_t *items(const struct scan *scan, size_t top)
{
	json_t *array = json_array();

	for (size_t i = 0; array && i < MIN(top, scan->item_count); i++)
		(void)json_array_append_new(array, item(scan, &scan->items[i]));
	return array;
}

static json_t *components(const struct root_size *size)
{
	cleanup_free struct scan_component *sums = NULL;
	size_t count = scan_sum_components(size, &sums);
	json_t *object = count ? json_object() : NULL;

	for (size_t i = 0; object && i < count; i++)
		(void)json_object_set_new(object, size->parts[sums[i].part].name,
					  json_pack("{s:I, s:o}", "entries", (json_int_t)sums[i].entries,
						    "bytes", bytes(sums[i].bytes, sums[i].measured)));
	return object;
}

json_t *scan_to_json(const struct scan *scan, size_t top)
{
	uint64_t sums[LITTER_KINDS] = { 0 };
	const struct scan_left *left = &scan->left;

	for (size_t i = 0; i < scan->size.count; i++)
		for (enum litter kind = LITTER_NONE; kind < LITTER_KINDS; kind++)
			sums[kind] += scan->size.parts[i].litter[kind];
	return json_pack("{s:I, s:b, s:I, s:i, s:o, s:o, s:I, s:o, s:b, s:o, s:b, s:{s:I, s:I, s:I, s:I, s:I, s:I}}",
			 "entries", (json_int_t)scan->size.walk.entries, "complete",
			 scan->size.walk.complete, "msec", (json_int_t)scan->size.walk.msec, "error",
			 scan->size.walk.error, "components", components(&scan->size), "items",
			 items(scan, top), "item_count", (json_int_t)scan->item_count, "litter",
			 litter(sums), "records_read", scan->records_read, "records_problem",
			 text(scan->records_problem), "state_read", scan->state_read, "left", "snapshots",
			 (json_int_t)left->snapshots, "snapshot_entries",
			 (json_int_t)left->snapshot_entries, "blobs", (json_int_t)left->blobs,
			 "blob_bytes", (json_int_t)left->blob_bytes, "bundles",
			 (json_int_t)left->bundles, "mounts", (json_int_t)left->mounts);
}
