/* SPDX-License-Identifier: MIT */
/* RTT and RTO: the numbers of RFC 6298 section 2 and 5, RFC 7323 section 4.2. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>

#include "loss/rtt.h"

#define MS     1000000ull
#define SECOND 1000000000ull

static const struct rtt_limits limits = { SECOND, 200 * MS, 120 * SECOND };
/* Without Linux's bounds: RFC 6298 as it stands, with a clock granularity of nothing. */
static const struct rtt_limits bare = { SECOND, 0, UINT64_MAX };

/* RFC 6298 2.1: 1 s until there is a sample. */
static void test_initial(void **state)
{
	struct rtt rtt;

	(void)state;
	rtt_init(&rtt);
	assert_int_equal(rtt.srtt_ns, 0);
	assert_int_equal(rtt.min_us, UINT32_MAX);
	assert_int_equal(rtt_rto(&rtt, &limits), SECOND);
}

/* MUST-18: RFC 6298 2.2 and 2.3, by hand. */
static void test_samples(void **state)
{
	struct rtt rtt;

	(void)state;
	rtt_init(&rtt);
	rtt_sample(&rtt, 100 * MS, 1);
	assert_int_equal(rtt.srtt_ns, 100 * MS);
	assert_int_equal(rtt.rttvar_ns, 50 * MS);
	assert_int_equal(rtt_rto(&rtt, &bare), 300 * MS);
	/* RTTVAR = 3/4 * 50 + 1/4 * |100 - 180| = 57.5; SRTT = 7/8 * 100 + 1/8 * 180 = 110 */
	rtt_sample(&rtt, 180 * MS, 1);
	assert_int_equal(rtt.rttvar_ns, 57500000);
	assert_int_equal(rtt.srtt_ns, 110 * MS);
	assert_int_equal(rtt_rto(&rtt, &bare), 340 * MS);
	/* RTTVAR = 3/4 * 57.5 + 1/4 * |110 - 30| = 63.125; SRTT = 7/8 * 110 + 1/8 * 30 = 100 */
	rtt_sample(&rtt, 30 * MS, 1);
	assert_int_equal(rtt.rttvar_ns, 63125000);
	assert_int_equal(rtt.srtt_ns, 100 * MS);
	assert_int_equal(rtt.min_us, 30000);
}

/* The variance term is at least rto_min: a steady path's RTO is SRTT + 200 ms, not 200 ms. */
static void test_bounds(void **state)
{
	struct rtt rtt;
	unsigned i;

	(void)state;
	rtt_init(&rtt);
	for (i = 0; i < 200; i++)
		rtt_sample(&rtt, 50 * MS, 1);
	assert_int_equal(rtt.srtt_ns, 50 * MS);
	assert_int_equal(rtt_rto(&rtt, &limits), 250 * MS);
	rtt_init(&rtt);
	rtt_sample(&rtt, 100 * SECOND, 1);
	assert_int_equal(rtt_rto(&rtt, &limits), 120 * SECOND);
	/* The longest samples do not overflow. */
	rtt_sample(&rtt, UINT64_MAX, 1000);
	assert_int_equal(rtt_rto(&rtt, &limits), 120 * SECOND);
}

/* MUST-19: RFC 6298 5.5 and 5.7. */
static void test_back_off(void **state)
{
	struct rtt rtt;
	unsigned i;

	(void)state;
	rtt_init(&rtt);
	for (i = 0; i < 7; i++) {
		assert_int_equal(rtt_rto(&rtt, &limits), SECOND << i);
		rtt_back_off(&rtt, &limits);
	}
	assert_int_equal(rtt_rto(&rtt, &limits), 120 * SECOND);
	for (i = 0; i < 1000; i++)
		rtt_back_off(&rtt, &limits);
	assert_int_equal(rtt_rto(&rtt, &limits), 120 * SECOND);
	assert_int_equal(rtt.backoff, 7);
	assert_int_equal(rtt_rto_base(&rtt, &limits), SECOND);
	/* It lasts until the next sample. */
	rtt_sample(&rtt, 100 * MS, 1);
	assert_int_equal(rtt_rto(&rtt, &limits), 300 * MS);
}

/* RFC 6298 5.7: 3 s when data begins after a lost SYN, until the first sample. */
static void test_syn_lost(void **state)
{
	struct rtt rtt;

	(void)state;
	rtt_init(&rtt);
	rtt_back_off(&rtt, &limits);
	rtt_syn_lost(&rtt);
	assert_int_equal(rtt_rto(&rtt, &limits), 3 * SECOND);
	rtt_sample(&rtt, 100 * MS, 1);
	assert_int_equal(rtt_rto(&rtt, &limits), 300 * MS);
	/* With a sample from the handshake (timestamps) it does nothing. */
	rtt_syn_lost(&rtt);
	assert_int_equal(rtt_rto(&rtt, &limits), 300 * MS);
}

/*
 * RFC 7323 4.2: a round trip of samples moves the averages about as far as one sample of a sender
 * that times one segment for each round trip. Also a check against rounding: 400 samples, each with
 * a gain of 1/3200, of a path that became 10 us longer.
 */
static void test_flight_samples(void **state)
{
	struct rtt one, many;
	unsigned i;

	(void)state;
	assert_int_equal(rtt_flight_samples(0, 1460), 1);
	assert_int_equal(rtt_flight_samples(2920, 1460), 1);
	assert_int_equal(rtt_flight_samples(2921, 1460), 2);
	assert_int_equal(rtt_flight_samples(100 * 1460, 1460), 50);
	assert_int_equal(rtt_flight_samples(100, 0), 1);

	rtt_init(&one);
	rtt_init(&many);
	rtt_sample(&one, 100000, 1);
	rtt_sample(&many, 100000, 1);
	rtt_sample(&one, 110000, 1);
	for (i = 0; i < 400; i++)
		rtt_sample(&many, 110000, 400);
	assert_in_range(one.srtt_ns, 101249, 101251);
	assert_in_range(many.srtt_ns, 101100, 101250);
	assert_in_range(many.rttvar_ns, one.rttvar_ns - 1500, one.rttvar_ns + 1500);
}

/* Round trips within one host: less than a microsecond is still a sample. */
static void test_tiny(void **state)
{
	struct rtt rtt;

	(void)state;
	rtt_init(&rtt);
	rtt_sample(&rtt, 0, 1);
	assert_int_equal(rtt.srtt_ns, 1);
	assert_int_equal(rtt.min_us, 1);
	rtt_sample(&rtt, 700, 0);
	assert_in_range(rtt.srtt_ns, 80, 100);
	assert_in_range(rtt_rto(&rtt, &limits), 200 * MS, 201 * MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_initial),	 cmocka_unit_test(test_samples),
		cmocka_unit_test(test_bounds),	 cmocka_unit_test(test_back_off),
		cmocka_unit_test(test_syn_lost), cmocka_unit_test(test_flight_samples),
		cmocka_unit_test(test_tiny),
	};

	return cmocka_run_group_tests_name("loss/rtt", tests, NULL, NULL);
}
