/* SPDX-License-Identifier: MIT */
/*
 * The AccECN option, RFC 9768 3.2.3: which counters go when and where there is room, what comes of
 * those that arrive, lie, are cleared, stripped or dropped.
 */
#include "tests/util/tcp_bench.h"

static struct bench b;

#define ect(value) assert_int_equal(b.last.p.ip.tos & 3, value)

static void setup_bench(uint8_t option, unsigned sack, unsigned window)
{
	bench_init(&b);
	b.config.ecn = CPL_ECN_ACCURATE;
	b.config.ecn_option = option;
	b.config.sack = b.config.timestamps = sack ? 1 : 0;
	b.config.initial_window = window;
	b.config.sndbuf = b.config.sndbuf_max = 1u << 20;
	snprintf(b.config.cc_name, sizeof(b.config.cc_name), "reno");
	bench_start(&b);
}

static cpl_handle passive(uint8_t option, const char *more)
{
	cpl_handle listener, h;

	setup_bench(option, !!strstr(more, "sackOK"), 100);
	listener = bench_listen(&b, 80);
	send(&b, "SEWA 0 <mss 1000%s>", more);
	expect(&b, "SW. 0 ack 1 <*>");
	send(&b, strstr(more, "TS") ? "W. 1 ack 1" : "W. 1 ack 1 <acc0 1 0 1>");
	h = bench_accepted(&b, listener);
	bench_run(&b, 40 * CPL_MS);
	return h;
}

/* A handshake in which the peer's option came, and 100 segments of 1000 in flight. */
static cpl_handle flight(void)
{
	cpl_handle h = passive(CPL_ECN_OPTION_FULL, "");

	assert_int_equal(bench_info(&b, h)->accecn_option, CPL_ACCECN_SENT | CPL_ACCECN_SEEN);
	bench_write(&b, h, 300000);
	while (bench_take(&b))
		;
	return h;
}

/* ---- What goes, 3.2.3.3 ---- */

/* No more fields than have ever changed, in the order that allows it. */
static void fields(void **state)
{
	(void)state;
	passive(CPL_ECN_OPTION_FULL, "");
	send(&b, "AE. 1:101 ack 1"); /* Not-ECT: nothing to count */
	expect(&b, "AE. 1 ack 101");
	send(&b, "AE. 101:201 ack 1 tos 2");
	expect(&b, "AE. 1 ack 201 <acc0 101>");
	send(&b, "AE. 201:301 ack 1 tos 3");
	expect(&b, "AW. 1 ack 301 <acc0 101 100>");
	send(&b, "AE. 301:401 ack 1 tos 2");
	expect(&b, "AW. 1 ack 401 <acc0 201 100>");
	send(&b, "AE. 401:501 ack 1 tos 1");
	expect(&b, "AW. 1 ack 501 <acc1 101 100 201>");
	send(&b, "AE. 501:601 ack 1 tos 2");
	expect(&b, "AW. 1 ack 601 <acc0 301 100 101>");
	send(&b, "AE. 601:701 ack 1"); /* nothing changed: none */
	expect(&b, "AW. 1 ack 701");
	bench_end(&b);
	/* ECT(1) alone: the other order. */
	passive(CPL_ECN_OPTION_FULL, "");
	send(&b, "AE. 1:101 ack 1 tos 1");
	expect(&b, "AE. 1 ack 101 <acc1 101>");
	send(&b, "AE. 101:201 ack 1 tos 3");
	expect(&b, "AW. 1 ack 201 <acc1 101 100>");
	bench_end(&b);
	/* Marks alone. */
	passive(CPL_ECN_OPTION_FULL, "");
	send(&b, "AE. 1:101 ack 1 tos 3");
	expect(&b, "AW. 1 ack 101 <acc0 1 100>");
	bench_end(&b);
}

