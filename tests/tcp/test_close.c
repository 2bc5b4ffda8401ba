/* SPDX-License-Identifier: MIT */
/* Simultaneous open and close, half-close, CLOSE and ABORT, and what a program is told of them. */
#include "tests/util/tcp_bench.h"

static struct bench b;

static cpl_handle crossed(const char *options)
{
	cpl_handle h = bench_open(&b, 0, 80);

	expect(&b, "S 0 <*>");
	send(&b, "S 0 win 2000 <%s>", options);
	expect(&b, "S. 0 ack 1 <*>");
	expect_state(&b, CPL_SYN_RECEIVED);
	return h;
}

/* ---- simultaneous open ---- */

/* MUST-10: RFC 9293 figure 8. */
static void simultaneous_open(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = crossed("mss 1000");
	expect_event(&b, h, 0, 0);
	send(&b, "S. 0 ack 1 win 3000 <mss 1000>");
	expect(&b, ". 1 ack 1");
	expect_event(&b, h, CPL_EV_CONNECTED | CPL_EV_WRITABLE, 0);
	assert_int_equal(bench_info(&b, h)->state, CPL_ESTABLISHED);
	assert_int_equal(bench_info(&b, h)->passive, 0);
	assert_int_equal(bench_info(&b, h)->peer_mss, 1000);
	assert_int_equal(bench_info(&b, h)->snd_wnd, 3000);
	bench_write(&b, h, 10);
	expect(&b, "P. 1:11 ack 1");
	send(&b, "P. 1:11 ack 11");
	expect(&b, ". 11 ack 11");
	bench_read(&b, h, 10);
	bench_end(&b);
}

/* MUST-10: the peer's SYN,ACK was lost, or it sends a bare ACK: that will do. */
static void simultaneous_open_by_ack(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = crossed("mss 1000");
	send(&b, ". 1 ack 1 win 3000");
	expect_nothing(&b);
	expect_event(&b, h, CPL_EV_CONNECTED | CPL_EV_WRITABLE, 0);
	assert_int_equal(bench_info(&b, h)->snd_wnd, 3000);
	bench_end(&b);
}

/* MUST-10: options are agreed; the window of the SYN,ACK is not scaled (RFC 7323 2.2). */
static void simultaneous_open_options(void **state)
{
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.sack = b.config.timestamps = b.config.window_scaling = 1;
	bench_start(&b);
	h = bench_open(&b, 0, 80);
	expect(&b, "S 0 <mss 1460,sackOK,TS,wscale 7>");
	send(&b, "S 0 win 2000 <mss 1000,TS,wscale 4>");
	expect(&b, "S. 0 ack 1 <mss 1460,TS,wscale 7>");
	send(&b, "S. 0 ack 1 win 3000 <mss 1000,TS,wscale 4>");
	expect(&b, ". 1 ack 1 <TS>");
	assert_int_equal(bench_info(&b, h)->options, CPL_OPT_BIT_TS | CPL_OPT_BIT_WSCALE);
	assert_int_equal(bench_info(&b, h)->snd_wnd, 3000);
	send(&b, ". 1 ack 1 win 3000");
	assert_int_equal(bench_info(&b, h)->snd_wnd, 3000 << 4);
	bench_end(&b);
}

/* MUST-10: our SYN was lost: the SYN,ACK repeats it, and goes again until it is acknowledged. */
static void simultaneous_open_lost(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = crossed("mss 1000");
	expect_after(&b, CPL_SECOND, "S. 0 ack 1 <mss>");
	expect_after(&b, 2 * CPL_SECOND, "S. 0 ack 1 <mss>");
	send(&b, "S. 0 ack 1 <mss 1000>");
	expect(&b, ". 1 ack 1");
	expect_event(&b, h, CPL_EV_CONNECTED | CPL_EV_WRITABLE, 0);
	bench_end(&b);
}

