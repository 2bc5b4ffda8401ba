/* SPDX-License-Identifier: MIT */
/* CUBIC against the closed forms of RFC 9438. Windows in these tests are in segments. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdbool.h>

#include "cc/cc.h"

#define MSS   1460u
#define RTT_S 0.1
#define C     0.4
#define BETA  0.7
#define ALPHA (3 * (1 - BETA) / (1 + BETA))

static struct cc cc;
static uint64_t now;

static double cwnd(void)
{
	return (double)cc.cwnd / MSS;
}

static void start(double segments)
{
	now = 5000000000ull;
	cc_init(&cc, &cc_cubic, MSS, (uint32_t)(segments * MSS), now);
}

static void congestion(void)
{
	cc_ops(&cc)->congestion(&cc, cc.cwnd, now);
	cc.cwnd = cc.ssthresh;
}

static void ack(uint32_t bytes, double rtt_s, bool limited)
{
	struct ack_event ev = {
		.now = now,
		.acked_bytes = bytes,
		.newly_acked = bytes,
		.mss = MSS,
		.srtt_ns = (uint64_t)(rtt_s * 1e9),
		.cwnd_limited = limited,
	};

	cc_ops(&cc)->ack(&cc, &ev);
}

/* One round trip: every segment of the window is acknowledged, EACH at a time. */
static void round_trip(double rtt_s, uint32_t each, bool limited)
{
	uint32_t n = (cc.cwnd + each - 1) / each, i;
	uint64_t begin = now;

	for (i = 0; i < n; i++) {
		now = begin + (uint64_t)(rtt_s * 1e9 * (i + 1) / n);
		ack(each, rtt_s, limited);
	}
}

