/* SPDX-License-Identifier: MIT */
/* TCP headers: real ones, Linux's option layouts, hostile options, and what is built comes back. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/util/bytes.h"
#include "wire/bytes.h"
#include "wire/checksum.h"
#include "wire/ip.h"
#include "wire/tcp.h"

/* A SYN as a Linux host sends it, 10.0.0.1:40000 to 10.0.0.2:443, byte by byte. */
static const uint8_t syn[] = {
	0x9c, 0x40, 0x01, 0xbb, /* ports 40000, 443 */
	0x01, 0x02, 0x03, 0x04, /* seq */
	0x00, 0x00, 0x00, 0x00, /* ack */
	0xa0, 0x02, 0xfa, 0xf0, /* 40 bytes, SYN, window 64240 */
	0x52, 0xa5, 0x00, 0x00, /* checksum, urgent pointer */
	0x02, 0x04, 0x05, 0xb4, /* MSS 1460 */
	0x04, 0x02, 0x08, 0x0a, /* SACK permitted, timestamps */
	0x11, 0x22, 0x33, 0x44, /* TSval */
	0x00, 0x00, 0x00, 0x00, /* TSecr */
	0x01, 0x03, 0x03, 0x07, /* nop, window scale 7 */
};

static struct cpl_addr src4, dst4, src6, dst6;

static int setup(void **state)
{
	(void)state;
	src4 = cpl_addr4(10, 0, 0, 1);
	dst4 = cpl_addr4(10, 0, 0, 2);
	memset(&src6, 0x20, sizeof(src6));
	memset(&dst6, 0x21, sizeof(dst6));
	return 0;
}

static void checksum_set(uint8_t *p, uint32_t len, const struct cpl_addr *src,
			 const struct cpl_addr *dst)
{
	uint16_t check;

	put16(p + 16, 0);
	check = sum_finish(sum_add(sum_pseudo(src, dst, IP_TCP, len), p, len));
	memcpy(p + 16, &check, 2);
}

/* Options may hold anything when nobody has to have the checksum right. */
static enum tcp_verdict parse(const uint8_t *p, uint32_t len, struct tcp_seg *seg)
{
	return tcp_parse(p, len, &src4, &dst4, true, seg);
}

/* MUST-3: the checksum is right as it stands. MUST-4: MSS and nop. */
static void test_known_syn(void **state)
{
	struct tcp_seg seg, again = { 0 };
	uint8_t p[TCP_HLEN_MAX];

	(void)state;
	assert_int_equal(tcp_parse(syn, sizeof(syn), &src4, &dst4, false, &seg), TCP_OK);
	assert_int_equal(seg.sport, 40000);
	assert_int_equal(seg.dport, 443);
	assert_int_equal(seg.seq, 0x01020304);
	assert_int_equal(seg.ack, 0);
	assert_int_equal(seg.flags, TCP_SYN);
	assert_int_equal(seg.wnd, 64240); /* MUST-1: unsigned, above 32,767 */
	assert_int_equal(seg.hlen, 40);
	assert_int_equal(seg.len, 0);
	assert_int_equal(seg.opts, TCP_HAS_MSS | TCP_HAS_SACK_OK | TCP_HAS_TS | TCP_HAS_WSCALE);
	assert_int_equal(seg.mss, 1460);
	assert_int_equal(seg.wscale, 7);
	assert_int_equal(seg.tsval, 0x11223344);
	assert_int_equal(tcp_seg_len(&seg), 1);

	again = seg;
	assert_int_equal(tcp_build(p, &again), sizeof(syn));
	checksum_set(p, sizeof(syn), &src4, &dst4);
	assert_memory_equal(p, syn, sizeof(syn));
}

