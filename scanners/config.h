/*
 * Where this node's containerd keeps its things: config.toml with its imports
 * (versions 1, 2 and 3, and 4 of containerd 2.3), the flags in the unit's
 * ExecStart=, else containerd's defaults.
 * Merging follows containerd: imports breadth first, a later non-empty value
 * wins, a flag wins over all (cmd/containerd/server/config).
 */
#ifndef SCANNERS_CONFIG_H
#define SCANNERS_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

enum config_verdict {
	CONFIG_UNKNOWN,	 /* could not be read (I/O, permission, an ExecStart we cannot expand) */
	CONFIG_DEFAULTS, /* there is no file; containerd runs with its defaults */
	CONFIG_SOUND,	 /* read and understood */
	CONFIG_INVALID,	 /* containerd will refuse it: syntax, version, type, root == state */
};

/* What the command line overrides; NULL members are not overridden. */
struct config_overrides {
	const char *unit;   /* --unit; default "containerd.service" */
	const char *config; /* --config */
	const char *root;   /* --root */
	const char *state;  /* --state */
	const char *prefix; /* where the node's / is, NULL: here; paths read stay without it */
};

struct config {
	enum config_verdict verdict;
	char *problem; /* for UNKNOWN and INVALID: file, line and why; else NULL */

	char *unit;	   /* full name with suffix */
	char *unit_file;   /* fragment path, NULL if the unit has none */
	char *exec_path;   /* containerd's binary as ExecStart= names it, may be NULL */
	char *config_path; /* main file, NULL if there is none */
	char **files;	   /* every file that was merged, in order */
	size_t file_count;
	int version; /* of the main file; 0 without one */

	char *root;    /* absolute, as configured: links not resolved */
	char *state;
	char *address; /* of the grpc socket */
	char *cni_conf_dir;
	char **cni_bin_dirs;
	size_t cni_bin_dir_count;
	unsigned cni_max_conf_num;
	char *sandbox_image; /* NULL: containerd's built-in default */
	bool netns_under_state; /* CRI's netns_mounts_under_state_dir */
	bool systemd_cgroup;	/* runc options SystemdCgroup */
	char *runc; /* what the default runtime's shim runs: BinaryName, else "runc", to be found
		       by PATH; NULL where that shim is not runc's, or may not be */
	bool cri_disabled;	/* in disabled_plugins */
	bool cri_required;	/* in required_plugins */
	char *snapshotter;	/* CRI's snapshotter, default "overlayfs" */
	char **foreign;		/* why a fresh root would not be all: "proxy snapshotter
				   nydus", "overlayfs root_path /data"; empty is good */
	size_t foreign_count;

	bool runs_preflight; /* ExecStartPre= of the unit's files has this program */
	unsigned timeout_start_sec; /* the unit's TimeoutStartSec, 90 by default, 0: infinity */
	char **requires_mounts_for; /* RequiresMountsFor= of the unit */
	size_t requires_mounts_for_count;
};

/*
 * Read the configuration of the node. No bus, no process, no library beyond
 * libc: it is part of every containerd start.
 *
 * Returns 0 with a verdict in @ret, which becomes the caller's, to end with
 * config_done(); or -ENOMEM with it untouched. root, state and address are
 * always set, but mean nothing with CONFIG_UNKNOWN or CONFIG_INVALID.
 */
int config_read(const struct config_overrides *overrides, struct config *ret);

void config_done(struct config *config);
#define cleanup_config __attribute__((cleanup(config_done)))

/* "sound", "defaults", "invalid", "unknown" */
const char *config_verdict_name(enum config_verdict verdict);

#endif
