/* SPDX-License-Identifier: MIT */
/* A table whose columns widen to what they hold: nothing in it is ever cut. */
#ifndef VIEW_TABLE_H
#define VIEW_TABLE_H

#include "view/text.h"

struct view_cell {
	struct view_word word;
	const char *text; /* instead of it, of any length; or NULL */
	enum text_style style;
};

struct view_column {
	const char *title;
	unsigned least; /* columns, also where nothing needs them */
	bool right;	/* numbers stand at the right */
};

struct view_table {
	const struct view_column *columns;
	unsigned n;
	uint32_t wanted; /* bits: 1 << column; the others are left out */
	bool bare;	 /* no heading */
	/* The contents of a cell, asked for twice. What is foreign in it need not be harmless. */
	void (*cell)(const void *arg, size_t row, unsigned column, struct view_cell *cell);
	/* Called after each row, for what stands below it; or NULL. */
	void (*below)(const void *arg, size_t row, struct text *t);
	const void *arg;
};

void view_table(struct text *t, const struct view_table *table, size_t rows);

#endif
