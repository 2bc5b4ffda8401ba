/* SPDX-License-Identifier: MIT */
/*
 * The loop without a protocol: the least that a server on a link has to do so that the kernel's TCP
 * at the other end is content. Valid headers, and nothing else: no timers, no recovery, no
 * congestion control, no records, one table indexed by the peer's port. What it reaches is this
 * link's limit for anybody. The payload is copied once, as between a program and its stack.
 *
 * Wire formats: RFC 826, RFC 791, RFC 9293 3.1. IPv4 only, in-order delivery taken for granted.
 */
#ifndef BENCH_NOPROTO_H
#define BENCH_NOPROTO_H

#include <arpa/inet.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "link/link.h"
#include "wire/checksum.h"

enum noproto_work {
	NOPROTO_SINK,	/* take what comes */
	NOPROTO_SOURCE, /* send TOTAL octets, then close */
	NOPROTO_ECHO,	/* send back what comes */
};

#define NOPROTO_ACK_EVERY 131072u
#define NOPROTO_SHIFT	  9 /* of our window: 32 MiB at most */
#define NOPROTO_BURST	  4 /* super-segments between two looks at what came in */
#define NOPROTO_FIN	  1u
#define NOPROTO_SYN	  2u
#define NOPROTO_RST	  4u
#define NOPROTO_ACK	  16u

struct noproto_flow {
	uint32_t snd, una, wnd, rcv, acked; /* acked: the last that we told */
	uint8_t shift;
	bool open, fin_sent;
};

struct noproto {
	struct link *link;
	enum noproto_work work;
	uint64_t total, sent;
	uint32_t l2;	    /* length of the Ethernet header, or 0 */
	uint32_t mss, size; /* of a segment, of a super-segment */
	uint32_t ours, theirs;
	uint16_t port;	 /* ours */
	uint16_t source; /* the peer's port that has the data's flow; 0: none */
	uint8_t mac[6];	 /* theirs, once known */
	uint8_t out[65536 + 64];
	uint8_t program[1u << 16]; /* where a program would have its data */
	struct noproto_flow flows[65536];
};

static uint32_t noproto_get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return ntohl(v);
}

static void noproto_put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void noproto_put32(uint8_t *p, uint32_t v)
{
	v = htonl(v);
	memcpy(p, &v, 4);
}

/* One frame of HEAD octets of headers before N of payload, both in out[]. False: refused. */
static bool noproto_write(struct noproto *s, uint32_t head, uint32_t n, bool tcp)
{
	struct cpl_out f = { .iov = { { s->out, head + n } },
			     .iov_n = 1,
			     .len = head + n,
			     .header_len = (uint16_t)head };

	if (tcp) {
		f.csum_start = (uint16_t)(s->l2 + 20);
		f.csum_offset = 16;
		f.gso_size = n > s->mss ? (uint16_t)s->mss : 0;
	}
	if (!(s->link->iface.flags & CPL_IFACE_CSUM_OUT))
		f.csum_start = f.csum_offset = 0;
	return link_write(s->link, &f) != 0;
}

