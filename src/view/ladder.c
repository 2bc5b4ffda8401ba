/* SPDX-License-Identifier: MIT */
/*
 * The ladder: see ladder.h. A segment leaves a record at the end that sent it and one at the end
 * that received it; the two are matched by what a segment carries. Of several equal ones (a
 * retransmission, a copy made by the wire) an arrival belongs to the last that left early enough.
 */
#include "view/ladder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/seq.h"
#include "trace/ring.h"

enum {
	ARG_SEQ,
	ARG_ACK,
	ARG_LEN,
	ARG_FLAGS,
	ARG_WND,
	ARG_OPT,
	ARG_MSS,
	ARG_TSVAL,
	ARG_TSECR,
	ARG_LAST
};

#define FLAG_FIN 1u
#define FLAG_SYN 2u
#define FLAG_RST 4u
#define FLAG_ACK 16u

/* A segment that was sent, while the ladder is made. */
struct sent {
	struct view_step step;
	const uint32_t *arg;
	uint64_t time;	      /* of the record */
	uint64_t arrived_len; /* octets of it that arrived */
	size_t order;
	bool has_arrived;
};

/* All rows while they are made; those of both sides together. */
struct maker {
	const struct view_side *side[2];
	struct sent *rows;
	size_t n;
	struct sent **row_of[2]; /* the row of each record that is a segment; else NULL */
	struct sent **by_key[2]; /* what each side sent, in order of its key and time */
	size_t keys[2];
	uint64_t delay[2]; /* least time that a segment of this side was under way */
	uint32_t iss[2];
	uint64_t start, end;
};

/* ---- Rows of each side ----------------------------------------------------------------------- */

static struct sent *row_add(struct maker *m, const struct cpl_trace *r, enum view_row_kind kind,
			    unsigned side)
{
	struct sent *row = &m->rows[m->n];

	memset(row, 0, sizeof(*row));
	row->step.kind = kind;
	row->step.from = (uint8_t)side;
	row->arg = r->arg;
	row->time = r->time;
	row->order = m->n++;
	for (unsigned i = 0; i < 2; i++)
		row->step.state_from[i] = row->step.state_to[i] = -1;
	return row;
}

/* What a timer that fired is called; NULL: of no interest in a ladder. */
static const char *timer_note(uint32_t timer)
{
	switch (timer) {
	case 0:
		return "retransmission timer";
	case 1:
		return "zero-window probe timer";
	case 3:
		return "keep-alive timer";
	case 4:
		return "FIN-WAIT-2 or TIME-WAIT timer";
	case 5:
		return "user time-out";
	case 7:
		return "tail loss probe timer";
	default:
		return NULL;
	}
}

static void note(struct maker *m, unsigned side, const struct cpl_trace *r)
{
	const char *text = r->type == TRACE_timer ? timer_note(r->arg[0]) : "soft error";
	struct sent *row;

	if (!text)
		return;
	row = row_add(m, r, VIEW_ROW_NOTE, side);
	if (r->type == TRACE_timer)
		snprintf(row->step.note, sizeof(row->step.note), "%s fires", text);
	else
		snprintf(row->step.note, sizeof(row->step.note), "%s: %.60s", text,
			 strerror((int)(r->arg[0] & 0xffff)));
}

static void set_iss(struct maker *m, unsigned side)
{
	const struct view_side *s = m->side[side];

	m->iss[side] = s->iss;
	if (s->iss_known)
		return;
	for (size_t i = 0; i < s->n; i++) {
		if (s->records[i].type != TRACE_seg_out)
			continue;
		/* Without a SYN the first octet that is seen becomes number 1. */
		m->iss[side] = s->records[i].arg[ARG_SEQ] - 1;
		if (s->records[i].arg[ARG_FLAGS] & FLAG_SYN)
			m->iss[side]++;
		return;
	}
}

