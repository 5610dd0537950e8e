#include "scanners/ext4dir.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/param.h>
#include <sys/stat.h>

#include "scanners/blockdev.h"
#include "scanners/cleanup.h"

enum {
	SUPERBLOCK = 1024, /* where it is, and how large */
	SUPERBLOCK_MAGIC = 0xEF53,
	EXTENT_MAGIC = 0xF30A,
	INODE_EXTENTS = 0x28, /* i_block: the root of the tree of extents */
	INODE_EXTENTS_SIZE = 60,
	EXTENT_ENTRY = 12,
	EXTENT_DEPTH_MAX = 5,
	EXTENT_BLOCKS_MAX = 32768, /* more: not written yet */
	INODE_SIZE_MIN = 128,
	TABLE_CHUNK = EXT4DIR_BLOCK_MAX,
	FILEID_INO32_GEN = 1, /* of file handles; the kernel exports no name for it */
};

/* s_feature_incompat */
enum {
	INCOMPAT_FILETYPE = 0x2, INCOMPAT_EXTENTS = 0x40, INCOMPAT_64BIT = 0x80,
	INCOMPAT_NEEDED = INCOMPAT_FILETYPE | INCOMPAT_EXTENTS,
	/* and recovery, mmp, flex_bg, ea_inode, csum_seed, largedir, inline_data, encrypt, casefold */
	INCOMPAT_KNOWN = INCOMPAT_NEEDED | INCOMPAT_64BIT | 0x4 | 0x100 | 0x200 | 0x400 | 0x2000 |
			 0x4000 | 0x8000 | 0x10000 | 0x20000,
};

/* i_flags */
enum { FLAG_ENCRYPTED = 0x800, FLAG_EXTENTS = 0x80000, FLAG_INLINE_DATA = 0x10000000 };

static uint16_t get16(const char *bytes)
{
	uint16_t value;

	memcpy(&value, bytes, sizeof(value));
	return le16toh(value);
}

static uint32_t get32(const char *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return le32toh(value);
}

static uint64_t get_split(const char *low, const char *high)
{
	return get32(low) | (uint64_t)get32(high) << 32;
}

