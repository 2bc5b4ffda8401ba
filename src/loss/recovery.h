/* SPDX-License-Identifier: MIT */
/*
 * Which recovery is under way and when it starts and ends: fast retransmit and fast recovery with
 * SACK (RFC 6675) and without it (RFC 6582), limited transmit (RFC 3042), the time-out (RFC 6298 5,
 * RFC 5681 3.1). Reads and marks the send map, moves cwnd through struct cc; decides what may be
 * sent, sends nothing.
 *
 * Doors for later: a detector (RACK-TLP) replaces recovery_detect(); PRR replaces the cwnd rule of
 * recovery_ack(); F-RTO and undo hook recovery_timeout() and recovery_ack().
 */
#ifndef LOSS_RECOVERY_H
#define LOSS_RECOVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "cc/cc.h"
#include "loss/sendmap.h"

#define RECOVERY_DUP_THRESH 3

struct recovery {
	uint8_t state;	    /* enum cpl_recovery */
	bool sack;	    /* the peer does SACK */
	uint8_t dup_thresh; /* RECOVERY_DUP_THRESH */
	bool point_valid;   /* una is not beyond point yet: no new recovery */
	/*
	 * The next segment of sendmap_next_lost() leaves whatever cwnd says (RFC 6675 5 step 4.3,
	 * RFC 6582 3.2 step 3: fast retransmit). Who sends it clears this.
	 */
	bool retransmit_now;
	bool rescued;	    /* the rescue retransmission of this recovery was made */
	uint32_t dup_acks;  /* in a row */
	uint32_t point;	    /* RecoveryPoint, RFC 6582 "recover" + 1: nxt when recovery began */
	uint32_t inflation; /* without SACK: bytes that duplicate ACKs say have left the network */
	uint32_t last_advance; /* bytes that the last ACK to move una moved it by */
	uint32_t entered;      /* fast recoveries so far */
};

/* What the caller learned from one segment that acknowledges, after sendmap_ack/_sack. */
struct recovery_ack {
	bool advanced;	     /* una moved */
	bool duplicate;	     /* RFC 5681 2: a duplicate ACK; with SACK res->newly_sacked tells */
	uint32_t prior_pipe; /* before this ACK */
};

/* ISS: the initial send sequence number, RFC 6582 3.2 step 1. */
void recovery_init(struct recovery *rec, bool sack, uint32_t iss);
/*
 * One ACK: detect losses, enter or leave recovery, set cwnd while in recovery (outside of it and in
 * the RTO state the controller's ack() grows cwnd: then the caller calls it; returns true then).
 * Call it after sendmap_ack() and sendmap_sack(), for each segment that acknowledges; afterwards
 * send one segment of sendmap_next_lost() if retransmit_now; then more of it, then new data, as
 * long as sendmap_pipe() - recovery_inflation() + mss <= cwnd + recovery_limited_transmit(), the
 * last only for new data; then, if room is left, what recovery_rescue() says.
 */
bool recovery_on_ack(struct recovery *rec, struct sendmap *map, struct cc *cc,
		     const struct recovery_ack *ack, const struct sendmap_result *res,
		     uint64_t now);
/*
 * The retransmission timer expired: everything not SACKed is lost, cwnd one segment. FIRST: the
 * first time for the oldest segment (RFC 5681 3.1: only then ssthresh falls). Of a SYN: only cwnd.
 */
void recovery_on_timeout(struct recovery *rec, struct sendmap *map, struct cc *cc, bool first,
			 uint64_t now);
/*
 * Bytes of new data that may be sent beyond cwnd by limited transmit (RFC 3042): 0, 1 or 2 mss.
 * With SACK 0: there each SACK makes room, because it lowers the pipe (RFC 6675 5, step 3.3).
 */
uint32_t recovery_limited_transmit(const struct recovery *rec, const struct cc *cc);
/*
 * Without SACK, fast recovery inflates what may be in flight (RFC 6582 3.2): bytes to deduct from
 * the pipe, at most all of it.
 */
uint32_t recovery_inflation(const struct recovery *rec, const struct sendmap *map,
			    const struct cc *cc);
/*
 * In fast recovery with SACK, when nothing is to be sent again and there is no new data: what
 * RFC 6675 4, NextSeg() (3) and (4), would send, or NULL. The second, once in each recovery, is
 * the last segment outstanding, whose SACK tells what else was lost. At most one mss of it is to be
 * sent.
 */
struct sent *recovery_rescue(struct recovery *rec, struct sendmap *map, const struct cc *cc);

#endif
