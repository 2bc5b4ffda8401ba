/* SPDX-License-Identifier: MIT */
/*
 * The send map: what was sent, cumulative acknowledgment, rate samples (draft-ietf-ccwg-bbr 4.1).
 * SACK and the marking of losses are in sendmap_sack.c.
 *
 * Cost: sent, resent, refused and split are O(1); an ACK is O(records that it frees); a look-up is
 * O(records between the nearest of both ends and two hints and the place).
 */
#include "base/assert.h"
#include "base/seq.h"
#include "loss/sendmap_record.h"

/* The flags that are about one transmission of a record, not about the record. */
#define TRANSMISSION_FLAGS (SENT_UNSENT | SENT_APP_LIMITED)

void record_uncount(struct sendmap *map, const struct sent *record)
{
	uint32_t len = record_len(record);

	if (record->flags & SENT_SACKED)
		map->sacked -= len;
	if (record->flags & SENT_UNSENT)
		map->unsent -= len;
	if (record->flags & SENT_LOST)
		map->lost -= len;
	if (record->flags & SENT_RETRANS)
		map->retrans -= len;
	if (record_pending(record))
		map->pending -= len;
}

void record_count(struct sendmap *map, const struct sent *record)
{
	uint32_t len = record_len(record);

	if (record->flags & SENT_SACKED)
		map->sacked += len;
	if (record->flags & SENT_UNSENT)
		map->unsent += len;
	if (record->flags & SENT_LOST)
		map->lost += len;
	if (record->flags & SENT_RETRANS)
		map->retrans += len;
	if (record_pending(record))
		map->pending += len;
}

void record_set_flags(struct sendmap *map, struct sent *record, uint32_t flags)
{
	record_uncount(map, record);
	record->flags = flags;
	record_count(map, record);
	if (!record_in_network(record))
		list_del(&record->by_time);
}

void record_made_pending(struct sendmap *map, struct sent *record)
{
	if (map->lost_hint && seq_lt(record->start, map->lost_hint->start))
		map->lost_hint = record;
}

void record_free(struct sendmap *map, struct sent *record)
{
	/* A hint moves on to what comes after: the record itself is of no more interest. */
	if (map->lost_hint == record)
		map->lost_hint = record_next(map, record);
	if (map->sack_hint == record)
		map->sack_hint = record_next(map, record);
	list_del(&record->by_seq);
	list_del(&record->by_time);
	pool_give(map->pool, record);
}

void sendmap_init(struct sendmap *map, struct pool *pool, uint32_t iss, uint64_t now)
{
	*map = (struct sendmap){
		.pool = pool,
		.una = iss,
		.nxt = iss,
		.delivered_time = now,
		.first_sent_time = now,
	};
	list_init(&map->records);
	list_init(&map->by_time);
	list_init(&map->ranges);
}

void sendmap_clear(struct sendmap *map)
{
	struct sent *record;

	while ((record = sendmap_first(map))) {
		record_uncount(map, record);
		record_free(map, record);
	}
	map->una = map->nxt;
	map->seen_n = 0;
	map->told = 0;
}

void sendmap_destroy(struct sendmap *map)
{
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &map->records)
		pool_give(map->pool, container_of(pos, struct sent, by_seq));
}

struct sent *sendmap_first(const struct sendmap *map)
{
	return list_empty(&map->records) ? NULL : list_first(&map->records, struct sent, by_seq);
}

static uint32_t distance(uint32_t a, uint32_t b)
{
	return seq_lt(a, b) ? b - a : a - b;
}

struct sent *sendmap_find(const struct sendmap *map, uint32_t seq)
{
	struct sent *from[3], *record;
	unsigned i;

	if (!seq_in(seq, map->una, map->nxt - map->una) || list_empty(&map->records))
		return NULL;
	record = sendmap_first(map);
	from[0] = list_last(&map->records, struct sent, by_seq);
	from[1] = map->lost_hint;
	from[2] = map->sack_hint;
	for (i = 0; i < 3; i++)
		if (from[i] && distance(from[i]->start, seq) < distance(record->start, seq))
			record = from[i];
	while (seq_lt(seq, record->start))
		record = record_prev(map, record);
	while (seq_geq(seq, record->end))
		record = record_next(map, record);
	return record;
}

