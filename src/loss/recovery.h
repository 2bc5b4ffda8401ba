/* SPDX-License-Identifier: MIT */
/*
 * Which recovery is under way, when it starts and ends, and what that does to cwnd. With SACK: RACK
 * finds losses (rack.h), a probe finds those at the tail (tlp.h), proportional rate reduction moves
 * cwnd (prr.h). Without: three duplicate ACKs (RFC 5681, 6582) and limited transmit (RFC 3042).
 * Both: time-outs (RFC 6298 5), F-RTO (frto.h), and undo of what was needless (undo.h).
 *
 * Reads and marks the send map, moves cwnd through struct cc; decides what may be sent, sends
 * nothing. Its two timers are deadlines here, which the connection's timer must see to.
 */
#ifndef LOSS_RECOVERY_H
#define LOSS_RECOVERY_H

#include <stdbool.h>
#include <stdint.h>

#include <couplet/info.h>

#include "base/seq.h"
#include "cc/cc.h"
#include "loss/frto.h"
#include "loss/prr.h"
#include "loss/rack.h"
#include "loss/sendmap.h"
#include "loss/tlp.h"
#include "loss/undo.h"

#define RECOVERY_DUP_THRESH 3
#define RECOVERY_NEVER	    UINT64_MAX

struct recovery {
	uint8_t state;	  /* enum cpl_recovery */
	bool sack;	  /* the peer does SACK */
	bool point_valid; /* una is not beyond point yet: no new recovery */
	/*
	 * The next segment of sendmap_next_lost() leaves whatever cwnd says (RFC 6582 3.2 step 3:
	 * fast retransmit; RFC 8985: the reordering timer found it). Who sends it clears this.
	 */
	bool retransmit_now;
	bool rescued;	    /* the rescue retransmission of this recovery was made */
	bool probe_due;	    /* a loss probe is to be sent now: see recovery_probed() */
	uint32_t dup_acks;  /* in a row */
	uint32_t point;	    /* RecoveryPoint, RFC 6582 "recover" + 1: nxt when recovery began */
	uint32_t inflation; /* without SACK: bytes that duplicate ACKs say have left the network */
	uint32_t last_advance; /* bytes that the last ACK to move una moved it by */
	uint32_t entered;      /* fast recoveries so far */
	uint32_t undone;       /* reductions taken back */
	uint32_t spurious_rto; /* time-outs among them */
	uint32_t probes;       /* loss probes sent */
	uint32_t reorderings;  /* ACKs that showed reordering */
	uint32_t reordering;   /* segments by which the path was seen to reorder, at least 3 */
	uint64_t t_reorder;    /* when RACK looks again; RECOVERY_NEVER: off */
	uint64_t t_probe;      /* when the loss probe is due; RECOVERY_NEVER: off */
	struct rack rack;
	struct tlp tlp;
	struct prr prr;
	struct undo undo;
	struct frto frto;
};

/* What the caller learned from one segment that acknowledges, after sendmap_ack/_sack. */
struct recovery_ack {
	bool advanced;	/* una moved */
	bool duplicate; /* RFC 5681 2: a duplicate ACK; with SACK res->newly_sacked tells */
	bool pure;	/* nothing moved, and it carries no SACK block */
	bool dsack;	/* it reports a duplicate: */
	struct sack_block duplicate_block;
	uint32_t prior_pipe;	      /* before this ACK */
	uint64_t srtt_ns, min_rtt_ns; /* 0: not known */
	uint64_t echo_ns; /* it answers what had left by then (timestamps); 0: not known */
};

/*
 * ISS: the initial send sequence number, RFC 6582 3.2 step 1. REORDERING: the path was seen to
 * reorder.
 */
void recovery_init(struct recovery *rec, bool sack, uint32_t iss, bool reordering);
/*
 * One ACK: detect losses, enter, leave or undo recovery, set cwnd while in recovery (outside of it
 * and in the RTO state the controller's ack() grows cwnd: then the caller calls it; returns true
 * then). Call it after sendmap_ack() and sendmap_sack(), for each segment that acknowledges;
 * afterwards send one segment of sendmap_next_lost() if retransmit_now; then more of it (or new
 * data first, if recovery_new_first()), then new data, as long as
 * sendmap_pipe() - recovery_inflation() + mss <= cwnd + recovery_limited_transmit(), the last only
 * for new data; then, if room is left, what recovery_rescue() says. Tell recovery_sent() of each.
 */
bool recovery_on_ack(struct recovery *rec, struct sendmap *map, struct cc *cc,
		     const struct recovery_ack *ack, const struct sendmap_result *res,
		     uint64_t now);
/*
 * Without SACK: a duplicate ACK tells of a delivery. After a time-out only if new data is out: else
 * it is of what was sent again in vain (as Linux).
 */
static inline bool recovery_duplicate_tells(const struct recovery *rec, const struct sendmap *map)
{
	return !rec->sack && (rec->state != CPL_RECOVERY_RTO || seq_gt(map->nxt, rec->point));
}
/*
 * The retransmission timer expired. FIRST: the first time for the oldest segment (RFC 5681 3.1:
 * only then ssthresh falls). Of a SYN: only cwnd.
 */
void recovery_on_timeout(struct recovery *rec, struct sendmap *map, struct cc *cc, bool first,
			 const struct recovery_ack *path, uint64_t now);
/* t_reorder has come (RFC 8985 6.2 step 5). */
void recovery_on_reorder_timer(struct recovery *rec, struct sendmap *map, struct cc *cc,
			       const struct recovery_ack *path, uint64_t now);
/* t_probe has come: sets probe_due, if a probe is still in order. */
void recovery_on_probe_timer(struct recovery *rec, const struct sendmap *map);
/*
 * New data was sent, or una moved: sets t_probe (RFC 8985 7.2), not later than RTO_AT, when the
 * retransmission timer fires.
 */
void recovery_schedule_probe(struct recovery *rec, const struct sendmap *map, uint32_t mss,
			     uint64_t srtt_ns, uint64_t rto_at, uint64_t now);
/* The last segment outstanding, of at most MSS, to be sent again as the probe; NULL: none. */
struct sent *recovery_probe_segment(struct sendmap *map, uint32_t mss);
/* The probe was sent, a new segment or RETRANS: nxt is NXT now. */
void recovery_probed(struct recovery *rec, bool retrans, uint32_t nxt);
/* BYTES were sent; RETRANS: again. */
void recovery_sent(struct recovery *rec, uint32_t bytes, bool retrans, uint64_t now);
/* The device did not take BYTES after all. */
void recovery_refused(struct recovery *rec, uint32_t bytes);
/*
 * A congestion signal other than loss (MARKED: by ECN; else a loss that a probe has mended): cwnd
 * goes down to what the controller says by proportional rate reduction. No effect while a reduction
 * is under way.
 */
void recovery_reduce(struct recovery *rec, const struct sendmap *map, struct cc *cc, bool marked,
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
/* New data goes before what is to be sent again (F-RTO); if there is none, call recovery_no_new().
 */
static inline bool recovery_new_first(const struct recovery *rec)
{
	return rec->frto.send_new;
}
static inline void recovery_no_new(struct recovery *rec)
{
	rec->frto = (struct frto){ .step = FRTO_OFF };
}
/*
 * In fast recovery with SACK, when nothing is to be sent again and there is no new data: the last
 * segment outstanding, once in each recovery (RFC 6675 4, NextSeg() (4)): its SACK tells what else
 * was lost. NULL: none. At most one mss of it is to be sent.
 */
struct sent *recovery_rescue(struct recovery *rec, struct sendmap *map, const struct cc *cc);

#endif
