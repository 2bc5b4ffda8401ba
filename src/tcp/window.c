/* SPDX-License-Identifier: MIT */
/*
 * The receive window (RFC 9293 3.8.6): what to offer, silly-window avoidance, never moving the
 * right edge back; and buffers that grow with the path: the receiver's by what the program reads in
 * a round trip, the sender's by cwnd. And what an ACK settles that goes.
 */
#include "tcp/tcp.h"

#define DRS_SEGMENTS 10u /* an initial window (RFC 6928) is no growth */

/* The shift that the largest buffer needs, as Linux chooses it (RFC 7323 2.2: at most 14). */
uint8_t window_scale(const struct tcp *tcp, uint32_t rcvbuf)
{
	uint32_t most = rcvbuf > tcp->config->rcvbuf_max ? rcvbuf : tcp->config->rcvbuf_max;
	unsigned bits = 31 - (unsigned)__builtin_clz(most | 1);
	unsigned shift = bits > 15 ? bits - 15 : 0;

	return (uint8_t)(shift > 14 ? 14 : shift);
}

/* What the connection's own buffer would take beyond RCV.NXT. */
static uint32_t window_room(const struct tcb *tcb)
{
	uint64_t unread = tcb->io ? tcb->io->rcvq.bytes : 0;
	/* MAY-8: none, for as long as the program does not read */
	uint32_t room = tcb->rcvbuf > unread ? tcb->rcvbuf - (uint32_t)unread : 0;
	uint32_t max = 65535u << tcb->rcv_wscale;

	if (tcb->cold && tcb->cold->window_clamp && room > tcb->cold->window_clamp)
		room = tcb->cold->window_clamp;
	return room < max ? room : max;
}

/* What could be taken beyond RCV.NXT. */
uint32_t window_to_offer(struct tcp *tcp, struct tcb *tcb)
{
	uint64_t pool = tcp->mem->limit - tcp->mem->used;
	uint32_t room = window_room(tcb);

	/* Never promise what the pool does not have: the last eighth is for what is promised. */
	if (pool < tcp->mem->limit / 8)
		room = 0;
	else if (room > pool / 2)
		room = (uint32_t)(pool / 2);
	return room;
}

static uint32_t sws_step(const struct tcb *tcb)
{
	uint32_t half = tcb->rcvbuf / 2; /* Fr = 1/2 */

	return half < tcb->rcv_mss_est ? half : tcb->rcv_mss_est;
}

/*
 * WND in units of the window field: rounded up, so that scaling does not move the edge back
 * (SHLD-14). But not beyond the buffer and a unit: octet by octet, rounding up would give away more
 * and more (RFC 7323 2.4 lets the edge retreat by less than a unit).
 */
static uint32_t window_field(const struct tcb *tcb, uint32_t wnd)
{
	uint64_t unread = tcb->io ? tcb->io->rcvq.bytes : 0;
	uint32_t unit = 1u << tcb->rcv_wscale, up = (wnd + unit - 1) & ~(unit - 1);

	if (up > wnd && unread + up > (uint64_t)tcb->rcvbuf + unit)
		up -= unit;
	up >>= tcb->rcv_wscale;
	return up > 65535 ? 65535 : up;
}

uint16_t window_advertise(struct tcp *tcp, struct tcb *tcb)
{
	uint32_t cur = tcb_rcv_wnd(tcb), least = cur + sws_step(tcb), wnd = cur, offer, field;

	/* MUST-39: the edge moves by min(Fr * RCV.BUFF, Eff.snd.MSS) at least, or not at all. No
	 * window is larger than the buffer. */
	if (tcb->rcvbuf >= least && (offer = window_to_offer(tcp, tcb)) >= least)
		wnd = offer;
	field = window_field(tcb, wnd);
	if (field << tcb->rcv_wscale > cur)
		tcb->rcv_edge = tcb->rcv_nxt + (field << tcb->rcv_wscale);
	return (uint16_t)field;
}

/*
 * As Linux: the program took all that the peer has pushed, and if it only receives no answer is to
 * carry the ACK: the peer may have no more to send before it comes (Nagle, a small cwnd).
 */
static bool push_is_read(const struct tcb *tcb)
{
	const struct tcb_io *io = tcb->io;

	return io && io->pushed && !io->rcvq.bytes && tcb_has(tcb, TCB_DELACK) &&
	       !tcb_has(tcb, TCB_PINGPONG);
}

/*
 * After a read: an update of its own, when the window has doubled, for the peer may be waiting for
 * it; or the ACK that was delayed.
 */
void window_after_read(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	uint32_t cur = tcb_rcv_wnd(tcb);

	if (!tcb_synchronized(tcb) || tcb_has(tcb, TCB_FIN_RECEIVED) || tcb->state == CPL_TIME_WAIT)
		return;
	rcvbuf_autotune(tcp, tcb, now);
	if (!push_is_read(tcb)) {
		uint32_t least = cur + (cur > sws_step(tcb) ? cur : sws_step(tcb));

		/* No window is larger than the buffer. */
		if (tcb->rcvbuf < least || window_to_offer(tcp, tcb) < least)
			return;
	}
	tcb->flags |= TCB_ACK_NOW;
	tcb_kick(tcp, tcb);
}

/*
 * Is what goes now an answer? It carries an ACK that was owed (not what a SYN had carried in vain,
 * going again), or, as Linux has it, data came not long ago, even if that is acknowledged already;
 * but not with the SYN.
 */
