#include <errno.h>
#include <fcntl.h>
#include <libiptc/libip6tc.h>
#include <libiptc/libiptc.h>
#include <linux/netfilter/xt_comment.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "recover/lock.h"
#include "recover/log.h"
#include "recover/rules.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/dl.h"

enum {
	NAMES_MAX = 4096,
	LOCK_MSEC = 5000,
	LOCK_MODE = 0600,
	NAME_MAX_SIZE = 64, /* of a symbol */
	ATTEMPTS = 5,	    /* a commit fails if somebody else's came in between */
};
#define LOCK_PATH "/run/xtables.lock" /* iptables(8), --wait */
#define TABLE "nat"

/* libip4tc and libip6tc are one source, compiled for two structs of an entry. */
struct tables {
	const char *names; /* file with the names of the legacy tables in use */
	const char *soname, *prefix;
	size_t matches, target_offset; /* in an entry */
	struct xtc_handle *(*init)(const char *table);
	void (*free)(struct xtc_handle *handle);
	const char *(*first_chain)(struct xtc_handle *handle);
	const char *(*next_chain)(struct xtc_handle *handle);
	const void *(*first_rule)(const char *chain, struct xtc_handle *handle);
	const void *(*next_rule)(const void *entry, struct xtc_handle *handle);
	const char *(*get_target)(const void *entry, struct xtc_handle *handle);
	int (*is_chain)(const char *chain, struct xtc_handle *handle);
	int (*delete_num_entry)(const char *chain, unsigned number, struct xtc_handle *handle);
	int (*flush_entries)(const char *chain, struct xtc_handle *handle);
	int (*delete_chain)(const char *chain, struct xtc_handle *handle);
	int (*commit)(struct xtc_handle *handle);
};

static int load(struct tables *t)
{
#define SYMBOL(name) { #name, (void **)&t->name }
	struct dl_symbol symbols[] = {
		SYMBOL(init),	     SYMBOL(free),	 SYMBOL(first_chain),
		SYMBOL(next_chain),  SYMBOL(first_rule), SYMBOL(next_rule),
		SYMBOL(get_target),  SYMBOL(is_chain),	 SYMBOL(delete_num_entry),
		SYMBOL(flush_entries), SYMBOL(delete_chain), SYMBOL(commit),
	};
#undef SYMBOL
	char names[ARRAY_SIZE(symbols)][NAME_MAX_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(symbols); i++) {
		(void)snprintf(names[i], sizeof(names[i]), "%s_%s", t->prefix, symbols[i].name);
		symbols[i].name = names[i];
	}
	return dl_load(t->soname, symbols, ARRAY_SIZE(symbols));
}

/* The text of a rule's comment match, NULL if it has none. */
static const char *comment_of(const struct tables *t, const void *entry)
{
	size_t at = t->matches, end;
	uint16_t offset;

	memcpy(&offset, (const char *)entry + t->target_offset, sizeof(offset));
	for (end = offset; at + sizeof(struct xt_entry_match) <= end;) {
		const struct xt_entry_match *match = (const void *)((const char *)entry + at);
		const struct xt_comment_info *info = (const void *)match->data;

		if (match->u.match_size < sizeof(*match) || at + match->u.match_size > end)
			return NULL;
		if (strcmp(match->u.user.name, "comment") == 0 &&
		    match->u.match_size >= sizeof(*match) + sizeof(*info) &&
		    memchr(info->comment, '\0', sizeof(info->comment)))
			return info->comment;
		at += match->u.match_size;
	}
	return NULL;
}

static bool is_lost(const struct tables *t, struct xtc_handle *handle,
		    const struct rule_names *names, const void *entry)
{
	const char *comment = comment_of(t, entry), *target = t->get_target(entry, handle);

	return (comment && rule_names_have_comment(names, comment)) ||
	       (target && rule_names_have_chain(names, target));
}

/* The first rule of a lost sandbox: returns 1 with its place, or 0 if there is none. */
static int find_rule(const struct tables *t, struct xtc_handle *handle,
		     const struct rule_names *names, const char **ret_chain, unsigned *ret_number,
		     const char **ret_target)
{
	for (const char *chain = t->first_chain(handle); chain; chain = t->next_chain(handle)) {
		unsigned number = 0;

		for (const void *entry = t->first_rule(chain, handle); entry;
		     entry = t->next_rule(entry, handle), number++) {
			if (!is_lost(t, handle, names, entry))
				continue;
			*ret_chain = chain;
			*ret_number = number;
			*ret_target = t->get_target(entry, handle);
			return 1;
		}
	}
	return 0;
}

