/* SPDX-License-Identifier: MIT */
/* The time-sequence plot: see timeseq.h. */
#include "view/timeseq.h"

#include <string.h>

#define AXIS	    10		 /* columns of the scale at the left, its line included */
#define LEAST_NS    10000000000u /* a plot shows at least so much time */
#define LEAST_BYTES 1024

void timeseq_clear(struct timeseq *s)
{
	memset(s, 0, sizeof(*s));
}

static bool has(const struct cpl_info *i, enum cpl_field f)
{
	return i && cpl_info_known(i, f);
}

/* One sample in the numbers of its source: all modulo 2^32. */
struct raw {
	enum timeseq_kind kind;
	uint64_t time;
	uint32_t una, nxt, edge;
	bool edge_known;
};

static bool raw_of_sender(struct raw *r, const struct cpl_info *i)
{
	uint64_t once;

	if (has(i, CPL_F_snd_una) && has(i, CPL_F_snd_nxt)) {
		r->kind = TIMESEQ_SENDER;
		r->una = i->snd_una;
		r->nxt = i->snd_nxt;
	} else if (has(i, CPL_F_bytes_acked) && has(i, CPL_F_bytes_sent) &&
		   has(i, CPL_F_bytes_retrans)) {
		once = i->bytes_sent - i->bytes_retrans;
		r->kind = TIMESEQ_COUNTERS;
		r->una = (uint32_t)i->bytes_acked;
		/* Two counters of two moments: what is acknowledged was sent. */
		r->nxt = once > i->bytes_acked ? (uint32_t)once : r->una;
	} else {
		return false;
	}
	r->time = i->taken;
	r->edge_known = has(i, CPL_F_snd_wnd);
	r->edge = r->una + i->snd_wnd;
	return true;
}

static bool raw_of_receiver(struct raw *r, const struct cpl_info *i)
{
	if (has(i, CPL_F_rcv_nxt)) {
		r->kind = TIMESEQ_RECEIVER;
		r->una = r->nxt = i->rcv_nxt;
		r->edge_known = has(i, CPL_F_rcv_edge);
		r->edge = i->rcv_edge;
	} else if (has(i, CPL_F_bytes_received)) {
		r->kind = TIMESEQ_RECEIVED;
		r->una = r->nxt = (uint32_t)i->bytes_received;
		r->edge_known = has(i, CPL_F_rcv_wnd);
		r->edge = r->una + i->rcv_wnd;
	} else {
		return false;
	}
	r->time = i->taken;
	return true;
}

bool timeseq_add(struct timeseq *s, const struct cpl_info *sender, const struct cpl_info *receiver)
{
	struct timeseq_point *p;
	struct raw r = { 0 };

	if (!raw_of_sender(&r, sender) && !raw_of_receiver(&r, receiver))
		return false;
	if (s->kind != r.kind) {
		timeseq_clear(s);
		s->kind = r.kind;
		s->raw = r.una;
	}
	s->una += (int32_t)(r.una - s->raw);
	s->raw = r.una;
	if (s->n && r.time <= s->point[(s->first + s->n - 1) % TIMESEQ_POINTS].time)
		return true; /* nothing newer */
	if (s->n == TIMESEQ_POINTS)
		s->first = (s->first + 1) % TIMESEQ_POINTS;
	else
		s->n++;
	p = &s->point[(s->first + s->n - 1) % TIMESEQ_POINTS];
	p->time = r.time;
	p->una = s->una;
	p->nxt = s->una + (int32_t)(r.nxt - r.una);
	p->edge = s->una + (int64_t)(uint32_t)(r.edge - r.una);
	p->edge_known = r.edge_known;
	return true;
}

/* ---- Drawing --------------------------------------------------------------------------------- */

struct plot {
	struct text *t;
	const struct timeseq *s;
	unsigned width, height; /* of the field */
	uint64_t from, to;	/* ns */
	int64_t low, high;	/* bytes: the field shows low <= y < high */
	bool edge_above;	/* the edge of the window is far above */
	bool edge_known;
};

static const struct timeseq_point *point(const struct timeseq *s, size_t n)
{
	return &s->point[(s->first + n) % TIMESEQ_POINTS];
}

/* The last sample before the end of column X, or NULL: there was none yet. */
static const struct timeseq_point *at_column(const struct plot *p, unsigned x)
{
	uint64_t end = p->from + (uint64_t)((double)(p->to - p->from) * (x + 1) / p->width + 0.5);
	size_t low = 0, high = p->s->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (point(p->s, middle)->time <= end)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? point(p->s, low - 1) : NULL;
}

