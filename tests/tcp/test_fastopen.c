/* SPDX-License-Identifier: MIT */
/* TCP Fast Open, RFC 7413: the side that listens; cookies as Linux makes them. */
#include "tests/util/tcp_bench.h"

static struct bench b;

/* What Linux 6.18 answers 10.0.0.2 from 10.0.0.1, fd00::2 from fd00::1, with the key 0 to 15. */
#define COOKIE4	   "788be4dbe24b2585"
#define COOKIE6	   "8544fa46ea042e3f"
#define BAD_COOKIE "ffffffffffffffff"

static cpl_handle listener_with(uint32_t flags, uint32_t queue)
{
	cpl_handle l;

	b.config.fastopen = flags;
	b.config.fastopen_keys = 1;
	for (unsigned i = 0; i < 16; i++)
		b.config.fastopen_key[0][i] = (uint8_t)i;
	bench_start(&b);
	l = bench_listen(&b, 80);
	if (queue)
		assert_int_equal(cpl_set_option(b.stack, l, CPL_OPT_FASTOPEN, queue, b.now), 0);
	return l;
}

static cpl_handle listener(void)
{
	bench_init(&b);
	return listener_with(CPL_FASTOPEN_SERVER, 5);
}

/* 4.1.2: a cookie is asked for, in either form, and given; and not where nobody wants it. */
static void cookie_asked(void **state)
{
	(void)state;
	listener();
	send(&b, "S 0 <mss 1000,FO>");
	expect(&b, "S. 0 ack 1 <mss 1460,FO " COOKIE4 ">");
	expect_after(&b, CPL_SECOND, "S. 0 ack 1 <mss 1460>"); /* as Linux */
	assert_int_equal(counter(&b, fastopen_requests), 1);
	bench_end(&b);
	listener();
	send(&b, "S 0 <mss 1000,FOEXP>");
	expect(&b, "S. 0 ack 1 <mss 1460,FOEXP " COOKIE4 ">");
	bench_end(&b);
	listener();
	send(&b, "S 0 <mss 1000>");
	expect(&b, "S. 0 ack 1 <mss 1460>");
	bench_end(&b);
	bench_init(&b);
	b.v6 = true;
	listener_with(CPL_FASTOPEN_SERVER, 5);
	send(&b, "S 0 <mss 1000,FO>");
	expect(&b, "S. 0 ack 1 <mss 1440,FO " COOKIE6 ">");
	bench_end(&b);
	bench_init(&b);
	listener_with(CPL_FASTOPEN_SERVER, 0);
	send(&b, "S 0 <mss 1000,FO>");
	expect(&b, "S. 0 ack 1 <mss 1460>");
	bench_end(&b);
	bench_init(&b);
	listener_with(CPL_FASTOPEN_CLIENT, 5);
	send(&b, "S 0 <mss 1000,FO>");
	expect(&b, "S. 0 ack 1 <mss 1460>");
	bench_end(&b);
	bench_init(&b);
	listener_with(CPL_FASTOPEN_SERVER | CPL_FASTOPEN_ALL_LISTENERS, 0);
	send(&b, "S 0 <mss 1000,FO>");
	expect(&b, "S. 0 ack 1 <mss 1460,FO " COOKIE4 ">");
	bench_end(&b);
}

/* 4.2.2: accepted and read at the SYN, answered before the handshake is done. */
static void data_at_once(void **state)
{
	cpl_handle l = listener(), h;
	const struct cpl_info *i;

	(void)state;
	send(&b, "S 0:500 win 3000 <mss 1000,FO " COOKIE4 ">");
	expect_event(&b, l, CPL_EV_ACCEPT, 0);
	h = bench_accepted(&b, l);
	expect_event(&b, h, CPL_EV_READABLE, 0);
	bench_read(&b, h, 500);
	expect(&b, "S. 0 ack 501 <mss 1460>");
	expect_nothing(&b);
	expect_state(&b, CPL_SYN_RECEIVED);
	i = bench_info(&b, h);
	assert_int_equal(i->bytes_received, 500);
	assert_true(i->options & CPL_OPT_BIT_TFO);
	/* What its SYN said is the window: 3,000. */
	bench_write(&b, h, 5000);
	expect(&b, ". 1:1001 ack 501");
	expect(&b, ". 1001:2001 ack 501");
	expect_nothing(&b);
	send(&b, ". 501 ack 1");
	expect_state(&b, CPL_ESTABLISHED);
	expect(&b, ". 2001:3001 ack 501");
	expect(&b, ". 3001:4001 ack 501");
	expect(&b, "P. 4001:5001 ack 501");
	send(&b, "P. 501:601 ack 5001");
	bench_read(&b, h, 100);
	expect(&b, ". 5001 ack 601");
	assert_int_equal(counter(&b, fastopen_passive), 1);
	bench_end(&b);
}

