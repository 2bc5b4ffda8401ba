/* SPDX-License-Identifier: MIT */
/* What couplet pair looks at: this host, files, a peer; and which of it CONN names. See pair.h. */
#include "cli/pair.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "source/peer.h"

void pair_world_init(struct pair_world *w)
{
	memset(w, 0, sizeof(*w));
	for (unsigned i = 0; i < VIEW_HOSTS; i++)
		snapshot_init(&w->host[i]);
}

void pair_world_free(struct pair_world *w)
{
	view_match_free(&w->match);
	for (unsigned i = 0; i < VIEW_HOSTS; i++)
		snapshot_free(&w->host[i]);
}

static int no_memory(void)
{
	return cli_fail(CLI_CANNOT, "out of memory");
}

static int match(struct pair_world *w)
{
	view_match_free(&w->match);
	for (unsigned i = 0; i < w->hosts; i++) {
		passes_look(&w->host[i].passes, &w->look[i]);
		if (snapshot_learn(&w->host[i]))
			return no_memory();
	}
	return view_match(&w->match, w->look, w->hosts) ? no_memory() : CLI_OK;
}

/* ---- This host ------------------------------------------------------------------------------- */

static struct source_options options_here(const struct pair_options *o)
{
	struct source_options s = {
		.states = SOURCE_USUAL_STATES,
		.namespaces = true,
		.no_stray_namespaces = true,
		.owners = !o->all || o->verbose || o->json || select_needs_owners(&o->select),
	};

	return s;
}

static int take(struct snapshot *s, const struct source_options *options)
{
	int err = passes_take(&s->passes, options);

	if (!err)
		return CLI_OK;
	/* The notes say why. */
	connections_notes(&s->passes.set[s->passes.taken].notes, false);
	return err == -ENOMEM ? no_memory() : CLI_CANNOT;
}

static int look_here(const struct pair_options *o, struct pair_world *w)
{
	struct source_options options = options_here(o);
	int status;

	w->hosts = 1;
	if (snapshot_here(&w->host[0], &options))
		return no_memory();
	status = take(&w->host[0], &options);
	if (status == CLI_OK && o->all)
		status = take(&w->host[0], &options);
	return status == CLI_OK ? match(w) : status;
}

/* ---- One connection, closely ----------------------------------------------------------------- */

/* Without locks a window may be read together with another moment's numbers: trouble seen so is
 * looked at again. */
static bool is_trouble(const struct passes *p)
{
	struct view_ends ends = { "x", "y", &p->set[0].info[0], &p->set[0].info[1], VIEW_LOOKED };
	struct view_report report;

	view_compare_quick(&ends, &p->set[1].info[0], &p->set[1].info[1], &report);
	return view_is_trouble(report.verdict);
}

/* Two passes over these two ends alone, microseconds apart. -EOPNOTSUPP: not possible. */
static int take_closely(struct passes *closely, const struct cpl_info *x, const struct cpl_info *y,
			uint64_t *apart_ns)
{
	const struct cpl_info *seen[] = { x, y };
	struct source_options options = { .states = SOURCE_USUAL_STATES, .namespaces = true };
	size_t n = x == y ? 1 : 2;
	int err = n == 2 ? passes_take_pair(closely, x, y, apart_ns) : -EOPNOTSUPP;

	if (!err && is_trouble(closely)) {
		passes_free(closely);
		*apart_ns = 0;
		err = -EOPNOTSUPP;
	}
	if (err != -EOPNOTSUPP)
		return err;
	err = passes_take_again(closely, &options, seen, n);
	err = err ?: passes_take_again(closely, &options, seen, n);
	if (!err && closely->set[1].n != n)
		err = -EOPNOTSUPP; /* one is gone: look at all */
	return err;
}

int pair_look_closer(const struct pair_options *o, struct pair_world *w,
		     const struct view_pair *pair)
{
	struct source_options options = options_here(o);
	struct snapshot *s = &w->host[0];
	struct passes closely;
	int status = CLI_OK, err = -EOPNOTSUPP;

	passes_init(&closely);
	if (pair->y != VIEW_ALONE)
		err = take_closely(&closely, view_match_last(&w->match, pair->x),
				   view_match_last(&w->match, pair->y), &w->apart_ns);
	if (!err) {
		closely.set[0].notes = s->passes.set[0].notes;
		passes_free(&s->passes);
		s->passes = closely;
	} else {
		passes_free(&closely);
		status = err == -ENOMEM ? no_memory() : take(s, &options);
	}
	return status == CLI_OK ? match(w) : status;
}

/* ---- Files ----------------------------------------------------------------------------------- */

/* Looks that begin or end nearer to each other than this are not told apart by two clocks. */
#define CLOCKS_NS 1000000000

static int64_t clock_at(const struct snapshot *s, uint64_t since)
{
	return (int64_t)(s->when + since - s->passes.began[0]);
}

/*
 * By how much A's first pass ended before B's second began, and B's first before A's second: what
 * the clocks may be apart for the sandwich to hold. Less than 0: it does not.
 */
static int64_t margin(const struct snapshot *a, const struct snapshot *b)
{
	int64_t ab, ba;

	if (a->passes.taken < 2 || b->passes.taken < 2 || !a->when || !b->when ||
	    a->when > INT64_MAX / 4 || b->when > INT64_MAX / 4)
		return -1;
	ab = clock_at(b, b->passes.began[1]) - clock_at(a, a->passes.ended[0]);
	ba = clock_at(a, a->passes.began[1]) - clock_at(b, b->passes.ended[0]);
	return ab < ba ? ab : ba;
}

