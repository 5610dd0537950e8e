#include <string.h>
#include <sys/param.h>

#include "recover/log.h"
#include "recover/quantity.h"
#include "recover/scan.h"
#include "scanners/cleanup.h"
#include "scanners/text.h"

/* What a table is printed with. */
struct table {
	FILE *to;
	uint64_t all; /* entries: of these the shares are */
	bool unmeasured; /* a row without its bytes was printed */
};

static void print_head(const struct table *table, const char *what)
{
	(void)fprintf(table->to, "\n%13s %6s %9s  %s\n", "entries", "share", "bytes", what);
}

static void print_row(struct table *table, uint64_t entries, uint64_t bytes, bool measured)
{
	table->unmeasured |= !measured;
	(void)fprintf(table->to, "%13s %6s %9s  ", quantity_count(entries).text,
		      quantity_share(entries, table->all).text,
		      measured ? quantity_bytes(bytes).text : "-");
}

/* The share of one kind of litter, if much of a part is that. */
static void print_litter_of(FILE *to, const struct root_part *part)
{
	enum litter most = LITTER_NONE;

	for (enum litter kind = LITTER_NONE + 1; kind < LITTER_KINDS; kind++)
		if (most == LITTER_NONE || part->litter[kind] > part->litter[most])
			most = kind;
	if (part->litter[most] * 10 >= part->entries && part->litter[most] > 0)
		(void)fprintf(to, "; %s of it %s",
			      quantity_share(part->litter[most], part->entries).text,
			      litter_name(most));
}

static void print_components(struct table *table, const struct root_size *size)
{
	cleanup_free struct scan_component *sums = NULL;
	size_t count = scan_sum_components(size, &sums);

	print_head(table, "directory");
	for (size_t i = 0; i < count && sums[i].entries > 0; i++) {
		print_row(table, sums[i].entries, sums[i].bytes, sums[i].measured);
		(void)fprintf(table->to, "%s\n",
			      sums[i].part ? log_name(size->parts[sums[i].part].name) : "(the root itself)");
	}
}

static void print_items(struct table *table, const struct scan *scan, size_t top)
{
	size_t shown = MIN(top, scan->item_count);
	cleanup_free char *head = NULL;

	if (shown == 0)
		return;
	if (shown == scan->item_count)
		head = strdup("whose");
	else
		head = text_print("whose (the %zu biggest of %zu)", shown, scan->item_count);
	print_head(table, head ?: "whose");
	for (size_t i = 0; i < shown; i++) {
		const struct scan_item *item = &scan->items[i];
		const struct root_part *part = &scan->size.parts[item->part];
		cleanup_free char *path = root_size_path(&scan->size, item->part);

		print_row(table, part->entries, part->bytes, part->measured);
		(void)fprintf(table->to, "%s", log_name(item->label));
		print_litter_of(table->to, part);
		(void)fprintf(table->to, "\n%32s%s\n", "", log_name(path ?: part->name));
	}
}

static void print_litter(struct table *table, const struct root_size *size)
{
	uint64_t sums[LITTER_KINDS] = { 0 }, all = 0;

	for (size_t i = 0; i < size->count; i++)
		for (enum litter kind = LITTER_NONE + 1; kind < LITTER_KINDS; kind++) {
			sums[kind] += size->parts[i].litter[kind];
			all += size->parts[i].litter[kind];
		}
	if (all == 0)
		return;
	(void)fprintf(table->to, "\n%13s %6s  %s\n", "entries", "share", "litter");
	for (;;) {
		enum litter most = LITTER_NONE;

		for (enum litter kind = LITTER_NONE + 1; kind < LITTER_KINDS; kind++)
			if (sums[kind] > sums[most])
				most = kind;
		if (sums[most] == 0)
			return;
		(void)fprintf(table->to, "%13s %6s  %s\n", quantity_count(sums[most]).text,
			      quantity_share(sums[most], table->all).text, litter_name(most));
		sums[most] = 0;
	}
}

static const char *plural(uint64_t count)
{
	return count == 1 ? "" : "s";
}

static void print_left_of_records(FILE *to, const struct scan_left *left)
{
	if (left->snapshots)
		(void)fprintf(to, "  %s snapshot%s without a record, %s entries\n",
			      quantity_count(left->snapshots).text, plural(left->snapshots),
			      quantity_count(left->snapshot_entries).text);
	if (left->blobs)
		(void)fprintf(to, "  %s blob%s without a record, %s\n", quantity_count(left->blobs).text,
			      plural(left->blobs), quantity_bytes(left->blob_bytes).text);
}

static void print_left_in_state(FILE *to, const struct scan_left *left)
{
	if (left->bundles)
		(void)fprintf(to, "  %s bundle%s without a process\n",
			      quantity_count(left->bundles).text, plural(left->bundles));
	if (left->mounts)
		(void)fprintf(to, "  %s mount%s without a process\n", quantity_count(left->mounts).text,
			      plural(left->mounts));
}

/* What could not be looked at is said; that there is nothing, only of what was. */
static void print_left(FILE *to, const struct scan *scan)
{
	const struct scan_left *left = &scan->left;
	bool found = left->snapshots + left->blobs + left->bundles + left->mounts > 0;

	(void)fprintf(to, "\nLeft over%s:%s\n", scan->size.walk.complete ? "" : ", as far as was counted",
		      found || !scan->records_read || !scan->state_read ? "" : " nothing");
	print_left_of_records(to, left);
	print_left_in_state(to, left);
	if (!scan->records_read)
		(void)fprintf(to, "  snapshots and blobs cannot be told: meta.db could not be read (%s)\n",
			      scan->records_problem);
	if (!scan->state_read)
		(void)fprintf(to, "  bundles and mounts cannot be told: the state directory could not be read\n");
}

static void print_sum(FILE *to, const struct scan *scan, const char *root)
{
	const struct walk_result *walk = &scan->size.walk;

	(void)fprintf(to, "%s holds %s%s entries (files and directories), counted in %.*f s.\n",
		      log_name(root), walk->complete ? "" : "at least ",
		      quantity_count(walk->entries).text, walk->msec < 1000 ? 3 : 1, walk->msec / 1000.0);
	if (walk->error)
		(void)fprintf(to, "Not everything could be read: %s.\n", strerror(-walk->error));
	else if (!walk->complete)
		(void)fprintf(to, "The time was up before all of them were; --budget=SECONDS gives more, --full any.\n");
}

/* In words, what the tables will show in numbers. */
static void print_biggest(FILE *to, const struct scan *scan)
{
	const struct scan_item *item = scan->items;
	const struct root_part *part;

	if (scan->item_count == 0)
		return;
	part = &scan->size.parts[item->part];
	if (part->entries * 10 < scan->size.walk.entries)
		return;
	(void)fprintf(to, "The biggest part, %s of them: %s",
		      quantity_share(part->entries, scan->size.walk.entries).text, log_name(item->label));
	print_litter_of(to, part);
	(void)fprintf(to, ".\n");
}

void scan_print(FILE *to, const struct scan *scan, const char *root, uint64_t mark, size_t top)
{
	struct table table = { to, scan->size.walk.entries, false };

	print_sum(to, scan, root);
	if (scan->size.walk.entries >= mark)
		(void)fprintf(to, "It is bloated: the mark is %s ([bloat] entries).\n",
			      quantity_count(mark).text);
	print_biggest(to, scan);
	print_components(&table, &scan->size);
	print_items(&table, scan, top);
	if (table.unmeasured)
		(void)fprintf(to, "\n  -: not measured; --full measures everything\n");
	print_litter(&table, &scan->size);
	print_left(to, scan);
}
