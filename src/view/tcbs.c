/* SPDX-License-Identifier: MIT */
/*
 * Two control blocks side by side: see tcb.h. Every row of the upper part is an inequality of
 * pair.h that can be read aloud: "snd_una iss+1001 < irs+2449 rcv_nxt".
 */
#include <string.h>

#include "base/seq.h"
#include "view/tcb.h"

#define LEFT_VALUE_AT 13
#define MARK_AT	      39
#define RIGHT_AT      43
#define VALUE_MAX     24

struct tcbs {
	struct text *t;
	const struct cpl_info *info[2]; /* NULL: there is no such block */
	const char *name[2];
};

/* One half of a row: a name and its value. */
struct half {
	const char *name;
	struct view_word value;
	bool known;
};

static void put_half(struct text *t, const struct half *h, unsigned at)
{
	text_column(t, at, 0);
	text_puts(t, h->name);
	text_column(t, at + LEFT_VALUE_AT, 1);
	if (h->known)
		text_styled(t, TEXT_BOLD, h->value.s);
	else
		text_puts(t, h->value.s);
}

static enum text_style mark_style(const char *mark)
{
	return *mark == '!'   ? TEXT_RED
	       : *mark == '=' ? TEXT_GREEN
	       : *mark == '?' ? TEXT_DIM
			      : TEXT_YELLOW;
}

static void put_row(struct tcbs *s, const struct half *left, const char *mark,
		    const struct half *right)
{
	put_half(s->t, left, 0);
	if (*mark) {
		text_column(s->t, MARK_AT, 1);
		text_styled(s->t, mark_style(mark), mark);
	}
	text_column(s->t, RIGHT_AT, 1);
	put_half(s->t, right, RIGHT_AT);
	text_puts(s->t, "\n");
}

static bool knows(const struct cpl_info *info, enum cpl_field f)
{
	return info && cpl_info_known(info, f);
}

static struct half half_of(const struct cpl_info *info, enum cpl_field f, const char *name,
			   unsigned flags)
{
	struct half h = { name, word_format("-"), knows(info, f) };

	if (h.known)
		h.value = view_field_word(info, f, flags);
	return h;
}

/* A row of two fields that no invariant binds; the names are the fields'. */
static void row_plain(struct tcbs *s, enum cpl_field left, enum cpl_field right)
{
	struct half l = half_of(s->info[0], left, view_fields[left].name, 0);
	struct half r = half_of(s->info[1], right, view_fields[right].name, 0);

	put_row(s, &l, "", &r);
}

/* ---- One direction --------------------------------------------------------------------------- */

/* What a row claims of the sender's value against the receiver's. */
enum claim {
	CLAIM_EQUAL,	/* iss, irs */
	CLAIM_AT_MOST,	/* snd_una, rcv_nxt; the window */
	CLAIM_AT_LEAST, /* snd_nxt, rcv_nxt */
};

/* "=", "<", ">", "!" or "?"; as seen from the left half. */
static const char *mark_of(enum claim claim, bool known, int32_t difference, bool sender_left)
{
	if (!known)
		return "?";
	if (difference == 0)
		return "=";
	if (claim == CLAIM_EQUAL || (claim == CLAIM_AT_MOST && difference > 0) ||
	    (claim == CLAIM_AT_LEAST && difference < 0))
		return "!";
	return (difference < 0) == sender_left ? "<" : ">";
}

/* True if the end is missing, or knows where its numbers begin. */
static bool counts(const struct cpl_info *info, enum cpl_field base)
{
	return !info || cpl_info_known(info, base);
}

/* The numbers are told relative to the ISS when both ends know theirs, so that rows can be read. */
static unsigned relative(const struct tcbs *s, unsigned from)
{
	return counts(s->info[from], CPL_F_iss) && counts(s->info[!from], CPL_F_irs) ? VIEW_RELATIVE
										     : 0;
}

/* Sender's field F against the receiver's field G. */
static void row_bound(struct tcbs *s, unsigned from, enum claim claim, enum cpl_field f,
		      enum cpl_field g, unsigned flags)
{
	const struct cpl_info *x = s->info[from], *y = s->info[!from];
	struct half hx = half_of(x, f, view_fields[f].name, flags);
	struct half hy = half_of(y, g, view_fields[g].name, flags);
	uint64_t vx = 0, vy = 0;
	bool known = hx.known && hy.known && view_get(x, f, &vx) && view_get(y, g, &vy);
	const char *mark = mark_of(claim, known, (int32_t)((uint32_t)vx - (uint32_t)vy), from == 0);

