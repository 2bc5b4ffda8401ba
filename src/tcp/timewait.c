/* SPDX-License-Identifier: MIT */
/*
 * TIME-WAIT (RFC 9293 section 3.6.1, RFC 6191): small records in one list by age, since all last
 * 2 MSL.
 */
#include "tcp/ecn.h"

static void time_wait_restart(struct tcp *tcp, struct time_wait *tw, uint64_t now)
{
	tw->deadline = now + tcp->config->time_wait_ns; /* MUST-13 */
	list_del(&tw->age);
	list_push_back(&tcp->time_wait_age, &tw->age);
}

void time_wait_free(struct tcp *tcp, struct time_wait *tw, uint64_t now)
{
	TRACE(tcp->trace, now, tw->handle, state, CPL_TIME_WAIT, CPL_CLOSED);
	list_del(&tw->age);
	demux_del(tcp, &tw->node, KIND_TIME_WAIT);
	tw->gen = 0;
	pool_free(&tcp->time_waits, tw);
}

static void time_wait_ack(struct tcp *tcp, const struct time_wait *tw, uint64_t now)
{
	struct tcp_reply *r = reply_new(tcp, &tw->node.id);

	if (!r)
		return;
	r->handle = tw->handle;
	r->seg.seq = tw->snd_nxt;
	r->seg.ack = tw->rcv_nxt;
	r->seg.flags = (uint16_t)(TCP_ACK | tw->ace << ACE_SHIFT);
	r->seg.wnd = (uint16_t)(tw->rcv_wnd >> tw->rcv_wscale);
	r->tos = tw->tos;
	r->ifindex = tw->ifindex;
	if (tw->ts) {
		r->seg.opts = TCP_HAS_TS;
		r->seg.tsval = tcp_ts_clock(now) + tw->ts_offset;
		r->seg.tsecr = tw->ts_recent;
	}
}

static struct time_wait *time_wait_new(struct tcp *tcp, uint64_t now)
{
	struct time_wait *tw = pool_alloc(&tcp->time_waits, NULL);

	if (tw || list_empty(&tcp->time_wait_age))
		return tw;
	/* At the limit the oldest has waited longest. */
	time_wait_free(tcp, list_first(&tcp->time_wait_age, struct time_wait, age), now);
	return pool_alloc(&tcp->time_waits, NULL);
}

void time_wait_enter(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	struct time_wait *tw = time_wait_new(tcp, now);
	bool ack = tcb_has(tcb, TCB_ACK_NOW | TCB_DELACK);

	tcb_set_state(tcp, tcb, CPL_TIME_WAIT, now);
	if (!tw) {
		tcb_finish(tcp, tcb, 0, now);
		return;
	}
	memset(tw, 0, sizeof(*tw));
	tw->node.id = tcb->node.id;
	tw->gen = tcp_gen(tcp);
	list_init(&tw->age);
	tw->handle = tcb_handle(tcp, tcb);
	tw->snd_nxt = tcb->snd_nxt;
	tw->rcv_nxt = tcb->rcv_nxt;
	tw->rcv_wnd = tcb_rcv_wnd(tcb);
	tw->rcv_wscale = tcb->rcv_wscale;
	tw->ts = tcb_has(tcb, TCB_TS);
	tw->ts_recent = tcb->ts_recent;
	tw->ts_recent_ms = tcp_ts_clock(now);
	tw->ts_offset = tcb->ts_offset;
	tw->ifindex = tcb->ifindex;
	tw->tos = tcb->tos;
	tw->ace = tcb->accecn ? tcb->accecn->r_cep & 7 : 0;
	tcb_finish(tcp, tcb, 0, now);
	demux_add(tcp, &tw->node, KIND_TIME_WAIT);
	time_wait_restart(tcp, tw, now);
	if (ack)
		time_wait_ack(tcp, tw, now);
}

/* A SYN that cannot be an old duplicate: later in sequence or in time (RFC 6191 2). */
static bool may_reopen(const struct tcp *tcp, const struct time_wait *tw, const struct tcp_seg *seg)
{
	bool ts = (seg->opts & TCP_HAS_TS) && tcp->config->timestamps;

	if ((seg->flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) != TCP_SYN)
		return false;
	/* SHLD-4: by timestamps; the new connection's PAWS refuses what has none. */
	if (ts && (!tw->ts || seg->tsval != tw->ts_recent))
		return !tw->ts || seq_gt(seg->tsval, tw->ts_recent);
	return seq_gt(seg->seq, tw->rcv_nxt); /* MAY-2 */
}

bool time_wait_may_take(const struct time_wait *tw, uint64_t now)
{
	return tw->ts && tcp_ts_clock(now) - tw->ts_recent_ms > 1000;
}

/* RFC 5961 3.2; RFC 1337: nothing but the one right sequence number ends TIME-WAIT early. */
static void time_wait_rst(struct tcp *tcp, struct time_wait *tw, const struct tcp_seg *seg,
			  bool fits, uint64_t now)
{
	if (fits && seg->seq == tw->rcv_nxt) {
		time_wait_free(tcp, tw, now);
		return;
	}
	tcp_drop(tcp, COUNTER_drop_tcp_rst);
	if (!fits || !challenge_allowed(tcp, now))
		return;
	tcp->counters->challenge_acks++;
	time_wait_ack(tcp, tw, now);
}

bool time_wait_segment(struct tcp *tcp, struct time_wait *tw, const struct seg_in *in,
		       uint32_t *iss_floor, uint64_t now)
{
	const struct tcp_seg *seg = &in->tcp;
	bool old = tw->ts && (seg->opts & TCP_HAS_TS) && seq_lt(seg->tsval, tw->ts_recent);
	bool fits = seq_in(seg->seq, tw->rcv_nxt, tw->rcv_wnd ? tw->rcv_wnd : 1);

	if (seg->flags & TCP_RST) {
		time_wait_rst(tcp, tw, seg, !old && fits, now);
		return false;
	}
	if (iss_floor && may_reopen(tcp, tw, seg)) {
		*iss_floor = tw->snd_nxt + 65535 + 2;
		time_wait_free(tcp, tw, now);
		return true;
	}
	if (fits && !(seg->flags & (TCP_ACK | TCP_SYN))) {
		tcp_drop(tcp, COUNTER_drop_tcp_flags);
		return false;
	}
	if (!tcp_seg_len(seg) && seg->seq == tw->rcv_nxt)
		return false; /* the peer's bare ACK: nothing to add */
	/* A FIN again: our ACK was lost. Anything else is from the past. */
	if (!old && (seg->flags & TCP_FIN))
		time_wait_restart(tcp, tw, now);
	if (old)
		tcp_drop(tcp, COUNTER_drop_tcp_paws);
	else if (seg->flags & TCP_SYN)
		tcp_drop(tcp, COUNTER_drop_tcp_syn);
	else
		tcp_drop(tcp, COUNTER_drop_tcp_window);
	if ((seg->flags & TCP_FIN) || challenge_allowed(tcp, now))
		time_wait_ack(tcp, tw, now);
	return false;
}
