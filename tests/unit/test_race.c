/*
 * Releasing reservations against the real host-local plugin, which gives the
 * same addresses to new containers all the while. In a mount namespace of its
 * own; needs the plugin of Debian's containernetworking-plugins.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "recover/child.h"
#include "recover/log.h"
#include "recover/reservation.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/ipam.h"
#include "tests/unit/tap.h"

#define PLUGIN "/usr/lib/cni/host-local"
#define DATA_DIR "/var/lib/cni/networks"
#define CONFIG "{\"cniVersion\":\"0.4.0\",\"name\":\"net\",\"ipam\":{\"type\":\"host-local\"," \
	       "\"ranges\":[[{\"subnet\":\"10.1.0.0/28\"}]]}}"
enum { ADDRESSES = 13, FIRST = 2, LIVE = 4, LOST = 16, ADDS = 2000, TRIES = 200,
       ID_SIZE = 65 };

/* What both processes see. */
static struct shared {
	char lost[LOST][ID_SIZE]; /* ids whose reservations are to be released */
	volatile size_t released;
} *shared;

static int network = -EBADF;

static int add(const char *id, char *ret_address, size_t size)
{
	cleanup_free char *container = NULL, *output = NULL, *address = NULL;
	char *argv[] = { (char *)PLUGIN, NULL };
	json_auto_t *result = NULL;
	struct child child;
	int r;

	if (asprintf(&container, "CNI_CONTAINERID=%s", id) < 0)
		return -ENOMEM;
	char *envp[] = { (char *)"CNI_COMMAND=ADD", container, (char *)"CNI_NETNS=/dev/null",
			 (char *)"CNI_IFNAME=eth0", (char *)"CNI_PATH=/usr/lib/cni", NULL };

	r = child_start(&(struct child_options){ .path = PLUGIN, .argv = argv, .envp = envp,
						 .input = CONFIG, .input_size = strlen(CONFIG),
						 .msec = 10000 }, &child);
	if (r < 0)
		return r;
	(void)child_wait(&child, 1);
	r = child.result;
	(void)child_output(&child, &output);
	child_done(&child);
	if (r < 0)
		return r;
	result = json_loads(output, JSON_DISABLE_EOF_CHECK, NULL);
	snprintf(ret_address, size, "%s", json_string_value(json_object_get(
		json_array_get(json_object_get(result, "ips"), 0), "address")));
	ret_address[strcspn(ret_address, "/")] = '\0';
	return 0;
}

/* Claims for each lost id that every address is its, as an old inventory may. */
static void release_for_ever(void)
{
	struct reservation reservations[ADDRESSES];
	char addresses[ADDRESSES][32];

	for (int i = 0; i < ADDRESSES; i++) {
		snprintf(addresses[i], sizeof(addresses[i]), "10.1.0.%d", FIRST + i);
		reservations[i] = (struct reservation){ (char *)DATA_DIR, (char *)"net", addresses[i] };
	}
	for (;;) {
		struct sandbox sandboxes[LOST] = { 0 };
		char ids[LOST][ID_SIZE];
		const struct inventory lost = { .sandboxes = sandboxes, .sandbox_count = LOST };
		struct reservation_result result = { 0 };

		memcpy(ids, shared->lost, sizeof(ids));
		for (size_t i = 0; i < LOST; i++) {
			sandboxes[i].id = ids[i];
			sandboxes[i].reservations = reservations;
			sandboxes[i].reservation_count = ADDRESSES;
		}
		(void)reservations_release(&lost, 1000, &result);
		shared->released += result.released;
	}
}

static bool is_held_by(const char *address, const char *id)
{
	cleanup_free char *owner = NULL;

	return ipam_read_lease(network, address, &owner, NULL) == 0 && strcmp(owner, id) == 0;
}

static void test_no_address_of_a_living_pod_is_released(void)
{
	char ids[LIVE][ID_SIZE] = { 0 }, addresses[LIVE][16] = { 0 };
	unsigned failed = 0, stolen = 0;
	pid_t releaser = fork();

	if (releaser == 0)
		release_for_ever();
	for (unsigned n = 0; n < ADDS; n++) {
		unsigned slot = n % LIVE;

		for (unsigned i = 0; i < LIVE; i++)
			stolen += ids[i][0] && !is_held_by(addresses[i], ids[i]);
		/* The oldest pod is lost, a new one comes. */
		memcpy(shared->lost[n % LOST], ids[slot], ID_SIZE);
		snprintf(ids[slot], ID_SIZE, "%064x", n + 1);
		/* The range may be full until the releaser has its turn. */
		for (int i = 0; add(ids[slot], addresses[slot], sizeof(addresses[slot])) < 0; i++)
			if (i == TRIES || usleep(1000) < 0) {
				failed++;
				ids[slot][0] = '\0';
				break;
			}
	}
	kill(releaser, SIGKILL);
	waitpid(releaser, NULL, 0);
	CHECK_EQ(stolen, 0);
	/* The range holds the living and some lost: what was lost was released. */
	CHECK_EQ(failed, 0);
	CHECK(shared->released > ADDS / 2);
	printf("# %d ADDs, %zu released, %u stolen, %u without an address\n", ADDS, shared->released,
	       stolen, failed);
}

int main(void)
{
	if (geteuid() != 0 || access(PLUGIN, X_OK) < 0 || unshare(CLONE_NEWNS | CLONE_NEWNET) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", "/var/lib", "tmpfs", 0, NULL) < 0 ||
	    system("mkdir -p " DATA_DIR "/net") != 0) {
		printf("1..0 # SKIP needs root, namespaces and " PLUGIN "\n");
		return 0;
	}
	network = dir_open_path(DATA_DIR "/net");
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (network < 0 || shared == MAP_FAILED)
		return 1;
	RUN(test_no_address_of_a_living_pod_is_released);
	return tap_done();
}
