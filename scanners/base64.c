#include "scanners/base64.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "scanners/cleanup.h"

static int value_of(char c)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(alphabet, c) : NULL;

	return at ? (int)(at - alphabet) : -1;
}

int base64_decode(const char *text, char **ret, size_t *ret_size)
{
	size_t length = strlen(text), size = 0, padding = 0;
	cleanup_free char *out = NULL;

	if (length % 4 != 0)
		return -EINVAL;
	while (padding < 2 && padding < length && text[length - padding - 1] == '=')
		padding++;
	out = malloc(length / 4 * 3 + 1);
	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < length; i += 4) {
		uint32_t bits = 0;

		for (size_t j = i; j < i + 4; j++) {
			int v = j >= length - padding ? 0 : value_of(text[j]);

			if (v < 0)
				return -EINVAL;
			bits = bits << 6 | (uint32_t)v;
		}
		out[size++] = (char)(bits >> 16);
		out[size++] = (char)(bits >> 8);
		out[size++] = (char)bits;
	}
	size -= padding;
	out[size] = '\0';
	*ret = take_ptr(out);
	*ret_size = size;
	return 0;
}
