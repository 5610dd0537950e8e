#include "recover/notify.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>

#include "scanners/cleanup.h"
#include "scanners/dl.h"

static __typeof__(sd_notify) *sym_sd_notify;

static void notify(const char *state)
{
	static const struct dl_symbol symbols[] = { DL_SYMBOL(sd_notify) };

	if (!getenv("NOTIFY_SOCKET"))
		return;
	if (!sym_sd_notify && dl_load("libsystemd.so.0", symbols, ARRAY_SIZE(symbols)) < 0)
		return;
	(void)sym_sd_notify(0, state); /* a status line that nobody gets is no loss */
}

void notify_ready(void)
{
	notify("READY=1");
}

void notify_status(const char *format, ...)
{
	char text[256];
	va_list args;
	int n = snprintf(text, sizeof(text), "STATUS=");

	va_start(args, format);
	(void)vsnprintf(text + n, sizeof(text) - (size_t)n, format, args);
	va_end(args);
	notify(text);
}
