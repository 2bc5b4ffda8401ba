/* SPDX-License-Identifier: MIT */
/*
 * Why it is not faster, in plain words: which of the reasons for not sending (why_time_*) took how
 * much of the time in which a connection had data to send. Of the life of a connection, or of the
 * time between two snapshots of it; Couplet's and the kernel's, which tells less.
 */
#ifndef VIEW_LIMITS_H
#define VIEW_LIMITS_H

#include "view/text.h"

struct view_limits {
	uint64_t life_ns;      /* 0: not known */
	uint64_t busy_ns;      /* of that with data not yet acknowledged */
	uint64_t ns[CPL_WHYS]; /* ns[CPL_WHY_IDLE]: of the busy time, all written was in flight */
	uint64_t rest_ns;      /* of the busy time: what the source does not divide */
	unsigned most;	       /* enum cpl_why that took most; CPL_WHYS: rest_ns did */
};

/* Since BEFORE, or, if that is NULL, since it began. False: not known, or nothing was sent. */
bool view_limits_get(struct view_limits *l, const struct cpl_info *info,
		     const struct cpl_info *before);
/* What that took, in percent of the busy time; full windows and zero ones of the peer together. */
unsigned view_limits_percent(const struct view_limits *l);
/*
 * One clause: how much of its time it was held by what most held it, and what that means. READER:
 * the program at the other end, or NULL.
 */
void view_limits_clause(char *s, size_t size, const struct view_limits *l,
			const struct cpl_info *info, const char *reader);
/* Whole lines, INDENT spaces from the left: what limits INFO, and the numbers that belong to it.
 * READER as above. False: there is nothing to say. */
bool view_limits(struct text *t, const struct cpl_info *info, const char *reader, unsigned indent);

#endif
