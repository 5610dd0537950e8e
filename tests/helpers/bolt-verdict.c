/*
 * bolt-verdict ROOT: what scanners/bolt.h says of both databases below a data
 * root, a line each: name, state, damage and page.
 */
#include <inttypes.h>
#include <stdio.h>

#include "scanners/bolt.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"

static void judge(int root, const char *dir, const char *name)
{
	cleanup_fd int fd = dir_open_beneath(root, dir);
	struct bolt_finding finding;

	bolt_check_at(fd, name, &finding);
	printf("%s\t%s\t%s at page %" PRIu64 "\n", name, bolt_state_name(finding.state),
	       bolt_damage_name(finding.damage), finding.page);
}

int main(int argc, char **argv)
{
	cleanup_fd int root = -EBADF;

	if (argc != 2)
		return 2;
	root = dir_open_path(argv[1]);
	if (root < 0)
		return 1;
	judge(root, "io.containerd.metadata.v1.bolt", "meta.db");
	judge(root, "io.containerd.snapshotter.v1.overlayfs", "metadata.db");
	return 0;
}
