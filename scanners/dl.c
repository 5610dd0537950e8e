#include "scanners/dl.h"

#include <dlfcn.h>
#include <errno.h>

int dl_load(const char *soname, const struct dl_symbol *symbols, size_t count)
{
	void *library = dlopen(soname, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);

	if (!library)
		return -ENOENT;
	for (size_t i = 0; i < count; i++) {
		void *symbol = dlsym(library, symbols[i].name);

		if (!symbol) {
			(void)dlclose(library);
			return -ENOTSUP;
		}
		*symbols[i].ret = symbol;
	}
	return 0;
}
