#include "recover/unit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <time.h>

#include "scanners/cleanup.h"
#include "scanners/dl.h"

#define SYSTEMD "org.freedesktop.systemd1"
#define MANAGER SYSTEMD ".Manager"
#define MANAGER_PATH "/org/freedesktop/systemd1"

enum { POLL_MSEC = 20, STOP_AFTER_KILL_SEC = 20 };

#define SYM(f) static __typeof__(f) *sym_##f
SYM(sd_bus_new);
SYM(sd_bus_set_address);
SYM(sd_bus_start);
SYM(sd_bus_open_system);
SYM(sd_bus_call_method);
SYM(sd_bus_get_property);
SYM(sd_bus_get_property_string);
SYM(sd_bus_message_read);
SYM(sd_bus_message_unref);
SYM(sd_bus_error_free);
SYM(sd_bus_error_has_name);
SYM(sd_bus_flush_close_unref);
#undef SYM

static int load(void)
{
	static const struct dl_symbol symbols[] = {
		DL_SYMBOL(sd_bus_new),
		DL_SYMBOL(sd_bus_set_address),
		DL_SYMBOL(sd_bus_start),
		DL_SYMBOL(sd_bus_open_system),
		DL_SYMBOL(sd_bus_call_method),
		DL_SYMBOL(sd_bus_get_property),
		DL_SYMBOL(sd_bus_get_property_string),
		DL_SYMBOL(sd_bus_message_read),
		DL_SYMBOL(sd_bus_message_unref),
		DL_SYMBOL(sd_bus_error_free),
		DL_SYMBOL(sd_bus_error_has_name),
		DL_SYMBOL(sd_bus_flush_close_unref),
	};

	return dl_load("libsystemd.so.0", symbols, ARRAY_SIZE(symbols)) < 0 ? -ELIBACC : 0;
}

static void bus_closep(sd_bus **bus)
{
	if (*bus)
		(void)sym_sd_bus_flush_close_unref(*bus);
}

static void messagep(sd_bus_message **m)
{
	if (*m)
		(void)sym_sd_bus_message_unref(*m);
}

static void errorp(sd_bus_error *e)
{
	sym_sd_bus_error_free(e);
}

#define cleanup_bus __attribute__((cleanup(bus_closep)))
#define cleanup_message __attribute__((cleanup(messagep)))
#define cleanup_error __attribute__((cleanup(errorp)))

/* systemd's own socket works without a bus daemon, as on a node half up. */
static int open_private(sd_bus **ret)
{
	cleanup_bus sd_bus *bus = NULL;
	int r = sym_sd_bus_new(&bus);

	if (r >= 0)
		r = sym_sd_bus_set_address(bus, "unix:path=/run/systemd/private");
	if (r >= 0)
		r = sym_sd_bus_start(bus);
	if (r < 0)
		return r;
	*ret = take_ptr(bus);
	return 0;
}

static int open_bus(sd_bus **ret)
{
	int r = load();

	if (r < 0)
		return r;
	if (open_private(ret) == 0)
		return 0;
	r = sym_sd_bus_open_system(ret);
	return r < 0 ? r : 0;
}

static int unit_path(sd_bus *bus, const char *unit, char **ret)
{
	cleanup_error sd_bus_error error = SD_BUS_ERROR_NULL;
	cleanup_message sd_bus_message *reply = NULL;
	const char *path;
	int r = sym_sd_bus_call_method(bus, SYSTEMD, MANAGER_PATH, MANAGER, "LoadUnit", &error, &reply,
				       "s", unit);

	if (r >= 0)
		r = sym_sd_bus_message_read(reply, "o", &path);
	if (r < 0)
		return r;
	*ret = strdup(path);
	return *ret ? 0 : -ENOMEM;
}

static int property(sd_bus *bus, const char *path, const char *name, char *to)
{
	cleanup_error sd_bus_error error = SD_BUS_ERROR_NULL;
	cleanup_free char *value = NULL;
	int r = sym_sd_bus_get_property_string(bus, SYSTEMD, path, SYSTEMD ".Unit", name, &error, &value);

	if (r < 0)
		return r;
	(void)snprintf(to, UNIT_STATE, "%s", value);
	return 0;
}

static int bus_state(sd_bus *bus, const char *unit, char active[UNIT_STATE], char sub[UNIT_STATE])
{
	cleanup_free char *path = NULL;
	char load_state[UNIT_STATE];
	int r = unit_path(bus, unit, &path);

	if (r == 0)
		r = property(bus, path, "LoadState", load_state);
	if (r == 0 && strcmp(load_state, "not-found") == 0)
		r = -ENOENT;
	if (r == 0)
		r = property(bus, path, "ActiveState", active);
	if (r == 0)
		r = property(bus, path, "SubState", sub);
	return r;
}

int unit_state(const char *unit, char ret_active[UNIT_STATE], char ret_sub[UNIT_STATE])
{
	cleanup_bus sd_bus *bus = NULL;
	int r = open_bus(&bus);

	return r < 0 ? r : bus_state(bus, unit, ret_active, ret_sub);
}

int unit_needs_reload(const char *unit)
{
	cleanup_bus sd_bus *bus = NULL;
	cleanup_free char *path = NULL;
	int needed = 0, r = open_bus(&bus);

	if (r == 0)
		r = unit_path(bus, unit, &path);
	if (r == 0) {
		cleanup_error sd_bus_error error = SD_BUS_ERROR_NULL;
		cleanup_message sd_bus_message *reply = NULL;

		r = sym_sd_bus_get_property(bus, SYSTEMD, path, SYSTEMD ".Unit", "NeedDaemonReload",
					    &error, &reply, "b");
		if (r >= 0)
			r = sym_sd_bus_message_read(reply, "b", &needed);
	}
	return r < 0 ? r : needed != 0;
}

