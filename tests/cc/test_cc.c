/* SPDX-License-Identifier: MIT */
/* What controllers share: the list, RFC 6928, changes of the MSS, counting after an RTO, restart.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

#include "cc/cc.h"

static void test_list(void **state)
{
	const struct cc_ops *ops;
	unsigned i;

	(void)state;
	assert_ptr_equal(cc_find("reno"), &cc_reno);
	assert_ptr_equal(cc_find("cubic"), &cc_cubic);
	assert_null(cc_find("cubi"));
	assert_null(cc_find("cubic2"));
	assert_null(cc_find(""));
	for (i = 0; (ops = cc_at(i)); i++) {
		assert_ptr_equal(cc_find(ops->name), ops);
		assert_true(ops->init && ops->ack && ops->congestion && ops->timeout && ops->undo);
		/* One that has a model of the path needs no restart. */
		assert_true(ops->restart || ops->owns_recovery);
	}
	assert_int_equal(i, 4);
	assert_null(cc_at(UINT32_MAX));
}

/* RFC 6928 section 2: min(10 * MSS, max(2 * MSS, 14600)). */
static void test_initial_window(void **state)
{
	static const uint32_t cases[][2] = {
		{ 536, 5360 },	 { 1220, 12200 }, { 1460, 14600 }, { 1461, 14600 },
		{ 7300, 14600 }, { 7301, 14602 }, { 8960, 17920 }, { 65495, 130990 },
	};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(cc_initial_window(cases[i][0], 10), cases[i][1]);
	assert_int_equal(cc_initial_window(1460, 2), 2920);
	assert_int_equal(cc_initial_window(65535, UINT32_MAX), UINT32_MAX);
}

static void test_init(void **state)
{
	struct cc cc;

	(void)state;
	memset(&cc, 0xa5, sizeof(cc));
	cc_init(&cc, &cc_reno, 1460, 14600, 0);
	assert_int_equal(cc.cwnd, 14600);
	assert_int_equal(cc.ssthresh, CC_SSTHRESH_NONE);
	assert_int_equal(cc.acked, 0);
	assert_int_equal(cc.pacing_rate, 0);
}

/* Windows keep their size in segments, and never less than one. */
static void test_set_mss(void **state)
{
	struct cc cc;

	(void)state;
	cc_init(&cc, &cc_reno, 1460, 14600, 0);
	cc_set_mss(&cc, 1000);
	assert_int_equal(cc.cwnd, 10000);
	assert_int_equal(cc.ssthresh, CC_SSTHRESH_NONE);
	cc.ssthresh = 5000;
	cc_set_mss(&cc, 2000);
	assert_int_equal(cc.cwnd, 20000);
	assert_int_equal(cc.ssthresh, 10000);
	cc.cwnd = 1500;
	cc_set_mss(&cc, 500);
	assert_int_equal(cc.cwnd, 500);
	cc.cwnd = UINT32_MAX / 2;
	cc_set_mss(&cc, 60000);
	assert_in_range(cc.cwnd, UINT32_MAX - 1, UINT32_MAX);
	assert_int_not_equal(cc.cwnd, CC_SSTHRESH_NONE);
}

/* RFC 3465 2.3: after an RTO an ACK may cover what arrived before it. */
static void test_growth(void **state)
{
	struct ack_event ev = { .acked_bytes = 50000, .newly_acked = 50000, .mss = 1000 };

	(void)state;
	assert_int_equal(cc_growth_bytes(&ev), 50000);
	ev.newly_acked = 2000; /* the rest had been SACKed */
	assert_int_equal(cc_growth_bytes(&ev), 2000);
	ev.newly_acked = 50000;
	ev.in_recovery = true;
	ev.in_flight_before = 1000; /* one retransmission filled a gap below 49 others */
	assert_int_equal(cc_growth_bytes(&ev), 1000);
	ev.in_flight_before = 8000;
	ev.in_flight = 1000;
	assert_int_equal(cc_growth_bytes(&ev), 7000);
	ev.in_flight_before = 0;
	assert_int_equal(cc_growth_bytes(&ev), 1000);
	ev.acked_bytes = 10;
	assert_int_equal(cc_growth_bytes(&ev), 10);
}

/* RFC 5681 4.1, for each controller. */
static void test_restart(void **state)
{
	const struct cc_ops *ops;
	struct cc cc;
	unsigned i;

	(void)state;
	for (i = 0; (ops = cc_at(i)); i++) {
		if (!ops->restart)
			continue;
		cc_init(&cc, ops, 1000, 10000, 0);
		cc.cwnd = 100000;
		cc.ssthresh = 50000;
		ops->restart(&cc, 1000000000, 1000000000);
		assert_int_equal(cc.cwnd, 10000);
		assert_int_equal(cc.ssthresh, 75000);
		cc.cwnd = 4000;
		ops->restart(&cc, 1000000000, 2000000000);
		assert_int_equal(cc.cwnd, 4000);
		cc.cwnd = 100000;
		cc.ssthresh = CC_SSTHRESH_NONE;
		ops->restart(&cc, 1000000000, 3000000000);
		assert_int_equal(cc.ssthresh, CC_SSTHRESH_NONE);
		/* The initial window that is configured, whatever it is. */
		cc.cwnd = 100000;
		cc.initial = 4;
		ops->restart(&cc, 1000000000, 4000000000);
		assert_int_equal(cc.cwnd, 4000);
	}
}

/* The largest windows do not overflow, in any controller. */
static void test_huge(void **state)
{
	const struct cc_ops *ops;
	struct ack_event ev = { .acked_bytes = UINT32_MAX,
				.newly_acked = UINT32_MAX,
				.mss = 65535,
				.cwnd_limited = true,
				.srtt_ns = 100000000 };
	struct cc cc;
	unsigned i, k;
	uint32_t before;

	(void)state;
	for (i = 0; (ops = cc_at(i)); i++) {
		cc_init(&cc, ops, 65535, UINT32_MAX - 100, 0);
		for (k = 0; k < 100; k++) {
			before = cc.cwnd;
			ev.now += 1000000000;
			ops->ack(&cc, &ev);
			assert_true(cc.cwnd >= before || ops->owns_recovery);
			if (k == 50) {
				ops->congestion(&cc, cc.cwnd, ev.now);
				if (!ops->owns_recovery)
					cc.cwnd = cc.ssthresh;
			}
		}
		assert_true(cc.cwnd > UINT32_MAX / 2 - 100 || ops->owns_recovery);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),   cmocka_unit_test(test_initial_window),
		cmocka_unit_test(test_init),   cmocka_unit_test(test_set_mss),
		cmocka_unit_test(test_growth), cmocka_unit_test(test_restart),
		cmocka_unit_test(test_huge),
	};

	return cmocka_run_group_tests_name("cc", tests, NULL, NULL);
}
