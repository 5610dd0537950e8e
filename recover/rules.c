#include "recover/rules.h"

#include <endian.h>
#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>
#include <time.h>

#include "recover/log.h"
#include "scanners/cleanup.h"
#include "scanners/netlink.h"
#include "scanners/nft.h"

enum {
	BUFFER_SIZE = 64 * 1024,
	MESSAGE_ROOM = 512, /* of ours with two names of at most NFT_NAME_MAXLEN: checked */
	ANSWER_MSEC = 10000,
	MASQ_DIGITS = 24, /* containernetworking/plugins, pkg/utils, FormatChainName() */
};

struct session {
	struct mnl_socket *socket;
	char *buffer;
	size_t used;
	uint32_t sequence;
	size_t asked; /* messages that will be answered */
};

static void session_done(struct session *session)
{
	netlink_close(&session->socket);
	free(session->buffer);
}
#define cleanup_session __attribute__((cleanup(session_done)))

bool rules_is_own_chain(const char *chain)
{
	static const char *const prefixes[] = { "CNI-DN-", "CNI-SN-" };
	static const char masq[] = "CNI-";

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (strncmp(chain, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	if (strncmp(chain, masq, strlen(masq)) != 0)
		return false;
	chain += strlen(masq);
	return strlen(chain) == MASQ_DIGITS && strspn(chain, "0123456789abcdef") == MASQ_DIGITS;
}

static int session_open(struct session *session)
{
	session->buffer = malloc(BUFFER_SIZE);
	if (!session->buffer)
		return -ENOMEM;
	return netlink_open(NETLINK_NETFILTER, ANSWER_MSEC, &session->socket);
}

static struct nlmsghdr *put(struct session *session, uint16_t type, uint8_t family, uint16_t resource,
			    bool answered)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(session->buffer + session->used);
	struct nfgenmsg *generic;

	message->nlmsg_type = type;
	message->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | (answered ? NLM_F_ACK : 0));
	message->nlmsg_seq = ++session->sequence;
	generic = mnl_nlmsg_put_extra_header(message, sizeof(*generic));
	generic->nfgen_family = family;
	generic->version = NFNETLINK_V0;
	generic->res_id = htobe16(resource);
	session->asked += answered;
	return message;
}

static void put_boundary(struct session *session, uint16_t type)
{
	session->used += put(session, type, AF_UNSPEC, NFNL_SUBSYS_NFTABLES, false)->nlmsg_len;
}

/* Delete rule @handle of a chain, or with 0 all its rules. */
static void put_delete_rule(struct session *session, const struct nft_rule *rule, const char *chain,
			    uint64_t handle)
{
	struct nlmsghdr *message = put(session, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELRULE,
				       rule->family, 0, true);

	mnl_attr_put_strz(message, NFTA_RULE_TABLE, rule->table);
	mnl_attr_put_strz(message, NFTA_RULE_CHAIN, chain);
	if (handle)
		mnl_attr_put_u64(message, NFTA_RULE_HANDLE, htobe64(handle));
	session->used += message->nlmsg_len;
}

static void put_delete_chain(struct session *session, const struct nft_rule *rule,
			     const char *chain)
{
	struct nlmsghdr *message = put(session, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELCHAIN,
				       rule->family, 0, true);

	mnl_attr_put_strz(message, NFTA_CHAIN_TABLE, rule->table);
	mnl_attr_put_strz(message, NFTA_CHAIN_NAME, chain);
	session->used += message->nlmsg_len;
}

static int take_answers(struct session *session)
{
	int first = 0;

	while (session->asked > 0) {
		ssize_t n = mnl_socket_recvfrom(session->socket, session->buffer, BUFFER_SIZE);
		const struct nlmsghdr *message = (const void *)session->buffer;
		int rest = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		for (; mnl_nlmsg_ok(message, rest); message = mnl_nlmsg_next(message, &rest)) {
			const struct nlmsgerr *error = mnl_nlmsg_get_payload(message);

			if (message->nlmsg_type != NLMSG_ERROR || session->asked == 0)
				continue;
			session->asked--;
			if (error->error != 0 && first == 0)
				first = error->error;
		}
	}
	return first;
}

