/* SPDX-License-Identifier: MIT */
/*
 * Loss recovery, ACK by ACK: RACK and PRR with SACK, RFC 6582 without, RFC 3042, time-outs, F-RTO,
 * undo. The numbers are segments, worked out by hand from the RFCs' steps, with Reno's halving.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>

#include <couplet/info.h>

#include "loss/recovery.h"
#include "tests/util/heap.h"

#define MSS 1000u
#define ISS 4294957295u /* 10,001 before the wrap */
#define RTT 1000u

static struct heap heap;
static struct pool pool;
static struct sendmap map;
static struct recovery rec;
static struct cc cc;
static uint64_t now;
static uint64_t echo;		/* of the next ACK */
static struct sack_block dsack; /* likewise */
static const struct recovery_ack path = { .srtt_ns = RTT, .min_rtt_ns = RTT };

/* The sequence number of data segment N. */
static uint32_t seg(uint32_t n)
{
	return ISS + 1 + n * MSS;
}

static void start(bool sack, uint32_t cwnd_segments)
{
	heap_init(&heap, UINT64_MAX);
	pool_init(&pool, &heap.mem, sizeof(struct sent), 8, 10000, 4096);
	now = 1000;
	sendmap_init(&map, &pool, ISS + 1, now);
	recovery_init(&rec, sack, ISS, false);
	echo = 0;
	dsack = (struct sack_block){ 0 };
	cc_init(&cc, &cc_reno, MSS, cwnd_segments * MSS, now);
}

static int teardown(void **state)
{
	(void)state;
	sendmap_clear(&map);
	pool_destroy(&pool);
	assert_int_equal(heap.slabs, 0);
	return 0;
}

/* What TCP's output does after each ACK. */
static int32_t room(void)
{
	return (int32_t)(cc.cwnd + recovery_inflation(&rec, &map, &cc) - sendmap_pipe(&map));
}

static unsigned resent; /* segments sent again by the last send_all() */
static uint32_t first_resent;

static void send_again(void)
{
	struct sent *record;

	while ((record = sendmap_next_lost(&map)) &&
	       (rec.retransmit_now || room() >= (int32_t)MSS)) {
		if (record->end - record->start > MSS)
			sendmap_split(&map, record, record->start + MSS);
		if (!resent++)
			first_resent = record->start;
		recovery_sent(&rec, record->end - record->start, true, now);
		sendmap_resent(&map, record, now);
		rec.retransmit_now = false;
	}
}

/* Returns the new segments sent, of at most MOST. */
static unsigned send_all(unsigned most)
{
	unsigned n = 0;

	resent = 0;
	send_again();
	while (n < most && !sendmap_next_lost(&map) &&
	       room() + (int32_t)recovery_limited_transmit(&rec, &cc) >= (int32_t)MSS) {
		sendmap_sent(&map, map.nxt + MSS, MSS, 0, now);
		recovery_sent(&rec, MSS, false, now);
		n++;
	}
	return n;
}

/* An ACK up to segment UNA with one SACK block of segments [FIRST, LAST], if FIRST <= LAST. */
static bool ack(uint32_t una, uint32_t first, uint32_t last)
{
	struct sendmap_result res = { 0 };
	struct sack_block block = { seg(first), seg(last + 1) };
	struct recovery_ack what = path;
	bool sack = first <= last, grow;

	now += RTT;
	res.min_rtt_ns = RTT;
	what.echo_ns = res.echo_ns = echo;
	what.dsack = dsack.start != dsack.end;
	what.duplicate_block = dsack;
	if (seg(una) != map.una) {
		sendmap_ack(&map, seg(una), now, &res);
		what.advanced = true;
	}
	if (sack)
		sendmap_sack(&map, &block, 1, now, &res);
	what.duplicate = rec.sack ? res.newly_sacked > 0 : !what.advanced;
	grow = recovery_on_ack(&rec, &map, &cc, &what, &res, now);
	sendmap_check(&map);
	return grow;
}

static bool dup(uint32_t una)
{
	return ack(una, 1, 0);
}

#define check_cwnd(segments)	 assert_int_equal(cc.cwnd, (segments)*MSS)
#define check_ssthresh(segments) assert_int_equal(cc.ssthresh, (segments)*MSS)
#define check_state(name)	 assert_int_equal(rec.state, CPL_RECOVERY_##name)

