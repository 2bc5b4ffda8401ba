/* SPDX-License-Identifier: MIT */
/*
 * Accurate ECN, RFC 9768: the handshake with every kind of peer, the counters in ACE and as they
 * are read from it, what is not to be trusted. ACE is AE, CWR and ECE: A, W and E; 5, as it begins,
 * "AE".
 */
#include "tests/util/tcp_bench.h"

static struct bench b;

/* The frame that expect() saw had this ECN field. */
#define ect(value) assert_int_equal(b.last.p.ip.tos & 3, value)

#define ACCURATE (CPL_OPT_BIT_ECN | CPL_OPT_BIT_ACCECN)
#define ECN_BITS ACCURATE

static void begin(uint8_t ecn, uint8_t option)
{
	bench_init(&b);
	b.config.ecn = ecn;
	b.config.ecn_option = option;
	snprintf(b.config.cc_name, sizeof(b.config.cc_name), "reno");
	bench_start(&b);
}

static uint32_t agreed(cpl_handle h)
{
	return bench_info(&b, h)->options & ECN_BITS;
}

/* Opened by a peer that asks for accurate ECN; the third segment is THIRD. */
static cpl_handle passive(uint8_t option, const char *third)
{
	cpl_handle listener, h;

	begin(CPL_ECN_ACCURATE_PASSIVE, option);
	listener = bench_listen(&b, 80);
	send(&b, "SEWA 0 <mss 1000>");
	expect(&b, option ? "SW. 0 ack 1 <mss 1460,acc0 1 0 1>" : "SW. 0 ack 1 <mss 1460>");
	send(&b, "%s", third);
	h = bench_accepted(&b, listener);
	bench_run(&b, 40 * CPL_MS);
	return h;
}

/* Opened by us; the peer answers with SYNACK; the ACK is THIRD. */
static cpl_handle active(const char *synack, const char *third)
{
	cpl_handle h;

	begin(CPL_ECN_ACCURATE, CPL_ECN_OPTION_FULL);
	h = bench_open(&b, 40000, 80);
	expect(&b, "SEWA 0 <*>");
	ect(0);
	send(&b, "%s", synack);
	expect(&b, "%s", third);
	return h;
}

/* Receive N segments of 1000 octets from the peer, past the quick ACKs of the start. */
static uint32_t past_quick(unsigned n, unsigned tos)
{
	for (unsigned i = 0; i < n; i++) {
		send(&b, "AE. %u:%u ack 1 tos %u", 1 + 1000 * i, 1001 + 1000 * i, tos);
		while (bench_take(&b))
			;
	}
	return 1 + 1000 * n;
}

/* ---- The handshake, 3.1 ---- */

