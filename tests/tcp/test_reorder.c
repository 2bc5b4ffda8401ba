/* SPDX-License-Identifier: MIT */
/*
 * Segments that arrive out of order, twice, in part, beyond the window: what is kept, what is
 * acknowledged, what SACK says of it (RFC 9293 3.10.7.4, RFC 2018, RFC 2883, RFC 5681 4.2).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/seq.h"
#include "tests/util/bytes.h"
#include "tests/util/tcp_bench.h"

static struct bench b;

static cpl_handle sack_peer(void)
{
	bench_init(&b);
	b.config.sack = 1;
	bench_start(&b);
	return bench_passive(&b, "mss 1460,sackOK");
}

/* ---- order ---- */

/* SHLD-31: what is early is kept, and delivered in order once the hole is filled. */
static void early_segments_wait(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1460");
	send(&b, ". 101:201 ack 1");
	expect(&b, ". 1 ack 1");
	send(&b, ". 301:401 ack 1");
	expect(&b, ". 1 ack 1");
	assert_int_equal(bench_info(&b, h)->ooo_bytes, 200);
	assert_int_equal(bench_info(&b, h)->ooo_ranges, 2);
	send(&b, ". 1:101 ack 1"); /* fills a gap: acknowledged at once */
	expect(&b, ". 1 ack 201");
	bench_read(&b, h, 200);
	send(&b, ". 201:301 ack 1");
	expect(&b, ". 1 ack 401");
	bench_read(&b, h, 200);
	assert_int_equal(bench_info(&b, h)->ooo_bytes, 0);
	assert_int_equal(bench_info(&b, h)->bytes_received, 400);
	bench_end(&b);
}

/* Every way in which two and three ranges of a few octets can overlap. */
static void all_overlaps(void **state)
{
	(void)state;
	for (unsigned x = 0; x < 8 * 8 * 8; x++) {
		unsigned start[3] = { x % 8, x / 8 % 8, x / 64 }, have = 0, upto = 0;
		cpl_handle h = sack_peer();

		for (unsigned i = 0; i < 3; i++) {
			unsigned from = 1 + start[i], to = from + 2 + i;

			send(&b, ". %u:%u ack 1", from, to);
			for (unsigned o = from; o < to; o++)
				have |= 1u << o;
			while (have & 2u << upto)
				upto++;
			bench_run(&b, 50 * CPL_MS);
			while (bench_take(&b))
				;
			assert_int_equal(b.last.p.tcp.ack - b.flow.iss, upto + 1);
			/* Two ranges that touch are one. */
			for (unsigned j = 0; j < b.last.p.tcp.sack_n; j++) {
				const struct tcp_sack *s = &b.last.p.tcp.sack[j];
				unsigned left = s->start - b.flow.iss, right = s->end - b.flow.iss;

				if (j == 0 && (left <= upto || b.last.p.tcp.sack_n > 1))
					continue; /* maybe a DSACK */
				assert_false(have & 1u << (left - 1));
				assert_false(have & 1u << right);
			}
		}
		if (upto)
			bench_read(&b, h, upto);
		send(&b, ". 1:20 ack 1");
		assert_int_equal(bench_info(&b, h)->ooo_ranges, 0);
		bench_read(&b, h, 19 - upto);
		bench_end(&b);
	}
}

/* A segment that spans several ranges makes one of all that it touches. */
static void one_spans_many(void **state)
{
	cpl_handle h;

	(void)state;
	h = sack_peer();
	for (unsigned i = 0; i < 4; i++)
		send(&b, ". %u:%u ack 1", 101 + 20 * i, 111 + 20 * i);
	expect(&b, ". 1 ack 1 <sack 161:171,sack 141:151,sack 121:131,sack 101:111>");
	send(&b, ". 105:165 ack 1");
	expect(&b, ". 1 ack 1 <sack 105:111,sack 101:171>");
	assert_int_equal(bench_info(&b, h)->ooo_ranges, 1);
	assert_int_equal(bench_info(&b, h)->ooo_bytes, 70);
	send(&b, ". 1:101 ack 1");
	expect(&b, ". 1 ack 171");
	bench_read(&b, h, 170);
	bench_end(&b);
}

