/* SPDX-License-Identifier: MIT */
/*
 * RACK, RFC 8985 section 6: who is lost when, how the reordering window adapts, the time-out. Times
 * in milliseconds; the round trip is 40.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "loss/rack.h"
#include "tests/util/heap.h"

#define MSS 1000u
#define ISS 4294965296u /* two segments before the wrap */
#define MS  1000000ull

static struct heap heap;
static struct pool pool;
static struct sendmap map;
static struct rack rack;
static struct rack_path path;
static uint64_t wait_ns;

static uint32_t seg(uint32_t n)
{
	return ISS + n * MSS;
}

/* N segments, one each millisecond from 1 on. */
static void start(uint32_t n)
{
	heap_init(&heap, UINT64_MAX);
	pool_init(&pool, &heap.mem, sizeof(struct sent), 8, 10000, 4096);
	sendmap_init(&map, &pool, ISS, 0);
	rack_init(&rack, false);
	path = (struct rack_path){ .srtt_ns = 40 * MS, .min_rtt_ns = 40 * MS };
	for (uint32_t i = 0; i < n; i++)
		sendmap_sent(&map, seg(i + 1), MSS, 0, (i + 1) * MS);
}

static int teardown(void **state)
{
	(void)state;
	sendmap_clear(&map);
	pool_destroy(&pool);
	return 0;
}

/* At MS_NOW: segments FIRST to LAST are SACKed, una is segment UNA. Returns segments lost. */
static uint32_t ack_echo(uint64_t ms_now, uint32_t una, uint32_t first, uint32_t last,
			 uint64_t echo_ms)
{
	struct sendmap_result res = { .min_rtt_ns = path.min_rtt_ns, .echo_ns = echo_ms * MS };
	struct sack_block block = { seg(first), seg(last + 1) };
	uint32_t lost;

	if (map.una != seg(una))
		sendmap_ack(&map, seg(una), ms_now * MS, &res);
	if (first <= last)
		sendmap_sack(&map, &block, 1, ms_now * MS, &res);
	rack_update(&rack, &res, ms_now * MS);
	lost = rack_detect(&rack, &map, &path, ms_now * MS, &wait_ns);
	sendmap_check(&map);
	return lost / MSS;
}

static uint32_t ack(uint64_t ms_now, uint32_t una, uint32_t first, uint32_t last)
{
	return ack_echo(ms_now, una, first, last, 0);
}

static uint32_t later(uint64_t ms_now)
{
	return rack_detect(&rack, &map, &path, ms_now * MS, &wait_ns) / MSS;
}

/* A later segment was delivered: after a quarter of the least RTT what left before it is lost. */
static void a_quarter_of_the_round_trip(void **state)
{
	(void)state;
	start(5);
	assert_int_equal(later(30), 0); /* nothing is known */
	assert_int_equal(wait_ns, 0);
	assert_int_equal(ack(42, 0, 1, 1), 0); /* sent at 2 */
	assert_int_equal(rack.rtt_ns, 40 * MS);
	assert_int_equal(wait_ns, 10 * MS);
	assert_int_equal(later(50), 0);
	assert_int_equal(wait_ns, 2 * MS);
	assert_int_equal(later(52), 1);
	assert_int_equal(wait_ns, 0);
	assert_true(sendmap_first(&map)->flags & SENT_LOST);
	/* What left after it may still come. */
	assert_false(sendmap_find(&map, seg(2))->flags & SENT_LOST);
	assert_int_equal(later(1000), 0);
}

/* As long as no reordering was seen: three segments SACKed, or recovery, and nothing is waited for.
 */
static void at_once(void **state)
{
	(void)state;
	start(5);
	assert_int_equal(ack(42, 0, 1, 2), 0);
	assert_int_equal(ack(44, 0, 1, 3), 1);
	teardown(NULL);
	start(5);
	path.in_recovery = true;
	assert_int_equal(ack(42, 0, 1, 1), 1);
	teardown(NULL);
	start(5);
	path.dup_acks = 3; /* three ACKs with news: as many segments, however small */
	assert_int_equal(ack(42, 0, 1, 1), 1);
	teardown(NULL);
	/* Reordering was seen: a quarter always. */
	start(5);
	rack.reordering_seen = true;
	path.in_recovery = true;
	assert_int_equal(ack(44, 0, 1, 3), 0);
	assert_int_equal(wait_ns, 10 * MS);
}

/* Step 3: an original that comes below what was delivered. */
static void reordering(void **state)
{
	(void)state;
	start(5);
	ack(42, 0, 1, 1);
	assert_false(rack.reordering_seen);
	ack(43, 2, 1, 0); /* 0 comes late */
	assert_true(rack.reordering_seen);
}

/* The filled hole of a retransmission is no reordering. */
static void retransmission_is_none(void **state)
{
	(void)state;
	start(5);
	assert_int_equal(ack(45, 0, 1, 4), 1);
	sendmap_resent(&map, sendmap_next_lost(&map), 45 * MS);
	ack(90, 5, 1, 0);
	assert_false(rack.reordering_seen);
	assert_int_equal(rack.xmit_ns, 45 * MS);
	assert_int_equal(rack.rtt_ns, 45 * MS);
}