/* Table 2, third and first block, and 3.1.3: what a server answers. */
static void server_table(void **state)
{
	static const struct {
		uint8_t ecn;
		const char *syn, *synack;
		uint32_t agreed;
	} rows[] = {
		{ CPL_ECN_ACCURATE_PASSIVE, "SAWE 0 tos 0", "SW. 0 ack 1 <mss 1460,acc0 1 0 1>",
		  ACCURATE },
		{ CPL_ECN_ACCURATE_PASSIVE, "SAWE 0 tos 1", "SWE. 0 ack 1 <mss 1460,acc0 1 0 1>",
		  ACCURATE },
		{ CPL_ECN_ACCURATE_PASSIVE, "SAWE 0 tos 2", "SA. 0 ack 1 <mss 1460,acc0 1 0 1>",
		  ACCURATE },
		{ CPL_ECN_ACCURATE_PASSIVE, "SAWE 0 tos 3", "SAW. 0 ack 1 <mss 1460,acc0 1 0 1>",
		  ACCURATE },
		{ CPL_ECN_ACCURATE_PASSIVE, "SWE 0", "SE. 0 ack 1 <mss 1460>", CPL_OPT_BIT_ECN },
		{ CPL_ECN_ACCURATE_PASSIVE, "S 0", "S. 0 ack 1 <mss 1460>", 0 },
		{ CPL_ECN_ACCURATE_PASSIVE, "SE 0", "SW. 0 ack 1 <mss 1460,acc0 1 0 1>", ACCURATE },
		{ CPL_ECN_ACCURATE_PASSIVE, "SW 0", "SW. 0 ack 1 <mss 1460,acc0 1 0 1>", ACCURATE },
		{ CPL_ECN_ACCURATE_PASSIVE, "SA 0", "SW. 0 ack 1 <mss 1460,acc0 1 0 1>", ACCURATE },
		{ CPL_ECN_ACCURATE_PASSIVE, "SAE 0", "SW. 0 ack 1 <mss 1460,acc0 1 0 1>",
		  ACCURATE },
		{ CPL_ECN_ACCURATE_PASSIVE, "SAW 0", "SW. 0 ack 1 <mss 1460,acc0 1 0 1>",
		  ACCURATE },
		{ CPL_ECN_ACCURATE, "SAWE 0", "SW. 0 ack 1 <mss 1460,acc0 1 0 1>", ACCURATE },
		{ CPL_ECN_ACCURATE_ASK_CLASSIC, "SAWE 0", "SW. 0 ack 1 <mss 1460,acc0 1 0 1>",
		  ACCURATE },
		{ CPL_ECN_PASSIVE, "SAWE 0", "SE. 0 ack 1 <mss 1460>", CPL_OPT_BIT_ECN },
		{ CPL_ECN_PASSIVE, "SA 0", "S. 0 ack 1 <mss 1460>", 0 },
		{ CPL_ECN_ACTIVE, "SAWE 0", "SE. 0 ack 1 <mss 1460>", CPL_OPT_BIT_ECN },
		{ CPL_ECN_NEVER, "SAWE 0", "S. 0 ack 1 <mss 1460>", 0 },
		/* an option on a SYN is ignored (3.2.3.2.1) */
		{ CPL_ECN_ACCURATE, "SAWE 0 <acc0 9 9 9>", "SW. 0 ack 1 <mss 1460,acc0 1 0 1>",
		  ACCURATE },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cpl_handle listener, h;

		begin(rows[i].ecn, CPL_ECN_OPTION_FULL);
		listener = bench_listen(&b, 80);
		send(&b, "%s", rows[i].syn);
		expect(&b, "%s", rows[i].synack);
		ect(0);
		send(&b, rows[i].agreed == ACCURATE ? "W. 1 ack 1" : ". 1 ack 1");
		h = bench_accepted(&b, listener);
		assert_int_equal(agreed(h), rows[i].agreed);
		bench_write(&b, h, 100);
		expect(&b, rows[i].agreed == ACCURATE ? "PAE. 1:101 ack 1" : "P. 1:101 ack 1");
		ect(rows[i].agreed ? 2 : 0);
		bench_end(&b);
	}
}

/* Table 2 and 3.1.3 as the client reads them; 3.2.2.3: an ECN field that changed on the way. */
static void client_table(void **state)
{
	static const struct {
		const char *synack;
		uint32_t agreed;
		unsigned ect;
	} rows[] = {
		{ "SW. 0 ack 1", ACCURATE, 2 },	 { "SWE. 0 ack 1", ACCURATE, 0 },
		{ "SA. 0 ack 1", ACCURATE, 0 },	 { "SAW. 0 ack 1", ACCURATE, 0 },
		{ "SAE. 0 ack 1", ACCURATE, 2 }, { "SE. 0 ack 1", CPL_OPT_BIT_ECN, 2 },
		{ "S. 0 ack 1", 0, 0 },		 { "SAWE. 0 ack 1", 0, 0 },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool accurate = rows[i].agreed == ACCURATE;
		cpl_handle h =
			active(rows[i].synack, accurate ? "W. 1 ack 1 <acc0 1 0 1>" : ". 1 ack 1");

		assert_int_equal(agreed(h), rows[i].agreed);
		assert_int_equal(bench_info(&b, h)->ecn_capable, rows[i].ect != 0);
		bench_write(&b, h, 100);
		/* 3.2.3.2.1: the first data has the option, too */
		expect(&b, accurate ? "PAE. 1:101 ack 1 <acc0 1 0 1>" : "P. 1:101 ack 1");
		ect(rows[i].ect);
		if (accurate) {
			bench_write(&b, h, 100);
			send(&b, "AE. 1 ack 101");
			expect(&b, "PAE. 101:201 ack 1");
		}
		bench_end(&b);
	}
}

