#ifndef SCANNERS_CLOCK_H
#define SCANNERS_CLOCK_H

#include <stdint.h>

/* Milliseconds of CLOCK_MONOTONIC: what deadlines and durations are made of. */
int64_t clock_msec(void);

#endif
