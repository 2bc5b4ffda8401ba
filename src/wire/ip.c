/* SPDX-License-Identifier: MIT */
/*
 * IPv4 headers with options (RFC 791 3.1, RFC 1122 3.2.1) and IPv6 headers with extension headers
 * (RFC 8200 3 and 4), to struct ip_hdr and back. What arrives may be anything. No state.
 */
#include "wire/ip.h"

#include "base/assert.h"
#include "wire/bytes.h"
#include "wire/checksum.h"

#define IPV4_MF	 0x2000
#define IPV4_OFF 0x1fff
#define IPV4_EOL 0
#define IPV4_NOP 1

#define IP6_HOP_BY_HOP	0
#define IP6_ROUTING	43
#define IP6_FRAGMENT	44
#define IP6_DESTINATION 60
#define IP6_WALK_MAX	8
#define IP6_OPT_PAD1	0
#define IP6_BAD_FIELD	0 /* RFC 4443 3.4: codes of parameter problem */
#define IP6_BAD_NEXT	1
#define IP6_BAD_OPTION	2

/* A source route: RFC 791 3.1; Linux, too, takes only one of them, and asks for a pointer of 4 or
 * more. */
static bool source_route_ok(const uint8_t *p, unsigned len)
{
	return len >= 3 && p[2] >= 4;
}

static bool is_source_route(uint8_t kind)
{
	return kind == IPV4_LSRR || kind == IPV4_SSRR;
}

/* Options of an IPv4 header P, up to END. */
static enum ip_verdict options4_parse(const uint8_t *p, uint32_t at, uint32_t end,
				      struct ip_problem *problem)
{
	bool routed = false;

	while (at < end && p[at] != IPV4_EOL) {
		const uint8_t *opt = p + at;
		uint32_t room = end - at;

		if (opt[0] == IPV4_NOP) {
			at++;
			continue;
		}
		if (room < 2 || opt[1] < 2 || opt[1] > room)
			goto bad;
		/* MUST-50: what is not understood here or above is skipped */
		if (is_source_route(opt[0])) {
			if (routed || !source_route_ok(opt, opt[1]))
				goto bad;
			routed = true;
		}
		at += opt[1];
	}
	return IP_OK;
bad:
	*problem = (struct ip_problem){ .pointer = at };
	return IP_BAD_OPTION;
}

const uint8_t *ip_source_route(const struct ip_hdr *h)
{
	const uint8_t *p = h->options, *end;

	if (!h->options_len)
		return NULL;
	end = p + h->options_len;
	while (p < end && *p != IPV4_EOL) {
		if (is_source_route(*p))
			return end - p >= 3 && p[1] >= 3 && p[1] <= end - p ? p : NULL;
		if (*p != IPV4_NOP && (end - p < 2 || p[1] < 2))
			return NULL;
		p += *p == IPV4_NOP ? 1 : p[1];
	}
	return NULL;
}

static enum ip_verdict parse4(const uint8_t *p, uint32_t len, struct ip_hdr *h,
			      struct ip_problem *problem)
{
	uint32_t hlen = (p[0] & 15) * 4u;
	uint16_t frag;

	if (len < IPV4_HLEN || hlen < IPV4_HLEN || hlen > len)
		return IP_BAD_HEADER;
	if (sum_finish(sum_words(0, p, hlen / 4)))
		return IP_BAD_CHECKSUM; /* RFC 1122 3.2.1.2 */
	h->len = get16(p + 2);
	if (h->len < hlen || h->len > len)
		return IP_BAD_HEADER;
	h->hlen = (uint16_t)hlen;
	h->tos = p[1];
	h->id = get16(p + 4);
	frag = get16(p + 6);
	h->dont_frag = frag & IPV4_DF;
	h->more_frags = frag & IPV4_MF;
	h->frag_off = (frag & IPV4_OFF) * 8u;
	h->fragment = h->more_frags || h->frag_off;
	h->ttl = p[8];
	h->protocol = p[9];
	h->src = h->dst = cpl_addr4(0, 0, 0, 0);
	memcpy(h->src.b + 12, p + 12, 4);
	memcpy(h->dst.b + 12, p + 16, 4);
	if (hlen == IPV4_HLEN)
		return IP_OK;
	h->options = p + IPV4_HLEN;
	h->options_len = (uint8_t)(hlen - IPV4_HLEN);
	return options4_parse(p, IPV4_HLEN, hlen, problem);
}