/* What came first stays: an overlap cannot change data that is there. */
static void overlaps_change_nothing(void **state)
{
	uint8_t packet[256], lie[64];
	struct ip_hdr ip = { 0 };
	struct tcp_seg seg = { 0 };
	cpl_handle h;

	(void)state;
	h = sack_peer();
	send(&b, ". 11:21 ack 1");
	memset(lie, 0xff, sizeof(lie));
	ip.src = b.flow.peer.addr;
	ip.dst = b.flow.us.addr;
	seg.sport = b.flow.peer.port;
	seg.dport = b.flow.us.port;
	seg.seq = b.flow.iss + 11;
	seg.ack = b.flow.our_iss + 1;
	seg.flags = TCP_ACK;
	seg.wnd = 65535;
	seg.data = lie;
	seg.len = 10;
	bench_inject(&b, packet, packet_tcp(packet, sizeof(packet), &ip, &seg));
	send(&b, ". 1:11 ack 1");
	seg.seq = b.flow.iss + 1;
	seg.len = 20;
	bench_inject(&b, packet, packet_tcp(packet, sizeof(packet), &ip, &seg));
	bench_read(&b, h, 20);
	bench_end(&b);
}

/* ---- FIN ---- */

static void early_fin(void **state)
{
	static const char *const fins[] = { "F. 301 ack 1", "F. 201:301 ack 1" };
	cpl_handle h;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		h = sack_peer();
		send(&b, "%s", fins[i]);
		expect(&b, ". 1 ack 1 <sack %u:302>", i ? 201 : 301);
		expect_state(&b, CPL_ESTABLISHED);
		send(&b, "%s", fins[i]); /* again */
		expect(&b, ". 1 ack 1 <*>");
		send(&b, ". 101:301 ack 1");
		expect(&b, ". 1 ack 1 <*>");
		assert_int_equal(b.last.p.tcp.sack[b.last.p.tcp.sack_n - 1].end - b.flow.iss, 302);
		assert_false(bench_events(&b, h, NULL) & CPL_EV_PEER_FIN);
		send(&b, ". 1:101 ack 1");
		expect(&b, ". 1 ack 302");
		expect_state(&b, CPL_CLOSE_WAIT);
		expect_event(&b, h, CPL_EV_READABLE | CPL_EV_PEER_FIN, 0);
		bench_read(&b, h, 300);
		assert_int_equal(cpl_recv(b.stack, h, &(uint8_t){ 0 }, 1, 0, b.now), 0);
		bench_end(&b);
	}
}

/* Nothing lies behind a FIN; what claims to does no harm. */
static void text_behind_a_fin(void **state)
{
	cpl_handle h;

	(void)state;
	h = sack_peer();
	send(&b, "F. 101:201 ack 1");
	send(&b, ". 201:301 ack 1");
	send(&b, ". 202:302 ack 1");
	send(&b, "F. 401:501 ack 1");
	send(&b, ". 1:151 ack 1");
	expect(&b, ". 1 ack 202 <*>");
	expect_state(&b, CPL_CLOSE_WAIT);
	assert_int_equal(bench_info(&b, h)->ooo_ranges, 0);
	bench_read(&b, h, 200);
	bench_end(&b);

	/* The other way round: text first, then a FIN inside of it, which cannot be. */
	h = sack_peer();
	send(&b, ". 101:301 ack 1");
	send(&b, "F. 101:201 ack 1");
	send(&b, "F. 1:151 ack 1");
	expect_state(&b, CPL_ESTABLISHED);
	bench_read(&b, h, 300);
	bench_end(&b);
}

/* ---- acknowledging ---- */

/* MAY-13, RFC 5681 4.2: each early segment is answered at once. */
static void early_is_acknowledged(void **state)
{
	(void)state;
	bench_begin(&b);
	bench_passive(&b, "mss 1460");
	for (unsigned i = 0; i < 5; i++) {
		send(&b, ". %u:%u ack 1", 1001 + 100 * i, 1101 + 100 * i);
		expect(&b, ". 1 ack 1");
		expect_nothing(&b);
	}
	bench_end(&b);
}

/* Without SACK the peer counts duplicate ACKs: one for each early segment, though they come
 * together.
 */
static void duplicate_acks_are_counted(void **state)
{
	(void)state;
	bench_begin(&b);
	bench_passive(&b, "mss 1460");
	for (unsigned i = 0; i < 4; i++)
		send(&b, ". %u:%u ack 1", 1001 + 100 * i, 1101 + 100 * i);
	for (unsigned i = 0; i < 4; i++)
		expect(&b, ". 1 ack 1");
	expect_nothing(&b);
	/* What fills the hole wipes out what was owed: the new number is said once. */
	send(&b, ". 2001:2101 ack 1");
	send(&b, ". 2101:2201 ack 1");
	send(&b, ". 1:1001 ack 1");
	expect(&b, ". 1 ack 1401");
	expect_nothing(&b);
	bench_end(&b);
}

