#include "recover/scan.h"

#include <errno.h>
#include <string.h>
#include <sys/param.h>

#include "scanners/cleanup.h"
#include "scanners/clock.h"

static int compare_items(const void *a, const void *b, void *data)
{
	const struct root_size *size = data;
	const struct root_part *x = &size->parts[((const struct scan_item *)a)->part];
	const struct root_part *y = &size->parts[((const struct scan_item *)b)->part];

	if (x->entries != y->entries)
		return x->entries < y->entries ? 1 : -1;
	return strcmp(x->name, y->name);
}

static int list_items(struct scan *scan)
{
	scan->items = calloc(scan->size.count, sizeof(*scan->items));
	if (!scan->items)
		return -ENOMEM;
	for (uint32_t i = 0; i < scan->size.count; i++)
		if (root_class_is_item(scan->size.parts[i].kind))
			scan->items[scan->item_count++].part = i;
	qsort_r(scan->items, scan->item_count, sizeof(*scan->items), compare_items, &scan->size);
	return 0;
}

/* With the time that is left, the biggest get their bytes too. */
static void measure_top(int root_fd, struct scan *scan, const struct scan_options *options)
{
	unsigned spent = scan->size.walk.msec;
	int64_t start = clock_msec();

	for (size_t i = 0; i < MIN(options->top, scan->item_count); i++) {
		uint32_t part = scan->items[i].part;

		spent = scan->size.walk.msec + (unsigned)(clock_msec() - start);
		if (options->budget_msec && spent >= options->budget_msec)
			break;
		/* Not measured is said; why, is of no interest. */
		if (!scan->size.parts[part].measured)
			(void)root_size_measure(root_fd, &scan->size, part,
						options->budget_msec ? options->budget_msec - spent : 0);
	}
}

int scan_root(int root_fd, const struct config *config, const struct inventory *inventory,
	      const struct scan_options *options, struct scan *ret)
{
	cleanup_scan struct scan scan = { 0 };
	const struct root_size_options size_options = {
		.budget_msec = options->budget_msec,
		.measure = options->full,
		.progress = options->progress,
		.data = options->data,
	};
	int r;

	r = root_size_scan(root_fd, &size_options, &scan.size);
	if (r == 0)
		r = list_items(&scan);
	if (r < 0)
		return r;
	measure_top(root_fd, &scan, options);
	r = scan_name_items(root_fd, &scan);
	if (r == 0 && inventory)
		r = scan_left_in_state(config, inventory, &scan.left);
	scan.state_read = inventory != NULL;
	if (r < 0)
		return r;
	*ret = scan;
	scan = (struct scan){ 0 };
	return 0;
}

static int compare_components(const void *a, const void *b)
{
	const struct scan_component *x = a, *y = b;

	return (x->entries < y->entries) - (x->entries > y->entries);
}

size_t scan_sum_components(const struct root_size *size, struct scan_component **ret)
{
	struct scan_component *sums = calloc(size->count, sizeof(*sums));
	size_t count = 0;

	if (!sums)
		return 0;
	for (uint32_t i = 0; i < size->count; i++) {
		struct scan_component *sum = &sums[root_size_component(size, i)];

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

void scan_done(struct scan *scan)
{
	for (size_t i = 0; i < scan->item_count; i++)
		free(scan->items[i].label);
	free(scan->items);
	free(scan->records_problem);
	root_size_done(&scan->size);
	*scan = (struct scan){ 0 };
}
