/* SPDX-License-Identifier: MIT */
/*
 * The peer's window: its updates, silly windows, shrinking ones, zero ones and their probes
 * (RFC 9293 sections 3.8.6, 3.8.6.1, 3.8.6.2.1, 3.10.7.4; RFC 7323 section 2).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "tests/util/bytes.h"
#include "tests/util/tcp_bench.h"

static struct bench b;

static void set(cpl_handle h, enum cpl_option option, uint64_t value)
{
	assert_int_equal(cpl_set_option(b.stack, h, option, value, b.now), 0);
}

/* An established connection whose first N octets are acknowledged with window WND. */
static cpl_handle acked(uint32_t n, uint32_t wnd)
{
	cpl_handle h = bench_passive(&b, "mss 1000");

	bench_write(&b, h, n);
	expect(&b, "P. 1:%u ack 1", n + 1);
	send(&b, ". 1 ack %u win %u", n + 1, wnd);
	expect_nothing(&b);
	expect_event(&b, h, CPL_EV_SENT_ALL, 0);
	return h;
}

/* ---- the window field ---- */

/* MUST-1: 16 bits without sign. */
static void window_is_unsigned(void **state)
{
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.initial_window = 64;
	bench_start(&b);
	h = bench_passive(&b, "mss 1000");
	send(&b, ". 1 ack 1 win 40000");
	assert_int_equal(bench_info(&b, h)->snd_wnd, 40000);
	bench_write(&b, h, 60000);
	for (unsigned i = 0; i < 40; i++)
		expect(&b, ". %u:%u ack 1", 1000 * i + 1, 1000 * i + 1001);
	expect_nothing(&b);
	bench_end(&b);
}

/* REC-1: 32 bits wide after scaling, by up to 14 (RFC 7323 2.3). */
static void window_is_wide(void **state)
{
	cpl_handle h;

	(void)state;
	for (unsigned shift = 0; shift <= 15; shift++) {
		uint32_t real = shift < 14 ? shift : 14;
		char options[64];

		bench_init(&b);
		b.config.window_scaling = 1;
		b.config.rcvbuf = 1 << 20;
		bench_start(&b);
		snprintf(options, sizeof(options), "mss 1460,wscale %u", shift);
		h = bench_active(&b, options);
		assert_int_equal(bench_info(&b, h)->snd_wnd, 65535); /* a SYN's is as it is */
		send(&b, ". 1 ack 1 win 65535");
		assert_int_equal(bench_info(&b, h)->snd_wnd, 65535u << real);
		assert_int_equal(bench_info(&b, h)->snd_wscale, real);
		bench_end(&b);
	}
}

/* Scaling holds in both directions, or in none. */
static void scaling_needs_two(void **state)
{
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.window_scaling = 1;
	b.config.rcvbuf = 1 << 20;
	bench_start(&b);
	h = bench_open(&b, 0, 80);
	expect(&b, "S 0 win 65535 <mss 1460,wscale 7>");
	send(&b, "S. 0 ack 1 win 1000 <mss 1460>");
	expect(&b, ". 1 ack 1 win 65535");
	send(&b, ". 1 ack 1 win 2000");
	assert_int_equal(bench_info(&b, h)->snd_wnd, 2000);
	assert_int_equal(bench_info(&b, h)->rcv_wscale, 0);
	bench_end(&b);
	/* Switched off: not even offered, and not taken. */
	bench_begin(&b);
	h = bench_passive(&b, "mss 1460,wscale 3");
	send(&b, ". 1 ack 1 win 2000");
	assert_int_equal(bench_info(&b, h)->snd_wnd, 2000);
	bench_end(&b);
}

