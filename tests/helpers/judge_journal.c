/* judge_journal INVOCATION...: what the journal of these starts says. */
#include <stdio.h>
#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/journal.h"
#include "scanners/signatures.h"

int main(int argc, char **argv)
{
	cleanup_log struct log log = { 0 };
	const struct journal_query query = {
		.invocations = (const char *const *)(argv + 1),
		.invocation_count = (size_t)argc - 1,
		.lines_per_start = 300,
		.budget_msec = 2000,
	};
	struct signature_finding finding;
	int r = journal_read(&query, &log);

	if (r < 0) {
		fprintf(stderr, "cannot read the journal: %s\n", strerror(-r));
		return 1;
	}
	log_settle(&log);
	signature_find(&log, &finding, NULL);
	printf("%s %u/%u%s\n", signature_info(finding.signature)->id, finding.shown_in,
	       finding.starts, log.cut ? " cut" : "");
	return 0;
}
