/* SPDX-License-Identifier: MIT */
/*
 * The same pictures as SVG 1.1: white background, generic fonts, no script, no outside reference.
 * The same input gives the same bytes.
 */
#ifndef VIEW_SVG_H
#define VIEW_SVG_H

#include "view/drawing.h"
#include "view/ladder.h"

void view_svg_drawing(struct text *t, const struct view_scene *scene);
void view_svg_ladder(struct text *t, const struct view_ladder *ladder);

/* Which edges of the state diagram were walked: bit TO of walked[FROM]; for each of two ends. */
struct view_walk {
	uint16_t walked[2][CPL_STATES];
};

/* Adds the state records of one side (0: x, 1: y). */
void view_walk_add(struct view_walk *walk, unsigned side, const struct cpl_trace *records,
		   size_t n);
/* The state diagram, RFC 9293 figure 5; WALK may be NULL; the names are those of the two ends. */
void view_svg_states(struct text *t, const struct view_walk *walk, const char *x_name,
		     const char *y_name);

#endif
