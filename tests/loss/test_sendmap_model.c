/* SPDX-License-Identifier: MIT */
/*
 * The send map against a scoreboard that keeps one entry for each byte: the same random sends,
 * acknowledgments, SACKs (honest and not), losses, refusals and splits go to both, and after
 * each step every byte, every sum and every result must agree.
 *
 * Without arguments a fixed cut; `test_sendmap_model SEED OPERATIONS` runs one seed as long as
 * wanted.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/seq.h"
#include "loss/sendmap.h"
#include "tests/util/heap.h"

#define BYTES_MAX 400u

struct byte {
	uint32_t rec; /* bytes of one record have the same number, others another */
	uint32_t flags;
	uint16_t mss;
	uint8_t transmissions;
	uint64_t time, delivered, delivered_time, first_sent_time;
	uint32_t tx_in_flight, lost_then;
};

static struct byte bytes[BYTES_MAX]; /* [una, nxt) */
static uint32_t n_bytes, una, nxt, next_rec;
static uint64_t now, delivered, delivered_time, first_sent_time, app_limited_until, lost_total;
static struct sendmap_result want;
static uint64_t newest_time;
static uint32_t newest_end;
static bool newest;
static struct sack_block seen[4];
static uint32_t seen_n;
static struct sendmap map;
static struct prng prng;

static uint32_t below(uint32_t bound)
{
	return (uint32_t)prng_below(&prng, bound);
}

/* ---- The model ------------------------------------------------------------------------------ */

static uint32_t count(uint32_t mask, uint32_t value)
{
	uint32_t i, n = 0;

	for (i = 0; i < n_bytes; i++)
		n += (bytes[i].flags & mask) == value;
	return n;
}

static uint32_t pipe(void)
{
	return n_bytes - count(SENT_SACKED, SENT_SACKED) - count(SENT_LOST, SENT_LOST) -
	       count(SENT_UNSENT, SENT_UNSENT) + count(SENT_RETRANS, SENT_RETRANS);
}

static bool pending(const struct byte *b)
{
	return (b->flags & SENT_UNSENT) || (b->flags & (SENT_LOST | SENT_RETRANS)) == SENT_LOST;
}

/* First and one past the last byte of the record that byte I belongs to. */
static uint32_t rec_start(uint32_t i)
{
	while (i && bytes[i - 1].rec == bytes[i].rec)
		i--;
	return i;
}

static uint32_t rec_end(uint32_t i)
{
	uint32_t rec = bytes[i].rec;

	while (i < n_bytes && bytes[i].rec == rec)
		i++;
	return i;
}

static void model_split(uint32_t i)
{
	uint32_t end = rec_end(i), rec = next_rec++, old = bytes[i].rec, k;

	for (k = i; k < end; k++)
		bytes[k].rec = rec;
	for (k = rec_start(i - 1); k < end; k++)
		if (bytes[k].rec == old)
			bytes[k].flags &= ~(SENT_FIN | SENT_PSH);
		else
			bytes[k].flags &= ~SENT_SYN;
}

static void model_transmit(uint32_t start, uint32_t end, uint32_t prior_pipe)
{
	uint32_t i;

	if (!prior_pipe)
		first_sent_time = delivered_time = now;
	for (i = start; i < end; i++) {
		bytes[i].time = now;
		bytes[i].delivered = delivered;
		bytes[i].delivered_time = delivered_time;
		bytes[i].first_sent_time = first_sent_time;
		bytes[i].lost_then = (uint32_t)lost_total;
		bytes[i].tx_in_flight = pipe();
		if (app_limited_until)
			bytes[i].flags |= SENT_APP_LIMITED;
	}
}

static void model_sent(uint32_t len, uint16_t mss, uint32_t flags)
{
	uint32_t i, prior = pipe(), start = n_bytes;

	n_bytes += len;
	nxt += len;
	for (i = start; i < n_bytes; i++)
		bytes[i] = (struct byte){
			.rec = next_rec, .flags = flags, .mss = mss, .transmissions = 1
		};
	next_rec++;
	model_transmit(start, n_bytes, prior);
}

