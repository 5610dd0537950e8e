#include <errno.h>
#include <string.h>

#include "scanners/array.h"
#include "scanners/cleanup.h"
#include "scanners/inventory.h"
#include "scanners/text.h"

/* Members by name, so that both directions read from the same table. */
struct member {
	const char *name;
	size_t offset;
};

#define MEMBER(type, name) { #name, offsetof(struct type, name) }

static const struct member container_texts[] = {
	MEMBER(container, ns),	       MEMBER(container, id),
	MEMBER(container, sandbox_id), MEMBER(container, cgroup_path),
	MEMBER(container, runtime_binary),
};

static const struct member reservation_texts[] = {
	MEMBER(reservation, data_dir),
	MEMBER(reservation, network),
	MEMBER(reservation, address),
};

static const struct member sandbox_texts[] = {
	MEMBER(sandbox, ns),	       MEMBER(sandbox, id),	 MEMBER(sandbox, pod_name),
	MEMBER(sandbox, pod_namespace), MEMBER(sandbox, pod_uid), MEMBER(sandbox, netns),
	MEMBER(sandbox, shim_address),
};

static const struct member sandbox_flags[] = {
	MEMBER(sandbox, from_bundle),
	MEMBER(sandbox, from_shim),
	MEMBER(sandbox, from_cache),
	MEMBER(sandbox, from_reservation),
	MEMBER(sandbox, netns_mounted),
	MEMBER(sandbox, other_links),
};

static const void *get_member(const void *item, const struct member *member)
{
	return (const char *)item + member->offset;
}

static void *put_member(void *item, const struct member *member)
{
	return (char *)item + member->offset;
}

/* Names of the node may be any bytes; JSON wants UTF-8. */
static json_t *text_to_json(const char *text)
{
	json_t *json = json_string(text);

	return json ? json : json_string("(not UTF-8)");
}

static int put_texts(json_t *object, const void *item, const struct member *members, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char *const *text = get_member(item, &members[i]);

		if (*text && json_object_set_new(object, members[i].name, text_to_json(*text)) < 0)
			return -ENOMEM;
	}
	return 0;
}

static json_t *process_to_json(const struct process *process)
{
	return json_pack("{s:i, s:I}", "pid", (int)process->pid, "start_ticks",
			 (json_int_t)process->start_ticks);
}

static json_t *container_to_json(const void *item)
{
	const struct container *container = item;
	json_auto_t *json = json_object();

	if (put_texts(json, container, container_texts, ARRAY_SIZE(container_texts)) < 0)
		return NULL;
	if (container->init.start_ticks &&
	    json_object_set_new(json, "init", process_to_json(&container->init)) < 0)
		return NULL;
	return take_ptr(json);
}

static json_t *link_to_json(const void *item)
{
	const struct host_link *link = item;

	return json_pack("{s:s, s:i, s:s}", "name", link->name, "index", link->index, "mac",
			 link->mac);
}

static json_t *reservation_to_json(const void *item)
{
	json_auto_t *json = json_object();

	if (put_texts(json, item, reservation_texts, ARRAY_SIZE(reservation_texts)) < 0)
		return NULL;
	return take_ptr(json);
}

static json_t *name_to_json(const void *item)
{
	return text_to_json(*(char *const *)item);
}

static int put_array(json_t *object, const char *key, const void *items, size_t count, size_t size,
		     json_t *(*convert)(const void *item))
{
	json_t *array = json_array();

	/* The setters take over the reference, also when they fail. */
	if (json_object_set_new(object, key, array) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		if (json_array_append_new(array, convert((const char *)items + i * size)) < 0)
			return -ENOMEM;
	return 0;
}

static json_t *sandbox_to_json(const void *item)
{
	const struct sandbox *s = item;
	json_auto_t *json = json_object();

	if (put_texts(json, s, sandbox_texts, ARRAY_SIZE(sandbox_texts)) < 0 ||
	    (s->shim.start_ticks &&
	     json_object_set_new(json, "shim", process_to_json(&s->shim)) < 0))
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(sandbox_flags); i++) {
		const bool *flag = get_member(s, &sandbox_flags[i]);

		if (json_object_set_new(json, sandbox_flags[i].name, json_boolean(*flag)) < 0)
			return NULL;
	}
	if (json_object_set_new(json, "changed", json_integer((json_int_t)s->changed_sec)) < 0 ||
	    json_object_set_new(json, "netns_inode", json_integer((json_int_t)s->netns_inode)) < 0)
		return NULL;
	if (put_array(json, "containers", s->containers, s->container_count,
		      sizeof(*s->containers), container_to_json) < 0 ||
	    put_array(json, "links", s->links, s->link_count, sizeof(*s->links), link_to_json) < 0 ||
	    put_array(json, "reservations", s->reservations, s->reservation_count,
		      sizeof(*s->reservations), reservation_to_json) < 0 ||
	    put_array(json, "cache_files", s->cache_files, s->cache_file_count,
		      sizeof(*s->cache_files), name_to_json) < 0)
		return NULL;
	return take_ptr(json);
}

json_t *inventory_to_json(const struct inventory *inventory)
{
	json_auto_t *json = json_pack("{s:b, s:I}", "complete", inventory->complete, "unreadable",
				      (json_int_t)inventory->unreadable);

	if (!json || put_array(json, "empty_reservations", inventory->empty_reservations,
			       inventory->empty_reservation_count,
			       sizeof(*inventory->empty_reservations), reservation_to_json) < 0)
		return NULL;
	if (put_array(json, "sandboxes", inventory->sandboxes, inventory->sandbox_count,
			       sizeof(*inventory->sandboxes), sandbox_to_json) < 0)
		return NULL;
	return take_ptr(json);
}

