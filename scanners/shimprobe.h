/*
 * Do the shims of an inventory answer? All are asked at once, with one request
 * that changes nothing (ttrpc, method Connect of the task service), and waited
 * for together.
 */
#ifndef SCANNERS_SHIMPROBE_H
#define SCANNERS_SHIMPROBE_H

#include "scanners/inventory.h"

enum shim_health {
	SHIM_UNASKED, /* not judged: no bundle, several shims, an address of another form, no fd to
		       * ask with; or slow to answer, but at work; or alive without its socket */
	SHIM_ALIVE,   /* answered, if only with an error; with gRPC: accepts */
	SHIM_DEAD,    /* nobody listens at its address, and its process is gone */
	SHIM_HUNG,    /* listens, and was silent and got no further all the while */
};

/*
 * Ask the shim of each sandbox that has a bundle; @ret has room for one answer
 * per sandbox. @wait_msec is how long all of them may be silent together, and twice
 * that those that run or want to (scanners/progress.h); it is over as soon as the
 * last one has answered.
 *
 * Returns 0, or -ENOMEM with @ret untouched.
 */
int shim_probe(const struct inventory *inventory, unsigned wait_msec, enum shim_health *ret);

#endif
