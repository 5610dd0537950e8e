#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "recover/file.h"
#include "scanners/cleanup.h"
#include "scanners/config.h"
#include "scanners/text.h"
#include "tests/unit/fault.h"
#include "tests/unit/tap.h"

#define CONFIG "/etc/containerd/config.toml"
#define UNIT "/lib/systemd/system/containerd.service"

static const char *top; /* one directory per machine below it */
static char *machine;

static void put(const char *path, const char *text)
{
	cleanup_free char *full = text_print("%s%s", machine, path);
	cleanup_fd int dir = -EBADF;
	char *slash = strrchr(full, '/');

	*slash = '\0';
	dir = file_make_dirs(full, 0755);
	CHECK(dir >= 0);
	CHECK_EQ(file_replace(dir, slash + 1, text, strlen(text), 0644), 0);
}

/* A machine with containerd's own unit and nothing else. */
static void new_machine(void)
{
	static unsigned count;

	free(machine);
	machine = text_print("%s/%u", top, count++);
	put(UNIT, "[Unit]\nDescription=x\n[Service]\nType=notify\n"
		  "ExecStartPre=-/sbin/modprobe overlay\nExecStart=/usr/bin/containerd\n");
}

static void read_config(struct config *config)
{
	struct config_overrides overrides = { .prefix = machine };

	CHECK_EQ(config_read(&overrides, config), 0);
}

static bool expect(const struct config *config, enum config_verdict verdict)
{
	bool ok = CHECK_STR(config_verdict_name(config->verdict), config_verdict_name(verdict));

	if (!ok && config->problem)
		printf("#   %s\n", config->problem);
	CHECK((config->problem != NULL) == (verdict == CONFIG_UNKNOWN || verdict == CONFIG_INVALID));
	return ok;
}

static void test_defaults(void)
{
	cleanup_config struct config config = { 0 };

	new_machine();
	put("/etc/containerd/conf.d/x.toml", "root = '/not/read'\n");
	read_config(&config);
	expect(&config, CONFIG_DEFAULTS);
	CHECK_STR(config.unit, "containerd.service");
	CHECK_STR(config.unit_file, UNIT);
	CHECK_STR(config.exec_path, "/usr/bin/containerd");
	CHECK_STR(config.config_path, NULL);
	CHECK_STR(config.root, "/var/lib/containerd");
	CHECK_STR(config.state, "/run/containerd");
	CHECK_STR(config.address, "/run/containerd/containerd.sock");
	CHECK_STR(config.cni_conf_dir, "/etc/cni/net.d");
	CHECK_EQ(config.cni_bin_dir_count, 1);
	CHECK_STR(config.cni_bin_dirs[0], "/opt/cni/bin");
	CHECK_EQ(config.cni_max_conf_num, 1);
	CHECK_STR(config.snapshotter, "overlayfs");
	CHECK_STR(config.sandbox_image, NULL);
	CHECK_EQ(config.foreign_count, 0);
	CHECK_EQ(config.timeout_start_sec, 90);
	CHECK_EQ(config.file_count, 0);
}

