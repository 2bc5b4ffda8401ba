/* SPDX-License-Identifier: MIT */
/* The short ways of a segment through TCP: see fast.c. */
#ifndef TCP_FAST_H
#define TCP_FAST_H

#include "tcp/tcp.h"

/*
 * SEG, one segment, not lent, without IP options, is what mostly comes: it was dealt with. Looks at
 * nothing but the header, timestamps, data and len. False: nothing was done.
 */
bool fast_input(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg, uint64_t now);
/*
 * SEG, of a connection with a tcb_io, acknowledges all that is in flight, which left once and as
 * one: that was dealt with; *FIN: it was, or ended with, our FIN. False: nothing was done.
 */
bool fast_ack(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg, bool *fin, uint64_t now);
/* All N octets, without flags, are in the send queue. False: nothing was done. */
bool fast_send(struct tcp *tcp, struct tcb *tcb, const void *data, size_t n, uint64_t now);
enum fast_pull {
	FAST_NOT,     /* nothing was done */
	FAST_SENT,    /* *OUT is what mostly goes */
	FAST_NOTHING, /* there is nothing to send */
};
enum fast_pull fast_pull(struct tcp *tcp, struct tcb *tcb, struct tcp_out *out, uint64_t now);

#endif
