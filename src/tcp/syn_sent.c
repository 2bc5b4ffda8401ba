/* SPDX-License-Identifier: MIT */
/*
 * SEGMENT ARRIVES in SYN-SENT (RFC 9293 section 3.10.7.3), what a SYN offers, and the moment when a
 * connection becomes ESTABLISHED.
 */
#include "tcp/ecn.h"

void input_syn_options(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg, uint64_t now)
{
	/* MUST-14, MUST-15 */
	tcb->peer_mss = seg->opts & TCP_HAS_MSS ? seg->mss : tcp_default_mss(&tcb->node.id.remote);
	if (!(seg->opts & TCP_HAS_WSCALE) || !tcp->config->window_scaling) {
		tcb->flags &= ~TCB_WSCALE;
		tcb->snd_wscale = 0;
		tcb->rcv_wscale = 0;
	} else {
		tcb->flags |= TCB_WSCALE;
		tcb->snd_wscale = seg->wscale & 15;
	}
	if (!(seg->opts & TCP_HAS_SACK_OK))
		tcb->flags &= ~TCB_SACK;
	if (!(seg->opts & TCP_HAS_TS)) {
		tcb->flags &= ~TCB_TS;
	} else if (tcb_has(tcb, TCB_TS)) {
		tcb->ts_recent = seg->tsval;
		tcb->ts_recent_s = tcp_seconds(now);
	}
	if (tcb->io)
		tcb->io->recovery.sack = tcb_has(tcb, TCB_SACK);
	tcb_update_mss(tcb);
}

void tcb_established(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	tcb_set_state(tcp, tcb, CPL_ESTABLISHED, now);
	tcp->counters->established++;
	tcb->last_data = tcb->last_data ? tcb->last_data : now; /* as Linux: from here on */
	tcb->rexmt_n = 0;
	tcb->soft_error = 0;
	tcb->rtt.backoff = 0;
	if (tcb->fastopen & FASTOPEN_CHILD) { /* the program has it, and may have filled it */
		fastopen_settled(tcp, tcb, false, now);
	} else {
		tcb_event(tcp, tcb, CPL_EV_CONNECTED | CPL_EV_WRITABLE);
		tcb->flags &= ~TCB_WANT_WRITE;
	}
	tcb_why(tcb, CPL_WHY_IDLE, now);
	timer_keep_start(tcp, tcb, now);
	if (!tcb->io)
		timer_quiet_start(tcp, tcb, now, 0);
	else if (tcb->io->t_quiet == CPL_NEVER)
		tcb->io->t_quiet = timer_quiet(tcp, now, 0);
	if (tcb_has(tcb, TCB_FIN_QUEUED)) /* 3.10.4: CLOSE in SYN-RECEIVED waits for this */
		tcb_set_state(tcp, tcb, CPL_FIN_WAIT_1, now);
}

/* What SEG acknowledges leaves the map: the SYN, and what went with it. The round trip, or 0. */
static uint64_t leave_map(const struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg,
			  uint64_t now)
{
	struct sendmap *map = &tcb->io->map;
	uint64_t rtt = !tcp->long_way && seg->ack == tcb->snd_nxt ? sendmap_ack_syn(map, now) : 0;
	struct sendmap_result res;

	if (rtt)
		return rtt;
	memset(&res, 0, sizeof(res));
	sendmap_ack(map, seg->ack, now, &res);
	return res.rtt_ns;
}

/* The SYN,ACK acknowledges our SYN: RTT, window, cwnd (RFC 6298 5.7: 3 s RTO if the SYN was lost).
 */
static void syn_acked(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg, uint64_t now)
{
	struct tcb_io *io = tcb->io;
	bool again = tcb->rexmt_n > 0;
	uint64_t rtt = leave_map(tcp, tcb, seg, now);

	input_advance(tcp, tcb, seg->ack, now);
	if (rtt) {
		rtt_sample(&tcb->rtt, rtt, 1);
	} else if (again) {
		rtt_syn_lost(&tcb->rtt);
		io->cc.cwnd = tcb->snd_mss; /* RFC 5681 3.1: IW is one segment */
	}
	recovery_init(&io->recovery, tcb_has(tcb, TCB_SACK), tcb->iss, false);
	timer_rexmt_stop(tcp, tcb);
	fastopen_synack(tcp, tcb, seg, again, now);
}

static void enter_synchronized(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg)
{
	uint32_t mss;

	tcb->irs = seg->seq;
	tcb->rcv_nxt = seg->seq + 1;
	tcb->read_seq = tcb->rcv_nxt;
	tcb->rcv_up = tcb->irs;
	tcb->rcv_edge = tcb->rcv_nxt + (tcb->rcvbuf > 65535 ? 65535 : tcb->rcvbuf);
	tcb->last_ack_sent = tcb->rcv_nxt;
	tcb->rcv_mss_est = tcp_default_mss(&tcb->node.id.remote);
	tcb->io->drs_seq = tcb->read_seq;
	tcb->io->rcv_rtt_seq = tcb->rcv_edge;
	mss = tcb->snd_mss;
	if (tcb->io->cc.mss != mss)
		cc_set_mss(&tcb->io->cc, mss);
	tcb->io->cc.cwnd = cc_initial_window(mss, tcp->config->initial_window);
}

