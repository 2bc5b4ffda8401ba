/* SPDX-License-Identifier: MIT */
/* What reading the code against the RFCs has found, each as the shortest exchange that shows it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "tests/util/tcp_bench.h"

static struct bench b;

/* A second interface, whose network is 10.1.0.0/24. Returns its number. */
static int second_iface(uint32_t mtu, uint32_t flags)
{
	struct cpl_iface_config c = b.iface;
	struct cpl_addr addr = cpl_addr4(10, 1, 0, 1);
	int i;

	strcpy(c.name, "bench1");
	c.mtu = mtu;
	c.flags = flags;
	i = cpl_iface_add(b.stack, &c, b.now);
	assert_true(i > 0);
	assert_int_equal(cpl_addr_add(b.stack, i, &addr, 24, b.now), 0);
	return i;
}

/* A larger MTU counts from the next segment on: what was remembered of the route is not older. */
static void a_larger_mtu_is_no_trap(void **state)
{
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.iface.mtu = 1000;
	bench_start(&b);
	h = bench_passive(&b, "mss 1460");
	assert_int_equal(cpl_abort(b.stack, h, b.now), 0);
	expect(&b, "R. 1 ack 1");
	assert_int_equal(cpl_iface_set_mtu(b.stack, b.ifindex, 1500, b.now), 0);
	h = bench_active(&b, "mss 1460");
	bench_write(&b, h, 1460);
	expect(&b, "P. 1:1461 ack 1");
	bench_end(&b);
}

/* A smaller one as well, for connections that there are. */
static void a_smaller_mtu_cuts_what_follows(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1460");
	bench_write(&b, h, 1460);
	expect(&b, "P. 1:1461 ack 1");
	send(&b, ". 1 ack 1461");
	assert_int_equal(cpl_iface_set_mtu(b.stack, b.ifindex, 1000, b.now), 0);
	bench_write(&b, h, 1460);
	expect(&b, ". 1461:2421 ack 1");
	expect(&b, "P. 2421:2921 ack 1");
	bench_end(&b);
}

/* A route that moves takes the connection along: the new interface's MTU, checksums and queue. */
static void a_route_that_moves_takes_connections_along(void **state)
{
	struct cpl_addr peer = cpl_addr4(10, 0, 0, 2);
	struct cpl_out out[4];
	cpl_handle h;
	int second, n;

	(void)state;
	bench_init(&b);
	b.iface.flags |= CPL_IFACE_CSUM_OUT | CPL_IFACE_GSO4;
	b.iface.gso_max = 65000;
	bench_start(&b);
	second = second_iface(1000, 0);
	h = bench_passive(&b, "mss 1460");
	assert_int_equal(cpl_route_add(b.stack, &peer, 32, NULL, second, 0, b.now), 0);
	bench_write(&b, h, 1460);
	assert_false(bench_take(&b));
	n = cpl_output(b.stack, second, out, 4, b.now);
	assert_int_equal(n, 2);
	for (int i = 0; i < n; i++) {
		uint8_t p[1500];
		struct test_packet t;

		assert_true(out[i].len <= 1000);
		assert_int_equal(out[i].gso_size, 0);
		assert_int_equal(out[i].csum_offset, 0);
		packet_gather(p, sizeof(p), &out[i]);
		assert_int_equal(packet_parse(&t, p, out[i].len, false), PACKET_TCP);
		assert_int_equal(cpl_output_done(b.stack, out[i].token, 1, b.now), 0);
	}
	bench_end(&b);
}

/* Rounding the window up to its unit must not let small segments past the end of the buffer. */
static void small_segments_do_not_pass_the_buffer(void **state)
{
	cpl_handle l, h;

	(void)state;
	bench_init(&b);
	b.config.window_scaling = 1;
	bench_start(&b);
	l = bench_listen(&b, 80);
	assert_int_equal(cpl_set_option(b.stack, l, CPL_OPT_RCVBUF, 4096, b.now), 0);
	send(&b, "S 0 <mss 1460,wscale 7>");
	expect(&b, "S. 0 ack 1 <mss 1460,wscale 7>");
	send(&b, ". 1 ack 1");
	h = bench_accepted(&b, l);
	for (int at = 1; at < 20000; at += 100) {
		send(&b, "P. %d:%d ack 1", at, at + 100);
		bench_run(&b, 50 * CPL_MS);
		assert_true(bench_take(&b));
	}
	assert_in_range(bench_info(&b, h)->recv_queue, 4096, 4096 + 1024 + 127);
	assert_true(b.last.p.tcp.wnd <= 1024 / 128);
	bench_end(&b);
}

/* The window shrank below what was sent: a reset is still in it, else the peer would not hear. */
static void a_reset_stays_in_a_window_that_shrank(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1460");
	bench_write(&b, h, 2920);
	expect(&b, ". 1:1461 ack 1");
	expect(&b, "P. 1461:2921 ack 1");
	send(&b, ". 1 ack 1461 win 100");
	assert_int_equal(cpl_abort(b.stack, h, b.now), 0);
	expect(&b, "R. 1561 ack 1");
	bench_end(&b);
}

/* A program that has left keeps no connection alive for a peer that never opens its window. */
static void a_closed_window_does_not_outlive_its_program(void **state)
{
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.r2_ns = 100 * CPL_SECOND;
	bench_start(&b);
	h = bench_passive(&b, "mss 1460");
	send(&b, ". 1 ack 1 win 0");
	bench_write(&b, h, 100);
	assert_int_equal(cpl_close(b.stack, h, b.now), 0);
	for (int i = 0; i < 60 && bench_state(&b) != CPL_CLOSED; i++) {
		bench_run(&b, 10 * CPL_SECOND);
		while (bench_take(&b))
			;
		send(&b, ". 1 ack 1 win 0");
		while (bench_take(&b))
			;
	}
	expect_state(&b, CPL_CLOSED);
	assert_in_range(b.now - b.start, 100 * CPL_SECOND, 300 * CPL_SECOND);
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_larger_mtu_is_no_trap),
		cmocka_unit_test(a_smaller_mtu_cuts_what_follows),
		cmocka_unit_test(a_route_that_moves_takes_connections_along),
		cmocka_unit_test(small_segments_do_not_pass_the_buffer),
		cmocka_unit_test(a_reset_stays_in_a_window_that_shrank),
		cmocka_unit_test(a_closed_window_does_not_outlive_its_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
