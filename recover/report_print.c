#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "recover/log.h"
#include "recover/report.h"
#include "recover/userdata_print.h"
#include "scanners/cleanup.h"

/* One page. */
enum { PODS_SHOWN = 15, IMAGES_SHOWN = 8, DATA_SHOWN = 8, LINES_SHOWN = 8, WHEN = 64 };

static const char *text_of(const json_t *json, const char *key)
{
	return json_string_value(json_object_get(json, key)) ?: "";
}

static json_int_t number_of(const json_t *json, const char *key)
{
	return json_integer_value(json_object_get(json, key));
}

static const char *when(json_int_t sec, char text[WHEN])
{
	time_t t = sec;
	struct tm tm;

	if (!localtime_r(&t, &tm) || strftime(text, WHEN, "%F %T %Z", &tm) == 0)
		text[0] = '\0';
	return text;
}

static void print_more(size_t count, size_t shown)
{
	if (count > shown)
		printf("  and %zu more\n", count - shown);
}

static void print_why(const json_t *why)
{
	const json_t *evidence = json_object_get(why, "evidence");

	printf("Why: %s (rule %s)\n", log_name(text_of(why, "text")), text_of(why, "rule"));
	for (size_t i = 0; i < json_array_size(evidence) && i < LINES_SHOWN; i++)
		printf("  %s\n", log_name(json_string_value(json_array_get(evidence, i)) ?: ""));
	print_more(json_array_size(evidence), LINES_SHOWN);
}

static const struct {
	const char *event, *words;
} events[] = {
	{ "quarantine", "the data root was set aside and a fresh one put in its place" },
	{ "defer", "what containerd would have deleted inside its start was set aside" },
	{ "tmpmounts", "the temporary mounts that containerd could not unmount were set aside" },
	{ "restart", "containerd was restarted, for its next start to be judged under the lock of meta.db" },
	{ "failed", "pods were ended for a fresh data root, which could then not be put in place" },
	{ "free-state", "pods of dead and hung shims were ended, their bundles moved aside" },
	{ "restore", "the old data root was put back in place of the fresh one" },
};

static const struct {
	const char *key, *words;
} counts[] = {
	{ "processes", "processes ended" },  { "links", "links taken down" },
	{ "addresses", "addresses released" }, { "bundles", "bundles moved aside" },
	{ "directories", "directories" },    { "entries", "entries in them" },
	{ "failed", "things failed: see the journal" },
};

static void print_done(const json_t *report)
{
	const json_t *done = json_object_get(report, "done");
	const char *separator = "  ";

	for (size_t i = 0; i < ARRAY_SIZE(events); i++)
		if (strcmp(events[i].event, text_of(report, "event")) == 0)
			printf("Done: %s\n", events[i].words);
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		if (number_of(done, counts[i].key) == 0)
			continue;
		printf("%s%" JSON_INTEGER_FORMAT " %s", separator, number_of(done, counts[i].key),
		       counts[i].words);
		separator = ", ";
	}
	if (separator[0] == ',')
		printf("\n");
}

static void print_lost(const json_t *lost, const json_t *next)
{
	const json_t *pods = json_object_get(lost, "pods"), *images = json_object_get(lost, "images");

	printf("Lost: %zu pods%s\n", json_array_size(pods),
	       json_array_size(pods) ? ", their processes; kubelet makes them anew" : "");
	for (size_t i = 0; i < json_array_size(pods) && i < PODS_SHOWN; i++)
		printf("  %s\n", log_name(json_string_value(json_array_get(pods, i)) ?: ""));
	print_more(json_array_size(pods), PODS_SHOWN);
	if (json_array_size(images) == 0)
		return;
	printf("  images that were not brought over, to be pulled (%s):\n", text_of(next, "repull"));
	for (size_t i = 0; i < json_array_size(images) && i < IMAGES_SHOWN; i++) {
		const json_t *image = json_array_get(images, i);

		printf("    %s: %s %s\n", log_name(text_of(image, "name")), text_of(image, "outcome"),
		       log_name(text_of(image, "why")));
	}
	print_more(json_array_size(images), IMAGES_SHOWN);
}

