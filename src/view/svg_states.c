/* SPDX-License-Identifier: MIT */
/* The state diagram of RFC 9293, figure 5, as SVG, with the edges that two ends walked. */
#include <string.h>

#include "trace/ring.h"
#include "view/edge.h"
#include "view/svg.h"
#include "view/svg_draw.h"

#define WIDTH	 820
#define HEIGHT	 860
#define NODE_W	 132
#define NODE_H	 34
#define TOP	 60
#define CLOSED_2 CPL_STATES /* the CLOSED at the foot, where connections end */

struct point {
	int x, y;
};

/* Centres of the nodes. */
static const struct point nodes[CPL_STATES + 1] = {
	[CPL_CLOSED] = { 410, 90 },	  [CPL_LISTEN] = { 410, 200 },
	[CPL_SYN_SENT] = { 680, 310 },	  [CPL_SYN_RECEIVED] = { 140, 310 },
	[CPL_ESTABLISHED] = { 410, 420 }, [CPL_FIN_WAIT_1] = { 260, 530 },
	[CPL_FIN_WAIT_2] = { 110, 650 },  [CPL_CLOSE_WAIT] = { 680, 530 },
	[CPL_CLOSING] = { 490, 650 },	  [CPL_LAST_ACK] = { 680, 650 },
	[CPL_TIME_WAIT] = { 260, 770 },	  [CLOSED_2] = { 560, 770 },
};

/* How an edge is drawn: from a point to a point through a control point, and where its text is. */
struct route {
	uint8_t from, to;
	struct point a, c, b; /* c = { 0, 0 }: a straight line */
	struct point label;
	char anchor; /* s: starts at label, m: centred, e: ends at it */
};

static const struct route routes[] = {
	{ CPL_CLOSED, CPL_LISTEN, { 395, 107 }, { 0, 0 }, { 395, 183 }, { 387, 141 }, 'e' },
	{ CPL_LISTEN, CPL_CLOSED, { 425, 183 }, { 0, 0 }, { 425, 107 }, { 433, 153 }, 's' },
	{ CPL_CLOSED, CPL_SYN_SENT, { 476, 84 }, { 700, 90 }, { 700, 293 }, { 700, 160 }, 's' },
	{ CPL_SYN_SENT, CPL_CLOSED, { 660, 293 }, { 640, 120 }, { 476, 98 }, { 566, 160 }, 'm' },
	{ CPL_LISTEN,
	  CPL_SYN_RECEIVED,
	  { 344, 196 },
	  { 160, 200 },
	  { 130, 293 },
	  { 200, 186 },
	  'e' },
	{ CPL_SYN_RECEIVED,
	  CPL_LISTEN,
	  { 175, 293 },
	  { 210, 222 },
	  { 344, 209 },
	  { 270, 244 },
	  'm' },
	{ CPL_LISTEN, CPL_SYN_SENT, { 476, 209 }, { 590, 222 }, { 640, 293 }, { 545, 250 }, 'm' },
	{ CPL_SYN_SENT, CPL_SYN_RECEIVED, { 614, 310 }, { 0, 0 }, { 206, 310 }, { 410, 289 }, 'm' },
	{ CPL_SYN_SENT,
	  CPL_ESTABLISHED,
	  { 655, 327 },
	  { 620, 410 },
	  { 476, 416 },
	  { 628, 388 },
	  's' },
	{ CPL_SYN_RECEIVED,
	  CPL_ESTABLISHED,
	  { 165, 327 },
	  { 200, 410 },
	  { 344, 416 },
	  { 244, 376 },
	  's' },
	{ CPL_SYN_RECEIVED,
	  CPL_FIN_WAIT_1,
	  { 130, 327 },
	  { 120, 520 },
	  { 194, 528 },
	  { 122, 450 },
	  'e' },
	{ CPL_ESTABLISHED,
	  CPL_FIN_WAIT_1,
	  { 380, 437 },
	  { 350, 500 },
	  { 290, 513 },
	  { 336, 466 },
	  'e' },
	{ CPL_ESTABLISHED,
	  CPL_CLOSE_WAIT,
	  { 440, 437 },
	  { 480, 520 },
	  { 614, 528 },
	  { 528, 478 },
	  's' },
	{ CPL_FIN_WAIT_1,
	  CPL_FIN_WAIT_2,
	  { 220, 547 },
	  { 150, 580 },
	  { 115, 633 },
	  { 150, 574 },
	  'e' },
	{ CPL_FIN_WAIT_1,
	  CPL_CLOSING,
	  { 310, 547 },
	  { 440, 570 },
	  { 480, 633 },
	  { 444, 574 },
	  's' },
	{ CPL_FIN_WAIT_1, CPL_TIME_WAIT, { 260, 547 }, { 0, 0 }, { 260, 753 }, { 268, 636 }, 's' },
	{ CPL_FIN_WAIT_2,
	  CPL_TIME_WAIT,
	  { 110, 667 },
	  { 120, 750 },
	  { 194, 766 },
	  { 140, 706 },
	  's' },
	{ CPL_CLOSING, CPL_TIME_WAIT, { 470, 667 }, { 440, 750 }, { 326, 764 }, { 456, 722 }, 's' },
	{ CPL_CLOSE_WAIT, CPL_LAST_ACK, { 680, 547 }, { 0, 0 }, { 680, 633 }, { 690, 594 }, 's' },
	{ CPL_LAST_ACK, CPL_CLOSED, { 680, 667 }, { 670, 762 }, { 626, 770 }, { 676, 740 }, 's' },
	{ CPL_TIME_WAIT, CPL_CLOSED, { 326, 776 }, { 0, 0 }, { 494, 776 }, { 410, 796 }, 'm' },
};

