/* SPDX-License-Identifier: MIT */
/* Sets of epoll(7) that hold sockets of Couplet. */
#ifndef SHIM_EPOLL_H
#define SHIM_EPOLL_H

#include "shim/protocol.h"

/* A descriptor of the set TOKEN was closed. */
void epoll_left(shim_token token);

#endif