/* Segments sent, and notes. */
static void add_side(struct maker *m, unsigned side)
{
	const struct view_side *s = m->side[side];

	for (size_t i = 0; i < s->n; i++) {
		const struct cpl_trace *r = &s->records[i];

		if (r->type == TRACE_seg_out) {
			m->row_of[side][i] = row_add(m, r, VIEW_ROW_SEGMENT, side);
			m->row_of[side][i]->step.retrans = r->arg[ARG_LAST] != 0;
		} else if (r->type == TRACE_timer || r->type == TRACE_soft_error) {
			note(m, side, r);
		}
	}
}

/* ---- Matching arrivals with what was sent ---------------------------------------------------- */

static int key_order(const uint32_t *a, const uint32_t *b)
{
	if (a[ARG_SEQ] != b[ARG_SEQ])
		return a[ARG_SEQ] < b[ARG_SEQ] ? -1 : 1;
	if (a[ARG_LEN] != b[ARG_LEN])
		return a[ARG_LEN] < b[ARG_LEN] ? -1 : 1;
	if (a[ARG_ACK] != b[ARG_ACK])
		return a[ARG_ACK] < b[ARG_ACK] ? -1 : 1;
	if (a[ARG_FLAGS] != b[ARG_FLAGS])
		return a[ARG_FLAGS] < b[ARG_FLAGS] ? -1 : 1;
	return 0;
}

static int by_key(const void *pa, const void *pb)
{
	const struct sent *a = *(struct sent *const *)pa, *b = *(struct sent *const *)pb;
	int r = key_order(a->arg, b->arg);

	if (r)
		return r;
	if (a->time != b->time)
		return a->time < b->time ? -1 : 1;
	return a->order < b->order ? -1 : 1;
}

static int index_side(struct maker *m, unsigned side)
{
	struct sent **keys = malloc((m->n ? m->n : 1) * sizeof(*keys));
	size_t n = 0;

	if (!keys)
		return -ENOMEM;
	for (size_t i = 0; i < m->n; i++)
		if (m->rows[i].step.kind == VIEW_ROW_SEGMENT && m->rows[i].step.from == side)
			keys[n++] = &m->rows[i];
	qsort(keys, n, sizeof(*keys), by_key);
	m->by_key[side] = keys;
	m->keys[side] = n;
	return 0;
}

