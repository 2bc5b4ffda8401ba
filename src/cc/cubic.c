/* SPDX-License-Identifier: MIT */
/*
 * CUBIC, RFC 9438: the standard alternative to RFC 5681's control. Names are the RFC's; windows
 * are in bytes, times in microseconds, all in integers, so that every build computes the same.
 *
 * t is not "now minus epoch_start" but a sum of the time between ACKs that found cwnd in use: idle
 * and application-limited periods are not part of it (sections 4.2 and 5.8).
 */
#include <string.h>

#include "cc/cc.h"

/* Section 4.6 and 5: beta_cubic = 0.7; C = 0.4; section 4.3: alpha_cubic = 3 (1 - beta) / (1 +
 * beta). */
#define BETA_NUM  7
#define BETA_DEN  10
#define ALPHA_NUM 9
#define ALPHA_DEN 17

/* What |t - K| may be: its third power, times C and a segment, fits into 64 bits. */
#define TIME_MAX_US 250000000u

#define FRIENDLY_US 31250u

#define EPOCH	      1u /* a congestion avoidance stage is under way */
#define CLOCK	      2u /* the last ACK found cwnd in use: time since then counts */
#define AFTER_TIMEOUT 4u /* the next stage is the first after a time-out */
#define UNDO	      8u /* there is a reduction to undo */
#define UNDO_EPOCH    16u

/* Kept in the words of cc->state. */
struct __attribute__((may_alias)) cubic {
	uint32_t t_us;	  /* elapsed in this stage */
	uint32_t last_us; /* low bits of the time of the last ACK, with CLOCK */
	uint32_t k_us;	  /* K */
	uint32_t w_max;
	uint32_t w_est;
	uint16_t w_est_fraction; /* of a byte, in 1/65536 */
	uint16_t flags;
	uint32_t friendly_us; /* low bits of when cwnd last followed W_est, or might have */
	uint32_t mss;	      /* that the windows here are in units of */
	/* Section 4.9.2: as it was before the last reduction; cwnd and ssthresh are in struct cc.
	 */
	struct {
		uint32_t t_us, k_us, w_max, w_est;
		uint32_t cwnd_prior;
	} prior;
};

_Static_assert(sizeof(struct cubic) <= CC_STATE_BYTES, "CUBIC's state fits into struct cc");

static struct cubic *cubic_state(struct cc *cc)
{
	return (struct cubic *)(void *)cc->state;
}

static void cubic_init(struct cc *cc, uint64_t now)
{
	struct cubic *c = cubic_state(cc);

	(void)now;
	memset(c, 0, sizeof(*c));
	c->mss = cc->mss;
}

/* The largest integer whose third power is not above X: one bit of it at a time. */
static uint32_t cube_root(uint64_t x)
{
	uint64_t root = 0, term;
	int shift;

	for (shift = 63; shift >= 0; shift -= 3) {
		root *= 2;
		/* (root + 1)^3 - root^3 */
		term = 3 * root * (root + 1) + 1;
		if (x >> shift >= term) {
			x -= term << shift;
			root++;
		}
	}
	return (uint32_t)root;
}

/* Section 4.2, equation (2): K = cbrt((W_max - cwnd_epoch) / C), to a millisecond. */
static uint32_t cubic_k(uint32_t below, uint32_t mss)
{
	/* In ms^3: bytes / mss / 0.4 * 10^9, at most 1.1 * 10^19. */
	uint32_t k_ms = cube_root((uint64_t)below * 2500000000ull / mss);

	return k_ms < TIME_MAX_US / 1000 ? k_ms * 1000 : TIME_MAX_US;
}

/* Section 4.2, equation (1): W_cubic(t) = C * (t - K)^3 + W_max. */
static uint32_t w_cubic(const struct cubic *c, uint32_t mss, uint64_t t_us)
{
	uint64_t d = t_us > c->k_us ? t_us - c->k_us : c->k_us - t_us, cube, delta;

	if (d > TIME_MAX_US)
		d = TIME_MAX_US;
	cube = d * d / 1000000 * d; /* in 10^-12 s^3 */
	if (mss > UINT16_MAX)
		mss = UINT16_MAX;
	delta = cube / 1000000 * (4ull * mss) / 10000000;
	if (t_us < c->k_us)
		return delta < c->w_max ? c->w_max - (uint32_t)delta : 0;
	return delta < UINT32_MAX - c->w_max ? c->w_max + (uint32_t)delta : UINT32_MAX - 1;
}

