#include "scanners/sharers.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "scanners/cleanup.h"
#include "scanners/process.h"
#include "scanners/text.h"

#define CNI_DIR "/var/lib/cni"

static bool is_runtime(const struct process_table *table, const struct process_entry *entry)
{
	const struct process_entry *parent = process_find(table, entry->parent);

	if (entry->zombie)
		return false;
	if (strcmp(entry->name, "containerd") == 0)
		return !parent || strcmp(parent->name, "dockerd") != 0;
	return strcmp(entry->name, "crio") == 0 || strcmp(entry->name, "cri-dockerd") == 0;
}

/* A node may hold others as containers, with directories of their own. */
static bool sees_the_same(pid_t pid, const struct stat *ours)
{
	cleanup_free char *path = text_print("/proc/%d/root" CNI_DIR, (int)pid);
	struct stat st;

	return path && stat(path, &st) == 0 && st.st_dev == ours->st_dev &&
	       st.st_ino == ours->st_ino;
}

int sharers_find(const struct config *config, char **ret)
{
	cleanup_process_table struct process_table table = { 0 };
	pid_t own = process_listening(config->address);
	struct stat ours;
	int r;

	if (stat(CNI_DIR, &ours) < 0)
		return errno == ENOENT ? 0 : -errno;
	r = process_table_read(&table);
	if (r < 0)
		return r;
	for (size_t i = 0; i < table.count; i++) {
		const struct process_entry *entry = &table.items[i];

		if (entry->process.pid == own || !is_runtime(&table, entry) ||
		    !sees_the_same(entry->process.pid, &ours))
			continue;
		*ret = text_print("%s, pid %d", entry->name, (int)entry->process.pid);
		return *ret ? 1 : -ENOMEM;
	}
	return 0;
}
