/* SPDX-License-Identifier: MIT */
/* SYN cookies (RFC 4987 3.6): what they keep, how long they are good, what is refused. */
#include "tests/util/tcp_bench.h"

static struct bench b;

/* Always cookies, all options on. */
static void begin(void)
{
	bench_init(&b);
	b.config.syncookies = CPL_SYNCOOKIES_ALWAYS;
	b.config.sack = b.config.timestamps = b.config.window_scaling = 1;
	bench_start(&b);
}

/* The TSval of the SYN,ACK, which the ACK echoes. */
static cpl_handle finish(cpl_handle l, const char *options)
{
	cpl_handle h;

	send(&b, ". 1 ack 1%s", options);
	expect_nothing(&b);
	expect_event(&b, l, CPL_EV_ACCEPT, 0);
	h = bench_accepted(&b, l);
	return h;
}

/* With timestamps, SACK and the window scale survive; nothing is kept meanwhile. */
static void options_survive(void **state)
{
	(void)state;
	for (unsigned set = 0; set < 8; set++) {
		uint32_t want = CPL_OPT_BIT_TS;
		char options[64];
		cpl_handle l, h;

		snprintf(options, sizeof(options), "mss 1460,TS,%s%s", set & 1 ? "sackOK," : "",
			 set & 2 ? set & 4 ? "wscale 14" : "wscale 0" : "");
		want |= set & 1 ? CPL_OPT_BIT_SACK : 0;
		want |= set & 2 ? CPL_OPT_BIT_WSCALE : 0;
		begin();
		l = bench_listen(&b, 80);
		send(&b, "S 0 win 1000 <%s>", options);
		expect(&b, "S. 0 ack 1 win 65535 <mss 1460,TS,%s%s>", set & 1 ? "sackOK," : "",
		       set & 2 ? "wscale 7" : "");
		assert_int_equal(bench_info(&b, l)->syn_queue, 0);
		expect_state(&b, CPL_CLOSED);
		bench_run(&b, 500 * CPL_MS);
		h = finish(l, " win 1000");
		assert_int_equal(bench_info(&b, h)->options, want);
		assert_int_equal(bench_info(&b, h)->snd_wscale, (set & 6) == 6 ? 14 : 0);
		assert_int_equal(bench_info(&b, h)->rcv_wscale, set & 2 ? 7 : 0);
		assert_int_equal(bench_info(&b, h)->snd_wnd, 1000 << ((set & 6) == 6 ? 14 : 0));
		assert_int_equal(counter(&b, cookies_sent), 1);
		assert_int_equal(counter(&b, cookies_ok), 1);
		/* It works, both ways, and its clock goes on from the cookie's. */
		send(&b, "P. 1:101 ack 1");
		expect(&b, ". 1 ack 101 <TS>");
		bench_read(&b, h, 100);
		bench_write(&b, h, 100);
		expect(&b, "P. 1:101 ack 101 <TS>");
		bench_end(&b);
	}
}

/* The clock that the peer sees never goes back: RFC 7323 5.4 and the peer's PAWS depend on it. */
static void clock_goes_on(void **state)
{
	uint32_t before;
	cpl_handle l, h;

	(void)state;
	for (uint64_t ms = 0; ms < 130; ms += 13) {
		begin();
		b.now += ms * CPL_MS;
		l = bench_listen(&b, 80);
		send(&b, "S 0 <mss 1460,TS,sackOK,wscale 9>");
		expect(&b, "S. 0 ack 1 <mss,TS,sackOK,wscale>");
		before = b.last.p.tcp.tsval;
		h = finish(l, "");
		bench_write(&b, h, 100);
		expect(&b, "P. 1:101 ack 1 <TS>");
		assert_in_range(b.last.p.tcp.tsval - before, 0, 128);
		bench_end(&b);
	}
}

/* Without timestamps there is nowhere to keep them: not agreed, and not promised. */
static void no_timestamps(void **state)
{
	cpl_handle l, h;

	(void)state;
	begin();
	l = bench_listen(&b, 80);
	send(&b, "S 0 win 1000 <mss 1460,sackOK,wscale 9>");
	expect(&b, "S. 0 ack 1 <mss 1460>");
	h = finish(l, " win 1000");
	assert_int_equal(bench_info(&b, h)->options, 0);
	assert_int_equal(bench_info(&b, h)->snd_wnd, 1000);
	bench_end(&b);
}

/* The MSS is the largest of eight that is not more than the peer's. */
static void mss_kept(void **state)
{
	static const struct {
		unsigned sent, kept;
	} cases[] = { { 0, 536 },     { 100, 216 },   { 216, 216 },   { 535, 216 },
		      { 536, 536 },   { 1219, 536 },  { 1380, 1300 }, { 1460, 1460 },
		      { 1500, 1460 }, { 9000, 8940 }, { 65535, 8940 } };

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cpl_handle l, h;

		begin();
		l = bench_listen(&b, 80);
		if (cases[i].sent)
			send(&b, "S 0 <mss %u>", cases[i].sent);
		else
			send(&b, "S 0");
		expect(&b, "S. 0 ack 1 <mss 1460>");
		h = finish(l, "");
		assert_int_equal(bench_info(&b, h)->peer_mss, cases[i].kept);
		bench_end(&b);
	}
}

