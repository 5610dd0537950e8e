/*
 * How far something is: one line on standard error, for when that is a terminal,
 * written over again and again.
 */
#ifndef RECOVER_BAR_H
#define RECOVER_BAR_H

#include <stdint.h>

/*
 * "[#####     ]  50 %  @text"; the text alone if @total is 0, which is unknown.
 * Cut at the terminal's width, for what wraps cannot be written over.
 */
void bar_show(uint64_t done, uint64_t total, const char *text);

/* Before anything else is written there. */
void bar_clear(void);

#endif
