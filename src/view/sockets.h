/* SPDX-License-Identifier: MIT */
/*
 * Descriptor -> socket -> connection, process by process: three things that are usually one to one,
 * and the cases in which they are not. A listener is a socket without a connection; what waits to
 * be accepted and what its program has closed are connections without a descriptor; TIME-WAIT is
 * not even a socket any more; dup(2), fork(2) and SCM_RIGHTS make several descriptors of one
 * socket.
 */
#ifndef VIEW_SOCKETS_H
#define VIEW_SOCKETS_H

#include "view/text.h"

struct view_descriptor {
	uint64_t inode; /* of the socket that it leads to */
	uint32_t pid, fd;
	char program[16];
};

struct view_sockets {
	const struct cpl_info *info; /* everything that there is */
	size_t n;
	const bool *shown; /* which of them are meant; NULL: all */
	const struct view_descriptor *descriptor;
	size_t descriptors;
	bool whole;	  /* INFO holds every kind, and all is shown that is no UNIX socket */
	bool some_hidden; /* of some processes the descriptors could not be seen */
};

/* Returns 0 or -ENOMEM. */
int view_sockets(struct text *t, const struct view_sockets *sockets);

#endif