/* Table 3: the ACK of the SYN,ACK says how it came; once only, before data. */
static void third_segment(void **state)
{
	static const char *const ace[] = { "W", "WE", "A", "AW" };

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		cpl_handle h;

		begin(CPL_ECN_ACCURATE, CPL_ECN_OPTION_NEVER);
		h = bench_open(&b, 40000, 80);
		bench_write(&b, h, 100); /* waits, and does not take the ACK's place */
		expect(&b, "SEWA 0 <*>");
		send(&b, "SW. 0 ack 1 tos %u", i);
		expect(&b, "%s. 1 ack 1", ace[i]);
		expect(&b, i == 3 ? "PAW. 1:101 ack 1" : "PAE. 1:101 ack 1");
		/* Again: so is its ACK; a mark counts no second time. */
		send(&b, "SW. 0 ack 1 tos 3");
		expect(&b, "AW. 101 ack 1");
		send(&b, "SW. 0 ack 1 tos 3"); /* too soon for another answer */
		bench_run(&b, CPL_SECOND / 2);
		while (bench_take(&b))
			;
		send(&b, ". 1:101 ack 101");
		bench_run(&b, CPL_SECOND / 2);
		expect(&b, "AW. 101 ack 101");
		assert_int_equal(bench_info(&b, h)->ce_in, 1);
		bench_end(&b);
	}
}

/* Table 4: what a server reads in the third segment. */
static void third_segment_read(void **state)
{
	static const struct {
		const char *third;
		unsigned ect, marks;
		bool deaf;
	} rows[] = {
		{ ". 1 ack 1", 0, 0, true },	{ "E. 1 ack 1", 2, 0, false },
		{ "W. 1 ack 1", 2, 0, false },	{ "WE. 1 ack 1", 0, 0, false },
		{ "A. 1 ack 1", 0, 0, false },	{ "AE. 1 ack 1", 2, 0, false },
		{ "AW. 1 ack 1", 0, 1, false }, { "AWE. 1 ack 1", 2, 0, false },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cpl_handle h = passive(CPL_ECN_OPTION_FULL, rows[i].third);
		unsigned window = rows[i].marks ? 5 : 10;
		uint32_t cwnd;

		assert_int_equal(agreed(h), ACCURATE);
		assert_int_equal(bench_info(&b, h)->delivered_ce, rows[i].marks);
		bench_write(&b, h, 20000);
		for (unsigned n = 0; n < window; n++) {
			expect(&b, "AE. %u:%u ack 1", 1 + 1000 * n, 1001 + 1000 * n);
			ect(rows[i].ect);
		}
		expect_nothing(&b);
		/* Another mark is answered, or not. */
		cwnd = bench_info(&b, h)->cwnd;
		send(&b, rows[i].marks ? "AWE. 1 ack 1001" : "AW. 1 ack 1001");
		if (rows[i].deaf)
			assert_true(bench_info(&b, h)->cwnd > cwnd);
		else
			assert_true(bench_info(&b, h)->ssthresh < cwnd);
		bench_end(&b);
	}
}

