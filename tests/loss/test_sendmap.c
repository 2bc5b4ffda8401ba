/* SPDX-License-Identifier: MIT */
/*
 * The send map, case by case: what RFC 6675 calls pipe and IsLost(), Karn's algorithm, splitting,
 * refusals, rate samples. test_sendmap_model.c compares it with a naive scoreboard.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>

#include "loss/sendmap.h"
#include "tests/util/heap.h"

#define MSS 1000u
#define ISS 0xfffffc18u /* the first segment ends at the wrap */
#define MS  1000000ull

static struct heap heap;
static struct pool pool;
static struct sendmap map;
static struct sendmap_result res;

static int setup(void **state)
{
	(void)state;
	heap_init(&heap, UINT64_MAX);
	pool_init(&pool, &heap.mem, sizeof(struct sent), 8, 10000, 4096);
	sendmap_init(&map, &pool, ISS, 0);
	res = (struct sendmap_result){ 0 };
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sendmap_clear(&map);
	sendmap_check(&map);
	pool_trim(&pool);
	assert_int_equal(pool.in_use, 0);
	pool_destroy(&pool);
	assert_int_equal(heap.slabs, 0);
	return 0;
}

/* The sequence number of segment N, the SYN before it. */
static uint32_t seg(uint32_t n)
{
	return ISS + n * MSS;
}

/* One record for each of N segments. */
static void send_segments(unsigned n, uint64_t now)
{
	while (n--)
		assert_non_null(sendmap_sent(&map, map.nxt + MSS, MSS, 0, now));
}

static void sack(uint32_t first, uint32_t last, uint64_t now)
{
	struct sack_block block = { seg(first), seg(last + 1) };

	res = (struct sendmap_result){ 0 };
	sendmap_sack(&map, &block, 1, now, &res);
	sendmap_check(&map);
}

static void ack(uint32_t seq, uint64_t now)
{
	res = (struct sendmap_result){ 0 };
	sendmap_ack(&map, seq, now, &res);
	sendmap_check(&map);
}

static unsigned records(void)
{
	const struct list *node;
	unsigned n = 0;

	list_for_each (node, &map.records)
		n++;
	return n;
}

static void test_syn_fin(void **state)
{
	(void)state;
	assert_true(sendmap_empty(&map));
	sendmap_sent(&map, ISS + 1, MSS, SENT_SYN, 1);
	assert_int_equal(sendmap_pipe(&map), 1);
	ack(ISS + 1, 5);
	assert_true(res.syn);
	assert_false(res.fin);
	assert_int_equal(res.rtt_ns, 4);
	/* 100 bytes and a FIN in one record: the ACK of the bytes is not yet one of the FIN. */
	sendmap_sent(&map, ISS + 102, MSS, SENT_FIN, 10);
	ack(ISS + 101, 20);
	assert_false(res.fin);
	assert_int_equal(sendmap_pipe(&map), 1);
	ack(ISS + 102, 20);
	assert_true(res.fin);
	assert_true(sendmap_empty(&map));
	assert_int_equal(map.delivered, 102);
}

/* One record of ten segments, acknowledged to the middle of its third. */
static void test_partial_ack(void **state)
{
	(void)state;
	sendmap_sent(&map, seg(10), MSS, 0, 100);
	ack(seg(2) + 1, 150);
	assert_int_equal(records(), 1);
	assert_int_equal(sendmap_first(&map)->start, seg(2) + 1);
	assert_int_equal(res.delivered, 2001);
	assert_int_equal(res.rtt_ns, 50);
	assert_int_equal(sendmap_pipe(&map), 7999);
}

