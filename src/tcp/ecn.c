/* SPDX-License-Identifier: MIT */
/*
 * Explicit congestion notification, RFC 3168, both roles: agreed in the handshake; data leaves with
 * ECT(0); a mark that arrives is echoed until the peer has answered it; an echo is answered once a
 * round trip, like a loss, without one. With DCTCP (RFC 8257) each mark is echoed exactly as long
 * as it lasts, and answered by how many there were.
 */
#include "tcp/tcp.h"

#define IP_ECN	    3u
#define IP_ECT0	    2u
#define IP_CE	    3u
#define ECN_REQUEST (TCP_ECE | TCP_CWR)
#define TCP_AE	    256u

static const struct cc_ops *controller(const struct tcb *tcb)
{
	return tcb->io ? tcb->io->cc.ops : cc_at(tcb->cc_id);
}

/* ---- The handshake (section 6.1.1) ---- */

uint16_t ecn_syn_flags(const struct tcp *tcp, const struct tcb *tcb)
{
	bool wanted = tcp->config->ecn >= CPL_ECN_ACTIVE || controller(tcb)->needs_ecn;

	/* 6.1.1.1: a SYN that brought no answer goes again without: somebody may drop it for that.
	 */
	return tcp->config->ecn != CPL_ECN_NEVER && wanted && !tcb->rexmt_n ? ECN_REQUEST : 0;
}

bool ecn_syn_asks(const struct tcp *tcp, const struct tcp_seg *syn)
{
	return tcp->config->ecn != CPL_ECN_NEVER && (syn->flags & ECN_REQUEST) == ECN_REQUEST;
}

void ecn_synack(const struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg)
{
	/* As many bits as were sent come back from one that only mirrors: that agrees to nothing.
	 */
	if (ecn_syn_flags(tcp, tcb) && (seg->flags & (ECN_REQUEST | TCP_AE)) == TCP_ECE)
		tcb->ecn |= ECN_AGREED;
}

/* ---- What arrives ---- */

/* RFC 8257 3.2: what was owed before the mark changed is acknowledged with the old one. */
static void ack_with_old_mark(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	struct tcp_reply *r;

	if (!tcb_has(tcb, TCB_DELACK))
		return;
	r = reply_new(tcp, &tcb->node.id);
	if (!r)
		return;
	r->seg.seq = tcb_ack_seq(tcb);
	r->seg.ack = tcb->rcv_nxt;
	r->seg.flags = (uint16_t)(TCP_ACK | (tcb->ecn & ECN_ECHO ? TCP_ECE : 0));
	r->seg.wnd = window_advertise(tcp, tcb);
	if (tcb_has(tcb, TCB_TS)) {
		r->seg.opts |= TCP_HAS_TS;
		r->seg.tsval = tcp_ts_clock(now) + tcb->ts_offset;
		r->seg.tsecr = tcb->ts_recent;
	}
	r->tos = tcb->tos;
	r->ttl = tcb->ttl;
	r->ifindex = tcb->ifindex;
	r->handle = tcb_handle(tcp, tcb);
	if (tcb->cold)
		r->route = tcb->cold->route;
	tcb->last_ack_sent = tcb->rcv_nxt;
}

void ecn_data(struct tcp *tcp, struct tcb *tcb, const struct seg_in *in, uint64_t now)
{
	bool ce = (in->ip->tos & IP_ECN) == IP_CE;

	if (!(tcb->ecn & ECN_AGREED) || !in->tcp.len)
		return;
	if (ce)
		tcb->ce_in += in->gso_size ? (in->tcp.len + in->gso_size - 1) / in->gso_size : 1;
	if (controller(tcb)->needs_ecn) {
		if (ce == !(tcb->ecn & ECN_ECHO)) {
			ack_with_old_mark(tcp, tcb, now);
			tcb->flags |= TCB_ACK_NOW;
			tcb->ecn ^= ECN_ECHO;
		}
		return;
	}
	/* 6.1.3: until the sender says that it has heard. */
	if (in->tcp.flags & TCP_CWR)
		tcb->ecn &= (uint8_t)~ECN_ECHO;
	if (ce) { /* SHLD-8 */
		if (!(tcb->ecn & ECN_ECHO))
			tcb->flags |= TCB_ACK_NOW; /* the sooner the better, as Linux */
		tcb->ecn |= ECN_ECHO;
	}
}

bool ecn_echo(struct tcb *tcb, const struct tcp_seg *seg)
{
	if (!(tcb->ecn & ECN_AGREED) || !(seg->flags & TCP_ECE) || (seg->flags & TCP_SYN))
		return false;
	tcb->ece_in++;
	return true;
}

/* ---- What leaves ---- */

void ecn_reduced(struct tcb *tcb)
{
	if (tcb->ecn & ECN_AGREED)
		tcb->ecn |= ECN_CWR_DUE; /* 6.1.2: on the first new data */
}

void ecn_out(struct tcb *tcb, struct tcp_out *out)
{
	struct tcp_seg *seg = &out->seg;

	out->ect = 0;
	if (!(tcb->ecn & ECN_AGREED) || (seg->flags & TCP_SYN))
		return;
	if (tcb->ecn & ECN_ECHO)
		seg->flags |= TCP_ECE;
	/* 6.1.4, 6.1.5, 6.1.6: neither pure ACKs, nor what goes again, nor window probes. */
	if (!seg->len || out->retransmission)
		return;
	out->ect = IP_ECT0;
	if (tcb->ecn & ECN_CWR_DUE)
		seg->flags |= TCP_CWR;
	tcb->ecn &= (uint8_t)~ECN_CWR_DUE;
}
