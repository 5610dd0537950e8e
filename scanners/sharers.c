#include "scanners/sharers.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "scanners/cleanup.h"
#include "scanners/process.h"
#include "scanners/text.h"

#define CNI_DIR "/var/lib/cni"

/* Who listens on containerd's socket; 0 if nobody does. */
static pid_t listener_of(const char *address)
{
	static const char scheme[] = "unix://";
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct ucred peer = { 0 };
	socklen_t size = sizeof(peer);

	if (strncmp(address, scheme, strlen(scheme)) == 0)
		address += strlen(scheme);
	if (fd < 0 || strlen(address) >= sizeof(name.sun_path))
		return 0;
	memcpy(name.sun_path, address, strlen(address));
	if (connect(fd, (const struct sockaddr *)&name, sizeof(name)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return 0;
	return peer.pid;
}

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
	pid_t own = listener_of(config->address);
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
