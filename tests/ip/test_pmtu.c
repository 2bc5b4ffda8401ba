/* SPDX-License-Identifier: MIT */
/* The path MTU cache: what routers say, what they may not make us believe, age, and bounds. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "ip/pmtu.h"
#include "tests/util/heap.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define SECOND	      1000000000ull
#define LIMIT	      4

static struct heap heap;
static struct pmtu_cache c;

static int setup(void **state)
{
	struct siphash_key key = { { 3, 4 } };

	(void)state;
	heap_init(&heap, 1 << 20);
	return pmtu_init(&c, &heap.mem, &key, LIMIT);
}

static int teardown(void **state)
{
	(void)state;
	pmtu_destroy(&c);
	return heap.slabs || heap.mem.used ? -1 : 0;
}

static struct cpl_addr v4(unsigned n)
{
	return cpl_addr4(192, 0, 2, (uint8_t)n);
}

static struct cpl_addr v6(unsigned n)
{
	return (struct cpl_addr){ { 0x20, 1, 0xd, 0xb8, [15] = (uint8_t)n } };
}

static void test_learn(void **state)
{
	static const struct {
		bool ipv6;
		uint32_t link, before, mtu, quoted, want, in_force;
	} cases[] = {
		{ false, 1500, 0, 1400, 1500, 1400, 1400 },
		{ false, 1500, 1400, 1300, 1400, 1300, 1300 },
		/* never raised */
		{ false, 1500, 1400, 1401, 1500, 0, 1400 },
		{ false, 1500, 1400, 1400, 1500, 0, 1400 },
		{ false, 1500, 0, 1500, 1500, 0, 1500 },
		{ false, 1500, 0, 65535, 1500, 0, 1500 },
		/* never below Linux's least */
		{ false, 1500, 0, 551, 1500, 552, 552 },
		{ false, 1500, 0, 68, 1500, 552, 552 },
		{ false, 1500, 0, 1, 1500, 552, 552 },
		{ false, 1500, 552, 68, 552, 0, 552 },
		/* a router that does not say: the plateaus of RFC 1191 7.1 */
		{ false, 65535, 0, 0, 65535, 32000, 32000 },
		{ false, 65535, 0, 0, 32000, 17914, 17914 },
		{ false, 9000, 0, 0, 9000, 8166, 8166 },
		{ false, 1500, 0, 0, 1500, 1492, 1492 },
		{ false, 1500, 1492, 0, 1492, 1006, 1006 },
		{ false, 1500, 1006, 0, 1006, 552, 552 },
		{ false, 1500, 0, 0, 0, 552, 552 },
		/* one that adds the header's length to the quoted one */
		{ false, 1500, 0, 0, 1520, 1492, 1492 },
		{ false, 1500, 1492, 0, 1512, 1006, 1006 },
		{ false, 1500, 1492, 0, 60000, 1006, 1006 },
		/* IPv6 */
		{ true, 1500, 0, 1400, 0, 1400, 1400 },
		{ true, 1500, 0, 1280, 0, 1280, 1280 },
		{ true, 1500, 0, 1279, 0, 0, 1500 },
		{ true, 1500, 0, 0, 1500, 0, 1500 },
		{ true, 1500, 1300, 1400, 0, 0, 1300 },
		{ true, 1280, 0, 1280, 0, 0, 1280 },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cpl_addr dst = cases[i].ipv6 ? v6(1) : v4(1);
		uint32_t link = cases[i].link, generation, got;

		teardown(state);
		setup(state);
		if (cases[i].before)
			assert_int_equal(pmtu_learn(&c, &dst, cases[i].before, 0, link, 0),
					 cases[i].before);
		generation = c.generation;
		got = pmtu_learn(&c, &dst, cases[i].mtu, cases[i].quoted, link, SECOND);
		if (got != cases[i].want || pmtu_get(&c, &dst, link, SECOND) != cases[i].in_force)
			fail_msg("row %u: %u, then %u", i, got, pmtu_get(&c, &dst, link, SECOND));
		assert_int_equal(c.generation != generation, got != 0);
	}
}

