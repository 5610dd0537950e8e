/*
 * The command line that systemd would run for a unit's ExecStart=: split and
 * unquoted, specifiers and environment expanded (systemd.service(5),
 * systemd.exec(5)).
 */
#ifndef SCANNERS_UNITEXEC_H
#define SCANNERS_UNITEXEC_H

#include "scanners/text.h"
#include "scanners/unitfile.h"

/*
 * The argument vector of @unit's one ExecStart= into @ret, which ends with
 * text_list_done(); the binary's path is @ret_path, to free().
 *
 * Returns 0, or a negative errno with both untouched: -ENOENT for a unit
 * without ExecStart=, -ENOTSUP with @ret_problem saying why (to free()) for
 * what cannot be expanded from here, -ENOMEM.
 */
int unit_exec_start(const char *prefix, const struct unit_file *unit,
		    const struct unit_file *manager, struct text_list *ret, char **ret_path,
		    char **ret_problem);

/*
 * The next word of *@at, unquoted; *@at moves behind it. With @unescape C
 * escapes are understood, else a backslash makes the next character plain.
 *
 * Returns 1 with @ret the caller's, 0 at the end, -EINVAL for an open quote or
 * an unknown escape, -ENOMEM.
 */
int unit_next_word(const char **at, bool unescape, char **ret);

/* @text with the specifiers of @unit_name expanded; -ENOTSUP for one not known here. */
int unit_expand_specifiers(const char *text, const char *unit_name, char **ret);

#endif