/* ---- Sending -------------------------------------------------------------------------------- */

/* draft-ietf-ccwg-bbr 4.1.2.2: with nothing in flight, the intervals start with this. */
static void before_transmission(struct sendmap *map, uint64_t now)
{
	if (!sendmap_pipe(map)) {
		map->first_sent_time = now;
		map->delivered_time = now;
	}
}

/* RECORD has just left and is counted; it goes to the end of by_time. */
static void transmitted(struct sendmap *map, struct sent *record, uint64_t now)
{
	record->time = now;
	record->delivered = map->delivered;
	record->delivered_time = map->delivered_time;
	record->first_sent_time = map->first_sent_time;
	record->tx_in_flight = sendmap_pipe(map);
	record->lost_then = (uint32_t)map->lost_total;
	if (map->app_limited_until)
		record->flags |= SENT_APP_LIMITED;
}

struct sent *sendmap_sent(struct sendmap *map, uint32_t end, uint16_t mss, uint32_t flags,
			  uint64_t now)
{
	struct sent *record;

	ASSERT(seq_lt(map->nxt, end));
	record = pool_take(map->pool);
	if (!record)
		return NULL;
	before_transmission(map, now);
	record->start = map->nxt;
	record->end = end;
	record->flags = flags & (SENT_SYN | SENT_FIN | SENT_URG | SENT_PSH | SENT_APP_LIMITED |
				 SENT_MTU_PROBE);
	record->mss = mss;
	record->transmissions = 1;
	list_push_back(&map->records, &record->by_seq);
	map->nxt = end;
	transmitted(map, record, now);
	list_push_back(&map->by_time, &record->by_time);
	return record;
}

struct sent *sendmap_sent_only(struct sendmap *map, uint32_t len, uint16_t mss, uint32_t flags,
			       uint64_t now)
{
	struct sent *record = pool_take(map->pool);

	DEBUG_ASSERT(list_empty(&map->records) && list_empty(&map->by_time) && !sendmap_pipe(map));
	if (!record)
		return NULL;
	map->first_sent_time = map->delivered_time = now;
	record->start = map->nxt;
	record->end = map->nxt + len;
	record->flags = map->app_limited_until ? flags | SENT_APP_LIMITED : flags;
	record->mss = mss;
	record->transmissions = 1;
	record->time = record->delivered_time = record->first_sent_time = now;
	record->delivered = map->delivered;
	record->tx_in_flight = len;
	record->lost_then = (uint32_t)map->lost_total;
	record->by_seq.next = record->by_seq.prev = &map->records;
	map->records.next = map->records.prev = &record->by_seq;
	record->by_time.next = record->by_time.prev = &map->by_time;
	map->by_time.next = map->by_time.prev = &record->by_time;
	map->nxt += len;
	return record;
}

void sendmap_resent(struct sendmap *map, struct sent *record, uint64_t now)
{
	uint32_t flags = record->flags & ~TRANSMISSION_FLAGS;

	ASSERT(!(record->flags & SENT_SACKED));
	before_transmission(map, now);
	if (!(record->flags & SENT_UNSENT))
		flags |= SENT_RETRANS | SENT_EVER_RETRANS;
	record_set_flags(map, record, flags);
	if (record->transmissions < UINT8_MAX)
		record->transmissions++;
	transmitted(map, record, now);
	list_del(&record->by_time);
	list_push_back(&map->by_time, &record->by_time);
}

void sendmap_refused(struct sendmap *map, struct sent *record)
{
	if (record->flags & SENT_RETRANS) {
		record->transmissions--;
		record_set_flags(map, record, record->flags & ~SENT_RETRANS);
	} else if (!(record->flags & (SENT_SACKED | SENT_UNSENT | SENT_EVER_RETRANS))) {
		record->transmissions = 0;
		record_set_flags(map, record, (record->flags & ~SENT_LOST) | SENT_UNSENT);
	}
	if (record_pending(record))
		record_made_pending(map, record);
}

struct sent *sendmap_split(struct sendmap *map, struct sent *record, uint32_t at)
{
	struct sent *second;

