#include "scanners/records.h"

#include <errno.h>
#include <stdint.h>

#include "scanners/cleanup.h"
#include "scanners/grpc.h"
#include "scanners/records.pb-c.h"

#define LIST "/containerd.services.containers.v1.Containers/List"

int records_list(const char *address, const char *ns, unsigned budget_msec, struct text_list *ret)
{
	cleanup_free uint8_t *answer = NULL;
	Records__ListContainersResponse *list;
	size_t size;
	int r;

	r = grpc_call(address, LIST, ns, NULL, 0, budget_msec, &answer, &size);
	if (r < 0)
		return r;
	list = records__list_containers_response__unpack(NULL, size, answer);
	if (!list)
		return -EPROTO;
	for (size_t i = 0; r == 0 && i < list->n_containers; i++)
		r = text_list_add(ret, list->containers[i]->id);
	records__list_containers_response__free_unpacked(list, NULL);
	return r;
}
