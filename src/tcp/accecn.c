/* SPDX-License-Identifier: MIT */
/*
 * Accurate ECN, RFC 9768: every mark is counted and the count is fed back, in the three bits of ACE
 * with each segment and, where it gets through, in an option (accecn_option.c). ecn.c agrees on it,
 * the counters of one connection are struct accecn; who acts on marks is congestion control.
 */
#include "tcp/ecn.h"

#define IP_ECN	 3u
#define NOT_ECT	 0u
#define IP_ECT0	 2u
#define IP_CE	 3u
#define ACE_MASK 7u

#define CEP_INITIAL	 5u /* 3.2.1 */
#define CEP_CE_ON_SYNACK 6u

#define THINNED	 (4u << 4) /* ACKs for more packets than this on average are the rule here */
#define ALL_CE	 4u	   /* 3.2.2.3: three or four rounds of nothing but marks */
#define SURE	 3u	   /* so few packets cannot have made ACE come round to 0 */
#define DUPS_MAX 2u

/* ---- Beginning (3.1, 3.2.1) ---- */

uint16_t accecn_encode(uint8_t ecn)
{
	static const uint8_t ace[4] = { 2, 3, 4, 6 };

	return (uint16_t)(ace[ecn & IP_ECN] << ACE_SHIFT);
}

bool accecn_begin(struct tcp *tcp, struct tcb *tcb)
{
	struct accecn *acc = pool_alloc(&tcp->accecns, NULL);

	if (!acc)
		return false;
	*acc = (struct accecn){
		.r_cep = CEP_INITIAL,
		.r_e0b = 1,
		.r_e1b = 1,
		.s_cep = CEP_INITIAL,
		.s_e0b = 1,
		.s_e1b = 1,
		.told_e0b = 1,
		.told_e1b = 1,
		.flags = ACC_FIRST,
	};
	if (tcp->config->ecn_option == CPL_ECN_OPTION_NEVER)
		acc->flags |= ACC_OPT_OFF;
	tcb->accecn = acc;
	return true;
}

void accecn_begin_passive(struct tcb *tcb, const struct half_open *half)
{
	tcb->accecn->flags |= ACC_AWAIT_ACK;
	tcb->accecn->synack_ecn = half->ecn & HALF_ECN_FIELD; /* if the SYN,ACK is yet to go */
	/* 3.1.5: it cannot know whether the client is in AccECN mode. */
	if (half->ecn & HALF_NO_ECT)
		tcb->accecn->flags |= ACC_NO_ECT;
	/* 3.2.3.2.2: a SYN,ACK with the option was not answered; that without it was. A cookie
	 * went once, as far as anybody knows. */
	if (half->gen && (half->retries || (half->flags & HALF_AGAIN)))
		tcb->accecn->flags |= ACC_OPT_OFF;
}

/* A handshake packet was marked: the same as for the first flight, halved before it leaves. */
static void slow_first_flight(struct tcp *tcp, struct tcb *tcb)
{
	uint32_t half = cc_initial_window(tcb->snd_mss, tcp->config->initial_window) / 2;

	half = half > tcb->snd_mss ? half : tcb->snd_mss;
	if (!tcb->io)
		tcb->cwnd = half;
	else if (!cc_ops(&tcb->io->cc)->owns_recovery && tcb->io->cc.cwnd > half)
		tcb->io->cc.cwnd = half;
}

/*
 * What the peer saw in the IP header of our SYN or SYN,ACK, which left as Not-ECT: anything else
 * was written there on the way (3.2.2.3), and would be into what follows.
 */
static void handshake_seen(struct tcp *tcp, struct tcb *tcb, unsigned ace)
{
	struct accecn *acc = tcb->accecn;

	if (ace == 3 || ace == 4 || ace == 6)
		acc->flags |= ACC_NO_ECT;
	if (ace == 6)
		slow_first_flight(tcp, tcb); /* to be answered all the same */
}

void accecn_synack(struct tcp *tcp, struct tcb *tcb, const struct seg_in *in, bool again)
{
	struct accecn *acc = tcb->accecn;

	acc->synack_ecn = in->ip->tos & IP_ECN;
	acc->flags |= ACC_HANDSHAKE;
	if (acc->synack_ecn == IP_CE && acc->r_cep == CEP_INITIAL) {
		acc->r_cep = CEP_CE_ON_SYNACK; /* 3.2.2.2: no more than once */
		tcb->ce_in++;
	}
	if (again)
		return;
	acc->flags |= ACC_OPT_DUE | ACC_OPT_DATA;
	/* 5, reserved, is as if it had said that our SYN came unchanged (3.1.3). */
	handshake_seen(tcp, tcb, accecn_ace(&in->tcp));
	accecn_option_first(acc, &in->tcp);
}

