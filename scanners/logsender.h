/* Who wrote a line of log, by the name in its prefix or by the journal's fields. */
#ifndef SCANNERS_LOGSENDER_H
#define SCANNERS_LOGSENDER_H

#include "scanners/loglines.h"

/* By the name in front of the line, "" if there is none. */
enum log_source log_source_of(const char *sender, const char *text);

/* By the journal's trusted fields, else by the name. */
enum log_source log_source_of_entry(const struct log_entry *entry, const char *text);

/*
 * k0s repeats what its components say: msg="…" component=containerd. Leaves only
 * that in @text, and returns whose it is; @source if @text is no such line, or
 * another @sender's ("": nobody's name is on it).
 */
enum log_source log_unwrap(char *text, const char *sender, enum log_source source);

/* Is @text a sentence that no program but containerd says? */
bool log_word_is_own(const char *text);

/* Does @text begin as logrus and containerd's main function begin their lines? */
bool log_word_is_in_form(const char *text);

/* Does @text name a program that has a bolt file of its own: etcd, BuildKit, podman? */
bool log_word_is_anothers(const char *text);

#endif
