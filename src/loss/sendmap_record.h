/* SPDX-License-Identifier: MIT */
/* What the files of the send map share: the changes to one record that keep every sum exact. */
#ifndef LOSS_SENDMAP_RECORD_H
#define LOSS_SENDMAP_RECORD_H

#include "loss/sendmap.h"

static inline uint32_t record_len(const struct sent *record)
{
	return record->end - record->start;
}

/* By sequence number; NULL at the end. */
static inline struct sent *record_next(const struct sendmap *map, const struct sent *record)
{
	struct list *node = record->by_seq.next;

	return node == &map->records ? NULL : container_of(node, struct sent, by_seq);
}

static inline struct sent *record_prev(const struct sendmap *map, const struct sent *record)
{
	struct list *node = record->by_seq.prev;

	return node == &map->records ? NULL : container_of(node, struct sent, by_seq);
}

static inline bool record_sacked(const struct sent *record)
{
	return record && (record->flags & SENT_SACKED);
}

/* Believed to be on its way: an original not lost, or a retransmission. */
static inline bool record_in_network(const struct sent *record)
{
	if (record->flags & (SENT_SACKED | SENT_UNSENT))
		return false;
	return !(record->flags & SENT_LOST) || (record->flags & SENT_RETRANS);
}

static inline bool record_pending(const struct sent *record)
{
	return (record->flags & SENT_UNSENT) ||
	       (record->flags & (SENT_LOST | SENT_RETRANS)) == SENT_LOST;
}

/* Take RECORD out of the sums, or put it back: around each change of its flags or its range. */
void record_uncount(struct sendmap *map, const struct sent *record);
void record_count(struct sendmap *map, const struct sent *record);
/* New flags, with the sums and by_time (which it leaves when not in the network) kept right. */
void record_set_flags(struct sendmap *map, struct sent *record, uint32_t flags);
/* RECORD is to be sent again: lost_hint must not be beyond it. */
void record_made_pending(struct sendmap *map, struct sent *record);
/* Off both lists and the hints, and free. The caller has taken it out of the sums. */
void record_free(struct sendmap *map, struct sent *record);
/*
 * [start, end) of RECORD, its present start or all of it, was delivered: count it, and take the
 * samples. HIGH_SACKED: as it was before this segment, or the record's start if nothing was SACKed.
 */
void record_delivered(struct sendmap *map, const struct sent *record, uint32_t end,
		      uint32_t high_sacked, uint64_t now, struct sendmap_result *res);

#endif
