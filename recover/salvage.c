#include "recover/salvage.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/param.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <time.h>

#include "recover/log.h"
#include "recover/salvage_export.h"
#include "recover/salvage_import.h"
#include "scanners/cleanup.h"
#include "scanners/cri.h"
#include "scanners/digest.h"
#include "scanners/dir.h"
#include "scanners/metadata.h"
#include "scanners/oci.h"
#include "scanners/text.h"

#define KUBERNETES "k8s.io"

enum {
	ANSWER_MSEC = 1000, /* of one question whether containerd is there */
	PAUSE_MSEC = 50,
	BLOCK = 1 << 20,
	UNPACKED = 4, /* times a compressed layer, as a rule of thumb */
};

struct run {
	const struct config *config;
	const struct salvage_options *options;
	int store_fd;	  /* the quarantined blobs */
	int new_root_fd;
	int new_store_fd; /* the new ones, negative if they cannot be linked to */
	uint64_t deadline_msec;
};

static uint64_t now_msec(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t); /* always exists */
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static unsigned time_left(const struct run *run)
{
	uint64_t now = now_msec();

	return now < run->deadline_msec ? (unsigned)(run->deadline_msec - now) : 0;
}

static bool is_out_of_time(void *data)
{
	return time_left(data) == 0;
}

/* Anything that it says, "still recovering" included, means that it takes images. */
static int wait_for_containerd(const struct run *run)
{
	const struct timespec pause = { .tv_nsec = PAUSE_MSEC * 1000000L };
	int r = -ETIMEDOUT;

	while (time_left(run) > 0) {
		cleanup_cri_status struct cri_status status = { 0 };

		r = cri_status(run->config->address, MIN(time_left(run), (unsigned)ANSWER_MSEC), &status);
		if (r != -ENOENT && r != -ECONNREFUSED && r != -ETIMEDOUT)
			return r == -ENOMEM ? r : 0;
		(void)nanosleep(&pause, NULL); /* shorter by a signal does no harm */
	}
	return -ENOTCONN;
}

static int set_outcome(struct salvage_image *image, enum salvage_outcome outcome, char *why)
{
	image->outcome = outcome;
	free(image->why);
	image->why = why;
	return 0;
}

/*
 * What the kubelet has pulled meanwhile stands, also if it is another version.
 * The names that are not there come first then, and their number is returned.
 */
static ssize_t absent_names(const struct run *run, struct salvage_image *image)
{
	cleanup_metadata struct metadata live = { 0 };
	size_t absent = 0;
	int r = metadata_read_root(run->new_root_fd, &live);

	if (r < 0)
		return r;
	for (size_t i = 0; i < image->name_count; i++) {
		char *name = image->names[i];

		if (metadata_find_image(&live, image->ns, name))
			continue;
		image->names[i] = image->names[absent];
		image->names[absent++] = name;
	}
	return (ssize_t)absent;
}

static int verify(struct run *run, const struct oci_image *oci, struct salvage_image *image)
{
	for (size_t i = 0; i < oci->blob_count; i++) {
		const struct oci_blob *blob = &oci->blobs[i];
		int r = oci_verify_blob(run->store_fd, blob, is_out_of_time, run);

		if (r == -ECANCELED)
			return set_outcome(image, SALVAGE_NO_TIME, NULL);
		if (r == -ENOMEM)
			return r;
		if (r < 0)
			return set_outcome(image, SALVAGE_MISSING,
					   text_print("%s %s: %s", blob->is_layer ? "layer" : "blob",
						      blob->digest,
						      r == -EBADMSG ? "not what its name says"
								    : strerror(-r)));
	}
	return 0;
}

/* Is there room for the biggest blob in transit, and all layers unpacked? */
static bool has_room(const struct run *run, const struct oci_image *oci)
{
	uint64_t biggest = 0, unpacked = 0, available;
	struct statvfs fs;

	if (fstatvfs(run->new_root_fd, &fs) < 0)
		return true; /* not known to be short */
	for (size_t i = 0; i < oci->blob_count; i++) {
		const struct oci_blob *blob = &oci->blobs[i];

		biggest = MAX(biggest, blob->size);
		if (blob->is_layer)
			unpacked += blob->size * (blob->is_compressed ? UNPACKED : 1);
	}
	available = (uint64_t)fs.f_bavail * fs.f_frsize;
	return available >= biggest + unpacked + run->options->min_free_bytes;
}

/*
 * The content is then on the disk once. Only verified blobs get here: whoever
 * pulls the same one finds it in the store, and takes it for good.
 */