/*
 * W_cubic in whole segments, as Linux: rounded towards W_max, up before K and down after it. cwnd
 * grows by whole segments, for part of one is not sent: a small window would otherwise wait for the
 * next one through most of K.
 */
static uint64_t whole_segments(const struct cubic *c, uint32_t mss, uint64_t t_us)
{
	uint64_t window = w_cubic(c, mss, t_us);

	if (t_us < c->k_us)
		window += mss - 1;
	return window - window % mss;
}

/* The MSS changed: W_max and W_est keep their size in segments, like cwnd. */
static void follow_mss(struct cubic *c, uint32_t mss)
{
	uint32_t *windows[] = { &c->w_max, &c->w_est, &c->prior.w_max, &c->prior.w_est,
				&c->prior.cwnd_prior };
	uint64_t scaled;
	unsigned i;

	if (c->mss == mss)
		return;
	for (i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
		scaled = (uint64_t)*windows[i] * mss / c->mss;
		*windows[i] = scaled < UINT32_MAX ? (uint32_t)scaled : UINT32_MAX - 1;
	}
	c->mss = mss;
}

/* A congestion avoidance stage begins with this cwnd, which is cwnd_epoch. */
static void begin_stage(struct cc *cc, struct cubic *c)
{
	c->t_us = 0;
	c->k_us = 0;
	c->w_est = cc->cwnd;
	c->w_est_fraction = 0;
	cc->acked = 0;
	/* Sections 4.8 and 4.10: after a time-out, or without a loss so far, K is 0. */
	if ((c->flags & AFTER_TIMEOUT) || c->w_max <= cc->cwnd)
		c->w_max = cc->cwnd;
	else
		c->k_us = cubic_k(c->w_max - cc->cwnd, cc->mss);
	c->flags |= EPOCH;
	c->flags &= (uint16_t) ~(AFTER_TIMEOUT | CLOCK);
}

static void count_time(struct cubic *c, uint64_t now)
{
	uint32_t now_us = (uint32_t)(now / 1000), elapsed = now_us - c->last_us;

	if (c->flags & CLOCK)
		c->t_us = elapsed < 2 * TIME_MAX_US - c->t_us ? c->t_us + elapsed : 2 * TIME_MAX_US;
	c->last_us = now_us;
	c->flags |= CLOCK;
}

/*
 * Section 4.3, equation (4): W_est += alpha_cubic * segments_acked / cwnd (in segments). Beyond
 * cwnd_prior, too, where the section would have Reno's own increase, alpha_cubic = 1: with
 * beta_cubic that is 1.2 to 1.4 times what Reno gets for the same losses, and than Linux, which
 * keeps alpha_cubic as well.
 */
static void grow_w_est(const struct cc *cc, struct cubic *c, uint32_t acked)
{
	uint64_t product = (uint64_t)acked * cc->mss, bytes, fraction;

	bytes = product / cc->cwnd;
	fraction = (product % cc->cwnd) * 65536 / cc->cwnd + bytes * 65536;
	fraction = fraction * ALPHA_NUM / ALPHA_DEN;
	fraction += c->w_est_fraction;
	c->w_est_fraction = (uint16_t)fraction;
	bytes = fraction >> 16;
	c->w_est = bytes < UINT32_MAX - c->w_est ? c->w_est + (uint32_t)bytes : UINT32_MAX - 1;
}

/* cwnd follows W_est 32 times a second, as Linux looks at it. */
static bool friendly_due(struct cubic *c, uint64_t now)
{
	uint32_t now_us = (uint32_t)(now / 1000);

	if (now_us - c->friendly_us <= FRIENDLY_US)
		return false;
	c->friendly_us = now_us;
	return true;
}

/* MAY-18: congestion control other than RFC 5681's. */
static void congestion_avoidance(struct cc *cc, struct cubic *c, const struct ack_event *ev,
				 uint32_t acked)
{
	uint64_t target, most = (uint64_t)cc->cwnd + cc->cwnd / 2;
	bool due = friendly_due(c, ev->now);
	uint32_t friendly;

	if (acked > cc->cwnd)
		acked = cc->cwnd;
	if (!(c->flags & EPOCH))
		begin_stage(cc, c);
	count_time(c, ev->now);
	grow_w_est(cc, c, acked);
	/* Sections 4.4 and 4.5: towards W_cubic(t + RTT), at most half as much again in an RTT. */
	target = whole_segments(c, cc->mss, c->t_us + ev->srtt_ns / 1000);
	if (target > most)
		target = most;
	if (target > cc->cwnd)
		cc_additive_increase(cc, acked,
				     (uint32_t)((uint64_t)cc->cwnd * cc->mss /
						(target - cc->cwnd)));
	else if (cc->acked <= cc->cwnd)
		cc->acked += acked; /* towards the first segment, once there is room for it */
	/* Section 4.3: the Reno-friendly region. */
	friendly = c->w_est - c->w_est % cc->mss;
	if (due && cc->cwnd < friendly && w_cubic(c, cc->mss, c->t_us) < c->w_est) {
		cc->cwnd = friendly;
		cc->acked = 0;
	}
}

