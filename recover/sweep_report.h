/* What `sweep` found and did, for people and for machines. */
#ifndef RECOVER_SWEEP_REPORT_H
#define RECOVER_SWEEP_REPORT_H

#include <stdbool.h>

#include "recover/cli.h"
#include "recover/fate.h"
#include "recover/orphan.h"
#include "scanners/inventory.h"
#include "scanners/pool.h"
#include "scanners/strangers.h"

/* One sandbox as judged. */
struct judged {
	const struct sandbox *sandbox;
	enum fate fate;
	const char *why;
	bool tried; /* it was to be released, and */
	int result; /* 0: nothing is left of it; else as of struct sweep_options */
};

struct sweep_report {
	const struct inventory *inventory;
	const struct known *known;
	const struct judged *judged; /* one for each of the inventory */
	const struct strangers *strangers;
	const struct pools *pools;
	struct orphans_result orphans;
	bool acted; /* else it was a dry run */
};

/* Print it on stdout. Returns 0 or -ENOMEM. */
int sweep_report_print(const struct sweep_report *report, enum cli_format format);

#endif
