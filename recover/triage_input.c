#include "recover/triage_input.h"

#include <ctype.h>
#include <jansson.h>
#include <string.h>

#include "scanners/cleanup.h"

static void cleanup_json_decref(json_t **json)
{
	json_decref(*json);
}
#define cleanup_json __attribute__((cleanup(cleanup_json_decref)))

/* "203/EXEC" was an exit, "killed/KILL" and "dumped 5/TRAP" say themselves what they were. */
static int add_exit_status(struct log *log, const char *status)
{
	if (strncmp(status, "killed", 6) == 0)
		return log_add_systemd(log, "Main process exited, code=killed, status=%s",
				       status + strcspn(status, "/ "));
	if (strncmp(status, "dumped", 6) == 0)
		return log_add_systemd(log, "Main process exited, code=dumped, status=%s",
				       status + 6 + strspn(status + 6, " "));
	if (isupper((unsigned char)*status))
		return log_add_systemd(log, "Main process exited, code=killed, status=%s", status);
	return log_add_systemd(log, "Main process exited, code=exited, status=%s", status);
}

int triage_input_add_systemd(struct log *log, const struct triage_systemd *systemd)
{
	int r = 0;

	if (systemd->exit_status)
		r = add_exit_status(log, systemd->exit_status);
	if (r == 0 && systemd->result)
		r = log_add_systemd(log, "Failed with result '%s'.", systemd->result);
	return r;
}

static bool names_other_unit(const char *text)
{
	return text && strstr(text, ".service") && !strstr(text, "containerd.service");
}

static int add_systemd_object(struct log *log, const json_t *object)
{
	const char *status = json_string_value(json_object_get(object, "exit_code"));
	const char *unit = json_string_value(json_object_get(object, "unit"));
	const struct triage_systemd systemd = {
		.result = json_string_value(json_object_get(object, "result")),
		.exit_status = status,
	};
	const json_t *lines = json_object_get(object, "status_lines"), *line;
	size_t i;
	int r = 0;

	if (names_other_unit(unit) || names_other_unit(status))
		return 0;
	json_array_foreach(lines, i, line) {
		const char *text = json_string_value(line);

		if (text && r == 0 && !names_other_unit(text))
			r = log_add_systemd(log, "%s", text);
	}
	return r < 0 ? r : triage_input_add_systemd(log, &systemd);
}

static int add_object(struct log *log, const json_t *object)
{
	const json_t *lines = json_object_get(object, "log"), *line;
	size_t i;
	int r = 0;

	if (json_is_string(lines))
		r = log_add_text(log, json_string_value(lines), json_string_length(lines));
	json_array_foreach(lines, i, line)
		if (json_is_string(line) && r == 0)
			r = log_add_text(log, json_string_value(line), json_string_length(line));
	return r < 0 ? r : add_systemd_object(log, json_object_get(object, "systemd"));
}

/* One line of docker's json-file, or of a collector that says where it is from? */
static bool is_collected(const json_t *object)
{
	return json_object_get(object, "stream") || json_object_get(object, "kubernetes");
}

int triage_input_add(struct log *log, const char *text, size_t size)
{
	cleanup_json json_t *json = NULL;

	if (size > 0 && *text == '{')
		json = json_loadb(text, size, 0, NULL);
	if (json_object_get(json, "log") && !is_collected(json))
		return add_object(log, json);
	return log_add_text(log, text, size);
}
