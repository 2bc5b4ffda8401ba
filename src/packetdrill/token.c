/* SPDX-License-Identifier: MIT */
/* Descriptors: real ones, of /dev/null, so that close(2) of the C library does no harm. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>

#include "packetdrill/drill.h"

int drill_token(struct drill *d, sock_id sock, epoll_id set)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (fd >= DRILL_FDS) {
		close(fd);
		return -EMFILE;
	}
	d->fds[fd] = (struct drill_fd){ sock, set };
	return fd;
}

sock_id drill_sock(const struct drill *d, int fd)
{
	return fd >= 0 && fd < DRILL_FDS ? d->fds[fd].sock : 0;
}

epoll_id drill_set(const struct drill *d, int fd)
{
	return fd >= 0 && fd < DRILL_FDS ? d->fds[fd].set : 0;
}

void drill_forget(struct drill *d, int fd)
{
	d->fds[fd] = (struct drill_fd){ 0 };
	close(fd);
}
