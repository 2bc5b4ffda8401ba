/* SPDX-License-Identifier: MIT */
/* What drawn networks (sim/seed.h) have found, each as the shortest exchange that shows it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "tests/util/tcp_bench.h"
#include "trace/ring.h"

static struct bench b;

/* RFC 7323 2.2: the window of a SYN is not scaled, nor that of a SYN,ACK which crossed ours. */
static void crossed_synack_is_not_scaled(void **state)
{
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.window_scaling = 1;
	bench_start(&b);
	h = bench_open(&b, 0, 80);
	expect(&b, "S 0 <*>");
	send(&b, "S 0 win 1000 <mss 1460,wscale 7>");
	expect(&b, "S. 0 ack 1 <*>");
	send(&b, "S. 0 ack 1 win 1000 <mss 1460,wscale 7>");
	expect(&b, ". 1 ack 1");
	expect_state(&b, CPL_ESTABLISHED);
	assert_int_equal(bench_info(&b, h)->snd_wnd, 1000);
	assert_int_equal(bench_info(&b, h)->snd_wnd_max, 1000);
	send(&b, ". 1 ack 1 win 9");
	assert_int_equal(bench_info(&b, h)->snd_wnd, 9 << 7);
	bench_end(&b);
}

/*
 * A segment that starts lower but acknowledges more is newer: its window counts. Else SND.UNA moves
 * under the old window, and what may be sent reaches beyond what the peer has offered.
 */
static void a_newer_ack_brings_its_window(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1460");
	bench_write(&b, h, 2920);
	expect(&b, ". 1:1461 ack 1");
	expect(&b, "P. 1461:2921 ack 1");
	send(&b, "P. 1:101 ack 1 win 5000");
	send(&b, ". 101 ack 1461 win 3540");
	send(&b, "P. 51:201 ack 2921 win 2080");
	assert_int_equal(bench_info(&b, h)->snd_una - bench_info(&b, h)->iss, 2921);
	assert_int_equal(bench_info(&b, h)->snd_wnd, 2080);
	/* An older ACK does not. */
	send(&b, "P. 60:202 ack 1461 win 9000");
	assert_int_equal(bench_info(&b, h)->snd_wnd, 2080);
	bench_run(&b, CPL_SECOND);
	bench_end(&b);
}

/* MUST-60: cork holds the rest of a long write for 200 ms, not for ever. */
static void cork_lets_the_tail_go(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1460");
	assert_int_equal(cpl_set_option(b.stack, h, CPL_OPT_CORK, 1, b.now), 0);
	bench_write(&b, h, 2000);
	expect(&b, ". 1:1461 ack 1");
	expect_nothing(&b);
	send(&b, ". 1 ack 1461");
	expect_after(&b, 200 * CPL_MS, "P. 1461:2001 ack 1");
	bench_end(&b);
}

/* A send that finds no memory hears of it when there is some again, though no ACK will come. */
static void a_starved_writer_is_told(void **state)
{
	static const uint8_t data[1000];
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1460");
	bench_events(&b, h, NULL);
	b.heap.left = 0;
	assert_int_equal(cpl_send(b.stack, h, data, sizeof(data), 0, b.now), -EAGAIN);
	bench_run(&b, CPL_SECOND);
	assert_true(bench_events(&b, h, NULL) & CPL_EV_WRITABLE);
	assert_int_equal(cpl_send(b.stack, h, data, sizeof(data), 0, b.now), -EAGAIN);
	b.heap.left = UINT64_MAX;
	bench_run(&b, 200 * CPL_MS);
	assert_true(bench_events(&b, h, NULL) & CPL_EV_WRITABLE);
	assert_int_equal(cpl_send(b.stack, h, data, sizeof(data), 0, b.now), 1000);
	bench_end(&b);
}

