#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "recover/file.h"
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
static bool is_own_name(const struct metadata_image *image)
{
	static const char prefix[] = "sha256:";

	return strncmp(image->name, prefix, strlen(prefix)) == 0;
}

static bool same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static struct salvage_image *find_or_add(struct salvage *salvage, const struct metadata_image *from)
{
	const char *ns = namespace_of(from);
	struct salvage_image *image;
	char *own_ns, *digest;

	for (size_t i = 0; i < salvage->count; i++)
		if (same(salvage->images[i].ns, ns) && same(salvage->images[i].digest, from->digest))
			return &salvage->images[i];
	own_ns = ns ? strdup(ns) : NULL;
	digest = strdup(from->digest);
	image = (own_ns || !ns) && digest ? ARRAY_ADD(salvage->images, salvage->count) : NULL;
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

/* The pause image is what the configuration names, and what sandboxes were made of. */
static void count_users(struct salvage *salvage, const struct metadata *metadata,
			const struct config *config)
{
	for (size_t i = 0; i < salvage->count; i++) {
		struct salvage_image *image = &salvage->images[i];

		image->pause = config->sandbox_image && has_name(image, config->sandbox_image);
		for (size_t c = 0; c < metadata->container_count; c++) {
			const struct metadata_container *container = &metadata->containers[c];

			if (!container->image || !has_name(image, container->image))
				continue;
			if (same(container->kind, "sandbox"))
				image->pause = true;
			else
				image->users++;
		}
	}
}

static int compare(const void *a, const void *b)
{
	const struct salvage_image *x = a, *y = b;

	if (x->pause != y->pause)
		return x->pause ? -1 : 1;
	if (x->users != y->users)
		return x->users < y->users ? 1 : -1;
	return strcmp(x->digest, y->digest);
}

int salvage_list(int old_root_fd, const struct config *config, struct salvage *ret)
{
	cleanup_metadata struct metadata metadata = { 0 };
	cleanup_salvage struct salvage salvage = { 0 };
	int r;

	r = metadata_read_root(old_root_fd, &metadata);
	for (size_t i = 0; i < metadata.image_count && r == 0; i++) {
		const struct metadata_image *from = &metadata.images[i];
		struct salvage_image *image;

		if (is_own_name(from) || !from->digest)
			continue;
		image = find_or_add(&salvage, from);
		r = image ? add_name(image, from->name) : -ENOMEM;
	}
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

static json_t *image_to_json(const struct salvage_image *image)
{
	json_t *names = json_array();

	/* Names that are not UTF-8 are nobody's to pull. */
	for (size_t i = 0; names && i < image->name_count; i++)
		(void)json_array_append_new(names, json_string(image->names[i]));
	return json_pack("{s:s?, s:s, s:o, s:i, s:b, s:s, s:s?, s:I, s:i}", "namespace", image->ns,
			 "digest", image->digest, "names", names, "users", (int)image->users, "pause",
			 image->pause, "outcome", salvage_outcome_name(image->outcome), "why",
			 image->why, "bytes", (json_int_t)image->bytes, "msec", (int)image->msec);
}

json_t *salvage_to_json(const struct salvage *salvage)
{
	json_t *images = json_array();

	for (size_t i = 0; images && i < salvage->count; i++)
		(void)json_array_append_new(images, image_to_json(&salvage->images[i]));
	return json_pack("{s:s, s:b, s:o}", "records", bolt_state_name(salvage->records), "carved",
			 salvage->carved, "images", images);
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

			r = line ? text_add_string(to, line) : -ENOMEM;
		}
	}
	return r;
}

int salvage_record(int records_fd, const char *id, const struct salvage *salvage)
{
	cleanup_free char *json_name = text_print("salvage-%s.json", id),
			  *list_name = text_print("repull-%s.txt", id), *text = NULL;
	cleanup_text struct text list = { 0 };
	json_auto_t *json = salvage_to_json(salvage);
	int r;

	text = json ? json_dumps(json, JSON_INDENT(1)) : NULL;
	if (!json_name || !list_name || !text)
		return -ENOMEM;
	r = list_to_pull(salvage, &list);
	if (r == 0)
		r = file_replace(records_fd, json_name, text, strlen(text), 0600);
	if (r == 0)
		r = file_replace(records_fd, list_name, list.string ?: "", list.length, 0644);
	return r;
}
