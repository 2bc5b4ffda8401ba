/* SPDX-License-Identifier: MIT */
/* Pacing: what BBR's rate lets go when, and what a snapshot says of it. */
#include "tests/util/tcp_bench.h"

static struct bench b;

#define RTT (40 * CPL_MS)

static cpl_handle start(void)
{
	cpl_handle listener, h;

	bench_init(&b);
	b.config.sack = 1;
	memcpy(b.config.cc_name, "bbr", 4);
	bench_start(&b);
	listener = bench_listen(&b, 80);
	send(&b, "S 0 <mss 1000,sackOK>");
	expect(&b, "S. 0 ack 1 <mss 1460,sackOK>");
	bench_run(&b, RTT);
	send(&b, ". 1 ack 1");
	h = bench_accepted(&b, listener);
	bench_write(&b, h, 1000);
	expect(&b, "P. 1:1001 ack 1");
	bench_run(&b, RTT);
	send(&b, ". 1 ack 1001");
	return h;
}

/* The first flight goes in bursts of the send quantum, spread over a third of the round trip. */
static void first_flight(void **state)
{
	cpl_handle h = start();
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

/* A retransmission waits for its turn like anything else, and then goes. */
static void retransmission(void **state)
{
	cpl_handle h = start();

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_flight),
		cmocka_unit_test(retransmission),
	};

	return cmocka_run_group_tests_name("tcp/pace", tests, NULL, NULL);
}
