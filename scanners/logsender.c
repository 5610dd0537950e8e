#include "scanners/logsender.h"

#include <ctype.h>
#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/logframe.h"
#include "scanners/logorder.h"
#include "scanners/text.h"

#define CONTAINERD "containerd"
#define ROOTLESS "containerd-rootless.sh" /* becomes rootlesskit, which runs containerd */

/* Without the ".service" that journalctl -o with-unit shows, which is cut from @size. */
static size_t without_suffix(const char *name, size_t size)
{
	static const char suffix[] = ".service";
	const size_t len = strlen(suffix);

	return size > len && memcmp(name + size - len, suffix, len) == 0 ? size - len : size;
}

/* "containerd", "cri-containerd", "microk8s.daemon-containerd", "containerd-1.7": no shim,
 * no snapshotter, no other daemon that is named after it. */
static bool is_containerd(const char *name, size_t size)
{
	const size_t len = strlen(CONTAINERD);

	size = without_suffix(name, size);
	for (size_t i = 0; i + len <= size; i++) {
		const char *behind = name + i + len;

		if (memcmp(name + i, CONTAINERD, len) != 0 ||
		    (i > 0 && isalnum((unsigned char)name[i - 1])))
			continue;
		if (i + len == size || (size - i == strlen(ROOTLESS) && memcmp(name + i, ROOTLESS, size - i) == 0))
			return true;
		return *behind == '-' && i + len + 1 < size && isdigit((unsigned char)behind[1]);
	}
	return false;
}

/* Daemons that run a containerd of their own and speak of it. */
static bool is_supervisor(const char *name)
{
	static const char *const names[] = { "dockerd", "docker", "k3s",    "k3s-agent", "rke2",
					     "balenad", "k0s",	  "Moby", "moby",      "rootlesskit" };
	const size_t size = without_suffix(name, strlen(name));

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strlen(names[i]) == size && memcmp(names[i], name, size) == 0)
			return true;
	return false;
}