/* A segment to the peer's PORT; N octets of payload stand in out[] already, behind the headers. */
static bool noproto_segment(struct noproto *s, uint16_t port, unsigned flags, uint32_t n)
{
	static const uint8_t syn_options[8] = { 2, 4, 0, 0, 1, 3, 3, NOPROTO_SHIFT };
	struct noproto_flow *f = &s->flows[port];
	uint32_t options = flags & NOPROTO_SYN ? 8 : 0, tcp_len = 20 + options + n;
	uint8_t *ip = s->out + s->l2, *t = ip + 20;
	struct cpl_addr from, to;
	uint64_t pseudo;
	uint16_t sum;

	if (s->l2) {
		memcpy(s->out, s->mac, 6);
		memcpy(s->out + 6, s->link->iface.mac, 6);
		noproto_put16(s->out + 12, 0x0800);
	}
	memset(ip, 0, 20);
	ip[0] = 0x45;
	noproto_put16(ip + 2, 20 + tcp_len);
	ip[6] = 0x40;
	ip[8] = 64;
	ip[9] = 6;
	noproto_put32(ip + 12, s->ours);
	noproto_put32(ip + 16, s->theirs);
	sum = sum_finish(sum_add(0, ip, 20));
	memcpy(ip + 10, &sum, 2);
	noproto_put16(t, s->port);
	noproto_put16(t + 2, port);
	noproto_put32(t + 4, f->snd);
	noproto_put32(t + 8, f->rcv);
	t[12] = (uint8_t)((20 + options) / 4 << 4);
	t[13] = (uint8_t)flags;
	noproto_put16(t + 14, 65535);
	memset(t + 16, 0, 4);
	if (options) {
		memcpy(t + 20, syn_options, 8);
		noproto_put16(t + 22, s->mss);
	}
	from = cpl_addr4(ip[12], ip[13], ip[14], ip[15]);
	to = cpl_addr4(ip[16], ip[17], ip[18], ip[19]);
	pseudo = sum_pseudo(&from, &to, 6, tcp_len);
	sum = s->link->iface.flags & CPL_IFACE_CSUM_OUT ? sum_fold(pseudo)
							: sum_finish(sum_add(pseudo, t, tcp_len));
	memcpy(t + 16, &sum, 2);
	f->acked = f->rcv;
	return noproto_write(s, s->l2 + 40 + options, n, true);
}

static void noproto_arp(struct noproto *s, const uint8_t *p, uint32_t len)
{
	uint8_t *a = s->out + 14;

	if (len < 42 || p[21] != 1 || noproto_get32(p + 38) != s->ours)
		return;
	memcpy(s->out, p + 22, 6);
	memcpy(s->out + 6, s->link->iface.mac, 6);
	memcpy(s->out + 12, p + 12, 8);
	noproto_put16(a + 6, 2);
	memcpy(a + 8, s->link->iface.mac, 6);
	noproto_put32(a + 14, s->ours);
	memcpy(a + 18, p + 22, 10);
	noproto_write(s, 42, 0, false);
}

static void noproto_syn(struct noproto *s, struct noproto_flow *f, const uint8_t *t, uint16_t port)
{
	*f = (struct noproto_flow){ .snd = 1000, .rcv = noproto_get32(t + 4) + 1, .open = true };
	for (const uint8_t *o = t + 20, *end = t + (t[12] >> 4) * 4; o < end && *o;
	     o += *o == 1 ? 1 : o[1])
		if (*o == 3)
			f->shift = o[2];
	noproto_segment(s, port, NOPROTO_SYN | NOPROTO_ACK, 0);
	f->una = ++f->snd;
	if (s->work == NOPROTO_SOURCE) {
		s->source = port;
		s->sent = 0;
	}
}

/* Payload in order: to the program, and back from it if that is the work. */
static void noproto_data(struct noproto *s, struct noproto_flow *f, uint16_t port,
			 const uint8_t *data, uint32_t n)
{
	memcpy(s->program, data, n);
	f->rcv += n;
	if (s->work == NOPROTO_ECHO) {
		memcpy(s->out + s->l2 + 40, s->program, n);
		noproto_segment(s, port, NOPROTO_ACK | 8, n);
		f->snd += n;
	} else if (f->rcv - f->acked >= NOPROTO_ACK_EVERY) {
		noproto_segment(s, port, NOPROTO_ACK, 0);
	}
}