static void model_resent(uint32_t i)
{
	uint32_t end = rec_end(i), prior = pipe(), k;

	for (k = i; k < end; k++) {
		if (!(bytes[k].flags & SENT_UNSENT))
			bytes[k].flags |= SENT_RETRANS | SENT_EVER_RETRANS;
		bytes[k].flags &= ~(SENT_UNSENT | SENT_APP_LIMITED);
		if (bytes[k].transmissions < 255)
			bytes[k].transmissions++;
	}
	model_transmit(i, end, prior);
}

static void model_delivered(uint32_t i, uint32_t high)
{
	struct byte *b = &bytes[i];
	uint32_t end = una + i + 1;

	delivered++;
	delivered_time = now;
	want.delivered++;
	if (b->flags & SENT_UNSENT)
		return;
	if (!newest || b->time > newest_time ||
	    (b->time == newest_time && seq_gt(end, newest_end))) {
		newest = true;
		newest_time = b->time;
		newest_end = end;
		want.acked_time = b->time;
		want.acked_end = end;
		want.acked_retrans = b->flags & SENT_EVER_RETRANS;
		want.rate.prior_delivered = b->delivered;
		want.rate.tx_in_flight = b->tx_in_flight;
		want.rate.app_limited = b->flags & SENT_APP_LIMITED;
		want.prior_time = b->delivered_time;
		want.send_elapsed = b->time - b->first_sent_time;
		want.lost_then = b->lost_then;
		first_sent_time = b->time;
	}
	if (b->flags & SENT_EVER_RETRANS)
		return;
	if (!want.rtt_ns || b->time > want.rtt_time) {
		want.rtt_time = b->time;
		want.rtt_ns = now > b->time ? now - b->time : 1;
	}
	if (seq_lt(una + i, high))
		want.reordered = true;
}

/* One past the highest SACKed byte, or LOW if there is none. */
static uint32_t model_high(uint32_t low)
{
	uint32_t i;

	for (i = n_bytes; i; i--)
		if (bytes[i - 1].flags & SENT_SACKED)
			return una + i;
	return low;
}

static void model_ack(uint32_t ack)
{
	uint32_t i, k = ack - una, high = model_high(una);

	for (i = 0; i < k; i++)
		if (!(bytes[i].flags & SENT_SACKED))
			model_delivered(i, high);
	if (bytes[0].flags & SENT_SYN)
		want.syn = true;
	if ((bytes[k - 1].flags & SENT_FIN) && ack == nxt)
		want.fin = true;
	want.acked = k;
	if (k < n_bytes && bytes[k].rec == bytes[k - 1].rec)
		for (i = k; i < n_bytes && bytes[i].rec == bytes[k - 1].rec; i++)
			bytes[i].flags &= ~SENT_SYN;
	memmove(bytes, bytes + k, (n_bytes - k) * sizeof(bytes[0]));
	n_bytes -= k;
	una = ack;
	if (!count(SENT_SACKED, SENT_SACKED))
		seen_n = 0;
}

/* Touching SACKed records become one. */
static void model_join(void)
{
	uint32_t i, k, start, end;
	struct byte a, b, merged;

	for (i = 1; i < n_bytes; i++) {
		a = bytes[i - 1];
		b = bytes[i];
		if (!(a.flags & b.flags & SENT_SACKED) || a.rec == b.rec)
			continue;
		start = rec_start(i - 1);
		end = rec_end(i);
		merged = b.time > a.time ? b : a;
		merged.rec = a.rec;
		merged.flags = (a.flags & ~SENT_PSH) | (b.flags & ~SENT_SYN);
		merged.mss = a.mss < b.mss ? a.mss : b.mss;
		merged.transmissions =
			a.transmissions > b.transmissions ? a.transmissions : b.transmissions;
		for (k = start; k < end; k++)
			bytes[k] = merged;
	}
}

static bool model_seen(const struct sack_block *block)
{
	uint32_t i;

	for (i = 0; i < seen_n; i++)
		if (seq_geq(block->start, seen[i].start) && seq_leq(block->end, seen[i].end))
			return true;
	return false;
}

