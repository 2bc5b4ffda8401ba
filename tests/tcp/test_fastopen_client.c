/* SPDX-License-Identifier: MIT */
/* TCP Fast Open, RFC 7413: the side that opens. */
#include "tests/util/tcp_bench.h"

static struct bench b;

#define COOKIE "0102030405060708"

/* Open with N octets of data. Returns what the call does. */
static long open_data(cpl_handle *h, uint32_t n)
{
	uint8_t data[5000];
	long r;

	for (uint32_t i = 0; i < n; i++)
		data[i] = bench_octet(i);
	assert_int_equal(cpl_open(b.stack, NULL, h, b.now), 0);
	bench_flow(&b, 0, 80);
	r = cpl_open_active_data(b.stack, *h, &b.flow.peer, data, n, 0, b.now);
	b.flow.us.port = bench_info(&b, *h)->local_port;
	return r;
}

static void forget(cpl_handle h)
{
	cpl_abort(b.stack, h, b.now);
	while (bench_take(&b))
		;
}

/* The first connection asks for a cookie, and gets it with an MSS. */
static void learn(const char *answer)
{
	cpl_handle h;

	assert_int_equal(open_data(&h, 100), -EINPROGRESS);
	expect(&b, "S 0 <mss 1460,FO>");
	send(&b, "S. 0 ack 1 <mss 1000%s>", answer);
	expect(&b, ". 1 ack 1");
	expect_event(&b, h, CPL_EV_CONNECTED | CPL_EV_WRITABLE, 0);
	assert_int_equal(bench_info(&b, h)->fastopen_fail, 1);
	bench_write(&b, h, 100); /* nothing was taken */
	expect(&b, "P. 1:101 ack 1");
	forget(h);
}

static void begin(void)
{
	bench_begin(&b);
	learn(",FO " COOKIE);
}

/* 4.2.1: the cookie goes with data; what the SYN,ACK acknowledges is done with. */
static void data_in_syn(void **state)
{
	cpl_handle h;

	(void)state;
	begin();
	assert_int_equal(open_data(&h, 500), 500);
	expect(&b, "S 0:500 <mss 1460,FO " COOKIE ">");
	expect_state(&b, CPL_SYN_SENT);
	send(&b, "S. 0 ack 501 <mss 1000>");
	expect(&b, ". 501 ack 1");
	expect_event(&b, h, CPL_EV_CONNECTED | CPL_EV_WRITABLE | CPL_EV_SENT_ALL, 0);
	assert_true(bench_info(&b, h)->options & CPL_OPT_BIT_TFO);
	assert_int_equal(bench_info(&b, h)->bytes_acked, 500);
	assert_int_equal(bench_info(&b, h)->send_queue, 0);
	assert_int_equal(bench_info(&b, h)->fastopen_fail, 0);
	assert_int_equal(counter(&b, fastopen_active), 1);
	bench_write(&b, h, 100);
	expect(&b, "P. 501:601 ack 1");
	bench_end(&b);
}

/* No more than the cached MSS less 40 fits; the rest follows the handshake. */
static void more_than_fits(void **state)
{
	cpl_handle h;

	(void)state;
	begin();
	assert_int_equal(open_data(&h, 3000), 3000);
	expect(&b, "S 0:960 <mss 1460,FO " COOKIE ">");
	send(&b, "S. 0 ack 961 <mss 1000>");
	expect(&b, ". 961:1961 ack 1");
	expect(&b, ". 1961:2961 ack 1");
	expect(&b, "P. 2961:3001 ack 1");
	expect_nothing(&b);
	bench_end(&b);
}