/* Two SACK blocks come first, then the option, then a third. */
static void beside_sack(void **state)
{
	unsigned at;

	(void)state;
	passive(CPL_ECN_OPTION_FULL, ",sackOK,TS");
	for (at = 0; at < 3; at++) {
		send(&b, "AE. %u:%u ack 1 tos 2", 1001 + 2000 * at, 1101 + 2000 * at);
		if (at == 0)
			expect(&b, "AE. 1 ack 1 <TS,sack 1001:1101,acc0 101>");
		if (at == 1)
			expect(&b, "AE. 1 ack 1 <TS,sack 3001:3101,sack 1001:1101,acc0 201>");
		if (at == 2)
			expect(&b, "AE. 1 ack 1 <TS,sack 5001:5101,sack 3001:3101,acc0 301>");
	}
	/* Three fields do not fit: those that changed do. */
	send(&b, "AE. 7001:7101 ack 1 tos 1");
	expect(&b, "AE. 1 ack 1 <TS,sack 7001:7101,sack 5001:5101,acc1 101>");
	send(&b, "AE. 9001:9101 ack 1 tos 3");
	expect(&b, "AW. 1 ack 1 <TS,sack 9001:9101,sack 7001:7101,acc0 301 100>");
	/* Nothing to tell: the third block has its place again. */
	send(&b, "AE. 11001:11101 ack 1");
	expect(&b, "AW. 1 ack 1 <TS,sack 11001:11101,sack 9001:9101,sack 7001:7101>");
	bench_end(&b);
}

/* What changed and finds no room as a whole does not go at all (3.2.3.3). */
static void no_room(void **state)
{
	cpl_handle h = passive(CPL_ECN_OPTION_MINIMUM, ",sackOK,TS");

	(void)state;
	send(&b, "AE. 1001:1101 ack 1 tos 2");
	expect(&b, "AE. 1 ack 1 <TS,sack 1001:1101>");
	send(&b, "AE. 3001:3101 ack 1 tos 1");
	expect(&b, "AE. 1 ack 1 <TS,sack 3001:3101,sack 1001:1101>");
	send(&b, "AE. 1:1001 ack 1 tos 1"); /* one block is left, and with it room */
	expect(&b, "AE. 1 ack 1101 <TS,sack 3001:3101,acc1 1101 0 101>");
	assert_int_equal(bench_info(&b, h)->received_e1_bytes, 1100);
	bench_end(&b);
}

/* Sparingly: marks, a kind that is new, not what only grows. */
static void sparingly(void **state)
{
	(void)state;
	passive(CPL_ECN_OPTION_MINIMUM, "");
	send(&b, "AE. 1:101 ack 1 tos 2");
	expect(&b, "AE. 1 ack 101");
	send(&b, "AE. 101:201 ack 1 tos 3");
	expect(&b, "AW. 1 ack 201 <acc0 101 100>");
	send(&b, "AE. 201:301 ack 1 tos 2");
	expect(&b, "AW. 1 ack 301");
	send(&b, "AE. 301:401 ack 1 tos 1");
	expect(&b, "AW. 1 ack 401 <acc1 101 100 201>");
	send(&b, "AE. 401:501 ack 1 tos 1");
	expect(&b, "AW. 1 ack 501");
	bench_end(&b);
	passive(CPL_ECN_OPTION_NEVER, "");
	send(&b, "AE. 1:101 ack 1 tos 3");
	expect(&b, "AW. 1 ack 101");
	bench_end(&b);
}

/* Data carries it, too, and makes room for it; what goes again does not. */
static void with_data(void **state)
{
	cpl_handle h = passive(CPL_ECN_OPTION_FULL, "");

	(void)state;
	send(&b, "AE. 1:101 ack 1 tos 2");
	expect(&b, "AE. 1 ack 101 <acc0 101>");
	for (unsigned i = 0; i < 16; i++) { /* past the quick ACKs */
		send(&b, "AE. %u:%u ack 1", 101 + i, 102 + i);
		while (bench_take(&b))
			;
	}
	send(&b, "AE. 117:217 ack 1 tos 2");
	bench_write(&b, h, 2000);
	expect(&b, "AE. 1:993 ack 217 <acc0 201>");
	expect(&b, "AE. 993:1993 ack 217");
	expect(&b, "PAE. 1993:2001 ack 217");
	bench_run(&b, CPL_SECOND + 100 * CPL_MS);
	expect(&b, "AE. 1:993 ack 217");
	/* 3.2.3.2.2: the first data with an option was lost: no more of them */
	send(&b, "AE. 217:317 ack 2001 tos 3");
	expect(&b, "AW. 2001 ack 317");
	assert_int_equal(bench_info(&b, h)->accecn_option, CPL_ACCECN_BLOCKED | CPL_ACCECN_SEEN);
	bench_end(&b);
}

