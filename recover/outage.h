/*
 * A unit that is down because a run by hand stopped it: written down before the
 * stop, as /run/containerd-recover/<unit>.stopped, and taken away when the start
 * has been asked for. The run has a flock on it for as long as it lives. Killed, it
 * leaves the file without the lock, and containerd-recover-guard@<unit>.service,
 * which waits for that, starts the unit.
 */
#ifndef RECOVER_OUTAGE_H
#define RECOVER_OUTAGE_H

#include <jansson.h>

/*
 * @unit is about to be stopped by @command. Returns an fd that stands for us, to
 * end with outage_end(), or a negative errno: then nobody will know.
 */
int outage_begin(const char *unit, const char *command);

/* Its start is asked for. Closes *@fd, which may be negative. */
void outage_end(const char *unit, int *fd);

/*
 * Wait until nobody has stopped @unit any more. Returns 1 if who had was killed
 * before it could start it again, 0 if not, or a negative errno.
 */
int outage_wait(const char *unit);

/* The unit is being started: the file of a run that was killed is not true any more. */
void outage_forget(const char *unit);

/*
 * Who stopped @unit: {command, pid, time, alive}, the caller's; NULL where it was
 * nobody of ours, or it was started since.
 */
json_t *outage_read(const char *unit);

/* The same in a sentence, the caller's to free(); NULL for want of memory. */
char *outage_print(const char *unit, const json_t *outage);

#endif
