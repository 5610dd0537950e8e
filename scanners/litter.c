#include "scanners/litter.h"

#include <stddef.h>
#include <string.h>

#include "scanners/cleanup.h"

static const struct {
	const char *name;
	enum litter within; /* LITTER_NONE: anywhere */
	enum litter kind;
} names[] = {
	{ ".cache", LITTER_NONE, LITTER_CACHE },
	{ ".git", LITTER_NONE, LITTER_GIT },
	{ "__pycache__", LITTER_NONE, LITTER_PYCACHE },
	{ "node_modules", LITTER_NONE, LITTER_NODE_MODULES },
	{ "go-build", LITTER_NONE, LITTER_GO_BUILD },
	{ "go-mod", LITTER_CACHE, LITTER_GO_MODULES },
	{ "pip", LITTER_CACHE, LITTER_PIP },
	{ "conda", LITTER_CACHE, LITTER_CONDA },
	{ ".conda", LITTER_NONE, LITTER_CONDA },
	{ "miniconda3", LITTER_NONE, LITTER_CONDA },
	{ "anaconda3", LITTER_NONE, LITTER_CONDA },
	{ "conda-meta", LITTER_NONE, LITTER_CONDA },
	{ ".npm", LITTER_NONE, LITTER_NPM },
	{ ".gradle", LITTER_NONE, LITTER_JAVA },
	{ ".m2", LITTER_NONE, LITTER_JAVA },
	{ ".cargo", LITTER_NONE, LITTER_CARGO },
};

enum litter litter_of(enum litter parent, const char *name)
{
	if (parent != LITTER_NONE && parent != LITTER_CACHE)
		return parent;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if ((names[i].within == LITTER_NONE || names[i].within == parent) &&
		    strcmp(names[i].name, name) == 0)
			return names[i].kind;
	return parent;
}

const char *litter_name(enum litter kind)
{
	static const char *const titles[LITTER_KINDS] = {
		[LITTER_NONE] = "other",
		[LITTER_CACHE] = ".cache",
		[LITTER_GIT] = ".git",
		[LITTER_PYCACHE] = "__pycache__",
		[LITTER_NODE_MODULES] = "node_modules",
		[LITTER_GO_BUILD] = "Go build cache",
		[LITTER_GO_MODULES] = "Go modules",
		[LITTER_PIP] = "pip cache",
		[LITTER_CONDA] = "conda",
		[LITTER_NPM] = "npm cache",
		[LITTER_JAVA] = "Gradle and Maven",
		[LITTER_CARGO] = "cargo",
	};

	return titles[kind];
}
