/* SPDX-License-Identifier: MIT */
/* Sets of epoll(7) that hold sockets of Couplet. */
#ifndef SHIM_EPOLL_H
#define SHIM_EPOLL_H

#include "shim/protocol.h"

/* A descriptor of the set TOKEN was closed. */
void epoll_left(shim_token token);
/* The epoll descriptor FD is not to be closed by execve() (any more). */
void epoll_keep(int fd);
/* HOLDER came over execve(), with the set TOKEN at PLACE, whose bell is known by COOKIE. */
void epoll_arrived(int holder, shim_token token, uint32_t place, uint64_t cookie);

#endif
