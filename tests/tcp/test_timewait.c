/* SPDX-License-Identifier: MIT */
/* TIME-WAIT (RFC 9293 3.6.1, RFC 1337, RFC 6191): how long, what ends it, who may take over. */
#include "tests/util/tcp_bench.h"

static struct bench b;

/* Our port 80 or 5555, the peer's last octet acknowledged is 1: RCV.NXT 2, SND.NXT 2. */
static void close_actively(cpl_handle h)
{
	assert_int_equal(cpl_close(b.stack, h, b.now), 0);
	expect(&b, "F. 1 ack 1 <*>");
	send(&b, "F. 1 ack 2");
	expect(&b, ". 2 ack 2 <*>");
	expect_state(&b, CPL_TIME_WAIT);
}

/* With a listener on port 80 and OPTIONS in the peer's SYN; TS are on. */
static cpl_handle passive(const char *options)
{
	cpl_handle l;

	bench_init(&b);
	b.config.timestamps = 1;
	bench_start(&b);
	l = bench_listen(&b, 80);
	send(&b, "S 0 <%s>", options);
	expect(&b, "S. 0 ack 1 <*>");
	send(&b, ". 1 ack 1");
	close_actively(bench_accepted(&b, l));
	bench_events(&b, l, NULL);
	return l;
}

/* MUST-13 */
static void two_msl(void **state)
{
	const struct cpl_info *i;

	(void)state;
	for (uint64_t msl2 = 10; msl2 <= 240; msl2 += 115) {
		bench_init(&b);
		b.config.time_wait_ns = msl2 * CPL_SECOND;
		bench_start(&b);
		close_actively(bench_active(&b, "mss 1460"));
		i = bench_flow_info(&b);
		assert_int_equal(i->timer_close, msl2 * CPL_SECOND);
		assert_int_equal(i->snd_nxt, b.flow.our_iss + 2);
		assert_int_equal(i->rcv_nxt, b.flow.iss + 2);
		expect_nothing_for(&b, msl2 * CPL_SECOND - CPL_MS);
		expect_state(&b, CPL_TIME_WAIT);
		bench_run(&b, 2 * CPL_MS);
		expect_state(&b, CPL_CLOSED);
		send(&b, "F. 1 ack 2");
		expect(&b, "R 2");
		bench_end(&b);
	}
}

/* The peer's FIN again, because our ACK was lost: an ACK, and 2 MSL from now on. */
static void fin_again(void **state)
{
	(void)state;
	for (int ts = 0; ts < 2; ts++) {
		bench_init(&b);
		b.config.timestamps = (uint8_t)ts;
		bench_start(&b);
		close_actively(bench_active(&b, ts ? "mss 1460,TS" : "mss 1460"));
		for (unsigned i = 0; i < 5; i++) {
			bench_run(&b, 50 * CPL_SECOND);
			send(&b, "F. 1 ack 2");
			expect(&b, ". 2 ack 2 <%s>", ts ? "TS" : "");
		}
		expect_state(&b, CPL_TIME_WAIT);
		bench_run(&b, 60 * CPL_SECOND);
		expect_state(&b, CPL_CLOSED);
		bench_end(&b);
	}
}

/* Old data, a stray SYN: an ACK says where we are. The time goes on. */
static void strays(void **state)
{
	(void)state;
	bench_begin(&b);
	close_actively(bench_active(&b, "mss 1460"));
	bench_run(&b, 30 * CPL_SECOND);
	send(&b, "P. -99:1 ack 2");
	expect(&b, ". 2 ack 2");
	send(&b, "S 1000");
	expect(&b, ". 2 ack 2");
	send(&b, "S. 0 ack 1");
	expect(&b, ". 2 ack 2");
	send(&b, ". 2 ack 2");
	expect_nothing(&b);
	bench_run(&b, 30 * CPL_SECOND + CPL_MS);
	expect_state(&b, CPL_CLOSED);
	bench_end(&b);

	/* They are limited like challenge ACKs; a FIN is not. */
	bench_init(&b);
	b.config.challenge_ack_rate = 1;
	bench_start(&b);
	close_actively(bench_active(&b, "mss 1460"));
	for (unsigned i = 0; i < 10; i++)
		send(&b, "P. -99:1 ack 2");
	for (unsigned n = 0; bench_take(&b); n++)
		assert_in_range(n, 0, 1);
	send(&b, "F. 1 ack 2");
	expect(&b, ". 2 ack 2");
	bench_end(&b);
}