/* With SACK one ACK says all (MUST-58). */
static void sack_says_all_at_once(void **state)
{
	(void)state;
	sack_peer();
	for (unsigned i = 0; i < 4; i++)
		send(&b, ". %u:%u ack 1", 1001 + 100 * i, 1101 + 100 * i);
	expect(&b, ". 1 ack 1 <sack 1001:1401>");
	expect_nothing(&b);
	bench_end(&b);
}

/* ---- SACK blocks ---- */

/* RFC 2018 4: the block of the newest segment first, then the others, newest first; four at most.
 */
static void sack_order(void **state)
{
	(void)state;
	sack_peer();
	send(&b, ". 101:201 ack 1");
	expect(&b, ". 1 ack 1 <sack 101:201>");
	send(&b, ". 301:401 ack 1");
	expect(&b, ". 1 ack 1 <sack 301:401,sack 101:201>");
	send(&b, ". 501:601 ack 1");
	expect(&b, ". 1 ack 1 <sack 501:601,sack 301:401,sack 101:201>");
	send(&b, ". 701:801 ack 1");
	expect(&b, ". 1 ack 1 <sack 701:801,sack 501:601,sack 301:401,sack 101:201>");
	send(&b, ". 901:1001 ack 1");
	expect(&b, ". 1 ack 1 <sack 901:1001,sack 701:801,sack 501:601,sack 301:401>");
	/* An old block that grows comes first again. */
	send(&b, ". 201:251 ack 1");
	expect(&b, ". 1 ack 1 <sack 101:251,sack 901:1001,sack 701:801,sack 501:601>");
	send(&b, ". 251:301 ack 1");
	expect(&b, ". 1 ack 1 <sack 101:401,sack 901:1001,sack 701:801,sack 501:601>");
	/* Every ACK carries them, also on data. */
	send(&b, ". 1:101 ack 1");
	expect(&b, ". 1 ack 401 <sack 901:1001,sack 701:801,sack 501:601>");
	bench_end(&b);
}

/* Beside timestamps there is room for three. */
static void sack_with_timestamps(void **state)
{
	(void)state;
	bench_init(&b);
	b.config.sack = b.config.timestamps = 1;
	bench_start(&b);
	bench_passive(&b, "mss 1460,sackOK,TS");
	for (unsigned i = 0; i < 5; i++)
		send(&b, ". %u:%u ack 1", 101 + 200 * i, 201 + 200 * i);
	expect(&b, ". 1 ack 1 <TS,sack 901:1001,sack 701:801,sack 501:601>");
	bench_end(&b);
}

/* No SACK to a peer that has not asked, or when it is switched off. */
static void no_sack_unasked(void **state)
{
	(void)state;
	bench_init(&b);
	b.config.sack = 1;
	bench_start(&b);
	bench_passive(&b, "mss 1460");
	send(&b, ". 101:201 ack 1");
	expect(&b, ". 1 ack 1");
	bench_end(&b);
	bench_begin(&b);
	bench_passive(&b, "mss 1460,sackOK");
	send(&b, ". 101:201 ack 1");
	expect(&b, ". 1 ack 1");
	bench_end(&b);
}

/* ---- DSACK: the examples of RFC 2883 4 ---- */

/* 4.1, example 1: a segment that was received, and its ACK lost. */
static void dsack_full(void **state)
{
	(void)state;
	sack_peer();
	send(&b, "P. 1:501 ack 1");
	expect(&b, ". 1 ack 501");
	send(&b, "P. 501:1001 ack 1");
	expect(&b, ". 1 ack 1001");
	send(&b, "P. 1:501 ack 1");
	expect(&b, ". 1 ack 1001 <sack 1:501>");
	/* Once only. */
	send(&b, "P. 1001:1501 ack 1");
	expect(&b, ". 1 ack 1501");
	bench_end(&b);
}

/* Example 2: the same with a hole: the DSACK first, then what is kept. */
static void dsack_with_a_hole(void **state)
{
	(void)state;
	sack_peer();
	send(&b, "P. 1:501 ack 1");
	expect(&b, ". 1 ack 501");
	send(&b, "P. 501:1001 ack 1");
	expect(&b, ". 1 ack 1001");
	send(&b, "P. 1501:2001 ack 1");
	expect(&b, ". 1 ack 1001 <sack 1501:2001>");
	send(&b, "P. 1:501 ack 1");
	expect(&b, ". 1 ack 1001 <sack 1:501,sack 1501:2001>");
	bench_end(&b);
}

