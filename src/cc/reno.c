/* SPDX-License-Identifier: MIT */
/* Congestion control of RFC 5681, by bytes acknowledged (RFC 3465). */
#include "cc/cc.h"

static void reno_init(struct cc *cc, uint64_t now)
{
	(void)cc;
	(void)now;
}

/* A window that was not used was not tested either (RFC 5681 3.1, RFC 7661). */
static void reno_ack_unused(struct cc *cc)
{
	(void)cc;
}

static void reno_ack(struct cc *cc, const struct ack_event *ev)
{
	uint32_t acked = cc_growth_bytes(ev);

	if (!ev->cwnd_limited) {
		reno_ack_unused(cc);
		return;
	}
	if (cc->cwnd < cc->ssthresh)
		acked = cc_slow_start(cc, ev, acked);
	if (acked)
		cc_additive_increase(cc, acked, cc->cwnd);
}

/* RFC 5681 equation (4): max(FlightSize / 2, 2 * SMSS). */
static void reno_reduce(struct cc *cc, uint32_t in_flight, uint64_t now)
{
	(void)now;
	cc_reduce(cc, in_flight, 1, 2);
}

static void reno_undo(struct cc *cc, uint64_t now)
{
	(void)now;
	if (cc->cwnd < cc->prior_cwnd)
		cc->cwnd = cc->prior_cwnd;
	if (cc->ssthresh < cc->prior_ssthresh)
		cc->ssthresh = cc->prior_ssthresh;
}

static void reno_restart(struct cc *cc, uint64_t idle_ns, uint64_t now)
{
	(void)idle_ns;
	(void)now;
	cc_restart(cc);
}

const struct cc_ops cc_reno = {
	.name = "reno",
	.init = reno_init,
	.ack = reno_ack,
	.ack_unused = reno_ack_unused,
	.congestion = reno_reduce,
	.timeout = reno_reduce,
	.undo = reno_undo,
	.restart = reno_restart,
};