/* Of each record, the segments (SYN apart) that lie wholly in the block. */
static void model_sack(const struct sack_block *block, uint32_t high)
{
	uint32_t i, k, e, len, start, end, low, top;

	for (start = 0; start < n_bytes; start = end) {
		end = rec_end(start);
		if (bytes[start].flags & SENT_SACKED)
			continue;
		low = top = end;
		for (i = start; i < end; i = e) {
			len = i == start && (bytes[i].flags & SENT_SYN) ? 1 : bytes[i].mss;
			e = i + len < end ? i + len : end;
			if (seq_lt(una + i, block->start) || seq_gt(una + e, block->end))
				continue;
			low = low == end ? i : low;
			top = e;
		}
		if (low == end)
			continue;
		if (low > start)
			model_split(low);
		if (top < end)
			model_split(top);
		for (k = low; k < top; k++) {
			model_delivered(k, high);
			want.newly_sacked++;
			bytes[k].flags &= ~(SENT_LOST | SENT_RETRANS | SENT_UNSENT);
			bytes[k].flags |= SENT_SACKED;
		}
	}
	model_join();
}

static void model_mark_lost(uint32_t start)
{
	uint32_t i, end = rec_end(start);

	for (i = start; i < end; i++) {
		if (bytes[i].flags & (SENT_SACKED | SENT_UNSENT) || pending(&bytes[i]))
			continue;
		if (bytes[i].flags & SENT_LOST)
			bytes[i].flags &= ~SENT_RETRANS;
		bytes[i].flags |= SENT_LOST;
		lost_total++;
	}
}

static void model_mark_all_lost(bool forget)
{
	uint32_t i;

	for (i = 0; i < n_bytes; i++) {
		if (bytes[i].flags & SENT_UNSENT || pending(&bytes[i]))
			continue;
		if ((bytes[i].flags & SENT_SACKED) && !forget)
			continue;
		bytes[i].flags &= ~(SENT_SACKED | SENT_RETRANS);
		bytes[i].flags |= SENT_LOST;
		lost_total++;
	}
	if (forget)
		seen_n = 0;
}

/* ---- Comparison ----------------------------------------------------------------------------- */

static void compare_result(const struct sendmap_result *got)
{
	assert_int_equal(got->acked, want.acked);
	assert_int_equal(got->newly_sacked, want.newly_sacked);
	assert_int_equal(got->delivered, want.delivered);
	assert_int_equal(got->rtt_ns, want.rtt_ns);
	assert_int_equal(got->acked_time, want.acked_time);
	assert_int_equal(got->acked_end, want.acked_end);
	assert_int_equal(got->acked_retrans, want.acked_retrans);
	assert_int_equal(got->syn, want.syn);
	assert_int_equal(got->fin, want.fin);
	assert_int_equal(got->reordered, want.reordered);
	assert_int_equal(got->sampled, newest);
	if (!newest) {
		assert_int_equal(got->rate.interval_ns, 0);
		return;
	}
	assert_int_equal(got->rate.prior_delivered, want.rate.prior_delivered);
	assert_int_equal(got->rate.delivered, delivered - want.rate.prior_delivered);
	assert_int_equal(got->rate.tx_in_flight, want.rate.tx_in_flight);
	assert_int_equal(got->rate.app_limited, want.rate.app_limited);
	assert_int_equal(got->rate.lost, (uint32_t)lost_total - want.lost_then);
	assert_int_equal(got->rate.interval_ns, now - want.prior_time > want.send_elapsed
							? now - want.prior_time
							: want.send_elapsed);
}

static void compare_record(const struct sent *record, uint32_t i)
{
	const struct byte *b = &bytes[i];

	assert_int_equal(record->start, una + i);
	assert_int_equal(rec_start(i), i);
	assert_int_equal(record->end, una + rec_end(i));
	assert_int_equal(record->flags, b->flags);
	assert_int_equal(record->mss, b->mss);
	assert_int_equal(record->transmissions, b->transmissions);
	assert_int_equal(record->time, b->time);
	if (b->flags & SENT_SACKED)
		return;
	assert_int_equal(record->delivered, b->delivered);
	assert_int_equal(record->delivered_time, b->delivered_time);
	assert_int_equal(record->first_sent_time, b->first_sent_time);
	assert_int_equal(record->lost_then, b->lost_then);
	assert_int_equal(record->tx_in_flight, b->tx_in_flight);
}

