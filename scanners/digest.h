/*
 * SHA-256 as content stores name things by it. By libcrypto, opened when first
 * needed, which uses what the processor has for it; else by libmd, at a sixth
 * of the speed.
 */
#ifndef SCANNERS_DIGEST_H
#define SCANNERS_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

enum { DIGEST_HEX = 64 };

/* "sha256:" and 64 lower-case hex digits: returns the digits, else NULL. */
const char *digest_hex(const char *digest);

struct digest;

/* Returns 0 with @ret to end with digest_free(), or -ENOMEM. */
int digest_new(struct digest **ret);
void digest_free(struct digest **digest);
#define cleanup_digest __attribute__((cleanup(digest_free)))

void digest_update(struct digest *digest, const void *data, size_t size);

/* The end: is it @hex? */
bool digest_is(struct digest *digest, const char *hex);

#endif
