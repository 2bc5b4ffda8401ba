/* SPDX-License-Identifier: MIT */
/*
 * ICMP errors about our segments (RFC 9293 3.9.2.2, RFC 5927, RFC 5461): only those that quote
 * something in flight count; hard ones abort, soft ones are told, too-big ones shrink the segments.
 */
#include "tcp/tcp.h"

/* About a SYN,ACK: who sent the SYN cannot be reached, so a hard one ends it. */
static bool half_error(struct tcp *tcp, struct half_open *half, const struct tcp_icmp *icmp)
{
	if (icmp->seq != half->iss || (half->flags & HALF_PENDING))
		return false;
	if (icmp->hard) /* SHLD-26 */
		half_free(tcp, half);
	return true;
}

/* Only if the quoted octets are in flight (RFC 5927 4.1). */
static bool in_flight(const struct tcb *tcb, const struct tcp_icmp *icmp)
{
	return seq_geq(icmp->seq, tcb->snd_una) && seq_lt(icmp->seq, tcb->snd_nxt);
}

/*
 * A router quotes the first octets of what it could not forward: those of a segment, as it was sent
 * last. To hit one a forger must guess as many times better as a segment has octets (RFC 5927 7.2
 * asks for proof of some kind).
 */
static bool begins_segment(const struct tcb *tcb, const struct tcp_icmp *icmp)
{
	const struct sent *rec = tcb->io ? sendmap_find(&tcb->io->map, icmp->seq) : NULL;

	return rec && (icmp->seq - rec->start) % (rec->mss ? rec->mss : 1u) == 0;
}

/*
 * It would not have passed at the size that the message claims (RFC 5927 7.2): by what was sent,
 * not by what is quoted, which the forger writes himself. Options may have been any.
 */
static bool was_larger(const struct tcb *tcb, const struct tcp_icmp *icmp)
{
	const struct sent *rec = sendmap_find(&tcb->io->map, icmp->seq);
	uint32_t len = rec->end - icmp->seq, header = tcb_is4(tcb) ? IPV4_HLEN : IPV6_HLEN;

	if (rec->mss && len > rec->mss)
		len = rec->mss;
	if ((rec->flags & SENT_SYN) && tcb->state == CPL_SYN_SENT)
		len = tcb->snd_nxt - rec->end; /* what went with it */
	return header + TCP_HLEN_MAX + len > icmp->claimed;
}

/*
 * What a SYN carried was too big for the path (RFC 7413): at once another without it, instead of
 * after a time-out. As Linux it asks the peer for no more than that, either.
 */
static void shrink_syn(struct tcb *tcb)
{
	uint16_t mss = tcp_rcv_mss(&tcb->node.id.remote, tcb->pmtu);

	if (mss < tcb->rcv_mss)
		tcb->rcv_mss = mss;
	sendmap_mark_lost(&tcb->io->map, sendmap_first(&tcb->io->map));
	tcb->io->map.loss = (struct loss_sample){ 0 };
}

/* RFC 1191 6.5, RFC 8201 5: what was too big goes again, smaller, and it was not congestion. */
static void shrink(struct tcp *tcp, struct tcb *tcb, uint32_t mtu, uint64_t now)
{
	uint32_t old = tcb->snd_mss;
	struct list *pos, *tmp;

	if (mtu >= tcb->pmtu)
		return;
	tcb_set_pmtu(tcb, mtu);
	if (!tcb->io || tcb->snd_mss >= old)
		return;
	list_for_each_safe (pos, tmp, &tcb->io->map.records) {
		struct sent *rec = container_of(pos, struct sent, by_seq);

		if (rec->mss > tcb->snd_mss && rec->end - rec->start > tcb->snd_mss &&
		    !(rec->flags & (SENT_SACKED | SENT_UNSENT)))
			sendmap_refused(&tcb->io->map, rec);
	}
	if (tcb->state == CPL_SYN_SENT && (tcb->fastopen & FASTOPEN_DATA))
		shrink_syn(tcb);
	timer_rexmt_start(tcp, tcb, now);
	timer_update(tcp, tcb);
	tcb_kick(tcp, tcb);
}

bool tcp_icmp_error(struct tcp *tcp, const struct tcp_icmp *icmp, uint64_t now)
{
	enum conn_kind kind;
	void *found = demux_wake(tcp, &icmp->id, &kind);
	struct tcb *tcb;

	if (kind == KIND_HALF)
		return half_error(tcp, found, icmp);
	if (kind != KIND_TCB)
		return false;
	tcb = found;
	tcb->plain = false;
	if (!in_flight(tcb, icmp)) /* MUST-54: the connection that caused it */
		return false;
	if (icmp->too_big) {
		if (!begins_segment(tcb, icmp) || !was_larger(tcb, icmp))
			return false;
		shrink(tcp, tcb, icmp->mtu, now);
		return true;
	}
	TRACE(tcp->trace, now, tcb_handle(tcp, tcb), soft_error, (uint32_t)icmp->error, icmp->type,
	      icmp->code);
	/* For a connection that is being opened; later, as Linux, a forger could do it (RFC 5461).
	 */
	if (icmp->hard && !tcb_synchronized(tcb)) { /* SHLD-26, MUST-56: soft ones end nothing */
		tcb_finish(tcp, tcb, icmp->error, now);
		tcb_reap(tcp, tcb);
		return true;
	}
	tcb->soft_error = (uint8_t)icmp->error;	  /* SHLD-25 */
	if (!tcb_has(tcb, TCB_NO_SOFT))		  /* SHLD-20 */
		tcb_event(tcp, tcb, CPL_EV_SOFT); /* MUST-47 */
	return true;
}
