/* SPDX-License-Identifier: MIT */
/*
 * SEGMENT ARRIVES (RFC 9293 section 3.10.7): where a segment goes, and for a connection the checks
 * of 3.10.7.4 in the RFC's order. Each check returns a verdict; only segment_arrives() acts on it.
 */
#include "tcp/ecn.h"
#include "tcp/fast.h"
#include "tcp/timewait.h"

#define PAWS_IDLE_S (24u * 24 * 3600) /* RFC 7323 5.5 */
#define OOW_ACK_MS  500		      /* as Linux's tcp_invalid_ratelimit */
#define LATE_TICKS  50u		      /* of the peer's timestamp clock */

/* ---- 3.10.7.4 first: sequence number ---- */

/* RFC 7323 5.3; 5.5: after 24 days a timestamp says nothing any more. */
static bool is_older(const struct tcb *tcb, uint32_t tsval, uint64_t now)
{
	return seq_lt(tsval, tcb->ts_recent) && tcp_seconds(now) - tcb->ts_recent_s < PAWS_IDLE_S;
}

/*
 * A retransmission that filled a hole has moved TS.Recent on, and what left just before it, and was
 * held up on the way, comes after it: rejected, it would be lost in earnest, and by its own
 * retransmission bring about the next. A little older than TS.Recent is acceptable where data is
 * missing: no sequence number comes round in so short a time (RFC 7323 5.3 knows no such case).
 */
static bool is_late(const struct tcb *tcb, const struct tcp_seg *seg)
{
	return seg->len && tcb->io && !list_empty(&tcb->io->ooo) &&
	       tcb->ts_recent - seg->tsval <= LATE_TICKS;
}

static bool paws_rejects(const struct tcb *tcb, const struct tcp_seg *seg, uint64_t now)
{
	if (!tcb_has(tcb, TCB_TS) || (seg->flags & TCP_RST))
		return false;
	if (!(seg->opts & TCP_HAS_TS))
		return true; /* RFC 7323 3.2 */
	return is_older(tcb, seg->tsval, now) && !is_late(tcb, seg);
}

/* The four cases of the table in 3.10.7.4; MUST-66: with a zero window, what starts at RCV.NXT. */
static bool in_window(const struct tcb *tcb, const struct tcp_seg *seg)
{
	uint32_t wnd = tcb_rcv_wnd(tcb), len = tcp_seg_len(seg);

	if (seg->seq == tcb->rcv_nxt)
		return true; /* what does not fit is trimmed, ACK, URG and RST count */
	/* It starts in the window, or before it and reaches into it. Distances, not comparisons:
	 * half the circle away "before" and "after" are both true. */
	return seq_in(seg->seq, tcb->rcv_nxt, wnd) || (wnd && tcb->rcv_nxt - seg->seq < len);
}

/* Report the part that we have already (RFC 2883 4). */
static void note_duplicate(struct tcb *tcb, const struct tcp_seg *seg)
{
	uint32_t end = seq_min(seg->seq + seg->len, tcb->rcv_nxt);

	if (tcb->io && seq_lt(seg->seq, end)) {
		dsack_note(tcb, seg->seq, end);
		if (tcb->accecn)
			accecn_duplicate(tcb);
	}
}

bool input_may_answer(struct tcb *tcb, uint64_t now)
{
	/* The lowest bit is set: 0 is never, and the mark may be a little ahead. */
	if (tcb->oow_ms && (int32_t)(tcp_ts_clock(now) - tcb->oow_ms) < OOW_ACK_MS)
		return false;
	tcb->oow_ms = tcp_ts_clock(now) | 1;
	return true;
}

/* An answer to what is not acceptable: always for data, else seldom, lest two ends answer for ever.
 */
static enum verdict unacceptable(struct tcb *tcb, const struct tcp_seg *seg, uint64_t now)
{
	if (seg->flags & TCP_RST)
		return V_DROP;
	if ((!tcp_seg_len(seg) || (seg->flags & TCP_SYN)) && !input_may_answer(tcb, now))
		return V_DROP;
	return V_ACK;
}

