#include "recover/salvage_export.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/digest.h"
#include "scanners/text.h"

enum { BLOCK = 1 << 20 };

static int add_blob(struct archive_out *out, int store_fd, const struct oci_blob *blob, char *block)
{
	cleanup_free char *name = text_print("blobs/sha256/%s", digest_hex(blob->digest));
	cleanup_fd int fd = oci_open_blob(store_fd, blob->digest, blob->size);
	cleanup_digest struct digest *digest = NULL;
	int r;

	if (fd < 0)
		return fd;
	if (!name)
		return -ENOMEM;
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* a hint */
	r = digest_new(&digest);
	if (r == 0)
		r = archive_out_begin(out, name, blob->size);
	while (r == 0) {
		ssize_t n = read(fd, block, BLOCK);

		if (n < 0)
			return -errno;
		if (n == 0)
			return digest_is(digest, digest_hex(blob->digest)) ? 0 : -EBADMSG;
		digest_update(digest, block, (size_t)n);
		r = archive_out_data(out, block, (size_t)n);
	}
	return r;
}

static int add_index(struct archive_out *out, const char *digest, const struct oci_image *image,
		     const struct salvage_names *names)
{
	json_auto_t *index = json_pack("{s:i, s:[]}", "schemaVersion", 2, "manifests");
	cleanup_free bool *wanted = calloc(names->count + 1, sizeof(*wanted));
	cleanup_free char *text = NULL;
	json_t *entries = json_object_get(index, "manifests");
	int r;

	if (!wanted)
		return -ENOMEM;
	r = names->choose ? names->choose(names->data, names->names, names->count, wanted) : 0;
	if (r < 0)
		return r;
	for (size_t i = 0; i < names->count; i++)
		if (wanted[i] || !names->choose)
			(void)json_array_append_new(
				entries,
				json_pack("{s:s, s:s, s:I, s:{s:s}}", "mediaType", image->media_type,
					  "digest", digest, "size", (json_int_t)image->size,
					  "annotations", "io.containerd.image.name", names->names[i]));
	if (index && json_array_size(entries) == 0)
		return -EEXIST;
	text = index ? json_dumps(index, JSON_COMPACT) : NULL;
	return text ? archive_out_add(out, "index.json", text, strlen(text)) : -ENOMEM;
}

int salvage_export(int store_fd, const char *digest, const struct oci_image *image,
		   const struct salvage_names *names, archive_write_fn *write, void *data)
{
	static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	cleanup_archive_out struct archive_out *out = NULL;
	cleanup_free char *block = malloc(BLOCK);
	int r;

	if (!block)
		return -ENOMEM;
	r = archive_out_open(write, data, false, &out);
	if (r == 0)
		r = archive_out_add(out, "oci-layout", layout, strlen(layout));
	for (size_t i = 0; i < image->blob_count && r == 0; i++)
		r = add_blob(out, store_fd, &image->blobs[i], block);
	if (r == 0)
		r = add_index(out, digest, image, names);
	if (r < 0)
		return r;
	return archive_out_close(take_ptr(out));
}
