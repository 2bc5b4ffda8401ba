/* SPDX-License-Identifier: MIT */
/*
 * Pacing: a controller that has a rate lets data go in bursts of its send quantum, at most one
 * millisecond's worth, so that a timer that is good to 50 us can keep it.
 */
#include "tcp/tcp.h"

#define PACE_CREDIT_NS (500 * 1000ull)

/* New data is about to go. */
void pace_before(struct tcb *tcb, uint64_t now)
{
	struct tcb_io *io = tcb->io;
	struct send_event ev = {
		.now = now,
		.delivered = io->map.delivered,
		.srtt_ns = tcb->rtt.srtt_ns,
		.in_flight = sendmap_pipe(&io->map),
		.app_limited = io->map.app_limited_until,
	};

	if (io->cc.ops->sent)
		io->cc.ops->sent(&io->cc, &ev);
}

/* True: the pacer holds the next burst; its timer is set. */
bool pace_holds(struct tcb *tcb, uint64_t now)
{
	struct tcb_io *io = tcb->io;

	if (!io->cc.pacing_rate || io->pace_at <= now || io->recovery.probe_due)
		return false;
	if (!io->map.pending && tcb->snd_nxt == tcb_write_seq(tcb))
		return false;
	io->t_pace = io->pace_at;
	tcb_why(tcb, CPL_WHY_PACING, now);
	return true;
}

/* LEN bytes leave: what is late may be made up for, as far as PACE_CREDIT_NS goes. */
void pace_sent(struct tcb_io *io, uint32_t len, uint64_t now)
{
	uint64_t from = now > PACE_CREDIT_NS ? now - PACE_CREDIT_NS : 0;

	if (!io->cc.pacing_rate)
		return;
	if (io->pace_at < from)
		io->pace_at = from;
	io->pace_at += len * 1000000000ull / io->cc.pacing_rate;
}
