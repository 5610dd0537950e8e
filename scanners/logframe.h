/*
 * A line of a Go stack: of which program it can be. Only text, no log around it.
 */
#ifndef SCANNERS_LOGFRAME_H
#define SCANNERS_LOGFRAME_H

enum log_frame {
	LOG_FRAME_FOREIGN = 1 << 0, /* another program's, or a shim's */
	LOG_FRAME_UNKNOWN = 1 << 1, /* a function of a module the daemon is not built from */
	LOG_FRAME_OWN = 1 << 2,	    /* of what only the containerd daemon is built from */
	LOG_FRAME_BOLT = 1 << 3,    /* in a bolt library */
	LOG_FRAME_RUNTIME = 1 << 4, /* Go's own machinery, or no function's line at all */
};

/* Of enum log_frame, all that hold for @text. */
unsigned log_frame_of(const char *text);

#endif
