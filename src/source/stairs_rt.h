/* SPDX-License-Identifier: MIT */
/*
 * What the kernel tells of its links, addresses, routes and neighbours, through rtnetlink(7); of
 * the network namespace that the calling thread is in. No privilege is needed.
 */
#ifndef SOURCE_STAIRS_RT_H
#define SOURCE_STAIRS_RT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <couplet/addr.h>

#define RT_MAC 8 /* longest link address that is kept */

struct rt_link {
	uint32_t ifindex;
	char name[16];
	uint32_t flags; /* IFF_ */
	uint32_t mtu;
	uint16_t type; /* ARPHRD_ */
	uint8_t mac_len;
	uint8_t mac[RT_MAC];
};

struct rt_address {
	uint32_t ifindex;
	struct cpl_addr addr;
	uint8_t prefix; /* bits, of 32 or 128 */
	uint8_t scope;	/* RT_SCOPE_ */
	uint32_t flags; /* IFA_F_ */
};

/* What the kernel does with packets to one address. */
struct rt_route {
	int error;	/* 0, or why there is none: -ENETUNREACH, -EHOSTUNREACH, -EACCES, -EINVAL */
	uint8_t type;	/* RTN_ */
	uint32_t table; /* in which it was found; 0: not told */
	uint32_t ifindex;
	bool has_source, has_gateway, has_prefix;
	struct cpl_addr source;
	struct cpl_addr gateway;
	uint8_t prefix; /* of the entry that matched: bits */
	uint32_t mtu;	/* of the route; 0: that of the link */
};

struct rt_neighbour {
	uint32_t ifindex;
	struct cpl_addr addr;
	uint16_t state; /* NUD_ */
	uint8_t mac_len;
	uint8_t mac[RT_MAC];
};

/* Called with one record, which lives until the call returns; nonzero ends the dump. */
typedef int (*rt_visit_link)(void *arg, const struct rt_link *link);
typedef int (*rt_visit_address)(void *arg, const struct rt_address *address);
typedef int (*rt_visit_neighbour)(void *arg, const struct rt_neighbour *neighbour);

/* All of them return 0 or a negative errno; -ENOSYS: built without libmnl. */
int rt_links(rt_visit_link visit, void *arg);
int rt_link(uint32_t ifindex, struct rt_link *link);
int rt_addresses(rt_visit_address visit, void *arg);
int rt_neighbours(uint32_t ifindex, rt_visit_neighbour visit, void *arg);
/* -ENOENT: there is no entry. */
int rt_neighbour(uint32_t ifindex, const struct cpl_addr *addr, struct rt_neighbour *neighbour);
/* IFINDEX: the scope of a link-local address, or 0. That there is no route is route->error. */
int rt_route(const struct cpl_addr *to, uint32_t ifindex, struct rt_route *route);
/* How many policy rules there are beside the three that every namespace has, for IPv4 or IPv6. */
int rt_rules(bool ip4, unsigned *rules);

/* Bits of prefix that both addresses share, counted as their family does; 0 for two families. */
unsigned rt_common_prefix(const struct cpl_addr *a, const struct cpl_addr *b);

#endif