	put_row(s, from ? &hy : &hx, mark, from ? &hx : &hy);
}

/* snd_una + snd_wnd against rcv_edge. */
static void row_window(struct tcbs *s, unsigned from, unsigned flags)
{
	const struct cpl_info *x = s->info[from], *y = s->info[!from];
	struct half hx = { "una+snd_wnd", word_format("-"),
			   knows(x, CPL_F_snd_una) && knows(x, CPL_F_snd_wnd) };
	struct half hy = half_of(y, CPL_F_rcv_edge, "rcv_edge", flags);
	bool known = hx.known && hy.known;
	uint32_t edge = hx.known ? x->snd_una + x->snd_wnd : 0;
	const char *mark;

	if (hx.known)
		hx.value =
			flags & VIEW_RELATIVE ? word_seq_rel(edge, x->iss, "iss") : word_seq(edge);
	mark = mark_of(CLAIM_AT_MOST, known, known ? (int32_t)(edge - y->rcv_edge) : 0, from == 0);
	put_row(s, from ? &hy : &hx, mark, from ? &hx : &hy);
}

/* "client sends ------> server receives"; ARROW 0: no arrow, a line to the end. */
static void rule(struct tcbs *s, const char *left, const char *right, int arrow)
{
	struct text *t = s->t;
	const char *line = t->ascii ? "-" : "─";
	unsigned end = arrow ? RIGHT_AT - 2 : RIGHT_AT + LEFT_VALUE_AT + VALUE_MAX - 1;

	text_puts(t, left);
	text_puts(t, " ");
	if (arrow < 0)
		text_puts(t, t->ascii ? "<" : "◄");
	text_repeat(t, line, text_at(t) < end ? end - text_at(t) : 1);
	text_puts(t, arrow <= 0 ? line : t->ascii ? ">" : "►");
	if (*right)
		text_printf(t, " %s", right);
	text_puts(t, "\n");
}

/* A counter, in full if there is room for it. */
static struct half counter_half(const char *name, bool known, bool derived, uint64_t n)
{
	struct half h = { name, word_format("-"), known };

	if (known)
		h.value = word_format("%s%s", derived ? "~" : "",
				      n < 1000000000000000u ? word_count(n).s : word_size(n).s);
	return h;
}

/* A field that counts bytes. */
static struct half bytes_half(const struct cpl_info *info, enum cpl_field f, const char *name)
{
	uint64_t n = 0;
	bool known = info && view_get(info, f, &n);

	return counter_half(name, known, known && !cpl_info_is_read(info, f), n);
}

/* The difference of two counters has a name of its own. */
static struct half sent_once(const struct cpl_info *x)
{
	bool known = knows(x, CPL_F_bytes_sent) && knows(x, CPL_F_bytes_retrans);

	return counter_half("sent once", known, true, known ? x->bytes_sent - x->bytes_retrans : 0);
}

/* What the receiver got lies at or beyond (acked), or at or before (sent), the sender's count. */
static const char *count_mark(uint64_t sender, uint64_t receiver, bool at_most, bool sender_left)
{
	/* A SYN or a FIN may count, or not: see view/compare.c. */
	if ((sender > receiver ? sender - receiver : receiver - sender) <= 2)
		return "=";
	if ((sender > receiver) == at_most)
		return "!";
	return (sender < receiver) == sender_left ? "<" : ">";
}

/* Without sequence numbers: bytes counted at both ends. */
static void rows_counted(struct tcbs *s, unsigned from)
{
	const struct cpl_info *x = s->info[from], *y = s->info[!from];
	struct half acked = bytes_half(x, CPL_F_bytes_acked, "bytes_acked"), once = sent_once(x);
	struct half got = bytes_half(y, CPL_F_bytes_received, "received");
	const char *mark = "?";

	if (acked.known && got.known)
		mark = count_mark(x->bytes_acked, y->bytes_received, true, from == 0);
	put_row(s, from ? &got : &acked, mark, from ? &acked : &got);
	mark = "?";
	if (once.known && got.known)
		mark = count_mark(x->bytes_sent - x->bytes_retrans, y->bytes_received, false,
				  from == 0);
	put_row(s, from ? &got : &once, mark, from ? &once : &got);
	if (from)
		row_plain(s, CPL_F_rcv_wnd, CPL_F_snd_wnd);
	else
		row_plain(s, CPL_F_snd_wnd, CPL_F_rcv_wnd);
}