static int read_at(int fd, void *buffer, size_t size, uint64_t offset)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = pread(fd, (char *)buffer + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

static bool is_power_of_2(uint32_t n)
{
	return n > 0 && (n & (n - 1)) == 0;
}

static int parse_superblock(const char *block, struct ext4dir_device *device)
{
	uint32_t incompat = get32(block + 0x60);
	uint32_t log_block_size = get32(block + 0x18);
	bool wide = incompat & INCOMPAT_64BIT;

	if (get16(block + 0x38) != SUPERBLOCK_MAGIC ||
	    (incompat & INCOMPAT_NEEDED) != INCOMPAT_NEEDED || (incompat & ~(uint32_t)INCOMPAT_KNOWN) ||
	    log_block_size > 2)
		return -EOPNOTSUPP;
	device->block_size = UINT32_C(1024) << log_block_size;
	device->inodes = get32(block);
	device->blocks = get_split(block + 0x4, block + 0x150);
	if (!wide)
		device->blocks &= UINT32_MAX;
	device->inodes_per_group = get32(block + 0x28);
	device->inode_size = get16(block + 0x58);
	device->descriptor_size = wide ? get16(block + 0xFE) : 32;
	device->descriptors = ((uint64_t)get32(block + 0x14) + 1) * device->block_size;
	if (device->inodes_per_group == 0 || !is_power_of_2(device->inode_size) ||
	    device->inode_size < INODE_SIZE_MIN || device->inode_size > device->block_size ||
	    device->descriptor_size < (wide ? 64 : 32) || device->descriptor_size > device->block_size ||
	    device->blocks > INT64_MAX / device->block_size)
		return -EOPNOTSUPP;
	return 0;
}

int ext4dir_open_image(int fd, struct ext4dir_device *ret)
{
	struct ext4dir_device device = { .fd = fd };
	cleanup_fd int owned = fd;
	char block[SUPERBLOCK];
	int r;

	r = read_at(fd, block, sizeof(block), SUPERBLOCK);
	if (r == 0)
		r = parse_superblock(block, &device);
	if (r < 0)
		return r;
	/* Blocks one by one: who reads ahead here says so. */
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
	*ret = device;
	(void)take_fd(&owned);
	return 0;
}

int ext4dir_open(int dirfd, struct ext4dir_device *ret)
{
	int fd = blockdev_open_ext4(dirfd);

	return fd < 0 ? fd : ext4dir_open_image(fd, ret);
}

void ext4dir_close(struct ext4dir_device *device)
{
	cleanup_close(&device->fd);
	device->fd = -EBADF;
}

int ext4dir_open_inode(int dirfd, uint32_t inode)
{
	const uint32_t number[2] = { inode, 0 }; /* of any generation */
	_Alignas(struct file_handle) char room[sizeof(struct file_handle) + sizeof(number)];
	struct file_handle *handle = (void *)room;
	int fd;

	handle->handle_bytes = sizeof(number);
	handle->handle_type = FILEID_INO32_GEN;
	memcpy(handle->f_handle, number, sizeof(number));
	fd = open_by_handle_at(dirfd, handle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

void ext4dir_reader_init(struct ext4dir_reader *reader, const struct ext4dir_device *device)
{
	reader->device = device;
	reader->about_to_read = NULL;
	reader->data = NULL;
	reader->group = UINT32_MAX;
	reader->inodes_at = UINT64_MAX;
	reader->size = 0;
}

/* Where the table of the inodes of @group is. */
static int find_table(struct ext4dir_reader *reader, uint32_t group)
{
	const struct ext4dir_device *device = reader->device;
	char descriptor[64] = { 0 };
	uint64_t block;
	int r;

	if (group == reader->group)
		return 0;
	r = read_at(device->fd, descriptor, MIN(device->descriptor_size, sizeof(descriptor)),
		    device->descriptors + (uint64_t)group * device->descriptor_size);
	if (r < 0)
		return r;
	block = get_split(descriptor + 0x8, descriptor + 0x28);
	if (block == 0 || block >= device->blocks)
		return -EUCLEAN;
	reader->group = group;
	reader->table = block * device->block_size;
	return 0;
}

/*
 * Its bytes, from what was read before if @remembered allows that: what was
 * made since is not seen then. NULL with *@ret_error.
 */
static const char *find_inode(struct ext4dir_reader *reader, uint32_t inode, bool *remembered, int *ret_error)
{
	const struct ext4dir_device *device = reader->device;
	uint32_t index = (inode - 1) % device->inodes_per_group;
	uint64_t offset, chunk;
	int r;

	r = find_table(reader, (inode - 1) / device->inodes_per_group);
	if (r < 0) {
		*ret_error = r;
		return NULL;
	}
	offset = reader->table + (uint64_t)index * device->inode_size;
	chunk = offset - offset % TABLE_CHUNK;
	if (reader->inodes_at != chunk || !*remembered) {
		*remembered = false;
		reader->inodes_at = UINT64_MAX;
		if (reader->about_to_read)
			reader->about_to_read(chunk, TABLE_CHUNK, reader->data);
		r = read_at(device->fd, reader->inodes, TABLE_CHUNK, chunk);
		if (r < 0) {
			*ret_error = r;
			return NULL;
		}
		reader->inodes_at = chunk;
	}
	return reader->inodes + offset % TABLE_CHUNK;
}

struct extent {
	uint64_t first, start; /* blocks: of the directory, of the device */
	uint32_t length;
};

/* The entry of a node of the extent tree that @block is in or behind; NULL: none, or it does not add up. */
static const char *search_node(const char *node, size_t size, uint32_t block, unsigned depth)
{
	unsigned count = get16(node + 0x2);
	const char *found = NULL;

	if (get16(node) != EXTENT_MAGIC || get16(node + 0x6) != depth ||
	    (count + (size_t)1) * EXTENT_ENTRY > size)
		return NULL;
	for (unsigned i = 1; i <= count; i++) {
		const char *entry = node + (size_t)i * EXTENT_ENTRY;

		if (get32(entry) > block)
			break;
		found = entry;
	}
	return found;
}

static int parse_extent(const struct ext4dir_device *device, const char *entry, uint32_t block,
			struct extent *ret)
{
	struct extent extent = {
		.first = get32(entry),
		.start = get32(entry + 0x8) | (uint64_t)get16(entry + 0x6) << 32,
		.length = get16(entry + 0x4),
	};

	if (extent.length == 0 || extent.length > EXTENT_BLOCKS_MAX || block - extent.first >= extent.length ||
	    extent.start == 0 || extent.start >= device->blocks ||
	    extent.length > device->blocks - extent.start)
		return -EUCLEAN;
	*ret = extent;
	return 0;
}

/* Of the directory whose inode is @inode, the extent that its @block is in. */
static int find_extent(struct ext4dir_reader *reader, const char *inode, uint32_t block, struct extent *ret)
{
	const struct ext4dir_device *device = reader->device;
	const char *node = inode + INODE_EXTENTS;
	unsigned depth = get16(node + 0x6);
	const char *entry = search_node(node, INODE_EXTENTS_SIZE, block, depth);
	uint64_t child;
	int r;

	if (depth > EXTENT_DEPTH_MAX)
		return -EUCLEAN;
	for (; entry && depth > 0; depth--) {
		child = get32(entry + 0x4) | (uint64_t)get16(entry + 0x8) << 32;
		if (child == 0 || child >= device->blocks)
			return -EUCLEAN;
		r = read_at(device->fd, reader->node, device->block_size, child * device->block_size);
		if (r < 0)
			return r;
		entry = search_node(reader->node, device->block_size, block, depth - 1);
	}
	return entry ? parse_extent(device, entry, block, ret) : -EUCLEAN;
}

/* Its size in bytes, or a negative errno. */
static int64_t parse_inode(const struct ext4dir_device *device, const char *inode)
{
	uint64_t size = get_split(inode + 0x4, inode + 0x6C);
	uint32_t flags = get32(inode + 0x20);

	if (!S_ISDIR(get16(inode)) || get16(inode + 0x1A) == 0)
		return -ENOENT;
	if (size == 0 && !(flags & FLAG_INLINE_DATA))
		return -ENOENT; /* just being made or removed */
	if (!(flags & FLAG_EXTENTS) || (flags & (FLAG_ENCRYPTED | FLAG_INLINE_DATA)) ||
	    size % device->block_size != 0 || size / device->block_size > UINT32_MAX)
		return -EUCLEAN;
	return (int64_t)size;
}

static bool is_sound_entry(const struct ext4dir_device *device, const char *entry, uint32_t room)
{
	uint32_t inode = get32(entry), length = get16(entry + 4);
	unsigned char name_length = (unsigned char)entry[6], type = (unsigned char)entry[7];

	if (length < EXT4DIR_ENTRY_MIN || length % 4 != 0 || length > room)
		return false;
	if (inode == 0)
		return true;
	return inode <= device->inodes && name_length > 0 && name_length + 8U <= length && type >= 1 && type <= 7;
}

static bool is_sound_block(const struct ext4dir_device *device, const char *block)
{
	uint32_t at = 0;

	while (at < device->block_size) {
		uint32_t room = device->block_size - at;

		if (room < EXT4DIR_ENTRY_MIN || !is_sound_entry(device, block + at, room))
			return false;
		at += get16(block + at + 4);
	}
	return true;
}

/* Do "." and ".." begin it? Then where the second leads, else 0. */
static uint32_t find_parent(const char *blocks, uint32_t inode)
{
	const char *second = blocks + 12;

	if (get32(blocks) != inode || get16(blocks + 4) != 12 || blocks[6] != 1 || blocks[8] != '.' ||
	    second[6] != 2 || second[8] != '.' || second[9] != '.')
		return 0;
	return get32(second);
}

/* The directory's bytes from @from to @end, both of whole blocks. */
static int read_range(struct ext4dir_reader *reader, const char *inode, uint64_t from, uint64_t end)
{
	const struct ext4dir_device *device = reader->device;
	const uint32_t size = device->block_size;
	struct extent extent;
	uint64_t offset, length;
	int r = 0;

	for (uint64_t at = from; at < end && r == 0; at += length) {
		r = find_extent(reader, inode, (uint32_t)(at / size), &extent);
		if (r < 0)
			return r;
		offset = (extent.start - extent.first) * size + at;
		length = MIN(end, (extent.first + extent.length) * size) - at;
		if (reader->about_to_read)
			reader->about_to_read(offset, length, reader->data);
		r = read_at(device->fd, reader->blocks + (at - from), length, offset);
	}
	return r;
}

static int check_blocks(const struct ext4dir_reader *reader, uint32_t size)
{
	for (uint32_t at = 0; at < size; at += reader->device->block_size)
		if (!is_sound_block(reader->device, reader->blocks + at))
			return -EUCLEAN;
	return 0;
}

/* Is what was read from its beginning on that of @inode in @parent? */
static int check_identity(const struct ext4dir_reader *reader, uint32_t inode, uint32_t parent)
{
	uint32_t found = find_parent(reader->blocks, inode);

	if (found == 0)
		return -EUCLEAN;
	return found == parent ? 0 : -ENOENT;
}

static int read_part(struct ext4dir_reader *reader, uint32_t inode, uint32_t parent, uint64_t from,
		     bool remembered)
{
	const char *bytes;
	int64_t size;
	uint64_t end;
	int r = 0;

	bytes = find_inode(reader, inode, &remembered, &r);
	if (!bytes)
		return r;
	size = parse_inode(reader->device, bytes);
	if (size < 0)
		return (int)size;
	if (from >= (uint64_t)size)
		return 0; /* it became smaller meanwhile */
	end = MIN(from + EXT4DIR_PART, (uint64_t)size);
	r = read_range(reader, bytes, from, end);
	if (r == 0)
		r = check_blocks(reader, (uint32_t)(end - from));
	if (r == 0 && from == 0)
		r = check_identity(reader, inode, parent);
	if (r < 0)
		return r;
	reader->size = (uint32_t)(end - from);
	return end < (uint64_t)size;
}

int ext4dir_read(struct ext4dir_reader *reader, uint32_t inode, uint32_t parent, uint64_t from)
{
	int r;

	reader->size = 0;
	reader->at = 0;
	if (inode == 0 || inode > reader->device->inodes)
		return -ENOENT;
	r = read_part(reader, inode, parent, from, true);
	if (r < 0) /* it may be newer than what is remembered of the table of inodes */
		r = read_part(reader, inode, parent, from, false);
	if (r >= 0 && from == 0 && reader->size > 0)
		reader->at = 12U + get16(reader->blocks + 12 + 4); /* behind "." and ".." */
	return r;
}

bool ext4dir_next(struct ext4dir_reader *reader, struct ext4dir_entry *ret)
{
	static const unsigned char types[] = { DT_UNKNOWN, DT_REG,  DT_DIR,  DT_CHR,
					       DT_BLK,	   DT_FIFO, DT_SOCK, DT_LNK };
	const char *entry;

	do {
		if (reader->at >= reader->size)
			return false;
		entry = reader->blocks + reader->at;
		reader->at += get16(entry + 4);
	} while (get32(entry) == 0);
	*ret = (struct ext4dir_entry){
		.inode = get32(entry),
		.type = types[(unsigned char)entry[7]],
		.name_length = (unsigned char)entry[6],
		.name = entry + 8,
	};
	return true;
}
