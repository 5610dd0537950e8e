/* What may stand at the address instead of a containerd; tests/node/cri.t has
 * the real one. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <pthread.h>
#include <time.h>

#include "scanners/cleanup.h"
#include "scanners/cri.h"
#include "tests/unit/tap.h"

static const char *tmp;

static int make_socket(const char *name, struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	CHECK(snprintf(address->sun_path, sizeof(address->sun_path), "%s/%s", tmp, name) <
	      (int)sizeof(address->sun_path));
	CHECK_EQ(bind(fd, (struct sockaddr *)address, sizeof(*address)), 0);
	return fd;
}

static uint64_t now_msec(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void test_nothing_there(void)
{
	struct cri_status status = { .runtime_name = (char *)"untouched" };
	char address[200];

	(void)snprintf(address, sizeof(address), "%s/none.sock", tmp);
	CHECK_EQ(cri_status(address, 1000, &status), -ENOENT);
	CHECK_STR(status.runtime_name, "untouched");
	CHECK_EQ(cri_has_image(address, 1000, "x"), -ENOENT);
}

static void test_nobody_listens(void)
{
	struct sockaddr_un address;
	cleanup_fd int fd = make_socket("refused", &address);
	struct cri_sandboxes sandboxes;

	CHECK_EQ(cri_list_sandboxes(address.sun_path, 1000, &sandboxes), -ECONNREFUSED);
}

static void test_silence_is_bounded(void)
{
	struct sockaddr_un address;
	cleanup_fd int fd = make_socket("silent", &address);
	uint64_t start = now_msec();
	struct cri_images images;

	CHECK_EQ(listen(fd, 4), 0);
	CHECK_EQ(cri_list_images(address.sun_path, 100, &images), -ETIMEDOUT);
	CHECK(now_msec() - start < 1000);
}

static void *talk_nonsense(void *data)
{
	int fd = accept(*(int *)data, NULL, NULL);
	static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
	char request[256];

	if (fd >= 0) {
		(void)!write(fd, text, strlen(text));
		/* Closed at once, the request might find nobody. */
		while (read(fd, request, sizeof(request)) > 0)
			;
		(void)close(fd);
	}
	return NULL;
}

static void test_another_protocol(void)
{
	struct sockaddr_un address;
	cleanup_fd int fd = make_socket("nonsense", &address);
	struct cri_containers containers;
	pthread_t thread;

	CHECK_EQ(listen(fd, 4), 0);
	CHECK_EQ(pthread_create(&thread, NULL, talk_nonsense, &fd), 0);
	CHECK_EQ(cri_list_containers(address.sun_path, 2000, &containers), -EPROTO);
	CHECK_EQ(pthread_join(thread, NULL), 0);
}

enum {
	PREFACE = 24, /* of HTTP/2 */
	FRAME_HEADER = 9,
	FRAME_MAX = 4096,
	TYPE_HEADERS = 1,
	FLAG_END_STREAM = 1,
};

/* The flags of the first HEADERS frame that comes, or -1. */
static int hear_headers(int fd)
{
	uint8_t header[FRAME_HEADER], rest[FRAME_MAX];
	size_t size = PREFACE;

	while (size == 0 || recv(fd, rest, size, MSG_WAITALL) == (ssize_t)size) {
		if (recv(fd, header, sizeof(header), MSG_WAITALL) != sizeof(header))
			return -1;
		if (header[3] == TYPE_HEADERS)
			return header[4];
		size = (size_t)header[1] << 8 | header[2];
		if (size > sizeof(rest))
			return -1;
	}
	return -1;
}

struct refuser {
	int fd, resets, refusals;
};

/* As libcurl sees grpc-go refuse a method: of the status and the reset behind it,
 * the reset; where the headers are the end of the request, the status. */
static void *refuse(void *data)
{
	static const uint8_t settings[] = { 0, 0, 0, 4, 0, 0, 0, 0, 0 };
	static const uint8_t reset[] = { 0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 0 };
	static const uint8_t status[] = { 0,   0,   17,	 TYPE_HEADERS, 5,   0,	 0,   0,   1,
					  0x88, /* :status 200 */
					  0,   11,  'g', 'r', 'p', 'c', '-', 's', 't',
					  'a', 't', 'u', 's', 2,   '1', '2' };
	struct refuser *refuser = data;

	while (refuser->refusals < 1) {
		int fd = accept(refuser->fd, NULL, NULL), flags = fd < 0 ? -1 : hear_headers(fd);

		if (flags < 0)
			return NULL;
		(void)!write(fd, settings, sizeof(settings));
		if (flags & FLAG_END_STREAM) {
			refuser->refusals++;
			(void)!write(fd, status, sizeof(status));
		} else {
			refuser->resets++;
			(void)!write(fd, reset, sizeof(reset));
		}
		/* Left open: closed at once, what was written might be lost. */
	}
	return NULL;
}

static void test_refusal_behind_a_reset(void)
{
	struct sockaddr_un address;
	cleanup_fd int fd = make_socket("refuser", &address);
	struct refuser refuser = { .fd = fd };
	struct cri_status status;
	pthread_t thread;

	CHECK_EQ(listen(fd, 4), 0);
	CHECK_EQ(pthread_create(&thread, NULL, refuse, &refuser), 0);
	CHECK_EQ(cri_status(address.sun_path, 5000, &status), -EOPNOTSUPP);
	(void)shutdown(fd, SHUT_RDWR); /* the thread's accept() ends, whatever came */
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_EQ(refuser.resets, 1);
	CHECK_EQ(refuser.refusals, 1);
}

int main(void)
{
	tmp = tap_tmpdir(NULL);
	RUN(test_nothing_there);
	RUN(test_nobody_listens);
	RUN(test_silence_is_bounded);
	RUN(test_another_protocol);
	RUN(test_refusal_behind_a_reset);
	return tap_done();
}