/* MUST-18: no sample from what was sent twice; of the rest, from the newest (Karn). */
static void test_karn(void **state)
{
	(void)state;
	send_segments(1, 100);
	send_segments(1, 200);
	send_segments(1, 300);
	sendmap_mark_lost(&map, sendmap_find(&map, seg(2)));
	sendmap_resent(&map, sendmap_find(&map, seg(2)), 400);
	ack(seg(3), 1000);
	assert_int_equal(res.rtt_ns, 800); /* of the second */
	assert_int_equal(res.acked_time, 400);
	assert_true(res.acked_retrans);
	send_segments(1, 2000);
	sendmap_mark_all_lost(&map, false);
	sendmap_resent(&map, sendmap_next_lost(&map), 3000);
	ack(seg(4), 4000);
	assert_int_equal(res.rtt_ns, 0);
	assert_int_equal(res.delivered, MSS);
}

/* RFC 6675 section 4: SetPipe(). */
static void test_pipe(void **state)
{
	(void)state;
	send_segments(10, 1);
	assert_int_equal(sendmap_pipe(&map), 10 * MSS);
	sack(3, 6, 2);
	assert_int_equal(res.newly_sacked, 4 * MSS);
	assert_int_equal(res.delivered, 4 * MSS);
	assert_int_equal(sendmap_pipe(&map), 6 * MSS);
	for (uint32_t i = 0; i < 3; i++)
		sendmap_mark_lost(&map, sendmap_find(&map, seg(i)));
	assert_int_equal(sendmap_pipe(&map), 3 * MSS); /* 7, 8, 9 */
	assert_ptr_equal(sendmap_next_lost(&map), sendmap_first(&map));
	sendmap_resent(&map, sendmap_next_lost(&map), 3);
	assert_int_equal(sendmap_pipe(&map), 4 * MSS);
	assert_int_equal(sendmap_next_lost(&map)->start, seg(1));
	/* The retransmission is SACKed, or arrives: neither lost nor in the pipe. */
	sack(1, 1, 4);
	assert_int_equal(sendmap_pipe(&map), 4 * MSS);
	ack(seg(2), 5);
	assert_int_equal(sendmap_pipe(&map), 3 * MSS);
	assert_int_equal(map.lost, MSS);
	assert_int_equal(map.retrans, 0);
}

/* Segments that touch make one range, whatever order they came in. */
static void test_ranges(void **state)
{
	(void)state;
	send_segments(12, 1);
	sack(3, 4, 2);
	sack(6, 6, 2);
	sack(8, 8, 2);
	sack(10, 10, 2);
	sack(9, 9, 2);
	sack(7, 7, 2);
	assert_int_equal(records(), 3 + 1 + 1 + 1 + 1);
}

/* A block cuts a record of many segments between segments, never inside one. */
static void test_sack_splits(void **state)
{
	struct sack_block block = { seg(2) + 1, seg(6) - 1 };

	(void)state;
	sendmap_sent(&map, seg(10), MSS, SENT_PSH, 100);
	sendmap_sack(&map, &block, 1, 150, &res);
	sendmap_check(&map);
	assert_int_equal(res.newly_sacked, 2 * MSS); /* 3 and 4: 2 and 5 are not complete */
	assert_int_equal(records(), 3);
	assert_int_equal(map.high_sacked, seg(5));
	assert_int_equal(sendmap_find(&map, seg(4))->flags, SENT_SACKED);
	assert_int_equal(sendmap_find(&map, seg(9))->flags, SENT_PSH);
	assert_int_equal(sendmap_first(&map)->flags, 0);
	/* Both parts keep when they were sent: a sample from each. */
	ack(seg(10), 175);
	assert_int_equal(res.rtt_ns, 75);
	assert_int_equal(res.delivered, 8 * MSS);
}

static void test_hostile_bytes(void **state)
{
	struct sack_block block;
	uint32_t i;

	(void)state;
	sendmap_sent(&map, seg(10), MSS, 0, 100);
	for (i = 1; i < 10 * MSS; i += 2) {
		block = (struct sack_block){ ISS + i, ISS + i + 1 };
		sendmap_sack(&map, &block, 1, 150, &res);
	}
	sendmap_check(&map);
	assert_int_equal(records(), 1);
	assert_int_equal(map.sacked, 0);
}

