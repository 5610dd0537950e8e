#include "scanners/logsender.h"

#include <ctype.h>
#include <string.h>

#include "scanners/cleanup.h"

#define CONTAINERD "containerd"

/* "containerd", "cri-containerd", "microk8s.daemon-containerd", "containerd-1.7": no shim,
 * no snapshotter, no other daemon that is named after it. */
static bool is_containerd(const char *name, size_t size)
{
	const size_t len = strlen(CONTAINERD);

	for (size_t i = 0; i + len <= size; i++) {
		const char *behind = name + i + len;

		if (memcmp(name + i, CONTAINERD, len) != 0 ||
		    (i > 0 && isalnum((unsigned char)name[i - 1])))
			continue;
		if (i + len == size)
			return true;
		return *behind == '-' && i + len + 1 < size && isdigit((unsigned char)behind[1]);
	}
	return false;
}

/* Daemons that run a containerd of their own and speak of it. */
static bool is_supervisor(const char *name)
{
	static const char *const names[] = { "dockerd", "docker", "k3s",    "k3s-agent", "rke2",
					     "kubelet", "balenad", "k0s",   "Moby",	 "moby",
					     "rootlesskit" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static bool is_unit_char(char c)
{
	return isalnum((unsigned char)c) || strchr("@:_.-\\", c);
}

/* What systemd says is of containerd's unit, or of another one. */
static enum log_source source_of_systemd(const char *text)
{
	static const char suffix[] = ".service";
	const char *found = NULL, *at = text;

	while ((at = strstr(at, suffix))) {
		const char *start = at;

		while (start > text && is_unit_char(start[-1]))
			start--;
		if (is_containerd(start, (size_t)(at - start)))
			return LOG_SYSTEMD;
		found = at;
		at += strlen(suffix);
	}
	if (found)
		return LOG_OTHER;
	return strcasestr(text, CONTAINERD) ? LOG_SYSTEMD : LOG_OTHER;
}

enum log_source log_source_of(const char *sender, const char *text)
{
	if (!*sender)
		return strncmp(text, "type=AVC", 8) == 0 ? LOG_KERNEL : LOG_BARE;
	/* "(ntainerd)": PID 1's child before it became containerd. */
	if (strcmp(sender, "systemd") == 0 || *sender == '(')
		return source_of_systemd(text);
	if (strcmp(sender, "kernel") == 0 || strncmp(sender, "audit", 5) == 0)
		return LOG_KERNEL;
	if (is_containerd(sender, strlen(sender)))
		return LOG_CONTAINERD;
	return is_supervisor(sender) ? LOG_SUPERVISOR : LOG_OTHER;
}

enum log_source log_source_of_entry(const struct log_entry *entry, const char *text)
{
	const char *comm = entry->comm;

	if (entry->unit && (!comm || strcmp(comm, "systemd") == 0))
		return source_of_systemd(entry->unit);
	if (comm && strcmp(comm, CONTAINERD) == 0)
		return LOG_CONTAINERD;
	/* A shim writes to the journal under containerd's name. */
	if (comm && strncmp(comm, CONTAINERD, strlen(CONTAINERD)) == 0)
		return LOG_OTHER;
	if (comm && (*comm == '(' || strcmp(comm, "systemd") == 0))
		return source_of_systemd(text);
	return log_source_of(entry->sender ? entry->sender : "", text);
}

/* Words that only containerd itself writes, and words that only others write. */
static bool has_word(const char *text, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strstr(text, words[i]))
			return true;
	return false;
}

bool log_word_is_own(const char *text)
{
	static const char *const words[] = {
		"starting containerd", "loading plugin", "failed to load plugin",
		"failed to load TOML", "Failed to run CRI service", "containerd successfully booted",
		"Ignoring unknown key in TOML", "type=io.containerd.", "in metadata plugin",
		"metadata content store policy", "Start recovering state", "Start cri plugin",
	};

	return strncmp(text, "containerd: ", 12) == 0 || has_word(text, words, ARRAY_SIZE(words));
}

static bool is_foreign_word(const char *text)
{
	static const char *const words[] = {
		"Starting k3s",	   "Starting rke2", "Running kube-",   "Containerd Exited",
		"tarting kubelet", "kubelet.go:",   "libcontainerd",   "API listen on",
		"etcdserver",	   "etcdmain",	    "embed.StartEtcd", "Waiting for containerd startup",
		"Loading containers",
	};

	return has_word(text, words, ARRAY_SIZE(words));
}

/* The block that systemctl status prints belongs to the unit in its first line. */
static void settle_status_blocks(struct log *log)
{
	static const char *const keys[] = { "Loaded:", "Active:", "Process:", "Main PID:",
					    "Docs:",   "Tasks:",  "Memory:",  "CPU:",
					    "CGroup:", "Status:" };
	enum log_source source = LOG_BARE;

	for (size_t i = 0; i < log->count; i++) {
		struct log_line *line = &log->lines[i];
		const char *text = line->text + strspn(line->text, " \t");

		if (line->source != LOG_BARE)
			continue;
		if ((strncmp(text, "\xe2\x97\x8f ", 4) == 0 || strncmp(text, "\xc3\x97 ", 3) == 0 ||
		     strncmp(text, "* ", 2) == 0) &&
		    strstr(text, ".service"))
			source = line->source = source_of_systemd(text);
		for (size_t k = 0; k < ARRAY_SIZE(keys) && source != LOG_BARE; k++)
			if (strncmp(text, keys[k], strlen(keys[k])) == 0)
				line->source = source;
	}
}

static bool is_host(const struct log *log, const char *name)
{
	for (size_t i = 0; i < log->count; i++)
		if (*log->lines[i].host && strcmp(log->lines[i].host, name) == 0)
			return true;
	return false;
}

/*
 * "host[123]: text": somebody took the process's name out. It is containerd's if
 * systemd says in the same log that containerd's unit exited.
 */
static void settle_unnamed(struct log *log)
{
	enum log_source source = LOG_BARE;

	for (size_t i = 0; i < log->count; i++)
		if (log->lines[i].source == LOG_SYSTEMD &&
		    strstr(log->lines[i].text, "ain process exited"))
			source = LOG_CONTAINERD;
	for (size_t i = 0; i < log->count; i++) {
		struct log_line *line = &log->lines[i];

		if (line->source == LOG_OTHER && line->pid != 0 && !*line->host &&
		    is_host(log, line->sender))
			line->source = source;
	}
}

/* A stream without prefixes is containerd's own if it shows it and nobody else. */
static void settle_bare(struct log *log)
{
	bool own = false, foreign = false;

	for (size_t i = 0; i < log->count; i++) {
		const struct log_line *line = &log->lines[i];

		if (line->source != LOG_BARE)
			continue;
		own |= log_word_is_own(line->text);
		foreign |= is_foreign_word(line->text);
	}
	for (size_t i = 0; i < log->count && own && !foreign; i++)
		if (log->lines[i].source == LOG_BARE)
			log->lines[i].source = LOG_CONTAINERD;
}

static bool begins_start(const struct log_line *line)
{
	static const char *const words[] = { "Starting ", "cheduled restart job",
					     "time over, scheduling restart" };

	return line->source == LOG_SYSTEMD && has_word(line->text, words, ARRAY_SIZE(words));
}

static bool ends_start(const struct log_line *line)
{
	static const char *const words[] = { "exited", "ailed", "timed out" };

	return line->source == LOG_CONTAINERD ||
	       (line->source == LOG_SYSTEMD && has_word(line->text, words, ARRAY_SIZE(words)));
}

/* What is known of the start that the lines seen last belong to. */
struct current {
	uint32_t invocation, pid;
	bool announced; /* by "starting containerd" */
	bool begun;	/* something was said that only a start can say */
};

static bool announces(const struct log_line *line)
{
	return line->source == LOG_CONTAINERD && strstr(line->text, "starting containerd");
}

/* The journal's ids leave no doubt; without them another pid or another word must do. */
static bool is_of_next_start(const struct log_line *line, const struct current *current)
{
	if (line->invocation && current->invocation)
		return line->invocation != current->invocation;
	if (current->begun && begins_start(line))
		return true;
	if (current->announced && announces(line))
		return true;
	return line->source == LOG_CONTAINERD && current->pid != 0 && line->pid != 0 &&
	       line->pid != current->pid;
}

static void divide_into_starts(struct log *log)
{
	struct current current = { 0 };
	uint32_t start = 0;

	for (size_t i = 0; i < log->count; i++) {
		struct log_line *line = &log->lines[i];

		if (is_of_next_start(line, &current)) {
			start++;
			current = (struct current){ 0 };
		}
		if (line->invocation)
			current.invocation = line->invocation;
		if (line->source == LOG_CONTAINERD && line->pid != 0)
			current.pid = line->pid;
		current.announced |= announces(line);
		current.begun |= ends_start(line);
		line->start = start;
	}
	log->starts = log->count > 0 ? start + 1 : 0;
}

void log_settle(struct log *log)
{
	settle_status_blocks(log);
	settle_unnamed(log);
	settle_bare(log);
	divide_into_starts(log);
}
