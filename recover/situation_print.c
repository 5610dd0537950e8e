#include <stdio.h>

#include "recover/log.h"
#include "recover/outage.h"
#include "recover/quantity.h"
#include "recover/situation.h"
#include "scanners/cleanup.h"

static void print_fs(const struct facts *facts)
{
	uint64_t block = facts->fs.block_bytes;

	if (facts->fs.error || facts->fs.blocks == 0)
		return;
	printf(" (%s, %s of %s free", *facts->fs.type ? facts->fs.type : "unknown",
	       quantity_bytes(facts->fs.blocks_free * block).text,
	       quantity_bytes(facts->fs.blocks * block).text);
	if (facts->fs.inodes) /* btrfs has no such number */
		printf(", %s of its inodes", quantity_share(facts->fs.inodes_free, facts->fs.inodes).text);
	printf(")");
}

/* A containerd that does without its metadata has no lock on it. */
static const char *doing(const struct situation *s)
{
	const struct facts *facts = &s->facts;

	if (facts->cri.up && facts->cri.state != CRI_NOTHING_WRONG)
		return facts->cri.state == CRI_DEGRADED ? " runs without CRI" :
							  " runs, its CRI did not answer";
	if (s->ledger.in_start)
		return " is being started";
	if (facts->meta.lock == LOCK_BY_UNIT)
		return " runs";
	return facts->meta.lock == LOCK_FREE ? " does not run" : "";
}

void situation_print(const struct situation *s)
{
	printf("%s%s, data root %s", log_name(s->facts.config.unit), doing(s),
	       log_name(s->facts.config.root));
	print_fs(&s->facts);
	printf("\n");
}

char *situation_outage(const struct situation *s)
{
	bool up = s->facts.cri.up || s->ledger.in_start || s->facts.meta.lock == LOCK_BY_UNIT;
	json_auto_t *outage = up ? NULL : outage_read(s->config.unit);

	return outage ? outage_print(s->config.unit, outage) : NULL;
}
