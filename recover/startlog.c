#include "recover/startlog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/journal.h"
#include "scanners/loglines.h"
#include "scanners/signatures.h"

#define CRI "io.containerd.grpc.v1.cri"
#define CONTAINERS "containers"

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
	f->log.needs_missing = finding->needs & NEED_MISSING;
	if (evidence->count > 0)
		(void)snprintf(f->log.line, sizeof(f->log.line), "%s",
			       log->lines[evidence->lines[0]].text);
}

/* …/io.containerd.grpc.v1.cri/containers/<id>/status: no such file or directory */
static bool take_id(const char *line, char *id, size_t size)
{
	static const char dir[] = CRI "/" CONTAINERS "/", file[] = "/status";
	const char *at = strstr(line, dir), *end = at ? strstr(at, file) : NULL;
	size_t length;

	if (!end)
		return false;
	at += strlen(dir);
	length = (size_t)(end - at);
	if (length == 0 || length >= size || at[0] == '.' || memchr(at, '/', length))
		return false;
	memcpy(id, at, length);
	id[length] = '\0';
	return true;
}

void startlog_look_for_missing(int root_fd, struct facts *facts)
{
	cleanup_fd int plugin_fd = -EBADF, containers_fd = -EBADF, fd = -EBADF;
	char id[FACT_TEXT];
	struct stat st;

	facts->log.missing = ANSWER_UNKNOWN;
	if (!take_id(facts->log.line, id, sizeof(id)))
		return;
	plugin_fd = dir_open_beneath(root_fd, CRI);
	containers_fd = plugin_fd < 0 ? plugin_fd : dir_open_beneath(plugin_fd, CONTAINERS);
	if (containers_fd < 0)
		return; /* with all of them gone it may be another disk */
	fd = dir_open_beneath(containers_fd, id);
	if (fd == -ENOENT || (fd >= 0 && fstatat(fd, "status", &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT))
		facts->log.missing = ANSWER_YES;
	else if (fd >= 0)
		facts->log.missing = ANSWER_NO;
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
