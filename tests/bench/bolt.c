/*
 * bolt make FILE MIB records|dense: a meta.db of that size, of containers with
 * their specifications or of small keys alone.
 * bolt check FILE: reads FILE and checks it by turns, and prints seconds of both
 * (the best of each), their ratio and by how many KiB memory grew.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "scanners/bolt.h"
#include "scanners/cleanup.h"
#include "tests/unit/bolt_build.h"

#define PAGE 4096
#define SPEC_SIZE 9000 /* of a pod with a dozen mounts */
#define EXTENSION_SIZE 2500
#define RECORD_PAGES 7
#define DENSE_ITEM 120
#define ROUNDS 9
#define READ_SIZE (1 << 20)

static uint64_t make_container(struct build *b, uint8_t *scratch)
{
	static char spec[SPEC_SIZE], extension[EXTENSION_SIZE];
	struct build_item inside = {"io.cri-containerd.sandbox.metadata", 34, extension,
				    sizeof(extension), false};
	struct build_item labels[] = {
		build_text("io.cri-containerd.kind", "sandbox"),
		build_text("io.kubernetes.pod.name", "some-deployment-5f6c8-x")};
	struct build_item members[] = {
		build_text("createdat", "123456789012345"),
		{0},
		build_text("image", "registry.example/pause:3.9"),
		{0},
		{"spec", 4, spec, sizeof(spec), false},
		build_text("updatedat", "123456789012345"),
	};

	memset(spec, 's', sizeof(spec));
	memset(extension, 'e', sizeof(extension));
	members[1] = build_bucket("extensions", build_tree(b, &inside, 1), scratch);
	members[3] = build_inline("labels", labels, 2, scratch + 16);
	return build_tree(b, members, ARRAY_SIZE(members));
}

/* An identifier as containerd's are: in no order with the time of its making. */
static void name_item(char *key, size_t size, size_t i)
{
	uint64_t hash = (i + 1) * 0x9e3779b97f4a7c15u;

	(void)snprintf(key, size, "%016llx%08zx", (unsigned long long)(hash ^ hash >> 29), i);
}

static int compare_items(const void *a, const void *b)
{
	const struct build_item *x = a, *y = b;

	return strcmp(x->key, y->key);
}

static uint64_t make_tree(struct build *b, uint64_t pages, bool records)
{
	size_t count = records ? pages / RECORD_PAGES : pages * (PAGE / (DENSE_ITEM + 16));
	struct build_item *items = calloc(count, sizeof(*items));
	char(*keys)[72] = calloc(count, sizeof(*keys));
	uint8_t(*headers)[16] = calloc(count, sizeof(*headers));
	static char value[DENSE_ITEM - 24];
	uint8_t scratch[512];
	uint64_t root;

	for (size_t i = 0; i < count; i++) {
		name_item(keys[i], sizeof(keys[i]), i);
		if (records)
			items[i] =
				build_bucket(keys[i], make_container(b, scratch), headers[i]);
		else
			items[i] = (struct build_item){keys[i], strlen(keys[i]), value,
						       sizeof(value), false};
	}
	qsort(items, count, sizeof(*items), compare_items);
	root = build_tree(b, items, count);
	free(items);
	free(keys);
	free(headers);
	return root;
}

static int make(const char *path, uint64_t mib, bool records)
{
	cleanup_fd int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct build b = {.fd = fd, .page_size = PAGE, .next_page = 2};

	if (fd < 0)
		return 1;
	build_finish(&b, make_tree(&b, mib * (1 << 20) / PAGE, records), UINT64_MAX);
	return 0;
}

static double now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double time_read(int fd)
{
	static char buffer[READ_SIZE];
	double start = now();

	for (off_t at = 0; pread(fd, buffer, sizeof(buffer), at) > 0; at += READ_SIZE)
		;
	return now() - start;
}

static double time_check(int fd)
{
	struct bolt_finding finding;
	double start = now();

	bolt_check(fd, &finding);
	if (finding.state != BOLT_SOUND) {
		fprintf(stderr, "bolt: the file is %s: %s\n", bolt_state_name(finding.state),
			bolt_damage_name(finding.damage));
		exit(1);
	}
	return now() - start;
}

static long peak_kib(void)
{
	struct rusage usage;

	(void)getrusage(RUSAGE_SELF, &usage);
	return usage.ru_maxrss;
}

static int check(const char *path)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	double read_sec = fd < 0 ? 0 : time_read(fd), check_sec = 1e9;
	long before = peak_kib();

	if (fd < 0)
		return 1;
	for (int i = 0; i < ROUNDS; i++) {
		double sec = time_read(fd);

		read_sec = sec < read_sec ? sec : read_sec;
		sec = time_check(fd);
		check_sec = sec < check_sec ? sec : check_sec;
	}
	printf("%.4f %.4f %.2f %ld\n", read_sec, check_sec, read_sec / check_sec,
	       peak_kib() - before);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "make") == 0)
		return make(argv[2], strtoull(argv[3], NULL, 10),
			    strcmp(argv[4], "records") == 0);
	if (argc == 3 && strcmp(argv[1], "check") == 0)
		return check(argv[2]);
	return 2;
}
