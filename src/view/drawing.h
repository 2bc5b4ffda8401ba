/* SPDX-License-Identifier: MIT */
/* The thing itself: program -> fd -> socket -> TCB | wire | TCB <- socket <- fd <- program. */
#ifndef VIEW_DRAWING_H
#define VIEW_DRAWING_H

#include "view/text.h"

struct view_scene {
	const char *x_host, *y_host;  /* "client", "alpha" */
	const struct cpl_info *x, *y; /* either may be NULL: that host has no such block */
	const char *wire;	   /* "40 ms, 2% loss, 20 Mbit/s"; NULL: nothing is known of it */
	uint64_t wire_segments[2]; /* on their way from x to y, and back */
	uint64_t wire_bytes[2];	   /* payload of these */
	bool wire_known;	   /* the four numbers above are real */
};

/* 80 columns, line drawing or ASCII (t->ascii). */
void view_drawing(struct text *t, const struct view_scene *scene);

#endif
