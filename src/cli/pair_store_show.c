/* SPDX-License-Identifier: MIT */
/* What couplet pair --store says: see pair_store.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/pair_store.h"
#include "cli/record.h"

/* "As recorded: web 2026-11-22 18:30:00, db 2026-11-22 18:30:02 (UTC)." */
static void say_when(struct text *t, const struct pair_stored_all *all)
{
	struct text line;

	text_init(&line);
	text_puts(&line, "As recorded: ");
	for (size_t i = 0; i < all->n; i++) {
		char time[32];

		if (i == 8) {
			text_printf(&line, " and %zu host%s more", all->n - i,
				    all->n - i > 1 ? "s" : "");
			break;
		}
		record_time(time, sizeof(time), all->hosts[i].last.time_ns);
		text_printf(&line, "%s%s %s", i ? ", " : "", all->hosts[i].name, time);
	}
	text_puts(&line, " (UTC).");
	text_wrap(t, line.data ? line.data : "", 0, t->width);
	text_puts(t, "\n\n");
	text_free(&line);
}

/* What makes the verdicts weaker, a sentence each. */
static size_t limits(const struct pair_stored_all *all, struct view_word *out)
{
	size_t n = 0;

	if (all->unordered)
		out[n++] = word_format("%s compared as one look each: the store has no samples of "
				       "both hosts in a known order yet",
				       all->unordered == 1 ? "1 connection was"
							   : "some connections were");
	if (all->partly)
		out[n++] = word_format("not every host was recorded wholly: see couplet record "
				       "--list");
	if (all->stale)
		out[n++] = word_format("%zu host%s recorded nothing lately %s left out", all->stale,
				       all->stale > 1 ? "s that" : " that",
				       all->stale > 1 ? "are" : "is");
	if (all->bad)
		out[n++] = word_format("%zu row%s passed over as making no sense", all->bad,
				       all->bad > 1 ? "s were" : " was");
	return n;
}

static void say_limits(struct text *t, const struct pair_stored_all *all)
{
	struct view_word words[4];
	size_t n = limits(all, words);

	for (size_t i = 0; i < n; i++) {
		text_puts(t, "Note: ");
		text_wrap(t, words[i].s, 6, t->width);
		text_puts(t, ".\n");
	}
}

static struct view_pair_row *rows_of(const struct pair_stored_all *all)
{
	struct view_pair_row *rows = calloc(all->keeps + 1, sizeof(*rows));

	for (size_t i = 0; rows && i < all->keeps; i++)
		rows[i] = all->kept[i]->row;
	return rows;
}

static int show_json(const struct pair_stored_all *all, const struct view_pair_row *rows)
{
	struct view_word words[5];
	const char *not_seen[5];
	size_t n = limits(all, words);
	struct text t;

	if (all->count.pairs + all->count.remote > all->keeps) {
		words[n] = word_format("%zu more pairs without trouble",
				       all->count.pairs + all->count.remote - all->keeps);
		n++;
	}
	for (size_t i = 0; i < n; i++)
		not_seen[i] = words[i].s;
	text_init(&t);
	return connections_print(&t, view_pair_json(&t, rows, all->keeps, not_seen, n));
}

/* Of more than can be read only those in trouble are listed. */
static size_t without_health(struct view_pair_row *rows, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (view_is_trouble(rows[i].verdict) && !rows[i].remote)
			rows[kept++] = rows[i];
	return kept;
}

static int show_table(const struct pair_options *o, const struct pair_stored_all *all,
		      struct view_pair_row *rows)
{
	unsigned flags = o->verbose ? VIEW_VERBOSE : 0;
	bool some = all->count.pairs + all->count.remote > all->keeps;
	struct text t;

	connections_text(&t);
	say_when(&t, all);
	view_pair_rows(&t, rows, some ? without_health(rows, all->keeps) : all->keeps, flags);
	if (some)
		text_puts(&t, "Of so many only those in trouble are listed.\n");
	view_pair_summary(&t, &all->count);
	say_limits(&t, all);
	return connections_print(&t, 0);
}

static int show_one(const struct pair_options *o, const struct pair_stored_all *all,
		    const struct view_pair_row *row)
{
	struct text t;

	connections_text(&t);
	say_when(&t, all);
	view_pair_print(&t, row, o->verbose ? VIEW_VERBOSE : 0);
	say_limits(&t, all);
	return connections_print(&t, 0);
}

static int show(const struct pair_options *o, const struct pair_stored_all *all)
{
	size_t trouble = all->count.verdict[VIEW_DISAGREE] + all->count.verdict[VIEW_STUCK];
	struct view_pair_row *rows = rows_of(all);
	int status;

	if (!rows)
		return cli_fail(CLI_CANNOT, "out of memory");
	if (o->named && !all->keeps)
		status = cli_fail(CLI_TROUBLE, "no connection in the store is called \"%s\"",
				  word_foreign(o->name).s);
	else if (o->json)
		status = show_json(all, rows);
	else if (o->named && !o->all && all->keeps == 1)
		status = show_one(o, all, &rows[0]);
	else
		status = show_table(o, all, rows);
	free(rows);
	return status == CLI_OK && trouble ? CLI_TROUBLE : status;
}

int pair_store(const struct pair_options *o)
{
	struct pair_stored_all all;
	int status = pair_store_look(o, &all);

	if (status == CLI_OK)
		status = show(o, &all);
	pair_stored_free(&all);
	return status;
}
