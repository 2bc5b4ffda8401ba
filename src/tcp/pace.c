/* SPDX-License-Identifier: MIT */
/*
 * Pacing: a controller that has a rate, or a program that sets one, lets data go in bursts of a
 * send quantum, at most one millisecond's worth, so that a timer that is good to 50 us can keep it.
 * The others' data leaves as ACKs make room, gathered to bursts of as much where that costs no
 * time.
 */
#include "tcp/tcp.h"

#define PACE_CREDIT_NS (500 * 1000ull)
#define GATHER_MAX     65000u

uint64_t pace_rate(const struct tcb_io *io)
{
	uint64_t rate = io->cc.pacing_rate, max = io->pace_max;

	return max && (!rate || max < rate) ? max : rate;
}

/* New data is about to go. */
void pace_before(struct tcb *tcb, uint64_t now)
{
	struct tcb_io *io = tcb->io;
	struct send_event ev;

	if (!cc_ops(&io->cc)->sent)
		return;
	ev = (struct send_event){
		.now = now,
		.delivered = io->map.delivered,
		.srtt_ns = tcb->rtt.srtt_ns,
		.in_flight = sendmap_pipe(&io->map),
		.app_limited = io->map.app_limited_until,
	};

	cc_ops(&io->cc)->sent(&io->cc, &ev);
}

/* True: the pacer holds the next burst; its timer is set. */
bool pace_holds(struct tcb *tcb, uint64_t now)
{
	struct tcb_io *io = tcb->io;

	if (!pace_rate(io) || io->pace_at <= now || io->recovery.probe_due)
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
	uint64_t from = now > PACE_CREDIT_NS ? now - PACE_CREDIT_NS : 0, rate = pace_rate(io);

	if (!rate)
		return;
	if (io->pace_at < from)
		io->pace_at = from;
	io->pace_at += len * 1000000000ull / rate;
}

/*
 * cwnd has ROOM for less than there is: does it wait for the next ACK, to go as one burst? As in
 * Linux (RFC 5681 lets cwnd be used, it does not make it): of a millisecond's worth, a third of
 * cwnd at most, if the next ACK cannot be far: something left within the last millisecond, and what
 * was sent first is to be acknowledged within the next (in half a round trip, if that is less; what
 * waits for the first ACK of the next round trip would leave the path idle for so long). Fewer and
 * larger super-segments for the device; and a window that does not fill the path is spread over the
 * round trip, not kept in one clump.
 */
bool pace_gathers(const struct tcb *tcb, uint32_t room, uint32_t mss, uint64_t now)
{
	const struct tcb_io *io = tcb->io;
	const struct sent *first = sendmap_first(&io->map);
	uint64_t srtt = tcb->rtt.srtt_ns, since = now - io->last_sent, burst;
	uint64_t soon = srtt / 2 < CPL_MS ? srtt / 2 : CPL_MS;

	if (io->recovery.state >= CPL_RECOVERY_FAST || io->recovery.probe_due || pace_rate(io) ||
	    !srtt || !first)
		return false;
	/* What goes at the same instant is the same burst. */
	if (!since || since > CPL_MS || first->time + srtt > now + soon)
		return false;
	burst = (uint64_t)io->cc.cwnd * CPL_MS / srtt * 5 / 4;
	if (burst < 2ull * mss)
		burst = 2ull * mss;
	if (burst > io->cc.cwnd / 3)
		burst = io->cc.cwnd / 3;
	if (burst > GATHER_MAX)
		burst = GATHER_MAX;
	return room < burst - burst % mss;
}
