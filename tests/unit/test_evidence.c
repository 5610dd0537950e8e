#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

#include "recover/evidence.h"
#include "recover/evidence_redact.h"
#include "recover/file.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "tests/unit/fault.h"
#include "tests/unit/tap.h"

static char tmp[4096];

static const char config_text[] =
	"version = 2\n"
	"root = \"/var/lib/containerd\"\n"
	"[plugins.\"io.containerd.grpc.v1.cri\".registry]\n"
	"  config_path = \"/etc/containerd/certs.d\"\n"
	"  [plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"registry.example\"]\n"
	"    endpoint = [\"https://someone:hunter1@mirror.example\", \"https://plain.example\"]\n"
	"  [plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"a.example\".auth]\n"
	"    username = \"hunter2\"\n"
	"    anything = '''\n"
	"hunter3\n"
	"x = hunter4\n"
	"'''\n"
	"  [plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"b.example\".tls]\n"
	"    ca_file = \"/etc/ca.pem\"\n"
	"    \"identityToken\" = [\n"
	"      \"hunter5\", # ]\n"
	"      \"hunter6\" ]\n"
	"    inline = { auth = { password = \"hunter7\" } }\n"
	"    # password = \"hunter8\"\n"
	"    after = 1\n"
	"  [headers]\n"
	"    X-Key = [\"hunter9\"]\n"
	"[grpc]\n"
	"  address = \"/run/containerd/containerd.sock\"\n";

static void test_redacting_config(void)
{
	cleanup_text struct text to = { 0 };

	CHECK_EQ(redact_config(config_text, &to), 0);
	CHECK(strstr(to.string, "hunter") == NULL);
	CHECK(strstr(to.string, "root = \"/var/lib/containerd\"") != NULL);
	CHECK(strstr(to.string, "config_path = \"/etc/containerd/certs.d\"") != NULL);
	CHECK(strstr(to.string, "(removed)@mirror.example\", \"https://plain.example\"]") != NULL);
	CHECK(strstr(to.string, "ca_file = \"/etc/ca.pem\"") != NULL);
	CHECK(strstr(to.string, "after = 1") != NULL);
	CHECK(strstr(to.string, "address = \"/run/containerd/containerd.sock\"") != NULL);
}

/* Cut anywhere, a credential is still not let through. */
static void test_redacting_half_a_config(void)
{
	for (size_t i = 0; i < sizeof(config_text) - 1; i++) {
		cleanup_text struct text to = { 0 };
		cleanup_free char *half = strndup(config_text, i);

		CHECK_EQ(redact_config(half, &to), 0);
		CHECK(!to.string || strstr(to.string, "hunter") == NULL ||
		      strstr(half, "hunter1@") == NULL);
	}
}

static void test_redacting_lines(void)
{
	cleanup_text struct text to = { 0 };

	CHECK_EQ(redact_lines("Environment=HTTPS_PROXY=http://me:hunter1@proxy:3128\n"
			      "level=error msg=\"failed to authorize: 401\"\n"
			      "GET / Authorization: Bearer hunter2\n"
			      "url=http://me:hunter3@proxy password=hunter4 and hunter5\n"
			      "panic: invalid page type: 0: 0",
			      &to),
		 0);
	CHECK(strstr(to.string, "hunter") == NULL);
	CHECK(strstr(to.string, "http://(removed)@proxy:3128\n") != NULL);
	CHECK(strstr(to.string, "failed to authorize: 401\"\n") != NULL);
	CHECK(strstr(to.string, "panic: invalid page type: 0: 0") != NULL);
}

