/* SPDX-License-Identifier: MIT */
/*
 * The TCP header and its options: RFC 9293 3.1 and 3.2, RFC 7323 2.2 and 3.2, RFC 2018 2 and 3,
 * RFC 7413 4.1.1, RFC 9768 3.2.3.
 * Reads what anybody may have sent, writes what Linux would. No state.
 */
#include "wire/tcp.h"

#include "wire/bytes.h"
#include "wire/checksum.h"
#include "wire/ip.h"

#define OPT_EOL	     0
#define OPT_NOP	     1
#define OPT_MSS	     2
#define OPT_WSCALE   3
#define OPT_SACK_OK  4
#define OPT_SACK     5
#define OPT_TS	     8
#define OPT_FASTOPEN 34
#define OPT_ACCECN0  172
#define OPT_ACCECN1  174
#define OPT_EXP	     254 /* RFC 6994: a magic number says which experiment */

#define EXP_FASTOPEN 0xf989u

#define LEN_MSS	     4
#define LEN_WSCALE   3
#define LEN_SACK_OK  2
#define LEN_TS	     10
#define LEN_BLOCK    8
#define LEN_FASTOPEN 2 /* and the cookie */
#define LEN_EXP	     4

#define WSCALE_MAX 14

static void sack_parse(struct tcp_seg *seg, const uint8_t *p, unsigned len)
{
	unsigned n = (len - 2) / LEN_BLOCK;

	if (!n || n > TCP_SACK_MAX || len != 2 + n * LEN_BLOCK)
		return;
	for (unsigned i = 0; i < n; i++) {
		seg->sack[i].start = get32(p + 2 + i * LEN_BLOCK);
		seg->sack[i].end = get32(p + 6 + i * LEN_BLOCK);
	}
	seg->sack_n = (uint8_t)n;
	seg->opts |= TCP_HAS_SACK;
}

/* A cookie of LEN octets at P, or the wish for one. */
static void cookie_parse(struct tcp_seg *seg, const uint8_t *p, unsigned len, bool exp)
{
	if (!(seg->flags & TCP_SYN) || len & 1 || len > TCP_COOKIE_MAX ||
	    (len && len < TCP_COOKIE_MIN))
		return;
	memset(&seg->cookie, 0, sizeof(seg->cookie));
	seg->cookie.len = (uint8_t)len;
	seg->cookie.exp = exp;
	memcpy(seg->cookie.octets, p, len);
	seg->opts |= TCP_HAS_FASTOPEN;
}

