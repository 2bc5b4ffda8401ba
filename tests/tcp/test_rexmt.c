/* SPDX-License-Identifier: MIT */
/*
 * What is sent again, when, and when no more: RTO and back-off (RFC 6298), R1 and R2 (RFC 9293
 * 3.8.3), fast retransmit and recovery (RFC 5681, 6582, 6675, 3042), and what a device refuses.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/seq.h"
#include "tests/util/bytes.h"
#include "tests/util/tcp_bench.h"

static struct bench b;

static void set(cpl_handle h, enum cpl_option option, uint64_t value)
{
	assert_int_equal(cpl_set_option(b.stack, h, option, value, b.now), 0);
}

static cpl_handle peer(bool sack, const char *options)
{
	bench_init(&b);
	b.config.sack = sack;
	bench_start(&b);
	return bench_passive(&b, options);
}

/* N segments of 1000 octets from FROM on. */
static void write_segments(cpl_handle h, uint32_t from, unsigned n)
{
	bench_write(&b, h, 1000 * n);
	for (unsigned i = 0; i < n; i++)
		expect(&b, "%s %u:%u ack 1", i == n - 1 ? "P." : ".", from + 1000 * i,
		       from + 1000 * (i + 1));
}

/* ---- the time-out ---- */

/* MUST-18, RFC 6298 2: from the round-trip times; 5.5: doubled each time, up to 120 s. */
static void rto(void **state)
{
	uint64_t wait = 300 * CPL_MS;
	cpl_handle h;

	(void)state;
	h = peer(false, "mss 1000");
	bench_write(&b, h, 100);
	expect(&b, "P. 1:101 ack 1");
	bench_run(&b, 100 * CPL_MS);
	send(&b, ". 1 ack 101");
	/* The handshake took no time; so SRTT = 1/8 of 100 ms, RTTVAR = 1/4 of 100 ms, or so. */
	assert_in_range(bench_info(&b, h)->srtt, 12 * CPL_MS, 101 * CPL_MS);
	bench_end(&b);

	bench_init(&b);
	bench_start(&b);
	h = bench_open(&b, 0, 80);
	expect(&b, "S 0 <*>");
	bench_run(&b, 100 * CPL_MS);
	send(&b, "S. 0 ack 1 <mss 1000>");
	expect(&b, ". 1 ack 1");
	/* 2.2: SRTT = R, RTTVAR = R / 2, and the term of the variation at least 200 ms. */
	assert_in_range(bench_info(&b, h)->srtt, 100 * CPL_MS, 100 * CPL_MS + 1000);
	assert_in_range(bench_info(&b, h)->rttvar, 50 * CPL_MS, 50 * CPL_MS + 1000);
	bench_write(&b, h, 100);
	expect(&b, "P. 1:101 ack 1");
	for (unsigned i = 0; i < 13; i++) {
		expect_after(&b, wait, "P. 1:101 ack 1");
		assert_int_equal(bench_info(&b, h)->rexmt_count, i + 1);
		wait = 2 * wait < 120 * CPL_SECOND ? 2 * wait : 120 * CPL_SECOND;
	}
	bench_end(&b);
}

/*
 * MUST-18, Karn: what was sent twice gives no sample, and the back-off lasts until there is one
 * (RFC 6298 3, 5.7).
 */
static void karn(void **state)
{
	uint64_t srtt;
	cpl_handle h;

	(void)state;
	h = peer(false, "mss 1000");
	srtt = bench_info(&b, h)->srtt;
	bench_write(&b, h, 100);
	expect(&b, "P. 1:101 ack 1");
	expect_after(&b, CPL_SECOND, "P. 1:101 ack 1");
	expect_after(&b, 2 * CPL_SECOND, "P. 1:101 ack 1");
	bench_run(&b, 50 * CPL_MS);
	send(&b, ". 1 ack 101");
	assert_int_equal(bench_info(&b, h)->srtt, srtt);
	assert_int_equal(bench_info(&b, h)->backoff, 2);
	bench_write(&b, h, 100);
	expect(&b, "P. 101:201 ack 1");
	expect_after(&b, 4 * CPL_SECOND, "P. 101:201 ack 1");
	send(&b, ". 1 ack 201");
	bench_write(&b, h, 100);
	expect(&b, "P. 201:301 ack 1");
	send(&b, ". 1 ack 301");
	assert_int_equal(bench_info(&b, h)->backoff, 0);
	bench_end(&b);
}

