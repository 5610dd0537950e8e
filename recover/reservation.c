#include "recover/reservation.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "recover/file.h"
#include "recover/lock.h"
#include "recover/log.h"
#include "scanners/array.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/ipam.h"
#include "scanners/links.h"
#include "scanners/netns.h"
#include "scanners/text.h"

enum {
	LOCK_MODE = 0750, /* both modes as host-local has them */
	LEASE_MODE = 0600,
};
#define LOCK_NAME "lock"

struct item {
	const struct sandbox *sandbox; /* NULL: nobody's, an empty file */
	const struct reservation *reservation;
};

struct items {
	struct item *items;
	size_t count;
};

static void items_done(struct items *items)
{
	free(items->items);
}
#define cleanup_items __attribute__((cleanup(items_done)))

static int open_network(const struct reservation *reservation)
{
	cleanup_fd int fd = dir_open_path(reservation->data_dir);

	if (fd < 0)
		return fd;
	return dir_open_beneath(fd, reservation->network);
}

static int open_lock(int network_fd, unsigned lock_msec)
{
	cleanup_fd int fd = openat(network_fd, LOCK_NAME,
				   O_RDONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, LOCK_MODE);
	int r;

	if (fd < 0)
		return -errno;
	r = lock_within(fd, lock_msec);
	return r < 0 ? r : take_fd(&fd);
}

/* Returns 1 if released, 0 if it was gone, -ESTALE if it is another's by now. */
static int release_one(int network_fd, const struct item *item)
{
	cleanup_free char *id = NULL;
	int r = ipam_read_lease(network_fd, item->reservation->address, &id, NULL);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (strcmp(id, item->sandbox ? item->sandbox->id : "") != 0)
		return -ESTALE;
	if (unlinkat(network_fd, item->reservation->address, 0) < 0)
		return errno == ENOENT ? 0 : -errno;
	return 1;
}

static int note(const struct item *item, int r, struct reservation_result *ret)
{
	const struct reservation *reservation = item->reservation;

	if (r >= 0) {
		ret->released += (size_t)r;
		log_debug("%s of network %s %s", log_name(reservation->address),
			  log_name(reservation->network), r > 0 ? "released" : "was released already");
		return 0;
	}
	if (r == -ESTALE) {
		ret->kept++;
		log_debug("%s of network %s is another one's by now", log_name(reservation->address),
			  log_name(reservation->network));
		return 0;
	}
	log_error("cannot release %s of network %s: %s", log_name(reservation->address),
		  log_name(reservation->network), strerror(-r));
	ret->failed++;
	return r;
}

/* All of one network under one lock. */
static int release_network(const struct item *items, size_t count, unsigned lock_msec,
			   struct reservation_result *ret)
{
	cleanup_fd int fd = open_network(items[0].reservation), lock = -EBADF;
	int first = 0;

	if (fd == -ENOENT)
		return 0;
	lock = fd < 0 ? fd : open_lock(fd, lock_msec);
	for (size_t i = 0; i < count; i++) {
		int r = note(&items[i], lock < 0 ? lock : release_one(fd, &items[i]), ret);

		if (r < 0 && first == 0)
			first = r;
	}
	return first;
}

/*
 * Asked by ioctl, which does not wait for RTNL: the kernel is busy with the
 * links that went down a moment ago. One of the same name and another index is
 * somebody else's.
 */
static bool has_link_up(const struct sandbox *sandbox, int socket_fd)
{
	for (size_t i = 0; i < sandbox->link_count; i++) {
		struct ifreq request = { 0 };

		(void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s",
			       sandbox->links[i].name);
		if (ioctl(socket_fd, SIOCGIFINDEX, &request) < 0 ||
		    request.ifr_ifindex != sandbox->links[i].index)
			continue;
		if (ioctl(socket_fd, SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_UP))
			return true;
	}
	return false;
}

/* A link of calico's or the like, which only the kernel's list has. Returns 1, 0, or an error. */
static int has_other_link_up(const struct sandbox *sandbox)
{
	cleanup_links_netns struct mnl_socket *socket = NULL;
	cleanup_links struct links links = { 0 };
	int id = -1, r = links_netns_open(&socket);

	if (r == 0)
		r = links_netns_id(socket, sandbox->netns, &id);
	if (r <= 0)
		return r == -ENOENT || r == -EINVAL ? 0 : r;
	r = links_scan(&links);
	for (size_t i = 0; r == 0 && i < links.count; i++)
		if (links.items[i].peer_netns == id && links.items[i].up)
			return 1;
	return r;
}