/* Only the SYN is acknowledged: the data goes again at once, cwnd stays. */
static void data_refused(void **state)
{
	cpl_handle h;

	(void)state;
	begin();
	assert_int_equal(open_data(&h, 500), 500);
	expect(&b, "S 0:500 <mss 1460,FO " COOKIE ">");
	send(&b, "S. 0 ack 1 <mss 1000,FO 1112131415161718>");
	expect(&b, "P. 1:501 ack 1");
	expect_nothing(&b);
	assert_int_equal(bench_info(&b, h)->fastopen_fail, 2);
	assert_int_equal(bench_info(&b, h)->cwnd, 10000);
	assert_int_equal(bench_info(&b, h)->recovery, CPL_RECOVERY_OPEN);
	assert_int_equal(counter(&b, fastopen_active_fail), 1);
	/* What went again is no answer: the first text is still acknowledged at once. */
	send(&b, "P. 1:101 ack 501");
	expect(&b, ". 501 ack 101");
	expect_nothing(&b);
	assert_int_equal(bench_info(&b, h)->recovery, CPL_RECOVERY_OPEN);
	assert_true(bench_info(&b, h)->cwnd >= 10000);
	forget(h);
	/* The new cookie is the one to use. */
	assert_int_equal(open_data(&h, 500), 500);
	expect(&b, "S 0:500 <mss 1460,FO 1112131415161718>");
	bench_end(&b);
}

/* What a SYN carried is no short segment of the program's: it holds the next one's tail back not.
 */
static void tail_after_refusal(void **state)
{
	cpl_handle h;

	(void)state;
	begin();
	assert_int_equal(open_data(&h, 960), 960);
	expect(&b, "S 0:960 <mss 1460,FO " COOKIE ">");
	send(&b, "S. 0 ack 1 <mss 1000>");
	expect(&b, "P. 1:961 ack 1");
	bench_write(&b, h, 1500);
	expect(&b, ". 961:1961 ack 1");
	expect(&b, "P. 1961:2461 ack 1");
	bench_end(&b);
}

/* A router had no way for so large a SYN: it goes again at once, without data, as small as that. */
static void too_big(void **state)
{
	cpl_handle h;

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		uint16_t mtu = v6 ? 1280 : 800, mss = v6 ? 1220 : 760;

		bench_init(&b);
		b.v6 = v6;
		bench_start(&b);
		assert_int_equal(open_data(&h, 100), -EINPROGRESS);
		expect(&b, "S 0 <mss %u,FO>", v6 ? 1440 : 1460);
		send(&b, "S. 0 ack 1 <mss 1400,FO " COOKIE ">");
		expect(&b, ". 1 ack 1");
		forget(h);
		assert_int_equal(open_data(&h, 1360), 1360);
		expect(&b, "S 0:1360 <mss %u,FO " COOKIE ">", v6 ? 1440 : 1460);
		bench_send_icmp(&b, v6 ? 2 : 3, v6 ? 0 : 4, mtu, 0, 1360);
		expect(&b, "S 0 <mss %u>", mss);
		expect_nothing(&b);
		send(&b, "S. 0 ack 1 <mss 1400>");
		expect(&b, ". 1:%u ack 1", 1 + mss);
		expect(&b, "P. %u:1361 ack 1", 1 + mss);
		assert_int_equal(bench_info(&b, h)->rcv_mss, mss);
		assert_int_equal(bench_info(&b, h)->cwnd, 10 * mss);
		bench_end(&b);
	}
}

/* A part was taken: the rest goes again, smaller if the peer says so now. */
static void data_in_part(void **state)
{
	cpl_handle h;

	(void)state;
	begin();
	assert_int_equal(open_data(&h, 900), 900);
	expect(&b, "S 0:900 <mss 1460,FO " COOKIE ">");
	send(&b, "S. 0 ack 301 <mss 400>");
	expect(&b, ". 301:701 ack 1");
	expect(&b, "P. 701:901 ack 1");
	send(&b, ". 1 ack 901");
	assert_int_equal(bench_info(&b, h)->bytes_acked, 900);
	bench_end(&b);
}

/* RFC 7413 4.1.3: the SYN that goes again has neither. */
static void syn_again(void **state)
{
	cpl_handle h;

	(void)state;
	begin();
	assert_int_equal(open_data(&h, 500), 500);
	expect(&b, "S 0:500 <mss 1460,FO " COOKIE ">");
	expect_after(&b, CPL_SECOND, "S 0 <mss 1460>");
	send(&b, "S. 0 ack 1 <mss 1000>");
	expect(&b, "P. 1:501 ack 1");
	assert_int_equal(bench_info(&b, h)->fastopen_fail, 3);
	assert_int_equal(bench_info(&b, h)->cwnd, 1000); /* RFC 5681 3.1 */
	send(&b, ". 1 ack 501");
	forget(h);
	/* Once may be chance; twice is not: no Fast Open to there for a while. */
	assert_int_equal(open_data(&h, 500), 500);
	expect(&b, "S 0:500 <mss 1460,FO " COOKIE ">");
	expect_after(&b, CPL_SECOND, "S 0 <mss 1460>");
	send(&b, "S. 0 ack 1 <mss 1000>");
	expect(&b, "P. 1:501 ack 1");
	forget(h);
	assert_int_equal(open_data(&h, 500), -EINPROGRESS);
	expect(&b, "S 0 <mss 1460>");
	forget(h);
	bench_run(&b, 241 * CPL_SECOND);
	assert_int_equal(open_data(&h, 500), 500);
	expect(&b, "S 0:500 <mss 1460,FO " COOKIE ">");
	bench_end(&b);
}

