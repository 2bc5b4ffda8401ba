/* SPDX-License-Identifier: MIT */
/*
 * Explicit congestion notification: which kind the handshake agrees on (RFC 9768 3.1, table 2), and
 * the classic kind, RFC 3168, both roles: data leaves with ECT(0); a mark that arrives is echoed
 * until the peer has answered it; an echo is answered once a round trip, like a loss, without one.
 * With DCTCP (RFC 8257) each mark is echoed exactly as long as it lasts, and answered by how many
 * there were. Accurate ECN is accecn.c's.
 */
#include "tcp/ecn.h"

#define IP_ECN	    3u
#define IP_ECT0	    2u
#define IP_CE	    3u
#define ECN_REQUEST (TCP_ECE | TCP_CWR)

#define ACCECN_SYNS 2u /* SYNs that ask for accurate ECN (RFC 9768 3.1.4.1) */
#define ACE_BROKEN  7u /* a SYN,ACK that mirrors the SYN */

enum ecn_mode {
	MODE_NONE,
	MODE_CLASSIC,
	MODE_ACCURATE
};

static const struct cc_ops *controller(const struct tcb *tcb)
{
	return tcb->io ? cc_ops(&tcb->io->cc) : cc_at(tcb->cc_id);
}

/* ---- The handshake (RFC 3168 6.1.1, RFC 9768 3.1) ---- */

static bool asks_accurate(const struct tcp *tcp)
{
	return tcp->config->ecn == CPL_ECN_ACCURATE;
}

static bool asks_classic(const struct tcp *tcp, const struct tcb *tcb)
{
	switch (tcp->config->ecn) {
	case CPL_ECN_NEVER:
		return false;
	case CPL_ECN_ACTIVE:
	case CPL_ECN_ACCURATE_ASK_CLASSIC:
		return true;
	default:
		return controller(tcb)->needs_ecn;
	}
}

/* RFC 3168 6.1.1.1: a SYN that brought no answer goes again without: somebody may drop it for that.
 */
uint16_t ecn_syn_flags(const struct tcp *tcp, const struct tcb *tcb)
{
	if (asks_accurate(tcp))
		return tcb->rexmt_n < ACCECN_SYNS ? TCP_AE | ECN_REQUEST : 0;
	return asks_classic(tcp, tcb) && !tcb->rexmt_n ? ECN_REQUEST : 0;
}

/* What a SYN asks for, and we agree to; 3.1.3: what is not known asks for accurate ECN. */
static enum ecn_mode syn_mode(const struct tcp *tcp, const struct tcp_seg *syn)
{
	bool classic = (syn->flags & ECN_REQUEST) == ECN_REQUEST;

	if (tcp->config->ecn == CPL_ECN_NEVER || !accecn_ace(syn))
		return MODE_NONE;
	if (tcp->config->ecn < CPL_ECN_ACCURATE)
		return classic ? MODE_CLASSIC : MODE_NONE;
	return classic && !(syn->flags & TCP_AE) ? MODE_CLASSIC : MODE_ACCURATE;
}

bool ecn_syn(const struct tcp *tcp, struct half_open *half, const struct seg_in *in, bool again)
{
	enum ecn_mode mode = syn_mode(tcp, &in->tcp);

	half->ecn = (uint8_t)((half->ecn & HALF_NO_ECT) | (in->ip->tos & IP_ECN));
	if (!again) {
		half->flags |= mode == MODE_ACCURATE  ? HALF_ACCECN
			       : mode == MODE_CLASSIC ? HALF_ECN
						      : 0;
		return true;
	}
	if (half->flags & HALF_ACCECN && mode == MODE_NONE)
		half->ecn |= HALF_NO_ECT;
	return !(half->flags & HALF_ACCECN && mode == MODE_CLASSIC) &&
	       !(half->flags & HALF_ECN && mode == MODE_ACCURATE);
}

uint16_t ecn_synack_flags(struct half_open *half)
{
	if (!(half->flags & HALF_ACCECN))
		return half->flags & HALF_ECN ? TCP_ECE : 0;
	if (half->retries < ACCECN_SYNS)
		return accecn_encode(half->ecn);
	half->ecn |= HALF_NO_ECT; /* RFC 9768 3.2.3.2.2: somebody may drop it for that */
	return 0;
}

bool ecn_from_half(struct tcp *tcp, struct tcb *tcb, const struct half_open *half)
{
	tcb->ecn = half->flags & HALF_ECN ? ECN_AGREED : 0;
	if (!(half->flags & HALF_ACCECN))
		return true;
	if (!accecn_begin(tcp, tcb))
		return false;
	accecn_begin_passive(tcb, half);
	return true;
}

/* The first that comes decides, whichever of our SYNs it answers (RFC 9768 3.1.4.1). */
bool ecn_synack(struct tcp *tcp, struct tcb *tcb, const struct seg_in *in)
{
	unsigned ace = accecn_ace(&in->tcp);

	if (!asks_accurate(tcp)) {
		/* One that only mirrors sends both bits back: that agrees to nothing. */
		if (ecn_syn_flags(tcp, tcb) && ace == TCP_ECE >> ACE_SHIFT)
			tcb->ecn |= ECN_AGREED;
		return true;
	}
	if (!ace || ace == ACE_BROKEN)
		return true;
	if (ace == TCP_ECE >> ACE_SHIFT) {
		tcb->ecn |= ECN_AGREED;
		return true;
	}
	if (!accecn_begin(tcp, tcb))
		return false;
	accecn_synack(tcp, tcb, in, false);
	return true;
}

/* As a server would, as far as our own SYN asked (RFC 9768 3.1.2). */
bool ecn_crossed_syn(struct tcp *tcp, struct tcb *tcb, const struct seg_in *in)
{
	enum ecn_mode mode = syn_mode(tcp, &in->tcp);

	if (!ecn_syn_flags(tcp, tcb) || mode == MODE_NONE)
		return true;
	if (mode == MODE_CLASSIC || !asks_accurate(tcp)) {
		tcb->ecn |= ECN_AGREED;
		return true;
	}
	if (!accecn_begin(tcp, tcb))
		return false;
	tcb->accecn->synack_ecn = in->ip->tos & IP_ECN;
	return true;
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

struct ecn_marks ecn_echo(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg,
			  uint32_t delivered)
{
	if (tcb->accecn)
		return accecn_feedback(tcp, tcb, seg, delivered);
	if (!(tcb->ecn & ECN_AGREED) || !(seg->flags & TCP_ECE) || (seg->flags & TCP_SYN))
		return (struct ecn_marks){ 0 };
	tcb->ece_in++;
	return (struct ecn_marks){ 1, delivered };
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
	if (seg->flags & TCP_SYN) {
		if (!(seg->flags & TCP_ACK)) /* output_syn() asked */
			return;
		if (tcb->accecn && tcb->rexmt_n < ACCECN_SYNS)
			seg->flags |= accecn_encode(tcb->accecn->synack_ecn);
		else if (tcb->accecn)
			tcb->accecn->flags |= ACC_NO_ECT;
		else if (tcb->ecn & ECN_AGREED)
			seg->flags |= TCP_ECE;
		return;
	}
	if (tcb->accecn) {
		accecn_out(tcb, out);
		return;
	}
	if (!(tcb->ecn & ECN_AGREED))
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
