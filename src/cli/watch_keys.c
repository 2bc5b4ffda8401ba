/* SPDX-License-Identifier: MIT */
/* What keys do to a struct watch, and how new samples come into it: see watch.h. Pure. */
#include "cli/watch.h"

#include <stdlib.h>
#include <string.h>

void watch_init(struct watch *w)
{
	memset(w, 0, sizeof(*w));
	w->columns = 80;
	w->lines = 24;
	w->select.root = -1;
}

void watch_free(struct watch *w)
{
	free(w->order);
	w->order = NULL;
}

/* ---- The table ------------------------------------------------------------------------------- */

static const struct rank_row *row_at(const struct watch *w, size_t place)
{
	return &w->sample->row[w->order[place]];
}

static void remember(struct watch *w)
{
	w->has_selected = w->at < w->n;
	if (w->has_selected)
		w->selected = *row_at(w, w->at);
}

/* The first row of the screen: so that the selected one is on it. */
static void keep_in_sight(struct watch *w)
{
	size_t rows = watch_page_rows(w);

	if (w->at >= w->n)
		w->at = w->n ? w->n - 1 : 0;
	if (w->top > w->at)
		w->top = w->at;
	if (w->at >= w->top + rows)
		w->top = w->at - rows + 1;
	if (w->top + rows > w->n)
		w->top = w->n > rows ? w->n - rows : 0;
}

/* Anew in order; the selection stays with its connection, or with its place if that is gone. */
static void arrange(struct watch *w)
{
	const struct watch_sample *s = w->sample;
	size_t kept = 0;

	w->n = 0;
	if (!s)
		return;
	if (s->n > w->room) {
		uint32_t *bigger = reallocarray(w->order, s->n, sizeof(*bigger));

		if (!bigger)
			return;
		w->order = bigger;
		w->room = s->n;
	}
	w->n = rank_order(w->order, s->row, s->n, w->sort, w->reverse);
	for (size_t i = 0; i < w->n; i++) {
		const struct rank_row *r = row_at(w, i);

		if (r->state != CPL_LISTEN || w->listeners || r->trouble != RANK_FINE)
			w->order[kept++] = w->order[i];
	}
	w->n = kept;
	/* At the top one wants to see what is at the top; elsewhere, the same connection. */
	for (size_t i = 0; w->has_selected && w->at > 0 && i < w->n; i++) {
		if (rank_same(row_at(w, i), &w->selected)) {
			w->at = i;
			break;
		}
	}
	keep_in_sight(w);
	remember(w);
}

void watch_set_sample(struct watch *w, const struct watch_sample *sample)
{
	w->sample = sample;
	arrange(w);
}

static void move(struct watch *w, long by)
{
	long to = (long)w->at + by;

	if (to < 0)
		to = 0;
	if (to >= (long)w->n)
		to = w->n ? (long)w->n - 1 : 0;
	w->at = (size_t)to;
	keep_in_sight(w);
	remember(w);
}

static void sort_by(struct watch *w, int step)
{
	w->sort = (enum rank_sort)(((int)w->sort + step + RANK_SORTS) % RANK_SORTS);
	w->reverse = false;
	w->at = w->top = 0;
	w->has_selected = false;
	arrange(w);
}

static enum watch_act open_selected(struct watch *w)
{
	if (!w->has_selected)
		return WATCH_ACT_NONE;
	memset(&w->open, 0, sizeof(w->open));
	w->open.key = w->selected;
	w->open.marks.now[0] = w->open.marks.now[1] = -1;
	w->page = WATCH_OPEN;
	return WATCH_ACT_OPEN;
}

static enum watch_act press_table(struct watch *w, int key)
{
	switch (key) {
	case 'q':
		return WATCH_ACT_QUIT;
	case WATCH_KEY_UP:
	case 'k':
		move(w, -1);
		break;
	case WATCH_KEY_DOWN:
	case 'j':
		move(w, 1);
		break;
	case WATCH_KEY_PAGE_UP:
		move(w, -(long)watch_page_rows(w));
		break;
	case WATCH_KEY_PAGE_DOWN:
		move(w, (long)watch_page_rows(w));
		break;
	case WATCH_KEY_HOME:
	case 'g':
		move(w, -(long)w->n);
		break;
	case WATCH_KEY_END:
	case 'G':
		move(w, (long)w->n);
		break;
	case WATCH_KEY_LEFT:
		w->shift -= w->shift > 0;
		break;
	case WATCH_KEY_RIGHT:
		w->shift++; /* as far as there is something; watch_draw_table() sees to that */
		break;
	case 's':
		sort_by(w, 1);
		break;
	case 'S':
		sort_by(w, -1);
		break;
	case 'r':
		w->reverse = !w->reverse;
		arrange(w);
		break;
	case 'l':
		w->listeners = !w->listeners;
		arrange(w);
		break;
	case '/':
		w->editing = true;
		w->wrong = false;
		strcpy(w->edit, w->filter);
		break;
	case WATCH_KEY_ESCAPE:
		if (!*w->filter)
			break;
		*w->filter = 0;
		w->select.root = -1;
		w->select.n = 0;
		return WATCH_ACT_FILTER;
	case WATCH_KEY_ENTER:
		return open_selected(w);
	}
	return WATCH_ACT_NONE;
}

/* ---- The filter line ------------------------------------------------------------------------- */

static enum watch_act filter_done(struct watch *w)
{
	struct select parsed;

	if (select_parse(&parsed, w->edit, &w->error)) {
		w->wrong = true;
		return WATCH_ACT_NONE;
	}
	if (select_needs_rows(&parsed)) {
		w->wrong = true;
		w->error.at = 0;
		w->error.len = strlen(w->edit);
		strcpy(w->error.text, "rows have no numbers here: they move");
		return WATCH_ACT_NONE;
	}
	w->select = parsed;
	strcpy(w->filter, w->edit);
	w->editing = false;
	w->at = w->top = 0;
	w->has_selected = false;
	w->widest[0] = w->widest[1] = 0;
	return WATCH_ACT_FILTER;
}

