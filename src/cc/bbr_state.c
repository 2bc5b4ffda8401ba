/* SPDX-License-Identifier: MIT */
/* BBR's state machine: draft-ietf-ccwg-bbr section 5.3. See bbr.h. */
#include "cc/bbr.h"

/* ---- Startup and Drain ----------------------------------------------------------------------- */

void bbr_reset_full_bw(struct bbr *b)
{
	b->full_bw = 0;
	b->full_bw_count = 0;
	b->full_bw_now = false;
}

void bbr_enter_startup(struct bbr *b)
{
	b->state = BBR_STARTUP;
}

static void enter_drain(struct bbr *b)
{
	b->state = BBR_DRAIN;
	b->drain_start_round = b->round_count;
}

/* 5.3.1.2: three rounds in which the rate grew by less than a quarter. */
static void check_full_bw(struct bbr *b, const struct ack_event *ev)
{
	uint64_t rate = bbr_sample_rate(ev);

	if (b->full_bw_now || !b->round_start || ev->rate.app_limited || !rate)
		return;
	if (rate >= b->full_bw + b->full_bw / 4) {
		bbr_reset_full_bw(b);
		b->full_bw = rate;
		return;
	}
	b->full_bw_now = ++b->full_bw_count >= 3;
	if (b->full_bw_now)
		b->full_bw_reached = true;
}

/* 5.3.1.3: a whole round of recovery, with many losses in it. */
static void check_startup_high_loss(struct bbr *b)
{
	if (b->state != BBR_STARTUP || !b->round_start || b->full_bw_reached)
		return;
	if (b->in_recovery && b->recovery_rounds >= 1 &&
	    b->loss_events_in_round >= BBR_FULL_LOSS_COUNT &&
	    b->lost_in_round > b->delivered_in_round / BBR_LOSS_THRESH_DEN) {
		uint32_t bdp = bbr_bdp(b, 100);

		b->undo_state = BBR_STARTUP;
		b->full_bw_reached = true;
		b->inflight_longterm = bdp > b->inflight_latest ? bdp : b->inflight_latest;
	}
}

/* ---- ProbeBW --------------------------------------------------------------------------------- */

/* Spread evenly, and not worth more: when to probe next (5.3.3.5). */
static uint32_t scatter(uint64_t seed)
{
	seed = (seed ^ seed >> 31) * 0x9e3779b97f4a7c15u;
	return (uint32_t)(seed >> 32);
}

static void pick_probe_wait(struct bbr *b, uint64_t delivered, uint64_t now)
{
	uint32_t r = scatter(now ^ delivered << 20);

	b->rounds_since_probe_up = r & 1;
	b->bw_probe_wait = 2000000000ull + (uint64_t)(r >> 1) * 1000000000ull / (UINT32_MAX / 2);
}

void bbr_start_probe_bw_down(struct bbr *b, uint64_t delivered, uint64_t now)
{
	bbr_reset_congestion_signals(b);
	b->probe_up_acked_per_inc = BBR_INFINITY;
	pick_probe_wait(b, delivered, now);
	b->cycle_stamp = now;
	b->ack_phase = BBR_ACKS_PROBE_STOPPING;
	bbr_start_round(b, delivered);
	b->state = BBR_PROBE_BW_DOWN;
}

void bbr_start_probe_bw_refill(struct bbr *b, uint64_t delivered)
{
	bbr_reset_short_term(b);
	b->bw_probe_up_rounds = 0;
	b->bw_probe_up_acked = 0;
	b->prev_probe_precautionary = false;
	b->ack_phase = BBR_ACKS_REFILLING;
	bbr_start_round(b, delivered);
	b->state = BBR_PROBE_BW_REFILL;
}

static void raise_slope(const struct cc *cc, struct bbr *b)
{
	uint32_t growth = 1u << b->bw_probe_up_rounds, step = cc->cwnd / growth;

	if (b->bw_probe_up_rounds < 30)
		b->bw_probe_up_rounds++;
	b->probe_up_acked_per_inc = step > cc->mss ? step : cc->mss;
}

