/*
 * Any bytes as an image of ext4. An image of use is larger than inputs should
 * be: the input is pieces of 1 KiB, each behind the number of the block it fills.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "scanners/ext4dir.h"

enum { BLOCK = 1024, BLOCKS = 256, DIRECTORIES = 64, PARTS = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int fill(int fd, const uint8_t *data, size_t size)
{
	static uint8_t image[BLOCKS * BLOCK];
	int copy;

	memset(image, 0, sizeof(image));
	for (; size > BLOCK; data += BLOCK + 1, size -= BLOCK + 1)
		memcpy(image + data[0] * (size_t)BLOCK, data + 1, BLOCK);
	if (pwrite(fd, image, sizeof(image), 0) != (ssize_t)sizeof(image))
		abort();
	copy = dup(fd);
	if (copy < 0)
		abort();
	return copy;
}

/* All that is found, as far as there is room for it. */
static void walk(struct ext4dir_reader *reader, uint32_t inodes)
{
	uint32_t found[DIRECTORIES][2] = { { 2, 2 } };
	unsigned count = 1;
	struct ext4dir_entry entry;

	for (unsigned i = 0; i < count; i++) {
		uint64_t from = 0;
		int r;

		do {
			r = ext4dir_read(reader, found[i][0], found[i][1], from);
			from += EXT4DIR_PART;
			while (ext4dir_next(reader, &entry)) {
				if (entry.inode == 0 || entry.inode > inodes || entry.name_length == 0 ||
				    entry.name < reader->blocks ||
				    entry.name + entry.name_length > reader->blocks + sizeof(reader->blocks))
					abort();
				if (entry.type == DT_DIR && count < DIRECTORIES) {
					found[count][0] = entry.inode;
					found[count++][1] = found[i][0];
				}
			}
		} while (r > 0 && from < (uint64_t)PARTS * EXT4DIR_PART);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ext4dir_reader reader;
	static int fd = -1;
	struct ext4dir_device device;

	if (fd < 0)
		fd = memfd_create("image", MFD_CLOEXEC);
	if (ext4dir_open_image(fill(fd, data, size), &device) < 0)
		return 0;
	ext4dir_reader_init(&reader, &device);
	walk(&reader, device.inodes);
	ext4dir_close(&device);
	return 0;
}