/* One that was never made, or made for another peer, port, ISN or time: RST, and no connection. */
static void forged(void **state)
{
	cpl_handle l;

	(void)state;
	begin();
	l = bench_listen(&b, 80);
	send(&b, "S 0 <mss 1460>");
	expect(&b, "S. 0 ack 1 <mss 1460>");
	for (unsigned bit = 0; bit < 32; bit++) { /* any other ISS */
		uint32_t ack = 1 + (1u << bit);

		send(&b, ". 1 ack %u", ack);
		expect(&b, "R %u", ack);
	}
	assert_int_equal(counter(&b, drop_cookie_bad), 32);
	send(&b, ". 2 ack 1"); /* another ISN of the peer */
	expect(&b, "R 1");
	b.flow.peer.port++;
	send(&b, ". 1 ack 1");
	expect(&b, "R 1");
	b.flow.peer.port--;
	b.flow.peer.addr = cpl_addr4(10, 0, 0, 3);
	send(&b, ". 1 ack 1");
	expect(&b, "R 1");
	b.flow.peer.addr = b.peer_addr;
	b.flow.us.port = 81; /* nobody listens there */
	send(&b, ". 1 ack 1");
	expect(&b, "R 1");
	b.flow.us.port = 80;
	expect_event(&b, l, 0, 0);
	assert_int_equal(counter(&b, cookies_ok), 0);
	/* The right one is still good. */
	finish(l, "");
	bench_end(&b);
}

/* Good for two to three periods of 64 s, not longer; not after the clock has gone round. */
static void expired(void **state)
{
	cpl_handle l;

	(void)state;
	for (unsigned age = 0; age < 40; age++) {
		begin();
		l = bench_listen(&b, 80);
		send(&b, "S 0 <mss 1460>");
		expect(&b, "S. 0 ack 1 <mss 1460>");
		bench_run(&b, age * 64 * CPL_SECOND);
		send(&b, ". 1 ack 1");
		if (age <= 2) {
			expect_nothing(&b);
			bench_accepted(&b, l);
		} else {
			expect(&b, "R 1");
		}
		bench_end(&b);
	}
}

/* The same ACK twice makes one connection; data and a FIN may come with it. */
static void used_once(void **state)
{
	cpl_handle l, h;

	(void)state;
	begin();
	l = bench_listen(&b, 80);
	send(&b, "S 0 <mss 1460>");
	expect(&b, "S. 0 ack 1 <mss 1460>");
	send(&b, "FP. 1:101 ack 1");
	expect(&b, ". 1 ack 102");
	h = bench_accepted(&b, l);
	assert_int_equal(bench_info(&b, h)->state, CPL_CLOSE_WAIT);
	bench_read(&b, h, 100);
	send(&b, ". 1 ack 1");
	expect(&b, ". 1 ack 102");
	assert_int_equal(cpl_accept(b.stack, l, &h, b.now), -EAGAIN);
	bench_end(&b);
}

/* Only when the SYN queue is full; and when none was sent for long, an ACK is just a stray. */
static void when_full(void **state)
{
	cpl_handle l;

	(void)state;
	bench_init(&b);
	bench_start(&b);
	l = bench_listen(&b, 80); /* of 8 */
	for (uint16_t i = 0; i < 8; i++) {
		bench_flow(&b, 80, (uint16_t)(40000 + i));
		send(&b, "S 0 <mss 1460>");
		expect(&b, "S. 0 ack 1 <mss 1460>");
	}
	assert_int_equal(bench_info(&b, l)->syn_queue, 8);
	bench_flow(&b, 80, 41000);
	send(&b, ". 1 ack 1");
	expect(&b, "R 1");
	assert_int_equal(counter(&b, drop_cookie_bad), 0);
	send(&b, "S 0 <mss 1460>");
	expect(&b, "S. 0 ack 1 <mss 1460>");
	assert_int_equal(counter(&b, cookies_sent), 1);
	assert_int_equal(bench_info(&b, l)->syncookies_sent, 1);
	assert_int_equal(bench_info(&b, l)->syn_queue, 8);
	finish(l, "");
	send(&b, "P. 1:11 ack 1");
	expect(&b, ". 1 ack 11");

	/* A cookie cannot be used while the accept queue is full; its SYN,ACK never goes again. */
	bench_flow(&b, 80, 41001);
	send(&b, "S 0 <mss 1460>");
	expect(&b, "S. 0 ack 1 <mss 1460>");
	bench_run(&b, 200 * CPL_SECOND);
	while (bench_take(&b))
		assert_int_not_equal(b.last.p.tcp.dport, 41001);
	bench_end(&b);
}

/* What is switched off stays off, whatever the echoed timestamp says. */
static void not_configured(void **state)
{
	cpl_handle l, h;

	(void)state;
	for (unsigned on = 0; on < 8; on++) {
		uint32_t want = 0;

		bench_init(&b);
		b.config.syncookies = CPL_SYNCOOKIES_ALWAYS;
		b.config.timestamps = on & 1;
		b.config.sack = on >> 1 & 1;
		b.config.window_scaling = on >> 2 & 1;
		bench_start(&b);
		l = bench_listen(&b, 80);
		send(&b, "S 0 <mss 1460,TS,sackOK,wscale 3>");
		assert_true(bench_take(&b));
		/* The peer answers with timestamps in any case, and claims everything. */
		send(&b, ". 1 ack 1 <TS 9 %u>", (b.last.p.tcp.tsval & ~63u) | 16 | 3);
		h = bench_accepted(&b, l);
		want |= on & 1 ? CPL_OPT_BIT_TS : 0;
		want |= (on & 3) == 3 ? CPL_OPT_BIT_SACK : 0;
		want |= (on & 5) == 5 ? CPL_OPT_BIT_WSCALE : 0;
		assert_int_equal(bench_info(&b, h)->options, want);
		bench_end(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_survive), cmocka_unit_test(clock_goes_on),
		cmocka_unit_test(no_timestamps),   cmocka_unit_test(mss_kept),
		cmocka_unit_test(forged),	   cmocka_unit_test(expired),
		cmocka_unit_test(used_once),	   cmocka_unit_test(when_full),
		cmocka_unit_test(not_configured),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
