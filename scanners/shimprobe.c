#include "scanners/shimprobe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "scanners/cleanup.h"
#include "scanners/clock.h"
#include "scanners/progress.h"

#define SCHEME "unix://"
/*
 * Whatever version of the service a shim has: one that does not know this one
 * says so, and that is an answer.
 */
#define SERVICE "containerd.task.v2.Task"
#define METHOD "Connect"

enum {
	HEADER = 10, /* u32 length, u32 stream, u8 type, u8 flags; big-endian */
	TYPE_REQUEST = 1,
	FIRST_STREAM = 1,
	/* Length-delimited fields of ttrpc's Request and of ConnectRequest. */
	FIELD_SERVICE = 1 << 3 | 2,
	FIELD_METHOD = 2 << 3 | 2,
	FIELD_PAYLOAD = 3 << 3 | 2,
	FIELD_ID = 1 << 3 | 2,
	REQUEST_MAX = 256,
	ID_MAX = 76, /* containerd's own limit; with it every length takes one byte */
	ROUND_MSEC = 100,
	SLOW_SHARE = 2, /* of the wait, for those that are slow */
};

/* How long a shim has said nothing and got no further. */
struct silence {
	unsigned msec;
	uint64_t ran_nsec;
};

static unsigned char *put_field(unsigned char *to, int field, const void *data, size_t size)
{
	*to++ = (unsigned char)field;
	*to++ = (unsigned char)size;
	return (unsigned char *)memcpy(to, data, size) + size;
}

/* Returns the size of the request, or 0 for an id that no container has. */
static size_t make_request(const char *id, unsigned char request[REQUEST_MAX])
{
	unsigned char payload[ID_MAX + 2], *at = request + HEADER;
	const uint32_t stream = htonl(FIRST_STREAM);
	size_t size = strlen(id);
	uint32_t length;

	if (size > ID_MAX)
		return 0;
	size = (size_t)(put_field(payload, FIELD_ID, id, size) - payload);
	at = put_field(at, FIELD_SERVICE, SERVICE, strlen(SERVICE));
	at = put_field(at, FIELD_METHOD, METHOD, strlen(METHOD));
	at = put_field(at, FIELD_PAYLOAD, payload, size);
	length = htonl((uint32_t)(at - request - HEADER));
	memcpy(request, &length, sizeof(length));
	memcpy(request + 4, &stream, sizeof(stream));
	request[8] = TYPE_REQUEST;
	request[9] = 0;
	return (size_t)(at - request);
}

static bool has_address(const struct sandbox *sandbox)
{
	return sandbox->from_bundle && !sandbox->many_shims && sandbox->shim_address &&
	       strncmp(sandbox->shim_address, SCHEME "/", strlen(SCHEME "/")) == 0;
}

/* Returns a connected socket or a negative errno; -EAGAIN: too many wait to be accepted. */
static int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	cleanup_fd int fd = -EBADF;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	(void)memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return take_fd(&fd);
}

/* Nobody listens; and not because its socket was removed from under it. */
static bool is_gone(const struct sandbox *sandbox, int error)
{
	return (error == -ENOENT || error == -ECONNREFUSED) &&
	       (!sandbox->shim.start_ticks || process_is_running(&sandbox->shim) == 0);
}

/*
 * Ask one shim. SHIM_HUNG stands for "not answered yet", with @poll's fd what to
 * wait on, or negative: to be asked again.
 */
static enum shim_health ask(const struct sandbox *sandbox, struct pollfd *poll)
{
	unsigned char request[REQUEST_MAX];
	size_t size = make_request(sandbox->id, request);
	int fd = connect_to(sandbox->shim_address + strlen(SCHEME));

	if (fd == -EAGAIN)
		return SHIM_HUNG;
	if (fd < 0)
		return is_gone(sandbox, fd) ? SHIM_DEAD : SHIM_UNASKED;
	poll->fd = fd;
	if (sandbox->shim_grpc)
		return SHIM_ALIVE;
	if (size == 0 || send(fd, request, size, MSG_NOSIGNAL) != (ssize_t)size)
		return SHIM_UNASKED;
	return SHIM_HUNG;
}

static void end(struct pollfd *poll)
{
	cleanup_close(&poll->fd);
	poll->fd = -EBADF;
}

/*
 * Silent for another round. A shim that gets on is slow, not hung, and has all of
 * its time again; a round that took longer than it should (everything stood
 * still, this process as well) counts as one.
 */
static void note_silence(const struct sandbox *sandbox, struct silence *silence)
{
	if (sandbox->shim.start_ticks && progress_seen(sandbox->shim.pid, &silence->ran_nsec))
		silence->msec = 0;
	else
		silence->msec += ROUND_MSEC;
}

/* One round. Returns how many may still answer in @wait_msec of silence. */
static size_t wait_for(const struct inventory *inventory, unsigned wait_msec, struct pollfd *polls,
		       struct silence *silences, enum shim_health *health)
{
	const int64_t end_msec = clock_msec() + ROUND_MSEC;
	int64_t left_msec;
	size_t left;

	do {
		left = 0;
		left_msec = end_msec - clock_msec();
		if (poll(polls, inventory->sandbox_count, left_msec > 0 ? (int)left_msec : 0) < 0 &&
		    errno != EINTR)
			return 0;
		for (size_t i = 0; i < inventory->sandbox_count; i++) {
			if (health[i] != SHIM_HUNG)
				continue;
			/* Whoever hangs up has seen us: at work, if not with us. */
			if (polls[i].fd >= 0 && polls[i].revents)
				health[i] = SHIM_ALIVE;
			else if (polls[i].fd < 0)
				health[i] = ask(&inventory->sandboxes[i], &polls[i]);
			if (health[i] == SHIM_HUNG)
				left += silences[i].msec < wait_msec;
			else
				end(&polls[i]);
		}
	} while (left > 0 && left_msec > 0);
	for (size_t i = 0; i < inventory->sandbox_count; i++)
		if (health[i] == SHIM_HUNG && silences[i].msec < wait_msec)
			note_silence(&inventory->sandboxes[i], &silences[i]);
	return left;
}

int shim_probe(const struct inventory *inventory, unsigned wait_msec, enum shim_health *ret)
{
	cleanup_free struct pollfd *polls = calloc(inventory->sandbox_count + 1, sizeof(*polls));
	cleanup_free struct silence *silences = calloc(inventory->sandbox_count + 1, sizeof(*silences));
	unsigned rounds = SLOW_SHARE * wait_msec / ROUND_MSEC;
	size_t left = 0;

	if (!polls || !silences)
		return -ENOMEM;
	for (size_t i = 0; i < inventory->sandbox_count; i++) {
		polls[i] = (struct pollfd){ .fd = -EBADF, .events = POLLIN };
		ret[i] = has_address(&inventory->sandboxes[i]) ?
				 ask(&inventory->sandboxes[i], &polls[i]) : SHIM_UNASKED;
		if (ret[i] == SHIM_HUNG)
			left++;
		else
			end(&polls[i]);
	}
	for (; left > 0 && rounds > 0; rounds--)
		left = wait_for(inventory, wait_msec, polls, silences, ret);
	for (size_t i = 0; i < inventory->sandbox_count; i++) {
		if (ret[i] == SHIM_HUNG && silences[i].msec < wait_msec)
			ret[i] = SHIM_UNASKED; /* slow to the last: not proven */
		end(&polls[i]);
	}
	return 0;
}
