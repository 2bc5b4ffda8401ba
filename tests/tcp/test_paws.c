/* SPDX-License-Identifier: MIT */
/* Timestamps (RFC 7323): TS.Recent, what is echoed, and protection against wrapped numbers. */
#include "tests/util/tcp_bench.h"

static struct bench b;

/* A connection whose peer's clock stands at 1000. */
static cpl_handle begin(void)
{
	cpl_handle l, h;

	bench_init(&b);
	b.config.timestamps = 1;
	bench_start(&b);
	l = bench_listen(&b, 80);
	send(&b, "S 0 <mss 1460,TS 1000 0>");
	expect(&b, "S. 0 ack 1 <mss,TS>");
	assert_int_equal(b.last.p.tcp.tsecr, 1000);
	send(&b, ". 1 ack 1 <TS 1000 %u>", b.flow.our_tsval);
	h = bench_accepted(&b, l);
	assert_int_equal(bench_info(&b, h)->ts_recent, 1000);
	return h;
}

/* A segment with TSVAL, and the ACK that must echo ECHO. */
static void exchange(uint32_t seq, uint32_t tsval, uint32_t ack, uint32_t echo)
{
	send(&b, "P. %u:%u ack 1 <TS %u %u>", seq, seq + 100, tsval, b.flow.our_tsval);
	expect(&b, ". 1 ack %u <TS>", ack);
	assert_int_equal(b.last.p.tcp.tsecr, echo);
}

/* 4.3: TS.Recent comes from segments that begin at or before what was acknowledged last. */
static void what_is_echoed(void **state)
{
	(void)state;
	begin();
	exchange(1, 1010, 101, 1010);
	exchange(301, 1030, 101, 1010); /* early: the echo must cover the segment that is missing */
	exchange(201, 1035, 101, 1010);
	exchange(101, 1020, 401, 1020); /* it fills the hole: its own, though others are newer */
	exchange(401, 1040, 501, 1040);
	bench_end(&b);
}

/* 5.3 R1: older than TS.Recent: not taken, and answered by an ACK. */
static void old_segment(void **state)
{
	cpl_handle h;

	(void)state;
	h = begin();
	exchange(1, 5000, 101, 5000);
	exchange(101, 4999, 101, 5000);
	exchange(101, 0x90000000, 101, 5000);
	assert_int_equal(counter(&b, drop_tcp_paws), 2);
	assert_int_equal(bench_info(&b, h)->recv_queue, 100);
	exchange(101, 5000, 201, 5000); /* as old is not older */
	/* A pure ACK with an old timestamp does not count either. */
	bench_write(&b, h, 100);
	expect(&b, "P. 1:101 ack 201 <TS>");
	send(&b, ". 201 ack 101 <TS 4000 %u>", b.flow.our_tsval);
	assert_int_equal(bench_info(&b, h)->send_queue, 100);
	send(&b, ". 201 ack 101 <TS 5001 %u>", b.flow.our_tsval);
	assert_int_equal(bench_info(&b, h)->send_queue, 0);
	bench_end(&b);
}

/* Held up on the way, and overtaken by a retransmission that moved TS.Recent on: taken. */
static void late_segment(void **state)
{
	cpl_handle h;

	(void)state;
	h = begin();
	exchange(1, 5000, 101, 5000);
	/* 101 and 301 are held up; 101 is sent again. */
	send(&b, ". 201:301 ack 1 <TS 5001 %u>", b.flow.our_tsval);
	expect(&b, ". 1 ack 101 <*>");
	send(&b, ". 401:501 ack 1 <TS 5003 %u>", b.flow.our_tsval);
	expect(&b, ". 1 ack 101 <*>");
	send(&b, ". 101:201 ack 1 <TS 5040 %u>", b.flow.our_tsval);
	expect(&b, ". 1 ack 301 <*>");
	send(&b, ". 301:401 ack 1 <TS 4989 %u>", b.flow.our_tsval); /* too old for that */
	expect(&b, ". 1 ack 301 <*>");
	assert_int_equal(counter(&b, drop_tcp_paws), 1);
	send(&b, ". 301:401 ack 1 <TS 5002 %u>", b.flow.our_tsval);
	expect(&b, ". 1 ack 501 <TS>");
	assert_int_equal(counter(&b, drop_tcp_paws), 1);
	assert_int_equal(bench_info(&b, h)->ts_recent, 5040); /* it does not go back */
	bench_end(&b);
}

