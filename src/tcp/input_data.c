/* SPDX-License-Identifier: MIT */
/*
 * Sixth to eighth check of RFC 9293 3.10.7.4: urgent pointer, segment text, FIN; and when to
 * acknowledge (3.8.6.3, RFC 5681 4.2).
 */
#include "tcp/ecn.h"

#define QUICK_MIN 128u /* octets: as Linux, less is no bulk data */

/* As Linux: the urgent octet that reading has come to is passed over when another is announced. */
static void pass_over(struct tcp *tcp, struct tcb *tcb)
{
	if (!tcb_has(tcb, TCB_URG_IN) || tcb_has(tcb, TCB_OOB_INLINE) ||
	    tcb->rcv_up - 1 != tcb->read_seq || !tcb->io || !tcb->io->rcvq.bytes)
		return;
	chunkq_drop(&tcb->io->rcvq, tcp->chunks, 1);
	tcb->read_seq++;
}

/* MUST-30 to MUST-32; MUST-62: the pointer names the octet after the urgent data (RFC 6093). */
enum verdict input_urgent(struct tcp *tcp, struct tcb *tcb, const struct seg_in *in, uint64_t now)
{
	const struct tcp_seg *seg = &in->tcp;
	uint32_t up = seg->seq + seg->up;

	(void)now;
	if (!(seg->flags & TCP_URG) || !seg->up || tcb_has(tcb, TCB_FIN_RECEIVED))
		return V_CONTINUE;
	/* Without TCB_URG_IN rcv_up may be any distance behind what was read. */
	if (!seq_gt(up, tcb->read_seq) || (tcb_has(tcb, TCB_URG_IN) && !seq_gt(up, tcb->rcv_up)))
		return V_CONTINUE;
	pass_over(tcp, tcb);
	tcb->rcv_up = up;
	tcb->flags |= TCB_URG_IN | TCB_OOB_DUE;
	tcb_event(tcp, tcb, CPL_EV_URGENT);
	return V_CONTINUE;
}

/*
 * How big the peer's segments are: what delayed ACKs and SWS avoidance count by. One shorter one is
 * the end of a write; two of the same size in a row are the peer's MSS (as Linux).
 */
static void measure_mss(struct tcb *tcb, uint32_t len)
{
	uint16_t before = tcb->io->last_len;

	if (len > tcb->rcv_mss)
		len = tcb->rcv_mss;
	tcb->io->last_len = (uint16_t)len;
	if (len >= tcb->rcv_mss_est ||
	    (len == before && len >= tcp_default_mss(&tcb->node.id.remote)))
		tcb->rcv_mss_est = (uint16_t)len;
}

/*
 * As Linux: while the window grows, each segment is acknowledged at once, if the program only
 * receives (RFC 5681 4.2 leaves it to us). A sender far below what the path holds then sends them
 * one by one; an ACK for two makes them pairs, which find together and never part again.
 */
static void quick_growth(struct tcb_io *io, uint32_t len)
{
	if (!io->quick_left || len < QUICK_MIN)
		return;
	io->quick_left -= len < io->quick_left ? len : io->quick_left;
	io->quick |= 1;
}

/* In order: SHLD-18, SHLD-19: every second full segment at once, the rest within delack_ns
 * (MUST-40). */
static void schedule_ack(struct tcp *tcp, struct tcb *tcb, uint32_t len, bool push, uint64_t now)
{
	struct tcb_io *io = tcb->io;

	io->unacked_in += len;
	if (io->unacked_in >= 2u * tcb->rcv_mss_est || (io->quick && !tcb_has(tcb, TCB_PINGPONG))) {
		tcb->flags |= TCB_ACK_NOW;
		return;
	}
	io->pushed |= push || len < tcb->rcv_mss_est;
	if (!tcb_has(tcb, TCB_DELACK)) {
		tcb->flags |= TCB_DELACK;
		io->t_delack = now + tcp->config->delack_ns;
	}
}

