#include "scanners/cri.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <time.h>

#include "scanners/cleanup.h"
#include "scanners/clock.h"
#include "scanners/cri.pb-c.h"
#include "scanners/grpc.h"

#define RUNTIME "/runtime.v1.RuntimeService/"
#define IMAGES "/runtime.v1.ImageService/"

enum {
	BUDGET_DEFAULT_MSEC = 10000,
	WAIT_PAUSE_MSEC = 50,	 /* between two questions of cri_wait_ready() */
	DEGRADED_MSEC = 1000,	 /* "no CRI" for so long is the truth */
	ONE_ANSWER_MSEC = 2000,	 /* of one question of cri_wait_ready() */
};

/* Call @method and unpack its answer as @descriptor; to be freed by free_message(). */
static int call(const char *address, const char *method, const ProtobufCMessage *request,
		const ProtobufCMessageDescriptor *descriptor, unsigned budget_msec,
		ProtobufCMessage **ret)
{
	cleanup_free uint8_t *packed = NULL, *answer = NULL;
	size_t size = request ? protobuf_c_message_get_packed_size(request) : 0;
	ProtobufCMessage *message;
	size_t answer_size;
	int r;

	if (size > 0) {
		packed = malloc(size);
		if (!packed)
			return -ENOMEM;
		(void)protobuf_c_message_pack(request, packed);
	}
	r = grpc_call(address, method, NULL, packed, size, budget_msec ?: BUDGET_DEFAULT_MSEC, &answer,
		      &answer_size);
	if (r < 0)
		return r;
	message = protobuf_c_message_unpack(descriptor, NULL, answer_size, answer);
	if (!message)
		return -EPROTO;
	*ret = message;
	return 0;
}

static void free_message(ProtobufCMessage **message)
{
	protobuf_c_message_free_unpacked(*message, NULL);
}
#define cleanup_message __attribute__((cleanup(free_message)))

static bool copy(char **to, const char *from)
{
	*to = strdup(from);
	return *to != NULL;
}

static int add_problem(struct cri_status *status, const Cri__Condition *condition)
{
	char *longer;

	if (asprintf(&longer, "%s%s%s: %s", status->problem ?: "", status->problem ? "; " : "",
		     condition->type, condition->message) < 0)
		return -ENOMEM;
	free(status->problem);
	status->problem = longer;
	return 0;
}

static int read_conditions(const Cri__RuntimeStatus *from, struct cri_status *status)
{
	int r = 0;

	for (size_t i = 0; from && i < from->n_conditions && r == 0; i++) {
		const Cri__Condition *condition = from->conditions[i];

		if (strcmp(condition->type, "RuntimeReady") == 0)
			status->runtime_ready = condition->status;
		if (strcmp(condition->type, "NetworkReady") == 0)
			status->network_ready = condition->status;
		if (!condition->status)
			r = add_problem(status, condition);
	}
	return r;
}

int cri_status(const char *address, unsigned budget_msec, struct cri_status *ret)
{
	cleanup_message ProtobufCMessage *version = NULL, *message = NULL;
	cleanup_cri_status struct cri_status status = { 0 };
	int64_t end = clock_msec() + (budget_msec ?: BUDGET_DEFAULT_MSEC), now;
	const Cri__VersionResponse *names;
	int r;

	r = call(address, RUNTIME "Version", NULL, &cri__version_response__descriptor, budget_msec,
		 &version);
	if (r < 0)
		return r;
	now = clock_msec();
	if (now >= end)
		return -ETIMEDOUT;
	r = call(address, RUNTIME "Status", NULL, &cri__status_response__descriptor,
		 (unsigned)(end - now), &message);
	if (r < 0)
		return r;
	names = (const Cri__VersionResponse *)version;
	if (!copy(&status.runtime_name, names->runtime_name) ||
	    !copy(&status.runtime_version, names->runtime_version))
		return -ENOMEM;
	r = read_conditions(((const Cri__StatusResponse *)message)->status, &status);
	if (r < 0)
		return r;
	*ret = status;
	status = (struct cri_status){ 0 };
	return 0;
}

