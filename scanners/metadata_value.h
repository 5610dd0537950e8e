/*
 * How containerd and its snapshotters encode values in their databases: Go's
 * varints and times, protobuf's Any (core/metadata/boltutil).
 *
 * All return 0, BOLT_VALUE with the out-parameters untouched for what does not
 * decode, other damage, or a negative errno.
 */
#ifndef SCANNERS_METADATA_VALUE_H
#define SCANNERS_METADATA_VALUE_H

#include <stddef.h>
#include <stdint.h>

#include "scanners/bolt_tree.h"

/* A C string, the caller's, in the place of the one at @ret; an empty value is none. */
int metadata_text(const struct bolt_item *item, char **ret);

int metadata_uvarint(const struct bolt_item *item, uint64_t *ret);
int metadata_varint(const struct bolt_item *item, int64_t *ret);

/* Seconds since 1970 of a time.Time. */
int metadata_time(const struct bolt_item *item, int64_t *ret);

/* The value inside an Any; valid as bolt_item_value()'s. */
int metadata_any(const struct bolt_item *item, const uint8_t **ret, size_t *ret_size);

#endif