static void test_redacting_what_spans_lines(void)
{
	cleanup_text struct text to = { 0 };

	CHECK_EQ(redact_config("[stream_processors.\"x\"]\n"
			       "  env = [\n"
			       "    \"KEYS=/etc/keys\",\n"
			       "    \"DECRYPT_PASSPHRASE=hunter1\",\n"
			       "  ]\n"
			       "  path = \"ctd-decoder\"\n"
			       "  access_key = 'hunter2'\n"
			       "  # the password is hunter3\n"
			       "  # token = [\n"
			       "  after_comment = 1\n"
			       "  password = \"\"\"\n"
			       "hunter4\n"
			       "hunter5\n"
			       "\"\"\"\n"
			       "  token = [\"a\\\"]\",\n"
			       "    \"hunter6\"]\n"
			       "  secret = ['a\\']\n"
			       "  after_quote = 1\n",
			       &to),
		 0);
	CHECK(strstr(to.string, "hunter") == NULL);
	CHECK(strstr(to.string, "after_comment = 1") != NULL);
	CHECK(strstr(to.string, "after_quote = 1") != NULL);
	CHECK(strstr(to.string, "\"KEYS=/etc/keys\"") != NULL);
	CHECK(strstr(to.string, "path = \"ctd-decoder\"") != NULL);
}

static void test_redacting_a_unit(void)
{
	cleanup_text struct text to = { 0 };

	CHECK_EQ(redact_unit("[Service]\n"
			     "Environment=HTTPS_PROXY=http://me:hunter1@proxy:3128 NO_PROXY=.local\n"
			     "Environment=REGISTRY_TOKEN=hunter2 A=b\n"
			     "Environment=\"X=1\" \\\n"
			     "  API_KEY=hunter3 \\\n"
			     "  hunter4\n"
			     "SetCredential=pull:hunter5\n"
			     "Environment=A_TOKEN=b \\\r\n"
			     "  hunter6\r\n"
			     "ExecStart=/usr/bin/containerd --log-level debug\n"
			     "PrivateTmp=no",
			     &to),
		 0);
	CHECK(strstr(to.string, "hunter") == NULL);
	CHECK(strstr(to.string, "http://(removed)@proxy:3128 NO_PROXY=.local\n") != NULL);
	CHECK(strstr(to.string, "Environment=(removed)\n") != NULL);
	CHECK(strstr(to.string, "\nExecStart=/usr/bin/containerd --log-level debug\nPrivateTmp=no") != NULL);
}