static bool copy_sandbox(struct cri_sandbox *to, const Cri__PodSandbox *from)
{
	const Cri__PodSandboxMetadata *metadata = from->metadata;

	to->ready = from->state == 0;
	return copy(&to->id, from->id) && copy(&to->pod_name, metadata ? metadata->name : "") &&
	       copy(&to->pod_namespace, metadata ? metadata->namespace_ : "") &&
	       copy(&to->pod_uid, metadata ? metadata->uid : "");
}

int cri_list_sandboxes(const char *address, unsigned budget_msec, struct cri_sandboxes *ret)
{
	cleanup_message ProtobufCMessage *message = NULL;
	cleanup_cri_sandboxes struct cri_sandboxes sandboxes = { 0 };
	const Cri__ListPodSandboxResponse *list;
	int r;

	r = call(address, RUNTIME "ListPodSandbox", NULL,
		 &cri__list_pod_sandbox_response__descriptor, budget_msec, &message);
	if (r < 0)
		return r;
	list = (const Cri__ListPodSandboxResponse *)message;
	sandboxes.items = calloc(MAX(list->n_items, (size_t)1), sizeof(*sandboxes.items));
	if (!sandboxes.items)
		return -ENOMEM;
	for (; sandboxes.count < list->n_items; sandboxes.count++)
		if (!copy_sandbox(&sandboxes.items[sandboxes.count], list->items[sandboxes.count])) {
			sandboxes.count++;
			return -ENOMEM;
		}
	*ret = sandboxes;
	sandboxes = (struct cri_sandboxes){ 0 };
	return 0;
}

static bool copy_container(struct cri_container *to, const Cri__Container *from)
{
	to->state = from->state >= 0 && from->state <= CRI_CONTAINER_UNKNOWN
			    ? (enum cri_container_state)from->state
			    : CRI_CONTAINER_UNKNOWN;
	return copy(&to->id, from->id) && copy(&to->sandbox_id, from->pod_sandbox_id) &&
	       copy(&to->name, from->metadata ? from->metadata->name : "") &&
	       copy(&to->image, from->image ? from->image->image : "") &&
	       copy(&to->image_ref, from->image_ref);
}

int cri_list_containers(const char *address, unsigned budget_msec, struct cri_containers *ret)
{
	cleanup_message ProtobufCMessage *message = NULL;
	cleanup_cri_containers struct cri_containers containers = { 0 };
	const Cri__ListContainersResponse *list;
	int r;

	r = call(address, RUNTIME "ListContainers", NULL,
		 &cri__list_containers_response__descriptor, budget_msec, &message);
	if (r < 0)
		return r;
	list = (const Cri__ListContainersResponse *)message;
	containers.items = calloc(MAX(list->n_containers, (size_t)1), sizeof(*containers.items));
	if (!containers.items)
		return -ENOMEM;
	for (; containers.count < list->n_containers; containers.count++)
		if (!copy_container(&containers.items[containers.count],
				    list->containers[containers.count])) {
			containers.count++;
			return -ENOMEM;
		}
	*ret = containers;
	containers = (struct cri_containers){ 0 };
	return 0;
}

static bool copy_image(struct cri_image *to, const Cri__Image *from)
{
	to->size = from->size;
	to->pinned = from->pinned;
	to->names = calloc(from->n_repo_tags + from->n_repo_digests + 1, sizeof(*to->names));
	if (!to->names || !copy(&to->id, from->id))
		return false;
	for (size_t i = 0; i < from->n_repo_tags + from->n_repo_digests; i++) {
		const char *name = i < from->n_repo_tags
					   ? from->repo_tags[i]
					   : from->repo_digests[i - from->n_repo_tags];

		if (!copy(&to->names[to->name_count], name))
			return false;
		to->name_count++;
	}
	return true;
}

int cri_list_images(const char *address, unsigned budget_msec, struct cri_images *ret)
{
	cleanup_message ProtobufCMessage *message = NULL;
	cleanup_cri_images struct cri_images images = { 0 };
	const Cri__ListImagesResponse *list;
	int r;

	r = call(address, IMAGES "ListImages", NULL, &cri__list_images_response__descriptor,
		 budget_msec, &message);
	if (r < 0)
		return r;
	list = (const Cri__ListImagesResponse *)message;
	images.items = calloc(MAX(list->n_images, (size_t)1), sizeof(*images.items));
	if (!images.items)
		return -ENOMEM;
	for (; images.count < list->n_images; images.count++)
		if (!copy_image(&images.items[images.count], list->images[images.count])) {
			images.count++;
			return -ENOMEM;
		}
	*ret = images;
	images = (struct cri_images){ 0 };
	return 0;
}

