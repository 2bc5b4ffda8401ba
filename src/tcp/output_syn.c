/* SPDX-License-Identifier: MIT */
/*
 * The SYN, and the SYN,ACK of a connection that has a block already: of a simultaneous open (RFC
 * 9293 3.5), or accepted at its SYN (RFC 7413). Half-open records send theirs by listen.c.
 */
#include "tcp/ecn.h"

static void syn_options(struct tcp *tcp, struct tcb *tcb, struct tcp_seg *seg)
{
	bool answer = tcb->state == CPL_SYN_RECEIVED;

	seg->opts |= TCP_HAS_MSS; /* MUST-14, SHLD-5; MUST-65: here only */
	seg->mss = tcb->rcv_mss;
	if (tcb_has(tcb, TCB_SACK))
		seg->opts |= TCP_HAS_SACK_OK;
	if (answer ? tcb_has(tcb, TCB_WSCALE) : tcp->config->window_scaling) {
		seg->opts |= TCP_HAS_WSCALE;
		seg->wscale = tcb->rcv_wscale;
	}
	/* Never scaled in a SYN (RFC 7323 2.2). */
	seg->wnd = (uint16_t)(tcb->rcvbuf > 65535 ? 65535 : tcb->rcvbuf);
	if (answer && tcb->accecn && !tcb->rexmt_n)
		accecn_option_begin(tcp, seg);
	if (fastopen_is_child(tcb)) /* what it brought takes its part */
		seg->wnd = (uint16_t)tcb_rcv_wnd(tcb);
}

/*
 * The first SYN, which may carry data (RFC 7413 4.2.1). False: no memory. Without memory for the
 * data's record it goes without.
 */
static bool first_syn(struct tcp *tcp, struct tcb *tcb, struct tcp_out *out, uint64_t now)
{
	struct tcb_io *io = tcb->io;
	uint32_t seq = tcb->iss + 1, len = fastopen_room(tcb);

	if (!sendmap_sent(&io->map, seq, 0, SENT_SYN, now))
		return false;
	tcb->snd_nxt = seq;
	io->progress = now;
	timer_rexmt_start(tcp, tcb, now);
	len = len < io->sndq.bytes ? len : (uint32_t)io->sndq.bytes;
	if (!(tcb->fastopen & FASTOPEN_WANTED) || !len || tcb->state != CPL_SYN_SENT ||
	    ((out->seg.opts & TCP_HAS_FASTOPEN) && !out->seg.cookie.len))
		return true;
	if (!output_attach(tcp, tcb, out, seq, &len, len))
		return true;
	if (!sendmap_sent(&io->map, seq + len, tcb->snd_mss, SENT_PSH, now)) {
		output_detach(tcp, out);
		return true;
	}
	tcb->fastopen |= FASTOPEN_DATA;
	/* Nothing held it back, nor does it hold back another: io->small_end stays (as Linux). */
	tcb->snd_nxt = out->end = seq + len;
	out->seg.len = len;
	return true;
}

/* The device had refused it: the same once more. */
static void same_syn(struct tcp *tcp, struct tcb *tcb, struct tcp_out *out, uint64_t now)
{
	struct sent *data = sendmap_find(&tcb->io->map, tcb->iss + 1);
	uint32_t len = data ? data->end - data->start : 0;

	if (!data || !output_attach(tcp, tcb, out, data->start, &len, len))
		return;
	if (len != data->end - data->start) { /* no memory in one piece: after the handshake */
		output_detach(tcp, out);
		return;
	}
	out->seg.len = len;
	out->end = data->end;
	sendmap_resent(&tcb->io->map, data, now);
}

bool output_syn(struct tcp *tcp, struct tcb *tcb, struct tcp_out *out, uint64_t now)
{
	struct tcb_io *io = tcb->io;
	struct sent *syn = sendmap_first(&io->map);
	uint16_t flags = tcb->state == CPL_SYN_RECEIVED ? TCP_SYN | TCP_ACK : TCP_SYN;
	bool first = !tcb->rexmt_n && (!syn || (syn->flags & SENT_UNSENT));

	if ((syn && sendmap_next_lost(&io->map) != syn) || (tcb->fastopen & FASTOPEN_DEFERRED)) {
		tcb_why(tcb, CPL_WHY_HANDSHAKE, now);
		return false;
	}
	if (flags == TCP_SYN)
		flags |= ecn_syn_flags(tcp, tcb);
	else if (fastopen_is_child(tcb) && (tcb->ecn & ECN_AGREED))
		flags |= TCP_ECE;
	output_fill(tcp, tcb, out, tcb->iss, flags, now);
	syn_options(tcp, tcb, &out->seg);
	out->end = tcb->iss + 1;
	if (first && (tcb->fastopen & (FASTOPEN_WANTED | FASTOPEN_RENEW)))
		fastopen_option(tcp, tcb, &out->seg, now);
	if (!syn) {
		if (!first_syn(tcp, tcb, out, now)) {
			tcb_why(tcb, CPL_WHY_MEMORY, now);
			return false;
		}
	} else {
		if (first && tcb->state == CPL_SYN_SENT)
			same_syn(tcp, tcb, out, now);
		out->retransmission = !(syn->flags & SENT_UNSENT);
		sendmap_resent(&io->map, syn, now);
	}
	if (flags & TCP_ACK)
		output_ack_goes(tcp, tcb, false, now);
	tcb_why(tcb, CPL_WHY_HANDSHAKE, now);
	return true;
}