/* What is written before the handshake is over goes right after it; a CLOSE then as well. */
static void send_and_close_early(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = crossed("mss 1000");
	bench_write(&b, h, 100);
	assert_int_equal(cpl_shutdown(b.stack, h, b.now), 0);
	expect_nothing(&b);
	send(&b, "S. 0 ack 1 <mss 1000>");
	expect(&b, "FP. 1:101 ack 1");
	expect_state(&b, CPL_FIN_WAIT_1);
	send(&b, ". 1 ack 102");
	expect_state(&b, CPL_FIN_WAIT_2);
	bench_end(&b);

	bench_begin(&b);
	h = bench_open(&b, 0, 80);
	bench_write(&b, h, 100);
	expect(&b, "S 0 <mss>");
	send(&b, "S. 0 ack 1 <mss 1000>");
	expect(&b, "P. 1:101 ack 1");
	bench_end(&b);

	/* CLOSE, not SHUTDOWN: the handle is gone, the rest happens all the same. */
	bench_begin(&b);
	h = crossed("mss 1000");
	bench_write(&b, h, 100);
	assert_int_equal(cpl_close(b.stack, h, b.now), 0);
	send(&b, "S. 0 ack 1 <mss 1000>");
	expect(&b, "FP. 1:101 ack 1");
	send(&b, "F. 1 ack 102");
	expect(&b, ". 102 ack 2");
	expect_state(&b, CPL_TIME_WAIT);
	bench_end(&b);
}

/* MUST-11: in SYN-RECEIVED by active OPEN a RST is told; by passive OPEN nobody learns of it. */
static void reset_in_syn_received(void **state)
{
	cpl_handle h, l;

	(void)state;
	bench_begin(&b);
	h = crossed("mss 1000");
	send(&b, "R 1");
	expect_event(&b, h, CPL_EV_CLOSED, ECONNREFUSED);
	assert_int_equal(cpl_send(b.stack, h, "x", 1, 0, b.now), -ECONNREFUSED);
	bench_end(&b);

	bench_begin(&b);
	l = bench_listen(&b, 80);
	send(&b, "S 0 <mss 1000>");
	expect(&b, "S. 0 ack 1 <mss>");
	send(&b, "R 1");
	expect_nothing(&b);
	expect_state(&b, CPL_CLOSED);
	expect_event(&b, l, 0, 0);
	assert_int_equal(bench_info(&b, l)->state, CPL_LISTEN);
	assert_int_equal(bench_info(&b, l)->syn_queue, 0);
	bench_end(&b);
}

/* ---- close ---- */

/* RFC 9293 figure 12, this side first. */
static void active_close(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_active(&b, "mss 1460");
	assert_int_equal(cpl_shutdown(b.stack, h, b.now), 0);
	expect(&b, "F. 1 ack 1");
	expect_state(&b, CPL_FIN_WAIT_1);
	send(&b, ". 1 ack 2");
	expect_state(&b, CPL_FIN_WAIT_2);
	expect_event(&b, h, CPL_EV_SENT_ALL, 0);
	send(&b, "F. 1 ack 2");
	expect(&b, ". 2 ack 2");
	expect_state(&b, CPL_TIME_WAIT);
	expect_event(&b, h, CPL_EV_PEER_FIN | CPL_EV_READABLE | CPL_EV_CLOSED, 0);
	assert_int_equal(cpl_close(b.stack, h, b.now), 0);
	expect_state(&b, CPL_TIME_WAIT);
	expect_nothing_for(&b, 59 * CPL_SECOND);
	expect_state(&b, CPL_TIME_WAIT);
	bench_run(&b, CPL_SECOND + CPL_MS);
	expect_state(&b, CPL_CLOSED);
	bench_end(&b);
}

/* MUST-12: the peer's FIN is a normal end: what came before it can be read, then 0. */
static void passive_close(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1460");
	send(&b, "FP. 1:101 ack 1");
	expect(&b, ". 1 ack 102");
	expect_state(&b, CPL_CLOSE_WAIT);
	expect_event(&b, h, CPL_EV_PEER_FIN | CPL_EV_READABLE, 0);
	bench_read(&b, h, 100);
	bench_read(&b, h, 0);
	bench_read(&b, h, 0);
	/* The other way is still open. */
	bench_write(&b, h, 50);
	expect(&b, "P. 1:51 ack 102");
	send(&b, ". 102 ack 51");
	assert_int_equal(cpl_shutdown(b.stack, h, b.now), 0);
	expect(&b, "F. 51 ack 102");
	expect_state(&b, CPL_LAST_ACK);
	send(&b, ". 102 ack 52");
	expect_nothing(&b);
	expect_state(&b, CPL_CLOSED);
	expect_event(&b, h, CPL_EV_SENT_ALL | CPL_EV_CLOSED, 0);
	bench_end(&b);
}

