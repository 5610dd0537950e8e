#include "scanners/cniname.h"

#include <errno.h>
#include <sha512.h>
#include <stdio.h>
#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/dl.h"
#include "scanners/text.h"

#define IFB_PREFIX "bwp"
#define CHAIN_PREFIX "CNI-"
enum { IFB_LENGTH = 15, COMMENT_DIGITS = 16 };

static __typeof__(SHA512Data) *sym_SHA512Data;
static const struct dl_symbol symbols[] = { DL_SYMBOL(SHA512Data) };

/* The hash of the three parts, cut to @digits, into @ret. */
static int put_hash(const char *first, const char *between, const char *last, char *ret,
		    size_t digits)
{
	cleanup_free char *text = text_print("%s%s%s", first, between, last);
	char digest[SHA512_DIGEST_STRING_LENGTH];

	if (!text)
		return -ENOMEM;
	if (dl_load("libmd.so.0", symbols, ARRAY_SIZE(symbols)) < 0)
		return -ELIBACC;
	if (!sym_SHA512Data((const uint8_t *)text, strlen(text), digest))
		return -ENOMEM;
	memcpy(ret, digest, digits);
	ret[digits] = '\0';
	return 0;
}

int cniname_ifb(const char *network, const char *container_id, char ret[IF_NAMESIZE])
{
	memcpy(ret, IFB_PREFIX, sizeof(IFB_PREFIX));
	return put_hash(network, "", container_id, ret + strlen(IFB_PREFIX),
			IFB_LENGTH - strlen(IFB_PREFIX));
}

int cniname_chain(const char *kind, const char *network, const char *container_id,
		  char ret[CNINAME_CHAIN_SIZE])
{
	int length = snprintf(ret, CNINAME_CHAIN_SIZE, CHAIN_PREFIX "%s", kind);

	return put_hash(network, "", container_id, ret + length,
			CNINAME_CHAIN_SIZE - 1 - (size_t)length);
}

int cniname_comment(const char *network, const char *ifname, const char *container_id,
		    char ret[CNINAME_COMMENT_SIZE])
{
	int r = put_hash(network, "", "", ret, COMMENT_DIGITS);

	if (r < 0)
		return r;
	ret[COMMENT_DIGITS] = '-';
	return put_hash(ifname, ":", container_id, ret + COMMENT_DIGITS + 1, COMMENT_DIGITS);
}
