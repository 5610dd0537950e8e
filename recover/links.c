#include "recover/links.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "recover/log.h"
#include "scanners/array.h"
#include "scanners/cleanup.h"
#include "scanners/clock.h"
#include "scanners/links.h"
#include "scanners/netlink.h"

enum {
	BUFFER_SIZE = 64 * 1024, /* a batch of messages of some 40 bytes, or its answers */
	ANSWER_MSEC = 10000, /* RTNL can be busy; a kernel that never answers is a failure */
	BATCH = 64,	     /* messages in flight: each answer takes room in the socket */
	/* How many share a group, to begin with and at most; see adapt(). */
	DOWN_FIRST = 32,
	DOWN_MOST = 256,
	DELETE_FIRST = 16,
	DELETE_MOST = 64,
	HOLD_MSEC = 40, /* aim for RTNL: the bound is 100 */
};
/* Group numbers are the administrator's. Ours are far away, and checked to be free. */
#define FIRST_GROUP 0x63740000U
#define GROUP_MASK 0xffff0000U

struct chosen {
	int index;
	const char *name;
	uint32_t group;
};

struct session {
	struct mnl_socket *socket;
	char *buffer;
	uint32_t sequence;
	uint32_t group; /* ours for this run */
	struct chosen *links;
	size_t count;
};

static void session_done(struct session *session)
{
	netlink_close(&session->socket);
	free(session->buffer);
	free(session->links);
}
#define cleanup_session __attribute__((cleanup(session_done)))

static int choose(struct session *session, const struct links *now, const struct host_link *judged)
{
	const struct link_entry *link = links_by_index(now, judged->index);
	struct chosen *chosen;

	if (!link || strcmp(link->name, judged->name) != 0 || strcmp(link->mac, judged->mac) != 0 ||
	    (strcmp(link->kind, "veth") != 0 && strcmp(link->kind, "ifb") != 0))
		return 0;
	chosen = ARRAY_ADD(session->links, session->count);
	if (!chosen)
		return -ENOMEM;
	/* In a group of ours since a run that was killed: in nobody's. */
	*chosen = (struct chosen){
		link->index, judged->name,
		(link->group & GROUP_MASK) == FIRST_GROUP ? 0 : link->group,
	};
	return 0;
}

static uint32_t free_group(const struct links *now)
{
	uint32_t group = FIRST_GROUP + ((uint32_t)getpid() & 0xffff);

	for (size_t i = 0; i < now->count; i++)
		if (now->items[i].group == group) {
			group++;
			i = (size_t)-1;
		}
	return group;
}

static int session_open(const struct inventory *lost, struct session *session)
{
	cleanup_links struct links now = { 0 };
	int r = links_scan(&now);

	for (size_t i = 0; r == 0 && i < lost->sandbox_count; i++)
		for (size_t j = 0; r == 0 && j < lost->sandboxes[i].link_count; j++)
			r = choose(session, &now, &lost->sandboxes[i].links[j]);
	if (r < 0 || session->count == 0)
		return r;
	session->group = free_group(&now);
	session->buffer = malloc(BUFFER_SIZE);
	if (!session->buffer)
		return -ENOMEM;
	return netlink_open(NETLINK_ROUTE, ANSWER_MSEC, &session->socket);
}

static struct nlmsghdr *put_message(struct session *session, size_t offset, uint16_t type, int index)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(session->buffer + offset);
	struct ifinfomsg *info;

	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	message->nlmsg_seq = ++session->sequence;
	info = mnl_nlmsg_put_extra_header(message, sizeof(*info));
	info->ifi_family = AF_UNSPEC;
	info->ifi_index = index;
	return message;
}

static void put_down(struct nlmsghdr *message)
{
	struct ifinfomsg *info = mnl_nlmsg_get_payload(message);

	info->ifi_change = IFF_UP; /* and ifi_flags without it */
}

/*
 * Wait for the answers to the last @count messages; those to earlier ones were
 * given up when the socket overflowed. Returns the first error among them,
 * ENODEV aside: a link that is gone is what we want.
 */
static int take_answers(struct session *session, size_t count)
{
	uint32_t before = session->sequence - (uint32_t)count;
	int first = 0;

	while (count > 0) {
		ssize_t n = mnl_socket_recvfrom(session->socket, session->buffer, BUFFER_SIZE);
		const struct nlmsghdr *message = (const void *)session->buffer;
		int rest = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		for (; mnl_nlmsg_ok(message, rest); message = mnl_nlmsg_next(message, &rest)) {
			const struct nlmsgerr *error = mnl_nlmsg_get_payload(message);

			if (message->nlmsg_type != NLMSG_ERROR || count == 0 ||
			    message->nlmsg_seq <= before)
				continue;
			count--;
			if (error->error != 0 && error->error != -ENODEV && first == 0)
				first = error->error;
		}
	}
	return first;
}

static int talk(struct session *session, size_t size, size_t count)
{
	if (mnl_socket_sendto(session->socket, session->buffer, size) < 0)
		return -errno;
	return take_answers(session, count);
}

