/* SPDX-License-Identifier: MIT */
/*
 * Fifth check of RFC 9293 3.10.7.4, the ACK field: what was acknowledged leaves the send map and
 * the send queue, loss recovery and congestion control are told, the send window moves.
 */
#include "tcp/ecn.h"
#include "tcp/fast.h"

#define RENEGE_MIN_NS (10 * CPL_MS)
#define RTT_SANE_MS   600000u /* a timestamp echo older than this is no measurement */

/* MUST-1, REC-1; the window of a SYN is never scaled (RFC 7323 2.2). */
static uint32_t segment_window(const struct tcb *tcb, const struct tcp_seg *seg)
{
	return (uint32_t)seg->wnd << (seg->flags & TCP_SYN ? 0 : tcb->snd_wscale);
}

/*
 * SND.WND <- SEG.WND if the segment is not older than the last that set it. What acknowledges more
 * is newer whatever its sequence number is (as Linux): a retransmission with a new ACK counts.
 */
void input_window(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg, uint64_t now)
{
	uint32_t wnd = segment_window(tcb, seg);

	if (seq_lt(seg->ack, tcb->snd_una))
		return;
	if (!seq_gt(seg->ack, tcb->snd_wl2) && !seq_lt(tcb->snd_wl1, seg->seq) &&
	    !(tcb->snd_wl1 == seg->seq && seq_leq(tcb->snd_wl2, seg->ack)))
		return;
	tcb->snd_wl1 = seg->seq;
	tcb->snd_wl2 = seg->ack;
	if (wnd == tcb->snd_wnd)
		return;
	tcb->snd_wnd = wnd;
	if (wnd > tcb->snd_wnd_max)
		tcb->snd_wnd_max = wnd;
	TRACE(tcp->trace, now, tcb_handle(tcp, tcb), window, wnd, seg->seq, seg->ack);
}

/* A DSACK comes first, and reports what is below the ACK or inside the second block (RFC 2883 4).
 */
static bool first_is_dsack(const struct tcp_seg *seg)
{
	const struct tcp_sack *b = seg->sack;

	if (seq_lt(b[0].start, seg->ack))
		return true;
	return seg->sack_n > 1 && seq_geq(b[0].start, b[1].start) && seq_leq(b[0].end, b[1].end);
}

static void take_sack(struct tcb *tcb, const struct tcp_seg *seg, struct recovery_ack *ra,
		      struct sendmap_result *res, uint64_t now)
{
	struct sack_block blocks[TCP_SACK_MAX];
	unsigned i = 0, n = 0;

	if (!tcb_has(tcb, TCB_SACK) || !(seg->opts & TCP_HAS_SACK) || !seg->sack_n)
		return;
	if (first_is_dsack(seg)) {
		tcb->dsack_dups++;
		ra->dsack = true;
		ra->duplicate_block = (struct sack_block){ seg->sack[0].start, seg->sack[0].end };
		i = 1;
	}
	for (; i < seg->sack_n; i++) {
		uint32_t start = seg->sack[i].start - tcb->snd_una;
		uint32_t end = seg->sack[i].end - tcb->snd_una;

		/* Only what is in flight, above the ACK; the rest is old or a lie. */
		if (start && start < end && end <= tcb->snd_nxt - tcb->snd_una)
			blocks[n++] = (struct sack_block){ seg->sack[i].start, seg->sack[i].end };
	}
	if (n)
		sendmap_sack(&tcb->io->map, blocks, n, now, res);
}

/* The latest time at which what this segment echoes can have left (RFC 7323 4.1); 0: not known. */
static uint64_t echoed_time(const struct tcb *tcb, const struct tcp_seg *seg, uint64_t now)
{
	uint32_t ms = tcp_ts_clock(now) - (seg->tsecr - tcb->ts_offset);

	if (!tcb_has(tcb, TCB_TS) || !(seg->opts & TCP_HAS_TS) || ms >= RTT_SANE_MS)
		return 0;
	if (now / CPL_MS < ms)
		return 0;
	return (now / CPL_MS - ms) * CPL_MS + CPL_MS - 1;
}

/*
 * The round trip by the echoed timestamp (RFC 7323 4.1), of an ACK that advances; 0: none. An echo
 * from before the last transmission of what is acknowledged was not called forth by it: the ACK of
 * an earlier one was lost, and the time since then is no round trip.
 */
