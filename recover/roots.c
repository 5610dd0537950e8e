#include "recover/roots.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "recover/file.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"

enum { ROOTS_MAX = 1 << 20 };

json_t *roots_read(int records_fd)
{
	cleanup_free char *text = NULL;
	json_t *roots = NULL;

	if (dir_read_file(records_fd, "roots", ROOTS_MAX, &text, NULL) == 0)
		roots = json_loads(text, 0, NULL);
	if (json_is_array(roots))
		return roots;
	json_decref(roots);
	return json_array();
}

int roots_note(int records_fd, const char *unit, const char *root)
{
	json_auto_t *roots = roots_read(records_fd);
	json_auto_t *ours = json_pack("{s:s, s:s}", "unit", unit, "root", root);
	cleanup_free char *text = NULL;
	json_t *item;
	size_t i;

	if (!roots || !ours)
		return -ENOMEM; /* or not UTF-8, for which there is no manifest either */
	json_array_foreach(roots, i, item)
		if (json_equal(item, ours))
			return 0;
	if (json_array_append(roots, ours) < 0 || !(text = json_dumps(roots, JSON_COMPACT)))
		return -ENOMEM;
	return file_replace(records_fd, "roots", text, strlen(text), 0600);
}