static const char *find_chain(const struct tables *t, struct xtc_handle *handle,
			      const struct rule_names *names)
{
	const char *chain = t->first_chain(handle);

	while (chain && !rule_names_have_chain(names, chain))
		chain = t->next_chain(handle);
	return chain;
}

static int remove_rules(const struct tables *t, struct xtc_handle *handle,
			const struct rule_names *names, size_t *removed)
{
	const char *chain, *target;
	unsigned number;

	while (find_rule(t, handle, names, &chain, &number, &target)) {
		xt_chainlabel from = { 0 }, own = { 0 };

		/* Both point into what the next call changes. */
		(void)snprintf(from, sizeof(from), "%s", chain);
		(void)snprintf(own, sizeof(own), "%s", target ? target : "");
		if (!t->delete_num_entry(from, number, handle))
			return -errno;
		(*removed)++;
		if (!rules_is_own_chain(own) || !t->is_chain(own, handle))
			continue;
		if (!t->flush_entries(own, handle))
			return -errno;
		/* EMLINK: another rule jumps there too; with that one the chain goes. */
		if (!t->delete_chain(own, handle) && errno != EMLINK)
			return -errno;
	}
	return 0;
}

static int edit(const struct tables *t, struct xtc_handle *handle, const struct rule_names *names,
		size_t *ret_removed)
{
	size_t removed = 0;
	const char *chain;
	int r = remove_rules(t, handle, names, &removed);

	while (r == 0 && (chain = find_chain(t, handle, names))) {
		xt_chainlabel own = { 0 };

		(void)snprintf(own, sizeof(own), "%s", chain);
		if (!t->flush_entries(own, handle) || !t->delete_chain(own, handle))
			return -errno;
		removed++;
	}
	if (r < 0)
		return r;
	if (removed && !t->commit(handle))
		return -errno;
	*ret_removed = removed;
	return 0;
}

static int remove_from(struct tables *t, const struct rule_names *names, struct rules_result *ret)
{
	int r = -EAGAIN;

	for (int i = 0; i < ATTEMPTS && r == -EAGAIN; i++) {
		struct xtc_handle *handle = t->init(TABLE);
		size_t removed = 0;

		if (!handle)
			return -errno;
		r = edit(t, handle, names, &removed);
		t->free(handle);
		ret->removed += r == 0 ? removed : 0;
	}
	return r;
}

/* To open a table that is not in use would make the kernel load it. */
static bool is_in_use(const struct tables *t)
{
	cleanup_free char *names = NULL;

	return dir_read_path(t->names, NAMES_MAX, &names, NULL) == 0 && strstr(names, TABLE "\n");
}

static int remove_family(struct tables *t, const struct rule_names *names, struct rules_result *ret)
{
	cleanup_fd int lock = -EBADF;
	int r;

	if (!is_in_use(t))
		return 0;
	r = load(t);
	if (r < 0)
		return r;
	lock = open(LOCK_PATH, O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, LOCK_MODE);
	if (lock < 0)
		return -errno;
	r = lock_within(lock, LOCK_MSEC);
	if (r == 0)
		r = remove_from(t, names, ret);
	return r;
}

int rules_remove_legacy(const struct rule_names *names, struct rules_result *ret)
{
	struct tables families[] = {
		{ .names = "/proc/self/net/ip_tables_names",
		  .soname = "libip4tc.so.2",
		  .prefix = "iptc",
		  .matches = offsetof(struct ipt_entry, elems),
		  .target_offset = offsetof(struct ipt_entry, target_offset) },
		{ .names = "/proc/self/net/ip6_tables_names",
		  .soname = "libip6tc.so.2",
		  .prefix = "ip6tc",
		  .matches = offsetof(struct ip6t_entry, elems),
		  .target_offset = offsetof(struct ip6t_entry, target_offset) },
	};
	int first = 0;

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		int r = remove_family(&families[i], names, ret);

		if (r >= 0)
			continue;
		log_error("cannot remove rules of the legacy tables: %s", strerror(-r));
		ret->failed++;
		if (first == 0)
			first = r;
	}
	return first;
}