static void compare(void)
{
	struct sent *record;
	struct list *node;
	uint32_t i = 0;

	sendmap_check(&map);
	assert_int_equal(map.una, una);
	assert_int_equal(map.nxt, nxt);
	list_for_each (node, &map.records) {
		record = container_of(node, struct sent, by_seq);
		compare_record(record, i);
		i += record->end - record->start;
	}
	assert_int_equal(i, n_bytes);
	assert_int_equal(map.sacked, count(SENT_SACKED, SENT_SACKED));
	assert_int_equal(map.lost, count(SENT_LOST, SENT_LOST));
	assert_int_equal(map.retrans, count(SENT_RETRANS, SENT_RETRANS));
	assert_int_equal(map.unsent, count(SENT_UNSENT, SENT_UNSENT));
	assert_int_equal(sendmap_pipe(&map), pipe());
	if (map.sacked)
		assert_int_equal(map.high_sacked, model_high(una));
	assert_int_equal(map.delivered, delivered);
	assert_int_equal(map.delivered_time, delivered_time);
	assert_int_equal(map.first_sent_time, first_sent_time);
	assert_int_equal(map.lost_total, lost_total);

	record = sendmap_next_lost(&map);
	for (i = 0; i < n_bytes && !pending(&bytes[i]); i++)
		;
	assert_int_equal(!record, i == n_bytes);
	if (record)
		assert_int_equal(record->start, una + i);
}

/* ---- Operations ----------------------------------------------------------------------------- */

static void op_send(void)
{
	static const uint32_t flags[] = { 0, 0, 0, SENT_PSH, SENT_URG };
	uint16_t mss = (uint16_t)(1 + below(9));
	uint32_t len = below(3) ? mss * (1 + below(5)) : 1 + below(40);
	uint32_t f = flags[below(5)];

	if (n_bytes + len > BYTES_MAX)
		return;
	if (!n_bytes && !below(4))
		f |= SENT_SYN;
	if (!below(50))
		f |= SENT_FIN;
	/* Nothing follows a FIN. */
	if (n_bytes && (bytes[n_bytes - 1].flags & SENT_FIN))
		return;
	model_sent(len, mss, f);
	assert_non_null(sendmap_sent(&map, nxt, mss, f, now));
}

/* Any record that is not SACKed; NULL if the draw finds none. */
static struct sent *any_record(uint32_t *i)
{
	struct sent *record;

	if (!n_bytes)
		return NULL;
	*i = rec_start(below(n_bytes));
	record = sendmap_find(&map, una + *i + below(rec_end(*i) - *i));
	assert_non_null(record);
	assert_int_equal(record->start, una + *i);
	return record->flags & SENT_SACKED ? NULL : record;
}

static void op_split(void)
{
	struct sent *record;
	uint32_t i, at;

	record = any_record(&i);
	if (!record || record->end - record->start < 2)
		return;
	at = 1 + below(record->end - record->start - 1);
	model_split(i + at);
	assert_non_null(sendmap_split(&map, record, record->start + at));
}

static void op_resend(bool next)
{
	struct sent *record;
	uint32_t i, len;

	record = next ? sendmap_next_lost(&map) : any_record(&i);
	if (!record)
		return;
	i = record->start - una;
	len = record->end - record->start;
	if (next && len > record->mss && below(2)) {
		model_split(i + record->mss);
		assert_non_null(sendmap_split(&map, record, record->start + record->mss));
	}
	model_resent(i);
	sendmap_resent(&map, record, now);
}

static void op_refused(void)
{
	struct sent *record;
	uint32_t i, k;

	record = any_record(&i);
	if (!record)
		return;
	for (k = rec_end(i); k-- > i;) {
		if (bytes[k].flags & SENT_RETRANS) {
			bytes[k].flags &= ~SENT_RETRANS;
			bytes[k].transmissions--;
		} else if (!(bytes[k].flags & (SENT_EVER_RETRANS | SENT_UNSENT))) {
			bytes[k].flags &= ~SENT_LOST;
			bytes[k].flags |= SENT_UNSENT;
			bytes[k].transmissions = 0;
		}
	}
	sendmap_refused(&map, record);
}

