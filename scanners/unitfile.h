/*
 * A systemd unit as its files say it: fragment and drop-ins from systemd's
 * search path (systemd.unit(5)), read without systemd. What was changed but
 * not reloaded, and what `systemctl set-property` keeps in memory, is not seen.
 */
#ifndef SCANNERS_UNITFILE_H
#define SCANNERS_UNITFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scanners/text.h"

struct unit_setting {
	char *section, *key, *value; /* the value with continuation lines joined */
};

struct unit_file {
	char *name;		/* with its suffix */
	char *fragment;		/* path; NULL if there is none */
	bool masked;		/* systemd refuses to start it */
	struct text_list files; /* fragment and drop-ins, in order */
	struct unit_setting *settings;
	size_t count, room;
};

/*
 * Read the unit @name (a missing suffix is ".service"). @prefix is where the
 * node's / is: "" for this machine.
 *
 * Returns 0 with @ret the caller's, to end with unit_file_done(), a unit
 * without files included; or with @ret untouched -EINVAL for an impossible
 * name, -ENOMEM, or the errno of a file that is there and cannot be read.
 */
int unit_file_read(const char *prefix, const char *name, struct unit_file *ret);

/*
 * The manager's own settings: system.conf and its drop-ins, as a unit without
 * name. Errors as above; no file at all is empty.
 */
int unit_manager_read(const char *prefix, struct unit_file *ret);

void unit_file_done(struct unit_file *unit);
#define cleanup_unit_file __attribute__((cleanup(unit_file_done)))

/* The last value of @key in @section, NULL if it is not set. */
const char *unit_file_get(const struct unit_file *unit, const char *section, const char *key);

/*
 * A time span as in systemd.time(7), "90", "1min 30s", "infinity" (UINT64_MAX),
 * in microseconds. Returns 0, or -EINVAL with @ret untouched.
 */
int unit_time_span(const char *text, uint64_t *ret);

#endif
