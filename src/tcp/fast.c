/* SPDX-License-Identifier: MIT */
/*
 * Header prediction: a short way for the segments that mostly come and go while data moves. What
 * arrives is the next text in order, or acknowledges all that is in flight, or both (RFC 9293
 * 3.10.7.4 with all its checks known to pass); what leaves is one segment with all that there is to
 * send, with nothing in flight. Each function begins with what must hold for the long way to do
 * exactly what follows, and does nothing where it does not: then the long way is taken. A step
 * that is only here because the long way takes it is named after it.
 */
#include "tcp/ecn.h"
#include "tcp/fast.h"

/* ---- what arrives ---- */

/* Established, it has neither sent nor received a FIN; and an ACK tells of nothing but itself. */
static inline bool takes_text(const struct tcp *tcp, const struct tcb *tcb)
{
	return tcb->state == CPL_ESTABLISHED && !tcp->long_way && !tcb->accecn && !tcb->ecn &&
	       !tcb_has(tcb, TCB_ORPHAN | TCB_PERSIST | TCB_URG_OUT);
}

/* Nothing of this segment needs a decision but its ACK and its text. */
static inline bool is_expected(const struct tcb *tcb, const struct tcp_seg *seg)
{
	if (seg->seq != tcb->rcv_nxt || (seg->flags & ~TCP_PSH) != TCP_ACK)
		return false;
	if (!tcb_has(tcb, TCB_TS))
		return !seg->opts;
	return seg->opts == TCP_HAS_TS && seq_geq(seg->tsval, tcb->ts_recent);
}

/* There is room for the text. */
static inline bool text_fits(const struct tcb *tcb, const struct tcp_seg *seg)
{
	return !seg->len || seq_leq(seg->seq + seg->len, tcb->rcv_edge);
}

/* Nobody doubts what an ACK says has arrived; neither recovery nor the controller intervenes. */
static inline bool takes_ack(const struct tcb_io *io)
{
	const struct recovery *rec = &io->recovery;

	return !io->map.told && !io->map.mtu_probe_lost && rec->state == CPL_RECOVERY_OPEN &&
	       rec->sack && !rec->tlp.out && !undo_proven(&rec->undo) &&
	       cc_ops(&io->cc)->ack_unused;
}

/* What is in flight left once, as one. */
static inline const struct sent *only_record(const struct tcb_io *io)
{
	const struct sendmap *map = &io->map;
	const struct sent *record;

	if (list_empty(&map->records) || map->records.next != map->records.prev)
		return NULL;
	record = list_first(&map->records, struct sent, by_seq);
	return record->flags & ~(SENT_PSH | SENT_FIN | SENT_APP_LIMITED) ? NULL : record;
}

/* The window of the controller neither limits nor grows. */
static inline bool is_calm(const struct tcb_io *io)
{
	return !io->cwnd_limited &&
	       (io->cc.cwnd >= io->cc.ssthresh || io->cc.cwnd >= 2ull * io->out_max);
}

/* recovery_on_ack() */
static inline void recovery_calm(struct tcb *tcb, uint64_t sent, uint32_t end, uint32_t acked,
				 const struct rack_path *path, uint64_t now)
{
	struct recovery *rec = &tcb->io->recovery;

	rack_delivered(&rec->rack, sent, end, now);
	rec->dup_acks = 0;
	rec->last_advance = acked;
	if (rec->point_valid && seq_gt(end, rec->point))
		rec->point_valid = false;
	rack_quiet(&rec->rack, path);
	rec->t_reorder = RECOVERY_NEVER;
}

/* input_advance(): all that is in flight is acknowledged, up to ACK; nothing is urgent. */
static inline void advance(struct tcp *tcp, struct tcb *tcb, uint32_t ack, uint64_t now)
{
	struct tcb_io *io = tcb->io;
	uint32_t n = ack - io->snd_base;

	if (n >= io->sndq.bytes) {
		n = (uint32_t)io->sndq.bytes; /* the FIN is no octet */
		chunkq_empty(&io->sndq, tcp->chunks);
		tcb_busy(tcb, false, now);
		if (tcb_has(tcb, TCB_SENT_ALL_DUE) &&
		    (!tcb_has(tcb, TCB_FIN_QUEUED) || tcb_has(tcb, TCB_FIN_SENT))) {
			tcb->flags &= ~TCB_SENT_ALL_DUE;
			tcb_event(tcp, tcb, CPL_EV_SENT_ALL);
		}
	} else {
		chunkq_drop(&io->sndq, tcp->chunks, n);
	}
	tcb_acked(tcb, ack, n, now);
	sndbuf_autotune(tcp, tcb);
	if (tcb_has(tcb, TCB_WANT_WRITE))
		tcb_tell_room(tcp, tcb);
}

