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

static void row_state(struct sent *row, unsigned side, const struct cpl_trace *r)
{
	if (row->step.state_to[side] < 0)
		row->step.state_from[side] = (int8_t)(r->arg[0] < CPL_STATES ? r->arg[0] : 0);
	row->step.state_to[side] = (int8_t)(r->arg[1] < CPL_STATES ? r->arg[1] : 0);
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

/* Segments sent, notes, and the changes of state that go with a segment sent or with none. */
static void add_side(struct maker *m, unsigned side)
{
	const struct view_side *s = m->side[side];
	const struct cpl_trace *in = NULL;
	struct sent *out = NULL, *loose = NULL;

	for (size_t i = 0; i < s->n; i++) {
		const struct cpl_trace *r = &s->records[i];

		switch (r->type) {
		case TRACE_seg_in:
			in = r;
			break;
		case TRACE_seg_out:
			/* A change at the same moment just before belongs to this segment. */
			if (loose && loose->time == r->time) {
				loose->step.kind = VIEW_ROW_SEGMENT;
				loose->arg = r->arg;
				out = loose;
			} else {
				out = row_add(m, r, VIEW_ROW_SEGMENT, side);
			}
			loose = NULL;
			out->step.retrans = r->arg[ARG_LAST] != 0;
			break;
		case TRACE_state:
			if (in && in->time == r->time)
				break; /* see match_side() */
			if (out && out->time == r->time) {
				row_state(out, side, r);
				break;
			}
			if (!loose || loose->time != r->time)
				loose = row_add(m, r, VIEW_ROW_STATE, side);
			row_state(loose, side, r);
			break;
		case TRACE_call: /* what follows is the program's doing */
			in = NULL;
			out = NULL;
			break;
		case TRACE_timer:
		case TRACE_soft_error:
			note(m, side, r);
			break;
		default:
			break;
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

/* Everything that side TO received, and what it did to its state. */
static void match_side(struct maker *m, unsigned to)
{
	const struct view_side *side = m->side[to];
	const struct cpl_trace *in = NULL;
	struct sent *row = NULL;

	for (size_t i = 0; i < side->n; i++) {
		const struct cpl_trace *r = &side->records[i];
		bool again = false;

		switch (r->type) {
		case TRACE_seg_in:
			in = r;
			row = match(m, !to, r, &again);
			if (!row)
				row = match_part(m, !to, r);
			if (row)
				row = arrive(m, row, r, again);
			refuse(row, r->arg[ARG_LAST]);
			break;
		case TRACE_drop:
			if (!in || in->time != r->time || in->arg[ARG_SEQ] != r->arg[1]) {
				row = match_drop(m, !to, r);
				if (row)
					row = arrive(m, row, r, false);
			}
			refuse(row, r->arg[0]);
			break;
		case TRACE_state:
			if (!in || in->time != r->time)
				break; /* see add_side() */
			if (!row)
				row = row_add(m, r, VIEW_ROW_STATE, to);
			row_state(row, to, r);
			break;
		case TRACE_call:
			in = NULL;
			break;
		default:
			break;
		}
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

/* ---- Order and compaction -------------------------------------------------------------------- */

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

enum weight {
	WEIGHT_PLAIN,	 /* data and ACKs that arrived */
	WEIGHT_EXAMPLE,	 /* the first and the last of these */
	WEIGHT_TROUBLE,	 /* lost, repeated, refused, notes */
	WEIGHT_LANDMARK, /* handshake, close, changes of state */
};

static enum weight weight_of(const struct view_step *s)
{
	if (s->state_to[0] >= 0 || s->state_to[1] >= 0 || s->kind == VIEW_ROW_STATE ||
	    s->flags & (FLAG_SYN | FLAG_FIN | FLAG_RST))
		return WEIGHT_LANDMARK;
	if (s->kind == VIEW_ROW_NOTE || s->retrans || s->fate != VIEW_FATE_ARRIVED || *s->note)
		return WEIGHT_TROUBLE;
	return WEIGHT_PLAIN;
}

#define EXAMPLES 4

/* The first and the last plain rows show what the others are like. */
static void weigh(const struct view_step *steps, uint8_t *weight, size_t n)
{
	unsigned seen = 0;

	for (size_t i = 0; i < n; i++)
		weight[i] = (uint8_t)weight_of(&steps[i]);
	for (size_t i = 0; i < n && seen < EXAMPLES; i++)
		if (weight[i] == WEIGHT_PLAIN) {
			weight[i] = WEIGHT_EXAMPLE;
			seen++;
		}
	seen = 0;
	for (size_t i = n; i-- > 0 && seen < EXAMPLES;)
		if (weight[i] == WEIGHT_PLAIN) {
			weight[i] = WEIGHT_EXAMPLE;
			seen++;
		}
}

/* Rows that remain if only those of at least LEAST, of TROUBLE the first FEW, are kept. */
static size_t rows_left(const uint8_t *weight, size_t n, enum weight least, size_t few)
{
	size_t rows = 0, troubles = 0;
	bool gap = false;

	for (size_t i = 0; i < n; i++) {
		bool keep = weight[i] >= least && (weight[i] != WEIGHT_TROUBLE || troubles++ < few);

		if (keep || !gap)
			rows++;
		gap = !keep;
	}
	return rows;
}

static void gap_count(struct view_step *gap, const struct view_step *s)
{
	if (s->kind != VIEW_ROW_SEGMENT)
		return;
	gap->gap_segments++;
	gap->gap_bytes[s->from] += s->len;
	gap->gap_lost += s->fate == VIEW_FATE_LOST;
}

static void compact(struct view_ladder *l, const uint8_t *weight, enum weight least, size_t few)
{
	size_t out = 0, troubles = 0;
	struct view_step *gap = NULL;

	for (size_t i = 0; i < l->n; i++) {
		struct view_step step = l->steps[i];

		if (weight[i] >= least && (weight[i] != WEIGHT_TROUBLE || troubles++ < few)) {
			l->steps[out++] = step;
			gap = NULL;
			continue;
		}
		if (!gap) {
			gap = &l->steps[out++];
			memset(gap, 0, sizeof(*gap));
			gap->kind = VIEW_ROW_GAP;
			gap->sent = step.sent;
			memset(gap->state_from, -1, sizeof(gap->state_from));
			memset(gap->state_to, -1, sizeof(gap->state_to));
		}
		gap_count(gap, &step);
	}
	l->n = out;
}

static int shorten(struct view_ladder *l, size_t most)
{
	static const enum weight leasts[] = { WEIGHT_EXAMPLE, WEIGHT_TROUBLE, WEIGHT_LANDMARK };
	uint8_t *weight;
	enum weight least = WEIGHT_PLAIN;
	size_t few = SIZE_MAX;

	if (!most || l->n <= most)
		return 0;
	weight = malloc(l->n);
	if (!weight)
		return -ENOMEM;
	weigh(l->steps, weight, l->n);
	/* First leave out plain rows, then all but some troubles, then all but landmarks. */
	least = leasts[0];
	for (few = 64; few >= 4 && rows_left(weight, l->n, least, few) > most; few /= 2)
		;
	for (unsigned i = 1; i < 3 && rows_left(weight, l->n, least, few) > most; i++)
		least = leasts[i];
	compact(l, weight, least, few);
	free(weight);
	return 0;
}

/* ---- All together ---------------------------------------------------------------------------- */

static int maker_run(struct maker *m, struct view_ladder *l, size_t most)
{
	for (unsigned side = 0; side < 2; side++) {
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
	return shorten(l, most);
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
