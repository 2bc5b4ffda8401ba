/* SPDX-License-Identifier: MIT */
/* HyStart++, RFC 9406, round by round: ten ACKs each, one segment every 100 ms of delivered bytes.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "cc/hystart.h"

#define MS  1000000ull
#define MSS 1000u

static struct hystart h;
static uint64_t delivered;

static int start(void **state)
{
	(void)state;
	hystart_init(&h);
	delivered = 0;
	return 0;
}

/* A round of N ACKs, each with this RTT. True if slow start ended; *SHARE: what it let grow. */
static bool round_of(unsigned n, uint64_t rtt_ms, unsigned *share)
{
	uint64_t before = delivered;
	bool over = false;
	uint32_t bytes;

	for (unsigned i = 0; i < n; i++) {
		struct ack_event ev = { .rate = { .prior_delivered = before,
						  .rtt_ns = rtt_ms * MS } };

		ev.delivered = delivered += MSS;
		bytes = MSS;
		over |= hystart_ack(&h, &ev, &bytes);
		if (share)
			*share = bytes;
	}
	return over;
}

/* The delay grows by an eighth (4 ms at least, 16 at most): five rounds more at a quarter. */
static void delay_ends_it(void **state)
{
	unsigned share;

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		assert_false(round_of(10, 40, &share));
	assert_int_equal(share, MSS);
	assert_false(round_of(10, 44, &share)); /* 40 / 8 = 5: not yet */
	assert_int_equal(share, MSS);
	for (unsigned i = 0; i < 5; i++) {
		assert_false(round_of(10, 50 + i, &share));
		assert_int_equal(share, MSS / 4);
	}
	assert_true(round_of(10, 55, &share));
}

/* It was jitter: the delay falls below what it was when growth was slowed. */
static void jitter(void **state)
{
	unsigned share;

	(void)state;
	round_of(10, 40, NULL);
	round_of(10, 40, NULL);
	round_of(10, 50, &share);
	assert_int_equal(share, MSS / 4);
	round_of(10, 41, &share);
	assert_int_equal(share, MSS);
	assert_false(h.css);
	for (unsigned i = 0; i < 20; i++)
		assert_false(round_of(10, 41, NULL));
}

/* Fewer than eight samples say nothing; nor do ACKs without one. */
static void too_few(void **state)
{
	(void)state;
	round_of(7, 40, NULL);
	for (unsigned i = 0; i < 20; i++)
		assert_false(round_of(7, 40 + 20 * i, NULL));
	assert_false(h.css);
	for (unsigned i = 0; i < 20; i++)
		assert_false(round_of(20, 0, NULL));
}

static void bounds(void **state)
{
	unsigned share;

	(void)state;
	round_of(10, 1, NULL);
	round_of(10, 1, NULL);
	round_of(10, 4, &share); /* less than 4 ms more */
	assert_int_equal(share, MSS);
	start(NULL);
	round_of(10, 300, NULL);
	round_of(10, 300, NULL);
	round_of(10, 316, &share); /* 16 ms are enough, though 300 / 8 is more */
	assert_int_equal(share, MSS / 4);
}

/* An ACK EVERY us for LENGTH us, in a round of its own; least round trip 40 ms. At the end: true.
 */
static bool train_of(uint64_t every_us, uint64_t length_us, uint32_t cwnd)
{
	static uint64_t now;
	uint64_t before = delivered;

	now += 100 * MS;
	for (uint64_t at = 0; at <= length_us; at += every_us, now += every_us * 1000) {
		struct ack_event ev = { .now = now,
					.delivered = delivered += MSS,
					.mss = MSS,
					.srtt_ns = 40 * MS,
					.min_rtt_ns = 40 * MS,
					.rate = { .prior_delivered = before } };

		if (hystart_train(&h, &ev, cwnd))
			return true;
	}
	return false;
}

/*
 * ACKs that come for half of the least round trip and of a millisecond without a pause, each within
 * 2 ms of the last; at 100 Mbyte in 40 ms, what bursts take is 52 us.
 */
static void train(void **state)
{
	(void)state;
	assert_false(train_of(500, 5000, 100 * MSS));
	assert_false(train_of(500, 19000, 100 * MSS));
	assert_false(train_of(500, 20500, 100 * MSS));
	assert_true(train_of(500, 21000, 100 * MSS));
	assert_false(train_of(10, 20020, 100000 * MSS));
	assert_true(train_of(10, 20030, 100000 * MSS));
	assert_true(train_of(2000, 30000, 100 * MSS));
	assert_false(train_of(2500, 60000, 100 * MSS)); /* with pauses */
	assert_false(train_of(500, 30000, 15 * MSS));	/* cwnd is too small to tell */
	assert_true(train_of(500, 30000, 16 * MSS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(delay_ends_it, start), cmocka_unit_test_setup(jitter, start),
		cmocka_unit_test_setup(too_few, start),	      cmocka_unit_test_setup(bounds, start),
		cmocka_unit_test_setup(train, start),
	};

	return cmocka_run_group_tests_name("cc/hystart", tests, NULL, NULL);
}
