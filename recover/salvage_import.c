#include "recover/salvage_import.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/param.h>

#include "recover/log.h"
#include "scanners/cleanup.h"
#include "scanners/clock.h"
#include "scanners/text.h"

enum {
	PIPE_SIZE = 1 << 20,
	PACE_MSEC = 20, /* of waiting at once, when it goes too fast */
	PIN_MSEC = 5000,
};

static const char *const places[] = { "/usr/bin/ctr", "/usr/local/bin/ctr", "/bin/ctr" };

/* The one beside containerd's own binary, of the same version, before others. */
static char *find_ctr(const struct config *config)
{
	const char *slash = config->exec_path ? strrchr(config->exec_path, '/') : NULL;
	char *path;

	if (slash) {
		path = text_print("%.*sctr", (int)(slash + 1 - config->exec_path), config->exec_path);
		if (!path || access(path, X_OK) == 0)
			return path;
		free(path);
	}
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (access(places[i], X_OK) == 0)
			return strdup(places[i]);
	return NULL;
}

char *salvage_import_problem(const struct config *config, int error)
{
	if (error != -ENOENT)
		return text_print("ctr cannot be run: %s", strerror(-error));
	return text_print("there is no ctr: neither beside %s nor as %s, %s or %s",
			  config->exec_path ?: "containerd", places[0], places[1], places[2]);
}

/* @arguments, ended by NULL, follow "ctr --address A --namespace N". */
static int start_ctr(const struct config *config, const char *ns, const char *const *arguments,
		     unsigned msec, int input, struct child *ret)
{
	enum { ARGUMENTS_MAX = 16 };
	cleanup_free char *path = find_ctr(config);
	const char *argv[ARGUMENTS_MAX] = { path, "--address", config->address, "--namespace", ns };
	char *environment[] = { (char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", (char *)"HOME=/", NULL };
	size_t used = 5;

	if (!path)
		return -ENOENT;
	for (; *arguments; arguments++) {
		assert(used < ARGUMENTS_MAX - 1);
		argv[used++] = *arguments;
	}
	return child_start(&(struct child_options){ .path = path,
						    .argv = (char *const *)argv,
						    .envp = environment,
						    .input_fd = input,
						    .msec = msec },
			   ret);
}

int salvage_import_begin(const struct config *config, const struct salvage_import_options *options,
			 struct salvage_import *ret)
{
	const char *arguments[] = { "images", "import", "--snapshotter", config->snapshotter, "-",
				    NULL, NULL };
	struct salvage_import import = {
		.begun_msec = clock_msec(),
		.deadline_msec = clock_msec() + options->budget_msec,
		.max_rate = options->max_rate,
	};
	cleanup_fd int reader = -EBADF, writer = -EBADF;
	int ends[2], r;

	if (options->all_platforms) {
		arguments[4] = "--all-platforms";
		arguments[5] = "-";
	}
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	reader = ends[0];
	writer = ends[1];
	(void)fcntl(writer, F_SETPIPE_SZ, PIPE_SIZE); /* for speed alone */
	if (fcntl(writer, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	(void)signal(SIGPIPE, SIG_IGN); /* cannot fail; a reader that died is an error to us */
	r = start_ctr(config, options->ns, arguments, options->budget_msec, reader, &import.child);
	if (r < 0)
		return r;
	import.pipe = take_fd(&writer);
	*ret = import;
	return 0;
}

void salvage_import_pin(const struct config *config, const char *ns, char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *const arguments[] = { "images", "label", "--", names[i],
						  "io.cri-containerd.pinned=pinned", NULL };
		struct child child = { 0 };
		int r = start_ctr(config, ns, arguments, PIN_MSEC, -1, &child);

		if (r == 0)
			r = child_wait(&child, 1) < 0 ? -ECHILD : child.result;
		child_done(&child);
		if (r < 0)
			log_warning("image %s: cannot be pinned again: %s", log_name(names[i]), strerror(-r));
	}
}

/* How long until @import may write on, at its rate. */
static int64_t pace(const struct salvage_import *import, int64_t now)
{
	int64_t due;

	if (!import->max_rate)
		return 0;
	due = import->begun_msec + (int64_t)(import->written * 1000 / import->max_rate);
	return due > now ? due - now : 0;
}

int salvage_import_write(void *data, const void *bytes, size_t size)
{
	struct salvage_import *import = data;
	const char *at = bytes;

	while (size > 0) {
		struct pollfd wait = { .fd = import->pipe, .events = POLLOUT };
		int64_t now = clock_msec(), early = pace(import, now);
		ssize_t n;

		if (now >= import->deadline_msec)
			return -ETIMEDOUT;
		if (early > 0) {
			(void)poll(NULL, 0, (int)MIN(early, (int64_t)PACE_MSEC));
			continue;
		}
		if (poll(&wait, 1, (int)MIN(import->deadline_msec - now, (int64_t)INT_MAX)) < 0 &&
		    errno != EINTR)
			return -errno;
		n = write(import->pipe, at, size);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n > 0) {
			at += n;
			size -= (size_t)n;
			import->written += (uint64_t)n;
		}
	}
	return 0;
}

int salvage_import_end(struct salvage_import *import, char **ret_output)
{
	ssize_t index;
	int r;

	cleanup_close(&import->pipe); /* its end of the archive */
	index = child_wait(&import->child, 1);
	r = index < 0 ? (int)index : import->child.result;
	if (r == -EREMOTEIO && child_output(&import->child, ret_output) < 0)
		*ret_output = NULL;
	child_done(&import->child);
	return r;
}

void salvage_import_cancel(struct salvage_import *import)
{
	/* Killed first: an archive that just ends might be taken for a whole one. */
	child_done(&import->child);
	cleanup_close(&import->pipe);
}