/* MUST-3: a segment with any one bit wrong, or meant for another host, is not taken. */
static void test_checksum(void **state)
{
	uint8_t p[sizeof(syn) + 5];
	struct tcp_seg seg;

	(void)state;
	memcpy(p, syn, sizeof(syn));
	memcpy(p + sizeof(syn), "hello", 5);
	for (unsigned v6 = 0; v6 < 2; v6++) {
		const struct cpl_addr *src = v6 ? &src6 : &src4, *dst = v6 ? &dst6 : &dst4;

		checksum_set(p, sizeof(p), src, dst);
		assert_int_equal(tcp_parse(p, sizeof(p), src, dst, false, &seg), TCP_OK);
		assert_int_equal(seg.len, 5);
		assert_memory_equal(seg.data, "hello", 5);
		for (unsigned bit = 0; bit < 8 * sizeof(p); bit++) {
			enum tcp_verdict verdict;

			p[bit / 8] ^= (uint8_t)(1 << bit % 8);
			verdict = tcp_parse(p, sizeof(p), src, dst, false, &seg);
			assert_true(verdict == TCP_BAD_CHECKSUM || verdict == TCP_BAD_HEADER);
			p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		assert_int_equal(tcp_parse(p, sizeof(p) - 1, src, dst, false, &seg),
				 TCP_BAD_CHECKSUM);
		assert_int_equal(tcp_parse(p, sizeof(p), src, src, false, &seg), TCP_BAD_CHECKSUM);
		p[sizeof(p) - 1] ^= 1;
		assert_int_equal(tcp_parse(p, sizeof(p), src, dst, true, &seg), TCP_OK);
		p[sizeof(p) - 1] ^= 1;
	}
}

static void test_header_length(void **state)
{
	struct tcp_seg seg;
	uint8_t p[80] = { 0 };

	(void)state;
	for (unsigned offset = 0; offset < 16; offset++) {
		for (uint32_t len = 0; len <= sizeof(p); len++) {
			bool ok = len >= 20 && offset >= 5 && offset * 4 <= len;
			uint8_t *copy;

			p[12] = (uint8_t)(offset << 4);
			copy = exact_copy(p, len, 1);
			assert_int_equal(parse(copy, len, &seg), ok ? TCP_OK : TCP_BAD_HEADER);
			if (ok) {
				assert_int_equal(seg.hlen, offset * 4);
				assert_int_equal(seg.len, len - offset * 4);
				assert_ptr_equal(seg.data, copy + offset * 4);
			}
			exact_free(copy, 1);
		}
	}
}

static void test_flags(void **state)
{
	struct tcp_seg seg, again = { 0 };
	uint8_t p[TCP_HLEN_MAX];

	(void)state;
	for (unsigned flags = 0; flags < 512; flags++) {
		again.flags = (uint16_t)(flags | 0xfe00); /* no room for those: left out */
		assert_int_equal(tcp_build(p, &again), TCP_HLEN);
		p[12] |= 0x0e; /* reserved bits: ignored (RFC 9293 3.1) */
		assert_int_equal(parse(p, TCP_HLEN, &seg), TCP_OK);
		assert_int_equal(seg.flags, flags);
		assert_int_equal(tcp_seg_len(&seg), (flags & 1) + (flags >> 1 & 1));
	}
}

#define ALL_SYN (TCP_HAS_MSS | TCP_HAS_WSCALE | TCP_HAS_SACK_OK | TCP_HAS_TS)

#define MSS	2, 4, 5, 0xb4
#define TS_REST 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88
#define BLOCK	1, 0, 0, 0, 2, 0, 0, 0
#define COOKIE	0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x10

/* What Linux writes (tcp_options_write), for each set of options that it can agree on. */
static const struct {
	const char *name;
	uint16_t flags;
	uint8_t opts, sack_n, len;
	uint8_t want[40];
} layouts[] = {
	{ "none", TCP_ACK, 0, 0, 0, { 0 } },
	{ "syn: all", TCP_SYN, ALL_SYN, 0, 20, { MSS, 4, 2, 8, 10, TS_REST, 1, 3, 3, 7 } },
	{ "syn: mss", TCP_SYN, TCP_HAS_MSS, 0, 4, { MSS } },
	{ "syn: no timestamps",
	  TCP_SYN,
	  ALL_SYN & ~TCP_HAS_TS,
	  0,
	  12,
	  { MSS, 1, 1, 4, 2, 1, 3, 3, 7 } },
	{ "syn: no sack",
	  TCP_SYN,
	  ALL_SYN & ~TCP_HAS_SACK_OK,
	  0,
	  20,
	  { MSS, 1, 1, 8, 10, TS_REST, 1, 3, 3, 7 } },
	{ "syn: no scale",
	  TCP_SYN,
	  ALL_SYN & ~TCP_HAS_WSCALE,
	  0,
	  16,
	  { MSS, 4, 2, 8, 10, TS_REST } },
	{ "syn: mss and timestamps",
	  TCP_SYN,
	  TCP_HAS_MSS | TCP_HAS_TS,
	  0,
	  16,
	  { MSS, 1, 1, 8, 10, TS_REST } },
	{ "syn: mss and scale", TCP_SYN, TCP_HAS_MSS | TCP_HAS_WSCALE, 0, 8, { MSS, 1, 3, 3, 7 } },
	{ "syn: mss and sack", TCP_SYN, TCP_HAS_MSS | TCP_HAS_SACK_OK, 0, 8, { MSS, 1, 1, 4, 2 } },
	{ "syn-ack: all",
	  TCP_SYN | TCP_ACK,
	  ALL_SYN,
	  0,
	  20,
	  { MSS, 4, 2, 8, 10, TS_REST, 1, 3, 3, 7 } },
	{ "fast open: all, and a cookie",
	  TCP_SYN,
	  ALL_SYN | TCP_HAS_FASTOPEN,
	  0,
	  32,
	  { MSS, 4, 2, 8, 10, TS_REST, 1, 3, 3, 7, 34, 10, COOKIE, 1, 1 } },
	{ "fast open: no timestamps",
	  TCP_SYN | TCP_ACK,
	  TCP_HAS_MSS | TCP_HAS_FASTOPEN,
	  0,
	  16,
	  { MSS, 34, 10, COOKIE, 1, 1 } },
	{ "fast open without syn", TCP_ACK, TCP_HAS_FASTOPEN, 0, 0, { 0 } },
	{ "timestamps", TCP_ACK, TCP_HAS_TS, 0, 12, { 1, 1, 8, 10, TS_REST } },
	{ "sack 1", TCP_ACK, TCP_HAS_SACK, 1, 12, { 1, 1, 5, 10, BLOCK } },
	{ "sack 4", TCP_ACK, TCP_HAS_SACK, 4, 36, { 1, 1, 5, 34, BLOCK, BLOCK, BLOCK, BLOCK } },
	{ "sack 0", TCP_ACK, TCP_HAS_SACK, 0, 0, { 0 } },
	{ "blocks, but not the option", TCP_ACK, 0, 3, 0, { 0 } },
	{ "timestamps, sack 3",
	  TCP_ACK,
	  TCP_HAS_TS | TCP_HAS_SACK,
	  3,
	  40,
	  { 1, 1, 8, 10, TS_REST, 1, 1, 5, 26, BLOCK, BLOCK, BLOCK } },
	{ "timestamps, 3 of 4 fit",
	  TCP_ACK,
	  TCP_HAS_TS | TCP_HAS_SACK,
	  4,
	  40,
	  { 1, 1, 8, 10, TS_REST, 1, 1, 5, 26, BLOCK, BLOCK, BLOCK } },
	{ "no syn: nothing of a syn's",
	  TCP_ACK,
	  ALL_SYN,
	  0,
	  12, /* MUST-65 */
	  { 1, 1, 8, 10, TS_REST } },
};

static void test_layouts(void **state)
{
	struct tcp_seg seg = { .mss = 1460,
			       .wscale = 7,
			       .tsval = 0x11223344,
			       .tsecr = 0x55667788,
			       .cookie = { .len = 8, .octets = { COOKIE } } };
	uint8_t p[TCP_HLEN_MAX];

	(void)state;
	for (unsigned i = 0; i < TCP_SACK_MAX; i++)
		seg.sack[i] = (struct tcp_sack){ 0x01000000, 0x02000000 };
	for (unsigned i = 0; i < ARRAY_LEN(layouts); i++) {
		unsigned hlen = 20u + layouts[i].len;

		seg.flags = layouts[i].flags;
		seg.opts = layouts[i].opts;
		seg.sack_n = layouts[i].sack_n;
		memset(p, 0xee, sizeof(p));
		if (tcp_header_len(&seg) != hlen || tcp_build(p, &seg) != hlen ||
		    memcmp(p + 20, layouts[i].want, layouts[i].len))
			fail_msg("%s", layouts[i].name);
		assert_int_equal(p[12] >> 4, hlen / 4);
		assert_int_equal(get16(p + 16), 0);
		for (unsigned at = hlen; at < sizeof(p); at++)
			assert_int_equal(p[at], 0xee);
	}
}

#define NOP4 1, 1, 1, 1

struct option_case {
	const char *name;
	bool syn;
	uint8_t len; /* of the options, a multiple of 4 */
	uint8_t bytes[40];
	enum tcp_verdict verdict;
	uint8_t opts;
	uint32_t value; /* of the one option that OPTS names last in this order: see value_of() */
};

static const struct option_case option_cases[] = {
	/* MUST-4: end of list, nop, MSS */
	{ "nops", true, 8, { NOP4, NOP4 }, TCP_OK, 0, 0 },
	{ "end of list", true, 8, { 0, 2, 4, 5, 2, 4, 5, 0xb4 }, TCP_OK, 0, 0 },
	{ "mss", true, 4, { MSS }, TCP_OK, TCP_HAS_MSS, 1460 },
	{ "mss 65535", true, 4, { 2, 4, 255, 255 }, TCP_OK, TCP_HAS_MSS, 65535 },
	{ "mss 0: as if absent", true, 4, { 2, 4, 0, 0 }, TCP_OK, 0, 0 },
	{ "mss twice: the last", true, 8, { MSS, 2, 4, 0, 9 }, TCP_OK, TCP_HAS_MSS, 9 },
	{ "mss, then end of list and zeros", true, 8, { MSS }, TCP_OK, TCP_HAS_MSS, 1460 },
	/* MUST-69: the sender's duty; what a bad one puts there is not read */
	{ "garbage after the end", true, 8, { 0, 0xff, 0xff, 0xff, 3, 0, 1, 0xff }, TCP_OK, 0, 0 },
	/* MUST-5: in any segment, though some count only in a SYN */
	{ "mss without syn", false, 4, { MSS }, TCP_OK, 0, 0 },
	{ "scale without syn", false, 4, { 1, 3, 3, 7 }, TCP_OK, 0, 0 },
	{ "sack permitted without syn", false, 4, { 1, 1, 4, 2 }, TCP_OK, 0, 0 },
	{ "timestamps without syn",
	  false,
	  12,
	  { 1, 1, 8, 10, TS_REST },
	  TCP_OK,
	  TCP_HAS_TS,
	  0x11223344 },
	{ "sack with syn", true, 12, { 1, 1, 5, 10, BLOCK }, TCP_OK, TCP_HAS_SACK, 1 },
	/* RFC 7323 2.3 */
	{ "scale 14", true, 4, { 1, 3, 3, 14 }, TCP_OK, TCP_HAS_WSCALE, 14 },
	{ "scale 15 is 14", true, 4, { 1, 3, 3, 15 }, TCP_OK, TCP_HAS_WSCALE, 14 },
	{ "scale 255 is 14", true, 4, { 1, 3, 3, 255 }, TCP_OK, TCP_HAS_WSCALE, 14 },
	{ "scale 0", true, 4, { 1, 3, 3, 0 }, TCP_OK, TCP_HAS_WSCALE, 0 },
	/* MUST-64: no alignment asked for */
	{ "timestamps at 1", false, 12, { 1, 8, 10, TS_REST, 1 }, TCP_OK, TCP_HAS_TS, 0x11223344 },
	{ "timestamps at 0", false, 12, { 8, 10, TS_REST, 0, 0 }, TCP_OK, TCP_HAS_TS, 0x11223344 },
	{ "mss at 3", true, 8, { 1, 1, 1, MSS, 0 }, TCP_OK, TCP_HAS_MSS, 1460 },
	{ "mss at 1, after an odd unknown",
	  true,
	  12,
	  { 77, 5, 1, 2, 3, MSS, 0, 0, 0 },
	  TCP_OK,
	  TCP_HAS_MSS,
	  1460 },
	{ "sack at 3", false, 16, { 1, 1, 1, 5, 10, BLOCK, 0, 0, 0 }, TCP_OK, TCP_HAS_SACK, 1 },
	/* MUST-6, MUST-68: unknown ones are skipped by their length */
	{ "unknown, length 2", true, 8, { 200, 2, 1, 1, MSS }, TCP_OK, TCP_HAS_MSS, 1460 },
	{ "unknown, length 4", true, 8, { 254, 4, 2, 4, MSS }, TCP_OK, TCP_HAS_MSS, 1460 },
	{ "every kind looks like an option within",
	  true,
	  12,
	  { 30, 8, 2, 0, 0, 0, 2, 1, MSS },
	  TCP_OK,
	  TCP_HAS_MSS,
	  1460 },
	{ "unknown that fills the rest", true, 4, { 253, 4, 0, 0 }, TCP_OK, 0, 0 },
	{ "unknown of 40 bytes", false, 40, { 253, 40 }, TCP_OK, 0, 0 },
	/* Known, but of a length that is not theirs: ignored */
	{ "mss of 3", true, 4, { 2, 3, 5, 1 }, TCP_OK, 0, 0 },
	{ "mss of 5", true, 8, { 2, 5, 5, 5, 5, 1, 1, 1 }, TCP_OK, 0, 0 },
	{ "mss of 2", true, 4, { 2, 2, 1, 1 }, TCP_OK, 0, 0 },
	{ "scale of 4", true, 4, { 3, 4, 7, 7 }, TCP_OK, 0, 0 },
	{ "scale of 2", true, 4, { 3, 2, 1, 1 }, TCP_OK, 0, 0 },
	{ "sack permitted of 3", true, 4, { 4, 3, 0, 1 }, TCP_OK, 0, 0 },
	{ "timestamps of 8", false, 8, { 8, 8, 1, 2, 3, 4, 5, 6 }, TCP_OK, 0, 0 },
	{ "timestamps of 12", false, 12, { 8, 12, TS_REST, 9, 9 }, TCP_OK, 0, 0 },
	{ "sack without blocks", false, 4, { 5, 2, 1, 1 }, TCP_OK, 0, 0 },
	{ "sack of half a block", false, 8, { 1, 1, 5, 6, 1, 2, 3, 4 }, TCP_OK, 0, 0 },
	{ "sack of 9", false, 12, { 5, 9, 1, 2, 3, 4, 5, 6, 7, 1, 1, 1 }, TCP_OK, 0, 0 },
	{ "sack of 11", false, 12, { 5, 11, BLOCK, 9, 1 }, TCP_OK, 0, 0 },
	{ "sack of a block and a half",
	  false,
	  16,
	  { 1, 1, 5, 14, BLOCK, 1, 2, 3, 4 },
	  TCP_OK,
	  0,
	  0 },
	{ "bad sack after a good one",
	  false,
	  16,
	  { 5, 10, BLOCK, 5, 4, 1, 1, 1, 1 },
	  TCP_OK,
	  TCP_HAS_SACK,
	  1 },
	{ "sack of 38",
	  false,
	  40,
	  { 1, 1, 5, 38, BLOCK, BLOCK, BLOCK, BLOCK, 1, 2, 3, 4 },
	  TCP_OK,
	  0,
	  0 },
	{ "sack of four",
	  false,
	  36,
	  { 1, 1, 5, 34, BLOCK, BLOCK, BLOCK, BLOCK },
	  TCP_OK,
	  TCP_HAS_SACK,
	  4 },
	/* MUST-7: illegal lengths; what came before stands */
	{ "mss of 0", true, 4, { 2, 0, 0, 0 }, TCP_BAD_OPTION, 0, 0 },
	{ "mss of 1", true, 4, { 2, 1, 0, 0 }, TCP_BAD_OPTION, 0, 0 },
	{ "unknown of 0", false, 4, { 99, 0, 0, 0 }, TCP_BAD_OPTION, 0, 0 },
	{ "unknown of 1", false, 4, { 99, 1, 0, 0 }, TCP_BAD_OPTION, 0, 0 },
	{ "one byte too long", true, 4, { 2, 5, 0, 0 }, TCP_BAD_OPTION, 0, 0 },
	{ "of 255", false, 8, { NOP4, 8, 255, 0, 0 }, TCP_BAD_OPTION, 0, 0 },
	{ "sack past the end", false, 12, { 1, 1, 5, 18, BLOCK }, TCP_BAD_OPTION, 0, 0 },
	{ "timestamps past the end", false, 8, { 8, 10, 1, 2, 3, 4, 5, 6 }, TCP_BAD_OPTION, 0, 0 },
	/* MUST-68: all but end and nop have a length, also where there is no room for it */
	{ "a kind as the last byte", false, 4, { 1, 1, 1, 4 }, TCP_BAD_OPTION, 0, 0 },
	{ "an unknown kind as the last byte", false, 4, { 1, 1, 1, 99 }, TCP_BAD_OPTION, 0, 0 },
	/* RFC 7413 4.1.1, 7 */
	{ "cookie", true, 12, { 34, 10, COOKIE, 1, 1 }, TCP_OK, TCP_HAS_FASTOPEN, 8 },
	{ "cookie of 4", true, 8, { 34, 6, 1, 2, 3, 4, 1, 1 }, TCP_OK, TCP_HAS_FASTOPEN, 4 },
	{ "cookie of 16",
	  true,
	  20,
	  { 34, 18, COOKIE, COOKIE, 1, 1 },
	  TCP_OK,
	  TCP_HAS_FASTOPEN,
	  16 },
	{ "cookie asked for", true, 4, { 34, 2, 1, 1 }, TCP_OK, TCP_HAS_FASTOPEN, 0 },
	{ "cookie without syn", false, 12, { 34, 10, COOKIE, 1, 1 }, TCP_OK, 0, 0 },
	{ "cookie of 2", true, 4, { 34, 4, 1, 2 }, TCP_OK, 0, 0 },
	{ "cookie of 7", true, 12, { 34, 9, 1, 2, 3, 4, 5, 6, 7, 1, 1, 1 }, TCP_OK, 0, 0 },
	{ "cookie of 18", true, 20, { 34, 20, COOKIE, COOKIE, 1, 2 }, TCP_OK, 0, 0 },
	{ "cookie, experimental",
	  true,
	  12,
	  { 254, 12, 0xf9, 0x89, COOKIE },
	  TCP_OK,
	  TCP_HAS_FASTOPEN,
	  108 },
	{ "cookie asked for, experimental",
	  true,
	  4,
	  { 254, 4, 0xf9, 0x89 },
	  TCP_OK,
	  TCP_HAS_FASTOPEN,
	  100 },
	{ "another experiment", true, 12, { 254, 12, 0xf9, 0x88, COOKIE }, TCP_OK, 0, 0 },
	{ "an experiment's kind alone", true, 4, { 254, 2, 1, 1 }, TCP_OK, 0, 0 },
	{ "mss, then a bad one", true, 8, { MSS, 3, 0, 0, 0 }, TCP_BAD_OPTION, TCP_HAS_MSS, 1460 },
};

static uint32_t value_of(const struct tcp_seg *seg)
{
	switch (seg->opts) {
	case TCP_HAS_MSS:
		return seg->mss;
	case TCP_HAS_WSCALE:
		return seg->wscale;
	case TCP_HAS_TS:
		return seg->tsval;
	case TCP_HAS_SACK:
		return seg->sack_n;
	case TCP_HAS_FASTOPEN:
		return seg->cookie.len + 100u * seg->cookie.exp;
	default:
		return 0;
	}
}

/* MUST-4, MUST-5, MUST-6, MUST-7, MUST-64, MUST-68, MUST-69: by table */
static void test_options(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(option_cases); i++) {
		const struct option_case *c = &option_cases[i];
		uint8_t p[64] = { 0 };
		uint32_t len = 20u + c->len + 4;
		struct tcp_seg seg;
		enum tcp_verdict verdict;
		uint8_t *copy;

		p[12] = (uint8_t)((20 + c->len) / 4 << 4);
		p[13] = c->syn ? TCP_SYN : TCP_ACK;
		memcpy(p + 20, c->bytes, c->len);
		memcpy(p + 20 + c->len, "data", 4);
		copy = exact_copy(p, len, i % 4);
		verdict = parse(copy, len, &seg);
		if (verdict != c->verdict || seg.opts != c->opts || value_of(&seg) != c->value)
			fail_msg("%s: verdict %d, options %#x, value %u", c->name, verdict,
				 seg.opts, value_of(&seg));
		assert_int_equal(seg.len, 4);
		assert_memory_equal(seg.data, "data", 4);
		exact_free(copy, i % 4);
	}
}