/* With timestamps the echo tells which of the two was answered (RFC 7323 4). */
static void timestamps_time_retransmissions(void **state)
{
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.timestamps = 1;
	bench_start(&b);
	h = bench_passive(&b, "mss 1012,TS");
	bench_write(&b, h, 100);
	expect(&b, "P. 1:101 ack 1 <TS>");
	bench_run(&b, 1050 * CPL_MS);
	expect(&b, "P. 1:101 ack 1 <TS>");
	bench_run(&b, 30 * CPL_MS);
	send(&b, ". 1 ack 101");
	assert_int_equal(bench_info(&b, h)->backoff, 0);
	assert_in_range(bench_info(&b, h)->srtt, 1 * CPL_MS, 90 * CPL_MS);
	bench_end(&b);
}

/* MUST-19: after a time-out one segment, then two, ... in slow start up to half the flight. */
static void slow_start_after_a_timeout(void **state)
{
	cpl_handle h;

	(void)state;
	h = peer(false, "mss 1000");
	write_segments(h, 1, 10);
	expect_after(&b, CPL_SECOND, ". 1:1001 ack 1");
	assert_int_equal(bench_info(&b, h)->cwnd, 1000);
	assert_int_equal(bench_info(&b, h)->recovery, CPL_RECOVERY_RTO);
	assert_in_range(bench_info(&b, h)->ssthresh, 5000, 7000); /* cubic keeps 0.7 */
	expect_nothing(&b);
	send(&b, ". 1 ack 1001");
	expect(&b, ". 1001:2001 ack 1");
	expect(&b, ". 2001:3001 ack 1");
	expect_nothing(&b);
	send(&b, ". 1 ack 2001");
	expect(&b, ". 3001:4001 ack 1");
	expect(&b, ". 4001:5001 ack 1");
	send(&b, ". 1 ack 10001"); /* the rest had arrived */
	expect_nothing(&b);
	assert_int_equal(bench_info(&b, h)->recovery, CPL_RECOVERY_OPEN);
	bench_end(&b);
}

/* Nothing comes through for a while: all is delivered in the end. */
static void an_outage(void **state)
{
	uint32_t una = 1, end;
	cpl_handle h;

	(void)state;
	h = peer(true, "mss 1000,sackOK");
	bench_write(&b, h, 30000);
	end = 30001;
	for (uint64_t until = b.now + 40 * CPL_SECOND; b.now < until;) {
		bench_run(&b, CPL_SECOND);
		while (bench_take(&b))
			;
	}
	for (unsigned i = 0; i < 1000 && una < end; i++) {
		bench_run(&b, 100 * CPL_MS);
		while (bench_take(&b)) {
			uint32_t seq = b.last.p.tcp.seq - b.flow.our_iss;

			if (b.last.p.tcp.len && seq <= una && seq + b.last.p.tcp.len > una)
				una = seq + b.last.p.tcp.len;
		}
		send(&b, ". 1 ack %u", una);
	}
	assert_int_equal(una, end);
	expect_state(&b, CPL_ESTABLISHED);
	assert_true(bench_events(&b, h, NULL) & CPL_EV_SENT_ALL);
	bench_end(&b);
}

/* ---- R1 and R2 ---- */