/* Move @count links to @group. */
static int set_group(struct session *session, const struct chosen *links, size_t count, uint32_t group)
{
	int first = 0;

	for (size_t i = 0; i < count;) {
		size_t size = 0, put = 0;
		int r;

		for (; i < count && put < BATCH; i++, put++) {
			struct nlmsghdr *message =
				put_message(session, size, RTM_SETLINK, links[i].index);

			mnl_attr_put_u32(message, IFLA_GROUP, group);
			size += message->nlmsg_len;
		}
		r = talk(session, size, put);
		if (r < 0 && first == 0)
			first = r;
	}
	return first;
}

/* RTM_NEWLINK without NLM_F_CREATE and an index changes a whole group. */
static int group_down(struct session *session, const struct chosen *links, size_t count)
{
	struct nlmsghdr *message;
	int r, back;

	r = set_group(session, links, count, session->group);
	if (r == 0) {
		message = put_message(session, 0, RTM_NEWLINK, 0);
		put_down(message);
		mnl_attr_put_u32(message, IFLA_GROUP, session->group);
		r = talk(session, message->nlmsg_len, 1);
	}
	back = set_group(session, links, count, 0);
	return r < 0 ? r : back;
}

static int group_delete(struct session *session, const struct chosen *links, size_t count)
{
	struct nlmsghdr *message;
	int r = set_group(session, links, count, session->group);

	if (r == 0) {
		message = put_message(session, 0, RTM_DELLINK, 0);
		mnl_attr_put_u32(message, IFLA_GROUP, session->group);
		/* ENODEV, which counts as success: all were gone already. */
		r = talk(session, message->nlmsg_len, 1);
	}
	if (r < 0)
		(void)set_group(session, links, count, 0); /* the first error is the one to report */
	return r;
}

static int single_down(struct session *session, const struct chosen *link)
{
	struct nlmsghdr *message = put_message(session, 0, RTM_SETLINK, link->index);

	put_down(message);
	return talk(session, message->nlmsg_len, 1);
}

static int single_delete(struct session *session, const struct chosen *link)
{
	struct nlmsghdr *message = put_message(session, 0, RTM_DELLINK, link->index);

	return talk(session, message->nlmsg_len, 1);
}

/* What differs between taking down and deleting. */
struct job {
	const char *name;
	int (*many)(struct session *session, const struct chosen *links, size_t count);
	int (*one)(struct session *session, const struct chosen *link);
	size_t at_first, at_most;
};

static const struct job down_job = { "take down", group_down, single_down, DOWN_FIRST, DOWN_MOST };
static const struct job delete_job = { "delete", group_delete, single_delete, DELETE_FIRST,
				       DELETE_MOST };

/* How many next, from how long @size took: machines and kernels differ tenfold. */
static size_t adapt(size_t size, int64_t msec, const struct job *job)
{
	if (msec > HOLD_MSEC)
		return size > 1 ? size / 2 : 1;
	if (msec < HOLD_MSEC / 2 && size * 2 <= job->at_most)
		return size * 2;
	return size;
}

/* Links in nobody's group come first, so that they lie side by side. */
static int by_group(const void *a, const void *b)
{
	const struct chosen *x = a, *y = b;

	return (x->group > y->group) - (x->group < y->group);
}

static int do_one(struct session *session, const struct chosen *link, const struct job *job,
		  struct links_result *ret)
{
	int r = job->one(session, link);

	if (r < 0) {
		log_error("cannot %s %s: %s", job->name, log_name(link->name), strerror(-r));
		ret->failed++;
		return r;
	}
	ret->done++;
	log_debug("%s %s: done", job->name, log_name(link->name));
	return 0;
}

static int do_all(struct session *session, const struct job *job, struct links_result *ret)
{
	size_t grouped = 0, size = job->at_first;
	int first = 0, r;

	if (session->count)
		qsort(session->links, session->count, sizeof(*session->links), by_group);
	while (grouped < session->count && session->links[grouped].group == 0) {
		const struct chosen *links = &session->links[grouped];
		int64_t begin = clock_msec();
		size_t n = 0;

		while (n < size && grouped + n < session->count && links[n].group == 0)
			n++;
		r = job->many(session, links, n);
		size = adapt(size, clock_msec() - begin, job);
		grouped += n;
		ret->done += r == 0 ? n : 0;
		for (size_t i = 0; r == 0 && i < n; i++)
			log_debug("%s %s: done", job->name, log_name(links[i].name));
		/* One bad link must not keep its neighbours. */
		for (size_t i = 0; r < 0 && i < n; i++) {
			int one = do_one(session, &links[i], job, ret);

			if (one < 0 && first == 0)
				first = one;
		}
	}
	for (size_t i = grouped; i < session->count; i++) {
		r = do_one(session, &session->links[i], job, ret);
		if (r < 0 && first == 0)
			first = r;
	}
	return first;
}

static int run(const struct inventory *lost, const struct job *job, struct links_result *ret)
{
	cleanup_session struct session session = { 0 };
	int r = session_open(lost, &session);

	if (r < 0)
		return r;
	return do_all(&session, job, ret);
}

int links_take_down(const struct inventory *lost, struct links_result *ret)
{
	return run(lost, &down_job, ret);
}

int links_delete(const struct inventory *lost, struct links_result *ret)
{
	return run(lost, &delete_job, ret);
}
