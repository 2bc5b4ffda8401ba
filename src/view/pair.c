/* SPDX-License-Identifier: MIT */
/*
 * Pairing: which two of many snapshots are the two ends of one connection. First by addresses and
 * ports, mirrored; then, for what remains, by sequence numbers, which address translators leave
 * alone (pair_seq.c).
 *
 * Addresses may be anyone's: two containers can have the same ones, a port that is used again
 * leaves an end in TIME-WAIT beside a new one. Where several ends bear the mirrored name, those
 * whose numbers agree are taken, then those of one namespace; where even that leaves a choice,
 * none is: a wrong pair would be a false alarm.
 *
 * Records are hashed, the hashes sorted by radix: O(n), and O(n log n) if somebody made them
 * collide.
 */
#include "view/pairing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/seq.h"

/* Of more ends of one name only those of one namespace, or with telling numbers, are paired. */
#define CROWD 64
/* Numbers that miss each other by less are of one connection, into which somebody put bytes. */
#define NEAR  (1 << 20)

bool pairing_is_connection(const struct cpl_info *i)
{
	if (cpl_info_known(i, CPL_F_protocol) && i->protocol != 6)
		return false;
	if (!cpl_info_known(i, CPL_F_state))
		return true;
	return i->state != CPL_LISTEN && i->state != CPL_CLOSED;
}

void pairing_sort(struct pairing_key *keys, struct pairing_key *spare, size_t n)
{
	size_t count[4][256] = { { 0 } };

	for (size_t i = 0; i < n; i++)
		for (unsigned d = 0; d < 4; d++)
			count[d][keys[i].key >> 8 * d & 255]++;
	for (unsigned d = 0; d < 4; d++) {
		struct pairing_key *swap = keys;
		size_t at = 0;

		for (unsigned k = 0; k < 256; k++) {
			size_t here = count[d][k];

			count[d][k] = at;
			at += here;
		}
		for (size_t i = 0; i < n; i++)
			spare[count[d][keys[i].key >> 8 * d & 255]++] = keys[i];
		keys = spare; /* four times: they are back in the end */
		spare = swap;
	}
}

/* ---- The name of a connection ---------------------------------------------------------------- */

static uint64_t mix(uint64_t h)
{
	h ^= h >> 32;
	h *= 0x9e3779b97f4a7c15u;
	h ^= h >> 29;
	h *= 0xbf58476d1ce4e5b9u;
	return h ^ h >> 32;
}

static uint64_t endpoint_hash(const struct cpl_addr *addr, uint16_t port)
{
	uint64_t half[2];

	memcpy(half, addr->b, sizeof(half));
	return mix(half[0] ^ mix(half[1] + port));
}

/* The same for both ends. */
static uint32_t name_hash(const struct cpl_info *i)
{
	return (uint32_t)mix(endpoint_hash(&i->local_addr, i->local_port) +
			     endpoint_hash(&i->remote_addr, i->remote_port));
}

static int endpoint_order(const struct cpl_addr *a, uint16_t a_port, const struct cpl_addr *b,
			  uint16_t b_port)
{
	int r = memcmp(a->b, b->b, sizeof(a->b));

	return r ? r : (a_port > b_port) - (a_port < b_port);
}

static int low_order(const struct pairing_end *a, const struct pairing_end *b, bool low)
{
	const struct cpl_info *x = a->last, *y = b->last;
	bool x_local = a->low == low, y_local = b->low == low;

	return endpoint_order(x_local ? &x->local_addr : &x->remote_addr,
			      x_local ? x->local_port : x->remote_port,
			      y_local ? &y->local_addr : &y->remote_addr,
			      y_local ? y->local_port : y->remote_port);
}

/* 0: the 4-tuples are the same, or each other's mirror. */
static int name_order(const struct pairing_end *a, const struct pairing_end *b)
{
	int r = low_order(a, b, true);

	return r ? r : low_order(a, b, false);
}

static int by_name(const void *pa, const void *pb)
{
	const struct pairing_end *a = *(struct pairing_end *const *)pa;
	const struct pairing_end *b = *(struct pairing_end *const *)pb;
	int r = name_order(a, b);

	return r ? r : (a->index > b->index) - (a->index < b->index);
}

/* An end that is connected to itself: a simultaneous open of one socket. */
static bool is_own_peer(const struct cpl_info *i)
{
	return cpl_addr_equal(&i->local_addr, &i->remote_addr) && i->local_port == i->remote_port;
}

