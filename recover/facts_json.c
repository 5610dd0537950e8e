#include "recover/facts.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "scanners/cleanup.h"

enum type { BOOLEAN, INT32, UINT32, INT64, UINT64, TEXT, ENUM };

static const char *const answer_names[] = { "unknown", "no", "yes" };
static const char *const lock_names[] = { "unknown", "free", "unit", "other", "no-file" };
static const char *const db_names[] = { "unread", "absent", "empty", "sound", "damaged" };
static const char *const config_names[] = { "unknown", "defaults", "sound", "invalid" };

static const char *const log_names[] = { "nothing", "hands-off", "partial", "quarantine" };

static const char *const cri_names[] = { "nothing-wrong", "degraded", "hung" };

static const struct member {
	const char *section, *name;
	enum type type;
	size_t offset, size;
	const char *const *names; /* of an ENUM */
	size_t name_count;
} members[] = {
#define M(section, name, type) \
	{ #section, #name, type, offsetof(struct facts, section.name), \
	  sizeof(((struct facts *)NULL)->section.name), NULL, 0 }
#define E(section, name, names) \
	{ #section, #name, ENUM, offsetof(struct facts, section.name), \
	  sizeof(uint32_t), names, ARRAY_SIZE(names) }
	M(taken, realtime_sec, INT64), M(taken, boot_id, TEXT), M(taken, version, TEXT),
	M(taken, by_hand, BOOLEAN), M(taken, force, BOOLEAN),
	M(config, unit, TEXT), E(config, config, config_names), M(config, config_problem, TEXT),
	M(config, policy_invalid, BOOLEAN), M(config, policy_problem, TEXT),
	M(config, automatic, BOOLEAN), M(config, root, TEXT), M(config, state, TEXT),
	M(config, foreign_snapshotter, BOOLEAN), M(config, foreign_what, TEXT),
	M(ledger, attempts, UINT32), M(ledger, failures, UINT32), M(ledger, timeouts, UINT32),
	M(ledger, window_sec, UINT32),
	M(ledger, failures_needed, UINT32), M(ledger, last_failed, BOOLEAN),
	M(ledger, last_result, TEXT), M(ledger, last_code, TEXT), M(ledger, last_status, TEXT),
	M(history, hold, BOOLEAN), M(history, cooling_down, BOOLEAN),
	M(history, cooldown_left_sec, UINT64), M(history, quarantines, UINT32),
	M(history, freed, BOOLEAN), M(history, restarted, BOOLEAN),
	M(history, tmpmounts, BOOLEAN), M(history, deferred, BOOLEAN),
	M(root, error, INT32), M(root, is_link, BOOLEAN), M(root, is_mount_point, BOOLEAN),
	M(root, is_empty, BOOLEAN), M(root, child_mount, BOOLEAN), M(root, lasting_mount, BOOLEAN),
	M(root, stranger, TEXT),
	E(root, mount_missing, answer_names), M(root, dev, UINT64), M(root, ino, UINT64),
	M(fs, error, INT32), M(fs, type, TEXT), M(fs, read_only, BOOLEAN),
	M(fs, block_bytes, UINT64), M(fs, blocks, UINT64), M(fs, blocks_free, UINT64),
	M(fs, inodes, UINT64), M(fs, inodes_free, UINT64), M(fs, no_space, BOOLEAN),
	M(fs, no_inodes, BOOLEAN),
	E(meta, state, db_names), M(meta, damage, TEXT), M(meta, error, INT32),
	M(meta, page, UINT64), M(meta, size, UINT64), M(meta, whole_tree, BOOLEAN),
	E(meta, lock, lock_names), M(meta, lock_pid, UINT32), M(meta, under_lock, BOOLEAN),
	E(ledger, changed, answer_names),
	E(snapshots, state, db_names), M(snapshots, damage, TEXT), M(snapshots, page, UINT64),
	M(snapshots, under_lock, BOOLEAN),
	M(log, looked, BOOLEAN), E(log, verdict, log_names), M(log, rule, TEXT), M(log, class, TEXT),
	M(log, what, TEXT), M(log, line, TEXT), M(log, starts, UINT32), M(log, shown_in, UINT32),
	M(log, in_last, BOOLEAN), M(log, needs_check, BOOLEAN), M(log, needs_unchanged, BOOLEAN),
	M(log, needs_missing, BOOLEAN), E(log, missing, answer_names),
	M(count, looked, BOOLEAN), M(count, entries, UINT64), M(count, complete, BOOLEAN),
	M(count, bloated, BOOLEAN), M(count, msec, UINT32), M(count, mark, UINT64),
	M(leftovers, looked, BOOLEAN), M(leftovers, complete, BOOLEAN),
	M(leftovers, excessive, BOOLEAN), M(leftovers, directories, UINT32),
	M(leftovers, entries, UINT64), M(leftovers, mark, UINT64),
	M(leftovers, tried_directories, UINT32), M(leftovers, tried_entries, UINT64),
	M(pods, looked, BOOLEAN), M(pods, complete, BOOLEAN), M(pods, missed, TEXT),
	M(pods, sandboxes, UINT32),
	M(pods, shims, UINT32), M(pods, bundles, UINT32), M(pods, links, UINT32),
	M(pods, reservations, UINT32), M(pods, cache_files, UINT32),
	M(pods, foreign_tasks, UINT32), M(pods, foreign_layers, UINT32),
	M(pods, foreign_namespace, TEXT),
	M(shims, looked, BOOLEAN), M(shims, complete, BOOLEAN), M(shims, dead, UINT32),
	M(shims, hung, UINT32), M(shims, kill_hung, BOOLEAN), M(shims, predicted_msec, UINT32),
	M(shims, allowed_msec, UINT32),
	M(tmpmounts, looked, BOOLEAN), M(tmpmounts, own, UINT32), M(tmpmounts, others, UINT32),
	M(tmpmounts, type, TEXT),
	E(cri, state, cri_names), M(cri, up, BOOLEAN),
#undef M
#undef E
};