static void test_age(void **state)
{
	struct cpl_addr a = v4(1), b = v6(1);
	uint32_t generation;

	(void)state;
	assert_true(pmtu_deadline(&c) == UINT64_MAX);
	pmtu_learn(&c, &a, 1400, 0, 1500, 10 * SECOND);
	pmtu_learn(&c, &b, 1300, 0, 1500, 20 * SECOND);
	assert_int_equal(pmtu_deadline(&c), 10 * SECOND + PMTU_AGE_NS);
	/* said again, it is believed for as long again */
	assert_int_equal(pmtu_learn(&c, &a, 1400, 0, 1500, 100 * SECOND), 0);
	assert_int_equal(pmtu_deadline(&c), 20 * SECOND + PMTU_AGE_NS);
	assert_int_equal(pmtu_get(&c, &b, 1500, 20 * SECOND + PMTU_AGE_NS - 1), 1300);
	generation = c.generation;
	pmtu_advance(&c, 20 * SECOND + PMTU_AGE_NS);
	assert_int_not_equal(c.generation, generation);
	assert_int_equal(pmtu_get(&c, &b, 1500, 20 * SECOND + PMTU_AGE_NS), 1500);
	assert_int_equal(pmtu_get(&c, &a, 1500, 20 * SECOND + PMTU_AGE_NS), 1400);
	assert_int_equal(pmtu_deadline(&c), 100 * SECOND + PMTU_AGE_NS);
	assert_int_equal(pmtu_get(&c, &a, 1500, 100 * SECOND + PMTU_AGE_NS), 1500);
	assert_true(pmtu_deadline(&c) == UINT64_MAX);
}

static void test_bounded(void **state)
{
	(void)state;
	for (unsigned i = 0; i < LIMIT; i++) {
		struct cpl_addr a = v4(i);

		pmtu_learn(&c, &a, 1400 - i, 0, 1500, i);
	}
	for (unsigned i = LIMIT; i < 200; i++) {
		struct cpl_addr a = v4(i), first = v4(0), second = v4(i - LIMIT + 1);

		/* what is used stays; of the others the oldest goes */
		assert_int_equal(pmtu_get(&c, &first, 1500, i), 1400);
		assert_int_equal(pmtu_learn(&c, &a, 1000, 0, 1500, i), 1000);
		assert_int_equal(c.pool.in_use, LIMIT);
		assert_int_equal(pmtu_get(&c, &first, 1500, i), 1400);
		if (second.b[15])
			assert_int_equal(pmtu_get(&c, &second, 1500, i), 1500);
	}
}

/* The link's MTU bounds the answer without a trace. */
static void test_link(void **state)
{
	struct cpl_addr a = v6(1);

	(void)state;
	pmtu_learn(&c, &a, 1400, 0, 1500, 0);
	assert_int_equal(pmtu_get(&c, &a, 1300, 0), 1300);
	assert_int_equal(pmtu_get(&c, &a, 9000, 0), 1400);
	/* lower than the link, yet not lower than what is believed */
	assert_int_equal(pmtu_learn(&c, &a, 1450, 0, 9000, 0), 0);
}

static void test_no_memory(void **state)
{
	struct pmtu_cache d;
	struct siphash_key key = { { 0 } };
	struct cpl_addr a = v4(1);

	(void)state;
	heap.left = 0;
	assert_int_equal(pmtu_init(&d, &heap.mem, &key, 4), -ENOMEM);
	assert_int_equal(pmtu_learn(&c, &a, 1400, 0, 1500, 0), 0);
	assert_int_equal(pmtu_get(&c, &a, 1500, 0), 1500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_learn, setup, teardown),
		cmocka_unit_test_setup_teardown(test_age, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_link, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
