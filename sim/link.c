/* SPDX-License-Identifier: MIT */
/*
 * A link of the simulated network: what a stack sends is cut into packets and put on the wire to
 * the port whose address it bears, or to all others; what a wire gives out is handed to the host
 * there.
 */
#include <string.h>

#include "sim/cut.h"
#include "sim/draw.h"
#include "sim/host.h"
#include "sim/packet.h"
#include "wire/bytes.h"
#include "wire/checksum.h"

/* When what is on the wire to HOST is handed in. */
static uint64_t input_deadline(const struct wire *wire, const struct net_host *host)
{
	uint64_t due = wire_deadline(wire);

	if (due == UINT64_MAX)
		return due;
	due += host->gather_ns;
	return due < host->frozen_until ? host->frozen_until : due;
}

uint64_t link_deadline(const struct net_link *link)
{
	uint64_t t = UINT64_MAX, d;

	for (unsigned a = 0; a < link->ports; a++) {
		for (unsigned b = 0; b < link->ports; b++) {
			if (a == b)
				continue;
			d = input_deadline(&link->wire[a][b], link->port[b]->host);
			t = d < t ? d : t;
		}
	}
	return t;
}

/* What has come over WIRE, as far as it fits into one call. */
static void deliver(struct wire *wire, struct net_iface *to, struct net_host *from)
{
	struct wire_frame *frames[NET_BATCH];
	unsigned n = 0, max = to->host->gather_ns ? NET_BATCH : 1;

	while (n < max && (frames[n] = wire_take(wire, to->host->net->now)))
		n++;
	if (n)
		host_input(to, from, frames, n);
}

void link_deliver(struct net_link *link)
{
	struct net *net = link->net;

	for (unsigned a = 0; a < link->ports; a++)
		for (unsigned b = 0; b < link->ports; b++)
			while (a != b && !net->failed &&
			       input_deadline(&link->wire[a][b], link->port[b]->host) <= net->now)
				deliver(&link->wire[a][b], link->port[b], link->port[a]->host);
}

/* ---- Packet too big ------------------------------------------------------------------------- */

static uint32_t too_big4(uint8_t *out, const struct packet *p, uint32_t mtu)
{
	uint32_t quote = p->ip.len < 548 ? p->ip.len : 548;
	struct ip_hdr ip = { .version = 4,
			     .ttl = 60,
			     .protocol = IP_ICMP,
			     .src = p->ip.dst,
			     .dst = p->ip.src,
			     .len = IPV4_HLEN + 8 + quote };
	uint8_t *icmp = out + IPV4_HLEN;
	uint16_t sum;

	if (!p->ip.dont_frag)
		return 0;
	ip_build(out, &ip);
	memset(icmp, 0, 8);
	icmp[0] = 3; /* unreachable: fragmentation needed (RFC 1191 4) */
	icmp[1] = 4;
	put16(icmp + 6, (uint16_t)mtu);
	memcpy(icmp + 8, p->ip_start, quote);
	sum = sum_finish(sum_add(0, icmp, 8 + quote));
	memcpy(icmp + 2, &sum, 2);
	return ip.len;
}

static uint32_t too_big6(uint8_t *out, const struct packet *p, uint32_t mtu)
{
	uint32_t quote = p->ip.len < 1232 ? p->ip.len : 1232;
	struct ip_hdr ip = { .version = 6,
			     .ttl = 60,
			     .protocol = IP_ICMP6,
			     .src = p->ip.dst,
			     .dst = p->ip.src,
			     .len = IPV6_HLEN + 8 + quote };
	uint8_t *icmp = out + IPV6_HLEN;
	uint16_t sum;

	ip_build(out, &ip);
	memset(icmp, 0, 8);
	icmp[0] = 2; /* packet too big (RFC 4443 3.2) */
	put32(icmp + 4, mtu);
	memcpy(icmp + 8, p->ip_start, quote);
	sum = sum_finish(
		sum_add(sum_pseudo(&ip.src, &ip.dst, IP_ICMP6, 8 + quote), icmp, 8 + quote));
	memcpy(icmp + 2, &sum, 2);
	return ip.len;
}

uint32_t net_too_big(uint8_t *out, const uint8_t *packet, uint32_t len, uint32_t mtu)
{
	struct packet p;

	if (!packet_read(&p, packet, len, false))
		return 0;
	/* No error about an error (RFC 1122 3.2.2, RFC 4443 2.4). */
	if (p.ip.protocol == IP_ICMP || p.ip.protocol == IP_ICMP6)
		return 0;
	return p.ip.version == 4 ? too_big4(out, &p, mtu) : too_big6(out, &p, mtu);
}