/* Example 3: a duplicate of what is kept: the second block holds it. */
static void dsack_of_what_is_kept(void **state)
{
	(void)state;
	sack_peer();
	send(&b, "P. 1001:1501 ack 1");
	expect(&b, ". 1 ack 1 <sack 1001:1501>");
	send(&b, "P. 1501:2001 ack 1");
	expect(&b, ". 1 ack 1 <sack 1001:2001>");
	send(&b, "P. 3001:3501 ack 1");
	expect(&b, ". 1 ack 1 <sack 3001:3501,sack 1001:2001>");
	send(&b, "P. 1501:2001 ack 1");
	expect(&b, ". 1 ack 1 <sack 1501:2001,sack 1001:2001,sack 3001:3501>");
	bench_end(&b);
}

/* 4.2, example 4: a part of a larger segment is there already. */
static void dsack_of_a_part(void **state)
{
	(void)state;
	sack_peer();
	send(&b, "P. 1:501 ack 1");
	expect(&b, ". 1 ack 501");
	send(&b, "P. 1501:2001 ack 1");
	expect(&b, ". 1 ack 501 <sack 1501:2001>");
	send(&b, "P. 501:1001 ack 1");
	expect(&b, ". 1 ack 1001 <sack 1501:2001>");
	send(&b, "P. 501:1501 ack 1");
	expect(&b, ". 1 ack 2001 <sack 501:1001>");
	bench_end(&b);
}

/* The same when the part was kept early, and the larger segment fills the hole before it. */
static void dsack_of_a_part_kept(void **state)
{
	(void)state;
	sack_peer();
	send(&b, "P. 501:1001 ack 1");
	expect(&b, ". 1 ack 1 <sack 501:1001>");
	send(&b, "P. 1:1001 ack 1");
	expect(&b, ". 1 ack 1001 <sack 501:1001>");
	bench_end(&b);
}

/* Example 5: two parts: the first is reported. Both below the ACK ... */
static void dsack_of_two_parts(void **state)
{
	(void)state;
	sack_peer();
	send(&b, "P. 1:501 ack 1");
	send(&b, "P. 1501:2001 ack 1");
	send(&b, "P. 501:1001 ack 1");
	expect(&b, ". 1 ack 1001 <sack 1501:2001>");
	send(&b, "P. 501:2001 ack 1");
	expect(&b, ". 1 ack 2001 <sack 501:1001>");
	bench_end(&b);
	/* ... and example 6: both above it. */
	sack_peer();
	send(&b, "P. 1001:1501 ack 1");
	send(&b, "P. 2001:2501 ack 1");
	expect(&b, ". 1 ack 1 <sack 2001:2501,sack 1001:1501>");
	send(&b, "P. 1001:2501 ack 1");
	expect(&b, ". 1 ack 1 <sack 1001:1501,sack 1001:2501>");
	bench_end(&b);
}

/* ---- the window ---- */

/* What reaches beyond the window is cut off there, and what starts beyond it is not kept. */
static void beyond_the_window(void **state)
{
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.rcvbuf = 4000;
	bench_start(&b);
	h = bench_passive(&b, "mss 1460");
	send(&b, ". 3001:4201 ack 1");
	expect(&b, ". 1 ack 1");
	assert_int_equal(bench_info(&b, h)->ooo_bytes, 1000);
	expect_nothing(&b);
	send(&b, ". 4001:4101 ack 1");
	expect(&b, ". 1 ack 1");
	assert_int_equal(counter(&b, drop_tcp_window), 1);
	send(&b, "F. 3901:4101 ack 1"); /* the FIN lies beyond */
	expect(&b, ". 1 ack 1");
	send(&b, ". 1:1461 ack 1");
	send(&b, ". 1461:2921 ack 1");
	send(&b, ". 2921:3001 ack 1");
	expect(&b, ". 1 ack 4001 win 0");
	expect_state(&b, CPL_ESTABLISHED);
	bench_read(&b, h, 4000);
	expect(&b, ". 1 ack 4001 win 4000");
	bench_end(&b);
}

/* ---- limits ---- */

