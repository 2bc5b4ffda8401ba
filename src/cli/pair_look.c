/* SPDX-License-Identifier: MIT */
/* What couplet pair looks at: this host, files, a peer; and which of it CONN names. See pair.h. */
#include "cli/pair.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

/* Two passes over these two ends alone: microseconds apart. -EOPNOTSUPP: not possible. */
static int take_closely(struct snapshot *s, struct passes *closely, const struct cpl_info *x,
			const struct cpl_info *y)
{
	const struct cpl_info *seen[] = { x, y };
	struct source_options options = { .states = SOURCE_USUAL_STATES, .namespaces = true };
	int err = 0;

	passes_init(closely);
	for (unsigned i = 0; !err && i < 2; i++)
		err = passes_take_again(closely, &options, seen, x == y ? 1 : 2);
	if (!err && closely->set[1].n != (x == y ? 1u : 2u))
		err = -EOPNOTSUPP; /* one is gone: look at all */
	if (!err)
		closely->set[0].notes = s->passes.set[0].notes;
	return err;
}

int pair_look_closer(const struct pair_options *o, struct pair_world *w,
		     const struct view_pair *pair)
{
	struct source_options options = options_here(o);
	struct snapshot *s = &w->host[0];
	struct passes closely;
	int status = CLI_OK, err = -EOPNOTSUPP;

	if (pair->y != VIEW_ALONE)
		err = take_closely(s, &closely, view_match_last(&w->match, pair->x),
				   view_match_last(&w->match, pair->y));
	else
		passes_init(&closely);
	if (!err) {
		passes_free(&s->passes);
		s->passes = closely;
	} else {
		passes_free(&closely);
		status = err == -ENOMEM ? no_memory() : take(s, &options);
	}
	return status == CLI_OK ? match(w) : status;
}

int pair_look(const struct pair_options *o, struct pair_world *w)
{
	return look_here(o, w);
}

/* ---- What CONN names ------------------------------------------------------------------------- */

/* The records that the numbers of rows stand for, as couplet netstat -aN numbers them. */
static int numbered_rows(const struct pair_options *o, struct snapshot_set *rows)
{
	struct source_options options = connections_everything(&o->select);
	size_t kept = 0;

	options.owners = select_needs_owners(&o->select);
	if (source_collect(rows, &options))
		return -EIO;
	select_sort(rows->info, rows->n);
	for (size_t i = 0; i < rows->n; i++)
		if (select_match(&o->select, &rows->info[i], i + 1))
			rows->info[kept++] = rows->info[i];
	rows->n = kept;
	return 0;
}

static bool is_among(const struct snapshot_set *rows, const struct cpl_info *info)
{
	for (size_t i = 0; i < rows->n; i++)
		if (rows->info[i].id == info->id && rows->info[i].netns == info->netns &&
		    rows->info[i].local_port == info->local_port &&
		    rows->info[i].remote_port == info->remote_port)
			return true;
	return false;
}

static bool is_picked(const struct pair_options *o, const struct pair_world *w,
		      const struct snapshot_set *rows, size_t end)
{
	const struct cpl_info *info = end == VIEW_ALONE ? NULL : view_match_last(&w->match, end);

	if (!info)
		return false;
	return rows ? is_among(rows, info) : select_match(&o->select, info, 0);
}

struct view_pair *pair_pick(const struct pair_options *o, const struct pair_world *w, size_t *n)
{
	const struct view_match *m = &w->match;
	struct view_pair *picked = malloc((m->pairs ? m->pairs : 1) * sizeof(*picked));
	bool by_row = o->named && select_needs_rows(&o->select);
	struct snapshot_set rows;

	*n = 0;
	snapshot_set_init(&rows);
	if (picked && (!by_row || numbered_rows(o, &rows) == 0))
		for (size_t i = 0; i < m->pairs; i++)
			if (!o->named || is_picked(o, w, by_row ? &rows : NULL, m->pair[i].x) ||
			    is_picked(o, w, by_row ? &rows : NULL, m->pair[i].y))
				picked[(*n)++] = m->pair[i];
	snapshot_set_free(&rows);
	return picked;
}
