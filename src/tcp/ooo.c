/* SPDX-License-Identifier: MIT */
/*
 * The out-of-order queue (SHLD-31): ranges of sequence space received early, disjoint and in order,
 * bounded in number by OOO_RANGES and in bytes by the window; and the SACK blocks that report them
 * (RFC 2018 section 4).
 */
#include "tcp/tcp.h"

#define OOO_RANGES     256
#define PRUNE	       65536u /* bytes that go at once when memory is short */
#define COLLAPSE_SLACK 16384u /* bytes of memory that a range may waste in any case */

static struct ooo_range *range_of(struct list *pos)
{
	return container_of(pos, struct ooo_range, link);
}

static void range_free(struct tcp *tcp, struct tcb_io *io, struct ooo_range *r)
{
	list_del(&r->link);
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

static struct ooo_range *range_new(struct tcp *tcp, struct tcb_io *io, struct list *before,
				   uint32_t seq)
{
	struct ooo_range *r;

	if (io->ooo_n >= OOO_RANGES)
		return NULL;
	r = pool_alloc(&tcp->oranges, NULL);
	if (!r)
		return NULL;
	r->start = seq;
	r->end = seq;
	r->fin = false;
	r->stamp = 0;
	chunkq_init(&r->data);
	list_insert_before(before, &r->link);
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

/* The first range that ends at SEQ or after it, or the head. The newest data usually is the last.
 */
static struct list *range_find(struct tcb_io *io, uint32_t seq)
{
	struct list *pos = io->ooo.next;

	if (!list_empty(&io->ooo) && seq_gt(seq, range_of(io->ooo.prev)->start))
		pos = io->ooo.prev;
	while (pos != &io->ooo && seq_lt(range_of(pos)->end, seq))
		pos = pos->next;
	return pos;
}

/* The FIN at END: kept behind the range that ends there, or as a range of its own. */
static void add_fin(struct tcp *tcp, struct tcb_io *io, uint32_t end)
{
	struct list *pos = range_find(io, end);
	struct ooo_range *r = pos == &io->ooo ? NULL : range_of(pos);

	if (r && r->fin && r->end == end + 1) { /* again */
		r->stamp = ++io->ooo_stamp;
		return;
	}
	if (r && (r->end != end || r->fin || r->link.next != &io->ooo))
		return; /* something lies beyond it: it is none */
	if (!r)
		r = range_new(tcp, io, &io->ooo, end);
	if (!r)
		return;
	r->fin = true;
	r->end++;
	r->stamp = ++io->ooo_stamp;
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

	r->stamp = ++io->ooo_stamp;
	range_join_next(tcp, io, r);
	if (before && before->end == r->start) {
		before->stamp = r->stamp;
		range_join_next(tcp, io, before);
		r = before;
	}
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
			cur = range_new(tcp, io, pos, seq);
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
		add_fin(tcp, io, end);
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
	uint32_t stamps[TCP_SACK_MAX] = { 0 };
	unsigned n = 0, first;
	struct list *pos;

	if (!io || !tcb_has(tcb, TCB_SACK))
		return 0;
	if (io->dsack.start != io->dsack.end)
		blocks[n++] = io->dsack;
	first = n;
	list_for_each (pos, &io->ooo) {
		const struct ooo_range *r = range_of(pos);
		unsigned i = n;

		/* Insert by stamp, newest first; the rest falls off the end. */
		while (i > first && stamps[i - 1] < r->stamp)
			i--;
		if (i >= TCP_SACK_MAX)
			continue;
		if (n < TCP_SACK_MAX)
			n++;
		for (unsigned j = n - 1; j > i; j--) {
			blocks[j] = blocks[j - 1];
			stamps[j] = stamps[j - 1];
		}
		blocks[i] = (struct tcp_sack){ r->start, r->end };
		stamps[i] = r->stamp;
	}
	return n;
}