/* So many ranges are kept apart; what is one more comes again later. */
static void too_many_ranges(void **state)
{
	cpl_handle h;

	(void)state;
	h = sack_peer();
	for (unsigned i = 0; i < 300; i++)
		send(&b, ". %u:%u ack 1", 11 + 2 * i, 12 + 2 * i);
	assert_int_equal(bench_info(&b, h)->ooo_ranges, 256);
	assert_int_equal(counter(&b, drop_tcp_ooo_full), 44);
	expect(&b, ". 1 ack 1 <*>");
	for (unsigned i = 0; i < 300; i++)
		send(&b, ". %u:%u ack 1", 10 + 2 * i, 12 + 2 * i);
	send(&b, ". 1:11 ack 1");
	assert_int_equal(bench_info(&b, h)->ooo_ranges, 0);
	bench_read(&b, h, 609);
	bench_end(&b);
}

/* Every other segment of a slow start that went too far is lost: what came is all kept. */
static void every_other_lost(void **state)
{
	enum {
		RANGES = 9000,
		LEN = 3,
		MIDDLE = RANGES / 2,
		NEW = 2000
	};
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.sack = 1;
	b.config.rcvbuf = b.config.rcvbuf_max = 8 << 20;
	bench_start(&b);
	h = bench_passive(&b, "mss 1460,sackOK,wscale 7");
	for (unsigned i = 0; i < RANGES; i++)
		send(&b, ". %u:%u ack 1", 1 + LEN * (2 * i + 1), 1 + LEN * (2 * i + 2));
	assert_int_equal(bench_info(&b, h)->ooo_ranges, RANGES);
	assert_int_equal(counter(&b, drop_tcp_ooo_full), 0);
	/* Far from both ends and from what changed: the search is given up. */
	send(&b, ". %u:%u ack 1", 1 + LEN * 2 * MIDDLE, 1 + LEN * (2 * MIDDLE + 1));
	assert_int_equal(bench_info(&b, h)->ooo_ranges, RANGES);
	assert_int_equal(counter(&b, drop_tcp_ooo_full), 1);
	/* In order but for the first, which was lost again, while new data comes too. */
	for (unsigned i = 1; i < RANGES; i++) {
		send(&b, ". %u:%u ack 1", 1 + LEN * 2 * i, 1 + LEN * (2 * i + 1));
		if (i > NEW)
			continue;
		send(&b, ". %u:%u ack 1", 1 + LEN * (2 * RANGES + i),
		     1 + LEN * (2 * RANGES + 1 + i));
	}
	assert_int_equal(bench_info(&b, h)->ooo_ranges, 2);
	assert_int_equal(counter(&b, drop_tcp_ooo_full), 1);
	send(&b, ". 1:%u ack 1", 1 + LEN);
	bench_read(&b, h, LEN * 2 * RANGES);
	bench_end(&b);
}

/* An octet a segment, in reverse: memory stays in proportion to what is kept. */
static void small_ones_are_packed(void **state)
{
	uint64_t before;
	cpl_handle h;

	(void)state;
	h = sack_peer();
	before = b.heap.bytes;
	for (unsigned i = 0; i < 30000; i++)
		send(&b, ". %u:%u ack 1", 30001 - i, 30002 - i);
	assert_int_equal(bench_info(&b, h)->ooo_bytes, 30000);
	assert_true(b.heap.bytes - before < 512 * 1024);
	send(&b, ". 1:2 ack 1");
	bench_read(&b, h, 30001);
	bench_end(&b);
}

/* ---- the model ---- */

#define STREAM 20000

struct model {
	bool have[STREAM + 2]; /* by sequence number; the FIN is an octet */
	uint32_t nxt;
	uint32_t fin; /* its sequence number */
};

static void model_segment(struct model *m, uint32_t edge, uint32_t from, uint32_t to, bool fin)
{
	for (uint32_t o = from; o < to && o < edge; o++)
		m->have[o] = true;
	if (fin && to <= edge)
		m->have[to] = true;
	while (m->nxt <= m->fin && m->have[m->nxt])
		m->nxt++;
}

