/* SPDX-License-Identifier: MIT */
/*
 * What received data costs: lent frames and their tokens, buffers that grow with what the program
 * reads, a pool that runs dry.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/seq.h"
#include "tests/util/bytes.h"
#include "tests/util/tcp_bench.h"

static struct bench b;

static void set(cpl_handle h, enum cpl_option option, uint64_t value)
{
	assert_int_equal(cpl_set_option(b.stack, h, option, value, b.now), 0);
}

/* What is small is copied, what is large is kept as it is; all of it comes back. */
static void lent_frames_come_back(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	b.lend = true;
	h = bench_passive(&b, "mss 1460");
	assert_int_equal(b.lent, 0);
	send(&b, ". 1:101 ack 1");
	assert_int_equal(b.lent, 0);
	send(&b, ". 101:1561 ack 1");
	assert_int_equal(b.lent, 1);
	send(&b, ". 3021:4481 ack 1"); /* early */
	assert_int_equal(b.lent, 2);
	send(&b, ". 101:1561 ack 1"); /* again */
	assert_int_equal(b.lent, 2);
	send(&b, ". 3021:4481 ack 1");
	assert_int_equal(b.lent, 2);
	send(&b, ". 1101:3021 ack 1"); /* in part */
	assert_int_equal(b.lent, 3);
	while (bench_take(&b))
		;
	bench_read_some(&b, h, 1559);
	bench_collect(&b);
	assert_int_equal(b.lent, 3);
	bench_read_some(&b, h, 1);
	bench_collect(&b);
	assert_int_equal(b.lent, 2);
	bench_read(&b, h, 2920);
	bench_collect(&b);
	assert_int_equal(b.lent, 0);
	bench_end(&b);
}

/* Also when nobody reads them: closed, aborted, reset, given up. */
static void lent_frames_of_the_dead(void **state)
{
	cpl_handle h;

	(void)state;
	for (unsigned how = 0; how < 4; how++) {
		bench_begin(&b);
		b.lend = true;
		h = bench_passive(&b, "mss 1460");
		send(&b, ". 1:1461 ack 1");
		send(&b, ". 2921:4381 ack 1");
		send(&b, ". 5001:6001 ack 1"); /* copied */
		assert_int_equal(b.lent, 2);
		if (how == 0)
			cpl_close(b.stack, h, b.now);
		else if (how == 1)
			cpl_abort(b.stack, h, b.now);
		else if (how == 2)
			send(&b, "R 1461");
		else
			send(&b, ". 1461:2921 ack 1");
		if (how == 2) { /* what was in order can still be read */
			bench_collect(&b);
			assert_int_equal(b.lent, 1);
			bench_read(&b, h, 1460);
		} else if (how == 3) {
			assert_int_equal(b.lent, 3);
			bench_read_some(&b, h, 4380);
		}
		bench_collect(&b);
		assert_int_equal(b.lent, 0);
		bench_end(&b);
	}
}

/* Bad frames come back as well. */
static void lent_frames_dropped(void **state)
{
	(void)state;
	bench_begin(&b);
	b.lend = true;
	bench_passive(&b, "mss 1460");
	b.bad_checksum = true;
	send(&b, ". 1:1461 ack 1");
	assert_int_equal(b.lent, 0);
	send(&b, ". 70001:71461 ack 1");
	assert_int_equal(b.lent, 0);
	send(&b, "R 5:1465");
	assert_int_equal(b.lent, 0);
	bench_end(&b);
}

/* ---- buffers ---- */

