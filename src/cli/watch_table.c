/* SPDX-License-Identifier: MIT */
/* The screen of couplet watch as lines of text: the table, the help, and what both share. Pure. */
#include <string.h>

#include "cli/watch.h"

/* Lines that are no rows: two of title, the heading; two about the selected row, one of keys. */
#define ABOVE 3
#define BELOW 3

/* ---- Lines ----------------------------------------------------------------------------------- */

/* The same without the end of line. */
static void put_cut(struct text *t, const char *s, size_t n, unsigned columns)
{
	unsigned cells = view_cells_n(s, n), at = 0;
	bool cut = cells > columns, escape = false;
	size_t i = 0;

	if (!columns)
		return;
	while (i < n) {
		size_t size = 1;

		if (s[i] == 0x1b) {
			while (i + size < n && s[i + size - 1] != 'm')
				size++;
			escape = true;
		} else {
			if (cut && at + 1 == columns)
				break;
			while (i + size < n && (s[i + size] & 0xc0) == 0x80)
				size++;
			at++;
		}
		text_printf(t, "%.*s", (int)size, s + i);
		i += size;
	}
	if (cut && escape)
		text_puts(t, "\033[0m");
	if (cut)
		text_puts(t, "~");
}

void watch_line(struct text *t, const char *s, size_t n, unsigned columns)
{
	put_cut(t, s, n, columns);
	text_puts(t, "\n");
}

unsigned watch_lines(struct text *t, const struct text *body, unsigned from, unsigned lines,
		     unsigned columns)
{
	const char *s = body->data ? body->data : "";
	unsigned number = 0;

	for (; *s; number++) {
		size_t n = strcspn(s, "\n");

		if (number >= from && number - from < lines)
			watch_line(t, s, n, columns);
		s += n + (s[n] == '\n');
	}
	return number;
}

/* LEFT and RIGHT at the two sides of one line; LEFT gives way. */
static void put_ends(struct text *t, unsigned columns, const struct text *left, const char *right)
{
	unsigned need = view_cells(right);
	const char *s = left->data ? left->data : "";
	struct text line;

	text_init(&line);
	if (need + 1 < columns)
		put_cut(&line, s, strlen(s), columns - need - 1);
	text_column(&line, columns > need ? columns - need : 0, 0);
	text_puts(&line, right);
	watch_line(t, line.data, line.len, columns);
	t->failed |= line.failed;
	text_free(&line);
}

/* ---- Columns --------------------------------------------------------------------------------- */

enum column {
	COL_LOCAL,
	COL_FOREIGN,
	COL_STATE,
	COL_RECV_QUEUE,
	COL_SEND_QUEUE,
	COL_IN,
	COL_OUT,
	COL_RTT,
	COL_CWND,
	COL_PROGRAM,
	COL_TROUBLE,
	COLS
};

/* These stay; the rest can be scrolled. */
#define COL_FIXED COL_RECV_QUEUE

static const struct {
	const char *title;
	enum rank_sort sort;
	uint32_t change; /* RANK_ bit that makes it bold */
	uint8_t width;
	bool right;
} columns[COLS] = {
	[COL_LOCAL] = { "Local", RANK_BY_LOCAL, RANK_NEW, 15, false },
	[COL_FOREIGN] = { "Foreign", RANK_BY_FOREIGN, RANK_NEW, 15, false },
	[COL_STATE] = { "State", RANK_BY_STATE, RANK_STATE, 11, false },
	[COL_RECV_QUEUE] = { "Recv-Q", RANK_BY_RECV_QUEUE, RANK_RECV_QUEUE, 6, true },
	[COL_SEND_QUEUE] = { "Send-Q", RANK_BY_SEND_QUEUE, RANK_SEND_QUEUE, 6, true },
	[COL_IN] = { "In/s", RANK_BY_IN, RANK_IN_RATE, 5, true },
	[COL_OUT] = { "Out/s", RANK_BY_OUT, RANK_OUT_RATE, 5, true },
	[COL_RTT] = { "RTT", RANK_BY_RTT, RANK_RTT, 5, true },
	[COL_CWND] = { "cwnd", RANK_BY_CWND, RANK_CWND, 5, true },
	[COL_PROGRAM] = { "Program", RANK_BY_PROGRAM, 0, 8, false },
	[COL_TROUBLE] = { "Trouble", RANK_BY_MATTER, 0, 10, false },
};

