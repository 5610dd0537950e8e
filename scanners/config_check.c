#include "scanners/config_files.h"

#include <errno.h>
#include <string.h>

#include "scanners/cleanup.h"

/* What containerd's own structures decode; a "[]" is an array of strings. */
static const struct {
	const char *table, *key;
	enum toml_type type;
} known[] = {
	{ "", "root", TOML_STRING },
	{ "", "state", TOML_STRING },
	{ "", "temp", TOML_STRING },
	{ "", "plugin_dir", TOML_STRING },
	{ "", "oom_score", TOML_INTEGER },
	{ "", "disabled_plugins", TOML_ARRAY },
	{ "", "required_plugins", TOML_ARRAY },
	{ "", "plugins", TOML_TABLE },
	{ "", "proxy_plugins", TOML_TABLE },
	{ "", "timeouts", TOML_TABLE },
	{ "", "stream_processors", TOML_TABLE },
	{ "", "grpc", TOML_TABLE },
	{ "", "ttrpc", TOML_TABLE },
	{ "", "debug", TOML_TABLE },
	{ "", "metrics", TOML_TABLE },
	{ "", "cgroup", TOML_TABLE },
	{ "grpc", "address", TOML_STRING },
	{ "grpc", "tcp_address", TOML_STRING },
	{ "grpc", "tcp_tls_ca", TOML_STRING },
	{ "grpc", "tcp_tls_cert", TOML_STRING },
	{ "grpc", "tcp_tls_key", TOML_STRING },
	{ "grpc", "uid", TOML_INTEGER },
	{ "grpc", "gid", TOML_INTEGER },
	{ "grpc", "max_recv_message_size", TOML_INTEGER },
	{ "grpc", "max_send_message_size", TOML_INTEGER },
	{ "ttrpc", "address", TOML_STRING },
	{ "ttrpc", "uid", TOML_INTEGER },
	{ "ttrpc", "gid", TOML_INTEGER },
	{ "debug", "address", TOML_STRING },
	{ "debug", "level", TOML_STRING },
	{ "debug", "format", TOML_STRING },
	{ "debug", "uid", TOML_INTEGER },
	{ "debug", "gid", TOML_INTEGER },
	{ "metrics", "address", TOML_STRING },
	{ "metrics", "grpc_histogram", TOML_BOOLEAN },
	{ "cgroup", "path", TOML_STRING },
};

/* Of CRI's section, under whatever name, only what we read ourselves. */
static const struct {
	const char *table, *key;
	enum toml_type type;
} known_cri[] = {
	{ "", "sandbox_image", TOML_STRING },
	{ "", "snapshotter", TOML_STRING },
	{ "", "netns_mounts_under_state_dir", TOML_BOOLEAN },
	{ "", "cni", TOML_TABLE },
	{ "", "containerd", TOML_TABLE },
	{ "cni", "bin_dir", TOML_STRING },
	{ "cni", "bin_dirs", TOML_ARRAY },
	{ "cni", "conf_dir", TOML_STRING },
	{ "cni", "max_conf_num", TOML_INTEGER },
	{ "containerd", "snapshotter", TOML_STRING },
	{ "containerd", "default_runtime_name", TOML_STRING },
};

static const char *const cri_ids[] = {
	"io.containerd.cri.v1.runtime",
	"io.containerd.cri.v1.images",
	"io.containerd.grpc.v1.cri",
	"cri",
};

struct check {
	const char *path; /* of the file */
	char **ret_problem;
};

static int refuse(const struct check *check, char *text)
{
	if (!text)
		return -ENOMEM;
	*check->ret_problem = text;
	return -EINVAL;
}

static int check_type(const struct check *check, const struct toml_value *value,
		      enum toml_type want)
{
	if (!value)
		return 0;
	if (value->type != want)
		return refuse(check, text_print("%s:%u: %s must be of type %s and is %s",
						check->path, value->line, value->key,
						toml_type_name(want), toml_type_name(value->type)));
	if (want != TOML_ARRAY)
		return 0;
	for (const struct toml_value *i = value->first; i; i = i->next)
		if (i->type != TOML_STRING)
			return refuse(check, text_print("%s:%u: %s must have strings only",
							check->path, i->line, value->key));
	return 0;
}

static const struct toml_value *table_of(const struct toml_value *top, const char *name)
{
	return *name ? toml_get(top, name) : top;
}

static int check_known(const struct check *check, const struct toml_value *document)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(known) && r == 0; i++)
		r = check_type(check,
			       toml_get(table_of(document, known[i].table), known[i].key),
			       known[i].type);
	return r;
}

