/* SPDX-License-Identifier: MIT */
/*
 * Pairing by sequence numbers, for ends whose addresses a translator has changed (RFC 3022, 5382).
 * It rewrites addresses and ports and leaves sequence numbers alone.
 *
 * Initial sequence numbers are drawn at random (RFC 6528): two that match in both directions are
 * as good as a name. A source that does not keep them, as Linux does not, has them by difference:
 * the number of the last byte less the count of bytes. That holds at any time, so that it does not
 * matter when each end was read. Ends without counters (TIME-WAIT) are paired by their windows:
 * what each has received must lie within what the other has sent, in both directions, and so
 * narrowly that chance is ruled out.
 */
#include "view/pairing.h"

#include <errno.h>
#include <stdlib.h>

#include "base/seq.h"

/* How many candidates one end is compared with at most. */
#define CROWD	       256
/* Two values of 32 bits, drawn at random, fall so by chance: once in 2^64 / 2^this. */
#define LUCK_STRANGERS 18 /* no endpoint has the same name at both ends */
#define LUCK_ENDPOINT  34 /* one has: far fewer come into question */

bool pairing_birth(const struct pairing_end *e, uint32_t *sends, uint32_t *receives)
{
	const struct cpl_info *i = e->last;

	if (cpl_info_known(i, CPL_F_iss))
		*sends = i->iss;
	else if (cpl_info_known(i, CPL_F_snd_una) && cpl_info_known(i, CPL_F_bytes_acked))
		*sends = i->snd_una - (uint32_t)i->bytes_acked - 1;
	else
		return false;
	if (cpl_info_known(i, CPL_F_irs))
		*receives = i->irs;
	else if (cpl_info_known(i, CPL_F_rcv_nxt) && cpl_info_known(i, CPL_F_bytes_received))
		*receives = i->rcv_nxt - (uint32_t)i->bytes_received - 1;
	else
		return false;
	return true;
}

static bool has_windows(const struct cpl_info *i)
{
	return cpl_info_known(i, CPL_F_snd_una) && cpl_info_known(i, CPL_F_snd_nxt) &&
	       cpl_info_known(i, CPL_F_rcv_nxt) && cpl_info_known(i, CPL_F_state) &&
	       i->state >= CPL_SYN_RECEIVED;
}

int pairing_window(const struct pairing_end *a, const struct pairing_end *b, uint64_t *freedom)
{
	uint32_t span, back;

	if (!has_windows(a->first) || !has_windows(a->last) || !has_windows(b->first) ||
	    !has_windows(b->last))
		return -1;
	span = a->last->snd_nxt - a->first->snd_una;
	back = b->last->rcv_nxt - b->first->rcv_nxt;
	if (span > INT32_MAX || back > INT32_MAX)
		return -1;
	*freedom = (uint64_t)span + back + 1;
	return seq_in(b->last->rcv_nxt, a->first->snd_una, span + back + 1);
}

bool pairing_endpoint(const struct pairing_end *a, const struct pairing_end *b)
{
	const struct cpl_info *x = a->last, *y = b->last;

	return (x->remote_port == y->local_port &&
		cpl_addr_equal(&x->remote_addr, &y->local_addr)) ||
	       (x->local_port == y->remote_port && cpl_addr_equal(&x->local_addr, &y->remote_addr));
}

/* ---- Who has received from where E sent ------------------------------------------------------ */

/* Ends by a number of what they have received. */
struct index {
	struct pairing_key *key;
	size_t n;
	struct pairing_end *end;
};