static enum ip_verdict problem6(struct ip_problem *problem, enum ip_verdict verdict, uint8_t code,
				uint32_t pointer)
{
	*problem = (struct ip_problem){ .code = code, .pointer = pointer };
	return verdict;
}

/* An option that we do not know: its two high bits say what to do (RFC 8200 4.2). */
static enum ip_verdict option6_unknown(uint8_t type, uint32_t at, struct ip_problem *problem)
{
	if (!(type >> 6))
		return IP_OK;
	problem6(problem, IP_UNKNOWN_OPTION, IP6_BAD_OPTION, at);
	problem->silent = type >> 6 == 1;
	problem->multicast_too = type >> 6 == 2;
	return IP_UNKNOWN_OPTION;
}

/* The options of a hop-by-hop or destination options header, from AT to END. */
static enum ip_verdict options6_parse(const uint8_t *p, uint32_t at, uint32_t end,
				      struct ip_problem *problem)
{
	while (at < end) {
		enum ip_verdict verdict;

		if (p[at] == IP6_OPT_PAD1) {
			at++;
			continue;
		}
		if (end - at < 2 || p[at + 1] > end - at - 2)
			return problem6(problem, IP_BAD_OPTION, IP6_BAD_FIELD, at);
		/* PadN is one of those that are skipped */
		verdict = option6_unknown(p[at], at, problem);
		if (verdict != IP_OK)
			return verdict;
		at += 2u + p[at + 1];
	}
	return IP_OK;
}

static enum ip_verdict fragment6_parse(const uint8_t *p, uint32_t at, struct ip_hdr *h,
				       struct ip_problem *problem)
{
	uint16_t field;

	if (h->len - at < IPV6_FRAG_HLEN)
		return problem6(problem, IP_BAD_OPTION, IP6_BAD_FIELD, h->nh_off);
	field = get16(p + at + 2);
	h->fragment = true;
	h->frag_hdr_off = (uint16_t)at;
	h->frag_nh_off = h->nh_off;
	h->frag_off = field & ~7u;
	h->more_frags = field & 1;
	h->id = get32(p + at + 4);
	h->protocol = p[at];
	h->nh_off = (uint16_t)at;
	h->hlen = (uint16_t)(at + IPV6_FRAG_HLEN);
	return IP_OK;
}

static bool is_extension6(uint8_t next)
{
	return next == IP6_HOP_BY_HOP || next == IP6_ROUTING || next == IP6_DESTINATION;
}

/*
 * One extension header at offset AT, other than a fragment header. On IP_OK h->protocol, nh_off and
 * hlen are those of what follows it.
 */
static enum ip_verdict extension6_parse(const uint8_t *p, uint32_t at, struct ip_hdr *h,
					struct ip_problem *problem)
{
	enum ip_verdict verdict = IP_OK;
	uint32_t size;

	/* RFC 8200 4: hop-by-hop options stand right after the IPv6 header or nowhere */
	if (h->protocol == IP6_HOP_BY_HOP && at != IPV6_HLEN)
		return problem6(problem, IP_UNKNOWN_OPTION, IP6_BAD_NEXT, h->nh_off);
	if (h->len - at < 8)
		return problem6(problem, IP_BAD_OPTION, IP6_BAD_FIELD, h->nh_off);
	size = (p[at + 1] + 1u) * 8;
	if (size > h->len - at)
		return problem6(problem, IP_BAD_OPTION, IP6_BAD_FIELD, at + 1);
	if (h->protocol != IP6_ROUTING)
		verdict = options6_parse(p, at + 2, at + size, problem);
	else if (p[at + 3])
		/* RFC 8200 4.4: no routing type is known here (type 0: RFC 5095 3) and segments are
		 * left */
		verdict = problem6(problem, IP_UNKNOWN_OPTION, IP6_BAD_FIELD, at + 2);
	h->protocol = p[at];
	h->nh_off = (uint16_t)at;
	h->hlen = (uint16_t)(at + size);
	return verdict;
}

