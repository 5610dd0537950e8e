/*
 * Signatures that are more than words in one line: stacks, the order of lines,
 * what is missing. Each looks at one start in a settled log and adds the lines
 * that decide to its evidence.
 */
#ifndef SCANNERS_SIGHTINGS_H
#define SCANNERS_SIGHTINGS_H

#include <stdbool.h>

#include "scanners/loglines.h"
#include "scanners/signatures.h"

struct sighting {
	const struct log *log;
	size_t first, end; /* the start's lines */
};

/* Start number @start of a settled @log. */
struct sighting sighting_of(const struct log *log, uint32_t start);

/* Keep line @index, while there is room. */
void sighting_keep(struct signature_evidence *evidence, size_t index);

/* Does @line end the start, or leave out a plugin that matters? */
bool sighting_is_fatal(const struct log_line *line);

/* Does containerd complain in @line, of whatever kind? */
bool sighting_is_problem(const struct log_line *line);

/* Did containerd say that it was up, or did it serve pods? */
bool sighting_works(const struct sighting *sighting);

/* Did systemd say that it was starting the unit? */
bool sighting_is_starting(const struct sighting *sighting);

/* Did systemd say last that the unit was started? */
bool sighting_is_started(const struct sighting *sighting);

/* The last time with a year in its lines, -1 if there is none: only good to compare. */
long long sighting_newest(const struct sighting *sighting);

/* Did containerd complain of anything but what healthy starts complain of? */
bool sighting_has_problem(const struct sighting *sighting);

/* Is the log of a machine whose file systems bolt is known to fail on? */
bool sighting_on_foreign_fs(const struct sighting *sighting);

/*
 * A bus error inside Go's runtime, not at a fault address of a mapped file: a
 * page of the binary itself could not be read.
 */
bool sees_unreadable_binary(const struct sighting *s, struct signature_evidence *evidence);

/* A panic of bolt's in a snapshotter's own file. */
bool sees_snapshotter_panic(const struct sighting *s, struct signature_evidence *evidence);

/* The matchers that signatures.def names. */
bool sees_failing_disk(const struct sighting *s, struct signature_evidence *evidence);
bool sees_exec_failure(const struct sighting *s, struct signature_evidence *evidence);
bool sees_denial(const struct sighting *s, struct signature_evidence *evidence);
bool sees_runtime_crash(const struct sighting *s, struct signature_evidence *evidence);
bool sees_stale_tasks(const struct sighting *s, struct signature_evidence *evidence);
bool sees_cri_store_panic(const struct sighting *s, struct signature_evidence *evidence);
bool sees_devmapper_panic(const struct sighting *s, struct signature_evidence *evidence);
bool sees_mounts_db_panic(const struct sighting *s, struct signature_evidence *evidence);
bool sees_volume_panic(const struct sighting *s, struct signature_evidence *evidence);
bool sees_bolt_panic(const struct sighting *s, struct signature_evidence *evidence);
bool sees_bolt_panic_on_foreign_fs(const struct sighting *s, struct signature_evidence *evidence);
bool sees_snapshotter_damage(const struct sighting *s, struct signature_evidence *evidence);
bool sees_bolt_invalid(const struct sighting *s, struct signature_evidence *evidence);
bool sees_stored_sandbox(const struct sighting *s, struct signature_evidence *evidence);
bool sees_name_reserved(const struct sighting *s, struct signature_evidence *evidence);
bool sees_container_status(const struct sighting *s, struct signature_evidence *evidence);
bool sees_fault(const struct sighting *s, struct signature_evidence *evidence);
bool sees_own_panic(const struct sighting *s, struct signature_evidence *evidence);
bool sees_bolt_dump(const struct sighting *s, struct signature_evidence *evidence);
bool sees_runtime_error(const struct sighting *s, struct signature_evidence *evidence);
bool sees_other_process(const struct sighting *s, struct signature_evidence *evidence);
bool sees_noise_only(const struct sighting *s, struct signature_evidence *evidence);

#endif
