/* SPDX-License-Identifier: MIT */
/* Timestamps and PAWS on a connection that is established (RFC 7323 sections 3 to 5). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "tests/util/tcp_bench.h"

#define DAY (24 * 3600 * CPL_SECOND)

static struct bench b;

/* A connection whose peer said TSVAL in its SYN. */
static cpl_handle stamped(uint32_t tsval)
{
	cpl_handle h, listener;

	bench_init(&b);
	b.config.timestamps = 1;
	bench_start(&b);
	listener = bench_listen(&b, 80);
	send(&b, "S 0 <mss 1460,TS %u 0>", tsval);
	expect(&b, "S. 0 ack 1 <mss 1460,TS>");
	assert_int_equal(b.last.p.tcp.tsecr, tsval);
	send(&b, ". 1 ack 1 <TS %u %u>", tsval, b.flow.our_tsval);
	h = bench_accepted(&b, listener);
	bench_events(&b, h, NULL);
	return h;
}

#define echo(seg) (b.last.p.tcp.tsecr == (seg))

/* Every segment has one, and its clock ticks once a millisecond (3.2, 5.4). */
static void every_segment_has_one(void **state)
{
	uint32_t first;
	cpl_handle h;

	(void)state;
	h = stamped(1000);
	bench_write(&b, h, 10);
	expect(&b, "P. 1:11 ack 1 <TS>");
	first = b.last.p.tcp.tsval;
	bench_run(&b, 1001 * CPL_MS);
	expect(&b, "P. 1:11 ack 1 <TS>"); /* sent again: with the time of now */
	assert_in_range(b.last.p.tcp.tsval - first, 1000, 1001);
	send(&b, ". 1 ack 11 <TS 1001 %u>", b.last.p.tcp.tsval);
	assert_int_equal(cpl_shutdown(b.stack, h, b.now), 0);
	expect(&b, "F. 11 ack 1 <TS>");
	assert_true(echo(1001));
	bench_end(&b);
	/* Not agreed: none, and one that comes is no matter. */
	bench_init(&b);
	b.config.timestamps = 1;
	bench_start(&b);
	h = bench_passive(&b, "mss 1460");
	send(&b, "P. 1:11 ack 1 <TS 5 5>");
	expect(&b, ". 1 ack 11");
	send(&b, "P. 11:21 ack 1 <TS 4 5>");
	expect(&b, ". 1 ack 21");
	bench_end(&b);
}

/*
 * 4.3: TS.Recent follows what is next to be acknowledged: of a delayed ACK the first segment's,
 * and none of what came early.
 */
static void what_is_echoed(void **state)
{
	cpl_handle h;

	(void)state;
	h = stamped(1000);
	cpl_set_option(b.stack, h, CPL_OPT_QUICKACK, 0, b.now);
	/* (A) Delayed ACKs: the earliest of what is acknowledged. */
	send(&b, ". 1:101 ack 1 <TS 1001 0>");
	send(&b, ". 101:201 ack 1 <TS 1002 0>");
	bench_run(&b, 50 * CPL_MS);
	expect(&b, ". 1 ack 201 <TS>");
	assert_true(echo(1001));
	/* (B) A hole: what came last before it. */
	send(&b, ". 301:401 ack 1 <TS 1004 0>");
	expect(&b, ". 1 ack 201 <TS>");
	assert_true(echo(1001));
	/* (C) What fills it. */
	send(&b, ". 201:301 ack 1 <TS 1003 0>");
	expect(&b, ". 1 ack 401 <TS>");
	assert_true(echo(1003));
	send(&b, ". 401:501 ack 1 <TS 1005 0>");
	bench_run(&b, 50 * CPL_MS);
	expect(&b, ". 1 ack 501 <TS>");
	assert_true(echo(1005));
	assert_int_equal(bench_info(&b, h)->last_ack_sent - b.flow.iss, 501);
	bench_end(&b);
}

/* 5.3 R1: an older timestamp: not taken, and answered. */
static void paws(void **state)
{
	cpl_handle h;

	(void)state;
	h = stamped(1000);
	send(&b, ". 1:101 ack 1 <TS 2000 0>");
	expect(&b, ". 1 ack 101 <TS>");
	send(&b, ". 101:201 ack 1 <TS 1999 0>");
	expect(&b, ". 1 ack 101 <TS>");
	assert_true(echo(2000));
	assert_int_equal(counter(&b, drop_tcp_paws), 1);
	assert_int_equal(bench_info(&b, h)->recv_queue, 100);
	send(&b, ". 101:201 ack 1 <TS 2000 0>"); /* an equal one is not older */
	expect(&b, ". 1 ack 201 <TS>");
	/* It guards the ACK as well. */
	bench_write(&b, h, 10);
	expect(&b, "P. 1:11 ack 201 <TS>");
	send(&b, ". 201 ack 11 <TS 1500 0>");
	assert_int_equal(bench_info(&b, h)->bytes_acked, 0);
	send(&b, "F. 201 ack 11 <TS 1500 0>");
	expect_state(&b, CPL_ESTABLISHED);
	/* A RST has no need of one, nor of a fresh one (5.2). */
	send(&b, "R 201 <TS 1 0>");
	expect_state(&b, CPL_CLOSED);
	bench_end(&b);
	h = stamped(1000);
	send(&b, "R 1 <>");
	expect_state(&b, CPL_CLOSED);
	bench_end(&b);
}