static enum ip_verdict parse6(const uint8_t *p, uint32_t len, struct ip_hdr *h,
			      struct ip_problem *problem)
{
	if (len < IPV6_HLEN)
		return IP_BAD_HEADER;
	/* Of a jumbogram (RFC 2675), which says 0, the hop-by-hop header is found to be past the
	 * end. */
	h->len = get16(p + 4) + (uint32_t)IPV6_HLEN;
	if (h->len > len)
		return IP_BAD_HEADER;
	memcpy(h->src.b, p + 8, 16);
	memcpy(h->dst.b, p + 24, 16);
	if (cpl_addr_is4(&h->src) || cpl_addr_is4(&h->dst))
		return IP_BAD_HEADER;
	h->tos = (uint8_t)(p[0] << 4 | p[1] >> 4);
	h->flow = get32(p) & 0xfffff;
	h->ttl = p[7];
	h->hlen = IPV6_HLEN;
	h->protocol = p[6];
	h->nh_off = 6;

	for (unsigned n = 0; n < IP6_WALK_MAX; n++) {
		enum ip_verdict verdict;

		if (h->protocol == IP6_FRAGMENT)
			return fragment6_parse(p, h->hlen, h, problem);
		if (!is_extension6(h->protocol))
			return IP_OK;
		verdict = extension6_parse(p, h->hlen, h, problem);
		if (verdict != IP_OK)
			return verdict;
	}
	if (h->protocol != IP6_FRAGMENT && !is_extension6(h->protocol))
		return IP_OK;
	return problem6(problem, IP_BAD_OPTION, IP6_BAD_FIELD, h->nh_off);
}

enum ip_verdict ip_parse(const uint8_t *p, uint32_t len, struct ip_hdr *h,
			 struct ip_problem *problem)
{
	memset(h, 0, sizeof(*h));
	if (!len)
		return IP_BAD_HEADER;
	h->version = p[0] >> 4;
	if (h->version == 4)
		return parse4(p, len, h, problem);
	if (h->version == 6)
		return parse6(p, len, h, problem);
	return IP_BAD_HEADER;
}

static unsigned build4(uint8_t *p, const struct ip_hdr *h)
{
	unsigned hlen = (unsigned)IPV4_HLEN + h->options_len;
	uint16_t check;

	ASSERT(hlen <= 60 && hlen % 4 == 0);
	ASSERT(h->len >= hlen && h->len <= UINT16_MAX);
	ASSERT(h->frag_off % 8 == 0 && h->frag_off / 8 <= IPV4_OFF);
	p[0] = (uint8_t)(4 << 4 | hlen / 4);
	p[1] = h->tos;
	put16(p + 2, (uint16_t)h->len);
	put16(p + 4, (uint16_t)h->id);
	put16(p + 6, (uint16_t)((h->dont_frag ? IPV4_DF : 0) | (h->more_frags ? IPV4_MF : 0) |
				h->frag_off / 8));
	p[8] = h->ttl;
	p[9] = h->protocol;
	put16(p + 10, 0);
	memcpy(p + 12, h->src.b + 12, 4);
	memcpy(p + 16, h->dst.b + 12, 4);
	if (h->options_len)
		memcpy(p + IPV4_HLEN, h->options, h->options_len);
	check = sum_finish(sum_words(0, p, hlen / 4));
	memcpy(p + 10, &check, 2);
	return hlen;
}

static unsigned build6(uint8_t *p, const struct ip_hdr *h)
{
	ASSERT(h->len >= IPV6_HLEN && h->len - IPV6_HLEN <= UINT16_MAX);
	put32(p, 6u << 28 | (uint32_t)h->tos << 20 | (h->flow & 0xfffff));
	put16(p + 4, (uint16_t)(h->len - IPV6_HLEN));
	p[6] = h->protocol;
	p[7] = h->ttl;
	memcpy(p + 8, h->src.b, 16);
	memcpy(p + 24, h->dst.b, 16);
	return IPV6_HLEN;
}

unsigned ip_build(uint8_t *p, const struct ip_hdr *h)
{
	ASSERT(h->version == 4 || h->version == 6);
	return h->version == 4 ? build4(p, h) : build6(p, h);
}

void ip6_frag_build(uint8_t p[IPV6_FRAG_HLEN], uint8_t next_header, uint32_t off, bool more,
		    uint32_t id)
{
	ASSERT(off % 8 == 0 && off <= UINT16_MAX);
	p[0] = next_header;
	p[1] = 0;
	put16(p + 2, (uint16_t)(off | more));
	put32(p + 4, id);
}
