/* SPDX-License-Identifier: MIT */
/* Pacing: what BBR's rate lets go when, and what a snapshot says of it; bursts without it. */
#include "tests/util/tcp_bench.h"

static struct bench b;

#define RTT (40 * CPL_MS)

static cpl_handle start(const char *cc, uint64_t rtt)
{
	cpl_handle listener, h;

	bench_init(&b);
	b.config.sack = 1;
	snprintf(b.config.cc_name, sizeof(b.config.cc_name), "%s", cc);
	bench_start(&b);
	listener = bench_listen(&b, 80);
	send(&b, "S 0 <mss 1000,sackOK>");
	expect(&b, "S. 0 ack 1 <mss 1460,sackOK>");
	bench_run(&b, rtt);
	send(&b, ". 1 ack 1");
	h = bench_accepted(&b, listener);
	bench_write(&b, h, 1000);
	expect(&b, "P. 1:1001 ack 1");
	bench_run(&b, rtt);
	send(&b, ". 1 ack 1001");
	return h;
}

/* The first flight goes in bursts of the send quantum, spread over a third of the round trip. */
static void first_flight(void **state)
{
	cpl_handle h = start("bbr", RTT);
	uint64_t began = b.now;
	unsigned n = 0, at_once = 0;

	(void)state;
	bench_write(&b, h, 10000);
	while (bench_take(&b))
		at_once++;
	assert_in_range(at_once, 1, 3);
	assert_int_equal(bench_info(&b, h)->why, CPL_WHY_PACING);
	assert_true(bench_info(&b, h)->timer_pace != CPL_TIMER_OFF);
	assert_true(bench_info(&b, h)->pacing_rate > 0);
	for (n = at_once; n < 10; n++) {
		while (!bench_take(&b)) {
			bench_run(&b, CPL_MS / 10);
			assert_true(b.now - began < RTT);
		}
	}
	/* 10 segments at 2.77 * 11,000 octets in 40 ms, with what credit allows. */
	assert_in_range(b.now - began, 8 * CPL_MS, 20 * CPL_MS);
	assert_int_equal(bench_info(&b, h)->timer_pace, CPL_TIMER_OFF);
	assert_true(bench_info(&b, h)->why_time_pacing > 0);
	bench_end(&b);
}

/* CPL_OPT_PACING_MAX: no controller goes faster, whether it paces or not; 0: as before. */
static void limited(void **state)
{
	static const char *const names[] = { "reno", "cubic", "bbr" };

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		cpl_handle h = start(names[i], CPL_MS);
		uint64_t began, v;
		unsigned n = 0;

		assert_int_equal(cpl_set_option(b.stack, h, CPL_OPT_PACING_MAX, 500000, b.now), 0);
		assert_int_equal(cpl_get_option(b.stack, h, CPL_OPT_PACING_MAX, &v, b.now), 0);
		assert_int_equal(v, 500000);
		bench_run(&b, 10 * CPL_MS); /* what it is in arrears for */
		began = b.now;
		bench_write(&b, h, 10000);
		while (bench_take(&b))
			n++;
		assert_in_range(n, 1, 3);
		assert_int_equal(bench_info(&b, h)->pacing_rate, 500000);
		assert_int_equal(bench_info(&b, h)->why, CPL_WHY_PACING);
		while (n < 10) {
			while (!bench_take(&b)) {
				bench_run(&b, CPL_MS / 10);
				assert_true(b.now - began < RTT);
			}
			n++;
		}
		/* 2 ms for each segment; the last need not be waited for. */
		assert_in_range(b.now - began, 16 * CPL_MS, 22 * CPL_MS);
		send(&b, ". 1 ack 11001");
		bench_run(&b, 10 * CPL_MS);
		assert_int_equal(cpl_set_option(b.stack, h, CPL_OPT_PACING_MAX, 0, b.now), 0);
		bench_write(&b, h, 10000);
		for (n = 0; bench_take(&b);)
			n++;
		assert_true(i == 2 || n == 10);
		bench_end(&b);
	}
}

/* A retransmission waits for its turn like anything else, and then goes. */
static void retransmission(void **state)
{
	cpl_handle h = start("bbr", RTT);

	(void)state;
	bench_write(&b, h, 4000);
	bench_run(&b, RTT);
	while (bench_take(&b))
		;
	send(&b, ". 1 ack 1001 <sack 2001:5001>");
	bench_run(&b, 5 * CPL_MS);
	expect(&b, ". 1001:2001 ack 1");
	send(&b, ". 1 ack 5001");
	assert_int_equal(bench_info(&b, h)->rto_count, 0);
	bench_end(&b);
}

static unsigned sent(void)
{
	unsigned n = 0;

	while (bench_take(&b))
		n++;
	return n;
}

/*
 * Without pacing: room that ACKs make is used three segments at a time, a millisecond's worth of
 * ten in 4 ms; at once when nothing left for a millisecond.
 */
static void gathered(void **state)
{
	cpl_handle h = start("reno", 4 * CPL_MS);

	(void)state;
	bench_write(&b, h, 60000);
	assert_int_equal(sent(), 10);
	bench_run(&b, 4 * CPL_MS);
	send(&b, ". 1 ack 2001");
	assert_int_equal(sent(), 2);
	bench_run(&b, CPL_MS / 5);
	send(&b, ". 1 ack 3001");
	assert_int_equal(sent(), 0);
	assert_int_equal(bench_info(&b, h)->why, CPL_WHY_CWND);
	bench_run(&b, CPL_MS / 5);
	send(&b, ". 1 ack 4001");
	assert_int_equal(sent(), 4);
	bench_run(&b, CPL_MS / 5);
	send(&b, ". 1 ack 5001");
	assert_int_equal(sent(), 0);
	bench_run(&b, CPL_MS);
	send(&b, ". 1 ack 6001");
	assert_int_equal(sent(), 4);
	bench_run(&b, 2 * CPL_MS);
	send(&b, ". 1 ack 7001");
	assert_int_equal(sent(), 2);
	bench_end(&b);
}

/* What would wait for more than a millisecond, or half of a round trip, goes at once. */
static void not_gathered(void **state)
{
	cpl_handle h = start("reno", 4 * CPL_MS);

	(void)state;
	bench_write(&b, h, 60000);
	assert_int_equal(sent(), 10);
	bench_run(&b, 4 * CPL_MS);
	send(&b, ". 1 ack 11001");
	assert_int_equal(sent(), 20);
	bench_run(&b, 2 * CPL_MS);
	send(&b, ". 1 ack 12001"); /* sooner than the last: the round trip is 3.75 ms now */
	assert_int_equal(sent(), 2);
	bench_run(&b, CPL_MS * 3 / 10);
	send(&b, ". 1 ack 13001"); /* sent 2.3 ms ago; the next ACK is due in 1.4 ms, or more */
	assert_int_equal(sent(), 2);
	bench_run(&b, CPL_MS * 8 / 10);
	send(&b, ". 1 ack 14001");
	assert_int_equal(sent(), 0);
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limited),	  cmocka_unit_test(first_flight),
		cmocka_unit_test(retransmission), cmocka_unit_test(gathered),
		cmocka_unit_test(not_gathered),
	};

	return cmocka_run_group_tests_name("tcp/pace", tests, NULL, NULL);
}
