/* SPDX-License-Identifier: MIT */
/* What couplet pair says: one pair in full, all as a table, JSON. See pair.h. */
#include "cli/pair.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "source/namespaces.h"

/* ---- Names ----------------------------------------------------------------------------------- */

/* As ip-netns(8) calls it, or by its number; NULL: ours, or not known. */
static const char *namespace_name(const struct cpl_info *info, char *name, size_t size)
{
	static uint32_t own;
	const struct netns *ns;

	if (!own)
		own = source_own_netns();
	if (!cpl_info_known(info, CPL_F_netns) || info->netns == own)
		return NULL;
	ns = source_namespace(info->netns);
	if (ns && *ns->name)
		snprintf(name, size, "%s", ns->name);
	else
		snprintf(name, size, "namespace %u", info->netns);
	return name;
}

/* A host's name beside another's, else a namespace beside ours. */
static const char *where(const struct pair_world *w, size_t end, const struct cpl_info *info,
			 char *name, size_t size)
{
	const struct snapshot *s;

	if (end == VIEW_ALONE || !info)
		return NULL;
	s = &w->host[w->match.end[end].host];
	if (w->hosts > 1 && strcmp(w->host[0].host, w->host[1].host) != 0)
		return s->host;
	if (w->hosts > 1 && s == &w->host[1])
		return "(peer)";
	return s->here ? namespace_name(info, name, size) : NULL;
}

/* 1: this end called, 0: it was called, -1: not known. */
static int caller(const struct cpl_info *i)
{
	return i && cpl_info_known(i, CPL_F_passive) ? !i->passive : -1;
}

static const struct cpl_info *end_info(const struct pair_world *w, size_t end)
{
	return end == VIEW_ALONE ? NULL : view_match_last(&w->match, end);
}

/* True if a machine that was asked has this address, so that the other end should be there. */
static enum view_absent absence(const struct pair_world *w, const struct cpl_info *x, unsigned host)
{
	enum view_absent found = VIEW_NOT_LOOKED;

	for (unsigned i = 0; i < w->hosts; i++) {
		enum view_absent here;

		if (i != host && snapshot_loopback(&x->remote_addr))
			continue;
		here = snapshot_absence(&w->host[i], x);
		/* Of two that have the address, the one that proves less. */
		if (found == VIEW_NOT_LOOKED || here == VIEW_LOOKED_PARTLY)
			found = here;
	}
	return found;
}

struct view_ends pair_ends(const struct pair_world *w, const struct view_pair *pair, bool *remote)
{
	const struct cpl_info *x = end_info(w, pair->x), *y = end_info(w, pair->y);
	struct view_ends e = { .x = x, .y = y, .absent = VIEW_LOOKED };
	int x_calls = caller(x), y_calls = caller(y);

	if (!y)
		e.absent = absence(w, x, w->match.end[pair->x].host);
	*remote = !y && e.absent == VIEW_NOT_LOOKED && pair->by != VIEW_BY_SEVERAL;
	if (x_calls < 0 && y_calls >= 0)
		x_calls = !y_calls;
	if (x_calls < 0 || x_calls == y_calls) {
		e.x_name = "X";
		e.y_name = "Y";
	} else {
		e.x_name = x_calls ? "client" : "server";
		e.y_name = x_calls ? "server" : "client";
	}
	return e;
}

/* ---- One ------------------------------------------------------------------------------------- */

/* How to see an end that is elsewhere. */
static void say_how(struct text *t, const struct pair_options *o, const struct cpl_info *x)
{
	struct view_word host = word_addr(&x->remote_addr);
	struct text line;

	if (o->files || o->peer || o->peer_command) {
		text_wrap(t,
			  "The other end is on neither of the two, or behind a translator (NAT) "
			  "through which only sequence numbers lead: those need root on both.",
			  0, t->width);
		text_puts(t, "\n");
		return;
	}
	text_init(&line);
	text_printf(&line,
		    "The other end is on %s, another machine, which was not asked. To see both: "
		    "couplet pair --peer ssh:%s '%s'; or couplet snap -o FILE on each of the two, "
		    "then couplet pair FILE FILE.",
		    host.s, host.s, o->name);
	text_wrap(t, line.data ? line.data : "", 0, t->width);
	text_puts(t, "\n");
	text_free(&line);
}

/* What could not be looked at, or makes a verdict weaker. */
static void say_limits(struct text *t, const struct pair_world *w, bool absent)
{
	if (*w->caution) {
		text_wrap(t, w->caution, 0, t->width);
		text_puts(t, "\n");
	}
	for (unsigned i = 0; i < w->hosts; i++) {
		const struct snapshot *s = &w->host[i];
		struct source_notes notes;

		passes_notes(&s->passes, &notes);
		for (unsigned k = 0; k < notes.n; k++) {
			text_printf(t, "Note%s%s: ", w->hosts > 1 ? " of " : "",
				    w->hosts > 1 ? s->host : "");
			text_wrap(t, word_format("%.120s", notes.note[k].text).s, 6, t->width);
			text_puts(t, ".\n");
		}
		if (absent && s->here && !s->all_namespaces)
			text_puts(t, "Other network namespaces were not looked at (sudo couplet "
				     "pair ... does).\n");
	}
}

static bool is_counted(const struct cpl_info *i)
{
	return i && i->source == CPL_SOURCE_SOCK_DIAG;
}