/* 3.1.4.1: one more SYN asks, the next does not; the answer to whichever counts. */
static void syn_in_vain(void **state)
{
	static const char *const answers[] = { "SW. 0 ack 1", "SE. 0 ack 1", "S. 0 ack 1" };
	static const uint32_t want[] = { ACCURATE, CPL_OPT_BIT_ECN, 0 };

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		cpl_handle h;

		begin(CPL_ECN_ACCURATE, CPL_ECN_OPTION_FULL);
		h = bench_open(&b, 40000, 80);
		expect(&b, "SEWA 0 <*>");
		expect_after(&b, CPL_SECOND, "SEWA 0 <*>");
		expect_after(&b, 2 * CPL_SECOND, "S 0 <*>");
		send(&b, "%s", answers[i]);
		expect(&b, i ? ". 1 ack 1" : "W. 1 ack 1 <acc0 1 0 1>");
		assert_int_equal(agreed(h), want[i]);
		/* A client may set ECT all the same. */
		bench_write(&b, h, 100);
		bench_take(&b);
		ect(i < 2 ? 2 : 0);
		bench_end(&b);
	}
}

/* 3.2.3.2.2: the SYN,ACK goes again without the option, then without a word of ECN. */
static void synack_in_vain(void **state)
{
	cpl_handle listener, h;

	(void)state;
	begin(CPL_ECN_ACCURATE_PASSIVE, CPL_ECN_OPTION_FULL);
	listener = bench_listen(&b, 80);
	send(&b, "SEWA 0 tos 2");
	expect(&b, "SA. 0 ack 1 <mss 1460,acc0 1 0 1>");
	expect_after(&b, CPL_SECOND, "SA. 0 ack 1 <mss 1460>");
	expect_after(&b, 2 * CPL_SECOND, "S. 0 ack 1 <mss 1460>");
	/* It stays in AccECN mode, but may not set ECT any more (3.1.5). */
	send(&b, "A. 1 ack 1");
	h = bench_accepted(&b, listener);
	assert_int_equal(agreed(h), ACCURATE);
	send(&b, "AE. 1:1001 ack 1 tos 3");
	expect(&b, "AW. 1 ack 1001"); /* feedback goes on, without the option */
	bench_write(&b, h, 100);
	expect(&b, "PAW. 1:101 ack 1001");
	ect(0);
	bench_end(&b);
}

/* 3.1.5: the latest SYN counts; one without ECN forbids ECT, but not the mode. */
static void syn_again(void **state)
{
	cpl_handle listener, h;

	(void)state;
	begin(CPL_ECN_ACCURATE_PASSIVE, CPL_ECN_OPTION_FULL);
	listener = bench_listen(&b, 80);
	send(&b, "SEWA 0");
	expect(&b, "SW. 0 ack 1 <mss 1460,acc0 1 0 1>");
	send(&b, "SEWA 0 tos 3");
	expect(&b, "SAW. 0 ack 1 <mss 1460>");
	send(&b, "S 0");
	expect(&b, "SW. 0 ack 1 <mss 1460>");
	send(&b, "W. 1 ack 1");
	h = bench_accepted(&b, listener);
	assert_int_equal(agreed(h), ACCURATE);
	bench_write(&b, h, 100);
	expect(&b, "PAE. 1:101 ack 1");
	ect(0);
	bench_end(&b);
	/* In Not ECN mode no later SYN changes anything. */
	begin(CPL_ECN_ACCURATE_PASSIVE, CPL_ECN_OPTION_FULL);
	listener = bench_listen(&b, 80);
	send(&b, "S 0");
	expect(&b, "S. 0 ack 1 <mss 1460>");
	send(&b, "SEWA 0");
	expect(&b, "S. 0 ack 1 <mss 1460>");
	send(&b, ". 1 ack 1");
	assert_int_equal(agreed(bench_accepted(&b, listener)), 0);
	bench_end(&b);
}