/* All of it or nothing: a transaction of nf_tables. */
static int commit(struct session *session)
{
	int r = 0;

	put_boundary(session, NFNL_MSG_BATCH_END);
	if (mnl_socket_sendto(session->socket, session->buffer, session->used) < 0)
		r = -errno;
	session->used = 0;
	if (r == 0)
		r = take_answers(session);
	session->asked = 0;
	return r;
}

/*
 * One rule, and the chain that was made for it. -ENOENT is success: rule and
 * chain of a container go together, and whoever took the one took the other.
 */
static int remove_rule(const struct nft_rule *rule, bool with_chain)
{
	cleanup_session struct session session = { 0 };
	int r = session_open(&session);

	if (r < 0)
		return r;
	if (strlen(rule->table) + strlen(rule->chain) > MESSAGE_ROOM ||
	    (rule->target && strlen(rule->target) > MESSAGE_ROOM))
		return -ENAMETOOLONG;
	put_boundary(&session, NFNL_MSG_BATCH_BEGIN);
	put_delete_rule(&session, rule, rule->chain, rule->handle);
	if (with_chain && rule->target && rules_is_own_chain(rule->target)) {
		put_delete_rule(&session, rule, rule->target, 0);
		put_delete_chain(&session, rule, rule->target);
	}
	r = commit(&session);
	return r == -ENOENT ? 0 : r;
}

/* A chain, and what is in it. Nothing jumps there any more, else it is -EBUSY. */
static int remove_chain(const struct nft_rule *chain)
{
	cleanup_session struct session session = { 0 };
	int r = session_open(&session);

	if (r < 0)
		return r;
	if (strlen(chain->table) + strlen(chain->chain) > MESSAGE_ROOM)
		return -ENAMETOOLONG;
	put_boundary(&session, NFNL_MSG_BATCH_BEGIN);
	put_delete_rule(&session, chain, chain->chain, 0);
	put_delete_chain(&session, chain, chain->chain);
	r = commit(&session);
	return r == -ENOENT ? 0 : r;
}

static int note(const struct nft_rule *rule, int r, struct rules_result *ret)
{
	if (r < 0) {
		log_error("cannot remove a rule of %s: %s", log_name(rule->chain), strerror(-r));
		ret->failed++;
	} else {
		ret->removed++;
	}
	return r;
}

static bool is_lost(const struct rule_names *names, const struct nft_rule *rule)
{
	return (rule->comment && rule_names_have_comment(names, rule->comment)) ||
	       (rule->target && rule_names_have_chain(names, rule->target));
}

static int remove_rules(const struct rule_names *names, struct rules_result *ret)
{
	cleanup_nft_rules struct nft_rules rules = { 0 };
	int first = nft_scan(&rules), r;

	/* A chain's own rules go with it: what jumps to it comes first. */
	for (int jumps = 1; jumps >= 0; jumps--)
		for (size_t i = 0; i < rules.count; i++) {
			const struct nft_rule *rule = &rules.items[i];

			if ((rule->target != NULL) != !!jumps || !is_lost(names, rule))
				continue;
			r = remove_rule(rule, true);
			/* Another rule jumps there too; with that one the chain goes. */
			if (r == -EBUSY)
				r = remove_rule(rule, false);
			r = note(rule, r, ret);
			first = first < 0 ? first : r;
		}
	return first;
}

static int remove_chains(const struct rule_names *names, struct rules_result *ret)
{
	cleanup_nft_rules struct nft_rules chains = { 0 };
	int first = nft_scan_chains(&chains);

	for (size_t i = 0; i < chains.count; i++) {
		const struct nft_rule *chain = &chains.items[i];
		int r;

		if (!rule_names_have_chain(names, chain->chain))
			continue;
		r = note(chain, remove_chain(chain), ret);
		first = first < 0 ? first : r;
	}
	return first;
}

int rules_remove(const struct config *config, const struct inventory *lost,
		 struct rules_result *ret)
{
	cleanup_rule_names struct rule_names names = { 0 };
	int first = rule_names_make(config, lost, &names), r;

	if (first < 0)
		return first;
	first = remove_rules(&names, ret);
	r = remove_chains(&names, ret);
	first = first < 0 ? first : r;
	r = rules_remove_legacy(&names, ret);
	return first < 0 ? first : r;
}
