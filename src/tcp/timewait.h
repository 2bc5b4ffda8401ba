/* SPDX-License-Identifier: MIT */
/* TIME-WAIT (RFC 9293 section 3.6.1): what the other files of src/tcp ask of timewait.c. */
#ifndef TCP_TIMEWAIT_H
#define TCP_TIMEWAIT_H

#include "tcp/tcp.h"

/* TCB turns into a record; the program's handle, if there is one, keeps what it can still read. */
void time_wait_enter(struct tcp *tcp, struct tcb *tcb, uint64_t now);
/* The same of an orphan that owes an ACK: TCB is gone. */
void time_wait_replace(struct tcp *tcp, struct tcb *tcb, uint64_t now);
/*
 * True if the segment was a SYN that may open a new connection: then TW is gone and *ISS_FLOOR set.
 * ISS_FLOOR NULL: nobody listens.
 */
bool time_wait_segment(struct tcp *tcp, struct time_wait *tw, const struct seg_in *in,
		       uint32_t *iss_floor, uint64_t now);
/*
 * An OPEN of ours may take over from TW: timestamps, whose clock has moved on, tell the
 * incarnations apart (RFC 6191 with the roles reversed, as Linux's tcp_tw_reuse).
 */
bool time_wait_may_take(const struct tcp *tcp, const struct time_wait *tw, uint64_t now);
void time_wait_free(struct tcp *tcp, struct time_wait *tw, uint64_t now);
void time_wait_id(const struct tcp *tcp, const struct time_wait *tw, struct conn_id *id);
/* Whose it is; else what time_wait_id() would say is another. */
bool time_wait_is(const struct tcp *tcp, const struct time_wait *tw, const struct conn_id *id);
uint8_t time_wait_ifindex(const struct tcp *tcp, const struct time_wait *tw);
cpl_handle time_wait_handle(const struct time_wait *tw);
/* How long it lasts yet, in ns. */
uint64_t time_wait_left(const struct time_wait *tw, uint64_t now);
/* When the next ends; CPL_NEVER: there is none. */
uint64_t time_wait_deadline(const struct tcp *tcp);
/* Those that are over go, RECORDS of them at most. */
void time_wait_advance(struct tcp *tcp, unsigned records, uint64_t now);

#endif
