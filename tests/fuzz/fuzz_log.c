#include <stdint.h>
#include <string.h>

#include "scanners/loglines.h"
#include "scanners/signatures.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever a log has in it, it is judged, and only its own lines are evidence. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct log log = { 0 };
	struct signature_evidence evidence;
	struct signature_finding finding;

	if (log_add_text(&log, (const char *)data, size) == 0) {
		log_settle(&log);
		signature_find(&log, &finding, &evidence);
		if (finding.signature >= SIGNATURE_COUNT || finding.shown_in > finding.starts)
			__builtin_trap();
		for (size_t i = 0; i < evidence.count; i++)
			if (evidence.lines[i] >= log.count)
				__builtin_trap();
	}
	log_done(&log);
	return 0;
}