/* RFC 8985 and RFC 9937: ten segments as one record, the first lost. */
static void test_sack_one_loss(void **state)
{
	/* What each of the SACKs of 4 to 11 lets go: first half of what arrives, then as much. */
	static const unsigned sent[] = { 0, 0, 1, 0, 0, 1, 1, 1 };

	(void)state;
	start(true, 10);
	sendmap_sent(&map, seg(10), MSS, 0, now);
	assert_true(ack(0, 1, 1));
	check_state(DISORDER);
	assert_int_equal(rec.t_reorder, now + RTT / 4);
	assert_int_equal(send_all(10), 1); /* RFC 6675 step (3.3) */
	ack(0, 1, 2);
	assert_int_equal(send_all(10), 1);
	check_cwnd(10);
	assert_false(ack(0, 1, 3)); /* the third: the reordering window is 0 */
	check_state(FAST);
	assert_int_equal(rec.t_reorder, RECOVERY_NEVER);
	assert_int_equal(rec.point, seg(12));
	check_ssthresh(5); /* FlightSize without the two of limited transmit: 10 */
	assert_int_equal(map.lost, MSS);
	assert_int_equal(rec.prr.recover_fs, 10 * MSS); /* 12 out, 2 of them SACKed before */
	assert_int_equal(sendmap_pipe(&map), 8 * MSS);
	check_cwnd(9); /* room for the fast retransmit */
	assert_int_equal(send_all(10), 0);
	assert_int_equal(resent, 1);
	assert_int_equal(first_resent, seg(0));
	for (unsigned i = 4; i <= 11; i++) {
		assert_false(ack(0, 1, i));
		assert_int_equal(send_all(10), sent[i - 4]);
	}
	assert_int_equal(sendmap_pipe(&map), 5 * MSS);
	/* The retransmission arrived: everything up to the point. */
	assert_false(ack(12, 1, 0));
	check_state(OPEN);
	check_cwnd(5);
	assert_int_equal(sendmap_pipe(&map), 4 * MSS);
	assert_int_equal(rec.entered, 1);
	assert_true(ack(13, 1, 0));
}

/* Before the third duplicate ACK: one ACK that SACKs more than two segments. */
static void test_sack_stretched(void **state)
{
	(void)state;
	start(true, 10);
	sendmap_sent(&map, seg(10), MSS, 0, now);
	ack(0, 3, 7);
	check_state(FAST);
	assert_int_equal(map.lost, 3 * MSS);
	/* pipe = 10 - 5 SACKed - 3 lost = 2, below ssthresh: as much as arrived, at most 3. */
	check_cwnd(5);
	send_all(0);
	assert_int_equal(resent, 3);
	/* No second reduction for what is lost in the same window. */
	ack(2, 3, 9);
	check_ssthresh(5);
	ack(10, 1, 0);
	check_state(OPEN);
	check_cwnd(5);
}

/* Three duplicate ACKs of tiny segments, three segments' bytes they are not: still a loss. */
static void test_sack_tiny(void **state)
{
	struct sendmap_result res;
	struct recovery_ack what = path;
	uint32_t i;

	(void)state;
	start(true, 10);
	for (i = 0; i < 10; i++)
		sendmap_sent(&map, map.nxt + 10, MSS, 0, now);
	for (i = 1; i <= 3; i++) {
		now += RTT;
		res = (struct sendmap_result){ 0 };
		sendmap_sack(&map, &(struct sack_block){ seg(0) + 10, seg(0) + 10 + 10 * i }, 1,
			     now, &res);
		recovery_on_ack(&rec, &map, &cc, &what, &res, now);
	}
	check_state(FAST);
	assert_int_equal(map.lost, 10);
	check_ssthresh(2);
	assert_true(rec.retransmit_now);
}

/* Losses after the point start a recovery of their own, as the old one ends. */
static void test_sack_next_window(void **state)
{
	(void)state;
	start(true, 8);
	sendmap_sent(&map, seg(8), MSS, 0, now);
	ack(0, 1, 7);
	check_state(FAST);
	check_cwnd(4);
	assert_int_equal(send_all(20), 3);
	assert_int_equal(map.nxt, seg(11));
	/* The retransmission of 0 arrives; 8 is lost, and 9 and 10 arrive. */
	ack(8, 9, 10);
	check_state(DISORDER);
	assert_int_equal(send_all(20), 3);
	ack(8, 11, 12);
	assert_int_equal(rec.entered, 2);
	check_state(FAST);
	assert_int_equal(rec.point, seg(14));
	assert_int_equal(map.lost, MSS);
	/* FlightSize 6, but no more than cwnd, which was 4: ssthresh 2. */
	check_ssthresh(2);
}

