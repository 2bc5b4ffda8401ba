/* SPDX-License-Identifier: MIT */
/*
 * What a connection sends next: SYN (output_syn.c), what is lost, new data and FIN, probes, ACKs,
 * in this order. The rules of RFC 9293 3.7.4 (Nagle, in Minshall's form as Linux has it), 3.8.6.2.1
 * (silly windows), RFC 5681 and 6675 (what cwnd allows). Nothing leaves by itself: the device
 * pulls.
 */
#include "tcp/ecn.h"
#include "tcp/fast.h"

/* ---- building ---- */

void output_fill(struct tcp *tcp, struct tcb *tcb, struct tcp_out *out, uint32_t seq,
		 uint16_t flags, uint64_t now)
{
	struct tcp_seg *seg = &out->seg;

	memset(seg, 0, sizeof(*seg));
	out->tcb = tcb;
	out->pieces_n = 0;
	out->gso_size = 0;
	out->start = out->end = seq;
	out->retransmission = false;
	seg->sport = tcb->node.id.lport;
	seg->dport = tcb->node.id.rport;
	seg->seq = seq;
	seg->flags = flags;
	if (tcb_has(tcb, TCB_TS)) {
		seg->opts |= TCP_HAS_TS;
		seg->tsval = tcp_ts_clock(now) + tcb->ts_offset;
		seg->tsecr = flags & TCP_ACK ? tcb->ts_recent : 0;
	}
	if (!(flags & TCP_ACK))
		return;
	seg->ack = tcb->rcv_nxt;
	if (!(flags & TCP_SYN)) {
		unsigned n = ooo_sack_blocks(tcb, seg->sack);

		seg->sack_n = (uint8_t)(n > sack_room(tcb) ? sack_room(tcb) : n);
		seg->opts |= n ? TCP_HAS_SACK : 0;
		seg->wnd = window_advertise(tcp, tcb);
	}
}

/* Accurate ECN's option, in what room it finds. */
static void add_accecn(const struct tcp *tcp, const struct tcb *tcb, struct tcp_seg *seg, bool data)
{
	if (accecn_option(tcp, tcb, data, &seg->sack_n, &seg->accecn))
		seg->opts |= TCP_HAS_ACCECN;
}

void output_trace(struct tcp *tcp, const struct tcb *tcb, const struct tcp_seg *seg, bool again,
		  uint64_t now)
{
	TRACE(tcp->trace, now, tcb_handle(tcp, tcb), seg_out, seg->seq, seg->ack, seg->len,
	      seg->flags, (uint32_t)seg->wnd, seg->opts,
	      (uint32_t)seg->mss << 16 | (seg->opts & TCP_HAS_WSCALE ? seg->wscale : 0), seg->tsval,
	      seg->tsecr, again);
}

static void output_count(struct tcp *tcp, struct tcb *tcb, const struct tcp_out *out, uint64_t now)
{
	const struct tcp_seg *seg = &out->seg;
	uint32_t n = out->gso_size ? (seg->len + out->gso_size - 1) / out->gso_size : 1;

	tcp->counters->segs_out += n;
	tcb->segs_out += n;
	if (seg->len) {
		tcb->data_segs_out += n;
		tcb->bytes_sent += seg->len;
		tcb->io->last_sent = now;
	}
	if (out->retransmission) {
		tcp->counters->segs_retrans += n;
		tcb->retrans += n;
		tcb->bytes_retrans += seg->len;
	}
	output_trace(tcp, tcb, seg, out->retransmission, now);
}

