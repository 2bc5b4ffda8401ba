/* SPDX-License-Identifier: MIT */
/*
 * An opened connection as lines of text: whose it is, the verdict, and three parts: both control
 * blocks, the state diagram, the time-sequence plot. Where the terminal has room, all three stand
 * on it at once. Pure.
 */
#include <string.h>

#include "cli/watch.h"
#include "view/tcb.h"

#define BLOCK_COLUMNS 80
#define PLOT_LINES    16

/* "A 10.0.0.1:80 nginx (pid 812)" */
static void put_end(struct text *t, char letter, const struct cpl_addr *addr, uint16_t port,
		    const struct cpl_info *info, uint32_t own_netns)
{
	text_styled(t, TEXT_BOLD, word_format("%c", letter).s);
	text_printf(t, " %s", word_endpoint(addr, port).s);
	if (info && cpl_info_known(info, CPL_F_pid))
		text_printf(t, " %s (pid %u)", word_foreign(info->program).s, info->pid);
	if (info && cpl_info_known(info, CPL_F_netns) && info->netns != own_netns)
		text_printf(t, " netns %u", info->netns);
}

static void put_names(const struct watch *w, struct text *t)
{
	const struct watch_open *o = &w->open;
	const struct watch_detail *d = &o->detail;
	struct text line;

	text_init(&line);
	line.colour = t->colour;
	put_end(&line, 'A', &o->key.local, o->key.local_port, o->known ? &d->end[0] : NULL,
		w->own_netns);
	text_puts(&line, "   ");
	if (o->known && d->have[1] && d->by == VIEW_BY_SEQUENCE)
		put_end(&line, 'B', &d->end[1].local_addr, d->end[1].local_port, &d->end[1],
			w->own_netns);
	else
		put_end(&line, 'B', &o->key.remote, o->key.remote_port,
			o->known && d->have[1] ? &d->end[1] : NULL, w->own_netns);
	if (o->known && d->by == VIEW_BY_SEQUENCE)
		text_puts(&line, "   (behind an address translator)");
	if (w->paused)
		text_styled(&line, TEXT_YELLOW, "   paused");
	watch_line(t, line.data, line.len, w->columns);
	text_free(&line);
}

/* The verdict, or why there is none: at most two lines. */
static unsigned put_verdict(const struct watch *w, struct text *t)
{
	const struct watch_open *o = &w->open;
	const struct watch_detail *d = &o->detail;
	struct text body;
	unsigned lines;

	text_init(&body);
	body.colour = t->colour;
	body.width = w->columns;
	if (!o->known)
		text_puts(&body, "looking for both ends ...");
	else if (d->gone[0])
		text_puts(&body, "This connection is gone; what it was at last stays here.");
	else if (o->key.state == CPL_LISTEN)
		text_puts(&body, "A listener has no other end: it waits for calls.");
	else if (d->compared)
		view_report_line(&body, &d->report);
	else
		text_wrap(&body,
			  "The other end is not to be seen from here: run couplet watch on its "
			  "host, too.",
			  0, w->columns);
	if (o->known && *d->missing) {
		text_puts(&body, d->compared ? "" : "\n");
		text_wrap(&body, d->missing, 0, w->columns);
	}
	lines = watch_lines(t, &body, 0, 2, w->columns);
	t->failed |= body.failed;
	text_free(&body);
	return lines < 2 ? lines : 2;
}

/* "A  no room: ..." for an end in trouble; returns how many lines. */
static unsigned put_troubles(const struct watch *w, struct text *t)
{
	const struct watch_open *o = &w->open;
	unsigned lines = 0;

	for (unsigned end = 0; end < 2; end++) {
		const struct rank_row *r = &o->row[end];
		struct text line;

		if (!o->known || !o->detail.have[end] || r->trouble == RANK_FINE)
			continue;
		text_init(&line);
		line.colour = t->colour;
		text_styled(&line, TEXT_BOLD, end ? "B " : "A ");
		text_styled(&line, r->trouble <= RANK_UNREAD ? TEXT_RED : TEXT_YELLOW,
			    rank_explain(r).s);
		watch_line(t, line.data, line.len, w->columns);
		text_free(&line);
		lines++;
	}
	return lines;
}

/* ---- The parts ------------------------------------------------------------------------------- */

static void part_blocks(const struct watch *w, struct text *t)
{
	const struct watch_detail *d = &w->open.detail;
	bool seen = d->have[1] || d->gone[1];

	if (!w->open.known)
		return;
	if (seen || d->absent != VIEW_NOT_LOOKED)
		view_tcbs(t, "A", &d->end[0], "B", d->have[1] ? &d->end[1] : NULL, 0);
	else
		view_tcb(t, &d->end[0], 0);
}

static void part_states(const struct watch *w, struct text *t)
{
	const struct state_marks *m = &w->open.marks;

	state_diagram(t, m);
	text_puts(t, "A is ");
	text_puts(t, m->now[0] < 0 ? "not seen" : view_state_rfc((unsigned)m->now[0]));
	text_puts(t, ", B is ");
	text_puts(t, m->now[1] < 0 ? "not seen" : view_state_rfc((unsigned)m->now[1]));
	text_puts(t, "; bold: seen while this was open.\n");
}

