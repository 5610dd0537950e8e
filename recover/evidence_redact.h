/*
 * Removing credentials from what is put into evidence.
 */
#ifndef RECOVER_EVIDENCE_REDACT_H
#define RECOVER_EVIDENCE_REDACT_H

#include "scanners/text.h"

/*
 * containerd's configuration @from, valid TOML or not, with every value whose
 * key or table names a credential (auth, password, token, secret, header, …)
 * replaced, and user:password@ taken out of URLs. When in doubt, a value is
 * replaced. Returns 0 or -ENOMEM.
 */
int redact_config(const char *from, struct text *to);

/* Lines of a log: user:password@ in URLs, "Authorization: …", "password=…". */
int redact_lines(const char *from, struct text *to);

/*
 * A systemd unit: as lines, and all behind the first '=' of one that names a
 * credential anywhere, its continuation lines included.
 */
int redact_unit(const char *from, struct text *to);

/* user:password@ in URLs alone: JSON stays JSON. */
int redact_urls(const char *from, struct text *to);

#endif
