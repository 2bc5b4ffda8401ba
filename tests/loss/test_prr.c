/* SPDX-License-Identifier: MIT */
/* Proportional rate reduction, RFC 9937: the sums of its section 6.2, ACK by ACK, in segments. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "loss/prr.h"

#define MSS 1000u

static struct prr prr;

/* One ACK that delivers one segment with PIPE in flight: how many segments may go. */
static uint32_t delivered(uint32_t ssthresh, uint32_t pipe, uint32_t n, bool safe)
{
	uint32_t cwnd = prr_cwnd(&prr, ssthresh * MSS, pipe * MSS, n * MSS, MSS, safe);
	uint32_t room = cwnd - pipe * MSS;

	room -= room % MSS;
	prr_sent(&prr, room);
	return room / MSS;
}

/* Twenty segments, the first lost, ssthresh ten: one for every two that arrive. */
static void proportional(void **state)
{
	uint32_t pipe, sent = 0;

	(void)state;
	prr_start(&prr, 20 * MSS, 3 * MSS, MSS, 0);
	assert_int_equal(prr.recover_fs, 18 * MSS);
	pipe = 16; /* 20 less three SACKed and one lost */
	for (unsigned i = 0; i < 16; i++) {
		uint32_t n = delivered(10, pipe, 1, false);

		sent += n;
		pipe += n;
		assert_in_range(pipe, 10, 17);
		pipe--;
	}
	/* 16 of 18 delivered: 16 * 10 / 18 = 8.9 are due. */
	assert_in_range(sent, 8, 9);
	assert_in_range(pipe, 8, 10);
}

/* The flight is far below ssthresh: as much as was delivered, and one more only if that is safe. */
static void slow_start_bound(void **state)
{
	(void)state;
	prr_start(&prr, 20 * MSS, 3 * MSS, 3 * MSS, 0);
	assert_int_equal(prr.recover_fs, 20 * MSS);
	assert_int_equal(delivered(10, 2, 3, false), 3);
	assert_int_equal(delivered(10, 4, 1, false), 1);
	assert_int_equal(delivered(10, 4, 1, true), 2);
	/* Never beyond ssthresh. */
	assert_int_equal(delivered(10, 9, 5, true), 1);
	assert_int_equal(delivered(10, 10, 5, true), 0);
}

/* Until something was sent, an ACK always lets one segment go: the fast retransmit. */
static void first_retransmission(void **state)
{
	(void)state;
	prr_start(&prr, 100 * MSS, 3 * MSS, MSS, 0);
	assert_int_equal(delivered(50, 96, 1, false), 1);
	assert_int_equal(delivered(50, 96, 1, false), 0);
	prr_sent(&prr, -(int64_t)MSS); /* the device did not take it */
	assert_int_equal(prr.out, 0);
	prr_sent(&prr, -(int64_t)MSS);
	assert_int_equal(prr.out, 0);
}

/* What recovery began with can be nothing; sums of 4 GiB do not wrap. */
static void extremes(void **state)
{
	(void)state;
	prr_start(&prr, 0, 0, 0, 0);
	assert_in_range(prr_cwnd(&prr, 2 * MSS, 5 * MSS, MSS, MSS, false), 6 * MSS, UINT32_MAX);
	prr_start(&prr, UINT32_MAX, 0, UINT32_MAX, UINT32_MAX);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(prr_cwnd(&prr, UINT32_MAX / 2, UINT32_MAX - 1, UINT32_MAX, MSS,
					  true),
				 UINT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(proportional),
		cmocka_unit_test(slow_start_bound),
		cmocka_unit_test(first_retransmission),
		cmocka_unit_test(extremes),
	};

	return cmocka_run_group_tests_name("loss/prr", tests, NULL, NULL);
}