/* 7.1, as Linux: three time-outs in a row, and nobody gets it for an hour, then two. */
static void black_hole(void **state)
{
	uint64_t rest = 3600 * CPL_SECOND;
	cpl_handle h;

	(void)state;
	begin();
	for (unsigned i = 0; i < 2; i++, rest *= 2) {
		assert_int_equal(open_data(&h, 500), 500);
		expect(&b, "S 0:500 <mss 1460,FO " COOKIE ">");
		expect_after(&b, CPL_SECOND, "S 0 <mss 1460>");
		expect_after(&b, 2 * CPL_SECOND, "S 0 <mss 1460>");
		assert_int_equal(counter(&b, fastopen_blackholes), i);
		expect_after(&b, 4 * CPL_SECOND, "S 0 <mss 1460>");
		assert_int_equal(counter(&b, fastopen_blackholes), i + 1);
		forget(h);
		bench_run(&b, rest - 10 * CPL_SECOND);
		assert_int_equal(open_data(&h, 500), -EINPROGRESS);
		expect(&b, "S 0 <mss 1460>");
		forget(h);
		bench_run(&b, 10 * CPL_SECOND);
	}
	/* A connection on which data comes ends that. */
	assert_int_equal(open_data(&h, 500), 500);
	expect(&b, "S 0:500 <mss 1460,FO " COOKIE ">");
	send(&b, "S. 0 ack 501 <mss 1000>");
	expect(&b, ". 501 ack 1");
	send(&b, "P. 1:101 ack 501");
	forget(h);
	assert_int_equal(open_data(&h, 500), 500);
	bench_end(&b);
}

/* A server that understands the experiment's option alone. */
static void experiment(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	learn("");
	assert_int_equal(open_data(&h, 100), -EINPROGRESS);
	expect(&b, "S 0 <mss 1460,FOEXP>");
	send(&b, "S. 0 ack 1 <mss 1000,FOEXP " COOKIE ">");
	expect(&b, ". 1 ack 1");
	forget(h);
	assert_int_equal(open_data(&h, 100), 100);
	expect(&b, "S 0:100 <mss 1460,FOEXP " COOKIE ">");
	bench_end(&b);
	/* Nor that one: back to the standard. */
	bench_begin(&b);
	learn("");
	assert_int_equal(open_data(&h, 100), -EINPROGRESS);
	expect(&b, "S 0 <mss 1460,FOEXP>");
	send(&b, "S. 0 ack 1 <mss 1000>");
	expect(&b, ". 1 ack 1");
	forget(h);
	assert_int_equal(open_data(&h, 100), -EINPROGRESS);
	expect(&b, "S 0 <mss 1460,FO>");
	bench_end(&b);
}

/* A cookie that was not asked for is none. */
static void unsolicited(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	bench_active(&b, "mss 1000,FO " COOKIE);
	assert_int_equal(open_data(&h, 100), -EINPROGRESS);
	expect(&b, "S 0 <mss 1460,FO>");
	bench_end(&b);
}