/* NextSeg() (4) of RFC 6675, when the program has no more to send. */
static void test_rescue(void **state)
{
	struct sent *record;

	(void)state;
	start(true, 10);
	sendmap_sent(&map, seg(10), MSS, 0, now);
	assert_null(recovery_rescue(&rec, &map, &cc));
	ack(0, 2, 4); /* 0 and 1 are lost */
	ack(0, 6, 6); /* and 5; of 7 to 9 nothing is known */
	check_state(FAST);
	cc.cwnd = 10 * MSS;
	assert_null(recovery_rescue(&rec, &map, &cc)); /* those come first */
	send_all(0);
	assert_int_equal(resent, 3);
	record = recovery_rescue(&rec, &map, &cc);
	assert_int_equal(record->start, seg(9));
	assert_int_equal(record->end, seg(10));
	sendmap_resent(&map, record, now);
	sendmap_sent(&map, seg(11), MSS, 0, now);
	assert_null(recovery_rescue(&rec, &map, &cc)); /* once */
	sendmap_check(&map);
}

/* RFC 6582 3.2: segments 0 and 3 of ten lost, new data always there. */
static void test_newreno(void **state)
{
	unsigned i;

	(void)state;
	start(false, 10);
	sendmap_sent(&map, seg(10), MSS, 0, now);
	assert_true(dup(0));
	assert_int_equal(send_all(10), 1); /* RFC 3042 */
	assert_true(dup(0));
	assert_int_equal(send_all(10), 1);
	assert_false(dup(0));
	check_state(FAST);
	check_ssthresh(5);
	assert_int_equal(cc.cwnd + rec.inflation, 8 * MSS); /* ssthresh + 3 */
	assert_int_equal(rec.point, seg(12));
	assert_int_equal(send_all(10), 0);
	assert_int_equal(resent, 1);
	assert_int_equal(first_resent, seg(0));
	/* Of 1, 2, 4..11 ten duplicates in all: seven more; cwnd 15, FlightSize 12: three new. */
	for (i = 0; i < 7; i++) {
		dup(0);
		assert_int_equal(send_all(10), i < 4 ? 0 : 1);
	}
	assert_int_equal(cc.cwnd + rec.inflation, 15 * MSS);
	/* The partial ACK, of three segments: cwnd 15 - 3 + 1; 3 is sent again, and one new. */
	assert_false(ack(3, 1, 0));
	check_state(FAST);
	assert_int_equal(cc.cwnd + rec.inflation, 13 * MSS);
	assert_int_equal(send_all(10), 1);
	assert_int_equal(resent, 1);
	assert_int_equal(first_resent, seg(3));
	check_ssthresh(5);
	/* Full ACK: min(ssthresh, FlightSize + 1): 4 are out (12 to 15). */
	assert_false(ack(12, 1, 0));
	check_state(OPEN);
	check_cwnd(5);
	assert_int_equal(rec.inflation, 0);
	assert_int_equal(sendmap_pipe(&map), 4 * MSS);
}

/* A partial ACK of more than the inflation takes the rest from cwnd itself. */
static void test_newreno_deflation(void **state)
{
	(void)state;
	start(false, 20);
	sendmap_sent(&map, seg(20), MSS, 0, now);
	dup(0);
	dup(0);
	dup(0);
	check_cwnd(10);
	send_all(0);
	ack(9, 1, 0); /* 13 - 9 + 1 */
	assert_int_equal(cc.cwnd + rec.inflation, 5 * MSS);
	send_all(0);
	assert_int_equal(first_resent, seg(9));
	/* The end with little in flight: RFC 6582 3.2 step 3, first way: max(0, 1) + 1. */
	ack(20, 1, 0);
	check_cwnd(2);
	check_ssthresh(10);
}

