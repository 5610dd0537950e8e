#include "recover/startlog.h"

#include <stdio.h>

#include "scanners/cleanup.h"
#include "scanners/journal.h"
#include "scanners/loglines.h"
#include "scanners/signatures.h"

enum { LINES_PER_START = 400, JOURNAL_MSEC = 1000 };

static void fill(const struct log *log, const struct signature_finding *finding,
		 const struct signature_evidence *evidence, struct facts *f)
{
	const struct signature_info *info = signature_info(finding->signature);

	f->log.looked = true;
	f->log.verdict = finding->verdict == SIGNATURE_HANDS_OFF  ? LOG_SAYS_HANDS_OFF :
			 finding->verdict == SIGNATURE_PARTIAL	  ? LOG_SAYS_PARTIAL :
			 finding->verdict == SIGNATURE_QUARANTINE ? LOG_SAYS_QUARANTINE :
								    LOG_SAYS_NOTHING;
	(void)snprintf(f->log.rule, sizeof(f->log.rule), "%s", info->id);
	(void)snprintf(f->log.class, sizeof(f->log.class), "%s", info->class);
	(void)snprintf(f->log.what, sizeof(f->log.what), "%s", info->what ? info->what : "");
	f->log.starts = finding->starts;
	f->log.shown_in = finding->shown_in;
	f->log.in_last = finding->in_last;
	f->log.needs_check = finding->needs & NEED_BOLT_CHECK;
	f->log.needs_unchanged = finding->needs & NEED_UNCHANGED;
	if (evidence->count > 0)
		(void)snprintf(f->log.line, sizeof(f->log.line), "%s",
			       log->lines[evidence->lines[0]].text);
}

void startlog_look(const struct ledger_summary *ledger, struct facts *facts)
{
	const char *invocations[LEDGER_INVOCATIONS];
	struct journal_query query = {
		.invocations = invocations,
		.invocation_count = ledger->invocation_count,
		.lines_per_start = LINES_PER_START,
		.budget_msec = JOURNAL_MSEC,
	};
	cleanup_log struct log log = { 0 };
	struct signature_finding finding;
	struct signature_evidence evidence;

	if (ledger->invocation_count == 0)
		return;
	for (unsigned i = 0; i < ledger->invocation_count; i++) /* oldest first */
		invocations[i] = ledger->invocations[ledger->invocation_count - 1 - i];
	if (journal_read(&query, &log) < 0)
		return;
	log_settle(&log);
	signature_find(&log, &finding, &evidence);
	fill(&log, &finding, &evidence, facts);
}