/* MUST-20; SHLD-9, SHLD-10: R1, three retransmissions, is told; SHLD-11: R2 is far above 100 s. */
static void r1_and_r2(void **state)
{
	uint64_t sent;
	cpl_handle h;

	(void)state;
	h = peer(false, "mss 1000");
	bench_write(&b, h, 100);
	expect(&b, "P. 1:101 ack 1");
	sent = b.now;
	expect_after(&b, CPL_SECOND, "P. 1:101 ack 1");
	expect_after(&b, 2 * CPL_SECOND, "P. 1:101 ack 1");
	expect_event(&b, h, 0, 0);
	expect_after(&b, 4 * CPL_SECOND, "P. 1:101 ack 1");
	expect_event(&b, h, CPL_EV_SOFT, ETIMEDOUT);
	expect_state(&b, CPL_ESTABLISHED);
	bench_run(&b, sent + 924 * CPL_SECOND - b.now);
	expect_state(&b, CPL_ESTABLISHED);
	bench_run(&b, 120 * CPL_SECOND);
	expect_state(&b, CPL_CLOSED);
	expect_event(&b, h, CPL_EV_CLOSED, ETIMEDOUT);
	assert_int_equal(counter(&b, timeouts), 1);
	assert_int_equal(cpl_send(b.stack, h, "x", 1, 0, b.now), -ETIMEDOUT);
	bench_end(&b);
}

/* Progress starts both anew. */
static void progress_resets_r2(void **state)
{
	uint32_t una = 1;
	cpl_handle h;

	(void)state;
	h = peer(false, "mss 1000");
	bench_write(&b, h, 10000);
	for (unsigned i = 0; i < 9; i++) {
		bench_run(&b, 800 * CPL_SECOND);
		while (bench_take(&b))
			;
		una += 1000;
		send(&b, ". 1 ack %u", una);
	}
	expect_state(&b, CPL_ESTABLISHED);
	assert_int_equal(bench_info(&b, h)->bytes_acked, 9000);
	bench_end(&b);
}

/* MUST-21, RFC 5482: to the tick, not at the next retransmission after it. */
static void user_timeout(void **state)
{
	uint64_t value, sent;
	cpl_handle h;

	(void)state;
	h = peer(false, "mss 1000");
	set(h, CPL_OPT_USER_TIMEOUT, 5 * CPL_SECOND);
	assert_int_equal(cpl_get_option(b.stack, h, CPL_OPT_USER_TIMEOUT, &value, b.now), 0);
	assert_int_equal(value, 5 * CPL_SECOND);
	bench_run(&b, 60 * CPL_SECOND); /* nothing is in flight */
	bench_write(&b, h, 100);
	expect(&b, "P. 1:101 ack 1");
	sent = b.now;
	bench_run(&b, 4999 * CPL_MS);
	expect_state(&b, CPL_ESTABLISHED);
	bench_run(&b, 2 * CPL_MS);
	expect_state(&b, CPL_CLOSED);
	assert_true(b.now - sent < 5010 * CPL_MS);
	bench_end(&b);
	/* Longer than R2 of the stack as well. */
	h = peer(false, "mss 1000");
	set(h, CPL_OPT_USER_TIMEOUT, 3000 * CPL_SECOND);
	bench_write(&b, h, 100);
	bench_run(&b, 2900 * CPL_SECOND);
	expect_state(&b, CPL_ESTABLISHED);
	bench_run(&b, 101 * CPL_SECOND);
	expect_state(&b, CPL_CLOSED);
	bench_end(&b);
}

/* MUST-22: a SYN in the same way; MUST-23: for three minutes at least. */
static void lost_syn(void **state)
{
	uint64_t wait = CPL_SECOND;
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_open(&b, 0, 80);
	expect(&b, "S 0 <mss 1460>");
	for (unsigned i = 0; i < 7; i++, wait *= 2) {
		expect_after(&b, wait, "S 0 <mss 1460>");
		expect_event(&b, h, i == 2 ? CPL_EV_SOFT : 0, i == 2 ? ETIMEDOUT : 0);
	}
	bench_run(&b, b.start + 180 * CPL_SECOND - b.now);
	expect_state(&b, CPL_SYN_SENT);
	bench_run(&b, 120 * CPL_SECOND);
	expect_state(&b, CPL_CLOSED);
	expect_event(&b, h, CPL_EV_CLOSED, ETIMEDOUT);
	bench_end(&b);

	/* RFC 6298 5.7: an RTO of 3 s after it, RFC 5681 3.1: a window of one segment. */
	bench_begin(&b);
	h = bench_open(&b, 0, 80);
	bench_write(&b, h, 3000);
	expect(&b, "S 0 <mss 1460>");
	expect_after(&b, CPL_SECOND, "S 0 <mss 1460>");
	send(&b, "S. 0 ack 1 <mss 1000>");
	expect(&b, ". 1:1001 ack 1");
	expect_nothing(&b);
	expect_after(&b, 3 * CPL_SECOND, ". 1:1001 ack 1");
	bench_end(&b);
}

