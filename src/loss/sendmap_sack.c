/* SPDX-License-Identifier: MIT */
/*
 * The send map as the scoreboard of RFC 6675: selective acknowledgment (RFC 2018) and what is lost.
 *
 * Cost: marking is O(records marked) over the life of a record. Finding a block's start walks from
 * the nearest of both ends, the highest range and the last block's place, at most WALK_MAX records
 * in one segment, whatever the peer says; a block that lies inside one of the segment before costs
 * nothing. A new range that touches no other looks for its place from the highest range down: a
 * peer that SACKs every other segment from the top down pays O(ranges) for each. Joining bounds
 * ranges, and cutting only between segments bounds records, to the segments in flight.
 */
#include "base/assert.h"
#include "base/seq.h"
#include "loss/sendmap_record.h"

#define WALK_MAX 4096u

/* ---- SACK ----------------------------------------------------------------------------------- */

/*
 * B, right after A, becomes part of it. Both are SACKed, or both are lost and not sent again, so
 * that no sum changes; should the peer renege, what is known of the newest transmission stands for
 * all.
 */
static void join(struct sendmap *map, struct sent *a, struct sent *b)
{
	a->end = b->end;
	a->flags = (a->flags & ~SENT_PSH) | (b->flags & ~SENT_SYN);
	if (b->mss < a->mss)
		a->mss = b->mss;
	if (b->transmissions > a->transmissions)
		a->transmissions = b->transmissions;
	if (b->time > a->time) {
		a->time = b->time;
		a->delivered = b->delivered;
		a->delivered_time = b->delivered_time;
		a->first_sent_time = b->first_sent_time;
		a->tx_in_flight = b->tx_in_flight;
		a->lost_then = b->lost_then;
	}
	if (map->lost_hint == b)
		map->lost_hint = a;
	if (map->sack_hint == b)
		map->sack_hint = a;
	record_free(map, b);
}

/* Put RECORD, just SACKed, among the ranges. Returns the range that it is part of. */
static struct sent *add_range(struct sendmap *map, struct sent *record)
{
	struct sent *below = record_prev(map, record), *above = record_next(map, record);
	struct list *pos;

	if (record_sacked(below)) {
		join(map, below, record);
		record = below;
	} else if (record_sacked(above)) {
		list_insert_before(&above->by_time, &record->by_time);
	} else {
		for (pos = map->ranges.prev; pos != &map->ranges; pos = pos->prev)
			if (seq_lt(container_of(pos, struct sent, by_time)->start, record->start))
				break;
		list_insert_before(pos->next, &record->by_time);
	}
	if (record_sacked(above))
		join(map, record, above);
	map->high_sacked = list_last(&map->ranges, struct sent, by_time)->end;
	return record;
}

/*
 * The part of RECORD that BLOCK reports: made a record of its own and returned through *PART, which
 * is NULL if BLOCK holds no whole segment of it. False: no memory to split.
 */
static bool cut_out(struct sendmap *map, struct sent *record, const struct sack_block *block,
		    struct sent **part)
{
	uint32_t origin = record->start + (record->flags & SENT_SYN ? 1 : 0);
	uint32_t low = record->start, high = record->end, n;

	*part = NULL;
	if (seq_gt(block->start, low)) {
		if (!record->mss)
			return true;
		n = block->start - origin + record->mss - 1;
		low = origin + n / record->mss * record->mss;
	}
	if (seq_lt(block->end, high)) {
		if (!record->mss)
			return true;
		high = origin + (block->end - origin) / record->mss * record->mss;
	}
	if (seq_geq(low, high))
		return true;
	if (low != record->start)
		record = sendmap_split(map, record, low);
	if (record && high != record->end && !sendmap_split(map, record, high))
		record = NULL;
	*part = record;
	return record;
}

/* Of A and B the one that starts closer to SEQ. */
static struct sent *closer(struct sent *a, struct sent *b, uint32_t seq)
{
	uint32_t to_a = seq_lt(seq, a->start) ? a->start - seq : seq - a->start;
	uint32_t to_b = seq_lt(seq, b->start) ? b->start - seq : seq - b->start;

	return to_b < to_a ? b : a;
}

/* The record that holds SEQ, or as far towards it as *WALK steps lead. */
static struct sent *walk_to(struct sendmap *map, uint32_t seq, uint32_t *walk)
{
	struct sent *record = sendmap_first(map);

	record = closer(record, list_last(&map->records, struct sent, by_seq), seq);
	if (map->sack_hint)
		record = closer(record, map->sack_hint, seq);
	if (!list_empty(&map->ranges))
		record = closer(record, list_last(&map->ranges, struct sent, by_time), seq);
	while (*walk && seq_lt(seq, record->start)) {
		record = record_prev(map, record);
		(*walk)--;
	}
	while (*walk && seq_geq(seq, record->end)) {
		record = record_next(map, record);
		(*walk)--;
	}
	map->sack_hint = record;
	return record;
}

/* One block. False: not all of it was looked at, for want of memory or of steps. */
static bool sack_block(struct sendmap *map, const struct sack_block *block, uint32_t high_sacked,
		       uint32_t *walk, uint64_t now, struct sendmap_result *res)
{
	struct sent *record = walk_to(map, block->start, walk), *part;
	bool complete = true;

	if (!seq_in(block->start, record->start, record_len(record)))
		return false;
	for (; record && seq_lt(record->start, block->end); record = record_next(map, record)) {
		if (record->flags & SENT_SACKED)
			continue;
		if (!cut_out(map, record, block, &part))
			complete = false;
		if (!part)
			continue;
		record_delivered(map, part, part->end, high_sacked, now, res);
		res->newly_sacked += record_len(part);
		record_set_flags(map, part,
				 (part->flags & ~(SENT_LOST | SENT_RETRANS | SENT_UNSENT)) |
					 SENT_SACKED);
		record = add_range(map, part);
		map->sack_hint = record;
	}
	return complete;
}

