/* Base64 with padding (RFC 4648, section 4), as Go's encoding/json writes []byte. */
#ifndef SCANNERS_BASE64_H
#define SCANNERS_BASE64_H

#include <stddef.h>

/*
 * Returns 0 with @ret the caller's, to free(), and a NUL behind its @ret_size
 * bytes; -EINVAL for anything but well-formed base64; or -ENOMEM.
 */
int base64_decode(const char *text, char **ret, size_t *ret_size);

#endif
