/*
 * What follows a quarantine beside the sweep, once containerd runs again: its
 * images are brought over, and evidence is kept. Stages of a ticket, each of
 * which a later run takes up again if this one is killed.
 */
#ifndef RECOVER_AFTERMATH_H
#define RECOVER_AFTERMATH_H

#include "recover/data_root.h"
#include "recover/policy.h"
#include "recover/salvage.h"
#include "recover/ticket.h"
#include "scanners/config.h"

/* Where the archive of the pause image is kept. */
#define IMAGES_PATH "/var/lib/containerd-recover/images"

/* Is the salvage of @ticket still to be done? */
bool aftermath_wants_salvage(const struct ticket *ticket);

/*
 * The pause image alone, for pods are waiting; begins the stage. Returns 0 with
 * @ret for aftermath_salvage_rest(), to end with salvage_done(), or a negative
 * errno.
 */
int aftermath_salvage_pause(const struct config *config, const struct policy *policy,
			    const struct data_root *place, struct ticket *ticket,
			    struct salvage *ret);

/* All others; records the outcome and ends the stage. */
int aftermath_salvage_rest(const struct config *config, const struct policy *policy,
			   const struct data_root *place, struct ticket *ticket,
			   struct salvage *salvage);

/*
 * One archive for the action @id with its @manifest, unless there is one; the
 * databases are those below @root_fd, which may be negative.
 */
int aftermath_evidence(const struct config *config, const struct policy *policy, const char *id,
		       const json_t *manifest, int root_fd);

/*
 * For the report: the user data that is in @ticket, with its size, bounded in
 * time. Once only. Returns 0 or a negative errno.
 */
int aftermath_user_data(const struct policy *policy, const struct ticket *ticket);

#endif