/* The receive buffer follows what the program takes in a round trip, up to its limit. */
static void receive_buffer_grows(void **state)
{
	uint32_t seq = 1;
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.window_scaling = b.config.timestamps = 1;
	b.config.rcvbuf = 65536;
	b.config.rcvbuf_max = 1u << 20;
	bench_start(&b);
	h = bench_passive(&b, "mss 1448,wscale 7,TS");
	for (unsigned round = 0; round < 30; round++) {
		uint32_t window = bench_info(&b, h)->rcv_wnd;

		for (uint32_t n = 0; n + 1448 <= window; n += 1448, seq += 1448)
			send(&b, ". %u:%u ack 1", seq, seq + 1448);
		if (bench_info(&b, h)->recv_queue)
			bench_read(&b, h, bench_info(&b, h)->recv_queue);
		while (bench_take(&b))
			;
		bench_run(&b, 50 * CPL_MS);
		while (bench_take(&b))
			;
	}
	assert_int_equal(bench_info(&b, h)->recv_buffer, 1u << 20);
	bench_end(&b);

	/* A size that the program has set stays; a program that does not read gets no more. */
	for (unsigned i = 0; i < 2; i++) {
		bench_init(&b);
		b.config.window_scaling = b.config.timestamps = 1;
		b.config.rcvbuf = 65536;
		bench_start(&b);
		h = bench_passive(&b, "mss 1448,wscale 7,TS");
		if (i)
			set(h, CPL_OPT_RCVBUF, 65536);
		seq = 1;
		for (unsigned round = 0; round < 10; round++) {
			for (uint32_t n = 0; n < 20; n++, seq += 1448)
				send(&b, ". %u:%u ack 1", seq, seq + 1448);
			if (i)
				bench_read(&b, h, bench_info(&b, h)->recv_queue);
			bench_run(&b, 50 * CPL_MS);
			while (bench_take(&b))
				;
			if (!i && bench_info(&b, h)->rcv_wnd < 30000)
				break;
		}
		assert_int_equal(bench_info(&b, h)->recv_buffer, 65536);
		bench_end(&b);
	}
}

/* CPL_OPT_WINDOW_CLAMP: no more is ever offered. */
static void window_clamp(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1460");
	set(h, CPL_OPT_WINDOW_CLAMP, 8000);
	for (uint32_t seq = 1; seq < 100000; seq += 1460) {
		send(&b, ". %u:%u ack 1", seq, seq + 1460);
		bench_read(&b, h, 1460);
		while (bench_take(&b))
			;
	}
	assert_in_range(bench_info(&b, h)->rcv_wnd, 8000 - 1460, 8000);
	bench_end(&b);
}

/* ---- memory ---- */

/*
 * The pool is exhausted: what is not acknowledged is dropped, what was acknowledged is not, and
 * once there is memory all goes on. With LEND the frames are lent.
 */
static void starve(bool lend)
{
	uint32_t acked = 1;
	cpl_handle h;

	bench_init(&b);
	b.config.window_scaling = 1;
	b.config.rcvbuf = 1u << 20;
	bench_start(&b);
	b.lend = lend;
	h = bench_passive(&b, "mss 1460,wscale 7");
	for (unsigned i = 0; i < 3000; i++) {
		uint32_t window = bench_info(&b, h)->rcv_edge - bench_info(&b, h)->rcv_nxt;

		if (i % 100 == 50)
			b.heap.left = i % 300 / 100;
		if (i % 100 == 90)
			b.heap.left = UINT64_MAX;
		for (uint32_t n = i % 7 == 3 ? 1460 : 0; n + 1460 <= window && n < 50000; n += 1460)
			send(&b, ". %u:%u ack 1", acked + n, acked + n + 1460);
		while (bench_take(&b)) {
			assert_true(b.last.p.tcp.ack - b.flow.iss >= acked);
			acked = b.last.p.tcp.ack - b.flow.iss;
		}
		if (i % 100 < 50 && bench_info(&b, h)->recv_queue)
			bench_read(&b, h, bench_info(&b, h)->recv_queue);
		bench_run(&b, 50 * CPL_MS);
		while (bench_take(&b))
			acked = b.last.p.tcp.ack - b.flow.iss;
	}
	assert_true(counter(&b, drop_tcp_memory) > 0);
	assert_true(counter(&b, drop_tcp_ooo_full) > 0);
	if (bench_info(&b, h)->recv_queue)
		bench_read(&b, h, bench_info(&b, h)->recv_queue);
	assert_int_equal(bench_info(&b, h)->bytes_received, acked - 1);
	assert_true(acked > 1000000);
	cpl_abort(b.stack, h, b.now);
	bench_collect(&b);
	assert_int_equal(b.lent, 0);
	bench_end(&b);
}

static void starved_receiver(void **state)
{
	(void)state;
	starve(false);
	starve(true);
}