/* What `keep` copied. */
static void print_copies(const json_t *copies)
{
	char text[WHEN];

	for (size_t i = 0; i < json_array_size(copies) && i < DATA_SHOWN; i++) {
		const json_t *copy = json_array_get(copies, i);

		printf("    copied to %s, %s%s\n", log_name(text_of(copy, "to")),
		       when(number_of(copy, "time"), text),
		       number_of(copy, "left") ? ", not in full" : "");
	}
	print_more(json_array_size(copies), DATA_SHOWN);
}

/*
 * @lost_images: of the same quarantine. @in_place: the root was not moved, nor anything
 * in it that containerd keeps.
 */
static void print_kept(const json_t *kept, const json_t *lost_images, const char *state, bool in_place)
{
	const json_t *images = json_object_get(kept, "images"), *data = json_object_get(kept, "user_data");

	printf("Kept: ");
	if (in_place)
		printf("the data root, its images and all pods\n");
	else if (images && json_array_size(images) + json_array_size(lost_images) == 0)
		printf("no image: none is named in what can be read of its records\n");
	else if (images)
		printf("%zu images are there\n", json_array_size(images));
	else
		printf("images not gone through yet\n");
	if (data && json_array_size(data) == 0)
		printf("  no user data was found\n");
	else if (data)
		printf("  user data, %s the quarantine:\n",
		       strcmp(state, "purged") == 0 ? "gone with" : "in");
	else
		printf("  user data not listed yet\n");
	userdata_print_json(data, "    ", DATA_SHOWN);
	print_copies(json_object_get(kept, "copies"));
}

static void print_stages(const json_t *report)
{
	json_t *stages = json_object_get(report, "stages"), *value;
	const char *name;

	printf("Stages:\n");
	json_object_foreach(stages, name, value) {
		json_int_t msec = json_integer_value(value);

		if (json_is_integer(value))
			printf("  %-8s %" JSON_INTEGER_FORMAT ".%03d s\n", name, msec / 1000,
			       (int)(msec % 1000));
		else
			printf("  %-8s under way, or to be gone on with\n", name);
	}
	if (json_is_true(json_object_get(report, "pending")))
		printf("  the background work goes on, or is taken up again at containerd's next start\n");
}

static void print_next(const json_t *next)
{
	json_int_t until = number_of(next, "restorable_until"), purge = number_of(next, "purge_at");
	char text[WHEN];

	printf("Next:\n");
	if (until)
		printf("  undo it, until %s at least: %s\n", when(until, text), text_of(next, "restore"));
	if (*text_of(next, "keep"))
		printf("  keep user data: %s\n", text_of(next, "keep"));
	if (*text_of(next, "repull"))
		printf("  pull what is listed in %s\n", text_of(next, "repull"));
	if (purge)
		printf("  else nothing: the quarantine is purged after %s\n", when(purge, text));
	else if (!until && !*text_of(next, "keep") && !*text_of(next, "repull"))
		printf("  nothing\n");
}

void report_print(const json_t *report)
{
	const char *event = text_of(report, "event");
	bool is_quarantine = strcmp(event, "quarantine") == 0;
	bool in_place = strcmp(event, "defer") == 0 || strcmp(event, "tmpmounts") == 0;
	char text[WHEN];

	printf("Incident %s: %s, %s, now %s\n", text_of(report, "id"), event,
	       when(number_of(report, "time"), text), text_of(report, "state"));
	if (*text_of(report, "root"))
		printf("Of: %s, data root %s\n", log_name(text_of(report, "unit")),
		       log_name(text_of(report, "root")));
	print_why(json_object_get(report, "why"));
	print_done(report);
	print_lost(json_object_get(report, "lost"), json_object_get(report, "next"));
	if (is_quarantine || json_object_get(json_object_get(report, "kept"), "user_data"))
		print_kept(json_object_get(report, "kept"), json_object_get(json_object_get(report, "lost"), "images"),
			   text_of(report, "state"), in_place);
	print_stages(report);
	print_next(json_object_get(report, "next"));
}
