/* SPDX-License-Identifier: MIT */
/*
 * Our addresses and routes: longest prefix, then lowest metric; source address selection (RFC 6724,
 * the rules that apply to static addresses). IPv4 prefixes are kept as mapped ones of 96 + n bits;
 * a route of one family never matches an address of the other.
 *
 * A lookup walks the routes, longest prefix first: who sends often keeps the answer until
 * route_table.generation changes.
 */
#ifndef IP_ROUTE_H
#define IP_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include <couplet/addr.h>

#include "base/mem.h"

#define IFACES_MAX 64

struct ip_address {
	struct cpl_addr addr;
	uint8_t prefix_len; /* of the family: 0 to 32 or 128 */
	uint8_t ifindex;
	bool tentative; /* duplicate address detection runs: not to be used yet */
	bool broadcasts;
	struct cpl_addr broadcast; /* of its subnet, if there is one */
};

struct ip_route {
	struct cpl_addr prefix;
	struct cpl_addr gateway; /* all zero: on link */
	uint32_t metric;
	uint8_t prefix_len; /* 0 to 128: mapped */
	uint8_t ifindex;
	bool connected; /* made by an address, and goes with the last one on its prefix */
};

struct route_table {
	struct mem *mem;
	struct ip_address *addrs;
	uint32_t addrs_n, addrs_cap;
	struct ip_route *routes; /* sorted: longest prefix first, then lowest metric */
	uint32_t routes_n, routes_cap;
	uint64_t up;	     /* a bit for each interface that is up */
	uint32_t generation; /* changes whenever an answer may have */
};

struct route_result {
	int ifindex;
	struct cpl_addr next_hop;
	struct cpl_addr source;
};

void route_init(struct route_table *t, struct mem *mem);
void route_destroy(struct route_table *t);
/*
 * 0, -EEXIST, -EINVAL, -ENOMEM; -ESRCH for what is not there.
 *
 * Adding an address adds the on-link route to its prefix as well, with metric 0, unless there is
 * one; deleting the last address of that prefix on the interface deletes it. Interfaces are 1 to
 * IFACES_MAX, and down until route_set_up().
 */
int route_addr_add(struct route_table *t, int ifindex, const struct cpl_addr *addr,
		   unsigned prefix_len, bool tentative);
int route_addr_del(struct route_table *t, int ifindex, const struct cpl_addr *addr);
/* Duplicate address detection has passed: the address may be used. */
void route_addr_ready(struct route_table *t, struct ip_address *a);
/*
 * PREFIX_LEN of the family; bits beyond it are ignored. GATEWAY: NULL, any, or a unicast address of
 * the same family. A route is named by prefix, gateway and interface: the same with another metric
 * is -EEXIST.
 */
int route_add(struct route_table *t, const struct cpl_addr *prefix, unsigned prefix_len,
	      const struct cpl_addr *gateway, int ifindex, uint32_t metric);
int route_del(struct route_table *t, const struct cpl_addr *prefix, unsigned prefix_len,
	      const struct cpl_addr *gateway, int ifindex);
void route_set_up(struct route_table *t, int ifindex, bool up);

/*
 * How to reach DST: one of our own addresses (next_hop is DST; the caller delivers it), a multicast
 * or broadcast address (next_hop is DST), or anything by the table. IFINDEX: 0, or the interface
 * that it must leave by (link-local, bound). SOURCE: NULL or any, and one is chosen; or the address
 * that must be used, which is taken as it is (a catch-all answers from addresses that are not
 * ours), except that a link-local one names the interface. 0, -ENETUNREACH, -EADDRNOTAVAIL (no
 * source address, or one of the other family).
 */
int route_lookup(const struct route_table *t, const struct cpl_addr *dst, int ifindex,
		 const struct cpl_addr *source, struct route_result *res);
/*
 * The last answer, and to what. route_recall() is route_lookup() for who asks the same again and
 * again: MEMO, once all 0, holds it until the table changes.
 */
struct route_memo {
	uint32_t generation;
	int ifindex;
	struct cpl_addr dst, source;
	struct route_result route; /* ifindex 0: there is none */
};

int route_recall(const struct route_table *t, struct route_memo *memo, const struct cpl_addr *dst,
		 int ifindex, const struct cpl_addr *source);
/* Our address entry, tentative ones too, or NULL; valid until the next change. IFINDEX 0: any. */
struct ip_address *route_our_addr(const struct route_table *t, const struct cpl_addr *addr,
				  int ifindex);
/* ADDR is a broadcast address of a subnet of ours, or 255.255.255.255. */
bool route_is_broadcast(const struct route_table *t, const struct cpl_addr *addr);

#endif
