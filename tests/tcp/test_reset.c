/* SPDX-License-Identifier: MIT */
/* RST: to whom one is sent (RFC 9293 3.5.2, 3.10.7.1), which are believed (3.5.3, RFC 5961). */
#include "tests/util/tcp_bench.h"

static struct bench b;

/* 3.10.7.1: nobody is there. Acceptable to whoever sent the segment. */
static void no_connection(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		bench_init(&b);
		b.v6 = v6;
		b.config.ttl = 44;
		bench_start(&b);
		bench_flow(&b, 80, 40000);
		send(&b, "S 0");
		expect(&b, "R. 0 ack 1 win 0 ttl 44 tos 0");
		send(&b, "SF 0:10");
		expect(&b, "R. 0 ack 12 win 0");
		send(&b, "P 5:105");
		expect(&b, "R. 0 ack 105 win 0");
		send(&b, ". 5 ack 77");
		expect(&b, "R 77 win 0");
		send(&b, "FP. 5:10 ack -3");
		expect(&b, "R -3 win 0");
		send(&b, "- 5");
		expect(&b, "R. 0 ack 5 win 0");
		expect_drop(&b, drop_tcp_no_conn, "R 5");
		expect_drop(&b, drop_tcp_no_conn, "R. 5 ack 9");
		expect_drop(&b, drop_tcp_no_conn, "SFRPU. 5:10 ack 9 urg 3");
		assert_int_equal(counter(&b, rst_out), 6);
		assert_int_equal(counter(&b, drop_tcp_no_conn), 9);
		bench_end(&b);
	}
}

/* RFC 5961 3.2: only RCV.NXT resets; the rest of the window asks back; beyond it is silence. */
static void blind_reset(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1460");
	expect_drop(&b, drop_tcp_window, "R 0");
	expect_drop(&b, drop_tcp_window, "R %u", 1 + 65535);
	expect_drop(&b, drop_tcp_window, "R. -100 ack 1");
	for (uint32_t seq = 2; seq <= 65535; seq += 21841) {
		send(&b, "R %u", seq);
		expect(&b, ". 1 ack 1");
	}
	assert_int_equal(counter(&b, drop_tcp_rst), 4);
	assert_int_equal(counter(&b, challenge_acks), 4);
	assert_int_equal(counter(&b, resets), 0);
	expect_state(&b, CPL_ESTABLISHED);
	/* The genuine peer, which knows of no connection, answers the ACK with the right one. */
	send(&b, "R 1");
	expect_nothing(&b);
	expect_event(&b, h, CPL_EV_CLOSED, ECONNRESET);
	assert_int_equal(counter(&b, resets), 1);
	bench_end(&b);
}

/* RCV.NXT is what counts, not what was acknowledged, nor where early data begins. */
static void reset_at_rcv_nxt(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1460");
	send(&b, "P. 1:101 ack 1");
	send(&b, "P. 201:301 ack 1");
	expect(&b, ". 1 ack 101");
	send(&b, "R 1");
	send(&b, "R 201");
	expect(&b, ". 1 ack 101");
	send(&b, "R 101");
	expect_event(&b, h, CPL_EV_READABLE | CPL_EV_CLOSED, ECONNRESET);
	/* What came before it can still be read. */
	bench_read(&b, h, 100);
	bench_end(&b);
}

/* SHLD-2: a RST may carry data, say a text that says why. */
static void reset_with_data(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1460");
	send(&b, "R 1:21");
	expect_nothing(&b);
	expect_event(&b, h, CPL_EV_CLOSED, ECONNRESET);
	assert_int_equal(cpl_recv(b.stack, h, (uint8_t[4]){ 0 }, 4, 0, b.now), -ECONNRESET);
	bench_end(&b);

	bench_begin(&b);
	h = bench_open(&b, 0, 80);
	expect(&b, "S 0 <mss>");
	send(&b, "R. 0:20 ack 1");
	expect_event(&b, h, CPL_EV_CLOSED, ECONNREFUSED);
	bench_end(&b);
}

/* With a window of zero RCV.NXT is all there is (MUST-66), and it resets. */
static void reset_zero_window(void **state)
{
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.rcvbuf = b.config.rcvbuf_max = 2048;
	bench_start(&b);
	h = bench_passive(&b, "mss 1460");
	send(&b, "P. 1:1025 ack 1");
	expect(&b, ". 1 ack 1025 win 1024");
	send(&b, "P. 1025:2049 ack 1");
	expect(&b, ". 1 ack 2049 win 0");
	expect_drop(&b, drop_tcp_window, "R 2050");
	send(&b, "R 2049");
	expect_event(&b, h, CPL_EV_READABLE | CPL_EV_CLOSED, ECONNRESET);
	bench_end(&b);
}

/* Timestamps do not protect from a RST without them or with old ones (RFC 7323 5.2). */
static void reset_and_paws(void **state)
{
	cpl_handle h;

	(void)state;
	for (int old = 0; old < 2; old++) {
		bench_init(&b);
		b.config.timestamps = 1;
		bench_start(&b);
		h = bench_passive(&b, "mss 1460,TS");
		send(&b, "R 1 <%s>", old ? "TS 5 5" : "");
		expect_nothing(&b);
		expect_event(&b, h, CPL_EV_CLOSED, ECONNRESET);
		bench_end(&b);
	}
}

