/*
 * What netlink does under load: dumps that are interrupted because links come
 * and go, and sockets that overflow. With real links, in a network namespace of
 * its own.
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "recover/links.h"
#include "scanners/cleanup.h"
#include "scanners/links.h"
#include "tests/unit/fault.h"
#include "tests/unit/tap.h"

enum { PERMANENT = 300, PAIRS = 40, SCANS = 60, SCANS_MOST = 1200 };

static void run(const char *command)
{
	if (!CHECK(system(command) == 0))
		printf("#   command: %s\n", command);
}

/* Was a dump of all links interrupted? */
static bool dump_is_interrupted(void)
{
	static char buffer[32 * 1024];
	struct mnl_socket *socket = mnl_socket_open(NETLINK_ROUTE);
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	bool interrupted = false, over = false;
	ssize_t n;

	if (!socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0)
		return false;
	message->nlmsg_type = RTM_GETLINK;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	((struct ifinfomsg *)mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg)))->ifi_family = AF_UNSPEC;
	(void)mnl_socket_sendto(socket, message, message->nlmsg_len);
	while (!over && (n = mnl_socket_recvfrom(socket, buffer, sizeof(buffer))) > 0) {
		int rest = (int)n;

		for (message = (void *)buffer; mnl_nlmsg_ok(message, rest); message = mnl_nlmsg_next(message, &rest)) {
			interrupted |= (message->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
			over |= message->nlmsg_type == NLMSG_DONE;
		}
	}
	(void)mnl_socket_close(socket);
	return interrupted;
}

static pid_t start_churn(void)
{
	pid_t pid = fork();

	if (pid > 0)
		(void)setpgid(pid, pid); /* it does the same: whoever comes first */
	if (pid == 0) {
		(void)setpgid(0, 0);
		(void)execl("/bin/sh", "sh", "-c",
			    "exec 2>/dev/null; while :; do "
			    "for i in 1 2 3 4 5 6 7 8 9; do echo \"link add c$i group 5 type bridge\"; done; "
			    "echo 'link del group 5'; done | ip -force -batch -",
			    NULL);
		_exit(1);
	}
	return pid;
}

static void test_interrupted_dumps_are_repeated(void)
{
	unsigned interrupted = 0, wrong = 0;
	pid_t churn;

	run("for i in $(seq 300); do echo \"link add p$i type bridge\"; done | ip -batch -");
	churn = start_churn();
	for (unsigned i = 0; i < SCANS || (interrupted == 0 && i < SCANS_MOST); i++) {
		cleanup_links struct links links = { 0 };
		unsigned permanent = 0;

		interrupted += dump_is_interrupted();
		if (links_scan(&links) < 0) {
			wrong++;
			continue;
		}
		for (size_t j = 0; j < links.count; j++) {
			permanent += links.items[j].name[0] == 'p';
			wrong += j > 0 && links.items[j].index == links.items[j - 1].index;
		}
		wrong += permanent != PERMANENT;
	}
	(void)kill(-churn, SIGKILL);
	(void)waitpid(churn, NULL, 0);
	printf("# %u dumps were interrupted\n", interrupted);
	CHECK(interrupted > 0);
	CHECK_EQ(wrong, 0);
	run("for i in $(seq 300); do echo \"link set p$i group 9\"; done | ip -batch -; ip link del group 9; "
	    "ip link del group 5 2>/dev/null || true");
}

static void lose_all(struct inventory *lost, struct sandbox *sandbox)
{
	static struct host_link links[PAIRS];
	cleanup_links struct links now = { 0 };

	*sandbox = (struct sandbox){ .id = (char *)"x", .links = links };
	*lost = (struct inventory){ .sandboxes = sandbox, .sandbox_count = 1 };
	CHECK_EQ(links_scan(&now), 0);
	for (size_t i = 0; i < now.count && sandbox->link_count < PAIRS; i++) {
		struct host_link *link = &links[sandbox->link_count];

		if (strncmp(now.items[i].name, "veth", 4) != 0)
			continue;
		free(link->name);
		link->name = strdup(now.items[i].name);
		link->index = now.items[i].index;
		memcpy(link->mac, now.items[i].mac, sizeof(link->mac));
		sandbox->link_count++;
	}
}

static unsigned count_veths(void)
{
	cleanup_links struct links now = { 0 };
	unsigned count = 0;

	CHECK_EQ(links_scan(&now), 0);
	for (size_t i = 0; i < now.count; i++)
		count += strncmp(now.items[i].name, "veth", 4) == 0;
	return count;
}

/* The n-th answer is an overflow, whatever it would have been: no link is left in the end. */
static void test_overflow_is_survived(void)
{
	unsigned fired = 0;

	for (int n = 1;; n++) {
		struct links_result result = { 0 };
		struct inventory lost;
		struct sandbox sandbox;
		bool hit;
		int r;

		run("ip link show veth00000000 >/dev/null 2>&1 || { ip netns add x 2>/dev/null; "
		    "for i in $(seq 0 39); do printf 'link add veth%08x type veth peer name e%s netns x\n' $i $i; done | ip -batch -; }");
		lose_all(&lost, &sandbox);
		CHECK_EQ(sandbox.link_count, PAIRS);
		fault_arm("mnl_socket_recvfrom", n, ENOBUFS);
		r = links_delete(&lost, &result);
		hit = fault_fired();
		if (r == 0)
			CHECK_EQ(count_veths(), 0);
		if (r < 0) {
			/* Said, and the next run finds the rest. */
			memset(&result, 0, sizeof(result));
			CHECK_EQ(links_delete(&lost, &result), 0);
			CHECK_EQ(count_veths(), 0);
		}
		fired += hit;
		if (!hit)
			break;
	}
	printf("# %u answers replaced by an overflow\n", fired);
	CHECK(fired > 3);
	run("ip netns del x");
}

/* A list that ends early would be taken for the whole: what is missing in it for gone. */
static void test_signal_ends_no_dump(void)
{
	unsigned fired = 0;

	run("for i in $(seq 300); do echo \"link add p$i type bridge\"; done | ip -batch -");
	for (int n = 1;; n++) {
		cleanup_links struct links links = { 0 };
		bool hit;

		fault_arm("mnl_socket_recvfrom", n, EINTR);
		CHECK_EQ(links_scan(&links), 0);
		hit = fault_fired();
		CHECK(links.count >= PERMANENT);
		fired += hit;
		if (!hit)
			break;
	}
	CHECK(fired > 1);
}

int main(void)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNS | CLONE_NEWNET) < 0 ||
	    system("mount --make-rprivate / && mount -t tmpfs none /run") != 0) {
		printf("1..0 # SKIP needs root and namespaces\n");
		return 0;
	}
	RUN(test_interrupted_dumps_are_repeated);
	RUN(test_overflow_is_survived);
	RUN(test_signal_ends_no_dump);
	return tap_done();
}
