/*
 * maketree DIR ENTRIES SEED [FLAT [CHAIN]]: fills DIR with about ENTRIES files,
 * directories and links of what job pods leave behind: 40 % loose git objects,
 * 33 % Python packages and pip's cache, 25 % Go build cache, some links; of all
 * that FLAT entries (default: a quarter) in one directory, and a chain of CHAIN
 * directories (default 2,000). The same seed makes the same tree.
 */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t state;
static unsigned long made;
static char content[32768];

static unsigned number(unsigned below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)(state >> 33) % below;
}

static int enter(int dirfd, const char *name)
{
	int fd;

	if (mkdirat(dirfd, name, 0755) == 0)
		made++;
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		err(1, "%s", name);
	return fd;
}

static void file(int dirfd, const char *name, unsigned size)
{
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, content, size) != (ssize_t)size || close(fd) < 0)
		err(1, "%s", name);
	made++;
}

static void hex(char *name, unsigned digits)
{
	for (unsigned i = 0; i < digits; i++)
		name[i] = "0123456789abcdef"[number(16)];
	name[digits] = '\0';
}

static void git(int dirfd, unsigned long count)
{
	int objects = enter(dirfd, "objects");
	char name[64];

	for (unsigned long until = made + count; made < until;) {
		int fan;

		hex(name, 2);
		fan = enter(objects, name);
		hex(name, 38);
		file(fan, name, 100 + number(3000));
		close(fan);
	}
	close(objects);
}

static void package(int dirfd)
{
	int cache = enter(dirfd, "__pycache__");
	char name[64];

	for (unsigned i = 4 + number(10); i > 0; i--) {
		snprintf(name, sizeof(name), "module_%u.py", i);
		file(dirfd, name, 200 + number(8000));
		snprintf(name, sizeof(name), "module_%u.cpython-311.pyc", i);
		file(cache, name, 500 + number(12000));
	}
	close(cache);
}

static void pip(int dirfd)
{
	char name[64];
	int at = enter(dirfd, "http");

	for (int depth = 0; depth < 5; depth++) {
		int next;

		hex(name, 1);
		next = enter(at, name);
		close(at);
		at = next;
	}
	hex(name, 56);
	file(at, name, 300 + number(4000));
	close(at);
}

static void python(int dirfd, unsigned long count)
{
	char name[64];
	unsigned n = 0;

	for (unsigned long until = made + count; made < until;) {
		int fd;

		snprintf(name, sizeof(name), "package_%u", n++);
		fd = enter(dirfd, name);
		package(fd);
		close(fd);
		for (int i = 0; i < 2; i++)
			pip(dirfd);
	}
}

static void go(int dirfd, unsigned long count)
{
	char name[72];

	for (unsigned long until = made + count; made < until;) {
		int fan;

		hex(name, 2);
		fan = enter(dirfd, name);
		hex(name, 64);
		strcat(name, "-a");
		file(fan, name, 150);
		name[65] = 'd';
		file(fan, name, number(16000));
		close(fan);
	}
}

static void links(int dirfd, unsigned long count)
{
	char name[64];

	for (unsigned long i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "lib%lu.so", i);
		if (i % 4 == 3 ? linkat(dirfd, "lib0.so", dirfd, name, 0)
			       : symlinkat("libsomething.so.1.2.3", dirfd, name))
			err(1, "%s", name);
		made++;
	}
}

static void job(int root, unsigned n, unsigned long count)
{
	static const struct {
		const char *name;
		void (*fill)(int dirfd, unsigned long count);
		unsigned percent;
	} kinds[] = {
		{ ".git", git, 40 }, { "site-packages", python, 33 },
		{ "go-build", go, 25 }, { "lib", links, 2 },
	};
	char name[64];
	int fd;

	snprintf(name, sizeof(name), "job-%u", n);
	fd = enter(root, name);
	for (unsigned i = 0; i < 4; i++) {
		int sub = enter(fd, kinds[i].name);

		kinds[i].fill(sub, count * kinds[i].percent / 100);
		close(sub);
	}
	close(fd);
}

static void flat(int root, unsigned long count)
{
	int fd = enter(root, "flat");
	char name[64];

	for (unsigned long i = 0; i < count; i++) {
		hex(name, 32);
		file(fd, name, number(4) ? 0 : 40);
	}
	close(fd);
}

static void chain(int root, unsigned long count)
{
	int at = enter(root, "chain");

	for (unsigned long i = 1; i < count; i++) {
		int next = enter(at, "d");

		close(at);
		at = next;
	}
	close(at);
}

int main(int argc, char **argv)
{
	enum { JOB = 4000 };
	unsigned long entries, in_flat, in_chain;
	int root;

	if (argc < 4)
		errx(2, "usage: maketree DIR ENTRIES SEED [FLAT [CHAIN]]");
	entries = strtoul(argv[2], NULL, 10);
	state = strtoul(argv[3], NULL, 10) * 2654435761U + 88172645463325252ULL;
	in_flat = argc > 4 ? strtoul(argv[4], NULL, 10) : entries / 4;
	in_chain = argc > 5 ? strtoul(argv[5], NULL, 10) : 2000;
	for (size_t i = 0; i < sizeof(content); i++)
		content[i] = (char)number(256);
	mkdir(argv[1], 0755);
	root = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		err(1, "%s", argv[1]);

	if (in_chain)
		chain(root, in_chain);
	if (in_flat)
		flat(root, in_flat);
	for (unsigned n = 0; made < entries; n++)
		job(root, n, entries - made < JOB ? entries - made : JOB);
	printf("%lu\n", made);
	return 0;
}
