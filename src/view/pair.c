/* SPDX-License-Identifier: MIT */
/*
 * Pairing: which two of many snapshots are the two ends of one connection. First by addresses and
 * ports, then, for what remains, by sequence numbers, which address translators leave alone. Both
 * steps sort: the cost is O(n log n) whatever the input.
 */
#include "view/pair.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/seq.h"

struct tuple {
	struct cpl_addr addr[2];
	uint16_t port[2];
};

/* An end that can be paired. The tuple is the same for both ends of a connection. */
struct candidate {
	struct tuple key;
	size_t index;
	bool low; /* its local endpoint is the lower of the two */
	bool paired;
	const struct cpl_info *info;
};

/* How many candidates one end is compared with at most, when many share a key. */
#define CROWD 64

static bool is_connection(const struct cpl_info *i)
{
	if (cpl_info_known(i, CPL_F_protocol) && i->protocol != 6)
		return false;
	if (!cpl_info_known(i, CPL_F_state))
		return true;
	return i->state != CPL_LISTEN && i->state != CPL_CLOSED;
}

static int endpoint_order(const struct cpl_addr *a, uint16_t a_port, const struct cpl_addr *b,
			  uint16_t b_port)
{
	int r = memcmp(a->b, b->b, sizeof(a->b));

	return r ? r : (a_port > b_port) - (a_port < b_port);
}

static void candidate_init(struct candidate *c, const struct cpl_info *info, size_t index)
{
	int order = endpoint_order(&info->local_addr, info->local_port, &info->remote_addr,
				   info->remote_port);
	unsigned local = order > 0;

	c->key.addr[local] = info->local_addr;
	c->key.port[local] = info->local_port;
	c->key.addr[!local] = info->remote_addr;
	c->key.port[!local] = info->remote_port;
	c->index = index;
	c->low = !local;
	c->paired = false;
	c->info = info;
}

static int key_order(const struct candidate *a, const struct candidate *b)
{
	int r = endpoint_order(&a->key.addr[0], a->key.port[0], &b->key.addr[0], b->key.port[0]);

	return r ? r
		 : endpoint_order(&a->key.addr[1], a->key.port[1], &b->key.addr[1], b->key.port[1]);
}

static int by_key(const void *pa, const void *pb)
{
	const struct candidate *a = pa, *b = pb;
	int r = key_order(a, b);

	return r ? r : (a->index > b->index) - (a->index < b->index);
}

/* How far RCV_NXT of the receiver is from what the sender may have there; 0: inside. -1: unknown.
 */
static int64_t seq_distance(const struct cpl_info *from, const struct cpl_info *to)
{
	if (!cpl_info_known(from, CPL_F_snd_una) || !cpl_info_known(from, CPL_F_snd_nxt) ||
	    !cpl_info_known(to, CPL_F_rcv_nxt))
		return -1;
	if (seq_lt(to->rcv_nxt, from->snd_una))
		return (int64_t)(from->snd_una - to->rcv_nxt);
	if (seq_gt(to->rcv_nxt, from->snd_nxt))
		return (int64_t)(to->rcv_nxt - from->snd_nxt);
	return 0;
}

/* Less is better. Unknown numbers neither speak for nor against. */
static int64_t mismatch(const struct cpl_info *a, const struct cpl_info *b)
{
	int64_t ab = seq_distance(a, b), ba = seq_distance(b, a);

	return (ab < 0 ? 0 : ab) + (ba < 0 ? 0 : ba);
}

/* An end that is connected to itself: a simultaneous open of one socket. */
static bool is_own_peer(const struct cpl_info *i)
{
	return cpl_addr_equal(&i->local_addr, &i->remote_addr) && i->local_port == i->remote_port;
}

struct result {
	struct view_pair *pairs;
	size_t n;
};

static void result_add(struct result *r, const struct cpl_info *infos, size_t a, size_t b,
		       enum view_paired_by by)
{
	size_t x = a < b ? a : b;
	size_t y = a < b ? b : a;

	/* The end that called comes first. */
	if (y != VIEW_ALONE && x != y && cpl_info_known(&infos[x], CPL_F_passive) &&
	    infos[x].passive && !(cpl_info_known(&infos[y], CPL_F_passive) && infos[y].passive)) {
		size_t swap = x;

		x = y;
		y = swap;
	}
	r->pairs[r->n++] = (struct view_pair){ x, y, by };
}

/* The candidates C[0..N) have one key: match those of one side with those of the other. */
static void pair_group(struct candidate *c, size_t n, const struct cpl_info *infos,
		       struct result *r)
{
	for (size_t i = 0; i < n; i++) {
		struct candidate *best = NULL;
		int64_t least = INT64_MAX;
		size_t end = n - i > CROWD ? i + CROWD : n;

		if (c[i].paired)
			continue;
		if (is_own_peer(c[i].info)) {
			c[i].paired = true;
			result_add(r, infos, c[i].index, c[i].index, VIEW_BY_ADDRESS);
			continue;
		}
		for (size_t j = i + 1; j < end; j++) {
			if (c[j].paired || c[j].low == c[i].low)
				continue;
			if (mismatch(c[i].info, c[j].info) < least) {
				least = mismatch(c[i].info, c[j].info);
				best = &c[j];
			}
		}
		if (best) {
			c[i].paired = best->paired = true;
			result_add(r, infos, c[i].index, best->index, VIEW_BY_ADDRESS);
		}
	}
}

/* ---- By sequence numbers --------------------------------------------------------------------- */

