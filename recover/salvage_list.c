#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "recover/file.h"
#include "recover/log.h"
#include "recover/salvage.h"
#include "scanners/array.h"
#include "scanners/cleanup.h"
#include "scanners/metadata.h"
#include "scanners/text.h"

#define KUBERNETES "k8s.io"

static const char *namespace_of(const struct metadata_image *image)
{
	return image->ns ?: image->cri ? KUBERNETES : NULL;
}

/* "sha256:<id of the configuration>" is a name that CRI makes by itself. */
static bool is_own_name(const char *name)
{
	static const char prefix[] = "sha256:";

	return strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/* The image that @digest is in @ns; of a lost record there is only the name. */
static struct salvage_image *find(const struct salvage *salvage, const char *ns, const char *digest)
{
	for (size_t i = 0; digest && i < salvage->count; i++)
		if (same(salvage->images[i].ns, ns) && same(salvage->images[i].digest, digest))
			return &salvage->images[i];
	return NULL;
}

static struct salvage_image *add(struct salvage *salvage, const struct metadata_image *from)
{
	const char *ns = namespace_of(from);
	char *own_ns = ns ? strdup(ns) : NULL;
	char *digest = from->digest ? strdup(from->digest) : NULL;
	struct salvage_image *image = NULL;

	if ((own_ns || !ns) && (digest || !from->digest))
		image = ARRAY_ADD(salvage->images, salvage->count);
	if (!image) {
		free(own_ns);
		free(digest);
		return NULL;
	}
	image->ns = own_ns;
	image->digest = digest;
	return image;
}

static int add_name(struct salvage_image *image, const char *name)
{
	char *copy, **place;

	for (size_t i = 0; i < image->name_count; i++)
		if (strcmp(image->names[i], name) == 0)
			return 0;
	copy = strdup(name);
	place = copy ? ARRAY_ADD(image->names, image->name_count) : NULL;
	if (!place) {
		free(copy);
		return -ENOMEM;
	}
	*place = copy;
	return 0;
}

static bool has_name(const struct salvage_image *image, const char *name)
{
	for (size_t i = 0; i < image->name_count; i++)
		if (strcmp(image->names[i], name) == 0)
			return true;
	return false;
}

static struct salvage_image *find_named(const struct salvage *salvage, const char *ns, const char *name)
{
	for (size_t i = 0; i < salvage->count; i++)
		if (same(salvage->images[i].ns, ns) && has_name(&salvage->images[i], name))
			return &salvage->images[i];
	return NULL;
}

/* CRI's containers may name an image by its tag, its digest, or the name that CRI makes. */
static struct salvage_image *image_of(const struct salvage *salvage, const struct metadata *metadata,
				      const struct metadata_container *container)
{
	const struct metadata_image *record =
		metadata_find_image(metadata, container->ns, container->image);

	if (record && record->digest)
		return find(salvage, namespace_of(record), record->digest);
	return find_named(salvage, container->ns, container->image);
}

/* The pause image is what the configuration names, and what sandboxes were made of. */
static void count_users(struct salvage *salvage, const struct metadata *metadata,
			const struct config *config)
{
	for (size_t i = 0; i < salvage->count && config->sandbox_image; i++) {
		struct salvage_image *image = &salvage->images[i];

		image->by_config = same(image->ns, KUBERNETES) && has_name(image, config->sandbox_image);
		image->pause = image->by_config;
	}
	for (size_t i = 0; i < metadata->container_count; i++) {
		const struct metadata_container *container = &metadata->containers[i];
		struct salvage_image *image =
			container->image ? image_of(salvage, metadata, container) : NULL;

		if (image && same(container->kind, "sandbox"))
			image->pause = true;
		else if (image)
			image->users++;
	}
}

static int compare(const void *a, const void *b)
{
	const struct salvage_image *x = a, *y = b;

	if (x->by_config != y->by_config)
		return x->by_config ? -1 : 1;
	if (x->pause != y->pause)
		return x->pause ? -1 : 1;
	if (x->users != y->users)
		return x->users < y->users ? 1 : -1;
	return strcmp(x->digest ?: "", y->digest ?: "");
}

static int add_image(struct salvage *salvage, const struct metadata_image *from)
{
	struct salvage_image *image = find(salvage, namespace_of(from), from->digest) ?: add(salvage, from);

	if (!image)
		return -ENOMEM;
	image->pinned |= from->pinned;
	return add_name(image, from->name);
}

/* An image that lost its tag has no other name; among old pages those are deleted ones. */
static bool wants_own_name(const struct salvage *salvage, const struct metadata *metadata,
			   const struct metadata_image *from)
{
	return is_own_name(from->name) && from->digest && !metadata->carved &&
	       !find(salvage, namespace_of(from), from->digest);
}

/* Where the page is lost that named the images, those that had containers can still be named. */
static int add_used_names(struct salvage *salvage, const struct metadata *metadata)
{
	int r = 0;

	for (size_t i = 0; i < metadata->container_count && r == 0; i++) {
		const struct metadata_container *container = &metadata->containers[i];
		const struct metadata_image image = { .ns = container->ns, .name = container->image };

		if (image.name && !is_own_name(image.name) && !find_named(salvage, image.ns, image.name))
			r = add_image(salvage, &image);
	}
	return r;
}

static int add_images(struct salvage *salvage, const struct metadata *metadata)
{
	int r = 0;

	for (size_t i = 0; i < metadata->image_count && r == 0; i++)
		if (!is_own_name(metadata->images[i].name))
			r = add_image(salvage, &metadata->images[i]);
	for (size_t i = 0; i < metadata->image_count && r == 0; i++)
		if (wants_own_name(salvage, metadata, &metadata->images[i]))
			r = add_image(salvage, &metadata->images[i]);
	if (r == 0 && metadata->carved)
		r = add_used_names(salvage, metadata);
	return r;
}

int salvage_list(int old_root_fd, const struct config *config, struct salvage *ret)
{
	cleanup_metadata struct metadata metadata = { 0 };
	cleanup_salvage struct salvage salvage = { 0 };
	int r = metadata_read_root(old_root_fd, &metadata);

	if (r == 0)
		r = add_images(&salvage, &metadata);
	if (r < 0)
		return r;
	count_users(&salvage, &metadata, config);
	if (salvage.count > 0)
		qsort(salvage.images, salvage.count, sizeof(*salvage.images), compare);
	salvage.records = metadata.finding.state;
	salvage.carved = metadata.carved;
	*ret = salvage;
	salvage = (struct salvage){ 0 };
	return 0;
}

void salvage_done(struct salvage *salvage)
{
	for (size_t i = 0; i < salvage->count; i++) {
		struct salvage_image *image = &salvage->images[i];

		for (size_t n = 0; n < image->name_count; n++)
			free(image->names[n]);
		free(image->names);
		free(image->ns);
		free(image->digest);
		free(image->why);
	}
	free(salvage->images);
	*salvage = (struct salvage){ 0 };
}

const char *salvage_outcome_name(enum salvage_outcome outcome)
{
	static const char *const names[] = {
		[SALVAGE_PENDING] = "pending",	     [SALVAGE_DONE] = "done",
		[SALVAGE_PRESENT] = "present",	     [SALVAGE_MISSING] = "missing",
		[SALVAGE_FAILED] = "failed",	     [SALVAGE_NO_TIME] = "no time",
		[SALVAGE_NO_ROOM] = "no room",	     [SALVAGE_NOT_WANTED] = "not wanted",
	};

	return names[outcome];
}

/* What a file or a program says need not be UTF-8: then it is as the log has it. */
static json_t *readable(const char *text)
{
	return text ? json_string(text) ?: json_string(log_name(text)) : json_null();
}

static json_t *image_to_json(const struct salvage_image *image)
{
	json_t *names = json_array();

	/* Names that are not UTF-8 are nobody's to pull. */
	for (size_t i = 0; names && i < image->name_count; i++)
		(void)json_array_append_new(names, json_string(image->names[i]));
	return json_pack("{s:o, s:o, s:o, s:i, s:b, s:b, s:s, s:o, s:I, s:i}", "namespace",
			 readable(image->ns), "digest", readable(image->digest), "names", names, "users",
			 (int)image->users, "pause", image->pause, "pinned", image->pinned, "outcome",
			 salvage_outcome_name(image->outcome), "why", readable(image->why), "bytes",
			 (json_int_t)image->bytes, "msec", (int)image->msec);
}

static json_t *to_json(const struct salvage *salvage)
{
	json_t *images = json_array();

	for (size_t i = 0; i < salvage->count; i++)
		if (json_array_append_new(images, image_to_json(&salvage->images[i])) < 0) {
			json_decref(images);
			return NULL;
		}
	return json_pack("{s:s, s:b, s:o}", "records", bolt_state_name(salvage->records), "carved",
			 salvage->carved, "images", images);
}

/* From damaged records anything may come. */
static bool is_plain(const char *name)
{
	for (; name && *name; name++)
		if (!isgraph((unsigned char)*name))
			return false;
	return true;
}

static int list_to_pull(const struct salvage *salvage, struct text *to)
{
	int r = 0;

	for (size_t i = 0; i < salvage->count; i++) {
		const struct salvage_image *image = &salvage->images[i];

		if (image->outcome == SALVAGE_DONE || image->outcome == SALVAGE_PRESENT)
			continue;
		for (size_t n = 0; n < image->name_count && r == 0; n++) {
			cleanup_free char *line =
				text_print("%s %s\n", image->ns ?: "-", image->names[n]);

			/* No registry knows it; or it would not be a line of its own. */
			if (is_own_name(image->names[n]) || !is_plain(image->ns) || !is_plain(image->names[n]))
				continue;
			r = line ? text_add_string(to, line) : -ENOMEM;
		}
	}
	return r;
}

int salvage_record_list(int records_fd, const char *id, const struct salvage *salvage)
{
	cleanup_free char *name = text_print("repull-%s.txt", id);
	cleanup_text struct text list = { 0 };
	int r = name ? list_to_pull(salvage, &list) : -ENOMEM;

	return r < 0 ? r : file_replace(records_fd, name, list.string ?: "", list.length, 0644);
}

int salvage_record(int records_fd, const char *id, const struct salvage *salvage)
{
	cleanup_free char *name = text_print("salvage-%s.json", id), *text = NULL;
	json_auto_t *json = to_json(salvage);
	int r;

	text = json ? json_dumps(json, JSON_INDENT(1)) : NULL;
	if (!name || !text)
		return -ENOMEM;
	r = salvage_record_list(records_fd, id, salvage);
	return r < 0 ? r : file_replace(records_fd, name, text, strlen(text), 0600);
}