/* ack_in_flight(): RECORD is acknowledged, and with it all. */
static inline __attribute__((always_inline)) void all_acked(struct tcp *tcp, struct tcb *tcb,
							    const struct sent *record, uint64_t now)
{
	struct tcb_io *io = tcb->io;
	/* tcb_recovery_path(), before this sample */
	struct rack_path path = {
		.srtt_ns = tcb->rtt.srtt_ns,
		.min_rtt_ns = tcb->rtt.min_us == UINT32_MAX ? 0 : tcb->rtt.min_us * 1000ull,
	};
	uint32_t end = record->end, acked = end - record->start;
	uint64_t sent = record->time;

	input_rtt(tcp, tcb, now > sent ? now - sent : 1, acked, now);
	sendmap_ack_only(&io->map, tcb->rtt.min_us * 1000ull, now, &io->rate);
	advance(tcp, tcb, end, now);
	recovery_calm(tcb, sent, end, acked, &path, now);
	cc_ops(&io->cc)->ack_unused(&io->cc);
	if (io->cc.app_limited)
		sendmap_app_limited(&io->map);
	io->cc.app_limited = false;
	io->map.loss = (struct loss_sample){ 0 };
	io->t_rexmt = CPL_NEVER;
	io->recovery.t_probe = CPL_NEVER; /* timer_probe_schedule() */
}

bool fast_ack(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg, bool *fin, uint64_t now)
{
	const struct sent *record;

	if (seg->ack != tcb->snd_nxt || seg->opts & ~TCP_HAS_TS || tcp->long_way ||
	    !tcb_synchronized(tcb) || tcb_has(tcb, TCB_PERSIST | TCB_URG_OUT) || tcb->accecn ||
	    tcb->ecn || !takes_ack(tcb->io) || !(record = only_record(tcb->io)) ||
	    !is_calm(tcb->io))
		return false;
	*fin = record->flags & SENT_FIN;
	all_acked(tcp, tcb, record, now);
#ifdef CPL_DEBUG
	tcp->short_ways++;
#endif
	return true;
}

/* input_window(): SEG acknowledges all; what came early may have told of a window already. */
static inline void window_newest(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg,
				 uint64_t now)
{
	if ((uint32_t)seg->wnd << tcb->snd_wscale != tcb->snd_wnd ||
	    seq_lt(seg->seq, tcb->snd_wl1)) {
		input_window(tcp, tcb, seg, now);
		return;
	}
	tcb->snd_wl1 = seg->seq;
	tcb->snd_wl2 = seg->ack;
}

bool fast_input(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg, uint64_t now)
{
	const struct sent *record = NULL;

	DEBUG_ASSERT(!tcb->plain || fast_is_plain(tcp, tcb));
	if (!tcb->io || !is_expected(tcb, seg) || !(tcb->plain || takes_text(tcp, tcb)))
		return fast_close(tcp, tcb, seg, now);
	if (seg->ack != tcb->snd_nxt || !text_fits(tcb, seg) ||
	    !(tcb->plain || !seg->len || list_empty(&tcb->io->ooo)))
		return false;
	if (tcb->snd_una != tcb->snd_nxt && (!(tcb->plain || takes_ack(tcb->io)) ||
					     !(record = only_record(tcb->io)) || !is_calm(tcb->io)))
		return false;
	if (seg->len && !input_text_next(tcp, tcb, seg))
		return false;
	tcb->segs_in++;
	tcb->data_segs_in += !!seg->len;
	if (record)
		all_acked(tcp, tcb, record, now);
	window_newest(tcp, tcb, seg, now);
	if (seg->opts && seq_leq(seg->seq, tcb->last_ack_sent)) { /* take_timestamp() */
		tcb->ts_recent = seg->tsval;
		tcb->ts_recent_s = tcp_seconds(now);
	}
	if (seg->len)
		input_text_taken(tcp, tcb, seg, now);
	tcb->last_received = now;
	tcb->probes_n = 0;
	if (trace_on(tcp->trace))
		trace_seg_in(tcp, tcb_handle(tcp, tcb), seg, false, now);
#ifdef CPL_DEBUG
	tcp->short_ways++;
	tcb_check(tcp, tcb);
#endif
	timer_was_set(tcp, tcb, tcb->io->t_delack);
	/* tcb_kick() */
	if (tcb_has(tcb, TCB_ACK_NOW | TCB_PROBE) || tcb->snd_nxt != tcb_write_seq(tcb))
		tcb_kick(tcp, tcb);
	return true;
}

