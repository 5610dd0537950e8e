#include "recover/purge_state.h"

#include <bsd/stdlib.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "recover/file.h"
#include "recover/situation.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"

enum { STATE_MAX = 4096 };

static void eta_text(const struct purge_progress *p, char *to, size_t size)
{
	uint64_t low, high;

	if (!purge_eta(p, &low, &high))
		(void)snprintf(to, size, "time left unknown");
	else if (high < 120)
		(void)snprintf(to, size, "%" PRIu64 " to %" PRIu64 " s left", low, high);
	else
		(void)snprintf(to, size, "%" PRIu64 " to %" PRIu64 " min left", low / 60, high / 60 + 1);
}

void purge_state_line(const struct purge_progress *p, char *to, size_t size)
{
	char eta[64];

	eta_text(p, eta, sizeof(eta));
	(void)snprintf(to, size, "%" PRIu64 " entries, %" PRIu64 " MiB freed, %u/s, %s (%s), %s",
		       p->entries, p->bytes >> 20, p->rate, p->urgent ? "urgent" : "gentle",
		       p->why ? p->why : "", eta);
}

static char *state_name(const char *ticket)
{
	char *name;

	return asprintf(&name, "purge-%s.json", ticket) < 0 ? NULL : name;
}

void purge_state_write(const char *ticket, const struct purge_progress *p)
{
	cleanup_fd int dir_fd = file_make_dirs(RUN_PATH, 0700);
	cleanup_free char *name = state_name(ticket), *text = NULL;
	uint64_t low = 0, high = 0;
	bool known = purge_eta(p, &low, &high);
	json_t *json = json_pack("{s:I, s:I, s:I, s:I, s:i, s:s, s:s, s:I, s:o, s:o}", "time",
				 (json_int_t)time(NULL), "entries", (json_int_t)p->entries, "bytes",
				 (json_int_t)p->bytes, "left", (json_int_t)p->left, "rate", (int)p->rate,
				 "mode", p->urgent ? "urgent" : "gentle", "why", p->why ? p->why : "",
				 "elapsed_msec", (json_int_t)p->elapsed_msec, "eta_low_sec",
				 known ? json_integer((json_int_t)low) : json_null(), "eta_high_sec",
				 known ? json_integer((json_int_t)high) : json_null());

	text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
	if (dir_fd >= 0 && name && text)
		(void)file_replace(dir_fd, name, text, strlen(text), 0600);
}

void purge_state_remove(const char *ticket)
{
	cleanup_fd int dir_fd = open(RUN_PATH, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_free char *name = state_name(ticket);

	if (dir_fd >= 0 && name)
		(void)unlinkat(dir_fd, name, 0);
}

json_t *purge_state_read(const char *ticket)
{
	cleanup_fd int dir_fd = open(RUN_PATH, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_free char *name = state_name(ticket), *text = NULL;

	if (dir_fd < 0 || !name || dir_read_file(dir_fd, name, STATE_MAX, &text, NULL) < 0)
		return NULL;
	return json_loads(text, 0, NULL);
}