static int check_cri(const struct check *check, const struct toml_value *plugins)
{
	for (size_t id = 0; id < ARRAY_SIZE(cri_ids); id++) {
		const struct toml_value *section = toml_get(plugins, cri_ids[id]);

		for (size_t i = 0; section && i < ARRAY_SIZE(known_cri); i++) {
			int r = check_type(check,
					   toml_get(table_of(section, known_cri[i].table),
						    known_cri[i].key),
					   known_cri[i].type);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* Version 2 wants "io.containerd.x.vN.name" of containerd 1.x, later ones a dot. */
static bool is_plugin_uri(const char *name, int version)
{
	unsigned dots = 0;

	for (const char *c = name; *c; c++)
		dots += *c == '.';
	return dots >= (version == 2 ? 3 : 1);
}

static int check_uris(const struct check *check, const struct toml_value *document, int version)
{
	static const char *const lists[] = { "disabled_plugins", "required_plugins" };
	const struct toml_value *plugins = toml_get(document, "plugins");

	for (size_t k = 0; k < ARRAY_SIZE(lists); k++) {
		const struct toml_value *list = toml_get(document, lists[k]);

		for (const struct toml_value *i = list ? list->first : NULL; i; i = i->next)
			if (!is_plugin_uri(i->string, version))
				return refuse(check, text_print("%s:%u: %s: '%s' is no plugin URI",
								check->path, i->line, lists[k],
								i->string));
	}
	if (version != 2)
		return 0;
	for (const struct toml_value *i = plugins ? plugins->first : NULL; i; i = i->next)
		if (!is_plugin_uri(i->key, version))
			return refuse(check, text_print("%s:%u: '%s' is no plugin URI", check->path,
							i->line, i->key));
	return 0;
}

/* Go's time.ParseDuration: "1h15m30.5s", "0", "-2ms". */
static bool is_duration(const char *s)
{
	static const char *const units[] = { "ns", "us", "\xc2\xb5s", "\xce\xbcs",
					     "ms", "s",	 "m",	      "h" };

	s += *s == '+' || *s == '-';
	if (strcmp(s, "0") == 0)
		return true;
	do {
		size_t whole = strspn(s, "0123456789"), fraction = 0, unit;

		s += whole;
		if (*s == '.') {
			fraction = strspn(++s, "0123456789");
			s += fraction;
		}
		if (whole + fraction == 0)
			return false;
		for (unit = 0; unit < ARRAY_SIZE(units); unit++) {
			size_t len = strlen(units[unit]);
			bool next_is_unit = s[len] >= 'a' && s[len] <= 'z';

			if (strncmp(s, units[unit], len) == 0 && !next_is_unit) {
				s += len;
				break;
			}
		}
		if (unit == ARRAY_SIZE(units))
			return false;
	} while (*s);
	return true;
}

static int check_timeouts(const struct check *check, const struct toml_value *document)
{
	const struct toml_value *timeouts = toml_get(document, "timeouts");

	for (const struct toml_value *i = timeouts ? timeouts->first : NULL; i; i = i->next) {
		int r = check_type(check, i, TOML_STRING);

		if (r < 0)
			return r;
		if (!is_duration(i->string))
			return refuse(check, text_print("%s:%u: timeouts: '%s' is no duration",
							check->path, i->line, i->string));
	}
	return 0;
}

/* Of all versions together; any other type makes containerd panic. */
static bool is_proxy_type(const struct toml_value *type)
{
	static const char *const types[] = { "snapshot", "io.containerd.snapshotter.v1",
					     "content",	 "io.containerd.content.v1",
					     "diff",	 "io.containerd.differ.v1",
					     "sandbox",	 "io.containerd.sandbox.controller.v1" };

	for (size_t i = 0; type && i < ARRAY_SIZE(types); i++)
		if (strcmp(types[i], type->string) == 0)
			return true;
	return false;
}

static int check_proxies(const struct check *check, const struct toml_value *document)
{
	static const char *const keys[] = { "type", "address", "platform" };
	const struct toml_value *proxies = toml_get(document, "proxy_plugins");

	for (const struct toml_value *i = proxies ? proxies->first : NULL; i; i = i->next) {
		int r = check_type(check, i, TOML_TABLE);

		for (size_t k = 0; k < ARRAY_SIZE(keys) && r == 0; k++)
			r = check_type(check, toml_get(i, keys[k]), TOML_STRING);
		if (r < 0)
			return r;
		if (!is_proxy_type(toml_get(i, "type")))
			return refuse(check, text_print("%s:%u: proxy_plugins: %s has no known type",
							check->path, i->line, i->key));
	}
	return 0;
}

int config_files_check(const struct config_files *files, char **ret_problem)
{
	int r = 0;

	for (size_t i = 0; i < files->count && r == 0; i++) {
		const struct toml_value *document = toml_document(files->docs[i]);
		const struct check check = { files->paths.items[i], ret_problem };

		r = check_known(&check, document);
		if (r == 0)
			r = check_cri(&check, toml_get(document, "plugins"));
		if (r == 0)
			r = check_timeouts(&check, document);
		if (r == 0)
			r = check_proxies(&check, document);
		if (r == 0 && files->version >= 2)
			r = check_uris(&check, document, files->version);
	}
	return r;
}