/* The clock wraps: 2^31 is the border between older and newer. */
static void clock_wraps(void **state)
{
	uint32_t ts = 1000, seq = 1;

	(void)state;
	begin();
	for (unsigned i = 0; i < 6; i++) {
		ts += 0x7ffffff0;
		exchange(seq, ts, seq + 100, ts);
		seq += 100;
	}
	bench_end(&b);
}

/* 3.2: once agreed, a segment without them is dropped in silence; a RST is not. */
static void missing(void **state)
{
	cpl_handle h;

	(void)state;
	h = begin();
	expect_drop(&b, drop_tcp_paws, "P. 1:101 ack 1 <>");
	expect_drop(&b, drop_tcp_paws, "F. 1 ack 1 <>");
	expect_drop(&b, drop_tcp_paws, ". 1 ack 1 <>");
	send(&b, "R 1 <>");
	expect_event(&b, h, CPL_EV_CLOSED, ECONNRESET);
	bench_end(&b);

	/* Not agreed: they are not looked at. */
	bench_begin(&b);
	h = bench_passive(&b, "mss 1460");
	send(&b, "P. 1:101 ack 1 <TS 1000 0>");
	expect(&b, ". 1 ack 101");
	send(&b, "P. 101:201 ack 1 <TS 1 0>");
	expect(&b, ". 1 ack 201");
	bench_end(&b);
}

/* 5.5: TS.Recent is not believed for ever: after 24 days the peer's clock may stand anywhere. */
static void idle_for_weeks(void **state)
{
	(void)state;
	for (uint64_t days = 24; days <= 50; days += 13) {
		cpl_handle h = begin();

		exchange(1, 5000, 101, 5000);
		bench_read(&b, h, 100);
		bench_run(&b, (days * 24 * 3600 - 3600) * CPL_SECOND);
		if (days == 24)
			exchange(101, 4999, 101, 5000);
		bench_run(&b, 2 * 3600 * CPL_SECOND);
		send(&b, "P. 101:201 ack 1 <TS 4999 %u>", b.flow.our_tsval);
		bench_run(&b, 50 * CPL_MS);
		expect(&b, ". 1 ack 201 <TS>");
		assert_int_equal(b.last.p.tcp.tsecr, 4999);
		bench_end(&b);
	}
}

/* Our clock: milliseconds, and the same for all that is sent at one time. */
static void our_clock(void **state)
{
	uint32_t first;
	cpl_handle h;

	(void)state;
	h = begin();
	first = b.flow.our_tsval;
	bench_run(&b, 777 * CPL_MS);
	bench_write(&b, h, 100);
	expect(&b, "P. 1:101 ack 1 <TS>");
	assert_int_equal(b.flow.our_tsval - first, 777);
	send(&b, "P. 1:101 ack 101 <TS 1001 %u>", b.flow.our_tsval);
	expect(&b, ". 101 ack 101 <TS>");
	assert_int_equal(b.flow.our_tsval - first, 777);
	bench_end(&b);
}

/* A SYN,ACK that echoes a time before our first SYN is of another connection, as Linux sees it. */
static void echo_of_nothing(void **state)
{
	uint32_t tsval;

	(void)state;
	bench_init(&b);
	b.config.timestamps = 1;
	bench_start(&b);
	bench_run(&b, 10 * CPL_SECOND);
	bench_open(&b, 0, 80);
	expect(&b, "S 0 <mss 1460,TS>");
	tsval = b.flow.our_tsval;
	bench_run(&b, 10 * CPL_MS);
	send(&b, "S. 0 ack 1 <mss 1000,TS 1000 %u>", tsval - 1);
	expect(&b, "R 1");
	send(&b, "S. 0 ack 1 <mss 1000,TS 1000 %u>", tsval + 11);
	expect(&b, "R 1");
	expect_state(&b, CPL_SYN_SENT);
	/* 0: it says nothing. */
	send(&b, "S. 0 ack 1 <mss 1000,TS 1000 %u>", 0);
	expect(&b, ". 1 ack 1 <TS>");
	expect_state(&b, CPL_ESTABLISHED);
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(echo_of_nothing), cmocka_unit_test(what_is_echoed),
		cmocka_unit_test(old_segment),	   cmocka_unit_test(late_segment),
		cmocka_unit_test(clock_wraps),	   cmocka_unit_test(missing),
		cmocka_unit_test(idle_for_weeks),  cmocka_unit_test(our_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
