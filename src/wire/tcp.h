/* SPDX-License-Identifier: MIT */
/*
 * The TCP header and its options (RFC 9293 3.1 and 3.2; RFC 7323 window scale and timestamps; RFC
 * 2018 SACK; RFC 7413 Fast Open; RFC 9768 accurate ECN): bytes to struct tcp_seg and back. No
 * state.
 */
#ifndef WIRE_TCP_H
#define WIRE_TCP_H

#include <stdbool.h>
#include <stdint.h>

#include <couplet/addr.h>

#define TCP_HLEN	 20
#define TCP_HLEN_MAX	 60
#define TCP_OPTS_TS	 0x0101080au /* two nops, kind and length of timestamps (RFC 7323 A) */
/* The same of what a SYN has: MSS; SACK permitted by itself, or before timestamps; window scale. */
#define TCP_OPT_MSS	 0x0204u
#define TCP_OPTS_SACK	 0x01010402u
#define TCP_OPTS_SACK_TS 0x0402080au
#define TCP_OPT_SCALE	 0x010303u /* and a nop */

#define TCP_FIN	  1u
#define TCP_SYN	  2u
#define TCP_RST	  4u
#define TCP_PSH	  8u
#define TCP_ACK	  16u
#define TCP_URG	  32u
#define TCP_ECE	  64u
#define TCP_CWR	  128u
#define TCP_AE	  256u /* RFC 9768 */
#define TCP_FLAGS 0x1ffu

/* Options present: the bits of seg_in's "opt" in trace/events.def. */
#define TCP_HAS_MSS	 1u
#define TCP_HAS_WSCALE	 2u
#define TCP_HAS_SACK_OK	 4u
#define TCP_HAS_TS	 8u
#define TCP_HAS_SACK	 16u
#define TCP_HAS_FASTOPEN 32u
#define TCP_HAS_ACCECN	 64u
/* What most SYNs have beside timestamps. */
#define TCP_HAS_SYN	 (TCP_HAS_MSS | TCP_HAS_WSCALE | TCP_HAS_SACK_OK)

#define TCP_SACK_MAX 4

#define TCP_COOKIE_MIN 4 /* RFC 7413 4.1.1 */
#define TCP_COOKIE_MAX 16

/* The Fast Open option. */
struct tcp_cookie {
	uint8_t len; /* even, TCP_COOKIE_MIN to TCP_COOKIE_MAX; 0: a cookie is asked for */
	bool exp;    /* as the experiment that it was before (kind 254, RFC 6994; RFC 7413 7) */
	uint8_t octets[TCP_COOKIE_MAX];
};

struct tcp_sack {
	uint32_t start, end;
};

/* An AccECN option (RFC 9768 3.2.3): the first N of its fields, each modulo 2^24. */
struct tcp_accecn {
	uint8_t n;     /* 0 to 3 */
	bool e1_first; /* AccECN1: E1B, CEB, E0B; else AccECN0: E0B, CEB, E1B */
	uint32_t e0b, ceb, e1b;
};

static inline bool accecn_has_e0b(const struct tcp_accecn *a)
{
	return a->n >= (a->e1_first ? 3 : 1);
}

static inline bool accecn_has_ceb(const struct tcp_accecn *a)
{
	return a->n >= 2;
}

static inline bool accecn_has_e1b(const struct tcp_accecn *a)
{
	return a->n >= (a->e1_first ? 1 : 3);
}

/* What an option of N fields takes, padding included. */
static inline unsigned accecn_len(unsigned n)
{
	return (2 + 3 * n + 3) & ~3u;
}

struct tcp_seg {
	uint16_t sport, dport;
	uint32_t seq, ack;
	uint16_t flags; /* low 8: RFC 9293; TCP_AE */
	uint16_t wnd;	/* unscaled (MUST-1: unsigned) */
	uint16_t up;
	uint8_t hlen; /* bytes, options included */
	uint8_t opts; /* TCP_HAS_* */
	uint8_t wscale;
	uint8_t sack_n;
	uint16_t mss;
	uint32_t tsval, tsecr;
	struct tcp_sack sack[TCP_SACK_MAX];
	struct tcp_cookie cookie;
	struct tcp_accecn accecn;
	const uint8_t *data;
	uint32_t len; /* payload */
};

enum tcp_verdict {
	TCP_OK,
	TCP_BAD_HEADER,	  /* short, or the data offset is out of range */
	TCP_BAD_CHECKSUM, /* MUST-3 */
	TCP_BAD_OPTION,	  /* a length below 2, past the header, or missing (MUST-7) */
};

/*
 * LEN: the IP payload. Verifies the checksum unless CSUM_OK. MSS, window scale, SACK-permitted and
 * Fast Open count only with SYN; all options are accepted in any segment and at any alignment
 * (MUST-5, MUST-64); unknown ones are skipped by their length (MUST-6). A known option whose length
 * is not its own, an MSS of 0, a SACK option that does not hold whole blocks and a cookie of a
 * length that none has are ignored, as in Linux; of two the last counts. A window scale above 14 is
 * 14 (RFC 7323 2.3). Of an AccECN option as many whole fields count as there are; on a SYN without
 * ACK it is ignored (RFC 9768 3.2.3.2.1). What stands after End of Option List is not read.
 *
 * With TCP_BAD_OPTION *SEG is complete as with TCP_OK, with the options before the bad one. Linux
 * goes on with such a segment; here the caller drops and counts it: no sound sender makes one.
 */
enum tcp_verdict tcp_parse(const uint8_t *p, uint32_t len, const struct cpl_addr *src,
			   const struct cpl_addr *dst, bool csum_ok, struct tcp_seg *seg);

/*
 * Header and options from seg (ports, seq, ack, flags, wnd, up, opts and their values; data and len
 * are not touched), checksum field zero. Options stand in Linux's order and padding: SYN: mss,
 * sackOK, TS, nop wscale, Fast Open with nops behind it (as far as present; nop nop before what
 * would be misaligned); else: nop nop TS, nop nop SACK. As many SACK blocks as fit; AccECN comes
 * last, with its nops in front, if it fits whole. What only a SYN may carry (MSS, window scale,
 * SACK-permitted, Fast Open) is left out of other segments, and AccECN of a SYN without ACK.
 * Returns the header's length, a multiple of 4, at most 60.
 */
unsigned tcp_build(uint8_t p[TCP_HLEN_MAX], const struct tcp_seg *seg);
/* The length that tcp_build() would return. */
unsigned tcp_header_len(const struct tcp_seg *seg);

/* Sequence space that the segment covers: payload, SYN and FIN (RFC 9293 3.4). */
static inline uint32_t tcp_seg_len(const struct tcp_seg *seg)
{
	return seg->len + !!(seg->flags & TCP_SYN) + !!(seg->flags & TCP_FIN);
}

#endif
