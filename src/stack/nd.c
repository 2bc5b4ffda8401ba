/* SPDX-License-Identifier: MIT */
/*
 * Neighbour Discovery (RFC 4861: solicitation and advertisement) and duplicate address detection
 * (RFC 4862 5.4; with the nonce of RFC 7527).
 */
#include "stack/stack.h"

#define DAD_NS	   (1000 * CPL_MS) /* RetransTimer */
#define DAD_PROBES 3		   /* MAX_MULTICAST_SOLICIT, where the link loops */

static void nd_send(struct cpl_stack *s, int ifindex, uint8_t type, const struct nd_msg *nd,
		    const struct cpl_addr *src, const struct cpl_addr *dst, uint64_t now)
{
	uint8_t body[ND_LEN_MAX], msg[ICMP_HLEN + ND_LEN_MAX];
	struct ip_hdr h = {
		.src = *src, .dst = *dst, .ttl = 255, .protocol = IP_ICMP6, .version = 6
	};
	struct icmp_msg m = { 0 };
	struct frame *f = frame_new(s);
	uint32_t len;

	if (!f)
		return;
	nd_build(&m, body, type, nd);
	len = icmp6_build(msg, &m, src, dst);
	memcpy(frame_push(f, len), msg, len);
	/* Straight to the interface: the source may be unspecified, the target unknown to routes.
	 */
	h.len = IPV6_HLEN + len;
	ip_build(frame_push(f, IPV6_HLEN), &h);
	f->ifindex = (uint8_t)ifindex;
	f->next_hop = *dst;
	f->ipv6 = true;
	s->counters.icmp_out++;
	output_frame(s, f, now);
}

void nd_solicit(struct cpl_stack *s, const struct neigh *n, bool unicast, uint64_t now)
{
	struct nd_msg nd = { .target = n->addr, .has_mac = true };
	struct cpl_addr dst = unicast ? n->addr : addr_solicited_node(&n->addr);
	struct route_result route;

	if (route_lookup(&s->routes, &n->addr, n->ifindex, NULL, &route))
		return;
	memcpy(nd.mac, s->ifaces[n->ifindex].config.mac, 6);
	nd_send(s, n->ifindex, ICMP6_NS, &nd, &route.source, &dst, now);
}

static void advertise(struct cpl_stack *s, const struct packet *pkt, const struct nd_msg *ns,
		      uint64_t now)
{
	static const struct cpl_addr all_nodes = { { 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
						     1 } };
	bool from_nowhere = addr_is_any(&pkt->ip.src);
	struct nd_msg na = {
		.target = ns->target, .solicited = !from_nowhere, .override = true, .has_mac = true
	};

	memcpy(na.mac, s->ifaces[pkt->ifindex].config.mac, 6);
	nd_send(s, pkt->ifindex, ICMP6_NA, &na, &ns->target,
		from_nowhere ? &all_nodes : &pkt->ip.src, now);
}

/*
 * Our own solicitation, which the link has brought back, is no conflict (RFC 7527 4.2), but may
 * hide one: another follows (4.1).
 */
static bool dad_is_own(struct cpl_stack *s, int ifindex, const struct nd_msg *ns)
{
	struct list *pos;

	list_for_each (pos, &s->dad_list) {
		struct dad *d = container_of(pos, struct dad, link);

		if (d->ifindex != ifindex || !cpl_addr_equal(&d->addr, &ns->target))
			continue;
		d->looped = ns->has_nonce && !memcmp(ns->nonce, d->nonce, sizeof(d->nonce));
		return d->looped;
	}
	return false;
}

/* Somebody has the address that we are about to use (RFC 4862 5.4.5): it is not ours then. */
static void dad_lost(struct cpl_stack *s, int ifindex, const struct cpl_addr *addr)
{
	dad_stop(s, ifindex, addr);
	route_addr_del(&s->routes, ifindex, addr);
}

