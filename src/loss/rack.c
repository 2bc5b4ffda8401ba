/* SPDX-License-Identifier: MIT */
/* RACK loss detection: RFC 8985 section 6. The caller owns struct rack and the map. */
#include "loss/rack.h"

#include "base/assert.h"
#include "base/seq.h"

void rack_init(struct rack *rack, bool reordering_seen)
{
	*rack = (struct rack){
		.reordering_seen = reordering_seen,
		.reo_wnd_mult = 1,
		.reo_wnd_persist = RACK_REO_WND_PERSIST,
	};
}

/* RACK_sent_after(): of two segments the one that left later, or lies higher. */
static bool sent_after(uint64_t time_a, uint32_t end_a, uint64_t time_b, uint32_t end_b)
{
	return time_a > time_b || (time_a == time_b && seq_gt(end_a, end_b));
}

static void newest(struct rack *rack, uint64_t time, uint32_t end)
{
	if (rack->sampled && !sent_after(time, end, rack->xmit_ns, rack->end_seq))
		return;
	rack->xmit_ns = time;
	rack->end_seq = end;
	rack->sampled = true;
}

bool rack_update(struct rack *rack, const struct sendmap_result *res, uint64_t now)
{
	bool news = res->reordered && !rack->reordering_seen;

	rack->reordering_seen |= res->reordered;
	if (!res->rack_sampled)
		return news;
	rack->rtt_ns = now - res->rack_last;
	newest(rack, res->rack_time, res->rack_end);
	return news;
}

void rack_delivered(struct rack *rack, uint64_t sent, uint32_t end, uint64_t now)
{
	rack->rtt_ns = now - sent;
	newest(rack, sent, end);
}

void rack_dsack(struct rack *rack, uint32_t una, uint32_t nxt)
{
	if (rack->in_dsack_round && seq_geq(una, rack->dsack_round))
		rack->in_dsack_round = false;
	if (rack->in_dsack_round)
		return;
	rack->in_dsack_round = true;
	rack->dsack_round = nxt;
	if (rack->reo_wnd_mult < UINT8_MAX)
		rack->reo_wnd_mult++;
	rack->reo_wnd_persist = RACK_REO_WND_PERSIST;
}

void rack_recovered(struct rack *rack)
{
	if (rack->reo_wnd_persist)
		rack->reo_wnd_persist--;
	if (!rack->reo_wnd_persist)
		rack->reo_wnd_mult = 1;
}

/* RACK.segs_sacked >= DupThresh: three ranges, or more than two segments' worth of bytes. */
static bool enough_sacked(const struct sendmap *map)
{
	const struct list *node;
	uint64_t bytes = 0, mss = 0;
	unsigned n = 0;

	list_for_each (node, &map->ranges) {
		const struct sent *record = container_of(node, struct sent, by_time);

		bytes += record->end - record->start;
		if (record->mss > mss)
			mss = record->mss;
		if (++n == RACK_DUP_THRESH)
			return true;
		if (bytes > (RACK_DUP_THRESH - 1) * mss)
			return true;
	}
	return false;
}

/* What is missing is lost, unless the path reorders. */
static bool is_enough(const struct sendmap *map, const struct rack_path *path)
{
	return path->in_recovery || path->dup_acks >= RACK_DUP_THRESH || enough_sacked(map);
}

/* RACK_update_reo_wnd() */
static inline void set_window(struct rack *rack, bool enough, const struct rack_path *path)
{
	/* Before there is a sample, the last delivery stands for it. */
	uint64_t min_rtt = path->min_rtt_ns ? path->min_rtt_ns : rack->rtt_ns;
	uint64_t srtt = path->srtt_ns ? path->srtt_ns : rack->rtt_ns;
	uint64_t window;

	if (enough && !rack->reordering_seen) {
		rack->reo_wnd_ns = 0;
		return;
	}
	window = min_rtt / 4 * rack->reo_wnd_mult;
	rack->reo_wnd_ns = window < srtt ? window : srtt;
}

void rack_quiet(struct rack *rack, const struct rack_path *path)
{
	set_window(rack, false, path);
}

/*
 * Marks those on by_time, oldest first, that expired by NOW and were sent before (TIME, END).
 * Returns the first that did not expire, or NULL.
 */
static struct sent *expire(const struct rack *rack, struct sendmap *map, uint64_t now,
			   uint32_t *lost)
{
	uint64_t patience = rack->rtt_ns + rack->reo_wnd_ns;

	while (!list_empty(&map->by_time)) {
		struct sent *record = list_first(&map->by_time, struct sent, by_time);

		if (!sent_after(rack->xmit_ns, rack->end_seq, record->time, record->end))
			return NULL;
		if (record->time + patience > now)
			return record;
		*lost += record->end - record->start;
		sendmap_mark_lost(map, record); /* leaves by_time */
	}
	return NULL;
}

uint32_t rack_detect(struct rack *rack, struct sendmap *map, const struct rack_path *path,
		     uint64_t now, uint64_t *wait_ns)
{
	uint32_t lost = 0;

	*wait_ns = 0;
	if (!rack->sampled)
		return 0;
	set_window(rack, is_enough(map, path), path);
	/*
	 * What waits was sent at the latest when the newest delivered one was: one timer, set by
	 * that, finds all of it expired (section 6.2 step 5 takes the longest wait).
	 */
	if (expire(rack, map, now, &lost)) {
		uint64_t due = rack->xmit_ns + rack->rtt_ns + rack->reo_wnd_ns;

		*wait_ns = due > now ? due - now : 1;
	}
	return lost;
}

uint32_t rack_timeout(struct rack *rack, struct sendmap *map, uint32_t mss,
		      const struct rack_path *path, uint64_t now)
{
	struct sent *first = sendmap_first(map);
	uint64_t patience;
	uint32_t lost = 0;

	ASSERT(first);
	if (!(first->flags & (SENT_SACKED | SENT_UNSENT))) {
		/* Without memory to split, all of the record counts as lost. */
		if (first->end - first->start > mss)
			sendmap_split(map, first, first->start + mss);
		lost += first->end - first->start;
		sendmap_mark_lost(map, first);
	}
	set_window(rack, is_enough(map, path), path);
	patience = rack->rtt_ns + rack->reo_wnd_ns;
	while (!list_empty(&map->by_time)) {
		struct sent *record = list_first(&map->by_time, struct sent, by_time);

		if (record->time + patience > now)
			break;
		lost += record->end - record->start;
		sendmap_mark_lost(map, record);
	}
	return lost;
}
