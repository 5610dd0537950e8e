/*
 * For clang's analyzer alone, which does not know that errno is positive after
 * a failed call and follows "return -errno;" as if it could mean success.
 */
#include <errno.h>

static inline int *lint_errno(void)
{
	int *location = __errno_location();

	if (*location <= 0)
		__builtin_unreachable();
	return location;
}
#undef errno
#define errno (*lint_errno())
