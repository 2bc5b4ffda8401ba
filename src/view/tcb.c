/* SPDX-License-Identifier: MIT */
/* One control block in full: see tcb.h. The two side by side are in tcbs.c. */
#include "view/tcb.h"

#include <string.h>

#define NAME_AT	   2
#define VALUE_AT   21
#define TEXT_AT	   45
#define PATH_CELLS 58

/* Units that are said with the number; times say theirs themselves. */
static const char *said_unit(const struct view_field *f)
{
	return strcmp(f->unit, "bytes") == 0 || strcmp(f->unit, "segments") == 0 ||
			       strcmp(f->unit, "hops") == 0
		       ? f->unit
		       : NULL;
}

/* "65,536 bytes", "1000001 iss+1", "40.2 ms" */
static void put_value(struct text *t, const struct cpl_info *info, enum cpl_field f)
{
	const struct view_field *field = &view_fields[f];
	struct view_word w = view_field_word(info, f, 0);
	bool is_known = cpl_info_known(info, f);

	if (is_known && !cpl_info_is_read(info, f))
		text_puts(t, "~");
	/* A path may be longer than a line. */
	for (const char *at = w.s; *at || at == w.s;) {
		struct view_word part = word_format("%.*s", PATH_CELLS, at);

		text_column(t, VALUE_AT, 0);
		text_styled(t, TEXT_BOLD, part.s);
		if (!*part.s)
			break;
		at += strlen(part.s);
		text_puts(t, *at ? "\n" : "");
	}
	if (is_known && said_unit(field) && strcmp(w.s, "none yet") != 0)
		text_printf(t, " %s", said_unit(field));
	if (is_known && field->type == VIEW_TYPE_seq) {
		struct view_word relative = view_field_word(info, f, VIEW_RELATIVE);

		if (strcmp(relative.s, w.s) != 0)
			text_printf(t, " %s", relative.s);
	}
}

/* The meaning, without the name of the C type that the value already stands for. */
static void put_text(struct text *t, const char *meaning)
{
	const char *type = strstr(meaning, " (enum ");
	char s[160];

	if (!type)
		type = strstr(meaning, " (CPL_");
	snprintf(s, sizeof(s), "%.*s", type ? (int)(type - meaning) : (int)strlen(meaning),
		 meaning);
	text_wrap(t, s, TEXT_AT, t->width);
}

static bool is_empty_group(const struct cpl_info *info, const char *group)
{
	for (int f = 0; f < CPL_FIELDS; f++)
		if (strcmp(view_fields[f].group, group) == 0 &&
		    cpl_info_known(info, (enum cpl_field)f))
			return false;
	return true;
}

static void put_unknown(struct text *t, const struct cpl_info *info, const char *group)
{
	bool first = true;

	for (int f = 0; f < CPL_FIELDS; f++) {
		const char *name = view_fields[f].name;

		if (strcmp(view_fields[f].group, group) != 0 ||
		    cpl_info_known(info, (enum cpl_field)f))
			continue;
		if (first)
			text_puts(t, "  unknown:");
		if (text_at(t) + 1 + strlen(name) > t->width)
			text_puts(t, "\n          ");
		text_printf(t, " %s", name);
		first = false;
	}
	if (!first)
		text_puts(t, "\n");
}

void view_tcb(struct text *t, const struct cpl_info *info, unsigned flags)
{
	const char *group = "";
	bool derived = false, skip = false;

	for (int n = 0; n < CPL_FIELDS; n++) {
		enum cpl_field f = (enum cpl_field)n;
		const struct view_field *field = &view_fields[f];

		if (strcmp(field->group, group) != 0) {
			if (*group && !skip && !(flags & VIEW_VERBOSE))
				put_unknown(t, info, group);
			group = field->group;
			skip = !(flags & VIEW_VERBOSE) && is_empty_group(info, group);
			if (!skip) {
				text_puts(t, n ? "\n" : "");
				text_styled(t, TEXT_CYAN, view_group_title(group));
				text_puts(t, "\n");
			}
		}
		if (skip || (!cpl_info_known(info, f) && !(flags & VIEW_VERBOSE)))
			continue;
		derived |= cpl_info_known(info, f) && !cpl_info_is_read(info, f);
		text_column(t, NAME_AT, 0);
		text_puts(t, field->name);
		text_column(t, VALUE_AT, 1);
		put_value(t, info, f);
		if (text_at(t) > TEXT_AT + 9) /* the meaning below */
			text_puts(t, "\n");
		text_column(t, TEXT_AT, 2);
		put_text(t, field->text);
		text_puts(t, "\n");
	}
	if (!skip && !(flags & VIEW_VERBOSE))
		put_unknown(t, info, group);
	if (derived)
		text_puts(t, "\n~ computed from other values, not read\n");
}