/* Programs that become another one: env(1) of Flatcar's unit, shells of start scripts. */
static bool is_wrapper(const char *name)
{
	static const char *const names[] = { "env", "sh", "bash", "dash", "busybox", "nsenter", "chroot" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static bool is_unit_char(char c)
{
	return isalnum((unsigned char)c) || strchr("@:_.-\\", c);
}

/* Does @text name a unit of another kind: a pod's scope or mount, say? */
static bool names_no_service(const char *text)
{
	static const char *const suffixes[] = { ".scope", ".mount", ".slice", ".socket", ".device" };

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		const char *found = strstr(text, suffixes[i]);

		if (found && found > text && is_unit_char(found[-1]) &&
		    !isalnum((unsigned char)found[strlen(suffixes[i])]))
			return true;
	}
	return false;
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
	if (found || names_no_service(text))
		return LOG_OTHER;
	return strcasestr(text, CONTAINERD) ? LOG_SYSTEMD : LOG_OTHER;
}

static bool is_kernel(const char *sender)
{
	return strcmp(sender, "kernel") == 0 || strncmp(sender, "audit", 5) == 0;
}

enum log_source log_source_of(const char *sender, const char *text)
{
	if (!*sender)
		return strncmp(text, "type=AVC", 8) == 0 ? LOG_KERNEL : LOG_BARE;
	/* "(ntainerd)": PID 1's child before it became containerd. */
	if (strcmp(sender, "systemd") == 0 || strcmp(sender, "init.scope") == 0 || *sender == '(')
		return source_of_systemd(text);
	if (is_kernel(sender))
		return LOG_KERNEL;
	if (is_containerd(sender, strlen(sender)))
		return LOG_CONTAINERD;
	return is_supervisor(sender) ? LOG_SUPERVISOR : LOG_OTHER;
}

/* A process's name as the kernel keeps it: 15 bytes. */
static bool is_containerd_comm(const char *comm)
{
	return is_containerd(comm, strlen(comm)) || strcmp(comm, "docker-containe") == 0;
}

/*
 * _COMM is not the writer's to choose: a shim, a hook or a container writes to
 * the journal under containerd's name, but not under its process's.
 */
enum log_source log_source_of_entry(const struct log_entry *entry, const char *text)
{
	const char *comm = entry->comm;

	if (entry->unit && (!comm || strcmp(comm, "systemd") == 0))
		return source_of_systemd(entry->unit);
	/* Records of audit bear the name of the process that they are about. */
	if (!comm || (entry->sender && is_kernel(entry->sender)))
		return log_source_of(entry->sender ? entry->sender : "", text);
	if (is_containerd_comm(comm))
		return LOG_CONTAINERD;
	return log_source_of(comm, text);
}

/* What k0s says of a component itself, and not the component. */
static bool is_of_k0s(const char *text)
{
	static const char *const beginnings[] = { "Starting to supervise", "Started successfully",
						  "respawning",		   "Restarting",
						  "Failed to start",	   "exit status",
						  "signal: ",		   "Process exited",
						  "Shutting down",	   "Sending ",
						  "Found stale",	   "stopped" };

	for (size_t i = 0; i < ARRAY_SIZE(beginnings); i++)
		if (strncasecmp(text, beginnings[i], strlen(beginnings[i])) == 0)
			return true;
	return false;
}

enum log_source log_unwrap(char *text, const char *sender, enum log_source source)
{
	static const char field[] = " component=", message[] = "msg=\"";
	char *end = NULL, *start = strstr(text, message);
	const char *component;
	size_t size;

	for (char *at = text; (at = strstr(at, field)); at++)
		end = at;
	if (!end || (*sender && strncmp(sender, "k0s", 3) != 0))
		return source;
	component = end + strlen(field);
	size = strcspn(component, " \t");
	source = size == strlen(CONTAINERD) && memcmp(component, CONTAINERD, size) == 0 ?
			 LOG_CONTAINERD :
			 LOG_OTHER;
	if (start && start < end) {
		start += strlen(message);
		if (end > start && end[-1] == '"')
			end--;
	} else {
		/* "INFO[2021-01-22 21:28:21] …     component=containerd" */
		start = strstr(text, "] ");
		start = start && start < end ? start + 2 : text;
		while (end > start && end[-1] == ' ')
			end--;
	}
	memmove(text, start, (size_t)(end - start));
	text[end - start] = '\0';
	return source == LOG_CONTAINERD && is_of_k0s(text) ? LOG_SUPERVISOR : source;
}

bool log_word_is_in_form(const char *text)
{
	static const char *const beginnings[] = { "time=\"", "level=", "{\"", "containerd: ", "\" level=" };

	text += strspn(text, " \t");
	for (size_t i = 0; i < ARRAY_SIZE(beginnings); i++)
		if (strncmp(text, beginnings[i], strlen(beginnings[i])) == 0)
			return true;
	/* "WARN[2021-…] " of a terminal */
	return strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 4 && text[4] == '[';
}

bool log_word_is_own(const char *text)
{
	static const char *const words[] = {
		"starting containerd", "loading plugin", "failed to load plugin",
		"failed to load TOML", "Failed to run CRI service", "containerd successfully booted",
		"Ignoring unknown key in TOML", "type=io.containerd.", "in metadata plugin",
		"metadata content store policy", "Start recovering state", "Start cri plugin",
	};

	return strncmp(text, "containerd: ", 12) == 0 ||
	       (log_word_is_in_form(text) && text_has_any(text, words, ARRAY_SIZE(words)));
}

bool log_word_is_anothers(const char *text)
{
	static const char *const words[] = {
		"etcdserver", "etcdmain", "embed.StartEtcd", "embed/etcd.go", "etcd-version",
		"org.mobyproject.buildkit", "buildkitd", "libpod", "raft2: ", "influxd",
	};

	return text_has_any(text, words, ARRAY_SIZE(words));
}

static bool is_foreign_word(const char *text)
{
	static const char *const words[] = {
		"Starting k3s",		     "Starting rke2",
		"Running kube-",	     "Containerd Exited",
		"tarting kubelet",	     "kubelet.go:",
		"libcontainerd",	     "API listen on",
		"Loading containers",	     "Waiting for containerd startup",
		"msg=\"Starting up\"",	     "] Starting up ",
		"module=grpc",		     "daemon managed containerd",
		"Firewalld running",	     "/iptables, [",
		"graphdriver",		     "buildkit",
		"Creating a containerd client", "Daemon has completed initialization",
	};

	return log_word_is_anothers(text) || text_has_any(text, words, ARRAY_SIZE(words));
}

/* "E1125 22:17:21.003123    1234 kubelet.go:2356] " of Kubernetes's components */
static bool is_klog(const char *raw)
{
	enum { DAY = 5, CLOCK = 8 };
	const char *bracket;

	raw += strspn(raw, " \t");
	if (!strchr("IWEF", *raw) || strspn(raw + 1, "0123456789") != DAY - 1 || raw[DAY] != ' ' ||
	    strspn(raw + DAY + 1, "0123456789:") != CLOCK)
		return false;
	bracket = strchr(raw, ']');
	return bracket && isdigit((unsigned char)bracket[-1]);
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

/* "==> etcd.log <==" of tail, and of tools that put several logs into one. */
static void settle_sections(struct log *log)
{
	bool elsewhere = false;

	for (size_t i = 0; i < log->count; i++) {
		struct log_line *line = &log->lines[i];
		const char *end = strstr(line->text, " <==");

		if (line->source == LOG_BARE && strncmp(line->text, "==> ", 4) == 0 && end)
			elsewhere = !memmem(line->text, (size_t)(end - line->text), CONTAINERD,
					    strlen(CONTAINERD));
		if (line->source == LOG_BARE && elsewhere)
			line->source = LOG_OTHER;
	}
}

/* systemd's words with nothing in front: "containerd.service: Main process exited, …" */
static void settle_unit_words(struct log *log)
{
	static const char unit[] = CONTAINERD ".service: ";

	for (size_t i = 0; i < log->count; i++)
		if (log->lines[i].source == LOG_BARE &&
		    strncmp(log->lines[i].text, unit, strlen(unit)) == 0)
			log->lines[i].source = LOG_SYSTEMD;
}

/* The first few names of hosts: a log is of one, or of some. */
struct hosts {
	const char *names[16];
	size_t count;
};

static bool is_host(const struct hosts *hosts, const char *name)
{
	for (size_t i = 0; i < hosts->count; i++)
		if (strcmp(hosts->names[i], name) == 0)
			return true;
	return false;
}

static void collect_hosts(const struct log *log, struct hosts *ret)
{
	ret->count = 0;
	for (size_t i = 0; i < log->count && ret->count < ARRAY_SIZE(ret->names); i++)
		if (*log->lines[i].host && !is_host(ret, log->lines[i].host))
			ret->names[ret->count++] = log->lines[i].host;
}

/* What journalctl adds itself: "-- Boot …", "-- Subject: …", "░░ Subject: …" of its catalog. */
static void settle_catalog(struct log *log)
{
	for (size_t i = 0; i < log->count; i++)
		if (log->lines[i].source == LOG_BARE &&
		    (strncmp(log->lines[i].raw, "-- ", 3) == 0 ||
		     strncmp(log->lines[i].raw, "\xe2\x96\x91\xe2\x96\x91", 6) == 0))
			log->lines[i].source = LOG_OTHER;
}

/* Does containerd speak under its own name? */
static bool is_named(const struct log *log)
{
	for (size_t i = 0; i < log->count; i++)
		if (log->lines[i].source == LOG_CONTAINERD && log->lines[i].pid != 0)
			return true;
	return false;
}

/*
 * "env[123]: …": a unit whose command line begins with another program that
 * becomes containerd. Its lines are containerd's if that process speaks as it does,
 * and is no script that shows what containerd said.
 */
static void settle_wrapped(struct log *log)
{
	if (is_named(log))
		return;
	for (size_t i = 0; i < log->count; i++) {
		const struct log_line own = log->lines[i];

		if (own.source != LOG_OTHER || own.pid == 0 || !is_wrapper(own.sender) ||
		    !log_word_is_own(own.text))
			continue;
		for (size_t k = 0; k < log->count; k++)
			if (log->lines[k].pid == own.pid && strcmp(log->lines[k].sender, own.sender) == 0)
				log->lines[k].source = LOG_CONTAINERD;
	}
}

/* A host may be called what runs on it. */
static bool is_called_as_another(const char *host)
{
	static const char *const names[] = { "etcd",	"vault",  "consul", "nomad",	 "influxd",
					     "podman", "dockerd", "docker", "buildkitd", "kubelet" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i], host) == 0)
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
	struct hosts hosts;

	collect_hosts(log, &hosts);
	for (size_t i = 0; i < log->count; i++)
		if (log->lines[i].source == LOG_SYSTEMD &&
		    strstr(log->lines[i].text, "ain process exited"))
			source = LOG_CONTAINERD;
	for (size_t i = 0; i < log->count; i++) {
		struct log_line *line = &log->lines[i];

		if (line->source == LOG_OTHER && line->pid != 0 && !*line->host &&
		    is_host(&hosts, line->sender) && !is_called_as_another(line->sender))
			line->source = source;
	}
}

