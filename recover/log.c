#include "recover/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>
#include <bsd/vis.h>

static bool to_journal;
static bool show_debug;

/* JOURNAL_STREAM is "device:inode" of the stream; it is inherited by children
 * whose stderr was redirected, so it counts only if it is ours. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;
	char *end;

	if (!stream || fstat(STDERR_FILENO, &st) < 0)
		return false;
	dev = strtoull(stream, &end, 10);
	if (*end != ':')
		return false;
	ino = strtoull(end + 1, &end, 10);
	return *end == '\0' && dev == st.st_dev && ino == st.st_ino;
}

void log_open(bool verbose)
{
	show_debug = verbose;
	to_journal = stderr_is_journal();
}

__attribute__((format(printf, 2, 0))) static void print(int priority, const char *format, va_list args)
{
	char line[4096];
	int n = vsnprintf(line, sizeof(line), format, args);

	if (n < 0)
		return;
	if ((size_t)n >= sizeof(line))
		memcpy(line + sizeof(line) - 4, "...", 4);
	/* There is nobody to tell that stderr is gone. */
	if (to_journal)
		(void)fprintf(stderr, "<%d>%s\n", priority, line);
	else
		(void)fprintf(stderr, "containerd-recover: %s\n", line);
}

#define DEFINE_LOG(name, priority, shown) \
	void name(const char *format, ...) \
	{ \
		va_list args; \
		if (!(shown)) \
			return; \
		va_start(args, format); \
		print(priority, format, args); \
		va_end(args); \
	}

DEFINE_LOG(log_error, LOG_ERR, true)
DEFINE_LOG(log_warning, LOG_WARNING, true)
DEFINE_LOG(log_info, LOG_INFO, true)
DEFINE_LOG(log_debug, LOG_DEBUG, show_debug)

const char *log_name(const char *name)
{
	enum { SHOWN = 240 };
	static char buffers[4][4 * SHOWN + sizeof("...")];
	static unsigned next;
	char *buffer = buffers[next++ % 4];
	size_t len = strnlen(name, SHOWN + 1);
	int n = strvisx(buffer, name, len < SHOWN ? len : SHOWN, VIS_CSTYLE | VIS_NL | VIS_TAB);

	if (n <= 0 && len > 0) /* no memory: something of that name is there all the same */
		return "?";
	if (len > SHOWN)
		memcpy(buffer + n, "...", sizeof("..."));
	return buffer;
}
