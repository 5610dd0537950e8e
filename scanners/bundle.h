/*
 * Bundles: what containerd's runtime v2 keeps for each container below
 * <state>/io.containerd.runtime.v2.task/<namespace>/<id>/: config.json (OCI
 * spec with CRI's annotations), init.pid, shim-binary-path, and where the shim
 * listens (address, or bootstrap.json since containerd 2.0).
 */
#ifndef SCANNERS_BUNDLE_H
#define SCANNERS_BUNDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define BUNDLE_TASKS "io.containerd.runtime.v2.task"

struct bundle {
	char *ns;
	char *id;
	char *sandbox_id; /* == id for the sandbox itself; NULL outside CRI */
	char *pod_name, *pod_namespace, *pod_uid; /* NULL where unknown */
	char *netns;	      /* path, NULL if it has no network namespace of its own */
	char *cgroup_path;    /* cgroupsPath, NULL if none */
	char *runtime_binary; /* NULL if the file is not there */
	char *shim_address;   /* "unix:///run/containerd/s/…", NULL if unknown */
	bool shim_grpc;	      /* it speaks gRPC there, not ttrpc */
	pid_t init;	      /* as written in init.pid: not checked; 0 if unknown */
	int64_t changed_sec;  /* of the directory; 0 if unknown */
	bool readable;	      /* false: config.json is missing or torn; only ns and id are known */
};

/*
 * The bundle at the single name @id below @ns_fd, the directory of namespace
 * @ns. Returns 0 with @ret to end with bundle_done(), or a negative errno with
 * it untouched; a bundle without a usable config.json is not an error.
 */
int bundle_read(int ns_fd, const char *ns, const char *id, struct bundle *ret);

void bundle_done(struct bundle *bundle);
#define cleanup_bundle __attribute__((cleanup(bundle_done)))

/* Wherever the state directory is, runc's is here (containerd, process/utils.go). */
#define BUNDLE_RUNC_ROOT "/run/containerd/runc"

/*
 * pid and start time of the init process that runc itself recorded for the
 * container (/run/containerd/runc/<ns>/<id>/state.json). Returns 0, or a
 * negative errno with @ret untouched.
 */
struct process;
int bundle_runc_init(const char *ns, const char *id, struct process *ret);

/*
 * The control groups that runc recorded for the container, absolute paths, added
 * to @ret. Returns 0 or a negative errno.
 */
struct text_list;
int bundle_runc_cgroups(const char *ns, const char *id, struct text_list *ret);

#endif
