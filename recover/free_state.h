/*
 * Rung 2: the pods whose shims are dead or hang are ended and their bundles
 * moved aside, so that containerd's start does not wait for them. The data root,
 * its records, images, and every pod whose shim answers stay as they are: CRI
 * finds these sandboxes stopped and kubelet replaces them, network included.
 *
 *	<records>/freed/<id>/manifest.json	facts, decision, the pods
 *	<records>/freed/<id>/stages		kill, bundles, sweep
 *	<state>/.containerd-recover-<id>/	the bundles (recover/clear.h)
 *
 * There is no way back and none is needed: a run that was killed leaves dead
 * shims, which the next one finds.
 */
#ifndef RECOVER_FREE_STATE_H
#define RECOVER_FREE_STATE_H

#include "recover/situation.h"
#include "recover/ticket.h"
#include "recover/triage.h"

struct free_report {
	char id[TICKET_ID];
	size_t sandboxes, dead, hung; /* sandboxes is the sum of the others */
	size_t processes, bundles, failed;
};

/*
 * Free the state directory of the sandboxes of @s whose shims were found dead
 * or hung, under the lock on meta.db that @s holds.
 *
 * Returns 0 with @ret filled, or a negative errno where it could not be
 * recorded; then nothing, or no more, was done.
 */
int free_state(struct situation *s, const struct decision *decision, struct free_report *ret);

/*
 * Remove what earlier runs moved aside: mounts, bundles, runc's state, control
 * groups and sockets of those pods; never of one that has a bundle in place
 * (again). Evidence is kept by @policy, their manifests become <records>/<id>.json.
 * Returns 0, or the first negative errno after trying all.
 */
int free_state_finish(const struct config *config, const struct policy *policy, int records_fd);

#endif
