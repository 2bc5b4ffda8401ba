/* SPDX-License-Identifier: MIT */
/* Explicit congestion notification: RFC 3168, both roles, and DCTCP's exact echo (RFC 8257). */
#include "tests/util/tcp_bench.h"

static struct bench b;

static cpl_handle passive(const char *cc, uint8_t ecn)
{
	cpl_handle listener, h;

	bench_init(&b);
	b.config.ecn = ecn;
	snprintf(b.config.cc_name, sizeof(b.config.cc_name), "%s", cc);
	bench_start(&b);
	listener = bench_listen(&b, 80);
	send(&b, "SEW 0 <mss 1000>");
	expect(&b, ecn == CPL_ECN_NEVER ? "S. 0 ack 1 <mss 1460>" : "SE. 0 ack 1 <mss 1460>");
	send(&b, ". 1 ack 1");
	h = bench_accepted(&b, listener);
	bench_run(&b, 40 * CPL_MS);
	return h;
}

/* The frame that expect() saw had this ECN field. */
#define ect(value) assert_int_equal(b.last.p.ip.tos & 3, value)

/* ---- The handshake ---- */

static void asked(void **state)
{
	cpl_handle h = passive("reno", CPL_ECN_PASSIVE);

	(void)state;
	assert_true(bench_info(&b, h)->options & CPL_OPT_BIT_ECN);
	bench_write(&b, h, 1000);
	expect(&b, "P. 1:1001 ack 1");
	ect(2);
	bench_end(&b);
	h = passive("reno", CPL_ECN_NEVER);
	assert_false(bench_info(&b, h)->options & CPL_OPT_BIT_ECN);
	bench_write(&b, h, 1000);
	expect(&b, "P. 1:1001 ack 1");
	ect(0);
	bench_end(&b);
}

/* Asking: an answer with ECE alone agrees; one that mirrors both bits, or none, does not. */
static void asking(void **state)
{
	static const struct {
		const char *answer;
		bool agreed;
	} rows[] = { { "SE. 0 ack 1 <mss 1000>", true },
		     { "S. 0 ack 1 <mss 1000>", false },
		     { "SEW. 0 ack 1 <mss 1000>", false } };

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		cpl_handle h;

		bench_init(&b);
		b.config.ecn = CPL_ECN_ACTIVE;
		bench_start(&b);
		h = bench_open(&b, 40000, 80);
		expect(&b, "SEW 0 <*>");
		ect(0);
		send(&b, "%s", rows[i].answer);
		expect(&b, ". 1 ack 1");
		bench_write(&b, h, 1000);
		expect(&b, "P. 1:1001 ack 1");
		ect(rows[i].agreed ? 2 : 0);
		bench_end(&b);
	}
}

/* 6.1.1.1: no answer to a SYN that asks: perhaps for that. */
static void asking_in_vain(void **state)
{
	(void)state;
	bench_init(&b);
	b.config.ecn = CPL_ECN_ACTIVE;
	bench_start(&b);
	bench_open(&b, 40000, 80);
	expect(&b, "SEW 0 <*>");
	expect_after(&b, CPL_SECOND, "S 0 <*>");
	send(&b, "SE. 0 ack 1 <mss 1000>");
	expect(&b, ". 1 ack 1");
	assert_false(bench_flow_info(&b)->options & CPL_OPT_BIT_ECN);
	bench_end(&b);
}

/* ---- Receiving marks ---- */

/* SHLD-8; RFC 3168 6.1.3: every ACK says so, from the mark until CWR comes. */
static void echo(void **state)
{
	cpl_handle h = passive("reno", CPL_ECN_PASSIVE);

	(void)state;
	send(&b, ". 1:1001 ack 1 tos 2");
	send(&b, ". 1001:2001 ack 1 tos 2");
	expect(&b, ". 1 ack 2001");
	send(&b, ". 2001:3001 ack 1 tos 3");
	expect(&b, "E. 1 ack 3001"); /* at once */
	send(&b, ". 3001:4001 ack 1 tos 2");
	send(&b, ". 4001:5001 ack 1 tos 2");
	expect(&b, "E. 1 ack 5001");
	bench_write(&b, h, 500);
	expect(&b, "PE. 1:501 ack 5001");
	send(&b, "W. 5001:6001 ack 501 tos 2");
	send(&b, ". 6001:7001 ack 501 tos 2");
	expect(&b, ". 501 ack 7001");
	send(&b, "W. 7001:8001 ack 501 tos 3"); /* heard, and marked anew */
	expect(&b, "E. 501 ack 8001");
	assert_int_equal(bench_info(&b, h)->ce_in, 2);
	bench_end(&b);
}

/* Marks mean nothing where ECN was not agreed. */
static void not_agreed(void **state)
{
	(void)state;
	passive("reno", CPL_ECN_NEVER);
	send(&b, ". 1:1001 ack 1 tos 3");
	send(&b, ". 1001:2001 ack 1 tos 3");
	expect(&b, ". 1 ack 2001");
	send(&b, "E. 2001 ack 1");
	expect_nothing(&b);
	bench_end(&b);
}