/* A run is never trimmed: it was what comes next, all of it (run.c). */
static bool keep_run(struct tcp *tcp, struct tcb *tcb, const struct seg_in *in)
{
	struct chunkq *q = &tcb->io->rcvq;
	uint32_t left = in->tcp.len;

	for (unsigned i = 0; i < in->pieces_n; left -= in->pieces[i++].len) {
		const struct seg_piece *p = &in->pieces[i];
		struct seg_in one = { .lent = p->lent };

		/* It is memory of ours, where the text has landed; or it is lent. */
		if (p->lent && (p->lent->cls < CHUNK_CLASSES || lend_worth(&one, p->len)) &&
		    chunkq_append_ref(q, tcp->chunks, p->lent, p->lent_off, p->len))
			continue;
		if (chunkq_append_part(q, tcp->chunks, p->data, p->len, left) != p->len)
			return false;
	}
	return true;
}

static bool keep_text(struct tcp *tcp, struct tcb *tcb, const struct seg_in *in,
		      const uint8_t *data, uint32_t len)
{
	struct tcb_io *io = tcb->io;

	if (in->pieces_n)
		return keep_run(tcp, tcb, in);
	if (lend_worth(in, len)) {
		uint32_t off = in->lent_off + (uint32_t)(data - in->tcp.data);

		if (chunkq_append_ref(&io->rcvq, tcp->chunks, in->lent, off, len))
			return true;
	}
	if (chunkq_append(&io->rcvq, tcp->chunks, data, len) == len)
		return true;
	return false;
}

/* What follows from LEN octets in order that were kept. */
static inline void text_taken(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg,
			      uint32_t len, uint64_t now)
{
	tcb->io->dup_acks_owed = 0;
	rcvbuf_measure(tcb, seg, now);
	schedule_ack(tcp, tcb, len, seg->flags & TCP_PSH, now);
	tcb_event(tcp, tcb, CPL_EV_READABLE);
}

/* The text that starts at RCV.NXT. */
static enum verdict text_in_order(struct tcp *tcp, struct tcb *tcb, const struct seg_in *in,
				  const uint8_t *data, uint32_t len, bool *fin, uint64_t now)
{
	struct tcb_io *io = tcb->io;
	uint64_t before = io->rcvq.bytes;
	bool gap = !list_empty(&io->ooo);

	while (len && !keep_text(tcp, tcb, in, data, len)) {
		/* Nothing half-kept: the peer sends it again, unless what came early gives way. */
		chunkq_trim(&io->rcvq, tcp->chunks, io->rcvq.bytes - before);
		if (ooo_prune(tcp, io)) {
			tcp->counters->drop_tcp_ooo_pruned++; /* not of the segment at hand */
			continue;
		}
		tcp_drop(tcp, COUNTER_drop_tcp_memory);
		return V_DROP;
	}
	tcb->rcv_nxt += len;
	tcb->bytes_received += len;
	if (gap) {
		uint32_t nxt = tcb->rcv_nxt;

		if (ooo_deliver(tcp, tcb))
			*fin = true;
		else if (tcb->rcv_nxt != nxt)
			*fin = false; /* text lies behind it: it is none */
		tcb->bytes_received += tcb->rcv_nxt - nxt;
		tcb->flags |= TCB_ACK_NOW; /* RFC 5681 4.2: it fills a gap */
	}
	if (seq_gt(tcb->rcv_nxt, tcb->rcv_edge))
		tcb->rcv_edge = tcb->rcv_nxt;
	text_taken(tcp, tcb, &in->tcp, len, now);
	return V_CONTINUE;
}

bool input_text_next(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg)
{
	struct chunkq *q = &tcb->io->rcvq;
	uint64_t before = q->bytes;

	if (chunkq_append(q, tcp->chunks, seg->data, seg->len) == seg->len)
		return true;
	chunkq_trim(q, tcp->chunks, q->bytes - before);
	return false;
}