/* A FIN is sent again like data, alone or behind it. */
static void lost_fin(void **state)
{
	cpl_handle h;

	(void)state;
	h = peer(false, "mss 1000");
	assert_int_equal(cpl_shutdown(b.stack, h, b.now), 0);
	expect(&b, "F. 1 ack 1");
	expect_after(&b, CPL_SECOND, "F. 1 ack 1");
	expect_after(&b, 2 * CPL_SECOND, "F. 1 ack 1");
	send(&b, ". 1 ack 2");
	expect_state(&b, CPL_FIN_WAIT_2);
	bench_end(&b);

	h = peer(false, "mss 1000");
	bench_write(&b, h, 1500);
	assert_int_equal(cpl_shutdown(b.stack, h, b.now), 0);
	expect(&b, ". 1:1001 ack 1");
	expect(&b, "FP. 1001:1501 ack 1");
	send(&b, ". 1 ack 1001");
	expect_after(&b, 200 * CPL_MS, "FP. 1001:1501 ack 1");
	send(&b, ". 1 ack 1501"); /* the data without the FIN */
	bench_run(&b, CPL_SECOND);
	expect(&b, "F. 1501 ack 1");
	send(&b, ". 1 ack 1502");
	expect_state(&b, CPL_FIN_WAIT_2);
	bench_end(&b);
}

/* A smaller MSS cuts what was sent in larger segments. */
static void retransmission_by_the_mss_of_now(void **state)
{
	cpl_handle h;

	(void)state;
	h = peer(false, "mss 1000");
	bench_write(&b, h, 1000);
	assert_int_equal(cpl_shutdown(b.stack, h, b.now), 0);
	expect(&b, "FP. 1:1001 ack 1");
	set(h, CPL_OPT_MAXSEG, 600);
	expect_after(&b, CPL_SECOND, ". 1:601 ack 1");
	send(&b, ". 1 ack 601");
	expect(&b, "FP. 601:1001 ack 1");
	bench_end(&b);
}

/* A super-segment is sent again in parts, as cwnd and SACK have it. */
static void parts_of_a_super_segment(void **state)
{
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.sack = 1;
	b.iface.flags |= CPL_IFACE_CSUM_OUT | CPL_IFACE_GSO4;
	b.iface.gso_max = 60000;
	bench_start(&b);
	h = bench_passive(&b, "mss 1000,sackOK");
	bench_write(&b, h, 10000);
	expect(&b, "P. 1:5001 ack 1"); /* half of cwnd */
	expect(&b, "P. 5001:10001 ack 1");
	bench_run(&b, CPL_MS);
	send(&b, ". 1 ack 2001 <sack 3001:5001,sack 6001:8001>");
	expect(&b, ". 2001:3001 ack 1");
	expect(&b, ". 5001:6001 ack 1");
	send(&b, ". 1 ack 2001 <sack 3001:5001,sack 6001:9001>");
	expect(&b, "P. 9001:10001 ack 1"); /* the rescue */
	expect_nothing(&b);
	bench_run(&b, 250 * CPL_MS); /* both lost again */
	expect(&b, ". 2001:3001 ack 1");
	send(&b, ". 1 ack 5001 <sack 6001:9001>");
	expect(&b, ". 5001:6001 ack 1");
	expect(&b, "P. 9001:10001 ack 1");
	send(&b, ". 1 ack 10001");
	assert_int_equal(bench_info(&b, h)->send_queue, 0);
	bench_end(&b);
}