/* SND.WL1 and SND.WL2: an old segment does not bring its window back. */
static void old_windows_do_not_count(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = acked(1000, 5000);
	send(&b, ". 1 ack 1001 win 6000"); /* the same numbers: an update */
	assert_int_equal(bench_info(&b, h)->snd_wnd, 6000);
	send(&b, "P. 1:101 ack 1001 win 7000");
	expect(&b, ". 1001 ack 101");
	send(&b, ". 101 ack 1001 win 8000");
	assert_int_equal(bench_info(&b, h)->snd_wnd, 8000);
	bench_write(&b, h, 1000);
	expect(&b, "P. 1001:2001 ack 101");
	send(&b, ". 101 ack 2001 win 9000");
	assert_int_equal(bench_info(&b, h)->snd_wnd, 9000);
	send(&b, ". 101 ack 1001 win 100"); /* an older ACK */
	assert_int_equal(bench_info(&b, h)->snd_wnd, 9000);
	send(&b, ". 100 ack 2001 win 200"); /* an older sequence number: not even acceptable */
	assert_int_equal(bench_info(&b, h)->snd_wnd, 9000);
	assert_int_equal(bench_info(&b, h)->snd_wnd_max, 65535);
	bench_end(&b);
}

/* ---- silly windows ---- */

/* MUST-38: a window that opens by little is not used by little. */
static void silly_window(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = acked(1000, 0);
	bench_write(&b, h, 5000);
	send(&b, ". 1 ack 1001 win 300");
	expect_nothing(&b);
	assert_int_equal(bench_info(&b, h)->why, CPL_WHY_RWND);
	send(&b, ". 1 ack 1001 win 999");
	expect_nothing(&b);
	send(&b, ". 1 ack 1001 win 1000"); /* (1) a full segment */
	expect(&b, ". 1001:2001 ack 1");
	send(&b, ". 1 ack 2001 win 1700");
	expect(&b, ". 2001:3001 ack 1"); /* and nothing of the 700 */
	expect_nothing(&b);
	send(&b, ". 1 ack 3001 win 500");
	expect_nothing(&b);
	send(&b, ". 1 ack 3001 win 3000");
	expect(&b, ". 3001:4001 ack 1");
	expect(&b, ". 4001:5001 ack 1");
	expect(&b, "P. 5001:6001 ack 1");
	bench_end(&b);
}

/* (2) All there is goes if it fits; (3) half of the largest window ever is worth a segment. */
static void silly_window_is_relative(void **state)
{
	cpl_handle h, listener;

	(void)state;
	bench_begin(&b);
	h = acked(1000, 0);
	bench_write(&b, h, 200);
	send(&b, ". 1 ack 1001 win 199");
	expect_nothing(&b);
	send(&b, ". 1 ack 1001 win 200");
	expect(&b, "P. 1001:1201 ack 1");
	bench_end(&b);

	bench_begin(&b);
	listener = bench_listen(&b, 80);
	send(&b, "S 0 win 600 <mss 1000>");
	expect(&b, "S. 0 ack 1 <mss 1460>");
	send(&b, ". 1 ack 1 win 600");
	h = bench_accepted(&b, listener);
	bench_write(&b, h, 2000);
	expect(&b, ". 1:601 ack 1");
	send(&b, ". 1 ack 601 win 299");
	expect_nothing(&b);
	send(&b, ". 1 ack 601 win 300");
	expect(&b, ". 601:901 ack 1");
	bench_end(&b);
}

/* 3.8.6.2.1 (4): the override time-out, here that of the persist timer. */
static void silly_window_in_the_end(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = acked(1000, 300);
	bench_write(&b, h, 1000);
	expect_nothing(&b);
	expect_after(&b, 200 * CPL_MS, ". 1001:1301 ack 1");
	expect_nothing(&b);
	/* It is data like any other: sent again when lost. */
	expect_after(&b, 400 * CPL_MS, ". 1001:1301 ack 1");
	bench_end(&b);
}

/* The override comes though the peer talks all the time. */
static void silly_window_while_the_peer_talks(void **state)
{
	cpl_handle h;
	bool sent = false;

	(void)state;
	bench_begin(&b);
	h = acked(1000, 300);
	bench_write(&b, h, 1000);
	for (unsigned i = 0; i < 20 && !sent; i++) {
		send(&b, "P. %u:%u ack 1001 win 300", 10 * i + 1, 10 * i + 11);
		bench_run(&b, 20 * CPL_MS);
		while (bench_take(&b))
			sent |= b.last.p.tcp.len == 300;
	}
	assert_true(sent);
	bench_end(&b);
}

/* ---- a window that shrinks ---- */

/*
 * MUST-34: the usable window is negative, and nothing happens; SHLD-15: no new data; SHLD-16: what
 * lies inside is sent again; MAY-7 is not taken: what lies beyond is not, but for the first octet.
 */
