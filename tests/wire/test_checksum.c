/* SPDX-License-Identifier: MIT */
/* The checksum against RFC 1071's example and against a sum of octet pairs, one by one. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/util/bytes.h"
#include "wire/bytes.h"
#include "wire/checksum.h"

/* As RFC 1071 1 says it: pairs of octets, the carries at the end; the result in memory order. */
static uint16_t naive(const uint8_t *p, size_t n)
{
	uint64_t sum = 0;
	uint8_t out[2];
	uint16_t r;

	for (size_t i = 0; i < n; i++)
		sum += i & 1 ? p[i] : p[i] << 8;
	while (sum >> 16)
		sum = (sum >> 16) + (sum & 0xffff);
	put16(out, (uint16_t)sum);
	memcpy(&r, out, 2);
	return r;
}

static uint16_t in_memory(uint8_t high, uint8_t low)
{
	uint8_t b[2] = { high, low };
	uint16_t r;

	memcpy(&r, b, 2);
	return r;
}

static void test_rfc1071_example(void **state)
{
	static const uint8_t data[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 };

	(void)state;
	assert_int_equal(sum_fold(sum_add(0, data, 8)), in_memory(0xdd, 0xf2));
	assert_int_equal(sum_finish(sum_add(0, data, 8)), in_memory(0x22, 0x0d));
}

static void test_every_length_and_alignment(void **state)
{
	uint64_t seed = 1;
	uint8_t data[300];

	(void)state;
	rnd_fill(&seed, data, sizeof(data));
	for (unsigned skew = 0; skew < 9; skew++) {
		for (size_t n = 0; n <= sizeof(data); n++) {
			uint8_t *p = exact_copy(data, n, skew);

			assert_int_equal(sum_fold(sum_add(0, p, n)), naive(data, n));
			assert_int_equal(sum_fold(sum_best()(0, p, n)), naive(data, n));
			assert_int_equal(sum_fold(sum_few(0, p, n)), naive(data, n));
			exact_free(p, skew);
		}
	}
}

static uint64_t copy_few(uint64_t sum, void *to, const void *from, size_t n)
{
	return sum_join(sum, sum_copy_few(to, from, n));
}

/* The copy is one, nothing behind it is touched, and the sum is that of the bytes. */
static void test_copies(void **state)
{
	const sum_copy_fn copies[] = { sum_copy, sum_copy_best(), copy_few };
	static const size_t sizes[] = { 1460, 8948, 65535, 65536, 65537, 65599, 140000 };
	static uint8_t data[140000], to[140010];
	uint64_t seed = 4;

	(void)state;
	rnd_fill(&seed, data, sizeof(data));
	for (unsigned i = 0; i < 700 + 7; i++) {
		size_t n = i < 700 ? i : sizes[i - 700];

		for (unsigned k = 0; k < 3; k++) {
			for (unsigned skew = 0; skew < (i < 300 ? 9 : 2); skew++) {
				uint8_t *p = exact_copy(data, n, skew);

				memset(to, 0xa5, n + 10);
				assert_int_equal(sum_fold(copies[k](0, to + 1, p, n)),
						 naive(data, n));
				assert_memory_equal(to + 1, data, n);
				assert_int_equal(to[0], 0xa5);
				assert_int_equal(to[n + 1], 0xa5);
				exact_free(p, skew);
			}
			assert_int_equal(sum_fold(sum_copy_at(copies[k], 0, to, data, n, 1)),
					 sum_fold(sum_add_at(sum_add, 0, data, n, 1)));
		}
	}
}

static void test_carries(void **state)
{
	static uint8_t ones[65535];

	(void)state;
	memset(ones, 0xff, sizeof(ones));
	for (size_t n = 0; n < sizeof(ones); n += 1 + n / 7)
		assert_int_equal(sum_fold(sum_add(0, ones, n)), naive(ones, n));
	assert_int_equal(sum_fold(sum_best()(0, ones, sizeof(ones))), naive(ones, sizeof(ones)));
	assert_int_equal(sum_fold(sum_add(0, ones, sizeof(ones))), naive(ones, sizeof(ones)));
	/* A sum that is about to wrap: 2^64 - 1 is 0 in this arithmetic, so that nothing changes.
	 */
	for (size_t n = 1; n < 100; n++)
		assert_int_equal(sum_fold(sum_add(UINT64_MAX, ones, n)), naive(ones, n));
	assert_int_equal(sum_fold(sum_join(UINT64_MAX, 5)), 5);
	assert_int_equal(sum_fold(UINT64_MAX), 0xffff);
	assert_int_equal(sum_fold(0), 0);
}

