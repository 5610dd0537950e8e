#include "scanners/signatures.h"

#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/logpanic.h"
#include "scanners/sightings.h"
#include "scanners/text.h"

enum {
	C = 1 << LOG_CONTAINERD,
	B = 1 << LOG_BARE,
	S = 1 << LOG_SUPERVISOR,
	Y = 1 << LOG_SYSTEMD,
	K = 1 << LOG_KERNEL,
	FATAL = 1 << 16,
	INFO = 1 << 17,
	SELF = 1 << 18,
};

enum { PATTERNS_MAX = 40, WORDS_MAX = 3 };

struct pattern {
	unsigned who; /* 0 ends the list */
	const char *words[WORDS_MAX];
};

#define SAID(who, ...) { (who), { __VA_ARGS__ } }

static const struct row {
	struct signature_info info;
	bool (*matcher)(const struct sighting *sighting, struct signature_evidence *evidence);
	struct pattern patterns[PATTERNS_MAX];
} table[] = {
#define SIGNATURE(name, id, class, verdict, what, needs, matcher, ...) \
	[SIGNATURE_##name] = { { id, class, SIGNATURE_##verdict, what, needs }, \
			       matcher, \
			       { __VA_ARGS__ } },
#include "scanners/signatures.def"
#undef SIGNATURE
};

/* What a containerd says that was told to stop while it started is no cause. */
static bool is_of_a_stop(const struct log_line *line)
{
	return log_contains(line->text, "grpc: the server has been stopped");
}

/* Of a pod, whose program may be missing or broken as well. */
static bool is_about_pod(const char *text)
{
	static const char *const words[] = { "RunPodSandbox", "CreateContainer", "StartContainer", "ExecSync",
					     "StopContainer", "StopPodSandbox",	 "PullImage" };

	return text_has_any(text, words, ARRAY_SIZE(words));
}

/* @whole: a line that was cut off inside the words does not count. */
static bool line_matches(const struct log_line *line, const struct pattern *pattern, bool whole)
{
	if (!(pattern->who & 1U << line->source))
		return false;
	if (line->level == LOG_LEVEL_DEBUG ||
	    (line->level == LOG_LEVEL_INFO && !(pattern->who & INFO)))
		return false;
	if (pattern->who & FATAL && !sighting_is_fatal(line))
		return false;
	if (pattern->who & SELF && is_about_pod(line->text))
		return false;
	for (size_t i = 0; i < WORDS_MAX && pattern->words[i]; i++)
		if (!(whole ? strstr(line->text, pattern->words[i]) != NULL :
			      log_contains(line->text, pattern->words[i])))
			return false;
	return true;
}

static bool line_shows(const struct log_line *line, const struct row *row)
{
	bool whole = row->info.verdict == SIGNATURE_QUARANTINE;

	if (is_of_a_stop(line))
		return false;
	for (size_t i = 0; i < PATTERNS_MAX && row->patterns[i].who; i++)
		if (line_matches(line, &row->patterns[i], whole))
			return true;
	return false;
}

/* Does the start show the row's signature? Fills @evidence with its lines. */
static bool start_shows(const struct sighting *sighting, const struct row *row,
			struct signature_evidence *evidence)
{
	bool shows = false;

	evidence->count = 0;
	for (size_t i = sighting->first; i < sighting->end; i++)
		if (line_shows(&sighting->log->lines[i], row)) {
			shows = true;
			sighting_keep(evidence, i);
		}
	if (row->matcher && row->matcher(sighting, evidence))
		shows = true;
	return shows;
}

static enum signature signature_of_start(const struct sighting *sighting,
					 struct signature_evidence *evidence)
{
	for (size_t i = 0; i < SIGNATURE_NONE; i++)
		if (start_shows(sighting, &table[i], evidence))
			return (enum signature)i;
	evidence->count = 0;
	return SIGNATURE_NONE;
}

/*
 * Does the last start say something else? A healthy one leaves nothing to cure,
 * and another complaint is another cause. One that has only begun says nothing;
 * @ready: what systemd calls started is.
 */
static bool last_start_differs(const struct log *log, const struct signature_finding *finding,
			       bool ready)
{
	const struct sighting last = sighting_of(log, log->starts - 1);

	return !finding->in_last && (sighting_works(&last) || sighting_has_problem(&last) ||
				     (ready && sighting_is_started(&last)));
}

/* What systemd said of a start before it failed. */
struct said {
	bool starting, started;
};

static void note_said(struct said *said, const struct log *log, size_t first, size_t end)
{
	const struct sighting before = { log, first, end };

	said->starting |= sighting_is_starting(&before);
	said->started |= sighting_is_started(&before);
}