static void shrinking_window(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	bench_write(&b, h, 5000);
	for (unsigned i = 0; i < 5; i++)
		expect(&b, "%s %u:%u ack 1", i < 4 ? "." : "P.", 1000 * i + 1, 1000 * i + 1001);
	send(&b, ". 1 ack 1001 win 2000"); /* up to 3001; 5001 was sent */
	assert_int_equal(bench_info(&b, h)->snd_wnd, 2000);
	bench_write(&b, h, 1000);
	expect_nothing(&b);
	expect_after(&b, 200 * CPL_MS, ". 1001:2001 ack 1");
	send(&b, ". 1 ack 2001 win 1000");
	expect(&b, ". 2001:3001 ack 1");
	expect_nothing(&b);
	/* Nothing of what lies beyond, though cwnd has room now. */
	send(&b, ". 1 ack 3001 win 0");
	expect_nothing_for(&b, 150 * CPL_MS);
	/* The oldest octet probes (MUST-35). */
	bench_run(&b, CPL_SECOND);
	expect(&b, ". 3001:4001 ack 1");
	send(&b, ". 1 ack 3001 win 4000");
	bench_run(&b, 10 * CPL_SECOND);
	while (bench_take(&b))
		assert_int_equal(b.last.p.tcp.seq - b.flow.our_iss, 3001);
	send(&b, ". 1 ack 5001"); /* in smaller segments by now: so many time-outs (RFC 4821 7.7) */
	expect(&b, ". 5001:5537 ack 1");
	expect(&b, "P. 5537:6001 ack 1");
	send(&b, ". 1 ack 6001");
	expect_nothing(&b);
	assert_int_equal(bench_info(&b, h)->send_queue, 0);
	bench_end(&b);
}

/* Fast retransmission keeps to the shrunk window as well. */
static void shrunk_window_and_fast_retransmission(void **state)
{
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.sack = 1;
	bench_start(&b);
	h = bench_passive(&b, "mss 1000,sackOK");
	bench_write(&b, h, 8000);
	for (unsigned i = 0; i < 8; i++)
		expect(&b, "%s %u:%u ack 1", i < 7 ? "." : "P.", 1000 * i + 1, 1000 * i + 1001);
	/* 1 and 5 are lost; the window ends at 4001. */
	send(&b, ". 1 ack 1 win 4000 <sack 1001:4001>");
	send(&b, ". 1 ack 1 win 4000 <sack 1001:4001,sack 5001:8001>");
	expect(&b, ". 1:1001 ack 1");
	expect_nothing(&b);
	send(&b, ". 1 ack 4001 win 1000 <sack 5001:8001>");
	expect(&b, ". 4001:5001 ack 1");
	bench_end(&b);
}

/*
 * A peer whose window has shrunk below what was sent takes no segment that starts, or (Linux 6.17)
 * ends, beyond its edge: not even to look at the acknowledgment. Both ends would wait for ever.
 */
static void shrunk_window_is_kept_to(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	bench_write(&b, h, 3000);
	expect(&b, ". 1:1001 ack 1");
	expect(&b, ". 1001:2001 ack 1");
	expect(&b, "P. 2001:3001 ack 1");
	send(&b, "P. 1:101 ack 1001 win 500");
	expect(&b, ". 1501 ack 101");
	expect_after(&b, 200 * CPL_MS, ". 1001:1501 ack 101");
	send(&b, "P. 101:201 ack 1501 win 0");
	expect(&b, ". 1501 ack 201");
	send(&b, ". 201 ack 1501 win 3000");
	/* cwnd is one segment and, in slow start, the 500 that were acknowledged. */
	expect(&b, ". 1501:2001 ack 201");
	expect(&b, "P. 2001:3001 ack 201");
	expect_nothing(&b);
	bench_run(&b, 10 * CPL_SECOND);
	while (bench_take(&b))
		assert_int_equal(b.last.p.tcp.seq - b.flow.our_iss, 1501);
	send(&b, ". 201 ack 3001 win 3000");
	send(&b, "P. 201:301 ack 3001");
	/* Data went as answers to data before: so may an answer go now. */
	expect_after(&b, 40 * CPL_MS, ". 3001 ack 301");
	bench_end(&b);
}