/* ---- fast retransmit ---- */

/* RFC 5681 3.2, RFC 6582: the third duplicate; before that limited transmit (RFC 3042). */
static void fast_retransmit(void **state)
{
	cpl_handle h;

	(void)state;
	h = peer(false, "mss 1000");
	write_segments(h, 1, 10);
	bench_write(&b, h, 5000);
	expect_nothing(&b); /* cwnd is full */
	send(&b, ". 1 ack 1");
	expect(&b, ". 10001:11001 ack 1");
	send(&b, ". 1 ack 1");
	expect(&b, ". 11001:12001 ack 1");
	expect_nothing(&b);
	send(&b, ". 1 ack 1");
	expect(&b, ". 1:1001 ack 1");
	assert_int_equal(bench_info(&b, h)->recovery, CPL_RECOVERY_FAST);
	assert_int_equal(bench_info(&b, h)->fast_recoveries, 1);
	/* A partial ACK: the next hole at once (RFC 6582 3.2 (3)). */
	send(&b, ". 1 ack 4001");
	expect(&b, ". 4001:5001 ack 1");
	while (bench_take(&b))
		;
	send(&b, ". 1 ack 12001");
	assert_int_equal(bench_info(&b, h)->recovery, CPL_RECOVERY_OPEN);
	bench_end(&b);
}

/* What is no duplicate: an ACK with data, one with another window, one when nothing is in flight.
 */
static void no_duplicates(void **state)
{
	cpl_handle h;

	(void)state;
	h = peer(false, "mss 1000");
	for (unsigned i = 0; i < 5; i++)
		send(&b, ". 1 ack 1");
	write_segments(h, 1, 4);
	for (unsigned i = 0; i < 5; i++)
		send(&b, ". 1 ack 1 win %u", 60000 - i);
	for (unsigned i = 0; i < 5; i++)
		send(&b, ". %u:%u ack 1 win 59996", 1 + i, 2 + i);
	while (bench_take(&b))
		assert_int_equal(b.last.p.tcp.len, 0);
	assert_int_equal(bench_info(&b, h)->dup_acks, 0);
	assert_int_equal(bench_info(&b, h)->recovery, CPL_RECOVERY_OPEN);
	bench_end(&b);
}

/* With SACK: when three segments above the hole have arrived; each hole once (RFC 8985). */
static void fast_retransmit_with_sack(void **state)
{
	cpl_handle h;

	(void)state;
	h = peer(true, "mss 1000,sackOK");
	write_segments(h, 1, 10);
	bench_run(&b, CPL_MS);
	send(&b, ". 1 ack 1 <sack 1001:2001>");
	send(&b, ". 1 ack 1 <sack 1001:3001>");
	expect_nothing(&b);
	send(&b, ". 1 ack 1 <sack 1001:4001>");
	expect(&b, ". 1:1001 ack 1");
	expect_nothing(&b);
	send(&b, ". 1 ack 1 <sack 6001:7001,sack 1001:4001>");
	send(&b, ". 1 ack 1 <sack 6001:8001,sack 1001:4001>");
	send(&b, ". 1 ack 1 <sack 6001:9001,sack 1001:4001>");
	expect(&b, ". 4001:5001 ack 1");
	expect(&b, ". 5001:6001 ack 1");
	expect(&b, "P. 9001:10001 ack 1"); /* the rescue (RFC 6675 4, NextSeg() (4)) */
	expect_nothing(&b);
	send(&b, ". 1 ack 10001");
	assert_int_equal(bench_info(&b, h)->recovery, CPL_RECOVERY_OPEN);
	assert_int_equal(bench_info(&b, h)->retrans, 4);
	assert_int_equal(bench_info(&b, h)->rto_count, 0);
	bench_end(&b);
}

