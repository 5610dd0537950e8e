#include "scanners/logorder.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "scanners/cleanup.h"

enum {
	TIME_AT_MAX = 64,     /* a time is this near to the beginning of its line */
	BACKWARDS_MIN = 2,    /* one step back is a new year, or a clock that was set */
	BACKWARDS_FACTOR = 4, /* steps back for each step forth: no mere mixing of threads */
	SEC_PER_DAY = 24 * 60 * 60,
	USEC_PER_SEC = 1000000,
};

/* What a time was written as; only two of one kind can be compared. */
enum kind { KIND_NONE, KIND_CLOCK, KIND_SYSLOG, KIND_ISO };

struct moment {
	enum kind kind;
	long long usec;
};


/* Two digits at @s, or -1. */
static int two_digits(const char *s)
{
	if (!isdigit((unsigned char)s[0]) || !isdigit((unsigned char)s[1]))
		return -1;
	return (s[0] - '0') * 10 + s[1] - '0';
}

/* "12:22:21.123" at @s in microseconds, or -1. */
static long long clock_at(const char *s)
{
	int hour = two_digits(s), minute, second;
	long long usec;

	if (hour < 0 || s[2] != ':')
		return -1;
	minute = two_digits(s + 3);
	if (minute < 0 || s[5] != ':')
		return -1;
	second = two_digits(s + 6);
	if (second < 0)
		return -1;
	usec = ((hour * 60LL + minute) * 60 + second) * USEC_PER_SEC;
	s += strlen("12:22:21");
	if (*s == '.' || *s == ',')
		for (long long unit = USEC_PER_SEC / 10; isdigit((unsigned char)*++s); unit /= 10)
			usec += (*s - '0') * unit;
	return usec;
}

/* Days that only grow with time: months of 32 of them, years of 13 months. */
static long long day_number(int century, int year, int month, int day)
{
	return ((century * 100LL + year) * 13 + month) * 32 + day;
}

/* "2026-11-25T" ends at @end. */
static long long iso_day_before(const char *line, const char *end)
{
	const char *s = end - strlen("2026-11-25T");
	int century, year, month, day;

	if (s < line || s[4] != '-' || s[7] != '-')
		return -1;
	century = two_digits(s);
	year = two_digits(s + 2);
	month = two_digits(s + 5);
	day = two_digits(s + 8);
	return century < 0 || year < 0 || month < 0 || day < 0 ?
		       -1 :
		       day_number(century, year, month, day);
}

/* "Nov 25 " ends at @end. */
static long long syslog_day_before(const char *line, const char *end)
{
	static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	const char *s = end - strlen("Nov 25 ");

	if (s < line)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(months); i++)
		if (strncmp(s, months[i], 3) == 0)
			return day_number(0, 0, (int)i, (int)strtol(s + 3, NULL, 10));
	return -1;
}

/* logrus's own time, which has fractions, else the first one in @line. */
static struct moment moment_of(const char *line)
{
	static const char logrus[] = "time=\"";
	const char *inner = strstr(line, logrus), *from = inner ? inner + strlen(logrus) : line;

	for (const char *s = from; *s && s - from < TIME_AT_MAX; s++) {
		long long usec = isdigit((unsigned char)*s) ? clock_at(s) : -1, day;

		if (usec < 0)
			continue;
		day = iso_day_before(line, s);
		if (day >= 0)
			return (struct moment){ KIND_ISO, day * SEC_PER_DAY * USEC_PER_SEC + usec };
		day = syslog_day_before(line, s);
		if (day >= 0)
			return (struct moment){ KIND_SYSLOG,
						day * SEC_PER_DAY * USEC_PER_SEC + usec };
		return (struct moment){ KIND_CLOCK, usec };
	}
	return (struct moment){ KIND_NONE, 0 };
}

long long log_time_of(const char *line)
{
	struct moment moment = moment_of(line);

	return moment.kind == KIND_ISO ? moment.usec : -1;
}

static bool runs_backwards(const struct log *log)
{
	struct moment last[KIND_ISO + 1] = { { KIND_NONE, 0 } };
	size_t forth = 0, back = 0;

	for (size_t i = 0; i < log->count; i++) {
		struct moment now = moment_of(log->lines[i].raw);
		struct moment *before = &last[now.kind];

		if (now.kind == KIND_NONE)
			continue;
		if (before->kind != KIND_NONE) {
			forth += now.usec > before->usec;
			back += now.usec < before->usec;
		}
		*before = now;
	}
	return back >= BACKWARDS_MIN && back > forth * BACKWARDS_FACTOR;
}

/* The next line of the same process as line @i, @step away from it, and away from that; false: none is near. */
static bool has_neighbour(const struct log *log, size_t i, int step)
{
	enum { NEAR = 200 };
	const struct log_line *line = &log->lines[i];

	for (int away = 1; away <= NEAR; away++) {
		size_t at = i + (size_t)(step * away);

		if (at >= log->count) /* below 0, too */
			break;
		if (log->lines[at].pid == line->pid && strcmp(log->lines[at].sender, line->sender) == 0)
			return true;
	}
	return false;
}

/* Do processes speak on behind their first words? Then it is the clock that was set back. */
static bool begins_forth(const struct log *log)
{
	size_t forth = 0, back = 0;

	for (size_t i = 0; i < log->count; i++)
		if (log->lines[i].pid != 0 && strstr(log->lines[i].text, "starting containerd")) {
			forth += has_neighbour(log, i, 1);
			back += has_neighbour(log, i, -1);
		}
	return forth > back;
}

void log_order(struct log *log)
{
	if (!runs_backwards(log) || begins_forth(log))
		return;
	for (size_t i = 0; i < log->count / 2; i++) {
		struct log_line line = log->lines[i];

		log->lines[i] = log->lines[log->count - 1 - i];
		log->lines[log->count - 1 - i] = line;
	}
}