static void test_sack_values(void **state)
{
	static const uint8_t options[] = { 1, 1, 5, 18, 0xff, 0xff, 0xff, 0xff, 0, 0,
					   0, 5, 0, 0,	0,    9,    0,	  0,	0, 11 };
	uint8_t p[40] = { [12] = 10 << 4, [13] = TCP_ACK };
	struct tcp_seg seg;

	(void)state;
	memcpy(p + 20, options, sizeof(options));
	assert_int_equal(parse(p, sizeof(p), &seg), TCP_OK);
	assert_int_equal(seg.sack_n, 2);
	assert_int_equal(seg.sack[0].start, 0xffffffff);
	assert_int_equal(seg.sack[0].end, 5);
	assert_int_equal(seg.sack[1].start, 9);
	assert_int_equal(seg.sack[1].end, 11);
}

static void random_seg(uint64_t *seed, struct tcp_seg *seg)
{
	memset(seg, 0, sizeof(*seg));
	seg->sport = (uint16_t)rnd64(seed);
	seg->dport = (uint16_t)rnd64(seed);
	seg->seq = (uint32_t)rnd64(seed);
	seg->ack = (uint32_t)rnd64(seed);
	seg->flags = (uint16_t)rnd(seed, 512);
	seg->wnd = (uint16_t)rnd64(seed);
	seg->up = (uint16_t)rnd64(seed);
	if (seg->flags & TCP_SYN) {
		seg->opts = (uint8_t)rnd(seed, 64);
		if (seg->opts & TCP_HAS_FASTOPEN) {
			seg->cookie.len = (uint8_t)(2 * rnd(seed, 8));
			seg->cookie.len += seg->cookie.len ? 2 : 0;
			seg->cookie.exp = rnd(seed, 2);
			rnd_fill(seed, seg->cookie.octets, seg->cookie.len);
		}
		seg->mss = seg->opts & TCP_HAS_MSS ? (uint16_t)(1 + rnd(seed, 65535)) : 0;
		seg->wscale = seg->opts & TCP_HAS_WSCALE ? (uint8_t)rnd(seed, 15) : 0;
	} else {
		seg->opts = (uint8_t)(rnd(seed, 4) * TCP_HAS_TS);
	}
	if (seg->opts & TCP_HAS_TS) {
		seg->tsval = (uint32_t)rnd64(seed);
		seg->tsecr = (uint32_t)rnd64(seed);
	}
	if (seg->opts & TCP_HAS_SACK) {
		unsigned used = tcp_header_len(seg) - 20, room = (40 - used - 4) / 8;

		if (used + 12 > 40) {
			seg->opts &= (uint8_t)~TCP_HAS_SACK;
			return;
		}
		seg->sack_n = (uint8_t)(1 + rnd(seed, room));
		rnd_fill(seed, seg->sack, seg->sack_n * sizeof(seg->sack[0]));
	}
	if ((seg->flags & TCP_ACK) && tcp_header_len(seg) <= TCP_HLEN_MAX - accecn_len(1)) {
		seg->opts |= TCP_HAS_ACCECN;
		seg->accecn.n = 1;
		seg->accecn.e0b = rnd(seed, 1u << 24);
	}
}

