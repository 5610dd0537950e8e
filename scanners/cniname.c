#include "scanners/cniname.h"

#include <errno.h>
#include <sha512.h>
#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/dl.h"
#include "scanners/text.h"

#define IFB_PREFIX "bwp"
enum { IFB_LENGTH = 15 };

static __typeof__(SHA512Data) *sym_SHA512Data;
static const struct dl_symbol symbols[] = { DL_SYMBOL(SHA512Data) };

int cniname_ifb(const char *network, const char *container_id, char ret[IF_NAMESIZE])
{
	cleanup_free char *text = text_print("%s%s", network, container_id);
	char digest[SHA512_DIGEST_STRING_LENGTH];

	if (!text)
		return -ENOMEM;
	if (dl_load("libmd.so.0", symbols, ARRAY_SIZE(symbols)) < 0)
		return -ELIBACC;
	if (!sym_SHA512Data((const uint8_t *)text, strlen(text), digest))
		return -ENOMEM;
	memcpy(ret, IFB_PREFIX, strlen(IFB_PREFIX));
	memcpy(ret + strlen(IFB_PREFIX), digest, IFB_LENGTH - strlen(IFB_PREFIX));
	ret[IFB_LENGTH] = '\0';
	return 0;
}
