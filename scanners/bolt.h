/*
 * Reading bbolt files (containerd's meta.db and a snapshotter's metadata.db)
 * without bbolt. Read-only, by pread(2): format in go.etcd.io/bbolt
 * internal/common. Integers are little-endian, as on every node we support.
 */
#ifndef SCANNERS_BOLT_H
#define SCANNERS_BOLT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bolt_state {
	BOLT_UNREAD,  /* not looked at, or could not be (see bolt_finding.error) */
	BOLT_ABSENT,  /* no such file: containerd makes a new one */
	BOLT_EMPTY,   /* 0 bytes: containerd makes a new one */
	BOLT_SOUND,   /* as far as was looked */
	BOLT_DAMAGED, /* containerd will exit, hang or be degraded */
};

enum bolt_damage {
	BOLT_DAMAGE_NONE,
	BOLT_NOT_A_FILE,    /* a directory, a fifo, a device */
	BOLT_TOO_SHORT,	    /* less than two pages, or shorter than its high-water mark */
	BOLT_META_INVALID,  /* no meta page has the magic: "invalid database" */
	BOLT_META_VERSION,  /* "version mismatch" */
	BOLT_META_CHECKSUM, /* "checksum error" */
	BOLT_PAGE_RANGE,    /* a page id beyond the high-water mark */
	BOLT_PAGE_ID,	    /* a page that says it is another */
	BOLT_PAGE_TYPE,	    /* neither branch nor leaf where one must be */
	BOLT_PAGE_BOUNDS,   /* elements beyond their page */
	BOLT_PAGE_SHARED,   /* referenced twice, or free and in use */
	BOLT_KEY_ORDER,
	BOLT_FREELIST,
	BOLT_TOO_DEEP, /* a cycle, or deeper than any real tree */
	BOLT_VALUE,    /* a record of containerd's that does not decode */
};

struct bolt_meta {
	bool valid;
	uint32_t magic, version, page_size;
	uint64_t root_page, freelist_page, high_water, txid;
	bool checksum_ok;
};

struct bolt_finding {
	enum bolt_state state;
	enum bolt_damage damage;
	uint64_t page; /* where, if damaged and known */
	int error;     /* negative errno behind BOLT_UNREAD: -EIO and the like */
	uint64_t size; /* of the file */
	struct bolt_meta meta[2];
	int live_meta;	       /* 0 or 1; -1 if both are invalid */
	bool whole_tree;       /* every reachable page was checked, not just the root's */
	uint64_t leaked_pages; /* neither in use nor in the freelist: no harm */
};

/*
 * The two meta pages of the file @fd, the header of the freelist's page where
 * there is one, and the root page (id, type, bounds): what costs a handful of
 * reads and can be done at every start.
 *
 * Always fills @ret; a file that cannot be read is BOLT_UNREAD with its errno.
 */
void bolt_peek(int fd, struct bolt_finding *ret);

/*
 * The same for @name below @dirfd; tells absent, empty and not-a-file apart. A
 * link, which containerd would follow, is BOLT_UNREAD with -ELOOP.
 */
void bolt_peek_at(int dirfd, const char *name, struct bolt_finding *ret);

/*
 * The whole tree: finds what `bbolt check` finds, but for pages that are in no
 * use and not free either, which harm nobody and are counted. The caller holds
 * the file's flock, or containerd runs: then -EAGAIN behind BOLT_UNREAD if it
 * wrote all the while. A file that shrinks or has bad sectors under us is a
 * finding, not a SIGBUS. Memory: a bit for each page, and less than 10 MiB.
 */
void bolt_check(int fd, struct bolt_finding *ret);
void bolt_check_at(int dirfd, const char *name, struct bolt_finding *ret);

/* "sound", "damaged", …; "checksum error", … as containerd's log words it. */
const char *bolt_state_name(enum bolt_state state);
const char *bolt_damage_name(enum bolt_damage damage);

#endif
