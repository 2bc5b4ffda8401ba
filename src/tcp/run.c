/* SPDX-License-Identifier: MIT */
/*
 * A run of segments: as one, where it is exactly what the connection waits for, since then all that
 * RFC 9293 3.10.7.4 does for each comes out the same; else one after the other.
 */
#include "tcp/tcp.h"

static struct tcb *receiver(struct tcp *tcp, const struct seg_in *in)
{
	struct conn_id id = { in->ip->dst, in->ip->src, in->tcp.dport, in->tcp.sport };
	enum conn_kind kind;
	struct demux_node *node = demux_find(tcp, &id, &kind);

	return node && kind == KIND_TCB ? container_of(node, struct tcb, node) : NULL;
}

static bool is_next(const struct tcb *tcb, const struct seg_in *in, uint32_t total)
{
	return tcb->state == CPL_ESTABLISHED && in->tcp.seq == tcb->rcv_nxt &&
	       !tcb_has(tcb, TCB_FIN_RECEIVED) && seq_leq(in->tcp.seq + total, tcb->rcv_edge);
}

struct tcb *tcp_run_tcb(struct tcp *tcp, const struct seg_in *in, uint32_t *window)
{
	struct tcb *tcb = receiver(tcp, in);

	if (!tcb || !tcb->io || !is_next(tcb, in, in->tcp.len))
		return NULL;
	*window = tcb->rcv_edge - in->tcp.seq;
	return tcb;
}

struct chunk *tcp_run_room(struct tcp *tcp, struct tcb *tcb, uint32_t n, uint32_t coming)
{
	return chunkq_room(&tcb->io->rcvq, tcp->chunks, n, coming);
}

void tcp_input_run(struct tcp *tcp, struct tcb *tcb, struct seg_in *in, unsigned n, uint32_t total,
		   uint64_t now)
{
	const struct seg_piece *pieces = in->pieces;

	if (n > 1 && (tcb || ((tcb = receiver(tcp, in)) != NULL && is_next(tcb, in, total)))) {
		tcp->counters->segs_in += n;
		tcp->dropped = 0;
		in->gso_size = in->tcp.len;
		in->tcp.len = total;
		in->tcp.flags |= pieces[in->pieces_n - 1].flags & TCP_PSH;
		segment_arrives(tcp, tcb, in, now);
		return;
	}
	in->pieces = NULL;
	in->pieces_n = 0;
	tcp_input(tcp, in, now);
	for (unsigned i = 1; i < n; i++) {
		in->tcp.seq += pieces[i - 1].len;
		in->tcp.data = pieces[i].data;
		in->tcp.len = pieces[i].len;
		in->tcp.flags = (in->tcp.flags & ~(uint32_t)TCP_PSH) | (pieces[i].flags & TCP_PSH);
		in->lent = pieces[i].lent;
		in->lent_off = pieces[i].lent_off;
		tcp_input(tcp, in, now);
	}
}
