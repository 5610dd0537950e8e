#include "scanners/nft.h"

#include <endian.h>
#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "scanners/array.h"
#include "scanners/cleanup.h"
#include "scanners/netlink.h"
#include "scanners/process.h"

enum {
	RECEIVE_SIZE = 256 * 1024,
	DUMP_ATTEMPTS = 40, /* as in scanners/links.c */
	USERDATA_COMMENT = 0, /* libnftnl, NFTNL_UDATA_RULE_COMMENT */
	HASH_DIGITS = 16,
};
#define HEX_DIGITS "0123456789abcdef"
#define CHAIN_PREFIX "CNI-"

/* What is dumped, and what takes each message of it. */
struct kind {
	uint16_t type;
	mnl_cb_t take;
};

static int copy_text(char **ret, const struct nlattr *attr)
{
	if (*ret)
		return MNL_CB_OK;
	*ret = strndup(mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr));
	if (*ret)
		return MNL_CB_OK;
	errno = ENOMEM;
	return MNL_CB_ERROR;
}

/* Pairs of type and length, then the value: not netlink attributes. */
static int take_userdata(const struct nlattr *attr, struct nft_rule *rule)
{
	const unsigned char *at = mnl_attr_get_payload(attr);
	size_t left = mnl_attr_get_payload_len(attr);

	while (left >= 2 && left - 2 >= at[1]) {
		if (at[0] == USERDATA_COMMENT && !rule->comment) {
			rule->comment = strndup((const char *)at + 2, at[1]);
			if (!rule->comment) {
				errno = ENOMEM;
				return MNL_CB_ERROR;
			}
		}
		left -= 2U + at[1];
		at += 2U + at[1];
	}
	return MNL_CB_OK;
}

static int take_verdict(const struct nlattr *attr, void *data)
{
	struct nft_rule *rule = data;

	return mnl_attr_get_type(attr) == NFTA_VERDICT_CHAIN ? copy_text(&rule->target, attr) :
							       MNL_CB_OK;
}

static int take_data(const struct nlattr *attr, void *data)
{
	return mnl_attr_get_type(attr) == NFTA_DATA_VERDICT ?
		       mnl_attr_parse_nested(attr, take_verdict, data) :
		       MNL_CB_OK;
}

static int take_immediate(const struct nlattr *attr, void *data)
{
	return mnl_attr_get_type(attr) == NFTA_IMMEDIATE_DATA ?
		       mnl_attr_parse_nested(attr, take_data, data) :
		       MNL_CB_OK;
}

struct match {
	const struct nlattr *name, *info;
};

static int take_match_part(const struct nlattr *attr, void *data)
{
	struct match *match = data;

	if (mnl_attr_get_type(attr) == NFTA_MATCH_NAME)
		match->name = attr;
	else if (mnl_attr_get_type(attr) == NFTA_MATCH_INFO)
		match->info = attr;
	return MNL_CB_OK;
}

static bool is_named(const struct nlattr *attr, const char *name)
{
	size_t size = attr ? mnl_attr_get_payload_len(attr) : 0;

	return size >= strlen(name) && strncmp(mnl_attr_get_payload(attr), name, size) == 0;
}

static int take_match(const struct nlattr *attr, struct nft_rule *rule)
{
	struct match match = { 0 };

	if (mnl_attr_parse_nested(attr, take_match_part, &match) < 0)
		return MNL_CB_ERROR;
	if (!is_named(match.name, "comment") || !match.info)
		return MNL_CB_OK;
	return copy_text(&rule->comment, match.info);
}

static int take_expression_part(const struct nlattr *attr, void *data)
{
	struct match *parts = data;

	if (mnl_attr_get_type(attr) == NFTA_EXPR_NAME)
		parts->name = attr;
	else if (mnl_attr_get_type(attr) == NFTA_EXPR_DATA)
		parts->info = attr;
	return MNL_CB_OK;
}

static int take_expression(const struct nlattr *attr, void *data)
{
	struct match parts = { 0 };

	if (mnl_attr_parse_nested(attr, take_expression_part, &parts) < 0)
		return MNL_CB_ERROR;
	if (!parts.info)
		return MNL_CB_OK;
	if (is_named(parts.name, "match"))
		return take_match(parts.info, data);
	if (is_named(parts.name, "immediate"))
		return mnl_attr_parse_nested(parts.info, take_immediate, data);
	return MNL_CB_OK;
}

static int take_attribute(const struct nlattr *attr, void *data)
{
	struct nft_rule *rule = data;
	uint64_t handle;

	switch (mnl_attr_get_type(attr)) {
	case NFTA_RULE_TABLE:
		return copy_text(&rule->table, attr);
	case NFTA_RULE_CHAIN:
		return copy_text(&rule->chain, attr);
	case NFTA_RULE_HANDLE:
		if (mnl_attr_get_payload_len(attr) == sizeof(handle)) {
			memcpy(&handle, mnl_attr_get_payload(attr), sizeof(handle));
			rule->handle = be64toh(handle);
		}
		return MNL_CB_OK;
	case NFTA_RULE_EXPRESSIONS:
		return mnl_attr_parse_nested(attr, take_expression, rule);
	case NFTA_RULE_USERDATA:
		return take_userdata(attr, rule);
	default:
		return MNL_CB_OK;
	}
}

