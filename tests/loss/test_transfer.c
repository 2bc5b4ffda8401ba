/* SPDX-License-Identifier: MIT */
/*
 * Send map, recovery and congestion control in a closed loop with a receiver, with or without SACK,
 * over a path that loses and reorders at random, with super-segments and with a device that refuses
 * some: everything arrives, nothing much is sent in vain, with SACK time-outs are rare, and what
 * was not lost is given back.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

#include <couplet/info.h>

#include "base/hash.h"
#include "base/seq.h"
#include "loss/recovery.h"
#include "loss/rtt.h"
#include "tests/util/heap.h"

#define MSS	   1000u
#define SEGMENTS   1000u
#define ISS	   0xfff00000u
#define MS	   1000000ull
#define DELAY	   (20 * MS)
#define EVENTS	   8192u
#define IN_A_FRAME 8u

struct event {
	uint64_t time; /* 0: free */
	bool ack;
	uint32_t start, end; /* of an ACK: start is the acknowledgment number */
	struct sack_block dsack;
	struct sack_block blocks[3];
	unsigned n;
};

struct path {
	double loss, reorder, refuse;
	bool sack, gso;
	const struct cc_ops *ops;
};

static struct path path;
static struct event events[EVENTS];
static unsigned events_n;
static struct prng prng;
static uint64_t now, rto_at;
static struct heap heap;
static struct pool pool;
static struct sendmap map;
static struct recovery rec;
static struct cc cc;
static struct rtt rtt;
static bool limited;
static unsigned timeouts, sent_again, rexmt_n, steps;
static const struct rtt_limits limits = { 1000 * MS, 200 * MS, 60000 * MS };

/* ---- Receiver ------------------------------------------------------------------------------- */

static bool got[SEGMENTS];
static uint32_t rcv_nxt; /* in segments */
static struct sack_block recent[3];

static uint32_t seg(uint32_t n)
{
	return ISS + n * MSS;
}

static struct event *new_event(uint64_t delay)
{
	assert_true(events_n < EVENTS);
	events[events_n] = (struct event){ .time = now + delay };
	return &events[events_n++];
}

static void receive(uint32_t start)
{
	uint32_t n = (start - ISS) / MSS, a, b;
	struct event *e;
	struct sack_block twice = { 0 };
	unsigned i;

	assert_int_equal((start - ISS) % MSS, 0);
	if (path.sack && got[n])
		twice = (struct sack_block){ start, start + MSS };
	got[n] = true;
	while (rcv_nxt < SEGMENTS && got[rcv_nxt])
		rcv_nxt++;
	if (n > rcv_nxt) { /* RFC 2018 4: the block that it is part of comes first */
		for (a = n; got[a - 1]; a--)
			;
		for (b = n; b < SEGMENTS && got[b]; b++)
			;
		if (recent[0].start != seg(a)) {
			memmove(recent + 1, recent, sizeof(recent[0]) * 2);
		}
		recent[0] = (struct sack_block){ seg(a), seg(b) };
	}
	if (prng_unit(&prng) < path.loss / 10)
		return;
	e = new_event(DELAY);
	e->ack = true;
	e->start = seg(rcv_nxt);
	e->dsack = twice;
	for (i = 0; path.sack && i < 3; i++)
		if (recent[i].start != recent[i].end && seq_gt(recent[i].start, seg(rcv_nxt)))
			e->blocks[e->n++] = recent[i];
}

/* ---- Sender --------------------------------------------------------------------------------- */

/* A frame leaves: its segments go their ways. */
static void transmit(uint32_t start, uint32_t end)
{
	struct event *e;

	for (; start != end; start += MSS) {
		if (prng_unit(&prng) < path.loss)
			continue;
		e = new_event(DELAY + (prng_unit(&prng) < path.reorder ? 3 * MS : 0));
		e->start = start;
		e->end = start + MSS;
	}
}

/* False: the device refused it. */
static bool frame(uint32_t start, uint32_t end)
{
	if (prng_unit(&prng) < path.refuse) {
		recovery_refused(&rec, end - start);
		sendmap_refused(&map, sendmap_find(&map, start));
		return false;
	}
	transmit(start, end);
	if (!rto_at)
		rto_at = now + rtt_rto(&rtt, &limits);
	return true;
}

static uint32_t in_flight(void)
{
	return sendmap_pipe(&map) - recovery_inflation(&rec, &map, &cc);
}

/* How much may leave now, in whole segments of at most LEN bytes. */
static uint32_t may_send(uint32_t len, uint32_t extra)
{
	uint32_t used = in_flight(), room = cc.cwnd + extra;

	room = room > used ? (room - used) / MSS * MSS : 0;
	if (room > IN_A_FRAME * MSS)
		room = IN_A_FRAME * MSS;
	return len < room ? len : room;
}

