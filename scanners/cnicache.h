/*
 * libcni's cache: one JSON file per attachment below /var/lib/cni/results
 * (containernetworking/cni, libcni/api.go, kind "cniCacheV1"). It outlives the
 * sandbox, containerd's metadata and a reboot, and has all that a CNI DEL needs.
 */
#ifndef SCANNERS_CNICACHE_H
#define SCANNERS_CNICACHE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CNI_CACHE_DIR "/var/lib/cni/results"

struct cnicache_link {
	char *name;
	char *mac; /* NULL where the result has none */
};

struct cnicache_entry {
	char *file; /* name below the cache directory */
	char *container_id;
	char *network;
	char *ifname;
	char *netns; /* NULL if neither the entry nor its result names one */
	char *pod_name, *pod_namespace, *pod_uid; /* from K8S_POD_*, NULL if absent */
	char *infra_id;				  /* K8S_POD_INFRA_CONTAINER_ID */
	struct cnicache_link *links;		  /* of the result, without a sandbox */
	size_t link_count;
	char **addresses; /* "10.88.0.7", without the prefix length */
	size_t address_count;
	int64_t changed_sec; /* of the file; 0 if unknown or parsed from memory */
	char *data_dir; /* host-local's dataDir in the configuration, NULL: the default */
	json_t *entry;	/* the whole file */
	json_t *config; /* the decoded configuration list; NULL if it was not asked for */
};

struct cnicache {
	struct cnicache_entry *items;
	size_t count;
	char **malformed; /* names of the files skipped: torn, empty, oversized, legacy results */
	size_t malformed_count;
};

/*
 * Every entry of the directory @fd, which stays the caller's. Returns 0 with
 * @ret to end with cnicache_done(), or a negative errno with it untouched.
 */
int cnicache_scan(int fd, struct cnicache *ret);

/*
 * @size bytes of the file @name, with the configuration if @with_config. Returns 0 with @ret to end with
 * cnicache_entry_done(), -EINVAL for what is not an entry, or -ENOMEM.
 */
int cnicache_parse(const char *name, const char *text, size_t size, bool with_config,
		   struct cnicache_entry *ret);

void cnicache_done(struct cnicache *cache);
void cnicache_entry_done(struct cnicache_entry *entry);
#define cleanup_cnicache __attribute__((cleanup(cnicache_done)))
#define cleanup_cnicache_entry __attribute__((cleanup(cnicache_entry_done)))

#endif