/* MUST-26 is about data that we have sent: what we await does not keep keep-alive away. */
static void keepalive_goes_though_data_is_missing(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1460");
	cpl_set_option(b.stack, h, CPL_OPT_KEEP_IDLE, 10 * CPL_SECOND, b.now);
	cpl_set_option(b.stack, h, CPL_OPT_KEEPALIVE, 1, b.now);
	send(&b, "P. 101:201 ack 1");
	expect(&b, ". 1 ack 1");
	expect_after(&b, 10 * CPL_SECOND, ". 0 ack 1");
	bench_end(&b);
}

/* What a hole kept back was acknowledged when the hole was filled: that is no round trip (MUST-18).
 */
static void a_filled_hole_is_no_round_trip(void **state)
{
	cpl_handle h;
	uint64_t srtt;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1460");
	bench_write(&b, h, 100);
	expect(&b, "P. 1:101 ack 1");
	bench_run(&b, 10 * CPL_MS);
	send(&b, ". 1 ack 101");
	srtt = bench_info(&b, h)->srtt;
	assert_in_range(srtt, 10 * CPL_MS, 11 * CPL_MS);
	bench_write(&b, h, 2920);
	expect(&b, ". 101:1561 ack 1");
	expect(&b, "P. 1561:3021 ack 1");
	/* The first is lost; the second, sent once, is acknowledged with it after the time-out. */
	bench_run(&b, 250 * CPL_MS);
	expect(&b, ". 101:1561 ack 1");
	send(&b, ". 1 ack 3021");
	assert_int_equal(bench_info(&b, h)->srtt, srtt);
	bench_end(&b);
}

/*
 * The ACK is lost, and what was sent again finds the octets there: the answer echoes the first
 * transmission's timestamp. That the time since then is no round trip shows in the RTO.
 */
static void the_echo_of_a_lost_ack_is_no_round_trip(void **state)
{
	uint32_t first, second = 0;
	uint64_t srtt;
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.timestamps = 1;
	bench_start(&b);
	h = bench_passive(&b, "mss 1460,TS 1000 0");
	bench_write(&b, h, 100);
	expect(&b, "P. 1:101 ack 1 <*>");
	first = b.flow.our_tsval;
	bench_run(&b, 10 * CPL_MS);
	send(&b, ". 1 ack 101 <TS 200000000 %u>", first);
	srtt = bench_info(&b, h)->srtt;
	bench_write(&b, h, 100);
	expect(&b, "P. 101:201 ack 1 <*>");
	first = b.flow.our_tsval;
	bench_run(&b, 5 * CPL_SECOND);
	while (bench_take(&b))
		second = b.flow.our_tsval;
	assert_true(second - first > 1000);
	send(&b, ". 1 ack 201 <TS 200000001 %u>", first);
	assert_int_equal(bench_info(&b, h)->srtt, srtt);
	bench_end(&b);
}

/* One connection learns the path's MTU; another to the same host must not try for ever. */
static void another_connection_learns_the_mtu(void **state)
{
	struct bench_flow first;
	cpl_handle h1, h2;

	(void)state;
	bench_begin(&b);
	h1 = bench_passive(&b, "mss 1460");
	first = b.flow;
	h2 = bench_active(&b, "mss 1460");
	bench_write(&b, h1, 1460);
	b.flow = first;
	expect(&b, "P. 1:1461 ack 1");
	bench_send_icmp(&b, 3, 4, 1000, 1, 1460);
	expect(&b, ". 1:961 ack 1");
	expect(&b, "P. 961:1461 ack 1");
	bench_write(&b, h2, 1460);
	assert_true(bench_take(&b));
	assert_true(b.last.len <= 1000);
	assert_true(bench_take(&b));
	assert_int_equal(bench_info(&b, h2)->snd_mss, 960);
	bench_end(&b);
}

/* A neighbour that does not answer, and a queue for it that is full: the calls still return. */
static void a_full_neighbour_queue_is_no_trap(void **state)
{
	cpl_handle h[4];

	(void)state;
	bench_init(&b);
	b.iface.kind = CPL_IFACE_ETHER;
	b.config.neighbour_queue = 2;
	b.mute_neighbours = true;
	bench_start(&b);
	for (unsigned i = 0; i < 4; i++)
		h[i] = bench_open(&b, 0, (uint16_t)(80 + i));
	bench_run(&b, 2 * CPL_SECOND);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(cpl_abort(b.stack, h[i], b.now), 0);
	bench_end(&b);
}