static void link_blobs(const struct run *run, const struct oci_image *oci)
{
	for (size_t i = 0; i < oci->blob_count && run->new_store_fd >= 0; i++) {
		const char *hex = digest_hex(oci->blobs[i].digest);

		/* There already, or on a file system without links: it is copied, then. */
		(void)!linkat(run->store_fd, hex, run->new_store_fd, hex, 0);
	}
}

/* Who listens there: 0 if nobody does. */
static pid_t server_pid(const char *address)
{
	static const char scheme[] = "unix://";
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct ucred peer = { 0 };
	socklen_t size = sizeof(peer);

	if (strncmp(address, scheme, strlen(scheme)) == 0)
		address += strlen(scheme);
	if (fd < 0 || strlen(address) >= sizeof(name.sun_path))
		return 0;
	memcpy(name.sun_path, address, strlen(address) + 1);
	if (connect(fd, (const struct sockaddr *)&name, sizeof(name)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return 0;
	return peer.pid;
}

static int import(const struct run *run, const struct oci_image *oci, size_t names,
		  struct salvage_image *image)
{
	cleanup_free char *output = NULL;
	pid_t server = server_pid(run->config->address);
	struct salvage_import importing;
	int r, ended;

	r = salvage_import_begin(run->config, image->ns, time_left(run),
				 image->pause ? 0 : run->options->max_rate, &importing);
	if (r < 0)
		return set_outcome(image, SALVAGE_FAILED,
				   text_print("ctr cannot be run: %s", strerror(-r)));
	r = salvage_export(run->store_fd, image->digest, oci, image->names, names,
			   salvage_import_write, &importing);
	if (r < 0 && r != -EPIPE) {
		salvage_import_cancel(&importing);
	} else {
		ended = salvage_import_end(&importing, &output);
		r = ended ?: r;
	}
	if (r == -ENOMEM)
		return r;
	if (r == -ETIMEDOUT)
		return set_outcome(image, SALVAGE_NO_TIME, NULL);
	/* It was stopped or it crashed: the next start's run goes on. */
	if (r < 0 && server_pid(run->config->address) != server)
		return -ENOTCONN;
	if (r < 0)
		return set_outcome(image, SALVAGE_FAILED,
				   text_print("%s", output && *output ? output : strerror(-r)));
	return set_outcome(image, SALVAGE_DONE, NULL);
}

static int bring_over(struct run *run, struct salvage_image *image)
{
	cleanup_oci_image struct oci_image oci = { 0 };
	char *problem = NULL;
	ssize_t absent;
	int r;

	if (!image->ns)
		return set_outcome(image, SALVAGE_MISSING, strdup("its namespace is not known"));
	absent = absent_names(run, image);
	if (absent < 0)
		return (int)absent;
	if (absent == 0)
		return set_outcome(image, SALVAGE_PRESENT, NULL);
	r = run->store_fd < 0 ? run->store_fd
			      : oci_image_read(run->store_fd, image->digest, &oci, &problem);
	if (r == -ENOMEM)
		return r;
	if (r == -ENODATA)
		return set_outcome(image, SALVAGE_MISSING,
				   text_print("%s, discarded after it was unpacked, or lost",
					      problem ?: "a layer"));
	if (r < 0)
		return set_outcome(image, SALVAGE_MISSING, problem);
	image->bytes = oci.bytes;
	r = verify(run, &oci, image);
	if (r < 0 || image->outcome != SALVAGE_PENDING)
		return r;
	if (!has_room(run, &oci))
		return set_outcome(image, SALVAGE_NO_ROOM, NULL);
	link_blobs(run, &oci);
	return import(run, &oci, (size_t)absent, image);
}

static void report(const struct salvage_image *image)
{
	const char *name = log_name(image->name_count > 0 ? image->names[0] : image->digest);

	switch (image->outcome) {
	case SALVAGE_DONE:
		log_info("image %s: brought over, %u ms", name, image->msec);
		break;
	case SALVAGE_PRESENT:
	case SALVAGE_PENDING:
		break;
	default:
		log_warning("image %s: not brought over: %s%s%s", name,
			    salvage_outcome_name(image->outcome), image->why ? ": " : "",
			    image->why ? log_name(image->why) : "");
	}
}

/* Made by containerd when it needs it; then so, too. */
static int open_new_store(int new_root_fd)
{
	cleanup_fd int content = dir_open_beneath(new_root_fd, "io.containerd.content.v1.content");
	cleanup_fd int blobs = -EBADF;

	if (content < 0)
		return content;
	if (mkdirat(content, "blobs", 0755) < 0 && errno != EEXIST)
		return -errno;
	blobs = dir_open_beneath(content, "blobs");
	if (blobs < 0)
		return blobs;
	if (mkdirat(blobs, "sha256", 0755) < 0 && errno != EEXIST)
		return -errno;
	return dir_open_beneath(blobs, "sha256");
}

static struct salvage_image *find_pause(const struct salvage *salvage)
{
	/* It comes first. */
	return salvage->count > 0 && salvage->images[0].pause ? &salvage->images[0] : NULL;
}

static bool pause_is_there(const struct run *run, const struct salvage *salvage)
{
	const struct salvage_image *image = find_pause(salvage);
	cleanup_metadata struct metadata live = { 0 };

	if (image)
		return image->outcome == SALVAGE_DONE || image->outcome == SALVAGE_PRESENT;
	return run->config->sandbox_image && metadata_read_root(run->new_root_fd, &live) == 0 &&
	       metadata_find_image(&live, KUBERNETES, run->config->sandbox_image);
}

/* There is one: salvage_keep_archive() removes the others. */
static int open_archive(const char *directory)
{
	cleanup_fd int dirfd = dir_open_path(directory);
	cleanup_dir DIR *stream = NULL;
	const char *name;
	int fd, r;

	if (dirfd < 0)
		return dirfd;
	r = dir_stream(dirfd, &stream);
	while (r >= 0 && (r = dir_next(stream, &name, NULL)) > 0) {
		if (strncmp(name, SALVAGE_ARCHIVE_PREFIX, strlen(SALVAGE_ARCHIVE_PREFIX)) != 0)
			continue;
		fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	return r < 0 ? r : -ENOENT;
}

/* The last resort for the pause image: what was kept in better days. */
static int import_archive(const struct run *run, struct salvage *salvage)
{
	cleanup_fd int fd = open_archive(run->options->archives);
	cleanup_free char *output = NULL, *block = malloc(BLOCK);
	struct salvage_image *image = find_pause(salvage);
	struct salvage_import importing;
	ssize_t n = 0;
	int r;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	if (!block)
		return -ENOMEM;
	r = salvage_import_begin(run->config, KUBERNETES, time_left(run), 0, &importing);
	if (r < 0)
		return r;
	while (r == 0 && (n = read(fd, block, BLOCK)) > 0)
		r = salvage_import_write(&importing, block, (size_t)n);
	if (n < 0 || (r < 0 && r != -EPIPE)) {
		salvage_import_cancel(&importing);
		return r ?: -EIO;
	}
	r = salvage_import_end(&importing, &output);
	if (r < 0)
		return r;
	log_info("the pause image was brought over from the archive that was kept");
	return image ? set_outcome(image, SALVAGE_DONE, strdup("from the archive that was kept")) : 0;
}

static int run_all(struct run *run, struct salvage *salvage)
{
	int r = 0;

	for (size_t i = 0; i < salvage->count && r == 0; i++) {
		struct salvage_image *image = &salvage->images[i];
		uint64_t begun = now_msec();

		if (image->outcome != SALVAGE_PENDING || (run->options->pause_only && !image->pause))
			continue;
		if (time_left(run) == 0)
			(void)set_outcome(image, SALVAGE_NO_TIME, NULL);
		else
			r = bring_over(run, image);
		image->msec = (unsigned)(now_msec() - begun);
		report(image);
	}
	return r;
}

int salvage_run(const struct config *config, int old_root_fd, int new_root_fd,
		const struct salvage_options *options, struct salvage *salvage)
{
	cleanup_fd int store_fd = oci_open_store(old_root_fd), new_store_fd = -EBADF;
	struct run run = {
		.config = config,
		.options = options,
		.store_fd = store_fd,
		.new_root_fd = new_root_fd,
		.deadline_msec = now_msec() + options->budget_msec,
	};
	int r;

	r = wait_for_containerd(&run);
	if (r < 0)
		return r;
	run.new_store_fd = new_store_fd = open_new_store(new_root_fd);
	r = run_all(&run, salvage);
	if (r == 0 && options->pause_only && options->archives && !pause_is_there(&run, salvage)) {
		r = import_archive(&run, salvage);
		if (r < 0 && r != -ENOMEM) {
			log_warning("the archive of the pause image cannot be used: %s", strerror(-r));
			r = 0;
		}
	}
	return r;
}
