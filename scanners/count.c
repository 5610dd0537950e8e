#include "scanners/count.h"

#include "scanners/walk.h"

int count_entries(int dirfd, uint64_t stop_at, unsigned budget_msec, struct count_result *ret)
{
	const struct walk_options options = {
		.stop_at = stop_at,
		.budget_msec = budget_msec,
	};
	struct walk_result walked;
	int r = walk_tree(dirfd, &options, &walked);

	if (r < 0)
		return r;
	*ret = (struct count_result){
		.entries = walked.entries,
		.complete = walked.complete,
		.reached = walked.reached,
		.msec = walked.msec,
		.error = walked.error,
	};
	return 0;
}
