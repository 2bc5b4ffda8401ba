/* SPDX-License-Identifier: MIT */
/*
 * What an address is to us, and how it is reached, remembered for the addresses met lately. An
 * entry holds until a route, an address or a path MTU changes: their generations say so. Collisions
 * cost time, nothing else.
 */
#include "stack/stack.h"

static struct dst *slot(struct cpl_stack *s, const struct cpl_addr *addr)
{
	uint64_t a[2];

	memcpy(a, addr->b, sizeof(a));
	a[0] = (a[0] ^ a[1] * 0x9e3779b97f4a7c15ull) * 0xd6e8feb86659fd93ull;
	return &s->dsts[a[0] >> 58];
}

static uint8_t classify(struct cpl_stack *s, const struct cpl_addr *addr)
{
	const struct ip_address *own = route_our_addr(&s->routes, addr, 0);
	uint8_t is = 0;

	if (own)
		is |= own->tentative ? DST_TENTATIVE : DST_OWN;
	if (addr_is_multicast(addr))
		is |= DST_MULTICAST;
	if (route_is_broadcast(&s->routes, addr))
		is |= DST_BROADCAST;
	if (addr_is_source(addr))
		is |= DST_SOURCE;
	if (addr_is_loopback(addr))
		is |= DST_LOOPBACK;
	return is;
}

const struct dst *dst_get(struct cpl_stack *s, const struct cpl_addr *addr)
{
	struct dst *d = slot(s, addr);

	if (d->used && d->route_generation == s->routes.generation &&
	    cpl_addr_equal(&d->addr, addr))
		return d;
	s->way = NULL;
	d->addr = *addr;
	d->used = true;
	d->routed = false;
	d->route_generation = s->routes.generation;
	d->is = classify(s, addr);
	return d;
}

const struct dst *dst_path(struct cpl_stack *s, const struct cpl_addr *addr,
			   const struct cpl_addr *source, int ifindex, int *err, uint64_t now)
{
	struct dst *d = (struct dst *)dst_get(s, addr), *to = &s->dst_once;
	struct route_result route;

	if (d->routed && !ifindex && d->pmtu_generation == s->pmtu.generation &&
	    cpl_addr_equal(&d->route.source, source))
		return d;
	*err = route_lookup(&s->routes, addr, ifindex, source, &route);
	if (*err)
		return NULL;
	if (!ifindex && cpl_addr_equal(&route.source, source)) {
		s->way = NULL;
		to = d;
		to->pmtu_generation = s->pmtu.generation;
		to->routed = true;
	}
	to->route = route;
	to->hop_is = d->is;
	if (!cpl_addr_equal(&route.next_hop, addr))
		to->hop_is = classify(s, &route.next_hop);
	to->mtu = pmtu_get(&s->pmtu, addr, s->ifaces[route.ifindex].config.mtu, now);
	return to;
}