void view_walk_add(struct view_walk *walk, unsigned side, const struct cpl_trace *records, size_t n)
{
	uint64_t entered = UINT64_MAX; /* TIME-WAIT */

	for (size_t i = 0; i < n; i++) {
		const struct cpl_trace *r = &records[i];

		if (r->type != TRACE_state || r->arg[0] >= CPL_STATES || r->arg[1] >= CPL_STATES)
			continue;
		/* The block only gives way to the small record that holds TIME-WAIT. */
		if (r->arg[0] == CPL_TIME_WAIT && r->time == entered)
			continue;
		if (r->arg[1] == CPL_TIME_WAIT)
			entered = r->time;
		walk->walked[side & 1][r->arg[0]] |= (uint16_t)(1u << r->arg[1]);
	}
}

static bool walked(const struct view_walk *w, unsigned side, unsigned from, unsigned to)
{
	return w && w->walked[side][from] >> to & 1;
}

/* Bits of the ends that were in a state: they left it, or came to it. */
static unsigned visitors(const struct view_walk *w, unsigned state)
{
	unsigned bits = 0;

	for (unsigned side = 0; side < 2; side++)
		for (unsigned other = 0; other < CPL_STATES; other++)
			if (walked(w, side, state, other) || walked(w, side, other, state))
				bits |= 1u << side;
	return bits;
}

static unsigned walkers(const struct view_walk *w, unsigned from, unsigned to)
{
	return (unsigned)walked(w, 0, from, to) | (unsigned)walked(w, 1, from, to) << 1;
}

static const char *colour_of(unsigned bits)
{
	return bits == 1 ? SVG_BLUE : bits == 2 ? SVG_ORANGE : bits ? SVG_INK : SVG_LINE;
}

static void put_curve(struct text *t, const struct route *r, const char *colour, unsigned width)
{
	if (r->c.x)
		text_printf(t,
			    "<path d=\"M%d %d Q%d %d %d %d\" fill=\"none\" stroke=\"%s\" "
			    "stroke-width=\"%u\"/>\n",
			    r->a.x, r->a.y, r->c.x, r->c.y, r->b.x, r->b.y, colour, width);
	else
		text_printf(t,
			    "<path d=\"M%d %d L%d %d\" fill=\"none\" stroke=\"%s\" "
			    "stroke-width=\"%u\"/>\n",
			    r->a.x, r->a.y, r->b.x, r->b.y, colour, width);
}

static void put_edge(struct text *t, const struct route *r, unsigned bits)
{
	struct point from = r->c.x ? r->c : r->a;

	if (bits == 3) { /* both: one colour inside the other */
		put_curve(t, r, SVG_BLUE, 6);
		put_curve(t, r, SVG_ORANGE, 2);
	} else {
		put_curve(t, r, colour_of(bits), bits ? 3 : 1);
	}
	svg_head(t, r->b.x, r->b.y, r->b.x - from.x, r->b.y - from.y, colour_of(bits));
}

static const char *label_of(const struct route *r)
{
	for (unsigned i = 0; i < view_edges_n; i++)
		if (view_edges[i].from == r->from && view_edges[i].to == r->to)
			return view_edges[i].label;
	return "";
}

/* "event / action" on two lines. */
static void put_label(struct text *t, const struct route *r, unsigned bits)
{
	const char *label = label_of(r), *slash = strstr(label, " / ");
	const char *anchor = r->anchor == 'm' ? SVG_MIDDLE : r->anchor == 'e' ? SVG_END : "";
	char attributes[120];
	struct view_word first = word_format("%.*s", slash ? (int)(slash - label) : 70, label);

	snprintf(attributes, sizeof(attributes), "font-size=\"11\" fill=\"%s\" %s",
		 bits ? SVG_INK : SVG_MUTED, anchor);
	svg_halo_text(t, r->label.x, r->label.y, attributes, first.s);
	if (slash)
		svg_halo_text(t, r->label.x, r->label.y + 13, attributes, slash + 3);
}

