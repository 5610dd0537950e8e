/*
 * Rules and chains of nf_tables as CNI's plugins leave them, by iptables in its
 * nft variant (xt "comment" match: `name: "<network>" id: "<id>"`), or by
 * themselves (comment in the rule's user data). In one nfnetlink dump each,
 * whatever tool made them.
 */
#ifndef SCANNERS_NFT_H
#define SCANNERS_NFT_H

#include <stddef.h>
#include <stdint.h>

struct nft_rule {
	uint8_t family; /* NFPROTO_* */
	char *table;
	char *chain;
	uint64_t handle;
	char *comment; /* NULL if none */
	char *target; /* chain it jumps to, NULL if none */
};

struct nft_rules {
	struct nft_rule *items;
	size_t count;
};

/*
 * The rules whose comment has an id of CRI's form or begins with two hashes, and
 * those that jump to a chain "CNI-…". Returns 0 with @ret to end with
 * nft_rules_done(), or a negative errno with it untouched. A kernel without
 * nf_tables has none.
 */
int nft_scan(struct nft_rules *ret);

/* The chains "CNI-…", each as a rule of which only family, table and chain are set. */
int nft_scan_chains(struct nft_rules *ret);

void nft_rules_done(struct nft_rules *rules);
#define cleanup_nft_rules __attribute__((cleanup(nft_rules_done)))

#endif