/* Payload [seq, seq + len) of the send queue. False: it cannot be had now. */
bool output_attach(struct tcp *tcp, struct tcb *tcb, struct tcp_out *out, uint32_t seq,
		   uint32_t *len, uint32_t mss)
{
	uint32_t covered = 0;

	out->pieces_n = chunkq_pieces(&tcb->io->sndq, seq - tcb->io->snd_base, *len, out->pieces,
				      TCP_PIECES, &covered);
	if (covered == *len)
		return true;
	/* Too many small chunks: a shorter segment, whole segments if there is more than one. */
	for (unsigned i = 0; i < out->pieces_n; i++)
		chunk_put(tcp->chunks, out->pieces[i].chunk);
	out->pieces_n = 0;
	if (covered > mss)
		covered -= covered % mss;
	if (!covered)
		return false;
	*len = covered;
	out->pieces_n = chunkq_pieces(&tcb->io->sndq, seq - tcb->io->snd_base, *len, out->pieces,
				      TCP_PIECES, &covered);
	ASSERT(covered == *len);
	return true;
}

void output_detach(struct tcp *tcp, struct tcp_out *out)
{
	for (unsigned i = 0; i < out->pieces_n; i++)
		chunk_put(tcp->chunks, out->pieces[i].chunk);
	out->pieces_n = 0;
}

/* ---- data ---- */

static void set_urgent(const struct tcb *tcb, struct tcp_seg *seg)
{
	uint32_t up = tcb->snd_up - seg->seq;

	if (!tcb_has(tcb, TCB_URG_OUT) || !seq_gt(tcb->snd_up, seg->seq))
		return;
	seg->flags |= TCP_URG;
	seg->up = (uint16_t)(up > 65535 ? 65535 : up); /* MUST-62; MUST-31: of any length */
}

/* cwnd holds it: for the path's sake, or because something is lost. */
static enum cpl_why why_cwnd(const struct tcb_io *io)
{
	return io->recovery.state >= CPL_RECOVERY_FAST ? CPL_WHY_RECOVERY : CPL_WHY_CWND;
}

uint32_t output_cwnd_room(const struct tcb *tcb)
{
	const struct tcb_io *io = tcb->io;
	uint32_t pipe = sendmap_pipe(&io->map);
	uint32_t inflation = recovery_inflation(&io->recovery, &io->map, &io->cc);
	uint32_t room = io->cc.cwnd + recovery_limited_transmit(&io->recovery, &io->cc);

	pipe = pipe > inflation ? pipe - inflation : 0;
	return room > pipe ? room - pipe : 0;
}

/* REC, or as much of its start as ROOM allows, once more. */
static bool pull_record(struct tcp *tcp, struct tcb *tcb, struct tcp_out *out, struct sent *rec,
			uint32_t room, uint64_t now)
{
	struct tcb_io *io = tcb->io;
	uint32_t mss = mss_now(tcb), len, fin = !!(rec->flags & SENT_FIN);
	uint32_t edge = tcb->snd_una + tcb->snd_wnd, wnd = edge - rec->start;
	bool push;

	room = room > mss ? room - room % mss : mss;
	if (room > stream_burst(tcp, tcb, mss))
		room = stream_burst(tcp, tcb, mss);
	/* SHLD-16: a peer that shrank its window may take nothing that ends beyond it, as
	 * Linux 6.17. */
	if (seq_gt(edge, rec->start) && room > wnd)
		room = wnd > mss ? wnd - wnd % mss : wnd;
	len = rec->end - rec->start - fin;
	if (len > room) {
		len = room;
		fin = 0;
	}
	output_fill(tcp, tcb, out, rec->start, TCP_ACK, now);
	if (len && !output_attach(tcp, tcb, out, rec->start, &len, mss)) {
		tcb_why(tcb, CPL_WHY_MEMORY, now);
		return false;
	}
	if (rec->start + len + fin != rec->end) {
		if (!len || !sendmap_split(&io->map, rec, rec->start + len)) {
			output_detach(tcp, out);
			tcb_why(tcb, CPL_WHY_MEMORY, now);
			return false;
		}
		fin = 0;
	}
	out->seg.len = len;
	out->seg.flags |= fin ? TCP_FIN : 0;
	push = fin || rec->flags & SENT_PSH || (len > mss && stream_device_cuts(tcp, tcb));
	out->seg.flags |= len && push ? TCP_PSH : 0;
	out->end = rec->end;
	out->gso_size = len > mss ? mss : 0;
	out->retransmission = !(rec->flags & SENT_UNSENT) || rec->transmissions > 1;
	recovery_sent(&io->recovery, rec->end - rec->start, !(rec->flags & SENT_UNSENT), now);
	rec->mss = (uint16_t)mss;
	sendmap_resent(&io->map, rec, now);
	tcb_why(tcb, CPL_WHY_SENDING, now);
	return true;
}