static void test_redacting_urls(void)
{
	static const char *const cases[][2] = {
		{ "http://u:hunter@h:1/p", "http://(removed)@h:1/p" },
		{ "http://u:hun/ter@h/p", "http://(removed)@h/p" },
		{ "http://u:hun@ter@h/p", "http://(removed)@h/p" },
		{ "http://u:hun,ter@h/p", "http://(removed)@h/p" },
		{ "https://hunter@h", "https://(removed)@h" },
		{ "https://h:443/v2/a@sha256:12", "https://h:443/v2/a@sha256:12" },
		{ "https://h/v2/a@sha256:12", "https://h/v2/a@sha256:12" },
		{ "[\"http://a\", \"http://u:p@b\", \"x@y\"]", "[\"http://a\", \"http://(removed)@b\", \"x@y\"]" },
		{ "['http://a','x@y']", "['http://a','x@y']" },
		{ "h.example/a@sha256:12", "h.example/a@sha256:12" },
		{ "://", "://" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_text struct text to = { 0 };

		CHECK_EQ(redact_urls(cases[i][0], &to), 0);
		CHECK_STR(to.string, cases[i][1]);
	}
}

static int make_root(void)
{
	char path[5000];
	int root, fd;

	(void)snprintf(path, sizeof(path), "%s/root/io.containerd.metadata.v1.bolt", tmp);
	fd = file_make_dirs(path, 0700);
	CHECK_EQ(file_replace(fd, "meta.db", "0123456789", 10, 0600), 0);
	(void)close(fd);
	(void)snprintf(path, sizeof(path), "%s/root/io.containerd.snapshotter.v1.overlayfs", tmp);
	fd = file_make_dirs(path, 0700);
	CHECK_EQ(symlinkat("/etc/shadow", fd, "metadata.db"), 0);
	(void)close(fd);
	(void)snprintf(path, sizeof(path), "%s/root/io.containerd.snapshotter.v1.native", tmp);
	fd = file_make_dirs(path, 0700);
	CHECK_EQ(mkfifoat(fd, "metadata.db", 0600), 0);
	CHECK_EQ(symlinkat("../outside", fd, "../io.containerd.snapshotter.v1.linked"), 0);
	(void)close(fd);
	(void)snprintf(path, sizeof(path), "%s/outside", tmp);
	fd = file_make_dirs(path, 0700);
	CHECK_EQ(file_replace(fd, "metadata.db", "hunter3", 7, 0600), 0);
	(void)close(fd);
	(void)snprintf(path, sizeof(path), "%s/config.toml", tmp);
	fd = open(tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_EQ(file_replace(fd, "config.toml", config_text, strlen(config_text), 0600), 0);
	(void)close(fd);
	(void)snprintf(path, sizeof(path), "%s/root", tmp);
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(root >= 0);
	return root;
}

/* What tar makes of the archive @path: the member @name, or the list of them. */
static char *extract(const char *path, const char *name)
{
	cleanup_free char *command = NULL;
	char *text = NULL;
	size_t size = 0;
	FILE *pipe, *to = open_memstream(&text, &size);

	CHECK(asprintf(&command, "tar %s --wildcards --zstd -f '%s' %s", name ? "-xO" : "-t", path,
		       name ?: "") > 0);
	pipe = popen(command, "re");
	for (int c; pipe && (c = fgetc(pipe)) != EOF;)
		(void)fputc(c, to);
	CHECK_EQ(pipe ? pclose(pipe) : -1, 0);
	(void)fclose(to);
	return text;
}

static size_t count_of(const char *text, const char *word)
{
	size_t count = 0;

	for (const char *at = text; (at = strstr(at, word)); at++)
		count++;
	return count;
}

static struct evidence_options options = {
	.why = "20261123-1/x",
	.file_bytes_max = 1 << 20,
	.root_fd = -EBADF,
};
static char directory[5000];

static void test_archive(void)
{
	cleanup_free char *path = NULL, *list = NULL, *facts = NULL, *meta = NULL, *config = NULL,
			  *missing = NULL, *journal = NULL;
	json_t *json = json_pack("{s:i, s:s}", "answer", 42, "line", "dial http://me:hunter1@proxy/");
	cleanup_free char *all = NULL;
	struct inventory inventory = { 0 };
	struct stat st;

	options.facts = options.decision = options.manifest = options.scan = json;
	options.journal = "panic: x\nAuthorization: hunter2\n";
	options.inventory = &inventory;
	CHECK_EQ(evidence_write(&options, &path), 0);
	CHECK_EQ(stat(directory, &st), 0);
	CHECK_EQ(st.st_mode & 07777, 0700);
	CHECK(strstr(path, "-20261123-1-x.tar.zst") != NULL);
	CHECK_EQ(stat(path, &st), 0);
	CHECK_EQ(st.st_mode & 07777, 0600);
	list = extract(path, NULL);
	CHECK(strstr(list, "system/mountinfo\n") != NULL);
	CHECK(strstr(list, "inventory.json\n") != NULL);
	CHECK(strstr(list, "config/problem.txt\n") == NULL);
	facts = extract(path, "facts.json decision.json manifest.json scan.json");
	CHECK_EQ(count_of(facts, "42"), 4);
	all = extract(path, "'*'");
	CHECK(strstr(all, "hunter") == NULL);
	meta = extract(path, "databases/io.containerd.metadata.v1.bolt-meta.db");
	CHECK_STR(meta, "0123456789");
	journal = extract(path, "journal.txt");
	CHECK_STR(journal, "panic: x\nAuthorization:(removed)\n");
	config = extract(path, "'config*config.toml'");
	CHECK(strstr(config, "hunter") == NULL);
	CHECK(strstr(config, "certs.d") != NULL);
	missing = extract(path, "missing.txt");
	CHECK(strstr(missing, "overlayfs-metadata.db: ") != NULL);
	CHECK(strstr(missing, "native-metadata.db: Invalid argument") != NULL);
	CHECK(strstr(missing, "linked-metadata.db: ") != NULL);
	CHECK_EQ(count_of(missing, "databases/"), 3);
	json_decref(json);
	options.facts = options.decision = options.manifest = options.scan = NULL;
	options.inventory = NULL;
}

/* One that is not understood is there as it is, and why; without a root, no databases. */
static void test_archive_of_an_unreadable_configuration(void)
{
	struct config config = { .config_path = options.config->files[0], .problem = (char *)"line 7" };
	struct evidence_options rest = options;
	cleanup_free char *path = NULL, *text = NULL, *list = NULL;

	rest.config = &config;
	rest.root_fd = -EBADF;
	CHECK_EQ(evidence_write(&rest, &path), 0);
	text = extract(path, "config/config.toml config/problem.txt");
	CHECK(strstr(text, "certs.d") != NULL && strstr(text, "line 7") != NULL);
	CHECK(strstr(text, "hunter") == NULL);
	list = extract(path, NULL);
	CHECK(strstr(list, "databases") == NULL && strstr(list, "missing.txt") == NULL);
}

/* Larger than what is read at once. */
static void make_large(char *block, size_t size)
{
	cleanup_fd int fd = openat(options.root_fd, "io.containerd.metadata.v1.bolt",
				   O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (size_t i = 0; i < size; i++)
		block[i] = (char)('a' + i * 7 / 1000 % 26);
	block[size - 1] = '\0';
	CHECK_EQ(file_replace(fd, "meta.db", block, size - 1, 0600), 0);
}

/* What was not to be had in time is named, and what came before it is there. */
static void test_time(void)
{
	static const struct {
		const char *call;
		unsigned budget_msec;
		bool whole;
	} cases[] = { { "", 60000, true }, { "pread", FAULT_HANG_MSEC / 2, false } };
	static char block[600000];
	json_auto_t *json = json_pack("{s:i}", "answer", 42);
	struct evidence_options bounded = options;

	make_large(block, sizeof(block));
	bounded.scan = json;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *path = NULL, *missing = NULL, *meta = NULL;

		bounded.budget_msec = cases[i].budget_msec;
		fault_arm(cases[i].call, 1, FAULT_HANG);
		CHECK_EQ(evidence_write(&bounded, &path), 0);
		CHECK_EQ(fault_fired(), !cases[i].whole);
		missing = extract(path, "missing.txt");
		CHECK_EQ(strstr(missing, "a part of a database: Timer expired") == NULL, cases[i].whole);
		meta = extract(path, "databases/io.containerd.metadata.v1.bolt-meta.db");
		CHECK_EQ(strcmp(meta, block) == 0, cases[i].whole);
		CHECK(strncmp(meta, block, 200000) == 0);
	}
	{
		cleanup_free char *path = NULL, *missing = NULL, *list = NULL;

		/* The second is the configuration's: the archive's directory comes first. */
		fault_arm("openat", 3, FAULT_HANG);
		CHECK_EQ(evidence_write(&bounded, &path), 0);
		CHECK(fault_fired());
		missing = extract(path, "missing.txt");
		CHECK(strstr(missing, "system/meminfo: Timer expired") != NULL);
		CHECK(strstr(missing, "scan.json: Timer expired") != NULL);
		list = extract(path, NULL);
		CHECK(strstr(list, "scan.json") == NULL && strstr(list, "journal.txt") != NULL);
	}
	{
		cleanup_free char *path = NULL, *missing = NULL;

		/* A bad sector: the rest is kept all the same. */
		bounded.budget_msec = 0;
		fault_arm("pread", 2, EIO);
		CHECK_EQ(evidence_write(&bounded, &path), 0);
		CHECK(fault_fired());
		missing = extract(path, "missing.txt");
		CHECK(strstr(missing, "a part of a database: Input/output error") != NULL);
	}
}

static void test_bounds(void)
{
	cleanup_free char *path = NULL, *missing = NULL, *meta = NULL;
	struct evidence_options bounded = options;

	bounded.file_bytes_max = 4;
	CHECK_EQ(evidence_write(&bounded, &path), 0);
	meta = extract(path, "databases/io.containerd.metadata.v1.bolt-meta.db");
	CHECK_STR(meta, "0123");
	missing = extract(path, "missing.txt");
	CHECK(strstr(missing, "meta.db: ") != NULL);
}

static unsigned count_files(bool hidden)
{
	cleanup_dir DIR *dir = opendir(directory);
	unsigned count = 0;
	const char *name;

	while (dir && dir_next(dir, &name, NULL) > 0)
		count += (*name == '.') == hidden;
	return count;
}

static void test_pruning(void)
{
	cleanup_fd int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
	const struct timespec ahead[2] = { { .tv_sec = time(NULL) + 86400 }, { .tv_sec = time(NULL) + 86400 } };
	static const char *const foreign[] = { "report.tar.zst", "evidence-notes", "evidence-1.tar.gz", ".notes" };

	CHECK_EQ(tap_shell("rm %s/evidence-2*", directory), 0);
	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++) {
		CHECK_EQ(file_replace(fd, foreign[i], "", 0, 0600), 0);
		CHECK_EQ(utimensat(fd, foreign[i], old, 0), 0);
	}
	for (int i = 0; i < 5; i++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "evidence-2020010%dT000000Z-x.tar.zst", i);
		CHECK_EQ(file_replace(fd, name, "", 0, 0600), 0);
		if (i < 2)
			CHECK_EQ(utimensat(fd, name, old, 0), 0);
	}
	CHECK_EQ(file_replace(fd, ".evidence-dead", "", 0, 0600), 0);
	CHECK_EQ(utimensat(fd, ".evidence-dead", old, 0), 0);
	CHECK_EQ(file_replace(fd, ".evidence-busy", "", 0, 0600), 0);

	CHECK_EQ(evidence_prune(directory, 0, 0), 0);
	CHECK_EQ(faccessat(fd, "evidence-20200101T000000Z-x.tar.zst", F_OK, 0), 0);
	/* The clock was set back meanwhile. */
	CHECK_EQ(utimensat(fd, "evidence-20200102T000000Z-x.tar.zst", ahead, 0), 0);
	/* What cannot be looked at or removed is left, and keeps none of the others. */
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(file_replace(fd, "evidence-20200100T000000Z-x.tar.zst", "", 0, 0600), 0);
		CHECK_EQ(utimensat(fd, "evidence-20200100T000000Z-x.tar.zst", old, 0), 0);
		fault_arm(i ? "unlinkat" : "fstatat", i ? 1 : 4, EIO);
		CHECK_EQ(evidence_prune(directory, 0, 3600), i ? -EIO : 0);
		CHECK(fault_fired());
		CHECK_EQ(faccessat(fd, "evidence-20200100T000000Z-x.tar.zst", F_OK, 0), -1);
		CHECK_EQ(faccessat(fd, "evidence-20200101T000000Z-x.tar.zst", F_OK, 0), 0);
	}
	CHECK_EQ(evidence_prune(directory, 0, 3600), 0);
	CHECK_EQ(faccessat(fd, "evidence-20200101T000000Z-x.tar.zst", F_OK, 0), -1);
	CHECK_EQ(faccessat(fd, "evidence-20200102T000000Z-x.tar.zst", F_OK, 0), 0);
	CHECK_EQ(faccessat(fd, ".evidence-dead", F_OK, 0), -1);
	CHECK_EQ(faccessat(fd, ".evidence-busy", F_OK, 0), 0);
	CHECK_EQ(evidence_prune(directory, 1, 0), 0);
	CHECK_EQ(faccessat(fd, "evidence-20200104T000000Z-x.tar.zst", F_OK, 0), 0);
	CHECK_EQ(count_files(false), 1 + ARRAY_SIZE(foreign) - 1);
	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
		CHECK_EQ(faccessat(fd, foreign[i], F_OK, 0), 0);
	CHECK_EQ(unlinkat(fd, ".evidence-busy", 0), 0);
	CHECK_EQ(unlinkat(fd, ".notes", 0), 0);
}