/* 3.1.5: both kinds of SYN in one handshake: nobody could know which came. */
static void contradiction(void **state)
{
	static const char *const syns[][3] = {
		{ "SEWA 0", "SW. 0 ack 1 <mss 1460,acc0 1 0 1>", "SEW 0" },
		{ "SEW 0", "SE. 0 ack 1 <mss 1460>", "SEWA 0" },
	};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		begin(CPL_ECN_ACCURATE_PASSIVE, CPL_ECN_OPTION_FULL);
		bench_listen(&b, 80);
		send(&b, "%s", syns[i][0]);
		expect(&b, "%s", syns[i][1]);
		send(&b, "%s", syns[i][2]);
		assert_true(bench_take(&b));
		assert_int_equal(b.last.p.tcp.flags, 4 | 16);
		assert_int_equal(b.last.p.tcp.ack, b.flow.iss + 1);
		expect_nothing(&b);
		bench_end(&b);
	}
}

/* 3.1.2: crossing SYNs: each answers as if it had not asked. */
static void simultaneous(void **state)
{
	static const struct {
		uint8_t ecn;
		const char *ours, *syn, *answer;
		uint32_t agreed;
	} rows[] = {
		{ CPL_ECN_ACCURATE, "SEWA 0 <*>", "SEWA 0 tos 2", "SA. 0 ack 1 <*>", ACCURATE },
		{ CPL_ECN_ACCURATE, "SEWA 0 <*>", "SEW 0", "SE. 0 ack 1 <*>", CPL_OPT_BIT_ECN },
		{ CPL_ECN_ACCURATE, "SEWA 0 <*>", "S 0", "S. 0 ack 1 <*>", 0 },
		{ CPL_ECN_ACCURATE_ASK_CLASSIC, "SEW 0 <*>", "SEWA 0", "SE. 0 ack 1 <*>",
		  CPL_OPT_BIT_ECN },
		{ CPL_ECN_ACCURATE_PASSIVE, "S 0 <*>", "SEWA 0", "S. 0 ack 1 <*>", 0 },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cpl_handle h;

		begin(rows[i].ecn, CPL_ECN_OPTION_FULL);
		h = bench_open(&b, 40000, 80);
		expect(&b, "%s", rows[i].ours);
		send(&b, "%s", rows[i].syn);
		expect(&b, "%s", rows[i].answer);
		send(&b, rows[i].agreed == ACCURATE ? "AE. 1 ack 1" : ". 1 ack 1");
		assert_int_equal(bench_state(&b), CPL_ESTABLISHED);
		assert_int_equal(agreed(h), rows[i].agreed);
		bench_end(&b);
	}
}

/* 4.1: a cookie's ACK tells what was agreed. */
static void cookie(void **state)
{
	static const struct {
		const char *third;
		uint32_t agreed;
	} rows[] = { { ". 1 ack 1", 0 },
		     { "E. 1 ack 1", 0 },
		     { "W. 1 ack 1", ACCURATE },
		     { "WE. 1 ack 1", ACCURATE },
		     { "AW. 1 ack 1", ACCURATE } };

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cpl_handle listener;

		bench_init(&b);
		b.config.ecn = CPL_ECN_ACCURATE_PASSIVE;
		b.config.syncookies = CPL_SYNCOOKIES_ALWAYS;
		bench_start(&b);
		listener = bench_listen(&b, 80);
		send(&b, i < 2 ? "SEW 0" : "SEWA 0");
		expect(&b, i < 2 ? "S. 0 ack 1 <mss 1460>" : "SW. 0 ack 1 <mss 1460,acc0 1 0 1>");
		send(&b, "%s", rows[i].third);
		assert_int_equal(agreed(bench_accepted(&b, listener)), rows[i].agreed);
		bench_end(&b);
	}
}

/* ---- Data receiver, 3.2 ---- */