static void scale(struct plot *p)
{
	const struct timeseq *s = p->s;
	int64_t least = INT64_MAX, most = INT64_MIN, edge = INT64_MIN, span;

	p->to = point(s, s->n - 1)->time;
	p->from = point(s, 0)->time;
	if (p->to - p->from < LEAST_NS)
		p->to = p->from + LEAST_NS;
	for (size_t n = 0; n < s->n; n++) {
		const struct timeseq_point *q = point(s, n);

		least = q->una < least ? q->una : least;
		most = q->nxt > most ? q->nxt : most;
		if (q->edge_known) {
			edge = q->edge > edge ? q->edge : edge;
			p->edge_known = true;
		}
	}
	span = most - least;
	p->low = least;
	p->high = most + 1;
	if (p->edge_known && edge >= most) {
		/* A window that is wide open must not press all else into one line. */
		p->edge_above = span > 0 && edge - most > 3 * span;
		p->high = (p->edge_above ? most + span / 4 : edge) + 1;
	}
	if (p->high - p->low < LEAST_BYTES)
		p->high = p->low + LEAST_BYTES;
}

/* The line of the field, from below, on which Y stands. */
static int row_of(const struct plot *p, int64_t y)
{
	return (int)((double)(y - p->low) * p->height / (double)(p->high - p->low));
}

enum mark {
	MARK_NONE,
	MARK_UNA,
	MARK_FLIGHT,
	MARK_EDGE
};

static enum mark mark_at(const struct plot *p, unsigned x, int row)
{
	const struct timeseq_point *q = at_column(p, x);
	int una, nxt;

	if (!q || q->time < p->from)
		return MARK_NONE;
	/* Columns after the last sample are the future. */
	if (q == point(p->s, p->s->n - 1) && x > 0 && at_column(p, x - 1) == q &&
	    p->from + (uint64_t)((double)(p->to - p->from) * x / p->width) > q->time)
		return MARK_NONE;
	una = row_of(p, q->una);
	nxt = row_of(p, q->nxt);
	if (q->nxt > q->una && row >= una && row <= nxt)
		return MARK_FLIGHT;
	if (row == una)
		return MARK_UNA;
	if (q->edge_known && row == row_of(p, q->edge))
		return MARK_EDGE;
	return MARK_NONE;
}

static void put_mark(struct text *t, enum mark mark)
{
	switch (mark) {
	case MARK_NONE:
		text_puts(t, " ");
		break;
	case MARK_UNA:
		text_styled(t, TEXT_GREEN, t->ascii ? "_" : "▁");
		break;
	case MARK_FLIGHT:
		text_styled(t, TEXT_YELLOW, t->ascii ? "#" : "█");
		break;
	case MARK_EDGE:
		text_styled(t, TEXT_CYAN, t->ascii ? "=" : "▔");
		break;
	}
}

static void put_field(const struct plot *p)
{
	struct text *t = p->t;

	for (int row = (int)p->height - 1; row >= 0; row--) {
		int64_t y = p->low + (int64_t)((double)(p->high - p->low) * row / p->height);
		bool labelled = row == 0 || row == (int)p->height - 1 || row == (int)p->height / 2;

		if (labelled)
			text_printf(t, "%*s", AXIS - 1, word_size((uint64_t)(y < 0 ? 0 : y)).s);
		text_column(t, AXIS - 1, 0);
		text_puts(t, t->ascii ? "|" : "│");
		for (unsigned x = 0; x < p->width; x++)
			put_mark(t, mark_at(p, x, row));
		text_puts(t, "\n");
	}
}

static void put_time_axis(const struct plot *p)
{
	struct text *t = p->t;
	struct view_word to = word_format("%u s", (unsigned)((p->to - p->from) / 1000000000u));

	text_repeat(t, " ", AXIS - 1);
	text_puts(t, t->ascii ? "+" : "└");
	text_repeat(t, t->ascii ? "-" : "─", p->width);
	text_puts(t, "\n");
	text_column(t, AXIS, 0);
	text_puts(t, "0 s");
	text_column(t, AXIS + p->width - view_cells(to.s), 1);
	text_printf(t, "%s\n", to.s);
}

static void put_legend(const struct plot *p)
{
	struct text *t = p->t;
	const struct timeseq_point *last = point(p->s, p->s->n - 1);
	bool received = p->s->kind == TIMESEQ_RECEIVER || p->s->kind == TIMESEQ_RECEIVED;

	put_mark(t, MARK_UNA);
	text_puts(t, received ? " arrived" : " acknowledged");
	if (!received) {
		text_puts(t, "  ");
		put_mark(t, MARK_FLIGHT);
		text_printf(t, " in flight: %s", word_size((uint64_t)(last->nxt - last->una)).s);
	}
	if (!last->edge_known)
		return;
	text_puts(t, "  ");
	put_mark(t, MARK_EDGE);
	text_printf(t, " window: %s%s", word_size((uint64_t)(last->edge - last->una)).s,
		    p->edge_above ? ", above" : "");
}

void timeseq_draw(struct text *t, const struct timeseq *s, unsigned width, unsigned height)
{
	struct plot p = { .t = t, .s = s };

	if (!s->n) {
		text_puts(t, "Of this direction no numbers are known.\n");
		return;
	}
	p.width = (width < 60 ? 60 : width) - AXIS;
	p.height = (height < 6 ? 6 : height) - 3;
	scale(&p);
	put_field(&p);
	put_time_axis(&p);
	put_legend(&p);
	text_puts(t, "\n");
}
