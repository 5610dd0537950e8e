#include <bsd/libutil.h>
#include <inttypes.h>
#include <string.h>
#include <sys/param.h>

#include "recover/log.h"
#include "recover/scan.h"
#include "scanners/cleanup.h"

enum { NUMBER = 32 };

/* 1234567 as "1,234,567". */
static const char *grouped(uint64_t number, char text[NUMBER])
{
	char digits[NUMBER];
	int n = snprintf(digits, sizeof(digits), "%" PRIu64, number), at = 0;

	for (int i = 0; i < n; i++) {
		if (i > 0 && (n - i) % 3 == 0)
			text[at++] = ',';
		text[at++] = digits[i];
	}
	text[at] = '\0';
	return text;
}

static const char *sized(uint64_t bytes, bool known, char text[NUMBER])
{
	if (!known || humanize_number(text, 9, (int64_t)bytes, "B", HN_AUTOSCALE,
				      HN_DECIMAL | HN_IEC_PREFIXES) < 0)
		memcpy(text, "-", sizeof("-"));
	return text;
}

/* The share of one kind of litter, if most of a part is that. */
static void print_litter_of(FILE *to, const struct root_part *part)
{
	enum litter most = LITTER_NONE;

	for (enum litter kind = LITTER_NONE + 1; kind < LITTER_KINDS; kind++)
		if (most == LITTER_NONE || part->litter[kind] > part->litter[most])
			most = kind;
	if (part->litter[most] * 10 >= part->entries && part->litter[most] > 0)
		(void)fprintf(to, "; %d %% of it %s",
			      (int)(part->litter[most] * 100 / part->entries), litter_name(most));
}

static void print_row(FILE *to, uint64_t entries, uint64_t bytes, bool measured)
{
	char a[NUMBER], b[NUMBER];

	(void)fprintf(to, "%15s %9s  ", grouped(entries, a), sized(bytes, measured, b));
}

struct component {
	uint32_t part;
	uint64_t entries, bytes;
	bool measured;
};

static int compare_components(const void *a, const void *b)
{
	const struct component *x = a, *y = b;

	return (x->entries < y->entries) - (x->entries > y->entries);
}

/* Sums of the top directories, most entries first. Returns their number, 0 for want of memory. */
static size_t sum_components(const struct root_size *size, struct component **ret)
{
	struct component *sums = calloc(size->count, sizeof(*sums));
	size_t count = 0;

	if (!sums)
		return 0;
	for (uint32_t i = 0; i < size->count; i++) {
		struct component *sum = &sums[root_size_component(size, i)];

		if (size->parts[i].parent == 0) {
			sum->part = i;
			sum->measured = true;
		}
		sum->entries += size->parts[i].entries;
		sum->bytes += size->parts[i].bytes;
		sum->measured &= size->parts[i].measured;
	}
	for (uint32_t i = 0; i < size->count; i++)
		if (size->parts[i].parent == 0)
			sums[count++] = sums[i];
	qsort(sums, count, sizeof(*sums), compare_components);
	*ret = sums;
	return count;
}

static void print_components(FILE *to, const struct root_size *size)
{
	cleanup_free struct component *sums = NULL;
	size_t count = sum_components(size, &sums);

	(void)fprintf(to, "\n        entries     bytes  directory\n");
	for (size_t i = 0; i < count; i++) {
		print_row(to, sums[i].entries, sums[i].bytes, sums[i].measured);
		(void)fprintf(to, "%s\n",
			      sums[i].part ? log_name(size->parts[sums[i].part].name) : "(the root itself)");
	}
}

static void print_items(FILE *to, const struct scan *scan, size_t top)
{
	size_t shown = MIN(top, scan->item_count);

	if (shown == 0)
		return;
	(void)fprintf(to, "\n        entries     bytes  whose (the %zu biggest of %zu)\n", shown,
		      scan->item_count);
	for (size_t i = 0; i < shown; i++) {
		const struct scan_item *item = &scan->items[i];
		const struct root_part *part = &scan->size.parts[item->part];
		cleanup_free char *path = root_size_path(&scan->size, item->part);

		print_row(to, part->entries, part->bytes, part->measured);
		(void)fprintf(to, "%s", log_name(item->label));
		print_litter_of(to, part);
		(void)fprintf(to, "\n%27s%s\n", "", log_name(path ?: part->name));
	}
}

static void print_litter(FILE *to, const struct root_size *size)
{
	uint64_t sums[LITTER_KINDS] = { 0 }, all = 0;
	char text[NUMBER];

	for (size_t i = 0; i < size->count; i++)
		for (enum litter kind = LITTER_NONE + 1; kind < LITTER_KINDS; kind++) {
			sums[kind] += size->parts[i].litter[kind];
			all += size->parts[i].litter[kind];
		}
	if (all == 0)
		return;
	(void)fprintf(to, "\n        entries  litter\n");
	for (;;) {
		enum litter most = LITTER_NONE;

		for (enum litter kind = LITTER_NONE + 1; kind < LITTER_KINDS; kind++)
			if (sums[kind] > sums[most])
				most = kind;
		if (sums[most] == 0)
			return;
		(void)fprintf(to, "%15s  %s\n", grouped(sums[most], text), litter_name(most));
		sums[most] = 0;
	}
}

static void print_left(FILE *to, const struct scan *scan)
{
	const struct scan_left *left = &scan->left;
	char a[NUMBER], b[NUMBER];

	if (!scan->records_read)
		(void)fprintf(to, "\nWhat is left over cannot be told: meta.db could not be read (%s).\n",
			      scan->records_problem);
	if (left->snapshots + left->blobs + left->bundles + left->mounts == 0)
		return;
	(void)fprintf(to, "\nLeft over:\n");
	if (left->snapshots)
		(void)fprintf(to, "  %s snapshots without a record, %s entries\n",
			      grouped(left->snapshots, a), grouped(left->snapshot_entries, b));
	if (left->blobs)
		(void)fprintf(to, "  %s blobs without a record, %s\n", grouped(left->blobs, a),
			      sized(left->blob_bytes, true, b));
	if (left->bundles)
		(void)fprintf(to, "  %s bundles without a process\n", grouped(left->bundles, a));
	if (left->mounts)
		(void)fprintf(to, "  %s mounts without a process\n", grouped(left->mounts, a));
}

void scan_print(FILE *to, const struct scan *scan, size_t top)
{
	const struct walk_result *walk = &scan->size.walk;
	char text[NUMBER];

	(void)fprintf(to, "%s%s entries, counted in %.1f s%s%s%s.\n",
		      walk->complete ? "" : "At least ", grouped(walk->entries, text),
		      walk->msec / 1000.0,
		      walk->complete ? "" : ", which was not enough for all of them (--full)",
		      walk->error ? "; not everything could be read: " : "",
		      walk->error ? strerror(-walk->error) : "");
	print_components(to, &scan->size);
	print_items(to, scan, top);
	print_litter(to, &scan->size);
	print_left(to, scan);
}