	ASSERT(seq_lt(record->start, at) && seq_lt(at, record->end));
	ASSERT(!(record->flags & SENT_SACKED));
	second = pool_take(map->pool);
	if (!second)
		return NULL;
	*second = *record;
	second->start = at;
	second->flags &= ~SENT_SYN;
	record->end = at;
	record->flags &= ~(SENT_FIN | SENT_PSH);
	list_insert_before(record->by_seq.next, &second->by_seq);
	list_init(&second->by_time);
	if (list_linked(&record->by_time))
		list_insert_before(record->by_time.next, &second->by_time);
	return second;
}

struct sent *sendmap_next_lost(struct sendmap *map)
{
	struct sent *record;

	if (!map->pending)
		return NULL;
	record = map->lost_hint ? map->lost_hint : sendmap_first(map);
	while (!record_pending(record))
		record = record_next(map, record);
	map->lost_hint = record;
	return record;
}

/* ---- Acknowledgment ------------------------------------------------------------------------- */

/* draft-ietf-ccwg-bbr 4.1.2.3, UpdateRateSample() and IsNewestPacket(). */
static void sample_rate(const struct sent *record, uint32_t end, struct sendmap_result *res)
{
	if (res->sampled && record->time < res->acked_time)
		return;
	if (res->sampled && record->time == res->acked_time && seq_lt(end, res->acked_end))
		return;
	res->sampled = true;
	res->acked_time = record->time;
	res->acked_end = end;
	res->acked_retrans = record->flags & SENT_EVER_RETRANS;
	res->rate.prior_delivered = record->delivered;
	res->rate.tx_in_flight = record->tx_in_flight;
	res->rate.app_limited = record->flags & SENT_APP_LIMITED;
	res->prior_time = record->delivered_time;
	res->send_elapsed = record->time - record->first_sent_time;
	res->lost_then = record->lost_then;
}

/*
 * RFC 8985 6.2 step 2: a segment sent again counts only if the ACK can't be of an earlier
 * transmission: by its timestamp, or because it came sooner than any round trip takes.
 */
static void sample_rack(const struct sent *record, uint32_t end, uint64_t now,
			struct sendmap_result *res)
{
	if (record->flags & SENT_EVER_RETRANS) {
		if (res->echo_ns && res->echo_ns < record->time)
			return;
		if (now - record->time < res->min_rtt_ns)
			return;
	}
	if (!res->rack_acked)
		res->rack_last = record->time;
	if (res->rack_sampled && (record->time < res->rack_time ||
				  (record->time == res->rack_time && seq_lt(end, res->rack_end))))
		return;
	res->rack_sampled = true;
	res->rack_time = record->time;
	res->rack_end = end;
}

/* Of more octets than a segment has; a FIN takes no place in one. */
static uint32_t many_segments(const struct sent *record, uint32_t len)
{
	uint32_t mss = record->mss ? record->mss : len;

	len -= len > 1 && (record->flags & SENT_FIN);
	return (len + mss - 1) / mss;
}

void record_delivered(struct sendmap *map, const struct sent *record, uint32_t end,
		      uint32_t high_sacked, uint64_t now, struct sendmap_result *res)
{
	uint32_t len = end - record->start;

	map->delivered_segs += len <= record->mss ? 1 : many_segments(record, len);
	map->delivered += len;
	map->delivered_time = now;
	res->delivered += len;
	if (record->flags & SENT_UNSENT) /* it did leave, who knows when */
		return;
	sample_rate(record, end, res);
	sample_rack(record, end, now, res);
	map->first_sent_time = res->acked_time;
	if (record->flags & SENT_EVER_RETRANS) {
		res->any_retrans = true;
		return;
	}
	if (record->flags & SENT_MTU_PROBE)
		res->mtu_probe = true;
	if (!res->original || seq_lt(record->start, res->original_start))
		res->original_start = record->start;
	res->original = true;
	/* MUST-18: Karn's algorithm (RFC 6298 section 3): only what was sent once. */
	if (!res->rtt_ns || record->time > res->rtt_time) {
		res->rtt_time = record->time;
		res->rtt_ns = now > record->time ? now - record->time : 1;
	}
	if (!seq_lt(record->start, high_sacked))
		return;
	res->reordered = true;
	if (high_sacked - record->start > res->reorder_bytes)
		res->reorder_bytes = high_sacked - record->start;
}

