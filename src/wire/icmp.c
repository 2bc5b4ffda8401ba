/* SPDX-License-Identifier: MIT */
/*
 * ICMP (RFC 792, RFC 1122 3.2.2) and ICMPv6 (RFC 4443): messages, and the packets of ours that
 * errors quote. A quote is whatever its sender likes it to be: it names a connection, it proves
 * nothing. No state.
 */
#include "wire/icmp.h"

#include "wire/bytes.h"
#include "wire/checksum.h"
#include "wire/ip.h"

#define IP6_HOP_BY_HOP	0
#define IP6_ROUTING	43
#define IP6_FRAGMENT	44
#define IP6_DESTINATION 60
#define IP6_WALK_MAX	8

#define QUOTE_TRANSPORT 8 /* RFC 792: "plus the first 64 bits of the original datagram's data" */

static bool split(const uint8_t *p, uint32_t len, uint64_t sum, struct icmp_msg *m)
{
	if (sum_finish(sum_add(sum, p, len)))
		return false;
	m->type = p[0];
	m->code = p[1];
	m->rest = get32(p + 4);
	m->body = p + ICMP_HLEN;
	m->body_len = len - ICMP_HLEN;
	return true;
}

bool icmp4_parse(const uint8_t *p, uint32_t len, struct icmp_msg *m)
{
	return len >= ICMP_HLEN && split(p, len, 0, m);
}

bool icmp6_parse(const uint8_t *p, uint32_t len, const struct cpl_addr *src,
		 const struct cpl_addr *dst, struct icmp_msg *m)
{
	return len >= ICMP_HLEN && split(p, len, sum_pseudo(src, dst, IP_ICMP6, len), m);
}

static void header(uint8_t p[ICMP_HLEN], const struct icmp_msg *m, uint64_t sum)
{
	uint16_t check;

	p[0] = m->type;
	p[1] = m->code;
	put16(p + 2, 0);
	put32(p + 4, m->rest);
	sum = sum_add(sum, p, ICMP_HLEN);
	check = sum_finish(m->body_len ? sum_add(sum, m->body, m->body_len) : sum);
	memcpy(p + 2, &check, 2);
}

void icmp4_header(uint8_t p[ICMP_HLEN], const struct icmp_msg *m)
{
	header(p, m, 0);
}

void icmp6_header(uint8_t p[ICMP_HLEN], const struct icmp_msg *m, const struct cpl_addr *src,
		  const struct cpl_addr *dst)
{
	header(p, m, sum_pseudo(src, dst, IP_ICMP6, ICMP_HLEN + m->body_len));
}

static uint32_t build(uint8_t *p, const struct icmp_msg *m, uint64_t sum)
{
	struct icmp_msg moved = *m;

	moved.body = p + ICMP_HLEN;
	if (m->body_len)
		memmove(p + ICMP_HLEN, m->body, m->body_len);
	header(p, &moved, sum);
	return ICMP_HLEN + m->body_len;
}

uint32_t icmp4_build(uint8_t *p, const struct icmp_msg *m)
{
	return build(p, m, 0);
}

uint32_t icmp6_build(uint8_t *p, const struct icmp_msg *m, const struct cpl_addr *src,
		     const struct cpl_addr *dst)
{
	return build(p, m, sum_pseudo(src, dst, IP_ICMP6, ICMP_HLEN + m->body_len));
}

/* The header of a quoted IPv4 packet; returns its length, 0 if it is none or a later fragment. */
static uint32_t quote4_parse(const uint8_t *p, uint32_t len, struct icmp_quote *q)
{
	uint32_t hlen;

	if (len < IPV4_HLEN || p[0] >> 4 != 4)
		return 0;
	hlen = (p[0] & 15) * 4u;
	if (hlen < IPV4_HLEN || hlen > len)
		return 0;
	if (get16(p + 6) & 0x1fff)
		return 0;
	q->len = get16(p + 2);
	q->protocol = p[9];
	q->src = cpl_addr4(p[12], p[13], p[14], p[15]);
	q->dst = cpl_addr4(p[16], p[17], p[18], p[19]);
	return hlen;
}

/* The same for IPv6, with the extension headers that we may have sent or a router may have added.
 */
static uint32_t quote6_parse(const uint8_t *p, uint32_t len, struct icmp_quote *q)
{
	uint32_t at = IPV6_HLEN;

	if (len < IPV6_HLEN || p[0] >> 4 != 6)
		return 0;
	q->len = get16(p + 4) + (uint32_t)IPV6_HLEN;
	q->protocol = p[6];
	memcpy(q->src.b, p + 8, 16);
	memcpy(q->dst.b, p + 24, 16);
	if (cpl_addr_is4(&q->src) || cpl_addr_is4(&q->dst))
		return 0;
	for (unsigned n = 0; n < IP6_WALK_MAX; n++) {
		bool fragment = q->protocol == IP6_FRAGMENT;

		if (!fragment && q->protocol != IP6_HOP_BY_HOP && q->protocol != IP6_ROUTING &&
		    q->protocol != IP6_DESTINATION)
			return at;
		if (len - at < 8)
			return 0;
		if (fragment && get16(p + at + 2) & ~7u)
			return 0;
		q->protocol = p[at];
		at += fragment ? IPV6_FRAG_HLEN : (p[at + 1] + 1u) * 8;
		if (at > len)
			return 0;
	}
	return 0;
}

bool icmp_quote_parse(const uint8_t *body, uint32_t len, bool ipv6, struct icmp_quote *q)
{
	uint32_t at;

	memset(q, 0, sizeof(*q));
	at = ipv6 ? quote6_parse(body, len, q) : quote4_parse(body, len, q);
	if (!at)
		return false;
	q->hlen = at;
	if (q->protocol != IP_TCP && q->protocol != IP_UDP)
		return true;
	if (len - at < QUOTE_TRANSPORT)
		return false;
	q->sport = get16(body + at);
	q->dport = get16(body + at + 2);
	if (q->protocol == IP_TCP)
		q->seq = get32(body + at + 4);
	return true;
}