/* RFC 8257 3.2: the echo follows the mark; what was owed before goes first, with the old one. */
static void exact_echo(void **state)
{
	(void)state;
	passive("dctcp", CPL_ECN_PASSIVE);
	for (unsigned i = 0; i < 20; i++) { /* past the quick ACKs of the start */
		send(&b, ". %u:%u ack 1 tos 2", 1 + 1000 * i, 1001 + 1000 * i);
		while (bench_take(&b))
			;
	}
	send(&b, ". 20001:21001 ack 1 tos 2");
	send(&b, ". 21001:22001 ack 1 tos 3");
	expect(&b, ". 1 ack 21001");
	expect(&b, "E. 1 ack 22001");
	send(&b, ". 22001:23001 ack 1 tos 3");
	send(&b, ". 23001:24001 ack 1 tos 3");
	expect(&b, "E. 1 ack 24001");
	send(&b, ". 24001:25001 ack 1 tos 2");
	expect(&b, ". 1 ack 25001");
	bench_end(&b);
}

/* ---- Answering marks ---- */

/* 6.1.2: like a loss without one, once a round trip, and CWR on the next new data. */
static void answered(void **state)
{
	cpl_handle h = passive("reno", CPL_ECN_PASSIVE);

	(void)state;
	bench_write(&b, h, 20000);
	for (unsigned i = 0; i < 10; i++)
		expect(&b, ". %u:%u ack 1", 1 + 1000 * i, 1001 + 1000 * i);
	bench_run(&b, 40 * CPL_MS);
	send(&b, "E. 1 ack 1001");
	assert_int_equal(bench_info(&b, h)->ssthresh, 4000); /* 9 in flight: whole segments */
	assert_int_equal(bench_info(&b, h)->recovery, CPL_RECOVERY_CWR);
	send(&b, "E. 1 ack 3001");
	expect(&b, "W. 10001:11001 ack 1");
	ect(2);
	send(&b, "E. 1 ack 5001");
	while (bench_take(&b))
		assert_false(b.last.p.tcp.flags & 128);
	assert_int_equal(bench_info(&b, h)->ssthresh, 4000);
	send(&b, ". 1 ack 10001");
	assert_int_equal(bench_info(&b, h)->recovery, CPL_RECOVERY_OPEN);
	assert_int_equal(bench_info(&b, h)->cwnd, 4000);
	assert_int_equal(bench_info(&b, h)->retrans, 0);
	assert_int_equal(bench_info(&b, h)->ece_in, 3);
	/* The next round trip's mark counts again. */
	while (bench_take(&b))
		;
	send(&b, "E. 1 ack 11001");
	assert_true(bench_info(&b, h)->ssthresh < 4000);
	bench_end(&b);
}

/* 6.1.2: the ACK that ends the window, before CWR can have been seen, is no second signal. */
static void once_a_window(void **state)
{
	cpl_handle h = passive("reno", CPL_ECN_PASSIVE);

	(void)state;
	bench_write(&b, h, 20000);
	for (unsigned i = 0; i < 10; i++)
		expect(&b, ". %u:%u ack 1", 1 + 1000 * i, 1001 + 1000 * i);
	send(&b, "E. 1 ack 1001");
	assert_int_equal(bench_info(&b, h)->ssthresh, 4000);
	send(&b, "E. 1 ack 9001");
	expect(&b, "W. 10001:11001 ack 1");
	while (bench_take(&b))
		;
	send(&b, "E. 1 ack 10001");
	assert_int_equal(bench_info(&b, h)->recovery, CPL_RECOVERY_OPEN);
	assert_int_equal(bench_info(&b, h)->ssthresh, 4000);
	while (bench_take(&b))
		;
	send(&b, "E. 1 ack 11001"); /* marked anew */
	assert_int_equal(bench_info(&b, h)->recovery, CPL_RECOVERY_CWR);
	bench_end(&b);
}

/* 6.1.5: what goes again is not ECN-capable. */
static void retransmission(void **state)
{
	cpl_handle h = passive("reno", CPL_ECN_PASSIVE);

	(void)state;
	bench_write(&b, h, 1000);
	expect(&b, "P. 1:1001 ack 1");
	ect(2);
	bench_run(&b, CPL_SECOND + 100 * CPL_MS);
	expect(&b, "P. 1:1001 ack 1");
	ect(0);
	/* The time-out reduced cwnd: CWR tells, on new data. */
	send(&b, ". 1 ack 1001");
	bench_write(&b, h, 100);
	expect(&b, "PW. 1001:1101 ack 1");
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asked),	  cmocka_unit_test(asking),
		cmocka_unit_test(asking_in_vain), cmocka_unit_test(echo),
		cmocka_unit_test(not_agreed),	  cmocka_unit_test(exact_echo),
		cmocka_unit_test(answered),	  cmocka_unit_test(once_a_window),
		cmocka_unit_test(retransmission),
	};

	return cmocka_run_group_tests_name("tcp/ecn", tests, NULL, NULL);
}