/* ---- Data receiver ---- */

static void count_bytes(struct accecn *acc, unsigned ecn, uint32_t len)
{
	switch (ecn) {
	case NOT_ECT:
		return;
	case IP_CE:
		acc->r_ceb += len;
		acc->flags |= ACC_EVER_CEB;
		return;
	case IP_ECT0:
		acc->r_e0b += len;
		acc->flags |= ACC_EVER_E0B;
		acc->flags &= ~ACC_LAST_E1;
		return;
	default:
		acc->r_e1b += len;
		acc->flags |= ACC_EVER_E1B | ACC_LAST_E1;
		return;
	}
}

void accecn_received(struct tcb *tcb, const struct seg_in *in)
{
	struct accecn *acc = tcb->accecn;
	uint32_t len = in->tcp.len, n;
	unsigned ecn = in->ip->tos & IP_ECN;
	bool unacked = len || (tcb->io && tcb->io->unacked_in);

	count_bytes(acc, ecn, len);
	if (len && seq_gt(in->tcp.seq + len, tcb->rcv_nxt))
		acc->dups = 0;
	if (ecn != IP_CE) {
		acc->flags &= ~ACC_CE_LAST;
		return;
	}
	n = in->gso_size && len ? (len + in->gso_size - 1) / in->gso_size : 1;
	acc->r_cep += n;
	tcb->ce_in += n;
	acc->ce_pending = (uint8_t)(n > 255u - acc->ce_pending ? 255u : acc->ce_pending + n);
	/* 3.2.2.5.1: the first of a run, at data; then each second one, or third without data. */
	if ((len && !(acc->flags & ACC_CE_LAST)) || acc->ce_pending >= (unacked ? 2u : 3u))
		tcb->flags |= TCB_ACK_NOW;
	acc->flags |= ACC_CE_LAST;
}

/* 3.2.3.2.2: what is acknowledged comes again and again: does nobody let the option through? */
void accecn_duplicate(struct tcb *tcb)
{
	struct accecn *acc = tcb->accecn;

	if (!(acc->flags & ACC_OPT_SENT))
		return;
	if (++acc->dups >= DUPS_MAX)
		acc->flags |= ACC_OPT_OFF;
}

/* ---- Data sender ---- */

/* How many packets DELIVERED bytes were, if they were full ones (A.2.1). */
static uint32_t packets_of(const struct tcb *tcb, uint32_t bytes)
{
	return tcb->snd_mss ? (bytes + tcb->snd_mss - 1) / tcb->snd_mss : 0;
}

static void average(struct accecn *acc, uint32_t acked)
{
	uint32_t sixteenths = 16 * (acked < 2048 ? acked : 2048);

	if (!acked)
		return;
	if (acc->acked_avg)
		sixteenths = (7u * acc->acked_avg + sixteenths) / 8;
	acc->acked_avg = (uint16_t)sixteenths;
}

/*
 * How many marks ACE stands for, if ACKED packets were acknowledged: it may have come round (A.2).
 * CEB: bytes newly reported as marked; HAVE_CEB: that is known.
 */
static uint32_t decode_ace(const struct tcb *tcb, unsigned ace, uint32_t acked, bool have_ceb,
			   uint32_t ceb)
{
	const struct accecn *acc = tcb->accecn;
	uint32_t d = (ace - acc->s_cep) & ACE_MASK, mss = tcb->snd_mss, safer;

	if (acked <= ACE_MASK)
		return d;
	safer = acked - ((acked - d) & ACE_MASK);
	if (have_ceb) /* A.2.2: d is safe enough if the packets would else be too small */
		return ceb <= mss * d && ceb / safer < mss / 2 ? d : safer;
	/* A.2.1: where ACKs for many packets are the rule, as far as is known, none was lost. */
	return acc->acked_avg > THINNED ? d : safer;
}

/* 3.2.2.1, table 4: the first segment from a client. False: its ACE is a counter already. */
static bool third_ack(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg)
{
	struct accecn *acc = tcb->accecn;
	unsigned ace = accecn_ace(seg);

	acc->flags &= ~ACC_AWAIT_ACK;
	accecn_option_first(acc, seg);
	if (seg->len || (seg->flags & TCP_FIN) || seg->sack_n)
		return false;
	if (!ace) /* note 1: whatever the client is doing, it is not this */
		acc->flags |= ACC_NO_ECT | ACC_DEAF;
	if (ace == 6)
		acc->s_cep = CEP_CE_ON_SYNACK;
	handshake_seen(tcp, tcb, ace);
	return true;
}

