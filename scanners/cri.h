/*
 * Asking a running containerd by the container runtime interface: unary gRPC
 * calls over its unix socket (libcurl for HTTP/2, protobuf-c for the messages;
 * scanners/cri.proto has the part of runtime.v1 that is understood). Nothing
 * here changes what is asked.
 *
 * Every call takes @address, "/run/containerd/containerd.sock" or
 * "unix:///run/…", and @budget_msec, which bounds all of it (0: 10 s), and
 * returns 0 with its out-parameter the caller's, or with it untouched
 *	-ENOENT		no socket
 *	-ECONNREFUSED	a socket on which nobody listens
 *	-ETIMEDOUT	no answer in time
 *	-EOPNOTSUPP	containerd answers but has no CRI: degraded until restarted
 *	-EAGAIN		CRI is still recovering its state
 *	-ELIBACC	libcurl is not installed
 *	-EPROTO		any other error that the server returned, or nonsense
 *	or another negative errno.
 */
#ifndef SCANNERS_CRI_H
#define SCANNERS_CRI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cri_status {
	char *runtime_name, *runtime_version; /* "containerd", "1.6.20" */
	bool runtime_ready;
	bool network_ready;
	char *problem; /* why one of them is not, NULL if both are */
};

struct cri_sandbox {
	char *id, *pod_name, *pod_namespace, *pod_uid;
	bool ready;
};

struct cri_sandboxes {
	struct cri_sandbox *items;
	size_t count;
};

enum cri_container_state {
	CRI_CONTAINER_CREATED,
	CRI_CONTAINER_RUNNING,
	CRI_CONTAINER_EXITED,
	CRI_CONTAINER_UNKNOWN,
};

struct cri_container {
	char *id, *sandbox_id, *name;
	char *image; /* as the pod names it */
	char *image_ref; /* image id */
	enum cri_container_state state;
};

struct cri_containers {
	struct cri_container *items;
	size_t count;
};

struct cri_image {
	char *id;     /* "sha256:…" of its configuration */
	char **names; /* tags, then digests */
	size_t name_count;
	uint64_t size;
	bool pinned;
};

struct cri_images {
	struct cri_image *items;
	size_t count;
};

/* Version and Status. */
int cri_status(const char *address, unsigned budget_msec, struct cri_status *ret);

int cri_list_sandboxes(const char *address, unsigned budget_msec, struct cri_sandboxes *ret);
int cri_list_containers(const char *address, unsigned budget_msec, struct cri_containers *ret);
int cri_list_images(const char *address, unsigned budget_msec, struct cri_images *ret);

/* Is the image that a pod would name @name there? Returns 1, 0, or as above. */
int cri_has_image(const char *address, unsigned budget_msec, const char *name);

/*
 * Ask until CRI answers with its runtime ready, or @budget_msec have passed. No
 * CRI at all (-EOPNOTSUPP) is believed after a second of the same answer.
 *
 * Returns 0 with @ret (may be NULL) the caller's, or the last error.
 */
int cri_wait_ready(const char *address, unsigned budget_msec, struct cri_status *ret);

/* "no socket", "still recovering", …: an error of these calls in words. */
const char *cri_error_name(int error);

void cri_status_done(struct cri_status *status);
void cri_sandboxes_done(struct cri_sandboxes *sandboxes);
void cri_containers_done(struct cri_containers *containers);
void cri_images_done(struct cri_images *images);
#define cleanup_cri_status __attribute__((cleanup(cri_status_done)))
#define cleanup_cri_sandboxes __attribute__((cleanup(cri_sandboxes_done)))
#define cleanup_cri_containers __attribute__((cleanup(cri_containers_done)))
#define cleanup_cri_images __attribute__((cleanup(cri_images_done)))

#endif