/* Neither end tells a sequence number of this direction, and counters are there. */
static bool is_counted(const struct tcbs *s, unsigned from)
{
	const struct cpl_info *x = s->info[from], *y = s->info[!from];

	return !knows(x, CPL_F_snd_una) && !knows(x, CPL_F_iss) && !knows(y, CPL_F_rcv_nxt) &&
	       !knows(y, CPL_F_irs) &&
	       (knows(x, CPL_F_bytes_acked) || knows(y, CPL_F_bytes_received));
}

static void rows_numbered(struct tcbs *s, unsigned from)
{
	unsigned flags = relative(s, from);

	row_bound(s, from, CLAIM_EQUAL, CPL_F_iss, CPL_F_irs, 0);
	row_bound(s, from, CLAIM_AT_MOST, CPL_F_snd_una, CPL_F_rcv_nxt, flags);
	row_bound(s, from, CLAIM_AT_LEAST, CPL_F_snd_nxt, CPL_F_rcv_nxt, flags);
	row_window(s, from, flags);
}

static void direction(struct tcbs *s, unsigned from)
{
	char sends[64], receives[64];

	snprintf(sends, sizeof(sends), "%.24s sends", s->name[from]);
	snprintf(receives, sizeof(receives), "%.24s receives", s->name[!from]);
	rule(s, from ? receives : sends, from ? sends : receives, from ? -1 : 1);
	if (is_counted(s, from))
		rows_counted(s, from);
	else
		rows_numbered(s, from);
	row_bound(s, from, CLAIM_EQUAL, CPL_F_snd_wscale, CPL_F_rcv_wscale, 0);
	if (from) {
		row_plain(s, CPL_F_recv_queue, CPL_F_send_queue);
		row_plain(s, CPL_F_ooo_bytes, CPL_F_in_flight);
	} else {
		row_plain(s, CPL_F_send_queue, CPL_F_recv_queue);
		row_plain(s, CPL_F_in_flight, CPL_F_ooo_bytes);
	}
}

/* ---- What each end has for itself ------------------------------------------------------------ */

/* The timers that run, as many as there is room for: "rexmt 180.0 ms, +1". */
static struct half timers_half(const struct cpl_info *info)
{
	struct half h = { "timers", word_format("-"), false };
	unsigned more = 0;

	for (int n = 0; info && n < CPL_FIELDS; n++) {
		const struct view_field *f = &view_fields[n];
		struct view_word longer;
		uint64_t left;

		if (strncmp(f->name, "timer_", 6) != 0 || !view_get(info, (enum cpl_field)n, &left))
			continue;
		if (!h.known)
			h.value.s[0] = 0;
		h.known = true;
		if (left == CPL_TIMER_OFF)
			continue;
		longer = word_format("%.30s%s%s %.20s", h.value.s, *h.value.s ? ", " : "",
				     f->name + 6, word_ns(left).s);
		if (strlen(longer.s) > VALUE_MAX - 4)
			more++;
		else
			h.value = longer;
	}
	if (more)
		h.value = word_format("%.60s, +%u", h.value.s, more);
	if (!*h.value.s)
		h.value = word_format("none runs");
	return h;
}

/* Two fields as "a, b" under one name. */
static struct half two_half(const struct cpl_info *info, const char *name, enum cpl_field f,
			    enum cpl_field g)
{
	struct half h = { name, word_format("-"), knows(info, f) || knows(info, g) };

	if (h.known)
		h.value = word_format("%.30s, %.30s", view_field_word(info, f, 0).s,
				      view_field_word(info, g, 0).s);
	if (strlen(h.value.s) > VALUE_MAX) {
		uint64_t a, b;

		if (view_get(info, f, &a) && view_get(info, g, &b))
			h.value = word_format("%.20s, %.20s", word_size(a).s, word_size(b).s);
	}
	return h;
}

