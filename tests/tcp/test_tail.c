/* SPDX-License-Identifier: MIT */
/*
 * The end of a flight, and what was not lost after all: loss probes (RFC 8985 7), the reordering
 * timer (6.2), lost retransmissions, F-RTO (RFC 5682), undo by DSACK (RFC 2883) and by timestamps
 * (RFC 3522). The round trip is 40 ms, the RTO 240 ms at least.
 */
#include "tests/util/tcp_bench.h"

static struct bench b;

#define RTT	(40 * CPL_MS)
#define REO_WND (RTT / 4)

/* A connection with OPTIONS whose round trip is measured: octets 1 to 3000 are acknowledged. */
static cpl_handle start(const char *options)
{
	const char *ts = strstr(options, "TS") ? "*" : "";
	cpl_handle h;

	bench_init(&b);
	b.config.sack = 1;
	b.config.timestamps = strstr(options, "TS") != NULL;
	memcpy(b.config.cc_name, "reno", 5);
	bench_start(&b);
	h = bench_passive(&b, options);
	for (unsigned i = 0; i < 3; i++) {
		bench_write(&b, h, 1000);
		expect(&b, "P. %u:%u ack 1 <%s>", 1 + 1000 * i, 1001 + 1000 * i, ts);
		bench_run(&b, RTT);
		send(&b, ". 1 ack %u", 1001 + 1000 * i);
	}
	assert_in_range(bench_info(&b, h)->srtt, RTT - CPL_MS, RTT + CPL_MS);
	return h;
}

/* N segments from octet 3001 on. */
static void flight(cpl_handle h, unsigned n)
{
	bench_write(&b, h, 1000 * n);
	for (unsigned i = 0; i < n; i++)
		expect(&b, "%s %u:%u ack 1 <*>", i == n - 1 ? "P." : ".", 3001 + 1000 * i,
		       4001 + 1000 * i);
}

/* What the peer's timestamps show now. */
static uint32_t peer_clock(void)
{
	return (uint32_t)(b.now / CPL_MS) + 0x7000000;
}

#define info() bench_info(&b, h)

/* ---- Loss probes ---- */

/* The last K of ten are lost: a probe after two round trips, and what its SACK tells is sent again.
 */
static void tail(void **state)
{
	(void)state;
	for (unsigned k = 1; k <= 3; k++) {
		cpl_handle h = start("mss 1000,sackOK");
		uint64_t began = b.now, repaired;

		flight(h, 10);
		bench_run(&b, RTT);
		send(&b, ". 1 ack %u", 3001 + 1000 * (10 - k));
		expect_nothing(&b);
		assert_true(info()->timer_probe != CPL_TIMER_OFF);
		if (k == 1) /* a lone one: its ACK may be delayed; not later than the RTO */
			bench_run(&b, info()->timer_probe + CPL_MS);
		else
			bench_run(&b, 2 * RTT + CPL_MS);
		expect(&b, "P. 12001:13001 ack 1");
		expect_nothing(&b);
		bench_run(&b, RTT);
		if (k > 1) {
			send(&b, ". 1 ack %u <sack 12001:13001>", 13001 - 1000 * k);
			bench_run(&b, REO_WND + CPL_MS);
			expect(&b, ". %u:%u ack 1", 13001 - 1000 * k, 14001 - 1000 * k);
			if (k > 2)
				expect(&b, ". 11001:12001 ack 1");
			repaired = b.now - began - RTT; /* since the ACK that did not come */
			assert_in_range(repaired, 0, 2 * RTT + 12 * CPL_MS + RTT);
			bench_run(&b, RTT);
		}
		send(&b, ". 1 ack 13001");
		expect_nothing(&b);
		assert_int_equal(info()->rto_count, 0);
		assert_int_equal(info()->loss_probes, 1);
		assert_int_equal(info()->send_queue, 0);
		bench_end(&b);
	}
}

/* A lone segment within min(PTO, RTO); when the probe is answered, cwnd has not collapsed. */
static void lone_segment(void **state)
{
	cpl_handle h = start("mss 1000,sackOK");
	uint32_t cwnd = info()->cwnd;

	(void)state;
	flight(h, 1);
	assert_in_range(info()->timer_probe, 2 * RTT, 2 * RTT + 200 * CPL_MS);
	assert_true(info()->timer_probe <= info()->timer_rexmt);
	bench_run(&b, info()->timer_probe + CPL_MS);
	expect(&b, "P. 3001:4001 ack 1");
	assert_true(info()->timer_rexmt > 200 * CPL_MS); /* anew */
	bench_run(&b, RTT);
	send(&b, ". 1 ack 4001");
	/* Whose copy it was is not known yet: the next ACK beyond it, without DSACK, tells of a
	 * loss. */
	assert_int_equal(info()->cwnd, cwnd);
	assert_int_equal(info()->rto_count, 0);
	assert_int_equal(info()->recovery, CPL_RECOVERY_OPEN);
	bench_end(&b);
}