static bool output_again(void)
{
	struct sent *record = sendmap_next_lost(&map);
	uint32_t len;

	if (!record)
		return false;
	len = may_send(record->end - record->start, 0);
	if (!len && rec.retransmit_now)
		len = MSS;
	if (!len)
		return false;
	if (len < record->end - record->start)
		assert_non_null(sendmap_split(&map, record, record->start + len));
	rec.retransmit_now = false;
	recovery_sent(&rec, record->end - record->start, !(record->flags & SENT_UNSENT), now);
	sent_again += len / MSS;
	sendmap_resent(&map, record, now);
	return frame(record->start, record->end);
}

static bool output_new(void)
{
	uint32_t len = may_send(seg(SEGMENTS) - map.nxt, recovery_limited_transmit(&rec, &cc));

	if ((sendmap_next_lost(&map) && !recovery_new_first(&rec)) || !len)
		return false;
	if (!path.gso)
		len = MSS;
	assert_non_null(sendmap_sent(&map, map.nxt + len, MSS, 0, now));
	recovery_sent(&rec, len, false, now);
	if (rec.probe_due)
		recovery_probed(&rec, false, map.nxt);
	recovery_schedule_probe(&rec, &map, MSS, rtt.srtt_ns, rto_at ? rto_at : UINT64_MAX, now);
	return frame(map.nxt - len, map.nxt);
}

static void output(void)
{
	struct sent *record;

	if (recovery_new_first(&rec)) {
		bool some = false;

		while (map.nxt - rec.point < 2 * MSS && output_new())
			some = true;
		if (!some && map.nxt == rec.point)
			recovery_no_new(&rec);
	}
	while (!recovery_new_first(&rec) && output_again())
		;
	while (!recovery_new_first(&rec) && output_new())
		;
	if (rec.probe_due) {
		record = recovery_probe_segment(&map, MSS);
		rec.probe_due = false;
		if (record) {
			recovery_sent(&rec, MSS, true, now);
			sendmap_resent(&map, record, now);
			recovery_probed(&rec, true, map.nxt);
			frame(record->start, record->end);
		}
	}
	limited = in_flight() + MSS > cc.cwnd;
	if (map.nxt == seg(SEGMENTS) && may_send(MSS, 0)) {
		record = recovery_rescue(&rec, &map, &cc);
		if (record) {
			if (record->end - record->start > MSS)
				assert_non_null(sendmap_split(&map, record, record->start + MSS));
			sendmap_resent(&map, record, now);
			frame(record->start, record->end);
		}
	}
	if (!rto_at && !sendmap_empty(&map))
		rto_at = now + rtt_rto(&rtt, &limits);
}

static struct recovery_ack measured(void)
{
	return (struct recovery_ack){
		.prior_pipe = sendmap_pipe(&map),
		.srtt_ns = rtt.srtt_ns,
		.min_rtt_ns = rtt.srtt_ns ? rtt.min_us * 1000ull : 0,
	};
}

static void acknowledged(const struct event *e)
{
	struct sendmap_result res = { 0 };
	struct recovery_ack what = measured();
	struct ack_event ev = { .now = now, .mss = MSS, .cwnd_limited = limited };
	struct sack_block blocks[3];
	unsigned i, n = 0;

	if (seq_lt(e->start, map.una))
		return;
	res.min_rtt_ns = what.min_rtt_ns;
	if (e->start != map.una) {
		sendmap_ack(&map, e->start, now, &res);
		what.advanced = true;
		rexmt_n = 0;
	}
	for (i = 0; i < e->n; i++)
		if (seq_gt(e->blocks[i].start, map.una))
			blocks[n++] = e->blocks[i];
	if (n)
		sendmap_sack(&map, blocks, n, now, &res);
	what.dsack = e->dsack.start != e->dsack.end;
	what.duplicate_block = e->dsack;
	what.pure = !what.advanced && !e->n && !what.dsack;
	what.duplicate = path.sack ? res.newly_sacked > 0 : !what.advanced && !sendmap_empty(&map);
	if (res.rtt_ns)
		rtt_sample(&rtt, res.rtt_ns, 1);
	ev.acked_bytes = res.acked;
	ev.newly_acked = res.delivered;
	ev.in_flight_before = what.prior_pipe;
	ev.srtt_ns = rtt.srtt_ns;
	if (recovery_on_ack(&rec, &map, &cc, &what, &res, now)) {
		ev.in_flight = sendmap_pipe(&map);
		ev.in_recovery = rec.state >= CPL_RECOVERY_FAST;
		cc_ops(&cc)->ack(&cc, &ev);
	}
	sendmap_check(&map);
	assert_true(cc.cwnd >= MSS);
	assert_true(cc.ssthresh >= 2 * MSS);
	if (sendmap_empty(&map))
		rto_at = 0;
	else if (what.advanced)
		rto_at = now + rtt_rto(&rtt, &limits);
	if (what.advanced || map.sacked)
		recovery_schedule_probe(&rec, &map, MSS, rtt.srtt_ns, rto_at, now);
}