/*
 * As Linux: the time-out counts from the fast retransmission of the first segment that is to
 * prevent it, or it comes before that one's ACK where the round trip is longer than the RTO's
 * margin. Once for each: what the device does not take is tried again and again.
 */
static void rexmt_restart(struct tcp *tcp, struct tcb *tcb, const struct sent *rec, uint64_t now)
{
	struct tcb_io *io = tcb->io;

	if (rec->start != tcb->snd_una || io->recovery.state < CPL_RECOVERY_FAST ||
	    tcb_has(tcb, TCB_PERSIST) ||
	    (io->rexmt_seq == rec->start && rec->transmissions <= io->rexmt_times))
		return;
	io->rexmt_seq = rec->start;
	io->rexmt_times = rec->transmissions;
	timer_rexmt_start(tcp, tcb, now);
}

/* Data before SND.NXT once more. */
static bool pull_lost(struct tcp *tcp, struct tcb *tcb, struct tcp_out *out, uint64_t now)
{
	struct sent *rec = sendmap_next_lost(&tcb->io->map);
	uint32_t room, need;

	if (!rec)
		return false;
	room = output_cwnd_room(tcb);
	need = mss_now(tcb);
	if (rec->end - rec->start < need)
		sendmap_join_lost(&tcb->io->map, rec, need);
	need = rec->end - rec->start < need ? rec->end - rec->start : need;
	if (room < need && !tcb->io->recovery.retransmit_now) {
		tcb_why(tcb, why_cwnd(tcb->io), now);
		return false;
	}
	/* SHLD-16: what starts inside the window; the oldest octet also to probe it (MUST-35). */
	if (!seq_lt(rec->start, tcb->snd_una + tcb->snd_wnd) &&
	    (rec->start != tcb->snd_una || !tcb_has(tcb, TCB_PROBE))) {
		tcb_why(tcb, tcb->snd_wnd ? CPL_WHY_RWND : CPL_WHY_ZERO_WND, now);
		return false;
	}
	if (!pull_record(tcp, tcb, out, rec, room, now))
		return false;
	rexmt_restart(tcp, tcb, rec, now);
	tcb->flags &= ~TCB_PROBE;
	tcb->io->recovery.retransmit_now = false;
	return true;
}

/* RFC 6675 4, NextSeg() (3) and (4): nothing else to send, and room for it. */
static bool pull_rescue(struct tcp *tcp, struct tcb *tcb, struct tcp_out *out, uint64_t now)
{
	struct tcb_io *io = tcb->io;
	uint32_t mss = mss_now(tcb);
	struct sent *rec;

	if (io->recovery.state != CPL_RECOVERY_FAST || output_cwnd_room(tcb) < mss)
		return false;
	if (list_last(&io->map.records, struct sent, by_seq)->time == now)
		return false; /* it is on its way */
	rec = recovery_rescue(&io->recovery, &io->map, &io->cc);
	return rec && pull_record(tcp, tcb, out, rec, mss, now);
}

/* RFC 8985 7.3: the loss probe, if no new data went as one: the last segment once more. */
static bool pull_loss_probe(struct tcp *tcp, struct tcb *tcb, struct tcp_out *out, uint64_t now)
{
	struct tcb_io *io = tcb->io;
	uint32_t mss = mss_now(tcb);
	struct sent *rec;

	if (!io->recovery.probe_due)
		return false;
	rec = recovery_probe_segment(&io->map, mss);
	if (!rec || !pull_record(tcp, tcb, out, rec, mss, now)) {
		io->recovery.probe_due = false;
		return false;
	}
	recovery_probed(&io->recovery, true, tcb->snd_nxt);
	return true;
}