/* The answer goes back to FROM, over the wire from TO. */
static void answer_too_big(struct net_iface *from, struct net_iface *to, const uint8_t *frame,
			   uint32_t len)
{
	struct net_link *link = from->link;
	struct wire *back = &link->wire[to->port][from->port];
	uint32_t head = link->ether ? PACKET_ETHER : 0, n;
	uint8_t out[PACKET_ETHER + 1280];

	n = net_too_big(out + head, frame + head, len - head,
			link->wire[from->port][to->port].params.mtu);
	if (!n)
		return;
	if (head) {
		memcpy(out, frame + 6, 6);
		memcpy(out + 6, frame, 6);
		memcpy(out + 12, frame + 12, 2);
	}
	wire_put(back, out, head + n, 0, 0, link->net->now, NULL);
}

/* ---- Sending -------------------------------------------------------------------------------- */

struct sending {
	struct net_iface *from, *to;
	uint32_t gso_size, flags;
};

static void put(void *ctx, const uint8_t *frame, uint32_t len)
{
	const struct sending *s = ctx;
	struct net_link *link = s->from->link;
	struct net *net = link->net;
	struct net_sight sight = {
		.what = NET_SENT,
		.host = s->from->host,
		.peer = s->to->host,
		.iface = s->from,
		.frame = frame,
		.len = len,
		.gso_size = s->gso_size,
		.ether = link->ether,
	};

	net->packets++;
	sight.fate = wire_put(&link->wire[s->from->port][s->to->port], frame, len, s->gso_size,
			      s->flags, net->now, &sight.arrives);
	if (sight.fate != WIRE_SENT)
		sight.what = NET_LOST;
	net_show(net, &sight);
	if (sight.fate == WIRE_TOO_BIG && link->mtu_answer)
		answer_too_big(s->from, s->to, frame, len);
}

/* The frame keeps the promises of struct cpl_out and of the interface. */
static void check_out(const struct net_iface *iface, const struct cpl_out *out)
{
	struct net_host *host = iface->host;
	uint32_t head = iface->link->ether ? PACKET_ETHER : 0, most = iface->config.mtu + head;
	uint32_t can = out->ipv6 ? CPL_IFACE_GSO6 : CPL_IFACE_GSO4;

	if (out->gso_size && !(iface->config.flags & can))
		net_fail(host->net, "%s: a super-segment for a device that cuts none", host->name);
	if (out->csum_start && !(iface->config.flags & CPL_IFACE_CSUM_OUT))
		net_fail(host->net, "%s: a partial checksum for a device that completes none",
			 host->name);
	if (out->gso_size) {
		if (out->header_len > out->len || out->header_len + out->gso_size > most)
			net_fail(host->net, "%s: segments of %u + %u bytes on an MTU of %u",
				 host->name, out->header_len, out->gso_size, iface->config.mtu);
		else if (out->len - out->header_len > iface->config.gso_max)
			net_fail(host->net, "%s: a super-segment of %u bytes; the most is %u",
				 host->name, out->len - out->header_len, iface->config.gso_max);
	} else if (out->len > most) {
		net_fail(host->net, "%s: a packet of %u bytes on an MTU of %u", host->name,
			 out->len - head, iface->config.mtu);
	}
}

static void send_to(struct net_iface *from, struct net_iface *to, const struct cpl_out *out,
		    const uint8_t *data)
{
	struct sending s = { .from = from, .to = to };
	struct cut_frame frame = {
		.data = data,
		.len = out->len,
		.gso_size = out->gso_size,
		.csum_start = out->csum_start,
		.csum_offset = out->csum_offset,
		.ether = from->link->ether,
	};

	if (from->uncut && (out->gso_size || out->csum_start)) {
		s.gso_size = out->gso_size;
		s.flags = out->csum_start ? CPL_FRAME_CSUM_PARTIAL : 0;
		put(&s, data, out->len);
		return;
	}
	if (cut_frame(&frame, put, &s) < 0)
		net_fail(from->host->net, "%s: a frame that cannot be cut or summed",
			 from->host->name);
}

void link_send(struct net_iface *iface, const struct cpl_out *out, const uint8_t *data)
{
	struct net_link *link = iface->link;
	struct net_iface *only = NULL;

	net_hash(link->net, iface->host->index + 16, data, out->len);
	check_out(iface, out);
	if (link->ether && out->len < PACKET_ETHER) {
		net_fail(link->net, "%s: a frame of %u bytes on Ethernet", iface->host->name,
			 out->len);
		return;
	}
	for (unsigned i = 0; link->ether && i < link->ports; i++)
		if (memcmp(link->port[i]->config.mac, data, 6) == 0)
			only = link->port[i];
	for (unsigned i = 0; i < link->ports; i++)
		if (link->port[i] != iface && (!only || only == link->port[i]))
			send_to(iface, link->port[i], out, data);
}