/* 3.10.7.3 fourth, without ACK: simultaneous open: answer with SYN,ACK. */
static enum verdict crossed_syn(struct tcp *tcp, struct tcb *tcb, const struct seg_in *in,
				uint64_t now)
{
	const struct tcp_seg *seg = &in->tcp;
	struct list *pos, *tmp;

	if (!ecn_crossed_syn(tcp, tcb, in)) {
		tcp_drop(tcp, COUNTER_drop_memory);
		return V_DROP;
	}
	tcb->fastopen &= (uint16_t) ~(FASTOPEN_WANTED | FASTOPEN_DEFERRED);
	tcb->snd_wnd = tcb->snd_wnd_max = seg->wnd;
	tcb->snd_wl1 = seg->seq;
	tcb->snd_wl2 = tcb->iss;
	tcb_set_state(tcp, tcb, CPL_SYN_RECEIVED, now);
	/* The SYN goes again, with ACK now; its data, which was not looked at, goes by itself. */
	list_for_each_safe (pos, tmp, &tcb->io->map.records)
		sendmap_refused(&tcb->io->map, container_of(pos, struct sent, by_seq));
	return V_CONTINUE;
}

/* What rides on the SYN,ACK is taken from the sixth check on, as 3.10.7.3 says. */
static enum verdict rest_of_synack(struct tcp *tcp, struct tcb *tcb, const struct seg_in *in,
				   uint64_t now)
{
	struct seg_in rest;
	bool fin = false;
	enum verdict v;

	if (!in->tcp.len && !(in->tcp.flags & (TCP_FIN | TCP_URG)))
		return V_CONTINUE;
	rest = *in;
	rest.tcp.flags &= (uint16_t)~TCP_SYN;
	rest.tcp.seq++;
	if ((v = input_urgent(tcp, tcb, &rest, now)) != V_CONTINUE)
		return v;
	if ((v = input_text(tcp, tcb, &rest, &fin, now)) != V_CONTINUE)
		return v;
	return fin ? input_fin(tcp, tcb, now) : V_CONTINUE;
}

/*
 * What our SYNs had for a timestamp, none since has been later: another time is echoed by who
 * answers somebody else. As Linux: 0 says nothing.
 */
static bool echo_is_ours(const struct tcb *tcb, const struct tcp_seg *seg, uint64_t now)
{
	uint32_t first = tcp_ts_clock(tcb->made) + tcb->ts_offset;

	if (!tcb_has(tcb, TCB_TS) || !(seg->opts & TCP_HAS_TS) || !seg->tsecr)
		return true;
	return seg->tsecr - first <= tcp_ts_clock(now) + tcb->ts_offset - first;
}

enum verdict input_syn_sent(struct tcp *tcp, struct tcb *tcb, const struct seg_in *in, uint64_t now)
{
	const struct tcp_seg *seg = &in->tcp;
	bool ack = seg->flags & TCP_ACK;

	/* First: ACK */
	if (ack && (seq_leq(seg->ack, tcb->iss) || seq_gt(seg->ack, tcb->snd_nxt))) {
		tcp_drop(tcp, COUNTER_drop_tcp_ack);
		return seg->flags & TCP_RST ? V_DROP : V_RST;
	}
	if (ack && !echo_is_ours(tcb, seg, now)) {
		tcp_drop(tcp, COUNTER_drop_tcp_paws);
		return seg->flags & TCP_RST ? V_DROP : V_RST;
	}
	/* Second: RST */
	if (seg->flags & TCP_RST) {
		if (ack)
			return V_REFUSED;
		tcp_drop(tcp, COUNTER_drop_tcp_rst);
		return V_DROP;
	}
	/* Fourth: SYN */
	if (!(seg->flags & TCP_SYN)) {
		tcp_drop(tcp, COUNTER_drop_tcp_flags);
		return V_DROP;
	}
	input_syn_options(tcp, tcb, seg, now);
	enter_synchronized(tcp, tcb, seg);
	if (!ack)
		return crossed_syn(tcp, tcb, in, now); /* MUST-10 */
	tcb->snd_wnd = tcb->snd_wnd_max = seg->wnd;    /* RFC 7323 2.2: never scaled in a SYN */
	tcb->snd_wl1 = seg->seq;
	tcb->snd_wl2 = seg->ack;
	if (!ecn_synack(tcp, tcb, in)) { /* it comes again */
		tcp_drop(tcp, COUNTER_drop_memory);
		return V_DROP;
	}
	syn_acked(tcp, tcb, seg, now);
	tcb_established(tcp, tcb, now);
	tcb->flags |= TCB_ACK_NOW;
	return rest_of_synack(tcp, tcb, in, now);
}
