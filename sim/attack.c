/* SPDX-License-Identifier: MIT */
/* Forged packets: see attack.h. */
#include "sim/attack.h"

#include <string.h>

#include "sim/draw.h"
#include "sim/packet.h"
#include "wire/bytes.h"
#include "wire/checksum.h"
#include "wire/tcp.h"

#define MOST 1500

static uint64_t draw(const struct attack *a, uint64_t what)
{
	return draw_at(a->seed, a->sent, what);
}

static void fill(const struct attack *a, uint8_t *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		p[i] = (uint8_t)draw(a, 100 + i);
}

/* An IP header from end FROM to the other, for N bytes of PROTOCOL behind it. */
static uint32_t put_ip(const struct attack *a, uint8_t *out, unsigned from, uint8_t protocol,
		       uint32_t n)
{
	struct ip_hdr ip = {
		.version = cpl_addr_is4(&a->addr[0]) ? 4 : 6,
		.ttl = 64,
		.protocol = protocol,
		.src = a->addr[from],
		.dst = a->addr[!from],
		.id = (uint16_t)draw(a, 1),
	};

	ip.len = (ip.version == 4 ? IPV4_HLEN : IPV6_HLEN) + n;
	return ip_build(out, &ip);
}

static void put_sum(const struct attack *a, uint8_t *p, uint32_t n, uint32_t at, unsigned from,
		    uint8_t protocol)
{
	uint64_t sum =
		protocol == IP_ICMP ? 0 : sum_pseudo(&a->addr[from], &a->addr[!from], protocol, n);
	uint16_t folded;

	memset(p + at, 0, 2);
	folded = sum_finish(sum_add(sum, p, n));
	memcpy(p + at, &folded, 2);
}