/* Section 6.2: what was sent again is lost again, as soon as later transmissions arrive. */
static void lost_retransmission(void **state)
{
	(void)state;
	start(5);
	assert_int_equal(ack(45, 0, 1, 4), 1);
	sendmap_resent(&map, sendmap_next_lost(&map), 45 * MS);
	sendmap_sent(&map, seg(6), MSS, 0, 46 * MS);
	path.in_recovery = true;
	assert_int_equal(later(85), 0);
	assert_int_equal(ack(86, 0, 5, 5), 1);
	assert_ptr_equal(sendmap_next_lost(&map), sendmap_first(&map));
}

/* Step 2: an ACK that came sooner than any round trip, or echoes an earlier transmission. */
static void ambiguous(void **state)
{
	(void)state;
	start(5);
	ack(45, 0, 1, 4);
	sendmap_resent(&map, sendmap_next_lost(&map), 60 * MS);
	ack(70, 1, 1, 0);
	assert_int_equal(rack.xmit_ns, 5 * MS);
	teardown(NULL);
	start(5);
	ack(45, 0, 1, 4);
	sendmap_resent(&map, sendmap_next_lost(&map), 60 * MS);
	ack_echo(110, 1, 1, 0, 59);
	assert_int_equal(rack.xmit_ns, 5 * MS);
	teardown(NULL);
	start(5);
	ack(45, 0, 1, 4);
	sendmap_resent(&map, sendmap_next_lost(&map), 60 * MS);
	ack_echo(110, 1, 1, 0, 60);
	assert_int_equal(rack.xmit_ns, 60 * MS);
}

/* Step 4: each round trip with a DSACK widens the window; 16 recoveries without one reset it. */
static void window_adapts(void **state)
{
	(void)state;
	start(5);
	rack.reordering_seen = true;
	rack_dsack(&rack, seg(0), seg(5));
	rack_dsack(&rack, seg(2), seg(5)); /* the same round trip */
	assert_int_equal(rack.reo_wnd_mult, 2);
	rack_dsack(&rack, seg(5), seg(9));
	assert_int_equal(rack.reo_wnd_mult, 3);
	ack(42, 0, 1, 1);
	assert_int_equal(rack.reo_wnd_ns, 30 * MS);
	for (unsigned i = 0; i < 3; i++) {
		rack_dsack(&rack, seg(10 + 5 * i), seg(15 + 5 * i));
		later(43);
	}
	assert_int_equal(rack.reo_wnd_ns, 40 * MS); /* never more than srtt */
	for (unsigned i = 0; i < RACK_REO_WND_PERSIST; i++) {
		assert_int_not_equal(rack.reo_wnd_mult, 1);
		rack_recovered(&rack);
	}
	assert_int_equal(rack.reo_wnd_mult, 1);
	for (unsigned i = 0; i < 1000; i++) {
		rack_dsack(&rack, seg(100 + i), seg(101 + i));
		rack_recovered(&rack);
	}
	assert_int_equal(rack.reo_wnd_mult, UINT8_MAX);
}

/* Section 6.3: of a time-out the oldest segment, and what is older than a round trip. */
static void timeout(void **state)
{
	(void)state;
	start(5);
	ack(41, 1, 1, 0);
	sendmap_sent(&map, seg(10), MSS, 0, 240 * MS); /* five segments in one record, young */
	assert_int_equal(rack_timeout(&rack, &map, MSS, &path, 250 * MS), 4 * MSS);
	assert_int_equal(sendmap_pipe(&map), 5 * MSS);
	sendmap_check(&map);
	teardown(NULL);
	/* Of a long record one segment; nothing was ever delivered: all of it. */
	start(0);
	sendmap_sent(&map, seg(8), MSS, 0, 1 * MS);
	assert_int_equal(rack_timeout(&rack, &map, MSS, &path, 1000 * MS), 8 * MSS);
	teardown(NULL);
	start(1);
	ack(41, 1, 1, 0);
	sendmap_sent(&map, seg(8), MSS, 0, 100 * MS);
	assert_int_equal(rack_timeout(&rack, &map, MSS, &path, 101 * MS), MSS);
	assert_int_equal(sendmap_first(&map)->end, seg(2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(a_quarter_of_the_round_trip, teardown),
		cmocka_unit_test_teardown(at_once, teardown),
		cmocka_unit_test_teardown(reordering, teardown),
		cmocka_unit_test_teardown(retransmission_is_none, teardown),
		cmocka_unit_test_teardown(lost_retransmission, teardown),
		cmocka_unit_test_teardown(ambiguous, teardown),
		cmocka_unit_test_teardown(window_adapts, teardown),
		cmocka_unit_test_teardown(timeout, teardown),
	};

	return cmocka_run_group_tests_name("loss/rack", tests, NULL, NULL);
}