static void part_plot(const struct watch *w, struct text *t, unsigned width, unsigned lines)
{
	const struct watch_open *o = &w->open;
	static const char *const kinds[] = {
		[TIMESEQ_NONE] = "",
		[TIMESEQ_SENDER] = " (sequence numbers)",
		[TIMESEQ_COUNTERS] = " (byte counters: sequence numbers need root)",
		[TIMESEQ_RECEIVER] = " (as the receiver sees it)",
		[TIMESEQ_RECEIVED] = " (as the receiver counts it)",
	};
	const struct timeseq *s = &o->way[o->direction];

	text_styled(t, TEXT_BOLD,
		    o->direction ? "bytes from B to A over time" : "bytes from A to B over time");
	text_printf(t, "%s\n", kinds[s->kind]);
	timeseq_draw(t, s, width, lines > 1 ? lines - 1 : 1);
}

/* ---- All three ------------------------------------------------------------------------------- */

/* Two texts beside each other; the right one begins at COLUMN. */
static void beside(struct text *t, const struct text *left, const struct text *right,
		   unsigned column)
{
	const char *a = left->data ? left->data : "", *b = right->data ? right->data : "";

	while (*a || *b) {
		size_t n = strcspn(a, "\n"), m = strcspn(b, "\n");

		text_printf(t, "%.*s", (int)n, a);
		if (m)
			text_column(t, column, 0);
		text_printf(t, "%.*s\n", (int)m, b);
		a += n + (a[n] == '\n');
		b += m + (b[m] == '\n');
	}
}

static void put_tabs(const struct watch *w, struct text *t, bool all)
{
	static const char *const names[WATCH_PARTS] = {
		"1 control blocks",
		"2 states",
		"3 time and sequence",
	};
	struct text line;

	text_init(&line);
	line.colour = t->colour;
	for (unsigned part = 0; part < WATCH_PARTS && !all; part++) {
		bool chosen = part == w->open.part;

		text_styled(&line, chosen ? TEXT_CYAN : TEXT_PLAIN,
			    word_format("%s%s%s", chosen ? "[" : " ", names[part],
					chosen ? "]" : " ")
				    .s);
		text_puts(&line, " ");
	}
	text_puts(&line, "d direction  Esc back");
	if (w->columns >= 100)
		text_puts(&line, "  ? help");
	if (w->open.known && w->columns >= 120)
		text_printf(&line, "   both read twice in %s", word_ns(w->open.detail.cost_ns).s);
	watch_line(t, line.data, line.len, w->columns);
	text_free(&line);
}

/* Everything at once, in two columns or one below the other; false: there is no room. */
static bool put_all(const struct watch *w, struct text *body, unsigned lines)
{
	unsigned states = STATE_DIAGRAM_LINES + 2;
	struct text left, right;

	text_init(&left);
	text_init(&right);
	left.colour = right.colour = body->colour;
	left.ascii = right.ascii = body->ascii;
	if (w->columns >= BLOCK_COLUMNS + 2 + STATE_DIAGRAM_WIDTH && lines >= states + 8) {
		part_blocks(w, &left);
		part_states(w, &right);
		text_puts(&right, "\n");
		part_plot(w, &right, w->columns - BLOCK_COLUMNS - 3,
			  lines - states < PLOT_LINES ? lines - states : PLOT_LINES);
		beside(body, &left, &right, BLOCK_COLUMNS + 2);
	} else if (lines >= 26 + states + 8) {
		part_blocks(w, body);
		text_puts(body, "\n");
		part_states(w, body);
		text_puts(body, "\n");
		part_plot(w, body, w->columns, lines - 26 - states);
	}
	text_free(&left);
	text_free(&right);
	return body->len > 0;
}

void watch_draw_open(struct watch *w, struct text *t)
{
	struct watch_open *o = &w->open;
	unsigned lines = w->lines - 2, all, have = 0;
	struct text body;
	bool whole;

	text_init(&body);
	body.colour = t->colour;
	body.ascii = t->ascii;
	body.width = w->columns < BLOCK_COLUMNS ? w->columns : BLOCK_COLUMNS;
	put_names(w, t);
	lines -= put_verdict(w, t);
	lines -= put_troubles(w, t);
	whole = put_all(w, &body, lines);
	if (!whole && o->part == WATCH_BLOCKS)
		part_blocks(w, &body);
	else if (!whole && o->part == WATCH_STATES)
		part_states(w, &body);
	else if (!whole)
		part_plot(w, &body, w->columns, lines);
	for (size_t i = 0; i < body.len; i++)
		have += body.data[i] == '\n';
	all = have > lines ? have - lines : 0;
	if (o->scroll > all)
		o->scroll = all;
	watch_lines(t, &body, o->scroll, lines, w->columns);
	for (unsigned i = have - o->scroll; i < lines; i++)
		text_puts(t, "\n");
	put_tabs(w, t, whole);
	t->failed |= body.failed;
	text_free(&body);
}