static int get_text(const json_t *json, char **ret)
{
	if (!json)
		return 0;
	if (!json_is_string(json))
		return -EINVAL;
	*ret = strdup(json_string_value(json));
	return *ret ? 0 : -ENOMEM;
}

static int get_texts(const json_t *object, void *item, const struct member *members, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int r = get_text(json_object_get(object, members[i].name),
				 put_member(item, &members[i]));

		if (r < 0)
			return r;
	}
	return 0;
}

static int get_process(const json_t *json, struct process *ret)
{
	json_int_t pid, start;

	if (!json)
		return 0;
	pid = json_integer_value(json_object_get(json, "pid"));
	start = json_integer_value(json_object_get(json, "start_ticks"));
	if (pid <= 0 || pid > INT32_MAX || start <= 0)
		return -EINVAL;
	*ret = (struct process){ .pid = (pid_t)pid, .start_ticks = (uint64_t)start };
	return 0;
}

static int get_containers(const json_t *array, struct sandbox *sandbox)
{
	size_t i;
	json_t *json;

	json_array_foreach(array, i, json)
	{
		struct container *container =
			ARRAY_ADD(sandbox->containers, sandbox->container_count);
		int r;

		if (!container)
			return -ENOMEM;
		r = get_texts(json, container, container_texts, ARRAY_SIZE(container_texts));
		if (r == 0)
			r = get_process(json_object_get(json, "init"), &container->init);
		if (r < 0)
			return r;
		if (!text_is_single_name(container->ns) || !text_is_single_name(container->id))
			return -EINVAL;
	}
	return 0;
}

static int get_links(const json_t *array, struct sandbox *sandbox)
{
	size_t i;
	json_t *json;

	json_array_foreach(array, i, json)
	{
		struct host_link *link = ARRAY_ADD(sandbox->links, sandbox->link_count);
		const char *mac = json_string_value(json_object_get(json, "mac"));
		int r;

		if (!link)
			return -ENOMEM;
		r = get_text(json_object_get(json, "name"), &link->name);
		if (r < 0)
			return r;
		link->index = (int)json_integer_value(json_object_get(json, "index"));
		if (!link->name || link->index <= 0 || !mac || strlen(mac) >= sizeof(link->mac))
			return -EINVAL;
		memcpy(link->mac, mac, strlen(mac) + 1);
	}
	return 0;
}

static int get_reservations(const json_t *array, struct reservation **items, size_t *count)
{
	size_t i;
	json_t *json;

	json_array_foreach(array, i, json)
	{
		struct reservation *reservation = ARRAY_ADD(*items, *count);
		int r;

		if (!reservation)
			return -ENOMEM;
		r = get_texts(json, reservation, reservation_texts, ARRAY_SIZE(reservation_texts));
		if (r < 0)
			return r;
		if (!reservation->data_dir || !text_is_single_name(reservation->network) ||
		    !text_is_single_name(reservation->address))
			return -EINVAL;
	}
	return 0;
}

static int get_cache_files(const json_t *array, struct sandbox *sandbox)
{
	size_t i;
	json_t *json;

	json_array_foreach(array, i, json)
	{
		char **name = ARRAY_ADD(sandbox->cache_files, sandbox->cache_file_count);
		int r;

		if (!name)
			return -ENOMEM;
		r = get_text(json, name);
		if (r < 0)
			return r;
		if (!text_is_single_name(*name))
			return -EINVAL;
	}
	return 0;
}

static int get_sandbox(const json_t *json, struct sandbox *sandbox)
{
	int r = get_texts(json, sandbox, sandbox_texts, ARRAY_SIZE(sandbox_texts));

	if (r == 0)
		r = get_process(json_object_get(json, "shim"), &sandbox->shim);
	if (r < 0)
		return r;
	if (!text_is_single_name(sandbox->ns) || !text_is_single_name(sandbox->id))
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(sandbox_flags); i++) {
		bool *flag = put_member(sandbox, &sandbox_flags[i]);

		*flag = json_is_true(json_object_get(json, sandbox_flags[i].name));
	}
	sandbox->changed_sec = json_integer_value(json_object_get(json, "changed"));
	sandbox->netns_inode =
		(uint64_t)json_integer_value(json_object_get(json, "netns_inode"));
	r = get_containers(json_object_get(json, "containers"), sandbox);
	if (r == 0)
		r = get_links(json_object_get(json, "links"), sandbox);
	if (r == 0)
		r = get_reservations(json_object_get(json, "reservations"), &sandbox->reservations,
				     &sandbox->reservation_count);
	if (r == 0)
		r = get_cache_files(json_object_get(json, "cache_files"), sandbox);
	return r;
}

int inventory_from_json(const json_t *json, struct inventory *ret)
{
	cleanup_inventory struct inventory inventory = { 0 };
	const json_t *sandboxes = json_object_get(json, "sandboxes");
	size_t i;
	json_t *item;
	int r;

	if (!json_is_array(sandboxes))
		return -EINVAL;
	inventory.complete = json_is_true(json_object_get(json, "complete"));
	inventory.unreadable = (size_t)json_integer_value(json_object_get(json, "unreadable"));
	r = get_reservations(json_object_get(json, "empty_reservations"),
			     &inventory.empty_reservations, &inventory.empty_reservation_count);
	if (r < 0)
		return r;
	json_array_foreach(sandboxes, i, item)
	{
		struct sandbox *sandbox = ARRAY_ADD(inventory.sandboxes, inventory.sandbox_count);

		r = sandbox ? get_sandbox(item, sandbox) : -ENOMEM;
		if (r < 0)
			return r;
	}
	*ret = inventory;
	inventory = (struct inventory){ 0 };
	return 0;
}
