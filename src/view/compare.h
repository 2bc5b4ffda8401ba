/* SPDX-License-Identifier: MIT */
/* Between compare.c, which makes the checks, and report.c, which draws the verdict from them. */
#ifndef VIEW_COMPARE_H
#define VIEW_COMPARE_H

#include "view/field.h"
#include "view/pair.h"

struct compare {
	const struct cpl_info *info[2][2]; /* [pass][end]; NULL: not found */
	const char *name[2];
	enum view_absent absent;
	bool passes; /* two passes, not one instant */
	bool apart;  /* one pass each, of different times */
	bool wordless;
	struct view_report *report;
	const struct view_check *doubt; /* the first that two times cannot tell; NULL: none */
};

/* Fills report->checks. */
void compare_run(struct compare *c);

#endif