static void accecn_parse(struct tcp_seg *seg, const uint8_t *p, unsigned len)
{
	struct tcp_accecn *a = &seg->accecn;
	unsigned n = (len - 2) / 3;
	uint32_t field[3] = { 0 };

	if ((seg->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
		return;
	n = n < 3 ? n : 3; /* what is longer is padding */
	for (unsigned i = 0; i < n; i++)
		field[i] = (uint32_t)p[2 + 3 * i] << 16 | get16(p + 3 + 3 * i);
	a->n = (uint8_t)n;
	a->e1_first = p[0] == OPT_ACCECN1;
	a->e0b = field[a->e1_first ? 2 : 0];
	a->ceb = field[1];
	a->e1b = field[a->e1_first ? 0 : 2];
	seg->opts |= TCP_HAS_ACCECN;
}

/* One option at P, LEN bytes with kind and length, all of them there. */
static void option_parse(struct tcp_seg *seg, const uint8_t *p, unsigned len)
{
	bool syn = seg->flags & TCP_SYN;

	switch (p[0]) {
	case OPT_MSS: /* MUST-4 */
		if (syn && len == LEN_MSS && get16(p + 2)) {
			seg->mss = get16(p + 2);
			seg->opts |= TCP_HAS_MSS;
		}
		break;
	case OPT_WSCALE:
		if (syn && len == LEN_WSCALE) {
			seg->wscale = p[2] > WSCALE_MAX ? WSCALE_MAX : p[2];
			seg->opts |= TCP_HAS_WSCALE;
		}
		break;
	case OPT_SACK_OK:
		if (syn && len == LEN_SACK_OK)
			seg->opts |= TCP_HAS_SACK_OK;
		break;
	case OPT_SACK:
		sack_parse(seg, p, len);
		break;
	case OPT_TS:
		if (len == LEN_TS) {
			seg->tsval = get32(p + 2);
			seg->tsecr = get32(p + 6);
			seg->opts |= TCP_HAS_TS;
		}
		break;
	case OPT_FASTOPEN:
		cookie_parse(seg, p + LEN_FASTOPEN, len - LEN_FASTOPEN, false);
		break;
	case OPT_EXP:
		if (len >= LEN_EXP && get16(p + 2) == EXP_FASTOPEN)
			cookie_parse(seg, p + LEN_EXP, len - LEN_EXP, true);
		break;
	case OPT_ACCECN0:
	case OPT_ACCECN1:
		accecn_parse(seg, p, len);
		break;
	default: /* unknown: no error */
		break;
	}
}

/*
 * MUST-5: the flags do not matter here; MUST-64: each option starts where the one before it ended.
 * False: an option's length is illegal.
 */
static bool options_parse(struct tcp_seg *seg, const uint8_t *p, const uint8_t *end)
{
	while (p < end) {
		unsigned len;

		if (p[0] == OPT_EOL) /* MUST-4; MUST-69: what follows is padding */
			return true;
		if (p[0] == OPT_NOP) { /* MUST-4 */
			p++;
			continue;
		}
		/* MUST-68: all other options have a length; MUST-7: which may be a lie. */
		if (end - p < 2)
			return false;
		len = p[1];
		if (len < 2 || len > (size_t)(end - p))
			return false;
		option_parse(seg, p, len);
		p += len; /* MUST-6: also over one that nobody knows */
	}
	return true;
}

/*
 * The options of most SYNs, as Linux and tcp_build() write them: MSS, SACK permitted with nops
 * before it or, with timestamps, in their place, nop and window scale. False: they are others.
 */
static bool options_usual(struct tcp_seg *seg, const uint8_t *p, unsigned len)
{
	bool ts = len == 20;
	const uint8_t *scale = ts ? p + 16 : p + 8;

	if (!(seg->flags & TCP_SYN) || (len != 12 && !ts) || get16(p) != TCP_OPT_MSS ||
	    !get16(p + 2) || get32(p + 4) != (ts ? TCP_OPTS_SACK_TS : TCP_OPTS_SACK) ||
	    get32(scale) >> 8 != TCP_OPT_SCALE)
		return false;
	seg->opts = TCP_HAS_SYN;
	seg->mss = get16(p + 2);
	seg->wscale = scale[3] > WSCALE_MAX ? WSCALE_MAX : scale[3];
	if (ts) {
		seg->opts |= TCP_HAS_TS;
		seg->tsval = get32(p + 8);
		seg->tsecr = get32(p + 12);
	}
	return true;
}

enum tcp_verdict tcp_parse(const uint8_t *p, uint32_t len, const struct cpl_addr *src,
			   const struct cpl_addr *dst, bool csum_ok, struct tcp_seg *seg)
{
	unsigned hlen;

	if (len < TCP_HLEN)
		return TCP_BAD_HEADER;
	hlen = (p[12] >> 4) * 4u;
	if (hlen < TCP_HLEN || hlen > len)
		return TCP_BAD_HEADER;
	/* MUST-3: the receiver checks the checksum */
	if (!csum_ok && sum_finish(sum_add(sum_pseudo(src, dst, IP_TCP, len), p, len)))
		return TCP_BAD_CHECKSUM;

	memset(seg, 0, sizeof(*seg));
	seg->sport = get16(p);
	seg->dport = get16(p + 2);
	seg->seq = get32(p + 4);
	seg->ack = get32(p + 8);
	seg->flags = get16(p + 12) & TCP_FLAGS;
	seg->wnd = get16(p + 14); /* MUST-1: unsigned */
	seg->up = get16(p + 18);
	seg->hlen = (uint8_t)hlen;
	seg->data = p + hlen;
	seg->len = len - hlen;
	if (hlen == TCP_HLEN + 12 && get32(p + TCP_HLEN) == TCP_OPTS_TS) { /* RFC 7323 A */
		seg->tsval = get32(p + TCP_HLEN + 4);
		seg->tsecr = get32(p + TCP_HLEN + 8);
		seg->opts = TCP_HAS_TS;
		return TCP_OK;
	}
	if (!options_usual(seg, p + TCP_HLEN, hlen - TCP_HLEN) &&
	    !options_parse(seg, p + TCP_HLEN, p + hlen))
		return TCP_BAD_OPTION; /* MUST-7 */
	return TCP_OK;
}

static unsigned cookie_len(const struct tcp_cookie *cookie)
{
	return (cookie->exp ? LEN_EXP : LEN_FASTOPEN) + cookie->len;
}

/* The options that tcp_build() will write; *BLOCKS: how many SACK blocks; returns their length. */
static unsigned options_plan(const struct tcp_seg *seg, unsigned *opts, unsigned *blocks)
{
	unsigned len = 0, room;

	*opts = seg->opts;
	/* MUST-65: no MSS option without SYN; RFC 7323 2.2 and RFC 2018 2 ask the same of theirs */
	if (!(seg->flags & TCP_SYN))
		*opts &= TCP_HAS_TS | TCP_HAS_SACK | TCP_HAS_ACCECN;
	else if (!(seg->flags & TCP_ACK))
		*opts &= ~TCP_HAS_ACCECN;
	if (*opts & TCP_HAS_MSS)
		len += 4;
	if (*opts & TCP_HAS_TS)
		len += 12;
	else if (*opts & TCP_HAS_SACK_OK) /* with timestamps it takes the place of their two nops */
		len += 4;
	if (*opts & TCP_HAS_WSCALE)
		len += 4;
	if (*opts & TCP_HAS_FASTOPEN)
		len += (cookie_len(&seg->cookie) + 3) & ~3u;

	*blocks = *opts & TCP_HAS_SACK ? seg->sack_n : 0;
	room = TCP_HLEN_MAX - TCP_HLEN - len;
	room = room > 4 ? (room - 4) / LEN_BLOCK : 0;
	if (*blocks > room)
		*blocks = room;
	if (*blocks)
		len += 4 + *blocks * LEN_BLOCK;
	if (len + accecn_len(seg->accecn.n) > TCP_HLEN_MAX - TCP_HLEN)
		*opts &= ~TCP_HAS_ACCECN;
	if (*opts & TCP_HAS_ACCECN)
		len += accecn_len(seg->accecn.n);
	return len;
}

unsigned tcp_header_len(const struct tcp_seg *seg)
{
	unsigned opts, blocks;

	return TCP_HLEN + options_plan(seg, &opts, &blocks);
}

/* Four octets at P; returns what follows them. */
static uint8_t *put_octets(uint8_t *p, unsigned a, unsigned b, unsigned c, unsigned d)
{
	put32(p, a << 24 | b << 16 | c << 8 | d);
	return p + 4;
}

static void accecn_build(uint8_t *p, const struct tcp_accecn *a)
{
	uint32_t field[3] = { a->e1_first ? a->e1b : a->e0b, a->ceb,
			      a->e1_first ? a->e0b : a->e1b };
	unsigned len = 2 + 3u * a->n, pad = accecn_len(a->n) - len;

	memset(p, OPT_NOP, pad);
	p += pad;
	p[0] = a->e1_first ? OPT_ACCECN1 : OPT_ACCECN0;
	p[1] = (uint8_t)len;
	for (unsigned i = 0; i < a->n; i++) {
		p[2 + 3 * i] = (uint8_t)(field[i] >> 16);
		put16(p + 3 + 3 * i, (uint16_t)field[i]);
	}
}

/* Linux's padding stands behind this one. */
static uint8_t *cookie_build(uint8_t *p, const struct tcp_cookie *cookie)
{
	unsigned len = cookie_len(cookie);

	p[0] = cookie->exp ? OPT_EXP : OPT_FASTOPEN;
	p[1] = (uint8_t)len;
	if (cookie->exp)
		put16(p + 2, EXP_FASTOPEN);
	p += len;
	memcpy(p - cookie->len, cookie->octets, cookie->len);
	for (; len % 4; len++)
		*p++ = OPT_NOP;
	return p;
}

/* Linux's order. Padding is by nops, mostly in front: no End of Option List, so nothing after it
 * (MUST-69).
 */
static void options_build(uint8_t *p, const struct tcp_seg *seg, unsigned opts, unsigned blocks)
{
	if (opts & TCP_HAS_MSS)
		p = put_octets(p, OPT_MSS, LEN_MSS, seg->mss >> 8, seg->mss & 0xff);
	if (opts & TCP_HAS_TS) {
		if (opts & TCP_HAS_SACK_OK)
			p = put_octets(p, OPT_SACK_OK, LEN_SACK_OK, OPT_TS, LEN_TS);
		else
			p = put_octets(p, OPT_NOP, OPT_NOP, OPT_TS, LEN_TS);
		put32(p, seg->tsval);
		put32(p + 4, seg->tsecr);
		p += 8;
	} else if (opts & TCP_HAS_SACK_OK) {
		p = put_octets(p, OPT_NOP, OPT_NOP, OPT_SACK_OK, LEN_SACK_OK);
	}
	if (opts & TCP_HAS_WSCALE)
		p = put_octets(p, OPT_NOP, OPT_WSCALE, LEN_WSCALE, seg->wscale);
	if (opts & TCP_HAS_FASTOPEN)
		p = cookie_build(p, &seg->cookie);
	if (blocks)
		p = put_octets(p, OPT_NOP, OPT_NOP, OPT_SACK, 2 + blocks * LEN_BLOCK);
	for (unsigned i = 0; i < blocks; i++, p += LEN_BLOCK) {
		put32(p, seg->sack[i].start);
		put32(p + 4, seg->sack[i].end);
	}
	if (opts & TCP_HAS_ACCECN)
		accecn_build(p, &seg->accecn);
}

unsigned tcp_build(uint8_t p[TCP_HLEN_MAX], const struct tcp_seg *seg)
{
	unsigned opts, blocks;
	unsigned hlen = TCP_HLEN + options_plan(seg, &opts, &blocks);

	put16(p, seg->sport);
	put16(p + 2, seg->dport);
	put32(p + 4, seg->seq);
	put32(p + 8, seg->ack);
	put16(p + 12, (uint16_t)(hlen << 10 | (seg->flags & TCP_FLAGS)));
	put16(p + 14, seg->wnd);
	put16(p + 16, 0); /* the checksum: whoever adds the payload */
	put16(p + 18, seg->up);
	options_build(p + TCP_HLEN, seg, opts, blocks);
	return hlen;
}
