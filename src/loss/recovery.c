/* SPDX-License-Identifier: MIT */
/*
 * Loss recovery: RFC 6675 with SACK, RFC 6582 without, limited transmit (RFC 3042), time-outs
 * (RFC 5681 3.1, RFC 6298 5). The caller owns struct recovery, the map and the controller.
 *
 * cwnd outside of recovery is the controller's; in fast recovery it is set here (RFC 6675 4.2: to
 * ssthresh; proportional rate reduction would replace set_cwnd() and leave_fast()); in the RTO
 * state it starts at one segment here and grows by the controller's slow start.
 */
#include <couplet/info.h>

#include "base/assert.h"
#include "base/seq.h"
#include "loss/recovery.h"

/* RFC 3042: two segments beyond cwnd. */
#define LIMITED_SEGMENTS       2
/* RFC 6582 4.1: a larger step of una than this many segments hints at needless retransmissions. */
#define ACK_HEURISTIC_SEGMENTS 4

void recovery_init(struct recovery *rec, bool sack, uint32_t iss)
{
	*rec = (struct recovery){
		.state = CPL_RECOVERY_OPEN,
		.sack = sack,
		.dup_thresh = RECOVERY_DUP_THRESH,
		.point = iss,
	};
}

/*
 * FlightSize of RFC 5681 equation (4). What limited transmit sent is not to be part of it (RFC 5681
 * 3.2 step 2): nothing else exceeds cwnd.
 */
static uint32_t flight_size(const struct sendmap *map, const struct cc *cc)
{
	uint32_t flight = map->nxt - map->una - map->unsent;

	return flight < cc->cwnd ? flight : cc->cwnd;
}

/* Mark lost the first segment that is not acknowledged. */
static void lose_first_segment(struct sendmap *map, const struct cc *cc)
{
	struct sent *first = sendmap_first(map);

	if (!first || (first->flags & (SENT_SACKED | SENT_LOST | SENT_UNSENT)))
		return;
	/* Without memory to split, all of the record counts as lost. */
	if (first->end - first->start > cc->mss)
		sendmap_split(map, first, first->start + cc->mss);
	sendmap_mark_lost(map, first);
}

static bool await_retransmission(const struct sendmap *map)
{
	const struct sent *first = sendmap_first(map);

	return first && (first->flags & (SENT_LOST | SENT_RETRANS)) == SENT_LOST;
}

static void enter_fast(struct recovery *rec, struct sendmap *map, struct cc *cc, uint64_t now)
{
	cc->ops->congestion(cc, flight_size(map, cc), now);
	cc->cwnd = cc->ssthresh;
	rec->state = CPL_RECOVERY_FAST;
	rec->point = map->nxt;
	rec->point_valid = true;
	rec->rescued = false;
	rec->entered++;
	/* RFC 5681 3.2 step 3: the segments whose arrival the duplicate ACKs told of. */
	rec->inflation = rec->sack ? 0 : rec->dup_acks * cc->mss;
	/* RFC 6675 4.3, RFC 5681 3.2 step 3: what is sent again first, whatever IsLost() says. */
	lose_first_segment(map, cc);
	rec->retransmit_now = map->pending;
}

/*
 * Recovery ends. Without SACK the first way of RFC 6582 3.2 step 3 to set cwnd, which leaves no
 * room for a burst; with SACK ssthresh (RFC 6675 section 5), but no larger burst than an initial
 * window.
 */
static void leave_fast(struct recovery *rec, const struct sendmap *map, struct cc *cc)
{
	uint64_t flight = sendmap_pipe(map), most;

	if (rec->sack)
		most = flight + cc_initial_window(cc->mss, 10);
	else
		most = (flight > cc->mss ? flight : cc->mss) + cc->mss;
	cc->cwnd = most < cc->ssthresh ? (uint32_t)most : cc->ssthresh;
	rec->state = CPL_RECOVERY_OPEN;
	rec->inflation = 0;
	rec->dup_acks = 0;
	rec->retransmit_now = false;
}