/* RFC 6582 3.2 steps 2 and 4, and 4.1: three duplicates after an RTO. */
static void test_newreno_careful(void **state)
{
	unsigned i;

	(void)state;
	start(false, 8);
	sendmap_sent(&map, seg(8), MSS, 0, now);
	recovery_on_timeout(&rec, &map, &cc, true, &path, now);
	check_state(RTO);
	check_ssthresh(4);
	check_cwnd(1);
	send_all(0);
	assert_int_equal(resent, 1);
	/* Below "recover" duplicates change nothing. */
	for (i = 0; i < 4; i++)
		assert_true(dup(0));
	check_state(RTO);
	/* The whole flight had arrived: una jumps to "recover". Duplicates then are of the
	 * needless retransmissions. */
	assert_true(ack(8, 1, 0));
	check_state(OPEN);
	cc.cwnd = 5 * MSS;
	assert_int_equal(send_all(10), 5);
	for (i = 0; i < 3; i++)
		assert_true(dup(8));
	check_state(DISORDER);
	assert_int_equal(recovery_limited_transmit(&rec, &cc), 2 * MSS);
	/* Beyond it, they are of a loss. */
	ack(9, 1, 0);
	for (i = 0; i < 3; i++)
		dup(9);
	check_state(FAST);
}

/* At "recover" itself after a small step of una, duplicates do mean loss (section 4.1). */
static void test_newreno_ack_heuristic(void **state)
{
	unsigned i;

	(void)state;
	start(false, 8);
	sendmap_sent(&map, seg(8), MSS, 0, now);
	recovery_on_timeout(&rec, &map, &cc, true, &path, now);
	ack(5, 1, 0);
	ack(8, 1, 0);
	check_state(OPEN);
	cc.cwnd = 5 * MSS;
	send_all(10);
	cc.cwnd = MSS;
	for (i = 0; i < 3; i++)
		dup(8);
	check_state(DISORDER);
	cc.cwnd = 5 * MSS;
	dup(8);
	check_state(FAST);
}

/* At the very start "recover" is the ISS: the first data segment can be retransmitted fast. */
static void test_newreno_first_segment(void **state)
{
	(void)state;
	start(false, 4);
	sendmap_sent(&map, seg(4), MSS, 0, now);
	dup(0);
	dup(0);
	dup(0);
	check_state(FAST);
	check_ssthresh(2);
}

/* MUST-19: RFC 5681 3.1 and RFC 6675 5.1. */
static void test_timeout(void **state)
{
	(void)state;
	start(true, 10);
	sendmap_sent(&map, seg(10), MSS, 0, now);
	ack(0, 8, 9);
	check_state(DISORDER);
	now += 10 * RTT;
	recovery_on_timeout(&rec, &map, &cc, true, &path, now);
	check_state(RTO);
	check_cwnd(1);
	check_ssthresh(5);
	assert_int_equal(map.lost, 8 * MSS); /* 8 and 9 stay SACKed */
	assert_int_equal(sendmap_pipe(&map), 0);
	send_all(10);
	assert_int_equal(resent, 1);
	assert_int_equal(first_resent, seg(0));
	/* A second time-out of the same segment leaves ssthresh alone. */
	now += 10 * RTT;
	recovery_on_timeout(&rec, &map, &cc, false, &path, now);
	check_ssthresh(5);
	send_all(10);
	assert_int_equal(resent, 1);
	/* Slow start: the caller lets the controller grow cwnd. */
	assert_true(ack(1, 1, 0));
	cc.cwnd += MSS;
	send_all(10);
	assert_int_equal(resent, 2);
	/* No fast recovery until the point (RFC 6675 5.1). */
	ack(1, 3, 7);
	check_state(RTO);
	assert_true(ack(10, 1, 0));
	check_state(OPEN);
	assert_int_equal(rec.entered, 0);
}

/* MUST-19: nor does a controller that sets cwnd itself send more after a time-out. */
static void test_timeout_owned(void **state)
{
	(void)state;
	start(false, 20);
	cc_init(&cc, &cc_bbr, MSS, 20 * MSS, now);
	sendmap_sent(&map, seg(20), MSS, 0, now);
	now += 10 * RTT;
	recovery_on_timeout(&rec, &map, &cc, true, &path, now);
	check_cwnd(1);
	send_all(20);
	assert_int_equal(resent, 1);
}

