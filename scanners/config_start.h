/*
 * How a unit starts its containerd: the flags in ExecStart=, or, where it runs
 * k3s or rke2, the flags that these give to the containerd they run.
 */
#ifndef SCANNERS_CONFIG_START_H
#define SCANNERS_CONFIG_START_H

#include <stdbool.h>

#include "scanners/unitfile.h"

struct config_start {
	char *exec_path; /* the binary that ExecStart= names */
	char *config;	 /* each NULL if there is no such flag */
	char *root;
	char *state;
	char *address;
};

enum config_start_result {
	CONFIG_START_KNOWN,
	CONFIG_START_UNKNOWN, /* with @ret_problem */
	CONFIG_START_INVALID, /* containerd will not take these flags; with @ret_problem */
};

/*
 * Returns a config_start_result with @ret the caller's, to end with
 * config_start_done(), or -ENOMEM. @prefix is as in unit_file_read().
 */
int config_start_read(const char *prefix, const struct unit_file *unit,
		      const struct unit_file *manager, struct config_start *ret,
		      char **ret_problem);

void config_start_done(struct config_start *start);
#define cleanup_config_start __attribute__((cleanup(config_start_done)))

#endif