/* RFC 9293 figure 13 */
static void simultaneous_close(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_active(&b, "mss 1460");
	bench_write(&b, h, 100);
	expect(&b, "P. 1:101 ack 1");
	assert_int_equal(cpl_shutdown(b.stack, h, b.now), 0);
	expect(&b, "F. 101 ack 1");
	send(&b, "P. 1:201 ack 1");
	expect(&b, ". 102 ack 201");
	send(&b, "F. 201 ack 101");
	expect(&b, ". 102 ack 202");
	expect_state(&b, CPL_CLOSING);
	bench_read(&b, h, 200);
	send(&b, ". 202 ack 102");
	expect_nothing(&b);
	expect_state(&b, CPL_TIME_WAIT);
	expect_event(&b, h, CPL_EV_SENT_ALL | CPL_EV_READABLE | CPL_EV_PEER_FIN | CPL_EV_CLOSED, 0);
	bench_read(&b, h, 0);
	bench_end(&b);
}

/* A FIN and an ACK of ours in one segment: straight to TIME-WAIT. Lost FINs go again. */
static void fin_lost(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_active(&b, "mss 1460");
	assert_int_equal(cpl_shutdown(b.stack, h, b.now), 0);
	expect(&b, "F. 1 ack 1");
	expect_after(&b, 200 * CPL_MS, "F. 1 ack 1");
	expect_after(&b, 400 * CPL_MS, "F. 1 ack 1");
	send(&b, "F. 1 ack 2");
	expect(&b, ". 2 ack 2");
	expect_state(&b, CPL_TIME_WAIT);
	bench_end(&b);

	/* The peer's, of which the ACK was lost. */
	bench_begin(&b);
	h = bench_active(&b, "mss 1460");
	send(&b, "F. 1 ack 1");
	expect(&b, ". 1 ack 2");
	for (unsigned i = 0; i < 3; i++) {
		bench_run(&b, 50 * CPL_MS); /* it takes sequence space: no rate limit */
		send(&b, "F. 1 ack 1");
		expect(&b, ". 1 ack 2");
	}
	bench_end(&b);
}

/* Half-close: one side is shut for long, the other goes on and on. */
static void half_close(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_active(&b, "mss 1460");
	assert_int_equal(cpl_shutdown(b.stack, h, b.now), 0);
	expect(&b, "F. 1 ack 1");
	send(&b, ". 1 ack 2");
	assert_int_equal(cpl_send(b.stack, h, "x", 1, 0, b.now), -EPIPE);
	bench_run(&b, 600 * CPL_SECOND); /* no time-out while the program holds the handle */
	expect_state(&b, CPL_FIN_WAIT_2);
	for (uint32_t i = 0; i < 20; i++) {
		send(&b, "P. %u:%u ack 2", 1 + 100 * i, 101 + 100 * i);
		bench_run(&b, 50 * CPL_MS); /* it may be delayed */
		expect(&b, ". 2 ack %u", 101 + 100 * i);
		bench_read(&b, h, 100);
	}
	send(&b, "F. 2001 ack 2");
	expect(&b, ". 2 ack 2002");
	bench_read(&b, h, 0);
	bench_end(&b);
}

/* MAY-8: a program that does not read keeps the window closed, for as long as it likes. */
static void window_kept_closed(void **state)
{
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.rcvbuf = b.config.rcvbuf_max = 2048;
	bench_start(&b);
	h = bench_passive(&b, "mss 1024");
	send(&b, "P. 1:1025 ack 1");
	expect(&b, ". 1 ack 1025 win 1024");
	send(&b, "P. 1025:2049 ack 1");
	expect(&b, ". 1 ack 2049 win 0");
	for (unsigned i = 0; i < 50; i++) { /* the peer probes, with an octet and without */
		bench_run(&b, 60 * CPL_SECOND);
		if (i & 1)
			send(&b, ". 2049:2050 ack 1");
		else
			send(&b, ". 2048 ack 1");
		expect(&b, ". 1 ack 2049 win 0");
	}
	expect_state(&b, CPL_ESTABLISHED);
	bench_read(&b, h, 2048);
	expect(&b, ". 1 ack 2049 win 2048");
	bench_end(&b);
}