/* 3.2.2, 3.2.2.5.1: each mark is counted, control packets included; when it calls for an ACK. */
static void counted(void **state)
{
	cpl_handle h = passive(CPL_ECN_OPTION_NEVER, "W. 1 ack 1");
	uint32_t seq = past_quick(20, 2);

	(void)state;
	/* The first of a run: at once. */
	send(&b, "AE. %u:%u ack 1 tos 3", seq, seq + 1000);
	expect(&b, "AW. 1 ack %u", seq + 1000);
	/* The second of a run is no change, the third makes two since the last ACK. */
	send(&b, "AE. %u:%u ack 1 tos 3", seq + 1000, seq + 1100);
	expect_nothing(&b);
	send(&b, "AE. %u:%u ack 1 tos 3", seq + 1100, seq + 1200);
	expect(&b, ". 1 ack %u", seq + 1200); /* 8: round to 0 */
	send(&b, "AE. %u:%u ack 1 tos 2", seq + 1200, seq + 1300);
	expect_nothing(&b);
	expect_after(&b, 40 * CPL_MS, ". 1 ack %u", seq + 1300);
	/* Pure ACKs: with nothing unacknowledged each third. */
	for (unsigned i = 0; i < 2; i++)
		send(&b, "AE. %u ack 1 tos 3", seq + 1300);
	expect_nothing(&b);
	send(&b, "AE. %u ack 1 tos 3", seq + 1300);
	expect(&b, "WE. 1 ack %u", seq + 1300);
	assert_int_equal(bench_info(&b, h)->ce_in, 6);
	assert_int_equal(bench_info(&b, h)->received_ce_bytes, 1200);
	assert_int_equal(bench_info(&b, h)->received_e0_bytes, 20100);
	/* What is not acceptable does not count. */
	send(&b, "AE. 1:1001 ack 1 tos 3");
	expect(&b, "WE. 1 ack %u", seq + 1300);
	assert_int_equal(bench_info(&b, h)->ce_in, 6);
	bench_end(&b);
}

/* Beyond what ACE holds: a super-segment of marks. */
static void never_classic(void **state)
{
	cpl_handle h = passive(CPL_ECN_OPTION_NEVER, "W. 1 ack 1");

	(void)state;
	send(&b, "AE. 1:1001 ack 1 tos 3");
	expect(&b, "AW. 1 ack 1001");
	/* CWR is a bit of ACE: it ends nothing, and the count is repeated. */
	send(&b, "WA. 1001:2001 ack 1 tos 2");
	expect(&b, "AW. 1 ack 2001");
	assert_int_equal(bench_info(&b, h)->ece_in, 0);
	bench_end(&b);
}

/* ---- Data sender ---- */

/* Once a round trip, like a loss without one; CWR is never set for it. */
static void answered(void **state)
{
	cpl_handle h = passive(CPL_ECN_OPTION_FULL, "W. 1 ack 1");

	(void)state;
	bench_write(&b, h, 20000);
	for (unsigned i = 0; i < 10; i++)
		expect(&b, "AE. %u:%u ack 1", 1 + 1000 * i, 1001 + 1000 * i);
	bench_run(&b, 40 * CPL_MS);
	send(&b, "AW. 1 ack 1001");
	assert_int_equal(bench_info(&b, h)->ssthresh, 4000); /* 9 in flight */
	assert_int_equal(bench_info(&b, h)->recovery, CPL_RECOVERY_CWR);
	send(&b, "AWE. 1 ack 3001");
	expect(&b, "AE. 10001:11001 ack 1");
	ect(2);
	send(&b, "A. 1 ack 5001"); /* 12 */
	while (bench_take(&b))
		assert_int_equal(b.last.p.tcp.flags & 0x1c0, 5 << 6);
	assert_int_equal(bench_info(&b, h)->ssthresh, 4000);
	send(&b, "A. 1 ack 10001");
	assert_int_equal(bench_info(&b, h)->recovery, CPL_RECOVERY_OPEN);
	assert_int_equal(bench_info(&b, h)->cwnd, 4000);
	assert_int_equal(bench_info(&b, h)->retrans, 0);
	/* 5 to 4 is 7 more */
	assert_int_equal(bench_info(&b, h)->delivered_ce, 7);
	/* The next round trip's mark counts again. */
	while (bench_take(&b))
		;
	send(&b, "AE. 1 ack 11001");
	assert_true(bench_info(&b, h)->ssthresh < 4000);
	bench_end(&b);
}