/* RFC 6582 3.2 step 3: a partial ACK; the next hole is lost, and cwnd deflates. */
static void partial_ack(struct recovery *rec, struct sendmap *map, struct cc *cc, uint32_t acked)
{
	uint32_t deflate = acked >= cc->mss ? acked - cc->mss : acked;
	uint32_t part = deflate < rec->inflation ? deflate : rec->inflation;

	rec->inflation -= part;
	deflate -= part;
	cc->cwnd =
		cc->cwnd > deflate && cc->cwnd - deflate > cc->mss ? cc->cwnd - deflate : cc->mss;
	lose_first_segment(map, cc);
	rec->retransmit_now = await_retransmission(map);
}

/* An ACK while in fast recovery. True: it ended. */
static bool in_fast(struct recovery *rec, struct sendmap *map, struct cc *cc,
		    const struct recovery_ack *ack, const struct sendmap_result *res)
{
	if (seq_geq(map->una, rec->point)) {
		leave_fast(rec, map, cc);
		return true;
	}
	if (rec->sack) {
		/* RFC 6675 section 5, steps (B) and (C): pipe makes room, IsLost() finds more. */
		sendmap_detect_lost(map, rec->dup_thresh, cc->mss);
		return false;
	}
	if (ack->advanced)
		partial_ack(rec, map, cc, res->acked);
	else if (ack->duplicate && rec->inflation <= UINT32_MAX - cc->mss)
		rec->inflation += cc->mss; /* RFC 5681 3.2 step 4 */
	return false;
}

/*
 * RFC 6582 3.2 step 2: after a recovery or a time-out, three duplicate ACKs before una is beyond
 * "recover" may come from needless retransmissions. Section 4.1's test on ACKs tells these apart:
 * they follow an ACK that jumped.
 */
static bool newreno_may_enter(const struct recovery *rec, const struct sendmap *map,
			      const struct cc *cc)
{
	if (!rec->point_valid)
		return true;
	if (seq_lt(map->una, rec->point))
		return false;
	return cc->cwnd > cc->mss && rec->last_advance <= ACK_HEURISTIC_SEGMENTS * cc->mss;
}

/* Neither in fast recovery nor after a time-out. True: this ACK started fast recovery. */
static bool detect(struct recovery *rec, struct sendmap *map, struct cc *cc,
		   const struct recovery_ack *ack, const struct sendmap_result *res, uint64_t now)
{
	uint32_t lost = 0;

	/* RFC 6675 section 2: with SACK, news in the scoreboard, also when una moves. */
	if ((rec->sack ? res->newly_sacked > 0 : ack->duplicate) && rec->dup_acks < UINT32_MAX)
		rec->dup_acks++;
	if (rec->sack)
		lost = sendmap_detect_lost(map, rec->dup_thresh, cc->mss);
	if (lost || rec->dup_acks >= rec->dup_thresh) {
		if (sendmap_empty(map))
			return false;
		if (rec->sack || newreno_may_enter(rec, map, cc)) {
			enter_fast(rec, map, cc, now);
			return true;
		}
	}
	if (rec->state != CPL_RECOVERY_CWR)
		rec->state =
			rec->dup_acks || map->sacked ? CPL_RECOVERY_DISORDER : CPL_RECOVERY_OPEN;
	return false;
}

bool recovery_on_ack(struct recovery *rec, struct sendmap *map, struct cc *cc,
		     const struct recovery_ack *ack, const struct sendmap_result *res, uint64_t now)
{
	bool was_fast = rec->state == CPL_RECOVERY_FAST;

	if (ack->advanced) {
		rec->dup_acks = 0; /* RFC 6675 section 5; RFC 5681: duplicates in a row */
		rec->last_advance = res->acked;
		if (rec->point_valid && seq_gt(map->una, rec->point))
			rec->point_valid = false;
	}
	if (was_fast && !in_fast(rec, map, cc, ack, res))
		return false;
	/* RFC 6675 5.1, RFC 6582 3.2 step 4: no fast recovery until una reaches the point. */
	if (rec->state == CPL_RECOVERY_RTO || rec->state == CPL_RECOVERY_CWR) {
		if (seq_geq(map->una, rec->point))
			rec->state = CPL_RECOVERY_OPEN;
		else if (rec->state == CPL_RECOVERY_RTO)
			return true;
	}
	if (detect(rec, map, cc, ack, res, now))
		return false;
	/* An ACK that ended fast recovery has had its effect on cwnd. */
	return !was_fast;
}