/* SHLD-17: what the window admits no more is no reason to give up while the peer answers. */
static void shrunk_to_nothing(void **state)
{
	unsigned probes = 0;
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	bench_write(&b, h, 2000);
	expect(&b, ". 1:1001 ack 1");
	expect(&b, "P. 1001:2001 ack 1");
	send(&b, ". 1 ack 1 win 0");
	while (b.now - b.start < 3000 * CPL_SECOND) {
		bench_run(&b, CPL_SECOND);
		while (bench_take(&b)) {
			assert_int_equal(b.last.p.tcp.seq, b.flow.our_iss + 1);
			send(&b, ". 1 ack 1 win 0");
			probes++;
		}
	}
	assert_in_range(probes, 20, 50);
	expect_state(&b, CPL_ESTABLISHED);
	send(&b, ". 1 ack 1 win 4000");
	/* R2 counts from the last answer. */
	bench_run(&b, 800 * CPL_SECOND);
	expect_state(&b, CPL_ESTABLISHED);
	bench_run(&b, 400 * CPL_SECOND);
	expect_state(&b, CPL_CLOSED);
	expect_event(&b, h, CPL_EV_CLOSED | CPL_EV_SOFT, ETIMEDOUT);
	bench_end(&b);
}

/* ---- zero windows ---- */

/* MUST-36; SHLD-29: the first probe after one RTO; SHLD-30: each later one after twice the time. */
static void zero_window_probes(void **state)
{
	uint64_t wait = 200 * CPL_MS;
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = acked(1000, 0);
	expect_nothing_for(&b, 5 * CPL_SECOND); /* nothing to send: nothing to ask */
	bench_write(&b, h, 500);
	for (unsigned i = 0; i < 14; i++) {
		expect_nothing(&b);
		assert_int_equal(bench_info(&b, h)->why, CPL_WHY_ZERO_WND);
		expect_after(&b, wait, ". 1000 ack 1");
		send(&b, ". 1 ack 1001 win 0");
		expect_nothing(&b);
		wait = wait < 60 * CPL_SECOND ? 2 * wait : 120 * CPL_SECOND;
	}
	/* The window opens: the data goes, and its time-out owes nothing to the probes. */
	send(&b, ". 1 ack 1001 win 1000");
	expect(&b, "P. 1001:1501 ack 1");
	expect_after(&b, 200 * CPL_MS, "P. 1001:1501 ack 1");
	bench_end(&b);
}

/* An answer to a probe is lost: the next one brings the news. */
static void lost_window_update(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = acked(1000, 0);
	bench_write(&b, h, 500);
	expect_after(&b, 200 * CPL_MS, ". 1000 ack 1");
	expect_after(&b, 400 * CPL_MS, ". 1000 ack 1");
	send(&b, ". 1 ack 1001 win 4000");
	expect(&b, "P. 1001:1501 ack 1");
	bench_end(&b);
}

/* MUST-37: for ever, as long as the peer acknowledges. */
static void probed_for_ever(void **state)
{
	unsigned probes = 0;
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = acked(1000, 0);
	bench_write(&b, h, 500);
	while (b.now - b.start < 24 * 3600 * CPL_SECOND) {
		bench_run(&b, 10 * CPL_SECOND);
		while (bench_take(&b)) {
			probes++;
			send(&b, ". 1 ack 1001 win 0");
		}
	}
	assert_in_range(probes, 24 * 30, 24 * 30 + 20);
	expect_state(&b, CPL_ESTABLISHED);
	expect_event(&b, h, 0, 0);
	bench_end(&b);
}

/* ... even with a user time-out that is shorter than the time between two probes. */
static void probed_for_ever_with_user_timeout(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = acked(1000, 0);
	set(h, CPL_OPT_USER_TIMEOUT, 3 * CPL_SECOND);
	bench_write(&b, h, 500);
	while (b.now - b.start < 600 * CPL_SECOND) {
		bench_run(&b, 100 * CPL_MS);
		while (bench_take(&b))
			send(&b, ". 1 ack 1001 win 0");
	}
	expect_state(&b, CPL_ESTABLISHED);
	/* And without answers it ends, so long after the first probe that got none. */
	while (!b.n)
		bench_run(&b, 10 * CPL_MS);
	bench_run(&b, 2900 * CPL_MS);
	expect_state(&b, CPL_ESTABLISHED);
	bench_run(&b, 200 * CPL_MS);
	expect_state(&b, CPL_CLOSED);
	expect_event(&b, h, CPL_EV_CLOSED, ETIMEDOUT);
	bench_end(&b);
}

