/*
 * Asks a containerd by scanners/cri.h:
 * criask ADDRESS MSEC status|wait|sandboxes|containers|images|has [NAME]
 * Prints what it says, or the error's name; the exit status is 0 or 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scanners/cri.h"

static const char *address;
static unsigned msec;

static int show_status(int (*ask)(const char *, unsigned, struct cri_status *))
{
	cleanup_cri_status struct cri_status status = { 0 };
	int r = ask(address, msec, &status);

	if (r == 0)
		printf("%s runtime %s network %s%s%s\n", status.runtime_name,
		       status.runtime_ready ? "ready" : "not-ready",
		       status.network_ready ? "ready" : "not-ready", status.problem ? " " : "",
		       status.problem ?: "");
	return r;
}

static int show_sandboxes(void)
{
	cleanup_cri_sandboxes struct cri_sandboxes list = { 0 };
	int r = cri_list_sandboxes(address, msec, &list);

	for (size_t i = 0; i < list.count; i++)
		printf("%s %s %s %s %s\n", list.items[i].id, list.items[i].pod_namespace,
		       list.items[i].pod_name, list.items[i].pod_uid,
		       list.items[i].ready ? "ready" : "not-ready");
	return r;
}

static int show_containers(void)
{
	cleanup_cri_containers struct cri_containers list = { 0 };
	int r = cri_list_containers(address, msec, &list);

	for (size_t i = 0; i < list.count; i++)
		printf("%s %s %s %s %d\n", list.items[i].id, list.items[i].sandbox_id,
		       list.items[i].name, list.items[i].image, list.items[i].state);
	return r;
}

static int show_images(void)
{
	cleanup_cri_images struct cri_images list = { 0 };
	int r = cri_list_images(address, msec, &list);

	for (size_t i = 0; i < list.count; i++)
		for (size_t n = 0; n < list.items[i].name_count; n++)
			printf("%s %s\n", list.items[i].names[n], list.items[i].id);
	return r;
}

static int ask(const char *what, const char *name)
{
	if (strcmp(what, "status") == 0)
		return show_status(cri_status);
	if (strcmp(what, "wait") == 0)
		return show_status(cri_wait_ready);
	if (strcmp(what, "sandboxes") == 0)
		return show_sandboxes();
	if (strcmp(what, "containers") == 0)
		return show_containers();
	if (strcmp(what, "images") == 0)
		return show_images();
	return cri_has_image(address, msec, name);
}

int main(int argc, char **argv)
{
	int r;

	if (argc < 4)
		return 2;
	address = argv[1];
	msec = (unsigned)strtoul(argv[2], NULL, 10);
	r = ask(argv[3], argc > 4 ? argv[4] : "");
	if (strcmp(argv[3], "has") == 0 && r >= 0)
		puts(r ? "there" : "not there");
	else if (r < 0)
		puts(cri_error_name(r));
	return r < 0;
}