/* Data that nobody reads keeps the connection's buffers, but does not keep the stack awake. */
static void unread_for_long(void **state)
{
	uint64_t end;
	unsigned woken = 0;
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1024");
	send(&b, "P. 1:1025 ack 1");
	expect(&b, ". 1 ack 1025");
	for (end = b.now + 3600 * CPL_SECOND; cpl_deadline(b.stack) < end; woken++) {
		b.now = cpl_deadline(b.stack);
		cpl_advance(b.stack, b.now);
	}
	assert_in_range(woken, 1, 400);
	bench_read(&b, h, 1024);
	bench_end(&b);
}

/* MAY-1: after CLOSE nobody can read; in FIN-WAIT-2 that lasts fin_wait_2_ns at most. */
static void fin_wait_2_timeout(void **state)
{
	uint8_t byte;
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_active(&b, "mss 1460");
	assert_int_equal(cpl_close(b.stack, h, b.now), 0);
	assert_int_equal(cpl_recv(b.stack, h, &byte, 1, 0, b.now), -EBADF);
	expect(&b, "F. 1 ack 1");
	send(&b, ". 1 ack 2");
	expect_state(&b, CPL_FIN_WAIT_2);
	expect_nothing_for(&b, 59 * CPL_SECOND);
	expect_state(&b, CPL_FIN_WAIT_2);
	expect_nothing_for(&b, CPL_SECOND + CPL_MS);
	expect_state(&b, CPL_CLOSED);
	send(&b, "F. 1 ack 2");
	expect(&b, "R 2");
	bench_end(&b);

	/* The time begins with CLOSE, if the state was entered before it. */
	bench_begin(&b);
	h = bench_active(&b, "mss 1460");
	assert_int_equal(cpl_shutdown(b.stack, h, b.now), 0);
	expect(&b, "F. 1 ack 1");
	send(&b, ". 1 ack 2");
	bench_run(&b, 100 * CPL_SECOND);
	assert_int_equal(cpl_close(b.stack, h, b.now), 0);
	bench_run(&b, 59 * CPL_SECOND);
	expect_state(&b, CPL_FIN_WAIT_2);
	send(&b, "F. 1 ack 2");
	expect(&b, ". 2 ack 2");
	expect_state(&b, CPL_TIME_WAIT);
	bench_end(&b);
}

/* SHLD-3: CLOSE with unread data resets; so does data that comes after CLOSE. */
static void data_after_close(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_active(&b, "mss 1460");
	send(&b, "P. 1:101 ack 1");
	expect(&b, ". 1 ack 101");
	assert_int_equal(cpl_close(b.stack, h, b.now), 0);
	expect(&b, "R. 1 ack 101");
	expect_state(&b, CPL_CLOSED);
	bench_end(&b);

	for (int fin_acked = 0; fin_acked < 2; fin_acked++) {
		bench_begin(&b);
		h = bench_active(&b, "mss 1460");
		assert_int_equal(cpl_close(b.stack, h, b.now), 0);
		expect(&b, "F. 1 ack 1");
		send(&b, "P. 1:101 ack %u", 1 + fin_acked);
		expect(&b, "R %u", 1 + fin_acked);
		expect_state(&b, CPL_CLOSED);
		assert_int_equal(counter(&b, drop_tcp_closed), 1);
		bench_end(&b);
	}

	/* A half-close is no CLOSE. */
	bench_begin(&b);
	h = bench_active(&b, "mss 1460");
	assert_int_equal(cpl_shutdown(b.stack, h, b.now), 0);
	expect(&b, "F. 1 ack 1");
	send(&b, "P. 1:101 ack 1");
	expect(&b, ". 2 ack 101");
	expect_state(&b, CPL_FIN_WAIT_1);
	bench_end(&b);
}