/*
 * Half the circle away from RCV.NXT a number is both before and after: such a segment is not in the
 * window, and its timestamp does not become TS.Recent (it would shut the peer out: PAWS).
 */
static void half_the_circle_away_is_outside(void **state)
{
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.timestamps = 1;
	bench_start(&b);
	h = bench_passive(&b, "mss 1460,TS 1000 0");
	for (unsigned i = 0; i < 64; i++) {
		uint32_t seq = 0x80000000u + 1 - 32000 + i * 1000;

		send(&b, "P. %d:%d ack 1 <TS 1000000000 1>", (int32_t)seq, (int32_t)(seq + 100));
	}
	assert_int_equal(counter(&b, drop_tcp_window), 64);
	while (bench_take(&b))
		;
	send(&b, "P. 1:101 ack 1");
	bench_read(&b, h, 100);
	bench_end(&b);
}

static unsigned last_state(void)
{
	struct cpl_trace r[64];
	uint64_t cursor = 0;
	unsigned state = CPL_STATES;
	int n;

	while ((n = cpl_trace_read(b.stack, &cursor, r, 64, NULL)) > 0)
		for (int i = 0; i < n; i++)
			if (r[i].type == TRACE_state)
				state = r[i].arg[1];
	return state;
}

/* TIME-WAIT is recorded when it begins, and CLOSED when it ends, not when the block goes. */
static void time_wait_is_recorded(void **state)
{
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.trace_records = 256;
	bench_start(&b);
	h = bench_passive(&b, "mss 1460");
	assert_int_equal(cpl_close(b.stack, h, b.now), 0);
	expect(&b, "F. 1 ack 1");
	send(&b, "F. 1 ack 2");
	expect(&b, ". 2 ack 2");
	assert_int_equal(last_state(), CPL_TIME_WAIT);
	bench_run(&b, 59 * CPL_SECOND);
	assert_int_equal(last_state(), CPL_TIME_WAIT);
	bench_run(&b, 2 * CPL_SECOND);
	assert_int_equal(last_state(), CPL_CLOSED);
	bench_end(&b);
}

/* What the peer has not said yet is unknown, not 0. */
static void nothing_is_known_of_a_silent_peer(void **state)
{
	const struct cpl_info *i;
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_open(&b, 0, 80);
	expect(&b, "S 0 <*>");
	i = bench_info(&b, h);
	assert_false(cpl_info_known(i, CPL_F_snd_wnd));
	assert_false(cpl_info_known(i, CPL_F_snd_wl1));
	assert_false(cpl_info_known(i, CPL_F_peer_mss));
	send(&b, "S. 0 ack 1 win 700 <mss 1000>");
	expect(&b, ". 1 ack 1");
	i = bench_info(&b, h);
	assert_true(cpl_info_is_read(i, CPL_F_snd_wnd) && i->snd_wnd == 700);
	assert_true(cpl_info_is_read(i, CPL_F_peer_mss) && i->peer_mss == 1000);
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crossed_synack_is_not_scaled),
		cmocka_unit_test(a_newer_ack_brings_its_window),
		cmocka_unit_test(cork_lets_the_tail_go),
		cmocka_unit_test(a_starved_writer_is_told),
		cmocka_unit_test(keepalive_goes_though_data_is_missing),
		cmocka_unit_test(a_filled_hole_is_no_round_trip),
		cmocka_unit_test(the_echo_of_a_lost_ack_is_no_round_trip),
		cmocka_unit_test(another_connection_learns_the_mtu),
		cmocka_unit_test(a_full_neighbour_queue_is_no_trap),
		cmocka_unit_test(half_the_circle_away_is_outside),
		cmocka_unit_test(time_wait_is_recorded),
		cmocka_unit_test(nothing_is_known_of_a_silent_peer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
