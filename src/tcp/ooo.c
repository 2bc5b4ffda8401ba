/* SPDX-License-Identifier: MIT */
/*
 * The out-of-order queue (SHLD-31): ranges of sequence space received early, disjoint and in order,
 * bounded in number by the receive buffer and in bytes by the window; and the SACK blocks that
 * report them (RFC 2018 section 4).
 *
 * A slow start that overshoots has every other segment lost: thousands of ranges, all of which must
 * be kept, or what was received is sent again. Where a segment belongs is looked for from the ends
 * and from the ranges that changed last, at most WALK_MAX steps, so that a peer that jumps about
 * cannot make it dear; new data and retransmissions in order find their place in a step or two.
 */
#include "tcp/tcp.h"

#define OOO_RANGES     256  /* kept in any case; more, if ... */
#define RANGE_BUFFER   512u /* ... the receive buffer has so many bytes for each */
#define WALK_MAX       4096u
#define RECENT	       4u     /* ranges that changed last, looked at as a start */
#define PRUNE	       65536u /* bytes that go at once when memory is short */
#define COLLAPSE_SLACK 16384u /* bytes of memory that a range may waste in any case */

static struct ooo_range *range_of(struct list *pos)
{
	return container_of(pos, struct ooo_range, link);
}

static void range_free(struct tcp *tcp, struct tcb_io *io, struct ooo_range *r)
{
	list_del(&r->link);
	list_del(&r->recent);
	if (io->ooo_fill == r)
		io->ooo_fill = NULL;
	io->ooo_n--;
	io->ooo_bytes -= r->end - r->start;
	chunkq_clear(&r->data, tcp->chunks);
	pool_free(&tcp->oranges, r);
}

void ooo_clear(struct tcp *tcp, struct tcb_io *io)
{
	while (!list_empty(&io->ooo))
		range_free(tcp, io, range_of(io->ooo.next));
}

/* Append LEN octets to R; all or nothing. */
static bool range_append(struct tcp *tcp, struct tcb_io *io, struct ooo_range *r,
			 const struct seg_in *in, const uint8_t *data, uint32_t len)
{
	uint64_t before = r->data.bytes;
	bool ok;

	if (lend_worth(in, len))
		ok = chunkq_append_ref(&r->data, tcp->chunks, in->lent,
				       in->lent_off + (uint32_t)(data - in->tcp.data), len);
	else
		ok = chunkq_append(&r->data, tcp->chunks, data, len) == len;
	if (!ok) {
		chunkq_trim(&r->data, tcp->chunks, r->data.bytes - before);
		return false;
	}
	r->end += len;
	io->ooo_bytes += len;
	return true;
}

/* The range that begins where R ends joins it. */
static void range_join_next(struct tcp *tcp, struct tcb_io *io, struct ooo_range *r)
{
	struct ooo_range *next;

	if (r->link.next == &io->ooo)
		return;
	next = range_of(r->link.next);
	if (next->start != r->end)
		return;
	chunkq_splice(&r->data, &next->data);
	io->ooo_bytes += next->end - next->start;
	r->end = next->end;
	r->fin |= next->fin;
	range_free(tcp, io, next);
}

static struct ooo_range *range_new(struct tcp *tcp, struct tcb *tcb, struct list *before,
				   uint32_t seq)
{
	struct tcb_io *io = tcb->io;
	struct ooo_range *r;

	if (io->ooo_n >= OOO_RANGES && io->ooo_n >= tcb->rcvbuf / RANGE_BUFFER)
		return NULL;
	r = pool_alloc(&tcp->oranges, NULL);
	if (!r)
		return NULL;
	r->start = seq;
	r->end = seq;
	r->fin = false;
	chunkq_init(&r->data);
	list_insert_before(before, &r->link);
	list_push_front(&io->ooo_recent, &r->recent);
	io->ooo_n++;
	return r;
}

void dsack_note(struct tcb *tcb, uint32_t start, uint32_t end)
{
	struct tcp_sack *dsack = &tcb->io->dsack;

	if (!tcb_has(tcb, TCB_SACK))
		return;
	if (dsack->start == dsack->end)
		*dsack = (struct tcp_sack){ start, end };
	else if (dsack->end == start)
		dsack->end = end;
}