/* RFC 5961 4.2: a SYN on a synchronized connection asks back, wherever it lies. */
static void blind_syn(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1460");
	send(&b, "S 1");
	expect(&b, ". 1 ack 1");
	send(&b, "S. 100 ack 1");
	expect(&b, ". 1 ack 1");
	send(&b, "S 1000000");
	expect(&b, ". 1 ack 1");
	assert_int_equal(counter(&b, drop_tcp_syn), 2);
	assert_int_equal(counter(&b, drop_tcp_window), 1);
	/* The peer restarted: it resets by what our ACK says, and its next SYN opens anew. */
	send(&b, "R 1");
	expect_event(&b, h, CPL_EV_CLOSED, ECONNRESET);
	send(&b, "S 1000000 <mss 1000>");
	b.flow.our_iss_known = false;
	expect(&b, "S. 0 ack 1000001 <mss>");
	bench_end(&b);
}

/* MAY-12: SND.UNA - MAX.SND.WND <= SEG.ACK <= SND.NXT, else the data is not taken. */
static void blind_data(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1460");
	send(&b, ". 1 ack 1 win 5000"); /* MAX.SND.WND stays 65,535 */
	send(&b, "P. 1:101 ack 2");
	expect(&b, ". 1 ack 1");
	send(&b, "P. 1:101 ack %d", 1 - 65536);
	expect(&b, ". 1 ack 1");
	send(&b, "P. 1:101 ack 2000000000");
	expect(&b, ". 1 ack 1");
	assert_int_equal(counter(&b, drop_tcp_ack), 3);
	assert_int_equal(bench_info(&b, h)->recv_queue, 0);
	send(&b, "P. 1:101 ack %d", 1 - 65535);
	expect(&b, ". 1 ack 101");
	assert_int_equal(bench_info(&b, h)->recv_queue, 100);
	bench_end(&b);
}

/* RFC 5961 7: challenge ACKs are limited for the whole stack, by a number that varies. */
static void challenge_limit(void **state)
{
	unsigned least = 1000, most = 0;

	(void)state;
	bench_init(&b);
	b.config.challenge_ack_rate = 20;
	bench_start(&b);
	bench_passive(&b, "mss 1460");
	for (unsigned second = 0; second < 40; second++) {
		unsigned said = 0;

		for (unsigned i = 0; i < 40; i++) {
			send(&b, "R %u", 100 + i);
			while (bench_take(&b))
				said++;
		}
		assert_in_range(said, 10, 30);
		least = said < least ? said : least;
		most = said > most ? said : most;
		bench_run(&b, CPL_SECOND);
	}
	assert_true(most - least >= 5);
	assert_int_equal(counter(&b, drop_tcp_rst), 1600);
	/* What is no challenge goes on: data is acknowledged whatever it is. */
	for (unsigned i = 0; i < 40; i++)
		send(&b, "R 100");
	while (bench_take(&b))
		;
	send(&b, "P. 1:101 ack 1");
	expect(&b, ". 1 ack 101");
	bench_end(&b);
}

/* Two ends that disagree must not answer each other for ever: empty segments seldom. */
static void ack_loop(void **state)
{
	(void)state;
	bench_begin(&b);
	bench_passive(&b, "mss 1460");
	send(&b, ". 5000000 ack 1");
	expect(&b, ". 1 ack 1");
	for (unsigned i = 0; i < 4; i++) {
		bench_run(&b, 100 * CPL_MS);
		expect_drop(&b, drop_tcp_window, ". 5000000 ack 1");
	}
	bench_run(&b, 110 * CPL_MS);
	send(&b, ". 5000000 ack 1");
	expect(&b, ". 1 ack 1");
	/* Data is always answered: its sender waits for the ACK. */
	for (unsigned i = 0; i < 4; i++) {
		send(&b, "P. -100:1 ack 1");
		expect(&b, ". 1 ack 1");
	}
	bench_end(&b);
}

/* A half-open connection (RFC 9293 3.5.1, figure 10): we know nothing of it, the peer does. */
static void peer_half_open(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_open(&b, 5555, 80);
	expect(&b, "S 0 <mss>");
	send(&b, ". 300 ack 100"); /* what the peer has of the old connection */
	expect(&b, "R 100");
	expect_state(&b, CPL_SYN_SENT);
	expect_after(&b, CPL_SECOND, "S 0 <mss>"); /* and now it is answered */
	send(&b, "S. 0 ack 1 <mss 1000>");
	expect(&b, ". 1 ack 1");
	expect_event(&b, h, CPL_EV_CONNECTED | CPL_EV_WRITABLE, 0);
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_connection),     cmocka_unit_test(blind_reset),
		cmocka_unit_test(reset_at_rcv_nxt),  cmocka_unit_test(reset_with_data),
		cmocka_unit_test(reset_zero_window), cmocka_unit_test(reset_and_paws),
		cmocka_unit_test(blind_syn),	     cmocka_unit_test(blind_data),
		cmocka_unit_test(challenge_limit),   cmocka_unit_test(ack_loop),
		cmocka_unit_test(peer_half_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