/*
 * Without Type=notify a unit is called started before it says a word, one that
 * fails, too. Where no failed one is seen from its beginning, what would cost
 * the root is believed not to be called for.
 */
static bool started_means_ready(const struct said *said, enum signature_verdict verdict)
{
	return !said->started && (said->starting || verdict == SIGNATURE_QUARANTINE);
}

/* Is there a healthy start later than @time? Logs of several boots come in any order. */
static bool works_since(const struct log *log, long long time)
{
	for (uint32_t start = 0; start < log->starts; start++) {
		const struct sighting sighting = sighting_of(log, start);

		if (sighting_works(&sighting) && sighting_newest(&sighting) > time)
			return true;
	}
	return false;
}

static void judge(const struct log *log, enum signature worst, struct signature_finding *ret)
{
	const struct signature_info *info = &table[worst].info;
	struct signature_evidence evidence;
	long long time, newest = -1;
	struct said said = { 0 };

	*ret = (struct signature_finding){
		.signature = worst,
		.verdict = info->verdict,
		.needs = info->needs,
		.starts = log->starts,
	};
	for (uint32_t start = 0; start < log->starts; start++) {
		const struct sighting sighting = sighting_of(log, start);
		bool shows = start_shows(&sighting, &table[worst], &evidence);

		ret->shown_in += shows;
		ret->in_last = shows;
		if (!shows || evidence.count == 0)
			continue;
		note_said(&said, log, sighting.first, evidence.lines[0]);
		time = sighting_newest(&sighting);
		newest = time > newest ? time : newest;
	}
	if (ret->starts > 1 && ret->shown_in == ret->starts)
		ret->needs &= ~(unsigned)NEED_REPEAT;
	if (info->verdict != SIGNATURE_HANDS_OFF && ret->starts > 0 &&
	    (last_start_differs(log, ret, started_means_ready(&said, info->verdict)) ||
	     (newest >= 0 && works_since(log, newest))))
		ret->verdict = SIGNATURE_UNDECIDED;
}

struct shown {
	enum signature signature;
	struct signature_evidence evidence;
};

/* A disk that failed once is the cause of whatever is read from it later. */
static bool is_lasting(enum signature signature)
{
	return signature == SIGNATURE_IO_ERROR || signature == SIGNATURE_READ_ONLY;
}

/*
 * Does the last start name the cause by itself? What another process or a warning
 * says in it does not, and one that only ran out of time may be explained by an
 * earlier one.
 */
static bool decides(enum signature last, enum signature worst)
{
	if (last >= SIGNATURE_OTHER_PROCESS || is_lasting(worst))
		return false;
	return table[last].info.verdict != SIGNATURE_UNDECIDED ||
	       table[worst].info.verdict == SIGNATURE_QUARANTINE;
}

void signature_find(const struct log *log, struct signature_finding *ret,
		    struct signature_evidence *ret_evidence)
{
	struct shown worst = { .signature = SIGNATURE_NONE }, last = worst;

	for (uint32_t start = 0; start < log->starts; start++) {
		const struct sighting sighting = sighting_of(log, start);

		last.signature = signature_of_start(&sighting, &last.evidence);
		if (last.signature <= worst.signature)
			worst = last;
	}
	if (decides(last.signature, worst.signature))
		worst = last;
	judge(log, worst.signature, ret);
	if (ret_evidence)
		*ret_evidence = worst.evidence;
}

const struct signature_info *signature_info(enum signature signature)
{
	return &table[signature].info;
}

const char *signature_verdict_name(enum signature_verdict verdict)
{
	static const char *const names[] = {
		[SIGNATURE_UNDECIDED] = "undecided",
		[SIGNATURE_HANDS_OFF] = "hands-off",
		[SIGNATURE_PARTIAL] = "partial",
		[SIGNATURE_QUARANTINE] = "quarantine-root",
	};

	return names[verdict];
}

const char *signature_need_name(enum signature_need need)
{
	static const struct {
		enum signature_need need;
		const char *name;
	} names[] = {
		{ NEED_BOLT_CHECK, "bolt-check" },  { NEED_SPACE, "space-now" },
		{ NEED_LOCK, "lock-holder" },	    { NEED_MOUNTS, "mount-table" },
		{ NEED_SHIMS, "shim-probe" },	    { NEED_LEFTOVERS, "leftover-count" },
		{ NEED_REPEAT, "same-in-every-start" }, { NEED_UNCHANGED, "version-and-config-unchanged" },
		{ NEED_DISK, "disk-health" },	    { NEED_LOG, "log-of-a-whole-start" },
		{ NEED_MISSING, "file-still-missing" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].need == need)
			return names[i].name;
	return "";
}