static enum verdict check_sequence(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg,
				   uint64_t now)
{
	if (paws_rejects(tcb, seg, now)) {
		tcp_drop(tcp, COUNTER_drop_tcp_paws);
		return seg->opts & TCP_HAS_TS ? unacceptable(tcb, seg, now) : V_DROP;
	}
	if (!in_window(tcb, seg)) {
		tcp_drop(tcp, COUNTER_drop_tcp_window);
		note_duplicate(tcb, seg);
		return unacceptable(tcb, seg, now);
	}
	return V_CONTINUE;
}

/* RFC 7323 4.3; as Linux only once the ACK was found good: a forger must guess that, too. */
static void take_timestamp(struct tcb *tcb, const struct tcp_seg *seg, uint64_t now)
{
	if (!tcb_has(tcb, TCB_TS) || !(seg->opts & TCP_HAS_TS))
		return;
	if (is_older(tcb, seg->tsval, now) || !seq_leq(seg->seq, tcb->last_ack_sent))
		return;
	tcb->ts_recent = seg->tsval;
	tcb->ts_recent_s = tcp_seconds(now);
}

/* ---- second: RST (RFC 5961 3.2); SHLD-2: it may carry data ---- */

static enum verdict check_rst(struct tcp *tcp, const struct tcb *tcb, const struct tcp_seg *seg)
{
	if (!(seg->flags & TCP_RST))
		return V_CONTINUE;
	if (seg->seq != tcb->rcv_nxt) {
		tcp_drop(tcp, COUNTER_drop_tcp_rst);
		return V_CHALLENGE;
	}
	switch (tcb->state) {
	case CPL_SYN_RECEIVED: /* RFC 7413: who was accepted at a SYN has a program already */
		return fastopen_is_child(tcb) ? V_RESET : V_REFUSED;
	case CPL_CLOSING:
	case CPL_LAST_ACK:
		return V_OVER;
	default:
		return V_RESET;
	}
}

/* ---- fourth: SYN (RFC 5961 4.2) ---- */

static enum verdict check_syn(struct tcp *tcp, const struct tcp_seg *seg)
{
	if (!(seg->flags & TCP_SYN))
		return V_CONTINUE;
	tcp_drop(tcp, COUNTER_drop_tcp_syn);
	return V_CHALLENGE;
}

/* SHLD-3: nobody is left to read what arrives after CLOSE. */
static enum verdict check_reader(struct tcp *tcp, const struct tcb *tcb, const struct tcp_seg *seg)
{
	if (!tcb_has(tcb, TCB_ORPHAN) || !seg->len || tcb_has(tcb, TCB_FIN_RECEIVED))
		return V_CONTINUE;
	if (!seq_gt(seg->seq + seg->len, tcb->rcv_nxt))
		return V_CONTINUE;
	tcp_drop(tcp, COUNTER_drop_tcp_closed);
	return V_RST;
}

