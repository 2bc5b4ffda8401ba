/* SPDX-License-Identifier: MIT */
/*
 * The thing itself: see drawing.h. Two boxes, one for each host, 30 columns wide; between them 20
 * columns of wire. Values that belong together stand on the same row.
 */
#include "view/drawing.h"

#include <string.h>

#include "view/field.h"

#define BOX   30 /* columns of a host's box */
#define INNER 26 /* what fits inside it, between "│ " and " │" */
#define WIRE  20

struct glyphs {
	const char *h, *v, *tl, *tr, *bl, *br, *down, *left, *right;
};

static const struct glyphs drawn = { "─", "│", "┌", "┐", "└", "┘", "▼", "◄", "►" };
static const struct glyphs ascii = { "-", "|", "+", "+", "+", "+", "v", "<", ">" };

/* What one end has to show. */
struct end {
	const char *host;
	const struct cpl_info *info;
	unsigned side;
};

static bool knows(const struct cpl_info *info, enum cpl_field f)
{
	return info && cpl_info_known(info, f);
}

/* S, padded with spaces to WIDTH columns, or cut. */
static void put_cell(struct text *t, const char *s, unsigned width)
{
	unsigned at = 0;
	const char *end = s;

	while (*end && at < width) {
		end++;
		while (((unsigned char)*end & 0xc0) == 0x80)
			end++;
		at++;
	}
	text_printf(t, "%.*s", (int)(end - s), s);
	text_repeat(t, " ", width - at);
}

/* "┌ title ────┐" of WIDTH columns. */
static void put_edge(struct text *t, const char *left, const char *title, const char *right,
		     const char *h, unsigned width)
{
	unsigned used = 2;

	text_puts(t, left);
	if (*title) {
		struct view_word w = word_format("%.*s", (int)(width - 4), title);

		text_puts(t, " ");
		text_styled(t, TEXT_BOLD, w.s);
		text_puts(t, " ");
		used += view_cells(w.s) + 2;
	}
	text_repeat(t, h, width - used);
	text_puts(t, right);
}

/* ---- What stands in the rows of a box -------------------------------------------------------- */

/* The rows inside a control block: the left host's sending opposite the right one's receiving. */
static const enum cpl_field block_rows[2][9] = {
	{ CPL_F_iss, CPL_F_snd_una, CPL_F_snd_nxt, CPL_F_send_queue, CPL_F_irs, CPL_F_rcv_nxt,
	  CPL_F_rcv_wnd, CPL_F_recv_queue, CPL_F_cwnd },
	{ CPL_F_irs, CPL_F_rcv_nxt, CPL_F_rcv_wnd, CPL_F_recv_queue, CPL_F_iss, CPL_F_snd_una,
	  CPL_F_snd_nxt, CPL_F_send_queue, CPL_F_cwnd },
};

#define BLOCK_ROWS (sizeof(block_rows[0]) / sizeof(block_rows[0][0]))

/* The rows of a box, from top to bottom. */
enum row {
	ROW_TOP,
	ROW_PROGRAM,
	ROW_FD,
	ROW_FD_ARROW,
	ROW_SOCKET,
	ROW_SOCKET_ARROW,
	ROW_BLOCK,
	ROW_VALUES,
	ROW_BLOCK_END = ROW_VALUES + (int)BLOCK_ROWS,
	ROW_BOTTOM,
	ROWS
};

static struct view_word program_word(const struct cpl_info *i)
{
	if (!knows(i, CPL_F_program) && !knows(i, CPL_F_pid))
		return word_format("program  -");
	if (!knows(i, CPL_F_pid))
		return word_format("program  %s", view_field_word(i, CPL_F_program, 0).s);
	return word_format("program  %.10s pid %u", view_field_word(i, CPL_F_program, 0).s, i->pid);
}

static struct view_word endpoint_word(const struct cpl_info *i)
{
	if (!knows(i, CPL_F_local_addr))
		return word_format("-");
	return word_endpoint(&i->local_addr, i->local_port);
}

/* Long IPv6 endpoints do not fit: a letter stands for them, explained below the drawing. */
static bool is_long(const struct cpl_info *i)
{
	return strlen(endpoint_word(i).s) > INNER - 9;
}

static struct view_word socket_word(const struct end *e)
{
	if (is_long(e->info))
		return word_format("socket   (%c)", e->side ? 'b' : 'a');
	return word_format("socket   %s", endpoint_word(e->info).s);
}

static void put_block(struct text *t, const struct glyphs *g, const struct end *e, int row)
{
	const struct cpl_info *i = e->info;
	struct view_word w;
	enum cpl_field f;

	if (row == ROW_BLOCK) {
		w = word_format("TCB %s", i ? view_field_word(i, CPL_F_state, 0).s : "none");
		put_edge(t, g->tl, w.s, g->tr, g->h, INNER);
		return;
	}
	if (row == ROW_BLOCK_END) {
		w = word_format("kept by %s",
				knows(i, CPL_F_source) ? view_source_name(i->source) : "nobody");
		put_edge(t, g->bl, knows(i, CPL_F_source) || !i ? w.s : "", g->br, g->h, INNER);
		return;
	}
	f = block_rows[e->side][row - ROW_VALUES];
	w = word_format("%-10.10s %s", view_fields[f].name,
			i ? view_field_word(i, f, VIEW_RELATIVE).s : "");
	if (strlen(w.s) > INNER - 4) /* a name can spare its padding, a value nothing */
		w = word_format("%s %s", view_fields[f].name,
				view_field_word(i, f, VIEW_RELATIVE).s);
	if (!i)
		w = word_format("%s", row == ROW_VALUES + 4 ? "this host has none" : "");
	text_printf(t, "%s ", g->v);
	put_cell(t, w.s, INNER - 4);
	text_printf(t, " %s", g->v);
}

