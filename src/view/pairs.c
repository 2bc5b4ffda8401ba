/* SPDX-License-Identifier: MIT */
/* Pairs and their verdicts for people: see pairs.h. */
#include "view/pairs.h"

#include <errno.h>

#include <stdlib.h>
#include <string.h>

#include "view/json.h"
#include "view/tcb.h"

void view_pair_judge(struct view_pair_row *row, const struct view_report *report, bool words)
{
	row->verdict = report->verdict;
	row->certainty = report->certainty;
	row->checks = report->n - report->unseen;
	row->unseen = report->unseen;
	row->report = words ? report : NULL;
}

void view_pair_count(struct view_pair_count *c, const struct view_pair_row *rows, size_t n)
{
	memset(c, 0, sizeof(*c));
	for (size_t i = 0; i < n; i++) {
		if (rows[i].remote) {
			c->remote++;
			continue;
		}
		c->pairs++;
		c->verdict[rows[i].verdict]++;
		c->checks += rows[i].checks;
		c->unseen += rows[i].unseen;
	}
}

/* ---- One in full ----------------------------------------------------------------------------- */

/* "client  10.0.0.1:40000 in web, curl (pid 812, descriptor 3), kernel" */
static void who(struct text *t, const char *name, const struct cpl_info *i, const char *where)
{
	text_styled(t, TEXT_BOLD, name);
	text_column(t, 8, 1);
	text_puts(t, word_endpoint(&i->local_addr, i->local_port).s);
	if (where)
		text_printf(t, " in %s", word_foreign(where).s);
	if (cpl_info_known(i, CPL_F_pid)) {
		text_puts(t, ", ");
		text_styled(t, TEXT_CYAN, word_foreign(i->program).s);
		text_printf(t, " (pid %u, descriptor %u)", i->pid, i->fd);
	}
	text_printf(t, ", %s\n", view_source_name(i->source));
}

void view_pair_print(struct text *t, const struct view_pair_row *row, unsigned flags)
{
	who(t, row->x_name, row->x, row->x_where);
	if (row->y && row->y != row->x) {
		who(t, row->y_name, row->y, row->y_where);
	} else if (!row->y) {
		text_styled(t, TEXT_BOLD, row->y_name);
		text_column(t, 8, 1);
		text_printf(t, "%s, %s\n",
			    word_endpoint(&row->x->remote_addr, row->x->remote_port).s,
			    row->remote			 ? "on a machine that was not asked"
			    : row->by == VIEW_BY_SEVERAL ? "not known which"
							 : "not found");
	}
	if (row->by == VIEW_BY_SEQUENCE)
		text_puts(t, "\nTheir addresses differ: a translator (NAT) stands between. They "
			     "were paired by their\nsequence numbers.\n");
	text_puts(t, "\n");
	view_tcbs(t, row->x_name, row->x, row->y_name, row->y, flags);
	text_puts(t, "\n");
	if (flags & VIEW_VERBOSE) {
		view_report_print(t, row->report);
		text_puts(t, "\n");
	}
	view_report_line(t, row->report);
}

/* ---- Many as a table ------------------------------------------------------------------------- */

/* Trouble first, then what was not seen, what will heal, and health. */
static unsigned weight(const struct view_pair_row *row)
{
	static const uint8_t weights[] = {
		[VIEW_DISAGREE] = 0, [VIEW_STUCK] = 1, [VIEW_UNSEEN] = 2,
		[VIEW_BEHIND] = 3,   [VIEW_OK] = 4,
	};

	return row->remote ? 5 : weights[row->verdict];
}

static int by_weight(const void *pa, const void *pb)
{
	const struct view_pair_row *a = pa, *b = pb;
	unsigned wa = weight(a), wb = weight(b);

	if (wa != wb)
		return wa < wb ? -1 : 1;
	return (a->x > b->x) - (a->x < b->x); /* as the source listed them */
}

enum {
	COL_X,
	COL_Y,
	COL_STATES,
	COL_VERDICT,
	COLS
};

static struct view_word place(const struct cpl_addr *addr, uint16_t port, const char *where)
{
	struct view_word w = word_endpoint(addr, port);

