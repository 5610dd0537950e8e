/*
 * Numbers as a person reads them. Each is a value of its own, for one printf():
 *
 *	printf("%s of %s\n", quantity_count(n).text, quantity_bytes(size).text);
 */
#ifndef RECOVER_QUANTITY_H
#define RECOVER_QUANTITY_H

#include <stdint.h>

struct quantity {
	char text[32];
};

/* 1234567 as "1,234,567". */
struct quantity quantity_count(uint64_t count);

/* 1610612736 as "1.5 GiB", 1000 as "1000 B". */
struct quantity quantity_bytes(uint64_t bytes);

/* "90 s", "2 min", "3 h", "4 d": whole ones, the rest is dropped. Below 0 is 0. */
struct quantity quantity_seconds(int64_t seconds);

/* @part of @whole as "54 %", "<1 %" where it is little; "-" of nothing. */
struct quantity quantity_share(uint64_t part, uint64_t whole);

#endif
