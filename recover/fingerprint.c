#include "recover/fingerprint.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "scanners/cleanup.h"
#include "scanners/dir.h"

#define FNV_BASIS UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

enum { CONFIG_MAX = 4 << 20 };

static uint64_t add(uint64_t hash, const void *data, size_t size)
{
	const unsigned char *byte = data;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ byte[i]) * FNV_PRIME;
	return hash;
}

void fingerprint_take(const struct config *config, char ret[FINGERPRINT])
{
	uint64_t hash = FNV_BASIS;
	struct stat st;

	if (config->exec_path && stat(config->exec_path, &st) == 0) {
		hash = add(hash, &st.st_ino, sizeof(st.st_ino));
		hash = add(hash, &st.st_size, sizeof(st.st_size));
		hash = add(hash, &st.st_ctim, sizeof(st.st_ctim));
	}
	for (size_t i = 0; i < config->file_count; i++) {
		cleanup_free char *text = NULL;
		size_t size;

		hash = add(hash, config->files[i], strlen(config->files[i]) + 1);
		if (dir_read_path(config->files[i], CONFIG_MAX, &text, &size) == 0)
			hash = add(hash, text, size);
	}
	(void)snprintf(ret, FINGERPRINT, "%016" PRIx64, hash);
}
