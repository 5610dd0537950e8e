#include "recover/salvage.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "recover/log.h"
#include "recover/salvage_blobs.h"
#include "recover/salvage_export.h"
#include "recover/salvage_import.h"
#include "recover/stages.h"
#include "scanners/cleanup.h"
#include "scanners/clock.h"
#include "scanners/cri.h"
#include "scanners/dir.h"
#include "scanners/lock_holder.h"
#include "scanners/metadata.h"
#include "scanners/oci.h"
#include "scanners/process.h"
#include "scanners/text.h"

#define KUBERNETES "k8s.io"
#define CTR_ERROR "ctr: " /* before what made it fail */

enum {
	ANSWER_MSEC = 1000, /* of one question whether containerd is there */
	PAUSE_MSEC = 50,
	LIVE_TRIES = 100,
	BLOCK = 1 << 20,
};

struct run {
	const struct config *config;
	const struct salvage_options *options;
	int store_fd;	  /* the quarantined blobs */
	int new_root_fd;
	int new_store_fd; /* the new ones, negative if they cannot be linked to */
	int64_t deadline_msec;
};

/* An image on its way. */
struct pending {
	const struct run *run;
	struct salvage_image *image;
};

static unsigned time_left(const struct run *run)
{
	int64_t now = clock_msec();

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

/*
 * Has the containerd that answers this root? Else the blobs would be linked into one store
 * and named in another. It holds meta.db for as long as it runs; who cannot be told is believed.
 */
static int check_root(const struct run *run)
{
	cleanup_fd int dir = dir_open_beneath(run->new_root_fd, METADATA_DIR), fd = -EBADF;
	pid_t server = process_listening(run->config->address), holder = 0;

	if (dir >= 0)
		fd = openat(dir, METADATA_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (server <= 0 || (dir >= 0 && fd < 0 && errno != ENOENT) || (fd >= 0 && lock_holder(fd, &holder) < 0))
		return 0;
	return holder == server ? 0 : -EXDEV;
}

static int set_outcome(struct salvage_image *image, enum salvage_outcome outcome, char *why)
{
	image->outcome = outcome;
	free(image->why);
	image->why = why;
	return 0;
}

static bool is_being_written(const struct metadata *live)
{
	return live->finding.state == BOLT_UNREAD && live->finding.error == -EAGAIN;
}

/* A running containerd may write all the while. */
static int read_live(const struct run *run, struct metadata *ret)
{
	const struct timespec pause = { .tv_nsec = PAUSE_MSEC * 1000000L };
	struct metadata live = { 0 };
	int r = metadata_read_root(run->new_root_fd, &live);

	for (int i = 0; r == 0 && is_being_written(&live) && i < LIVE_TRIES; i++) {
		metadata_done(&live);
		(void)nanosleep(&pause, NULL); /* shorter by a signal does no harm */
		r = metadata_read_root(run->new_root_fd, &live);
	}
	if (r == 0 && live.finding.state == BOLT_UNREAD)
		r = live.finding.error ?: -EAGAIN;
	if (r < 0) {
		metadata_done(&live);
		return r;
	}
	*ret = live;
	return 0;
}

/* What the kubelet has pulled meanwhile stands, also if it is another version. */
static bool is_absent(const struct metadata *live, const struct salvage_image *image, const char *name)
{
	return !metadata_find_image(live, image->ns, name);
}

/* Returns 1 if there is a name that containerd does not have, 0 if not, or a negative errno. */
static int has_absent_names(const struct run *run, const struct salvage_image *image)
{
	cleanup_metadata struct metadata live = { 0 };
	bool absent = false;
	int r = read_live(run, &live);

	for (size_t i = 0; r == 0 && i < image->name_count; i++)
		absent |= is_absent(&live, image, image->names[i]);
	return r < 0 ? r : absent;
}

/* For salvage_export(): all blobs may have taken minutes, the names follow in an instant. */
static int choose_names(void *data, char *const *names, size_t count, bool *ret_wanted)
{
	const struct pending *pending = data;
	cleanup_metadata struct metadata live = { 0 };
	int r = read_live(pending->run, &live);

	for (size_t i = 0; r == 0 && i < count; i++)
		ret_wanted[i] = is_absent(&live, pending->image, names[i]);
	return r;
}

/* Is it there, for all that ctr said? What it could not unpack, CRI unpacks when it is needed. */
static bool is_there(const struct run *run, const struct salvage_image *image)
{
	cleanup_metadata struct metadata live = { 0 };
	const struct metadata_image *found;

	if (read_live(run, &live) < 0)
		return false;
	for (size_t i = 0; i < image->name_count; i++) {
		found = metadata_find_image(&live, image->ns, image->names[i]);
		if (!found || !found->digest || strcmp(found->digest, image->digest) != 0)
			return false;
	}
	return true;
}

static bool has_room(const struct run *run, const struct oci_image *oci)
{
	uint64_t needed = salvage_blobs_room(run->store_fd, run->new_store_fd, oci), there;
	struct statvfs fs;

	if (fstatvfs(run->new_root_fd, &fs) < 0)
		return true; /* not known to be short */
	there = (uint64_t)fs.f_bavail * fs.f_frsize;
	return there >= needed && there - needed >= run->options->min_free_bytes;
}

/* The last of its lines says why. */
static char *last_words(const char *output)
{
	const char *error = NULL;

	for (const char *at = output; (at = strstr(at, CTR_ERROR)); error = at)
		at += strlen(CTR_ERROR);
	error = error ?: output;
	return strndup(error, strcspn(error, "\n"));
}

static int explain_failure(const struct run *run, struct oci_image *oci, int error, const char *output,
			   struct salvage_image *image)
{
	cleanup_free char *words = output && *output ? last_words(output) : NULL;
	char *problem = NULL;

	if (salvage_blobs_recheck(run->store_fd, run->new_store_fd, oci, &problem) < 0)
		return set_outcome(image, SALVAGE_MISSING, problem);
	if (is_there(run, image))
		return set_outcome(image, SALVAGE_DONE,
				   text_print("but not unpacked: %s", words ?: strerror(-error)));
	return set_outcome(image, SALVAGE_FAILED, text_print("%s", words ?: strerror(-error)));
}

static int import(const struct run *run, struct oci_image *oci, struct salvage_image *image)
{
	const struct salvage_import_options options = {
		.ns = image->ns,
		.budget_msec = time_left(run),
		.max_rate = image->pause ? 0 : run->options->max_rate,
		.all_platforms = oci->is_index && oci->whole,
	};
	struct pending pending = { run, image };
	cleanup_free char *output = NULL;
	pid_t server = process_listening(run->config->address);
	struct salvage_import importing;
	int r, ended;

	r = salvage_import_begin(run->config, &options, &importing);
	if (r < 0)
		return set_outcome(image, SALVAGE_FAILED, salvage_import_problem(run->config, r));
	r = salvage_export(run->store_fd, image->digest, oci,
			   &(struct salvage_names){ image->names, image->name_count, choose_names, &pending },
			   salvage_import_write, &importing);
	stages_fault_point();
	if (r < 0 && r != -EPIPE) {
		salvage_import_cancel(&importing);
	} else {
		ended = salvage_import_end(&importing, &output);
		r = ended ?: r;
	}
	if (r == -ENOMEM)
		return r;
	if (r == -EEXIST)
		return set_outcome(image, SALVAGE_PRESENT, NULL);
	if (r == -ETIMEDOUT)
		return set_outcome(image, SALVAGE_NO_TIME, NULL);
	/* It was stopped or it crashed: the next start's run goes on. */
	if (r < 0 && process_listening(run->config->address) != server)
		return -ENOTCONN;
	if (r < 0)
		return explain_failure(run, oci, r, output, image);
	(void)salvage_blobs_unite(run->store_fd, run->new_store_fd, oci);
	return set_outcome(image, SALVAGE_DONE, NULL);
}

static int read_image(const struct run *run, struct salvage_image *image, struct oci_image *oci)
{
	char *problem = NULL;
	int r = run->store_fd < 0 ? run->store_fd
				  : oci_image_read(run->store_fd, image->digest, oci, &problem);

	if (r == 0 || r == -ENOMEM)
		return r;
	if (r != -ENODATA)
		return set_outcome(image, SALVAGE_MISSING, problem ?: strdup(strerror(-r)));
	(void)set_outcome(image, SALVAGE_MISSING,
			  text_print("%s, discarded after it was unpacked, or lost", problem ?: "a layer"));
	free(problem);
	return 0;
}

static int verify(struct run *run, struct oci_image *oci, struct salvage_image *image)
{
	char *problem = NULL;
	int r = salvage_blobs_verify(run->store_fd, oci, is_out_of_time, run, &problem);

	if (r == -ECANCELED)
		return set_outcome(image, SALVAGE_NO_TIME, NULL);
	return r == -EBADMSG ? set_outcome(image, SALVAGE_MISSING, problem) : r;
}

static int bring_over(struct run *run, struct salvage_image *image)
{
	cleanup_oci_image struct oci_image oci = { 0 };
	int r;

	if (!image->ns)
		return set_outcome(image, SALVAGE_MISSING, strdup("its namespace is not known"));
	r = has_absent_names(run, image);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return set_outcome(image, SALVAGE_FAILED,
				   text_print("containerd's records cannot be read: %s", strerror(-r)));
	if (r == 0)
		return set_outcome(image, SALVAGE_PRESENT, NULL);
	if (!image->digest)
		return set_outcome(image, SALVAGE_MISSING, strdup("its record is lost"));
	r = read_image(run, image, &oci);
	if (r < 0 || image->outcome != SALVAGE_PENDING)
		return r;
	image->bytes = oci.bytes;
	/* Before all of it is read: nothing is gained by that without room. */
	if (!has_room(run, &oci))
		return set_outcome(image, SALVAGE_NO_ROOM, NULL);
	r = verify(run, &oci, image);
	if (r < 0 || image->outcome != SALVAGE_PENDING)
		return r;
	salvage_blobs_link(run->store_fd, run->new_store_fd, &oci);
	stages_fault_point();
	r = import(run, &oci, image);
	stages_fault_point();
	if (r == 0 && image->outcome == SALVAGE_DONE && image->pinned)
		salvage_import_pin(run->config, image->ns, image->names, image->name_count);
	return r;
}

static void report(const struct salvage_image *image)
{
	const char *name = log_name(image->names[0]);

	switch (image->outcome) {
	case SALVAGE_DONE:
		log_info("image %s: brought over, %u ms%s%s", name, image->msec, image->why ? ", " : "",
			 image->why ? log_name(image->why) : "");
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

static int open_regular(int dirfd, const char *name)
{
	cleanup_fd int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) ? take_fd(&fd) : -EINVAL;
}

/* Of several the first: salvage_keep_archive() leaves one, beside what an operator put there. */
static int open_archive(const char *directory)
{
	cleanup_fd int dirfd = dir_open_path(directory);
	cleanup_dir DIR *stream = NULL;
	int found = -ENOENT, r;
	const char *name;

	if (dirfd < 0)
		return dirfd;
	r = dir_stream(dirfd, &stream);
	while (r >= 0 && found < 0 && (r = dir_next(stream, &name, NULL)) > 0)
		if (strncmp(name, SALVAGE_ARCHIVE_PREFIX, strlen(SALVAGE_ARCHIVE_PREFIX)) == 0)
			found = open_regular(dirfd, name);
	return r < 0 ? r : found;
}

/* By the records of the containerd that runs. */
static bool has_pause_image(const struct run *run, const struct salvage_image *image)
{
	cleanup_metadata struct metadata live = { 0 };

	if (read_live(run, &live) < 0)
		return false;
	for (size_t i = 0; image && i < image->name_count; i++)
		if (metadata_find_image(&live, KUBERNETES, image->names[i]))
			return true;
	return run->config->sandbox_image &&
	       metadata_find_image(&live, KUBERNETES, run->config->sandbox_image);
}

static bool pause_is_there(const struct run *run, const struct salvage *salvage)
{
	const struct salvage_image *image = find_pause(salvage);

	if (image)
		return image->outcome == SALVAGE_DONE || image->outcome == SALVAGE_PRESENT;
	return has_pause_image(run, NULL);
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
	r = salvage_import_begin(
		run->config,
		&(struct salvage_import_options){ .ns = KUBERNETES, .budget_msec = time_left(run) },
		&importing);
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
	/* Somebody may have put another one there. */
	if (!has_pause_image(run, image)) {
		log_warning("the archive that was kept has no pause image of this node's in it");
		return 0;
	}
	log_info("the pause image was brought over from the archive that was kept");
	return image ? set_outcome(image, SALVAGE_DONE, strdup("from the archive that was kept")) : 0;
}

static int run_all(struct run *run, struct salvage *salvage)
{
	int r = 0;

	for (size_t i = 0; i < salvage->count && r == 0; i++) {
		struct salvage_image *image = &salvage->images[i];
		int64_t begun = clock_msec();

		if (image->outcome != SALVAGE_PENDING || (run->options->pause_only && !image->pause))
			continue;
		if (time_left(run) == 0)
			(void)set_outcome(image, SALVAGE_NO_TIME, NULL);
		else
			r = bring_over(run, image);
		image->msec = (unsigned)(clock_msec() - begun);
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
		.deadline_msec = clock_msec() + options->budget_msec,
	};
	int r;

	r = wait_for_containerd(&run);
	if (r == 0)
		r = check_root(&run);
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
