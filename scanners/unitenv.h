/*
 * The environment that systemd makes for a unit, as far as files say it:
 * DefaultEnvironment=, Environment=, EnvironmentFile=, UnsetEnvironment=.
 */
#ifndef SCANNERS_UNITENV_H
#define SCANNERS_UNITENV_H

#include "scanners/text.h"
#include "scanners/unitfile.h"

struct unit_env {
	struct text_list assignments; /* "NAME=value"; the last one of a name counts */
	struct text_list unknown;     /* names whose values only PID 1 knows */
};

/*
 * Returns 0 with @ret the caller's, to end with unit_env_done(), or with @ret
 * untouched -ENOTSUP for what cannot be read or expanded, or -ENOMEM.
 */
int unit_env_read(const char *prefix, const struct unit_file *unit,
		  const struct unit_file *manager, struct unit_env *ret);

void unit_env_done(struct unit_env *env);
#define cleanup_unit_env __attribute__((cleanup(unit_env_done)))

/*
 * The value of the variable named by @size bytes at @name: 0 with @ret pointing
 * into @env ("" for one that is not set, as systemd has it), or -ENOTSUP.
 */
int unit_env_get(const struct unit_env *env, const char *name, size_t size, const char **ret);

#endif