/* It changed: it is reported first. */
static void range_touch(struct tcb_io *io, struct ooo_range *r)
{
	list_del(&r->recent);
	list_push_front(&io->ooo_recent, &r->recent);
}

/* How far R is from SEQ, whichever way. */
static uint32_t distance(const struct ooo_range *r, uint32_t seq)
{
	if (seq_lt(seq, r->start))
		return r->start - seq;
	return seq_gt(seq, r->end) ? seq - r->end : 0;
}

/* The nearest of the ends, of where holes are filled and of those that changed last; there is one.
 */
static struct ooo_range *range_near(struct tcb_io *io, uint32_t seq)
{
	struct ooo_range *best = range_of(io->ooo.next), *r = range_of(io->ooo.prev);
	struct list *pos = io->ooo_recent.next;

	if (distance(r, seq) < distance(best, seq))
		best = r;
	if (io->ooo_fill && distance(io->ooo_fill, seq) < distance(best, seq))
		best = io->ooo_fill;
	for (unsigned i = 0; i < RECENT && pos != &io->ooo_recent; i++, pos = pos->next) {
		r = container_of(pos, struct ooo_range, recent);
		if (distance(r, seq) < distance(best, seq))
			best = r;
	}
	return best;
}

/* The first range that ends at SEQ or after it, or the head; NULL: too far to look. */
static struct list *range_find(struct tcb_io *io, uint32_t seq)
{
	struct list *pos = &io->ooo;
	unsigned walk = WALK_MAX;

	if (list_empty(&io->ooo))
		return pos;
	pos = &range_near(io, seq)->link;
	while (walk && pos->prev != &io->ooo && seq_geq(range_of(pos->prev)->end, seq)) {
		pos = pos->prev;
		walk--;
	}
	while (walk && pos != &io->ooo && seq_lt(range_of(pos)->end, seq)) {
		pos = pos->next;
		walk--;
	}
	return walk ? pos : NULL;
}

/* The FIN at END: kept behind the range that ends there, or as a range of its own. */
static void add_fin(struct tcp *tcp, struct tcb *tcb, uint32_t end)
{
	struct tcb_io *io = tcb->io;
	struct list *pos = range_find(io, end);
	struct ooo_range *r = !pos || pos == &io->ooo ? NULL : range_of(pos);

	if (!pos)
		return;
	if (r && r->fin && r->end == end + 1) { /* again */
		range_touch(io, r);
		return;
	}
	if (r && (r->end != end || r->fin || r->link.next != &io->ooo))
		return; /* something lies beyond it: it is none */
	if (!r)
		r = range_new(tcp, tcb, &io->ooo, end);
	if (!r)
		return;
	r->fin = true;
	r->end++;
	range_touch(io, r);
	io->ooo_bytes++;
}

/* Many small chunks become few: what R keeps in memory stays in proportion to what it holds. */
static void range_collapse(struct tcp *tcp, struct ooo_range *r)
{
	struct chunkq packed;
	uint8_t part[1024];

	if (r->data.memory <= 4 * r->data.bytes + COLLAPSE_SLACK)
		return;
	chunkq_init(&packed);
	while (packed.bytes < r->data.bytes) {
		size_t n = chunkq_copy(&r->data, packed.bytes, part, sizeof(part));

		if (chunkq_append(&packed, tcp->chunks, part, n) != n) {
			chunkq_clear(&packed, tcp->chunks);
			return;
		}
	}
	chunkq_clear(&r->data, tcp->chunks);
	chunkq_splice(&r->data, &packed);
}

static void join_around(struct tcp *tcp, struct tcb_io *io, struct ooo_range *r)
{
	struct ooo_range *before = r->link.prev == &io->ooo ? NULL : range_of(r->link.prev);

	range_touch(io, r);
	range_join_next(tcp, io, r);
	if (before && before->end == r->start) {
		range_touch(io, before);
		range_join_next(tcp, io, before);
		r = before;
	}
	if (r->link.next != &io->ooo)
		io->ooo_fill = r;
	range_collapse(tcp, r);
}

