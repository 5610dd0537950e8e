#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <sha2.h>

#include "recover/file.h"
#include "recover/salvage_blobs.h"
#include "recover/salvage_export.h"
#include "scanners/cleanup.h"
#include "scanners/digest.h"
#include "scanners/dir.h"
#include "scanners/oci.h"
#include "scanners/text.h"
#include "tests/unit/fault.h"
#include "tests/unit/tap.h"

static int store = -EBADF;

/* Put @text into the store and its digest, "sha256:…", into @digest. */
static void put(const char *text, char digest[80])
{
	(void)strcpy(digest, "sha256:");
	CHECK(SHA256Data((const uint8_t *)text, strlen(text), digest + 7) != NULL);
	CHECK_EQ(file_replace(store, digest + 7, text, strlen(text), 0600), 0);
}

struct image {
	char config[80], layer[2][80], manifest[80];
};

static void put_image(const char *seed, struct image *image)
{
	char text[1000];

	(void)snprintf(text, sizeof(text), "{\"config\":\"%s\"}", seed);
	put(text, image->config);
	for (int i = 0; i < 2; i++) {
		(void)snprintf(text, sizeof(text), "layer %s %d", seed, i);
		put(text, image->layer[i]);
	}
	(void)snprintf(text, sizeof(text),
		       "{\"mediaType\":\"m\",\"config\":{\"digest\":\"%s\",\"size\":%zu},"
		       "\"layers\":[{\"digest\":\"%s\",\"size\":%zu,\"mediaType\":\"a+gzip\"},"
		       "{\"digest\":\"%s\",\"size\":%zu}]}",
		       image->config, strlen(seed) + 13, image->layer[0], strlen(seed) + 8,
		       image->layer[1], strlen(seed) + 8);
	put(text, image->manifest);
}