/* The SYN,ACK goes again by its timer, or when the SYN comes again; with what it had. */
static void synack_again(void **state)
{
	cpl_handle l = listener(), h;

	(void)state;
	send(&b, "S 0:500 <mss 1000,FO " COOKIE4 ">");
	expect(&b, "S. 0 ack 501 <mss 1460>");
	h = bench_accepted(&b, l);
	bench_write(&b, h, 100);
	expect(&b, "P. 1:101 ack 501");
	expect_after(&b, CPL_SECOND, "S. 0 ack 501 <mss 1460>");
	expect_nothing(&b); /* data goes again when the handshake is done */
	bench_run(&b, 100 * CPL_MS);
	send(&b, "S 0 <mss 1000>");
	expect(&b, "S. 0 ack 501 <mss 1460>");
	send(&b, "S 0 <mss 1000>"); /* not as often as anybody likes */
	expect_nothing(&b);
	send(&b, ". 501 ack 1");
	expect(&b, "P. 1:101 ack 501");
	send(&b, ". 501 ack 101");
	expect_nothing(&b);
	expect_state(&b, CPL_ESTABLISHED);
	bench_end(&b);
}

/* Nobody is there: the connection ends, as one that had been accepted. */
static void nobody(void **state)
{
	cpl_handle l = listener(), h;
	uint64_t wait = CPL_SECOND;

	(void)state;
	send(&b, "S 0:500 <mss 1000,FO " COOKIE4 ">");
	expect(&b, "S. 0 ack 501 <mss 1460>");
	h = bench_accepted(&b, l);
	bench_events(&b, h, NULL);
	for (unsigned i = 0; i < 6; i++, wait *= 2)
		expect_after(&b, wait, "S. 0 ack 501 <mss 1460>");
	expect_nothing_for(&b, 200 * CPL_SECOND);
	expect_event(&b, h, CPL_EV_CLOSED | CPL_EV_SOFT, ETIMEDOUT);
	bench_end(&b);
}

/* 4.2.2: no cookie, no data: only the SYN is acknowledged, a good cookie comes with it. */
static void bad_cookie(void **state)
{
	cpl_handle l = listener(), h = 0;

	(void)state;
	send(&b, "S 0:500 <mss 1000,FO " BAD_COOKIE ">");
	expect(&b, "S. 0 ack 1 <mss 1460,FO " COOKIE4 ">");
	assert_int_equal(cpl_accept(b.stack, l, &h, b.now), -EAGAIN);
	assert_int_equal(counter(&b, fastopen_passive_fail), 1);
	send(&b, "P. 1:501 ack 1");
	h = bench_accepted(&b, l);
	bench_read(&b, h, 500);
	bench_end(&b);
	listener();
	send(&b, "S 0:500 <mss 1000>"); /* no option at all */
	expect(&b, "S. 0 ack 1 <mss 1460>");
	bench_end(&b);
	listener();
	send(&b, "S 0:500 <mss 1000,FO 788be4db>"); /* the first half of the right one */
	expect(&b, "S. 0 ack 1 <mss 1460,FO " COOKIE4 ">");
	bench_end(&b);
}