static uint64_t echoed_rtt(const struct tcb *tcb, const struct tcp_seg *seg,
			   const struct sendmap_result *res, uint64_t now)
{
	uint32_t echo = seg->tsecr - tcb->ts_offset, ms = tcp_ts_clock(now) - echo;

	if (!res->acked || !tcb_has(tcb, TCB_TS) || !(seg->opts & TCP_HAS_TS))
		return 0;
	if (ms >= RTT_SANE_MS || seq_lt(echo, tcp_ts_clock(res->acked_time)))
		return 0;
	return ms ? ms * CPL_MS : 1;
}

/* Karn: segments sent once; or, with timestamps, any ACK that advances. */
static void take_rtt(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg,
		     const struct sendmap_result *res, uint32_t flight, uint64_t now)
{
	/* What a hole had kept back waited for the retransmission: that is no round trip. */
	uint64_t sample = res->any_retrans ? 0 : res->rtt_ns;

	if (!sample)
		sample = echoed_rtt(tcb, seg, res, now);
	if (sample)
		input_rtt(tcp, tcb, sample, flight, now);
}

void input_rtt(struct tcp *tcp, struct tcb *tcb, uint64_t sample, uint32_t flight, uint64_t now)
{
	uint32_t mss = tcb->snd_mss ? tcb->snd_mss : 1;

	rtt_sample(&tcb->rtt, sample, rtt_flight_samples(flight, mss));
	TRACE(tcp->trace, now, tcb_handle(tcp, tcb), rtt, (uint32_t)(sample / 1000),
	      (uint32_t)(tcb->rtt.srtt_ns / 1000), (uint32_t)(tcb->rtt.rttvar_ns / 1000),
	      (uint32_t)(rtt_rto(&tcb->rtt, &tcp->rto) / 1000));
}

/* RFC 5681 2: what counts as a duplicate ACK; with SACK, news in the scoreboard (RFC 6675 2). */
static bool is_duplicate(const struct tcb *tcb, const struct tcp_seg *seg,
			 const struct sendmap_result *res, uint32_t old_wnd)
{
	if (tcb_has(tcb, TCB_SACK))
		return res->newly_sacked > 0;
	return seg->ack == tcb->snd_una && !seg->len && !(seg->flags & (TCP_SYN | TCP_FIN)) &&
	       !sendmap_empty(&tcb->io->map) && segment_window(tcb, seg) == old_wnd;
}

static void tell_congestion_control(struct tcp *tcp, struct tcb *tcb, struct sendmap_result *res,
				    const struct recovery_ack *ra, struct ecn_marks marks,
				    uint64_t now)
{
	struct tcb_io *io = tcb->io;
	uint32_t cwnd = io->cc.cwnd, state = io->recovery.state;
	uint64_t lost = io->map.lost_total;
	bool growing;

	growing = recovery_on_ack(&io->recovery, &io->map, &io->cc, ra, res, now);
	/* RFC 3168 6.1.2: once a window. What an ACK up to the point tells of left before the
	 * reduction did its work, and the peer has not seen CWR. */
	if (marks.packets && (state < CPL_RECOVERY_CWR || seq_gt(tcb->snd_una, io->recovery.point)))
		recovery_reduce(&io->recovery, &io->map, &io->cc, true, now);
	growing = growing && io->recovery.state != CPL_RECOVERY_CWR;
	if (io->recovery.state > state && io->recovery.state >= CPL_RECOVERY_CWR)
		ecn_reduced(tcb);
	sendmap_rate(&io->map, tcb->rtt.min_us * 1000ull, now, res);
	if (rate_sample_tells(&res->rate, &io->rate))
		io->rate = res->rate;
	if (growing || cc_ops(&io->cc)->owns_recovery || cc_ops(&io->cc)->every_ack) {
		struct ack_event ev = {
			.now = now,
			.delivered = io->map.delivered,
			.newly_acked = res->delivered,
			.acked_bytes = res->acked,
			.sacked_bytes = res->newly_sacked,
			.in_flight_before = ra->prior_pipe,
			.in_flight = sendmap_pipe(&io->map),
			.mss = tcb->snd_mss,
			.srtt_ns = tcb->rtt.srtt_ns,
			.min_rtt_ns = tcb->rtt.min_us * 1000ull,
			.ece = marks.packets > 0,
			.ce_bytes = marks.bytes,
			.in_reduction = !growing || io->recovery.state == CPL_RECOVERY_CWR,
			.in_recovery = io->recovery.state >= CPL_RECOVERY_FAST,
			.newly_lost_bytes = (uint32_t)(io->map.lost_total - lost),
			.cwnd_limited = io->cwnd_limited,
			.rate = res->rate,
			.loss = io->map.loss,
		};

		/* Slow start needs room to double into before the window is ever full. */
		if (io->cc.cwnd < io->cc.ssthresh && io->cc.cwnd < 2 * io->out_max)
			ev.cwnd_limited = true;
		if (ev.acked_bytes || cc_ops(&io->cc)->owns_recovery || cc_ops(&io->cc)->every_ack)
			cc_ops(&io->cc)->ack(&io->cc, &ev);
		if (io->cc.app_limited)
			sendmap_app_limited(&io->map);
		io->cc.app_limited = false;
	}
	io->map.loss = (struct loss_sample){ 0 };
	if (io->recovery.state != state) {
		if (io->recovery.state == CPL_RECOVERY_FAST)
			tcb->fast_recoveries++;
		TRACE(tcp->trace, now, tcb_handle(tcp, tcb), recovery, state, io->recovery.state,
		      io->recovery.point, io->cc.cwnd, io->cc.ssthresh);
	} else if (io->cc.cwnd != cwnd) {
		TRACE(tcp->trace, now, tcb_handle(tcp, tcb), cwnd, io->cc.cwnd, io->cc.ssthresh);
	}
}

