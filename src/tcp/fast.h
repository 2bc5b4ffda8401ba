/* SPDX-License-Identifier: MIT */
/*
 * Short ways for what mostly comes, goes, is written and is read: each does exactly what the long
 * way would do, or nothing.
 */
#ifndef TCP_FAST_H
#define TCP_FAST_H

#include "tcp/tcp.h"

/*
 * SEG, one segment, not lent, without IP options, is what mostly comes: it was dealt with. Looks at
 * nothing but sequence and ACK numbers, flags, window, timestamps, data and len, unless there is a
 * trace; TCB may be gone afterwards. False: nothing was done.
 */
bool fast_input(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg, uint64_t now);
/*
 * SEG, of a connection with a tcb_io, acknowledges all that is in flight, which left once and as
 * one: that was dealt with; *FIN: our FIN was part of it. False: nothing was done.
 */
bool fast_ack(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg, bool *fin, uint64_t now);
/* The same of the first that comes for a connection without a tcb_io; which it may have afterwards.
 */
bool fast_first(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg, uint64_t now);
/*
 * fast_close.c: the same of a segment without text that ends a direction, or all: TCB may be gone
 * afterwards.
 */
bool fast_close(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg, uint64_t now);
/* TCB is soon called: fast_tcb() has it at hand, if it is in the table. */
static inline void fast_meet(struct tcp *tcp, struct tcb *tcb)
{
	if (!tcb_has(tcb, TCB_HASHED))
		return;
	tcp->demux.met = &tcb->node;
	tcp->demux.met_kind = KIND_TCB;
}
/* tcp_tcb(): what is called is often what a segment came for, or was called last. */
static inline struct tcb *fast_tcb(struct tcp *tcp, cpl_handle h)
{
	const struct demux *d = &tcp->demux;
	struct tcb *tcb;

	if (d->met && d->met_kind == KIND_TCB) {
		tcb = container_of(d->met, struct tcb, node);
		if (tcb_handle(tcp, tcb) == h)
			return tcb;
	}
	return tcp_tcb(tcp, h);
}
/* All N octets, without flags, are in the send queue. False: nothing was done. */
bool fast_send(struct tcp *tcp, struct tcb *tcb, const void *data, size_t n, uint64_t now);
/* All that there is to read is one piece, *PIECE. False: it is not, or nothing was asked. */
static inline bool fast_borrow(struct tcb *tcb, struct chunk_piece *piece)
{
	return (tcb->plain ||
		(tcb->state == CPL_ESTABLISHED && tcb->io && !tcb_has(tcb, TCB_URG_IN))) &&
	       chunkq_single(&tcb->io->rcvq, piece);
}
/* N octets, all that there were to read, have been read where they lay. False: nothing was done. */
bool fast_receive(struct tcp *tcp, struct tcb *tcb, size_t n, uint64_t now);
/*
 * All that there is to send has left as *SEG, which mostly is so: its sequence number, ACK, flags,
 * window, timestamps and len are set; TCB knows of it. *TEXT, all of the send queue, has no
 * reference of its own. False: nothing was done.
 */
bool fast_whole(struct tcp *tcp, struct tcb *tcb, struct tcp_seg *seg, struct chunk_piece *text,
		uint64_t now);
/*
 * All that the short ways ask of an established connection before they look at what comes or goes,
 * and that none of them changes: true as long as its bit PLAIN is set.
 */
bool fast_is_plain(const struct tcp *tcp, const struct tcb *tcb);
/* The same of the FIN, after all else was sent and acknowledged. */
bool fast_fin(struct tcp *tcp, struct tcb *tcb, struct tcp_seg *seg, uint64_t now);
enum fast_pull {
	FAST_NOT,     /* nothing was done */
	FAST_SENT,    /* *OUT is what mostly goes */
	FAST_NOTHING, /* there is nothing to send */
};
enum fast_pull fast_pull(struct tcp *tcp, struct tcb *tcb, struct tcp_out *out, uint64_t now);

#endif