static void put_node(struct text *t, unsigned node, unsigned bits)
{
	struct point p = nodes[node];
	unsigned state = node == CLOSED_2 ? CPL_CLOSED : node;
	const char *fill = bits == 1 ? SVG_BLUE_BG : bits == 2 ? SVG_ORANGE_BG : SVG_SHADE;

	svg_box(t, p.x - NODE_W / 2, p.y - NODE_H / 2, NODE_W, NODE_H, fill, colour_of(bits));
	if (bits == 3) { /* both were here: half and half */
		text_printf(t,
			    "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"%s\"/>\n"
			    "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"%s\"/>\n",
			    p.x - NODE_W / 2 + 4, p.y - NODE_H / 2 + 2, NODE_W / 2 - 4, NODE_H - 4,
			    SVG_BLUE_BG, p.x, p.y - NODE_H / 2 + 2, NODE_W / 2 - 4, NODE_H - 4,
			    SVG_ORANGE_BG);
	}
	svg_text(t, p.x, p.y + 5, SVG_MIDDLE " font-weight=\"bold\"", view_state_rfc(state));
}

static void put_legend(struct text *t, const struct view_walk *walk, const char *x_name,
		       const char *y_name)
{
	static const char *const colours[2] = { SVG_BLUE, SVG_ORANGE };
	const char *names[2] = { x_name ? x_name : "X", y_name ? y_name : "Y" };
	int y = 84;

	svg_text(t, 20, 32, "font-size=\"17\" font-weight=\"bold\"", "TCP connection states");
	svg_text(t, 20, 52, "font-size=\"12\" fill=\"" SVG_MUTED "\"",
		 "RFC 9293, figure 5: event / action");
	for (unsigned side = 0; walk && side < 2; side++, y += 20) {
		char line[80];

		snprintf(line, sizeof(line), "stroke=\"%s\" stroke-width=\"3\"", colours[side]);
		svg_line(t, 20, y - 4, 50, y - 4, line);
		svg_text(t, 58, y, "font-size=\"12\"",
			 word_format("the way of %.40s", names[side]).s);
	}
}

/* A line about edges that are not drawn, and which end went along one from FROM to TO. */
static void put_note(struct text *t, int y, const char *note, const struct view_walk *walk,
		     const char *const names[2], bool (*is_noted)(const struct view_edge *e))
{
	char line[240];
	size_t at = (size_t)snprintf(line, sizeof(line), "%s", note);

	for (unsigned i = 0; i < view_edges_n && at < sizeof(line); i++) {
		const struct view_edge *e = &view_edges[i];
		unsigned bits = walkers(walk, e->from, e->to);

		if (is_noted(e) && bits)
			at += (size_t)snprintf(line + at, sizeof(line) - at,
					       "; %.16s did so from %s",
					       bits == 3 ? "both" : names[bits - 1],
					       view_state_rfc(e->from));
	}
	svg_text(t, 20, y, "font-size=\"12\" fill=\"" SVG_MUTED "\"", line);
}

static bool is_reset(const struct view_edge *e)
{
	return strcmp(e->label, VIEW_EDGE_RESET) == 0;
}

static bool is_early_fin(const struct view_edge *e)
{
	return e->from == CPL_SYN_RECEIVED && e->to == CPL_CLOSE_WAIT;
}

static void put_notes(struct text *t, const struct view_walk *walk, const char *x_name,
		      const char *y_name)
{
	const char *const names[2] = { x_name ? x_name : "X", y_name ? y_name : "Y" };

	put_note(t, HEIGHT - 40, "From every state an RST, ABORT or time-out leads to CLOSED", walk,
		 names, is_reset);
	put_note(t, HEIGHT - 22, "A FIN that comes with the ACK of the SYN leads to CLOSE-WAIT",
		 walk, names, is_early_fin);
}

void view_svg_states(struct text *t, const struct view_walk *walk, const char *x_name,
		     const char *y_name)
{
	const size_t n = sizeof(routes) / sizeof(*routes);

	svg_begin(t, WIDTH, HEIGHT, "TCP connection states");
	put_legend(t, walk, x_name, y_name);
	/* What was walked lies on top of what was not. */
	for (unsigned pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < n; i++) {
			unsigned bits = walkers(walk, routes[i].from, routes[i].to);

			if ((bits != 0) == (pass == 1))
				put_edge(t, &routes[i], bits);
		}
	for (unsigned node = 0; node <= CLOSED_2; node++) {
		unsigned bits = 0;

		if (node == CLOSED_2)
			bits = walkers(walk, CPL_LAST_ACK, CPL_CLOSED) |
			       walkers(walk, CPL_TIME_WAIT, CPL_CLOSED);
		else
			bits = visitors(walk, node);
		put_node(t, node, bits);
	}
	for (size_t i = 0; i < n; i++)
		put_label(t, &routes[i], walkers(walk, routes[i].from, routes[i].to));
	put_notes(t, walk, x_name, y_name);
	svg_end(t);
}
