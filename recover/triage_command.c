#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bsd/vis.h>

#include "recover/cli.h"
#include "recover/command.h"
#include "recover/log.h"
#include "recover/triage_input.h"
#include "scanners/cleanup.h"
#include "scanners/signatures.h"
#include "scanners/text.h"

enum { INPUT_KEPT = 64 * 1024 * 1024 }; /* of a larger file the end is read */

/* What a file that is no text begins with, and what to say of it; NULL: it is text. */
static const char *not_text(const char *bytes, size_t size)
{
	static const struct {
		const char *magic;
		size_t size;
		const char *what;
	} formats[] = {
		{ "\x1f\x8b", 2, "compressed: zcat it" },
		{ "\x28\xb5\x2f\xfd", 4, "compressed: zstdcat it" },
		{ "\xfd" "7zXZ", 5, "compressed: xzcat it" },
		{ "BZh", 3, "compressed: bzcat it" },
		{ "PK\x03\x04", 4, "an archive: unpack it" },
		{ "LPKSHHRH", 8, "a journal file: journalctl --file it" },
		{ "ElfFile", 8, "a Windows event log: export it as text" },
		{ "\xff\xfe", 2, "UTF-16: iconv -f UTF-16 -t UTF-8 it" },
		{ "\xfe\xff", 2, "UTF-16: iconv -f UTF-16 -t UTF-8 it" },
		{ "\x7f" "ELF", 4, "a program" },
	};

	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (size >= formats[i].size &&
		    memcmp(bytes, formats[i].magic, formats[i].size) == 0)
			return formats[i].what;
	return NULL;
}

/* Drop what is before the last INPUT_KEPT bytes, and the line that is cut by it. */
static void keep_end(struct text *text)
{
	char *from = text->string + text->length - INPUT_KEPT;
	char *newline = memchr(from, '\n', INPUT_KEPT);

	from = newline ? newline + 1 : from;
	text->length -= (size_t)(from - text->string);
	memmove(text->string, from, text->length + 1);
}

struct input {
	struct text text;
	bool cut;	   /* only its end is there */
	const char *wrong; /* what it is, if it is no text */
};

static void input_done(struct input *input)
{
	text_done(&input->text);
}
#define cleanup_input __attribute__((cleanup(input_done)))

static int read_all(int fd, struct input *ret)
{
	char buffer[64 * 1024];
	bool first = true;

	for (;;) {
		ssize_t n = read(fd, buffer, sizeof(buffer));
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		if (first)
			ret->wrong = not_text(buffer, (size_t)n);
		if (ret->wrong)
			return -EINVAL;
		first = false;
		r = text_add(&ret->text, buffer, (size_t)n);
		if (r < 0)
			return r;
		if (ret->text.length >= 2 * (size_t)INPUT_KEPT) {
			keep_end(&ret->text);
			ret->cut = true;
		}
	}
}

static int read_log(const char *path, const struct triage_systemd *systemd, struct log *log,
		    const char **ret_wrong)
{
	cleanup_input struct input input = { 0 };
	cleanup_fd int opened = -EBADF;
	int fd = STDIN_FILENO, r;

	if (strcmp(path, "-") != 0) {
		fd = opened = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		if (fd < 0)
			return -errno;
	}
	r = read_all(fd, &input);
	*ret_wrong = input.wrong;
	log->cut = input.cut;
	if (r == 0 && input.text.length > 0)
		r = triage_input_add(log, input.text.string, input.text.length);
	if (r == 0)
		r = triage_input_add_systemd(log, systemd);
	if (r == 0)
		log_settle(log);
	return r;
}

static const char *evidence_line(const struct log *log, size_t index)
{
	return log->lines && index < log->count ? log->lines[index].raw : "";
}

/* "hands-off:no space left": the why only where it is part of the verdict. */
static char *verdict_text(const struct signature_finding *finding)
{
	const char *name = signature_verdict_name(finding->verdict);

	if (finding->verdict == SIGNATURE_HANDS_OFF || finding->verdict == SIGNATURE_PARTIAL)
		return text_print("%s:%s", name, signature_info(finding->signature)->what);
	return strdup(name);
}

/* The log is anybody's: no control character of it reaches the terminal. */
static char *printable(const char *line)
{
	char *escaped = malloc(4 * strlen(line) + 1);

	if (escaped)
		(void)strvis(escaped, line, VIS_CSTYLE | VIS_NOSLASH);
	return escaped;
}

