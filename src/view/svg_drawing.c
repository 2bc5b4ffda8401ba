/* SPDX-License-Identifier: MIT */
/* Program, descriptor, socket and control block of two hosts, and the wire between, as SVG. */
#include <string.h>

#include "view/field.h"
#include "view/svg.h"
#include "view/svg_draw.h"

#define WIDTH	900
#define HEIGHT	538
#define HOST_W	330
#define HOST_H	446
#define HOST_Y	24
#define INSET	20
#define BLOCK_Y 212 /* of the control block, within the picture */
#define ROW_H	26

/* What differs from host to host. */
struct host {
	int x; /* left edge */
	const char *name;
	const struct cpl_info *info;
	const char *ink, *ground;
	unsigned side;
};

/* The rows of a control block; those of one row belong together. See drawing.c. */
static const enum cpl_field rows[2][8] = {
	{ CPL_F_iss, CPL_F_snd_una, CPL_F_snd_nxt, CPL_F_send_queue, CPL_F_irs, CPL_F_rcv_nxt,
	  CPL_F_rcv_wnd, CPL_F_recv_queue },
	{ CPL_F_irs, CPL_F_rcv_nxt, CPL_F_rcv_wnd, CPL_F_recv_queue, CPL_F_iss, CPL_F_snd_una,
	  CPL_F_snd_nxt, CPL_F_send_queue },
};

#define ROWS (sizeof(rows[0]) / sizeof(rows[0][0]))

static bool knows(const struct cpl_info *info, enum cpl_field f)
{
	return info && cpl_info_known(info, f);
}

/* A box with a small heading above its text. */
static void put_part(struct text *t, const struct host *h, int y, const char *heading,
		     const char *value)
{
	/* A long IPv6 endpoint gets smaller letters. */
	const char *font =
		strlen(value) > 34 ? SVG_MONO " font-size=\"9\"" : SVG_MONO " font-size=\"14\"";

	svg_box(t, h->x + INSET, y, HOST_W - 2 * INSET, 44, "#ffffff", SVG_LINE);
	svg_text(t, h->x + INSET + 10, y + 16, "font-size=\"11\" fill=\"" SVG_MUTED "\"", heading);
	svg_text(t, h->x + INSET + 10, y + 35, font, value);
}

static void put_link(struct text *t, const struct host *h, int y, const char *label)
{
	int x = h->x + INSET + 40;

	svg_arrow(t, x, y, x, y + 26, h->ink, "");
	svg_text(t, x + 14, y + 17, "font-size=\"12\" fill=\"" SVG_MUTED "\"", label);
}

static void put_block(struct text *t, const struct host *h)
{
	const struct cpl_info *i = h->info;
	int x = h->x + INSET, width = HOST_W - 2 * INSET;
	int height = 34 + (int)ROWS * ROW_H + 6;

	svg_box(t, x, BLOCK_Y, width, height, i ? h->ground : SVG_SHADE, i ? h->ink : SVG_LINE);
	svg_text(t, x + 10, BLOCK_Y + 22, "font-weight=\"bold\"",
		 i ? "control block (TCB)" : "no control block");
	if (!i) {
		svg_text(t, x + width / 2, BLOCK_Y + height / 2 + 10,
			 SVG_MIDDLE " fill=\"" SVG_MUTED "\"",
			 "this host knows no such connection");
		return;
	}
	svg_text(t, x + width - 10, BLOCK_Y + 22, SVG_END " font-weight=\"bold\"",
		 view_field_word(i, CPL_F_state, 0).s);
	for (size_t r = 0; r < ROWS; r++) {
		enum cpl_field f = rows[h->side][r];
		int y = BLOCK_Y + 34 + (int)r * ROW_H;

		svg_line(t, x, y, x + width, y, "stroke=\"#ffffff\" stroke-width=\"1\"");
		svg_text(t, x + 10, y + 18, SVG_MONO " font-size=\"13\"", view_fields[f].name);
		svg_text(t, x + width - 10, y + 18, SVG_MONO " font-size=\"13\" " SVG_END,
			 view_field_word(i, f, VIEW_RELATIVE).s);
	}
}

