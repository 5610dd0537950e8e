#include "scanners/oci.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>

#include "scanners/array.h"
#include "scanners/cleanup.h"
#include "scanners/digest.h"
#include "scanners/dir.h"
#include "scanners/text.h"

enum {
	MANIFEST_MAX = 8 << 20, /* as containerd's own limit for one */
	DEPTH_MAX = 4,		/* an index in an index is odd, deeper is a loop */
	MANIFESTS_MAX = 300,	/* in all: one that names another a thousand times is a bomb */
	BLOBS_MAX = 5000,	/* an image has at most some 127 layers, a platform */
	BLOCK = 1 << 20,
};

struct reading {
	int store_fd;
	unsigned manifests;
	struct oci_image image;
	char *problem;
};

int oci_open_store(int root_fd)
{
	static const char *const path[] = { "io.containerd.content.v1.content", "blobs", "sha256" };
	cleanup_fd int fd = -EBADF;

	for (size_t i = 0; i < ARRAY_SIZE(path); i++) {
		int next = dir_open_beneath(i == 0 ? root_fd : fd, path[i]);

		cleanup_close(&fd);
		fd = next;
		if (fd < 0)
			return fd;
	}
	return take_fd(&fd);
}

int oci_open_blob(int store_fd, const char *digest, uint64_t size)
{
	const char *hex = digest_hex(digest);
	cleanup_fd int fd = -EBADF;
	struct stat st;

	if (!hex)
		return -ENOTSUP;
	fd = openat(store_fd, hex, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ELOOP ? -EBADMSG : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != size)
		return -EBADMSG;
	return take_fd(&fd);
}

int oci_verify_blob(int store_fd, struct oci_blob *blob, bool (*stop)(void *data), void *data)
{
	cleanup_digest struct digest *digest = NULL;
	cleanup_free char *block = malloc(BLOCK);
	cleanup_fd int fd = -EBADF;
	struct stat st;
	int r;

	if (!block)
		return -ENOMEM;
	r = digest_new(&digest);
	if (r < 0)
		return r;
	fd = oci_open_blob(store_fd, blob->digest, blob->size);
	if (fd < 0)
		return fd;
	/* Before the first byte is read: whatever is written from now on changes it. */
	if (fstat(fd, &st) < 0)
		return -errno;
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* a hint */
	for (;;) {
		ssize_t n = read(fd, block, BLOCK);

		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		if (stop && stop(data))
			return -ECANCELED;
		digest_update(digest, block, (size_t)n);
	}
	if (!digest_is(digest, digest_hex(blob->digest)))
		return -EBADMSG;
	blob->inode = st.st_ino;
	blob->changed = st.st_ctim;
	return 0;
}

int oci_open_verified(int store_fd, const struct oci_blob *blob)
{
	cleanup_fd int fd = oci_open_blob(store_fd, blob->digest, blob->size);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_ino != blob->inode || st.st_ctim.tv_sec != blob->changed.tv_sec ||
	    st.st_ctim.tv_nsec != blob->changed.tv_nsec)
		return -ESTALE;
	return take_fd(&fd);
}

/* Say what is wrong with @digest and return @error. The first problem stands. */
static int complain(struct reading *reading, int error, const char *what, const char *digest)
{
	if (!reading->problem)
		reading->problem = text_print("%s %s %s", what, digest,
					      error == -ENOENT || error == -ENODATA ? "is missing" :
					      error == -EBADMSG ? "is not what its name says" :
					      error == -ENOTSUP ? "is of a kind that is not understood" :
								  strerror(-error));
	return reading->problem ? error : -ENOMEM;
}

static int add_blob(struct reading *reading, const char *digest, uint64_t size, bool is_layer,
		    bool is_compressed)
{
	struct oci_blob *blob;
	char *copy;

	for (size_t i = 0; i < reading->image.blob_count; i++)
		if (strcmp(reading->image.blobs[i].digest, digest) == 0)
			return 0;
	if (reading->image.blob_count >= BLOBS_MAX)
		return complain(reading, -ENOTSUP, "one blob too many:", digest);
	copy = strdup(digest);
	blob = copy ? ARRAY_ADD(reading->image.blobs, reading->image.blob_count) : NULL;
	if (!blob) {
		free(copy);
		return -ENOMEM;
	}
	*blob = (struct oci_blob){
		.digest = copy, .size = size, .is_layer = is_layer, .is_compressed = is_compressed,
	};
	reading->image.bytes += size;
	return 0;
}

/* A small blob, whole and verified, as JSON. Its size is what it is. */
static int read_json(struct reading *reading, const char *digest, json_t **ret, uint64_t *ret_size)
{
	cleanup_digest struct digest *sum = NULL;
	cleanup_free char *text = NULL;
	const char *hex = digest_hex(digest);
	size_t size = 0;
	json_t *json;
	int r;

	if (!hex)
		return -ENOTSUP;
	r = digest_new(&sum);
	if (r == 0)
		r = dir_read_file(reading->store_fd, hex, MANIFEST_MAX, &text, &size);
	if (r < 0)
		return r;
	digest_update(sum, text, size);
	if (!digest_is(sum, hex))
		return -EBADMSG;
	json = json_loadb(text, size, 0, NULL);
	if (!json)
		return -ENOTSUP;
	*ret = json;
	*ret_size = size;
	return 0;
}

