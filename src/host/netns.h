/* SPDX-License-Identifier: MIT */
/* A network namespace of one's own (network_namespaces(7), user_namespaces(7)), without root where
 * that is allowed. */
#ifndef HOST_NETNS_H
#define HOST_NETNS_H

#include <sys/types.h>

#include "link/link.h"

/*
 * Move this process, which must have one thread, to a new network namespace, with its loopback
 * interface up. Whoever may not do that directly gets a user namespace around it, in which this
 * user is root: what the process starts sees no other user. Returns 0 or a negative errno; then WHY
 * is one sentence, which ends with the command to run instead, made from ARGV (NULL: without).
 */
int netns_enter(char *const argv[], struct link_why *why);

/*
 * In a user namespace that this process has just made: who was user UID and group GID outside is
 * AS_UID and AS_GID there, and nobody else is. Returns 0 or a negative errno.
 */
int netns_map(uid_t as_uid, uid_t uid, gid_t as_gid, gid_t gid);

#endif
