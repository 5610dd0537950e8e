/*
 * bolt-verdict ROOT: what scanners/metadata.h says of both databases below a data
 * root, a line each: name, state, damage and page.
 */
#include <inttypes.h>
#include <stdio.h>

#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/metadata.h"

static void show(const char *name, const struct bolt_finding *finding)
{
	printf("%s\t%s\t%s at page %" PRIu64 "\n", name, bolt_state_name(finding->state),
	       bolt_damage_name(finding->damage), finding->page);
}

int main(int argc, char **argv)
{
	cleanup_metadata_directories struct metadata_directories directories = {0};
	cleanup_metadata struct metadata metadata = {0};
	cleanup_fd int root = argc == 2 ? dir_open_path(argv[1]) : -EBADF;

	if (root < 0 || metadata_read_root(root, &metadata) < 0 ||
	    metadata_read_snapshotter(root, "overlayfs", &directories) < 0)
		return 1;
	show("meta.db", &metadata.finding);
	show("metadata.db", &directories.finding);
	return 0;
}