void recovery_on_timeout(struct recovery *rec, struct sendmap *map, struct cc *cc, bool first,
			 uint64_t now)
{
	struct sent *oldest = sendmap_first(map);

	ASSERT(oldest);
	rec->dup_acks = 0;
	rec->inflation = 0;
	rec->retransmit_now = false;
	if (oldest->flags & SENT_SYN) {
		/* RFC 5681 3.1: one segment after a lost SYN. It tells nothing of the path's rate.
		 */
		cc->cwnd = cc->mss;
		sendmap_mark_all_lost(map, false);
		return;
	}
	if (first)
		cc->ops->timeout(cc, flight_size(map, cc), now);
	cc->cwnd = cc->mss; /* MUST-19: RFC 5681 3.1, the loss window */
	rec->state = CPL_RECOVERY_RTO;
	rec->point = map->nxt;
	rec->point_valid = true;
	/* What SACK said stays (RFC 6675 5.1), unless it cannot be true: una was SACKed (RFC 2018
	 * 8). */
	sendmap_mark_all_lost(map, oldest->flags & SENT_SACKED);
}

uint32_t recovery_limited_transmit(const struct recovery *rec, const struct cc *cc)
{
	if (rec->sack || rec->state == CPL_RECOVERY_FAST || rec->state == CPL_RECOVERY_RTO)
		return 0;
	return cc->mss * (rec->dup_acks < LIMITED_SEGMENTS ? rec->dup_acks : LIMITED_SEGMENTS);
}

uint32_t recovery_inflation(const struct recovery *rec, const struct sendmap *map,
			    const struct cc *cc)
{
	uint32_t pipe = sendmap_pipe(map);

	(void)cc;
	return rec->inflation < pipe ? rec->inflation : pipe;
}

/* RFC 6675 section 4, NextSeg() rule (3): not lost, but below what was SACKed. */
static struct sent *not_yet_lost(const struct sendmap *map)
{
	struct sent *record = sendmap_find(map, map->lost_edge);

	while (record && seq_lt(record->start, map->high_sacked)) {
		if (!(record->flags & (SENT_SACKED | SENT_LOST | SENT_RETRANS | SENT_UNSENT)))
			return record;
		if (record->by_seq.next == &map->records)
			return NULL;
		record = container_of(record->by_seq.next, struct sent, by_seq);
	}
	return NULL;
}

/* Rule (4): the last segment outstanding, to learn from its SACK whether others arrived. */
static struct sent *last_segment(struct sendmap *map, const struct cc *cc)
{
	struct sent *last = list_last(&map->records, struct sent, by_seq), *part;
	uint32_t len = last->end - last->start;

	if (last->flags & (SENT_SACKED | SENT_LOST | SENT_RETRANS | SENT_UNSENT))
		return NULL;
	if (len <= cc->mss)
		return last;
	part = sendmap_split(map, last, last->end - ((len - 1) % cc->mss + 1));
	return part;
}

struct sent *recovery_rescue(struct recovery *rec, struct sendmap *map, const struct cc *cc)
{
	struct sent *record = NULL;

	if (!rec->sack || rec->state != CPL_RECOVERY_FAST || map->pending || sendmap_empty(map))
		return NULL;
	if (map->sacked)
		record = not_yet_lost(map);
	if (!record && !rec->rescued) {
		record = last_segment(map, cc);
		rec->rescued = record;
	}
	return record;
}