/* Where columns stand: 0 columns wide is left out. */
struct layout {
	unsigned width[COLS];
};

/* "10.0.0.1:80", shortened in the middle of the host to at most WIDTH; "~" says so. */
static struct view_word endpoint(const struct cpl_addr *addr, uint16_t port, unsigned width)
{
	struct view_word w = word_endpoint(addr, port);
	const char *colon = strrchr(w.s, ':');
	size_t len = strlen(w.s), tail = colon ? len - (size_t)(colon - w.s) : 0;

	if (len <= width || width < tail + 3)
		return w;
	return word_format("%.*s~%s", (int)(width - tail - 1), w.s, colon);
}

static struct view_word number(bool known, uint64_t n)
{
	return known ? rank_short(n) : word_format("-");
}

static struct view_word cell(const struct rank_row *r, enum column col, unsigned width)
{
	bool listens = r->state == CPL_LISTEN;

	switch (col) {
	case COL_LOCAL:
		return endpoint(&r->local, r->local_port, width);
	case COL_FOREIGN:
		return endpoint(&r->remote, r->remote_port, width);
	case COL_STATE:
		return word_format("%s",
				   rank_known(r, CPL_F_state) ? view_state_rfc(r->state) : "-");
	case COL_RECV_QUEUE: /* of a listener, as netstat has it */
		return listens ? number(rank_known(r, CPL_F_accept_queue), r->accept_queue)
			       : number(rank_known(r, CPL_F_recv_queue), r->recv_queue);
	case COL_SEND_QUEUE:
		return listens ? number(rank_known(r, CPL_F_backlog), r->backlog)
			       : number(rank_known(r, CPL_F_send_queue), r->send_queue);
	case COL_IN:
		return number(r->rated, r->in_rate);
	case COL_OUT:
		return number(r->rated, r->out_rate);
	case COL_RTT:
		return rank_known(r, CPL_F_srtt) ? rank_short_ns(r->srtt) : word_format("-");
	case COL_CWND:
		return number(rank_known(r, CPL_F_cwnd), r->cwnd);
	case COL_PROGRAM:
		return rank_known(r, CPL_F_program) ? word_foreign(r->program) : word_format("-");
	case COL_TROUBLE:
		return word_format("%s", rank_trouble_name(r->trouble));
	case COLS:
		break;
	}
	return word_format("-");
}

static unsigned fixed_width(const struct layout *l)
{
	unsigned sum = 2; /* ">!" */

	for (unsigned col = 0; col < COL_FIXED; col++)
		sum += l->width[col] + (col > 0);
	return sum;
}

/* Addresses get what they need, as far as that leaves room for the first two numbers. */
static void lay_addresses(struct watch *w, struct layout *l)
{
	unsigned rows = watch_page_rows(w), spare = w->columns - 16 - l->width[COL_STATE];

	for (unsigned side = 0; side < 2; side++)
		if (!w->widest[side])
			w->widest[side] = columns[side].width;
	for (size_t i = w->top; i < w->n && i < w->top + rows; i++) {
		const struct rank_row *r = &w->sample->row[w->order[i]];

		for (unsigned side = 0; side < 2; side++) {
			unsigned need = (unsigned)strlen(cell(r, (enum column)side, 100).s);

			if (need > w->widest[side])
				w->widest[side] = need;
		}
	}
	for (unsigned side = 0; side < 2; side++)
		l->width[side] = w->widest[side];
	while (l->width[0] + l->width[1] > spare) {
		unsigned wide = l->width[1] >= l->width[0];

		l->width[wide]--;
	}
}