static bool same_machine(const struct snapshot *a, const struct snapshot *b)
{
	return *a->boot && strcmp(a->boot, b->boot) == 0;
}

/* Two looks at one machine are two passes of it, if they are not of two of its containers. */
static void join_passes(struct pair_world *w)
{
	struct snapshot *a = &w->host[0], *b = &w->host[1];

	if (b->when < a->when) {
		struct snapshot s = *a;

		*a = *b;
		*b = s;
	}
	a->passes.set[1] = b->passes.set[0];
	a->passes.began[1] = a->passes.ended[1] = a->passes.ended[0];
	a->passes.taken = 2;
	snapshot_set_init(&b->passes.set[0]);
	snapshot_free(b);
	w->hosts = 1;
}

static void judge_times(struct pair_world *w)
{
	int64_t clocks = margin(&w->host[0], &w->host[1]);

	w->apart = clocks < CLOCKS_NS;
	w->by_clocks = !w->apart;
	if (w->by_clocks)
		snprintf(w->caution, sizeof(w->caution),
			 "The looks of the two machines overlap by their clocks: the verdicts hold "
			 "if those agree to within %.30s.",
			 word_ns((uint64_t)clocks).s);
	else
		snprintf(w->caution, sizeof(w->caution),
			 "One look at each, not of one instant: what seems to differ may have been "
			 "sent in between. couplet pair --peer, or couplet snap --passes=10 begun "
			 "on "
			 "both at once, can tell.");
}

static int look_files(const struct pair_options *o, struct pair_world *w)
{
	struct snapshot *a = &w->host[0], *b = &w->host[1];

	w->hosts = o->files;
	for (unsigned i = 0; i < o->files; i++) {
		char error[VIEW_JSON_ERROR];

		if (snapshot_load(&w->host[i], o->file[i], error))
			return cli_fail(CLI_CANNOT, "%s: %s", o->file[i], error);
		if (!*w->host[i].host)
			snprintf(w->host[i].host, sizeof(w->host[i].host), "%s",
				 i ? "the second" : "the first");
	}
	if (w->hosts == 2 && same_machine(a, b) && strcmp(a->host, b->host) == 0 &&
	    a->passes.taken == 1 && b->passes.taken == 1) {
		join_passes(w);
	} else if (w->hosts == 2) {
		if (same_machine(a, b) && snapshot_subtract(b, a))
			return no_memory();
		judge_times(w);
	} else if (a->passes.taken == 1) {
		snprintf(w->caution, sizeof(w->caution),
			 "One look, in which the two ends were not read at one instant: couplet "
			 "snap "
			 "--passes looks twice.");
	}
	return match(w);
}

/* ---- A peer ---------------------------------------------------------------------------------- */

static int look_peer(const struct pair_options *o, struct pair_world *w)
{
	struct peer_options peer = {
		.host = o->peer,
		.command = o->peer_command,
		.couplet = o->peer_couplet,
		.timeout_ms = o->peer_timeout_ms,
	};
	struct source_options options = options_here(o);
	struct snapshot *here = &w->host[0], *there = &w->host[1];
	char error[PEER_ERROR];
	struct peer *p;
	int err;

	w->hosts = 2;
	if (snapshot_here(here, &options))
		return no_memory();
	err = peer_open(&p, &peer, error);
	if (err)
		return cli_fail(err == -EINVAL ? CLI_USAGE : CLI_CANNOT, "%s", error);
	err = peer_sandwich(p, &options, here, there, error);
	peer_close(p);
	if (err)
		return cli_fail(CLI_CANNOT, "%s", error);
	if (!*there->host)
		snprintf(there->host, sizeof(there->host), "the peer");
	if (same_machine(here, there) && snapshot_subtract(there, here))
		return no_memory();
	return match(w);
}

int pair_look(const struct pair_options *o, struct pair_world *w)
{
	if (o->files)
		return look_files(o, w);
	if (o->peer || o->peer_command)
		return look_peer(o, w);
	return look_here(o, w);
}

/* ---- What CONN names ------------------------------------------------------------------------- */

static bool is_picked(const struct pair_options *o, const struct pair_world *w,
		      const struct snapshot_set *rows, size_t end)
{
	const struct cpl_info *info = end == VIEW_ALONE ? NULL : view_match_last(&w->match, end);

	if (!info)
		return false;
	return rows ? connections_has(rows, info) : select_match(&o->select, info, 0);
}

struct view_pair *pair_pick(const struct pair_options *o, const struct pair_world *w, size_t *n)
{
	const struct view_match *m = &w->match;
	struct view_pair *picked = malloc((m->pairs ? m->pairs : 1) * sizeof(*picked));
	bool by_row = o->named && select_needs_rows(&o->select);
	struct snapshot_set rows;

	*n = 0;
	snapshot_set_init(&rows);
	if (picked && (!by_row || connections_rows(&rows, &o->select) == 0))
		for (size_t i = 0; i < m->pairs; i++)
			if (!o->named || is_picked(o, w, by_row ? &rows : NULL, m->pair[i].x) ||
			    is_picked(o, w, by_row ? &rows : NULL, m->pair[i].y))
				picked[(*n)++] = m->pair[i];
	snapshot_set_free(&rows);
	return picked;
}
