/* SPDX-License-Identifier: MIT */
/*
 * The state diagram of RFC 9293 section 3.3.2 (figure 5) in text cells, with the two ends of a
 * connection, A and B, marked at the state in which each is.
 */
#ifndef VIEW_STATE_DIAGRAM_H
#define VIEW_STATE_DIAGRAM_H

#include "view/text.h"

#define STATE_DIAGRAM_WIDTH 78
#define STATE_DIAGRAM_LINES 21

struct state_marks {
	int now[2];	     /* enum cpl_state of A and B; -1: not known */
	uint16_t visited[2]; /* bits of states that A and B were seen in */
};

/* "A >" stands left of A's state, "< B" right of B's; states that were seen are bold. */
void state_diagram(struct text *t, const struct state_marks *marks);

#endif
