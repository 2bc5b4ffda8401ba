/* SPDX-License-Identifier: MIT */
/*
 * A run of segments: as one, where it is exactly what the connection waits for, since then all that
 * RFC 9293 3.10.7.4 does for each comes out the same; else one after the other.
 */
#include "tcp/tcp.h"

static bool is_next(struct tcp *tcp, const struct tcb *tcb, const struct seg_in *in, uint32_t total)
{
	(void)tcp;
	return tcb->state == CPL_ESTABLISHED && in->tcp.seq == tcb->rcv_nxt &&
	       !tcb_has(tcb, TCB_FIN_RECEIVED) && seq_leq(in->tcp.seq + total, tcb->rcv_edge);
}

void tcp_input_run(struct tcp *tcp, struct seg_in *in, const struct seg_piece *pieces, unsigned n,
		   uint32_t total, uint64_t now)
{
	struct conn_id id = { in->ip->dst, in->ip->src, in->tcp.dport, in->tcp.sport };
	struct demux_node *node;
	enum conn_kind kind;

	if (n == 1) {
		tcp_input(tcp, in, now);
		return;
	}
	node = demux_find(tcp, &id, &kind);
	if (node && kind == KIND_TCB &&
	    is_next(tcp, container_of(node, struct tcb, node), in, total)) {
		tcp->counters->segs_in += n;
		tcp->dropped = 0;
		in->gso_size = in->tcp.len;
		in->tcp.len = total;
		in->tcp.flags |= pieces[n - 1].flags & TCP_PSH;
		in->pieces = pieces;
		in->pieces_n = n;
		segment_arrives(tcp, container_of(node, struct tcb, node), in, now);
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		in->tcp.seq += i ? pieces[i - 1].len : 0;
		in->tcp.data = pieces[i].data;
		in->tcp.len = pieces[i].len;
		in->tcp.flags = (in->tcp.flags & ~(uint32_t)TCP_PSH) | (pieces[i].flags & TCP_PSH);
		in->lent = pieces[i].lent;
		in->lent_off = pieces[i].lent_off;
		tcp_input(tcp, in, now);
	}
}