/* Which columns fit; w->shift is made smaller where more would show nothing. */
static void lay_out(struct watch *w, struct layout *l)
{
	unsigned at, col, rows = watch_page_rows(w);

	memset(l, 0, sizeof(*l));
	l->width[COL_STATE] = columns[COL_STATE].width;
	for (size_t i = w->top; i < w->n && i < w->top + rows; i++) {
		const struct rank_row *r = &w->sample->row[w->order[i]];
		unsigned need = (unsigned)strlen(cell(r, COL_STATE, 0).s);

		if (need > l->width[COL_STATE])
			l->width[COL_STATE] = need;
	}
	lay_addresses(w, l);
	for (unsigned shift = 0;; shift++) {
		/* The most that is of use: when the last column is in sight. */
		at = fixed_width(l);
		for (col = COL_FIXED + shift; col < COLS; col++)
			at += 1 + columns[col].width;
		if (at <= w->columns || shift + 1 == COLS - COL_FIXED) {
			if (w->shift > shift)
				w->shift = shift;
			break;
		}
	}
	at = fixed_width(l);
	for (col = COL_FIXED + w->shift; col < COLS; col++) {
		unsigned room = w->columns > at + 1 ? w->columns - at - 1 : 0;
		unsigned need = columns[col].width;

		if (room < need)
			break;
		l->width[col] = need;
		at += 1 + need;
	}
	/* Names of programs take what is left. */
	if (l->width[COL_PROGRAM] && w->columns > at)
		l->width[COL_PROGRAM] += w->columns - at < 8 ? w->columns - at : 7;
}

static void put_cell(struct text *t, const char *s, enum column col, unsigned width,
		     enum text_style style)
{
	unsigned cells = view_cells(s);
	struct view_word w = word_format("%s", s);

	if (cells > width) {
		w.s[width - 1] = '~';
		w.s[width] = 0;
		cells = width;
	}
	if (columns[col].right)
		text_repeat(t, " ", width - cells);
	text_styled(t, *s ? style : TEXT_PLAIN, w.s);
	if (!columns[col].right)
		text_repeat(t, " ", width - cells);
}

static void put_heading(struct watch *w, struct text *t, const struct layout *l)
{
	struct text line;

	text_init(&line);
	line.colour = t->colour;
	text_puts(&line, "  ");
	for (unsigned col = 0; col < COLS; col++) {
		bool sorted = columns[col].sort == w->sort;

		if (!l->width[col])
			continue;
		text_puts(&line, col ? " " : "");
		put_cell(&line, columns[col].title, (enum column)col, l->width[col],
			 sorted ? TEXT_CYAN : TEXT_BOLD);
	}
	watch_line(t, line.data, line.len, w->columns);
	text_free(&line);
}

static enum text_style row_style(const struct rank_row *r, enum column col)
{
	if (r->changed & columns[col].change)
		return TEXT_BOLD;
	if (col == COL_TROUBLE || (col == COL_STATE && r->trouble != RANK_FINE))
		return r->trouble <= RANK_UNREAD ? TEXT_RED : TEXT_YELLOW;
	return TEXT_PLAIN;
}

static void put_row(struct watch *w, struct text *t, const struct layout *l, size_t place)
{
	const struct rank_row *r = &w->sample->row[w->order[place]];

	text_puts(t, place == w->at ? ">" : " ");
	text_styled(t, r->trouble <= RANK_UNREAD ? TEXT_RED : TEXT_YELLOW,
		    r->trouble == RANK_FINE ? " " : "!");
	for (unsigned col = 0; col < COLS; col++) {
		if (!l->width[col])
			continue;
		text_puts(t, col ? " " : "");
		put_cell(t, cell(r, (enum column)col, l->width[col]).s, (enum column)col,
			 l->width[col], row_style(r, (enum column)col));
	}
	while (t->len && t->data[t->len - 1] == ' ')
		t->data[--t->len] = 0;
	text_puts(t, "\n");
}

/* ---- Above and below ------------------------------------------------------------------------- */

unsigned watch_page_rows(const struct watch *w)
{
	return w->lines > ABOVE + BELOW ? w->lines - ABOVE - BELOW : 1;
}

static size_t in_trouble(const struct watch *w)
{
	size_t n = 0;

	for (size_t i = 0; i < w->n; i++)
		n += w->sample->row[w->order[i]].trouble != RANK_FINE;
	return n;
}

static struct view_word cost_of(const struct watch *w)
{
	uint64_t every = w->interval_ms * 1000000ull;

	if (w->paused || !w->sample)
		return word_format("%s", w->paused ? "paused" : "sampling ...");
	if (every < w->sample->cost_ns * WATCH_SHARE)
		every = w->sample->cost_ns * WATCH_SHARE;
	return word_format("sampled in %s, every %.3g s", word_ns(w->sample->cost_ns).s,
			   (double)every / 1e9);
}