/* Another record is behind the one that is to go: nothing is gained by waiting. */
static bool more_behind(const struct tcb *tcb)
{
	uint32_t avail = tcb_write_seq(tcb) - tcb->snd_nxt;

	return stream_record(tcb->io, tcb->snd_nxt, avail) < avail;
}

/* Nagle, cork, silly windows: may LEN octets, less than a segment, go now? */
static bool may_send_short(const struct tcb *tcb, uint32_t len, uint32_t avail, enum cpl_why *why)
{
	const struct tcb_io *io = tcb->io;

	if (tcb_has(tcb, TCB_PROBE))
		return true;
	if (len < avail) { /* the window cut it: 3.8.6.2.1 (3) */
		*why = CPL_WHY_RWND;
		return len >= tcb->snd_wnd_max / 2; /* MUST-38 */
	}
	*why = CPL_WHY_NAGLE;
	if (io->hold_over || tcb_has(tcb, TCB_FIN_QUEUED) || more_behind(tcb))
		return true;
	if (tcb_has(tcb, TCB_CORK | TCB_MORE)) /* MAY-16 */
		return false;
	/* SHLD-7, MUST-17; Minshall: only a short segment in flight holds the next one. */
	return tcb_has(tcb, TCB_NODELAY) || tcb_has(tcb, TCB_URG_OUT) ||
	       !seq_gt(io->small_end, tcb->snd_una) || sendmap_empty(&io->map);
}

/* How much of cwnd is in use, as Linux's tcp_cwnd_validate(): what may make it grow (RFC 7661). */
void output_usage(struct tcb *tcb, bool limited)
{
	struct tcb_io *io = tcb->io;
	uint32_t out = tcb->snd_nxt - tcb->snd_una;

	if (!seq_geq(tcb->snd_una, io->usage_seq) && !limited &&
	    (io->cwnd_limited || out <= io->out_max))
		return;
	io->cwnd_limited = limited;
	io->out_max = out;
	io->usage_seq = tcb->snd_nxt;
}

/* How much new data may go now; 0 and why not. */
static uint32_t new_data(struct tcp *tcp, struct tcb *tcb, uint32_t mss, enum cpl_why *why,
			 uint64_t now)
{
	struct tcb_io *io = tcb->io;
	uint32_t avail = tcb_write_seq(tcb) - tcb->snd_nxt, room = output_cwnd_room(tcb);
	uint32_t edge = tcb->snd_una + tcb->snd_wnd, wnd, len, max = stream_burst(tcp, tcb, mss);
	uint32_t half = io->cc.cwnd / 2;

	/* MUST-34, SHLD-15: the usable window may be negative. */
	wnd = seq_gt(edge, tcb->snd_nxt) ? edge - tcb->snd_nxt : 0;
	avail = stream_record(io, tcb->snd_nxt, avail);
	len = avail < wnd ? avail : wnd;
	if (!len) {
		*why = tcb->snd_wnd ? CPL_WHY_RWND : CPL_WHY_ZERO_WND;
		return 0;
	}
	if (room < len && pace_gathers(tcb, room, mss, now)) {
		output_usage(tcb, true);
		*why = why_cwnd(io);
		return 0;
	}
	/* Two bursts in flight at least, as Linux: the ACK of one lets the next go. */
	if (max > half)
		max = half > mss ? half - half % mss : mss;
	len = len < max ? len : max;
	if (io->recovery.probe_due) { /* one segment, whatever cwnd says */
		room = room > mss ? room : mss;
		len = len < mss ? len : mss;
	}
	if (room < len) {
		output_usage(tcb, true);
		len = room - room % mss;
		if (!len) {
			*why = why_cwnd(io);
			return 0;
		}
	}
	if (len >= mss && len % mss) {
		uint32_t tail = len % mss;

		/* The tail goes along if it could go by itself after the rest. */
		if (len != avail || !may_send_short(tcb, tail, tail, why))
			len -= tail;
		return len;
	}
	return len >= mss || may_send_short(tcb, len, avail, why) ? len : 0;
}

