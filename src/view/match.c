/* SPDX-License-Identifier: MIT */
/*
 * The same ends in several passes, and their pairs: see match.h.
 *
 * Sources list connections in much the same order each time, so that a record's successor is
 * looked for behind its predecessor's first; only what moved is looked for by hash.
 */
#include "view/match.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "view/pairing.h"

/* A hash table of the records of one pass: 1 + index, 0 is empty. */
struct table {
	uint32_t *slot;
	size_t mask;
};

/* A source that has no numbers of its own: its records are of no earlier ones. */
static bool has_id(const struct cpl_info *i)
{
	return cpl_info_known(i, CPL_F_id);
}

/* A stack's handle is of that stack only: the two ends and the process must be the same as well. */
static bool same_end(const struct cpl_info *a, const struct cpl_info *b)
{
	if (a->id != b->id || a->netns != b->netns || a->protocol != b->protocol ||
	    (a->source == CPL_SOURCE_STACK) != (b->source == CPL_SOURCE_STACK) || !has_id(a) ||
	    !has_id(b))
		return false;
	return a->source != CPL_SOURCE_STACK ||
	       (a->local_port == b->local_port && a->remote_port == b->remote_port &&
		a->pid == b->pid && cpl_addr_equal(&a->local_addr, &b->local_addr) &&
		cpl_addr_equal(&a->remote_addr, &b->remote_addr));
}

static size_t spread(const struct cpl_info *i)
{
	uint64_t h = (i->id ^ (uint64_t)i->netns << 40) * 0x9e3779b97f4a7c15u;

	return (size_t)(h >> 32) ^ (size_t)i->local_port * 0x9e37u;
}

/* Ends that lie so far from where their hash says are not found again: no input takes for ever. */
#define REACH 1024

static int table_make(struct table *t, const struct view_pass *pass)
{
	size_t size = 64;

	while (size < pass->n * 2)
		size *= 2;
	t->slot = calloc(size, sizeof(*t->slot));
	t->mask = size - 1;
	if (!t->slot)
		return -ENOMEM;
	for (size_t i = 0; i < pass->n; i++) {
		size_t at = spread(&pass->info[i]) & t->mask;
		unsigned far = 0;

		while (t->slot[at] && ++far < REACH)
			at = (at + 1) & t->mask;
		if (!t->slot[at])
			t->slot[at] = (uint32_t)i + 1;
	}
	return 0;
}

static uint32_t table_find(const struct table *t, const struct view_pass *pass,
			   const struct cpl_info *info)
{
	size_t at = spread(info) & t->mask;

	for (unsigned far = 0; t->slot[at] && far < REACH; far++, at = (at + 1) & t->mask)
		if (same_end(&pass->info[t->slot[at] - 1], info))
			return t->slot[at] - 1;
	return VIEW_NONE;
}

/* ---- The ends of one host -------------------------------------------------------------------- */

/* Where a pass is searched for an earlier one's records. */
struct seek {
	const struct view_pass *pass;
	struct table table; /* made when first needed */
	uint32_t next;	    /* behind the last one found */
};

/* The place in the pass, VIEW_NONE, or -ENOMEM. */
static int64_t seek_find(struct seek *s, const struct cpl_info *info)
{
	if (!has_id(info))
		return VIEW_NONE;
	if (s->next < s->pass->n && same_end(&s->pass->info[s->next], info))
		return s->next++;
	if (!s->table.slot && table_make(&s->table, s->pass))
		return -ENOMEM;
	uint32_t at = table_find(&s->table, s->pass, info);

	if (at != VIEW_NONE)
		s->next = at + 1;
	return at;
}

static void end_new(struct view_match *m, unsigned host, unsigned pass, uint32_t at)
{
	struct view_end *e = &m->end[m->n];

	for (unsigned k = 0; k < VIEW_PASSES; k++)
		e->at[k] = VIEW_NONE;
	e->at[pass] = at;
	e->other = VIEW_NONE;
	e->host = (uint8_t)host;
	e->by = VIEW_BY_NONE;
	m->end_of[host][pass][at] = (uint32_t)m->n++;
}