	return where ? word_format("%s %.40s", w.s, word_foreign(where).s) : w;
}

static struct view_word cell(const struct view_pair_row *row, unsigned col)
{
	const struct cpl_info *x = row->x, *y = row->y;
	const char *sx, *sy;

	switch (col) {
	case COL_X:
		return place(&x->local_addr, x->local_port, row->x_where);
	case COL_Y:
		if (y)
			return place(&y->local_addr, y->local_port, row->y_where);
		return word_endpoint(&x->remote_addr, x->remote_port);
	case COL_STATES:
		sx = cpl_info_known(x, CPL_F_state) ? view_state_name(x->state) : "-";
		sy = !y				      ? row->remote ? "-" : "none"
		     : cpl_info_known(y, CPL_F_state) ? view_state_name(y->state)
						      : "-";
		return strcmp(sx, sy) == 0 ? word_format("%s", sx) : word_format("%s/%s", sx, sy);
	default:
		return word_format("%s", row->remote ? "other end not seen"
						     : view_verdict_text(row->verdict));
	}
}

static enum text_style style_of(const struct view_pair_row *row)
{
	if (row->remote)
		return TEXT_DIM;
	return view_is_trouble(row->verdict) ? TEXT_RED
	       : row->verdict == VIEW_OK     ? TEXT_GREEN
					     : TEXT_YELLOW;
}

static void put_row(struct text *t, const struct view_pair_row *row, const unsigned *width)
{
	for (unsigned col = 0; col < COLS; col++) {
		struct view_word w = cell(row, col);
		unsigned cells = (unsigned)strlen(w.s);

		text_styled(t, col == COL_VERDICT ? style_of(row) : TEXT_PLAIN, w.s);
		if (col < COL_VERDICT)
			text_repeat(t, " ", (width[col] > cells ? width[col] - cells : 0) + 2);
	}
	text_puts(t, "\n");
	if (view_is_trouble(row->verdict) && !row->remote && row->report) {
		text_puts(t, "    ");
		text_wrap(t, row->report->why, 4, t->width);
		text_puts(t, "\n");
	}
}

static void put_title(struct text *t, const unsigned *width, bool client)
{
	const char *const titles[COLS] = { client ? "client" : "one end",
					   client ? "server" : "other end", "states", "verdict" };

	for (unsigned col = 0; col < COLS; col++) {
		unsigned cells = (unsigned)strlen(titles[col]);

		text_styled(t, TEXT_DIM, titles[col]);
		if (col < COL_VERDICT)
			text_repeat(t, " ", (width[col] > cells ? width[col] - cells : 0) + 2);
	}
	text_puts(t, "\n");
}

static void put_part(struct text *t, const char **separator, size_t n, enum view_verdict verdict)
{
	if (!n)
		return;
	text_printf(t, "%s%s %s", *separator, word_count(n).s, view_verdict_text(verdict));
	*separator = "; ";
}

void view_pair_summary(struct text *t, const struct view_pair_count *c)
{
	static const enum view_verdict order[] = { VIEW_DISAGREE, VIEW_STUCK, VIEW_UNSEEN,
						   VIEW_BEHIND, VIEW_OK };
	const char *separator = ": ";

	text_printf(t, "%s connection%s", word_count(c->pairs).s, c->pairs == 1 ? "" : "s");
	for (size_t i = 0; i < sizeof(order) / sizeof(*order); i++)
		put_part(t, &separator, c->verdict[order[i]], order[i]);
	text_printf(t, ". %s check%s", word_count(c->checks).s, c->checks == 1 ? "" : "s");
	if (c->unseen)
		text_printf(t, ", %s more could not be made", word_count(c->unseen).s);
	text_puts(t, ".\n");
	if (c->remote)
		text_printf(t,
			    "%s more lead%s to other machines: their other ends were not seen.\n",
			    word_count(c->remote).s, c->remote == 1 ? "s" : "");
}