static void cubic_ack_unused(struct cc *cc)
{
	struct cubic *c = cubic_state(cc);

	follow_mss(c, cc->mss);
	c->flags &= (uint16_t)~CLOCK;
}

static void cubic_ack(struct cc *cc, const struct ack_event *ev)
{
	struct cubic *c = cubic_state(cc);
	uint32_t acked = cc_growth_bytes(ev);

	if (!ev->cwnd_limited) {
		cubic_ack_unused(cc);
		return;
	}
	follow_mss(c, cc->mss);
	if (cc->cwnd < cc->ssthresh) {
		c->flags &= (uint16_t) ~(EPOCH | CLOCK);
		if (cc->ssthresh == CC_SSTHRESH_NONE && hystart_train(&cc->hystart, ev, cc->cwnd))
			cc->ssthresh = cc->cwnd;
		acked = cc_slow_start(cc, ev, acked);
	}
	if (acked)
		congestion_avoidance(cc, c, ev, acked);
}

/*
 * Section 4.6, and 4.9.2: what to remember. Of cwnd, not of what is in flight: the section allows
 * it where cwnd does not grow unused, and Linux does so.
 */
static void reduce(struct cc *cc, struct cubic *c)
{
	follow_mss(c, cc->mss);
	c->prior.t_us = c->t_us;
	c->prior.k_us = c->k_us;
	c->prior.w_max = c->w_max;
	c->prior.w_est = c->w_est;
	c->prior.cwnd_prior = cc->prior_cwnd;
	c->flags = (uint16_t)(UNDO | (c->flags & EPOCH ? UNDO_EPOCH : 0));
	cc_reduce(cc, cc->cwnd, BETA_NUM, BETA_DEN);
}

static void cubic_congestion(struct cc *cc, uint32_t in_flight, uint64_t now)
{
	struct cubic *c = cubic_state(cc);
	uint64_t cwnd = cc->cwnd;

	(void)in_flight;
	(void)now;
	reduce(cc, c);
	/* Section 4.7, fast convergence: below the last W_max, leave room for new flows. */
	if (cwnd < c->w_max)
		c->w_max = (uint32_t)(cwnd * (BETA_DEN + BETA_NUM) / (2 * BETA_DEN));
	else
		c->w_max = (uint32_t)cwnd;
}

/* Section 4.8. */
static void cubic_timeout(struct cc *cc, uint32_t in_flight, uint64_t now)
{
	struct cubic *c = cubic_state(cc);

	(void)in_flight;
	(void)now;
	reduce(cc, c);
	c->flags |= AFTER_TIMEOUT;
}

/* Section 4.9: the reduction was spurious. */
static void cubic_undo(struct cc *cc, uint64_t now)
{
	struct cubic *c = cubic_state(cc);

	(void)now;
	if (!(c->flags & UNDO))
		return;
	follow_mss(c, cc->mss);
	if (cc->cwnd < cc->prior_cwnd) {
		cc->cwnd = cc->prior_cwnd;
		cc->ssthresh = cc->prior_ssthresh;
		cc->prior_cwnd = c->prior.cwnd_prior;
		cc->acked = 0;
		c->t_us = c->prior.t_us;
		c->k_us = c->prior.k_us;
		c->w_max = c->prior.w_max;
		c->w_est = c->prior.w_est;
		c->w_est_fraction = 0;
		c->flags = c->flags & UNDO_EPOCH ? EPOCH : 0;
	}
	c->flags &= (uint16_t) ~(UNDO | UNDO_EPOCH);
}

static void cubic_restart(struct cc *cc, uint64_t idle_ns, uint64_t now)
{
	(void)idle_ns;
	(void)now;
	cubic_state(cc)->flags &= (uint16_t)~CLOCK;
	cc_restart(cc);
}

const struct cc_ops cc_cubic = {
	.name = "cubic",
	.state_bytes = sizeof(struct cubic),
	.init = cubic_init,
	.ack = cubic_ack,
	.ack_unused = cubic_ack_unused,
	.congestion = cubic_congestion,
	.timeout = cubic_timeout,
	.undo = cubic_undo,
	.restart = cubic_restart,
};
