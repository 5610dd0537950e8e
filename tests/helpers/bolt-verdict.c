/*
 * bolt-verdict FILE...: what scanners/bolt.h says of each, one a line: state,
 * damage, page and leaked pages, of the peek and of the whole tree.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "scanners/bolt.h"

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		struct bolt_finding peek, all;

		bolt_peek_at(AT_FDCWD, argv[i], &peek);
		bolt_check_at(AT_FDCWD, argv[i], &all);
		printf("%s\t%s\t%s\t%s\t%" PRIu64 "\t%" PRIu64 "\n", bolt_state_name(peek.state),
		       bolt_state_name(all.state), bolt_damage_name(all.damage), argv[i],
		       all.page, all.leaked_pages);
	}
	return 0;
}
