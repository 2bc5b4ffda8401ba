/* SPDX-License-Identifier: MIT */
/* The kernel's sockets through NETLINK_SOCK_DIAG, one network namespace at a time. */
#ifndef SOURCE_SOCK_DIAG_H
#define SOURCE_SOCK_DIAG_H

#include "source/namespaces.h"
#include "source/source.h"

/*
 * The TCP and UDP sockets of NS (NULL: ours) that OPTIONS want, to VISIT. What could not be looked
 * at goes to NOTES. Returns 0, or what VISIT returned; a negative errno when nothing could be
 * looked at.
 */
int sock_diag_walk(const struct netns *ns, const struct source_options *options,
		   struct source_notes *notes, source_visit visit, void *arg);

/* source_again() for a record of sock_diag, which is of NS. */
int sock_diag_again(const struct netns *ns, const struct cpl_info *seen, struct cpl_info *now);

#endif
