/* SPDX-License-Identifier: MIT */
/* Urgent data, sent and received (RFC 9293 section 3.8.5, RFC 6093). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "tests/util/tcp_bench.h"

static struct bench b;

static uint64_t left(cpl_handle h)
{
	uint64_t value = ~0ull;

	assert_int_equal(cpl_get_option(b.stack, h, CPL_OPT_URGENT_LEFT, &value, b.now), 0);
	return value;
}

/* What cpl_recv(CPL_MSG_OOB_IN) gives: the octet, or a negative errno. */
static long oob(cpl_handle h, unsigned flags)
{
	uint8_t octet = 0;
	long n = cpl_recv(b.stack, h, &octet, 1, CPL_MSG_OOB_IN | flags, b.now);

	return n == 1 ? octet : n;
}

/* ---- sending ---- */

/* MUST-30; MUST-62: the pointer names the octet after the urgent data. */
static void sent(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	bench_write_flags(&b, h, 10, CPL_MSG_OOB);
	expect(&b, "PU. 1:11 ack 1 urg 10");
	/* Still announced while it is not acknowledged, on data and on ACKs; not held by Nagle. */
	send(&b, "P. 1:2 ack 1");
	expect(&b, ". 11 ack 2");
	bench_write(&b, h, 5);
	bench_run(&b, CPL_MS);
	send(&b, ". 2 ack 11");
	expect(&b, "P. 11:16 ack 2");
	send(&b, ". 2 ack 16");
	bench_write(&b, h, 5);
	expect(&b, "P. 16:21 ack 2"); /* over */
	bench_end(&b);
}

/* MUST-31: of any length: what lies farther than 65,535 octets is announced as far as can be. */
static void sent_far_ahead(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	bench_write_flags(&b, h, 80000, CPL_MSG_OOB);
	for (unsigned i = 0; i < 10; i++)
		expect(&b, "U. %u:%u ack 1 urg 65535", 1000 * i + 1, 1000 * i + 1001);
	send(&b, ". 1 ack 10001");
	for (unsigned i = 10; bench_take(&b); i++) {
		uint32_t to_go = 80001 - (1000 * i + 1);

		assert_int_equal(b.last.p.tcp.up, to_go > 65535 ? 65535 : to_go);
	}
	bench_end(&b);
}

/* A zero window holds the data, not the news (3.8.5 and MUST-66's other half). */
static void announced_over_a_zero_window(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	bench_write(&b, h, 100);
	expect(&b, "P. 1:101 ack 1");
	send(&b, ". 1 ack 101 win 0");
	bench_write_flags(&b, h, 10, CPL_MSG_OOB);
	expect(&b, "U. 101 ack 1 urg 10");
	expect_nothing(&b);
	/* Once; the probes repeat it. */
	expect_after(&b, 200 * CPL_MS, "U. 100 ack 1 urg 11");
	send(&b, ". 1 ack 101 win 1000");
	expect(&b, "PU. 101:111 ack 1 urg 10");
	bench_end(&b);
}

/* Sent again with the pointer where it was; a second one moves it. */
static void sent_again(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	bench_write_flags(&b, h, 1500, CPL_MSG_OOB);
	expect(&b, "U. 1:1001 ack 1 urg 1500");
	expect(&b, "PU. 1001:1501 ack 1 urg 500");
	bench_run(&b, 1050 * CPL_MS);
	expect(&b, "U. 1:1001 ack 1 urg 1500");
	bench_write_flags(&b, h, 100, CPL_MSG_OOB);
	send(&b, ". 1 ack 1001");
	expect(&b, "PU. 1501:1601 ack 1 urg 100"); /* F-RTO: new data first */
	send(&b, ". 1 ack 1001");
	expect(&b, "PU. 1001:1501 ack 1 urg 600");
	bench_end(&b);
}

/* ---- receiving ---- */

