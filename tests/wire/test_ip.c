/* SPDX-License-Identifier: MIT */
/* IPv4 and IPv6 headers: known ones, every truncation, options and extension headers by table. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/util/bytes.h"
#include "wire/bytes.h"
#include "wire/checksum.h"
#include "wire/ip.h"

/* The example of many a textbook: 192.168.0.1 to 192.168.0.199, UDP, 115 bytes, checksum b861. */
static const uint8_t known4[] = { 0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11,
				  0xb8, 0x61, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7 };

static void test_known4(void **state)
{
	struct cpl_addr src = cpl_addr4(192, 168, 0, 1), dst = cpl_addr4(192, 168, 0, 199);
	uint8_t p[120] = { 0 };
	struct ip_problem problem;
	struct ip_hdr h;

	(void)state;
	memcpy(p, known4, sizeof(known4));
	assert_int_equal(ip_parse(p, sizeof(p), &h, &problem), IP_OK);
	assert_int_equal(h.version, 4);
	assert_int_equal(h.len, 0x73); /* the rest of p is padding */
	assert_int_equal(h.hlen, 20);
	assert_int_equal(h.ttl, 64);
	assert_int_equal(h.protocol, IP_UDP);
	assert_true(h.dont_frag);
	assert_false(h.more_frags || h.fragment || h.frag_off || h.options || h.options_len);
	assert_true(cpl_addr_equal(&h.src, &src) && cpl_addr_equal(&h.dst, &dst));
	memset(p, 0, sizeof(p));
	assert_int_equal(ip_build(p, &h), 20);
	assert_memory_equal(p, known4, 20);
}

