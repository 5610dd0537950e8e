#include <stdlib.h>
#include <string.h>

#include "scanners/inventory.h"

static void container_done(struct container *container)
{
	free(container->ns);
	free(container->id);
	free(container->sandbox_id);
	free(container->cgroup_path);
	free(container->runtime_binary);
}

static void reservation_done(struct reservation *reservation)
{
	free(reservation->data_dir);
	free(reservation->network);
	free(reservation->address);
}

static void sandbox_done(struct sandbox *sandbox)
{
	for (size_t i = 0; i < sandbox->container_count; i++)
		container_done(&sandbox->containers[i]);
	for (size_t i = 0; i < sandbox->link_count; i++)
		free(sandbox->links[i].name);
	for (size_t i = 0; i < sandbox->reservation_count; i++)
		reservation_done(&sandbox->reservations[i]);
	for (size_t i = 0; i < sandbox->cache_file_count; i++)
		free(sandbox->cache_files[i]);
	free(sandbox->containers);
	free(sandbox->links);
	free(sandbox->reservations);
	free(sandbox->cache_files);
	free(sandbox->ns);
	free(sandbox->id);
	free(sandbox->pod_name);
	free(sandbox->pod_namespace);
	free(sandbox->pod_uid);
	free(sandbox->netns);
	free(sandbox->shim_address);
}

void inventory_done(struct inventory *inventory)
{
	for (size_t i = 0; i < inventory->sandbox_count; i++)
		sandbox_done(&inventory->sandboxes[i]);
	free(inventory->sandboxes);
	for (size_t i = 0; i < inventory->empty_reservation_count; i++)
		reservation_done(&inventory->empty_reservations[i]);
	free(inventory->empty_reservations);
	*inventory = (struct inventory){ 0 };
}

bool sandbox_is_running(const struct sandbox *sandbox)
{
	if (sandbox->shim.start_ticks)
		return true;
	for (size_t i = 0; i < sandbox->container_count; i++)
		if (sandbox->containers[i].init.start_ticks)
			return true;
	return false;
}

size_t inventory_live_count(const struct inventory *inventory, const char *ns)
{
	size_t live = 0;

	for (size_t i = 0; i < inventory->sandbox_count; i++)
		live += strcmp(inventory->sandboxes[i].ns, ns) == 0 &&
			sandbox_is_running(&inventory->sandboxes[i]);
	return live;
}