/* CPL_OPT_FASTOPEN_CONNECT: the SYN awaits the data, if there is a cookie. */
static void deferred(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	cpl_open(b.stack, NULL, &h, b.now);
	assert_int_equal(cpl_set_option(b.stack, h, CPL_OPT_FASTOPEN_CONNECT, 1, b.now), 0);
	bench_flow(&b, 0, 80);
	assert_int_equal(cpl_open_active(b.stack, h, &b.flow.peer, b.now), 0);
	expect(&b, "S 0 <mss 1460,FO>");
	send(&b, "S. 0 ack 1 <mss 1000,FO " COOKIE ">");
	expect(&b, ". 1 ack 1");
	forget(h);
	cpl_open(b.stack, NULL, &h, b.now);
	cpl_set_option(b.stack, h, CPL_OPT_FASTOPEN_CONNECT, 1, b.now);
	bench_flow(&b, 0, 80);
	assert_int_equal(cpl_open_active(b.stack, h, &b.flow.peer, b.now), 0);
	expect_event(&b, h, CPL_EV_WRITABLE, 0);
	expect_nothing_for(&b, 10 * CPL_SECOND);
	b.flow.us.port = bench_info(&b, h)->local_port;
	bench_write(&b, h, 100);
	expect(&b, "S 0:100 <mss 1460,FO " COOKIE ">");
	send(&b, "S. 0 ack 101 <mss 1000>");
	expect(&b, ". 101 ack 1");
	forget(h);
	/* Closed before anything was sent: nobody hears of it. */
	cpl_open(b.stack, NULL, &h, b.now);
	cpl_set_option(b.stack, h, CPL_OPT_FASTOPEN_CONNECT, 1, b.now);
	assert_int_equal(cpl_open_active(b.stack, h, &b.flow.peer, b.now), 0);
	cpl_close(b.stack, h, b.now);
	expect_nothing(&b);
	bench_end(&b);
}

/* Without cookies, by the stack's word or the connection's. */
static void no_cookie(void **state)
{
	uint8_t data[100];
	cpl_handle h;

	(void)state;
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = bench_octet(i);
	for (int option = 0; option < 2; option++) {
		bench_init(&b);
		b.config.fastopen |= option ? 0 : CPL_FASTOPEN_CLIENT_NO_COOKIE;
		bench_start(&b);
		cpl_open(b.stack, NULL, &h, b.now);
		if (option)
			cpl_set_option(b.stack, h, CPL_OPT_FASTOPEN_NO_COOKIE, 1, b.now);
		bench_flow(&b, 0, 80);
		assert_int_equal(cpl_open_active_data(b.stack, h, &b.flow.peer, data, 100, 0,
						      b.now),
				 100);
		expect(&b, "S 0:100 <mss 1460>");
		send(&b, "S. 0 ack 101 <mss 1000>");
		expect(&b, ". 101 ack 1");
		bench_end(&b);
	}
	bench_init(&b);
	b.config.fastopen = 0;
	bench_start(&b);
	assert_int_equal(open_data(&h, 100), -EOPNOTSUPP);
	assert_int_equal(cpl_set_option(b.stack, h, CPL_OPT_FASTOPEN_CONNECT, 1, b.now),
			 -EOPNOTSUPP);
	bench_end(&b);
}

/* RFC 9293 3.5: both open at once: what the SYN carried goes again when that is done. */
static void simultaneous(void **state)
{
	cpl_handle h;

	(void)state;
	begin();
	assert_int_equal(open_data(&h, 500), 500);
	expect(&b, "S 0:500 <mss 1460,FO " COOKIE ">");
	send(&b, "S 0:200 <mss 1000,FO " COOKIE ">");
	expect(&b, "S. 0 ack 1 <mss 1460>");
	expect_nothing(&b);
	send(&b, "S. 0 ack 1 <mss 1000>");
	expect(&b, "P. 1:501 ack 1");
	expect_state(&b, CPL_ESTABLISHED);
	send(&b, "P. 1:201 ack 501");
	bench_read(&b, h, 200);
	bench_end(&b);
}

/* The SYN came twice, and RFC 2883 says so (as Linux). */
static void simultaneous_sack(void **state)
{
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.sack = 1;
	bench_start(&b);
	assert_int_equal(open_data(&h, 100), -EINPROGRESS);
	expect(&b, "S 0 <mss 1460,sackOK,FO>");
	send(&b, "S. 0 ack 1 <mss 1000,sackOK,FO " COOKIE ">");
	expect(&b, ". 1 ack 1");
	forget(h);
	assert_int_equal(open_data(&h, 500), 500);
	expect(&b, "S 0:500 <mss 1460,sackOK,FO " COOKIE ">");
	send(&b, "S 0:200 <mss 1000,sackOK,FO " COOKIE ">");
	expect(&b, "S. 0 ack 1 <mss 1460,sackOK>");
	send(&b, "S. 0 ack 501 <mss 1000,sackOK>");
	expect(&b, ". 501 ack 1 <sack 0:1>");
	expect_nothing(&b);
	expect_state(&b, CPL_ESTABLISHED);
	bench_end(&b);
}