/* The same settings in the words of each version. */
static void test_versions(void)
{
	static const struct {
		int version;
		const char *text;
	} versions[] = {
		{ 0, "root='/r'\nstate='/s'\n[grpc]\naddress='/a'\n"
		     "[plugins.cri]\nsandbox_image='pause'\nnetns_mounts_under_state_dir=true\n"
		     "systemd_cgroup=true\n[plugins.cri.cni]\nconf_dir='/c'\nbin_dir='/b'\n"
		     "max_conf_num=2\n[plugins.cri.containerd]\nsnapshotter='native'\n" },
		{ 2, "version=2\nroot='/r'\nstate='/s'\n[grpc]\naddress='/a'\n"
		     "[plugins.'io.containerd.grpc.v1.cri']\nsandbox_image='pause'\n"
		     "netns_mounts_under_state_dir=true\n"
		     "[plugins.'io.containerd.grpc.v1.cri'.cni]\nconf_dir='/c'\nbin_dir='/b'\n"
		     "max_conf_num=2\n[plugins.'io.containerd.grpc.v1.cri'.containerd]\n"
		     "snapshotter='native'\ndefault_runtime_name='x'\n"
		     "[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.x.options]\n"
		     "SystemdCgroup=true\n" },
		{ 3, "version=3\nroot='/r'\nstate='/s'\n[grpc]\naddress='/a'\n"
		     "[plugins.'io.containerd.cri.v1.images']\nsnapshotter='native'\n"
		     "[plugins.'io.containerd.cri.v1.images'.pinned_images]\nsandbox='pause'\n"
		     "[plugins.'io.containerd.cri.v1.runtime']\nnetns_mounts_under_state_dir=true\n"
		     "cni={conf_dir='/c',bin_dirs=['/b'],max_conf_num=2}\n"
		     "containerd.runtimes.runc.options.SystemdCgroup=true\n" },
		{ 4, "version=4\nroot='/r'\nstate='/s'\n"
		     "[plugins.'io.containerd.server.v1.grpc']\naddress='/a'\n"
		     "[plugins.'io.containerd.cri.v1.images']\nsnapshotter='native'\n"
		     "pinned_images.sandbox='pause'\n"
		     "[plugins.'io.containerd.cri.v1.runtime']\nnetns_mounts_under_state_dir=true\n"
		     "cni={conf_dir='/c',bin_dirs=['/b'],max_conf_num=2}\n"
		     "containerd.runtimes.runc.options.SystemdCgroup=true\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		cleanup_config struct config config = { 0 };

		new_machine();
		put(CONFIG, versions[i].text);
		read_config(&config);
		expect(&config, CONFIG_SOUND);
		CHECK_EQ(config.version, versions[i].version);
		CHECK_STR(config.root, "/r");
		CHECK_STR(config.state, "/s");
		CHECK_STR(config.address, "/a");
		CHECK_STR(config.cni_conf_dir, "/c");
		CHECK_EQ(config.cni_bin_dir_count, 1);
		CHECK_STR(config.cni_bin_dirs[0], "/b");
		CHECK_EQ(config.cni_max_conf_num, 2);
		CHECK_STR(config.sandbox_image, "pause");
		CHECK_STR(config.snapshotter, "native");
		CHECK(config.netns_under_state);
		CHECK(config.systemd_cgroup);
		CHECK_EQ(config.foreign_count, 0);
	}
}

static void test_imports_merge_like_containerd(void)
{
	cleanup_config struct config config = { 0 };

	new_machine();
	put(CONFIG, "version=2\nroot='/main'\nstate='/state'\n"
		    "imports=['conf.d/*.toml', '../containerd/one.toml', 'one.toml']\n"
		    "disabled_plugins=['io.containerd.grpc.v1.cri']\n"
		    "[plugins.'io.containerd.grpc.v1.cri']\nsandbox_image='main'\n"
		    "[plugins.'io.containerd.grpc.v1.cri'.cni]\nconf_dir='/main'\n");
	put("/etc/containerd/one.toml", "version=2\nroot='/one'\nimports=['config.toml', 'two.toml']\n");
	put("/etc/containerd/conf.d/a.toml", "root='/a'\nstate=''\n");
	put("/etc/containerd/conf.d/ignored.conf", "root='/ignored'\n");
	put("/etc/containerd/two.toml", "version=2\nrequired_plugins=['io.containerd.grpc.v1.cri']\n"
					"[plugins.'io.containerd.grpc.v1.cri']\nsandbox_image='two'\n");
	read_config(&config);
	expect(&config, CONFIG_SOUND);
	CHECK_EQ(config.file_count, 4);
	CHECK_STR(config.files[1], "/etc/containerd/conf.d/a.toml");
	CHECK_STR(config.files[3], "/etc/containerd/two.toml");
	CHECK_STR(config.root, "/one"); /* breadth first: after conf.d, before two.toml */
	CHECK_STR(config.state, "/state"); /* an empty value does not override */
	CHECK(config.cri_disabled && config.cri_required); /* lists add up */
	CHECK_STR(config.sandbox_image, "two");
	CHECK_STR(config.cni_conf_dir, "/etc/cni/net.d"); /* the section was replaced whole */
}

static void test_version_3_merges_sections(void)
{
	cleanup_config struct config config = { 0 };

	new_machine();
	put(CONFIG, "version=3\nimports=['/etc/x.toml']\n"
		    "[plugins.'io.containerd.cri.v1.runtime'.cni]\nconf_dir='/main'\n");
	put("/etc/x.toml", "version=3\n[plugins.'io.containerd.cri.v1.runtime']\nfoo=1\n");
	read_config(&config);
	expect(&config, CONFIG_SOUND);
	CHECK_STR(config.cni_conf_dir, "/main");
}

static void test_invalid(void)
{
	static const struct {
		const char *text, *problem;
	} bad[] = {
		{ "version = 2\nroot = \n", CONFIG ":2: " },
		{ "version = 9\n", CONFIG ":1: version 9" },
		{ "version = '2'\n", CONFIG ":1: version is no integer" },
		{ "root = '/x'\nstate = '/x'\n", "root and state are both /x" },
		{ "root = 5\n", CONFIG ":1: root must be of type string and is integer" },
		{ "[grpc]\nuid = 'x'\n", CONFIG ":2: uid must be of type integer" },
		{ "grpc = 1\n", CONFIG ":1: grpc must be of type table" },
		{ "imports = ['/absent.toml']\n", "/absent.toml: No such file" },
		{ "imports = '/absent.toml'\n", CONFIG ":1: imports is no array" },
		{ "version = 2\nimports = ['/etc']\n", "/etc: " },
		{ "version = 2\ndisabled_plugins = ['cri']\n", CONFIG ":2: disabled_plugins: 'cri'" },
		{ "version = 3\nrequired_plugins = ['cri']\n", CONFIG ":2: required_plugins: 'cri'" },
		{ "version = 2\n[plugins.cri]\n", CONFIG ":2: 'cri'" },
		{ "disabled_plugins = [1]\n", CONFIG ":1: disabled_plugins must have strings" },
		{ "[timeouts]\nx = '5 s'\n", CONFIG ":2: timeouts: '5 s'" },
		{ "[plugins.cri]\nsandbox_image = 3\n", CONFIG ":2: sandbox_image must be" },
		{ "[plugins.cri.cni]\nbin_dir = []\n", CONFIG ":2: bin_dir must be" },
		{ "[proxy_plugins.x]\naddress = 5\n", CONFIG ":2: address must be" },
		{ "[proxy_plugins.x]\naddress = '/x'\n", CONFIG ":1: proxy_plugins: x has no known" },
		{ "[proxy_plugins.x]\ntype = 'snap'\n", CONFIG ":1: proxy_plugins: x has no known" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cleanup_config struct config config = { 0 };

		new_machine();
		put(CONFIG, bad[i].text);
		read_config(&config);
		if (!expect(&config, CONFIG_INVALID) ||
		    !CHECK(strstr(config.problem, bad[i].problem)))
			printf("# case %zu: %s\n", i, config.problem ? config.problem : "");
	}
}

static void test_unknown_keys_are_fine(void)
{
	cleanup_config struct config config = { 0 };

	new_machine();
	put(CONFIG, "version=2\nnonsense=1\n[grpc]\nfoo=2\n[timeouts]\nx='1h2.5m0s'\ny='0'\n"
		    "[plugins.'io.containerd.grpc.v1.cri'.registry]\nconfig_path='/x'\n");
	read_config(&config);
	expect(&config, CONFIG_SOUND);
}

static void test_foreign(void)
{
	static const struct {
		const char *text, *foreign;
	} cases[] = {
		{ "[proxy_plugins.nydus]\ntype='snapshot'\n", "proxy snapshotter nydus" },
		{ "[proxy_plugins.x]\ntype='content'\n", "proxy content x" },
		{ "[proxy_plugins.x]\ntype='io.containerd.snapshotter.v1'\n", "proxy snapshotter x" },
		{ "[proxy_plugins.x]\ntype='diff'\n", NULL },
		{ "[plugins.overlayfs]\nroot_path='/data'\n", "overlayfs root_path /data" },
		{ "[plugins.'io.containerd.snapshotter.v1.native']\nroot_path='/d'\n",
		  "native root_path /d" },
		{ "[plugins.'io.containerd.snapshotter.v1.overlayfs']\nroot_path=''\n", NULL },
		{ "[plugins.'io.containerd.snapshotter.v1.devmapper']\nroot_path=''\npool_name=''\n",
		  NULL },
		{ "[plugins.'io.containerd.snapshotter.v1.devmapper']\npool_name='p'\n",
		  "devmapper pool p" },
		{ "[plugins.cri.containerd]\nsnapshotter='zfs'\n", "snapshotter zfs" },
		{ "[plugins.cri.containerd.runtimes.kata]\nsnapshotter='nydus'\n",
		  "snapshotter nydus of runtime kata" },
		{ "root='/var/lib/'\n", "root is /var/lib/" },
		{ "root='/d'\nstate='/d/state'\n", "state /d/state is below root /d" },
		{ "root='/d/root'\nstate='/d/'\n", "root /d/root is below state /d/" },
		{ "root='/d'\nstate='/data'\n", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_config struct config config = { 0 };

		new_machine();
		put(CONFIG, cases[i].text);
		read_config(&config);
		expect(&config, CONFIG_SOUND);
		if (!CHECK_EQ(config.foreign_count, cases[i].foreign ? 1 : 0))
			printf("# case %zu\n", i);
		else if (cases[i].foreign)
			CHECK_STR(config.foreign[0], cases[i].foreign);
	}
}

/* What the default runtime runs, where that is certain. */
static void test_runc(void)
{
#define RUNTIMES "[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes."
	static const struct {
		const char *text, *runc;
	} cases[] = {
		{ "version=2\n", "runc" },
		{ "version=2\n" RUNTIMES "kata]\nruntime_type='io.containerd.kata.v2'\n", "runc" },
		{ "version=2\n" RUNTIMES "runc]\nruntime_type='io.containerd.runc.v2'\n", "runc" },
		{ "version=2\n" RUNTIMES "runc]\nruntime_type='io.containerd.runc.v2'\n"
		  RUNTIMES "runc.options]\nBinaryName='/opt/runc'\n", "/opt/runc" },
		{ "version=2\n" RUNTIMES "runc]\nruntime_type='io.containerd.runc.v2'\n"
		  RUNTIMES "runc.options]\nBinaryName=''\n", "runc" },
		{ "version=2\n" RUNTIMES "runc.options]\nSystemdCgroup=true\n", NULL },
		{ "version=2\n" RUNTIMES "runc]\nruntime_type='io.containerd.kata.v2'\n", NULL },
		{ "version=2\n" RUNTIMES "runc]\nruntime_type='io.containerd.runc.v2'\nruntime_path='/x'\n",
		  NULL },
		{ "version=2\n[plugins.'io.containerd.grpc.v1.cri'.containerd]\ndefault_runtime_name='x'\n",
		  NULL },
		{ "version=2\n[plugins.'io.containerd.grpc.v1.cri'.containerd]\ndefault_runtime_name='x'\n"
		  RUNTIMES "x]\nruntime_type='io.containerd.runc.v2'\n" RUNTIMES "x.options]\nBinaryName='crun'\n",
		  "crun" },
		{ "version=2\n[plugins.'io.containerd.grpc.v1.cri'.containerd.default_runtime]\n"
		  "runtime_type='io.containerd.runc.v2'\n", NULL },
	};
#undef RUNTIMES

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_config struct config config = { 0 };

		new_machine();
		put(CONFIG, cases[i].text);
		read_config(&config);
		expect(&config, CONFIG_SOUND);
		if (!CHECK(cases[i].runc ? config.runc && strcmp(config.runc, cases[i].runc) == 0 : !config.runc))
			printf("# case %zu: %s\n", i, config.runc ? config.runc : "not known");
	}
}

static void test_flags_win(void)
{
	static const char *const lines[] = {
		"/usr/bin/containerd --config=/etc/c.toml --root=/fr --state=/fs --address=/fa",
		"/usr/bin/containerd -c /etc/c.toml --root /fr --state /fs -a /fa -l debug",
		"@-+/usr/bin/containerd \"containerd\" -config '/etc/c.toml' --root \"/fr\" \\\n"
		"# a comment inside\n   -state=/fs --address /fa",
		"/usr/local/bin/containerd-2.1.4 -c ${CFG} $OPTS -a ${A}${A2}",
		":/usr/bin/containerd -c /%p.toml --root /fr --state /fs -a /fa",
	};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		cleanup_free char *unit = text_print("[Service]\nEnvironment=CFG=/etc/c.toml "
						     "\"OPTS=--root /x --state '/fs'\" A=/f\n"
						     "EnvironmentFile=-/etc/default/absent\n"
						     "EnvironmentFile=/etc/default/c*\n"
						     "ExecStart=/bin/false\nExecStart=\n"
						     "ExecStart=%s\n", lines[i]);
		cleanup_config struct config config = { 0 };

		new_machine();
		put(UNIT, unit);
		put("/etc/default/containerd", "# comment\nA2=a\n"
					       "OPTS=\"--root /fr --state '/fs'\"  \nX=y\\\nz\n");
		put("/etc/c.toml", "root='/r'\nstate='/s'\n");
		put("/containerd.toml", "root='/r'\n");
		read_config(&config);
		if (!expect(&config, CONFIG_SOUND))
			printf("# %s\n", lines[i]);
		CHECK_STR(config.root, "/fr");
		CHECK_STR(config.state, "/fs");
		CHECK_STR(config.address, "/fa");
	}
}

static void test_named_config_must_exist(void)
{
	cleanup_config struct config config = { 0 };

	new_machine();
	put(UNIT, "[Service]\nExecStart=/usr/bin/containerd -c /etc/absent.toml\n");
	read_config(&config);
	expect(&config, CONFIG_INVALID);
}

static void test_what_cannot_be_expanded_is_unknown(void)
{
	static const char *const units[] = {
		"[Service]\nExecStart=/usr/bin/containerd --root /x/%H\n",
		"[Service]\nExecStart=/bin/sh -c 'exec containerd'\n",
		"[Service]\nExecStart=/usr/bin/containerd config dump\n",
		"[Service]\nExecStart=/usr/bin/containerd --no-such-flag\n",
		"[Service]\nExecStart=/usr/bin/containerd --root 'open\n",
		"[Service]\nExecStart=/usr/bin/containerd\nExecStart=/usr/bin/containerd\n",
		"[Service]\nExecStart=/usr/bin/containerd ; /bin/true\n",
		"[Service]\nPassEnvironment=OPTS\nExecStart=/usr/bin/containerd $OPTS\n",
		"[Service]\nEnvironment=OPTS=%H\nExecStart=/usr/bin/containerd $OPTS\n",
		"[Service]\nEnvironmentFile=/etc/absent\nExecStart=/usr/bin/containerd\n",
		"[Service]\nRootDirectory=/x\nExecStart=/usr/bin/containerd\n",
		"[Service]\nExecStart=/usr/bin/containerd --config rel.toml\n",
		"[Service]\nExecStart=/usr/bin/containerd --root rel\n",
		"[Service]\nExecStart=/usr/bin/dockerd\n",
		"[Unit]\nDescription=empty\n",
		"",
	};

	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		cleanup_config struct config config = { 0 };

		new_machine();
		put(UNIT, units[i]);
		read_config(&config);
		if (!expect(&config, CONFIG_UNKNOWN))
			printf("# case %zu\n", i);
	}
}