/* 3.2.2.4: the first counter is 0: unlikely, unless somebody clears it. */
static void first_counter(struct accecn *acc, unsigned ace, uint32_t acked)
{
	acc->flags &= ~ACC_FIRST;
	if (!ace && acked < SURE)
		acc->flags |= ACC_NO_ECT | ACC_DEAF;
}

/* 3.2.2.3: a path on which all is marked for as long as this, from the beginning, only mangles. */
static void watch_rounds(struct tcb *tcb, const struct tcp_seg *seg, uint32_t delivered,
			 uint32_t marked)
{
	struct accecn *acc = tcb->accecn;

	if (acc->ce_rounds > ALL_CE || !delivered)
		return;
	if (!acc->ce_rounds && !acc->round_acked)
		acc->round_end = tcb->snd_nxt;
	acc->round_acked += delivered;
	acc->round_ce += marked;
	if (seq_lt(seg->ack, acc->round_end))
		return;
	acc->ce_rounds++;
	if (acc->round_ce < acc->round_acked)
		acc->ce_rounds = ALL_CE + 1;
	acc->round_acked = acc->round_ce = 0;
	acc->round_end = tcb->snd_nxt;
	if (acc->ce_rounds == ALL_CE)
		acc->flags |= ACC_NO_ECT | ACC_DEAF;
}

/*
 * 3.2.3.2.5: marked bytes and no marked packet, since the last option, with too few packets for ACE
 * to have come round: one of the two was changed on the way.
 */
static void check_consistency(struct accecn *acc, uint32_t acked, bool have_ceb, uint32_t ceb)
{
	acc->acked_since += acked;
	if (!have_ceb)
		return;
	if (ceb && acc->s_cep == acc->cep_at_option && acc->acked_since <= ACE_MASK)
		acc->flags |= ACC_NO_ECT;
	acc->cep_at_option = acc->s_cep;
	acc->acked_since = 0;
}

void accecn_timeout(struct tcb *tcb)
{
	/* 3.2.3.2.2: the first data that had an option was lost. */
	if (tcb->accecn && tcb->accecn->flags & ACC_OPT_TRIAL)
		tcb->accecn->flags |= ACC_OPT_OFF;
}

struct ecn_marks accecn_feedback(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg,
				 uint32_t delivered)
{
	struct accecn *acc = tcb->accecn;
	struct ecn_marks marks = { 0 };
	uint32_t acked = packets_of(tcb, delivered), ceb = 0;
	bool have_ceb;

	if (seg->flags & TCP_SYN)
		return marks;
	if ((acc->flags & ACC_AWAIT_ACK) && third_ack(tcp, tcb, seg))
		return marks;
	/* 3.2.2.2, A.1: one that came late must not wind the counters back. */
	if (!delivered && !(tcb_has(tcb, TCB_TS) && (seg->opts & TCP_HAS_TS) &&
			    seq_gt(seg->tsval, tcb->ts_recent)))
		return marks;
	if (acc->flags & ACC_FIRST)
		first_counter(acc, accecn_ace(seg), acked);
	if (delivered)
		acc->flags &= ~ACC_OPT_TRIAL;
	have_ceb = accecn_option_read(acc, seg, &ceb);
	average(acc, acked);
	marks.packets = decode_ace(tcb, accecn_ace(seg), acked, have_ceb, ceb);
	acc->s_cep += marks.packets;
	check_consistency(acc, acked, have_ceb, ceb);
	/* A.3: without the option as many full packets. */
	marks.bytes = have_ceb ? ceb : marks.packets * tcb->snd_mss;
	if (marks.bytes > delivered)
		marks.bytes = delivered;
	watch_rounds(tcb, seg, delivered, marks.bytes);
	return acc->flags & ACC_DEAF ? (struct ecn_marks){ 0 } : marks;
}

/* ---- What leaves ---- */

void accecn_out(struct tcb *tcb, struct tcp_out *out)
{
	struct accecn *acc = tcb->accecn;
	struct tcp_seg *seg = &out->seg;

	acc->ce_pending = 0;
	acc->flags &= ~ACC_OPT_SENT;
	if (seg->opts & TCP_HAS_ACCECN)
		accecn_option_sent(acc, &seg->accecn, seg->len);
	if ((acc->flags & ACC_HANDSHAKE) && !seg->len && !(seg->flags & TCP_FIN) && !seg->sack_n)
		seg->flags |= accecn_encode(acc->synack_ecn); /* 3.2.2.1, table 3 */
	else
		seg->flags |= (uint16_t)((acc->r_cep & ACE_MASK) << ACE_SHIFT);
	acc->flags &= ~ACC_HANDSHAKE;
	/* As RFC 3168 6.1.4 to 6.1.6: neither pure ACKs, nor what goes again. */
	if (seg->len && !out->retransmission && !(acc->flags & ACC_NO_ECT))
		out->ect = IP_ECT0;
}