static json_t *json_line(const char *line)
{
	cleanup_free char *escaped = NULL;
	json_t *json = json_string(line);

	if (json)
		return json;
	escaped = printable(line); /* not UTF-8 */
	return escaped ? json_string(escaped) : NULL;
}

static int print_json(const struct log *log, const struct signature_finding *finding,
		      const struct signature_evidence *evidence, const char *verdict)
{
	const struct signature_info *info = signature_info(finding->signature);
	json_t *lines = json_array(), *needs = json_array();
	json_t *json;
	int r;

	for (size_t i = 0; i < evidence->count; i++)
		json_array_append_new(lines, json_line(evidence_line(log, evidence->lines[i])));
	for (unsigned bit = 1; bit <= finding->needs; bit <<= 1)
		if (finding->needs & bit)
			json_array_append_new(needs, json_string(signature_need_name(bit)));
	json = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:i, s:i, s:b}", "verdict", verdict, "rule",
			 info->id, "class", info->class, "what", info->what, "evidence", lines,
			 "needs", needs, "starts", (int)finding->starts, "shown_in",
			 (int)finding->shown_in, "cut", log->cut);
	if (!json)
		return -ENOMEM;
	r = json_dumpf(json, stdout, JSON_INDENT(2));
	json_decref(json);
	printf("\n");
	return r < 0 ? -EIO : 0;
}

static int print_text(const struct log *log, const struct signature_finding *finding,
		      const struct signature_evidence *evidence, const char *verdict)
{
	const struct signature_info *info = signature_info(finding->signature);
	const char *separator = "";

	printf("verdict:  %s\nrule:     %s (%s)\nwhy:      %s\n", verdict, info->id, info->class,
	       info->what);
	printf("starts:   %u in the log%s, %u show it\n", finding->starts,
	       log->cut ? "'s end, which alone was read" : "", finding->shown_in);
	printf("needs:    ");
	for (unsigned bit = 1; bit <= finding->needs; bit <<= 1)
		if (finding->needs & bit) {
			printf("%s%s", separator, signature_need_name(bit));
			separator = ", ";
		}
	printf("%s\n", finding->needs ? "" : "nothing more");
	for (size_t i = 0; i < evidence->count; i++) {
		cleanup_free char *line = printable(evidence_line(log, evidence->lines[i]));

		if (!line)
			return -ENOMEM;
		printf("evidence: %s\n", line);
	}
	return 0;
}

static int judge(const char *path, const struct triage_systemd *systemd, bool as_json)
{
	cleanup_log struct log log = { 0 };
	cleanup_free char *verdict = NULL;
	struct signature_evidence evidence;
	struct signature_finding finding;
	const char *wrong = NULL;
	int r = read_log(path, systemd, &log, &wrong);

	if (r < 0) {
		if (wrong)
			log_error("cannot read %s: it is %s", log_name(path), wrong);
		else
			log_error("cannot read %s: %s", log_name(path), strerror(-r));
		return EXIT_FAILED;
	}
	signature_find(&log, &finding, &evidence);
	verdict = verdict_text(&finding);
	if (!verdict)
		r = -ENOMEM;
	else if (as_json)
		r = print_json(&log, &finding, &evidence, verdict);
	else
		r = print_text(&log, &finding, &evidence, verdict);
	if (r < 0) {
		log_error("cannot print the verdict: %s", strerror(-r));
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

int triage_command(int argc, char **argv)
{
	struct triage_systemd systemd;
	struct cli cli;
	int r;

	r = cli_parse(argc, argv, CLI_FORMAT | CLI_SYSTEMD | CLI_ARGUMENT,
		      "Judge a saved log of a containerd that does not start, without a fact of this\n"
		      "node: what the tool would do, and what it would have to know first.\n\n"
		      "FILE is text from journalctl (-o short, verbose, json, export and others),\n"
		      "syslog, a container's log or a terminal; - is standard input. Of a large one\n"
		      "the end is read.",
		      "FILE|-", &cli);
	if (r >= 0)
		return r;
	systemd = (struct triage_systemd){ .result = cli.result, .exit_status = cli.exit_status };
	return judge(cli.argument, &systemd, cli.format == FORMAT_JSON);
}
