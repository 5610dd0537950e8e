#include "recover/userdata_print.h"

#include <stdio.h>

#include "recover/quantity.h"

static const char *text_of(const json_t *json, const char *key, const char *otherwise)
{
	const char *text = json_string_value(json_object_get(json, key));

	return text ?: otherwise; /* plain: userdata_list() takes no other names */
}

static void print_size(const json_t *item)
{
	int64_t bytes = json_integer_value(json_object_get(item, "bytes"));
	const char *least = json_is_true(json_object_get(item, "complete")) ? "" : "at least ";

	printf("%s%s entries, %s%s", least,
	       quantity_count((uint64_t)json_integer_value(json_object_get(item, "entries"))).text, least,
	       quantity_bytes((uint64_t)bytes).text);
}

static void print_item(const json_t *item, const char *indent)
{
	const char *pod = text_of(item, "pod", NULL);

	printf("%s%s%s%s, container %s: %s, ", indent, pod ? text_of(item, "namespace", "") : "pod",
	       pod ? "/" : "", pod ?: " unknown",
	       text_of(item, "container_name", text_of(item, "container", "?")),
	       text_of(item, "kind", "?"));
	print_size(item);
	printf("\n%s    %s\n", indent, text_of(item, "path", "?"));
}

void userdata_print_json(const json_t *items, const char *indent, size_t max)
{
	size_t count = json_array_size(items);

	for (size_t i = 0; i < count && (max == 0 || i < max); i++)
		print_item(json_array_get(items, i), indent);
	if (max && count > max)
		printf("%sand %zu more\n", indent, count - max);
}

void userdata_print(const struct userdata *data, const char *indent)
{
	json_auto_t *items = userdata_to_json(data);

	userdata_print_json(items, indent, 0);
}
