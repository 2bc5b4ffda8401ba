/* SPDX-License-Identifier: MIT */
/*
 * HyStart++: RFC 9406 section 4.2. Its bound L on the growth for each ACK is left out, as Linux
 * does: one ACK may stand for a super-segment.
 */
#include "cc/hystart.h"

#define MIN_RTT_THRESH_US  4000u
#define MAX_RTT_THRESH_US  16000u
#define MIN_RTT_DIVISOR	   8u
#define N_RTT_SAMPLE	   8u
#define CSS_GROWTH_DIVISOR 4u
#define CSS_ROUNDS	   5u
#define NO_RTT		   UINT32_MAX

/* As Linux. */
#define TRAIN_GAP_NS 2000000u
#define TRAIN_WINDOW 16u /* segments: a smaller cwnd makes no train */
#define TRAIN_SLACK  1000000u
#define TRAIN_BURSTS 131072u /* octets */

void hystart_init(struct hystart *h)
{
	*h = (struct hystart){ .last_min_us = NO_RTT,
			       .current_min_us = NO_RTT,
			       .baseline_us = NO_RTT };
}

/* True: the rounds of conservative slow start are over. */
static bool next_round(struct hystart *h, const struct ack_event *ev)
{
	h->round_end = ev->delivered;
	h->last_min_us = h->current_min_us;
	h->current_min_us = NO_RTT;
	h->samples = 0;
	return h->css && ++h->css_rounds >= CSS_ROUNDS;
}

static void take_sample(struct hystart *h, uint64_t rtt_ns)
{
	uint64_t us = rtt_ns / 1000;

	if (!rtt_ns)
		return;
	if (us < h->current_min_us)
		h->current_min_us = (uint32_t)us;
	if (h->samples < N_RTT_SAMPLE)
		h->samples++;
}

static bool delay_grew(const struct hystart *h)
{
	uint32_t thresh = h->last_min_us / MIN_RTT_DIVISOR;

	if (h->last_min_us == NO_RTT || h->current_min_us == NO_RTT)
		return false;
	if (thresh < MIN_RTT_THRESH_US)
		thresh = MIN_RTT_THRESH_US;
	if (thresh > MAX_RTT_THRESH_US)
		thresh = MAX_RTT_THRESH_US;
	return h->current_min_us >= h->last_min_us + thresh;
}

bool hystart_ack(struct hystart *h, const struct ack_event *ev, uint32_t *bytes)
{
	bool over = false;

	if (!h->begun) {
		h->begun = true;
		h->round_end = ev->delivered;
	} else if (ev->rate.prior_delivered >= h->round_end) {
		over = next_round(h, ev);
	}
	take_sample(h, ev->rate.rtt_ns);
	if (h->samples >= N_RTT_SAMPLE && !h->css && delay_grew(h)) {
		h->css = true;
		h->css_rounds = 0;
		h->baseline_us = h->current_min_us;
	} else if (h->samples >= N_RTT_SAMPLE && h->css && h->current_min_us < h->baseline_us) {
		h->css = false; /* it was jitter */
		h->baseline_us = NO_RTT;
	}
	if (h->css)
		*bytes /= CSS_GROWTH_DIVISOR;
	return over && h->css;
}

/*
 * RFC 9406 has the delay alone, for ACKs that come in bunches make trains shorter than what was
 * sent. That errs towards leaving late, when the delay tells as well. Where they do not, the train
 * ends slow start with no queue, five rounds of 1.25 before conservative slow start would.
 */
bool hystart_train(struct hystart *h, const struct ack_event *ev, uint32_t cwnd)
{
	uint64_t slack = cwnd ? TRAIN_BURSTS * ev->srtt_ns / cwnd : 0;

	if (!h->train_from || ev->rate.prior_delivered >= h->train_end) {
		h->train_end = ev->delivered;
		h->train_from = h->train_last = ev->now;
	}
	if (cwnd < TRAIN_WINDOW * ev->mss || ev->now - h->train_last > TRAIN_GAP_NS)
		return false;
	h->train_last = ev->now;
	/* As Linux: the time that bursts take, at the sender and where they are put together again.
	 */
	if (slack > TRAIN_SLACK)
		slack = TRAIN_SLACK;
	return ev->min_rtt_ns && ev->now - h->train_from > (ev->min_rtt_ns + slack) / 2;
}