/* SACK blocks that lie: outside of what is in flight, upside down, below the ACK. */
static void sack_lies(void **state)
{
	cpl_handle h;

	(void)state;
	h = peer(true, "mss 1000,sackOK");
	write_segments(h, 1, 4);
	for (unsigned i = 0; i < 8; i++) {
		send(&b, ". 1 ack 1 <sack 4001:5001>");
		send(&b, ". 1 ack 1 <sack 3001:2001>");
		send(&b, ". 1 ack 1 <sack 2001:9001>");
		send(&b, ". 1 ack 1 <sack -2000000000:2001>");
		send(&b, ". 1 ack 1 <sack 1100000000:2200000000>"); /* half round, and back */
		send(&b, ". 1 ack 1 <sack 2000000000:-200000000>");
		send(&b, ". 1 ack 1 <sack 2000000000:3001>");
		send(&b, ". 1 ack 1 <sack 1:2001>");
		send(&b, ". 1 ack 1 <sack 2001:2001>");
	}
	expect_nothing(&b);
	assert_int_equal(bench_info(&b, h)->sacked, 0);
	assert_int_equal(bench_info(&b, h)->lost, 0);
	bench_end(&b);
}

/*
 * RFC 2018 8: the peer has let go of what it had reported: it is sent again, all of it, when half a
 * round trip, and 10 ms, have brought no other word.
 */
static void reneging(void **state)
{
	cpl_handle h;
	uint64_t half;

	(void)state;
	h = peer(true, "mss 1000,sackOK");
	write_segments(h, 1, 4);
	send(&b, ". 1 ack 1 <sack 1001:4001>");
	expect(&b, ". 1:1001 ack 1");
	send(&b, ". 1 ack 1001"); /* and nothing of the rest */
	expect_nothing(&b);
	expect_after(&b, 10 * CPL_MS, ". 1001:2001 ack 1");
	assert_int_equal(counter(&b, sack_renegings), 1);
	send(&b, ". 1 ack 2001");
	expect(&b, ". 2001:3001 ack 1");
	expect(&b, "P. 3001:4001 ack 1");
	send(&b, ". 1 ack 4001");
	bench_end(&b);
	/* Another word comes in time: there is nothing to send again. */
	h = peer(true, "mss 1000,sackOK");
	write_segments(h, 1, 4);
	send(&b, ". 1 ack 1 <sack 1001:4001>");
	expect(&b, ". 1:1001 ack 1");
	send(&b, ". 1 ack 1001 <sack 1001:4001>");
	send(&b, ". 1 ack 4001");
	expect_nothing_for(&b, CPL_SECOND);
	bench_end(&b);
	/* Half of a longer round trip. */
	h = peer(true, "mss 1000,sackOK");
	for (unsigned i = 0; i < 10; i++) {
		write_segments(h, 1 + 1000 * i, 1);
		bench_run(&b, 100 * CPL_MS);
		send(&b, ". 1 ack %u", 1001 + 1000 * i);
	}
	write_segments(h, 10001, 4);
	bench_run(&b, 100 * CPL_MS);
	send(&b, ". 1 ack 10001 <sack 11001:14001>");
	bench_run(&b, 50 * CPL_MS);
	expect(&b, ". 10001:11001 ack 1");
	send(&b, ". 1 ack 11001");
	half = bench_info(&b, h)->srtt / 2;
	assert_in_range(half, 30 * CPL_MS, 60 * CPL_MS);
	expect_after(&b, half, ". 11001:12001 ack 1");
	bench_end(&b);
}

/* DSACKs are counted, and are no news of what is in flight (RFC 2883). */
static void dsack_is_no_sack(void **state)
{
	cpl_handle h;

	(void)state;
	h = peer(true, "mss 1000,sackOK");
	write_segments(h, 1, 5);
	send(&b, ". 1 ack 2001 <sack 1:1001>");
	assert_int_equal(bench_info(&b, h)->dsack_dups, 1);
	assert_int_equal(bench_info(&b, h)->sacked, 0);
	send(&b, ". 1 ack 2001 <sack 3001:4001,sack 3001:5001>");
	assert_int_equal(bench_info(&b, h)->dsack_dups, 2);
	assert_int_equal(bench_info(&b, h)->sacked, 2000);
	bench_end(&b);
}