/* RFC 2018 section 8: the receiver dropped what it had SACKed. */
static void test_renege(void **state)
{
	(void)state;
	send_segments(5, 1);
	sack(2, 3, 2);
	sendmap_mark_all_lost(&map, false);
	sendmap_check(&map);
	assert_int_equal(map.lost, 3 * MSS);
	assert_int_equal(map.sacked, 2 * MSS);
	sendmap_mark_all_lost(&map, true);
	sendmap_check(&map);
	assert_int_equal(map.lost, 5 * MSS);
	assert_int_equal(map.sacked, 0);
	assert_int_equal(sendmap_pipe(&map), 0);
	/* Told again, it counts again. */
	sack(2, 3, 3);
	assert_int_equal(res.newly_sacked, 2 * MSS);
}

static void test_lost_again(void **state)
{
	struct sent *first;

	(void)state;
	send_segments(2, 1);
	first = sendmap_first(&map);
	sendmap_mark_lost(&map, first);
	sendmap_mark_lost(&map, first);
	assert_int_equal(map.lost_total, MSS);
	sendmap_resent(&map, first, 2);
	assert_null(sendmap_next_lost(&map));
	sendmap_mark_lost(&map, first);
	assert_int_equal(map.lost_total, 2 * MSS);
	assert_ptr_equal(sendmap_next_lost(&map), first);
	assert_int_equal(map.lost, MSS);
	sendmap_unmark_lost(&map);
	sendmap_check(&map);
	assert_int_equal(sendmap_pipe(&map), 2 * MSS);
	assert_int_equal(first->transmissions, 2);
}

/* What the device refused is not in the network and was not lost there. */
static void test_refused(void **state)
{
	struct sent *record;

	(void)state;
	send_segments(3, 1);
	record = sendmap_find(&map, seg(2));
	sendmap_refused(&map, record);
	sendmap_check(&map);
	assert_int_equal(sendmap_pipe(&map), 2 * MSS);
	assert_int_equal(map.lost, 0);
	assert_ptr_equal(sendmap_next_lost(&map), record);
	sendmap_resent(&map, record, 10);
	assert_int_equal(sendmap_pipe(&map), 3 * MSS);
	assert_int_equal(record->transmissions, 1);
	ack(seg(3), 15);
	assert_int_equal(res.rtt_ns, 5); /* it was sent only once: a sample */
	/* A refused retransmission is lost as it was before. */
	send_segments(1, 20);
	record = sendmap_first(&map);
	sendmap_mark_lost(&map, record);
	sendmap_resent(&map, record, 30);
	sendmap_refused(&map, record);
	sendmap_check(&map);
	assert_int_equal(sendmap_pipe(&map), 0);
	assert_ptr_equal(sendmap_next_lost(&map), record);
	assert_int_equal(record->transmissions, 1);
}

static void test_reordered(void **state)
{
	(void)state;
	send_segments(6, 1);
	sack(2, 2, 2);
	assert_false(res.reordered);
	sack(3, 3, 2);
	assert_false(res.reordered);
	sack(1, 1, 2); /* overtaken by 2 and 3 */
	assert_true(res.reordered);
	sack(5, 5, 2);
	assert_false(res.reordered);
	sendmap_mark_lost(&map, sendmap_first(&map));
	sendmap_resent(&map, sendmap_first(&map), 3);
	ack(seg(4), 4); /* the retransmission of 0, as far as one can know */
	assert_false(res.reordered);
	ack(seg(5), 5); /* 4 arrived after 5 */
	assert_true(res.reordered);
}

/* draft-ietf-ccwg-bbr 4.1: ten segments at 1 ms intervals, acknowledged 20 ms later as they came.
 */
