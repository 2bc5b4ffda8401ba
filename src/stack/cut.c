/* SPDX-License-Identifier: MIT */
/*
 * A super-segment on its way to a device that can't cut it is cut here, one packet a call: TCP
 * made one record and one header for many segments, and what is left to do for each is what differs
 * between them (RFC 9293 3.1: sequence number, flags, checksum; the IP header's length).
 */
#include "stack/stack.h"

#include "wire/bytes.h"

#define TCP_CHECK 16u /* where the checksum stands in the header */

/* The bytes [at, at + len) of P's payload, shared with it. */
static void share_payload(struct frame *f, const struct frame *p, struct cutting *c, uint32_t len)
{
	f->payload_len = len;
	while (len) {
		const struct chunk_piece *from = &p->pieces[c->piece];
		uint32_t n = from->len - c->piece_off;

		n = n < len ? n : len;
		chunk_get(from->chunk);
		f->pieces[f->pieces_n++] =
			(struct chunk_piece){ from->data + c->piece_off, n, from->chunk };
		c->piece_off += n;
		len -= n;
		if (c->piece_off == from->len) {
			c->piece++;
			c->piece_off = 0;
		}
	}
}

/* The headers of all packets but for what differs, and the sums of that. */
static void prepare(struct cutting *c, struct frame *f, uint32_t link)
{
	uint8_t *ip = f->headers + f->off + link, *tcp;
	uint32_t total = f->len - link + f->payload_len;
	uint64_t ip_sum = 0;
	uint16_t field;

	c->ip_at = (uint16_t)(f->off + link);
	c->tcp_at = (uint16_t)(c->ip_at + (f->ipv6 ? IPV6_HLEN : 4u * (ip[0] & 15u)));
	c->headers = f->off + f->len - c->ip_at;
	tcp = f->headers + c->tcp_at;
	put16(ip + (f->ipv6 ? 4 : 2), 0);
	if (!f->ipv6) {
		put16(ip + 10, 0);
		ip_sum = sum_add(0, ip, c->tcp_at - c->ip_at);
	}
	c->ip_sum = ip_sum;
	c->seq = get32(tcp + 4);
	c->once = tcp[13] & (TCP_FIN | TCP_PSH);
	c->first = f->ecn ? tcp[13] & TCP_CWR : 0; /* RFC 3168 6.1.2: CWR on the first */
	tcp[13] &= (uint8_t) ~(c->once | c->first);
	/* It is the sum of the pseudo-header so far: with the true addresses, also where a route
	 * goes by another. */
	memcpy(&field, tcp + TCP_CHECK, 2);
	put16(tcp + TCP_CHECK, 0);
	c->pseudo =
		sum_join(field,
			 (uint16_t)~sum_fold(__builtin_bswap32(total - (c->tcp_at - c->ip_at))));
	put32(tcp + 4, 0);
	c->tcp_sum = sum_join(c->pseudo, sum_add(0, tcp, c->headers - (c->tcp_at - c->ip_at)));
}

bool cut_begin(struct iface *iface, struct frame *f)
{
	uint32_t can = f->ipv6 ? CPL_IFACE_GSO6 : CPL_IFACE_GSO4;

	if (!f->gso_size || iface->config.flags & can)
		return false;
	iface->cutting = (struct cutting){ .frame = f };
	prepare(&iface->cutting, f, iface->config.kind == CPL_IFACE_ETHER ? ETHER_HLEN : 0);
	return true;
}

static void cut_ip(const struct cutting *c, struct frame *f, uint32_t payload)
{
	uint8_t *ip = f->headers + c->ip_at;
	uint16_t len, check;

	if (f->ipv6) {
		put16(ip + 4, (uint16_t)(c->headers + payload - IPV6_HLEN));
		return;
	}
	put16(ip + 2, (uint16_t)(c->headers + payload));
	memcpy(&len, ip + 2, 2);
	check = sum_finish(c->ip_sum + len);
	memcpy(ip + 10, &check, 2);
}

static void cut_tcp(const struct cutting *c, struct frame *f, uint32_t payload, sum_fn add,
		    bool offload)
{
	uint8_t *tcp = f->headers + c->tcp_at, flags = 0;
	uint32_t hlen = c->headers - (uint32_t)(c->tcp_at - c->ip_at), seq = c->seq + c->off;
	uint64_t len = __builtin_bswap32(hlen + payload), sum;
	uint16_t field;

	if (c->off + payload == c->frame->payload_len)
		flags |= c->once;
	if (!c->off)
		flags |= c->first;
	put32(tcp + 4, seq);
	tcp[13] |= flags;
	if (offload) {
		field = sum_fold(c->pseudo + len);
	} else {
		/* The flags' octet is the odd one of its word. */
		sum = sum_join(c->tcp_sum, len + __builtin_bswap32(seq) + ((uint64_t)flags << 8));
		field = sum_finish(frame_sum(f, add, sum, hlen));
	}
	memcpy(tcp + TCP_CHECK, &field, 2);
}

struct frame *cut_next(struct cpl_stack *s, struct iface *iface)
{
	struct cutting *c = &iface->cutting;
	struct frame *p = c->frame, *f = frame_new(s);
	uint32_t left = p->payload_len - c->off, len = left < p->gso_size ? left : p->gso_size;
	bool offload = iface->config.flags & CPL_IFACE_CSUM_OUT;

	if (!f)
		return NULL;
	f->off = p->off;
	f->len = p->len;
	memcpy(f->headers, p->headers, sizeof(f->headers)); /* of a size known here */
	f->ifindex = p->ifindex;
	f->ipv6 = p->ipv6;
	f->handle = p->handle;
	f->start = p->start;
	f->end = len == left ? p->end : p->start + len;
	if (offload) {
		f->csum_start = p->csum_start;
		f->csum_offset = p->csum_offset;
	}
	share_payload(f, p, c, len);
	cut_ip(c, f, len);
	cut_tcp(c, f, len, s->sum, offload);
	c->off += len;
	p->start = f->end;
	if (len == left) {
		c->frame = NULL;
		frame_free(s, p);
	}
	return f;
}