/* A segment with any flags but a bare SYN, numbers at random, right checksum. */
static uint32_t forge_segment(const struct attack *a, uint8_t *out, unsigned from)
{
	uint32_t n = (uint32_t)draw_below(draw(a, 2), 200), ihl;
	struct tcp_seg seg = {
		.sport = a->port[from],
		.dport = a->port[!from],
		.seq = (uint32_t)draw(a, 3),
		.ack = (uint32_t)draw(a, 4),
		.flags = (uint16_t)(draw(a, 5) & 0xff),
		.wnd = (uint16_t)draw(a, 6),
		.up = (uint16_t)draw(a, 7),
		.opts = draw(a, 8) & 1 ? TCP_HAS_TS : 0,
		.tsval = (uint32_t)draw(a, 9),
		.tsecr = (uint32_t)draw(a, 10),
	};
	uint8_t tcp[TCP_HLEN_MAX];
	unsigned thl;

	if ((seg.flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN)
		seg.flags |= TCP_ACK;
	thl = tcp_build(tcp, &seg);
	ihl = put_ip(a, out, from, IP_TCP, thl + n);
	memcpy(out + ihl, tcp, thl);
	fill(a, out + ihl + thl, n);
	put_sum(a, out + ihl, thl + n, 16, from, IP_TCP);
	return ihl + thl + n;
}

/* A SYN to a port that may listen, from a port or a host that will never answer it. */
static uint32_t forge_syn(const struct attack *a, uint8_t *out)
{
	/* The end with the lower port is the server. */
	unsigned from = a->port[0] < a->port[1];
	struct attack other = *a;
	struct tcp_seg seg = {
		.sport = (uint16_t)(40000 + draw_below(draw(a, 2), 20000)),
		.dport = a->port[!from],
		.seq = (uint32_t)draw(a, 3),
		.flags = TCP_SYN,
		.wnd = (uint16_t)draw(a, 4),
		.opts = TCP_HAS_MSS,
		.mss = (uint16_t)draw(a, 5),
	};
	uint8_t tcp[TCP_HLEN_MAX];
	unsigned thl = tcp_build(tcp, &seg), ihl;

	if (draw(a, 6) & 1)
		other.addr[from].b[15] = (uint8_t)(100 + draw_below(draw(a, 7), 100));
	ihl = put_ip(&other, out, from, IP_TCP, thl);
	memcpy(out + ihl, tcp, thl);
	put_sum(&other, out + ihl, thl, 16, from, IP_TCP);
	return ihl + thl;
}

/* "Unreachable" or "too big" about a segment that the victim may have sent. */
static uint32_t forge_error(const struct attack *a, uint8_t *out, unsigned from)
{
	bool v4 = cpl_addr_is4(&a->addr[0]);
	uint8_t protocol = v4 ? IP_ICMP : IP_ICMP6;
	uint32_t quoted = (v4 ? IPV4_HLEN : IPV6_HLEN) + 20, ihl;
	uint8_t *icmp, *tcp;

	ihl = put_ip(a, out, from, protocol, 8 + quoted);
	icmp = out + ihl;
	memset(icmp, 0, 8 + quoted);
	if (v4) {
		icmp[0] = 3;
		icmp[1] = (uint8_t)draw_below(draw(a, 2), 16);
	} else {
		icmp[0] = (uint8_t)(1 + draw_below(draw(a, 2), 4));
		icmp[1] = (uint8_t)draw_below(draw(a, 3), 7);
	}
	put16(icmp + 6, (uint16_t)(68 + draw_below(draw(a, 4), 1400)));
	put_ip(a, icmp + 8, !from, IP_TCP, 20);
	tcp = icmp + 8 + quoted - 20;
	put16(tcp, a->port[!from]);
	put16(tcp + 2, a->port[from]);
	put32(tcp + 4, (uint32_t)draw(a, 5));
	put_sum(a, icmp, 8 + quoted, 2, from, protocol);
	return ihl + 8 + quoted;
}

/* One of a few fragments of one packet, at places that overlap. */
static uint32_t forge_fragment(const struct attack *a, uint8_t *out, unsigned from)
{
	uint32_t n = 8 * (1 + (uint32_t)draw_below(draw(a, 2), 20)), ihl;
	uint32_t off = 8 * (uint32_t)draw_below(draw(a, 3), 16), id = a->sent / 8;
	bool more = draw(a, 4) & 1;

	if (cpl_addr_is4(&a->addr[0])) {
		struct ip_hdr ip = {
			.version = 4,
			.ttl = 64,
			.protocol = IP_TCP,
			.src = a->addr[from],
			.dst = a->addr[!from],
			.id = id & 0xffff,
			.len = IPV4_HLEN + n,
			.frag_off = off,
			.more_frags = more,
		};

		ihl = ip_build(out, &ip);
	} else {
		ihl = put_ip(a, out, from, 44, IPV6_FRAG_HLEN + n);
		ip6_frag_build(out + ihl, IP_TCP, off, more, id);
		ihl += IPV6_FRAG_HLEN;
	}
	fill(a, out + ihl, n);
	return ihl + n;
}

static uint32_t forge(const struct attack *a, uint8_t *out, unsigned from)
{
	uint32_t n, ihl;

	if (a->flood && (draw(a, 21) & 1))
		return forge_syn(a, out);
	switch (draw_below(draw(a, 0), 8)) {
	case 0:
		return forge_error(a, out, from);
	case 1:
		return forge_fragment(a, out, from);
	case 2: /* noise behind an IP header */
		n = (uint32_t)draw_below(draw(a, 2), 100);
		ihl = put_ip(a, out, from, (uint8_t)draw(a, 3), n);
		fill(a, out + ihl, n);
		return ihl + n;
	default:
		return forge_segment(a, out, from);
	}
}

static void send_one(void *ctx, uint64_t arg)
{
	struct attack *a = ctx;
	struct net *net = a->net;
	unsigned from = draw(a, 20) & 1;
	uint8_t out[PACKET_ETHER + MOST];
	struct net_iface *src, *dst;
	uint32_t head, n;

	(void)arg;
	a->sent++;
	if (a->known) {
		src = a->iface[from];
		dst = a->iface[!from];
		head = src->link->ether ? PACKET_ETHER : 0;
		n = head + forge(a, out + head, from);
		if (head) {
			memcpy(out, dst->config.mac, 6);
			memcpy(out + 6, src->config.mac, 6);
			put16(out + 12, cpl_addr_is4(&a->addr[0]) ? 0x0800 : 0x86dd);
		}
		wire_put(&src->link->wire[src->port][dst->port], out, n, 0, 0, net->now, NULL);
	}
	if (net->now + a->gap_ns < a->until)
		net_at(net, net->now + a->gap_ns, send_one, a, 0);
}

/* What anybody may know: who talks to whom. */
static void see(void *ctx, const struct net_sight *s)
{
	struct attack *a = ctx;
	struct packet p;

	if (s->what != NET_SENT || !packet_read(&p, s->frame, s->len, s->ether) || !p.tcp ||
	    p.payload == 0 || (p.flags & (TCP_SYN | TCP_RST)))
		return;
	a->known = true;
	a->addr[0] = p.ip.src;
	a->addr[1] = p.ip.dst;
	a->port[0] = p.sport;
	a->port[1] = p.dport;
	a->iface[0] = s->iface;
	for (unsigned i = 0; i < s->iface->link->ports; i++)
		if (s->iface->link->port[i]->host == s->peer)
			a->iface[1] = s->iface->link->port[i];
}

void attack_start(struct attack *a)
{
	net_observe(a->net, see, a);
	net_at(a->net, a->from, send_one, a, 0);
}
