#include <errno.h>
#include <string.h>

#include "recover/evidence.h"
#include "recover/ledger.h"
#include "recover/situation.h"
#include "scanners/array.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/journal.h"
#include "scanners/text.h"

enum { LINES_PER_START = 2000 };

static int read_ledger(const char *unit, const struct policy *policy, struct ledger_summary *ret)
{
	cleanup_free char *name = situation_ledger_name(unit);
	cleanup_fd int dirfd = dir_open_path(RECORDS_PATH);
	struct ledger_clock clock;
	int r;

	if (!name)
		return -ENOMEM;
	if (dirfd < 0)
		return dirfd;
	r = ledger_clock_now(&clock);
	return r < 0 ? r : ledger_read(dirfd, name, &clock, policy, ret);
}

int evidence_journal(const char *unit, const struct policy *policy, char **ret)
{
	struct ledger_summary ledger = { 0 };
	const char *invocations[LEDGER_INVOCATIONS];
	struct journal_query query = {
		.invocations = invocations,
		.lines_per_start = LINES_PER_START,
		.budget_msec = (unsigned)policy->evidence_sec * 1000 / 4,
	};
	cleanup_text struct text text = { 0 };
	cleanup_log struct log log = { 0 };
	int r;

	r = read_ledger(unit, policy, &ledger);
	for (unsigned i = ledger.invocation_count; r == 0 && i > 0; i--)
		invocations[query.invocation_count++] = ledger.invocations[i - 1];
	if (r == 0 && query.invocation_count > 0)
		r = journal_read(&query, &log);
	if (r < 0 && r != -ENOENT)
		return r;
	for (size_t i = 0; i < log.count; i++) {
		r = text_add_string(&text, log.lines[i].raw);
		if (r == 0)
			r = text_add_string(&text, "\n");
		if (r < 0)
			return r;
	}
	*ret = text.string ? text_take(&text) : NULL;
	return 0;
}