/* MUST-32: announced by an event; MUST-33: how much is left is known; out of the stream. */
static void kept_out_of_the_stream(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	assert_int_equal(oob(h, 0), -EINVAL);
	assert_int_equal(left(h), 0);
	send(&b, "PU. 1:11 ack 1 urg 5");
	expect(&b, ". 1 ack 11");
	expect_event(&b, h, CPL_EV_READABLE | CPL_EV_URGENT, 0);
	assert_int_equal(left(h), 5);
	assert_int_equal(oob(h, CPL_MSG_PEEK), bench_octet(4));
	assert_int_equal(oob(h, 0), bench_octet(4));
	assert_int_equal(oob(h, 0), -EINVAL); /* once */
	/* Reading stops before it, then goes on behind it. */
	bench_read(&b, h, 4);
	assert_int_equal(left(h), 1);
	bench_read_at(&b, h, 5, 5);
	assert_int_equal(left(h), 0);
	assert_int_equal(oob(h, 0), -EINVAL);
	assert_int_equal(bench_info(&b, h)->recv_queue, 0);
	bench_end(&b);
}

/* Read past it first: it can still be had. */
static void kept_until_it_is_read(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	send(&b, "PU. 1:11 ack 1 urg 5");
	bench_read(&b, h, 4);
	bench_read_at(&b, h, 5, 5);
	assert_int_equal(oob(h, CPL_MSG_PEEK), bench_octet(4));
	assert_int_equal(oob(h, 0), bench_octet(4));
	assert_int_equal(oob(h, 0), -EINVAL);
	bench_end(&b);
	/* It is the last one there is: nothing else to read. */
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	send(&b, "PU. 1:2 ack 1 urg 1");
	assert_int_equal(cpl_recv(b.stack, h, &(uint8_t){ 0 }, 1, 0, b.now), -EAGAIN);
	assert_int_equal(oob(h, 0), bench_octet(0));
	send(&b, "F. 2 ack 1");
	assert_int_equal(cpl_recv(b.stack, h, &(uint8_t){ 0 }, 1, 0, b.now), 0);
	bench_end(&b);
}

/* A look at the data takes nothing away, the urgent octet neither. */
static void peeking(void **state)
{
	uint8_t data[20];
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	send(&b, "PU. 1:11 ack 1 urg 1");
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(cpl_recv(b.stack, h, data, 20, CPL_MSG_PEEK, b.now), 9);
		assert_int_equal(data[0], bench_octet(1));
		assert_int_equal(left(h), 1);
		assert_int_equal(bench_info(&b, h)->recv_queue, 10);
	}
	assert_int_equal(oob(h, 0), bench_octet(0));
	bench_read_at(&b, h, 1, 9);
	bench_end(&b);
}

/* What is borrowed ends before it, and goes on behind it. */
static void borrowing(void **state)
{
	struct cpl_iov iov[4];
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	send(&b, "PU. 1:11 ack 1 urg 5");
	assert_int_equal(cpl_recv_borrow(b.stack, h, iov, 4, b.now), 1);
	assert_int_equal(iov[0].len, 4);
	assert_int_equal(cpl_recv_return(b.stack, h, 4, b.now), 4);
	assert_int_equal(cpl_recv_borrow(b.stack, h, iov, 4, b.now), 1);
	assert_int_equal(iov[0].len, 5);
	assert_int_equal(*(const uint8_t *)iov[0].base, bench_octet(5));
	bench_end(&b);
}

/* CPL_OPT_OOB_INLINE: it stays where it is, and only the mark is known. */
static void in_line(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	assert_int_equal(cpl_set_option(b.stack, h, CPL_OPT_OOB_INLINE, 1, b.now), 0);
	send(&b, "PU. 1:11 ack 1 urg 5");
	expect_event(&b, h, CPL_EV_READABLE | CPL_EV_URGENT, 0);
	assert_int_equal(left(h), 5);
	assert_int_equal(oob(h, 0), -EINVAL);
	bench_read_some(&b, h, 3);
	assert_int_equal(left(h), 2);
	bench_read(&b, h, 7);
	assert_int_equal(left(h), 0);
	bench_end(&b);
}

