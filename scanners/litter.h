/*
 * Kinds of litter: directories of many small files that builds and tools leave
 * behind in containers, told by their names alone.
 */
#ifndef SCANNERS_LITTER_H
#define SCANNERS_LITTER_H

enum litter {
	LITTER_NONE,
	LITTER_CACHE, /* .cache: of whatever no other kind says more of */
	LITTER_GIT,
	LITTER_PYCACHE,
	LITTER_NODE_MODULES,
	LITTER_GO_BUILD,
	LITTER_GO_MODULES,
	LITTER_PIP,
	LITTER_CONDA,
	LITTER_NPM,
	LITTER_JAVA, /* .gradle, .m2 */
	LITTER_CARGO,
	LITTER_KINDS,
};

/*
 * The kind of the directory @name that lies in something of kind @parent. What
 * lies in litter is of its kind, but for a .cache, where a better name counts.
 */
enum litter litter_of(enum litter parent, const char *name);

/* ".git", "Go build cache", … */
const char *litter_name(enum litter kind);

#endif