/* MUST-35, MUST-37: not answered, it ends by R2. */
static void probed_in_vain(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = acked(1000, 0);
	bench_write(&b, h, 500);
	bench_run(&b, 924 * CPL_SECOND);
	expect_state(&b, CPL_ESTABLISHED);
	bench_run(&b, 121 * CPL_SECOND);
	expect_state(&b, CPL_CLOSED);
	expect_event(&b, h, CPL_EV_CLOSED, ETIMEDOUT);
	assert_int_equal(counter(&b, timeouts), 1);
	bench_end(&b);
}

/* A full window stops new data, and not the FIN when all is acknowledged. */
static void fin_and_zero_window(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = acked(1000, 0);
	assert_int_equal(cpl_shutdown(b.stack, h, b.now), 0);
	expect(&b, "F. 1001 ack 1");
	send(&b, ". 1 ack 1002 win 0");
	expect_state(&b, CPL_FIN_WAIT_2);
	bench_end(&b);

	bench_begin(&b);
	h = acked(1000, 0);
	bench_write(&b, h, 10);
	assert_int_equal(cpl_shutdown(b.stack, h, b.now), 0);
	expect_after(&b, 200 * CPL_MS, ". 1000 ack 1");
	send(&b, ". 1 ack 1001 win 10");
	expect(&b, "P. 1001:1011 ack 1");
	send(&b, ". 1 ack 1011 win 0");
	expect(&b, "F. 1011 ack 1");
	bench_end(&b);
}

/* The window never admits more than it says, whatever is written and acknowledged. */
static void window_is_kept(void **state)
{
	uint32_t una = 1, edge = 1 + 65535;
	uint64_t seed = 7;
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	edge = 1 + 65535;
	for (unsigned i = 0; i < 3000; i++) {
		uint32_t r = (uint32_t)rnd64(&seed);
		const struct cpl_info *info = bench_info(&b, h);
		uint32_t nxt = info->snd_nxt - info->iss, n = r >> 8 & 2047;

		if (info->send_queue + n < 60000 && n)
			bench_write(&b, h, n);
		if (r & 1) {
			uint32_t wnd = r >> 20 & 4095;

			if (nxt - una && (r & 2))
				una += 1 + (r >> 4) % (nxt - una);
			if (una + wnd < edge) /* it does not shrink */
				wnd = edge - una;
			edge = una + wnd;
			send(&b, ". 1 ack %u win %u", una, wnd);
		}
		bench_run(&b, r & 4 ? 3 * CPL_MS : 150 * CPL_MS);
		while (bench_take(&b))
			if (b.last.p.tcp.len)
				assert_true(b.last.p.tcp.seq + b.last.p.tcp.len - b.flow.our_iss <=
					    edge);
	}
	assert_true(una > 100000);
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(window_is_unsigned),
		cmocka_unit_test(window_is_wide),
		cmocka_unit_test(scaling_needs_two),
		cmocka_unit_test(old_windows_do_not_count),
		cmocka_unit_test(silly_window),
		cmocka_unit_test(silly_window_is_relative),
		cmocka_unit_test(silly_window_in_the_end),
		cmocka_unit_test(silly_window_while_the_peer_talks),
		cmocka_unit_test(shrinking_window),
		cmocka_unit_test(shrunk_window_is_kept_to),
		cmocka_unit_test(shrunk_window_and_fast_retransmission),
		cmocka_unit_test(shrunk_to_nothing),
		cmocka_unit_test(zero_window_probes),
		cmocka_unit_test(lost_window_update),
		cmocka_unit_test(probed_for_ever),
		cmocka_unit_test(probed_for_ever_with_user_timeout),
		cmocka_unit_test(probed_in_vain),
		cmocka_unit_test(fin_and_zero_window),
		cmocka_unit_test(window_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