/* Early data fills the pool: what is next in order still gets in, and the rest follows. */
static void early_data_gives_way(void **state)
{
	uint32_t seq, nxt = 1, edge;
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.window_scaling = b.config.sack = 1;
	b.config.memory_max = 2u << 20;
	b.config.rcvbuf = 1u << 20;
	b.config.trace_records = 0;
	b.config.conns_max = 100;
	b.config.half_open_max = 100;
	bench_start(&b);
	h = bench_passive(&b, "mss 1460,wscale 7,sackOK");
	send(&b, ". 1:1461 ack 1");
	bench_read(&b, h, 1460);
	while (bench_take(&b))
		;
	edge = bench_info(&b, h)->rcv_edge - b.flow.iss;
	assert_true(edge > 500000);
	/* Nothing else may be left: the pool is what early data takes. */
	b.heap.left = 8;
	for (seq = 2921; seq + 1460 <= edge; seq += 1460)
		send(&b, ". %u:%u ack 1", seq, seq + 1460);
	assert_true(counter(&b, drop_tcp_ooo_full) > 0);
	assert_true(bench_info(&b, h)->ooo_bytes > 100000);
	for (unsigned i = 0; i < 3000 && nxt < seq; i++) {
		nxt = bench_info(&b, h)->rcv_nxt - b.flow.iss;
		send(&b, ". %u:%u ack 1", nxt, nxt + 1460);
		if (bench_info(&b, h)->recv_queue)
			bench_read(&b, h, bench_info(&b, h)->recv_queue);
		while (bench_take(&b))
			;
	}
	assert_true(nxt >= seq);
	bench_end(&b);
}

/* What is offered is what the pool has: no window is promised that cannot be kept. */
static void window_is_bounded_by_the_pool(void **state)
{
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.window_scaling = 1;
	b.config.memory_max = 2u << 20;
	b.config.rcvbuf = 4u << 20;
	b.config.conns_max = 100;
	b.config.half_open_max = 100;
	bench_start(&b);
	h = bench_passive(&b, "mss 1460,wscale 7");
	for (uint32_t seq = 1; bench_info(&b, h)->rcv_wnd >= 1460; seq += 1460) {
		send(&b, ". %u:%u ack 1", seq, seq + 1460);
		while (bench_take(&b))
			;
	}
	assert_int_equal(counter(&b, drop_tcp_memory), 0);
	assert_true(bench_info(&b, h)->recv_queue > 500000);
	bench_read(&b, h, bench_info(&b, h)->recv_queue);
	assert_true(bench_info(&b, h)->rcv_wnd > 500000 || bench_take(&b));
	bench_end(&b);
}

/* A window that was closed for want of memory opens when others give theirs back: nobody asks. */
static void window_opens_with_the_pool(void **state)
{
	struct bench_flow hungry;
	uint32_t seq = 1, seen = 0;
	cpl_handle h[2];

	(void)state;
	bench_init(&b);
	b.config.window_scaling = 1;
	b.config.memory_max = 2u << 20;
	b.config.rcvbuf = 4u << 20;
	b.config.conns_max = 100;
	b.config.half_open_max = 100;
	bench_start(&b);
	h[0] = bench_passive(&b, "mss 1460,wscale 7");
	hungry = b.flow;
	h[1] = bench_active(&b, "mss 1460,wscale 0");
	struct bench_flow other = b.flow;

	b.flow = hungry;
	for (; bench_info(&b, h[0])->rcv_wnd >= 1460; seq += 1460) {
		send(&b, ". %u:%u ack 1", seq, seq + 1460);
		while (bench_take(&b))
			;
	}
	b.flow = other;
	for (seq = 1; bench_info(&b, h[1])->rcv_wnd; seq += 1000) {
		uint32_t n = bench_info(&b, h[1])->rcv_wnd;

		n = n > 1000 ? 1000 : n;
		send(&b, ". %u:%u ack 1", seq, seq + n);
		bench_read(&b, h[1], n);
		while (bench_take(&b))
			;
	}
	bench_run(&b, 5 * CPL_SECOND);
	while (bench_take(&b))
		;
	assert_int_equal(bench_info(&b, h[1])->rcv_wnd, 0);
	b.flow = hungry;
	bench_read(&b, h[0], bench_info(&b, h[0])->recv_queue);
	bench_run(&b, 2 * CPL_SECOND);
	while (bench_take(&b))
		if (b.last.p.tcp.dport == other.peer.port)
			seen = b.last.p.tcp.wnd;
	assert_true(seen > 0);
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lent_frames_come_back),
		cmocka_unit_test(lent_frames_of_the_dead),
		cmocka_unit_test(lent_frames_dropped),
		cmocka_unit_test(receive_buffer_grows),
		cmocka_unit_test(window_clamp),
		cmocka_unit_test(starved_receiver),
		cmocka_unit_test(early_data_gives_way),
		cmocka_unit_test(window_is_bounded_by_the_pool),
		cmocka_unit_test(window_opens_with_the_pool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