/*
 * May the addresses of @sandbox be given to others? Not while a link into its
 * namespace is up, nor if the namespace has none that we see: its interface may
 * be a macvlan, which answers without a host's end.
 */
static int is_isolated(const struct sandbox *sandbox, int socket_fd)
{
	int r;

	if (has_link_up(sandbox, socket_fd))
		return 0;
	if (!netns_is_there(sandbox))
		return 1;
	if (!sandbox->other_links)
		return sandbox->link_count > 0;
	r = has_other_link_up(sandbox);
	return r < 0 ? r : !r;
}

static int select_items(const struct inventory *lost, struct items *items,
			struct reservation_result *ret)
{
	cleanup_fd int socket_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (socket_fd < 0)
		return -errno;
	for (size_t i = 0; i < lost->sandbox_count; i++) {
		const struct sandbox *sandbox = &lost->sandboxes[i];
		int r;

		if (sandbox->reservation_count == 0)
			continue;
		r = is_isolated(sandbox, socket_fd);
		if (r < 0)
			return r;
		if (r == 0) {
			log_warning("keeping the addresses of sandbox %s: its network still stands",
				    log_name(sandbox->id));
			ret->kept += sandbox->reservation_count;
			continue;
		}
		for (size_t j = 0; j < sandbox->reservation_count; j++) {
			struct item *item = ARRAY_ADD(items->items, items->count);

			if (!item)
				return -ENOMEM;
			*item = (struct item){ sandbox, &sandbox->reservations[j] };
		}
	}
	return 0;
}

static int by_network(const void *a, const void *b)
{
	const struct reservation *x = ((const struct item *)a)->reservation;
	const struct reservation *y = ((const struct item *)b)->reservation;
	int order = strcmp(x->data_dir, y->data_dir);

	return order ? order : strcmp(x->network, y->network);
}

static int release_items(struct items *items, unsigned lock_msec, struct reservation_result *ret)
{
	int first = 0;

	if (items->count)
		qsort(items->items, items->count, sizeof(*items->items), by_network);
	for (size_t i = 0, end; i < items->count; i = end) {
		int r;

		for (end = i + 1; end < items->count; end++)
			if (by_network(&items->items[i], &items->items[end]) != 0)
				break;
		r = release_network(&items->items[i], end - i, lock_msec, ret);
		if (r < 0 && first == 0)
			first = r;
	}
	return first;
}

int reservations_release(const struct inventory *lost, unsigned lock_msec,
			 struct reservation_result *ret)
{
	cleanup_items struct items items = { 0 };
	int r = select_items(lost, &items, ret);

	return r < 0 ? r : release_items(&items, lock_msec, ret);
}

int reservations_release_empty(const struct inventory *inventory, unsigned lock_msec,
			       struct reservation_result *ret)
{
	cleanup_items struct items items = { 0 };

	for (size_t i = 0; i < inventory->empty_reservation_count; i++) {
		struct item *item = ARRAY_ADD(items.items, items.count);

		if (!item)
			return -ENOMEM;
		item->reservation = &inventory->empty_reservations[i];
	}
	return release_items(&items, lock_msec, ret);
}

/* In host-local's own form: the id, CR LF, the interface, and no end of line. */
static int write_lease(int network_fd, const char *address, const char *id, const char *ifname)
{
	cleanup_free char *text = text_print("%s\r\n%s", id, ifname);
	cleanup_fd int fd = -EBADF;
	int r;

	if (!text)
		return -ENOMEM;
	fd = openat(network_fd, address, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		    LEASE_MODE);
	if (fd < 0)
		return -errno;
	r = file_write_all(fd, text, strlen(text));
	if (r < 0)
		(void)unlinkat(network_fd, address, 0); /* ours, and half of it */
	return r;
}

int reservation_hold(const struct reservation *reservation, const char *id, const char *ifname,
		     unsigned lock_msec)
{
	cleanup_fd int fd = open_network(reservation), lock = -EBADF;
	cleanup_free char *owner = NULL;
	int r;

	if (fd < 0)
		return fd;
	lock = open_lock(fd, lock_msec);
	if (lock < 0)
		return lock;
	r = ipam_read_lease(fd, reservation->address, &owner, NULL);
	if (r == 0)
		return strcmp(owner, id) == 0;
	if (r != -ENOENT)
		return r;
	r = write_lease(fd, reservation->address, id, ifname);
	return r < 0 ? r : 1;
}