static bool fin_may_go(const struct tcb *tcb, uint32_t end)
{
	return tcb_has(tcb, TCB_FIN_QUEUED) && !tcb_has(tcb, TCB_FIN_SENT) &&
	       tcb_synchronized(tcb) && end == tcb_write_seq(tcb) &&
	       tcb->state != CPL_ESTABLISHED &&
	       seq_gt(tcb->snd_una + (tcb->snd_wnd ? tcb->snd_wnd : 1), end);
}

static void note_new_data(struct tcp *tcp, struct tcb *tcb, uint32_t len, uint32_t mss,
			  uint32_t end, uint64_t now)
{
	struct tcb_io *io = tcb->io;

	if (tcb->snd_nxt == tcb->snd_una) {
		io->progress = now;
		tcb->rexmt_n = 0;
	}
	if (len % mss)
		io->small_end = tcb->snd_nxt + len;
	tcb->snd_nxt = end;
	io->hold_over = false;
	io->t_cork = CPL_NEVER;
	stream_sent(io, end);
	output_usage(tcb, output_cwnd_room(tcb) < mss);
	tcb->flags &= ~(TCB_PROBE | TCB_PERSIST);
	if (io->t_rexmt == CPL_NEVER || tcb->snd_una + len == end)
		timer_rexmt_start(tcp, tcb, now);
	if (io->recovery.probe_due)
		recovery_probed(&io->recovery, false, end);
	timer_probe_schedule(tcb, now);
	if (tcb_notsent_lowat(tcp, tcb) != UINT32_MAX)
		tcb_tell_room(tcp, tcb);
}

/* MUST-60: what cork holds back now is not held for ever, whatever went before it. */
static void cork_wait(struct tcb *tcb, uint64_t now)
{
	if (tcb_has(tcb, TCB_CORK | TCB_MORE) && tcb->io->t_cork == CPL_NEVER)
		tcb->io->t_cork = now + CORK_NS;
}

/* RFC 5681 4.1: after more than an RTO without sending, the window is not known any more. */
static void restart_after_idle(const struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	struct tcb_io *io = tcb->io;
	uint64_t idle = now - io->last_sent;

	if (!seq_gt(tcb->snd_una + tcb->snd_wnd, tcb->snd_nxt))
		return; /* what the window holds back is not idle yet */
	if (tcp->config->slow_start_after_idle && sendmap_empty(&io->map) &&
	    cc_ops(&io->cc)->restart && idle > rtt_rto(&tcb->rtt, &tcp->rto))
		cc_ops(&io->cc)->restart(&io->cc, idle, now);
}

/* Payload of a probe of the path's MTU that may go now, or 0. */
static uint32_t mtu_probe(const struct tcb *tcb, uint64_t now)
{
	uint32_t edge = tcb->snd_una + tcb->snd_wnd, room = output_cwnd_room(tcb);
	uint32_t wnd = seq_gt(edge, tcb->snd_nxt) ? edge - tcb->snd_nxt : 0;

	if (!tcb->mtu_cap)
		return 0;
	return plpmtu_probe(tcb, tcb_write_seq(tcb) - tcb->snd_nxt, room < wnd ? room : wnd, now);
}

/* All that there was has been sent: what the next octets wait for. */
static enum cpl_why why_no_data(const struct tcb *tcb)
{
	const struct tcb_io *io = tcb->io;