/* The timer that fires before AT. */
static bool timer(uint64_t at)
{
	struct recovery_ack m = measured();

	if (rec.t_reorder <= at && rec.t_reorder <= rec.t_probe) {
		now = rec.t_reorder;
		recovery_on_reorder_timer(&rec, &map, &cc, &m, now);
	} else if (rec.t_probe <= at) {
		now = rec.t_probe;
		recovery_on_probe_timer(&rec, &map);
		rto_at = now + rtt_rto(&rtt, &limits);
	} else {
		return false;
	}
	sendmap_check(&map);
	output();
	return true;
}

/* The next thing that happens. */
static void step(void)
{
	struct recovery_ack m = measured();
	unsigned i, next = 0;
	struct event e;

	for (i = 1; i < events_n; i++)
		if (events[i].time < events[next].time)
			next = i;
	assert_true(events_n || rto_at);
	if (timer(events_n && (!rto_at || events[next].time < rto_at) ? events[next].time : rto_at))
		return;
	if (rto_at && (!events_n || rto_at <= events[next].time)) {
		now = rto_at;
		timeouts++;
		rtt_back_off(&rtt, &limits);
		recovery_on_timeout(&rec, &map, &cc, !rexmt_n++, &m, now);
		sendmap_check(&map);
		rto_at = 0;
		output();
		return;
	}
	e = events[next];
	/* Keep the order of those at the same time. */
	memmove(events + next, events + next + 1, (--events_n - next) * sizeof(events[0]));
	now = e.time;
	if (e.ack) {
		acknowledged(&e);
		output();
	} else {
		receive(e.start);
	}
}

static void transfer(const struct path *p, uint64_t seed)
{
	path = *p;
	prng_seed(&prng, seed);
	heap_init(&heap, UINT64_MAX);
	pool_init(&pool, &heap.mem, sizeof(struct sent), 8, 100000, 65536);
	now = 1;
	rto_at = 0;
	events_n = timeouts = sent_again = rexmt_n = steps = 0;
	rcv_nxt = 0;
	memset(got, 0, sizeof(got));
	memset(recent, 0, sizeof(recent));
	rtt_init(&rtt);
	sendmap_init(&map, &pool, ISS, now);
	recovery_init(&rec, path.sack, ISS - 1, false);
	cc_init(&cc, path.ops, MSS, 10 * MSS, now);
	output();
	while (map.una != seg(SEGMENTS)) {
		step();
		assert_true(++steps < 100 * SEGMENTS);
	}
	assert_int_equal(rcv_nxt, SEGMENTS);
	pool_trim(&pool);
	assert_int_equal(pool.in_use, 0);
	pool_destroy(&pool);
}

#define SEEDS 2

/* The sums over SEEDS seeds. */
static void transfers(const struct path *p, unsigned *all_timeouts, unsigned *all_again)
{
	uint64_t seed;

	*all_timeouts = *all_again = 0;
	for (seed = 1; seed <= SEEDS; seed++) {
		transfer(p, seed);
		*all_timeouts += timeouts;
		*all_again += sent_again;
	}
}

static void test_no_loss(void **state)
{
	struct path p = { .ops = &cc_reno };
	unsigned t, again;

	(void)state;
	for (int i = 0; i < 4; i++) {
		p.sack = i & 1;
		p.gso = i & 2;
		transfers(&p, &t, &again);
		assert_int_equal(t, 0);
		assert_int_equal(again, 0);
	}
}

static void test_loss(void **state)
{
	const struct cc_ops *ops[] = { &cc_reno, &cc_cubic };
	static const double losses[] = { 0.001, 0.01, 0.03, 0.1, 0.3 };
	struct path p = { 0 };
	unsigned t, again, i, k;

	(void)state;
	for (k = 0; k < 8; k++) {
		p.ops = ops[k & 1];
		p.sack = k & 2;
		p.gso = k & 4;
		for (i = 0; i < 5; i++) {
			p.loss = losses[i];
			transfers(&p, &t, &again);
			/* At least what was lost; with SACK, without time-outs, nothing else. */
			if (p.sack && i < 2)
				assert_in_range(t, 0, 4);
			if (p.sack && i < 3)
				assert_in_range(again, 0, SEEDS * SEGMENTS * losses[i] * 2 + 30);
		}
	}
}

static void test_reordering_and_refusals(void **state)
{
	struct path p = { .ops = &cc_cubic, .loss = 0.01, .reorder = 0.02 };
	unsigned t, again, k;

	(void)state;
	for (k = 0; k < 4; k++) {
		p.sack = k & 1;
		p.gso = k & 2;
		p.refuse = 0;
		transfers(&p, &t, &again);
		p.refuse = 0.05;
		transfers(&p, &t, &again);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_loss),
		cmocka_unit_test(test_loss),
		cmocka_unit_test(test_reordering_and_refusals),
	};

	return cmocka_run_group_tests_name("loss/transfer", tests, NULL, NULL);
}
