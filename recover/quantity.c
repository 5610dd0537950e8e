#include "recover/quantity.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/param.h>

#include "scanners/cleanup.h"

struct quantity quantity_count(uint64_t count)
{
	struct quantity ret;
	char digits[sizeof(ret.text)];
	int n = snprintf(digits, sizeof(digits), "%" PRIu64, count), at = 0;

	for (int i = 0; i < n; i++) {
		if (i > 0 && (n - i) % 3 == 0)
			ret.text[at++] = ',';
		ret.text[at++] = digits[i];
	}
	ret.text[at] = '\0';
	return ret;
}

struct quantity quantity_bytes(uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	struct quantity ret;
	double number = (double)bytes;
	size_t unit = 0;

	/* What would be shown as 1024 of a unit is 1.0 of the next. */
	for (; number >= 1023.5; unit++)
		number /= 1024;
	(void)snprintf(ret.text, sizeof(ret.text), unit > 0 && number < 9.95 ? "%.1f %s" : "%.0f %s",
		       number, units[unit]);
	return ret;
}

struct quantity quantity_seconds(int64_t seconds)
{
	/* Two of a unit at least, so that little is dropped. */
	static const struct {
		int64_t seconds;
		const char *name;
	} units[] = { { 86400, "d" }, { 3600, "h" }, { 60, "min" }, { 1, "s" } };
	struct quantity ret;
	size_t unit = 0;

	seconds = MAX(seconds, 0);
	while (unit < ARRAY_SIZE(units) - 1 && seconds < 2 * units[unit].seconds)
		unit++;
	(void)snprintf(ret.text, sizeof(ret.text), "%" PRId64 " %s", seconds / units[unit].seconds,
		       units[unit].name);
	return ret;
}

struct quantity quantity_share(uint64_t part, uint64_t whole)
{
	struct quantity ret = { "-" };
	double percent = whole ? (double)part * 100 / (double)whole : 0;

	if (whole && part && percent < 1)
		(void)snprintf(ret.text, sizeof(ret.text), "<1 %%");
	else if (whole)
		(void)snprintf(ret.text, sizeof(ret.text), "%d %%", (int)percent);
	return ret;
}