static enum watch_act press_filter(struct watch *w, int key)
{
	size_t n = strlen(w->edit);

	switch (key) {
	case WATCH_KEY_ENTER:
		return filter_done(w);
	case WATCH_KEY_ESCAPE:
		w->editing = false;
		return WATCH_ACT_NONE;
	case WATCH_KEY_BACKSPACE:
		if (n)
			w->edit[n - 1] = 0;
		else
			w->editing = false;
		break;
	case WATCH_KEY_CLEAR:
		*w->edit = 0;
		break;
	default:
		if (key < 0x20 || key > 0x7e || n + 1 >= sizeof(w->edit))
			return WATCH_ACT_NONE;
		w->edit[n] = (char)key;
		w->edit[n + 1] = 0;
	}
	w->wrong = false;
	return WATCH_ACT_NONE;
}

/* ---- An opened connection -------------------------------------------------------------------- */

static void scroll(unsigned *at, long by)
{
	long to = (long)*at + by;

	*at = to < 0 ? 0 : (unsigned)to; /* the end is found when it is drawn */
}

static void press_scroll(unsigned *at, int key, long page)
{
	switch (key) {
	case WATCH_KEY_UP:
	case 'k':
		scroll(at, -1);
		break;
	case WATCH_KEY_DOWN:
	case 'j':
		scroll(at, 1);
		break;
	case WATCH_KEY_PAGE_UP:
		scroll(at, -page);
		break;
	case WATCH_KEY_PAGE_DOWN:
		scroll(at, page);
		break;
	case WATCH_KEY_HOME:
		*at = 0;
		break;
	case WATCH_KEY_END:
		*at = 10000;
		break;
	}
}

static enum watch_act press_open(struct watch *w, int key)
{
	struct watch_open *o = &w->open;

	switch (key) {
	case 'q':
	case WATCH_KEY_ESCAPE:
	case WATCH_KEY_BACKSPACE:
	case WATCH_KEY_LEFT:
		w->page = WATCH_TABLE;
		return WATCH_ACT_CLOSE;
	case '1':
	case '2':
	case '3':
		o->part = (enum watch_part)(key - '1');
		o->scroll = 0;
		break;
	case WATCH_KEY_TAB:
		o->part = (enum watch_part)((o->part + 1) % WATCH_PARTS);
		o->scroll = 0;
		break;
	case 'd':
		o->direction = !o->direction;
		o->direction_chosen = true;
		break;
	default:
		press_scroll(&o->scroll, key, (long)w->lines - 6);
	}
	return WATCH_ACT_NONE;
}

/* Where more flows, or waits to, until the user chooses. */
static void choose_direction(struct watch_open *o)
{
	int64_t far[2] = { 0, 0 };

	for (unsigned way = 0; way < 2; way++) {
		const struct timeseq *s = &o->way[way];

		if (s->n)
			far[way] = s->point[(s->first + s->n - 1) % TIMESEQ_POINTS].nxt;
		if (o->detail.have[way])
			far[way] += o->detail.end[way].send_queue;
	}
	if (!o->direction_chosen)
		o->direction = far[1] > far[0];
}

/* What goes on at one end, since the sample before. */
static void follow_end(struct watch_open *o, unsigned end)
{
	bool before = o->row[end].taken != 0;
	struct rank_row now;

	rank_row_init(&now, &o->detail.end[end]);
	if (rank_join(&now, 1, &o->row[end], before) == 1)
		o->row[end] = now;
}

void watch_set_detail(struct watch *w, const struct watch_detail *detail)
{
	struct watch_open *o = &w->open;

	if (w->page == WATCH_TABLE || !rank_same(&o->key, &detail->key))
		return; /* it was closed meanwhile */
	o->detail = *detail;
	o->known = true;
	for (unsigned end = 0; end < 2; end++) {
		const struct cpl_info *i = &detail->end[end];

		if (detail->have[end] && cpl_info_known(i, CPL_F_state)) {
			o->marks.now[end] = i->state;
			o->marks.visited[end] |= (uint16_t)(1u << i->state);
		} else if (detail->gone[end]) {
			o->marks.now[end] = CPL_CLOSED;
		}
		if (detail->have[end])
			follow_end(o, end);
	}
	for (unsigned way = 0; way < 2; way++)
		timeseq_add(&o->way[way], detail->have[way] ? &detail->end[way] : NULL,
			    detail->have[!way] ? &detail->end[!way] : NULL);
	choose_direction(o);
}

/* ---- All keys -------------------------------------------------------------------------------- */

enum watch_act watch_press(struct watch *w, int key)
{
	if (key == WATCH_KEY_NONE)
		return WATCH_ACT_NONE;
	if (w->editing)
		return press_filter(w, key);
	if (w->page == WATCH_HELP) {
		if (key == '?' || key == 'q' || key == WATCH_KEY_ESCAPE || key == WATCH_KEY_ENTER)
			w->page = w->under;
		else
			press_scroll(&w->scroll, key, (long)w->lines - 3);
		return WATCH_ACT_NONE;
	}
	switch (key) {
	case '?':
	case 'h':
		w->under = w->page;
		w->page = WATCH_HELP;
		w->scroll = 0;
		return WATCH_ACT_NONE;
	case 'Q':
		return WATCH_ACT_QUIT;
	case ' ':
	case 'p':
		w->paused = !w->paused;
		return WATCH_ACT_PAUSE;
	}
	return w->page == WATCH_OPEN ? press_open(w, key) : press_table(w, key);
}
