/* SPDX-License-Identifier: MIT */
/* Sequence arithmetic (RFC 9293 3.4): on both sides of every edge of the circle. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/hash.h"
#include "base/seq.h"

#define HALF 0x80000000u

static void check_order(uint32_t a, uint32_t ahead)
{
	uint32_t b = a + ahead;

	assert_true(seq_lt(a, b) && seq_leq(a, b));
	assert_true(seq_gt(b, a) && seq_geq(b, a));
	assert_false(seq_lt(b, a) || seq_leq(b, a));
	assert_false(seq_gt(a, b) || seq_geq(a, b));
	assert_int_equal(seq_max(a, b), b);
	assert_int_equal(seq_max(b, a), b);
	assert_int_equal(seq_min(a, b), a);
	assert_int_equal(seq_min(b, a), a);
}

static void test_order(void **state)
{
	static const uint32_t points[] = { 0,	 1,	   1000,	   HALF - 1,
					   HALF, HALF + 1, UINT32_MAX - 1, UINT32_MAX };
	static const uint32_t ahead[] = { 1, 2, 65535, 1u << 30, HALF - 1 };
	unsigned i, k;

	(void)state;
	for (i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		assert_false(seq_lt(points[i], points[i]) || seq_gt(points[i], points[i]));
		assert_true(seq_leq(points[i], points[i]) && seq_geq(points[i], points[i]));
		for (k = 0; k < sizeof(ahead) / sizeof(ahead[0]); k++)
			check_order(points[i], ahead[k]);
	}
}

static void test_in(void **state)
{
	static const uint32_t lows[] = { 0, 5, HALF, UINT32_MAX - 2 };
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(lows) / sizeof(lows[0]); i++) {
		assert_false(seq_in(lows[i] - 1, lows[i], 10));
		assert_true(seq_in(lows[i], lows[i], 10));
		assert_true(seq_in(lows[i] + 9, lows[i], 10));
		assert_false(seq_in(lows[i] + 10, lows[i], 10));
		/* An empty range holds nothing, the largest all but one. */
		assert_false(seq_in(lows[i], lows[i], 0));
		assert_true(seq_in(lows[i] - 2, lows[i], UINT32_MAX));
		assert_false(seq_in(lows[i] - 1, lows[i], UINT32_MAX));
	}
}

/* Order does not depend on where on the circle it is looked at. */
static void test_shift(void **state)
{
	uint32_t a, b, by;
	struct prng prng;
	unsigned i;

	(void)state;
	prng_seed(&prng, 1);
	for (i = 0; i < 100000; i++) {
		a = (uint32_t)prng_u64(&prng);
		b = a + 1 + (uint32_t)prng_below(&prng, HALF - 1);
		by = (uint32_t)prng_u64(&prng);
		check_order(a + by, b - a);
		assert_int_equal(seq_in(a, b, by), seq_in(a + by, b + by, by));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_in),
		cmocka_unit_test(test_shift),
	};

	return cmocka_run_group_tests_name("base/seq", tests, NULL, NULL);
}