static int by_rcv_nxt(const void *pa, const void *pb)
{
	const struct candidate *a = *(struct candidate *const *)pa;
	const struct candidate *b = *(struct candidate *const *)pb;

	if (a->info->rcv_nxt != b->info->rcv_nxt)
		return a->info->rcv_nxt < b->info->rcv_nxt ? -1 : 1;
	return (a->index > b->index) - (a->index < b->index);
}

static bool has_numbers(const struct cpl_info *i)
{
	return cpl_info_known(i, CPL_F_snd_una) && cpl_info_known(i, CPL_F_snd_nxt) &&
	       cpl_info_known(i, CPL_F_rcv_nxt) && i->state >= CPL_SYN_RECEIVED;
}

/* Initial numbers are drawn at random: two that match are as good as a name. */
static bool same_birth(const struct cpl_info *a, const struct cpl_info *b)
{
	return cpl_info_known(a, CPL_F_iss) && cpl_info_known(a, CPL_F_irs) &&
	       cpl_info_known(b, CPL_F_iss) && cpl_info_known(b, CPL_F_irs) && a->iss == b->irs &&
	       a->irs == b->iss;
}

static bool endpoint_equal(const struct cpl_addr *a, uint16_t a_port, const struct cpl_addr *b,
			   uint16_t b_port)
{
	return a_port == b_port && cpl_addr_equal(a, b);
}

/*
 * Can these be two ends behind a translator? Besides numbers that fit, one endpoint must have the
 * same name on both sides, or the windows be so small that chance is ruled out.
 */
static bool fits_by_numbers(const struct cpl_info *a, const struct cpl_info *b)
{
	if (seq_distance(a, b) != 0 || seq_distance(b, a) != 0)
		return false;
	if (same_birth(a, b))
		return true;
	if (cpl_info_known(a, CPL_F_iss) && cpl_info_known(b, CPL_F_irs) && a->iss != b->irs)
		return false;
	if (cpl_info_known(a, CPL_F_irs) && cpl_info_known(b, CPL_F_iss) && a->irs != b->iss)
		return false;
	if (endpoint_equal(&a->remote_addr, a->remote_port, &b->local_addr, b->local_port) ||
	    endpoint_equal(&b->remote_addr, b->remote_port, &a->local_addr, a->local_port))
		return true;
	return a->snd_nxt - a->snd_una < 65536 && b->snd_nxt - b->snd_una < 65536;
}

/* First of SORTED[0..N) whose rcv_nxt is at least SEQ; N: none. */
static size_t lower_bound(struct candidate **sorted, size_t n, uint32_t seq)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (sorted[mid]->info->rcv_nxt < seq)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* The only candidate whose numbers fit those of C; NULL: none, or more than one. */
static struct candidate *find_by_numbers(struct candidate *c, struct candidate **sorted, size_t n)
{
	struct candidate *found = NULL;
	uint32_t span = c->info->snd_nxt - c->info->snd_una;
	size_t at = lower_bound(sorted, n, c->info->snd_una);

	if (span > INT32_MAX)
		return NULL;
	for (size_t k = 0; k < n && k < CROWD; k++, at++) {
		struct candidate *other = sorted[at % n];

		if (other->info->rcv_nxt - c->info->snd_una > span)
			break;
		if (other == c || other->paired || !fits_by_numbers(c->info, other->info))
			continue;
		if (found)
			return NULL;
		found = other;
	}
	return found;
}

static int pair_rest(struct candidate *c, size_t n, const struct cpl_info *infos, struct result *r)
{
	struct candidate **sorted = malloc((n ? n : 1) * sizeof(*sorted));
	size_t m = 0;

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (!c[i].paired && has_numbers(c[i].info))
			sorted[m++] = &c[i];
	qsort(sorted, m, sizeof(*sorted), by_rcv_nxt);
	for (size_t i = 0; i < m; i++) {
		struct candidate *other;

		if (sorted[i]->paired)
			continue;
		other = find_by_numbers(sorted[i], sorted, m);
		if (!other || find_by_numbers(other, sorted, m) != sorted[i])
			continue;
		sorted[i]->paired = other->paired = true;
		result_add(r, infos, sorted[i]->index, other->index, VIEW_BY_SEQUENCE);
	}
	free(sorted);
	return 0;
}

static int by_x(const void *pa, const void *pb)
{
	const struct view_pair *a = pa, *b = pb;

	return (a->x > b->x) - (a->x < b->x);
}

long view_pairs(const struct cpl_info *infos, size_t n, struct view_pair **pairs)
{
	struct candidate *c = malloc((n ? n : 1) * sizeof(*c));
	struct result r = { malloc((n ? n : 1) * sizeof(*r.pairs)), 0 };
	size_t m = 0;

	if (!c || !r.pairs)
		goto no_memory;
	for (size_t i = 0; i < n; i++)
		if (is_connection(&infos[i]))
			candidate_init(&c[m++], &infos[i], i);
	qsort(c, m, sizeof(*c), by_key);
	for (size_t i = 0, end; i < m; i = end) {
		for (end = i + 1; end < m && key_order(&c[i], &c[end]) == 0; end++)
			;
		pair_group(c + i, end - i, infos, &r);
	}
	if (pair_rest(c, m, infos, &r) < 0)
		goto no_memory;
	for (size_t i = 0; i < m; i++)
		if (!c[i].paired)
			result_add(&r, infos, c[i].index, VIEW_ALONE, VIEW_BY_NONE);
	qsort(r.pairs, r.n, sizeof(*r.pairs), by_x);
	free(c);
	*pairs = r.pairs;
	return (long)r.n;
no_memory:
	free(c);
	free(r.pairs);
	return -ENOMEM;
}