/* The first of side FROM's segments whose key is not below ARG. */
static size_t first_key(const struct maker *m, unsigned from, const uint32_t *arg)
{
	size_t low = 0, high = m->keys[from];

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (key_order(m->by_key[from][mid]->arg, arg) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* With timestamps, copies sent at different times differ. */
static bool same_stamp(const uint32_t *a, const uint32_t *b)
{
	return a[ARG_TSVAL] == b[ARG_TSVAL];
}

/* The least time under way, from segments that were sent and received exactly once. */
static void learn_delay(struct maker *m, unsigned from)
{
	const struct view_side *to = m->side[!from];

	m->delay[from] = UINT64_MAX;
	for (size_t i = 0; i < to->n; i++) {
		const struct cpl_trace *in = &to->records[i];
		size_t at;
		struct sent *s;

		if (in->type != TRACE_seg_in)
			continue;
		at = first_key(m, from, in->arg);
		if (at == m->keys[from] || key_order(m->by_key[from][at]->arg, in->arg) != 0)
			continue;
		s = m->by_key[from][at];
		if (at + 1 < m->keys[from] && key_order(m->by_key[from][at + 1]->arg, in->arg) == 0)
			continue;
		if (in->time >= s->time && in->time - s->time < m->delay[from])
			m->delay[from] = in->time - s->time;
	}
	if (m->delay[from] == UINT64_MAX)
		m->delay[from] = 0;
}

/*
 * The segment that this arrival is: the last one not yet arrived that left early enough, else one
 * that has arrived already (*AGAIN). NULL: none was recorded.
 */
static struct sent *match(struct maker *m, unsigned from, const struct cpl_trace *in, bool *again)
{
	struct sent *best = NULL, *copy = NULL;
	bool best_stamp = false;

	for (size_t i = first_key(m, from, in->arg); i < m->keys[from]; i++) {
		struct sent *s = m->by_key[from][i];
		bool stamp = same_stamp(s->arg, in->arg);

		if (key_order(s->arg, in->arg) != 0 || s->time > in->time)
			break;
		if (s->has_arrived) {
			copy = s;
			continue;
		}
		if (best && ((best_stamp && !stamp) ||
			     (best_stamp == stamp && in->time - s->time < m->delay[from])))
			continue;
		best = s;
		best_stamp = stamp;
	}
	*again = !best && copy;
	return best ? best : copy;
}

/* A super-segment that left in one piece arrives in several. */
static struct sent *match_part(struct maker *m, unsigned from, const struct cpl_trace *in)
{
	const uint32_t above[10] = { [ARG_SEQ] = in->arg[ARG_SEQ], [ARG_LEN] = UINT32_MAX };
	size_t n = m->keys[from], at = first_key(m, from, above);
	struct sent *best = NULL;

	if (!in->arg[ARG_LEN])
		return NULL;
	/* Backwards from the last that begins at or before this octet. */
	for (size_t k = 1; k <= n; k++) {
		struct sent *s = m->by_key[from][(at + n - k) % n];
		uint32_t offset = in->arg[ARG_SEQ] - s->arg[ARG_SEQ];

		if (offset >= 1u << 18)
			break;
		if (offset < s->arg[ARG_LEN] && s->time <= in->time &&
		    (!best || s->time > best->time))
			best = s;
	}
	return best;
}

/* The segment that was refused before anybody looked at its ACK: only DROP tells of it. */
static struct sent *match_drop(struct maker *m, unsigned from, const struct cpl_trace *drop)
{
	const uint32_t key[10] = { [ARG_SEQ] = drop->arg[1], [ARG_LEN] = drop->arg[2] };
	struct sent *best = NULL;

	for (size_t i = first_key(m, from, key); i < m->keys[from]; i++) {
		struct sent *s = m->by_key[from][i];

		if (s->arg[ARG_SEQ] != drop->arg[1] || s->arg[ARG_LEN] != drop->arg[2])
			break;
		if (s->has_arrived || s->time > drop->time || s->arg[ARG_FLAGS] != drop->arg[3])
			continue;
		if (!best || drop->time - s->time >= m->delay[from])
			best = s;
	}
	return best;
}

/* The text of a drop_* counter. */
static const char *drop_text(uint32_t number)
{
	static const char *const texts[] = {
#define CPL_COUNTER(name, text) text,
#include <couplet/counters.def>
	};

	return number < sizeof(texts) / sizeof(*texts) ? texts[number] : "dropped";
}

/* Marks S as arrived; returns the row that the arrival belongs to. */
static struct sent *arrive(struct maker *m, struct sent *s, const struct cpl_trace *in, bool again)
{
	if (again) { /* the wire made a copy */
		s = row_add(m, in, VIEW_ROW_SEGMENT, s->step.from);
		s->step.fate = VIEW_FATE_DUPLICATE;
		s->step.arrived = in->time;
		s->has_arrived = true;
		return s;
	}
	s->arrived_len += in->arg[ARG_LEN];
	s->has_arrived = true;
	s->step.arrived = in->time;
	s->step.fate = VIEW_FATE_ARRIVED;
	return s;
}

static void refuse(struct sent *s, uint32_t counter)
{
	if (!s || !counter)
		return;
	s->step.fate = VIEW_FATE_DROPPED;
	snprintf(s->step.note, sizeof(s->step.note), "%s", drop_text(counter));
}

/* Everything that side TO received. */
static void match_side(struct maker *m, unsigned to)
{
	const struct view_side *side = m->side[to];
	const struct cpl_trace *in = NULL;
	struct sent *row = NULL;

	for (size_t i = 0; i < side->n; i++) {
		const struct cpl_trace *r = &side->records[i];
		bool again = false;

		if (r->type == TRACE_seg_in) {
			in = r;
			row = match(m, !to, r, &again);
			if (!row)
				row = match_part(m, !to, r);
			if (row)
				row = arrive(m, row, r, again);
			m->row_of[to][i] = row;
			if (row && r->arg[ARG_LAST])
				row->step.fate = VIEW_FATE_DROPPED;
		} else if (r->type == TRACE_drop) {
			if (!in || in->time != r->time || in->arg[ARG_SEQ] != r->arg[1]) {
				row = match_drop(m, !to, r);
				if (row)
					row = arrive(m, row, r, false);
			}
			refuse(row, r->arg[0]);
		}
	}
}

/* ---- Changes of state ------------------------------------------------------------------------ */

/* The life of a listener, not of a connection. */
static bool is_listeners(const struct cpl_trace *r)
{
	return (r->arg[0] == CPL_CLOSED && r->arg[1] == CPL_LISTEN) ||
	       (r->arg[0] == CPL_LISTEN && r->arg[1] == CPL_CLOSED);
}

/* The block gives way to the small record that holds TIME-WAIT: nothing that anybody could see. */
static bool is_handover(const struct view_side *s, size_t i)
{
	const struct cpl_trace *r = &s->records[i];

	if (r->arg[0] != CPL_TIME_WAIT || r->arg[1] != CPL_CLOSED)
		return false;
	for (size_t k = i; k-- > 0 && s->records[k].time == r->time;)
		if (s->records[k].type == TRACE_state && s->records[k].arg[1] == CPL_TIME_WAIT)
			return true;
	return false;
}

/*
 * How well segment record R explains the change of state C of the same moment; 0: not at all. The
 * program's calls send SYN and FIN; all else comes of what arrives (RFC 9293, figure 5).
 */
static unsigned explains(const struct cpl_trace *r, const struct cpl_trace *c)
{
	uint32_t flags = r->arg[ARG_FLAGS], to = c->arg[1];
	bool out = to == CPL_SYN_SENT || to == CPL_FIN_WAIT_1 || to == CPL_LAST_ACK;
	bool by_fin = to == CPL_CLOSE_WAIT || to == CPL_CLOSING ||
		      (to == CPL_TIME_WAIT && c->arg[0] != CPL_CLOSING);

	if (r->type == TRACE_seg_out)
		return out && flags & (to == CPL_SYN_SENT ? FLAG_SYN : FLAG_FIN) ? 2 : 0;
	if (r->type != TRACE_seg_in || out)
		return 0;
	if (to == CPL_CLOSED)
		return flags & FLAG_RST ? 2 : c->arg[0] == CPL_LAST_ACK;
	if (to == CPL_LISTEN)
		return flags & FLAG_RST ? 2 : 0;
	if (to == CPL_SYN_RECEIVED)
		return flags & FLAG_SYN ? 2 : 0;
	return by_fin && !(flags & FLAG_FIN) ? 1 : 2;
}

/* The row of the segment of the same moment that explains record I best; the nearest of equals. */
static struct sent *explainer(const struct maker *m, unsigned side, size_t i)
{
	const struct view_side *s = m->side[side];
	const struct cpl_trace *c = &s->records[i];
	struct sent *best = NULL;
	size_t first = i, distance = SIZE_MAX;
	unsigned score = 0;

	while (first > 0 && s->records[first - 1].time == c->time)
		first--;
	for (size_t k = first; k < s->n && s->records[k].time == c->time; k++) {
		size_t d = k > i ? k - i : i - k;
		unsigned e = explains(&s->records[k], c);

		if (!e || !m->row_of[side][k] || e < score || (e == score && d >= distance))
			continue;
		best = m->row_of[side][k];
		score = e;
		distance = d;
	}
	return best;
}

static void add_states(struct maker *m, unsigned side)
{
	const struct view_side *s = m->side[side];

	for (size_t i = 0; i < s->n; i++) {
		const struct cpl_trace *r = &s->records[i];
		struct sent *row;

		if (r->type != TRACE_state || r->arg[0] >= CPL_STATES || r->arg[1] >= CPL_STATES ||
		    is_listeners(r) || is_handover(s, i))
			continue;
		row = explainer(m, side, i);
		if (!row)
			row = row_add(m, r, VIEW_ROW_STATE, side);
		if (row->step.state_to[side] < 0)
			row->step.state_from[side] = (int8_t)r->arg[0];
		row->step.state_to[side] = (int8_t)r->arg[1];
	}
}

/* What never arrived was lost, unless the records end before it could have. */
static void judge_lost(struct maker *m)
{
	for (size_t i = 0; i < m->n; i++) {
		struct sent *s = &m->rows[i];
		uint64_t delay = m->delay[s->step.from];

		if (s->step.kind != VIEW_ROW_SEGMENT)
			continue;
		if (s->has_arrived) {
			if (s->arrived_len && s->arrived_len < s->arg[ARG_LEN])
				snprintf(s->step.note, sizeof(s->step.note), "%u octets of it lost",
					 (unsigned)(s->arg[ARG_LEN] - s->arrived_len));
			continue;
		}
		s->step.fate = m->end - s->time <= 2 * delay ? VIEW_FATE_IN_FLIGHT : VIEW_FATE_LOST;
	}
}

/* ---- Order -------------------------------------------------------------------- */

static int by_time(const void *pa, const void *pb)
{
	const struct sent *a = pa, *b = pb;

	if (a->time != b->time)
		return a->time < b->time ? -1 : 1;
	return (a->order > b->order) - (a->order < b->order);
}

static void finish_step(struct maker *m, struct sent *s)
{
	struct view_step *step = &s->step;
	unsigned from = step->from;

	step->sent = s->time - m->start;
	if (s->has_arrived)
		step->arrived -= m->start;
	if (step->kind != VIEW_ROW_SEGMENT)
		return;
	step->flags = (uint16_t)(s->arg[ARG_FLAGS] & 0xff);
	step->seq = s->arg[ARG_SEQ] - m->iss[from];
	step->ack = step->flags & FLAG_ACK ? s->arg[ARG_ACK] - m->iss[!from] : 0;
	step->len = s->arg[ARG_LEN];
	step->wnd = s->arg[ARG_WND];
}

/* ---- All together ---------------------------------------------------------------------------- */

static int maker_run(struct maker *m, struct view_ladder *l, size_t most)
{
	for (unsigned side = 0; side < 2; side++) {
		m->row_of[side] = calloc(m->side[side]->n + 1, sizeof(*m->row_of[side]));
		if (!m->row_of[side])
			return -ENOMEM;
		set_iss(m, side);
		add_side(m, side);
	}
	for (unsigned side = 0; side < 2; side++)
		if (index_side(m, side) < 0)
			return -ENOMEM;
	for (unsigned side = 0; side < 2; side++) {
		learn_delay(m, side);
		match_side(m, !side);
	}
	judge_lost(m);
	add_states(m, 0);
	add_states(m, 1);
	qsort(m->rows, m->n, sizeof(*m->rows), by_time);
	m->start = m->n ? m->rows[0].time : 0;
	l->steps = malloc((m->n ? m->n : 1) * sizeof(*l->steps));
	if (!l->steps)
		return -ENOMEM;
	for (size_t i = 0; i < m->n; i++) {
		finish_step(m, &m->rows[i]);
		l->steps[i] = m->rows[i].step;
	}
	l->n = m->n;
	return view_ladder_shorten(l, most);
}

int view_ladder_make(struct view_ladder *ladder, const struct view_side *x,
		     const struct view_side *y, uint64_t end, size_t most)
{
	struct maker m = { .side = { x, y }, .end = end };
	int r = -ENOMEM;

	memset(ladder, 0, sizeof(*ladder));
	/* Every record makes at most one row: a segment received, that of a copy. */
	m.rows = malloc((x->n + y->n + 1) * sizeof(*m.rows));
	if (m.rows)
		r = maker_run(&m, ladder, most);
	for (unsigned side = 0; side < 2; side++) {
		snprintf(ladder->name[side], sizeof(ladder->name[side]), "%s",
			 m.side[side]->name ? m.side[side]->name
			 : side		    ? "Y"
					    : "X");
		ladder->iss[side] = m.iss[side];
		free(m.by_key[side]);
		free(m.row_of[side]);
	}
	free(m.rows);
	if (r < 0)
		view_ladder_free(ladder);
	return r;
}

void view_ladder_free(struct view_ladder *ladder)
{
	free(ladder->steps);
	memset(ladder, 0, sizeof(*ladder));
}