void sendmap_duplicate(struct sendmap *map, uint32_t mss, uint64_t now, struct sendmap_result *res)
{
	if (map->nxt - map->una - map->told <= mss) /* the first one is missing */
		return;
	map->told += mss;
	map->delivered_segs++;
	map->delivered += mss;
	map->delivered_time = now;
	res->delivered += mss;
}

/*
 * What duplicate ACKs had told of is acknowledged, up to ACK: counted before. One segment, of MSS,
 * filled the hole.
 */
static void told_before(struct sendmap *map, uint32_t ack, uint32_t mss, struct sendmap_result *res)
{
	uint32_t acked = ack - map->una, left = map->nxt - ack, told = map->told, known;

	known = acked > mss ? acked - mss : 0;
	told -= known < told ? known : told;
	/* What is first now is missing, too. */
	left = left > mss ? left - mss : 0;
	told = told < left ? told : left;
	known = map->told - told;
	known = known < acked ? known : acked;
	map->told = told;
	map->delivered_segs -= mss ? known / mss : 0;
	map->delivered -= known;
	res->delivered -= known;
}

void sendmap_ack(struct sendmap *map, uint32_t ack, uint64_t now, struct sendmap_result *res)
{
	struct sent *record;
	uint32_t end, high_sacked, mss = sendmap_first(map)->mss;

	ASSERT(seq_lt(map->una, ack) && seq_leq(ack, map->nxt));
	res->acked += ack - map->una;
	while ((record = sendmap_first(map)) && seq_lt(record->start, ack)) {
		end = seq_min(record->end, ack);
		high_sacked = map->sacked ? map->high_sacked : record->start;
		if (!(record->flags & SENT_SACKED))
			record_delivered(map, record, end, high_sacked, now, res);
		if (record->flags & SENT_SYN)
			res->syn = true;
		if ((record->flags & SENT_FIN) && end == record->end)
			res->fin = true;
		record_uncount(map, record);
		if (end == record->end) {
			record_free(map, record);
		} else {
			record->start = ack;
			record->flags &= ~SENT_SYN;
			record_count(map, record);
		}
	}
	if (map->told)
		told_before(map, ack, mss, res);
	map->una = ack;
	if (!map->sacked)
		map->seen_n = 0;
	res->rack_acked = res->rack_sampled;
}

void sendmap_ack_only(struct sendmap *map, uint64_t min_rtt_ns, uint64_t now,
		      struct rate_sample *told)
{
	struct sent *record = list_first(&map->records, struct sent, by_seq);
	uint32_t len = record_len(record);
	uint64_t ack_elapsed = now - record->delivered_time;
	uint64_t send_elapsed = record->time - record->first_sent_time;
	struct rate_sample rate;

	map->delivered_segs += len <= record->mss ? 1 : many_segments(record, len);
	map->delivered += len;
	map->delivered_time = now;
	map->first_sent_time = record->time;
	if (map->app_limited_until && map->delivered > map->app_limited_until)
		map->app_limited_until = 0;
	rate.delivered = map->delivered - record->delivered;
	rate.interval_ns = ack_elapsed > send_elapsed ? ack_elapsed : send_elapsed;
	rate.app_limited = record->flags & SENT_APP_LIMITED;
	if (rate.interval_ns >= min_rtt_ns && rate_sample_tells(&rate, told)) {
		told->prior_delivered = record->delivered;
		told->delivered = rate.delivered;
		told->interval_ns = rate.interval_ns;
		told->rtt_ns = now > record->time ? now - record->time : 1;
		told->lost = (uint32_t)map->lost_total - record->lost_then;
		told->tx_in_flight = record->tx_in_flight;
		told->app_limited = rate.app_limited;
		told->has_data = true;
	}
	map->lost_hint = map->sack_hint = NULL;
	list_init(&map->records);
	list_init(&map->by_time);
	pool_give(map->pool, record);
	map->una = map->nxt;
	map->seen_n = 0;
}