/* 3.2.3.2.2: what we acknowledge with an option comes again and again. */
static void acks_lost(void **state)
{
	cpl_handle h = passive(CPL_ECN_OPTION_FULL, "");

	(void)state;
	send(&b, "AE. 1:101 ack 1 tos 2");
	expect(&b, "AE. 1 ack 101 <acc0 101>");
	send(&b, "AE. 1:101 ack 1");
	expect(&b, "AE. 1 ack 101");
	send(&b, "AE. 101:201 ack 1 tos 2"); /* it does get through */
	expect(&b, "AE. 1 ack 201 <acc0 201>");
	for (unsigned i = 0; i < 2; i++) {
		send(&b, "AE. 201:301 ack 1 tos 3");
		bench_take(&b);
	}
	assert_int_equal(bench_info(&b, h)->accecn_option & CPL_ACCECN_SENT, CPL_ACCECN_SENT);
	bench_end(&b);
}

/* ---- What comes ---- */

/* A.1, with its numbers: 24 bits of a counter that goes on. */
static void wraps(void **state)
{
	cpl_handle h = flight();

	(void)state;
	/* By steps of less than 2^23 to 33,554,433, which is 1 modulo 2^24. */
	for (unsigned i = 1; i <= 8; i++)
		send(&b, "AW. 1 ack %u <acc0 1 %u>", 1 + 1000 * i, (1 + (i << 22)) & 0xffffff);
	assert_int_equal(bench_info(&b, h)->delivered_ce_bytes, 33554433);
	send(&b, "AW. 1 ack 9001 <acc0 1 1461>");
	assert_int_equal(bench_info(&b, h)->delivered_ce_bytes, 33555893);
	bench_end(&b);
}

/* A.2.2, with its numbers: whether ACE came round is seen by the size of the packets. */
static void settled_by_bytes(void **state)
{
	static const struct {
		unsigned acked;
		const char *ace;
		unsigned ceb, marks;
	} rows[] = {
		{ 8, "AE", 1000, 8 },	/* none for 1000 bytes cannot be */
		{ 10, "AWE", 1000, 2 }, /* 2 of 500, not 10 of 100 */
		{ 15, "A", 6990, 7 },	/* 7 of 998, not 15 of 466 */
		{ 15, "A", 7500, 15 },	/* 7 of 1071 cannot be */
		{ 40, "AE", 0, 0 },	/* none */
		{ 10, "AWE", 10000, 10 },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cpl_handle h = flight();

		send(&b, "%s. 1 ack %u <acc0 1 %u>", rows[i].ace, 1 + 1000 * rows[i].acked,
		     rows[i].ceb);
		assert_int_equal(bench_info(&b, h)->delivered_ce, rows[i].marks);
		assert_int_equal(bench_info(&b, h)->delivered_ce_bytes, rows[i].ceb);
		assert_int_equal(bench_info(&b, h)->ecn_capable, 1);
		bench_end(&b);
	}
}

/* Both orders, every length. */
static void any_fields(void **state)
{
	cpl_handle h = flight();

	(void)state;
	send(&b, "AE. 1 ack 1001 <acc0 1001>");
	assert_int_equal(bench_info(&b, h)->delivered_e0_bytes, 1000);
	send(&b, "AW. 1 ack 3001 <acc1 501 1000 1501>");
	assert_int_equal(bench_info(&b, h)->delivered_e0_bytes, 1500);
	assert_int_equal(bench_info(&b, h)->delivered_e1_bytes, 500);
	assert_int_equal(bench_info(&b, h)->delivered_ce_bytes, 1000);
	send(&b, "AW. 1 ack 4001 <acc1 1501>");
	send(&b, "AW. 1 ack 5001 <acc0 ->");
	assert_int_equal(bench_info(&b, h)->delivered_e0_bytes, 1500);
	assert_int_equal(bench_info(&b, h)->delivered_e1_bytes, 1500);
	assert_int_equal(bench_info(&b, h)->delivered_ce, 1);
	bench_end(&b);
}

/* Counters that go backwards are nobody's: what was known stays, ACE is taken at its worst. */
static void backwards(void **state)
{
	cpl_handle h = flight();

	(void)state;
	send(&b, "AW. 1 ack 1001 <acc0 1 1000>");
	send(&b, "AW. 1 ack 11001 <acc0 1 999>");
	assert_int_equal(bench_info(&b, h)->delivered_ce_bytes, 1000);
	assert_int_equal(bench_info(&b, h)->delivered_ce, 9); /* 10 packets: may be 8 more */
	send(&b, "AW. 1 ack 12001 <acc0 0 1000>");
	assert_int_equal(bench_info(&b, h)->delivered_e0_bytes, 0);
	/* More than was sent: the connection lives, and cwnd with it. */
	send(&b, "AWE. 1 ack 14001 <acc0 8388607 8388607 8388607>");
	assert_true(bench_info(&b, h)->cwnd >= 1000);
	assert_int_equal(bench_info(&b, h)->state, CPL_ESTABLISHED);
	bench_end(&b);
}