/* What is built comes back, at any alignment, with a good checksum. */
static void test_round_trip(void **state)
{
	uint64_t seed = 5;

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		const struct cpl_addr *src = round & 1 ? &src6 : &src4;
		const struct cpl_addr *dst = round & 1 ? &dst6 : &dst4;
		uint8_t p[TCP_HLEN_MAX + 100];
		struct tcp_seg seg, back;
		uint32_t len;
		uint8_t *copy;

		random_seg(&seed, &seg);
		seg.hlen = (uint8_t)tcp_build(p, &seg);
		assert_int_equal(seg.hlen, tcp_header_len(&seg));
		seg.len = rnd(&seed, 101);
		len = seg.hlen + seg.len;
		rnd_fill(&seed, p + seg.hlen, seg.len);
		checksum_set(p, len, src, dst);
		copy = exact_copy(p, len, round % 5);
		assert_int_equal(tcp_parse(copy, len, src, dst, false, &back), TCP_OK);
		seg.data = copy + seg.hlen;
		assert_memory_equal(&back, &seg, sizeof(seg));
		exact_free(copy, round % 5);
	}
}

/* Cut anywhere, changed anywhere: never more than there is, and nothing that makes no sense. */
static void test_hostile(void **state)
{
	uint64_t seed = 6;

	(void)state;
	for (unsigned round = 0; round < 50000; round++) {
		uint8_t p[TCP_HLEN_MAX + 20], *copy;
		struct tcp_seg seg;
		uint32_t len;
		enum tcp_verdict verdict;

		random_seg(&seed, &seg);
		rnd_fill(&seed, p, sizeof(p));
		len = tcp_build(p, &seg) + rnd(&seed, 20);
		for (unsigned n = rnd(&seed, 6); n; n--)
			p[12 + rnd(&seed, len - 12)] = (uint8_t)rnd64(&seed);
		if (rnd(&seed, 2))
			len = rnd(&seed, len + 1);
		copy = exact_copy(p, len, round % 3);
		verdict = parse(copy, len, &seg);
		if (verdict == TCP_OK || verdict == TCP_BAD_OPTION) {
			assert_true(seg.hlen >= TCP_HLEN && seg.hlen % 4 == 0);
			assert_int_equal(seg.hlen + seg.len, len);
			assert_ptr_equal(seg.data, copy + seg.hlen);
			assert_true(seg.wscale <= 14 && seg.sack_n <= TCP_SACK_MAX);
			assert_int_equal(!!(seg.opts & TCP_HAS_SACK), !!seg.sack_n);
		} else {
			assert_int_equal(verdict, TCP_BAD_HEADER);
		}
		exact_free(copy, round % 3);
	}
}