static void put_title(const struct watch *w, struct text *t)
{
	struct view_word cost = cost_of(w);
	struct text line;
	size_t trouble;

	text_init(&line);
	line.colour = t->colour;
	text_styled(&line, TEXT_BOLD, "couplet watch");
	if (w->sample) {
		trouble = in_trouble(w);
		text_printf(&line, "  %s connection%s", word_count(w->n).s, w->n == 1 ? "" : "s");
		if (trouble) {
			text_puts(&line, ", ");
			text_styled(&line, TEXT_RED,
				    word_format("%s in trouble", word_count(trouble).s).s);
		}
	}
	if (strchr(cost.s, ',') && text_at(&line) + view_cells(cost.s) >= w->columns)
		*strchr(cost.s, ',') = 0; /* how much is in trouble matters more */
	put_ends(t, w->columns, &line, cost.s);
	text_free(&line);
}

/* What was chosen, and the first thing that was not seen. */
static void put_choice(const struct watch *w, struct text *t)
{
	struct view_word sort =
		word_format("by %s%s", rank_sort_name(w->sort), w->reverse ? ", reversed" : "");
	struct text line;

	text_init(&line);
	line.colour = t->colour;
	if (*w->filter)
		text_printf(&line, "filter: %s  ", w->filter);
	if (w->sample && w->sample->notes.n)
		text_styled(&line, TEXT_YELLOW, w->sample->notes.note[0].text);
	else if (!*w->filter)
		text_puts(&line, "every TCP connection");
	put_ends(t, w->columns, &line, sort.s);
	text_free(&line);
}

static void put_selected(const struct watch *w, struct text *t)
{
	const struct rank_row *r;
	struct text line;

	if (w->at >= w->n) {
		text_puts(t, "\n\n");
		return;
	}
	r = &w->sample->row[w->order[w->at]];
	text_init(&line);
	line.colour = t->colour;
	text_printf(&line, "%s - %s", word_endpoint(&r->local, r->local_port).s,
		    word_endpoint(&r->remote, r->remote_port).s);
	if (rank_known(r, CPL_F_pid))
		text_printf(&line, "  %s (pid %u)", word_foreign(r->program).s, r->pid);
	if (rank_known(r, CPL_F_netns) && r->netns != w->own_netns)
		text_printf(&line, "  netns %u", r->netns);
	if (rank_known(r, CPL_F_srtt) && rank_known(r, CPL_F_cwnd))
		text_printf(&line, "  rtt %s  cwnd %s", word_ns(r->srtt).s, word_count(r->cwnd).s);
	watch_line(t, line.data, line.len, w->columns);
	text_free(&line);
	line.colour = t->colour;
	text_styled(&line,
		    r->trouble == RANK_FINE	? TEXT_PLAIN
		    : r->trouble <= RANK_UNREAD ? TEXT_RED
						: TEXT_YELLOW,
		    rank_explain(r).s);
	watch_line(t, line.data, line.len, w->columns);
	text_free(&line);
}

/* The end of a filter that is longer than the line. */
static void put_filter(struct watch *w, struct text *t)
{
	unsigned n = (unsigned)strlen(w->edit), room = w->columns - 2;
	unsigned from = n > room ? n - room : 0;

	if (w->wrong) {
		struct text line;

		text_init(&line);
		line.colour = t->colour;
		text_styled(&line, TEXT_RED, w->error.text);
		watch_line(t, line.data, line.len, w->columns);
		text_free(&line);
		/* Under it, what of the text is meant. */
		for (unsigned i = 0; i < w->columns; i++)
			text_puts(t, i >= 1 + (w->error.at < from ? 0 : w->error.at - from) &&
						     i < 1 + w->error.at + w->error.len - from
					     ? "v"
					     : " ");
		text_puts(t, "\n");
	} else {
		text_puts(t, "\n");
		watch_line(t,
			   "  :443  curl  pid:812  state established  'srtt > 10ms and not curl'",
			   69, w->columns);
	}
	text_printf(t, "/%s\n", w->edit + from);
	w->cursor_column = (int)(1 + n - from);
	w->cursor_line = (int)w->lines - 1;
}