static bool is_answer(const struct tcp *tcp, const struct tcb *tcb, uint64_t now)
{
	if (tcb->bytes_received && tcb->last_data != tcb->made &&
	    now - tcb->last_data < tcp->config->delack_ns)
		return true;
	return (tcb->io->unacked_in || tcb->fastopen_fail < FASTOPEN_NOT_ACKED) &&
	       tcb_has(tcb, TCB_DELACK | TCB_ACK_NOW);
}

/* An ACK goes with this segment: nothing is owed any more. */
void output_ack_goes(struct tcp *tcp, struct tcb *tcb, bool alone, uint64_t now)
{
	struct tcb_io *io = tcb->io;

	tcb->last_ack_sent = tcb->rcv_nxt;
	if (io) {
		if (!alone && !tcb_has(tcb, TCB_PINGPONG) && is_answer(tcp, tcb, now))
			tcb->flags |= TCB_PINGPONG;
		io->unacked_in = 0;
		io->pushed = false;
		io->t_delack = CPL_NEVER;
		io->dsack.start = io->dsack.end = 0;
		if (alone && io->quick)
			io->quick--;
		/* Without SACK each early segment asks for a duplicate ACK of its own (RFC 5681).
		 */
		if (!tcb_has(tcb, TCB_SACK) && io->dup_acks_owed > 1 && alone) {
			io->dup_acks_owed--;
			return;
		}
		io->dup_acks_owed = 0;
	}
	/* MUST-58, MUST-59: noted as segments came, spent once: one ACK for all of them. */
	tcb->flags &= ~(TCB_ACK_NOW | TCB_DELACK);
}

bool window_starved(const struct tcb *tcb)
{
	uint32_t cur = tcb_rcv_wnd(tcb);

	return tcb_synchronized(tcb) && !tcb_has(tcb, TCB_FIN_RECEIVED) && cur < tcb->rcv_mss_est &&
	       window_room(tcb) >= cur + sws_step(tcb);
}

/*
 * The receiver's view of the round trip: timestamps, else the time that a window takes, the
 * shortest (as Linux): a window larger than the path takes longer than a round trip.
 */
void rcvbuf_measure(struct tcb *tcb, const struct tcp_seg *seg, uint64_t now)
{
	struct tcb_io *io = tcb->io;
	uint64_t sample = 0;
	bool timed = false;

	if (tcb_has(tcb, TCB_TS) && (seg->opts & TCP_HAS_TS) && seg->tsecr &&
	    seg->len >= tcb->rcv_mss_est) {
		uint32_t ms = tcp_ts_clock(now) + tcb->ts_offset - seg->tsecr;

		if (ms < 60000)
			sample = ms ? ms * 1000u : 1000;
		timed = true;
	} else if (seq_geq(tcb->rcv_nxt, io->rcv_rtt_seq)) {
		sample = (now - io->rcv_rtt_time) / 1000;
		io->rcv_rtt_seq = tcb->rcv_nxt + tcb_rcv_wnd(tcb);
		io->rcv_rtt_time = now;
	}
	if (!sample)
		return;
	if (!io->rcv_rtt_us || sample < io->rcv_rtt_us)
		io->rcv_rtt_us = (uint32_t)sample;
	else if (timed)
		io->rcv_rtt_us += ((uint32_t)sample - io->rcv_rtt_us) / 8;
}

/*
 * Dynamic right-sizing, as Linux has it: a program that read more in a round trip than in any
 * before gets twice that; and, as what it read grew by a share, twice that share more: a sender in
 * slow start has doubled once more by now, and will again before it sees this window.
 */
void rcvbuf_autotune(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	struct tcb_io *io = tcb->io;
	uint32_t copied, most;
	uint64_t want;

	if (!io || tcb_has(tcb, TCB_RCVBUF_FIXED))
		return;
	if (!io->rcv_rtt_us || now - io->drs_time < io->rcv_rtt_us * 1000ull)
		return;
	copied = tcb->read_seq - io->drs_seq;
	most = io->drs_most > DRS_SEGMENTS * tcb->rcv_mss_est ? io->drs_most
							      : DRS_SEGMENTS * tcb->rcv_mss_est;
	io->drs_seq = tcb->read_seq;
	io->drs_time = now;
	if (copied <= most)
		return;
	io->drs_most = copied;
	want = 2ull * copied + 16ull * tcb->rcv_mss_est;
	want += most ? 2 * want * (copied - most) / most : 0;
	io->quick_left = copied < UINT32_MAX / 3 ? 3 * copied : UINT32_MAX;
	if (want > tcp->config->rcvbuf_max)
		want = tcp->config->rcvbuf_max;
	/* Growth needs memory that nobody else has been promised. */
	if (want > tcb->rcvbuf && tcp->mem->used < tcp->mem->limit / 2)
		tcb->rcvbuf = (uint32_t)want;
}

/*
 * One window is in flight; a loss keeps all that is sent after it in the buffer for a round trip, a
 * loss of the retransmission for another. With less, recovery ends in silence. Of a window that is
 * not used, what was in flight counts: more in the buffer would only wait there, and leave the
 * cache.
 */
#define SNDBUF_WINDOWS 3

void sndbuf_autotune(struct tcp *tcp, struct tcb *tcb)
{
	const struct tcb_io *io = tcb->io;
	uint32_t window = io->cwnd_limited || io->cc.cwnd < io->out_max ? io->cc.cwnd : io->out_max;
	uint64_t want = (uint64_t)SNDBUF_WINDOWS * window;

	if (tcb_has(tcb, TCB_SNDBUF_FIXED) || want <= tcb->sndbuf)
		return;
	if (want > tcp->config->sndbuf_max)
		want = tcp->config->sndbuf_max;
	if (want > tcb->sndbuf && tcp->mem->used < tcp->mem->limit / 2)
		tcb->sndbuf = (uint32_t)want;
}