/* In containerd's form, or with a stack of the daemon's packages. */
static bool speaks_as_daemon(const struct log_line *line)
{
	return line->source == LOG_CONTAINERD && line->pid != 0 &&
	       (log_word_is_in_form(line->text) || line->frame & LOG_FRAME_OWN);
}

/* Does systemd say with @line that a process of containerd's unit ended, or was begun anew? */
static bool is_end_or_begin(const struct log_line *line)
{
	static const char *const words[] = { "exited", "ailed", "timed out", "restart job", "Starting",
					     "Stopp" };

	return line->source == LOG_SYSTEMD && text_has_any(line->text, words, ARRAY_SIZE(words));
}

/*
 * What CNI plugins and hooks say stands in the journal under containerd's name. A
 * pid that never speaks as the daemon, while one that does is there and nothing
 * says that it ended, is such a child's.
 */
static void settle_children(struct log *log)
{
	enum { PIDS = 1 << 16 }; /* two that differ by it are taken for one: no child then */
	uint8_t daemons[PIDS / 8] = { 0 };
	bool running = false;

	for (size_t i = 0; i < log->count; i++)
		if (speaks_as_daemon(&log->lines[i]))
			daemons[log->lines[i].pid % PIDS / 8] |= (uint8_t)(1U << log->lines[i].pid % 8);
	for (size_t i = 0; i < log->count; i++) {
		struct log_line *line = &log->lines[i];

		if (is_end_or_begin(line))
			running = false;
		if (line->source != LOG_CONTAINERD || line->pid == 0)
			continue;
		if (daemons[line->pid % PIDS / 8] & 1U << line->pid % 8)
			running = true;
		else
			line->child = running;
	}
}