/* RFC 1337: a RST ends it only at RCV.NXT, and none that is older by timestamp. */
static void reset(void **state)
{
	(void)state;
	bench_begin(&b);
	close_actively(bench_active(&b, "mss 1460"));
	expect_drop(&b, drop_tcp_rst, "R 1");
	expect_drop(&b, drop_tcp_rst, "R %u", 2 + 65535);
	send(&b, "R 3");
	expect(&b, ". 2 ack 2");
	expect_state(&b, CPL_TIME_WAIT);
	send(&b, "R 2");
	expect_nothing(&b);
	expect_state(&b, CPL_CLOSED);
	bench_end(&b);

	bench_init(&b);
	b.config.timestamps = 1;
	bench_start(&b);
	close_actively(bench_active(&b, "mss 1460,TS"));
	expect_drop(&b, drop_tcp_rst, "R 2 <TS 5 0>");
	expect_state(&b, CPL_TIME_WAIT);
	bench_end(&b);
}

/* ---- a new SYN of the peer ---- */

static void reopened(uint32_t peer_iss)
{
	uint32_t old = b.flow.our_iss;

	b.flow.our_iss_known = false;
	expect(&b, "S. 0 ack %u <*>", peer_iss + 1);
	/* RFC 9293 3.6.1: an ISN larger than any number that the old incarnation used. */
	assert_in_range(b.flow.our_iss - old, 65536, 1u << 31);
	expect_state(&b, CPL_SYN_RECEIVED);
	send(&b, ". %u ack 1", peer_iss + 1);
	expect_state(&b, CPL_ESTABLISHED);
	send(&b, "P. %u:%u ack 1", peer_iss + 1, peer_iss + 101);
	expect(&b, ". 1 ack %u <*>", peer_iss + 101);
}

/* MAY-2: without timestamps, by sequence number: beyond RCV.NXT. */
static void reopen_by_sequence(void **state)
{
	static const struct {
		uint32_t iss;
		bool opens;
	} cases[] = { { 3, true },  { 1000000, true }, { 0x7fffffff, true }, { 2, false },
		      { 1, false }, { 0, false },      { -1u, false },	     { -1000000u, false } };

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cpl_handle l = passive("mss 1460");

		send(&b, "S %u <mss 1460>", cases[i].iss);
		if (cases[i].opens) {
			reopened(cases[i].iss);
			expect_event(&b, l, CPL_EV_ACCEPT, 0);
		} else {
			expect(&b, ". 2 ack 2");
			expect_state(&b, CPL_TIME_WAIT);
		}
		bench_end(&b);
	}
}

/* SHLD-4, RFC 6191: by timestamp if both incarnations have them, whatever the sequence number. */
static void reopen_by_timestamp(void **state)
{
	(void)state;
	for (int newer = 0; newer < 2; newer++) {
		for (int beyond = 0; beyond < 2; beyond++) {
			uint32_t iss = beyond ? 5000 : -5000u;

			passive("mss 1460,TS");
			if (newer)
				bench_run(&b, 2 * CPL_MS);
			/* As new as the last segment: then the sequence number decides. */
			send(&b, "S %u <mss 1460,TS>", iss);
			if (newer || beyond) {
				reopened(iss);
			} else {
				expect(&b, ". 2 ack 2 <TS>");
				expect_state(&b, CPL_TIME_WAIT);
			}
			bench_end(&b);
		}
	}
	/* Older: refused, even beyond the old sequence numbers. */
	passive("mss 1460,TS");
	send(&b, "S 5000 <mss 1460,TS 100 0>");
	expect(&b, ". 2 ack 2 <TS>");
	assert_int_equal(counter(&b, drop_tcp_paws), 1);
	/* Without any: by sequence number. */
	send(&b, "S -5000 <mss 1460>");
	expect(&b, ". 2 ack 2 <TS>");
	send(&b, "S 5000 <mss 1460>");
	reopened(5000);
	bench_end(&b);
}

/* SHLD-4: timestamps only now: the new one can tell old segments, which have none (RFC 6191 2). */
static void reopen_with_first_timestamp(void **state)
{
	(void)state;
	passive("mss 1460");
	send(&b, "S -5000 <mss 1460>");
	expect(&b, ". 2 ack 2");
	send(&b, "S -5000 <mss 1460,TS>");
	reopened(-5000u);
	bench_end(&b);
}

/* No cookie for a SYN that reopens: its ISS must be larger than any that was used. */
static void reopen_without_cookie(void **state)
{
	cpl_handle l;

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		bench_init(&b);
		b.config.syncookies = CPL_SYNCOOKIES_ALWAYS;
		b.now += i * 64 * CPL_SECOND;
		bench_start(&b);
		l = bench_listen(&b, 80);
		send(&b, "S 0 <mss 1460>");
		expect(&b, "S. 0 ack 1 <mss>");
		send(&b, ". 1 ack 1");
		close_actively(bench_accepted(&b, l));
		bench_run(&b, 10 * CPL_SECOND);
		send(&b, "S 5000 <mss 1460>");
		reopened(5000);
		assert_int_equal(counter(&b, cookies_sent), 1);
		bench_end(&b);
	}
}