	if (io->recovery.state >= CPL_RECOVERY_FAST && !sendmap_empty(&io->map))
		return CPL_WHY_RECOVERY;
	if (tcb_has(tcb, TCB_FIN_SENT))
		return CPL_WHY_CLOSED;
	if (!tcb_has(tcb, TCB_WANT_WRITE))
		return CPL_WHY_IDLE;
	if (output_cwnd_room(tcb) < tcb->snd_mss)
		return CPL_WHY_CWND;
	/* A program that has more was told so for want of room in its buffer, or of memory. */
	return io->sndq.bytes >= tcb->sndbuf / 3 * 2 ? CPL_WHY_SNDBUF : CPL_WHY_MEMORY;
}

static bool pull_new(struct tcp *tcp, struct tcb *tcb, struct tcp_out *out, uint64_t now)
{
	struct tcb_io *io = tcb->io;
	uint32_t mss = mss_new(tcp, tcb), seq = tcb->snd_nxt, write_seq = tcb_write_seq(tcb), end;
	uint32_t len = 0;
	enum cpl_why why = CPL_WHY_IDLE;
	uint32_t flags = 0;
	bool fin, push;

	if (seq_gt(write_seq, seq)) {
		restart_after_idle(tcp, tcb, now);
		pace_before(tcb, now);
		len = mtu_probe(tcb, now);
		if (len) {
			mss = len;
			flags = SENT_MTU_PROBE;
		} else {
			len = new_data(tcp, tcb, mss, &why, now);
		}
		if (!len) {
			tcb_why(tcb, why, now);
			cork_wait(tcb, now);
			return false;
		}
	} else {
		if (output_cwnd_room(tcb) >= mss)
			sendmap_app_limited(&io->map);
		tcb_why(tcb, why_no_data(tcb), now);
	}
	if (!len && !fin_may_go(tcb, seq))
		return false;
	output_fill(tcp, tcb, out, seq, TCP_ACK, now);
	if (!flags) /* a probe has its size */
		add_accecn(tcp, tcb, &out->seg, true);
	if (len && !output_attach(tcp, tcb, out, seq, &len, mss)) {
		tcb_why(tcb, CPL_WHY_MEMORY, now);
		return false;
	}
	if (flags)
		plpmtu_probed(tcb, len);
	fin = fin_may_go(tcb, seq + len);
	end = seq + len + fin;
	/* MUST-60, MUST-61: PSH on the last of what there is; SHLD-27: one for all pushes before.
	 * As Linux also on a burst: who receives puts it together again, and PSH is its end. */
	push = (seq + len == write_seq && (!io->no_push || io->hold_over || fin)) ||
	       stream_pushed(io, seq, len);
	flags |= push ? SENT_PSH : 0;
	push |= len > mss && stream_device_cuts(tcp, tcb);
	out->seg.flags |= len && push ? TCP_PSH : 0;
	flags |= fin ? SENT_FIN : 0;
	if (!sendmap_sent(&io->map, end, (uint16_t)mss, flags, now)) {
		output_detach(tcp, out);
		tcb_why(tcb, CPL_WHY_MEMORY, now);
		return false;
	}
	out->seg.len = len;
	out->seg.flags |= fin ? TCP_FIN : 0;
	out->end = end;
	out->gso_size = len > mss ? mss : 0;
	tcb->flags |= fin ? TCB_FIN_SENT : 0;
	recovery_sent(&io->recovery, len + fin, false, now);
	note_new_data(tcp, tcb, len, mss, end, now);
	tcb_why(tcb, CPL_WHY_SENDING, now);
	return true;
}

/* ---- probes and ACKs ---- */

/*
 * Zero-window probe and keep-alive are one: an octet before SND.NXT without the octet (MUST-35,
 * SHLD-12, as Linux): not acceptable to the peer, which answers with its window.
 */
