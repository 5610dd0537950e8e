/*
 * A bound on the time of what containerd's start or stop waits for. When it is
 * over the process ends with success, whatever it is at: what was begun is
 * recorded, and the next run mends it.
 */
#ifndef RECOVER_BUDGET_H
#define RECOVER_BUDGET_H

/*
 * From now on the process has @sec seconds; a later call sets them anew. @text
 * (static, a whole line) is said on stderr when they are over. A second later the
 * process is killed: one that waits for a dead network file system or FUSE is
 * ended by nothing less.
 */
void budget_set(unsigned sec, const char *text);

#endif
