/* SPDX-License-Identifier: MIT */
/*
 * BBR in a closed loop with a link of known rate and delay, and a queue without end: what its model
 * finds, and when its states change (draft-ietf-ccwg-bbr sections 5.3 and 5.5).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "cc/bbr.h"

#define MSS   1000u
#define MS    1000000ull
#define RATE  1250000ull /* bytes/s: 10 Mbit/s, a segment each 0.8 ms */
#define RTT   (40 * MS)
#define BDP   (RATE / 25) /* 50,000 bytes */
#define SLOTS 8192u

struct packet {
	uint64_t sent, arrives, delivered, delivered_time, first_sent, lost_then;
	uint32_t tx_in_flight;
	bool lost;
};

static struct cc cc;
static struct packet ring[SLOTS];
static uint64_t head, tail; /* in flight: [head, tail) */
static uint64_t now, link_free, pace_at;
static uint64_t delivered, delivered_time, first_sent, lost;
static uint64_t rate, rtt;
static unsigned lose_every; /* one in so many; 0: none */
static uint64_t queue_max;

#define bbr bbr_state(&cc)

static uint32_t in_flight(void)
{
	return (uint32_t)(tail - head) * MSS;
}

static int start(void **state)
{
	(void)state;
	now = 1000 * MS;
	head = tail = delivered = lost = 0;
	link_free = pace_at = 0;
	delivered_time = first_sent = now;
	rate = RATE;
	rtt = RTT;
	lose_every = 0;
	queue_max = 0;
	cc_init(&cc, &cc_bbr, MSS, 10 * MSS, now);
	return 0;
}

static void transmit(void)
{
	struct packet *p = &ring[tail % SLOTS];
	struct send_event ev = {
		.now = now, .delivered = delivered, .srtt_ns = rtt, .in_flight = in_flight()
	};
	uint64_t at = now > link_free ? now : link_free;

	cc_ops(&cc)->sent(&cc, &ev);
	if (head == tail)
		first_sent = delivered_time = now;
	link_free = at + MSS * 1000000000ull / rate;
	if (link_free - now > queue_max)
		queue_max = link_free - now;
	*p = (struct packet){
		.sent = now,
		.arrives = link_free + rtt,
		.delivered = delivered,
		.delivered_time = delivered_time,
		.first_sent = first_sent,
		.lost_then = lost,
		.lost = lose_every && tail % lose_every == lose_every - 1,
	};
	tail++;
	p->tx_in_flight = in_flight();
	pace_at = (pace_at > now ? pace_at : now) + MSS * 1000000000ull / cc.pacing_rate;
}

/* The oldest packet's fate is known. */
static void arrive(void)
{
	struct packet *p = &ring[head++ % SLOTS];
	struct ack_event ev = { .now = now, .mss = MSS, .srtt_ns = rtt, .cwnd_limited = true };
	uint64_t elapsed = now - p->delivered_time;

	if (p->lost) {
		lost += MSS;
		ev.loss.events = 1;
		ev.loss.bytes = MSS;
		ev.loss.high = lost - p->lost_then > p->tx_in_flight / LOSS_HIGH_DEN;
		ev.loss.lost = (uint32_t)(lost - p->lost_then);
		ev.loss.tx_in_flight = p->tx_in_flight;
		ev.loss.size = MSS;
		ev.newly_lost_bytes = MSS;
		ev.in_recovery = true;
	} else {
		delivered += MSS;
		delivered_time = now;
		first_sent = p->sent;
		ev.newly_acked = ev.acked_bytes = MSS;
		if (elapsed < p->sent - p->first_sent)
			elapsed = p->sent - p->first_sent;
		ev.rate = (struct rate_sample){
			.prior_delivered = p->delivered,
			.delivered = delivered - p->delivered,
			.interval_ns = elapsed,
			.rtt_ns = now - p->sent,
			.lost = (uint32_t)(lost - p->lost_then),
			.tx_in_flight = p->tx_in_flight,
			.has_data = true,
		};
	}
	ev.delivered = delivered;
	ev.in_flight = in_flight();
	cc_ops(&cc)->ack(&cc, &ev);
	cc.app_limited = false;
	assert_true(cc.cwnd >= 4 * MSS);
	assert_true(cc.pacing_rate > 0);
}

