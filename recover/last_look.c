#include "recover/last_look.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "recover/decision.h"
#include "recover/file.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/text.h"

enum { LOOK_MAX = 64 * 1024 };

static char *file_name(const char *unit)
{
	return text_print("%s.look", unit);
}

void last_look_write(int run_fd, const char *unit, const struct facts *facts,
		     const struct decision *decision)
{
	json_auto_t *json = decision_to_json(facts, decision);
	cleanup_free char *name = file_name(unit), *text = NULL;

	if (json &&
	    json_object_set_new(json, "time", json_integer((json_int_t)facts->taken.realtime_sec)) == 0)
		text = json_dumps(json, JSON_COMPACT);
	/* What was said of an earlier start is not true of this one. */
	if (name && (!text || file_replace(run_fd, name, text, strlen(text), 0600) < 0))
		last_look_forget(run_fd, unit);
}

void last_look_forget(int run_fd, const char *unit)
{
	cleanup_free char *name = file_name(unit);

	if (name)
		(void)unlinkat(run_fd, name, 0);
}

json_t *last_look_read(int run_fd, const char *unit)
{
	cleanup_free char *name = file_name(unit), *text = NULL;

	if (!name || dir_read_file(run_fd, name, LOOK_MAX, &text, NULL) < 0)
		return NULL;
	return json_loads(text, 0, NULL);
}
