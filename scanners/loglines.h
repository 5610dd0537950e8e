/*
 * The lines of a log, each with the process that wrote it. Text as journalctl,
 * syslog, systemctl status, a terminal or an issue thread show it, and entries
 * of the journal itself, become the same list; only lines that are proven to be
 * containerd's count as its.
 */
#ifndef SCANNERS_LOGLINES_H
#define SCANNERS_LOGLINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_source {
	LOG_OTHER,	/* another process, or systemd about another unit */
	LOG_CONTAINERD, /* this is containerd itself */
	LOG_SUPERVISOR, /* dockerd, k3s, … about or around their containerd */
	LOG_SYSTEMD,	/* PID 1 about containerd's unit */
	LOG_KERNEL,	/* kernel and audit */
	LOG_BARE,	/* nothing says who wrote it */
};

enum log_level {
	LOG_LEVEL_NONE,
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_INFO,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_ERROR,
	LOG_LEVEL_FATAL, /* and panic */
};

struct log_line {
	enum log_source source;
	enum log_level level;
	uint32_t pid;	    /* 0: not known */
	uint32_t invocation; /* hash of the journal's id, 0: not known */
	uint32_t start;	    /* which start of containerd, from 0 */
	uint32_t column;    /* of the message in its line, behind a name; 0: no name */
	bool child;	    /* under containerd's name, but by a process that it started */
	bool after_boot;    /* containerd said in this start that it was up */
	bool continued;	    /* not the first line of its message */
	unsigned frame;	    /* of enum log_frame */
	const char *raw;    /* as it was given */
	const char *text;   /* without prefix and colours, quotes not escaped */
	const char *sender; /* name of the process or of the unit, "" if not known */
	const char *host;   /* "" if not known */
};

struct log {
	struct log_line *lines;
	size_t count, room;
	uint32_t starts; /* seen in the lines */
	bool cut;	 /* lines were left out: LOG_LINES_MAX, LOG_BYTES_MAX */
	char **memory;	 /* what the lines point into */
	size_t memory_count, memory_room;
};

enum {
	LOG_LINES_MAX = 20000, /* the last ones are kept */
	LOG_BYTES_MAX = 32 * 1024 * 1024, /* and no more of them than this */
	LOG_LINE_MAX = 16 * 1024, /* longer lines are cut */
};

/* An entry of the journal, or a line of another structured form. NULL: not known. */
struct log_entry {
	const char *sender; /* SYSLOG_IDENTIFIER */
	const char *comm;   /* _COMM, which a process cannot choose as freely */
	const char *unit;   /* UNIT of a message of PID 1 */
	uint32_t pid;
	const char *invocation; /* a new one begins a new start */
	const char *message; /* several lines become several log lines */
	size_t size;	     /* of the message, which need not end in NUL */
};

/* Each adds to @log, in the order of time. Returns 0 or -ENOMEM. */
int log_add_entry(struct log *log, const struct log_entry *entry);

/*
 * Add the lines of @text: any mix of the formats above, journalctl -o json and
 * -o export included. Returns 0 or -ENOMEM.
 */
int log_add_text(struct log *log, const char *text, size_t size);

/* A word of systemd's about containerd's unit, as if it stood at the end. */
int log_add_systemd(struct log *log, const char *format, const char *word);

/*
 * All lines are in: decide about lines without a name, and divide them into
 * starts. Call it once, before matching.
 */
void log_settle(struct log *log);

void log_done(struct log *log);
#define cleanup_log __attribute__((cleanup(log_done)))

/*
 * Does @text contain @pattern? A text that was cut off inside the pattern, as
 * journalctl and issue threads do, contains it too, if enough of it is left.
 */
bool log_contains(const char *text, const char *pattern);

/* Does it contain any of @patterns? */
bool log_contains_any(const char *text, const char *const *patterns, size_t count);

#endif