void input_advance(struct tcp *tcp, struct tcb *tcb, uint32_t ack, uint64_t now)
{
	struct tcb_io *io = tcb->io;
	uint64_t n = seq_gt(ack, io->snd_base) ? ack - io->snd_base : 0;

	if (n > io->sndq.bytes)
		n = io->sndq.bytes; /* the FIN is no octet */
	if (n)
		chunkq_drop(&io->sndq, tcp->chunks, n);
	tcb_acked(tcb, ack, (uint32_t)n, now);
	if (tcb_has(tcb, TCB_URG_OUT) && seq_geq(ack, tcb->snd_up))
		tcb->flags &= ~TCB_URG_OUT;
	if (sendmap_empty(&io->map) && !io->sndq.bytes)
		tcb_busy(tcb, false, now);
	sndbuf_autotune(tcp, tcb);
	tcb_tell_room(tcp, tcb);
	if (tcb_has(tcb, TCB_SENT_ALL_DUE) && sendmap_empty(&io->map) && !io->sndq.bytes &&
	    (!tcb_has(tcb, TCB_FIN_QUEUED) || tcb_has(tcb, TCB_FIN_SENT))) {
		tcb->flags &= ~TCB_SENT_ALL_DUE;
		tcb_event(tcp, tcb, CPL_EV_SENT_ALL);
	}
}

/* RFC 2018 8: what is now first was reported as received, and is not acknowledged with the rest. */
static bool is_reneging(const struct tcb_io *io)
{
	return sendmap_first(&io->map)->flags & SENT_SACKED;
}

/* As Linux: not at once, because an ACK on its way may say otherwise; but much before the RTO. */
static void await_reneged(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	uint64_t wait = tcb->rtt.srtt_ns / 2;

	timer_rexmt_start(tcp, tcb, now);
	wait = now + (wait > RENEGE_MIN_NS ? wait : RENEGE_MIN_NS);
	if (wait < tcb->io->t_rexmt)
		tcb->io->t_rexmt = wait;
	tcb->io->recovery.t_probe = CPL_NEVER; /* a probe would say nothing new */
	tcp->counters->sack_renegings++;
}

/* Returns whether our FIN was acknowledged. */
static bool ack_in_flight(struct tcp *tcp, struct tcb *tcb, const struct seg_in *in, uint64_t now)
{
	struct sendmap_result result = { 0 }, *res = &result;
	const struct tcp_seg *seg = &in->tcp;
	struct tcb_io *io = tcb->io;
	uint32_t flight = io->map.nxt - io->map.una, old_wnd = tcb->snd_wnd;
	struct recovery_ack ra = tcb_recovery_path(tcb);
	struct ecn_marks marks;

	ra.echo_ns = echoed_time(tcb, seg, now);
	res->echo_ns = ra.echo_ns;
	res->min_rtt_ns = ra.min_rtt_ns;
	ra.advanced = seq_gt(seg->ack, tcb->snd_una);
	if (ra.advanced)
		sendmap_ack(&io->map, seg->ack, now, res);
	/* SACK blocks count against the new SND.UNA. */
	if (ra.advanced)
		input_advance(tcp, tcb, seg->ack, now);
	take_sack(tcb, seg, &ra, res, now);
	ra.pure = !ra.advanced && !seg->len && !(seg->opts & TCP_HAS_SACK && seg->sack_n);
	ra.duplicate = !ra.advanced && is_duplicate(tcb, seg, res, old_wnd);
	take_rtt(tcp, tcb, seg, res, flight, now);
	/* RFC 9768 A.1: a duplicate ACK may as well be an old one. */
	marks = ecn_echo(tcp, tcb, seg, tcb_has(tcb, TCB_SACK) ? res->delivered : res->acked);
	if (ra.duplicate && recovery_duplicate_tells(&io->recovery, &io->map))
		sendmap_duplicate(&io->map, tcb->snd_mss, now, res);
	tell_congestion_control(tcp, tcb, res, &ra, marks, now);
	plpmtu_result(tcb, res->mtu_probe, now);
	if (tcb_has(tcb, TCB_PERSIST))
		return res->fin;
	if (sendmap_empty(&io->map))
		timer_rexmt_stop(tcp, tcb);
	else if (ra.advanced && is_reneging(io))
		await_reneged(tcp, tcb, now);
	else if (ra.advanced)
		timer_rexmt_start(tcp, tcb, now); /* RFC 6298 5.3 */
	if (!sendmap_empty(&io->map) && is_reneging(io))
		return res->fin;
	if (ra.advanced || io->map.sacked || sendmap_empty(&io->map))
		timer_probe_schedule(tcb, now);
	return res->fin;
}

