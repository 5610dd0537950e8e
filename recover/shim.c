#include "recover/shim.h"

#include <errno.h>
#include <string.h>

#include "recover/child.h"
#include "scanners/cleanup.h"
#include "scanners/text.h"

#define RUNC_SHIM "containerd-shim-runc-v"
#define SYSTEM_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static bool is_runc(const char *binary)
{
	const char *base = strrchr(binary, '/');

	base = base ? base + 1 : binary;
	return strncmp(base, RUNC_SHIM, strlen(RUNC_SHIM)) == 0;
}

int shim_delete(const struct config *config, const struct container *container,
		const char *bundle, unsigned msec)
{
	char *binary = container->runtime_binary;
	cleanup_free char *namespaces = NULL, *address = NULL;
	struct child child = { 0 };
	ssize_t r;

	if (!binary || *binary != '/' || is_runc(binary))
		return 0;
	/* Go's flag package copies nothing and changes nothing: const in all but type. */
	char *argv[] = {
		binary,		(char *)"-namespace", container->ns, (char *)"-address",
		config->address, (char *)"-publish-binary",
		config->exec_path ? config->exec_path : (char *)"/usr/bin/containerd",
		(char *)"-id",	container->id, (char *)"-bundle", (char *)bundle,
		(char *)"delete", NULL,
	};
	namespaces = text_print("CONTAINERD_NAMESPACE=%s", container->ns);
	address = text_print("GRPC_ADDRESS=%s", config->address);
	if (!namespaces || !address)
		return -ENOMEM;
	r = child_start(&(struct child_options){
		.path = binary,
		.argv = argv,
		.envp = (char *[]){ namespaces, address, (char *)SYSTEM_PATH, NULL },
		.directory = bundle,
		.msec = msec,
	}, &child);
	if (r < 0)
		return (int)r;
	r = child_wait(&child, 1);
	if (r == 0)
		r = child.result;
	child_done(&child);
	return (int)r;
}