/* ---- the device ---- */

/* ---- congestion control ---- */

static void congestion_control_by_name(void **state)
{
	cpl_handle h;

	(void)state;
	bench_init(&b);
	memcpy(b.config.cc_name, "reno", 5);
	bench_start(&b);
	h = bench_passive(&b, "mss 1000");
	assert_string_equal(bench_info(&b, h)->cc_name, "reno");
	write_segments(h, 1, 10);
	for (unsigned i = 0; i < 3; i++)
		send(&b, ". 1 ack 1");
	assert_int_equal(bench_info(&b, h)->ssthresh, 5000);
	/* Another one on the way. */
	assert_int_equal(cpl_set_congestion(b.stack, h, "cubic", b.now), 0);
	assert_string_equal(bench_info(&b, h)->cc_name, "cubic");
	assert_int_equal(bench_info(&b, h)->ssthresh, 5000);
	assert_int_equal(cpl_set_congestion(b.stack, h, "vegas", b.now), -ENOENT);
	assert_string_equal(bench_info(&b, h)->cc_name, "cubic");
	bench_end(&b);
	bench_init(&b);
	memcpy(b.config.cc_name, "vegas", 6);
	heap_init(&b.heap, UINT64_MAX);
	b.config.alloc = heap_alloc;
	b.config.release = heap_release;
	b.config.alloc_ctx = &b.heap;
	assert_int_equal(cpl_stack_new(&b.stack, &b.config, b.now), -EINVAL);
}

/* MUST-19: slow start doubles the window in a round trip, congestion avoidance adds a segment. */
static void slow_start_and_congestion_avoidance(void **state)
{
	uint32_t una = 1, cwnd;
	cpl_handle h;

	(void)state;
	bench_init(&b);
	memcpy(b.config.cc_name, "reno", 5);
	bench_start(&b);
	h = bench_passive(&b, "mss 1000");
	bench_write(&b, h, 87000);
	assert_int_equal(bench_info(&b, h)->cwnd, 10000);
	for (unsigned round = 0; round < 2; round++) {
		unsigned n = 0;

		bench_run(&b, 50 * CPL_MS);
		cwnd = bench_info(&b, h)->cwnd;
		while (bench_take(&b))
			n++;
		assert_int_equal(n * 1000, cwnd);
		for (unsigned i = 0; i < n; i++)
			send(&b, ". 1 ack %u", una += 1000);
		assert_int_equal(bench_info(&b, h)->cwnd, 2 * cwnd);
	}
	bench_run(&b, 10 * CPL_MS);
	while (bench_take(&b))
		;
	for (unsigned i = 0; i < 3; i++)
		send(&b, ". 1 ack %u", una);
	cwnd = bench_info(&b, h)->ssthresh;
	while (bench_take(&b))
		;
	una = bench_info(&b, h)->snd_nxt - b.flow.our_iss;
	send(&b, ". 1 ack %u", una);
	assert_int_equal(bench_info(&b, h)->recovery, CPL_RECOVERY_OPEN);
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rto),
		cmocka_unit_test(karn),
		cmocka_unit_test(timestamps_time_retransmissions),
		cmocka_unit_test(slow_start_after_a_timeout),
		cmocka_unit_test(an_outage),
		cmocka_unit_test(r1_and_r2),
		cmocka_unit_test(progress_resets_r2),
		cmocka_unit_test(user_timeout),
		cmocka_unit_test(lost_syn),
		cmocka_unit_test(lost_fin),
		cmocka_unit_test(retransmission_by_the_mss_of_now),
		cmocka_unit_test(parts_of_a_super_segment),
		cmocka_unit_test(fast_retransmit),
		cmocka_unit_test(no_duplicates),
		cmocka_unit_test(fast_retransmit_with_sack),
		cmocka_unit_test(sack_lies),
		cmocka_unit_test(reneging),
		cmocka_unit_test(dsack_is_no_sack),
		cmocka_unit_test(congestion_control_by_name),
		cmocka_unit_test(slow_start_and_congestion_avoidance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