static uint16_t noproto_in(struct noproto *s, const struct cpl_frame *frame)
{
	const uint8_t *p = frame->data, *ip = p + s->l2, *t = ip + 20, *data;
	uint16_t port;
	struct noproto_flow *f;
	uint32_t n;

	if (s->l2 && frame->len >= 14 && p[12] == 8 && p[13] == 6)
		noproto_arp(s, p, frame->len);
	if (frame->len < s->l2 + 40 || ip[0] != 0x45 || ip[9] != 6)
		return 0;
	if (s->l2)
		memcpy(s->mac, p + 6, 6);
	port = (uint16_t)(t[0] << 8 | t[1]);
	f = &s->flows[port];
	if (t[13] & NOPROTO_SYN) {
		noproto_syn(s, f, t, port);
		return 0;
	}
	if (!f->open || t[13] & NOPROTO_RST) {
		f->open = false;
		return 0;
	}
	f->una = noproto_get32(t + 8);
	f->wnd = (uint32_t)(t[14] << 8 | t[15]) << f->shift;
	data = t + (t[12] >> 4) * 4;
	n = (uint32_t)(ip[2] << 8 | ip[3]) - (uint32_t)(data - ip);
	if (n)
		noproto_data(s, f, port, data, n);
	if (t[13] & NOPROTO_FIN) {
		f->rcv++;
		noproto_segment(s, port, NOPROTO_ACK | (f->fin_sent ? 0 : NOPROTO_FIN), 0);
		f->open = false;
	}
	return n ? port : 0;
}

/* As much as the peer's window takes, a few super-segments at most. True: there may be more. */
static bool noproto_pump(struct noproto *s)
{
	struct noproto_flow *f = &s->flows[s->source];

	for (unsigned i = 0; i < NOPROTO_BURST && s->sent < s->total; i++) {
		uint64_t left = s->total - s->sent;
		uint32_t n = left < s->size ? (uint32_t)left : s->size;

		if (f->snd - f->una + n > f->wnd)
			return false;
		memcpy(s->out + s->l2 + 40, s->program, n);
		if (!noproto_segment(s, s->source, NOPROTO_ACK | 8, n))
			return false;
		f->snd += n;
		s->sent += n;
	}
	if (s->sent < s->total)
		return true;
	noproto_segment(s, s->source, NOPROTO_ACK | NOPROTO_FIN, 0);
	f->snd++;
	f->fin_sent = true;
	s->source = 0;
	return false;
}

/*
 * Serve on OURS, port PORT, for ever, with SPINS looks in vain before it sleeps. ONE_BY_ONE: no
 * look for what is not awaited. OURS and THEIRS in the machine's byte order.
 */
static void noproto_run(struct link *link, enum noproto_work work, uint64_t total, uint32_t ours,
			uint32_t theirs, uint16_t port, bool one_by_one, unsigned spins)
{
	struct noproto *s = calloc(1, sizeof(*s));
	struct cpl_frame frames[64];
	/* What comes one by one needs no look for more. */
	unsigned max = one_by_one ? 1 : 64;
	unsigned idle = 0; /* looks in vain */
	uint16_t last = 0; /* whose data may have to be acknowledged */

	if (!s)
		abort();
	s->link = link;
	s->work = work;
	s->total = total;
	s->l2 = link->iface.kind == CPL_IFACE_ETHER ? 14 : 0;
	s->mss = link->iface.mtu - 40;
	s->size = link->iface.gso_max > s->mss ? link->iface.gso_max / s->mss * s->mss : s->mss;
	s->ours = ours;
	s->theirs = theirs;
	s->port = port;
	for (;;) {
		int n = link_read(link, frames, max);
		bool more;

		if (n < 0)
			abort();
		for (int i = 0; i < n; i++) {
			uint16_t from = noproto_in(s, &frames[i]);

			last = from ? from : last;
		}
		if (n < (int)max && last && s->flows[last].acked != s->flows[last].rcv)
			noproto_segment(s, last, NOPROTO_ACK, 0);
		more = s->source && noproto_pump(s);
		idle = n > 0 || more ? 0 : idle + 1;
		if ((n <= 0 || one_by_one) && !more && idle >= spins && !link_ready(link, true))
			poll(&(struct pollfd){ .fd = link->fd, .events = POLLIN }, 1, -1);
	}
}

#endif
