#include "scanners/bolt.h"

#include <endian.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "scanners/bolt_page.h"
#include "scanners/cleanup.h"

#define MAGIC 0xED0CDAEDu
#define VERSION_2 2
#define MIN_PAGE_SIZE 1024u
#define MAX_PAGE_SIZE 65536u
#define SHORTEST_READ 4096 /* bbolt gives up on a file with less */
#define TRIES 3		   /* while a running containerd writes */

/* As on disk; the file is little-endian. */
struct disk_meta {
	uint32_t magic, version, page_size, flags;
	uint64_t root_page, root_sequence, freelist_page, high_water, txid, checksum;
};

static uint64_t fnv1a(const void *data, size_t size)
{
	const uint8_t *bytes = data;
	uint64_t hash = 0xcbf29ce484222325u;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3u;
	return hash;
}

/* Returns 0, or what bbolt finds wrong with the meta page, in its order. */
static int parse_meta(const struct disk_meta *disk, struct bolt_meta *ret)
{
	*ret = (struct bolt_meta){
		.magic = le32toh(disk->magic),
		.version = le32toh(disk->version),
		.page_size = le32toh(disk->page_size),
		.root_page = le64toh(disk->root_page),
		.freelist_page = le64toh(disk->freelist_page),
		.high_water = le64toh(disk->high_water),
		.txid = le64toh(disk->txid),
		.checksum_ok = le64toh(disk->checksum) ==
			       fnv1a(disk, offsetof(struct disk_meta, checksum)),
	};
	if (ret->magic != MAGIC)
		return BOLT_META_INVALID;
	if (ret->version != VERSION_2)
		return BOLT_META_VERSION;
	if (!ret->checksum_ok)
		return BOLT_META_CHECKSUM;
	if (ret->page_size < MIN_PAGE_SIZE || ret->page_size > MAX_PAGE_SIZE ||
	    (ret->page_size & (ret->page_size - 1)) != 0)
		return BOLT_META_INVALID;
	ret->valid = true;
	return 0;
}

static int read_meta(int fd, uint64_t offset, struct bolt_meta *ret)
{
	struct disk_meta disk;
	int r = bolt_pread(fd, &disk, sizeof(disk), offset + BOLT_PAGE_HEADER);

	return r < 0 ? r : parse_meta(&disk, ret);
}

/*
 * With the first meta page gone the page size is unknown, and so is the place
 * of the second: bbolt looks at every power of two, and so do we.
 */
static int find_second_meta(int fd, struct bolt_meta *ret)
{
	for (uint64_t offset = MIN_PAGE_SIZE; offset <= MAX_PAGE_SIZE; offset *= 2) {
		struct bolt_meta meta;
		int r = read_meta(fd, offset, &meta);

		if (r == -ENODATA)
			break;
		if (r < 0)
			return r;
		if (meta.valid && meta.page_size == offset) {
			*ret = meta;
			return 0;
		}
	}
	return BOLT_META_INVALID;
}

int bolt_read_metas(int fd, struct bolt_finding *ret, struct bolt_file *ret_file)
{
	const struct bolt_meta *live;
	int first, second;

	ret->live_meta = -1;
	if (ret->size < SHORTEST_READ)
		return BOLT_META_INVALID;
	first = read_meta(fd, 0, &ret->meta[0]);
	if (first < 0)
		return first;
	second = first == 0 ? read_meta(fd, ret->meta[0].page_size, &ret->meta[1])
			    : find_second_meta(fd, &ret->meta[1]);
	if (second < 0)
		return second == -ENODATA ? BOLT_TOO_SHORT : second;
	if (first != 0 && second != 0)
		return ret->size < SHORTEST_READ * 2 ? BOLT_TOO_SHORT : first;

	ret->live_meta = first != 0 || (second == 0 && ret->meta[1].txid > ret->meta[0].txid);
	live = &ret->meta[ret->live_meta];
	*ret_file = (struct bolt_file){
		.fd = fd,
		.size = ret->size,
		.page_size = live->page_size,
		.root_page = live->root_page,
		.freelist_page = live->freelist_page,
		.high_water = live->high_water,
		.txid = live->txid,
	};
	/* Also keeps every later product of a page number and the page size small. */
	if (live->high_water < BOLT_FIRST_DATA_PAGE ||
	    live->high_water > ret->size / live->page_size)
		return BOLT_TOO_SHORT;
	return 0;
}

void bolt_conclude(int outcome, uint64_t page, struct bolt_finding *ret)
{
	if (outcome == -ENODATA)
		outcome = BOLT_TOO_SHORT;
	if (outcome < 0) {
		ret->state = BOLT_UNREAD;
		ret->damage = BOLT_DAMAGE_NONE;
		ret->error = outcome;
	} else if (outcome > 0) {
		ret->state = BOLT_DAMAGED;
		ret->damage = (enum bolt_damage)outcome;
	} else {
		ret->state = BOLT_SOUND;
	}
	ret->page = outcome == 0 ? 0 : page;
}

