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

int main(void)
{
	tmp = tap_tmpdir(NULL);
	RUN(test_nothing_there);
	RUN(test_nobody_listens);
	RUN(test_silence_is_bounded);
	RUN(test_another_protocol);
	return tap_done();
}