bool fast_first(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg, uint64_t now)
{
	/* Its text is what asks for a block. */
	if (tcb->io || !seg->len || seg->ack != tcb->snd_nxt || !is_expected(tcb, seg) ||
	    !takes_text(tcp, tcb) || seq_gt(seg->seq + seg->len, tcb->rcv_edge))
		return false;
	return tcb_io_new(tcp, tcb, now) && fast_input(tcp, tcb, seg, now);
}

static inline bool reads_plainly(const struct tcp *tcp, const struct tcb *tcb)
{
	return tcb->state == CPL_ESTABLISHED && tcb->io && !tcb_has(tcb, TCB_URG_IN) &&
	       !tcp->long_way;
}

bool fast_receive(struct tcp *tcp, struct tcb *tcb, size_t n, uint64_t now)
{
	struct tcb_io *io = tcb->io;

	if (!n || !(tcb->plain || reads_plainly(tcp, tcb)) || io->rcvq.bytes != n)
		return false;
	chunkq_empty(&io->rcvq, tcp->chunks);
	tcb->read_seq += (uint32_t)n;
	window_after_read(tcp, tcb, now);
	return true;
}

/* ---- what leaves ---- */

static inline bool writes_plainly(const struct tcp *tcp, const struct tcb *tcb)
{
	return tcb->state == CPL_ESTABLISHED && tcb->io && !tcb->io->marks_n &&
	       !tcb_has(tcb, TCB_FIN_QUEUED | TCB_CORK) && !tcp->long_way;
}

/* send_data(): N octets into an empty queue, which has room for a segment at least. */
bool fast_send(struct tcp *tcp, struct tcb *tcb, const void *data, size_t n, uint64_t now)
{
	struct tcb_io *io = tcb->io;

	if (!(tcb->plain || writes_plainly(tcp, tcb)) || io->sndq.bytes || !n || n > tcb->snd_mss ||
	    n >= tcb->sndbuf || tcp->mem->used > tcp->mem->limit - tcp->mem->limit / 16)
		return false;
	if (chunkq_append(&io->sndq, tcp->chunks, data, n) != n) {
		chunkq_clear(&io->sndq, tcp->chunks);
		return false;
	}
	tcb->flags |= TCB_SENT_ALL_DUE; /* written() */
	tcb->flags &= ~TCB_MORE;
	tcb->fastopen &= (uint16_t)~FASTOPEN_DEFERRED;
	tcb_busy(tcb, true, now);
	io->no_push = false; /* stream_written() */
	io->forced_push = tcb_write_seq(tcb);
	tcb_ready(tcp, tcb);
	return true;
}

/* Neither loss, nor the pacer, nor a probe, nor the user's wishes say what goes when. */
static bool sends_plainly(const struct tcp *tcp, const struct tcb *tcb)
{
	const struct tcb_io *io = tcb->io;

	if (!io || tcp->long_way)
		return false;
	if (tcb_has(tcb, TCB_PROBE | TCB_PERSIST | TCB_URG_OUT | TCB_CORK | TCB_MORE) ||
	    tcb->accecn || tcb->ecn || tcb->mtu_cap)
		return false;
	return io->recovery.state == CPL_RECOVERY_OPEN && io->recovery.sack &&
	       !io->recovery.probe_due && !recovery_new_first(&io->recovery) && !io->map.pending &&
	       !io->cc.pacing_rate && !io->pace_max && !io->marks_n && list_empty(&io->ooo) &&
	       io->dsack.start == io->dsack.end;
}

/* Nothing is in flight; and all LEN octets that there are may go as one segment. */
static bool goes_whole(const struct tcp *tcp, const struct tcb *tcb, uint32_t len, uint64_t now)
{
	const struct tcb_io *io = tcb->io;

	/* restart_after_idle(): no RTO is below the least. */
	return len <= tcb->snd_mss && len <= tcb->snd_wnd && len <= io->cc.cwnd &&
	       tcb->rtt.srtt_ns && now - io->last_sent <= tcp->rto.min_ns;
}

