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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(delay_ends_it, start),
		cmocka_unit_test_setup(jitter, start),
		cmocka_unit_test_setup(too_few, start),
		cmocka_unit_test_setup(bounds, start),
	};

	return cmocka_run_group_tests_name("cc/hystart", tests, NULL, NULL);
}