/* Each record of PASS: an end that an earlier pass had, or a new one. */
static int add_pass(struct view_match *m, unsigned host, unsigned pass)
{
	const struct view_look *look = &m->look[host];
	struct seek s[VIEW_PASSES] = { { 0 } };
	int err = 0;

	for (unsigned k = 0; k < pass; k++)
		s[k].pass = &look->pass[k];
	for (uint32_t i = 0; !err && i < look->pass[pass].n; i++) {
		int64_t at = VIEW_NONE;
		unsigned k = pass;

		while (k > 0 && at == VIEW_NONE) {
			k--;
			at = s[k].pass->n ? seek_find(&s[k], &look->pass[pass].info[i]) : VIEW_NONE;
		}
		if (at < 0) {
			err = (int)at;
		} else if (at != VIEW_NONE &&
			   m->end[m->end_of[host][k][at]].at[pass] == VIEW_NONE) {
			m->end[m->end_of[host][k][at]].at[pass] = i;
			m->end_of[host][pass][i] = m->end_of[host][k][at];
		} else {
			end_new(m, host, pass, i);
		}
	}
	for (unsigned k = 0; k < pass; k++)
		free(s[k].table.slot);
	return err;
}

/* ---- Pairs ----------------------------------------------------------------------------------- */

const struct cpl_info *view_match_info(const struct view_match *m, size_t end, unsigned pass)
{
	const struct view_end *e;

	if (end >= m->n || pass >= VIEW_PASSES)
		return NULL;
	e = &m->end[end];
	return e->at[pass] == VIEW_NONE ? NULL : &m->look[e->host].pass[pass].info[e->at[pass]];
}

const struct cpl_info *view_match_last(const struct view_match *m, size_t end)
{
	for (unsigned pass = VIEW_PASSES; pass-- > 0;) {
		const struct cpl_info *info = view_match_info(m, end, pass);

		if (info)
			return info;
	}
	return NULL;
}

/* The sandwich: the first two passes, as far as they were taken. */
static const struct cpl_info *sandwich(const struct view_match *m, size_t end, bool first)
{
	const struct cpl_info *one = view_match_info(m, end, 0);
	const struct cpl_info *two = view_match_info(m, end, 1);

	return first ? one ?: two : two ?: one;
}

static bool is_present(const struct view_match *m, size_t end)
{
	const struct view_end *e = &m->end[end];

	return e->at[m->look[e->host].passes > 1] != VIEW_NONE;
}

/*
 * Those that the second pass has are paired among themselves first; what they lack may be an end
 * that only the first had, and that was given up between the two.
 */
static size_t take_ends(const struct view_match *m, struct pairing_end *ends, bool gone)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n; i++) {
		const struct cpl_info *last = sandwich(m, i, false);

		if (!last || m->end[i].other != VIEW_NONE || (!gone && !is_present(m, i)))
			continue;
		ends[n++] = (struct pairing_end){ .first = sandwich(m, i, true),
						  .last = last,
						  .host = m->end[i].host,
						  .index = (uint32_t)i };
	}
	return n;
}

static bool anyone_gone(const struct view_match *m)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->end[i].at[0] != VIEW_NONE && !is_present(m, i))
			return true;
	return false;
}

static int pair_ends(struct view_match *m, struct pairing_end *ends, uint32_t *peer, uint8_t *by)
{
	for (unsigned round = 0; round < 2; round++) {
		int err;

		if (round && !anyone_gone(m))
			break;
		err = pairing_run(ends, take_ends(m, ends, round), peer, by, m->n);
		if (err)
			return err;
		for (size_t i = 0; i < m->n; i++) {
			if (peer[i] == VIEW_NONE && by[i] == VIEW_BY_NONE)
				continue;
			m->end[i].other = peer[i];
			m->end[i].by = by[i];
		}
	}
	for (size_t i = 0; i < m->n; i++) {
		peer[i] = m->end[i].other;
		by[i] = m->end[i].by;
	}
	return 0;
}

