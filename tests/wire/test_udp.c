/* SPDX-License-Identifier: MIT */
/* UDP headers: lengths that lie, checksums that are absent, wrong or zero. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/util/bytes.h"
#include "wire/bytes.h"
#include "wire/udp.h"

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

/* 10.0.0.1:53 to 10.0.0.2:4096, "hi!": by hand */
static void test_known(void **state)
{
	static const uint8_t want[] = { 0x00, 0x35, 0x10, 0x00, 0x00, 0x0b,
					0x52, 0x37, 'h',  'i',	'!' };
	struct udp_hdr h = { .sport = 53, .dport = 4096 };
	uint8_t p[11];

	(void)state;
	memcpy(p + 8, "hi!", 3);
	udp_build(p, &h, &src4, &dst4, p + 8, 3);
	assert_memory_equal(p, want, sizeof(want));
	memset(&h, 0, sizeof(h));
	assert_true(udp_parse(want, sizeof(want), &src4, &dst4, false, &h));
	assert_int_equal(h.sport, 53);
	assert_int_equal(h.dport, 4096);
	assert_int_equal(h.len, 11);
}

static void test_round_trip_and_flips(void **state)
{
	uint64_t seed = 1;

	(void)state;
	for (unsigned round = 0; round < 2000; round++) {
		const struct cpl_addr *src = round & 1 ? &src6 : &src4;
		const struct cpl_addr *dst = round & 1 ? &dst6 : &dst4;
		struct udp_hdr h = { .sport = (uint16_t)rnd64(&seed),
				     .dport = (uint16_t)rnd64(&seed) };
		uint8_t p[UDP_HLEN + 64], *copy;
		uint32_t n = rnd(&seed, 60), len = UDP_HLEN + n;
		struct udp_hdr back;
		unsigned bit;

		rnd_fill(&seed, p, sizeof(p));
		udp_build(p, &h, src, dst, n ? p + UDP_HLEN : NULL, n);
		copy = exact_copy(p, len, round % 3);
		assert_true(udp_parse(copy, len, src, dst, false, &back));
		exact_free(copy, round % 3);
		assert_int_equal(back.sport, h.sport);
		assert_int_equal(back.dport, h.dport);
		assert_int_equal(back.len, len);
		/* Longer than the datagram, as Ethernet pads it: what follows does not count. */
		assert_true(udp_parse(p, len + 4, src, dst, false, &back));
		assert_false(udp_parse(p, len, src, src, false, &back));
		bit = rnd(&seed, 8 * len);
		p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (get16(p + 6))
			assert_false(udp_parse(p, len, src, dst, false, &back));
	}
}

static void test_lengths(void **state)
{
	uint8_t p[20] = { 0, 1, 0, 2 };
	struct udp_hdr h;

	(void)state;
	for (uint32_t len = 0; len <= sizeof(p); len++) {
		uint8_t *copy = exact_copy(p, len, 1);

		for (unsigned claim = 0; claim < 30; claim++) {
			if (len >= 6)
				put16(copy + 4, (uint16_t)claim);
			assert_int_equal(udp_parse(copy, len, &src4, &dst4, true, &h),
					 len >= 8 && claim >= 8 && claim <= len);
		}
		exact_free(copy, 1);
	}
}

/* RFC 768: 0 is none; RFC 8200 8.1: there must be one over IPv6. */
static void test_no_checksum(void **state)
{
	static const uint8_t p[] = { 0, 1, 0, 2, 0, 10, 0, 0, 'x', 'y' };
	struct udp_hdr h;

	(void)state;
	assert_true(udp_parse(p, sizeof(p), &src4, &dst4, false, &h));
	assert_false(udp_parse(p, sizeof(p), &src6, &dst6, false, &h));
	assert_true(udp_parse(p, sizeof(p), &src6, &dst6, true, &h));
}

/* RFC 768: a checksum that comes out as 0 is sent as all ones. */
static void test_zero_checksum(void **state)
{
	struct udp_hdr h = { .sport = 53, .dport = 4096 };
	unsigned ones = 0;

	(void)state;
	for (unsigned i = 0; i < 65536; i++) {
		uint8_t p[10];

		put16(p + 8, (uint16_t)i);
		udp_build(p, &h, &src4, &dst4, p + 8, 2);
		assert_int_not_equal(get16(p + 6), 0);
		if (get16(p + 6) == 0xffff) {
			ones++;
			assert_true(udp_parse(p, 10, &src4, &dst4, false, &h));
		}
	}
	assert_int_equal(ones, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),	      cmocka_unit_test(test_round_trip_and_flips),
		cmocka_unit_test(test_lengths),	      cmocka_unit_test(test_no_checksum),
		cmocka_unit_test(test_zero_checksum),
	};

	return cmocka_run_group_tests_name("udp", tests, setup, NULL);
}