uint64_t sendmap_ack_syn(struct sendmap *map, uint64_t now)
{
	struct sent *record = list_first(&map->records, struct sent, by_seq);
	uint64_t sent = record->time;

	if (map->records.next != map->records.prev || map->told ||
	    record->flags & ~(SENT_SYN | SENT_APP_LIMITED))
		return 0;
	map->delivered_segs++;
	map->delivered += record_len(record);
	map->delivered_time = now;
	map->first_sent_time = sent;
	record_free(map, record);
	map->una = map->nxt;
	map->seen_n = 0;
	return now > sent ? now - sent : 1;
}

/* draft-ietf-ccwg-bbr 4.1.2.3, GenerateRateSample(). */
void sendmap_rate(struct sendmap *map, uint64_t min_rtt_ns, uint64_t now,
		  struct sendmap_result *res)
{
	uint64_t ack_elapsed;

	if (map->app_limited_until && map->delivered > map->app_limited_until)
		map->app_limited_until = 0;
	res->rate.rtt_ns = res->rtt_ns;
	res->rate.has_data = res->sampled;
	res->rate.interval_ns = 0;
	if (!res->sampled)
		return;
	ack_elapsed = now - res->prior_time;
	res->rate.delivered = map->delivered - res->rate.prior_delivered;
	res->rate.lost = (uint32_t)map->lost_total - res->lost_then;
	/* Bursts get compressed on either way: the longer interval bounds the rate from above. */
	if (ack_elapsed < res->send_elapsed)
		ack_elapsed = res->send_elapsed;
	/* Less than the least round trip cannot be: a retransmission was spurious. */
	if (ack_elapsed >= min_rtt_ns)
		res->rate.interval_ns = ack_elapsed;
}

/* ---- Invariants ----------------------------------------------------------------------------- */

static void check_lists(const struct sendmap *map)
{
	const struct sent *record;
	const struct list *node;
	uint64_t time = 0;
	uint32_t seq = map->una;

	list_for_each (node, &map->by_time) {
		record = container_of(node, struct sent, by_time);
		ASSERT(record_in_network(record));
		ASSERT(record->time >= time);
		time = record->time;
	}
	list_for_each (node, &map->ranges) {
		record = container_of(node, struct sent, by_time);
		ASSERT(record->flags & SENT_SACKED);
		/* No two ranges touch, except that the first may start at una. */
		ASSERT(node->prev == &map->ranges || seq_gt(record->start, seq));
		seq = record->end;
	}
	ASSERT(!map->sacked == list_empty(&map->ranges));
	ASSERT(!map->sacked || map->high_sacked == seq);
}

void sendmap_check(const struct sendmap *map)
{
	struct sendmap sum = { 0 };
	const struct sent *record;
	const struct list *node;
	uint32_t seq = map->una;
	bool lost_hint = !map->lost_hint, sack_hint = !map->sack_hint, before = map->lost_hint;

	list_for_each (node, &map->records) {
		record = container_of(node, struct sent, by_seq);
		ASSERT(record->start == seq && seq_lt(seq, record->end));
		seq = record->end;
		record_count(&sum, record);
		if (record->flags & SENT_SACKED)
			ASSERT(!(record->flags & (SENT_LOST | SENT_RETRANS | SENT_UNSENT)));
		if (record->flags & SENT_UNSENT)
			ASSERT(!(record->flags & (SENT_LOST | SENT_RETRANS)));
		ASSERT(!(record->flags & SENT_RETRANS) || (record->flags & SENT_EVER_RETRANS));
		ASSERT(list_linked(&record->by_time) ==
		       (record_in_network(record) || record_sacked(record)));
		if (record == map->lost_hint) {
			lost_hint = true;
			before = false;
		}
		ASSERT(!before || !record_pending(record));
		sack_hint |= record == map->sack_hint;
	}
	ASSERT(lost_hint && sack_hint);
	ASSERT(list_empty(&map->records) || seq == map->nxt);
	ASSERT(sum.sacked == map->sacked && sum.lost == map->lost && sum.retrans == map->retrans);
	ASSERT(sum.unsent == map->unsent && sum.pending == map->pending);
	ASSERT(!map->told || map->told < map->nxt - map->una);
	check_lists(map);
}