/*
 * Options in their usual order are read at one look, others one by one. With four octets of their
 * end behind them none is usual: it must be all the same.
 */
static void test_usual_options(void **state)
{
	static const uint8_t usual[][20] = {
		{ 2, 4, 5, 180, 4, 2, 8, 10, 17, 34, 51, 68, 1, 2, 3, 4, 1, 3, 3, 7 },
		{ 2, 4, 5, 180, 1, 1, 4, 2, 1, 3, 3, 7 },
		{ 1, 1, 8, 10, 17, 34, 51, 68, 1, 2, 3, 4 },
	};
	static const uint8_t lens[] = { 20, 12, 12 };
	static const uint8_t likely[] = { 0, 1, 2, 3, 4, 8, 10, 14, 15, 255 };
	uint64_t seed = 11;
	unsigned taken = 0;

	(void)state;
	for (unsigned round = 0; round < 100000; round++) {
		unsigned which = rnd(&seed, 3), len = TCP_HLEN + lens[which];
		uint8_t p[TCP_HLEN_MAX] = { 0 }, longer[TCP_HLEN_MAX];
		struct tcp_seg seg, other;

		p[12] = (uint8_t)(len / 4 << 4);
		p[13] = rnd(&seed, 8) ? TCP_SYN : TCP_ACK;
		memcpy(p + TCP_HLEN, usual[which], lens[which]);
		for (unsigned n = rnd(&seed, 4); n; n--)
			p[TCP_HLEN + rnd(&seed, lens[which])] =
				rnd(&seed, 2) ? likely[rnd(&seed, sizeof(likely))]
					      : (uint8_t)rnd64(&seed);
		if (!rnd(&seed, 16))
			put16(p + TCP_HLEN + 2, 0); /* an MSS of 0 is none */
		memcpy(longer, p, sizeof(longer));
		longer[12] = (uint8_t)(p[12] + 0x10);
		if (parse(p, len, &seg) != TCP_OK)
			continue; /* what runs over the end does not with four more */
		taken++;
		assert_int_equal(parse(longer, len + 4, &other), TCP_OK);
		other.hlen -= 4;
		other.data = seg.data;
		assert_memory_equal(&seg, &other, sizeof(seg));
	}
	assert_true(taken > 50000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_syn),     cmocka_unit_test(test_checksum),
		cmocka_unit_test(test_header_length), cmocka_unit_test(test_flags),
		cmocka_unit_test(test_layouts),	      cmocka_unit_test(test_options),
		cmocka_unit_test(test_sack_values),   cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_hostile),	      cmocka_unit_test(test_usual_options),
	};

	return cmocka_run_group_tests_name("tcp header", tests, setup, NULL);
}