/* Nobody listens, or not any more: nothing to open to. */
static void reopen_without_listener(void **state)
{
	cpl_handle l;

	(void)state;
	bench_begin(&b);
	close_actively(bench_active(&b, "mss 1460"));
	send(&b, "S 1000000 <mss 1460>");
	expect(&b, ". 2 ack 2");
	expect_state(&b, CPL_TIME_WAIT);
	bench_end(&b);

	l = passive("mss 1460");
	assert_int_equal(cpl_close(b.stack, l, b.now), 0);
	send(&b, "S 1000000 <mss 1460>");
	expect(&b, ". 2 ack 2");
	bench_end(&b);

	/* A SYN with FIN or ACK is no SYN to open by. */
	passive("mss 1460");
	send(&b, "SF 1000000 <mss 1460>");
	expect(&b, ". 2 ack 2");
	send(&b, "S. 1000000 ack 2 <mss 1460>");
	expect(&b, ". 2 ack 2");
	expect_state(&b, CPL_TIME_WAIT);
	bench_end(&b);
}

/* ---- an OPEN of ours ---- */

/* Only with timestamps, and when the clock has moved on for a second (as Linux). */
static void take_over(void **state)
{
	struct cpl_endpoint at = { .port = 5555 };
	uint32_t old;
	cpl_handle h;

	(void)state;
	for (int ts = 0; ts < 2; ts++) {
		bench_init(&b);
		b.config.timestamps = (uint8_t)ts;
		bench_start(&b);
		h = bench_open(&b, 5555, 80);
		expect(&b, "S 0 <*>");
		send(&b, "S. 0 ack 1 <mss 1460%s>", ts ? ",TS" : "");
		expect(&b, ". 1 ack 1 <*>");
		close_actively(h);
		bench_run(&b, CPL_SECOND);
		assert_int_equal(cpl_connect(b.stack, &at, &b.flow.peer, &h, b.now), -EADDRINUSE);
		bench_run(&b, 2 * CPL_MS);
		old = b.flow.our_iss;
		if (!ts) {
			bench_run(&b, 50 * CPL_SECOND);
			assert_int_equal(cpl_connect(b.stack, &at, &b.flow.peer, &h, b.now),
					 -EADDRINUSE);
			expect_state(&b, CPL_TIME_WAIT);
			bench_run(&b, 9 * CPL_SECOND);
		}
		assert_int_equal(cpl_connect(b.stack, &at, &b.flow.peer, &h, b.now), 0);
		b.flow.our_iss_known = false;
		expect(&b, "S 0 <*>");
		assert_true((int32_t)(b.flow.our_iss - old) > 0);
		expect_state(&b, CPL_SYN_SENT);
		bench_end(&b);
	}
}

/* ---- limits ---- */

/* time_wait_max records: the oldest ends early. */
static void eviction(void **state)
{
	struct bench_flow flows[5];

	(void)state;
	bench_init(&b);
	b.config.time_wait_max = 3;
	bench_start(&b);
	for (unsigned i = 0; i < 5; i++) {
		cpl_handle h = bench_open(&b, 0, (uint16_t)(100 + i));

		expect(&b, "S 0 <mss>");
		send(&b, "S. 0 ack 1 <mss 1460>");
		expect(&b, ". 1 ack 1");
		close_actively(h);
		flows[i] = b.flow;
		bench_run(&b, CPL_SECOND);
		if (i == 1) { /* the first begins its time again: it is not the oldest any more */
			b.flow = flows[0];
			send(&b, "F. 1 ack 2");
			expect(&b, ". 2 ack 2");
		}
	}
	for (unsigned i = 0; i < 5; i++) {
		b.flow = flows[i];
		expect_state(&b, i == 1 || i == 0 ? CPL_CLOSED : CPL_TIME_WAIT);
	}
	bench_end(&b);

	/* None at all: the connection is just over. */
	bench_init(&b);
	b.config.time_wait_max = 0;
	bench_start(&b);
	{
		cpl_handle h = bench_active(&b, "mss 1460");

		assert_int_equal(cpl_close(b.stack, h, b.now), 0);
		expect(&b, "F. 1 ack 1");
		send(&b, "F. 1 ack 2");
		expect_state(&b, CPL_CLOSED);
	}
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_msl),
		cmocka_unit_test(fin_again),
		cmocka_unit_test(strays),
		cmocka_unit_test(reset),
		cmocka_unit_test(reopen_by_sequence),
		cmocka_unit_test(reopen_by_timestamp),
		cmocka_unit_test(reopen_with_first_timestamp),
		cmocka_unit_test(reopen_without_cookie),
		cmocka_unit_test(reopen_without_listener),
		cmocka_unit_test(take_over),
		cmocka_unit_test(eviction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