bool fast_is_plain(const struct tcp *tcp, const struct tcb *tcb)
{
	return takes_text(tcp, tcb) && sends_plainly(tcp, tcb) && takes_ack(tcb->io) &&
	       reads_plainly(tcp, tcb) && writes_plainly(tcp, tcb) && !cc_ops(&tcb->io->cc)->sent;
}

/* output_fill() */
static void fill(struct tcp *tcp, struct tcb *tcb, struct tcp_seg *seg, uint32_t len,
		 uint16_t flags, uint64_t now)
{
	seg->seq = tcb->snd_nxt;
	seg->ack = tcb->rcv_nxt;
	seg->flags = flags;
	seg->wnd = window_advertise(tcp, tcb);
	seg->up = 0;
	seg->opts = 0;
	seg->tsval = seg->tsecr = 0;
	seg->len = len;
	if (tcb_has(tcb, TCB_TS)) {
		seg->opts = TCP_HAS_TS;
		seg->tsval = tcp_ts_clock(now) + tcb->ts_offset;
		seg->tsecr = tcb->ts_recent;
	}
}

/*
 * note_new_data() of LEN in sequence space; recovery_schedule_probe() of one segment, all that is
 * in flight.
 */
static inline __attribute__((always_inline)) void
sent_whole(struct tcp *tcp, struct tcb *tcb, uint32_t len, uint32_t mss, uint64_t now)
{
	struct tcb_io *io = tcb->io;
	uint64_t probe = now + tlp_pto_ns(len, mss, tcb->rtt.srtt_ns);

	io->progress = now;
	tcb->rexmt_n = 0;
	tcb->snd_nxt += len;
	io->hold_over = false;
	io->t_cork = CPL_NEVER;
	output_usage(tcb, io->cc.cwnd - len < mss);
	timer_rexmt_start(tcp, tcb, now);
	if (io->recovery.tlp.out)
		io->recovery.t_probe = CPL_NEVER;
	else
		io->recovery.t_probe = probe < io->t_rexmt ? probe : io->t_rexmt;
	if (tcb_notsent_lowat(tcp, tcb) != UINT32_MAX)
		tcb_tell_room(tcp, tcb);
}

/* output_count(), without what a super-segment and a retransmission ask for. */
static void count(struct tcp *tcp, struct tcb *tcb, struct tcp_seg *seg, uint64_t now)
{
	tcp->counters->segs_out++;
	tcb->segs_out++;
	if (seg->len) {
		tcb->data_segs_out++;
		tcb->bytes_sent += seg->len;
		tcb->io->last_sent = now;
	}
	if (trace_on(tcp->trace)) {
		seg->mss = 0;
		output_trace(tcp, tcb, seg, false, now);
	}
}

/*
 * settle(): nothing is left to say, unless the program waits for room: WHY; and tcb_why() before
 * it.
 */
static inline __attribute__((always_inline)) void rests(struct tcb *tcb, uint32_t len, uint32_t mss,
							enum cpl_why why, uint64_t now)
{
	struct tcb_io *io = tcb->io;

	io->why_ns[io->why] += now - io->why_since;
	io->why_since = now;
	io->why = CPL_WHY_SENDING;
	if (tcb_has(tcb, TCB_ACK_NOW | TCB_WANT_WRITE))
		return;
	if (io->cc.cwnd - len >= mss)
		sendmap_app_limited(&io->map);
	io->why = (uint8_t)why;
	list_del(&tcb->ready);
}

