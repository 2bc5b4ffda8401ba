/* SPDX-License-Identifier: MIT */
/*
 * The ladder as SVG: time runs downwards, one row for each segment, with the time at which it left
 * at one end and that at which it arrived at the other.
 */
#include <string.h>

#include "view/svg.h"
#include "view/svg_draw.h"

#define WIDTH	860
#define LEFT	240 /* the lifelines */
#define RIGHT	620
#define HEAD	70
#define ROW	34
#define SLOPE	12
#define STATE_W 118

static const char *const inks[2] = { SVG_BLUE, SVG_ORANGE };
static const char *const grounds[2] = { SVG_BLUE_BG, SVG_ORANGE_BG };

static int line_of(unsigned side)
{
	return side ? RIGHT : LEFT;
}

/* A state in a box beside the lifeline of its side. */
static void put_state(struct text *t, unsigned side, int y, int state)
{
	int x = side ? WIDTH - 20 - STATE_W : 20;

	svg_box(t, x, y - 12, STATE_W, 24, grounds[side], inks[side]);
	svg_text(t, x + STATE_W / 2, y + 4, SVG_MIDDLE " font-size=\"11\" font-weight=\"bold\"",
		 view_state_rfc((unsigned)state));
}

static void put_time(struct text *t, unsigned side, int y, uint64_t ns)
{
	svg_text(t, side ? RIGHT + 10 : LEFT - 10, y + 4,
		 side ? "font-size=\"11\" fill=\"" SVG_MUTED "\""
		      : SVG_END " font-size=\"11\" fill=\"" SVG_MUTED "\"",
		 word_ns(ns).s);
}

/* A remark in the middle, or at the side that it is about. */
static void put_remark(struct text *t, unsigned side, int y, const char *colour, const char *s)
{
	char attributes[80];

	snprintf(attributes, sizeof(attributes), "font-size=\"11\" fill=\"%s\" %s", colour,
		 side ? SVG_END : "");
	svg_halo_text(t, side ? RIGHT - 12 : LEFT + 12, y + 4, attributes, s);
}

/* Height of a row. */
static int height_of(const struct view_step *s)
{
	if (s->kind == VIEW_ROW_SEGMENT &&
	    (*s->note || s->fate == VIEW_FATE_DUPLICATE || s->fate == VIEW_FATE_DROPPED))
		return ROW + 16;
	if (s->kind == VIEW_ROW_GAP)
		return ROW + 10;
	return ROW;
}

static void put_segment(struct text *t, const struct view_step *s, int y)
{
	unsigned from = s->from, to = !from;
	int x1 = line_of(from), x2 = line_of(to), y2 = y + SLOPE;
	bool arrives = s->fate != VIEW_FATE_LOST && s->fate != VIEW_FATE_IN_FLIGHT;
	struct view_word label = view_step_label(s, 46);

	if (!arrives) {
		x2 = x1 + (x2 - x1) * 3 / 4;
		y2 = y + SLOPE * 3 / 4;
	}
	svg_arrow(t, x1, y, x2, y2, s->fate == VIEW_FATE_LOST ? SVG_RED : inks[from],
		  s->fate == VIEW_FATE_DUPLICATE || s->fate == VIEW_FATE_IN_FLIGHT
			  ? "stroke-dasharray=\"5 4\""
			  : "");
	if (s->fate == VIEW_FATE_LOST)
		svg_cross(t, x2, y2);
	if (!arrives)
		svg_text(t, from ? x2 - 12 : x2 + 12, y2 + 4,
			 from ? SVG_END " font-size=\"11\" fill=\"" SVG_RED "\""
			      : "font-size=\"11\" fill=\"" SVG_RED "\"",
			 s->fate == VIEW_FATE_LOST ? "lost" : "on its way");
	svg_text(t, (LEFT + RIGHT) / 2, y - 3, SVG_MIDDLE " " SVG_MONO " font-size=\"11\"",
		 label.s);
	if (s->fate != VIEW_FATE_DUPLICATE)
		put_time(t, from, y, s->sent);
	if (arrives)
		put_time(t, to, y2, s->arrived);
	if (s->fate == VIEW_FATE_DROPPED)
		put_remark(t, to, y + SLOPE + 14, SVG_RED, view_drop_text(s).s);
	else if (s->fate == VIEW_FATE_DUPLICATE)
		put_remark(t, to, y + SLOPE + 14, SVG_MUTED, "a copy made on the way");
	else if (*s->note)
		put_remark(t, to, y + SLOPE + 14, SVG_MUTED, s->note);
}

static void put_gap(struct text *t, const struct view_step *s, int y)
{
	svg_line(t, LEFT, y - ROW / 2, LEFT, y + ROW / 2,
		 "stroke=\"#ffffff\" stroke-width=\"3\" stroke-dasharray=\"3 5\"");
	svg_line(t, RIGHT, y - ROW / 2, RIGHT, y + ROW / 2,
		 "stroke=\"#ffffff\" stroke-width=\"3\" stroke-dasharray=\"3 5\"");
	svg_text(t, (LEFT + RIGHT) / 2, y + 4, SVG_MIDDLE " font-style=\"italic\"",
		 view_gap_text(s).s);
}

static void put_step(struct text *t, const struct view_step *s, int y)
{
	bool segment = s->kind == VIEW_ROW_SEGMENT;

	switch (s->kind) {
	case VIEW_ROW_SEGMENT:
		put_segment(t, s, y);
		break;
	case VIEW_ROW_GAP:
		put_gap(t, s, y);
		break;
	case VIEW_ROW_NOTE:
		put_time(t, s->from, y, s->sent);
		put_remark(t, s->from, y, SVG_RED, s->note);
		break;
	case VIEW_ROW_STATE:
		put_time(t, s->state_to[1] >= 0, y, s->sent);
		break;
	}
	for (unsigned side = 0; side < 2; side++)
		if (s->state_to[side] >= 0)
			put_state(t, side, segment && side != s->from ? y + SLOPE : y,
				  s->state_to[side]);
}

void view_svg_ladder(struct text *t, const struct view_ladder *ladder)
{
	bool states =
		view_ladder_first_state(ladder, 0) >= 0 || view_ladder_first_state(ladder, 1) >= 0;
	int y = HEAD + (states ? 20 : 0), height = y + 20;

	for (size_t i = 0; i < ladder->n; i++)
		height += height_of(&ladder->steps[i]);
	svg_begin(t, WIDTH, (unsigned)height, "The segments of one TCP connection");
	for (unsigned side = 0; side < 2; side++) {
		int first = view_ladder_first_state(ladder, side);
		char attributes[80];

		svg_text(t, line_of(side), 34, SVG_MIDDLE " font-size=\"16\" font-weight=\"bold\"",
			 word_foreign(ladder->name[side]).s);
		snprintf(attributes, sizeof(attributes), "stroke=\"%s\" stroke-width=\"2\"",
			 SVG_LINE);
		svg_line(t, line_of(side), 44, line_of(side), height - 12, attributes);
		if (first >= 0)
			put_state(t, side, 56, first);
	}
	for (size_t i = 0; i < ladder->n; i++) {
		put_step(t, &ladder->steps[i], y + 8);
		y += height_of(&ladder->steps[i]);
	}
	svg_end(t);
}
