/* SPDX-License-Identifier: MIT */
/* A table whose columns widen to what they hold: see table.h. */
#include "view/table.h"

#include <string.h>

#define COLUMNS 32

static bool wanted(const struct view_table *table, unsigned column)
{
	return table->wanted >> column & 1;
}

static unsigned last_wanted(const struct view_table *table)
{
	unsigned last = 0;

	for (unsigned c = 0; c < table->n; c++)
		if (wanted(table, c))
			last = c;
	return last;
}

static void put_foreign(struct text *t, enum text_style style, const char *s)
{
	struct view_word w;

	if (!t->colour || style == TEXT_PLAIN || !*s) {
		text_foreign(t, s);
		return;
	}
	w = word_foreign(s);
	text_styled(t, style, w.s);
}

static void put(struct text *t, const struct view_column *column, const char *s,
		enum text_style style, unsigned width, bool last)
{
	unsigned cells = (unsigned)strlen(s); /* text_foreign() prints one column for each byte */

	if (column->right && cells < width)
		text_repeat(t, " ", width - cells);
	put_foreign(t, style, s);
	if (last)
		return;
	if (!column->right && cells < width)
		text_repeat(t, " ", width - cells);
	text_puts(t, " ");
}

static void measure(const struct view_table *table, size_t rows, unsigned width[COLUMNS])
{
	struct view_cell cell;

	for (unsigned c = 0; c < table->n; c++) {
		width[c] = (unsigned)strlen(table->columns[c].title);
		if (width[c] < table->columns[c].least)
			width[c] = table->columns[c].least;
	}
	for (size_t row = 0; row < rows; row++) {
		for (unsigned c = 0; c < table->n; c++) {
			unsigned cells;

			if (!wanted(table, c))
				continue;
			cell.text = NULL;
			table->cell(table->arg, row, c, &cell);
			cells = (unsigned)strlen(cell.text ? cell.text : cell.word.s);
			if (cells > width[c])
				width[c] = cells;
		}
	}
}

void view_table(struct text *t, const struct view_table *table, size_t rows)
{
	unsigned width[COLUMNS], last = last_wanted(table);
	struct view_cell cell;

	measure(table, rows, width);
	for (unsigned c = 0; c < table->n && !table->bare; c++)
		if (wanted(table, c))
			put(t, &table->columns[c], table->columns[c].title, TEXT_BOLD, width[c],
			    c == last);
	text_puts(t, table->bare ? "" : "\n");
	for (size_t row = 0; row < rows; row++) {
		for (unsigned c = 0; c < table->n; c++) {
			if (!wanted(table, c))
				continue;
			cell.text = NULL;
			cell.style = TEXT_PLAIN;
			table->cell(table->arg, row, c, &cell);
			put(t, &table->columns[c], cell.text ? cell.text : cell.word.s, cell.style,
			    width[c], c == last);
		}
		while (t->len && t->data[t->len - 1] == ' ') /* UDP has no state */
			t->data[--t->len] = 0;
		text_puts(t, "\n");
		if (table->below)
			table->below(table->arg, row, t);
	}
}
