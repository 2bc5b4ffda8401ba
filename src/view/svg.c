/* SPDX-License-Identifier: MIT */
/* What the SVG pictures share: see svg_draw.h. Integers only, so that output is the same anywhere.
 */
#include "view/svg_draw.h"

#include <stdarg.h>
#include <string.h>

void svg_begin(struct text *t, unsigned width, unsigned height, const char *title)
{
	text_printf(t,
		    "<svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\" width=\"%u\" "
		    "height=\"%u\" viewBox=\"0 0 %u %u\" role=\"img\" "
		    "font-family=\"sans-serif\" font-size=\"13\" fill=\"" SVG_INK "\">\n<title>",
		    width, height, width, height);
	svg_escaped(t, title);
	text_printf(t, "</title>\n<rect width=\"%u\" height=\"%u\" fill=\"#ffffff\"/>\n", width,
		    height);
}

void svg_end(struct text *t)
{
	text_puts(t, "</svg>\n");
}

void svg_escaped(struct text *t, const char *s)
{
	for (; *s; s++) {
		switch (*s) {
		case '&':
			text_puts(t, "&amp;");
			break;
		case '<':
			text_puts(t, "&lt;");
			break;
		case '>':
			text_puts(t, "&gt;");
			break;
		case '"':
			text_puts(t, "&quot;");
			break;
		default:
			text_printf(t, "%c", (unsigned char)*s < 0x20 ? '?' : *s);
			break;
		}
	}
}

void svg_text(struct text *t, int x, int y, const char *attributes, const char *s)
{
	text_printf(t, "<text x=\"%d\" y=\"%d\"%s%s>", x, y, *attributes ? " " : "", attributes);
	svg_escaped(t, s);
	text_puts(t, "</text>\n");
}

void svg_halo_text(struct text *t, int x, int y, const char *attributes, const char *s)
{
	char halo[200];

	snprintf(halo, sizeof(halo),
		 "%s stroke=\"#ffffff\" stroke-width=\"5\" "
		 "stroke-linejoin=\"round\"",
		 attributes);
	svg_text(t, x, y, halo, s);
	svg_text(t, x, y, attributes, s);
}

void svg_box(struct text *t, int x, int y, int width, int height, const char *fill,
	     const char *stroke)
{
	text_printf(t,
		    "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"6\" fill=\"%s\" "
		    "stroke=\"%s\"/>\n",
		    x, y, width, height, fill, stroke);
}

void svg_line(struct text *t, int x1, int y1, int x2, int y2, const char *attributes)
{
	text_printf(t, "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" %s/>\n", x1, y1, x2, y2,
		    attributes);
}

/* The square root, rounded down. */
static int root(int n)
{
	int r = 0;

	while ((r + 1) * (r + 1) <= n)
		r++;
	return r;
}

void svg_head(struct text *t, int x, int y, int dx, int dy, const char *colour)
{
	int len = root(dx * dx + dy * dy);

	if (!len)
		return;
	/* A triangle 10 long and 8 wide, its point at X, Y. In tenths of a unit. */
	text_printf(t,
		    "<path d=\"M%d %d L%d %d L%d %d Z\" transform=\"scale(0.1)\" fill=\"%s\"/>\n",
		    x * 10, y * 10, x * 10 - (100 * dx - 40 * dy) / len,
		    y * 10 - (100 * dy + 40 * dx) / len, x * 10 - (100 * dx + 40 * dy) / len,
		    y * 10 - (100 * dy - 40 * dx) / len, colour);
}

void svg_arrow(struct text *t, int x1, int y1, int x2, int y2, const char *colour,
	       const char *attributes)
{
	int dx = x2 - x1, dy = y2 - y1, len = root(dx * dx + dy * dy);
	char line[160];

	if (!len)
		return;
	snprintf(line, sizeof(line), "stroke=\"%s\" stroke-width=\"2\" %s", colour, attributes);
	svg_line(t, x1, y1, x2 - 8 * dx / len, y2 - 8 * dy / len, line);
	svg_head(t, x2, y2, dx, dy, colour);
}

void svg_cross(struct text *t, int x, int y)
{
	const char *line = "stroke=\"" SVG_RED "\" stroke-width=\"3\" stroke-linecap=\"round\"";

	svg_line(t, x - 6, y - 6, x + 6, y + 6, line);
	svg_line(t, x - 6, y + 6, x + 6, y - 6, line);
}