static void test_digest_names(void)
{
	CHECK_STR(digest_hex("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
		  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	CHECK(!digest_hex("sha256:../../../../../../../../../../../../../../../../../../../../../etc"));
	CHECK(!digest_hex("sha512:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
	CHECK(!digest_hex("sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"));
	CHECK(!digest_hex("sha256:e3b0"));
	CHECK(!digest_hex(""));
}

static void test_manifest(void)
{
	cleanup_oci_image struct oci_image oci = { 0 };
	struct image image;
	char *problem = NULL;

	put_image("one", &image);
	CHECK_EQ(oci_image_read(store, image.manifest, &oci, &problem), 0);
	CHECK(problem == NULL);
	CHECK_EQ(oci.blob_count, 4);
	CHECK_STR(oci.media_type, "m");
	CHECK(!oci.is_index && oci.whole);
	CHECK_STR(oci.blobs[0].digest, image.manifest);
	CHECK(!oci.blobs[1].is_layer);
	CHECK(oci.blobs[2].is_layer && oci.blobs[2].is_compressed);
	CHECK(oci.blobs[3].is_layer && !oci.blobs[3].is_compressed);
	for (size_t i = 0; i < oci.blob_count; i++)
		CHECK_EQ(oci_verify_blob(store, &oci.blobs[i], NULL, NULL), 0);
}

static void test_every_kind_of_damage(void)
{
	struct oci_image oci;
	struct image image;
	char *problem;

	put_image("two", &image);
	CHECK_EQ(unlinkat(store, image.layer[1] + 7, 0), 0);
	CHECK_EQ(oci_image_read(store, image.manifest, &oci, &problem), -ENODATA);
	CHECK(strstr(problem, image.layer[1]) != NULL);
	free(problem);
	CHECK_EQ(unlinkat(store, image.config + 7, 0), 0);
	CHECK_EQ(oci_image_read(store, image.manifest, &oci, &problem), -ENOENT);
	free(problem);
	CHECK_EQ(symlinkat("/etc/passwd", store, image.config + 7), 0);
	CHECK_EQ(oci_image_read(store, image.manifest, &oci, &problem), -EBADMSG);
	free(problem);
	CHECK_EQ(file_replace(store, image.manifest + 7, "{}", 2, 0600), 0);
	CHECK_EQ(oci_image_read(store, image.manifest, &oci, &problem), -EBADMSG);
	free(problem);
	CHECK_EQ(oci_image_read(store, "sha256:..", &oci, &problem), -ENOTSUP);
	free(problem);
}

/* Of a file that is not a blob the content is not even looked at, as good as it may be. */
static void test_what_is_no_blob(void)
{
	cleanup_free char *text = NULL;
	struct oci_image oci;
	struct image image;
	char *problem, digest[80];
	int fd;

	put_image("odd", &image);
	CHECK_EQ(renameat(store, image.layer[0] + 7, store, "elsewhere"), 0);
	CHECK_EQ(symlinkat("elsewhere", store, image.layer[0] + 7), 0);
	CHECK_EQ(oci_image_read(store, image.manifest, &oci, &problem), -EBADMSG);
	free(problem);
	CHECK_EQ(renameat(store, "elsewhere", store, image.layer[0] + 7), 0);
	fd = openat(store, image.layer[0] + 7, O_WRONLY | O_APPEND | O_CLOEXEC);
	CHECK_EQ(write(fd, "+", 1), 1);
	(void)close(fd);
	CHECK_EQ(oci_image_read(store, image.manifest, &oci, &problem), -EBADMSG);
	free(problem);
	/* A pipe is as long as this one says. */
	CHECK_EQ(unlinkat(store, image.layer[0] + 7, 0), 0);
	CHECK_EQ(mkfifoat(store, image.layer[0] + 7, 0600), 0);
	text = text_print("{\"config\":{\"digest\":\"%s\",\"size\":16},\"layers\":[{\"digest\":\"%s\",\"size\":0}]}",
			  image.config, image.layer[0]);
	put(text, digest);
	CHECK_EQ(oci_image_read(store, digest, &oci, &problem), -EBADMSG);
	CHECK(strstr(problem, image.layer[0]) != NULL);
	free(problem);
	/* A configuration alone is no image. */
	free(take_ptr(text));
	text = text_print("{\"config\":{\"digest\":\"%s\",\"size\":16}}", image.config);
	put(text, digest);
	CHECK_EQ(oci_image_read(store, digest, &oci, &problem), -ENOTSUP);
	free(problem);
}

static void test_flipped_byte(void)
{
	cleanup_oci_image struct oci_image oci = { 0 };
	struct image image;
	char *problem;
	int fd;

	put_image("three", &image);
	fd = openat(store, image.layer[0] + 7, O_WRONLY | O_CLOEXEC);
	CHECK_EQ(pwrite(fd, "L", 1, 0), 1);
	(void)close(fd);
	CHECK_EQ(oci_image_read(store, image.manifest, &oci, &problem), 0);
	CHECK_EQ(oci_verify_blob(store, &oci.blobs[2], NULL, NULL), -EBADMSG);
	CHECK_EQ(oci_verify_blob(store, &oci.blobs[3], NULL, NULL), 0);
	CHECK_EQ(salvage_blobs_verify(store, &oci, NULL, NULL, &problem), -EBADMSG);
	CHECK(strstr(problem, image.layer[0]) != NULL);
	free(problem);
}

static void test_index_of_platforms(void)
{
	cleanup_oci_image struct oci_image oci = { 0 };
	cleanup_free char *text = NULL;
	struct image image, gone, part;
	char index[80], *problem = NULL;

	put_image("here", &image);
	put_image("there", &gone);
	put_image("partly", &part);
	CHECK_EQ(unlinkat(store, gone.manifest + 7, 0), 0);
	CHECK_EQ(unlinkat(store, part.layer[1] + 7, 0), 0);
	text = text_print("{\"manifests\":[{\"digest\":\"%s\"},{\"digest\":\"%s\"},{\"digest\":\"%s\"}]}",
			  gone.manifest, part.manifest, image.manifest);
	put(text, index);
	CHECK_EQ(oci_image_read(store, index, &oci, &problem), 0);
	CHECK_EQ(oci.blob_count, 5);
	CHECK(strstr(oci.media_type, "index") != NULL);
	CHECK(oci.is_index && !oci.whole);
	oci_image_done(&oci);
	CHECK_EQ(unlinkat(store, image.layer[0] + 7, 0), 0);
	CHECK_EQ(oci_image_read(store, index, &oci, &problem), -ENODATA);
	CHECK(strstr(problem, part.layer[1]) != NULL); /* the first one that tells something */
	free(problem);
}

static void test_index_in_itself(void)
{
	char *problem = NULL;
	struct image image;

	/* No digest can name itself; deep chains can be made, even to an image that is whole. */
	put_image("deep", &image);
	for (int i = 1; i <= 10; i++) {
		cleanup_free char *text = text_print("{\"manifests\":[{\"digest\":\"%s\"}]}", image.manifest);
		struct oci_image oci = { 0 };

		put(text, image.manifest);
		CHECK_EQ(oci_image_read(store, image.manifest, &oci, &problem), i <= 4 ? 0 : -ENOTSUP);
		oci_image_done(&oci);
		free(take_ptr(problem));
	}
}

/* Each names the one below a thousand times: read one by one they would take years. */
static void test_index_that_is_a_bomb(void)
{
	char digest[80], *problem = NULL;
	struct oci_image oci;

	put("{\"manifests\":[]}", digest);
	for (int i = 0; i < 3; i++) {
		cleanup_text struct text text = { 0 };

		CHECK_EQ(text_add_string(&text, "{\"manifests\":["), 0);
		for (int n = 0; n < 1000; n++) {
			cleanup_free char *one = text_print("%s{\"digest\":\"%s\"}", n ? "," : "", digest);

			CHECK_EQ(text_add_string(&text, one), 0);
		}
		CHECK_EQ(text_add_string(&text, "]}"), 0);
		put(text.string, digest);
	}
	CHECK_EQ(oci_image_read(store, digest, &oci, &problem), -ENOTSUP);
	CHECK(problem != NULL);
	free(problem);
}

static void test_more_blobs_than_any_image_has(void)
{
	enum { LAYERS = 5000 };
	cleanup_text struct text text = { 0 };
	char digest[80], *problem = NULL;
	struct oci_image oci;

	put("{}", digest);
	for (int i = 0; i < LAYERS; i++) {
		cleanup_free char *one = text_print("%s{\"digest\":\"sha256:%064d\",\"size\":0}",
						    i ? "," : "{\"layers\":[", i);
		cleanup_free char *hex = text_print("%064d", i);

		CHECK_EQ(text_add_string(&text, one), 0);
		(void)close(openat(store, hex, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	}
	CHECK_EQ(text_add_string(&text, "],\"config\":{\"digest\":\""), 0);
	CHECK_EQ(text_add_string(&text, digest), 0);
	CHECK_EQ(text_add_string(&text, "\",\"size\":2}}"), 0);
	put(text.string, digest);
	CHECK_EQ(oci_image_read(store, digest, &oci, &problem), -ENOTSUP);
	CHECK(problem && strstr(problem, "too many"));
	free(problem);
}

static int append(void *data, const void *bytes, size_t size)
{
	return fwrite(bytes, 1, size, data) == size ? 0 : -EIO;
}

static void test_export(void)
{
	cleanup_oci_image struct oci_image oci = { 0 };
	char *names[] = { (char *)"a.example/x:1", (char *)"a.example/x:2" }, *problem, *tar = NULL, expected[150];
	struct image image;
	size_t size = 0;
	FILE *to = open_memstream(&tar, &size);

	put_image("export", &image);
	CHECK_EQ(oci_image_read(store, image.manifest, &oci, &problem), 0);
	CHECK_EQ(salvage_export(store, image.manifest, &oci, &(struct salvage_names){ names, 2, NULL, NULL },
				append, to), 0);
	CHECK_EQ(fclose(to), 0);
	CHECK(memmem(tar, size, "a.example/x:2", 13) != NULL);
	CHECK(memmem(tar, size, "layer export 1", 14) != NULL);
	(void)snprintf(expected, sizeof(expected), "\"digest\":\"%s\",\"size\":%llu,", image.manifest,
		       (unsigned long long)oci.size);
	CHECK(memmem(tar, size, expected, strlen(expected)) != NULL);
	/* Nothing may be seen before all of it is there: the index comes last. */
	CHECK((char *)memmem(tar, size, "index.json", 10) > (char *)memmem(tar, size, "layer export 1", 14));
	free(tar);
}

static size_t room;

static int append_until_full(void *data, const void *bytes, size_t size)
{
	(void)bytes;
	*(size_t *)data += size;
	return *(size_t *)data > room ? -ENOSPC : 0;
}

static void test_export_ends_with_its_writer(void)
{
	cleanup_oci_image struct oci_image oci = { 0 };
	char *names[] = { (char *)"x" }, *problem;
	struct image image;
	size_t written = 0;

	put_image("full", &image);
	CHECK_EQ(oci_image_read(store, image.manifest, &oci, &problem), 0);
	CHECK_EQ(salvage_export(store, image.manifest, &oci, &(struct salvage_names){ names, 1, NULL, NULL },
				append_until_full, &written),
		 -ENOSPC);
}

/* As of the moment when all blobs are written. */
static int choose_second(void *data, char *const *names, size_t count, bool *ret_wanted)
{
	bool *any = data;

	(void)names;
	ret_wanted[count - 1] = *any;
	return 0;
}

static void test_export_of_names_that_are_wanted(void)
{
	cleanup_oci_image struct oci_image oci = { 0 };
	char *names[] = { (char *)"a.example/x:1", (char *)"a.example/x:2" }, *problem;
	bool any = true;
	struct salvage_names chosen = { names, 2, choose_second, &any };
	struct image image;

	put_image("chosen", &image);
	CHECK_EQ(oci_image_read(store, image.manifest, &oci, &problem), 0);
	for (int i = 0; i < 2; i++) {
		cleanup_free char *tar = NULL;
		size_t size = 0;
		FILE *to = open_memstream(&tar, &size);

		CHECK_EQ(salvage_export(store, image.manifest, &oci, &chosen, append, to),
			 any ? 0 : -EEXIST);
		CHECK_EQ(fclose(to), 0);
		CHECK(memmem(tar, size, "a.example/x:1", 13) == NULL);
		CHECK_EQ(memmem(tar, size, "a.example/x:2", 13) != NULL, any);
		CHECK_EQ(memmem(tar, size, "index.json", 10) != NULL, any);
		any = false;
	}
}

static int cannot_choose(void *data, char *const *names, size_t count, bool *ret_wanted)
{
	(void)data;
	(void)names;
	(void)count;
	(void)ret_wanted;
	return -EIO;
}

/* "None is wanted" would mean that they are there. */
static void test_export_of_names_that_are_not_known(void)
{
	cleanup_oci_image struct oci_image oci = { 0 };
	cleanup_free char *tar = NULL;
	char *names[] = { (char *)"x" }, *problem;
	struct image image;
	size_t size = 0;
	FILE *to = open_memstream(&tar, &size);

	put_image("unknown", &image);
	CHECK_EQ(oci_image_read(store, image.manifest, &oci, &problem), 0);
	CHECK_EQ(salvage_export(store, image.manifest, &oci,
				&(struct salvage_names){ names, 1, cannot_choose, NULL }, append, to),
		 -EIO);
	CHECK_EQ(fclose(to), 0);
}

/* However it came about: what is written is looked at, not what was verified. */
static void test_export_of_what_changed(void)
{
	cleanup_oci_image struct oci_image oci = { 0 };
	cleanup_free char *tar = NULL;
	char *names[] = { (char *)"x" }, *problem;
	struct image image;
	size_t size = 0;
	FILE *to = open_memstream(&tar, &size);

	put_image("changes", &image);
	CHECK_EQ(oci_image_read(store, image.manifest, &oci, &problem), 0);
	CHECK_EQ(file_replace(store, image.layer[1] + 7, "LAYER changes 1", 15, 0600), 0);
	CHECK_EQ(salvage_export(store, image.manifest, &oci,
				&(struct salvage_names){ names, 1, NULL, NULL }, append, to),
		 -EBADMSG);
	CHECK_EQ(fclose(to), 0);
	CHECK(memmem(tar, size, "index.json", 10) == NULL);
}

/* ---- blobs on their way ---- */

static int new_store = -EBADF;

static ino_t inode_in(int dirfd, const char *digest)
{
	struct stat st = { 0 };

	return fstatat(dirfd, digest + 7, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_ino : 0;
}

static void read_and_verify(const struct image *image, struct oci_image *oci)
{
	char *problem = NULL;

	CHECK_EQ(oci_image_read(store, image->manifest, oci, &problem), 0);
	CHECK_EQ(salvage_blobs_verify(store, oci, NULL, NULL, &problem), 0);
	CHECK(problem == NULL);
}

static bool at_once(void *data)
{
	(void)data;
	return true;
}

/* What was not read to its end is not verified. */
static void test_verification_that_ends_early(void)
{
	cleanup_oci_image struct oci_image oci = { 0 };
	struct image image;
	char *problem = NULL;

	put_image("early", &image);
	CHECK_EQ(oci_image_read(store, image.manifest, &oci, &problem), 0);
	CHECK_EQ(salvage_blobs_verify(store, &oci, at_once, NULL, &problem), -ECANCELED);
	for (int n = 1; n <= 4; n++) {
		fault_arm("malloc", n, ENOMEM);
		CHECK_EQ(salvage_blobs_verify(store, &oci, NULL, NULL, &problem), -ENOMEM);
		CHECK(fault_fired());
		fault_arm("malloc", n, ENOMEM);
		CHECK_EQ(salvage_blobs_recheck(store, new_store, &oci, &problem), 0);
		CHECK(fault_fired());
	}
	CHECK(problem == NULL);
}

static void test_blobs_are_linked(void)
{
	cleanup_fd int elsewhere = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_oci_image struct oci_image oci = { 0 };
	struct image image;
	uint64_t layers = 2 * strlen("layer linked 0");

	put_image("linked", &image);
	read_and_verify(&image, &oci);
	/* One of the layers is compressed, and the manifest is the biggest blob. */
	CHECK_EQ(salvage_blobs_room(store, new_store, &oci), oci.size + layers / 2 * 5);
	CHECK_EQ(salvage_blobs_room(store, -EBADF, &oci), oci.size + layers / 2 * 5 + oci.bytes);
	CHECK_EQ(salvage_blobs_room(store, elsewhere, &oci), oci.size + layers / 2 * 5 + oci.bytes);
	salvage_blobs_link(store, -EBADF, &oci);
	salvage_blobs_link(store, new_store, &oci);
	for (size_t i = 0; i < oci.blob_count; i++)
		CHECK_EQ(inode_in(new_store, oci.blobs[i].digest), inode_in(store, oci.blobs[i].digest));
	/* Five times as many bytes, in 64 bits, are four. */
	CHECK_EQ(salvage_blobs_room(store, new_store,
				    &(struct oci_image){ .blobs = &(struct oci_blob){ .size = UINT64_C(3689348814741910324),
										      .is_layer = true,
										      .is_compressed = true },
							 .blob_count = 1 }),
		 UINT64_MAX);
	/* Once more: nothing is replaced. */
	salvage_blobs_link(store, new_store, &oci);
	CHECK_EQ(inode_in(new_store, image.layer[0]), inode_in(store, image.layer[0]));
}

static void test_what_changed_since_is_not_linked(void)
{
	cleanup_oci_image struct oci_image oci = { 0 };
	struct image image;
	int fd;

	put_image("changed", &image);
	read_and_verify(&image, &oci);
	fd = openat(store, image.layer[0] + 7, O_WRONLY | O_CLOEXEC);
	CHECK_EQ(pwrite(fd, "L", 1, 0), 1);
	(void)close(fd);
	CHECK_EQ(renameat(store, image.layer[0] + 7, store, "other"), 0);
	CHECK_EQ(renameat(store, "other", store, image.layer[0] + 7), 0);
	/* Another file of the same name and size, and a link out of the store. */
	CHECK_EQ(file_replace(store, image.layer[1] + 7, "layer changed 1", 15, 0600), 0);
	CHECK_EQ(unlinkat(store, image.config + 7, 0), 0);
	CHECK_EQ(symlinkat("/etc/passwd", store, image.config + 7), 0);
	salvage_blobs_link(store, new_store, &oci);
	CHECK(inode_in(new_store, image.manifest) != 0);
	CHECK_EQ(inode_in(new_store, image.layer[0]), 0);
	CHECK_EQ(inode_in(new_store, image.layer[1]), 0);
	CHECK_EQ(inode_in(new_store, image.config), 0);
}

static void test_what_others_may_write_is_not_linked(void)
{
	cleanup_oci_image struct oci_image oci = { 0 };
	struct image image;

	put_image("others", &image);
	CHECK_EQ(fchmodat(store, image.layer[0] + 7, 0602, 0), 0);
	CHECK_EQ(fchmodat(store, image.config + 7, 0620, 0), 0);
	if (geteuid() == 0)
		CHECK_EQ(fchownat(store, image.layer[1] + 7, 1, 1, 0), 0);
	read_and_verify(&image, &oci);
	salvage_blobs_link(store, new_store, &oci);
	CHECK_EQ(inode_in(new_store, image.layer[0]), 0);
	CHECK_EQ(inode_in(new_store, image.config), 0);
	CHECK(geteuid() != 0 || inode_in(new_store, image.layer[1]) == 0);
	CHECK(geteuid() != 0 || inode_in(new_store, image.manifest) != 0);
}

/* containerd collected the links of one and wrote it anew: the old files take their place. */
static void test_one_copy_of_two(void)
{
	cleanup_oci_image struct oci_image oci = { 0 };
	struct image image;
	uint64_t stays;
	bool done = false;

	put_image("twice", &image);
	read_and_verify(&image, &oci);
	/* Which changed the old files, too, as much as links do. */
	salvage_blobs_link(store, new_store, &oci);
	CHECK_EQ(unlinkat(new_store, image.config + 7, 0), 0);
	CHECK_EQ(file_replace(new_store, image.layer[0] + 7, "layer twice 0", 13, 0600), 0);
	CHECK_EQ(file_replace(new_store, image.layer[1] + 7, "layer twice 1", 13, 0600), 0);
	CHECK_EQ(file_replace(store, ".containerd-recover-link", "killed", 6, 0600), 0);
	CHECK_EQ(fchmodat(store, image.layer[1] + 7, 0666, 0), 0);
	stays = inode_in(new_store, image.layer[1]);
	CHECK_EQ(salvage_blobs_unite(store, -EBADF, &oci), 0);
	fault_arm("renameat", 1, EIO);
	CHECK_EQ(salvage_blobs_unite(store, new_store, &oci), 0);
	CHECK(fault_fired());
	CHECK(faccessat(store, ".containerd-recover-link", F_OK, AT_SYMLINK_NOFOLLOW) < 0);
	for (int n = 1;; n++) {
		bool fired;

		fault_arm("any", n, EIO);
		done |= salvage_blobs_unite(store, new_store, &oci) > 0;
		fired = fault_fired();
		CHECK(inode_in(new_store, image.layer[0]) != 0);
		CHECK_EQ(inode_in(new_store, image.layer[0]) == inode_in(store, image.layer[0]), done);
		if (!fired)
			break;
	}
	CHECK_EQ(inode_in(new_store, image.layer[0]), inode_in(store, image.layer[0]));
	/* Others may write to that one; and what was not brought over is not. */
	CHECK_EQ(inode_in(new_store, image.layer[1]), stays);
	CHECK_EQ(inode_in(new_store, image.config), 0);
	CHECK(faccessat(store, ".containerd-recover-link", F_OK, AT_SYMLINK_NOFOLLOW) < 0);
	CHECK_EQ(salvage_blobs_unite(store, new_store, &oci), 0);
}

static bool holds(int dirfd, const char *digest, const char *text)
{
	cleanup_free char *found = NULL;

	return dir_read_file(dirfd, digest + 7, 100, &found, NULL) == 0 && strcmp(found, text) == 0;
}

/* At whatever moment the old file becomes another one: that one is not put in place. */
static void test_one_copy_of_what_is_replaced(void)
{
	int status = 0;

	for (int n = 1; !WIFEXITED(status) || n == 1; n++) {
		cleanup_oci_image struct oci_image oci = { 0 };
		struct image image;
		pid_t child;

		put_image("raced", &image);
		read_and_verify(&image, &oci);
		CHECK_EQ(file_replace(new_store, image.layer[0] + 7, "layer raced 0", 13, 0600), 0);
		child = fork();
		if (child == 0) {
			fault_arm("openat", n, FAULT_STOP);
			(void)salvage_blobs_unite(store, new_store, &oci);
			_exit(0);
		}
		CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
		if (WIFSTOPPED(status)) {
			CHECK_EQ(file_replace(store, image.layer[0] + 7, "LAYER RACED 0", 13, 0600), 0);
			CHECK_EQ(kill(child, SIGCONT), 0);
			CHECK_EQ(waitpid(child, NULL, 0), child);
		}
		CHECK(holds(new_store, image.layer[0], "layer raced 0"));
	}
}

/* Changed while it was streamed: containerd refuses it, and the link goes. */
static void test_what_changes_later_is_unlinked(void)
{
	cleanup_oci_image struct oci_image oci = { 0 };
	cleanup_free char *problem = NULL;
	struct image image;
	int fd;

	put_image("late", &image);
	read_and_verify(&image, &oci);
	salvage_blobs_link(store, new_store, &oci);
	CHECK_EQ(salvage_blobs_recheck(store, new_store, &oci, &problem), 0);
	fd = openat(store, image.layer[1] + 7, O_WRONLY | O_CLOEXEC);
	CHECK_EQ(pwrite(fd, "L", 1, 0), 1);
	(void)close(fd);
	CHECK_EQ(salvage_blobs_recheck(store, new_store, &oci, &problem), -EBADMSG);
	CHECK(problem && strstr(problem, image.layer[1]) != NULL);
	CHECK_EQ(inode_in(new_store, image.layer[1]), 0);
	CHECK(inode_in(store, image.layer[1]) != 0);
	CHECK_EQ(inode_in(new_store, image.layer[0]), inode_in(store, image.layer[0]));
	/* Not ours to remove: a file of containerd's own. */
	CHECK_EQ(file_replace(new_store, image.layer[1] + 7, "whatever", 8, 0600), 0);
	free(problem);
	problem = NULL;
	CHECK_EQ(salvage_blobs_recheck(store, new_store, &oci, &problem), -EBADMSG);
	CHECK(inode_in(new_store, image.layer[1]) != 0);
}

/* One that another image brought over, and one that cannot be read for now. */
static void test_what_may_be_needed_stays_linked(void)
{
	cleanup_oci_image struct oci_image first = { 0 }, second = { 0 };
	cleanup_free char *problem = NULL;
	struct rlimit limit;
	struct image image;
	int fd;

	put_image("stays", &image);
	read_and_verify(&image, &first);
	salvage_blobs_link(store, new_store, &first);
	read_and_verify(&image, &second);
	salvage_blobs_link(store, new_store, &second);
	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 0, limit.rlim_max }), 0);
	CHECK_EQ(salvage_blobs_recheck(store, new_store, &first, &problem), -EBADMSG);
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	for (size_t i = 0; i < first.blob_count; i++)
		CHECK_EQ(inode_in(new_store, first.blobs[i].digest), inode_in(store, first.blobs[i].digest));
	free(take_ptr(problem));
	fd = openat(store, image.layer[1] + 7, O_WRONLY | O_CLOEXEC);
	CHECK_EQ(pwrite(fd, "L", 1, 0), 1);
	(void)close(fd);
	CHECK_EQ(salvage_blobs_recheck(store, new_store, &second, &problem), -EBADMSG);
	CHECK_EQ(inode_in(new_store, image.layer[1]), inode_in(store, image.layer[1]));
	/* Of two it is the first that is named. */
	free(take_ptr(problem));
	CHECK_EQ(file_replace(store, image.layer[0] + 7, "LAYER stays 0", 13, 0600), 0);
	CHECK_EQ(salvage_blobs_recheck(store, new_store, &second, &problem), -EBADMSG);
	CHECK(strstr(problem, image.layer[0]) != NULL);
}

static void test_allocations_fail(void)
{
	struct image image;

	put_image("faults", &image);
	for (int n = 1; n < 200; n++) {
		cleanup_oci_image struct oci_image oci = { 0 };
		char *problem = NULL;
		int r;

		fault_arm("calloc", n, ENOMEM);
		r = oci_image_read(store, image.manifest, &oci, &problem);
		if (!fault_fired())
			break;
		CHECK_EQ(r, -ENOMEM);
		CHECK_EQ(oci.blob_count, 0);
		free(problem);
	}
}

int main(void)
{
	store = open(tap_tmpdir(NULL), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_EQ(mkdirat(store, "new", 0700), 0);
	new_store = openat(store, "new", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	RUN(test_digest_names);
	RUN(test_manifest);
	RUN(test_every_kind_of_damage);
	RUN(test_what_is_no_blob);
	RUN(test_flipped_byte);
	RUN(test_index_of_platforms);
	RUN(test_index_in_itself);
	RUN(test_index_that_is_a_bomb);
	RUN(test_more_blobs_than_any_image_has);
	RUN(test_export);
	RUN(test_export_ends_with_its_writer);
	RUN(test_export_of_names_that_are_wanted);
	RUN(test_export_of_names_that_are_not_known);
	RUN(test_export_of_what_changed);
	RUN(test_verification_that_ends_early);
	RUN(test_blobs_are_linked);
	RUN(test_what_changed_since_is_not_linked);
	RUN(test_what_others_may_write_is_not_linked);
	RUN(test_one_copy_of_two);
	RUN(test_one_copy_of_what_is_replaced);
	RUN(test_what_changes_later_is_unlinked);
	RUN(test_what_may_be_needed_stays_linked);
	RUN(test_allocations_fail);
	return tap_done();
}
