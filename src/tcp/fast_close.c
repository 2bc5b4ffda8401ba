/* SPDX-License-Identifier: MIT */
/*
 * Short ways for the segments that mostly end a connection (RFC 9293 3.6): a FIN by itself, next in
 * order, and the ACK of ours. Both acknowledge all that was sent. As in fast.c: what must hold for
 * the long way to do exactly what follows comes first, and nothing is done where it does not. Of an
 * orphan that is over nothing is left to be asked for: what the long way would note in it on the
 * way to its end is not noted.
 */
#include "tcp/ecn.h"
#include "tcp/fast.h"
#include "tcp/timewait.h"

/* Nothing of this segment, without text, needs a decision but its ACK and its FIN. */
static bool is_expected(const struct tcp *tcp, const struct tcb *tcb, const struct tcp_seg *seg)
{
	if (!tcb->io || seg->len || seg->seq != tcb->rcv_nxt || seg->ack != tcb->snd_nxt ||
	    (seg->flags & ~(TCP_PSH | TCP_FIN)) != TCP_ACK || tcp->long_way)
		return false;
	if (tcb_has(tcb, TCB_PERSIST | TCB_URG_OUT) || tcb->accecn || tcb->ecn ||
	    !list_empty(&tcb->io->ooo))
		return false;
	if (!tcb_has(tcb, TCB_TS))
		return !seg->opts;
	return seg->opts == TCP_HAS_TS && seq_geq(seg->tsval, tcb->ts_recent);
}

/* Nobody asks for TCB any more, and our FIN, the last that was sent, is acknowledged. */
static bool is_over(const struct tcp *tcp, const struct tcb *tcb)
{
	return tcb_has(tcb, TCB_ORPHAN) && tcb_has(tcb, TCB_FIN_SENT) && !trace_on(tcp->trace);
}

/* take_timestamp() */
static void take_timestamp(struct tcb *tcb, const struct tcp_seg *seg, uint64_t now)
{
	if (!seg->opts || !seq_leq(seg->seq, tcb->last_ack_sent))
		return;
	tcb->ts_recent = seg->tsval;
	tcb->ts_recent_s = tcp_seconds(now);
}

/* The peer's FIN comes first: CLOSE-WAIT. */
static bool passive_close(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg, uint64_t now)
{
	bool fin;

	if (tcb_has(tcb, TCB_ORPHAN) ||
	    (tcb->snd_una != tcb->snd_nxt && !fast_ack(tcp, tcb, seg, &fin, now)))
		return false;
	tcb->segs_in++;
	input_window(tcp, tcb, seg, now);
	take_timestamp(tcb, seg, now);
	input_fin(tcp, tcb, now);
	tcb->last_received = now;
	tcb->probes_n = 0;
	if (trace_on(tcp->trace))
		trace_seg_in(tcp, tcb_handle(tcp, tcb), seg, false, now);
#ifdef CPL_DEBUG
	tcb_check(tcp, tcb);
#endif
	tcb_ready(tcp,
		  tcb); /* tcb_kick(): the ACK is due at once; no timer is nearer than before */
	return true;
}

/* The peer's FIN comes after ours was acknowledged, or with its ACK: TIME-WAIT. */
static void active_close(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg, uint64_t now)
{
	take_timestamp(tcb, seg, now);
	tcb->rcv_nxt++; /* input_fin() */
	if (seq_gt(tcb->rcv_nxt, tcb->rcv_edge))
		tcb->rcv_edge = tcb->rcv_nxt;
	time_wait_replace(tcp, tcb, now);
}

bool fast_close(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg, uint64_t now)
{
	bool fin = seg->flags & TCP_FIN;

	if (!is_expected(tcp, tcb, seg))
		return false;
	if (tcb->state == CPL_ESTABLISHED && fin) {
		if (!passive_close(tcp, tcb, seg, now))
			return false;
	} else if ((tcb->state == CPL_FIN_WAIT_1 || tcb->state == CPL_FIN_WAIT_2) && fin &&
		   is_over(tcp, tcb)) {
		active_close(tcp, tcb, seg, now);
	} else if (tcb->state == CPL_LAST_ACK && !fin && is_over(tcp, tcb)) {
		tcb_discard(tcp, tcb, now);
	} else {
		return false;
	}
#ifdef CPL_DEBUG
	tcp->short_ways++;
#endif
	return true;
}