static void test_pieces(void **state)
{
	uint64_t seed = 2;
	const sum_fn sums[] = { sum_add, sum_best() };
	uint8_t data[3000];

	(void)state;
	for (unsigned round = 0; round < 3000; round++) {
		size_t n = rnd(&seed, sizeof(data)), at = 0;
		uint64_t sum = 0, other = 0;

		rnd_fill(&seed, data, n);
		while (at < n) {
			size_t piece = 1 + rnd(&seed, (uint32_t)(n - at));

			if (rnd(&seed, 2))
				sum = sum_add_at(sums[round % 2], sum, data + at, piece, at);
			else
				other = sum_add_at(sums[round % 2], other, data + at, piece, at);
			at += piece;
		}
		assert_int_equal(sum_fold(sum_join(sum, other)), naive(data, n));
	}
}

static void test_pseudo_header(void **state)
{
	uint64_t seed = 3;

	(void)state;
	for (unsigned round = 0; round < 1000; round++) {
		struct cpl_addr src, dst;
		uint8_t wire[40] = { 0 };
		uint8_t protocol = (uint8_t)rnd(&seed, 256);
		uint32_t len = rnd(&seed, 65536);

		rnd_fill(&seed, src.b, 16);
		rnd_fill(&seed, dst.b, 16);
		/* RFC 8200 8.1 */
		memcpy(wire, src.b, 16);
		memcpy(wire + 16, dst.b, 16);
		put32(wire + 32, len);
		wire[39] = protocol;
		assert_int_equal(sum_fold(sum_pseudo(&src, &dst, protocol, len)), naive(wire, 40));
		/* RFC 9293 3.1 */
		memcpy(src.b, cpl_addr4(0, 0, 0, 0).b, 12);
		memcpy(dst.b, src.b, 12);
		memset(wire, 0, sizeof(wire));
		memcpy(wire, src.b + 12, 4);
		memcpy(wire + 4, dst.b + 12, 4);
		wire[9] = protocol;
		put16(wire + 10, (uint16_t)len);
		assert_int_equal(sum_fold(sum_pseudo(&src, &dst, protocol, len)), naive(wire, 12));
	}
}

static void test_update(void **state)
{
	uint64_t seed = 4;
	uint8_t data[20];

	(void)state;
	/* RFC 1624 4: the example that RFC 1141 gets wrong */
	assert_int_equal(sum_update(in_memory(0xdd, 0x2f), in_memory(0x55, 0x55),
				    in_memory(0x32, 0x85)),
			 0);
	for (unsigned round = 0; round < 20000; round++) {
		unsigned at = 2 * rnd(&seed, 10);
		uint16_t check, old, now;

		rnd_fill(&seed, data, sizeof(data));
		if (!rnd(&seed, 4))
			memset(data, rnd(&seed, 2) ? 0xff : 0, sizeof(data));
		data[at ? 0 : 2] = 0x45; /* an update can't tell all zeros from all ones */
		check = (uint16_t)~naive(data, sizeof(data));
		memcpy(&old, data + at, 2);
		now = rnd(&seed, 3) ? (uint16_t)rnd64(&seed) : (uint16_t)-rnd(&seed, 2);
		memcpy(data + at, &now, 2);
		check = sum_update(check, old, now);
		/* As a receiver sees it: 0 and 0xffff are the same number. */
		assert_int_equal(sum_fold((uint64_t)naive(data, sizeof(data)) + check), 0xffff);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc1071_example),
		cmocka_unit_test(test_every_length_and_alignment),
		cmocka_unit_test(test_carries),
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_pseudo_header),
		cmocka_unit_test(test_update),
	};

	return cmocka_run_group_tests_name("checksum", tests, NULL, NULL);
}
