/* show_config [UNIT]: containerd's configuration as our reader has it. */
#include <stdio.h>
#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/config.h"

int main(int argc, char **argv)
{
	const struct config_overrides overrides = { .unit = argc > 1 ? argv[1] : NULL };
	cleanup_config struct config config = { 0 };
	int r = config_read(&overrides, &config);

	if (r < 0) {
		fprintf(stderr, "cannot read the configuration: %s\n", strerror(-r));
		return 1;
	}
	printf("verdict %s\nfragment %s\nroot %s\nstate %s\naddress %s\ntimeout %u\nmounts",
	       config_verdict_name(config.verdict), config.unit_file ? config.unit_file : "",
	       config.root, config.state, config.address, config.timeout_start_sec);
	for (size_t i = 0; i < config.requires_mounts_for_count; i++)
		printf(" %s", config.requires_mounts_for[i]);
	printf("\nproblem %s\n", config.problem ? config.problem : "");
	return 0;
}