int cri_has_image(const char *address, unsigned budget_msec, const char *name)
{
	cleanup_message ProtobufCMessage *message = NULL;
	Cri__ImageStatusRequest request = CRI__IMAGE_STATUS_REQUEST__INIT;
	Cri__ImageSpec spec = CRI__IMAGE_SPEC__INIT;
	int r;

	spec.image = (char *)name; /* only read: protobuf-c knows no const */
	request.image = &spec;
	r = call(address, IMAGES "ImageStatus", &request.base,
		 &cri__image_status_response__descriptor, budget_msec, &message);
	if (r < 0)
		return r;
	return ((const Cri__ImageStatusResponse *)message)->image != NULL;
}

int cri_wait_ready(const char *address, unsigned budget_msec, struct cri_status *ret)
{
	const struct timespec pause = { .tv_nsec = WAIT_PAUSE_MSEC * 1000000L };
	int64_t now = clock_msec(), end = now + budget_msec, degraded_since = 0;
	int r;

	for (;;) {
		cleanup_cri_status struct cri_status status = { 0 };

		r = cri_status(address, (unsigned)MIN(MAX(end - now, (int64_t)1),
						      (int64_t)ONE_ANSWER_MSEC), &status);
		if (r == 0 && status.runtime_ready) {
			if (ret) {
				*ret = status;
				status = (struct cri_status){ 0 };
			}
			return 0;
		}
		if (r == 0)
			r = -EAGAIN;
		now = clock_msec();
		if (r == -ELIBACC || r == -ENOMEM || now + WAIT_PAUSE_MSEC >= end)
			return r;
		/* A refusal that is cut short on its way is an -EPROTO. */
		if (r != -EOPNOTSUPP && r != -EPROTO)
			degraded_since = 0;
		else if (r == -EOPNOTSUPP && !degraded_since)
			degraded_since = now;
		else if (degraded_since && now - degraded_since >= DEGRADED_MSEC)
			return -EOPNOTSUPP;
		(void)nanosleep(&pause, NULL); /* shorter by a signal does no harm */
		now = clock_msec();
	}
}

const char *cri_error_name(int error)
{
	switch (-error) {
	case 0:
		return "ready";
	case ENOENT:
		return "no socket";
	case ECONNREFUSED:
		return "connection refused";
	case ETIMEDOUT:
		return "no answer in time";
	case EOPNOTSUPP:
		return "running without CRI";
	case EAGAIN:
		return "still recovering";
	case ELIBACC:
		return "libcurl is not installed";
	case EPROTO:
		return "an answer that is an error";
	default:
		return strerror(-error);
	}
}

void cri_status_done(struct cri_status *status)
{
	free(status->runtime_name);
	free(status->runtime_version);
	free(status->problem);
	*status = (struct cri_status){ 0 };
}

void cri_sandboxes_done(struct cri_sandboxes *sandboxes)
{
	for (size_t i = 0; i < sandboxes->count; i++) {
		free(sandboxes->items[i].id);
		free(sandboxes->items[i].pod_name);
		free(sandboxes->items[i].pod_namespace);
		free(sandboxes->items[i].pod_uid);
	}
	free(sandboxes->items);
	*sandboxes = (struct cri_sandboxes){ 0 };
}

void cri_containers_done(struct cri_containers *containers)
{
	for (size_t i = 0; i < containers->count; i++) {
		free(containers->items[i].id);
		free(containers->items[i].sandbox_id);
		free(containers->items[i].name);
		free(containers->items[i].image);
		free(containers->items[i].image_ref);
	}
	free(containers->items);
	*containers = (struct cri_containers){ 0 };
}

void cri_images_done(struct cri_images *images)
{
	for (size_t i = 0; i < images->count; i++) {
		free(images->items[i].id);
		for (size_t n = 0; n < images->items[i].name_count; n++)
			free(images->items[i].names[n]);
		free(images->items[i].names);
	}
	free(images->items);
	*images = (struct cri_images){ 0 };
}
