/* SPDX-License-Identifier: MIT */
/* Talking to NETLINK_SOCK_DIAG (sock_diag(7)): what the sources that ask it share. */
#ifndef SOURCE_DIAG_H
#define SOURCE_DIAG_H

#ifdef HAVE_LIBMNL

#include <libmnl/libmnl.h>

#include "source/namespaces.h"

/* The kernel fills at most 32 KiB at once for a dump. */
#define DIAG_BUFFER  (64 * 1024)
/* How often a dump that the kernel calls inconsistent is repeated. */
#define DIAG_REPEATS 4

/*
 * A socket of NS (NULL: ours) that waits for no answer longer than a few seconds; NULL: errno says
 * why.
 */
struct mnl_socket *diag_open(const struct netns *ns);

/*
 * Sends in NS the request H, which stands at the start of BUFFER (of DIAG_BUFFER bytes), and hands
 * each answer to MESSAGE, which returns MNL_CB_OK to go on, MNL_CB_STOP to end. Returns 0 when
 * there are no more or MESSAGE ended it; -EINTR: the dump was inconsistent and should be repeated;
 * -ETIMEDOUT; or the negative errno with which the kernel refused.
 */
int diag_ask(const struct netns *ns, char *buffer, const struct nlmsghdr *h, mnl_cb_t message,
	     void *arg);

#endif
#endif