/* Without cookies, where the stack or the listener says so. */
static void no_cookie(void **state)
{
	cpl_handle l, h;

	(void)state;
	for (int option = 0; option < 2; option++) {
		bench_init(&b);
		l = listener_with(CPL_FASTOPEN_SERVER |
					  (option ? 0 : CPL_FASTOPEN_SERVER_NO_COOKIE),
				  5);
		if (option)
			cpl_set_option(b.stack, l, CPL_OPT_FASTOPEN_NO_COOKIE, 1, b.now);
		send(&b, "S 0:500 <mss 1000>");
		expect(&b, "S. 0 ack 501 <mss 1460>");
		h = bench_accepted(&b, l);
		bench_read(&b, h, 500);
		/* A SYN without data and option is as ever. */
		bench_flow(&b, 80, 40001);
		send(&b, "S 0 <mss 1000>");
		expect(&b, "S. 0 ack 1 <mss 1460>");
		assert_int_equal(cpl_accept(b.stack, l, &h, b.now), -EAGAIN);
		bench_end(&b);
	}
}

/* A cookie of the key before is good, and the SYN,ACK brings one of the new. */
static void rotation(void **state)
{
	uint8_t old[16], key[16] = { 9 };
	cpl_handle l = listener(), h;

	(void)state;
	memcpy(old, b.config.fastopen_key[0], 16);
	cpl_set_fastopen_key(b.stack, key, old);
	send(&b, "S 0:500 <mss 1000,FO " COOKIE4 ">");
	expect(&b, "S. 0 ack 501 <mss 1460,FO *>");
	assert_int_equal(b.last.p.tcp.cookie.len, 8);
	h = bench_accepted(&b, l);
	bench_read(&b, h, 500);
	cpl_set_fastopen_key(b.stack, key, NULL);
	bench_flow(&b, 80, 40001);
	send(&b, "S 0:500 <mss 1000,FO " COOKIE4 ">");
	expect(&b, "S. 0 ack 1 <mss 1460,FO *>");
	bench_end(&b);
}

/* 5.1: so many at once; those that a RST ended count for a minute. */
static void limit(void **state)
{
	cpl_handle l, h;

	(void)state;
	bench_init(&b);
	l = listener_with(CPL_FASTOPEN_SERVER, 1);
	send(&b, "S 0:500 <mss 1000,FO " COOKIE4 ">");
	expect(&b, "S. 0 ack 501 <mss 1460>");
	bench_flow(&b, 80, 40001);
	send(&b, "S 0:500 <mss 1000,FO " COOKIE4 ">");
	expect(&b, "S. 0 ack 1 <mss 1460>"); /* as if it were no option of ours */
	assert_int_equal(counter(&b, fastopen_overflow), 1);
	send(&b, "R 1 ");
	bench_flow(&b, 80, 40000);
	b.flow.our_iss = bench_flow_info(&b)->iss;
	b.flow.our_iss_known = true;
	send(&b, ". 501 ack 1"); /* the handshake is done: room for another */
	bench_flow(&b, 80, 40002);
	send(&b, "S 0:500 <mss 1000,FO " COOKIE4 ">");
	expect(&b, "S. 0 ack 501 <mss 1460>");
	bench_accepted(&b, l);
	h = bench_accepted(&b, l);
	bench_events(&b, h, NULL);
	send(&b, "R 501");
	expect_event(&b, h, CPL_EV_CLOSED, ECONNRESET);
	bench_flow(&b, 80, 40003);
	bench_run(&b, 59 * CPL_SECOND);
	send(&b, "S 0:500 <mss 1000,FO " COOKIE4 ">");
	expect(&b, "S. 0 ack 1 <mss 1460>");
	send(&b, "R 1");
	bench_run(&b, CPL_SECOND);
	bench_flow(&b, 80, 40004);
	send(&b, "S 0:500 <mss 1000,FO " COOKIE4 ">");
	expect(&b, "S. 0 ack 501 <mss 1460>");
	bench_end(&b);
}