#define assert_near(got, want, error)                                                              \
	do {                                                                                       \
		double got_ = (got), want_ = (want);                                               \
		if (fabs(got_ - want_) > (error))                                                  \
			fail_msg("%s is %f, not %f", #got, got_, want_);                           \
	} while (0)

static void test_slow_start(void **state)
{
	(void)state;
	start(10);
	round_trip(RTT_S, MSS, true);
	assert_near(cwnd(), 20, 0.01);
	round_trip(RTT_S, 2 * MSS, true);
	assert_near(cwnd(), 40, 0.01);
}

/* MAY-18: sections 4.4 to 4.6: the curve from beta * W_max to the plateau at K and beyond. */
static void test_curve(void **state)
{
	double w_max = 1000, k = cbrt(w_max * (1 - BETA) / C), want, t;
	uint64_t begin;

	(void)state;
	start(w_max);
	congestion();
	assert_near(cwnd(), w_max * BETA, 0.01);
	assert_near(k, 9.086, 0.001);
	begin = now;
	while ((t = (now - begin) / 1e9) < 2 * k) {
		round_trip(RTT_S, MSS, true);
		t = (now - begin) / 1e9;
		/* cwnd moves to W_cubic(t + RTT) in a round trip: it is at W_cubic(t), in whole
		 * segments. */
		want = C * pow(t - k, 3) + w_max;
		assert_near(cwnd(), want, 2 + 0.2 * 3 * C * pow(t - k, 2) * RTT_S);
		if (fabs(t - k) < RTT_S)
			assert_near(cwnd(), w_max, 1);
	}
	assert_true(cwnd() > 1250); /* convex: as far above W_max as it began below */
}

/* Section 4.2: far below the curve, no more than half the window again in a round trip. */
static void test_target_bound(void **state)
{
	(void)state;
	start(1000);
	congestion();
	round_trip(RTT_S, MSS, true);
	cc.cwnd = cc.ssthresh = 100 * MSS;
	ack(100 * MSS, RTT_S, true);
	assert_near(cwnd(), 150, 1);
}

/* On the plateau of a very large window an ACK adds less than a byte: they add up. */
static void test_fractions(void **state)
{
	double w_max = 100000, k = cbrt(w_max * (1 - BETA) / C), t;
	uint64_t begin;

	(void)state;
	start(w_max);
	congestion();
	begin = now;
	while (now - begin < (uint64_t)((k - 2) * 1e9))
		round_trip(0.5, 100 * MSS, true);
	while ((t = (now - begin) / 1e9) < k + 2)
		round_trip(0.5, MSS, true);
	assert_near(cwnd(), C * pow(t - k, 3) + w_max, 6);
}

/* The same curve with ACKs of 44 segments each. */
static void test_stretched(void **state)
{
	unsigned i;
	double one;

	(void)state;
	start(1000);
	congestion();
	for (i = 0; i < 150; i++)
		round_trip(RTT_S, MSS, true);
	one = cwnd();
	start(1000);
	congestion();
	for (i = 0; i < 150; i++)
		round_trip(RTT_S, 44 * MSS, true);
	assert_near(cwnd(), one, one * 0.02);
}

/* RFC 9438 4.2: growth depends on time, not on the round trip. */
static void test_rtt_fair(void **state)
{
	unsigned i;
	double slow;

	(void)state;
	start(2000);
	congestion();
	for (i = 0; i < 50; i++)
		round_trip(0.2, MSS, true);
	slow = cwnd();
	start(2000);
	congestion();
	for (i = 0; i < 200; i++)
		round_trip(0.05, MSS, true);
	assert_near(cwnd(), slow, slow * 0.01);
}

/*
 * Section 4.3: with a small window and a short round trip, as fast as AIMD that with this beta gets
 * what Reno gets; also beyond the window that the loss met.
 */
static void test_reno_friendly(void **state)
{
	double w_max = 20, want = w_max * BETA;
	unsigned i;

	(void)state;
	start(w_max);
	congestion();
	for (i = 0; i < 30; i++) {
		want += ALPHA;
		round_trip(0.01, MSS, true);
		/* In whole segments, W_cubic's rounded up; it follows W_est each 31.25 ms as Linux
		 * does: three of these round trips late at most. */
		assert_true(cwnd() < want + 0.5);
		assert_true(cwnd() > want - 3 * ALPHA - 1.1);
	}
	/* W_cubic alone would be below W_max still: K is 2.5 s. W_est is W_max + 9.9. */
	assert_true(cwnd() >= w_max + 8);
}

/* Section 4.7. */
static void test_fast_convergence(void **state)
{
	unsigned i;
	double k, w_max;

	(void)state;
	start(1000);
	congestion();
	for (i = 0; i < 20; i++)
		round_trip(RTT_S, MSS, true);
	assert_true(cwnd() < 950);
	/* A loss below W_max: the next plateau is at 0.85 of the window. */
	w_max = cwnd() * (1 + BETA) / 2;
	congestion();
	k = cbrt((w_max - cwnd()) / C);
	for (i = 0; i < k / RTT_S; i++)
		round_trip(RTT_S, MSS, true);
	assert_near(cwnd(), w_max, 2);
}

/* Without it: a loss above W_max sets the plateau at the window itself. */
static void test_no_fast_convergence(void **state)
{
	unsigned i;
	double k, w_max;

	(void)state;
	start(500);
	congestion();
	for (i = 0; i < 150; i++)
		round_trip(RTT_S, MSS, true);
	w_max = cwnd();
	assert_true(w_max > 600);
	congestion();
	k = cbrt((w_max - cwnd()) / C);
	for (i = 0; i < k / RTT_S; i++)
		round_trip(RTT_S, MSS, true);
	assert_near(cwnd(), w_max, 2);
}

/* Section 4.6: from cwnd, as it says that one may and Linux does; not less than two segments. */
static void test_reduction(void **state)
{
	(void)state;
	start(100);
	cc_ops(&cc)->congestion(&cc, 50 * MSS, now);
	assert_int_equal(cc.ssthresh, 70 * MSS);
	cc.cwnd = MSS;
	cc_ops(&cc)->congestion(&cc, MSS, now);
	assert_int_equal(cc.ssthresh, 2 * MSS);
}

/* Section 4.8: after a time-out K is 0 and W_max the window where congestion avoidance begins. */
static void test_timeout(void **state)
{
	double t = 3.0, begin;
	unsigned i;

	(void)state;
	start(1000);
	cc_ops(&cc)->congestion(&cc, cc.cwnd, now); /* W_max is 1000, and stays out of it */
	cc_ops(&cc)->timeout(&cc, cc.cwnd, now);
	assert_near((double)cc.ssthresh / MSS, 700, 0.01);
	cc.cwnd = MSS;
	for (i = 0; i < 12 && cc.cwnd < cc.ssthresh; i++)
		round_trip(RTT_S, MSS, true);
	begin = cwnd();
	assert_near(begin, 700, 1);
	for (i = 0; i < t / RTT_S; i++)
		round_trip(RTT_S, MSS, true);
	/* C * 3^3 = 10.8 above 700, where a K of 9 s would have let it grow by 200. Reno: 0.53
	 * * 30. */
	assert_near(cwnd(), 700 + fmax(C * t * t * t, ALPHA * t / RTT_S), 2);
}

/* Sections 4.2 and 5.8: time in which the program, not cwnd, was the limit does not count. */
static void test_app_limited(void **state)
{
	unsigned i;
	double before;

	(void)state;
	start(1000);
	congestion();
	for (i = 0; i < 60; i++)
		round_trip(RTT_S, MSS, true);
	before = cwnd();
	/* 100 s of trickle. */
	for (i = 0; i < 1000; i++) {
		now += 100000000;
		ack(MSS, RTT_S, false);
	}
	assert_near(cwnd(), before, 0.001);
	round_trip(RTT_S, MSS, true);
	/* On along the curve, not at 1.5 times the window. */
	assert_near(cwnd(), before, 3 * C * pow(9.086 - 6, 2) * RTT_S * 1.5 + 1);
	/* 100 s of silence. */
	before = cwnd();
	cc_ops(&cc)->restart(&cc, 100000000000ull, now + 100000000000ull);
	now += 100000000000ull;
	assert_int_equal(cc.cwnd, cc_initial_window(MSS, 10));
	assert_near((double)cc.ssthresh / MSS, before * 3 / 4, 1);
}

/* Section 4.9: all of it comes back. */
static void test_undo(void **state)
{
	unsigned i;
	double straight;
	struct cc before;

	(void)state;
	start(1000);
	congestion();
	for (i = 0; i < 60; i++)
		round_trip(RTT_S, MSS, true);
	before = cc;
	for (i = 0; i < 60; i++)
		round_trip(RTT_S, MSS, true);
	straight = cwnd();

	cc = before;
	now -= (uint64_t)(60 * RTT_S * 1e9);
	congestion();
	round_trip(RTT_S, MSS, true);
	cc_ops(&cc)->undo(&cc, now);
	assert_int_equal(cc.cwnd, before.cwnd);
	assert_int_equal(cc.ssthresh, before.ssthresh);
	for (i = 0; i < 60; i++)
		round_trip(RTT_S, MSS, true);
	assert_near(cwnd(), straight, straight * 0.01);
	/* Once only, and not when the window is larger already. */
	cc_ops(&cc)->congestion(&cc, cc.cwnd, now);
	cc.cwnd *= 2;
	before = cc;
	cc_ops(&cc)->undo(&cc, now);
	assert_int_equal(cc.cwnd, before.cwnd);
	assert_int_equal(cc.ssthresh, before.ssthresh);
	cc.cwnd = 2 * MSS;
	cc_ops(&cc)->undo(&cc, now);
	assert_int_equal(cc.cwnd, 2 * MSS);
}

/* The same in the Reno-friendly region. */
static void test_undo_reno_friendly(void **state)
{
	unsigned i;
	double straight;
	struct cc before;

	(void)state;
	start(20);
	congestion();
	for (i = 0; i < 20; i++)
		round_trip(0.01, MSS, true);
	before = cc;
	for (i = 0; i < 5; i++)
		round_trip(0.01, MSS, true);
	straight = cwnd();
	cc = before;
	now -= 50000000;
	congestion();
	round_trip(0.01, MSS, true);
	cc_ops(&cc)->undo(&cc, now);
	for (i = 0; i < 5; i++)
		round_trip(0.01, MSS, true);
	/* One of them may be three round trips late. */
	assert_near(cwnd(), straight, 3 * ALPHA);
}

/* A new MSS does not bend the curve, counted in segments. */
static void test_mss(void **state)
{
	unsigned i;
	double want;

	(void)state;
	start(1000);
	congestion();
	for (i = 0; i < 90; i++)
		round_trip(RTT_S, MSS, true);
	want = cwnd();
	start(1000);
	congestion();
	for (i = 0; i < 30; i++)
		round_trip(RTT_S, MSS, true);
	cc_set_mss(&cc, MSS / 2);
	for (i = 0; i < 60; i++)
		round_trip(RTT_S, MSS / 2, true);
	assert_near(2 * cwnd(), want, want * 0.01);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slow_start),
		cmocka_unit_test(test_curve),
		cmocka_unit_test(test_stretched),
		cmocka_unit_test(test_target_bound),
		cmocka_unit_test(test_fractions),
		cmocka_unit_test(test_rtt_fair),
		cmocka_unit_test(test_reno_friendly),
		cmocka_unit_test(test_fast_convergence),
		cmocka_unit_test(test_no_fast_convergence),
		cmocka_unit_test(test_reduction),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_app_limited),
		cmocka_unit_test(test_undo),
		cmocka_unit_test(test_undo_reno_friendly),
		cmocka_unit_test(test_mss),
	};

	return cmocka_run_group_tests_name("cc/cubic", tests, NULL, NULL);
}
