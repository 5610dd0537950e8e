#include "recover/incident_report.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "recover/command.h"
#include "recover/log.h"
#include "recover/situation.h"
#include "recover/ticket.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"

#define TICKET_NONE { .fd = -EBADF, .stages = { .fd = -EBADF } }

enum { RECORD_MAX = 64 << 20 };

/* Of what is kept beside the root, the newest. Returns 1, 0, or a negative errno. */
static int from_ticket(const struct data_root *place, json_t **ret_manifest,
		       struct stages *ret_stages)
{
	cleanup_tickets char **ids = NULL;
	int n = tickets_list(place, &ids);

	while (n-- > 0) {
		cleanup_ticket struct ticket ticket = TICKET_NONE;

		if (ticket_peek(place, ids[n], &ticket) < 0)
			continue;
		*ret_manifest = json_incref(ticket.manifest);
		*ret_stages = ticket.stages;
		ret_stages->fd = -EBADF;
		return 1;
	}
	return n < -1 ? n : 0;
}

static int is_record(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return len > 5 && entry->d_name[0] == '2' && strcmp(entry->d_name + len - 5, ".json") == 0;
}

/* Of what was purged since. */
static int from_records(json_t **ret_manifest)
{
	cleanup_fd int fd = open(RECORDS_PATH, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_free char *text = NULL;
	struct dirent **entries;
	int n = fd < 0 ? -1 : scandirat(fd, ".", &entries, is_record, alphasort);
	int r = -ENOENT;

	if (n < 0)
		return errno == ENOENT ? 0 : -errno;
	if (n > 0)
		r = dir_read_file(fd, entries[n - 1]->d_name, RECORD_MAX, &text, NULL);
	for (int i = 0; i < n; i++)
		free(entries[i]);
	free(entries);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	*ret_manifest = json_loads(text, 0, NULL);
	return *ret_manifest ? 1 : -EBADMSG;
}

static void print_pods(const json_t *sandboxes)
{
	const json_t *sandbox;
	size_t i;

	printf("Lost: %zu sandboxes\n", json_array_size(sandboxes));
	json_array_foreach(sandboxes, i, sandbox) {
		const char *name = json_string_value(json_object_get(sandbox, "pod_name"));
		const char *ns = json_string_value(json_object_get(sandbox, "pod_namespace"));

		if (name && ns)
			printf("  %s/%s\n", log_name(ns), log_name(name));
	}
}

static void print_stages(const struct stages *stages)
{
	printf("Stages:\n");
	for (int i = 0; i < STAGE_COUNT; i++) {
		if (stages->done[i])
			printf("  %-8s %u.%03u s\n", stage_names[i], stages->msec[i] / 1000,
			       stages->msec[i] % 1000);
		else if (stages->begun[i])
			printf("  %-8s begun, not finished\n", stage_names[i]);
	}
}

static void print_next(const char *id, const struct stages *stages)
{
	printf("Next: ");
	if (!stages)
		printf("nothing; the old root is purged\n");
	else if (stages->begun[STAGE_PURGE])
		printf("nothing; the old root is being purged\n");
	else if (stages->done[STAGE_RESTORE])
		printf("nothing; the old root is back\n");
	else
		printf("if pods are back, nothing; else `containerd-recover restore %s` undoes it\n", id);
}

static void print_report(const json_t *manifest, const struct stages *stages)
{
	const char *id = "", *root = "", *why = "", *rule = "";
	const json_t *evidence, *line;
	json_int_t created = 0;
	char when[64] = "";
	struct tm tm;
	time_t sec;
	size_t i;

	(void)json_unpack((json_t *)manifest, "{s:s, s:I, s:{s:s}, s:{s:s, s:s}}", "id", &id, "created",
			  &created, "root", "path", &root, "decision", "why", &why, "rule", &rule);
	sec = created;
	if (localtime_r(&sec, &tm))
		(void)strftime(when, sizeof(when), "%F %T %Z", &tm);
	printf("Incident %s, %s\n", id, when);
	printf("Why: %s (rule %s)\n", why, rule);
	evidence = json_object_get(json_object_get(manifest, "decision"), "evidence");
	json_array_foreach(evidence, i, line)
		printf("  %s\n", log_name(json_string_value(line) ? json_string_value(line) : ""));
	printf("Done: the data root %s was set aside and a fresh one put in its place\n", log_name(root));
	print_pods(json_object_get(json_object_get(manifest, "lost"), "sandboxes"));
	if (stages)
		print_stages(stages);
	print_next(id, stages);
}

int incident_report_print(const struct config_overrides *paths, bool json)
{
	cleanup_data_root struct data_root place = { .parent_fd = -EBADF, .root_fd = -EBADF };
	cleanup_config struct config config = { 0 };
	struct stages stages = { .fd = -EBADF };
	json_t *manifest = NULL;
	bool live = false;
	int r = config_read(paths, &config);

	if (r == 0 && data_root_open(config.root, &place) == 0) {
		r = from_ticket(&place, &manifest, &stages);
		live = r > 0;
	}
	if (r == 0)
		r = from_records(&manifest);
	if (r <= 0) {
		log_error("%s", r == 0 ? "there was no incident on this node" : strerror(-r));
		return EXIT_FAILED;
	}
	if (json) {
		(void)json_dumpf(manifest, stdout, JSON_INDENT(1)); /* main() checks stdout */
		printf("\n");
	} else {
		print_report(manifest, live ? &stages : NULL);
	}
	json_decref(manifest);
	return EXIT_OK;
}
