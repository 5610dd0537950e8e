#include "scanners/unitexec.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/unitenv.h"

static const char blanks[] = " \t\r\n";

static int octal_or_hex(const char **at, int base, int digits)
{
	char text[4] = "";
	char *end;
	long c;

	memcpy(text, *at, strnlen(*at, (size_t)digits));
	c = strtol(text, &end, base);
	if (end != text + digits || c <= 0 || c > 0xff)
		return -EINVAL;
	*at += digits;
	return (int)c;
}

/* The character behind a backslash; \u and \U are not used in command lines. */
static int unescape_char(const char **at)
{
	static const char plain[] = "abfnrtv\\\"'s", meaning[] = "\a\b\f\n\r\t\v\\\"' ";
	char c = **at;
	const char *known = c ? strchr(plain, c) : NULL;

	if (known) {
		(*at)++;
		return (unsigned char)meaning[known - plain];
	}
	if (c == 'x') {
		(*at)++;
		return octal_or_hex(at, 16, 2);
	}
	if (c >= '0' && c <= '3')
		return octal_or_hex(at, 8, 3);
	return -EINVAL;
}

static int scan_word(const char **at, bool unescape, struct text *out)
{
	const char *s = *at;
	char quote = 0;
	int r = 0;

	while (r == 0 && *s && (quote || !strchr(blanks, *s))) {
		char c = *s++;

		if (quote ? c == quote : c == '"' || c == '\'') {
			quote = quote ? 0 : c;
			continue;
		}
		if (c == '\\' && (unescape || *s)) {
			int escaped = unescape ? unescape_char(&s) : (unsigned char)*s++;

			if (escaped < 0)
				return escaped;
			c = (char)escaped;
		}
		r = text_add(out, &c, 1);
	}
	*at = s;
	return quote && r == 0 ? -EINVAL : r;
}

int unit_next_word(const char **at, bool unescape, char **ret)
{
	cleanup_text struct text word = { 0 };
	char *string;
	int r;

	*at += strspn(*at, blanks);
	if (!**at)
		return 0;
	r = scan_word(at, unescape, &word);
	if (r < 0)
		return r;
	string = text_take(&word);
	if (!string)
		return -ENOMEM;
	*ret = string;
	return 1;
}

/* Those of systemd.unit(5) whose value files alone decide, for the system manager. */
static int add_specifier(struct text *out, char c, const char *name)
{
	static const struct {
		char c;
		const char *value;
	} fixed[] = {
		{ '%', "%" },	    { 't', "/run" },	 { 'S', "/var/lib" }, { 'C', "/var/cache" },
		{ 'E', "/etc" },    { 'L', "/var/log" }, { 'h', "/root" },    { 'u', "root" },
		{ 'U', "0" },	    { 'g', "root" },	 { 'G', "0" },	      { 'T', "/tmp" },
		{ 'V', "/var/tmp" },
	};
	const char *suffix = strrchr(name, '.'), *at = strchr(name, '@');
	const char *stem_end = at && at < suffix ? at : suffix;

	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		if (fixed[i].c == c)
			return text_add_string(out, fixed[i].value);
	switch (c) {
	case 'n':
		return text_add_string(out, name);
	case 'N':
		return text_add(out, name, (size_t)(suffix - name));
	case 'p':
		return text_add(out, name, (size_t)(stem_end - name));
	case 'i':
		return stem_end == at ? text_add(out, at + 1, (size_t)(suffix - at - 1)) : 0;
	default:
		return -ENOTSUP;
	}
}

int unit_expand_specifiers(const char *text, const char *unit_name, char **ret)
{
	cleanup_text struct text out = { 0 };
	char *string;
	int r;

	for (; *text; text++) {
		if (*text == '%' && text[1])
			r = add_specifier(&out, *++text, unit_name);
		else
			r = text_add(&out, text, 1);
		if (r < 0)
			return r;
	}
	string = text_take(&out);
	if (!string)
		return -ENOMEM;
	*ret = string;
	return 0;
}

/* "${NAME}" inside a word, "$$" for a dollar. */
static int expand_in_word(const struct unit_env *env, const char *word, char **ret)
{
	cleanup_text struct text out = { 0 };
	const char *value;
	char *string;
	int r;

	while (*word) {
		const char *end = word[0] == '$' && word[1] == '{' ? strchr(word, '}') : NULL;

		if (end) {
			r = unit_env_get(env, word + 2, (size_t)(end - word - 2), &value);
			if (r == 0)
				r = text_add_string(&out, value);
			word = end;
		} else {
			word += word[0] == '$' && word[1] == '$';
			r = text_add(&out, word, 1);
		}
		if (r < 0)
			return r;
		word++;
	}
	string = text_take(&out);
	if (!string)
		return -ENOMEM;
	*ret = string;
	return 0;
}