/* As input_text() where nothing is trimmed. */
void input_text_taken(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg, uint64_t now)
{
	uint32_t len = seg->len;

	tcb->last_data = now;
	measure_mss(tcb, len);
	quick_growth(tcb->io, len);
	tcb->rcv_nxt += len;
	tcb->bytes_received += len;
	text_taken(tcp, tcb, seg, len, now);
}

enum verdict input_text(struct tcp *tcp, struct tcb *tcb, const struct seg_in *in, bool *fin,
			uint64_t now)
{
	const struct tcp_seg *seg = &in->tcp;
	uint32_t seq = seg->seq, len = seg->len, room;
	bool has_fin = seg->flags & TCP_FIN;
	const uint8_t *data = seg->data;

	if (!len && !has_fin)
		return V_CONTINUE;
	if (tcb_has(tcb, TCB_FIN_RECEIVED)) {
		if (seq_lt(seq, tcb->rcv_nxt))
			return V_ACK;			/* again: our ACK was lost */
		tcp_drop(tcp, COUNTER_drop_tcp_window); /* nothing lies beyond a FIN */
		return V_DROP;
	}
	if (!tcb_io(tcp, tcb, now)) {
		tcp_drop(tcp, COUNTER_drop_tcp_memory);
		return V_DROP;
	}
	if (seq_lt(seq, tcb->rcv_nxt)) { /* trim what we have */
		uint32_t dup = tcb->rcv_nxt - seq < len ? tcb->rcv_nxt - seq : len;

		if (dup) {
			dsack_note(tcb, seq, seq + dup);
			tcb->flags |= TCB_ACK_NOW;
		}
		seq += dup;
		data += dup;
		len -= dup;
	}
	room = seq_gt(tcb->rcv_edge, seq) ? tcb->rcv_edge - seq : 0;
	if (len > room) { /* trim what is beyond the window */
		len = room;
		has_fin = false;
		tcb->flags |= TCB_ACK_NOW;
		if (!len) {
			tcp_drop(tcp, COUNTER_drop_tcp_window);
			return V_ACK;
		}
	}
	if (len) {
		tcb->last_data = now;
		measure_mss(tcb, in->gso_size && in->gso_size < seg->len ? in->gso_size : seg->len);
		quick_growth(tcb->io, len);
		ecn_data(tcp, tcb, in, now);
	}
	if (seq == tcb->rcv_nxt) {
		*fin = has_fin;
		if (!len && list_empty(&tcb->io->ooo))
			return V_CONTINUE;
		return text_in_order(tcp, tcb, in, data, len, fin, now);
	}
	/* MAY-13, RFC 5681 4.2: it is early: say so at once, once for each. */
	tcb->flags |= TCB_ACK_NOW;
	tcb->io->dup_acks_owed++;
	tcb->io->quick = 16;
	/* SHLD-31 */
	if (!ooo_add(tcp, tcb, seq, in, data, len, has_fin))
		tcp_drop(tcp, COUNTER_drop_tcp_ooo_full);
	return V_CONTINUE;
}

enum verdict input_fin(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	tcb->rcv_nxt++;
	if (seq_gt(tcb->rcv_nxt, tcb->rcv_edge))
		tcb->rcv_edge = tcb->rcv_nxt;
	tcb->flags |= TCB_FIN_RECEIVED | TCB_ACK_NOW;
	if (tcb->io)
		ooo_clear(tcp, tcb->io);
	tcb_event(tcp, tcb, CPL_EV_PEER_FIN | CPL_EV_READABLE); /* MUST-12 */
	switch (tcb->state) {
	case CPL_SYN_RECEIVED:
	case CPL_ESTABLISHED:
		tcb_set_state(tcp, tcb, CPL_CLOSE_WAIT, now);
		return V_CONTINUE;
	case CPL_FIN_WAIT_1:
		tcb_set_state(tcp, tcb, CPL_CLOSING, now);
		return V_CONTINUE;
	case CPL_FIN_WAIT_2:
		return V_TIME_WAIT;
	default:
		return V_CONTINUE;
	}
}
