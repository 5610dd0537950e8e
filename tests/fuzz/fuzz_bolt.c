/*
 * Any bytes as a database. The checksums of the meta pages are made right first
 * (unless the last byte is odd), else little would be seen of the rest.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "scanners/metadata.h"

#define META_SIZE 80
#define SUMMED_AT 16
#define CHECKSUM_AT 72

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void seal(uint8_t *meta)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (int i = SUMMED_AT; i < CHECKSUM_AT; i++)
		hash = (hash ^ meta[i]) * 0x100000001b3u;
	memcpy(meta + CHECKSUM_AT, &hash, sizeof(hash));
}

static void fill(int fd, const uint8_t *data, size_t size)
{
	uint8_t *bytes = malloc(size + 1);

	memcpy(bytes, data, size);
	if (size >= META_SIZE && !(data[size - 1] & 1)) {
		seal(bytes);
		for (size_t at = 1024; at <= 65536 && at + META_SIZE <= size; at *= 2)
			if (memcmp(bytes + at + SUMMED_AT, bytes + SUMMED_AT, 4) == 0)
				seal(bytes + at);
	}
	if (ftruncate(fd, 0) < 0 || pwrite(fd, bytes, size, 0) != (ssize_t)size)
		abort();
	free(bytes);
}

static void use(const struct metadata *m)
{
	for (size_t i = 0; i < m->container_count; i++)
		if (!m->containers[i].id)
			abort();
	for (size_t i = 0; i < m->image_count; i++)
		if (!m->images[i].name || (!m->images[i].digest && !m->carved))
			abort();
	for (size_t i = 0; i < m->snapshot_count; i++) {
		const struct metadata_snapshot *s = metadata_snapshot_of(
			m, m->snapshots[i].snapshotter, m->snapshots[i].name);

		if (!s)
			abort();
		(void)metadata_user_of(m, s);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	cleanup_metadata struct metadata m = {0};
	cleanup_metadata_directories struct metadata_directories d = {0};
	struct bolt_finding peek, all;

	if (fd < 0)
		fd = memfd_create("database", MFD_CLOEXEC);
	fill(fd, data, size);
	bolt_peek(fd, &peek);
	bolt_check(fd, &all);
	/* Who looks at more finds more. */
	if (peek.state == BOLT_DAMAGED && all.state != BOLT_DAMAGED)
		abort();
	if (metadata_read_fd(fd, &m) == 0)
		use(&m);
	(void)metadata_read_directories_fd(fd, &d);
	/* What was checked can be read. */
	if (all.state == BOLT_SOUND &&
	    ((m.finding.state == BOLT_DAMAGED && m.finding.damage != BOLT_VALUE) ||
	     (d.finding.state == BOLT_DAMAGED && d.finding.damage != BOLT_VALUE)))
		abort();
	return 0;
}
