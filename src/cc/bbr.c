/* SPDX-License-Identifier: MIT */
/*
 * BBRv3, draft-ietf-ccwg-bbr: its operations, pacing rate, send quantum and cwnd (section 5.6). See
 * bbr.h.
 */
#include <string.h>

#include "cc/bbr.h"

#define NO_RTT_NS	   1000000ull /* InitPacingRate(): 1 ms where none is known */
#define PACING_MARGIN	   99	      /* per cent of bw: PacingMarginPercent is 1 */
#define STARTUP_GAIN	   277
#define SEND_QUANTUM_MAX   65536u
#define SEND_QUANTUM_RATIO 1000u /* what 1 ms takes */

/* 5.6.1: per cent of bw. */
static uint32_t pacing_gain(const struct bbr *b)
{
	switch ((enum bbr_state)b->state) {
	case BBR_STARTUP:
		return STARTUP_GAIN;
	case BBR_DRAIN:
		return 50;
	case BBR_PROBE_BW_DOWN:
		return 90;
	case BBR_PROBE_BW_UP:
		return 125;
	default:
		return 100;
	}
}

static uint32_t cwnd_gain(const struct bbr *b)
{
	if (b->state == BBR_PROBE_BW_UP)
		return 225;
	return b->state == BBR_PROBE_RTT ? 50 : 200;
}

static void set_quantum(struct cc *cc)
{
	uint64_t quantum = cc->pacing_rate / SEND_QUANTUM_RATIO;

	if (quantum > SEND_QUANTUM_MAX)
		quantum = SEND_QUANTUM_MAX;
	if (quantum < 2ull * cc->mss)
		quantum = 2ull * cc->mss;
	cc->send_quantum = (uint32_t)quantum;
}

static void set_pacing_rate(struct cc *cc, struct bbr *b, uint32_t gain)
{
	uint64_t rate = b->bw / 100 * gain / 100 * PACING_MARGIN;

	if (rate && (b->full_bw_reached || rate > cc->pacing_rate))
		cc->pacing_rate = rate;
	set_quantum(cc);
}

/* ---- cwnd ------------------------------------------------------------------------------------ */

void bbr_save_cwnd(struct cc *cc, struct bbr *b)
{
	if (!b->in_recovery && b->state != BBR_PROBE_RTT)
		b->prior_cwnd = cc->cwnd;
	else if (b->prior_cwnd < cc->cwnd)
		b->prior_cwnd = cc->cwnd;
}

void bbr_restore_cwnd(struct cc *cc, struct bbr *b)
{
	if (cc->cwnd < b->prior_cwnd)
		cc->cwnd = b->prior_cwnd;
}

/* 5.6.4.7 */
static void bound_cwnd_for_model(struct cc *cc, const struct bbr *b)
{
	uint32_t cap = BBR_INFINITY;

	if (b->state == BBR_PROBE_RTT || b->state == BBR_PROBE_BW_CRUISE)
		cap = bbr_inflight_with_headroom(cc, b);
	else if (bbr_in_probe_bw(b))
		cap = b->inflight_longterm;
	if (cap > b->inflight_shortterm)
		cap = b->inflight_shortterm;
	if (cap < bbr_min_pipe(cc))
		cap = bbr_min_pipe(cc);
	if (cc->cwnd > cap)
		cc->cwnd = cap;
}

static void set_cwnd(struct cc *cc, struct bbr *b, const struct ack_event *ev)
{
	uint32_t extra =
		b->extra_acked[0] > b->extra_acked[1] ? b->extra_acked[0] : b->extra_acked[1];
	uint64_t most = bbr_quantization(cc, b, (uint64_t)bbr_bdp(b, cwnd_gain(b)) + extra);
	uint64_t cwnd = (uint64_t)cc->cwnd + ev->newly_acked;

	if (b->full_bw_reached)
		cc->cwnd = (uint32_t)(cwnd < most ? cwnd : most);
	else if (cc->cwnd < most || ev->delivered < b->initial_cwnd)
		cc->cwnd = cwnd < UINT32_MAX ? (uint32_t)cwnd : UINT32_MAX - 1;
	if (cc->cwnd < bbr_min_pipe(cc))
		cc->cwnd = bbr_min_pipe(cc);
	if (b->state == BBR_PROBE_RTT && cc->cwnd > bbr_probe_rtt_cwnd(cc, b))
		cc->cwnd = bbr_probe_rtt_cwnd(cc, b);
	bound_cwnd_for_model(cc, b);
}

/* ---- The operations -------------------------------------------------------------------------- */

static void bbr_init(struct cc *cc, uint64_t now)
{
	struct bbr *b = bbr_state(cc);

	memset(b, 0, sizeof(*b));
	b->initial_cwnd = cc->cwnd;
	bbr_model_init(b, now);
	bbr_enter_startup(b);
	set_quantum(cc);
}