/* For NS, or until the state is WANTED. */
static bool run(uint64_t ns, int wanted)
{
	uint64_t end = now + ns;

	while (now < end) {
		uint64_t next = end;

		while (in_flight() + MSS <= cc.cwnd && pace_at <= now)
			transmit();
		if (head != tail && ring[head % SLOTS].arrives < next)
			next = ring[head % SLOTS].arrives;
		if (in_flight() + MSS <= cc.cwnd && pace_at < next)
			next = pace_at;
		now = next > now ? next : now + 1;
		while (head != tail && ring[head % SLOTS].arrives <= now) {
			arrive();
			if (bbr->state == wanted)
				return true;
		}
	}
	return false;
}

/* Startup finds the rate within seconds, Drain empties the queue, and the model is right. */
static void finds_the_path(void **state)
{
	(void)state;
	assert_int_equal(bbr->state, BBR_STARTUP);
	assert_true(run(5000 * MS, BBR_DRAIN));
	assert_true(now < 1000 * MS + 20 * RTT);
	assert_true(run(500 * MS, BBR_PROBE_BW_CRUISE));
	assert_in_range(bbr->max_bw, RATE * 97 / 100, RATE * 103 / 100);
	assert_in_range(bbr->min_rtt, RTT, RTT + 2 * MS);
	run(3000 * MS, BBR_NO_STATE);
	assert_in_range(bbr_bdp(bbr, 100), BDP * 90 / 100, BDP * 110 / 100);
	assert_in_range(cc.pacing_rate, RATE * 80 / 100, RATE * 130 / 100);
}

/* From then on DOWN, CRUISE, REFILL, UP in turn; a probe at least every three seconds. */
static void probes_in_turn(void **state)
{
	(void)state;
	assert_true(run(5000 * MS, BBR_PROBE_BW_CRUISE));
	assert_true(run(3100 * MS, BBR_PROBE_BW_REFILL));
	assert_int_equal(bbr->bw_shortterm, BBR_BW_INFINITY);
	assert_true(run(2 * RTT, BBR_PROBE_BW_UP));
	assert_true(run(1000 * MS, BBR_PROBE_BW_DOWN));
}

/* Goodput is the link's, and the queue stays short. */
static void full_rate_short_queue(void **state)
{
	uint64_t before, began;

	(void)state;
	run(2000 * MS, BBR_NO_STATE);
	before = delivered;
	began = now;
	queue_max = 0;
	run(20000 * MS, BBR_NO_STATE);
	assert_true((delivered - before) * 1000 / ((now - began) / MS) > RATE * 93 / 100);
	assert_true(queue_max < 2 * RTT);
}

/* Every five seconds the round trip is measured with half of the pipe full, for 200 ms. */
static void probes_the_round_trip(void **state)
{
	uint64_t since;

	(void)state;
	assert_true(run(11000 * MS, BBR_PROBE_RTT));
	since = now;
	run(RTT * 2, BBR_NO_STATE);
	assert_int_equal(bbr->state, BBR_PROBE_RTT);
	assert_in_range(cc.cwnd, 4 * MSS, BDP * 6 / 10);
	assert_true(run(1000 * MS, BBR_PROBE_BW_CRUISE));
	assert_in_range(now - since, 200 * MS, 200 * MS + 4 * RTT);
	/* And the longer path is believed when the old value has aged. */
	rtt = 2 * RTT;
	run(16000 * MS, BBR_NO_STATE);
	assert_in_range(bbr->min_rtt, 2 * RTT, 2 * RTT + 10 * MS);
}

