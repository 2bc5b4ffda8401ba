/* SPDX-License-Identifier: MIT */
/*
 * What one line of netstat means, in two to four short lines of plain words: whose the queues are
 * and why they are not empty, what the state waits for, and for how long still.
 *
 * Only what is known of the connection is said; a row that somebody pasted (paste.h) goes through
 * here as well, with the little that it tells.
 */
#ifndef VIEW_LINE_H
#define VIEW_LINE_H

#include "view/text.h"

struct view_line {
	const struct cpl_info *info;
	/* At which it waits to be accepted, if no program holds it; or NULL. */
	const struct cpl_info *listener;
	/* The other end, where it is on this machine too; or NULL. */
	const struct cpl_info *peer;
	bool pasted;   /* the row is all there is: nothing can be said of what it does not hold */
	bool why_said; /* view_line_why() stands above */
	bool no_limit; /* of a listener: the table that it is from shows no limit in Send-Q */
};

/* Whole lines, each INDENT spaces from the left, in the width of T. */
void view_line(struct text *t, const struct view_line *line, unsigned indent);

/* Why it is not sending now, in one sentence and a line of its own; nothing where that is not
 * known.
 */
bool view_line_why(struct text *t, const struct view_line *line);

/*
 * Which of INFOS[0..N) is the listener that answers for the connection INFO: same source, namespace
 * and port, its address or any. NULL: none.
 */
const struct cpl_info *view_listener(const struct cpl_info *infos, size_t n,
				     const struct cpl_info *info);

/* Which of them is the other end of the connection INFO: its addresses, mirrored. NULL: none. */
const struct cpl_info *view_other_end(const struct cpl_info *infos, size_t n,
				      const struct cpl_info *info);
/* Whether B is seen from the other end what A is from this one. */
bool view_mirrors(const struct cpl_info *a, const struct cpl_info *b);

/* "curl (pid 812)", or what else can be said of who has the socket. */
struct view_word view_line_who(const struct cpl_info *info);

/* True if it is known that no program can reach the socket: not accepted yet, or closed. */
bool view_detached(const struct cpl_info *info);

/* How a state looks on a terminal: what is healthy, what passes, what needs care. */
enum text_style view_state_style(const struct cpl_info *info);

#endif