/* CLOSE with everything read: what was written still goes, and its loss is repaired. */
static void close_sends_the_rest(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_active(&b, "mss 1460");
	bench_write(&b, h, 3000);
	assert_int_equal(cpl_close(b.stack, h, b.now), 0);
	expect(&b, ". 1:1461 ack 1");
	expect(&b, ". 1461:2921 ack 1");
	expect(&b, "FP. 2921:3001 ack 1");
	expect_after(&b, 200 * CPL_MS, ". 1:1461 ack 1");
	send(&b, ". 1 ack 2921");
	expect(&b, "FP. 2921:3001 ack 1");
	send(&b, "F. 1 ack 3002");
	expect(&b, ". 3002 ack 2");
	expect_state(&b, CPL_TIME_WAIT);
	bench_end(&b);
}

/* ABORT: 3.10.5. What waits goes nowhere, the peer gets a RST where one is due. */
static void abort_call(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_active(&b, "mss 1460");
	bench_write(&b, h, 100);
	expect(&b, "P. 1:101 ack 1");
	bench_write(&b, h, 100);
	assert_int_equal(cpl_abort(b.stack, h, b.now), 0);
	expect(&b, "R. 101 ack 1");
	expect_nothing_for(&b, 10 * CPL_SECOND);
	assert_int_equal(cpl_send(b.stack, h, "x", 1, 0, b.now), -EBADF);
	assert_int_equal(bench_events(&b, h, NULL), 0);
	bench_end(&b);

	/* The option makes CLOSE the same. */
	bench_begin(&b);
	h = bench_active(&b, "mss 1460");
	assert_int_equal(cpl_set_option(b.stack, h, CPL_OPT_LINGER_DROP, 1, b.now), 0);
	assert_int_equal(cpl_close(b.stack, h, b.now), 0);
	expect(&b, "R. 1 ack 1");
	bench_end(&b);
}

/* MUST-12: an abort is not a normal end: the error says so, on every call. */
static void told_of_abort(void **state)
{
	uint64_t error = 0;
	uint8_t byte;
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_active(&b, "mss 1460");
	send(&b, "R 1");
	expect_event(&b, h, CPL_EV_CLOSED, ECONNRESET);
	assert_int_equal(cpl_recv(b.stack, h, &byte, 1, 0, b.now), -ECONNRESET);
	assert_int_equal(cpl_send(b.stack, h, "x", 1, 0, b.now), -ECONNRESET);
	assert_int_equal(cpl_get_option(b.stack, h, CPL_OPT_ERROR, &error, b.now), 0);
	assert_int_equal(error, ECONNRESET);
	assert_int_equal(cpl_close(b.stack, h, b.now), 0);
	expect_nothing(&b);
	bench_end(&b);

	/* After its FIN: EPIPE, as Linux says it. */
	bench_begin(&b);
	h = bench_active(&b, "mss 1460");
	send(&b, "F. 1 ack 1");
	expect(&b, ". 1 ack 2");
	expect_event(&b, h, CPL_EV_PEER_FIN | CPL_EV_READABLE, 0);
	send(&b, "R 2");
	expect_event(&b, h, CPL_EV_CLOSED, EPIPE);
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(simultaneous_open),
		cmocka_unit_test(simultaneous_open_by_ack),
		cmocka_unit_test(simultaneous_open_options),
		cmocka_unit_test(simultaneous_open_lost),
		cmocka_unit_test(send_and_close_early),
		cmocka_unit_test(reset_in_syn_received),
		cmocka_unit_test(active_close),
		cmocka_unit_test(passive_close),
		cmocka_unit_test(simultaneous_close),
		cmocka_unit_test(fin_lost),
		cmocka_unit_test(half_close),
		cmocka_unit_test(window_kept_closed),
		cmocka_unit_test(unread_for_long),
		cmocka_unit_test(fin_wait_2_timeout),
		cmocka_unit_test(data_after_close),
		cmocka_unit_test(close_sends_the_rest),
		cmocka_unit_test(abort_call),
		cmocka_unit_test(told_of_abort),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