static json_t *member_to_json(const struct member *m, const struct facts *facts)
{
	const char *at = (const char *)facts + m->offset;
	uint32_t u32;
	int32_t i32;
	uint64_t u64;
	int64_t i64;

	switch (m->type) {
	case BOOLEAN:
		return json_boolean(*(const bool *)at);
	case INT32:
		memcpy(&i32, at, sizeof(i32));
		return json_integer(i32);
	case UINT32:
		memcpy(&u32, at, sizeof(u32));
		return json_integer(u32);
	case INT64:
		memcpy(&i64, at, sizeof(i64));
		return json_integer(i64);
	case UINT64: /* JSON integers are signed here; no fact is that large */
		memcpy(&u64, at, sizeof(u64));
		return json_integer((json_int_t)(u64 > INT64_MAX ? INT64_MAX : u64));
	case TEXT: {
		json_t *text = json_string(at);

		return text ? text : json_string("(not UTF-8)");
	}
	case ENUM:
		memcpy(&u32, at, sizeof(u32));
		return json_string(u32 < m->name_count ? m->names[u32] : m->names[0]);
	}
	return NULL;
}

json_t *facts_to_json(const struct facts *facts)
{
	json_t *json = json_object();

	for (size_t i = 0; json && i < ARRAY_SIZE(members); i++) {
		json_t *section = json_object_get(json, members[i].section);

		if (!section) {
			section = json_object();
			if (json_object_set_new(json, members[i].section, section) < 0)
				goto fail;
		}
		if (json_object_set_new(section, members[i].name, member_to_json(&members[i], facts)) < 0)
			goto fail;
	}
	return json;
fail:
	json_decref(json);
	return NULL;
}

static bool integer_from_json(const json_t *value, int64_t min, int64_t max, void *at, size_t size)
{
	json_int_t n = json_integer_value(value);

	if (!json_is_integer(value) || n < min || n > max)
		return false;
	memcpy(at, &n, size); /* little-endian, as every node we support */
	return true;
}

static bool enum_from_json(const struct member *m, const json_t *value, void *at)
{
	const char *name = json_string_value(value);

	for (uint32_t i = 0; name && i < m->name_count; i++)
		if (strcmp(name, m->names[i]) == 0) {
			memcpy(at, &i, sizeof(i));
			return true;
		}
	return false;
}

static bool text_from_json(const struct member *m, const json_t *value, char *at)
{
	if (!json_is_string(value) || json_string_length(value) >= m->size)
		return false;
	(void)snprintf(at, m->size, "%s", json_string_value(value));
	return true;
}

static bool member_from_json(const struct member *m, const json_t *value, struct facts *facts)
{
	char *at = (char *)facts + m->offset;

	switch (m->type) {
	case BOOLEAN:
		*(bool *)at = json_is_true(value);
		return json_is_boolean(value);
	case INT32:
		return integer_from_json(value, INT32_MIN, INT32_MAX, at, m->size);
	case UINT32:
		return integer_from_json(value, 0, UINT32_MAX, at, m->size);
	case INT64:
		return integer_from_json(value, INT64_MIN, INT64_MAX, at, m->size);
	case UINT64:
		return integer_from_json(value, 0, INT64_MAX, at, m->size);
	case TEXT:
		return text_from_json(m, value, at);
	case ENUM:
		return enum_from_json(m, value, at);
	}
	return false;
}

int facts_from_json(const json_t *json, struct facts *ret, char **ret_problem)
{
	struct facts facts;

	memset(&facts, 0, sizeof(facts));
	*ret_problem = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		const struct member *m = &members[i];
		const json_t *section = json_object_get(json, m->section);
		const json_t *value = json_object_get(section, m->name);

		if (value && member_from_json(m, value, &facts))
			continue;
		if (asprintf(ret_problem, "%s.%s is %s", m->section, m->name,
			     value ? "not of its type" : "missing") < 0) {
			*ret_problem = NULL;
			return -ENOMEM;
		}
		return -EINVAL;
	}
	*ret = facts;
	return 0;
}
