/* SPDX-License-Identifier: MIT */
/* The ladder as text of 80 columns: see ladder.h. */
#include <string.h>

#include "view/ladder.h"

/* Columns: time, left state, left lifeline, arrow, right lifeline, right state. */
#define LEFT_AT	      11
#define LEFT_LINE_AT  24
#define ARROW_AT      25
#define ARROW_WIDTH   41
#define RIGHT_LINE_AT 66
#define RIGHT_AT      68

#define FLAG_FIN 1u
#define FLAG_SYN 2u
#define FLAG_ACK 16u

struct view_word view_step_label(const struct view_step *s, unsigned width)
{
	struct view_word flags = word_flags(s->flags);
	bool counts = s->len || s->flags & (FLAG_SYN | FLAG_FIN);
	struct view_word w = { "" };

	/* First all, then without the ACK's number, then without the length, then the flags. */
	for (int shorter = 0; shorter < 4; shorter++) {
		w = flags;
		if (counts && shorter < 3)
			w = word_format("%.32s seq %u", flags.s, s->seq);
		if (s->len && shorter < 2)
			w = word_format("%.48s len %u", w.s, s->len);
		if (s->flags & FLAG_ACK && (shorter < 1 || !counts))
			w = word_format("%.64s ack %u", w.s, s->ack);
		if (s->retrans)
			w = word_format("%.72s again", w.s);
		if (strlen(w.s) <= width)
			break;
	}
	return w;
}

int view_ladder_first_state(const struct view_ladder *l, unsigned side)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->steps[i].state_to[side] >= 0)
			return l->steps[i].state_from[side];
	return -1;
}

struct view_word view_gap_text(const struct view_step *gap)
{
	struct view_word w = word_format("%s segment%s, %s", word_count(gap->gap_segments).s,
					 gap->gap_segments == 1 ? "" : "s",
					 word_bytes(gap->gap_bytes[0] + gap->gap_bytes[1]).s);

	if (gap->gap_lost)
		w = word_format("%.60s, %s lost", w.s, word_count(gap->gap_lost).s);
	return w;
}

struct view_word view_drop_text(const struct view_step *s)
{
	if (!*s->note)
		return word_format("dropped");
	return word_format("dropped: %.*s", (int)strcspn(s->note, ";("), s->note);
}

struct glyphs {
	const char *line, *left, *right, *life, *dots, *cross, *gap;
};

static const struct glyphs *glyphs_of(const struct text *t)
{
	static const struct glyphs ascii = { "-", "<", ">", "|", ":", "X", "..." };
	static const struct glyphs drawn = { "─", "◄", "►", "│", "┊", "╳", "⋯" };

	return t->ascii ? &ascii : &drawn;
}

/* Everything up to the arrow. */
static void begin(struct text *t, const char *time, int state, const char *life)
{
	text_repeat(t, " ", strlen(time) < 10 ? 10 - (unsigned)strlen(time) : 0);
	text_puts(t, time);
	if (state >= 0) {
		text_column(t, LEFT_AT, 1);
		text_styled(t, TEXT_BOLD, view_state_rfc((unsigned)state));
	}
	text_column(t, LEFT_LINE_AT, 0);
	text_puts(t, life);
}

/* Everything after it. */
static void end(struct text *t, int state, const char *life)
{
	text_column(t, RIGHT_LINE_AT, 0);
	text_puts(t, life);
	if (state >= 0) {
		text_column(t, RIGHT_AT, 0);
		text_styled(t, TEXT_BOLD, view_state_rfc((unsigned)state));
	}
	text_puts(t, "\n");
}

/* How an arrow ends that does not arrive. */
static const char *stub(enum view_fate fate)
{
	return fate == VIEW_FATE_LOST ? "lost" : fate == VIEW_FATE_IN_FLIGHT ? "on its way" : "";
}

static void arrow_right(struct text *t, const struct glyphs *g, const struct view_step *s,
			const char *label)
{
	bool arrives = s->fate != VIEW_FATE_LOST && s->fate != VIEW_FATE_IN_FLIGHT;
	unsigned tip = ARROW_AT + ARROW_WIDTH - 1; /* the arrow's head, or the cross */

	if (!arrives)
		tip -= 1 + (unsigned)strlen(stub(s->fate));
	text_repeat(t, g->line, 2);
	text_printf(t, " %s ", label);
	if (text_at(t) < tip)
		text_repeat(t, g->line, tip - text_at(t));
	if (arrives)
		text_styled(t, TEXT_GREEN, g->right);
	else
		text_styled(t, TEXT_RED, s->fate == VIEW_FATE_LOST ? g->cross : g->right);
	if (!arrives)
		text_printf(t, " %s", stub(s->fate));
}