static const struct cpl_info *listed(const void *arg, size_t end)
{
	const struct view_match *m = arg;
	size_t other = m->end[end].other;

	/* Two that were both gone in the second pass are no connection any more. */
	if (!is_present(m, end) && (other == VIEW_NONE || !is_present(m, other)))
		return NULL;
	return sandwich(m, end, false);
}

static int make_pairs(struct view_match *m)
{
	size_t room = m->n ? m->n : 1;
	struct pairing_end *ends = malloc(room * sizeof(*ends));
	uint32_t *peer = malloc(room * sizeof(*peer));
	uint8_t *by = malloc(room);
	int err = -ENOMEM;
	long n;

	if (ends && peer && by)
		err = pair_ends(m, ends, peer, by);
	if (!err) {
		n = pairing_list(peer, by, m->n, listed, m, &m->pair);
		if (n < 0)
			err = (int)n;
		else
			m->pairs = (size_t)n;
	}
	free(ends);
	free(peer);
	free(by);
	return err;
}

/* ---- All together ---------------------------------------------------------------------------- */

static int make_room(struct view_match *m)
{
	size_t all = 0;

	for (unsigned host = 0; host < m->hosts; host++) {
		for (unsigned pass = 0; pass < VIEW_PASSES; pass++) {
			size_t n = m->look[host].pass[pass].n;

			all += n;
			if (!n)
				continue;
			m->end_of[host][pass] = malloc(n * sizeof(uint32_t));
			if (!m->end_of[host][pass])
				return -ENOMEM;
		}
	}
	if (all >= VIEW_NONE)
		return -ENOMEM;
	/* Untouched pages cost nothing: most are the same ends again. */
	m->end = malloc((all ? all : 1) * sizeof(*m->end));
	return m->end ? 0 : -ENOMEM;
}

int view_match_ends(struct view_match *m, const struct view_look *look, unsigned hosts)
{
	int err;

	memset(m, 0, sizeof(*m));
	m->look = look;
	m->hosts = hosts;
	err = make_room(m);
	for (unsigned host = 0; !err && host < hosts; host++)
		for (unsigned pass = 0; !err && pass < VIEW_PASSES; pass++)
			err = add_pass(m, host, pass);
	return err;
}

int view_match(struct view_match *m, const struct view_look *look, unsigned hosts)
{
	int err = view_match_ends(m, look, hosts);

	return err ? err : make_pairs(m);
}

void view_match_free(struct view_match *m)
{
	for (unsigned host = 0; host < VIEW_HOSTS; host++)
		for (unsigned pass = 0; pass < VIEW_PASSES; pass++)
			free(m->end_of[host][pass]);
	free(m->end);
	free(m->pair);
	memset(m, 0, sizeof(*m));
}

void view_match_compare(const struct view_match *m, const struct view_pair *pair,
			const struct view_ends *ends, bool words, bool apart,
			struct view_report *report)
{
	struct view_ends e = *ends;
	size_t x = pair->x, y = pair->y;
	unsigned host_x = m->end[x].host;
	unsigned host_y = y == VIEW_ALONE ? m->hosts - 1 - host_x : m->end[y].host;
	const struct cpl_info *x2, *y2;

	if (pair->by == VIEW_BY_SEVERAL)
		e.absent = VIEW_SEVERAL;
	if (m->look[host_x].passes > 1 && m->look[host_y].passes > 1 &&
	    (!apart || host_x == host_y)) {
		e.x = view_match_info(m, x, 0);
		e.y = view_match_info(m, y, 0);
		x2 = view_match_info(m, x, 1);
		y2 = view_match_info(m, y, 1);
		(words ? view_compare_passes : view_compare_quick)(&e, x2, y2, report);
		return;
	}
	e.x = sandwich(m, x, false);
	e.y = y == VIEW_ALONE ? NULL : sandwich(m, y, false);
	view_compare_apart(&e, report);
}
