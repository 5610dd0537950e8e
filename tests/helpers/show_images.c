/*
 * Prints what can be told of the images in a meta.db: "NAMESPACE NAME DIGEST" of
 * each, "-" for what is not known, and how the file was read.
 *
 * usage: show_images FILE
 */
#include <fcntl.h>
#include <stdio.h>

#include "scanners/metadata.h"

int main(int argc, char **argv)
{
	struct metadata m = { 0 };

	if (argc != 2 || metadata_read(AT_FDCWD, argv[1], &m) < 0)
		return 1;
	printf("# %s%s, %zu images, %zu containers\n", bolt_state_name(m.finding.state),
	       m.carved ? ", carved" : "", m.image_count, m.container_count);
	for (size_t i = 0; i < m.image_count; i++)
		printf("%s %s %s\n", m.images[i].ns ?: "-", m.images[i].name, m.images[i].digest ?: "-");
	metadata_done(&m);
	return 0;
}