static void test_rate(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 10; i++)
		send_segments(1, 100 * MS + i * MS);
	for (i = 0; i < 9; i++) {
		ack(seg(i + 1), 120 * MS + i * MS);
		sendmap_rate(&map, 20 * MS, 120 * MS + i * MS, &res);
	}
	/* Segment 8: all sent in the first flight, so from 100 ms on; 9 delivered by 128 ms. */
	assert_int_equal(res.rate.prior_delivered, 0);
	assert_int_equal(res.rate.delivered, 9 * MSS);
	assert_int_equal(res.rate.interval_ns, 28 * MS);
	assert_int_equal(res.rate.tx_in_flight, 9 * MSS);
	assert_int_equal(res.rate.rtt_ns, 20 * MS);
	assert_false(res.rate.app_limited);
	/* Less than the minimum RTT: no sample. */
	ack(seg(10), 129 * MS);
	sendmap_rate(&map, 30 * MS, 129 * MS, &res);
	assert_int_equal(res.rate.interval_ns, 0);
}

/* draft-ietf-ccwg-bbr 4.1.3.5.1: without SACK a duplicate ACK is a delivery, which counts once. */
static void test_rate_duplicates(void **state)
{
	(void)state;
	send_segments(6, 100 * MS);
	for (unsigned i = 1; i <= 3; i++) {
		res = (struct sendmap_result){ 0 };
		sendmap_duplicate(&map, MSS, 120 * MS + i * MS, &res);
		assert_int_equal(res.delivered, MSS);
	}
	assert_int_equal(map.delivered, 3 * MSS);
	sendmap_mark_lost(&map, sendmap_first(&map));
	sendmap_resent(&map, sendmap_first(&map), 124 * MS);
	/* The hole is filled: one segment, and the three that were known to be there. */
	ack(seg(4), 144 * MS);
	sendmap_rate(&map, 20 * MS, 144 * MS, &res);
	assert_int_equal(res.delivered, MSS);
	assert_int_equal(res.rate.delivered, MSS);
	/* Sent from 100 to 124; since the third duplicate came, 21 ms. */
	assert_int_equal(res.rate.interval_ns, 24 * MS);
	/* Told of one, and both come. */
	sendmap_duplicate(&map, MSS, 145 * MS, &res);
	ack(seg(6), 146 * MS);
	assert_int_equal(res.delivered, MSS);
	assert_int_equal(map.delivered, 6 * MSS);
	/* However many there are: the first is missing, and what is not in flight cannot come. */
	send_segments(3, 150 * MS);
	for (unsigned i = 0; i < 9; i++)
		sendmap_duplicate(&map, MSS, 160 * MS, &res);
	assert_int_equal(map.delivered, 8 * MSS);
	ack(seg(7), 170 * MS);
	sendmap_check(&map);
	ack(seg(9), 170 * MS);
	assert_int_equal(map.delivered, 9 * MSS);
}

/* What is left of larger segments goes again in full ones, up to a push; what went again apart. */
static void test_join_lost(void **state)
{
	struct sent *record;

	(void)state;
	send_segments(3, 1);
	sendmap_sent(&map, map.nxt + MSS, MSS, SENT_PSH, 1);
	send_segments(2, 1);
	sendmap_mark_all_lost(&map, false);
	record = sendmap_first(&map);
	sendmap_join_lost(&map, record, MSS); /* full already */
	assert_int_equal(record->end, seg(1));
	sendmap_split(&map, record, seg(1) - MSS / 4);
	sendmap_resent(&map, record, 2);
	record = sendmap_next_lost(&map);
	sendmap_join_lost(&map, record, MSS); /* a short one, of segments that fit */
	assert_int_equal(record->end, seg(1));
	sendmap_join_lost(&map, record, MSS - 1);
	assert_int_equal(record->end, seg(2));
	sendmap_join_lost(&map, record, 3 * MSS); /* not larger */
	assert_int_equal(record->end, seg(2));
	sendmap_check(&map);
	ack(record->end, 3);
	record = sendmap_split(&map, sendmap_first(&map), seg(3) - 1);
	sendmap_join_lost(&map, record, MSS - 1); /* with what ends in a push, no further */
	assert_int_equal(record->end, seg(4));
	sendmap_split(&map, record, seg(4) - 1);
	record = sendmap_find(&map, seg(4) - 1);
	sendmap_join_lost(&map, record, MSS - 1);
	assert_int_equal(record->end, seg(4));
	sendmap_check(&map);
	/* Karn: one that went twice stays apart from one that went once. */
	ack(seg(4), 4);
	sendmap_split(&map, sendmap_first(&map), seg(4) + 1);
	sendmap_resent(&map, sendmap_first(&map), 5);
	sendmap_mark_lost(&map, sendmap_first(&map));
	sendmap_join_lost(&map, sendmap_first(&map), MSS - 1);
	assert_int_equal(sendmap_first(&map)->end, seg(4) + 1);
	sendmap_check(&map);
}

