/* SPDX-License-Identifier: MIT */
/* ICMP and ICMPv6: checksums, and quotes that are cut, lie, or are fragments. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/util/bytes.h"
#include "wire/bytes.h"
#include "wire/icmp.h"
#include "wire/ip.h"

static const struct cpl_addr src6 = { { 0x20, 1, [15] = 1 } }, dst6 = { { 0x20, 1, [15] = 2 } };

/* An echo request as ping sends it: id 0x1234, sequence 1, "abc". */
static void test_known(void **state)
{
	static const uint8_t want[] = { 8, 0, 0x21, 0x68, 0x12, 0x34, 0, 1, 'a', 'b', 'c' };
	struct icmp_msg m = { .type = ICMP4_ECHO, .rest = 0x12340001 };
	uint8_t p[sizeof(want)];

	(void)state;
	m.body = (const uint8_t *)"abc";
	m.body_len = 3;
	assert_int_equal(icmp4_build(p, &m), sizeof(want));
	assert_memory_equal(p, want, sizeof(want));
	memset(&m, 0, sizeof(m));
	assert_true(icmp4_parse(want, sizeof(want), &m));
	assert_int_equal(m.type, ICMP4_ECHO);
	assert_int_equal(m.code, 0);
	assert_int_equal(m.rest, 0x12340001);
	assert_int_equal(m.body_len, 3);
	assert_ptr_equal(m.body, want + 8);
}

static bool parse(bool v6, const uint8_t *p, uint32_t len, struct icmp_msg *m)
{
	return v6 ? icmp6_parse(p, len, &src6, &dst6, m) : icmp4_parse(p, len, m);
}

static void test_round_trip_and_flips(void **state)
{
	uint64_t seed = 1;

	(void)state;
	for (unsigned round = 0; round < 5000; round++) {
		bool v6 = round & 1;
		struct icmp_msg m = { .type = (uint8_t)rnd64(&seed),
				      .code = (uint8_t)rnd64(&seed),
				      .rest = (uint32_t)rnd64(&seed),
				      .body_len = rnd(&seed, 50) };
		uint8_t p[60], body[50], *copy;
		struct icmp_msg back;
		uint32_t len;
		unsigned bit;

		rnd_fill(&seed, body, sizeof(body));
		m.body = body;
		len = v6 ? icmp6_build(p, &m, &src6, &dst6) : icmp4_build(p, &m);
		assert_int_equal(len, 8 + m.body_len);
		copy = exact_copy(p, len, round % 3);
		assert_true(parse(v6, copy, len, &back));
		assert_int_equal(back.type, m.type);
		assert_int_equal(back.code, m.code);
		assert_int_equal(back.rest, m.rest);
		assert_int_equal(back.body_len, m.body_len);
		assert_memory_equal(back.body, body, m.body_len);
		/* RFC 4443 2.3: the addresses count */
		if (v6)
			assert_false(icmp6_parse(copy, len, &src6, &src6, &back));
		bit = rnd(&seed, 8 * len);
		copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(parse(v6, copy, len, &back));
		exact_free(copy, round % 3);
	}
}

