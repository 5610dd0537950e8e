#include "recover/fate.h"

#include <string.h>

#define CRI_NAMESPACE "k8s.io"

/* A container that containerd knows speaks for its sandbox. */
static bool is_known(const struct known *known, const struct sandbox *sandbox)
{
	bool found = json_object_get(known->ids, sandbox->id) != NULL;

	for (size_t i = 0; !found && i < sandbox->container_count; i++)
		found = json_object_get(known->ids, sandbox->containers[i].id) != NULL;
	return found;
}

/* Neither process nor bundle nor namespace: what is left outlived a reboot, or was forgotten. */
static bool has_no_body(const struct sandbox *sandbox)
{
	return !sandbox_is_running(sandbox) && !sandbox->from_bundle && !sandbox->netns_mounted;
}

/* CRI's sandboxes bear random ids. So does what nerdctl runs, whose bundles say that it is no pod. */
static bool is_pod(const struct sandbox *sandbox)
{
	return strcmp(sandbox->ns, CRI_NAMESPACE) == 0 && process_is_cri_id(sandbox->id) &&
	       !sandbox->not_cri;
}

/*
 * By more than files of CNI's: those have networks and ids, and beside another
 * runtime on the same networks neither says whose it is.
 */
static bool is_ours(const struct sandbox *sandbox, const struct known *known)
{
	return !known->sharer || sandbox->from_bundle || sandbox->from_shim ||
	       is_known(known, sandbox);
}

static enum fate fate_while_up(const struct sandbox *sandbox, const struct known *known,
			       int64_t now_sec, int64_t min_age_sec, const char **ret_why)
{
	if (is_known(known, sandbox)) {
		*ret_why = "containerd knows it";
		return FATE_LIVE;
	}
	/* A clock that was set back makes it young, not old. */
	if (min_age_sec > 0 &&
	    (sandbox->changed_sec == 0 || now_sec - sandbox->changed_sec < min_age_sec)) {
		*ret_why = "containerd does not know it, but it may be in the making";
		return FATE_YOUNG;
	}
	*ret_why = sandbox_is_running(sandbox) ? "runs on without containerd's knowledge" :
						 "containerd does not know it";
	return FATE_LOST;
}

static enum fate fate_while_down(const struct sandbox *sandbox, const struct known *known,
				 const char **ret_why)
{
	if (has_no_body(sandbox)) {
		*ret_why = "its namespace and processes are gone, its address is still reserved";
		return FATE_LOST;
	}
	if (known->source == KNOWN_ABSENT) {
		*ret_why = "containerd has no records at all: is its data root mounted?";
		return FATE_LIVE;
	}
	if (is_known(known, sandbox)) {
		*ret_why = "containerd has a record of it";
		return FATE_LIVE;
	}
	*ret_why = sandbox_is_running(sandbox) ? "runs on without a record of containerd's" :
						 "containerd has no record of it";
	return FATE_LOST;
}

enum fate fate_of(const struct sandbox *sandbox, const struct known *known, int64_t now_sec,
		  int64_t min_age_sec, const char **ret_why)
{
	if (!is_pod(sandbox)) {
		*ret_why = "not a pod";
		return FATE_OTHER;
	}
	if (!is_ours(sandbox, known)) {
		*ret_why = "another runtime uses CNI's directories too; it may be that one's";
		return FATE_OTHER;
	}
	if (sandbox->visitor) {
		*ret_why = "a process that is not its own lives in its network namespace";
		return FATE_LIVE;
	}
	switch (known->source) {
	case KNOWN_CRI:
		return fate_while_up(sandbox, known, now_sec, min_age_sec, ret_why);
	case KNOWN_METADATA:
	case KNOWN_ABSENT:
		return fate_while_down(sandbox, known, ret_why);
	case KNOWN_NOTHING:
		break;
	}
	*ret_why = "nobody can say what containerd knows";
	return FATE_LIVE;
}

const char *fate_name(enum fate fate)
{
	static const char *const names[] = { "live", "young", "other", "lost" };

	return names[fate];
}
