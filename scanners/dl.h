/*
 * Libraries that are loaded when first needed. Every containerd start on every
 * node runs our fast path; what costs more to load than that path costs to run
 * (libsystemd, libmount, libcurl, libarchive) is not linked but opened here.
 *
 * A module declares what it uses and loads it once:
 *
 *	static __typeof__(sd_notify) *sym_sd_notify;
 *	static const struct dl_symbol symbols[] = { DL_SYMBOL(sd_notify) };
 *	r = dl_load("libsystemd.so.0", symbols, ARRAY_SIZE(symbols));
 */
#ifndef SCANNERS_DL_H
#define SCANNERS_DL_H

#include <stddef.h>

struct dl_symbol {
	const char *name;
	void **ret;
};

#define DL_SYMBOL(f) { #f, (void **)&sym_##f }

/*
 * Open @soname and fill every symbol of @symbols. The library stays open for
 * the life of the process; a second call costs a look-up.
 *
 * Returns 0, -ENOENT where the library is not installed, or -ENOTSUP where it
 * lacks one of the symbols.
 */
int dl_load(const char *soname, const struct dl_symbol *symbols, size_t count);

#endif