static bool is_loopback(const struct cpl_addr *a)
{
	static const struct cpl_addr one = { { [15] = 1 } };

	return cpl_addr_is4(a) ? a->b[12] == 127 : cpl_addr_equal(a, &one);
}

/* ---- Which of several ------------------------------------------------------------------------ */

bool pairing_same_place(const struct pairing_end *a, const struct pairing_end *b)
{
	return a->host == b->host &&
	       (!cpl_info_known(a->last, CPL_F_netns) || !cpl_info_known(b->last, CPL_F_netns) ||
		a->last->netns == b->last->netns);
}

/* How far what B received is from what A sent, in either kind of number; -1: not known. */
static int64_t seq_distance(const struct pairing_end *a, const struct pairing_end *b)
{
	const struct cpl_info *x1 = a->first, *x2 = a->last, *y1 = b->first, *y2 = b->last;

	if (!cpl_info_known(x1, CPL_F_snd_una) || !cpl_info_known(x2, CPL_F_snd_nxt) ||
	    !cpl_info_known(y1, CPL_F_rcv_nxt) || !cpl_info_known(y2, CPL_F_rcv_nxt))
		return -1;
	if (seq_lt(y2->rcv_nxt, x1->snd_una))
		return (int64_t)(x1->snd_una - y2->rcv_nxt);
	if (seq_gt(y1->rcv_nxt, x2->snd_nxt))
		return (int64_t)(y1->rcv_nxt - x2->snd_nxt);
	return 0;
}

static int64_t count_distance(const struct pairing_end *a, const struct pairing_end *b)
{
	const struct cpl_info *x1 = a->first, *x2 = a->last, *y1 = b->first, *y2 = b->last;
	uint64_t sent;

	if (!cpl_info_known(x1, CPL_F_bytes_acked) || !cpl_info_known(x2, CPL_F_bytes_sent) ||
	    !cpl_info_known(x2, CPL_F_bytes_retrans) || !cpl_info_known(y1, CPL_F_bytes_received) ||
	    !cpl_info_known(y2, CPL_F_bytes_received))
		return -1;
	sent = x2->bytes_sent - x2->bytes_retrans;
	if (y2->bytes_received < x1->bytes_acked)
		return (int64_t)((x1->bytes_acked - y2->bytes_received) & INT64_MAX);
	if (y1->bytes_received > sent)
		return (int64_t)((y1->bytes_received - sent) & INT64_MAX);
	return 0;
}

static enum pairing_fit judge(int64_t ab, int64_t ba, enum pairing_fit good, uint64_t *distance)
{
	*distance = (uint64_t)ab + (uint64_t)ba;
	return ab < NEAR && ba < NEAR ? good : PAIRING_FAR;
}

static enum pairing_fit fit(const struct pairing_end *a, const struct pairing_end *b,
			    uint64_t *distance)
{
	uint32_t a_sends, a_receives, b_sends, b_receives;
	int64_t ab = seq_distance(a, b), ba = seq_distance(b, a);

	*distance = 0;
	if (pairing_birth(a, &a_sends, &a_receives) && pairing_birth(b, &b_sends, &b_receives)) {
		if (!seq_in(a_sends, b_receives - PAIRING_BIRTH, 2 * PAIRING_BIRTH + 1) ||
		    !seq_in(b_sends, a_receives - PAIRING_BIRTH, 2 * PAIRING_BIRTH + 1))
			return PAIRING_FAR;
		return PAIRING_BORN;
	}
	if (ab >= 0 && ba >= 0)
		return judge(ab, ba, PAIRING_FITS, distance);
	ab = count_distance(a, b);
	ba = count_distance(b, a);
	if (ab >= 0 && ba >= 0)
		return judge(ab, ba, PAIRING_COUNTS, distance);
	return PAIRING_UNKNOWN;
}

enum pairing_fit pairing_fit(const struct pairing_end *a, const struct pairing_end *b)
{
	uint64_t distance;

	return fit(a, b, &distance);
}

#define NEVER	 UINT64_MAX
#define RANK_FAR 8
/* Numbers that contradict each other are no hindrance when all else is paired. */
#define NOT_FAR	 ((uint64_t)RANK_FAR << 56)