/* First whose key is at least SEQ; n: none. */
static size_t lower_bound(const struct index *ix, uint32_t seq)
{
	size_t low = 0, high = ix->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (ix->key[mid].key < seq)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

typedef bool (*suits)(const struct pairing_end *a, const struct pairing_end *b);

/* What find() makes of those whose key lies in FROM, FROM + SPAN, round the corner as well. */
static struct pairing_end *find(const struct index *ix, const struct pairing_end *e, uint32_t from,
				uint32_t span, suits does)
{
	size_t at = lower_bound(ix, from);
	struct pairing_end *found = NULL;
	bool named = false, twice = false;

	for (size_t k = 0; k < ix->n && k < CROWD; k++, at++) {
		const struct pairing_key *key = &ix->key[at % ix->n];
		struct pairing_end *other = &ix->end[key->at];
		bool name;

		if (key->key - from > span)
			break;
		if (other == e || other->paired || !does(e, other))
			continue;
		/* Of several that suit, the one that has a name in common. */
		name = pairing_endpoint(e, other);
		if (found && name == named)
			twice = true;
		if (found && name <= named)
			continue;
		twice = false;
		found = other;
		named = name;
	}
	return twice ? NULL : found;
}

/* ---- By birth -------------------------------------------------------------------------------- */

static bool born_together(const struct pairing_end *a, const struct pairing_end *b)
{
	return pairing_fit(a, b) == PAIRING_BORN;
}

static struct pairing_end *find_born(const struct index *ix, const struct pairing_end *e)
{
	uint32_t sends, receives;

	if (!pairing_birth(e, &sends, &receives))
		return NULL;
	return find(ix, e, sends - PAIRING_BIRTH, 2 * PAIRING_BIRTH, born_together);
}

static bool birth_key(const struct pairing_end *e, uint32_t *key)
{
	uint32_t sends;

	return pairing_birth(e, &sends, key);
}

/* ---- By windows ------------------------------------------------------------------------------ */

/* More than so many bytes in flight tell nothing that could be relied on. */
#define SPAN (1u << 26)

static bool windows_fit(const struct pairing_end *a, const struct pairing_end *b)
{
	uint64_t ab, ba;

	if (pairing_window(a, b, &ab) != 1 || pairing_window(b, a, &ba) != 1)
		return false;
	if (pairing_fit(a, b) == PAIRING_FAR)
		return false;
	return ab <= 2 * SPAN && ba <= 2 * SPAN &&
	       ab * ba <= (uint64_t)1 << (pairing_endpoint(a, b) ? LUCK_ENDPOINT : LUCK_STRANGERS);
}

static struct pairing_end *find_window(const struct index *ix, const struct pairing_end *e)
{
	uint32_t span;

	if (!has_windows(e->first) || !has_windows(e->last))
		return NULL;
	span = e->last->snd_nxt - e->first->snd_una;
	if (span > SPAN)
		return NULL;
	/* What the other has in the second pass may lie beyond, if it was read later. */
	return find(ix, e, e->first->snd_una, span + (e->first == e->last ? 0 : SPAN / 64),
		    windows_fit);
}

static bool window_key(const struct pairing_end *e, uint32_t *key)
{
	*key = e->last->rcv_nxt;
	return has_windows(e->first) && has_windows(e->last);
}

/* ---- Both ------------------------------------------------------------------------------------ */

static void pair_by(struct pairing *p, struct index *ix, struct pairing_key *spare,
		    bool (*key)(const struct pairing_end *e, uint32_t *key),
		    struct pairing_end *(*seek)(const struct index *ix,
						const struct pairing_end *e))
{
	ix->n = 0;
	for (size_t i = 0; i < p->n; i++) {
		uint32_t k;

		if (!p->end[i].paired && key(&p->end[i], &k))
			ix->key[ix->n++] = (struct pairing_key){ k, (uint32_t)i };
	}
	pairing_sort(ix->key, spare, ix->n);
	for (size_t i = 0; i < ix->n; i++) {
		struct pairing_end *e = &p->end[ix->key[i].at], *other;

		if (e->paired)
			continue;
		other = seek(ix, e);
		/* Each must be the other's only choice. */
		if (other && seek(ix, other) == e)
			pairing_join(p, e, other, VIEW_BY_SEQUENCE);
	}
}

int pairing_by_numbers(struct pairing *p)
{
	size_t room = p->n ? p->n : 1;
	struct pairing_key *keys = malloc(2 * room * sizeof(*keys));
	struct index ix = { .key = keys, .end = p->end };

	if (!keys)
		return -ENOMEM;
	pair_by(p, &ix, keys + room, birth_key, find_born);
	pair_by(p, &ix, keys + room, window_key, find_window);
	free(keys);
	return 0;
}