static void test_known6(void **state)
{
	/* 2001:db8::1 to 2001:db8::2, TCP, 20 bytes, class 0xb9, flow 0x12345, hop limit 63 */
	uint8_t p[60] = { 0x6b, 0x91, 0x23, 0x45, 0, 20, 6, 63 };
	uint8_t again[40];
	struct ip_problem problem;
	struct ip_hdr h;

	(void)state;
	memcpy(p + 8, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16);
	memcpy(p + 24, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02", 16);
	assert_int_equal(ip_parse(p, sizeof(p), &h, &problem), IP_OK);
	assert_int_equal(h.version, 6);
	assert_int_equal(h.tos, 0xb9);
	assert_int_equal(h.flow, 0x12345);
	assert_int_equal(h.len, 60);
	assert_int_equal(h.hlen, 40);
	assert_int_equal(h.protocol, IP_TCP);
	assert_int_equal(h.ttl, 63);
	assert_int_equal(h.nh_off, 6);
	assert_int_equal(h.frag_hdr_off, 0);
	assert_memory_equal(h.src.b, p + 8, 16);
	assert_memory_equal(h.dst.b, p + 24, 16);
	assert_int_equal(ip_build(again, &h), 40);
	assert_memory_equal(again, p, 40);
}

static void checksum4_set(uint8_t *p)
{
	uint16_t check;

	put16(p + 10, 0);
	check = sum_finish(sum_add(0, p, (p[0] & 15) * 4u));
	memcpy(p + 10, &check, 2);
}

/* RFC 1122 3.2.1.2: any bit of the header. */
static void test_checksum4(void **state)
{
	uint8_t p[0x73] = { 0 };
	struct ip_problem problem;
	struct ip_hdr h;

	(void)state;
	memcpy(p, known4, sizeof(known4));
	for (unsigned bit = 0; bit < 160; bit++) {
		enum ip_verdict verdict;

		if (bit / 4 == 1)
			continue; /* another version */
		p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		verdict = ip_parse(p, sizeof(p), &h, &problem);
		if (bit >= 8 || verdict != IP_BAD_HEADER)
			assert_int_equal(verdict, IP_BAD_CHECKSUM);
		p[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void test_lengths4(void **state)
{
	struct ip_problem problem;
	struct ip_hdr h;
	uint8_t p[70];

	(void)state;
	memset(p, 1, sizeof(p)); /* options: nops */
	memcpy(p, known4, 20);
	for (unsigned words = 0; words < 16; words++) {
		for (unsigned total = 0; total < 70; total++) {
			for (uint32_t len = 0; len <= 64; len += 1 + len / 20) {
				bool ok = words >= 5 && total >= words * 4 && len >= total;
				enum ip_verdict verdict;
				uint8_t *copy;

				p[0] = (uint8_t)(0x40 | words);
				put16(p + 2, (uint16_t)total);
				checksum4_set(p);
				copy = exact_copy(p, len, len % 4);
				verdict = ip_parse(copy, len, &h, &problem);
				assert_int_equal(verdict, ok ? IP_OK : IP_BAD_HEADER);
				if (ok) {
					assert_int_equal(h.hlen, words * 4);
					assert_int_equal(h.options_len, words * 4 - 20);
				}
				exact_free(copy, len % 4);
			}
		}
	}
}

static void test_versions(void **state)
{
	struct ip_problem problem;
	struct ip_hdr h;
	uint8_t p[60] = { 0 };

	(void)state;
	for (unsigned version = 0; version < 16; version++) {
		p[0] = (uint8_t)(version << 4 | 5);
		put16(p + 2, 60);
		checksum4_set(p);
		if (version == 6)
			put32(p + 4, 59 << 8); /* no payload, no next header */
		assert_int_equal(ip_parse(p, sizeof(p), &h, &problem),
				 version == 4 || version == 6 ? IP_OK : IP_BAD_HEADER);
	}
}

static void test_fragments4(void **state)
{
	uint8_t p[60] = { 0 }, again[20];
	struct ip_problem problem;
	struct ip_hdr h;

	(void)state;
	for (unsigned field = 0; field < 0x10000; field += 0x2fff / 7) {
		memcpy(p, known4, 20);
		put16(p + 2, 60);
		put16(p + 4, 0xbeef);
		put16(p + 6, (uint16_t)(field & 0x7fff));
		checksum4_set(p);
		assert_int_equal(ip_parse(p, sizeof(p), &h, &problem), IP_OK);
		assert_int_equal(h.id, 0xbeef);
		assert_int_equal(h.frag_off, (field & 0x1fff) * 8);
		assert_int_equal(h.more_frags, !!(field & 0x2000));
		assert_int_equal(h.dont_frag, !!(field & 0x4000));
		assert_int_equal(h.fragment, !!(field & 0x3fff));
		ip_build(again, &h);
		assert_memory_equal(again, p, 20);
	}
}

static const struct {
	const char *name;
	uint8_t len;
	uint8_t bytes[40];
	enum ip_verdict verdict;
	uint8_t pointer;
} options4[] = {
	{ "end", 4, { 0 }, IP_OK, 0 },
	{ "nops", 4, { 1, 1, 1, 1 }, IP_OK, 0 },
	{ "garbage after the end", 4, { 0, 7, 0, 255 }, IP_OK, 0 },
	{ "router alert", 4, { 148, 4, 0, 0 }, IP_OK, 0 },
	/* MUST-50: not understood, skipped */
	{ "unknown", 8, { 222, 7, 1, 2, 3, 4, 5, 1 }, IP_OK, 0 },
	{ "unknown of 2", 4, { 222, 2, 0, 0 }, IP_OK, 0 },
	{ "unknown, then a bad one", 8, { 222, 4, 0, 0, 99, 9, 0, 0 }, IP_BAD_OPTION, 24 },
	{ "length 0", 4, { 222, 0, 0, 0 }, IP_BAD_OPTION, 20 },
	{ "length 1", 4, { 222, 1, 0, 0 }, IP_BAD_OPTION, 20 },
	{ "no room for a length", 4, { 1, 1, 1, 7 }, IP_BAD_OPTION, 23 },
	{ "past the end", 4, { 1, 7, 4, 0 }, IP_BAD_OPTION, 21 },
	{ "source route", 8, { IPV4_LSRR, 7, 8, 10, 0, 0, 1, 0 }, IP_OK, 0 },
	{ "strict source route", 8, { 1, IPV4_SSRR, 7, 4, 10, 0, 0, 1 }, IP_OK, 0 },
	{ "source route of 2", 4, { IPV4_LSRR, 2, 222, 2 }, IP_BAD_OPTION, 20 },
	{ "source route, pointer 3", 4, { IPV4_SSRR, 3, 3, 0 }, IP_BAD_OPTION, 20 },
	{ "two source routes", 8, { IPV4_LSRR, 3, 4, IPV4_SSRR, 3, 4, 0, 0 }, IP_BAD_OPTION, 23 },
};

static void test_options4(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(options4); i++) {
		uint8_t p[64], again[60], *copy;
		uint32_t hlen = 20u + options4[i].len;
		struct ip_problem problem = { .silent = true };
		enum ip_verdict verdict;
		struct ip_hdr h;

		memcpy(p, known4, 20);
		p[0] = (uint8_t)(0x40 | hlen / 4);
		put16(p + 2, (uint16_t)(hlen + 4));
		memcpy(p + 20, options4[i].bytes, options4[i].len);
		memset(p + hlen, 1, 4);
		checksum4_set(p);
		copy = exact_copy(p, hlen + 4, i % 3);
		verdict = ip_parse(copy, hlen + 4, &h, &problem);
		if (verdict != options4[i].verdict ||
		    (verdict != IP_OK && problem.pointer != options4[i].pointer))
			fail_msg("%s: %d at %u", options4[i].name, verdict, problem.pointer);
		if (verdict == IP_OK) {
			assert_ptr_equal(h.options, copy + 20);
			assert_int_equal(h.options_len, options4[i].len);
			assert_int_equal(ip_build(again, &h), hlen);
			assert_memory_equal(again, p, hlen);
		} else {
			assert_false(problem.silent);
		}
		exact_free(copy, i % 3);
	}
}

#define PADN6 1, 4, 0, 0, 0, 0
#define HBH   0
#define ROUTE 43
#define FRAG  44
#define DEST  60
#define TCP   6

/* clang-format off */
#define GOOD(protocol, hlen, nh_off) IP_OK, protocol, hlen, nh_off, { 0 }
#define BAD(verdict, c, at) verdict, 0, 0, 0, { .code = c, .pointer = at }
#define UNKNOWN(at, multicast_too, silent) \
	IP_UNKNOWN_OPTION, 0, 0, 0, { 2, at, multicast_too, silent }
/* clang-format on */

/* Extension headers after the IPv6 header; NEXT is its next header field. */
static const struct {
	const char *name;
	uint8_t next, len;
	uint8_t bytes[80];
	enum ip_verdict verdict;
	uint8_t protocol, hlen, nh_off; /* if OK */
	struct ip_problem problem;	/* if not */
} chains6[] = {
	/* clang-format off */
	{ "hop by hop", HBH, 8, { TCP, 0, PADN6 }, GOOD(TCP, 48, 40) },
	{ "pad1s", HBH, 8, { TCP, 0 }, GOOD(TCP, 48, 40) },
	{ "destination", DEST, 16, { TCP, 1, 1, 12 }, GOOD(TCP, 56, 40) },
	{ "all in turn", HBH, 32, { DEST, 0, PADN6, ROUTE, 0, PADN6,
	  DEST, 0, 0, 0, 0, 0, 0, 0, TCP, 0, PADN6 },
	  GOOD(TCP, 72, 64) },
	{ "no next header", DEST, 8, { 59, 0, PADN6 }, GOOD(59, 48, 40) },
	{ "ESP is not walked", DEST, 8, { 50, 0, PADN6 }, GOOD(50, 48, 40) },
	/* RFC 8200 4.2: the two high bits of an unknown option */
	{ "unknown option 00", DEST, 8, { TCP, 0, 0x1e, 4, 1, 2, 3, 4 }, GOOD(TCP, 48, 40) },
	{ "unknown option 01", DEST, 8, { TCP, 0, 0x5e, 4 }, UNKNOWN(42, false, true) },
	{ "unknown option 10", DEST, 8, { TCP, 0, 0x9e, 4 }, UNKNOWN(42, true, false) },
	{ "unknown option 11", DEST, 8, { TCP, 0, 0, 0xde, 3 }, UNKNOWN(43, false, false) },
	{ "of two, the first", DEST, 8, { TCP, 0, 0x9e, 0, 0xde, 0, 0, 0 },
	  UNKNOWN(42, true, false) },
	{ "option past the end", DEST, 8, { TCP, 0, 0x1e, 5 }, BAD(IP_BAD_OPTION, 0, 42) },
	{ "option without length", DEST, 8, { TCP, 0, 1, 3, 0, 0, 0, 0x1e },
	  BAD(IP_BAD_OPTION, 0, 47) },
	{ "padn past the end", HBH, 8, { TCP, 0, 1, 200 }, BAD(IP_BAD_OPTION, 0, 42) },
	/* RFC 8200 4: hop-by-hop anywhere else is an unknown next header */
	{ "hop by hop second", DEST, 16, { HBH, 0, PADN6, TCP, 0, PADN6 },
	  BAD(IP_UNKNOWN_OPTION, 1, 40) },
	{ "hop by hop twice", HBH, 16, { HBH, 0, PADN6, TCP, 0, PADN6 },
	  BAD(IP_UNKNOWN_OPTION, 1, 40) },
	/* RFC 8200 4.4, RFC 5095 */
	{ "route at its end", ROUTE, 8, { TCP, 0, 0, 0 }, GOOD(TCP, 48, 40) },
	{ "route type 0 with segments left", ROUTE, 24, { TCP, 2, 0, 1 },
	  BAD(IP_UNKNOWN_OPTION, 0, 42) },
	{ "route type 99, segments left", ROUTE, 8, { TCP, 0, 99, 255 },
	  BAD(IP_UNKNOWN_OPTION, 0, 42) },
	{ "header past the end", DEST, 8, { TCP, 1, PADN6 }, BAD(IP_BAD_OPTION, 0, 41) },
	{ "header of 2048 bytes", DEST, 16, { TCP, 255 }, BAD(IP_BAD_OPTION, 0, 41) },
	{ "no room for a header", DEST, 8, { DEST, 0, PADN6 }, BAD(IP_BAD_OPTION, 0, 40) },
	{ "no room for the first", HBH, 0, { 0 }, BAD(IP_BAD_OPTION, 0, 6) },
	{ "no room for a fragment header", DEST, 8, { FRAG, 0, PADN6 },
	  BAD(IP_BAD_OPTION, 0, 40) },
	{ "eight", DEST, 64, { DEST, 0, PADN6, DEST, 0, PADN6, DEST, 0, PADN6,
	  DEST, 0, PADN6, DEST, 0, PADN6, DEST, 0, PADN6, DEST, 0, PADN6, TCP, 0, PADN6 },
	  GOOD(TCP, 104, 96) },
	{ "nine", DEST, 72, { DEST, 0, PADN6, DEST, 0, PADN6, DEST, 0, PADN6, DEST, 0, PADN6,
	  DEST, 0, PADN6, DEST, 0, PADN6, DEST, 0, PADN6, DEST, 0, PADN6, TCP, 0, PADN6 },
	  BAD(IP_BAD_OPTION, 0, 96) },
	/* clang-format on */
};

static void base6(uint8_t *p, uint8_t next, uint32_t payload)
{
	memset(p, 0, 40);
	p[0] = 0x60;
	put16(p + 4, (uint16_t)payload);
	p[6] = next;
	p[8] = 0x20;
	p[24] = 0x21;
}

static bool same_problem(const struct ip_problem *a, const struct ip_problem *b)
{
	return a->code == b->code && a->pointer == b->pointer &&
	       a->multicast_too == b->multicast_too && a->silent == b->silent;
}

static void test_chains6(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(chains6); i++) {
		struct ip_problem problem = { .code = 99 };
		uint32_t len = 40u + chains6[i].len;
		enum ip_verdict verdict;
		struct ip_hdr h;
		uint8_t p[120], *copy;

		base6(p, chains6[i].next, chains6[i].len);
		memcpy(p + 40, chains6[i].bytes, chains6[i].len);
		copy = exact_copy(p, len, i % 3);
		verdict = ip_parse(copy, len, &h, &problem);
		if (verdict != chains6[i].verdict)
			fail_msg("%s: verdict %d", chains6[i].name, verdict);
		if (verdict == IP_OK &&
		    (h.protocol != chains6[i].protocol || h.hlen != chains6[i].hlen ||
		     h.nh_off != chains6[i].nh_off))
			fail_msg("%s: %u at %u, %u", chains6[i].name, h.protocol, h.hlen, h.nh_off);
		if (verdict != IP_OK && !same_problem(&problem, &chains6[i].problem))
			fail_msg("%s: code %u at %u", chains6[i].name, problem.code,
				 problem.pointer);
		exact_free(copy, i % 3);
	}
}

static void test_fragments6(void **state)
{
	struct ip_problem problem;
	struct ip_hdr h;
	uint8_t p[80];

	(void)state;
	base6(p, DEST, 40);
	memcpy(p + 40, "\x2c\0\x01\x04\0\0\0\0", 8); /* destination options, then */
	ip6_frag_build(p + 48, DEST, 1448, true, 0xdeadbeef);
	assert_memory_equal(p + 48, "\x3c\0\x05\xa9\xde\xad\xbe\xef", 8);
	memset(p + 56, 0xff, 24); /* what it carries is not looked at: it may be the middle */
	assert_int_equal(ip_parse(p, sizeof(p), &h, &problem), IP_OK);
	assert_true(h.fragment && h.more_frags);
	assert_int_equal(h.frag_off, 1448);
	assert_int_equal(h.id, 0xdeadbeef);
	assert_int_equal(h.protocol, DEST);
	assert_int_equal(h.hlen, 56);
	assert_int_equal(h.frag_hdr_off, 48);
	assert_int_equal(h.frag_nh_off, 40);
	assert_int_equal(h.nh_off, 48);

	/* Atomic (RFC 6946): a fragment all the same, for reassembly to take apart. */
	base6(p, FRAG, 40);
	ip6_frag_build(p + 40, TCP, 0, false, 7);
	assert_int_equal(ip_parse(p, sizeof(p), &h, &problem), IP_OK);
	assert_true(h.fragment);
	assert_false(h.more_frags || h.frag_off);
	assert_int_equal(h.frag_nh_off, 6);
	assert_int_equal(h.hlen, 48);

	/* Reserved bits do not count. */
	p[41] = 0xff;
	p[43] = 0x06;
	assert_int_equal(ip_parse(p, sizeof(p), &h, &problem), IP_OK);
	assert_false(h.more_frags || h.frag_off);
	ip6_frag_build(p + 40, TCP, 65528, false, 7);
	assert_int_equal(ip_parse(p, sizeof(p), &h, &problem), IP_OK);
	assert_int_equal(h.frag_off, 65528);
}

/* On the wire they would pass for IPv4 addresses (RFC 4942 2.2). */
static void test_mapped6(void **state)
{
	struct cpl_addr mapped = cpl_addr4(10, 0, 0, 1);
	struct ip_problem problem;
	struct ip_hdr h;
	uint8_t p[40];

	(void)state;
	for (unsigned at = 8; at <= 24; at += 16) {
		base6(p, TCP, 0);
		assert_int_equal(ip_parse(p, sizeof(p), &h, &problem), IP_OK);
		memcpy(p + at, mapped.b, 16);
		assert_int_equal(ip_parse(p, sizeof(p), &h, &problem), IP_BAD_HEADER);
	}
}

static void test_lengths6(void **state)
{
	struct ip_problem problem;
	struct ip_hdr h;
	uint8_t p[80] = { 0 };

	(void)state;
	for (uint32_t len = 0; len <= sizeof(p); len++) {
		for (unsigned payload = 0; payload < 50; payload++) {
			bool ok = len >= 40 && payload <= len - 40;
			uint8_t *copy;

			base6(p, TCP, payload);
			copy = exact_copy(p, len, len % 3);
			assert_int_equal(ip_parse(copy, len, &h, &problem),
					 ok ? IP_OK : IP_BAD_HEADER);
			if (ok)
				assert_int_equal(h.len, 40 + payload);
			exact_free(copy, len % 3);
		}
	}
}

static void random_hdr(uint64_t *seed, struct ip_hdr *h, uint8_t options[40])
{
	memset(h, 0, sizeof(*h));
	h->version = rnd(seed, 2) ? 4 : 6;
	rnd_fill(seed, &h->src, 16);
	rnd_fill(seed, &h->dst, 16);
	h->tos = (uint8_t)rnd64(seed);
	h->ttl = (uint8_t)rnd64(seed);
	h->protocol = rnd(seed, 2) ? IP_TCP : IP_UDP;
	h->hlen = h->version == 4 ? 20 : 40;
	if (h->version == 6) {
		h->flow = rnd(seed, 1 << 20);
		h->nh_off = 6;
	} else {
		memcpy(h->src.b, cpl_addr4(0, 0, 0, 0).b, 12);
		memcpy(h->dst.b, h->src.b, 12);
		h->id = rnd(seed, 65536);
		h->frag_off = rnd(seed, 2) * rnd(seed, 0x2000) * 8;
		h->more_frags = rnd(seed, 2);
		h->dont_frag = rnd(seed, 2);
		h->fragment = h->frag_off || h->more_frags;
		h->options_len = (uint8_t)(4 * rnd(seed, 11));
		h->hlen = (uint16_t)(h->hlen + h->options_len);
		memset(options, 1, h->options_len);
	}
	h->len = h->hlen + rnd(seed, 40);
}

static void test_round_trip(void **state)
{
	uint64_t seed = 1;

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		uint8_t p[120] = { 0 }, options[40], *copy;
		struct ip_problem problem;
		struct ip_hdr h, back;

		random_hdr(&seed, &h, options);
		h.options = h.options_len ? options : NULL;
		assert_int_equal(ip_build(p, &h), h.hlen);
		copy = exact_copy(p, h.len, round % 5);
		h.options = h.options_len ? copy + 20 : NULL;
		assert_int_equal(ip_parse(copy, h.len, &back, &problem), IP_OK);
		assert_memory_equal(&back, &h, sizeof(h));
		exact_free(copy, round % 5);
	}
}

static void test_hostile(void **state)
{
	uint64_t seed = 2;

	(void)state;
	for (unsigned round = 0; round < 50000; round++) {
		static const uint8_t next[] = { HBH, ROUTE, FRAG, DEST, TCP };
		uint8_t p[120], options[40], *copy;
		struct ip_problem problem = { 0 };
		struct ip_hdr h, back;
		enum ip_verdict verdict;
		uint32_t len;

		random_hdr(&seed, &h, options);
		h.options = options;
		rnd_fill(&seed, p, sizeof(p));
		for (unsigned at = 0; at < sizeof(p); at += 8) {
			p[at] = next[rnd(&seed, 5)];
			p[at + 1] &= 1;
		}
		h.protocol = next[rnd(&seed, 5)];
		ip_build(p, &h);
		for (unsigned n = rnd(&seed, 4); n; n--)
			p[rnd(&seed, h.len)] = (uint8_t)rnd64(&seed);
		if (p[0] >> 4 == 4)
			checksum4_set(p);
		len = rnd(&seed, 4) ? h.len : rnd(&seed, h.len + 1);
		copy = exact_copy(p, len, round % 3);
		verdict = ip_parse(copy, len, &back, &problem);
		if (verdict == IP_OK) {
			assert_true(back.len <= len && back.hlen <= back.len);
			assert_true(back.nh_off < back.hlen && back.frag_hdr_off < back.hlen);
			assert_true(back.options_len == 0 || back.options == copy + 20);
		} else if (verdict != IP_BAD_HEADER && verdict != IP_BAD_CHECKSUM) {
			assert_true(problem.pointer < len);
		}
		exact_free(copy, round % 3);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known4),	   cmocka_unit_test(test_known6),
		cmocka_unit_test(test_checksum4),  cmocka_unit_test(test_lengths4),
		cmocka_unit_test(test_versions),   cmocka_unit_test(test_fragments4),
		cmocka_unit_test(test_options4),   cmocka_unit_test(test_chains6),
		cmocka_unit_test(test_fragments6), cmocka_unit_test(test_mapped6),
		cmocka_unit_test(test_lengths6),   cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests_name("ip headers", tests, NULL, NULL);
}