void view_pair_rows(struct text *t, struct view_pair_row *rows, size_t n, unsigned flags)
{
	unsigned width[COLS] = { 6, 6, 8, 0 };
	struct view_pair_count count;
	size_t shown = n;
	bool client = true;

	view_pair_count(&count, rows, n);
	if (!(flags & VIEW_VERBOSE))
		shown = count.pairs;
	qsort(rows, n, sizeof(*rows), by_weight);
	for (size_t i = 0; i < shown; i++) {
		client &= strcmp(rows[i].x_name, "client") == 0;
		for (unsigned col = 0; col < COL_VERDICT; col++) {
			unsigned cells = (unsigned)strlen(cell(&rows[i], col).s);

			if (cells > width[col])
				width[col] = cells;
		}
	}
	if (shown)
		put_title(t, width, client);
	for (size_t i = 0; i < shown; i++)
		put_row(t, &rows[i], width);
	if (shown)
		text_puts(t, "\n");
}

void view_pair_table(struct text *t, struct view_pair_row *rows, size_t n, unsigned flags)
{
	struct view_pair_count count;

	view_pair_count(&count, rows, n);
	view_pair_rows(t, rows, n, flags);
	view_pair_summary(t, &count);
}

/* ---- As JSON --------------------------------------------------------------------------------- */

static const char *certainty_name(enum view_certainty certainty)
{
	static const char *const names[] = { "certain", "derived", "likely" };

	return names[certainty];
}

static int checks_json(struct text *t, const struct view_report *r)
{
	int err = 0;

	text_puts(t, ", \"why\": ");
	err |= view_json_string(t, r->why);
	text_puts(t, ", \"checks\": [");
	for (unsigned i = 0; i < r->n; i++) {
		const struct view_check *k = &r->checks[i];

		text_printf(t,
			    "%s{\"rule\": \"%s\", \"from\": \"%s\", \"verdict\": \"%s\", "
			    "\"text\": ",
			    i ? ", " : "", view_rule_name(k->rule), k->y_to_x ? "y" : "x",
			    view_verdict_name(k->verdict));
		err |= view_json_string(t, k->text);
		text_puts(t, "}");
	}
	text_puts(t, "]");
	return err;
}

static int row_json(struct text *t, const struct view_pair_row *row)
{
	static const char *const by[] = { [VIEW_BY_NONE] = "none",
					  [VIEW_BY_ADDRESS] = "address",
					  [VIEW_BY_SEQUENCE] = "sequence",
					  [VIEW_BY_SEVERAL] = "several" };
	int err;

	text_printf(t, "{\"verdict\": \"%s\", \"certainty\": \"%s\", \"paired_by\": \"%s\"",
		    view_verdict_name(row->verdict), certainty_name(row->certainty), by[row->by]);
	err = row->report ? checks_json(t, row->report) : 0;
	if (row->x_where) {
		text_puts(t, ", \"x_where\": ");
		err |= view_json_string(t, row->x_where);
	}
	if (row->y_where) {
		text_puts(t, ", \"y_where\": ");
		err |= view_json_string(t, row->y_where);
	}
	for (unsigned end = 0; end < 2; end++) {
		const char *where = end ? row->y_where : row->x_where;

		if (!where)
			continue;
		text_printf(t, ", \"%c_where\": ", end ? 'y' : 'x');
		err |= view_json_string(t, where);
	}
	text_puts(t, ",\n\"x\": ");
	err |= view_json_info(t, row->x);
	text_puts(t, ",\n\"y\": ");
	if (row->y)
		err |= view_json_info(t, row->y);
	else
		text_puts(t, "null");
	text_puts(t, "}");
	return err;
}

int view_pair_json(struct text *t, const struct view_pair_row *rows, size_t n,
		   const char *const *not_seen, size_t not_seen_n)
{
	int err = 0;

	text_printf(t, "{\"couplet\": %d, \"not_seen\": [", CPL_INFO_VERSION);
	for (size_t i = 0; !err && i < not_seen_n; i++) {
		text_puts(t, i ? ", " : "");
		err = view_json_string(t, not_seen[i]);
	}
	text_puts(t, "], \"pairs\": [");
	for (size_t i = 0; !err && i < n; i++) {
		text_puts(t, i ? ",\n" : "\n");
		err = row_json(t, &rows[i]);
	}
	text_puts(t, n ? "\n]}\n" : "]}\n");
	return t->failed ? -ENOMEM : err;
}