static void rule_done(struct nft_rule *rule)
{
	free(rule->table);
	free(rule->chain);
	free(rule->comment);
	free(rule->target);
}

/* "0123456789abcdef-0123456789abcdef, net: …" */
static bool begins_with_hashes(const char *comment)
{
	size_t first = strspn(comment, HEX_DIGITS);

	return first == HASH_DIGITS && comment[first] == '-' &&
	       strspn(comment + first + 1, HEX_DIGITS) == HASH_DIGITS;
}

static bool may_be_of_cni(const struct nft_rule *rule)
{
	char id[CRI_ID_LENGTH + 1];

	if (rule->target && strncmp(rule->target, CHAIN_PREFIX, strlen(CHAIN_PREFIX)) == 0)
		return true;
	return rule->comment &&
	       (process_next_cri_id(rule->comment, id) || begins_with_hashes(rule->comment));
}

/* @rule becomes the list's, or ends. */
static int keep(struct nft_rules *rules, const struct nft_rule *rule)
{
	struct nft_rule *added = ARRAY_ADD(rules->items, rules->count);

	if (added) {
		*added = *rule;
		return MNL_CB_OK;
	}
	errno = ENOMEM;
	return MNL_CB_ERROR;
}

static int take_rule(const struct nlmsghdr *message, void *data)
{
	const struct nfgenmsg *generic = mnl_nlmsg_get_payload(message);
	struct nft_rule rule = { .family = generic->nfgen_family };
	int r = mnl_attr_parse(message, sizeof(*generic), take_attribute, &rule);

	if (r >= 0 && rule.table && rule.chain && may_be_of_cni(&rule)) {
		r = keep(data, &rule);
		if (r >= 0)
			return r;
	}
	rule_done(&rule);
	return r;
}

static int take_chain_attribute(const struct nlattr *attr, void *data)
{
	struct nft_rule *chain = data;

	if (mnl_attr_get_type(attr) == NFTA_CHAIN_TABLE)
		return copy_text(&chain->table, attr);
	return mnl_attr_get_type(attr) == NFTA_CHAIN_NAME ? copy_text(&chain->chain, attr) : MNL_CB_OK;
}

static int take_chain(const struct nlmsghdr *message, void *data)
{
	const struct nfgenmsg *generic = mnl_nlmsg_get_payload(message);
	struct nft_rule chain = { .family = generic->nfgen_family };
	int r = mnl_attr_parse(message, sizeof(*generic), take_chain_attribute, &chain);

	if (r >= 0 && chain.table && chain.chain &&
	    strncmp(chain.chain, CHAIN_PREFIX, strlen(CHAIN_PREFIX)) == 0) {
		r = keep(data, &chain);
		if (r >= 0)
			return r;
	}
	rule_done(&chain);
	return r;
}

static int send_dump(struct mnl_socket *socket, uint16_t type)
{
	char request[MNL_NLMSG_HDRLEN + 64] __attribute__((aligned(MNL_ALIGNTO))) = { 0 };
	struct nlmsghdr *message = mnl_nlmsg_put_header(request);
	struct nfgenmsg *generic;

	message->nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	message->nlmsg_seq = 1;
	generic = mnl_nlmsg_put_extra_header(message, sizeof(*generic));
	generic->nfgen_family = AF_UNSPEC;
	generic->version = NFNETLINK_V0;
	return mnl_socket_sendto(socket, message, message->nlmsg_len) < 0 ? -errno : 0;
}

static int dump(const struct kind *kind, char *buffer, struct nft_rules *rules)
{
	cleanup_netlink struct mnl_socket *socket = NULL;
	int r = netlink_open(NETLINK_NETFILTER, 0, &socket);

	if (r == 0)
		r = send_dump(socket, kind->type);
	return r < 0 ? r : netlink_take_dump(socket, buffer, RECEIVE_SIZE, kind->take, rules);
}

static int scan(const struct kind *kind, struct nft_rules *ret)
{
	cleanup_free char *buffer = malloc(RECEIVE_SIZE);
	cleanup_nft_rules struct nft_rules rules = { 0 };
	int r = -EAGAIN;

	if (!buffer)
		return -ENOMEM;
	/* EINTR is NLM_F_DUMP_INTR: the rules changed while they were read. */
	for (int i = 0; i < DUMP_ATTEMPTS && r < 0; i++) {
		nft_rules_done(&rules);
		r = dump(kind, buffer, &rules);
		if (r == -EPROTONOSUPPORT || r == -EOPNOTSUPP || r == -EINVAL)
			return 0; /* no nf_tables in this kernel */
		if (r < 0 && r != -EINTR && r != -ENOBUFS && r != -EAGAIN)
			return r;
	}
	if (r < 0)
		return r;
	*ret = rules;
	rules = (struct nft_rules){ 0 };
	return 0;
}

int nft_scan(struct nft_rules *ret)
{
	return scan(&(const struct kind){ NFT_MSG_GETRULE, take_rule }, ret);
}

int nft_scan_chains(struct nft_rules *ret)
{
	return scan(&(const struct kind){ NFT_MSG_GETCHAIN, take_chain }, ret);
}

void nft_rules_done(struct nft_rules *rules)
{
	for (size_t i = 0; i < rules->count; i++)
		rule_done(&rules->items[i]);
	free(rules->items);
	*rules = (struct nft_rules){ 0 };
}