/* The rate falls: within two cycles of probing the old one is forgotten. */
static void rate_falls(void **state)
{
	(void)state;
	run(4000 * MS, BBR_NO_STATE);
	rate = RATE / 4;
	run(10000 * MS, BBR_NO_STATE);
	assert_in_range(bbr->max_bw, rate * 95 / 100, rate * 110 / 100);
	rate = RATE;
	run(20000 * MS, BBR_NO_STATE);
	assert_in_range(bbr->max_bw, rate * 90 / 100, rate * 103 / 100);
}

/* Under 2% of loss is no reason to send less; 10% in a probe bounds what may be in flight. */
static void loss(void **state)
{
	uint64_t before;

	(void)state;
	run(3000 * MS, BBR_NO_STATE);
	lose_every = 100;
	before = delivered;
	run(10000 * MS, BBR_NO_STATE);
	assert_true((delivered - before) / 10 > RATE * 80 / 100);
	lose_every = 10;
	run(10000 * MS, BBR_NO_STATE);
	assert_true(bbr->inflight_longterm != BBR_INFINITY);
	assert_true(cc.cwnd <= bbr->inflight_longterm || cc.cwnd == 4 * MSS);
}

/* What was no loss after all gives everything back. */
static void undone(void **state)
{
	uint32_t cwnd;

	(void)state;
	run(3000 * MS, BBR_NO_STATE);
	cwnd = cc.cwnd;
	cc_ops(&cc)->congestion(&cc, in_flight(), now);
	bbr->inflight_shortterm = 10 * MSS;
	bbr->bw_shortterm = RATE / 10;
	cc.cwnd = 4 * MSS;
	cc_ops(&cc)->undo(&cc, now);
	assert_int_equal(cc.cwnd, cwnd);
	assert_int_equal(bbr->inflight_shortterm, BBR_INFINITY);
	assert_int_equal(bbr->bw_shortterm, BBR_BW_INFINITY);
}

/* 5.6.4.4: a time-out takes cwnd; it comes back when what was lost is repaired, not before. */
static void timed_out(void **state)
{
	struct ack_event ev = { .mss = MSS, .srtt_ns = RTT, .newly_acked = MSS };
	uint32_t cwnd;

	(void)state;
	run(3000 * MS, BBR_NO_STATE);
	cwnd = cc.cwnd;
	assert_true(cwnd > 20 * MSS);
	cc_ops(&cc)->timeout(&cc, in_flight(), now);
	cc.cwnd = MSS;
	ev.now = now += 500 * MS;
	ev.delivered = delivered += MSS;
	ev.in_recovery = true;
	cc_ops(&cc)->ack(&cc, &ev);
	assert_int_equal(cc.cwnd, 4 * MSS);
	/* ProbeRTT that was under way is over now. */
	bbr->state = BBR_PROBE_RTT;
	bbr->probe_rtt_done_stamp = now - 1;
	bbr_check_probe_rtt_done(&cc, bbr, delivered, now);
	assert_int_equal(bbr->state, BBR_PROBE_BW_CRUISE);
	assert_int_equal(cc.cwnd, 4 * MSS);
	ev.delivered = delivered += MSS;
	ev.in_recovery = false;
	cc_ops(&cc)->ack(&cc, &ev);
	assert_in_range(cc.cwnd, cwnd, cwnd + MSS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(finds_the_path, start),
		cmocka_unit_test_setup(probes_in_turn, start),
		cmocka_unit_test_setup(full_rate_short_queue, start),
		cmocka_unit_test_setup(probes_the_round_trip, start),
		cmocka_unit_test_setup(rate_falls, start),
		cmocka_unit_test_setup(loss, start),
		cmocka_unit_test_setup(undone, start),
		cmocka_unit_test_setup(timed_out, start),
	};

	return cmocka_run_group_tests_name("cc/bbr", tests, NULL, NULL);
}