static void own(struct tcbs *s)
{
	struct half l, r;

	rule(s, "each for itself", "", 0);
	l = two_half(s->info[0], "cwnd, ssth", CPL_F_cwnd, CPL_F_ssthresh);
	r = two_half(s->info[1], "cwnd, ssth", CPL_F_cwnd, CPL_F_ssthresh);
	put_row(s, &l, "", &r);
	l = two_half(s->info[0], "srtt, rto", CPL_F_srtt, CPL_F_rto);
	r = two_half(s->info[1], "srtt, rto", CPL_F_srtt, CPL_F_rto);
	put_row(s, &l, "", &r);
	l = timers_half(s->info[0]);
	r = timers_half(s->info[1]);
	put_row(s, &l, "", &r);
	l = half_of(s->info[0], CPL_F_why, "not sending", 0);
	r = half_of(s->info[1], CPL_F_why, "not sending", 0);
	put_row(s, &l, "", &r);
}

/* ---- Heading and all together ---------------------------------------------------------------- */

static struct half heading(const struct cpl_info *info, const char *name)
{
	struct half h = { name, word_format("no such block"), info != NULL };

	if (info)
		h.value = word_endpoint(&info->local_addr, info->local_port);
	return h;
}

/* Names and endpoints; long IPv6 addresses get a line each. */
static void headings(struct tcbs *s)
{
	struct half l = heading(s->info[0], s->name[0]), r = heading(s->info[1], s->name[1]);

	if (strlen(l.value.s) <= VALUE_MAX && strlen(r.value.s) <= VALUE_MAX) {
		put_row(s, &l, "", &r);
		return;
	}
	text_printf(s->t, "%-12.24s ", l.name);
	text_styled(s->t, TEXT_BOLD, l.value.s);
	text_puts(s->t, "\n");
	text_column(s->t, 80 - 25 - (unsigned)strlen(r.value.s), 0);
	text_printf(s->t, "%24.24s ", r.name);
	text_styled(s->t, TEXT_BOLD, r.value.s);
	text_puts(s->t, "\n");
}

static void states(struct tcbs *s)
{
	struct half l = half_of(s->info[0], CPL_F_state, "state", 0);
	struct half r = half_of(s->info[1], CPL_F_state, "state", 0);
	const struct view_state_pair *pair;
	const char *mark = "?";

	if ((l.known || !s->info[0]) && (r.known || !s->info[1])) {
		pair = view_state_pair(l.known ? s->info[0]->state : CPL_CLOSED,
				       r.known ? s->info[1]->state : CPL_CLOSED, NULL);
		mark = !pair				 ? "?"
		       : pair->reach == VIEW_REACH_STUCK ? "!"
		       : pair->reach == VIEW_REACH_STEADY || strcmp(l.value.s, r.value.s) == 0
			       ? "="
			       : "~";
	}
	put_row(s, &l, mark, &r);
}

/* Every field: name, X's value, Y's value. */
static void all_fields(struct tcbs *s)
{
	const char *group = "";

	for (int n = 0; n < CPL_FIELDS; n++) {
		enum cpl_field f = (enum cpl_field)n;
		const struct view_field *field = &view_fields[n];

		if (strcmp(field->group, group) != 0) {
			group = field->group;
			text_puts(s->t, "\n");
			text_styled(s->t, TEXT_CYAN, view_group_title(group));
			text_puts(s->t, "\n");
		}
		if (field->type == VIEW_TYPE_path)
			continue; /* of a UNIX socket: no connection over a network */
		text_printf(s->t, "  %s", field->name);
		for (unsigned end = 0; end < 2; end++) {
			struct half h = half_of(s->info[end], f, "", VIEW_RELATIVE);
			unsigned len = (unsigned)strlen(h.value.s);

			/* Long addresses get a line each. */
			if (end && (len > 80 - 51 || text_at(s->t) > 50))
				text_puts(s->t, "\n");
			text_column(s->t, !end ? 21 : len > 80 - 51 ? 80 - len : 51, 1);
			text_styled(s->t, h.known ? TEXT_BOLD : TEXT_PLAIN, h.value.s);
		}
		text_puts(s->t, "\n");
	}
}

void view_tcbs(struct text *t, const char *x_name, const struct cpl_info *x, const char *y_name,
	       const struct cpl_info *y, unsigned flags)
{
	struct tcbs s = { t, { x, y }, { x_name, y_name } };

	headings(&s);
	states(&s);
	direction(&s, 0);
	direction(&s, 1);
	own(&s);
	if (flags & VIEW_VERBOSE)
		all_fields(&s);
}
