#include "scanners/digest.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/evp.h>
#include <sha2.h>

#include "scanners/cleanup.h"
#include "scanners/dl.h"

static __typeof__(EVP_MD_CTX_new) *sym_EVP_MD_CTX_new;
static __typeof__(EVP_MD_CTX_free) *sym_EVP_MD_CTX_free;
static __typeof__(EVP_sha256) *sym_EVP_sha256;
static __typeof__(EVP_DigestInit_ex) *sym_EVP_DigestInit_ex;
static __typeof__(EVP_DigestUpdate) *sym_EVP_DigestUpdate;
static __typeof__(EVP_DigestFinal_ex) *sym_EVP_DigestFinal_ex;

enum { DIGEST_SIZE = DIGEST_HEX / 2 };

struct digest {
	EVP_MD_CTX *fast; /* NULL: without libcrypto */
	SHA2_CTX slow;
};

static bool has_libcrypto;

static void load_once(void)
{
	static const struct dl_symbol symbols[] = {
		DL_SYMBOL(EVP_MD_CTX_new),    DL_SYMBOL(EVP_MD_CTX_free),
		DL_SYMBOL(EVP_sha256),	      DL_SYMBOL(EVP_DigestInit_ex),
		DL_SYMBOL(EVP_DigestUpdate),  DL_SYMBOL(EVP_DigestFinal_ex),
	};

	has_libcrypto = dl_load("libcrypto.so.3", symbols, ARRAY_SIZE(symbols)) == 0;
}

const char *digest_hex(const char *digest)
{
	static const char prefix[] = "sha256:";
	const char *hex = digest + strlen(prefix);

	if (strncmp(digest, prefix, strlen(prefix)) != 0 || strlen(hex) != DIGEST_HEX ||
	    strspn(hex, "0123456789abcdef") != DIGEST_HEX)
		return NULL;
	return hex;
}

int digest_new(struct digest **ret)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct digest *digest = calloc(1, sizeof(*digest));

	if (!digest)
		return -ENOMEM;
	(void)pthread_once(&once, load_once);
	if (has_libcrypto)
		digest->fast = sym_EVP_MD_CTX_new();
	if (digest->fast && !sym_EVP_DigestInit_ex(digest->fast, sym_EVP_sha256(), NULL)) {
		sym_EVP_MD_CTX_free(digest->fast);
		digest->fast = NULL;
	}
	if (!digest->fast)
		SHA256Init(&digest->slow);
	*ret = digest;
	return 0;
}

void digest_free(struct digest **digest)
{
	if (*digest && (*digest)->fast)
		sym_EVP_MD_CTX_free((*digest)->fast);
	free(*digest);
	*digest = NULL;
}

void digest_update(struct digest *digest, const void *data, size_t size)
{
	if (digest->fast)
		(void)sym_EVP_DigestUpdate(digest->fast, data, size); /* a failure makes it another one */
	else
		SHA256Update(&digest->slow, data, size);
}

bool digest_is(struct digest *digest, const char *hex)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t sum[DIGEST_SIZE] = { 0 };
	char text[DIGEST_HEX];

	if (digest->fast && !sym_EVP_DigestFinal_ex(digest->fast, sum, NULL))
		return false;
	if (!digest->fast)
		SHA256Final(sum, &digest->slow);
	for (size_t i = 0; i < DIGEST_SIZE; i++) {
		text[2 * i] = digits[sum[i] >> 4];
		text[2 * i + 1] = digits[sum[i] & 15];
	}
	return memcmp(text, hex, DIGEST_HEX) == 0;
}
