#include "scanners/logframe.h"

#include <stdbool.h>
#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/text.h"

static bool is_frame(const char *text)
{
	return strstr(text, ".go:") || strchr(text, '(') || strncmp(text, "created by ", 11) == 0;
}

/* k3s and rke2 carry a containerd whose main function is in their tree. */
static bool is_own_main_elsewhere(const char *text)
{
	return strstr(text, "k3s/pkg/containerd") || strstr(text, "k3s/cmd/containerd");
}

static bool is_foreign(const char *text)
{
	static const char *const programs[] = {
		"github.com/docker/docker/", "github.com/moby/moby/",	 "github.com/moby/buildkit/",
		"docker/libnetwork",	     "go.etcd.io/etcd/",	 "coreos/etcd/",
		"github.com/containers/",    "github.com/cri-o/",	 "github.com/k3s-io/k3s",
		"github.com/k3s-io/kine",    "github.com/rancher/",	 "github.com/hashicorp/",
		"k8s.io/kubernetes/",	     "github.com/influxdata/",	 "github.com/balena-os/",
		"runtime/v2/shim.",	     "cmd/containerd-shim",	 "pkg/shim.",
		"runtime/v2/runc.",	     "runtime/v2/runc/",	 "containerd-shim-runc-v2",
		"runtime/v2/task.",	     "-snapshotter/",		 "containerd/nerdctl/",
		"accelerated-container-image/", "/engine/vendor/",
	};

	/* What containerd itself has vendored stands below its own tree. */
	if (!is_frame(text) || strstr(text, "containerd/containerd/vendor/") ||
	    strstr(text, "containerd/cri/vendor/"))
		return is_frame(text) && strstr(text, "docker/docker/vendor/");
	return text_has_any(text, programs, ARRAY_SIZE(programs)) && !is_own_main_elsewhere(text);
}

/* The projects below github.com/containerd/ that containerd is built from. */
static bool is_own_project(const char *name)
{
	static const char *const projects[] = {
		"containerd", "cri",	 "log",	    "ttrpc",	"typeurl", "errdefs",  "plugin",
		"platforms",  "cgroups", "fifo",    "console",	"go-cni",  "go-runc",  "continuity",
		"btrfs",      "zfs",	 "aufs",    "imgcrypt", "nri",	   "otelttrpc",
	};
	size_t size = strcspn(name, "/.(");

	for (size_t i = 0; i < ARRAY_SIZE(projects); i++)
		if (strlen(projects[i]) == size && memcmp(projects[i], name, size) == 0)
			return true;
	return false;
}

/*
 * Is @text a function's frame of a module that containerd is not built from? In
 * a stream without names nothing else tells whose panic it is.
 */
static bool is_unknown(const char *text)
{
	static const char *const modules[] = {
		"github.com/docker/containerd/", "github.com/k3s-io/containerd/", "go.etcd.io/bbolt",
		"github.com/boltdb/bolt",	 "github.com/etcd-io/bbolt",	  "github.com/coreos/bbolt",
		"google.golang.org/",		 "golang.org/x/",		  "gopkg.in/",
		"go.opentelemetry.io/",		 "k8s.io/",			  "sigs.k8s.io/",
		"tags.cncf.io/",		 "github.com/urfave/",		  "github.com/sirupsen/",
		"github.com/opencontainers/",	 "github.com/gogo/",		  "github.com/golang/",
		"github.com/grpc-ecosystem/",	 "github.com/docker/go-",	  "github.com/pelletier/",
		"github.com/BurntSushi/",	 "github.com/Microsoft/",	  "github.com/prometheus/",
		"github.com/moby/sys/",		 "github.com/moby/locker",	  "github.com/fsnotify/",
		"github.com/intel/goresctrl",	 "github.com/tetratelabs/",	  "github.com/pkg/",
		"github.com/felixge/",		 "github.com/klauspost/",	  "github.com/cilium/ebpf",
		"github.com/coreos/go-systemd",	 "github.com/godbus/",		  "github.com/vishvananda/",
		"github.com/emicklei/",		 "github.com/json-iterator/",	  "github.com/miekg/",
	};
	static const char own[] = "github.com/containerd/", created[] = "created by ";
	const char *slash, *dot;

	if (strncmp(text, created, strlen(created)) == 0)
		text += strlen(created);
	else if (text[strcspn(text, "( \t")] != '(')
		return false;
	/* "host.name/path/package.Function(": anything else is Go's own library, or main */
	slash = text + strcspn(text, "/( \t");
	dot = memchr(text, '.', (size_t)(slash - text));
	if (text[strcspn(text, "( \t:")] == ':' || *slash != '/' || !dot || slash == text || is_own_main_elsewhere(text))
		return false;
	if (strncmp(text, own, strlen(own)) == 0)
		return !is_own_project(text + strlen(own));
	for (size_t i = 0; i < ARRAY_SIZE(modules); i++)
		if (strncmp(text, modules[i], strlen(modules[i])) == 0)
			return false;
	return true;
}

static bool is_own(const char *text)
{
	static const char *const packages[] = {
		"containerd/services/server",	   "containerd/server.",
		"containerd/server/server.go",	   "/cmd/containerd/",
		"metadata/plugin.init",		   "metadata/plugin/plugin.go",
		"containerd/v2/plugins/metadata",  "containerd/v2/plugins/cri",
		"containerd/v2/plugins/gc",	   "containerd/v2/plugins/services/",
		"containerd/v2/plugins/restart",   "containerd/v2/plugins/sandbox",
		"containerd/v2/plugins/transfer",  "containerd/pkg/cri/",
		"containerd/cri/",		   "containerd/v2/internal/cri/",
		"containerd/plugin.(*Registration)", "containerd/containerd/vendor/",
		"/containerd.io-",
	};

	return is_frame(text) && !is_foreign(text) &&
	       text_has_any(text, packages, ARRAY_SIZE(packages));
}

static bool is_bolt(const char *text)
{
	static const char *const packages[] = { "bbolt.", "boltdb/bolt.", "/bbolt/", "bbolt@",
						"bbolt/internal/" };

	return is_frame(text) && text_has_any(text, packages, ARRAY_SIZE(packages));
}

/* Go's own machinery between the cause and the report of it. */
static bool is_runtime(const char *text)
{
	static const char *const prefixes[] = { "panic(", "runtime.", "runtime/", "goroutine ",
						"[signal", "fatal error:", "panic:", "created by ",
						"unexpected fault", "/usr/", "SIG", "PC=" };

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (strncmp(text, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return !strchr(text, '(') || strstr(text, ".go:");
}

unsigned log_frame_of(const char *text)
{
	text += strspn(text, " \t");
	return (is_foreign(text) ? LOG_FRAME_FOREIGN : 0U) | (is_unknown(text) ? LOG_FRAME_UNKNOWN : 0U) |
	       (is_own(text) ? LOG_FRAME_OWN : 0U) | (is_bolt(text) ? LOG_FRAME_BOLT : 0U) |
	       (is_runtime(text) ? LOG_FRAME_RUNTIME : 0U);
}
