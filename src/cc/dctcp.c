/* SPDX-License-Identifier: MIT */
/*
 * DCTCP, RFC 8257: cwnd falls by half of the share of bytes that were marked, not by half. Only
 * where every queue on the path marks early, as in a data centre. A loss counts as for Reno.
 */
#include "cc/cc.h"

#define ALPHA_ONE   1024u /* DCTCP.Alpha is kept in 1/1024 */
#define GAIN_SHIFT  4	  /* g = 1/16 */
#define SHARE_SHIFT 10

/* Kept in the words of cc->state. */
struct __attribute__((may_alias)) dctcp {
	uint64_t
		window_end; /* the observation window ends when what was sent after this is acked */
	uint64_t acked, marked; /* bytes in it */
	uint32_t alpha;
	bool begun;
};

_Static_assert(sizeof(struct dctcp) <= CC_STATE_BYTES, "DCTCP's state fits into struct cc");

static struct dctcp *dctcp_state(struct cc *cc)
{
	return (struct dctcp *)(void *)cc->state;
}

static void dctcp_init(struct cc *cc, uint64_t now)
{
	(void)now;
	*dctcp_state(cc) = (struct dctcp){ .alpha = ALPHA_ONE }; /* section 3.3: 1 at first */
}

/* Section 3.3, steps 1 to 9. */
static void estimate(struct dctcp *d, const struct ack_event *ev)
{
	uint64_t share;

	d->acked += ev->newly_acked;
	d->marked += ev->ce_bytes;
	if (!d->begun) {
		d->begun = true;
		d->window_end = ev->delivered;
		return;
	}
	if (!ev->rate.has_data || ev->rate.prior_delivered < d->window_end || !d->acked)
		return;
	share = (d->marked << SHARE_SHIFT) / d->acked;
	d->alpha -= d->alpha >> GAIN_SHIFT;
	d->alpha += (uint32_t)(share >> GAIN_SHIFT);
	if (d->alpha > ALPHA_ONE)
		d->alpha = ALPHA_ONE;
	d->acked = d->marked = 0;
	d->window_end = ev->delivered;
}

static void dctcp_ack(struct cc *cc, const struct ack_event *ev)
{
	uint32_t acked = cc_growth_bytes(ev);

	estimate(dctcp_state(cc), ev);
	if (!ev->cwnd_limited || ev->in_reduction || !ev->acked_bytes)
		return;
	if (cc->cwnd < cc->ssthresh)
		acked = cc_slow_start(cc, ev, acked);
	if (acked)
		cc_additive_increase(cc, acked, cc->cwnd);
}

/* Section 3.3 step 10: cwnd * (1 - alpha / 2) for marks; 3.5: half for a loss. */
static void dctcp_congestion(struct cc *cc, uint32_t in_flight, uint64_t now)
{
	uint32_t alpha = cc->marked ? dctcp_state(cc)->alpha : ALPHA_ONE;

	(void)now;
	cc_reduce(cc, cc->marked ? cc->cwnd : in_flight, 2 * ALPHA_ONE - alpha, 2 * ALPHA_ONE);
}

static void dctcp_timeout(struct cc *cc, uint32_t in_flight, uint64_t now)
{
	(void)now;
	cc_reduce(cc, in_flight, 1, 2);
}

static void dctcp_undo(struct cc *cc, uint64_t now)
{
	(void)now;
	if (cc->cwnd < cc->prior_cwnd)
		cc->cwnd = cc->prior_cwnd;
	if (cc->ssthresh < cc->prior_ssthresh)
		cc->ssthresh = cc->prior_ssthresh;
}

static void dctcp_restart(struct cc *cc, uint64_t idle_ns, uint64_t now)
{
	(void)idle_ns;
	(void)now;
	cc_restart(cc);
}

static void dctcp_tell(const struct cc *cc, struct cc_told *told)
{
	const struct dctcp *d = (const struct dctcp *)(const void *)cc->state;

	told->alpha = d->alpha;
	told->acked = d->acked;
	told->marked = d->marked;
}

const struct cc_ops cc_dctcp = {
	.name = "dctcp",
	.state_bytes = sizeof(struct dctcp),
	.needs_ecn = true,
	.every_ack = true,
	.init = dctcp_init,
	.ack = dctcp_ack,
	.congestion = dctcp_congestion,
	.timeout = dctcp_timeout,
	.undo = dctcp_undo,
	.restart = dctcp_restart,
	.tell = dctcp_tell,
};