/* One for the same ticket, however it begins; nothing else that has the name in it. */
static void test_whether_there_is_one(void)
{
	static const struct {
		const char *name;
		int found;
	} cases[] = {
		{ "evidence-20200101T000000Z-1a2b.tar.zst", 1 },
		{ "evidence-20200101T000000Z-x1a2b.tar.zst", 0 },
		{ "evidence-20200101T000000Z-1a2b-3.tar.zst", 0 },
		{ ".evidence-20200101T000000Z-1a2b.tar.zst", 0 },
		{ "notes-1a2b.tar.zst", 0 },
		{ "x", 0 },
	};
	char path[5100];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/exists", tmp);
	CHECK_EQ(evidence_exists(path, "1a2b"), 0);
	fd = file_make_dirs(path, 0700);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CHECK_EQ(file_replace(fd, cases[i].name, "", 0, 0600), 0);
		CHECK_EQ(evidence_exists(path, "1a2b"), cases[i].found);
		CHECK_EQ(unlinkat(fd, cases[i].name, 0), 0);
	}
	CHECK_EQ(file_replace(fd, "file", "", 0, 0600), 0);
	(void)close(fd);
	(void)strcat(path, "/file");
	CHECK(evidence_exists(path, "1a2b") < 0);
}

static void test_no_half_archive(void)
{
	static const struct {
		const char *call;
		bool fatal; /* each one */
	} cases[] = { { "openat", false }, { "renameat", true }, { "fsync", true }, { "write", true },
		      { "malloc", false }, { "realloc", false } };

	options.keep = 1;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (int n = 1; n < 200; n++) {
			cleanup_free char *path = NULL, *list = NULL;
			int r;

			CHECK_EQ(tap_shell("rm -f %s/evidence-2*", directory), 0);
			fault_arm(cases[i].call, n, EIO);
			r = evidence_write(&options, &path);
			if (!fault_fired()) {
				/* The archive's content, and its name. */
				CHECK(n > 2 || strcmp(cases[i].call, "fsync") != 0);
				break;
			}
			CHECK(r < 0 || !cases[i].fatal);
			CHECK_EQ(count_files(true), 0);
			/* Renamed, it is whole: that this was not made durable is said. */
			CHECK(r == 0 || strcmp(cases[i].call, "fsync") == 0 || count_files(false) == 3);
			CHECK_EQ(r == 0, path != NULL);
			list = r == 0 ? extract(path, NULL) : NULL;
			CHECK(r < 0 || strstr(list, "meta.db") || strstr(list, "missing.txt"));
		}
	}
	CHECK_EQ(tap_shell("touch %s/evidence-20200101T000000Z-x.tar.zst", directory), 0);
	CHECK_EQ(evidence_write(&options, NULL), 0);
	CHECK_EQ(count_files(false), 1 + 3); /* the foreign ones */
}

int main(void)
{
	struct config config = { 0 };
	char *files[1];

	(void)strcpy(tmp, tap_tmpdir(NULL));
	(void)snprintf(directory, sizeof(directory), "%s/var/evidence", tmp);
	options.directory = directory;
	options.root_fd = make_root();
	CHECK(asprintf(&files[0], "%s/config.toml", tmp) > 0);
	config.files = files;
	config.file_count = 1;
	options.config = &config;
	RUN(test_redacting_config);
	RUN(test_redacting_half_a_config);
	RUN(test_redacting_lines);
	RUN(test_redacting_what_spans_lines);
	RUN(test_redacting_a_unit);
	RUN(test_redacting_urls);
	RUN(test_archive);
	RUN(test_archive_of_an_unreadable_configuration);
	RUN(test_bounds);
	RUN(test_time);
	RUN(test_whether_there_is_one);
	RUN(test_pruning);
	RUN(test_no_half_archive);
	free(files[0]);
	return tap_done();
}