void nd_input(struct cpl_stack *s, const struct packet *pkt, const struct icmp_msg *m, uint64_t now)
{
	struct ip_address *own;
	struct nd_msg nd;

	if (s->ifaces[pkt->ifindex].config.kind != CPL_IFACE_ETHER ||
	    !nd_parse(m, pkt->ip.ttl, &pkt->ip.src, &pkt->ip.dst, &nd)) {
		s->counters.drop_nd_bad++;
		return;
	}
	own = route_our_addr(&s->routes, &nd.target, pkt->ifindex);
	s->counters.icmp_in++;
	if (m->type == ICMP6_NS) {
		if (own && own->tentative && addr_is_any(&pkt->ip.src)) {
			if (!dad_is_own(s, pkt->ifindex, &nd))
				dad_lost(s, pkt->ifindex, &nd.target); /* 5.4.3 */
			return;
		}
		if (!own || own->tentative)
			return;
		if (nd.has_mac && !addr_is_any(&pkt->ip.src))
			neigh_heard_solicit(&s->neigh, pkt->ifindex, &pkt->ip.src, nd.mac, now);
		if (!s->config.core) /* of several stacks that hear it, one answers */
			advertise(s, pkt, &nd, now);
		return;
	}
	if (own) {
		if (own->tentative)
			dad_lost(s, pkt->ifindex, &nd.target);
		return;
	}
	neigh_heard_advert(&s->neigh, pkt->ifindex, &nd.target, nd.has_mac ? nd.mac : NULL,
			   nd.router, nd.solicited, nd.override, now);
}

/* ---- duplicate address detection ---- */

static void dad_probe(struct cpl_stack *s, struct dad *d, uint64_t now)
{
	struct nd_msg nd = { .target = d->addr, .has_nonce = true };
	struct cpl_addr any = { { 0 } }, dst = addr_solicited_node(&d->addr);

	memcpy(nd.nonce, d->nonce, sizeof(nd.nonce));
	d->looped = false;
	d->probes++;
	d->deadline = now + DAD_NS;
	list_del(&d->link);
	list_push_back(&s->dad_list, &d->link); /* all take equally long: in order */
	nd_send(s, d->ifindex, ICMP6_NS, &nd, &any, &dst, now);
}

int dad_start(struct cpl_stack *s, int ifindex, const struct cpl_addr *addr, uint64_t now)
{
	struct dad *d = pool_alloc(&s->dads, NULL);
	uint64_t nonce = prng_u64(&s->prng);

	if (!d)
		return -ENOBUFS;
	memset(d, 0, sizeof(*d));
	list_init(&d->link);
	d->addr = *addr;
	d->ifindex = (uint8_t)ifindex;
	memcpy(d->nonce, &nonce, sizeof(d->nonce));
	dad_probe(s, d, now);
	return 0;
}

void dad_stop(struct cpl_stack *s, int ifindex, const struct cpl_addr *addr)
{
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &s->dad_list) {
		struct dad *d = container_of(pos, struct dad, link);

		if (d->ifindex != ifindex || !cpl_addr_equal(&d->addr, addr))
			continue;
		list_del(pos);
		pool_free(&s->dads, d);
	}
}

void dad_advance(struct cpl_stack *s, uint64_t now)
{
	while (!list_empty(&s->dad_list)) {
		struct dad *d = list_first(&s->dad_list, struct dad, link);
		struct ip_address *own;

		if (d->deadline > now)
			return;
		if (d->looped && d->probes < DAD_PROBES) {
			dad_probe(s, d, now);
			continue;
		}
		own = route_our_addr(&s->routes, &d->addr, d->ifindex);
		if (own)
			route_addr_ready(&s->routes, own);
		list_del(&d->link);
		pool_free(&s->dads, d);
	}
}

uint64_t dad_deadline(const struct cpl_stack *s)
{
	if (list_empty(&s->dad_list))
		return CPL_NEVER;
	return list_first(&s->dad_list, struct dad, link)->deadline;
}
