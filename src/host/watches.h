/* SPDX-License-Identifier: MIT */
/*
 * The descriptors of the program's that a loop watches for it: a table by their numbers, over the
 * loop's epoll.
 */
#ifndef HOST_WATCHES_H
#define HOST_WATCHES_H

#include <sys/epoll.h>

#include "host/loop.h"

struct watch;

struct watches {
	int epoll;
	uint64_t source; /* in the upper eight bits of what epoll gives back for them */
	struct watch *at;
	unsigned n;
};

void watches_init(struct watches *w, int epoll, uint64_t source);
void watches_free(struct watches *w);
/* -EBADF, -EEXIST, -ENOMEM, or what epoll_ctl() says. */
int watches_add(struct watches *w, int fd, uint32_t events, loop_fd_fn fn, void *arg);
/* -ENOENT: not watched. */
int watches_change(struct watches *w, int fd, uint32_t events);
/* No event of FD is told any more, also if epoll has given one already. */
void watches_remove(struct watches *w, int fd);
/* EVENT came from epoll: tell whom it is for, if he is there still. */
void watches_ready(struct watches *w, const struct epoll_event *event, uint64_t now);

#endif