static void arrow_left(struct text *t, const struct glyphs *g, const struct view_step *s,
		       const char *label)
{
	bool arrives = s->fate != VIEW_FATE_LOST && s->fate != VIEW_FATE_IN_FLIGHT;
	unsigned label_at = ARROW_AT + ARROW_WIDTH - 4 - (unsigned)strlen(label);

	if (arrives) {
		text_styled(t, TEXT_GREEN, g->left);
	} else {
		text_printf(t, "%s ", stub(s->fate));
		text_styled(t, TEXT_RED, s->fate == VIEW_FATE_LOST ? g->cross : g->left);
	}
	if (text_at(t) < label_at)
		text_repeat(t, g->line, label_at - text_at(t));
	text_printf(t, " %s ", label);
	text_repeat(t, g->line, 2);
}

static void put_centred(struct text *t, const char *s)
{
	unsigned cells = view_cells(s);

	text_column(t, ARROW_AT + (cells < ARROW_WIDTH ? (ARROW_WIDTH - cells) / 2 : 0), 0);
	text_puts(t, s);
}

static void put_segment(struct text *t, const struct glyphs *g, const struct view_step *s)
{
	unsigned room =
		ARROW_WIDTH - 6 - (*stub(s->fate) ? 1 + (unsigned)strlen(stub(s->fate)) : 0);
	struct view_word label = view_step_label(s, room);

	begin(t, word_ns(s->sent).s, s->state_to[0], g->life);
	if (s->from)
		arrow_left(t, g, s, label.s);
	else
		arrow_right(t, g, s, label.s);
	end(t, s->state_to[1], g->life);
}

/* A remark below or between arrows, at the side that it concerns. */
static void put_remark(struct text *t, const struct glyphs *g, const char *time, unsigned side,
		       const char *what)
{
	struct view_word w = word_format("%.*s", ARROW_WIDTH - 2, what);

	begin(t, time, -1, g->life);
	text_column(t, side ? RIGHT_LINE_AT - 1 - view_cells(w.s) : ARROW_AT + 1, 0);
	text_styled(t, TEXT_YELLOW, w.s);
	end(t, -1, g->life);
}

static void put_step(struct text *t, const struct glyphs *g, const struct view_step *s)
{
	switch (s->kind) {
	case VIEW_ROW_SEGMENT:
		put_segment(t, g, s);
		if (s->fate == VIEW_FATE_DROPPED)
			put_remark(t, g, "", !s->from, view_drop_text(s).s);
		else if (s->fate == VIEW_FATE_DUPLICATE)
			put_remark(t, g, "", !s->from, "a copy made on the way");
		else if (*s->note)
			put_remark(t, g, "", !s->from, s->note);
		break;
	case VIEW_ROW_STATE:
		begin(t, word_ns(s->sent).s, s->state_to[0], g->life);
		end(t, s->state_to[1], g->life);
		break;
	case VIEW_ROW_NOTE:
		put_remark(t, g, word_ns(s->sent).s, s->from, s->note);
		break;
	case VIEW_ROW_GAP:
		begin(t, "", -1, g->dots);
		put_centred(t, word_format("%s %.60s %s", g->gap, view_gap_text(s).s, g->gap).s);
		end(t, -1, g->dots);
		break;
	}
}

void view_ladder_print(struct text *t, const struct view_ladder *ladder)
{
	const struct glyphs *g = glyphs_of(t);
	int first[2] = { view_ladder_first_state(ladder, 0), view_ladder_first_state(ladder, 1) };

	text_column(t, LEFT_AT, 0);
	text_printf(t, "%.24s", ladder->name[0]);
	text_column(t, RIGHT_AT, 1);
	text_printf(t, "%.12s\n", ladder->name[1]);
	if (first[0] >= 0 || first[1] >= 0) {
		begin(t, "", first[0], g->life);
		end(t, first[1], g->life);
	}
	for (size_t i = 0; i < ladder->n; i++)
		put_step(t, g, &ladder->steps[i]);
}
