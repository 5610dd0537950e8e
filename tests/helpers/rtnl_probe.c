/*
 * rtnl_probe FILE: asks for the kernel's RTNL lock again and again, by setting
 * lo's group to what it is, until FILE exists. Prints the longest wait in
 * milliseconds.
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double msec(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int ask(struct mnl_socket *socket)
{
	char buffer[4096] __attribute__((aligned(MNL_ALIGNTO))) = { 0 };
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *info;

	message->nlmsg_type = RTM_SETLINK;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	info = mnl_nlmsg_put_extra_header(message, sizeof(*info));
	info->ifi_index = (int)if_nametoindex("lo");
	mnl_attr_put_u32(message, IFLA_GROUP, 0);
	if (mnl_socket_sendto(socket, message, message->nlmsg_len) < 0)
		return -errno;
	return mnl_socket_recvfrom(socket, buffer, sizeof(buffer)) < 0 ? -errno : 0;
}

int main(int argc, char **argv)
{
	struct mnl_socket *socket = mnl_socket_open(NETLINK_ROUTE);
	double longest = 0;

	if (argc != 2 || !socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0)
		return 2;
	while (access(argv[1], F_OK) < 0) {
		double begin = msec();

		if (ask(socket) < 0)
			return 1;
		if (msec() - begin > longest)
			longest = msec() - begin;
		usleep(500);
	}
	printf("%.1f\n", longest);
	return 0;
}