static void put_box_row(struct text *t, const struct glyphs *g, const struct end *e, int row)
{
	struct view_word w = { "" };

	if (row == ROW_TOP || row == ROW_BOTTOM) {
		put_edge(t, row == ROW_TOP ? g->tl : g->bl, row == ROW_TOP ? e->host : "",
			 row == ROW_TOP ? g->tr : g->br, g->h, BOX);
		return;
	}
	text_printf(t, "%s ", g->v);
	if (row >= ROW_BLOCK) {
		put_block(t, g, e, row);
		text_printf(t, " %s", g->v);
		return;
	}
	switch (row) {
	case ROW_PROGRAM:
		w = program_word(e->info);
		break;
	case ROW_FD:
		w = knows(e->info, CPL_F_fd)
			    ? word_format("   %s file descriptor %u", g->v, e->info->fd)
			    : word_format("   %s file descriptor -", g->v);
		break;
	case ROW_SOCKET:
		w = socket_word(e);
		break;
	default:
		w = word_format("   %s", g->down);
		break;
	}
	put_cell(t, w.s, INNER);
	text_printf(t, " %s", g->v);
}

/* ---- The wire -------------------------------------------------------------------------------- */

static void put_centred(struct text *t, const char *s, unsigned width)
{
	unsigned cells = view_cells(s);

	if (cells > width) {
		put_cell(t, s, width);
		return;
	}
	text_repeat(t, " ", (width - cells) / 2);
	text_puts(t, s);
	text_repeat(t, " ", width - cells - (width - cells) / 2);
}

/* What is under way from one end to the other, as two lines. */
static void under_way(const struct view_scene *s, unsigned from, struct view_word line[2])
{
	const struct cpl_info *x = from ? s->y : s->x, *y = from ? s->x : s->y;
	int32_t n;

	line[0] = line[1] = word_format("%s", "");
	if (s->wire_known) {
		uint64_t segments = s->wire_segments[from];

		if (!segments)
			line[1] = word_format("nothing");
		else
			line[0] = word_format("%s segment%s", word_count(segments).s,
					      segments == 1 ? "" : "s");
		if (segments)
			line[1] = s->wire_bytes[from] ? word_bytes(s->wire_bytes[from])
						      : word_format("no payload");
		return;
	}
	if (!knows(x, CPL_F_snd_nxt) || !knows(y, CPL_F_rcv_nxt))
		return;
	n = (int32_t)(x->snd_nxt - y->rcv_nxt);
	if (n > 0) {
		line[0] = word_format("under way or lost");
		line[1] = word_bytes((uint64_t)n);
	}
}

/* The N-th line of TEXT broken at ", " into lines of at most WIDTH columns. */
static struct view_word wire_line(const char *text, unsigned n, unsigned width)
{
	struct view_word w = { "" };

	while (text && *text) {
		size_t len = strcspn(text, ",");

		if (*w.s && strlen(w.s) + 2 + len > width) {
			if (n-- == 0)
				return w;
			w = word_format("%s", "");
		}
		w = word_format("%.40s%s%.*s", w.s, *w.s ? ", " : "", (int)len, text);
		text += len;
		text += strspn(text, ", ");
	}
	if (n)
		w = word_format("%s", "");
	return w;
}

static void put_wire(struct text *t, const struct glyphs *g, const struct view_scene *s, int row)
{
	struct view_word line[2];
	int value = row - ROW_VALUES;
	unsigned from = value >= 4;

	if (value < 0 || value > 7) {
		/* Above the blocks: what kind of wire it is. */
		if (row == ROW_PROGRAM)
			put_centred(t, "the wire", WIRE);
		else if (row >= ROW_FD && row <= ROW_SOCKET_ARROW)
			put_centred(t, wire_line(s->wire, (unsigned)(row - ROW_FD), WIRE - 2).s,
				    WIRE);
		else
			text_repeat(t, " ", WIRE);
		return;
	}
	under_way(s, from, line);
	switch (value % 4) {
	case 1:
	case 2:
		put_centred(t, line[value % 4 - 1].s, WIRE);
		break;
	case 3:
		text_puts(t, " ");
		text_puts(t, from ? g->left : g->h);
		text_repeat(t, g->h, WIRE - 4);
		text_puts(t, from ? g->h : g->right);
		text_puts(t, " ");
		break;
	default:
		text_repeat(t, " ", WIRE);
		break;
	}
}

void view_drawing(struct text *t, const struct view_scene *scene)
{
	const struct glyphs *g = t->ascii ? &ascii : &drawn;
	const struct end ends[2] = { { scene->x_host ? scene->x_host : "X", scene->x, 0 },
				     { scene->y_host ? scene->y_host : "Y", scene->y, 1 } };

	for (int row = 0; row < ROWS; row++) {
		put_box_row(t, g, &ends[0], row);
		put_wire(t, g, scene, row);
		put_box_row(t, g, &ends[1], row);
		text_puts(t, "\n");
	}
	for (unsigned side = 0; side < 2; side++)
		if (ends[side].info && is_long(ends[side].info))
			text_printf(t, "(%c) %s\n", side ? 'b' : 'a',
				    endpoint_word(ends[side].info).s);
	text_puts(t,
		  "Nothing joins the two blocks but the segments on the wire: each host built\n"
		  "its own from the handshake, and keeps it up from what it sends and receives.\n");
}