/* The acknowledgment of our FIN moves the state on (3.10.7.4, fifth). */
static enum verdict fin_acked(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	switch (tcb->state) {
	case CPL_FIN_WAIT_1:
		tcb_set_state(tcp, tcb, CPL_FIN_WAIT_2, now);
		if (tcb_has(tcb, TCB_ORPHAN))
			timer_fin_wait_2(tcp, tcb, now);
		return V_CONTINUE;
	case CPL_CLOSING:
		return V_TIME_WAIT;
	case CPL_LAST_ACK:
		return V_OVER;
	default:
		return V_CONTINUE;
	}
}

/* An ACK while we probe; the end of probing is persist_update()'s. */
static void probe_answered(struct tcb *tcb)
{
	if (!tcb_has(tcb, TCB_PERSIST))
		return;
	tcb->probes_n = 0; /* MUST-37: it answers, so it lives */
	/* What goes into an open window is timed as if there had been no probes. */
	if (tcb->snd_wnd)
		tcb->rtt.backoff = 0;
}

static enum verdict handshake_ack(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg,
				  uint64_t now)
{
	if (!seq_lt(tcb->snd_una, seg->ack) || !seq_leq(seg->ack, tcb->snd_nxt)) {
		tcp_drop(tcp, COUNTER_drop_tcp_ack);
		return V_RST;
	}
	tcb->snd_wnd = tcb->snd_wnd_max = segment_window(tcb, seg);
	tcb->snd_wl1 = seg->seq;
	tcb->snd_wl2 = seg->ack;
	tcb_established(tcp, tcb, now);
	return V_CONTINUE;
}

enum verdict input_ack(struct tcp *tcp, struct tcb *tcb, const struct seg_in *in, uint64_t now)
{
	const struct tcp_seg *seg = &in->tcp;
	bool fin = false;
	enum verdict v;

	if (!(seg->flags & TCP_ACK)) {
		tcp_drop(tcp, COUNTER_drop_tcp_flags);
		return V_DROP;
	}
	if (tcb->state == CPL_SYN_RECEIVED) {
		v = handshake_ack(tcp, tcb, seg, now);
		if (v != V_CONTINUE)
			return v;
	}
	/* RFC 5961 5.2 (MAY-12), and what was never sent. */
	if (seq_gt(seg->ack, tcb->snd_nxt) || seq_lt(seg->ack, tcb->snd_una - tcb->snd_wnd_max)) {
		tcp_drop(tcp, COUNTER_drop_tcp_ack);
		return V_CHALLENGE;
	}
	/* With nothing in flight a DSACK still tells what the last retransmission was for. */
	/* An ACK from before SND.UNA has news, too, if it has SACK blocks (as Linux). */
	if (tcb->io && (seq_geq(seg->ack, tcb->snd_una) || seg->opts & TCP_HAS_SACK) &&
	    (!sendmap_empty(&tcb->io->map) || (seg->opts & TCP_HAS_SACK))) {
		if (!fast_ack(tcp, tcb, seg, &fin, now))
			fin = ack_in_flight(tcp, tcb, in, now);
	} else if (tcb->accecn && seq_geq(seg->ack, tcb->snd_una)) {
		accecn_feedback(tcp, tcb, seg, 0);
	}
	input_window(tcp, tcb, seg, now);
	probe_answered(tcb);
	return fin ? fin_acked(tcp, tcb, now) : V_CONTINUE;
}