/* Less is better; NEVER: not at all. */
static uint64_t cost(const struct pairing_end *a, const struct pairing_end *b)
{
	/* By fit, in one place and in two. */
	static const uint8_t rank[][2] = {
		[PAIRING_BORN] = { 0, 1 },
		[PAIRING_FITS] = { 2, 3 },
		[PAIRING_COUNTS] = { 4, 6 },
		[PAIRING_UNKNOWN] = { 5, 7 },
		[PAIRING_FAR] = { RANK_FAR, RANK_FAR + 1 },
	};
	bool apart = !pairing_same_place(a, b);
	uint64_t distance, r;

	if (a->paired || b->paired || a->low == b->low)
		return NEVER;
	if (apart && (is_loopback(&a->last->local_addr) || is_loopback(&a->last->remote_addr)))
		return NEVER;
	r = rank[fit(a, b, &distance)][apart];
	return r << 56 | (distance < (uint64_t)1 << 55 ? distance : (uint64_t)1 << 55);
}

void pairing_join(struct pairing *p, struct pairing_end *a, struct pairing_end *b,
		  enum view_paired_by by)
{
	a->paired = b->paired = true;
	p->peer[a->index] = b->index;
	p->peer[b->index] = a->index;
	p->by[a->index] = p->by[b->index] = (uint8_t)by;
}

/* The one of E[0..N) that suits E[I] best; N: none, or not only one. */
static size_t best_of(struct pairing_end *const *e, size_t n, size_t i, uint64_t limit)
{
	uint64_t least = limit, c;
	size_t best = n;

	for (size_t j = 0; j < n; j++) {
		c = j == i ? NEVER : cost(e[i], e[j]);
		if (c < least) {
			least = c;
			best = j;
		} else if (c == least && best != n) {
			best = n; /* a tie: only better ones may break it */
		}
	}
	return best;
}

/* Joins those that suit each other best, until nobody is left who does. */
static void pair_few(struct pairing *p, struct pairing_end *const *e, size_t n, uint64_t limit)
{
	bool more = true;

	while (more) {
		more = false;
		for (size_t i = 0; i < n; i++) {
			size_t j = e[i]->paired ? n : best_of(e, n, i, limit);

			if (j == n || best_of(e, n, j, limit) != i)
				continue;
			pairing_join(p, e[i], e[j], VIEW_BY_ADDRESS);
			more = true;
		}
	}
}

/* Those that had a choice are not alone: it is only not known who their other end is. */
static void mark_undecided(struct pairing *p, struct pairing_end *const *e, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; !e[i]->paired && p->by[e[i]->index] == VIEW_BY_NONE && j < n;
		     j++)
			if (n > CROWD ? e[j]->low != e[i]->low : cost(e[i], e[j]) != NEVER)
				p->by[e[i]->index] = VIEW_BY_SEVERAL;
}

static int by_place(const void *pa, const void *pb)
{
	const struct pairing_end *a = *(struct pairing_end *const *)pa;
	const struct pairing_end *b = *(struct pairing_end *const *)pb;

	if (a->host != b->host)
		return a->host - b->host;
	if (a->last->netns != b->last->netns)
		return a->last->netns < b->last->netns ? -1 : 1;
	return (a->index > b->index) - (a->index < b->index);
}

/* E[0..N) have one name. */
static void pair_group(struct pairing *p, struct pairing_end **e, size_t n, uint64_t limit)
{
	if (n <= CROWD) {
		pair_few(p, e, n, limit);
		if (limit == NEVER)
			mark_undecided(p, e, n);
		return;
	}
	/* Many namespaces with the same addresses: each by itself, if that explains the numbers. */
	qsort(e, n, sizeof(*e), by_place);
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n && end - i < CROWD && e[end]->host == e[i]->host &&
				  e[end]->last->netns == e[i]->last->netns;
		     end++)
			;
		pair_few(p, e + i, end - i, limit);
	}
	if (limit == NEVER)
		mark_undecided(p, e, n);
}

/* ---- All of them ----------------------------------------------------------------------------- */

/* The ends of one hash: mostly two, of one name; anything if somebody made them collide. */
static void pair_hash(struct pairing *p, struct pairing_end **e, size_t n, uint64_t limit)
{
	if (n == 1)
		return;
	if (n > 2)
		qsort(e, n, sizeof(*e), by_name);
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n && name_order(e[i], e[end]) == 0; end++)
			;
		if (end - i > 1)
			pair_group(p, e + i, end - i, limit);
	}
}

