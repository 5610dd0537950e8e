/*
 * systemd's status line for our units (sd_notify(3)); nothing happens where
 * there is no $NOTIFY_SOCKET or no libsystemd.
 */
#ifndef RECOVER_NOTIFY_H
#define RECOVER_NOTIFY_H

void notify_ready(void);
void notify_status(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
