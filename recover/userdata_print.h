/* User data, for a person: by pod, with size and place. */
#ifndef RECOVER_USERDATA_PRINT_H
#define RECOVER_USERDATA_PRINT_H

#include <jansson.h>

#include "recover/userdata.h"

/* On stdout, every line with @indent before it. */
void userdata_print(const struct userdata *data, const char *indent);

/* The same of userdata_to_json()'s, at most @max items (0: all). */
void userdata_print_json(const json_t *items, const char *indent, size_t max);

#endif
