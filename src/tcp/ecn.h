/* SPDX-License-Identifier: MIT */
/* Congestion marks of one connection: classic (RFC 3168) and accurate ECN (RFC 9768). */
#ifndef TCP_ECN_H
#define TCP_ECN_H

#include "tcp/tcp.h"

/* ---- ecn.c ---- */

/* Flags that a SYN carries to ask for ECN, or 0. */
uint16_t ecn_syn_flags(const struct tcp *tcp, const struct tcb *tcb);
/* A SYN for HALF came, the first or AGAIN. False: it contradicts the first (RFC 9768 3.1.5). */
bool ecn_syn(const struct tcp *tcp, struct half_open *half, const struct seg_in *in, bool again);
/* Flags of a SYN,ACK of HALF. */
uint16_t ecn_synack_flags(struct half_open *half);
/* HALF becomes TCB. False: no memory. */
bool ecn_from_half(struct tcp *tcp, struct tcb *tcb, const struct half_open *half);
/* The answer to our SYN. False: no memory. */
bool ecn_synack(struct tcp *tcp, struct tcb *tcb, const struct seg_in *in);
/* The peer's SYN crossed ours (RFC 9768 3.1.2). False: no memory. */
bool ecn_crossed_syn(struct tcp *tcp, struct tcb *tcb, const struct seg_in *in);
/* Data came, that was acceptable: its mark, and what it says of ours. Classic ECN only. */
void ecn_data(struct tcp *tcp, struct tcb *tcb, const struct seg_in *in, uint64_t now);
/* What an ACK that delivered DELIVERED bytes says of marks on what we sent. */
struct ecn_marks {
	uint32_t packets; /* at least; 0: none */
	uint32_t bytes;	  /* of DELIVERED */
};
struct ecn_marks ecn_echo(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg,
			  uint32_t delivered);
/* cwnd was reduced: the peer is to know. */
void ecn_reduced(struct tcb *tcb);
/* OUT goes: sets OUT->ect, and the flags of its segment. */
void ecn_out(struct tcb *tcb, struct tcp_out *out);

/* ---- accecn.c: accurate ECN, RFC 9768 ---- */

#define ACE_SHIFT   6 /* ACE is AE, CWR and ECE */
#define ACE_INITIAL (5u << ACE_SHIFT)

static inline unsigned accecn_ace(const struct tcp_seg *seg)
{
	return seg->flags >> ACE_SHIFT & 7;
}

/* The handshake encoding of an ECN field, as flags (tables 2 and 3). */
uint16_t accecn_encode(uint8_t ecn);
/* False: no memory. */
bool accecn_begin(struct tcp *tcp, struct tcb *tcb);
/* The server's half: what the SYN,ACKs of HALF have said. */
void accecn_begin_passive(struct tcb *tcb, const struct half_open *half);
/* The client's: the SYN,ACK agreed; AGAIN: and came once more. */
void accecn_synack(struct tcp *tcp, struct tcb *tcb, const struct seg_in *in, bool again);
/* An acceptable segment came: counters, and the ACKs that they call for (3.2.2.5.1). */
void accecn_received(struct tcb *tcb, const struct seg_in *in);
/* The retransmission timer fired. */
void accecn_timeout(struct tcb *tcb);
/* Data that we had came again. */
void accecn_duplicate(struct tcb *tcb);
struct ecn_marks accecn_feedback(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg,
				 uint32_t delivered);
void accecn_out(struct tcb *tcb, struct tcp_out *out);
/* A pure ACK is owed to a SYN,ACK before data (3.2.2.1). */
static inline bool accecn_pure_ack_first(const struct tcb *tcb)
{
	return tcb->accecn && (tcb->accecn->flags & ACC_HANDSHAKE) && tcb_has(tcb, TCB_ACK_NOW);
}
/* A super-segment may go: whoever cuts it may clear CWR, a bit of ACE, in all segments but one. */
static inline bool accecn_may_cut(const struct tcb *tcb)
{
	return !tcb->accecn || !(tcb->accecn->r_cep & 2);
}

/* ---- accecn_option.c: its option, 3.2.3 ---- */

/* The option that goes with an ACK that has *SACK_N blocks, which may become fewer. False: none. */
bool accecn_option(const struct tcp *tcp, const struct tcb *tcb, bool data, uint8_t *sack_n,
		   struct tcp_accecn *option);
/* The counters as they begin, for a SYN,ACK (3.2.3.2.1). */
void accecn_option_begin(const struct tcp *tcp, struct tcp_seg *seg);
/* OPTION has gone, with an ACK or with DATA. */
void accecn_option_sent(struct accecn *acc, const struct tcp_accecn *option, bool data);
/* The first segment that may have one (3.2.3.2.3, 3.2.3.2.4). */
void accecn_option_first(struct accecn *acc, const struct tcp_seg *seg);
/* What the option of SEG adds to S.CEB; false: it says nothing that can be relied on. */
bool accecn_option_read(struct accecn *acc, const struct tcp_seg *seg, uint32_t *ceb);

#endif