/* A RST is an answer like any other: nothing else is learned from it. */
static void refused(void **state)
{
	cpl_handle h;

	(void)state;
	begin();
	assert_int_equal(open_data(&h, 500), 500);
	expect(&b, "S 0:500 <mss 1460,FO " COOKIE ">");
	send(&b, "R. 0 ack 501");
	expect_event(&b, h, CPL_EV_CLOSED, ECONNREFUSED);
	assert_int_equal(open_data(&h, 500), 500);
	bench_end(&b);
}

/* The device refuses the SYN: it leaves as it was, later. */
static void device_refuses(void **state)
{
	cpl_handle h;

	(void)state;
	begin();
	b.refuse = 3;
	assert_int_equal(open_data(&h, 500), 500);
	bench_run(&b, 500 * CPL_MS);
	expect(&b, "S 0:500 <mss 1460,FO " COOKIE ">");
	send(&b, "S. 0 ack 501 <mss 1000>");
	expect(&b, ". 501 ack 1");
	bench_end(&b);
}

/* Data in a SYN,ACK, and a FIN: as ever (RFC 7413 4.2.1). */
static void synack_with_data(void **state)
{
	cpl_handle h;

	(void)state;
	begin();
	assert_int_equal(open_data(&h, 500), 500);
	expect(&b, "S 0:500 <mss 1460,FO " COOKIE ">");
	send(&b, "SF. 0:100 ack 501 <mss 1000>");
	expect(&b, ". 501 ack 102");
	bench_read(&b, h, 100);
	expect_state(&b, CPL_CLOSE_WAIT);
	bench_end(&b);
}

/* Nothing but the end of the answer arrives: the path eats what follows such a SYN. */
static void only_fin(void **state)
{
	cpl_handle h;

	(void)state;
	begin();
	assert_int_equal(open_data(&h, 500), 500);
	expect(&b, "S 0:500 <mss 1460,FO " COOKIE ">");
	send(&b, "S. 0 ack 501 <mss 1000>");
	expect(&b, ". 501 ack 1");
	send(&b, "F. 101 ack 501");
	expect(&b, ". 501 ack 1");
	forget(h);
	assert_int_equal(counter(&b, fastopen_blackholes), 1);
	bench_end(&b);
}

/* Many servers: the cache stays as small as it is, and the newest are in it. */
static void cache_bounds(void **state)
{
	unsigned kept = 0;
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.fastopen_cache = 16;
	bench_start(&b);
	for (unsigned i = 2; i < 102; i++) {
		b.peer_addr = cpl_addr4(10, 0, 0, (uint8_t)i);
		learn(",FO " COOKIE);
	}
	for (unsigned i = 2; i < 102; i++) {
		b.peer_addr = cpl_addr4(10, 0, 0, (uint8_t)i);
		kept += open_data(&h, 100) == 100;
		forget(h);
	}
	assert_int_equal(kept, 16);
	assert_true(open_data(&h, 100) == 100);
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tail_after_refusal),
		cmocka_unit_test(too_big),
		cmocka_unit_test(simultaneous_sack),
		cmocka_unit_test(data_in_syn),
		cmocka_unit_test(more_than_fits),
		cmocka_unit_test(data_refused),
		cmocka_unit_test(data_in_part),
		cmocka_unit_test(syn_again),
		cmocka_unit_test(black_hole),
		cmocka_unit_test(experiment),
		cmocka_unit_test(unsolicited),
		cmocka_unit_test(deferred),
		cmocka_unit_test(no_cookie),
		cmocka_unit_test(simultaneous),
		cmocka_unit_test(refused),
		cmocka_unit_test(device_refuses),
		cmocka_unit_test(synack_with_data),
		cmocka_unit_test(only_fin),
		cmocka_unit_test(cache_bounds),
	};

	return cmocka_run_group_tests_name("tcp/fastopen_client", tests, NULL, NULL);
}
