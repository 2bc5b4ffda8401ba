/* SPDX-License-Identifier: MIT */
/* BBR's model of the path: draft-ietf-ccwg-bbr section 5.5, and 5.6.4.2. See bbr.h. */
#include "cc/bbr.h"

static uint32_t least32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t most32(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static uint64_t most64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

uint64_t bbr_sample_rate(const struct ack_event *ev)
{
	if (!ev->rate.interval_ns)
		return 0;
	/* Samples are under 4 GiB: 2^32 * 10^9 fits. */
	return (ev->rate.delivered & UINT32_MAX) * 1000000000ull / ev->rate.interval_ns;
}

void bbr_model_init(struct bbr *b, uint64_t now)
{
	b->min_rtt = b->probe_rtt_min_delay = BBR_NO_RTT;
	b->min_rtt_stamp = b->probe_rtt_min_stamp = now;
	b->extra_acked_interval_start = now;
	b->inflight_longterm = BBR_INFINITY;
	b->probe_up_acked_per_inc = BBR_INFINITY;
	b->bw_shortterm = BBR_BW_INFINITY;
	b->inflight_shortterm = BBR_INFINITY;
	b->undo_bw_shortterm = 0;
	b->undo_state = BBR_NO_STATE;
}

/* ---- Rounds and bandwidth -------------------------------------------------------------------- */

void bbr_start_round(struct bbr *b, uint64_t delivered)
{
	b->next_round_delivered = delivered;
}

static void update_round(struct bbr *b, const struct ack_event *ev)
{
	b->round_start = ev->rate.has_data && ev->rate.prior_delivered >= b->next_round_delivered;
	if (!b->round_start)
		return;
	bbr_start_round(b, ev->delivered);
	b->round_count++;
	b->rounds_since_probe_up++;
	if (!b->in_recovery)
		b->recovery_rounds = 0;
	else if (b->recovery_rounds < UINT8_MAX)
		b->recovery_rounds++;
}

static void update_max_bw(struct bbr *b, const struct ack_event *ev)
{
	uint64_t rate = bbr_sample_rate(ev);
	uint64_t *slot = &b->max_bw_filter[b->cycle_count & 1];

	update_round(b, ev);
	if (!rate || (rate < b->max_bw && ev->rate.app_limited))
		return;
	*slot = most64(*slot, rate);
	b->max_bw = most64(b->max_bw_filter[0], b->max_bw_filter[1]);
}

void bbr_advance_max_bw(struct bbr *b)
{
	/* A cycle without a sample says nothing. */
	if (!b->max_bw_filter[b->cycle_count & 1])
		return;
	b->cycle_count++;
	b->max_bw_filter[b->cycle_count & 1] = 0;
}

/* ---- Aggregation and delay ------------------------------------------------------------------- */

void bbr_update_aggregation(struct cc *cc, struct bbr *b, const struct ack_event *ev)
{
	uint64_t interval = ev->now - b->extra_acked_interval_start;
	uint64_t expected = b->bw / 1000 * (interval / 1000) / 1000, extra;
	uint32_t rounds = b->full_bw_reached ? BBR_EXTRA_ACKED_LEN : 1;

	if (b->extra_acked_delivered <= expected) {
		b->extra_acked_delivered = 0;
		b->extra_acked_interval_start = ev->now;
		expected = 0;
	}
	b->extra_acked_delivered += ev->newly_acked;
	extra = b->extra_acked_delivered - expected;
	if (extra > cc->cwnd)
		extra = cc->cwnd;
	/* Two slots of half the length each remember at least as long. */
	if (b->round_count - b->extra_acked_round >= (rounds + 1) / 2) {
		b->extra_acked_round = b->round_count;
		b->extra_acked[1] = b->extra_acked[0];
		b->extra_acked[0] = 0;
	}
	b->extra_acked[0] = most32(b->extra_acked[0], (uint32_t)extra);
}

/* 5.3.4.3 */
void bbr_update_min_rtt(struct bbr *b, const struct ack_event *ev)
{
	uint64_t rtt = ev->rate.rtt_ns;

	b->probe_rtt_expired = ev->now > b->probe_rtt_min_stamp + BBR_PROBE_RTT_INTERVAL;
	if (rtt && (rtt < b->probe_rtt_min_delay || b->probe_rtt_expired)) {
		b->probe_rtt_min_delay = rtt;
		b->probe_rtt_min_stamp = ev->now;
	}
	if (b->probe_rtt_min_delay < b->min_rtt ||
	    ev->now > b->min_rtt_stamp + BBR_MIN_RTT_FILTER) {
		b->min_rtt = b->probe_rtt_min_delay;
		b->min_rtt_stamp = b->probe_rtt_min_stamp;
	}
}

/* ---- Congestion ------------------------------------------------------------------------------ */

void bbr_reset_congestion_signals(struct bbr *b)
{
	b->is_loss_in_round = false;
	b->bw_latest = 0;
	b->inflight_latest = 0;
}

void bbr_reset_short_term(struct bbr *b)
{
	b->bw_shortterm = BBR_BW_INFINITY;
	b->inflight_shortterm = BBR_INFINITY;
}

static bool probing_bw(const struct bbr *b)
{
	return b->state == BBR_STARTUP || b->state == BBR_PROBE_BW_REFILL ||
	       b->state == BBR_PROBE_BW_UP;
}

/* 5.5.10.3: once a round with a loss in it. */
static void adapt_lower_bounds(struct cc *cc, struct bbr *b)
{
	if (probing_bw(b) || !b->is_loss_in_round)
		return;
	if (b->bw_shortterm == BBR_BW_INFINITY)
		b->bw_shortterm = b->max_bw;
	if (b->inflight_shortterm == BBR_INFINITY)
		b->inflight_shortterm = cc->cwnd;
	b->bw_shortterm = most64(b->bw_latest, BBR_BETA(b->bw_shortterm));
	b->inflight_shortterm = most32(b->inflight_latest, BBR_BETA(b->inflight_shortterm));
}

void bbr_update_signals(struct cc *cc, struct bbr *b, const struct ack_event *ev)
{
	uint32_t delivered = ev->rate.interval_ns ? (uint32_t)ev->rate.delivered : 0;

	b->loss_round_start = false;
	b->bw_latest = most64(b->bw_latest, bbr_sample_rate(ev));
	b->inflight_latest = most32(b->inflight_latest, delivered);
	if (ev->rate.has_data && ev->rate.prior_delivered >= b->loss_round_delivered) {
		b->loss_round_delivered = ev->delivered;
		b->loss_round_start = true;
	}
	update_max_bw(b, ev);
	if (!b->loss_round_start)
		return;
	adapt_lower_bounds(cc, b);
	b->is_loss_in_round = false;
}

void bbr_advance_signals(struct bbr *b, const struct ack_event *ev)
{
	if (b->loss_round_start) {
		b->bw_latest = bbr_sample_rate(ev);
		b->inflight_latest = ev->rate.interval_ns ? (uint32_t)ev->rate.delivered : 0;
	}
	b->bw = b->max_bw < b->bw_shortterm ? b->max_bw : b->bw_shortterm;
}

void bbr_save_upon_loss(struct cc *cc, struct bbr *b)
{
	bbr_save_cwnd(cc, b);
	b->undo_state = BBR_NO_STATE;
	b->undo_bw_shortterm = b->bw_shortterm;
	b->undo_inflight_shortterm = b->inflight_shortterm;
	b->undo_inflight_longterm = b->inflight_longterm;
}

/* InflightAtLoss(): of what was in flight, how much was safe. */
static uint32_t inflight_at_loss(const struct loss_sample *loss)
{
	uint64_t inflight = loss->tx_in_flight > loss->size ? loss->tx_in_flight - loss->size : 0;
	uint64_t before = loss->lost > loss->size ? loss->lost - loss->size : 0;
	uint64_t safe = inflight / BBR_LOSS_THRESH_DEN;

	/* (thresh * inflight - before) / (1 - thresh) */
	if (safe > before)
		inflight += (safe - before) * BBR_LOSS_THRESH_DEN / (BBR_LOSS_THRESH_DEN - 1);
	return inflight < UINT32_MAX ? (uint32_t)inflight : UINT32_MAX - 1;
}

static void handle_inflight_too_high(struct cc *cc, struct bbr *b, const struct ack_event *ev)
{
	b->prev_probe_too_high = true;
	b->is_bw_probe_sample = false;
	if (!ev->loss.app_limited)
		b->inflight_longterm =
			most32(inflight_at_loss(&ev->loss), BBR_BETA(bbr_target_inflight(cc, b)));
	if (b->state == BBR_PROBE_BW_UP) {
		b->undo_state = BBR_PROBE_BW_UP;
		bbr_start_probe_bw_down(b, ev->delivered, ev->now);
	}
}

void bbr_handle_loss(struct cc *cc, struct bbr *b, const struct ack_event *ev)
{
	if (!ev->loss.events)
		return;
	if (!b->is_loss_in_round) {
		b->loss_round_delivered = ev->delivered;
		bbr_save_upon_loss(cc, b);
	}
	b->is_loss_in_round = true;
	b->lost_in_round += ev->loss.bytes;
	b->loss_events_in_round = b->loss_events_in_round + ev->loss.events < UINT8_MAX
					  ? (uint8_t)(b->loss_events_in_round + ev->loss.events)
					  : UINT8_MAX;
	if (b->is_bw_probe_sample && ev->loss.high)
		handle_inflight_too_high(cc, b, ev);
}

/* ---- Volumes --------------------------------------------------------------------------------- */

uint32_t bbr_min_pipe(const struct cc *cc)
{
	return BBR_MIN_PIPE_SEGMENTS * cc->mss;
}

uint32_t bbr_bdp(const struct bbr *b, uint32_t gain)
{
	uint64_t bdp;

	if (b->min_rtt == BBR_NO_RTT || !b->bw)
		return b->initial_cwnd;
	bdp = b->bw / 1000 * (b->min_rtt / 1000) / 1000 * gain / 100;
	return bdp < UINT32_MAX / 2 ? (uint32_t)bdp : UINT32_MAX / 2;
}

/* 5.5.8: three quanta, as TCP with segmentation offload needs. */
uint32_t bbr_quantization(const struct cc *cc, const struct bbr *b, uint64_t inflight)
{
	uint64_t budget = 3ull * cc->send_quantum;

	if (inflight < budget)
		inflight = budget;
	if (inflight < bbr_min_pipe(cc))
		inflight = bbr_min_pipe(cc);
	if (b->state == BBR_PROBE_BW_UP)
		inflight += 2ull * cc->mss;
	return inflight < UINT32_MAX ? (uint32_t)inflight : UINT32_MAX - 1;
}

uint32_t bbr_inflight(const struct cc *cc, const struct bbr *b, uint32_t gain)
{
	return bbr_quantization(cc, b, bbr_bdp(b, gain));
}

uint32_t bbr_target_inflight(const struct cc *cc, const struct bbr *b)
{
	return least32(bbr_bdp(b, 100), cc->cwnd);
}

uint32_t bbr_inflight_with_headroom(const struct cc *cc, const struct bbr *b)
{
	uint32_t headroom;

	if (b->inflight_longterm == BBR_INFINITY)
		return BBR_INFINITY;
	headroom = most32(cc->mss, b->inflight_longterm / 100 * 15);
	if (b->inflight_longterm < headroom + bbr_min_pipe(cc))
		return bbr_min_pipe(cc);
	return b->inflight_longterm - headroom;
}
