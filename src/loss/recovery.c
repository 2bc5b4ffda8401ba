/* SPDX-License-Identifier: MIT */
/*
 * Loss recovery: see recovery.h. The caller owns struct recovery, the map and the controller.
 *
 * cwnd outside of recovery is the controller's; in fast recovery, and while a reduction without
 * loss is under way (CWR), proportional rate reduction sets it; in the RTO state it starts at one
 * segment and grows by the controller's slow start. A controller that has its own idea
 * (owns_recovery) is only told, but starts at one segment, too.
 */
#include "loss/recovery.h"

#include <couplet/info.h>

#include "base/assert.h"
#include "base/seq.h"

/* RFC 3042: two segments beyond cwnd. */
#define LIMITED_SEGMENTS       2
/* As much as Linux tells of (net.ipv4.tcp_max_reordering). */
#define REORDERING_MAX	       300
/* RFC 6582 4.1: a larger step of una than this many segments hints at needless retransmissions. */
#define ACK_HEURISTIC_SEGMENTS 4

void recovery_init(struct recovery *rec, bool sack, uint32_t iss, bool reordering)
{
	*rec = (struct recovery){
		.state = CPL_RECOVERY_OPEN,
		.sack = sack,
		.point = iss,
		.reordering = RECOVERY_DUP_THRESH,
		.t_reorder = RECOVERY_NEVER,
		.t_probe = RECOVERY_NEVER,
	};
	rack_init(&rec->rack, reordering);
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

static struct rack_path rack_path(const struct recovery *rec, const struct recovery_ack *ack)
{
	return (struct rack_path){
		.srtt_ns = ack->srtt_ns,
		.min_rtt_ns = ack->min_rtt_ns,
		.in_recovery = rec->state >= CPL_RECOVERY_FAST,
		.dup_acks = rec->dup_acks,
	};
}

/* Marks what RACK finds lost and sets its timer; returns the bytes. */
static uint32_t detect_by_time(struct recovery *rec, struct sendmap *map,
			       const struct recovery_ack *ack, uint64_t now)
{
	struct rack_path path = rack_path(rec, ack);
	uint64_t wait_ns;
	uint32_t lost = rack_detect(&rec->rack, map, &path, now, &wait_ns);

	rec->t_reorder = wait_ns ? now + wait_ns : RECOVERY_NEVER;
	/* A probe of the path's MTU tells nothing of congestion (RFC 4821 7.6): it only goes again.
	 */
	if (map->mtu_probe_lost && lost <= map->mtu_probe_lost) {
		rec->retransmit_now = map->pending;
		return 0;
	}
	return lost;
}

/* ---- Reductions ----------------------------------------------------------------------------- */

static bool reducing(const struct recovery *rec)
{
	return rec->state == CPL_RECOVERY_FAST || rec->state == CPL_RECOVERY_CWR;
}

/* cwnd falls for a loss or a mark: once for what is now in flight. */
static void begin_reduction(struct recovery *rec, const struct sendmap *map, struct cc *cc,
			    const struct sendmap_result *res, uint64_t now)
{
	uint32_t outstanding = map->nxt - map->una;

	cc_ops(cc)->congestion(cc, flight_size(map, cc), now);
	prr_start(&rec->prr, outstanding, map->sacked, res ? res->newly_sacked : 0,
		  res ? res->acked : 0);
	undo_arm(&rec->undo, map->una);
	rec->point = map->nxt;
	rec->point_valid = true;
}

static void reduce_cwnd(struct recovery *rec, const struct sendmap *map, struct cc *cc,
			uint32_t delivered, bool safe)
{
	uint32_t cwnd =
		prr_cwnd(&rec->prr, cc->ssthresh, sendmap_pipe(map), delivered, cc->mss, safe);

	if (!cc_ops(cc)->owns_recovery)
		cc->cwnd = cwnd > cc->mss ? cwnd : cc->mss; /* what is empty must not stay so */
}

/* RFC 9937: what is left of the reduction is made. */
static void end_reduction(struct recovery *rec, struct cc *cc)
{
	if (!cc_ops(cc)->owns_recovery && cc->ssthresh != CC_SSTHRESH_NONE)
		cc->cwnd = cc->ssthresh;
	rec->state = CPL_RECOVERY_OPEN;
}

void recovery_reduce(struct recovery *rec, const struct sendmap *map, struct cc *cc, bool marked,
		     uint64_t now)
{
	if (rec->state >= CPL_RECOVERY_CWR || sendmap_empty(map))
		return;
	cc->marked = marked;
	begin_reduction(rec, map, cc, NULL, now);
	cc->marked = false;
	undo_disarm(&rec->undo);
	rec->state = CPL_RECOVERY_CWR;
	reduce_cwnd(rec, map, cc, 0, false);
}

/* What was taken from cwnd was taken for nothing. */
static void undo_reduction(struct recovery *rec, struct sendmap *map, struct cc *cc, uint64_t now)
{
	if (rec->state == CPL_RECOVERY_RTO)
		rec->spurious_rto++;
	if (cc_ops(cc)->undo)
		cc_ops(cc)->undo(cc, now);
	sendmap_unmark_lost(map);
	undo_disarm(&rec->undo);
	recovery_no_new(rec);
	rec->state = CPL_RECOVERY_OPEN;
	rec->inflation = 0;
	rec->retransmit_now = false;
	rec->undone++;
}

/* ---- Fast recovery -------------------------------------------------------------------------- */

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

static void enter_fast(struct recovery *rec, struct sendmap *map, struct cc *cc,
		       const struct sendmap_result *res, uint64_t now)
{
	/* A loss while a mark is answered is of the same window: it asks for no more. */
	if (rec->state != CPL_RECOVERY_CWR)
		begin_reduction(rec, map, cc, res, now);
	rec->state = CPL_RECOVERY_FAST;
	rec->rescued = false;
	rec->entered++;
	rec->t_probe = RECOVERY_NEVER;
	if (rec->sack) {
		reduce_cwnd(rec, map, cc, res ? res->delivered : 0, false);
		/* Nothing is in flight whose ACKs could let more go: two, as ssthresh is at least,
		 * or the end of a small flight would take a round trip for each segment. */
		if (!sendmap_pipe(map) && !cc_ops(cc)->owns_recovery && cc->cwnd < 2 * cc->mss)
			cc->cwnd = 2 * cc->mss;
		rec->retransmit_now = map->pending && !cc_ops(cc)->owns_recovery;
		return;
	}
	/* RFC 5681 3.2 step 3: the segments whose arrival the duplicate ACKs told of. */
	if (!cc_ops(cc)->owns_recovery)
		cc->cwnd = cc->ssthresh;
	rec->inflation = rec->dup_acks * cc->mss;
	lose_first_segment(map, cc);
	rec->retransmit_now = map->pending;
}

/*
 * Recovery ends. Without SACK the first way of RFC 6582 3.2 step 3 to set cwnd, which leaves no
 * room for a burst; with SACK, rate reduction has already brought the flight to ssthresh.
 */
static void leave_fast(struct recovery *rec, const struct sendmap *map, struct cc *cc)
{
	uint64_t flight = sendmap_pipe(map), most;

	end_reduction(rec, cc);
	most = (flight > cc->mss ? flight : cc->mss) + cc->mss;
	if (!rec->sack && !cc_ops(cc)->owns_recovery && most < cc->cwnd)
		cc->cwnd = (uint32_t)most;
	rack_recovered(&rec->rack);
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
	if (!cc_ops(cc)->owns_recovery)
		cc->cwnd = cc->cwnd > deflate && cc->cwnd - deflate > cc->mss ? cc->cwnd - deflate
									      : cc->mss;
	lose_first_segment(map, cc);
	rec->retransmit_now = await_retransmission(map);
}

/* An ACK while in fast recovery. True: it ended. */
static bool in_fast(struct recovery *rec, struct sendmap *map, struct cc *cc,
		    const struct recovery_ack *ack, const struct sendmap_result *res, uint64_t now)
{
	if (seq_geq(map->una, rec->point)) {
		leave_fast(rec, map, cc);
		return true;
	}
	if (rec->sack) {
		uint32_t lost = detect_by_time(rec, map, ack, now);

		if (res->delivered)
			reduce_cwnd(rec, map, cc, res->delivered, ack->advanced && !lost);
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
	if (rec->dup_acks < RECOVERY_DUP_THRESH)
		return false;
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
	bool lost;

	/* RFC 6675 section 2: with SACK, news in the scoreboard, also when una moves. */
	if ((rec->sack ? res->newly_sacked > 0 : ack->duplicate) && rec->dup_acks < UINT32_MAX)
		rec->dup_acks++;
	lost = rec->sack ? detect_by_time(rec, map, ack, now) > 0 : newreno_may_enter(rec, map, cc);
	if (lost && !sendmap_empty(map)) {
		enter_fast(rec, map, cc, res, now);
		return true;
	}
	if (rec->state != CPL_RECOVERY_CWR)
		rec->state =
			rec->dup_acks || map->sacked ? CPL_RECOVERY_DISORDER : CPL_RECOVERY_OPEN;
	return false;
}

/* ---- Time-out ------------------------------------------------------------------------------- */

void recovery_on_timeout(struct recovery *rec, struct sendmap *map, struct cc *cc, bool first,
			 const struct recovery_ack *path, uint64_t now)
{
	struct sent *oldest = sendmap_first(map);
	struct rack_path rack = rack_path(rec, path);

	ASSERT(oldest);
	rec->dup_acks = 0;
	rec->inflation = 0;
	rec->retransmit_now = false;
	rec->tlp.out = false;
	rec->probe_due = false;
	rec->t_probe = rec->t_reorder = RECOVERY_NEVER;
	if (oldest->flags & SENT_SYN) {
		/* RFC 5681 3.1: one segment after a lost SYN, which tells nothing of the rate. */
		cc->cwnd = cc->mss;
		sendmap_mark_all_lost(map, false);
		return;
	}
	recovery_no_new(rec);
	if (first) {
		cc_ops(cc)->timeout(cc, flight_size(map, cc), now);
		undo_arm(&rec->undo, map->una);
		frto_start(&rec->frto);
	}
	rec->state = CPL_RECOVERY_RTO;
	rec->point = map->nxt;
	rec->point_valid = true;
	/* What SACK said stays (RFC 6675 5.1), unless it cannot be true: una was SACKed (RFC 2018
	 * 8). */
	if (oldest->flags & SENT_SACKED)
		sendmap_mark_all_lost(map, true);
	else if (rec->sack)
		rack_timeout(&rec->rack, map, cc->mss, &rack, now);
	else
		sendmap_mark_all_lost(map, false);
	/* MUST-19: RFC 5681 3.1, the loss window; beside what is too young to be called lost. Under
	 * every controller (draft-ietf-ccwg-bbr 5.6.4.4). */
	cc->cwnd = sendmap_pipe(map) + cc->mss;
}

/* An ACK in the RTO state. True: it still is in it. */
static bool in_rto(struct recovery *rec, struct sendmap *map, struct cc *cc,
		   const struct recovery_ack *ack, const struct sendmap_result *res, uint64_t now)
{
	bool complete = seq_geq(map->una, rec->point);
	struct frto_ack f = {
		.sack = rec->sack,
		.advanced = ack->advanced,
		.duplicate = rec->sack ? res->newly_sacked > 0 : ack->duplicate,
		.original = res->original && seq_lt(res->original_start, rec->point),
		.complete = complete && !(rec->sack && res->original),
		.sent_new = seq_gt(map->nxt, rec->point),
	};

	bool sent_new = rec->frto.send_new;
	enum frto_verdict verdict = frto_ack(&rec->frto, &f);

	if (verdict == FRTO_SPURIOUS) {
		undo_reduction(rec, map, cc, now);
		return false;
	}
	/* RFC 5682 2.1 step 3a: what it sent must not hold up the retransmission. */
	if (verdict == FRTO_REAL && sent_new && !rec->sack && !cc_ops(cc)->owns_recovery &&
	    cc->cwnd < 3 * cc->mss)
		cc->cwnd = 3 * cc->mss;
	if (complete) {
		recovery_no_new(rec);
		rec->state = CPL_RECOVERY_OPEN;
		rack_recovered(&rec->rack);
		return false;
	}
	if (rec->sack)
		detect_by_time(rec, map, ack, now);
	return true;
}

/* ---- ACKs ----------------------------------------------------------------------------------- */

static void take_news(struct recovery *rec, struct sendmap *map, struct cc *cc,
		      const struct recovery_ack *ack, const struct sendmap_result *res,
		      uint64_t now)
{
	const struct sack_block *dsack = ack->dsack ? &ack->duplicate_block : NULL;

	if (dsack) {
		rack_dsack(&rec->rack, map->una, map->nxt);
		undo_dsack(&rec->undo, dsack);
	}
	if (res->reordered) {
		uint32_t by = (res->reorder_bytes + cc->mss - 1) / cc->mss;

		rec->reorderings++;
		if (by > rec->reordering)
			rec->reordering = by < REORDERING_MAX ? by : REORDERING_MAX;
	}
	rack_update(&rec->rack, res, now);
	if (tlp_ack(&rec->tlp, map->una, dsack, ack->pure) == TLP_REPAIRED)
		recovery_reduce(rec, map, cc, false, now);
	if (!ack->advanced)
		return;
	rec->dup_acks = 0; /* RFC 6675 section 5; RFC 5681: duplicates in a row */
	rec->last_advance = res->acked;
	if (rec->point_valid && seq_gt(map->una, rec->point))
		rec->point_valid = false;
}

/*
 * Eifel: una moved because an original came late. As long as a retransmission is on its way, others
 * may be lost all the same (as Linux).
 */
static bool was_late(const struct recovery *rec, const struct sendmap *map,
		     const struct recovery_ack *ack)
{
	if (!ack->advanced || rec->state < CPL_RECOVERY_FAST ||
	    !undo_eifel(&rec->undo, ack->echo_ns))
		return false;
	return !map->retrans || seq_geq(map->una, rec->point);
}

bool recovery_on_ack(struct recovery *rec, struct sendmap *map, struct cc *cc,
		     const struct recovery_ack *ack, const struct sendmap_result *res, uint64_t now)
{
	bool was_fast;

	take_news(rec, map, cc, ack, res, now);
	if (undo_proven(&rec->undo) || was_late(rec, map, ack))
		undo_reduction(rec, map, cc, now);
	was_fast = rec->state == CPL_RECOVERY_FAST;
	if (was_fast && !in_fast(rec, map, cc, ack, res, now))
		return false;
	/* RFC 6675 5.1, RFC 6582 3.2 step 4: no fast recovery until una reaches the point. */
	if (rec->state == CPL_RECOVERY_RTO && in_rto(rec, map, cc, ack, res, now))
		return true;
	if (rec->state == CPL_RECOVERY_CWR) {
		if (seq_geq(map->una, rec->point))
			end_reduction(rec, cc);
		else if (res->delivered)
			reduce_cwnd(rec, map, cc, res->delivered, ack->advanced);
		was_fast = true;
	}
	if (detect(rec, map, cc, ack, res, now))
		return false;
	/* An ACK that was part of a reduction, or ended one, has had its effect on cwnd. */
	return !was_fast;
}

void recovery_on_reorder_timer(struct recovery *rec, struct sendmap *map, struct cc *cc,
			       const struct recovery_ack *path, uint64_t now)
{
	uint32_t lost;

	rec->t_reorder = RECOVERY_NEVER;
	if (!rec->sack || sendmap_empty(map))
		return;
	lost = detect_by_time(rec, map, path, now);
	if (!lost)
		return;
	if (rec->state < CPL_RECOVERY_FAST)
		enter_fast(rec, map, cc, NULL, now);
	else if (rec->state == CPL_RECOVERY_FAST)
		reduce_cwnd(rec, map, cc, 0, false);
}

/* ---- Probes --------------------------------------------------------------------------------- */

void recovery_schedule_probe(struct recovery *rec, const struct sendmap *map, uint32_t mss,
			     uint64_t srtt_ns, uint64_t rto_at, uint64_t now)
{
	uint64_t at;

	rec->t_probe = RECOVERY_NEVER;
	/* Section 7.2: what is SACKed or in recovery is RACK's; one probe at a time. */
	if (!rec->sack || rec->state >= CPL_RECOVERY_FAST || map->sacked || rec->tlp.out ||
	    sendmap_empty(map))
		return;
	at = now + tlp_pto_ns(map->nxt - map->una, mss, srtt_ns);
	rec->t_probe = at < rto_at ? at : rto_at;
}

void recovery_on_probe_timer(struct recovery *rec, const struct sendmap *map)
{
	rec->t_probe = RECOVERY_NEVER;
	rec->probe_due =
		rec->sack && rec->state < CPL_RECOVERY_FAST && !rec->tlp.out && !sendmap_empty(map);
}

/* The last segment outstanding, if it is in the network once. */
static struct sent *last_segment(struct sendmap *map, uint32_t mss)
{
	struct sent *last = list_last(&map->records, struct sent, by_seq);
	uint32_t len = last->end - last->start;

	if (last->flags & (SENT_SACKED | SENT_LOST | SENT_RETRANS | SENT_UNSENT))
		return NULL;
	return len <= mss ? last : sendmap_split(map, last, last->end - ((len - 1) % mss + 1));
}

struct sent *recovery_probe_segment(struct sendmap *map, uint32_t mss)
{
	return sendmap_empty(map) ? NULL : last_segment(map, mss);
}

void recovery_probed(struct recovery *rec, bool retrans, uint32_t nxt)
{
	rec->probe_due = false;
	rec->probes++;
	rec->tlp = (struct tlp){ .out = true, .retrans = retrans, .end_seq = nxt };
}

/* ---- What may be sent ----------------------------------------------------------------------- */

void recovery_sent(struct recovery *rec, uint32_t bytes, bool retrans, uint64_t now)
{
	if (reducing(rec))
		prr_sent(&rec->prr, bytes);
	if (retrans)
		undo_resent(&rec->undo, bytes, now);
}

void recovery_refused(struct recovery *rec, uint32_t bytes)
{
	if (reducing(rec))
		prr_sent(&rec->prr, -(int64_t)bytes);
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

struct sent *recovery_rescue(struct recovery *rec, struct sendmap *map, const struct cc *cc)
{
	struct sent *record;

	if (!rec->sack || rec->state != CPL_RECOVERY_FAST || map->pending || rec->rescued ||
	    sendmap_empty(map))
		return NULL;
	record = last_segment(map, cc->mss);
	rec->rescued = record;
	return record;
}