/* Blocks say what is there, whole and disjoint; the first that is no DSACK holds FROM, if early. */
static void check_sack(const struct model *m, const struct tcp_seg *seg, uint32_t from)
{
	unsigned i = 0;

	if (seg->sack_n && (seq_lt(seg->sack[0].start, seg->ack) ||
			    (seg->sack_n > 1 && seq_geq(seg->sack[0].start, seg->sack[1].start) &&
			     seq_leq(seg->sack[0].end, seg->sack[1].end))))
		i = 1;
	if (from > m->nxt && m->have[from])
		assert_true(seg->sack_n > i);
	for (unsigned first = i; i < seg->sack_n; i++) {
		uint32_t start = seg->sack[i].start - b.flow.iss,
			 end = seg->sack[i].end - b.flow.iss;

		if (i == first && from > m->nxt && m->have[from] && (start > from || from >= end))
			bench_fail(__FILE__, __LINE__, &b, "the block of %u is not the first",
				   from);
		assert_true(start > m->nxt && end > start && end <= STREAM + 2);
		for (uint32_t o = start; o < end; o++)
			assert_true(m->have[o]);
		assert_false(m->have[start - 1]);
		assert_false(end <= m->fin && m->have[end]);
		for (unsigned j = i + 1; j < seg->sack_n; j++)
			assert_true(seq_geq(seg->sack[j].start, seg->sack[i].end) ||
				    seq_leq(seg->sack[j].end, seg->sack[i].start));
	}
}

static void one_model(uint64_t seed, bool lend)
{
	static struct model m;
	uint32_t size = 100 + rnd(&seed, 3000), steps = 0;
	cpl_handle h;

	memset(&m, 0, sizeof(m));
	m.have[0] = true;
	m.nxt = 1;
	m.fin = 1 + rnd(&seed, STREAM);
	bench_init(&b);
	b.config.sack = 1;
	b.config.rcvbuf = 4000 + rnd(&seed, 30000);
	bench_start(&b);
	b.lend = lend;
	h = bench_passive(&b, "mss 1460,sackOK");
	while (m.nxt <= m.fin) {
		const struct cpl_info *info = bench_info(&b, h);
		uint32_t edge = info->rcv_edge - b.flow.iss, from, to, unread;
		bool fin;

		unread = info->recv_queue;
		from = rnd(&seed, 3) ? m.nxt + rnd(&seed, 12000) : m.nxt;
		from = from > 2000 ? from - rnd(&seed, 2000) : from;
		from = from > m.fin ? m.fin : from;
		to = from + 80 + rnd(&seed, size); /* within the limit of ranges */
		to = to > m.fin ? m.fin : to;
		fin = to == m.fin && rnd(&seed, 2);
		if (from == to && !fin)
			continue;
		assert_true(++steps < 100000);
		send(&b, "%s %u:%u ack 1", fin ? "F." : ".", from, to);
		model_segment(&m, edge, from, to, fin);
		bench_run(&b, 40 * CPL_MS);
		while (bench_take(&b)) {
			assert_int_equal(b.last.p.tcp.ack - b.flow.iss, m.nxt);
			check_sack(&m, &b.last.p.tcp, from < edge ? from : 0);
		}
		info = bench_info(&b, h);
		assert_int_equal(info->rcv_nxt - b.flow.iss, m.nxt);
		assert_int_equal(info->recv_queue,
				 m.nxt - (m.nxt > m.fin) - (info->read_seq - b.flow.iss));
		if (info->recv_queue && (!rnd(&seed, 4) || info->recv_queue == unread))
			bench_read(&b, h, info->recv_queue);
	}
	expect_state(&b, CPL_CLOSE_WAIT);
	if (bench_info(&b, h)->recv_queue)
		bench_read(&b, h, bench_info(&b, h)->recv_queue);
	bench_collect(&b);
	assert_int_equal(b.lent, 0);
	bench_end(&b);
}

static void model(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 150; seed++)
		one_model(seed * 7919, seed & 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(early_segments_wait),
		cmocka_unit_test(all_overlaps),
		cmocka_unit_test(one_spans_many),
		cmocka_unit_test(overlaps_change_nothing),
		cmocka_unit_test(early_fin),
		cmocka_unit_test(text_behind_a_fin),
		cmocka_unit_test(early_is_acknowledged),
		cmocka_unit_test(duplicate_acks_are_counted),
		cmocka_unit_test(sack_says_all_at_once),
		cmocka_unit_test(sack_order),
		cmocka_unit_test(sack_with_timestamps),
		cmocka_unit_test(no_sack_unasked),
		cmocka_unit_test(dsack_full),
		cmocka_unit_test(dsack_with_a_hole),
		cmocka_unit_test(dsack_of_what_is_kept),
		cmocka_unit_test(dsack_of_a_part),
		cmocka_unit_test(dsack_of_a_part_kept),
		cmocka_unit_test(dsack_of_two_parts),
		cmocka_unit_test(beyond_the_window),
		cmocka_unit_test(too_many_ranges),
		cmocka_unit_test(every_other_lost),
		cmocka_unit_test(small_ones_are_packed),
		cmocka_unit_test(model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
