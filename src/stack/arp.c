/* SPDX-License-Identifier: MIT */
/* ARP (RFC 826, RFC 5227 2.4): what the neighbour table decides, said on the wire. */
#include "stack/stack.h"

#define DEFEND_INTERVAL (10 * CPL_SECOND) /* RFC 5227 1.1 */

static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

static void arp_send(struct cpl_stack *s, int ifindex, uint16_t op, const uint8_t dst[6],
		     const struct arp_pkt *a)
{
	struct iface *iface = &s->ifaces[ifindex];
	struct ether_hdr eth = { .type = ETHER_ARP };
	struct arp_pkt pkt = *a;
	struct frame *f;

	if (!iface->up)
		return;
	if (iface->txq_n >= TXQ_MAX) {
		s->counters.drop_tx_queue++;
		return;
	}
	f = frame_new(s);
	if (!f)
		return;
	pkt.op = op;
	memcpy(pkt.sha, iface->config.mac, 6);
	arp_build(frame_push(f, ARP_LEN), &pkt);
	memcpy(eth.dst, dst, 6);
	memcpy(eth.src, iface->config.mac, 6);
	ether_build(frame_push(f, ETHER_HLEN), &eth);
	f->ifindex = (uint8_t)ifindex;
	list_push_back(&iface->txq, &f->link);
	iface->txq_n++;
}

void arp_solicit(struct cpl_stack *s, const struct neigh *n, bool unicast, uint64_t now)
{
	struct route_result route;
	struct arp_pkt a = { .tpa = n->addr };

	(void)now;
	if (route_lookup(&s->routes, &n->addr, n->ifindex, NULL, &route))
		return;
	a.spa = route.source;
	arp_send(s, n->ifindex, ARP_REQUEST, unicast ? n->mac : broadcast, &a);
}

/*
 * Somebody says that our address ADDR is theirs. It stays ours, and we say so, but not more than
 * once in ten seconds, or two that both defend it would never end (RFC 5227 2.4 (b)).
 */
static void defend(struct cpl_stack *s, int ifindex, const struct cpl_addr *addr, uint64_t now)
{
	struct iface *iface = &s->ifaces[ifindex];
	struct arp_pkt announcement = { .spa = *addr, .tpa = *addr };

	if (now < iface->defend_next || s->config.core)
		return;
	iface->defend_next = now + DEFEND_INTERVAL;
	arp_send(s, ifindex, ARP_REQUEST, broadcast, &announcement);
}

void arp_input(struct cpl_stack *s, int ifindex, const uint8_t *p, uint32_t len, uint64_t now)
{
	const uint8_t *mac = s->ifaces[ifindex].config.mac;
	struct ip_address *own;
	struct arp_pkt a, reply = { 0 };
	bool for_us;

	if (!arp_parse(p, len, &a) || ether_is_group(a.sha)) {
		s->counters.drop_arp_bad++;
		return;
	}
	own = route_our_addr(&s->routes, &a.tpa, ifindex);
	for_us = own && !own->tentative;
	if (!addr_is_any(&a.spa) && route_our_addr(&s->routes, &a.spa, ifindex)) {
		if (memcmp(a.sha, mac, 6)) {
			s->counters.drop_arp_bad++;
			defend(s, ifindex, &a.spa, now);
		}
		return;
	}
	if (!addr_is_any(&a.spa))
		neigh_heard_arp(&s->neigh, ifindex, &a.spa, a.sha, for_us, a.op == ARP_REPLY, now);
	if (!for_us || a.op != ARP_REQUEST || s->config.core)
		return; /* of several stacks that hear it, one answers */
	reply.spa = a.tpa;
	reply.tpa = a.spa;
	memcpy(reply.tha, a.sha, 6);
	arp_send(s, ifindex, ARP_REPLY, a.sha, &reply);
}
