#include "recover/pending.h"

#include "recover/file.h"
#include "recover/log.h"

int pending_mark(int records_fd)
{
	return records_fd < 0 ? records_fd : file_replace(records_fd, PENDING_NAME, "", 0, 0600);
}

void pending_try_to_mark(int records_fd)
{
	if (pending_mark(records_fd) < 0)
		log_warning("cannot mark the background work as pending; `containerd-recover finish` does it by hand");
}