/* 5.4.1, OnTransmit(). */
static void bbr_sent(struct cc *cc, const struct send_event *ev)
{
	struct bbr *b = bbr_state(cc);

	if (!b->begun) { /* InitPacingRate() */
		uint64_t us = (ev->srtt_ns ? ev->srtt_ns : NO_RTT_NS) / 1000 + 1;

		b->begun = true;
		cc->pacing_rate = (uint64_t)cc->cwnd * 1000000 / us / 100 * STARTUP_GAIN;
		set_quantum(cc);
	}
	if (ev->in_flight || !ev->app_limited)
		return;
	b->idle_restart = true;
	b->extra_acked_interval_start = ev->now;
	if (bbr_in_probe_bw(b))
		set_pacing_rate(cc, b, 100);
	else if (b->state == BBR_PROBE_RTT)
		bbr_check_probe_rtt_done(cc, b, ev->delivered, ev->now);
}

/* 5.2.3 */
static void bbr_ack(struct cc *cc, const struct ack_event *ev)
{
	struct bbr *b = bbr_state(cc);

	if (b->in_recovery && !ev->in_recovery)
		bbr_restore_cwnd(cc, b);
	b->in_recovery = ev->in_recovery;
	b->timed_out = b->timed_out && ev->in_recovery;
	bbr_handle_loss(cc, b, ev);
	bbr_update_signals(cc, b, ev);
	bbr_update_aggregation(cc, b, ev);
	bbr_update_state(cc, b, ev);
	bbr_update_min_rtt(b, ev);
	bbr_check_probe_rtt(cc, b, ev);
	bbr_advance_signals(b, ev);
	set_pacing_rate(cc, b, pacing_gain(b));
	set_cwnd(cc, b, ev);
}

/* Entering fast recovery: what there was can come back. */
static void bbr_loss(struct cc *cc, uint32_t in_flight, uint64_t now)
{
	struct bbr *b = bbr_state(cc);

	(void)in_flight;
	(void)now;
	bbr_save_upon_loss(cc, b);
	cc->prior_cwnd = cc->cwnd;
	cc->prior_ssthresh = cc->ssthresh;
}

/* 5.6.4.4, OnEnterRTO(): cwnd is saved before the caller makes it one segment. */
static void bbr_timeout(struct cc *cc, uint32_t in_flight, uint64_t now)
{
	struct bbr *b = bbr_state(cc);

	bbr_loss(cc, in_flight, now);
	b->in_recovery = b->timed_out = true;
}

/* 5.5.10.5, HandleSpuriousLossDetection(). */
static void bbr_undo(struct cc *cc, uint64_t now)
{
	struct bbr *b = bbr_state(cc);

	(void)now;
	bbr_restore_cwnd(cc, b);
	b->is_loss_in_round = false;
	bbr_reset_full_bw(b);
	if (b->bw_shortterm < b->undo_bw_shortterm)
		b->bw_shortterm = b->undo_bw_shortterm;
	if (b->inflight_shortterm < b->undo_inflight_shortterm)
		b->inflight_shortterm = b->undo_inflight_shortterm;
	if (b->inflight_longterm < b->undo_inflight_longterm)
		b->inflight_longterm = b->undo_inflight_longterm;
	if (b->undo_state == BBR_STARTUP && b->state != BBR_STARTUP) {
		b->full_bw_reached = false;
		if (b->state != BBR_PROBE_RTT)
			bbr_enter_startup(b);
	} else if (b->undo_state == BBR_PROBE_BW_UP && b->state != BBR_PROBE_BW_UP &&
		   b->state != BBR_PROBE_RTT) {
		bbr_start_probe_bw_refill(b, b->next_round_delivered);
	}
	b->undo_state = BBR_NO_STATE;
}

static void bbr_tell(const struct cc *cc, struct cc_told *told)
{
	const struct bbr *b = (const struct bbr *)(const void *)cc->state;

	told->bw = b->bw;
	if (b->min_rtt != BBR_NO_RTT) /* through a loopback it takes no time */
		told->min_rtt = b->min_rtt ? b->min_rtt : 1;
	told->pacing_gain = pacing_gain(b) * 256 / 100;
	told->cwnd_gain = cwnd_gain(b) * 256 / 100;
}

const struct cc_ops cc_bbr = {
	.name = "bbr",
	.state_bytes = sizeof(struct bbr),
	.paces = true,
	.owns_recovery = true,
	.init = bbr_init,
	.sent = bbr_sent,
	.ack = bbr_ack,
	.congestion = bbr_loss,
	.timeout = bbr_timeout,
	.undo = bbr_undo,
	.tell = bbr_tell,
};