/* Announced before it comes: the octet is not there yet. MUST-31: however far. */
static void announced_early(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	send(&b, "U. 1 ack 1 urg 3000");
	expect_event(&b, h, CPL_EV_URGENT, 0);
	assert_int_equal(left(h), 3000);
	assert_int_equal(oob(h, 0), -EAGAIN);
	send(&b, "U. 1:1001 ack 1 urg 3000"); /* the same: no news */
	expect_event(&b, h, CPL_EV_READABLE, 0);
	bench_read(&b, h, 1000);
	assert_int_equal(left(h), 2000);
	send(&b, "U. 1001:2001 ack 1 urg 2000");
	send(&b, "U. 2001:3001 ack 1 urg 1000");
	assert_int_equal(oob(h, 0), bench_octet(2999));
	bench_read(&b, h, 1999);
	assert_int_equal(left(h), 1);
	bench_end(&b);
	/* By 65,535 octets at a time as far as the peer likes. */
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	for (unsigned i = 0; i < 200; i++) {
		send(&b, "U. %u:%u ack 1 urg 65535", 1 + 1000 * i, 1001 + 1000 * i);
		assert_true(bench_events(&b, h, NULL) & CPL_EV_URGENT);
		assert_int_equal(left(h), 65535);
		bench_read(&b, h, 1000);
		while (bench_take(&b))
			;
	}
	bench_end(&b);
}

/* MUST-32: an advance is told again; what is not one is not. An older octet joins the stream. */
static void advances(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	send(&b, "PU. 1:11 ack 1 urg 5");
	expect_event(&b, h, CPL_EV_READABLE | CPL_EV_URGENT, 0);
	send(&b, "PU. 11:21 ack 1 urg 5");
	expect_event(&b, h, CPL_EV_READABLE | CPL_EV_URGENT, 0);
	assert_int_equal(left(h), 15);
	send(&b, "PU. 21:31 ack 1 urg 0"); /* points at nothing */
	expect_event(&b, h, CPL_EV_READABLE, 0);
	assert_int_equal(oob(h, 0), bench_octet(14));
	bench_read(&b, h, 14);
	bench_read_at(&b, h, 15, 15);
	/* Repeated, or behind what was read: nothing new. */
	send(&b, "PU. 11:21 ack 1 urg 5");
	send(&b, "PU. 31:41 ack 1 urg 0");
	expect_event(&b, h, CPL_EV_READABLE, 0);
	assert_int_equal(left(h), 0);
	assert_int_equal(oob(h, 0), -EINVAL);
	send(&b, "PU. 41:51 ack 1 urg 10");
	expect_event(&b, h, CPL_EV_READABLE | CPL_EV_URGENT, 0);
	assert_int_equal(oob(h, 0), bench_octet(49));
	bench_end(&b);
}

/* The first was taken, the second replaces it: each can be had once. */
static void one_after_the_other(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	for (unsigned i = 0; i < 5; i++) {
		send(&b, "PU. %u:%u ack 1 urg 10", 1 + 10 * i, 11 + 10 * i);
		assert_true(bench_events(&b, h, NULL) & CPL_EV_URGENT);
		assert_int_equal(oob(h, 0), bench_octet(9 + 10 * i));
		assert_int_equal(oob(h, 0), -EINVAL);
		bench_read_at(&b, h, 10 * i, 9);
		assert_int_equal(cpl_recv(b.stack, h, &(uint8_t){ 0 }, 1, 0, b.now), -EAGAIN);
	}
	bench_end(&b);
}

/* Out of order: the announcement counts at once, the octet when it is there. */
static void out_of_order(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	send(&b, "PU. 101:201 ack 1 urg 50");
	expect_event(&b, h, CPL_EV_URGENT, 0);
	assert_int_equal(left(h), 150);
	assert_int_equal(oob(h, 0), -EAGAIN);
	send(&b, ". 1:101 ack 1");
	assert_int_equal(oob(h, 0), bench_octet(149));
	bench_end(&b);
}

/* After the FIN no urgent pointer means anything (3.10.7.4, sixth). */
static void after_fin(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	send(&b, "F. 1 ack 1");
	bench_events(&b, h, NULL);
	send(&b, "U. 2 ack 1 urg 10");
	expect_event(&b, h, 0, 0);
	assert_int_equal(left(h), 0);
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sent),
		cmocka_unit_test(sent_far_ahead),
		cmocka_unit_test(announced_over_a_zero_window),
		cmocka_unit_test(sent_again),
		cmocka_unit_test(kept_out_of_the_stream),
		cmocka_unit_test(kept_until_it_is_read),
		cmocka_unit_test(peeking),
		cmocka_unit_test(borrowing),
		cmocka_unit_test(in_line),
		cmocka_unit_test(announced_early),
		cmocka_unit_test(advances),
		cmocka_unit_test(one_after_the_other),
		cmocka_unit_test(out_of_order),
		cmocka_unit_test(after_fin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
