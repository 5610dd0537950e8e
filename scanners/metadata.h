/*
 * What containerd knows: the records of meta.db (core/metadata/buckets.go,
 * schema "v1") and of a snapshotter's metadata.db (core/snapshots/storage).
 * Read-only, without containerd; it may be running.
 *
 *	snapshots/<directory> --metadata_snapshots--> backend name
 *	  --metadata_snapshot_of--> snapshot --metadata_user_of--> container, pod
 */
#ifndef SCANNERS_METADATA_H
#define SCANNERS_METADATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scanners/bolt.h"

/* Below the data root; a snapshotter's directory has its name at the end. */
#define METADATA_DIR "io.containerd.metadata.v1.bolt"
#define METADATA_FILE "meta.db"
#define METADATA_SNAPSHOTTER_DIR "io.containerd.snapshotter.v1."
#define METADATA_SNAPSHOTTER_FILE "metadata.db"

/* Of a record, in seconds since 1970; 0 where it has none. */
struct metadata_times {
	int64_t created_sec, updated_sec;
};

struct metadata_image {
	char *ns; /* containerd's namespace; NULL if carved and not known */
	char *name;
	char *digest, *media_type; /* of the target: a manifest or an index. NULL: its record is
				      lost, but not its name */
	int64_t size;
	bool cri;    /* labelled as managed by CRI */
	bool pinned; /* labelled as never to be removed by CRI */
	struct metadata_times times;
};

/*
 * A container, or (metadata.sandboxes) a record of the sandbox store of
 * containerd 1.7 and later. Members are NULL where there is nothing.
 */
struct metadata_container {
	char *ns; /* as metadata_image.ns */
	char *id;
	char *image, *runtime, *snapshotter, *snapshot_key;
	char *kind;	  /* "sandbox" or "container" for CRI's */
	char *sandbox_id; /* == id for the sandbox itself */
	char *pod_name, *pod_namespace, *pod_uid;
	char *container_name;
	char *netns, *address, *cgroup_parent; /* of a sandbox of CRI's */
	char *log_path;			       /* of a container of CRI's */
	struct metadata_times times;
};

struct metadata_snapshot {
	char *ns, *snapshotter, *key, *parent; /* parent: a key, or NULL */
	char *name;			       /* in the snapshotter: "<ns>/<number>/<key>" */
};

struct metadata_lease {
	char *ns, *id;
	struct metadata_times times;
};

struct metadata_blob {
	char *ns, *digest;
	int64_t size;
};

struct metadata {
	/*
	 * SOUND: all of it was read. DAMAGED with BOLT_VALUE: the records that
	 * decode were. Otherwise DAMAGED: see @carved. ABSENT and EMPTY have no
	 * records; UNREAD says nothing of what containerd knows.
	 */
	struct bolt_finding finding;
	/*
	 * From a damaged tree: images and containers of leaf pages that still
	 * parse. What containerd had deleted shortly before may be among them,
	 * and what it knew may be missing.
	 */
	bool carved;
	int64_t version; /* containerd's dbVersion */
	char **namespaces;
	size_t namespace_count;
	struct metadata_image *images;
	size_t image_count;
	struct metadata_container *containers;
	size_t container_count;
	struct metadata_container *sandboxes;
	size_t sandbox_count;
	struct metadata_snapshot *snapshots;
	size_t snapshot_count;
	struct metadata_lease *leases;
	size_t lease_count;
	struct metadata_blob *blobs;
	size_t blob_count;
};

/*
 * Read the file @name below @dirfd, after checking the whole of it.
 *
 * Returns 0 with @ret the caller's, to end with metadata_done(), whatever its
 * finding; or -ENOMEM with it untouched. With containerd running the records
 * are those of one moment; -EAGAIN behind BOLT_UNREAD if it writes too often.
 */
int metadata_read(int dirfd, const char *name, struct metadata *ret);
int metadata_read_fd(int fd, struct metadata *ret);

/*
 * The same for METADATA_FILE of the data root @root_fd. Without its directory
 * it is ABSENT; a directory that is a link or a mount is UNREAD.
 */
int metadata_read_root(int root_fd, struct metadata *ret);

void metadata_done(struct metadata *metadata);
#define cleanup_metadata __attribute__((cleanup(metadata_done)))

/*
 * NULL if there is none: proof only if all was read, i.e. finding.state is
 * SOUND, ABSENT or EMPTY. @ns and @id may come from file names.
 */
const struct metadata_container *metadata_find_container(const struct metadata *metadata,
							 const char *ns, const char *id);
const struct metadata_container *metadata_find_sandbox(const struct metadata *metadata,
						       const char *ns, const char *id);
const struct metadata_image *metadata_find_image(const struct metadata *metadata,
						 const char *ns, const char *name);
/* In any namespace. */
const struct metadata_blob *metadata_find_blob(const struct metadata *metadata,
					       const char *digest);

/* One of a snapshotter's own records. */
struct metadata_directory {
	uint64_t id;  /* its directory: snapshots/<id> */
	char *name;   /* metadata_snapshot.name */
	char *parent; /* such a name, or NULL */
	enum { SNAPSHOT_UNKNOWN, SNAPSHOT_VIEW, SNAPSHOT_ACTIVE, SNAPSHOT_COMMITTED } kind;
	int64_t inodes, size; /* as committed; 0 for the others */
	struct metadata_times times;
};

/*
 * finding as in struct metadata, with this difference: EMPTY and ABSENT are
 * not harmless if meta.db knows snapshots of this snapshotter.
 */
struct metadata_directories {
	struct bolt_finding finding;
	bool carved; /* as in struct metadata */
	struct metadata_directory *items; /* by id */
	size_t count;
};

/* Read a snapshotter's metadata.db; see metadata_read(). */
int metadata_read_directories(int dirfd, const char *name, struct metadata_directories *ret);
int metadata_read_directories_fd(int fd, struct metadata_directories *ret);

/* The same for that of @snapshotter, e.g. "overlayfs", below the data root @root_fd. */
int metadata_read_snapshotter(int root_fd, const char *snapshotter,
			      struct metadata_directories *ret);

void metadata_directories_done(struct metadata_directories *directories);
#define cleanup_metadata_directories __attribute__((cleanup(metadata_directories_done)))

const struct metadata_directory *
metadata_find_directory(const struct metadata_directories *directories, uint64_t id);

/* The snapshot behind the snapshotter's name @name, NULL if meta.db has none. */
const struct metadata_snapshot *metadata_snapshot_of(const struct metadata *metadata,
						     const char *snapshotter, const char *name);

/* The container whose root file system @snapshot is, NULL if none's (a layer of an image). */
const struct metadata_container *metadata_user_of(const struct metadata *metadata,
						  const struct metadata_snapshot *snapshot);

#endif
