/* A netlink socket, and what the kernel dumps into it. */
#ifndef SCANNERS_NETLINK_H
#define SCANNERS_NETLINK_H

#include <libmnl/libmnl.h>
#include <stddef.h>

/*
 * A socket of @bus (NETLINK_ROUTE, …), bound. Who waits for an answer waits at
 * most @answer_msec, 0: without end. Returns 0, or a negative errno with @ret
 * untouched.
 */
int netlink_open(int bus, unsigned answer_msec, struct mnl_socket **ret);

/* Close it, if there is one. */
void netlink_close(struct mnl_socket **socket);
#define cleanup_netlink __attribute__((cleanup(netlink_close)))

/*
 * All that the kernel answers to the dump that was asked for with sequence number
 * 1, a message at a time, to @take. The @size bytes at @buffer are for what comes
 * at once.
 *
 * Returns 0, or a negative errno: -EINTR (NLM_F_DUMP_INTR) and -ENOBUFS for a dump
 * that is not the whole of it and has to be asked for again.
 */
int netlink_take_dump(struct mnl_socket *socket, char *buffer, size_t size, mnl_cb_t take, void *data);

#endif