static void put_host(struct text *t, const struct host *h)
{
	const struct cpl_info *i = h->info;
	struct view_word w = word_format("%s", "-");

	svg_box(t, h->x, HOST_Y, HOST_W, HOST_H, SVG_SHADE, SVG_LINE);
	svg_text(t, h->x + INSET, HOST_Y + 26, "font-size=\"16\" font-weight=\"bold\"",
		 word_foreign(h->name).s);
	if (knows(i, CPL_F_source))
		svg_text(t, h->x + HOST_W - INSET, HOST_Y + 26,
			 SVG_END " font-size=\"12\" fill=\"" SVG_MUTED "\"",
			 word_format("kept by %s", view_source_name(i->source)).s);
	if (knows(i, CPL_F_program))
		w = view_field_word(i, CPL_F_program, 0);
	if (knows(i, CPL_F_pid))
		w = word_format("%.20s, pid %u", w.s, i->pid);
	put_part(t, h, 62, "program", w.s);
	put_link(t, h, 108,
		 knows(i, CPL_F_fd) ? word_format("file descriptor %u", i->fd).s
				    : "file descriptor");
	put_part(t, h, 138, "socket",
		 knows(i, CPL_F_local_addr) ? word_endpoint(&i->local_addr, i->local_port).s : "-");
	put_link(t, h, 184, "");
	put_block(t, h);
}

/* What is on its way from one end to the other. */
static void put_traffic(struct text *t, const struct view_scene *s, unsigned from, int y,
			const char *ink)
{
	int left = 20 + HOST_W + 12, right = WIDTH - 20 - HOST_W - 12, middle = WIDTH / 2;
	const struct cpl_info *x = from ? s->y : s->x, *to = from ? s->x : s->y;
	struct view_word first = { "" }, second = { "" };

	svg_arrow(t, from ? right : left, y, from ? left : right, y, ink, "");
	if (s->wire_known) {
		uint64_t n = s->wire_segments[from];

		first = n ? word_format("%s segment%s", word_count(n).s, n == 1 ? "" : "s")
			  : word_format("nothing under way");
		if (n)
			second = s->wire_bytes[from] ? word_bytes(s->wire_bytes[from])
						     : word_format("no payload");
	} else if (knows(x, CPL_F_snd_nxt) && knows(to, CPL_F_rcv_nxt) &&
		   (int32_t)(x->snd_nxt - to->rcv_nxt) > 0) {
		first = word_format("under way, or lost:");
		second = word_bytes(x->snd_nxt - to->rcv_nxt);
	}
	svg_text(t, middle, y - 26, SVG_MIDDLE " font-size=\"12\"", first.s);
	svg_text(t, middle, y - 9, SVG_MIDDLE " font-size=\"12\"", second.s);
}

static void put_wire(struct text *t, const struct view_scene *s)
{
	const char *p = s->wire ? s->wire : "";
	int y = 94;

	svg_text(t, WIDTH / 2, 72, SVG_MIDDLE " font-weight=\"bold\"", "the wire");
	for (int lines = 0; *p && lines < 6; lines++, y += 18) {
		size_t n = strcspn(p, ",");

		svg_text(t, WIDTH / 2, y, SVG_MIDDLE " font-size=\"12\" fill=\"" SVG_MUTED "\"",
			 word_format("%.*s", n > 26 ? 26 : (int)n, p).s);
		p += n;
		p += strspn(p, ", ");
	}
	put_traffic(t, s, 0, BLOCK_Y + 34 + 3 * ROW_H, SVG_BLUE);
	put_traffic(t, s, 1, BLOCK_Y + 34 + 7 * ROW_H, SVG_ORANGE);
}

void view_svg_drawing(struct text *t, const struct view_scene *scene)
{
	const struct host hosts[2] = {
		{ 20, scene->x_host ? scene->x_host : "X", scene->x, SVG_BLUE, SVG_BLUE_BG, 0 },
		{ WIDTH - 20 - HOST_W, scene->y_host ? scene->y_host : "Y", scene->y, SVG_ORANGE,
		  SVG_ORANGE_BG, 1 },
	};

	svg_begin(t, WIDTH, HEIGHT, "One TCP connection: two control blocks and a wire");
	put_host(t, &hosts[0]);
	put_host(t, &hosts[1]);
	put_wire(t, scene);
	svg_text(t, WIDTH / 2, HEIGHT - 36, SVG_MIDDLE " fill=\"" SVG_MUTED "\"",
		 "Nothing joins the two blocks but the segments on the wire: each host built its "
		 "own");
	svg_text(t, WIDTH / 2, HEIGHT - 17, SVG_MIDDLE " fill=\"" SVG_MUTED "\"",
		 "from the handshake, and keeps it up from what it sends and receives.");
	svg_end(t);
}
