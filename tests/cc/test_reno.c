/* SPDX-License-Identifier: MIT */
/* Reno: RFC 5681 section 3.1 with RFC 3465's counting. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>

#include "cc/cc.h"

#define MSS 1000u

static struct cc cc;

static void start(uint32_t cwnd, uint32_t ssthresh)
{
	cc_init(&cc, &cc_reno, MSS, cwnd, 0);
	cc.ssthresh = ssthresh;
}

static void ack(uint32_t bytes, bool limited)
{
	struct ack_event ev = {
		.acked_bytes = bytes, .newly_acked = bytes, .mss = MSS, .cwnd_limited = limited
	};

	cc_ops(&cc)->ack(&cc, &ev);
}

/* MUST-19: slow start doubles in a round trip, however ACKs are stretched. */
static void test_slow_start(void **state)
{
	unsigned i;

	(void)state;
	start(10 * MSS, CC_SSTHRESH_NONE);
	for (i = 0; i < 10; i++)
		ack(MSS, true);
	assert_int_equal(cc.cwnd, 20 * MSS);
	ack(20 * MSS, true);
	assert_int_equal(cc.cwnd, 40 * MSS);
	ack(1, true); /* by bytes: many small ACKs gain nothing (ACK division) */
	assert_int_equal(cc.cwnd, 40 * MSS + 1);
}

/* What an ACK brings beyond ssthresh counts for congestion avoidance. */
static void test_crossing(void **state)
{
	(void)state;
	start(8 * MSS, 10 * MSS);
	ack(8 * MSS, true);
	assert_int_equal(cc.cwnd, 10 * MSS);
	assert_int_equal(cc.acked, 6 * MSS);
	ack(4 * MSS, true);
	assert_int_equal(cc.cwnd, 11 * MSS);
}

/* MUST-19: congestion avoidance: one segment for each window, RFC 5681 equation (3). */
static void test_avoidance(void **state)
{
	unsigned rtt, i;

	(void)state;
	start(10 * MSS, 10 * MSS);
	for (rtt = 0; rtt < 20; rtt++) {
		uint32_t window = cc.cwnd / MSS;

		for (i = 0; i < window; i++) {
			assert_int_equal(cc.cwnd, window * MSS);
			ack(MSS, true);
		}
	}
	assert_int_equal(cc.cwnd, 30 * MSS);
	ack(60 * MSS, true);
	assert_int_equal(cc.cwnd, 32 * MSS);
}

/* A window that is not used does not grow. */
static void test_not_limited(void **state)
{
	(void)state;
	start(10 * MSS, CC_SSTHRESH_NONE);
	ack(5 * MSS, false);
	assert_int_equal(cc.cwnd, 10 * MSS);
	cc.ssthresh = 5 * MSS;
	ack(50 * MSS, false);
	assert_int_equal(cc.cwnd, 10 * MSS);
	assert_int_equal(cc.acked, 0);
}

/* RFC 5681 equation (4). */
static void test_reduction(void **state)
{
	(void)state;
	start(30 * MSS, CC_SSTHRESH_NONE);
	cc.acked = 500;
	cc_ops(&cc)->congestion(&cc, 21 * MSS, 0);
	assert_int_equal(cc.ssthresh, 10 * MSS); /* in whole segments */
	assert_int_equal(cc.cwnd, 30 * MSS);	 /* recovery's to change */
	assert_int_equal(cc.acked, 0);
	cc_ops(&cc)->timeout(&cc, 3 * MSS, 0);
	assert_int_equal(cc.ssthresh, 2 * MSS);
}

static void test_undo(void **state)
{
	(void)state;
	start(30 * MSS, 40 * MSS);
	cc_ops(&cc)->timeout(&cc, 30 * MSS, 0);
	cc.cwnd = MSS;
	cc_ops(&cc)->undo(&cc, 0);
	assert_int_equal(cc.cwnd, 30 * MSS);
	assert_int_equal(cc.ssthresh, 40 * MSS);
	/* It never takes away. */
	cc_ops(&cc)->congestion(&cc, 30 * MSS, 0);
	cc.cwnd = 50 * MSS;
	cc_ops(&cc)->undo(&cc, 0);
	assert_int_equal(cc.cwnd, 50 * MSS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slow_start), cmocka_unit_test(test_crossing),
		cmocka_unit_test(test_avoidance),  cmocka_unit_test(test_not_limited),
		cmocka_unit_test(test_reduction),  cmocka_unit_test(test_undo),
	};

	return cmocka_run_group_tests_name("cc/reno", tests, NULL, NULL);
}