void watch_draw_table(struct watch *w, struct text *t)
{
	static const char keys[] =
		"Enter open  / filter  s sort  Space pause  l listeners  ? help  q quit";
	unsigned rows = watch_page_rows(w);
	struct layout l;

	put_title(w, t);
	put_choice(w, t);
	lay_out(w, &l);
	put_heading(w, t, &l);
	for (size_t i = w->top; i < w->top + rows; i++) {
		if (i < w->n)
			put_row(w, t, &l, i);
		else if (i == 0 && w->sample && w->sample->error)
			text_puts(t, "  Nothing could be listed; ? says why.\n");
		else if (i == 0 && w->sample)
			text_puts(t, *w->filter
					     ? "  No connection matches; Esc clears the filter.\n"
					     : "  There is no connection.\n");
		else
			text_puts(t, "\n");
	}
	if (w->at < w->n)
		w->selected_line = ABOVE + (int)(w->at - w->top);
	if (w->editing) {
		put_filter(w, t);
		return;
	}
	put_selected(w, t);
	watch_line(t, keys, strlen(keys), w->columns);
}

/* ---- Help ------------------------------------------------------------------------------------ */

static const char help[] =
	"Up, Down, PgUp, PgDn, Home, End   choose a connection\n"
	"Enter          open it: both control blocks, states, time and sequence\n"
	"/              filter, as in couplet netstat; Enter sets it, Esc leaves it\n"
	"Esc            no filter\n"
	"s, S           sort by the next, the last column; r reverse\n"
	"Left, Right    other columns, where they do not all fit\n"
	"l              listening sockets too\n"
	"Space          pause, go on\n"
	"q              back; in the table: quit (Q everywhere)\n"
	"\n"
	"In an opened connection: 1 2 3 or Tab choose what is shown, d the direction of\n"
	"the plot; Up and Down scroll; Esc goes back.\n"
	"\n"
	"What matters comes first: stuck (sent again three times, or no ACK for 5 s),\n"
	"resends, no room (the peer's window is zero), unread (the program here has not\n"
	"read for 5 s), full (accept queue), no answer (SYN-SENT), not closed\n"
	"(CLOSE-WAIT); then what moves most; then what is idle. These are hints;\n"
	"couplet doctor judges. ! marks them; what changed is bold.\n"
	"\n"
	"In/s, Out/s    payload a second, between the last two samples\n"
	"Recv-Q         came, not yet read by the program; of a listener: to be accepted\n"
	"Send-Q         written, not yet acknowledged; of a listener: its limit\n"
	"-              not known\n"
	"couplet explain WORD tells more of every word here.\n";

static void put_help(struct watch *w, struct text *t)
{
	static const char title[] = "couplet watch: help    Up, Down scroll    ? or Esc back";
	unsigned rows = w->lines - 1, lines;
	struct text body;

	text_init(&body);
	text_puts(&body, help);
	if (w->sample && w->sample->notes.n) {
		text_puts(&body, "\nNot looked at:\n");
		for (unsigned i = 0; i < w->sample->notes.n; i++) {
			text_puts(&body, "  ");
			text_wrap(&body, w->sample->notes.note[i].text, 2, w->columns);
			text_puts(&body, "\n");
		}
	}
	lines = 0;
	for (size_t i = 0; i < body.len; i++)
		lines += body.data[i] == '\n';
	if (w->scroll + rows > lines)
		w->scroll = lines > rows ? lines - rows : 0;
	watch_line(t, title, strlen(title), w->columns);
	watch_lines(t, &body, w->scroll, rows, w->columns);
	text_free(&body);
}

/* ---- All ------------------------------------------------------------------------------------- */

static void put_too_small(const struct watch *w, struct text *t)
{
	struct view_word said[3] = {
		word_format("too small"),
		word_format("%ux%u; needs %ux%u", w->columns, w->lines, WATCH_COLUMNS, WATCH_LINES),
		word_format("q quits"),
	};

	for (unsigned i = 0; i < 3 && i < w->lines; i++)
		watch_line(t, said[i].s, strlen(said[i].s), w->columns);
}

void watch_draw(struct watch *w, struct text *t)
{
	t->ascii = w->ascii;
	t->width = w->columns;
	t->colour = true; /* styles; the terminal's colours are watch_screen_show()'s */
	w->selected_line = w->cursor_line = w->cursor_column = -1;
	if (w->columns < WATCH_COLUMNS || w->lines < WATCH_LINES)
		put_too_small(w, t);
	else if (w->page == WATCH_HELP)
		put_help(w, t);
	else if (w->page == WATCH_OPEN)
		watch_draw_open(w, t);
	else
		watch_draw_table(w, t);
}