static bool pull_probe(struct tcp *tcp, struct tcb *tcb, struct tcp_out *out, uint64_t now)
{
	if (!tcb_has(tcb, TCB_PROBE))
		return false;
	tcb->flags &= ~TCB_PROBE;
	output_fill(tcp, tcb, out, tcb->snd_una - 1, TCP_ACK, now);
	return true;
}

static bool pull_ack(struct tcp *tcp, struct tcb *tcb, struct tcp_out *out, uint64_t now)
{
	if (!tcb_has(tcb, TCB_ACK_NOW))
		return false;
	output_fill(tcp, tcb, out, tcb_ack_seq(tcb), TCP_ACK, now);
	return true;
}

static bool pull_bare(struct tcp *tcp, struct tcb *tcb, struct tcp_out *out, uint64_t now)
{
	if (!pull_probe(tcp, tcb, out, now) && !pull_ack(tcp, tcb, out, now))
		return false;
	if (tcb_synchronized(tcb))
		add_accecn(tcp, tcb, &out->seg, false);
	/* MUST-66's other half: announced even if no data may go */
	set_urgent(tcb, &out->seg);
	output_ack_goes(tcp, tcb, true, now);
	return true;
}

/* MUST-36: what waits for a window probes for it, if nothing in flight will bring an ACK. */
static void persist_update(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	struct tcb_io *io = tcb->io;
	bool stuck =
		sendmap_empty(&io->map) && (io->why == CPL_WHY_RWND || io->why == CPL_WHY_ZERO_WND);

	if (stuck && !tcb_has(tcb, TCB_PERSIST))
		timer_persist_start(tcp, tcb, now);
	else if (!stuck && tcb_has(tcb, TCB_PERSIST))
		timer_rexmt_stop(tcp, tcb);
}

static bool pull_data(struct tcp *tcp, struct tcb *tcb, struct tcp_out *out, uint64_t now)
{
	struct recovery *rec = &tcb->io->recovery;

	if (pace_holds(tcb, now))
		return false;

	/* RFC 5682 2.1 step 2b: new data first; where there is none, the usual way. */
	if (recovery_new_first(rec) && tcb->snd_nxt - rec->point < 2u * mss_now(tcb)) {
		if (pull_new(tcp, tcb, out, now))
			return true;
		recovery_no_new(rec);
	}
	if (recovery_new_first(rec))
		return false;
	return pull_lost(tcp, tcb, out, now) ||
	       (!sendmap_next_lost(&tcb->io->map) &&
		(pull_new(tcp, tcb, out, now) || pull_loss_probe(tcp, tcb, out, now) ||
		 pull_rescue(tcp, tcb, out, now)));
}

/* RFC 7413 4.2.2: an answer to what the SYN brought need not await the handshake's end. */
static bool pull_early(struct tcp *tcp, struct tcb *tcb, struct tcp_out *out, uint64_t now)
{
	if (!fastopen_is_child(tcb) || sendmap_empty(&tcb->io->map) ||
	    sendmap_next_lost(&tcb->io->map) || !pull_new(tcp, tcb, out, now))
		return false;
	set_urgent(tcb, &out->seg);
	output_ack_goes(tcp, tcb, false, now);
	return true;
}

static bool pull_any(struct tcp *tcp, struct tcb *tcb, struct tcp_out *out, uint64_t now)
{
	bool data = false;

	if (!tcb_synchronized(tcb))
		return tcb->io && (output_syn(tcp, tcb, out, now) ||
				   pull_early(tcp, tcb, out, now) || pull_bare(tcp, tcb, out, now));
	if (tcb->io && !accecn_pure_ack_first(tcb))
		data = pull_data(tcp, tcb, out, now);
	if (data) {
		pace_sent(tcb->io, out->seg.len, now);
		set_urgent(tcb, &out->seg);
		output_ack_goes(tcp, tcb, false, now);
		return true;
	}
	if (tcb->io)
		persist_update(tcp, tcb, now);
	return pull_bare(tcp, tcb, out, now);
}