/* 100 segments of 1000 in flight, nothing acknowledged. */
static cpl_handle flight(const char *third)
{
	cpl_handle listener, h;

	bench_init(&b);
	b.config.ecn = CPL_ECN_ACCURATE_PASSIVE;
	b.config.initial_window = 100;
	b.config.sndbuf = b.config.sndbuf_max = 1u << 20;
	snprintf(b.config.cc_name, sizeof(b.config.cc_name), "reno");
	bench_start(&b);
	listener = bench_listen(&b, 80);
	send(&b, "SEWA 0 <mss 1000>");
	expect(&b, "SW. 0 ack 1 <mss 1460,acc0 1 0 1>");
	send(&b, "%s", third);
	h = bench_accepted(&b, listener);
	bench_write(&b, h, 300000);
	while (bench_take(&b))
		;
	return h;
}

/* A.2.1: 9 packets acknowledged and 2 more: 2; 10 packets: perhaps 10. */
static void round_again(void **state)
{
	static const struct {
		unsigned acked;
		const char *ace;
		unsigned marks;
	} rows[] = {
		{ 9, "AWE", 2 },
		{ 10, "AWE", 10 },
		{ 7, "AE", 0 },
		{ 8, "AE", 8 },
		{ 7, "A", 7 },
		{ 18, "AWE", 18 },
		{ 17, "AWE", 10 },
		/* more marks than packets: ACE is right (3.2.2.5.2) */
		{ 1, "A", 7 },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cpl_handle h = flight("W. 1 ack 1");

		send(&b, "AE. 1 ack 1001"); /* an ACK for each is the rule */
		send(&b, "%s. 1 ack %u", rows[i].ace, 1001 + 1000 * rows[i].acked);
		assert_int_equal(bench_info(&b, h)->delivered_ce, rows[i].marks);
		bench_end(&b);
	}
}

/* A.2.1: where ACKs for many packets are the rule, they are no sign that some were lost. */
static void thinned(void **state)
{
	cpl_handle h = flight("W. 1 ack 1");

	(void)state;
	send(&b, "AE. 1 ack 10001");
	send(&b, "AE. 1 ack 30001");
	send(&b, "AE. 1 ack 50001");
	assert_int_equal(bench_info(&b, h)->delivered_ce, 0);
	bench_end(&b);
}

/* 3.2.2.4: the first counter is zero. */
static void zeroed(void **state)
{
	cpl_handle h = flight("W. 1 ack 1");

	(void)state;
	assert_int_equal(bench_info(&b, h)->ecn_capable, 1);
	send(&b, ". 1 ack 1001");
	assert_int_equal(bench_info(&b, h)->ecn_capable, 0);
	assert_int_equal(bench_info(&b, h)->recovery, CPL_RECOVERY_OPEN);
	while (bench_take(&b))
		ect(0);
	bench_end(&b);
	/* With as many packets as could have made it so it is believed. */
	h = flight("W. 1 ack 1");
	send(&b, ". 1 ack 3001");
	assert_int_equal(bench_info(&b, h)->ecn_capable, 1);
	assert_int_equal(bench_info(&b, h)->delivered_ce, 3);
	bench_end(&b);
}

/* 3.2.2.3: nothing but marks for four round trips. */
static void all_marked(void **state)
{
	cpl_handle h = passive(CPL_ECN_OPTION_FULL, "W. 1 ack 1");
	static const char *const ace[] = { "E", "W", "WE", "A", "AE", "AW", "AWE", "" };
	unsigned cep = 5, seq = 1;

	(void)state;
	bench_write(&b, h, 60000);
	for (unsigned round = 0; round < 6; round++) {
		unsigned end = seq;

		if (round < 3 || round > 3) /* two small windows may end in the third */
			assert_int_equal(bench_info(&b, h)->ecn_capable, round < 3);
		while (bench_take(&b))
			end = (b.last.p.tcp.seq - b.flow.our_iss) + b.last.p.tcp.len;
		while (seq < end) {
			cep++;
			seq += 1000;
			send(&b, "%s. 1 ack %u", ace[(cep + 7) % 8], seq);
			if (seq < end && round == 0)
				bench_run(&b, CPL_MS);
		}
		bench_run(&b, 20 * CPL_MS);
	}
	bench_end(&b);
}