bool fast_whole(struct tcp *tcp, struct tcb *tcb, struct tcp_seg *seg, struct chunk_piece *text,
		uint64_t now)
{
	struct tcb_io *io = tcb->io;
	uint32_t len, mss = tcb->snd_mss;
	bool push;

	DEBUG_ASSERT(!tcb->plain || fast_is_plain(tcp, tcb));
	if (tcb->snd_una != tcb->snd_nxt ||
	    !(tcb->plain ||
	      (tcb->state == CPL_ESTABLISHED && sends_plainly(tcp, tcb) && !cc_ops(&io->cc)->sent)))
		return false;
	len = tcb_write_seq(tcb) - tcb->snd_nxt;
	if (!len || !goes_whole(tcp, tcb, len, now) || !chunkq_single(&io->sndq, text))
		return false;
	push = !io->no_push || io->hold_over || stream_pushed(io, tcb->snd_nxt, len);
	if (!sendmap_sent_only(&io->map, len, (uint16_t)mss, push ? SENT_PSH : 0, now))
		return false;
	fill(tcp, tcb, seg, len, push ? TCP_ACK | TCP_PSH : TCP_ACK, now);
	if (len != mss)
		io->small_end = tcb->snd_nxt + len;
	sent_whole(tcp, tcb, len, mss, now);
	output_ack_goes(tcp, tcb, false, now);
	count(tcp, tcb, seg, now);
	timer_was_set(tcp, tcb,
		      io->t_rexmt < io->recovery.t_probe ? io->t_rexmt : io->recovery.t_probe);
	rests(tcb, len, mss, CPL_WHY_IDLE, now);
	if (!tcb->plain && tcb->data_segs_out > 1) /* of many there is but one, before they end */
		tcb->plain = fast_is_plain(tcp, tcb);
#ifdef CPL_DEBUG
	tcp->short_ways++;
	tcb_check(tcp, tcb);
#endif
	return true;
}

bool fast_fin(struct tcp *tcp, struct tcb *tcb, struct tcp_seg *seg, uint64_t now)
{
	struct tcb_io *io = tcb->io;
	uint32_t mss = tcb->snd_mss;

	if ((tcb->state != CPL_FIN_WAIT_1 && tcb->state != CPL_LAST_ACK) ||
	    tcb_has(tcb, TCB_FIN_SENT | TCB_WANT_WRITE) || !tcb_has(tcb, TCB_FIN_QUEUED) ||
	    tcb->snd_una != tcb->snd_nxt || !sends_plainly(tcp, tcb) ||
	    tcb_write_seq(tcb) != tcb->snd_nxt || !tcb->rtt.srtt_ns || !tcb->snd_wnd)
		return false;
	if (io->cc.cwnd >= mss)
		sendmap_app_limited(&io->map);
	if (!sendmap_sent_only(&io->map, 1, (uint16_t)mss, SENT_PSH | SENT_FIN, now))
		return false;
	fill(tcp, tcb, seg, 0, TCP_ACK | TCP_FIN, now);
	tcb->flags |= TCB_FIN_SENT;
	sent_whole(tcp, tcb, 1, mss, now);
	output_ack_goes(tcp, tcb, false, now);
	count(tcp, tcb, seg, now);
	timer_was_set(tcp, tcb,
		      io->t_rexmt < io->recovery.t_probe ? io->t_rexmt : io->recovery.t_probe);
	rests(tcb, 1, mss, CPL_WHY_CLOSED, now);
#ifdef CPL_DEBUG
	tcp->short_ways++;
	tcb_check(tcp, tcb);
#endif
	return true;
}

/* What fill() leaves out, for those who look at all. */
static void fill_rest(const struct tcb *tcb, struct tcp_out *out)
{
	struct tcp_seg *seg = &out->seg;

	out->tcb = (struct tcb *)tcb;
	out->pieces_n = seg->len != 0;
	if (seg->len)
		chunk_get(out->pieces[0].chunk);
	out->gso_size = 0;
	out->start = seg->seq;
	out->end = tcb->snd_nxt;
	out->retransmission = false;
	out->ect = 0;
	seg->sport = tcb->node.id.lport;
	seg->dport = tcb->node.id.rport;
	seg->mss = 0;
	seg->wscale = seg->sack_n = 0;
}

enum fast_pull fast_pull(struct tcp *tcp, struct tcb *tcb, struct tcp_out *out, uint64_t now)
{
	if (tcb->state == CPL_ESTABLISHED ? fast_whole(tcp, tcb, &out->seg, out->pieces, now)
					  : fast_fin(tcp, tcb, &out->seg, now)) {
		fill_rest(tcb, out);
		return FAST_SENT;
	}
	if (tcb->state != CPL_ESTABLISHED)
		return FAST_NOT;
	if (!sends_plainly(tcp, tcb) || tcb_write_seq(tcb) != tcb->snd_nxt ||
	    tcb_has(tcb, TCB_ACK_NOW | TCB_WANT_WRITE))
		return FAST_NOT;
	if (output_cwnd_room(tcb) >= tcb->snd_mss)
		sendmap_app_limited(&tcb->io->map);
	tcb_why(tcb, CPL_WHY_IDLE, now);
	return FAST_NOTHING;
}