static void start_probe_bw_up(const struct cc *cc, struct bbr *b, const struct ack_event *ev)
{
	b->ack_phase = BBR_ACKS_PROBE_STARTING;
	bbr_start_round(b, ev->delivered);
	bbr_reset_full_bw(b);
	b->full_bw = bbr_sample_rate(ev);
	b->state = BBR_PROBE_BW_UP;
	raise_slope(cc, b);
}

static void probe_upward(const struct cc *cc, struct bbr *b, const struct ack_event *ev)
{
	uint64_t longterm = b->inflight_longterm;

	if (!ev->cwnd_limited || cc->cwnd < b->inflight_longterm)
		return;
	b->bw_probe_up_acked += ev->newly_acked;
	if (b->bw_probe_up_acked >= b->probe_up_acked_per_inc) {
		uint32_t delta = b->bw_probe_up_acked / b->probe_up_acked_per_inc;

		b->bw_probe_up_acked -= delta * b->probe_up_acked_per_inc;
		longterm += (uint64_t)delta * cc->mss;
		b->inflight_longterm =
			longterm < BBR_INFINITY ? (uint32_t)longterm : BBR_INFINITY - 1;
	}
	if (b->round_start)
		raise_slope(cc, b);
}

static bool inflight_too_high(const struct ack_event *ev)
{
	return ev->rate.has_data && ev->rate.lost > ev->rate.tx_in_flight / BBR_LOSS_THRESH_DEN;
}

/* True: it has decided on a state. */
static bool adapt_long_term(struct cc *cc, struct bbr *b, const struct ack_event *ev)
{
	if (b->ack_phase == BBR_ACKS_PROBE_STARTING && b->round_start)
		b->ack_phase = BBR_ACKS_PROBE_FEEDBACK;
	if (b->ack_phase == BBR_ACKS_PROBE_STOPPING && b->round_start) {
		b->is_bw_probe_sample = false;
		b->ack_phase = BBR_ACKS_INIT;
		if (bbr_in_probe_bw(b) && !ev->rate.app_limited)
			bbr_advance_max_bw(b);
		if (bbr_in_probe_bw(b) && b->prev_probe_precautionary && !b->prev_probe_too_high) {
			bbr_start_probe_bw_refill(b, ev->delivered);
			return true;
		}
	}
	if (inflight_too_high(ev) || b->inflight_longterm == BBR_INFINITY)
		return false;
	if (ev->rate.has_data && ev->rate.tx_in_flight > b->inflight_longterm)
		b->inflight_longterm = ev->rate.tx_in_flight;
	if (b->state == BBR_PROBE_BW_UP)
		probe_upward(cc, b, ev);
	return false;
}

static bool time_to_probe(const struct cc *cc, const struct bbr *b, uint64_t now)
{
	uint32_t reno_rounds = bbr_target_inflight(cc, b) / cc->mss;

	return now > b->cycle_stamp + b->bw_probe_wait ||
	       b->rounds_since_probe_up >= (reno_rounds < 63 ? reno_rounds : 63);
}

static bool time_to_cruise(const struct cc *cc, const struct bbr *b, const struct ack_event *ev)
{
	return ev->in_flight <= bbr_inflight_with_headroom(cc, b) &&
	       ev->in_flight <= bbr_inflight(cc, b, 100);
}

static bool time_to_go_down(const struct cc *cc, struct bbr *b, const struct ack_event *ev)
{
	if (b->prev_probe_too_high && ev->in_flight >= b->inflight_longterm) {
		b->prev_probe_precautionary = true;
		return true;
	}
	if (ev->cwnd_limited && cc->cwnd >= b->inflight_longterm) {
		bbr_reset_full_bw(b);
		b->full_bw = bbr_sample_rate(ev);
		return false;
	}
	return b->full_bw_now;
}