/* The probe was needless: DSACK says so, and nothing is reduced. */
static void needless_probe(void **state)
{
	cpl_handle h = start("mss 1000,sackOK");
	uint32_t cwnd = info()->cwnd, ssthresh = info()->ssthresh;

	(void)state;
	flight(h, 2);
	bench_run(&b, 2 * RTT + CPL_MS);
	expect(&b, "P. 4001:5001 ack 1");
	send(&b, ". 1 ack 5001");
	send(&b, ". 1 ack 5001 <sack 4001:5001>");
	bench_write(&b, h, 1000);
	expect(&b, "P. 5001:6001 ack 1");
	send(&b, ". 1 ack 6001");
	assert_int_equal(info()->ssthresh, ssthresh);
	assert_true(info()->cwnd >= cwnd);
	bench_end(&b);
}

/* It filled a hole: that was a loss, and cwnd pays for it (7.4.2). */
static void probe_that_repaired(void **state)
{
	cpl_handle h = start("mss 1000,sackOK");
	uint32_t cwnd = info()->cwnd;

	(void)state;
	flight(h, 2);
	bench_run(&b, RTT);
	send(&b, ". 1 ack 4001");
	bench_run(&b, info()->timer_probe + CPL_MS);
	expect(&b, "P. 4001:5001 ack 1");
	bench_run(&b, RTT);
	send(&b, ". 1 ack 5001");
	bench_write(&b, h, 3000);
	for (unsigned i = 0; i < 3; i++)
		expect(&b, "%s %u:%u ack 1", i == 2 ? "P." : ".", 5001 + 1000 * i, 6001 + 1000 * i);
	send(&b, ". 1 ack 6001");
	assert_int_equal(info()->recovery, CPL_RECOVERY_CWR);
	send(&b, ". 1 ack 8001");
	assert_int_equal(info()->recovery, CPL_RECOVERY_OPEN);
	assert_true(info()->cwnd < cwnd);
	assert_int_equal(info()->fast_recoveries, 0);
	bench_end(&b);
}

/* New data is the better probe, cwnd or not. */
static void probe_with_new_data(void **state)
{
	cpl_handle h = start("mss 1000,sackOK");
	uint32_t n = info()->cwnd / 1000;

	(void)state;
	bench_write(&b, h, 1000 * (n + 2));
	for (unsigned i = 0; i < n; i++)
		expect(&b, ". %u:%u ack 1", 3001 + 1000 * i, 4001 + 1000 * i);
	expect_nothing(&b);
	assert_int_equal(info()->why, CPL_WHY_CWND);
	bench_run(&b, 2 * RTT + CPL_MS);
	expect(&b, ". %u:%u ack 1", 3001 + 1000 * n, 4001 + 1000 * n);
	expect_nothing_for(&b, RTT);
	assert_int_equal(info()->retrans, 0);
	bench_end(&b);
}

/* Without SACK an answer would tell nothing: no probe. */
static void no_probe_without_sack(void **state)
{
	cpl_handle h = start("mss 1000");

	(void)state;
	flight(h, 3);
	assert_int_equal(info()->timer_probe, CPL_TIMER_OFF);
	expect_nothing_for(&b, 190 * CPL_MS);
	bench_end(&b);
}

/* ---- Recovery ---- */

/* One SACK is enough, if nothing more comes: a quarter of the round trip later. */
static void reordering_timer(void **state)
{
	cpl_handle h = start("mss 1000,sackOK");

	(void)state;
	flight(h, 2);
	bench_run(&b, RTT);
	send(&b, ". 1 ack 3001 <sack 4001:5001>");
	assert_in_range(info()->timer_reorder, REO_WND - CPL_MS, REO_WND + CPL_MS);
	expect_nothing(&b);
	bench_run(&b, REO_WND + CPL_MS);
	expect(&b, ". 3001:4001 ack 1");
	assert_int_equal(info()->recovery, CPL_RECOVERY_FAST);
	send(&b, ". 1 ack 5001");
	assert_int_equal(info()->recovery, CPL_RECOVERY_OPEN);
	bench_end(&b);
}

/* The retransmission is lost as well: what was sent after it arrives, and it goes once more. */
static void lost_retransmission(void **state)
{
	cpl_handle h = start("mss 1000,sackOK");

	(void)state;
	flight(h, 10);
	bench_write(&b, h, 10000);
	bench_run(&b, RTT);
	while (bench_take(&b))
		;
	send(&b, ". 1 ack 3001 <sack 4001:7001>");
	expect(&b, ". 3001:4001 ack 1");
	for (unsigned end = 8001; end <= 13001; end += 1000) {
		bench_run(&b, CPL_MS);
		send(&b, ". 1 ack 3001 <sack 4001:%u>", end);
	}
	while (bench_take(&b)) /* new data, sent after the retransmission */
		assert_true(b.last.p.tcp.seq - b.flow.our_iss >= 13001);
	bench_run(&b, RTT);
	send(&b, ". 1 ack 3001 <sack 4001:14001>");
	expect(&b, ". 3001:4001 ack 1");
	assert_int_equal(info()->rto_count, 0);
	assert_int_equal(info()->fast_recoveries, 1);
	assert_int_equal(info()->retrans, 2);
	bench_end(&b);
}

