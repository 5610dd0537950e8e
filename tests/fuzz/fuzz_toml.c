#include <stdint.h>
#include <string.h>

#include "scanners/toml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t walk(const struct toml_value *value)
{
	size_t count = 1;

	if (value->type == TOML_STRING)
		return strlen(value->string);
	if (value->type == TOML_TABLE || value->type == TOML_ARRAY)
		for (const struct toml_value *i = value->first; i; i = i->next)
			count += walk(i);
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct toml_error error = { 0 };
	struct toml *toml = NULL;

	if (toml_parse((const char *)data, size, &toml, &error) == 0)
		(void)walk(toml_document(toml));
	else if (!error.reason)
		__builtin_trap();
	toml_free(toml);
	return 0;
}