static void probe_bw_phase(struct cc *cc, struct bbr *b, const struct ack_event *ev)
{
	if (!b->full_bw_reached || adapt_long_term(cc, b, ev))
		return;
	switch ((enum bbr_state)b->state) {
	case BBR_PROBE_BW_DOWN:
	case BBR_PROBE_BW_CRUISE:
		if (time_to_probe(cc, b, ev->now))
			bbr_start_probe_bw_refill(b, ev->delivered);
		else if (b->state == BBR_PROBE_BW_DOWN && time_to_cruise(cc, b, ev))
			b->state = BBR_PROBE_BW_CRUISE;
		break;
	case BBR_PROBE_BW_REFILL:
		if (b->round_start) {
			b->is_bw_probe_sample = true;
			start_probe_bw_up(cc, b, ev);
		}
		break;
	case BBR_PROBE_BW_UP:
		if (time_to_go_down(cc, b, ev)) {
			b->prev_probe_too_high = false;
			bbr_start_probe_bw_down(b, ev->delivered, ev->now);
		}
		break;
	default:
		break;
	}
}

void bbr_update_state(struct cc *cc, struct bbr *b, const struct ack_event *ev)
{
	check_full_bw(b, ev);
	b->delivered_in_round += ev->newly_acked;
	check_startup_high_loss(b);
	if (b->round_start) {
		b->lost_in_round = b->delivered_in_round = 0;
		b->loss_events_in_round = 0;
	}
	if (b->state == BBR_STARTUP && b->full_bw_reached)
		enter_drain(b);
	if (b->state == BBR_DRAIN && (ev->in_flight <= bbr_inflight(cc, b, 100) ||
				      b->round_count > b->drain_start_round + 3))
		bbr_start_probe_bw_down(b, ev->delivered, ev->now);
	probe_bw_phase(cc, b, ev);
}

/* ---- ProbeRTT -------------------------------------------------------------------------------- */

uint32_t bbr_probe_rtt_cwnd(const struct cc *cc, const struct bbr *b)
{
	uint32_t cwnd = bbr_bdp(b, 50), least = bbr_min_pipe(cc);

	return cwnd > least ? cwnd : least;
}

static void exit_probe_rtt(struct bbr *b, uint64_t delivered, uint64_t now)
{
	bbr_reset_short_term(b);
	if (b->full_bw_reached) {
		bbr_start_probe_bw_down(b, delivered, now);
		b->state = BBR_PROBE_BW_CRUISE;
	} else {
		bbr_enter_startup(b);
	}
}

void bbr_check_probe_rtt_done(struct cc *cc, struct bbr *b, uint64_t delivered, uint64_t now)
{
	if (!b->probe_rtt_done_stamp || now <= b->probe_rtt_done_stamp)
		return;
	b->probe_rtt_min_stamp = now;
	if (!b->timed_out) /* else when what was lost is repaired */
		bbr_restore_cwnd(cc, b);
	exit_probe_rtt(b, delivered, now);
}

static void handle_probe_rtt(struct cc *cc, struct bbr *b, const struct ack_event *ev)
{
	cc->app_limited = true; /* its low rates say nothing */
	if (!b->probe_rtt_done_stamp) {
		if (ev->in_flight > bbr_probe_rtt_cwnd(cc, b))
			return;
		b->probe_rtt_done_stamp = ev->now + BBR_PROBE_RTT_DURATION;
		b->probe_rtt_round_done = false;
		bbr_start_round(b, ev->delivered);
		return;
	}
	if (b->round_start)
		b->probe_rtt_round_done = true;
	if (b->probe_rtt_round_done)
		bbr_check_probe_rtt_done(cc, b, ev->delivered, ev->now);
}

void bbr_check_probe_rtt(struct cc *cc, struct bbr *b, const struct ack_event *ev)
{
	if (b->state != BBR_PROBE_RTT && b->probe_rtt_expired && !b->idle_restart) {
		bbr_save_cwnd(cc, b);
		b->state = BBR_PROBE_RTT;
		b->probe_rtt_done_stamp = 0;
		b->ack_phase = BBR_ACKS_PROBE_STOPPING;
		bbr_start_round(b, ev->delivered);
	}
	if (b->state == BBR_PROBE_RTT)
		handle_probe_rtt(cc, b, ev);
	if (ev->rate.has_data)
		b->idle_restart = false;
}