/* Why checks could not be made. */
static void say_counted(struct text *t)
{
	text_wrap(t,
		  geteuid() ? "The kernel tells ordinary users no sequence numbers: bytes were "
			      "counted instead, which leaves checks out (sudo couplet pair makes "
			      "them)."
			    : "sock_diag tells no sequence numbers: bytes were counted instead, "
			      "which leaves checks out.",
		  0, t->width);
	text_puts(t, "\n");
}

static int status_of(enum view_verdict verdict)
{
	return view_is_trouble(verdict) ? CLI_TROUBLE : CLI_OK;
}

static int show_json(const struct pair_world *w, const struct view_pair_row *rows, size_t n)
{
	const char *not_seen[2 * SOURCE_NOTES + 1];
	struct source_notes notes[VIEW_HOSTS];
	size_t count = 0;
	struct text t;

	for (unsigned i = 0; i < w->hosts; i++) {
		passes_notes(&w->host[i].passes, &notes[i]);
		for (unsigned k = 0; k < notes[i].n; k++)
			not_seen[count++] = notes[i].note[k].text;
	}
	if (*w->caution)
		not_seen[count++] = w->caution;
	text_init(&t);
	return connections_print(&t, view_pair_json(&t, rows, n, not_seen, count));
}

static void compare(const struct pair_world *w, const struct view_pair *pair,
		    const struct view_ends *ends, bool words, struct view_report *report)
{
	view_match_compare(&w->match, pair, ends, words, w->apart, report);
	if (w->by_clocks && report->certainty == VIEW_CERTAIN)
		report->certainty = VIEW_DERIVED;
}

static void fill_row(const struct view_pair *pair, const struct view_ends *ends,
		     struct view_pair_row *row)
{
	memset(row, 0, sizeof(*row));
	row->x = ends->x;
	row->y = ends->y;
	row->x_name = ends->x_name;
	row->y_name = ends->y_name;
	row->by = pair->by;
}

int pair_show_one(const struct pair_options *o, const struct pair_world *w,
		  const struct view_pair *pair)
{
	char x_where[80], y_where[80];
	struct view_report report;
	struct view_pair_row row;
	struct view_ends ends;
	bool remote;
	struct text t;

	ends = pair_ends(w, pair, &remote);
	fill_row(pair, &ends, &row);
	row.remote = remote;
	row.x_where = where(w, pair->x, row.x, x_where, sizeof(x_where));
	row.y_where = where(w, pair->y, row.y, y_where, sizeof(y_where));
	compare(w, pair, &ends, true, &report);
	view_pair_judge(&row, &report, true);
	if (o->json) {
		int status = show_json(w, &row, 1);

		return status == CLI_OK ? status_of(row.verdict) : status;
	}
	connections_text(&t);
	view_pair_print(&t, &row, o->verbose ? VIEW_VERBOSE : 0);
	if (w->apart_ns)
		text_printf(&t, "Both were read within %s, twice.\n", word_ns(w->apart_ns).s);
	if (row.unseen && !remote && (is_counted(row.x) || is_counted(row.y)))
		say_counted(&t);
	if (remote)
		say_how(&t, o, row.x);
	say_limits(&t, w, !row.y && !remote);
	if (connections_print(&t, 0) != CLI_OK)
		return CLI_CANNOT;
	return status_of(row.verdict);
}

/* ---- All ------------------------------------------------------------------------------------- */

int pair_show_all(const struct pair_options *o, const struct pair_world *w,
		  const struct view_pair *pairs, size_t n)
{
	struct view_pair_row *rows = calloc(n ? n : 1, sizeof(*rows));
	struct view_report **reports = calloc(n ? n : 1, sizeof(*reports));
	char(*wheres)[2][80] = NULL;
	struct view_report report;
	int status = CLI_OK;
	struct text t;

	if (w->hosts > 1 || geteuid() == 0)
		wheres = calloc(n ? n : 1, sizeof(*wheres));
	if (!rows || !reports) {
		free(rows);
		free(reports);
		free(wheres);
		return cli_fail(CLI_CANNOT, "out of memory");
	}
	for (size_t i = 0; i < n; i++) {
		bool remote;
		struct view_ends ends = pair_ends(w, &pairs[i], &remote);

		fill_row(&pairs[i], &ends, &rows[i]);
		rows[i].remote = remote;
		if (wheres) {
			rows[i].x_where = where(w, pairs[i].x, ends.x, wheres[i][0], 80);
			rows[i].y_where = where(w, pairs[i].y, ends.y, wheres[i][1], 80);
		}
		compare(w, &pairs[i], &ends, o->json, &report);
		view_pair_judge(&rows[i], &report, false);
		if (!o->json && !view_is_trouble(rows[i].verdict))
			continue;
		reports[i] = malloc(sizeof(report));
		if (!reports[i])
			continue; /* then without words */
		compare(w, &pairs[i], &ends, true, reports[i]);
		view_pair_judge(&rows[i], reports[i], true);
		if (view_is_trouble(rows[i].verdict))
			status = CLI_TROUBLE;
	}
	if (o->json) {
		int shown = show_json(w, rows, n);

		status = shown == CLI_OK ? status : shown;
	} else {
		connections_text(&t);
		view_pair_table(&t, rows, n, o->verbose ? VIEW_VERBOSE : 0);
		say_limits(&t, w, false);
		if (connections_print(&t, 0) != CLI_OK)
			status = CLI_CANNOT;
	}
	for (size_t i = 0; i < n; i++)
		free(reports[i]);
	free(reports);
	free(rows);
	free(wheres);
	return status;
}