static void test_short(void **state)
{
	struct icmp_msg m;

	(void)state;
	for (uint32_t len = 0; len < ICMP_HLEN; len++) {
		/* All ones: the sum is right at any even length. */
		uint8_t *copy = exact_copy((const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff", len, 0);

		assert_false(icmp4_parse(copy, len, &m));
		assert_false(icmp6_parse(copy, len, &src6, &dst6, &m));
		exact_free(copy, 0);
	}
}

/* 10.0.0.1:40000 to 10.0.0.2:443, TCP, seq 0x01020304: the 28 bytes that a router must quote */
static const uint8_t quote4[] = { 0x45, 0, 0x05, 0xdc, 0, 0, 0x40, 0,	 64, 6,	   0, 0, 10, 0,
				  0,	1, 10,	 0,    0, 2, 0x9c, 0x40, 1,  0xbb, 1, 2, 3,  4 };

static void test_quote4(void **state)
{
	struct cpl_addr src = cpl_addr4(10, 0, 0, 1), dst = cpl_addr4(10, 0, 0, 2);
	uint8_t p[64] = { 0 };
	struct icmp_quote q;

	(void)state;
	for (uint32_t len = 0; len <= sizeof(quote4); len++) {
		uint8_t *copy = exact_copy(quote4, len, len % 3);

		assert_int_equal(icmp_quote_parse(copy, len, false, &q), len == sizeof(quote4));
		assert_false(icmp_quote_parse(copy, len, true, &q));
		exact_free(copy, len % 3);
	}
	assert_true(icmp_quote_parse(quote4, sizeof(quote4), false, &q));
	assert_true(cpl_addr_equal(&q.src, &src) && cpl_addr_equal(&q.dst, &dst));
	assert_int_equal(q.protocol, IP_TCP);
	assert_int_equal(q.sport, 40000);
	assert_int_equal(q.dport, 443);
	assert_int_equal(q.seq, 0x01020304);
	assert_int_equal(q.len, 1500);

	/* With options, for which there may be no room. */
	memcpy(p, quote4, 20);
	memcpy(p + 32, quote4 + 20, 8);
	p[0] = 0x48;
	assert_true(icmp_quote_parse(p, 40, false, &q));
	assert_int_equal(q.dport, 443);
	assert_false(icmp_quote_parse(p, 39, false, &q));
	assert_false(icmp_quote_parse(p, 28, false, &q));
	p[0] = 0x44;
	assert_false(icmp_quote_parse(p, 40, false, &q));

	/* The first fragment names a connection, a later one does not. */
	memcpy(p, quote4, sizeof(quote4));
	p[6] = 0x20;
	assert_true(icmp_quote_parse(p, 28, false, &q));
	p[7] = 1;
	assert_false(icmp_quote_parse(p, 28, false, &q));

	/* UDP has no sequence number; of others nothing beyond the IP header is needed. */
	memcpy(p, quote4, sizeof(quote4));
	p[9] = IP_UDP;
	assert_true(icmp_quote_parse(p, 28, false, &q));
	assert_int_equal(q.sport, 40000);
	assert_int_equal(q.seq, 0);
	p[9] = IP_ICMP;
	assert_true(icmp_quote_parse(p, 20, false, &q));
	assert_int_equal(q.sport, 0);
}

static const struct {
	const char *name;
	uint8_t next, len;
	uint8_t bytes[40];
	bool ok;
	uint8_t protocol;
} quotes6[] = {
	/* clang-format off */
	{ "tcp", 6, 8, { 0x9c, 0x40, 1, 0xbb, 1, 2, 3, 4 }, true, 6 },
	{ "tcp, 7 bytes", 6, 7, { 0 }, false, 0 },
	{ "behind two headers", 0, 24, { 60, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0, 0x9c,
	  0x40, 1, 0xbb, 1, 2, 3, 4 }, true, 6 },
	{ "behind 16 bytes", 43, 24, { 6, 1, [16] = 0x9c, 0x40, 1, 0xbb, 1, 2, 3, 4 }, true, 6 },
	{ "first fragment", 44, 16, { 6, 0, 0, 1, 0, 0, 0, 9, 0x9c, 0x40, 1, 0xbb, 1, 2, 3, 4 },
	  true, 6 },
	{ "reserved octet of a fragment", 44, 16,
	  { 6, 9, 0, 1, [8] = 0x9c, 0x40, 1, 0xbb, 1, 2, 3, 4 }, true, 6 },
	{ "later fragment", 44, 16, { 6, 0, 0, 9, 0, 0, 0, 9, 0x9c, 0x40, 1, 0xbb }, false, 0 },
	{ "header past the end", 60, 16, { 6, 2 }, false, 0 },
	{ "no room for a header", 60, 7, { 6, 0 }, false, 0 },
	{ "icmp", 58, 0, { 0 }, true, 58 },
	{ "no end of headers", 60, 40, { 60, 0, 0, 0, 0, 0, 0, 0, 60, 0, 0, 0, 0, 0, 0, 0, 60, 0,
	  0, 0, 0, 0, 0, 0, 60, 0, 0, 0, 0, 0, 0, 0, 60, 0 }, false, 0 },
	/* clang-format on */
};

static void test_quote6(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(quotes6); i++) {
		uint32_t len = 40u + quotes6[i].len;
		uint8_t p[80] = { 0x60, 0, 0, 0, 0x05, 0xb4, quotes6[i].next, 64 }, *copy;
		struct icmp_quote q;
		bool ok;

		memcpy(p + 8, src6.b, 16);
		memcpy(p + 24, dst6.b, 16);
		memcpy(p + 40, quotes6[i].bytes, quotes6[i].len);
		copy = exact_copy(p, len, i % 3);
		ok = icmp_quote_parse(copy, len, true, &q);
		if (ok != quotes6[i].ok || (ok && q.protocol != quotes6[i].protocol))
			fail_msg("%s", quotes6[i].name);
		if (ok) {
			assert_true(cpl_addr_equal(&q.src, &src6));
			assert_true(cpl_addr_equal(&q.dst, &dst6));
			assert_int_equal(q.len, 1500);
		}
		if (ok && q.protocol == IP_TCP) {
			assert_int_equal(q.sport, 40000);
			assert_int_equal(q.dport, 443);
			assert_int_equal(q.seq, 0x01020304);
		}
		exact_free(copy, i % 3);
	}
}

/* A quote of an IPv4-mapped address would be taken for one of IPv4. */
static void test_quote_mapped(void **state)
{
	struct cpl_addr mapped = cpl_addr4(10, 0, 0, 1);
	uint8_t p[48] = { 0x60, [6] = IP_UDP };
	struct icmp_quote q;

	(void)state;
	assert_true(icmp_quote_parse(p, sizeof(p), true, &q));
	memcpy(p + 8, mapped.b, 16);
	assert_false(icmp_quote_parse(p, sizeof(p), true, &q));
}

static void test_quote_hostile(void **state)
{
	static const uint8_t next[] = { 0, 43, 44, 60, 6, 17 };
	uint64_t seed = 2;

	(void)state;
	for (unsigned round = 0; round < 50000; round++) {
		uint32_t len = rnd(&seed, 100);
		bool v6 = rnd(&seed, 2);
		struct icmp_quote q;
		uint8_t p[100], *copy;

		rnd_fill(&seed, p, sizeof(p));
		for (unsigned at = 40; at < sizeof(p); at += 4) {
			p[at] = next[rnd(&seed, 6)];
			p[at + 1] &= 1;
			p[at + 3] &= 7;
		}
		p[0] = v6 ? 0x60 : (uint8_t)(0x40 | rnd(&seed, 16));
		p[6] = v6 ? next[rnd(&seed, 6)] : 0;
		copy = exact_copy(p, len, round % 3);
		if (icmp_quote_parse(copy, len, v6, &q))
			assert_true(len >= (v6 ? 40 : 20));
		exact_free(copy, round % 3);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),	      cmocka_unit_test(test_round_trip_and_flips),
		cmocka_unit_test(test_short),	      cmocka_unit_test(test_quote4),
		cmocka_unit_test(test_quote6),	      cmocka_unit_test(test_quote_mapped),
		cmocka_unit_test(test_quote_hostile),
	};

	return cmocka_run_group_tests_name("icmp", tests, NULL, NULL);
}