/* A stream without prefixes is containerd's own if it shows it and nobody else. */
static void settle_bare(struct log *log)
{
	bool own = false, foreign = false;

	for (size_t i = 0; i < log->count; i++) {
		const struct log_line *line = &log->lines[i];

		/* "etcdmain: …" looks like a name, and stands in the same stream */
		if (line->source == LOG_OTHER && line->pid == 0)
			foreign |= is_foreign_word(line->raw);
		if (line->source != LOG_BARE)
			continue;
		own |= log_word_is_own(line->text);
		foreign |= is_foreign_word(line->text) || is_klog(line->raw) ||
			   line->frame & (LOG_FRAME_FOREIGN | LOG_FRAME_UNKNOWN);
	}
	for (size_t i = 0; i < log->count && own && !foreign; i++)
		if (log->lines[i].source == LOG_BARE)
			log->lines[i].source = LOG_CONTAINERD;
}

static bool begins_start(const struct log_line *line)
{
	static const char *const words[] = { "Starting ", "cheduled restart job",
					     "time over, scheduling restart" };

	return line->source == LOG_SYSTEMD && text_has_any(line->text, words, ARRAY_SIZE(words));
}

static bool ends_start(const struct log_line *line)
{
	static const char *const words[] = { "exited", "ailed", "timed out" };

	return line->source == LOG_CONTAINERD ||
	       ((line->source == LOG_SUPERVISOR || line->source == LOG_BARE) &&
		line->level == LOG_LEVEL_FATAL) ||
	       (line->source == LOG_SYSTEMD && text_has_any(line->text, words, ARRAY_SIZE(words)));
}

/* What is known of the start that the lines seen last belong to. */
struct current {
	uint32_t invocation, pid;
	bool booted;	/* containerd said that it was up */
	bool announced; /* by "starting containerd" */
	bool begun;	/* something was said that only a start can say */
};

static bool announces(const struct log_line *line)
{
	return line->source == LOG_CONTAINERD && strstr(line->text, "starting containerd");
}

/* journalctl's line between two boots */
static bool is_boot(const struct log_line *line)
{
	return strncmp(line->raw, "-- Boot ", 8) == 0 || strncmp(line->raw, "-- Reboot --", 12) == 0;
}

/* The journal's ids leave no doubt; without them another pid or another word must do. */
static bool is_of_next_start(const struct log_line *line, const struct current *current)
{
	if (is_boot(line))
		return current->begun || current->announced || current->pid != 0;
	if (line->invocation && current->invocation)
		return line->invocation != current->invocation;
	if (current->begun && begins_start(line))
		return true;
	if (current->announced && announces(line))
		return true;
	return line->source == LOG_CONTAINERD && current->pid != 0 && line->pid != 0 &&
	       line->pid != current->pid && !line->child;
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
		if (line->source == LOG_CONTAINERD && line->pid != 0 && !line->child)
			current.pid = line->pid;
		current.announced |= announces(line);
		current.begun |= ends_start(line);
		line->start = start;
		line->after_boot = current.booted;
		current.booted |= strstr(line->text, "containerd successfully booted") != NULL;
	}
	log->starts = log->count > 0 ? start + 1 : 0;
}

void log_settle(struct log *log)
{
	log_order(log);
	settle_catalog(log);
	settle_status_blocks(log);
	settle_sections(log);
	settle_unit_words(log);
	settle_unnamed(log);
	settle_wrapped(log);
	settle_bare(log);
	settle_children(log);
	divide_into_starts(log);
}