/* 3.2.3.2.4: zeros at the beginning: ignored for good. */
static void cleared(void **state)
{
	static const char *const options[] = { "acc0 0 0 0", "acc0 0", "acc1 0 0 1", "acc1 1 0 0" };

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		cpl_handle h;

		setup_bench(CPL_ECN_OPTION_FULL, 0, 100);
		h = bench_open(&b, 40000, 80);
		expect(&b, "SEWA 0 <*>");
		send(&b, "SW. 0 ack 1 <mss 1000,%s>", options[i]);
		expect(&b, "W. 1 ack 1 <acc0 1 0 1>");
		assert_int_equal(bench_info(&b, h)->accecn_option,
				 CPL_ACCECN_SENT | CPL_ACCECN_ZEROED);
		bench_write(&b, h, 100000);
		while (bench_take(&b))
			;
		send(&b, "AE. 1 ack 989");
		/* 8 packets, no mark in ACE, no believable option: perhaps 8 */
		send(&b, "AE. 1 ack 8989 <acc0 8989 0 1>");
		assert_int_equal(bench_info(&b, h)->delivered_ce, 8);
		assert_int_equal(bench_info(&b, h)->ecn_capable, 1);
		bench_end(&b);
	}
}

/* 3.2.3.2.3: stripped in the handshake; what comes later is a new beginning. */
static void stripped(void **state)
{
	cpl_handle listener, h;

	(void)state;
	setup_bench(CPL_ECN_OPTION_FULL, 0, 100);
	listener = bench_listen(&b, 80);
	send(&b, "SEWA 0 <mss 1000>");
	expect(&b, "SW. 0 ack 1 <*>");
	send(&b, "W. 1 ack 1");
	h = bench_accepted(&b, listener);
	assert_int_equal(bench_info(&b, h)->accecn_option, CPL_ACCECN_SENT);
	/* It goes on sending its own. */
	send(&b, "AE. 1:101 ack 1 tos 2");
	expect(&b, "AE. 1 ack 101 <acc0 101>");
	bench_write(&b, h, 100000);
	while (bench_take(&b))
		;
	send(&b, "AE. 101 ack 1001 <acc0 90001 50000 1>");
	assert_int_equal(bench_info(&b, h)->accecn_option, CPL_ACCECN_SENT | CPL_ACCECN_SEEN);
	assert_int_equal(bench_info(&b, h)->recovery, CPL_RECOVERY_OPEN);
	assert_int_equal(bench_info(&b, h)->ecn_capable, 1);
	send(&b, "AE. 101 ack 11001 <acc0 100001 50000 1>");
	assert_int_equal(bench_info(&b, h)->delivered_ce, 0); /* believed again */
	bench_end(&b);
}

/* 3.2.3.2.5: marked bytes, no marked packet, and ACE cannot have come round: no more ECT. */
static void inconsistent(void **state)
{
	cpl_handle h = flight();

	(void)state;
	send(&b, "AW. 1 ack 1001");
	send(&b, "AW. 1 ack 3001 <acc0 1 1000>"); /* told late, but told */
	assert_int_equal(bench_info(&b, h)->ecn_capable, 1);
	send(&b, "AW. 1 ack 5001 <acc0 1 2000>");
	assert_int_equal(bench_info(&b, h)->ecn_capable, 0);
	/* Feedback is still answered. */
	send(&b, "AWE. 1 ack 6001 <acc0 1 3000>");
	assert_int_equal(bench_info(&b, h)->recovery, CPL_RECOVERY_CWR);
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields),	cmocka_unit_test(beside_sack),
		cmocka_unit_test(no_room),	cmocka_unit_test(sparingly),
		cmocka_unit_test(with_data),	cmocka_unit_test(acks_lost),
		cmocka_unit_test(wraps),	cmocka_unit_test(settled_by_bytes),
		cmocka_unit_test(any_fields),	cmocka_unit_test(backwards),
		cmocka_unit_test(cleared),	cmocka_unit_test(stripped),
		cmocka_unit_test(inconsistent),
	};

	return cmocka_run_group_tests_name("tcp/accecn_option", tests, NULL, NULL);
}