/* An unset variable is empty to systemd, too. */
static void test_unset_variables_are_empty(void)
{
	cleanup_config struct config config = { 0 };

	new_machine();
	put(UNIT, "[Service]\nEnvironment=HOST=%H\nExecStart=/usr/bin/containerd $OPTS --root=/x${Y}\n");
	read_config(&config);
	expect(&config, CONFIG_DEFAULTS);
	CHECK_STR(config.root, "/x");
}

static void test_drop_ins(void)
{
	cleanup_config struct config config = { 0 };
	struct config_overrides overrides = { .prefix = machine, .unit = "ctd-a@1" };

	new_machine();
	overrides.prefix = machine;
	put("/usr/lib/systemd/system/ctd-a@.service",
	    "[Service]\nExecStart=/usr/bin/containerd --root /%p/%i\nTimeoutStartSec=5\n");
	put("/etc/systemd/system.conf", "[Manager]\nDefaultTimeoutStartSec=7\n");
	put("/usr/lib/systemd/system/ctd-a@1.service.d/10-x.conf",
	    "[Service]\nTimeoutSec=1min 30.5s\n[Unit]\nRequiresMountsFor=/data \"/two words\"\n");
	put("/etc/systemd/system/ctd-a@1.service.d/10-x.conf", "[Service]\nTimeoutSec=1\n");
	put("/run/systemd/system/ctd-a@.service.d/20-y.conf", "[Service]\nTimeoutStartSec=2min 3s\n");
	put("/etc/systemd/system/ctd-.service.d/15.conf", "[Service]\nTimeoutStartSec=infinity\n");
	put("/etc/systemd/system/service.d/30.conf", "[Unit]\nRequiresMountsFor=/%p\n");
	put("/etc/systemd/system/ctd-a@1.service.d/README", "[Service]\nTimeoutStartSec=9\n");
	CHECK_EQ(config_read(&overrides, &config), 0);
	expect(&config, CONFIG_DEFAULTS);
	CHECK_STR(config.unit, "ctd-a@1.service");
	CHECK_STR(config.unit_file, "/usr/lib/systemd/system/ctd-a@.service");
	CHECK_STR(config.root, "/ctd-a/1");
	CHECK_EQ(config.timeout_start_sec, 123);
	CHECK_EQ(config.requires_mounts_for_count, 1); /* 10-x.conf of /etc hides the other */
	CHECK_STR(config.requires_mounts_for[0], "/ctd-a");
	CHECK(!config.runs_preflight);

	config_done(&config);
	put("/etc/systemd/system/ctd-a@1.service.d/40.conf",
	    "[Service]\nExecStartPre=-+/usr/bin/containerd-recover preflight\nExecStartPre=/bin/true\n");
	CHECK_EQ(config_read(&overrides, &config), 0);
	CHECK(config.runs_preflight);

	config_done(&config);
	put("/etc/systemd/system/ctd-a@1.service.d/50.conf", "[Service]\nExecStartPre=\nExecStartPre=/bin/true\n");
	CHECK_EQ(config_read(&overrides, &config), 0);
	CHECK(!config.runs_preflight);
}