int bolt_begin(int fd, struct bolt_finding *ret, struct bolt_file *ret_file)
{
	struct stat st;
	int r;

	*ret = (struct bolt_finding){.live_meta = -1};
	if (fstat(fd, &st) < 0) {
		ret->error = -errno;
		return 0;
	}
	if (!S_ISREG(st.st_mode)) {
		bolt_conclude(BOLT_NOT_A_FILE, 0, ret);
		return 0;
	}
	ret->size = (uint64_t)st.st_size;
	if (ret->size == 0) {
		ret->state = BOLT_EMPTY;
		return 0;
	}
	r = bolt_read_metas(fd, ret, ret_file);
	if (r != 0)
		bolt_conclude(r, 0, ret);
	return r == 0;
}

bool bolt_was_written(const struct bolt_file *file)
{
	struct bolt_finding now;
	struct bolt_file again;

	(void)bolt_begin(file->fd, &now, &again);
	return now.live_meta >= 0 && now.meta[now.live_meta].txid != file->txid;
}

static int check_root(const struct bolt_file *file)
{
	cleanup_bolt_node struct bolt_node root = {0};
	struct bolt_element element;
	int r = bolt_node_load(&root, file, file->root_page);

	for (unsigned i = 0; r == 0 && i < root.count; i++)
		r = bolt_node_element(&root, i, &element);
	return r;
}

static void peek_once(int fd, struct bolt_finding *ret, struct bolt_file *file)
{
	struct bolt_page_header header;
	uint64_t page;
	int r = 0;

	if (!bolt_begin(fd, ret, file))
		return;
	page = file->freelist_page;
	if (page != BOLT_NO_FREELIST)
		r = bolt_check_freelist_page(file, &header);
	if (r == 0) {
		page = file->root_page;
		r = check_root(file);
	}
	bolt_conclude(r, page, ret);
}

void bolt_look(int fd, void (*look)(int fd, struct bolt_finding *ret, struct bolt_file *file),
	       struct bolt_finding *ret)
{
	for (int i = 0; i < TRIES; i++) {
		struct bolt_file file = {.fd = fd};

		look(fd, ret, &file);
		if (ret->state != BOLT_DAMAGED || ret->live_meta < 0 ||
		    !bolt_was_written(&file))
			return;
	}
	bolt_conclude(-EAGAIN, 0, ret);
}

void bolt_peek(int fd, struct bolt_finding *ret)
{
	bolt_look(fd, peek_once, ret);
}

int bolt_open_at(int dirfd, const char *name, struct bolt_finding *ret)
{
	struct stat st;
	int fd;

	*ret = (struct bolt_finding){.live_meta = -1};
	/* Looked at before it is opened: opening a device can do things. */
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno == ENOENT)
			ret->state = BOLT_ABSENT;
		else
			ret->error = -errno;
		return -1;
	}
	if (S_ISLNK(st.st_mode)) {
		ret->error = -ELOOP;
		return -1;
	}
	if (!S_ISREG(st.st_mode)) {
		bolt_conclude(BOLT_NOT_A_FILE, 0, ret);
		return -1;
	}
	fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		ret->error = -errno;
	return fd;
}

void bolt_peek_at(int dirfd, const char *name, struct bolt_finding *ret)
{
	cleanup_fd int fd = bolt_open_at(dirfd, name, ret);

	if (fd >= 0)
		bolt_peek(fd, ret);
}

const char *bolt_state_name(enum bolt_state state)
{
	static const char *const names[] = {
		[BOLT_UNREAD] = "unread", [BOLT_ABSENT] = "absent",   [BOLT_EMPTY] = "empty",
		[BOLT_SOUND] = "sound",	  [BOLT_DAMAGED] = "damaged",
	};

	return (size_t)state < ARRAY_SIZE(names) ? names[state] : "unknown";
}

const char *bolt_damage_name(enum bolt_damage damage)
{
	static const char *const names[] = {
		[BOLT_DAMAGE_NONE] = "none",
		[BOLT_NOT_A_FILE] = "not a file",
		[BOLT_TOO_SHORT] = "file size too small",
		[BOLT_META_INVALID] = "invalid database",
		[BOLT_META_VERSION] = "version mismatch",
		[BOLT_META_CHECKSUM] = "checksum error",
		[BOLT_PAGE_RANGE] = "page out of range",
		[BOLT_PAGE_ID] = "page identifies as another",
		[BOLT_PAGE_TYPE] = "invalid page type",
		[BOLT_PAGE_BOUNDS] = "element out of bounds",
		[BOLT_PAGE_SHARED] = "page referenced twice",
		[BOLT_KEY_ORDER] = "keys out of order",
		[BOLT_FREELIST] = "invalid freelist page",
		[BOLT_TOO_DEEP] = "tree too deep",
		[BOLT_VALUE] = "record does not decode",
	};

	return (size_t)damage < ARRAY_SIZE(names) ? names[damage] : "unknown";
}
