/* SPDX-License-Identifier: MIT */
/*
 * BBRv3, draft-ietf-ccwg-bbr: state and what its three files share. bbr.c: the operations, pacing
 * and cwnd (section 5.6); bbr_model.c: the model of the path (5.5); bbr_state.c: the state machine
 * (5.3). Names are the draft's; windows are in bytes, rates in bytes a second, times in ns.
 */
#ifndef CC_BBR_H
#define CC_BBR_H

#include "cc/cc.h"

#define BBR_INFINITY	       UINT32_MAX
#define BBR_BW_INFINITY	       UINT64_MAX
#define BBR_LOSS_THRESH_DEN    50 /* LossThresh: 2% */
#define BBR_BETA(x)	       ((x) / 10 * 7)
#define BBR_MIN_PIPE_SEGMENTS  4
#define BBR_FULL_LOSS_COUNT    6
#define BBR_PROBE_RTT_INTERVAL 5000000000ull
#define BBR_MIN_RTT_FILTER     10000000000ull
#define BBR_PROBE_RTT_DURATION 200000000ull
#define BBR_EXTRA_ACKED_LEN    10
#define BBR_NO_RTT	       UINT64_MAX

enum bbr_state {
	BBR_STARTUP,
	BBR_DRAIN,
	BBR_PROBE_BW_DOWN,
	BBR_PROBE_BW_CRUISE,
	BBR_PROBE_BW_REFILL,
	BBR_PROBE_BW_UP,
	BBR_PROBE_RTT,
	BBR_NO_STATE,
};

enum bbr_ack_phase {
	BBR_ACKS_INIT,
	BBR_ACKS_REFILLING,
	BBR_ACKS_PROBE_STARTING,
	BBR_ACKS_PROBE_FEEDBACK,
	BBR_ACKS_PROBE_STOPPING,
};

/* Kept in the words of cc->state. */
struct __attribute__((may_alias)) bbr {
	/* 5.5.1, rounds */
	uint64_t next_round_delivered;
	uint32_t round_count;
	/* 5.5, bandwidth */
	uint64_t max_bw_filter[2]; /* of this ProbeBW cycle and the one before */
	uint64_t max_bw, bw, bw_shortterm, bw_latest;
	/* 5.5.7, min_rtt */
	uint64_t min_rtt, min_rtt_stamp;
	uint64_t probe_rtt_min_delay, probe_rtt_min_stamp, probe_rtt_done_stamp;
	/* 5.5.9, aggregation */
	uint64_t extra_acked_interval_start;
	uint32_t extra_acked_delivered;
	uint32_t extra_acked[2]; /* most of these and of the last so many rounds */
	uint32_t extra_acked_round;
	/* 5.5.10, loss */
	uint64_t loss_round_delivered;
	uint32_t inflight_latest, inflight_longterm, inflight_shortterm;
	uint32_t lost_in_round, delivered_in_round; /* for leaving Startup */
	/* 5.3.1, Startup */
	uint64_t full_bw;
	/* 5.3.3, ProbeBW */
	uint64_t cycle_stamp, bw_probe_wait;
	uint32_t bw_probe_up_acked, probe_up_acked_per_inc;
	uint32_t drain_start_round;
	uint32_t rounds_since_probe_up;
	uint32_t prior_cwnd;
	uint64_t undo_bw_shortterm;
	uint32_t undo_inflight_shortterm, undo_inflight_longterm;
	uint32_t initial_cwnd;
	uint8_t state, undo_state, ack_phase; /* enum bbr_state, bbr_ack_phase */
	uint8_t full_bw_count, loss_events_in_round, bw_probe_up_rounds;
	uint8_t recovery_rounds; /* whole rounds that fast recovery has lasted */
	uint8_t cycle_count;	 /* its low bit counts */
	bool round_start, loss_round_start, is_loss_in_round;
	bool full_bw_reached, full_bw_now;
	bool is_bw_probe_sample, prev_probe_too_high, prev_probe_precautionary;
	bool probe_rtt_expired, probe_rtt_round_done, idle_restart;
	bool in_recovery, timed_out, begun;
};

_Static_assert(sizeof(struct bbr) <= CC_STATE_BYTES, "BBR's state fits into struct cc");

static inline struct bbr *bbr_state(struct cc *cc)
{
	return (struct bbr *)(void *)cc->state;
}

static inline bool bbr_in_probe_bw(const struct bbr *b)
{
	return b->state >= BBR_PROBE_BW_DOWN && b->state <= BBR_PROBE_BW_UP;
}

/* The rate of the sample; 0: there is none. */
uint64_t bbr_sample_rate(const struct ack_event *ev);

/* ---- bbr_model.c ---- */

void bbr_model_init(struct bbr *b, uint64_t now);
void bbr_start_round(struct bbr *b, uint64_t delivered);
void bbr_reset_congestion_signals(struct bbr *b);
void bbr_reset_short_term(struct bbr *b);
void bbr_update_signals(struct cc *cc, struct bbr *b, const struct ack_event *ev);
void bbr_advance_signals(struct bbr *b, const struct ack_event *ev);
void bbr_update_aggregation(struct cc *cc, struct bbr *b, const struct ack_event *ev);
void bbr_update_min_rtt(struct bbr *b, const struct ack_event *ev);
void bbr_advance_max_bw(struct bbr *b);
/* The packets that were declared lost since the last ACK. */
void bbr_handle_loss(struct cc *cc, struct bbr *b, const struct ack_event *ev);
void bbr_save_upon_loss(struct cc *cc, struct bbr *b);
/* GAIN / 100 times the bandwidth-delay product, in bytes. */
uint32_t bbr_bdp(const struct bbr *b, uint32_t gain);
/* The same, with what quantization needs. */
uint32_t bbr_inflight(const struct cc *cc, const struct bbr *b, uint32_t gain);
uint32_t bbr_quantization(const struct cc *cc, const struct bbr *b, uint64_t inflight);
uint32_t bbr_inflight_with_headroom(const struct cc *cc, const struct bbr *b);
uint32_t bbr_min_pipe(const struct cc *cc);
uint32_t bbr_target_inflight(const struct cc *cc, const struct bbr *b);

/* ---- bbr_state.c ---- */

void bbr_enter_startup(struct bbr *b);
void bbr_reset_full_bw(struct bbr *b);
/* CheckFullBWReached() to CheckDrainDone(), and UpdateProbeBWCyclePhase(). */
void bbr_update_state(struct cc *cc, struct bbr *b, const struct ack_event *ev);
void bbr_check_probe_rtt(struct cc *cc, struct bbr *b, const struct ack_event *ev);
void bbr_check_probe_rtt_done(struct cc *cc, struct bbr *b, uint64_t delivered, uint64_t now);
void bbr_start_probe_bw_down(struct bbr *b, uint64_t delivered, uint64_t now);
void bbr_start_probe_bw_refill(struct bbr *b, uint64_t delivered);
uint32_t bbr_probe_rtt_cwnd(const struct cc *cc, const struct bbr *b);
void bbr_restore_cwnd(struct cc *cc, struct bbr *b);
void bbr_save_cwnd(struct cc *cc, struct bbr *b);

#endif