/* Segments that acknowledge: cumulatively, selectively or both. */
static void op_ack(void)
{
	struct sendmap_result got = { 0 };
	struct sack_block blocks[4];
	uint32_t ack, high, i, n = 0, a, b;
	static struct sack_block again;

	if (!n_bytes)
		return;
	want = (struct sendmap_result){ 0 };
	newest = false;
	if (below(3)) {
		a = below(3) ? rec_end(below(n_bytes)) : 1 + below(n_bytes);
		ack = una + (below(4) ? (a + 3) / 4 : a);
		model_ack(ack);
		sendmap_ack(&map, ack, now, &got);
	}
	high = model_high(una);
	while (n < 4 && n_bytes > 1 && below(4)) {
		a = 1 + below(n_bytes - 1);
		b = a + 1 + below(n_bytes - a);
		/* Mostly what an honest peer reports: from segment to segment; sometimes twice. */
		if (below(5))
			a = bytes[a].rec == bytes[a - 1].rec ? a - (a - rec_start(a)) % bytes[a].mss
							     : a;
		blocks[n] = (struct sack_block){ una + (a ? a : 1), una + b };
		if (!below(4) && seq_gt(again.start, una) && seq_lt(again.start, again.end) &&
		    seq_leq(again.end, nxt))
			blocks[n] = again;
		again = blocks[n++];
	}
	/* The blocks of the segment before bring nothing new, however records were cut since. */
	for (i = 0; i < n; i++)
		if (!model_seen(&blocks[i]))
			model_sack(&blocks[i], high);
	if (n) {
		memcpy(seen, blocks, sizeof(seen));
		seen_n = n;
		sendmap_sack(&map, blocks, n, now, &got);
	}
	sendmap_rate(&map, 0, now, &got);
	if (app_limited_until && delivered > app_limited_until)
		app_limited_until = 0;
	compare_result(&got);
}

static void op_mark(void)
{
	struct sent *record;
	bool forget = below(2);
	uint32_t i;

	switch (below(12)) {
	case 0:
		model_mark_all_lost(forget);
		sendmap_mark_all_lost(&map, forget);
		break;
	case 1:
		for (i = 0; i < n_bytes; i++)
			if (pending(&bytes[i]))
				bytes[i].flags &= ~SENT_LOST;
		sendmap_unmark_lost(&map);
		break;
	case 2:
		sendmap_app_limited(&map);
		app_limited_until = delivered + pipe() ? delivered + pipe() : 1;
		break;
	default:
		record = any_record(&i);
		if (!record)
			break;
		model_mark_lost(i);
		sendmap_mark_lost(&map, record);
	}
}

static void run(uint64_t seed, uint64_t operations)
{
	struct heap heap;
	struct pool pool;
	uint64_t i;

	heap_init(&heap, UINT64_MAX);
	pool_init(&pool, &heap.mem, sizeof(struct sent), 8, UINT32_MAX - 1, 65536);
	prng_seed(&prng, seed);
	n_bytes = seen_n = 0;
	una = nxt = (uint32_t)prng_u64(&prng);
	now = delivered_time = first_sent_time = 1000;
	delivered = app_limited_until = lost_total = 0;
	sendmap_init(&map, &pool, una, now);
	for (i = 0; i < operations; i++) {
		now += below(3) ? below(1000) : 0;
		switch (below(10)) {
		case 0:
		case 1:
		case 2:
			op_send();
			break;
		case 3:
		case 4:
			op_resend(true);
			break;
		case 5:
			below(3) ? op_split() : op_resend(false);
			break;
		case 6:
			below(4) ? op_mark() : op_refused();
			break;
		default:
			op_ack();
		}
		compare();
	}
	sendmap_clear(&map);
	sendmap_check(&map);
	assert_true(sendmap_empty(&map));
	pool_trim(&pool);
	assert_int_equal(pool.in_use, 0);
	pool_destroy(&pool);
	assert_int_equal(heap.slabs, 0);
}

static uint64_t only_seed, only_operations;

static void test_model(void **state)
{
	uint64_t seed;

	(void)state;
	if (only_operations) {
		run(only_seed, only_operations);
		return;
	}
	for (seed = 1; seed <= 40; seed++)
		run(seed, 1000);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
	};

	if (argc == 3) {
		only_seed = strtoull(argv[1], NULL, 0);
		only_operations = strtoull(argv[2], NULL, 0);
	}
	return cmocka_run_group_tests_name("loss/sendmap model", tests, NULL, NULL);
}