/* 3.2.2.2: an ACK from before the last says nothing; nor does one that nothing tells apart. */
static void superseded(void **state)
{
	cpl_handle h = flight("W. 1 ack 1");

	(void)state;
	send(&b, "AW. 1 ack 3001");
	assert_int_equal(bench_info(&b, h)->delivered_ce, 1);
	send(&b, "AE. 1 ack 1001"); /* older */
	send(&b, "AE. 1 ack 3001"); /* nothing new */
	assert_int_equal(bench_info(&b, h)->delivered_ce, 1);
	send(&b, "AWE. 1 ack 4001");
	assert_int_equal(bench_info(&b, h)->delivered_ce, 2);
	bench_end(&b);
}

/* RFC 3168 6.1.5 stands: what goes again is not ECN-capable, but carries the latest count. */
static void retransmission(void **state)
{
	cpl_handle h = passive(CPL_ECN_OPTION_FULL, "W. 1 ack 1");

	(void)state;
	bench_write(&b, h, 1000);
	expect(&b, "PAE. 1:1001 ack 1");
	ect(2);
	send(&b, "AE. 1 ack 1 tos 3");
	bench_run(&b, CPL_SECOND + 100 * CPL_MS);
	expect(&b, "PAW. 1:1001 ack 1");
	ect(0);
	bench_end(&b);
}

/* Whoever cuts a super-segment may clear CWR in all but the first: none with that bit in ACE. */
static void not_cut(void **state)
{
	cpl_handle listener, h;

	(void)state;
	for (unsigned marked = 0; marked < 2; marked++) {
		bench_init(&b);
		b.config.ecn = CPL_ECN_ACCURATE_PASSIVE;
		b.config.ecn_option = CPL_ECN_OPTION_NEVER;
		b.iface.flags |= CPL_IFACE_CSUM_OUT | CPL_IFACE_GSO4;
		b.iface.gso_max = 65535;
		bench_start(&b);
		listener = bench_listen(&b, 80);
		send(&b, "SEWA 0 <mss 1000>");
		expect(&b, "SW. 0 ack 1 <mss 1460>");
		send(&b, "W. 1 ack 1");
		h = bench_accepted(&b, listener);
		if (marked) {
			send(&b, "AE. 1:101 ack 1 tos 3"); /* 6 */
			expect(&b, "AW. 1 ack 101");
		}
		bench_write(&b, h, 5000);
		assert_true(bench_take(&b));
		assert_int_equal(b.last.p.tcp.len, marked ? 1000 : 5000);
		ect(2);
		bench_end(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(server_table),	  cmocka_unit_test(client_table),
		cmocka_unit_test(third_segment),  cmocka_unit_test(third_segment_read),
		cmocka_unit_test(syn_in_vain),	  cmocka_unit_test(synack_in_vain),
		cmocka_unit_test(syn_again),	  cmocka_unit_test(contradiction),
		cmocka_unit_test(simultaneous),	  cmocka_unit_test(cookie),
		cmocka_unit_test(counted),	  cmocka_unit_test(never_classic),
		cmocka_unit_test(answered),	  cmocka_unit_test(round_again),
		cmocka_unit_test(thinned),	  cmocka_unit_test(zeroed),
		cmocka_unit_test(all_marked),	  cmocka_unit_test(superseded),
		cmocka_unit_test(retransmission), cmocka_unit_test(not_cut),
	};

	return cmocka_run_group_tests_name("tcp/accecn", tests, NULL, NULL);
}
