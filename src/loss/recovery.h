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

struct recovery {
	uint8_t state;	    /* enum cpl_recovery */
	bool sack;	    /* the peer does SACK */
	uint8_t dup_thresh; /* 3 */
	uint32_t dup_acks;  /* in a row */
	uint32_t point;	    /* RecoveryPoint: nxt when recovery began */
	bool point_valid;   /* RFC 6582 "recover": no new recovery below it */
	uint32_t limited;   /* bytes sent by limited transmit */
	uint32_t entered;   /* fast recoveries so far */
};

/* What the caller learned from one segment that acknowledges, after sendmap_ack/_sack. */
struct recovery_ack {
	bool advanced;	/* una moved */
	bool duplicate; /* RFC 5681 2: a duplicate ACK; with SACK: it brought new SACK information */
	uint32_t prior_pipe; /* before this ACK */
};

void recovery_init(struct recovery *rec, bool sack, uint32_t iss);
/*
 * One ACK: detect losses, enter or leave recovery, set cwnd while in recovery (outside of it and in
 * the RTO state the controller's ack() grows cwnd: then the caller calls it; returns true then).
 */
bool recovery_on_ack(struct recovery *rec, struct sendmap *map, struct cc *cc,
		     const struct recovery_ack *ack, const struct sendmap_result *res,
		     uint64_t now);
/* The retransmission timer expired: everything not SACKed is lost, cwnd one segment. */
void recovery_on_timeout(struct recovery *rec, struct sendmap *map, struct cc *cc, bool first,
			 uint64_t now);
/* Bytes of new data that may be sent beyond cwnd by limited transmit (RFC 3042): 0, 1 or 2 mss. */
uint32_t recovery_limited_transmit(const struct recovery *rec, const struct cc *cc);
/*
 * Without SACK, fast recovery inflates what may be in flight: bytes to deduct from the pipe
 * (dup_acks * mss, RFC 6582).
 */
uint32_t recovery_inflation(const struct recovery *rec, const struct sendmap *map,
			    const struct cc *cc);

#endif
