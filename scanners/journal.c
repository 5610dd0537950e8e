#include "scanners/journal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-journal.h>

#include "scanners/cleanup.h"
#include "scanners/clock.h"
#include "scanners/dl.h"
#include "scanners/text.h"

static __typeof__(sd_journal_open) *sym_sd_journal_open;
static __typeof__(sd_journal_open_directory) *sym_sd_journal_open_directory;
static __typeof__(sd_journal_close) *sym_sd_journal_close;
static __typeof__(sd_journal_add_match) *sym_sd_journal_add_match;
static __typeof__(sd_journal_add_disjunction) *sym_sd_journal_add_disjunction;
static __typeof__(sd_journal_flush_matches) *sym_sd_journal_flush_matches;
static __typeof__(sd_journal_seek_head) *sym_sd_journal_seek_head;
static __typeof__(sd_journal_seek_tail) *sym_sd_journal_seek_tail;
static __typeof__(sd_journal_previous) *sym_sd_journal_previous;
static __typeof__(sd_journal_next) *sym_sd_journal_next;
static __typeof__(sd_journal_get_data) *sym_sd_journal_get_data;
static __typeof__(sd_journal_set_data_threshold) *sym_sd_journal_set_data_threshold;

static const struct dl_symbol symbols[] = {
	DL_SYMBOL(sd_journal_open),	     DL_SYMBOL(sd_journal_open_directory),
	DL_SYMBOL(sd_journal_close),	     DL_SYMBOL(sd_journal_add_match),
	DL_SYMBOL(sd_journal_add_disjunction), DL_SYMBOL(sd_journal_flush_matches),
	DL_SYMBOL(sd_journal_seek_head),     DL_SYMBOL(sd_journal_seek_tail),
	DL_SYMBOL(sd_journal_previous),
	DL_SYMBOL(sd_journal_next),	     DL_SYMBOL(sd_journal_get_data),
	DL_SYMBOL(sd_journal_set_data_threshold),
};

static void journal_close(sd_journal **journal)
{
	if (*journal)
		sym_sd_journal_close(*journal);
}

static int journal_open(const char *directory, sd_journal **ret)
{
	int r = dl_load("libsystemd.so.0", symbols, ARRAY_SIZE(symbols));

	if (r < 0)
		return -ENOENT;
	if (directory)
		r = sym_sd_journal_open_directory(ret, directory, 0);
	else
		r = sym_sd_journal_open(ret, SD_JOURNAL_LOCAL_ONLY | SD_JOURNAL_SYSTEM);
	if (r < 0)
		return r;
	/* The library may cut longer fields, as we would. */
	return sym_sd_journal_set_data_threshold(*ret, LOG_LINE_MAX);
}

static int add_match(sd_journal *journal, const char *field, const char *invocation)
{
	cleanup_free char *match = text_print("%s=%s", field, invocation);

	return match ? sym_sd_journal_add_match(journal, match, 0) : -ENOMEM;
}

/* What the unit's processes wrote, or PID 1 about it. */
static int match_invocation(sd_journal *journal, const char *invocation)
{
	int r;

	sym_sd_journal_flush_matches(journal);
	r = add_match(journal, "_SYSTEMD_INVOCATION_ID", invocation);
	if (r >= 0)
		r = sym_sd_journal_add_disjunction(journal);
	if (r >= 0)
		r = add_match(journal, "INVOCATION_ID", invocation);
	return r < 0 ? r : 0;
}

/* The value of @field in the current entry, NULL if it has none or there is no memory. */
static char *get_field(sd_journal *journal, const char *field)
{
	const void *data;
	size_t size, skip = strlen(field) + 1;

	if (sym_sd_journal_get_data(journal, field, &data, &size) < 0 || size < skip)
		return NULL;
	return strndup((const char *)data + skip, size - skip);
}

static int add_entry(sd_journal *journal, const char *invocation, struct log *log)
{
	cleanup_free char *sender = get_field(journal, "SYSLOG_IDENTIFIER");
	cleanup_free char *comm = get_field(journal, "_COMM");
	cleanup_free char *unit = get_field(journal, "UNIT");
	cleanup_free char *pid = get_field(journal, "_PID");
	cleanup_free char *message = get_field(journal, "MESSAGE");
	struct log_entry entry = {
		.sender = sender,
		.comm = comm,
		.unit = unit,
		.pid = pid ? (uint32_t)strtoul(pid, NULL, 10) : 0,
		.message = message,
		.invocation = invocation,
	};

	if (!message)
		return 0;
	entry.size = strlen(message);
	return log_add_entry(log, &entry);
}

/* Back from the end, at most @lines; then forward again, so that order is kept. */
static int read_invocation(sd_journal *journal, const char *invocation, unsigned lines,
			   int64_t deadline, struct log *log)
{
	unsigned behind = 0;
	int r = match_invocation(journal, invocation);

	if (r == 0)
		r = sym_sd_journal_seek_tail(journal);
	while (r >= 0 && behind < lines && (r = sym_sd_journal_previous(journal)) > 0) {
		behind++;
		if (deadline && clock_msec() > deadline) {
			log->cut = true;
			break;
		}
	}
	if (r < 0)
		return r;
	if (r == 0) {
		r = sym_sd_journal_seek_head(journal);
		if (r == 0)
			r = sym_sd_journal_next(journal);
	}
	for (; r > 0 && behind > 0; behind--) {
		r = add_entry(journal, invocation, log);
		if (r == 0)
			r = sym_sd_journal_next(journal);
	}
	return r < 0 ? r : 0;
}

int journal_read(const struct journal_query *query, struct log *log)
{
	__attribute__((cleanup(journal_close))) sd_journal *journal = NULL;
	int64_t deadline = query->budget_msec ? clock_msec() + query->budget_msec : 0;
	int r = journal_open(query->directory, &journal);

	for (size_t i = 0; i < query->invocation_count && r == 0 && !log->cut; i++)
		r = read_invocation(journal, query->invocations[i], query->lines_per_start,
				    deadline, log);
	return r;
}