static int add_descriptor(struct reading *reading, const json_t *descriptor, bool is_layer)
{
	const char *digest = json_string_value(json_object_get(descriptor, "digest"));
	const char *type = json_string_value(json_object_get(descriptor, "mediaType"));
	json_int_t size = json_integer_value(json_object_get(descriptor, "size"));
	cleanup_fd int fd = -EBADF;

	if (!digest || !digest_hex(digest) || size < 0)
		return complain(reading, -ENOTSUP, "a blob", digest ?: "without a digest");
	fd = oci_open_blob(reading->store_fd, digest, (uint64_t)size);
	if (fd < 0)
		return complain(reading, fd == -ENOENT && is_layer ? -ENODATA : fd,
				is_layer ? "layer" : "configuration", digest);
	return add_blob(reading, digest, (uint64_t)size, is_layer,
			is_layer && type && (strstr(type, "gzip") || strstr(type, "zstd")));
}

static int read_target(struct reading *reading, const char *digest, unsigned depth);

static int read_manifest(struct reading *reading, const json_t *manifest)
{
	const json_t *config = json_object_get(manifest, "config");
	const json_t *layers = json_object_get(manifest, "layers");
	const json_t *layer;
	size_t i;
	int r;

	r = add_descriptor(reading, config, false);
	json_array_foreach(layers, i, layer) {
		if (r < 0)
			break;
		r = add_descriptor(reading, layer, true);
	}
	return r;
}

static void drop_blobs(struct oci_image *image, size_t count)
{
	while (image->blob_count > count) {
		struct oci_blob *blob = &image->blobs[--image->blob_count];

		image->bytes -= blob->size;
		free(blob->digest);
	}
}

/* Layers that are gone say more than platforms that never were there. */
static bool is_telling(int error)
{
	return error == -ENODATA || error == -EBADMSG;
}

/* The platforms that are whole. */
static int read_index(struct reading *reading, const json_t *children, unsigned depth)
{
	const json_t *child;
	size_t i, whole = 0;
	int first = 0;

	json_array_foreach(children, i, child) {
		const char *digest = json_string_value(json_object_get(child, "digest"));
		size_t before = reading->image.blob_count;
		char *earlier = take_ptr(reading->problem);
		int r = digest ? read_target(reading, digest, depth + 1) : -ENOTSUP;

		whole += r == 0;
		if (r < 0 && r != -ENOMEM && (!earlier || (is_telling(r) && !is_telling(first)))) {
			first = r;
			free(earlier);
		} else {
			free(reading->problem);
			reading->problem = earlier;
		}
		if (r == -ENOMEM)
			return r;
		if (r < 0) {
			drop_blobs(&reading->image, before);
			reading->image.whole = false;
		}
	}
	return whole > 0 ? 0 : first ?: -ENOTSUP;
}

static int read_target(struct reading *reading, const char *digest, unsigned depth)
{
	json_auto_t *json = NULL;
	const json_t *children;
	const char *type;
	uint64_t size = 0;
	int r;

	if (depth > DEPTH_MAX || reading->manifests++ >= MANIFESTS_MAX)
		return complain(reading, -ENOTSUP, "index", digest);
	r = read_json(reading, digest, &json, &size);
	if (r < 0)
		return complain(reading, r, "manifest", digest);
	r = add_blob(reading, digest, size, false, false);
	if (r < 0)
		return r;
	children = json_object_get(json, "manifests");
	if (depth == 0) {
		type = json_string_value(json_object_get(json, "mediaType"));
		reading->image.size = size;
		reading->image.is_index = children != NULL;
		reading->image.media_type =
			strdup(type ?: children ? "application/vnd.oci.image.index.v1+json"
						: "application/vnd.oci.image.manifest.v1+json");
		if (!reading->image.media_type)
			return -ENOMEM;
	}
	if (children)
		return read_index(reading, children, depth);
	if (!json_is_array(json_object_get(json, "layers")))
		return complain(reading, -ENOTSUP, "manifest", digest);
	return read_manifest(reading, json);
}

int oci_image_read(int store_fd, const char *digest, struct oci_image *ret, char **ret_problem)
{
	struct reading reading = { .store_fd = store_fd, .image.whole = true };
	int r = read_target(&reading, digest, 0);

	if (r == 0 || r == -ENOMEM)
		free(take_ptr(reading.problem)); /* of a platform that was left out */
	if (r < 0) {
		oci_image_done(&reading.image);
		*ret_problem = reading.problem;
		return r;
	}
	*ret = reading.image;
	return 0;
}

void oci_image_done(struct oci_image *image)
{
	drop_blobs(image, 0);
	free(image->blobs);
	free(image->media_type);
	*image = (struct oci_image){ 0 };
}
