/* SPDX-License-Identifier: MIT */
/*
 * The kernel's end of a TUN or TAP device, set up through rtnetlink(7): what `ip link`, `ip
 * address` and `ip route` do. All need CAP_NET_ADMIN in the network namespace. They return 0 or a
 * negative errno with a sentence in WHY; what is there already is no error.
 */
#ifndef LINK_KERNEL_IF_H
#define LINK_KERNEL_IF_H

#include <couplet/addr.h>

#include "link/link.h"

int kernel_if_up(const char *name, struct link_why *why);
/* 68 (IPv6: 1,280) to 65,535. */
int kernel_if_set_mtu(const char *name, uint32_t mtu, struct link_why *why);
/*
 * Packets that may wait in it for us (`ip link set txqueuelen`): what comes beyond that the kernel
 * drops, and sends again after a time-out. A TUN or TAP device is made with 500 or 1,000.
 */
int kernel_if_set_queue(const char *name, uint32_t packets, struct link_why *why);
/* Enough for each of some thousand connections to say something at once. */
#define KERNEL_IF_QUEUE 8192u
/* PREFIX_LEN of the family. IPv6 without duplicate address detection: it can be used at once. */
int kernel_if_addr_add(const char *name, const struct cpl_addr *addr, unsigned prefix_len,
		       struct link_why *why);
/* GATEWAY NULL: on link. */
int kernel_if_route_add(const char *name, const struct cpl_addr *prefix, unsigned prefix_len,
			const struct cpl_addr *gateway, struct link_why *why);

/*
 * What `ethtool -K` does with tx, tso, gso and gro: ON false: the interface passes on only segments
 * of its MTU, with complete checksums. One that the interface can't change is left as it is.
 */
int kernel_if_set_offload(const char *name, bool on, struct link_why *why);

#endif