/* Is something queued for @unit? Returns 1, 0, or a negative errno. */
static int has_job(sd_bus *bus, const char *unit)
{
	cleanup_error sd_bus_error error = SD_BUS_ERROR_NULL;
	cleanup_message sd_bus_message *reply = NULL;
	cleanup_free char *path = NULL;
	uint32_t id = 0;
	int r = unit_path(bus, unit, &path);

	if (r == 0)
		r = sym_sd_bus_get_property(bus, SYSTEMD, path, SYSTEMD ".Unit", "Job", &error,
					    &reply, "(uo)");
	if (r >= 0)
		r = sym_sd_bus_message_read(reply, "(uo)", &id, NULL);
	return r < 0 ? r : id != 0;
}

static int job(sd_bus *bus, const char *method, const char *unit)
{
	cleanup_error sd_bus_error error = SD_BUS_ERROR_NULL;
	int r = sym_sd_bus_call_method(bus, SYSTEMD, MANAGER_PATH, MANAGER, method, &error, NULL, "ss",
				       unit, "replace");

	return r < 0 ? r : 0;
}

static void nap(void)
{
	const struct timespec pause = { .tv_nsec = POLL_MSEC * 1000000L };

	(void)nanosleep(&pause, NULL); /* a shorter one only polls sooner */
}

static bool is_down(const char *active)
{
	return strcmp(active, "inactive") == 0 || strcmp(active, "failed") == 0;
}

/* Polls until @done says so; -ETIMEDOUT after @budget_sec. */
static int wait_for(sd_bus *bus, const char *unit, unsigned budget_sec,
		    int (*done)(const char *active, bool queued))
{
	char active[UNIT_STATE], sub[UNIT_STATE];
	unsigned polls = budget_sec * 1000 / POLL_MSEC;

	for (unsigned i = 0; i <= polls; i++) {
		/* In this order: a job seen to be gone has left its mark on the state. */
		int queued = has_job(bus, unit);
		int r = queued < 0 ? queued : bus_state(bus, unit, active, sub);

		if (r == 0)
			r = done(active, queued > 0);
		if (r != 0)
			return r < 0 ? r : 0;
		nap();
	}
	return -ETIMEDOUT;
}

static int stopped(const char *active, bool queued)
{
	(void)queued;
	return is_down(active);
}

static int started(const char *active, bool queued)
{
	if (strcmp(active, "active") == 0)
		return 1;
	return is_down(active) && !queued ? -EIO : 0;
}

int unit_stop(const char *unit, unsigned patience_sec)
{
	cleanup_bus sd_bus *bus = NULL;
	cleanup_error sd_bus_error error = SD_BUS_ERROR_NULL;
	int r = open_bus(&bus);

	if (r == 0)
		r = job(bus, "StopUnit", unit);
	if (r == 0)
		r = wait_for(bus, unit, patience_sec, stopped);
	if (r != -ETIMEDOUT)
		return r;
	r = sym_sd_bus_call_method(bus, SYSTEMD, MANAGER_PATH, MANAGER, "KillUnit", &error, NULL,
				   "ssi", unit, "main", SIGKILL);
	return r < 0 ? r : wait_for(bus, unit, STOP_AFTER_KILL_SEC, stopped);
}

static int stopped_or_beyond(const char *active, bool queued)
{
	return !queued || (strcmp(active, "deactivating") != 0 && strcmp(active, "active") != 0);
}

int unit_restart(const char *unit, unsigned patience_sec)
{
	cleanup_bus sd_bus *bus = NULL;
	cleanup_error sd_bus_error error = SD_BUS_ERROR_NULL;
	int r = open_bus(&bus);

	if (r == 0)
		r = job(bus, "TryRestartUnit", unit);
	if (r == 0)
		r = wait_for(bus, unit, patience_sec, stopped_or_beyond);
	if (r != -ETIMEDOUT)
		return r;
	r = sym_sd_bus_call_method(bus, SYSTEMD, MANAGER_PATH, MANAGER, "KillUnit", &error, NULL,
				   "ssi", unit, "main", SIGKILL);
	return r < 0 ? r : 0;
}

static int start(sd_bus *bus, const char *unit)
{
	cleanup_error sd_bus_error error = SD_BUS_ERROR_NULL;

	/* Fails where there is nothing to forget. */
	(void)sym_sd_bus_call_method(bus, SYSTEMD, MANAGER_PATH, MANAGER, "ResetFailedUnit", &error,
				     NULL, "s", unit);
	return job(bus, "StartUnit", unit);
}

int unit_start(const char *unit, unsigned budget_sec)
{
	cleanup_bus sd_bus *bus = NULL;
	int r = open_bus(&bus);

	if (r == 0)
		r = start(bus, unit);
	return r < 0 ? r : wait_for(bus, unit, budget_sec, started);
}

int unit_start_no_wait(const char *unit)
{
	cleanup_bus sd_bus *bus = NULL;
	int r = open_bus(&bus);

	return r < 0 ? r : start(bus, unit);
}

int unit_wait_active(const char *unit, unsigned budget_sec)
{
	cleanup_bus sd_bus *bus = NULL;
	int r = open_bus(&bus);

	return r < 0 ? r : wait_for(bus, unit, budget_sec, started);
}

int unit_start_anew(const char *unit)
{
	cleanup_bus sd_bus *bus = NULL;
	int r = open_bus(&bus);

	return r < 0 ? r : job(bus, "RestartUnit", unit);
}
