/* SPDX-License-Identifier: MIT */
/* One control block in full, and the two of a connection side by side. */
#ifndef VIEW_TCB_H
#define VIEW_TCB_H

#include "view/field.h"
#include "view/pair.h"

/*
 * The whole TCB, grouped: one line each, "name value meaning". Unknown fields print "-" with
 * VIEW_VERBOSE, else a group ends with one line that names them.
 */
void view_tcb(struct text *t, const struct cpl_info *info, unsigned flags);

/*
 * Both control blocks, at most 80 columns: what X sends stands opposite what Y receives, and where
 * one of the invariants of pair.h binds two values, the mark between them says whether it holds:
 * "=" equal, "<" or ">" behind and legal, "!" broken, "?" one side unknown, "~" for two states that
 * will change. Y may be NULL: no such end was found. The names are those of the two hosts. At most
 * 24 rows; VIEW_VERBOSE: all fields.
 */
void view_tcbs(struct text *t, const char *x_name, const struct cpl_info *x, const char *y_name,
	       const struct cpl_info *y, unsigned flags);

#endif