/*
 * Walk the ranges, adding what is new of [seq, end) in the gaps between them. What is there already
 * stays as it came first: an overlap cannot change data.
 */
bool ooo_add(struct tcp *tcp, struct tcb *tcb, uint32_t seq, const struct seg_in *in,
	     const uint8_t *data, uint32_t len, bool fin)
{
	struct tcb_io *io = tcb->io;
	struct list *pos = range_find(io, seq);
	struct ooo_range *cur = NULL;
	uint32_t end = seq + len, stop;

	if (!pos)
		return false;
	while (seq_lt(seq, end)) {
		struct ooo_range *r = pos == &io->ooo ? NULL : range_of(pos);

		if (r && seq_leq(r->start, seq)) {
			stop = seq_min(r->end, end);
			if (seq_lt(seq, stop)) {
				dsack_note(tcb, seq, stop);
				data += stop - seq;
				seq = stop;
			}
			if (cur && cur->end == r->start)
				range_join_next(tcp, io, cur);
			else
				cur = r;
			if (cur->fin)
				break; /* nothing lies beyond a FIN */
			pos = cur->link.next;
			continue;
		}
		stop = r ? seq_min(r->start, end) : end;
		if (!cur || cur->end != seq)
			cur = range_new(tcp, tcb, pos, seq);
		if (!cur)
			return false;
		if (!range_append(tcp, io, cur, in, data, stop - seq)) {
			if (cur->start == cur->end)
				range_free(tcp, io, cur);
			else
				join_around(tcp, io, cur);
			return false;
		}
		data += stop - seq;
		seq = stop;
	}
	if (cur)
		join_around(tcp, io, cur);
	if (fin)
		add_fin(tcp, tcb, end);
	return true;
}

bool ooo_prune(struct tcp *tcp, struct tcb_io *io)
{
	struct ooo_range *r = list_empty(&io->ooo) ? NULL : range_of(io->ooo.prev);

	if (!r)
		return false;
	if (r->data.bytes <= PRUNE) {
		range_free(tcp, io, r);
		return true;
	}
	chunkq_trim(&r->data, tcp->chunks, PRUNE);
	r->end -= PRUNE + r->fin;
	io->ooo_bytes -= PRUNE + r->fin;
	r->fin = false;
	return true;
}

bool ooo_deliver(struct tcp *tcp, struct tcb *tcb)
{
	struct tcb_io *io = tcb->io;

	while (!list_empty(&io->ooo)) {
		struct ooo_range *r = range_of(io->ooo.next);
		uint32_t have = tcb->rcv_nxt - r->start;
		bool fin = r->fin;

		if (seq_gt(r->start, tcb->rcv_nxt))
			break;
		if (have)
			dsack_note(tcb, r->start, seq_min(r->end - fin, tcb->rcv_nxt));
		if (seq_gt(r->end - fin, tcb->rcv_nxt)) {
			chunkq_drop(&r->data, tcp->chunks, have);
			tcb->rcv_nxt = r->end - fin;
			chunkq_splice(&io->rcvq, &r->data);
		}
		fin = fin && r->end - 1 == tcb->rcv_nxt;
		range_free(tcp, io, r);
		if (fin)
			return true;
	}
	return false;
}

/* RFC 2018 4: the range that changed last comes first; RFC 2883 4: a DSACK before all. */
unsigned ooo_sack_blocks(const struct tcb *tcb, struct tcp_sack blocks[TCP_SACK_MAX])
{
	const struct tcb_io *io = tcb->io;
	struct list *pos;
	unsigned n = 0;

	if (!io || !tcb_has(tcb, TCB_SACK))
		return 0;
	if (io->dsack.start != io->dsack.end)
		blocks[n++] = io->dsack;
	list_for_each (pos, &io->ooo_recent) {
		const struct ooo_range *r = container_of(pos, struct ooo_range, recent);

		if (n == TCP_SACK_MAX)
			break;
		blocks[n++] = (struct tcp_sack){ r->start, r->end };
	}
	return n;
}
