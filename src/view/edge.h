/* SPDX-License-Identifier: MIT */
/* The state diagram of RFC 9293 section 3.3.2 (figure 5) as a list of edges, for drawing. */
#ifndef VIEW_EDGE_H
#define VIEW_EDGE_H

#include <stdbool.h>

#include <couplet/info.h>

struct view_edge {
	uint8_t from, to;  /* enum cpl_state */
	const char *label; /* event / action, in the RFC's words */
};

/* The label of edges that the figure's notes describe and that are not drawn one by one. */
#define VIEW_EDGE_RESET "RST, ABORT or time-out"

extern const struct view_edge view_edges[];
extern const unsigned view_edges_n;

bool view_edge_legal(unsigned from, unsigned to);

#endif