/* The peer's SYN,ACK in a simultaneous open repeats the SYN that we have: only its ACK counts. */
static bool is_crossed_synack(const struct tcb *tcb, const struct tcp_seg *seg)
{
	return tcb->state == CPL_SYN_RECEIVED &&
	       (seg->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == (TCP_SYN | TCP_ACK) &&
	       seg->seq == tcb->irs && seq_gt(seg->ack, tcb->iss) &&
	       seq_leq(seg->ack, tcb->snd_nxt);
}

/* Our SYN,ACK was lost: half_segment() for a connection that was accepted at its SYN. */
static bool is_syn_again(const struct tcb *tcb, const struct tcp_seg *seg)
{
	return fastopen_is_child(tcb) && (seg->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN &&
	       seg->seq == tcb->irs;
}

/* RFC 9768 3.2.2.1: its ACK says how it came, as that of the first one did. */
static bool is_synack_again(const struct tcb *tcb, const struct tcp_seg *seg)
{
	return tcb->accecn && !tcb_has(tcb, TCB_PASSIVE) &&
	       (seg->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == (TCP_SYN | TCP_ACK) &&
	       seg->seq == tcb->irs && seg->ack == tcb->iss + 1 && accecn_ace(seg) > 1;
}

static enum verdict synchronized_segment(struct tcp *tcp, struct tcb *tcb, const struct seg_in *in,
					 uint64_t now)
{
	const struct tcp_seg *seg = &in->tcp;
	bool fin = false;
	enum verdict v;

	if (is_syn_again(tcb, seg))
		return fastopen_syn_again(tcb, now);
	if (is_crossed_synack(tcb, seg)) { /* MUST-10 */
		v = input_ack(tcp, tcb, in, now);
		if (tcb->io)
			dsack_note(tcb, seg->seq, seg->seq + 1);
		return v == V_CONTINUE ? V_ACK : v;
	}
	if ((v = check_sequence(tcp, tcb, seg, now)) != V_CONTINUE) {
		if (v == V_ACK && is_synack_again(tcb, seg))
			accecn_synack(tcp, tcb, in, true);
		return v;
	}
	if ((v = check_rst(tcp, tcb, seg)) != V_CONTINUE)
		return v;
	/* Third: security and precedence, which nobody uses (RFC 9293 A.1). */
	if ((v = check_syn(tcp, seg)) != V_CONTINUE)
		return v;
	if ((v = input_ack(tcp, tcb, in, now)) != V_CONTINUE)
		return v;
	take_timestamp(tcb, seg, now);
	if (tcb->accecn)
		accecn_received(tcb, in);
	source_route_again(tcp, tcb, in, now);
	if ((v = check_reader(tcp, tcb, seg)) != V_CONTINUE)
		return v;
	if ((v = input_urgent(tcp, tcb, in, now)) != V_CONTINUE)
		return v;
	if ((v = input_text(tcp, tcb, in, &fin, now)) != V_CONTINUE)
		return v;
	return fin ? input_fin(tcp, tcb, now) : V_CONTINUE;
}

/* The one place where verdicts become actions. */
static void act(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg, enum verdict v,
		uint64_t now)
{
	switch (v) {
	case V_CONTINUE:
		return;
	case V_DROP:
		tcb->drops++;
		return;
	case V_CHALLENGE:
		tcb->drops++;
		if (challenge_allowed(tcp, now)) {
			tcp->counters->challenge_acks++;
			tcb->flags |= TCB_ACK_NOW;
		}
		return;
	case V_ACK:
		tcb->flags |= TCB_ACK_NOW;
		return;
	case V_RST:
		reply_rst(tcp, &tcb->node.id, tcb->ifindex, seg);
		if (tcb->state > CPL_SYN_RECEIVED) /* check_reader() */
			tcb_finish(tcp, tcb, EPIPE, now);
		return;
	case V_REFUSED:
		tcp->counters->resets++;
		tcb_finish(tcp, tcb, ECONNREFUSED, now);
		return;
	case V_RESET: /* MUST-12 */
		tcp->counters->resets++;
		fastopen_settled(tcp, tcb, true, now);
		tcb_finish(tcp, tcb, tcb->state == CPL_CLOSE_WAIT ? EPIPE : ECONNRESET, now);
		return;
	case V_OVER:
		tcb_finish(tcp, tcb, 0, now);
		return;
	case V_TIME_WAIT:
		time_wait_enter(tcp, tcb, now);
		return;
	}
}

void trace_seg_in(struct tcp *tcp, cpl_handle handle, const struct tcp_seg *seg, bool dropped,
		  uint64_t now)
{
	TRACE(tcp->trace, now, handle, seg_in, seg->seq, seg->ack, seg->len, seg->flags,
	      (uint32_t)seg->wnd, seg->opts,
	      (uint32_t)seg->mss << 16 | (seg->opts & TCP_HAS_WSCALE ? seg->wscale : 0), seg->tsval,
	      seg->tsecr, dropped);
	if (tcp->dropped)
		TRACE(tcp->trace, now, handle, drop, tcp->dropped, seg->seq, seg->len, seg->flags);
	tcp->dropped = 0;
}

void segment_arrives(struct tcp *tcp, struct tcb *tcb, const struct seg_in *in, uint64_t now)
{
	const struct tcp_seg *seg = &in->tcp;
	uint32_t n = in->gso_size ? (seg->len + in->gso_size - 1) / in->gso_size : 1;
	uint32_t drops = tcb->drops;
	enum verdict v;

	tcb->plain = false;
	tcb->segs_in += n ? n : 1;
	tcb->data_segs_in += seg->len ? n : 0;
	if (tcb->state == CPL_SYN_SENT)
		v = input_syn_sent(tcp, tcb, in, now);
	else
		v = synchronized_segment(tcp, tcb, in, now);
	if (v == V_CONTINUE || v == V_ACK) {
		tcb->last_received = now;
		if (tcb->state != CPL_SYN_SENT && !tcb_has(tcb, TCB_PERSIST))
			tcb->probes_n = 0;
	}
	act(tcp, tcb, seg, v, now);
	if (trace_on(tcp->trace))
		trace_seg_in(tcp, tcb_handle(tcp, tcb), seg, tcb->drops != drops, now);
	tcp->dropped = 0;
#ifdef CPL_DEBUG
	tcb_check(tcp, tcb);
#endif
	if (tcb->state != CPL_CLOSED && tcb->state != CPL_TIME_WAIT) {
		timer_update(tcp, tcb);
		tcb_kick(tcp, tcb);
	}
	tcb_reap(tcp, tcb);
}

/* ---- 3.10.7.1 to 3.10.7.2: no connection ---- */

static bool syn_addresses_ok(struct tcp *tcp, const struct seg_in *in)
{
	/* MUST-57, MUST-63 */
	return addr_is_source(&in->ip->src) && !addr_is_multicast(&in->ip->dst) &&
	       !route_is_broadcast(tcp->routes, &in->ip->dst) &&
	       !route_is_broadcast(tcp->routes, &in->ip->src) && in->tcp.sport && in->tcp.dport;
}

static struct tcb *listener_for(struct tcp *tcp, const struct conn_id *id, int ifindex)
{
	struct tcb *listener = port_listener_for(tcp, id, ifindex);

	if (!listener)
		listener = tcp->catch_all[ifindex];
	return listener ? listener : tcp->catch_all[0];
}

static void no_connection(struct tcp *tcp, const struct conn_id *id, const struct seg_in *in,
			  uint64_t now)
{
	struct tcb *listener = listener_for(tcp, id, in->ifindex);
	uint8_t flags = (uint8_t)in->tcp.flags;

	if (!syn_addresses_ok(tcp, in)) {
		tcp_drop(tcp, COUNTER_drop_tcp_address);
		return;
	}
	if (listener) {
		listen_segment(tcp, listener, in, now);
		return;
	}
	tcp_drop(tcp, COUNTER_drop_tcp_no_conn);
	if (!(flags & TCP_RST))
		reply_rst(tcp, id, in->ifindex, &in->tcp);
}

void tcp_input(struct tcp *tcp, const struct seg_in *in, uint64_t now)
{
	struct conn_id id = { in->ip->dst, in->ip->src, in->tcp.dport, in->tcp.sport };
	uint32_t iss_floor = 0;
	void *found;
	enum conn_kind kind;
	struct tcb *listener;
	cpl_handle handle = 0;

	tcp->counters->segs_in++;
	tcp->dropped = 0;
	found = demux_wake(tcp, &id, &kind);
	if (kind == KIND_REST) {
		tcp_drop(tcp, COUNTER_drop_memory);
	} else if (!found) {
		no_connection(tcp, &id, in, now);
	} else if (kind == KIND_TCB) {
		if (in->gso_size || in->lent || in->ip->options_len ||
		    !fast_input(tcp, found, &in->tcp, now))
			segment_arrives(tcp, found, in, now);
	} else if (kind == KIND_HALF && half_listener(tcp, found)) {
		half_segment(tcp, found, in, now);
	} else if (kind == KIND_HALF) { /* as if it had gone with its listener */
		half_free(tcp, found);
		no_connection(tcp, &id, in, now);
	} else {
		struct time_wait *tw = found;

		handle = time_wait_handle(tw);
		/* MAY-2 needs somebody to open to. */
		listener = listener_for(tcp, &id, in->ifindex);
		if (time_wait_segment(tcp, tw, in, listener ? &iss_floor : NULL, now)) {
			listen_syn(tcp, listener, in, iss_floor, now);
			return;
		}
	}
	if (tcp->dropped || handle)
		trace_seg_in(tcp, handle, &in->tcp, tcp->dropped, now);
}