/* The listener goes while a handshake is not done: an accepted connection lives on. */
static void listener_goes(void **state)
{
	cpl_handle l = listener(), h;

	(void)state;
	send(&b, "S 0:500 <mss 1000,FO " COOKIE4 ">");
	expect(&b, "S. 0 ack 501 <mss 1460>");
	h = bench_accepted(&b, l);
	cpl_close(b.stack, l, b.now);
	send(&b, ". 501 ack 1");
	bench_read(&b, h, 500);
	expect_state(&b, CPL_ESTABLISHED);
	bench_end(&b);
	l = listener();
	send(&b, "S 0:500 <mss 1000,FO " COOKIE4 ">");
	expect(&b, "S. 0 ack 501 <mss 1460>");
	cpl_close(b.stack, l, b.now); /* not accepted: reset */
	expect(&b, "R. 1 ack 501");
	bench_end(&b);
}

/* CLOSE before the handshake is done waits for it (RFC 9293 3.10.4); with unread data: RST. */
static void closed_early(void **state)
{
	cpl_handle l = listener(), h;

	(void)state;
	send(&b, "S 0:500 <mss 1000,FO " COOKIE4 ">");
	expect(&b, "S. 0 ack 501 <mss 1460>");
	h = bench_accepted(&b, l);
	bench_read(&b, h, 500);
	bench_write(&b, h, 10);
	cpl_close(b.stack, h, b.now);
	expect(&b, "P. 1:11 ack 501");
	expect_nothing(&b);
	send(&b, ". 501 ack 11");
	expect(&b, "F. 11 ack 501");
	expect_state(&b, CPL_FIN_WAIT_1);
	bench_end(&b);
	l = listener();
	send(&b, "S 0:500 <mss 1000,FO " COOKIE4 ">");
	expect(&b, "S. 0 ack 501 <mss 1460>");
	h = bench_accepted(&b, l);
	cpl_close(b.stack, h, b.now);
	expect(&b, "R. 1 ack 501");
	bench_end(&b);
}

/* A SYN with a good cookie and no data is accepted at once as well; data comes with the ACK. */
static void no_data(void **state)
{
	cpl_handle l = listener(), h;

	(void)state;
	send(&b, "S 0 <mss 1000,FO " COOKIE4 ">");
	expect(&b, "S. 0 ack 1 <mss 1460>");
	h = bench_accepted(&b, l);
	assert_false(bench_info(&b, h)->options & CPL_OPT_BIT_TFO);
	bench_write(&b, h, 10);
	expect(&b, "P. 1:11 ack 1");
	send(&b, "P. 1:11 ack 11");
	bench_read(&b, h, 10);
	bench_end(&b);
}

/* More than the window: what was not offered is not taken, nor acknowledged. */
static void small_buffer(void **state)
{
	cpl_handle l, h;

	(void)state;
	bench_init(&b);
	b.config.rcvbuf = b.config.rcvbuf_max = 2048;
	b.iface.mtu = 9000;
	l = listener_with(CPL_FASTOPEN_SERVER, 5);
	send(&b, "S 0:3000 <mss 1000,FO " COOKIE4 ">");
	expect(&b, "S. 0 ack 2049 win 0 <mss 8960>");
	h = bench_accepted(&b, l);
	bench_read(&b, h, 2048);
	send(&b, ". 2049 ack 1");
	bench_end(&b);
}

/* SYN cookies are for those who send too many SYNs: no Fast Open then. */
static void syn_cookies(void **state)
{
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.syncookies = CPL_SYNCOOKIES_ALWAYS;
	listener_with(CPL_FASTOPEN_SERVER, 5);
	send(&b, "S 0:500 <mss 1000,FO " COOKIE4 ">");
	expect(&b, "S. 0 ack 1 <mss 1460>");
	(void)h;
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cookie_asked),	 cmocka_unit_test(data_at_once),
		cmocka_unit_test(synack_again),	 cmocka_unit_test(nobody),
		cmocka_unit_test(bad_cookie),	 cmocka_unit_test(no_cookie),
		cmocka_unit_test(rotation),	 cmocka_unit_test(limit),
		cmocka_unit_test(listener_goes), cmocka_unit_test(closed_early),
		cmocka_unit_test(no_data),	 cmocka_unit_test(small_buffer),
		cmocka_unit_test(syn_cookies),
	};

	return cmocka_run_group_tests_name("tcp/fastopen", tests, NULL, NULL);
}