/* ---- What was not lost ---- */

/* Late, not lost: the receiver reports the second copy, and cwnd is given back. */
static void undone_by_dsack(void **state)
{
	cpl_handle h = start("mss 1000,sackOK");
	uint32_t cwnd = info()->cwnd;

	(void)state;
	flight(h, 5);
	bench_run(&b, RTT);
	send(&b, ". 1 ack 3001 <sack 4001:8001>");
	expect(&b, ". 3001:4001 ack 1");
	assert_true(info()->cwnd < cwnd);
	send(&b, ". 1 ack 8001"); /* the original */
	assert_int_equal(info()->recovery, CPL_RECOVERY_OPEN);
	assert_int_equal(info()->undone, 0);
	bench_run(&b, RTT);
	send(&b, ". 1 ack 8001 <sack 3001:4001>"); /* and the copy */
	assert_int_equal(info()->undone, 0 + 1);
	assert_true(info()->cwnd >= cwnd);
	assert_int_equal(info()->ssthresh, UINT32_MAX);
	bench_end(&b);
}

/* The ACK echoes a time before the retransmission: it answers the original. */
static void undone_by_timestamp(void **state)
{
	cpl_handle h = start("mss 1012,sackOK,TS 100 0");
	uint32_t cwnd = info()->cwnd, original;

	(void)state;
	flight(h, 5);
	original = b.flow.our_tsval;
	bench_run(&b, RTT);
	send(&b, ". 1 ack 3001 <TS %u %u,sack 4001:8001>", peer_clock(), original);
	expect(&b, ". 3001:4001 ack 1 <*>");
	assert_int_equal(info()->recovery, CPL_RECOVERY_FAST);
	bench_run(&b, 5 * CPL_MS);
	send(&b, ". 1 ack 8001 <TS %u %u>", peer_clock(), original);
	assert_int_equal(info()->recovery, CPL_RECOVERY_OPEN);
	assert_int_equal(info()->undone, 1);
	assert_true(info()->cwnd >= cwnd);
	bench_end(&b);
}

/* A pause longer than the RTO: the ACKs of the original flight come after all (RFC 5682). */
static void spurious_timeout(void **state)
{
	cpl_handle h = start("mss 1000,sackOK");
	uint32_t cwnd = info()->cwnd;

	(void)state;
	flight(h, 4);
	bench_run(&b, 2 * RTT + CPL_MS);
	expect(&b, "P. 6001:7001 ack 1"); /* the probe */
	bench_run(&b, info()->timer_rexmt + CPL_MS);
	expect(&b, ". 3001:4001 ack 1");
	expect_nothing(&b);
	assert_int_equal(info()->recovery, CPL_RECOVERY_RTO);
	assert_int_equal(info()->cwnd, 1000);
	send(&b, ". 1 ack 5001"); /* 4001 was never sent again: its original came */
	assert_int_equal(info()->rto_spurious, 1);
	assert_int_equal(info()->recovery, CPL_RECOVERY_OPEN);
	assert_true(info()->cwnd >= cwnd);
	expect_nothing(&b);
	send(&b, ". 1 ack 7001");
	assert_int_equal(info()->retrans, 2);
	bench_end(&b);
}

/* A real one: after the ACK of the first, new data; the duplicate that brings means a loss. */
static void real_timeout(void **state)
{
	cpl_handle h = start("mss 1000");

	(void)state;
	flight(h, 4);
	bench_run(&b, info()->timer_rexmt + CPL_MS);
	expect(&b, ". 3001:4001 ack 1");
	bench_write(&b, h, 5000);
	send(&b, ". 1 ack 4001");
	expect(&b, ". 7001:8001 ack 1");
	expect(&b, ". 8001:9001 ack 1");
	expect_nothing(&b);
	send(&b, ". 1 ack 4001");
	expect(&b, ". 4001:5001 ack 1");
	assert_int_equal(info()->rto_spurious, 0);
	assert_int_equal(info()->recovery, CPL_RECOVERY_RTO);
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tail),
		cmocka_unit_test(lone_segment),
		cmocka_unit_test(needless_probe),
		cmocka_unit_test(probe_that_repaired),
		cmocka_unit_test(probe_with_new_data),
		cmocka_unit_test(no_probe_without_sack),
		cmocka_unit_test(reordering_timer),
		cmocka_unit_test(lost_retransmission),
		cmocka_unit_test(undone_by_dsack),
		cmocka_unit_test(undone_by_timestamp),
		cmocka_unit_test(spurious_timeout),
		cmocka_unit_test(real_timeout),
	};

	return cmocka_run_group_tests_name("tcp/tail", tests, NULL, NULL);
}
