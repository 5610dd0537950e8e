#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bsd/vis.h>

#include "recover/command.h"
#include "recover/log.h"
#include "recover/triage_input.h"
#include "scanners/cleanup.h"
#include "scanners/signatures.h"
#include "scanners/text.h"

enum { INPUT_MAX = 256 * 1024 * 1024 };

static void usage(void)
{
	printf("Usage: containerd-recover triage [OPTION]... FILE|-\n"
	       "Judges a saved log of a containerd that does not start, without a fact of this\n"
	       "node: what the tool would do, and what it would have to know first.\n\n"
	       "FILE is text from journalctl (-o short, json, export), syslog or a terminal.\n\n"
	       "Options:\n"
	       "  --result=RESULT       systemd's Result= of the unit, where the log lacks it\n"
	       "  --exit-status=STATUS  its exit status: 1, 203/EXEC, killed/KILL\n"
	       "  --format=FORMAT       text (default) or json\n"
	       "  -h, --help            show this help\n");
}

static int read_all(int fd, struct text *ret)
{
	char buffer[64 * 1024];

	for (;;) {
		ssize_t n = read(fd, buffer, sizeof(buffer));
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		if (ret->length + (size_t)n > INPUT_MAX)
			return -EFBIG;
		r = text_add(ret, buffer, (size_t)n);
		if (r < 0)
			return r;
	}
}

static int read_log(const char *path, const struct triage_systemd *systemd, struct log *log)
{
	cleanup_text struct text text = { 0 };
	cleanup_fd int opened = -EBADF;
	int fd = STDIN_FILENO, r;

	if (strcmp(path, "-") != 0) {
		fd = opened = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		if (fd < 0)
			return -errno;
	}
	r = read_all(fd, &text);
	if (r == 0 && text.length > 0)
		r = triage_input_add(log, text.string, text.length);
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
	json = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:i, s:i}", "verdict", verdict, "rule",
			 info->id, "class", info->class, "what", info->what, "evidence", lines,
			 "needs", needs, "starts", (int)finding->starts, "shown_in",
			 (int)finding->shown_in);
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
	printf("starts:   %u in the log, %u show it\n", finding->starts, finding->shown_in);
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
	int r = read_log(path, systemd, &log);

	if (r < 0) {
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
	enum { RESULT = 256, EXIT_STATUS, FORMAT };
	static const struct option options[] = {
		{ "result", required_argument, NULL, RESULT },
		{ "exit-status", required_argument, NULL, EXIT_STATUS },
		{ "format", required_argument, NULL, FORMAT },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct triage_systemd systemd = { NULL, NULL };
	const char *format = "text";
	int option;

	log_open(false);
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case RESULT:
			systemd.result = optarg;
			break;
		case EXIT_STATUS:
			systemd.exit_status = optarg;
			break;
		case FORMAT:
			format = optarg;
			break;
		case 'h':
			usage();
			return EXIT_OK;
		default:
			return EXIT_USAGE;
		}
	}
	if (optind + 1 != argc || (strcmp(format, "text") != 0 && strcmp(format, "json") != 0)) {
		log_error("triage takes one FILE or '-', and --format=text or json");
		return EXIT_USAGE;
	}
	return judge(argv[optind], &systemd, strcmp(format, "json") == 0);
}