/* "$NAME" as a word of its own: as many words as its value has. */
static int expand_word(const struct unit_env *env, const char *word, struct text_list *argv)
{
	cleanup_free char *one = NULL;
	const char *value;
	int r;

	if (word[0] != '$' || !(isalpha((unsigned char)word[1]) || word[1] == '_')) {
		r = expand_in_word(env, word, &one);
		return r < 0 ? r : text_list_take(argv, take_ptr(one));
	}
	r = unit_env_get(env, word + 1, strlen(word + 1), &value);
	if (r < 0)
		return r;
	while ((r = unit_next_word(&value, false, &one)) > 0) {
		r = text_list_take(argv, take_ptr(one));
		if (r < 0)
			return r;
	}
	return r == -EINVAL ? -ENOTSUP : r;
}

struct command {
	struct text_list argv;
	char *path;
	bool expand; /* ':' in front forbids the environment's expansion */
};

static void command_done(struct command *command)
{
	text_list_done(&command->argv);
	free(command->path);
}

/* The path with its prefixes; "@" says that argv[0] comes as a word of its own. */
static int parse_path(const char *word, const char *unit_name, struct command *command)
{
	bool own_name = false;
	int r;

	command->expand = true;
	for (; *word && strchr("@-:+!|", *word); word++) {
		own_name |= *word == '@';
		command->expand &= *word != ':';
	}
	r = unit_expand_specifiers(word, unit_name, &command->path);
	if (r < 0 || own_name)
		return r;
	return text_list_add(&command->argv, command->path);
}

static bool is_word(const char *at, const char *word)
{
	size_t len = strlen(word);

	return strncmp(at, word, len) == 0 && (!at[len] || strchr(blanks, at[len]));
}

static int parse_command(const char *line, const char *unit_name, const struct unit_env *env,
			 struct command *command)
{
	int r;

	for (;;) {
		cleanup_free char *word = NULL, *expanded = NULL;

		line += strspn(line, blanks);
		if (is_word(line, ";"))
			return -ENOTSUP; /* a second command */
		if (is_word(line, "\\;")) {
			line += 2;
			r = text_list_add(&command->argv, ";");
			if (r < 0)
				return r;
			continue;
		}
		r = unit_next_word(&line, true, &word);
		if (r <= 0)
			return r;
		if (!command->path) {
			r = parse_path(word, unit_name, command);
			if (r < 0)
				return r;
			continue;
		}
		r = unit_expand_specifiers(word, unit_name, &expanded);
		if (r == 0 && command->expand)
			r = expand_word(env, expanded, &command->argv);
		else if (r == 0)
			r = text_list_take(&command->argv, take_ptr(expanded));
		if (r < 0)
			return r;
	}
}

/* The one ExecStart= that is left after the resets; @ret_count for more or none. */
static const char *exec_line(const struct unit_file *unit, size_t *ret_count)
{
	const char *line = NULL;

	*ret_count = 0;
	for (size_t i = 0; i < unit->count; i++) {
		const struct unit_setting *setting = &unit->settings[i];

		if (strcmp(setting->section, "Service") != 0 ||
		    strcmp(setting->key, "ExecStart") != 0)
			continue;
		*ret_count = *setting->value ? *ret_count + 1 : 0;
		line = setting->value;
	}
	return line;
}

static int refuse(char **ret_problem, const char *why, const char *line)
{
	char *problem = text_print("ExecStart=%s: %s", line, why);

	if (!problem)
		return -ENOMEM;
	*ret_problem = problem;
	return -ENOTSUP;
}

int unit_exec_start(const char *prefix, const struct unit_file *unit,
		    const struct unit_file *manager, struct text_list *ret, char **ret_path,
		    char **ret_problem)
{
	__attribute__((cleanup(command_done))) struct command command = { 0 };
	cleanup_unit_env struct unit_env env = { 0 };
	size_t count;
	const char *line = exec_line(unit, &count);
	int r;

	if (count == 0)
		return -ENOENT;
	if (count > 1)
		return refuse(ret_problem, "it is not the only one", line);
	r = unit_env_read(prefix, unit, manager, &env);
	if (r == -ENOTSUP)
		return refuse(ret_problem, "its environment cannot be known from files", line);
	if (r < 0)
		return r;
	r = parse_command(line, unit->name, &env, &command);
	if (r == -ENOMEM)
		return r;
	if (r < 0 || !command.path)
		return refuse(ret_problem, "cannot be expanded", line);
	*ret = command.argv;
	*ret_path = command.path;
	command = (struct command){ 0 };
	return 0;
}