static bool seen(const struct sendmap *map, const struct sack_block *block)
{
	unsigned i;

	for (i = 0; i < map->seen_n; i++)
		if (seq_leq(map->seen[i].start, block->start) &&
		    seq_leq(block->end, map->seen[i].end))
			return true;
	return false;
}

void sendmap_sack(struct sendmap *map, const struct sack_block *blocks, unsigned n, uint64_t now,
		  struct sendmap_result *res)
{
	/* What is delivered from here on below the highest SACK so far was reordered. */
	uint32_t high_sacked = map->sacked ? map->high_sacked : map->una;
	struct sack_block done[SENDMAP_SEEN];
	uint32_t walk = WALK_MAX;
	unsigned i, done_n = 0;

	for (i = 0; i < n; i++) {
		ASSERT(blocks[i].start - map->una < blocks[i].end - map->una);
		ASSERT(blocks[i].end - map->una <= map->nxt - map->una);
		if (!seen(map, &blocks[i]) &&
		    !sack_block(map, &blocks[i], high_sacked, &walk, now, res))
			continue;
		if (done_n < SENDMAP_SEEN)
			done[done_n++] = blocks[i];
	}
	for (i = 0; i < done_n; i++)
		map->seen[i] = done[i];
	map->seen_n = (uint8_t)done_n;
}

/* ---- Loss ----------------------------------------------------------------------------------- */

static void sample_loss(struct sendmap *map, const struct sent *record)
{
	const struct sent *below = record_prev(map, record);
	uint32_t lost = (uint32_t)map->lost_total - record->lost_then;
	struct loss_sample *s = &map->loss;

	s->bytes += record_len(record);
	s->events += !below || !(below->flags & SENT_LOST);
	if (s->high || lost <= record->tx_in_flight / LOSS_HIGH_DEN)
		return;
	s->high = true;
	s->app_limited = record->flags & SENT_APP_LIMITED;
	s->tx_in_flight = record->tx_in_flight;
	s->lost = lost;
	s->size = record_len(record);
}

static void lose(struct sendmap *map, struct sent *record, uint32_t flags)
{
	record_set_flags(map, record, flags);
	map->lost_total += record_len(record);
	if ((record->flags & SENT_MTU_PROBE) && !(record->flags & SENT_EVER_RETRANS))
		map->mtu_probe_lost += record_len(record);
	sample_loss(map, record);
	if (record_pending(record))
		record_made_pending(map, record);
}

void sendmap_mark_lost(struct sendmap *map, struct sent *record)
{
	if (record->flags & (SENT_SACKED | SENT_UNSENT))
		return;
	if (!(record->flags & SENT_LOST))
		lose(map, record, record->flags | SENT_LOST);
	else if (record->flags & SENT_RETRANS)
		lose(map, record, record->flags & ~SENT_RETRANS);
}

void sendmap_mark_all_lost(struct sendmap *map, bool forget_sack)
{
	struct sent *record;
	struct list *node;

	list_for_each (node, &map->records) {
		record = container_of(node, struct sent, by_seq);
		if (record->flags & SENT_UNSENT)
			continue;
		if ((record->flags & SENT_SACKED) && !forget_sack)
			continue;
		if (!record_pending(record))
			lose(map, record,
			     (record->flags & ~(SENT_SACKED | SENT_RETRANS)) | SENT_LOST);
	}
	if (forget_sack)
		map->seen_n = 0;
	map->lost_hint = NULL;
}

/* Back onto by_time, looking for the place from POS on (any node of the list). */
static void into_network(struct sendmap *map, struct sent *record, struct list *pos)
{
	while (pos != &map->by_time && container_of(pos, struct sent, by_time)->time > record->time)
		pos = pos->prev;
	while (pos->next != &map->by_time &&
	       container_of(pos->next, struct sent, by_time)->time <= record->time)
		pos = pos->next;
	list_insert_before(pos->next, &record->by_time);
}

void sendmap_unmark_lost(struct sendmap *map)
{
	struct list *node, *pos = &map->by_time;
	struct sent *record;

	/* Sequence order is nearly time order: the place is nearly always next to the last one. */
	list_for_each (node, &map->records) {
		record = container_of(node, struct sent, by_seq);
		if ((record->flags & (SENT_LOST | SENT_RETRANS)) != SENT_LOST)
			continue;
		record_set_flags(map, record, record->flags & ~SENT_LOST);
		into_network(map, record, pos);
		pos = &record->by_time;
	}
}

/* What is lost, and about which nothing else is to be kept. */
static bool only_lost(const struct sent *record)
{
	const uint32_t other = SENT_RETRANS | SENT_UNSENT | SENT_SYN | SENT_MTU_PROBE;

	return record && (record->flags & (SENT_LOST | other)) == SENT_LOST;
}

void sendmap_join_lost(struct sendmap *map, struct sent *record, uint32_t mss)
{
	struct sent *next;

	while (record_len(record) < mss && record->mss > mss && only_lost(record) &&
	       !(record->flags & (SENT_PSH | SENT_FIN))) {
		next = record_next(map, record);
		/* Karn, F-RTO: what never went again must stay known for that. */
		if (!only_lost(next) || ((next->flags ^ record->flags) & SENT_EVER_RETRANS))
			return;
		join(map, record, next);
	}
}
