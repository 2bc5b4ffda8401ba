/* SPDX-License-Identifier: MIT */
/* What the words mean: the texts of `couplet explain`, from explain.def and info.def. */
#ifndef VIEW_EXPLAIN_H
#define VIEW_EXPLAIN_H

#include "view/text.h"

/* At most 12 lines of at most 80 columns. Returns 0, or -ENOENT for an unknown word. */
int view_explain(struct text *t, const char *word);
/* All words by theme. */
void view_explain_list(struct text *t);
/* Up to MAX known words nearest to WORD, best first; returns how many. */
unsigned view_explain_near(const char *word, const char **near, unsigned max);
/* The N-th word that explains itself, fields of info.def last; NULL after the end. */
const char *view_explain_word(unsigned n);

#endif