/* In fast recovery: the loss of a retransmission lowers the window a second time (RFC 5681 4.3). */
static void test_timeout_in_fast(void **state)
{
	(void)state;
	start(true, 20);
	sendmap_sent(&map, seg(20), MSS, 0, now);
	ack(0, 1, 5);
	check_state(FAST);
	check_ssthresh(10);
	/* pipe 14, and half of the five that arrived */
	assert_int_equal(cc.cwnd, 16500);
	send_all(0);
	now += 10 * RTT;
	recovery_on_timeout(&rec, &map, &cc, true, &path, now);
	check_state(RTO);
	assert_int_equal(cc.ssthresh, 8000);
	check_cwnd(1);
	assert_int_equal(map.retrans, 0);
	assert_false(rec.retransmit_now);
}

/* RFC 2018 section 8: what is at una cannot have been SACKed. */
static void test_timeout_reneging(void **state)
{
	(void)state;
	start(true, 10);
	sendmap_sent(&map, seg(10), MSS, 0, now);
	ack(0, 2, 3);
	ack(2, 5, 5);
	assert_int_equal(map.sacked, 3 * MSS);
	recovery_on_timeout(&rec, &map, &cc, true, &path, now);
	assert_int_equal(map.sacked, 0);
	assert_int_equal(map.lost, 8 * MSS);
	send_all(0);
	assert_int_equal(first_resent, seg(2));
}

/* RFC 5681 3.1: after a lost SYN one segment, and slow start without end. */
static void test_timeout_syn(void **state)
{
	(void)state;
	start(true, 10);
	sendmap_clear(&map);
	sendmap_init(&map, &pool, ISS, now);
	sendmap_sent(&map, ISS + 1, MSS, SENT_SYN, now);
	recovery_on_timeout(&rec, &map, &cc, true, &path, now);
	check_cwnd(1);
	check_state(OPEN);
	assert_int_equal(cc.ssthresh, CC_SSTHRESH_NONE);
	assert_ptr_equal(sendmap_next_lost(&map), sendmap_first(&map));
}

/* RFC 3042: two segments beyond cwnd, no more, and none in recovery. */
static void test_limited_transmit(void **state)
{
	(void)state;
	start(false, 4);
	sendmap_sent(&map, seg(4), MSS, 0, now);
	assert_int_equal(recovery_limited_transmit(&rec, &cc), 0);
	dup(0);
	assert_int_equal(recovery_limited_transmit(&rec, &cc), MSS);
	assert_int_equal(send_all(10), 1);
	assert_int_equal(send_all(10), 0);
	dup(0);
	assert_int_equal(recovery_limited_transmit(&rec, &cc), 2 * MSS);
	assert_int_equal(send_all(10), 1);
	dup(0);
	assert_int_equal(recovery_limited_transmit(&rec, &cc), 0);
}

/* With SACK the pipe itself makes that room (RFC 6675 5, step 3.3). */
static void test_limited_transmit_sack(void **state)
{
	(void)state;
	start(true, 4);
	sendmap_sent(&map, seg(4), MSS, 0, now);
	ack(0, 1, 1);
	assert_int_equal(recovery_limited_transmit(&rec, &cc), 0);
	assert_int_equal(send_all(10), 1);
}

/* An ACK of everything ends disorder; the FIN alone in flight is recovered like data. */
static void test_disorder_ends(void **state)
{
	(void)state;
	start(true, 10);
	sendmap_sent(&map, seg(5), MSS, 0, now);
	ack(0, 2, 2);
	check_state(DISORDER);
	assert_true(ack(5, 1, 0));
	check_state(OPEN);
	assert_int_equal(rec.dup_acks, 0);
	check_cwnd(10);
}

#define CASE(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_sack_one_loss),
		CASE(test_sack_stretched),
		CASE(test_sack_tiny),
		CASE(test_sack_next_window),
		CASE(test_rescue),
		CASE(test_newreno),
		CASE(test_newreno_deflation),
		CASE(test_newreno_careful),
		CASE(test_newreno_ack_heuristic),
		CASE(test_newreno_first_segment),
		CASE(test_timeout),
		CASE(test_timeout_owned),
		CASE(test_timeout_in_fast),
		CASE(test_timeout_reneging),
		CASE(test_timeout_syn),
		CASE(test_limited_transmit),
		CASE(test_limited_transmit_sack),
		CASE(test_disorder_ends),
	};

	return cmocka_run_group_tests_name("loss/recovery", tests, NULL, NULL);
}
