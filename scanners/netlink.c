#include "scanners/netlink.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "scanners/cleanup.h"

int netlink_open(int bus, unsigned answer_msec, struct mnl_socket **ret)
{
	cleanup_netlink struct mnl_socket *socket = mnl_socket_open2(bus, SOCK_CLOEXEC);
	const struct timeval patience = {
		.tv_sec = answer_msec / 1000,
		.tv_usec = (suseconds_t)(answer_msec % 1000) * 1000,
	};

	if (!socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	if (answer_msec && setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVTIMEO, &patience,
				      sizeof(patience)) < 0)
		return -errno;
	*ret = take_ptr(socket);
	return 0;
}

void netlink_close(struct mnl_socket **socket)
{
	if (*socket)
		(void)mnl_socket_close(*socket);
	*socket = NULL;
}

int netlink_take_dump(struct mnl_socket *socket, char *buffer, size_t size, mnl_cb_t take, void *data)
{
	int r;

	do {
		ssize_t n = mnl_socket_recvfrom(socket, buffer, size);

		if (n < 0 && errno == EINTR) {
			r = MNL_CB_OK;
			continue;
		}
		if (n < 0)
			return -errno;
		r = mnl_cb_run(buffer, (size_t)n, 1, mnl_socket_get_portid(socket), take, data);
	} while (r > MNL_CB_STOP);
	return r < 0 ? -errno : 0;
}