static void test_time_spans(void)
{
	static const struct {
		const char *text;
		unsigned seconds;
	} spans[] = {
		{ "90", 90 },	{ "0", 0 },	 { "infinity", 0 }, { "1.5s", 2 },
		{ "2h", 7200 }, { "15min", 900 }, { "500ms", 1 },    { "1min30s", 90 },
		{ "bogus", 90 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(spans); i++) {
		cleanup_free char *unit = text_print("[Service]\nExecStart=/usr/bin/containerd\n"
						     "TimeoutStartSec=%s\n", spans[i].text);
		cleanup_config struct config config = { 0 };

		new_machine();
		put(UNIT, unit);
		read_config(&config);
		if (!CHECK_EQ(config.timeout_start_sec, spans[i].seconds))
			printf("# %s\n", spans[i].text);
	}
}

static void test_masked_and_absent(void)
{
	struct config_overrides overrides = { .unit = "absent.service" };
	cleanup_config struct config masked = { 0 }, absent = { 0 }, given = { 0 };
	cleanup_free char *link = NULL;

	new_machine();
	put("/etc/systemd/system/other.service", "");
	link = text_print("%s/etc/systemd/system/containerd.service", machine);
	CHECK_EQ(symlink("/dev/null", link), 0);
	read_config(&masked);
	expect(&masked, CONFIG_UNKNOWN);
	CHECK(masked.problem && strstr(masked.problem, "masked"));

	overrides.prefix = machine;
	CHECK_EQ(config_read(&overrides, &absent), 0);
	expect(&absent, CONFIG_UNKNOWN);

	overrides.root = "/mnt/x";
	CHECK_EQ(config_read(&overrides, &given), 0);
	expect(&given, CONFIG_DEFAULTS);
	CHECK_STR(given.root, "/mnt/x");
}

static void test_overrides(void)
{
	struct config_overrides overrides = { .config = "/c.toml", .root = "/or", .state = "/os" };
	cleanup_config struct config config = { 0 }, bad = { 0 };

	new_machine();
	overrides.prefix = machine;
	put(UNIT, "[Service]\nExecStart=/usr/bin/containerd --root /fr --config /absent\n");
	put("/c.toml", "version=2\nroot='/r'\n");
	CHECK_EQ(config_read(&overrides, &config), 0);
	expect(&config, CONFIG_SOUND);
	CHECK_STR(config.root, "/or");
	CHECK_STR(config.state, "/os");

	overrides.unit = "../x";
	CHECK_EQ(config_read(&overrides, &bad), 0);
	expect(&bad, CONFIG_UNKNOWN);
}

static void test_rancher(void)
{
	static const struct {
		const char *args, *yaml, *root;
	} cases[] = {
		{ "server", NULL, "/var/lib/rancher/k3s/agent/containerd" },
		{ "agent --data-dir /d", NULL, "/d/agent/containerd" },
		{ "agent -d=/d --node-ip 1.2.3.4", "node-ip: x\n", "/d/agent/containerd" },
		{ "agent", "data-dir: /elsewhere\n", NULL },
		{ "agent --docker", NULL, NULL },
		{ "agent --container-runtime-endpoint=/x", NULL, NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *unit = text_print("[Service]\nEnvironmentFile=-/etc/x.env\n"
						     "ExecStart=/usr/local/bin/k3s %s\n",
						     cases[i].args);
		cleanup_free char *toml = NULL;
		cleanup_config struct config config = { 0 };
		struct config_overrides overrides = { .unit = "k3s.service" };

		new_machine();
		overrides.prefix = machine;
		put("/etc/systemd/system/k3s.service", unit);
		if (cases[i].yaml)
			put("/etc/rancher/k3s/config.yaml", cases[i].yaml);
		if (cases[i].root) {
			toml = text_print("%.*s/etc/containerd/config.toml",
					  (int)(strlen(cases[i].root) - strlen("/containerd")),
					  cases[i].root);
			put(toml, "version=2\n[plugins.'io.containerd.grpc.v1.cri'.cni]\n"
				  "conf_dir='/k3s'\n");
		}
		CHECK_EQ(config_read(&overrides, &config), 0);
		expect(&config, cases[i].root ? CONFIG_SOUND : CONFIG_UNKNOWN);
		if (!cases[i].root)
			continue;
		CHECK_STR(config.root, cases[i].root);
		CHECK_STR(config.state, "/run/k3s/containerd");
		CHECK_STR(config.cni_conf_dir, "/k3s");
	}
}

static void test_memory_faults(void)
{
	new_machine();
	put(CONFIG, "version=2\nimports=['x.toml']\nroot='/r'\n[proxy_plugins.n]\ntype='snapshot'\n");
	put("/etc/containerd/x.toml", "state='/s'\n");
	put("/etc/systemd/system/containerd.service.d/x.conf",
	    "[Service]\nEnvironment=A=b\nTimeoutStartSec=5\n[Unit]\nRequiresMountsFor=/x\n");
	for (int n = 1;; n++) {
		struct config_overrides overrides = { .prefix = machine };
		cleanup_config struct config config = { 0 };
		int r;

		fault_arm("realloc", n, ENOMEM);
		r = config_read(&overrides, &config);
		if (!fault_fired()) {
			CHECK_EQ(r, 0);
			break;
		}
		CHECK_EQ(r, -ENOMEM);
		CHECK(config.root == NULL);
	}
}

/* It is part of every start of every containerd. */
static void test_it_is_fast(void)
{
	enum { RUNS = 50, LIMIT_USEC = 1000 };
	struct timespec start, end;
	double usec;

	new_machine();
	put(CONFIG, "version=2\nroot='/r'\n[plugins.'io.containerd.grpc.v1.cri'.cni]\nconf_dir='/c'\n");
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
	for (int i = 0; i < RUNS; i++) {
		cleanup_config struct config config = { 0 };

		read_config(&config);
	}
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
	usec = ((double)(end.tv_sec - start.tv_sec) * 1e6 +
		(double)(end.tv_nsec - start.tv_nsec) / 1e3) / RUNS;
	printf("# %.0f microseconds\n", usec);
#ifndef __SANITIZE_ADDRESS__
	CHECK(usec < LIMIT_USEC);
#endif
}

int main(void)
{
	top = tap_tmpdir(NULL);
	machine = text_print("%s/none", top);
	RUN(test_defaults);
	RUN(test_versions);
	RUN(test_imports_merge_like_containerd);
	RUN(test_version_3_merges_sections);
	RUN(test_invalid);
	RUN(test_unknown_keys_are_fine);
	RUN(test_foreign);
	RUN(test_runc);
	RUN(test_flags_win);
	RUN(test_named_config_must_exist);
	RUN(test_what_cannot_be_expanded_is_unknown);
	RUN(test_unset_variables_are_empty);
	RUN(test_drop_ins);
	RUN(test_time_spans);
	RUN(test_masked_and_absent);
	RUN(test_overrides);
	RUN(test_rancher);
	RUN(test_memory_faults);
	RUN(test_it_is_fast);
	free(machine);
	return tap_done();
}
