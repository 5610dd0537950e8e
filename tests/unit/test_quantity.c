#include <stdint.h>

#include "recover/quantity.h"
#include "tests/unit/tap.h"

static void test_counts(void)
{
	CHECK_STR(quantity_count(0).text, "0");
	CHECK_STR(quantity_count(999).text, "999");
	CHECK_STR(quantity_count(1000).text, "1,000");
	CHECK_STR(quantity_count(1234567).text, "1,234,567");
	CHECK_STR(quantity_count(UINT64_MAX).text, "18,446,744,073,709,551,615");
}

static void test_bytes(void)
{
	CHECK_STR(quantity_bytes(0).text, "0 B");
	CHECK_STR(quantity_bytes(1000).text, "1000 B");
	CHECK_STR(quantity_bytes(1024).text, "1.0 KiB");
	CHECK_STR(quantity_bytes(8192).text, "8.0 KiB");
	CHECK_STR(quantity_bytes(10189).text, "10 KiB");
	CHECK_STR(quantity_bytes(1024 * 1024 - 1).text, "1.0 MiB");
	CHECK_STR(quantity_bytes(UINT64_C(3) << 29).text, "1.5 GiB");
	CHECK_STR(quantity_bytes(UINT64_MAX).text, "16 EiB");
}

static void test_seconds(void)
{
	CHECK_STR(quantity_seconds(-5).text, "0 s");
	CHECK_STR(quantity_seconds(0).text, "0 s");
	CHECK_STR(quantity_seconds(119).text, "119 s");
	CHECK_STR(quantity_seconds(120).text, "2 min");
	CHECK_STR(quantity_seconds(7199).text, "119 min");
	CHECK_STR(quantity_seconds(7200).text, "2 h");
	CHECK_STR(quantity_seconds(2 * 86400).text, "2 d");
	CHECK_STR(quantity_seconds(INT64_MAX).text, "106751991167300 d");
}

static void test_shares(void)
{
	CHECK_STR(quantity_share(0, 0).text, "-");
	CHECK_STR(quantity_share(0, 7).text, "0 %");
	CHECK_STR(quantity_share(1, 1000).text, "<1 %");
	CHECK_STR(quantity_share(999, 1000).text, "99 %");
	CHECK_STR(quantity_share(1000, 1000).text, "100 %");
	CHECK_STR(quantity_share(UINT64_MAX / 2, UINT64_MAX).text, "50 %");
}

int main(void)
{
	RUN(test_counts);
	RUN(test_bytes);
	RUN(test_seconds);
	RUN(test_shares);
	return tap_done();
}