static void test_rate_app_limited(void **state)
{
	(void)state;
	send_segments(2, 100);
	sendmap_app_limited(&map);
	send_segments(1, 110);
	ack(seg(2), 200);
	sendmap_rate(&map, 0, 200, &res);
	assert_false(res.rate.app_limited);
	ack(seg(3), 210);
	sendmap_rate(&map, 0, 210, &res);
	assert_true(res.rate.app_limited);
	/* The bubble has left the network. */
	send_segments(1, 220);
	ack(seg(4), 300);
	sendmap_rate(&map, 0, 300, &res);
	assert_false(res.rate.app_limited);
	assert_int_equal(res.rate.lost, 0);
}

/* Without memory: a record not made changes nothing, a split not made loses only SACK's news. */
static void test_no_memory(void **state)
{
	struct sack_block block = { seg(2), seg(4) };

	(void)state;
	while (sendmap_sent(&map, map.nxt + 5 * MSS, MSS, 0, 1))
		;
	assert_int_equal(pool.in_use, 10000);
	assert_int_equal(map.nxt, seg(50000));
	sendmap_check(&map);
	assert_null(sendmap_split(&map, sendmap_first(&map), seg(1)));
	sendmap_sack(&map, &block, 1, 2, &res);
	sendmap_check(&map);
	assert_int_equal(res.newly_sacked, 0);
	/* Two records become one: there is memory for one cut of the two that the block needs. */
	res = (struct sendmap_result){ 0 };
	sendmap_sack(&map, &(struct sack_block){ seg(5), seg(15) }, 1, 4, &res);
	assert_int_equal(res.newly_sacked, 10 * MSS);
	sendmap_sack(&map, &block, 1, 4, &res);
	assert_int_equal(res.newly_sacked, 10 * MSS);
	/* With more, the same block is not taken for known. */
	ack(seg(1), 5);
	sendmap_sack(&map, &(struct sack_block){ seg(15), seg(20) }, 1, 6, &res);
	sendmap_sack(&map, &block, 1, 6, &res);
	assert_int_equal(res.newly_sacked, 7 * MSS);
	sendmap_check(&map);
}

/* However a peer jumps about, one segment costs a bounded walk; and what it says comes to count. */
static void test_walk(void **state)
{
	unsigned i;

	(void)state;
	send_segments(9999, 1);
	for (i = 1; i < 9998; i += 1000) {
		sack(9998 - i, 9998 - i, 2);
		sack(i, i, 2);
	}
	for (i = 0; i < 5; i++)
		sack(5001, 5001, 2);
	assert_true(sendmap_find(&map, seg(5001))->flags & SENT_SACKED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_syn_fin, setup, teardown),
		cmocka_unit_test_setup_teardown(test_partial_ack, setup, teardown),
		cmocka_unit_test_setup_teardown(test_karn, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pipe, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ranges, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sack_splits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_renege, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reordered, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rate, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rate_duplicates, setup, teardown),
		cmocka_unit_test_setup_teardown(test_join_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rate_app_limited, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_walk, setup, teardown),
	};

	return cmocka_run_group_tests_name("loss/sendmap", tests, NULL, NULL);
}
