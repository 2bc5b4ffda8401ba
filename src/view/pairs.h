/* SPDX-License-Identifier: MIT */
/* Pairs and their verdicts for people: one in full, many as a table; and as JSON for programs. */
#ifndef VIEW_PAIRS_H
#define VIEW_PAIRS_H

#include "view/field.h"
#include "view/pair.h"

/* One connection, as far as it was seen. */
struct view_pair_row {
	const struct cpl_info *x, *y;  /* as seen last; y NULL: not found */
	const char *x_name, *y_name;   /* "client", "server" */
	const char *x_where, *y_where; /* host or namespace, for the title; NULL: here */
	enum view_paired_by by;
	bool remote; /* y is NULL because it is on a machine that was not asked */
	enum view_verdict verdict;
	enum view_certainty certainty;
	unsigned checks, unseen;	  /* made; not to be made */
	const struct view_report *report; /* in words; NULL: not wanted of this one */
};

/* Fills verdict to report from REPORT, which must live as long as ROW if WORDS. */
void view_pair_judge(struct view_pair_row *row, const struct view_report *report, bool words);

/* How many of which verdict. */
struct view_pair_count {
	size_t pairs;			 /* rows that were compared */
	size_t verdict[VIEW_UNSEEN + 1]; /* of those, by enum view_verdict */
	size_t remote;			 /* not compared: the other end is elsewhere */
	size_t checks, unseen;		 /* of all: made, and not to be made */
};

void view_pair_count(struct view_pair_count *c, const struct view_pair_row *rows, size_t n);

/*
 * Both ends in full: who they are, both control blocks, the verdict; with VIEW_VERBOSE every check
 * and every field.
 */
void view_pair_print(struct text *t, const struct view_pair_row *row, unsigned flags);

/*
 * One line for each connection, trouble first, with its reason below; then a line that sums up.
 * Those with a remote end are only counted, unless VIEW_VERBOSE is given. ROWS are sorted.
 */
void view_pair_table(struct text *t, struct view_pair_row *rows, size_t n, unsigned flags);
/* The two parts of it, where not all that is summed up is listed. */
void view_pair_rows(struct text *t, struct view_pair_row *rows, size_t n, unsigned flags);
void view_pair_summary(struct text *t, const struct view_pair_count *count);

/* One JSON object. Returns 0, -ENOMEM, or -ENOSYS: built without jansson. */
int view_pair_json(struct text *t, const struct view_pair_row *rows, size_t n,
		   const char *const *not_seen, size_t not_seen_n);

#endif