static size_t take_connections(struct pairing *p, struct pairing_key *keys)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++) {
		struct pairing_end *e = &p->end[n];
		const struct cpl_info *info = p->end[i].last;

		if (!pairing_is_connection(info))
			continue;
		*e = p->end[i];
		e->low = endpoint_order(&info->local_addr, info->local_port, &info->remote_addr,
					info->remote_port) <= 0;
		e->paired = is_own_peer(info);
		if (e->paired) {
			p->peer[e->index] = e->index;
			p->by[e->index] = VIEW_BY_ADDRESS;
		}
		keys[n] = (struct pairing_key){ name_hash(info), (uint32_t)n };
		n++;
	}
	return n;
}

/* E: all ends, KEYS: their hashes, both in order of the hash. */
static void pair_by_address(struct pairing *p, struct pairing_end **e,
			    const struct pairing_key *keys, uint64_t limit)
{
	for (size_t i = 0, end; i < p->n; i = end) {
		for (end = i + 1; end < p->n && keys[end].key == keys[i].key; end++)
			;
		pair_hash(p, e + i, end - i, limit);
	}
}

int pairing_run(struct pairing_end *ends, size_t n, uint32_t *peer, uint8_t *by, size_t indices)
{
	struct pairing p = { .end = ends, .n = n, .peer = peer, .by = by };
	size_t room = n ? n : 1;
	struct pairing_key *keys = malloc(2 * room * sizeof(*keys));
	struct pairing_end **e = malloc(room * sizeof(*e));
	int err = -ENOMEM;

	memset(peer, 0xff, indices * sizeof(*peer));
	memset(by, VIEW_BY_NONE, indices);
	if (keys && e) {
		p.n = take_connections(&p, keys);
		pairing_sort(keys, keys + room, p.n);
		for (size_t i = 0; i < p.n; i++)
			e[i] = &p.end[keys[i].at];
		pair_by_address(&p, e, keys, NOT_FAR);
		err = pairing_by_numbers(&p);
		if (!err)
			pair_by_address(&p, e, keys, NEVER);
	}
	free(keys);
	free(e);
	return err;
}

/* The end that called comes first. */
static bool called(const struct cpl_info *a, const struct cpl_info *b)
{
	bool a_knows = cpl_info_known(a, CPL_F_passive), b_knows = cpl_info_known(b, CPL_F_passive);

	if (a_knows && b_knows && a->passive != b->passive)
		return !a->passive;
	if (a_knows != b_knows)
		return a_knows ? !a->passive : b->passive;
	return true;
}

long pairing_list(const uint32_t *peer, const uint8_t *by, size_t indices,
		  const struct cpl_info *(*last)(const void *arg, size_t index), const void *arg,
		  struct view_pair **pairs)
{
	struct view_pair *list = malloc((indices ? indices : 1) * sizeof(*list));
	size_t n = 0;

	if (!list)
		return -ENOMEM;
	for (size_t x = 0; x < indices; x++) {
		const struct cpl_info *info = last(arg, x), *other;
		size_t y = peer[x];

		if (!info || !pairing_is_connection(info))
			continue;
		other = y == UINT32_MAX ? NULL : last(arg, y);
		if (!other) {
			list[n++] = (struct view_pair){ x, VIEW_ALONE, (enum view_paired_by)by[x] };
			continue;
		}
		/* Of two that both seem to have called, the first in the set. */
		if (x != y &&
		    (called(info, other) == called(other, info) ? y < x : called(other, info)))
			continue;
		list[n++] = (struct view_pair){ x, y, (enum view_paired_by)by[x] };
	}
	*pairs = list;
	return (long)n;
}

static const struct cpl_info *info_at(const void *arg, size_t index)
{
	return (const struct cpl_info *)arg + index;
}

long view_pairs(const struct cpl_info *infos, size_t n, struct view_pair **pairs)
{
	struct pairing_end *ends = calloc(n ? n : 1, sizeof(*ends));
	uint32_t *peer = malloc((n ? n : 1) * sizeof(*peer));
	uint8_t *by = malloc(n ? n : 1);
	long r = -ENOMEM;

	if (ends && peer && by) {
		for (size_t i = 0; i < n; i++)
			ends[i] = (struct pairing_end){ .first = &infos[i],
							.last = &infos[i],
							.index = (uint32_t)i };
		if (pairing_run(ends, n, peer, by, n) == 0)
			r = pairing_list(peer, by, n, info_at, infos, pairs);
	}
	free(ends);
	free(peer);
	free(by);
	return r;
}