/* 3.2: once agreed, a segment without one is dropped. */
static void a_segment_without(void **state)
{
	cpl_handle h;

	(void)state;
	h = stamped(1000);
	expect_drop(&b, drop_tcp_paws, ". 1:101 ack 1 <>");
	assert_int_equal(bench_info(&b, h)->recv_queue, 0);
	bench_end(&b);
}

/* Timestamps are numbers modulo 2^32. */
static void they_wrap(void **state)
{
	cpl_handle h;

	(void)state;
	h = stamped(0xfffffff0);
	send(&b, ". 1:101 ack 1 <TS 4294967295 0>");
	expect(&b, ". 1 ack 101 <TS>");
	assert_true(echo(0xffffffff));
	send(&b, ". 101:201 ack 1 <TS 0 0>");
	expect(&b, ". 1 ack 201 <TS>");
	assert_true(echo(0));
	send(&b, ". 201:301 ack 1 <TS 4294967295 0>");
	expect(&b, ". 1 ack 201 <TS>");
	assert_int_equal(bench_info(&b, h)->recv_queue, 200);
	bench_end(&b);
	/* Ours too: 40 days of milliseconds and more. */
	h = stamped(1000);
	for (unsigned day = 0; day < 60; day++) {
		uint32_t tsval = 1000 + (day + 1) * 1000;

		bench_run(&b, DAY);
		bench_write(&b, h, 10);
		assert_true(bench_take(&b));
		bench_run(&b, 20 * CPL_MS);
		send(&b, "P. %u:%u ack %u <TS %u %u>", 1 + 10 * day, 11 + 10 * day, 11 + 10 * day,
		     tsval, b.last.p.tcp.tsval);
		assert_int_equal(bench_info(&b, h)->send_queue, 0);
		assert_in_range(bench_info(&b, h)->srtt, 19 * CPL_MS, 22 * CPL_MS);
		while (bench_take(&b))
			;
	}
	assert_int_equal(bench_info(&b, h)->recv_queue, 600);
	bench_end(&b);
}

/* 5.5: after 24 days of silence any timestamp is good, and the next ones are measured by it. */
static void after_24_days(void **state)
{
	cpl_handle h;

	(void)state;
	h = stamped(0x80000000);
	bench_run(&b, 23 * DAY);
	send(&b, ". 1:101 ack 1 <TS 2147483647 0>");
	assert_int_equal(bench_info(&b, h)->recv_queue, 0);
	bench_run(&b, 2 * DAY);
	send(&b, ". 1:101 ack 1 <TS 1000 0>");
	assert_int_equal(bench_info(&b, h)->recv_queue, 100);
	while (bench_take(&b))
		;
	send(&b, ". 101:201 ack 1 <TS 999 0>");
	assert_int_equal(bench_info(&b, h)->recv_queue, 100);
	send(&b, ". 101:201 ack 1 <TS 1001 0>");
	assert_int_equal(bench_info(&b, h)->recv_queue, 200);
	bench_end(&b);
}

/* One clock for each pair of hosts (RFC 6191 relies on it), and none that tells the uptime. */
static void offsets(void **state)
{
	uint32_t first;
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.timestamps = 1;
	bench_start(&b);
	h = bench_active(&b, "mss 1460,TS");
	first = b.flow.our_tsval;
	cpl_abort(b.stack, h, b.now);
	while (bench_take(&b))
		;
	bench_open(&b, 0, 81);
	expect(&b, "S 0 <mss 1460,TS>");
	assert_int_equal(b.flow.our_tsval, first);
	b.peer_addr = cpl_addr4(10, 0, 0, 3);
	bench_open(&b, 0, 80);
	expect(&b, "S 0 <mss 1460,TS>");
	assert_int_not_equal(b.flow.our_tsval, first);
	bench_end(&b);
}

/* An echo of what was never said, or long ago, is no round trip. */
static void echoes_that_lie(void **state)
{
	cpl_handle h;

	(void)state;
	h = stamped(1000);
	bench_write(&b, h, 10);
	expect(&b, "P. 1:11 ack 1 <TS>");
	bench_run(&b, 1010 * CPL_MS); /* sent twice: only the echo could tell */
	expect(&b, "P. 1:11 ack 1 <TS>");
	send(&b, ". 1 ack 11 <TS 1001 %u>", b.last.p.tcp.tsval + 5000);
	assert_true(bench_info(&b, h)->srtt < CPL_SECOND);
	bench_write(&b, h, 10);
	assert_true(bench_take(&b));
	bench_run(&b, 10 * CPL_SECOND);
	while (bench_take(&b))
		;
	send(&b, ". 1 ack 21 <TS 1002 %u>", b.last.p.tcp.tsval - 700000);
	assert_true(bench_info(&b, h)->srtt < CPL_SECOND);
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_segment_has_one),
		cmocka_unit_test(what_is_echoed),
		cmocka_unit_test(paws),
		cmocka_unit_test(a_segment_without),
		cmocka_unit_test(they_wrap),
		cmocka_unit_test(after_24_days),
		cmocka_unit_test(offsets),
		cmocka_unit_test(echoes_that_lie),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
