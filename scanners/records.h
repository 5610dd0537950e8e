/*
 * The container records of a running containerd: of CRI's pods and containers,
 * and of whatever else (nerdctl, ctr, buildkit) runs in the same namespace and
 * which CRI does not list. Nothing here changes what is asked.
 */
#ifndef SCANNERS_RECORDS_H
#define SCANNERS_RECORDS_H

#include "scanners/text.h"

/*
 * The ids of all containers of namespace @ns into @ret, which is empty before.
 * Returns 0, or the errors of scanners/cri.h.
 */
int records_list(const char *address, const char *ns, unsigned budget_msec, struct text_list *ret);

#endif