#ifdef CPL_DEBUG
/* What cannot go now has something that will look at it again: a timer that awaits an ACK or not.
 */
static void check_wakes(const struct tcb *tcb)
{
	const struct tcb_io *io = tcb->io;

	if (!io || !tcb_synchronized(tcb) || io->why == CPL_WHY_MEMORY)
		return;
	if (tcb->snd_nxt == tcb_write_seq(tcb) + tcb_has(tcb, TCB_FIN_SENT) && !io->map.pending &&
	    (!tcb_has(tcb, TCB_FIN_QUEUED) || tcb_has(tcb, TCB_FIN_SENT)))
		return;
	ASSERT(io->t_rexmt != CPL_NEVER || io->t_cork != CPL_NEVER || io->t_pace != CPL_NEVER);
}
#endif

/* A segment goes. If nothing is left to say, what the next look would find is noted at once. */
static void settle(struct tcb *tcb, uint64_t now)
{
	struct tcb_io *io = tcb->io;
	bool fin = tcb_has(tcb, TCB_FIN_SENT);

	if (tcb->state == CPL_SYN_SENT && !tcb->fastopen &&
	    !tcb_has(tcb, TCB_ACK_NOW | TCB_PROBE)) {
		list_del(&tcb->ready); /* nothing follows the SYN */
		return;
	}
	if ((tcb->state != CPL_ESTABLISHED && !fin) || !io ||
	    tcb->snd_nxt != tcb_write_seq(tcb) + fin ||
	    tcb_has(tcb, TCB_ACK_NOW | TCB_PROBE | TCB_PERSIST | TCB_WANT_WRITE) || tcb->accecn ||
	    io->recovery.state != CPL_RECOVERY_OPEN || io->recovery.probe_due || io->map.pending ||
	    recovery_new_first(&io->recovery))
		return;
	if (output_cwnd_room(tcb) >= tcb->snd_mss)
		sendmap_app_limited(&io->map);
	tcb_why(tcb, fin ? CPL_WHY_CLOSED : CPL_WHY_IDLE, now);
	list_del(&tcb->ready);
}

bool tcp_pull(struct tcp *tcp, struct tcb *tcb, struct tcp_out *out, uint64_t now)
{
	bool live =
		tcb->state != CPL_CLOSED && tcb->state != CPL_LISTEN && tcb->state != CPL_TIME_WAIT;
	enum fast_pull fast = fast_pull(tcp, tcb, out, now);

	if (fast == FAST_NOTHING)
		list_del(&tcb->ready);
	if (fast != FAST_NOT)
		return fast == FAST_SENT;
	tcb->plain = false;
	if (live && pull_any(tcp, tcb, out, now)) {
		ecn_out(tcb, out);
		output_count(tcp, tcb, out, now);
		timer_update(tcp, tcb);
		settle(tcb, now);
#ifdef CPL_DEBUG
		tcb_check(tcp, tcb);
#endif
		return true;
	}
	list_del(&tcb->ready);
#ifdef CPL_DEBUG
	if (live)
		check_wakes(tcb);
#endif
	if (live && tcb->io && tcb->io->why == CPL_WHY_MEMORY)
		timer_retry(tcp, tcb, now);
	if (live)
		timer_update(tcp, tcb);
	return false;
}

void tcb_kick(struct tcp *tcp, struct tcb *tcb)
{
	const struct tcb_io *io = tcb->io;

	if (tcb_has(tcb, TCB_ACK_NOW | TCB_PROBE)) {
		tcb_ready(tcp, tcb);
		return;
	}
	if (!io)
		return;
	if (tcb->snd_nxt != tcb_write_seq(tcb) + tcb_has(tcb, TCB_FIN_SENT) || io->map.lost ||
	    io->map.unsent || io->recovery.probe_due ||
	    (tcb_has(tcb, TCB_FIN_QUEUED) && !tcb_has(tcb, TCB_FIN_SENT)))
		tcb_ready(tcp, tcb);
}
