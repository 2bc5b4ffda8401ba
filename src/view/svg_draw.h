/* SPDX-License-Identifier: MIT */
/* Lines, boxes and text for the SVG pictures; for svg_*.c only. */
#ifndef VIEW_SVG_DRAW_H
#define VIEW_SVG_DRAW_H

#include "view/text.h"

#define SVG_INK	      "#1f2328"
#define SVG_MUTED     "#656d76"
#define SVG_LINE      "#afb8c1"
#define SVG_SHADE     "#f6f8fa"
#define SVG_RED	      "#cf222e"
#define SVG_BLUE      "#0969da" /* end x */
#define SVG_BLUE_BG   "#ddf4ff"
#define SVG_ORANGE    "#bc4c00" /* end y */
#define SVG_ORANGE_BG "#fff1e5"

#define SVG_MONO   "font-family=\"monospace\""
#define SVG_MIDDLE "text-anchor=\"middle\""
#define SVG_END	   "text-anchor=\"end\""

void svg_begin(struct text *t, unsigned width, unsigned height, const char *title);
void svg_end(struct text *t);
/* S with the characters escaped that XML keeps for itself. */
void svg_escaped(struct text *t, const char *s);
void svg_text(struct text *t, int x, int y, const char *attributes, const char *s);
/* The same on a white ground, for text on lines. */
void svg_halo_text(struct text *t, int x, int y, const char *attributes, const char *s);
void svg_box(struct text *t, int x, int y, int width, int height, const char *fill,
	     const char *stroke);
void svg_line(struct text *t, int x1, int y1, int x2, int y2, const char *attributes);
/* The head of an arrow that comes from direction DX, DY and ends at X, Y. */
void svg_head(struct text *t, int x, int y, int dx, int dy, const char *colour);
void svg_arrow(struct text *t, int x1, int y1, int x2, int y2, const char *colour,
	       const char *attributes);
void svg_cross(struct text *t, int x, int y);

#endif
