/* SPDX-License-Identifier: MIT */
/* One control block in full: see tcb.h. The two side by side are in tcbs.c. */
#include "view/tcb.h"

#include <string.h>

#define NAME_AT	 2
#define VALUE_AT 21
#define TEXT_AT	 45

/* Units that are said with the number; times say theirs themselves. */
static const char *said_unit(const struct view_field *f)
{
	return strcmp(f->unit, "bytes") == 0 || strcmp(f->unit, "segments") == 0 ||
			       strcmp(f->unit, "hops") == 0
		       ? f->unit
		       : NULL;
}

/* Text that is wider than the column goes on in the next line. */
static void put_long(struct text *t, const char *s)
{
	while (*s) {
		unsigned at = text_at(t), room = t->width > at + 8 ? t->width - at : 8;

		text_printf(t, "%.*s", (int)room, s);
		s += strnlen(s, room);
		if (*s) {
			text_puts(t, "\n");
			text_column(t, VALUE_AT, 0);
		}
	}
}

/* "65,536 bytes", "1000001 iss+1", "40.2 ms" */
static void put_value(struct text *t, const struct cpl_info *info, enum cpl_field f)
{
	const struct view_field *field = &view_fields[f];
	struct view_word w = view_field_word(info, f, 0);
	bool is_known = cpl_info_known(info, f);

	if (is_known && !cpl_info_is_read(info, f))
		text_puts(t, "~");
	if (field->type == VIEW_TYPE_path)
		put_long(t, w.s);
	else
		text_styled(t, TEXT_BOLD, w.s);
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

/* No field of it is known; with VIEW_VERBOSE: none of it can be. */
static bool is_empty_group(const struct cpl_info *info, const char *group, unsigned flags)
{
	for (int f = 0; f < CPL_FIELDS; f++)
		if (strcmp(view_fields[f].group, group) == 0 &&
		    (flags & VIEW_VERBOSE ? view_field_applies(info, (enum cpl_field)f)
					  : cpl_info_known(info, (enum cpl_field)f)))
			return false;
	return true;
}

static bool is_off(const struct cpl_info *info, enum cpl_field f)
{
	uint64_t left;

	return strncmp(view_fields[f].name, "timer_", 6) == 0 && view_get(info, f, &left) &&
	       left == CPL_TIMER_OFF;
}

/* The timers that do not run, in one line. */
static void put_off(struct text *t, const struct cpl_info *info)
{
	bool first = true;

	for (int f = 0; f < CPL_FIELDS; f++) {
		const char *name = view_fields[f].name;

		if (!is_off(info, (enum cpl_field)f))
			continue;
		if (first)
			text_puts(t, "  off:");
		if (text_at(t) + 1 + strlen(name) > t->width)
			text_puts(t, "\n      ");
		text_printf(t, " %s", name);
		first = false;
	}
	text_puts(t, first ? "" : "\n");
}

/* A listener has no sequence numbers, and of these states only a small record is kept: that most is
 * unknown need not be said field by field. */
static bool is_small(const struct cpl_info *info)
{
	return cpl_info_known(info, CPL_F_state) &&
	       (info->state == CPL_LISTEN || info->state == CPL_TIME_WAIT ||
		info->state == CPL_SYN_RECEIVED);
}

static void put_unknown(struct text *t, const struct cpl_info *info, const char *group)
{
	bool first = true;

	if (is_small(info))
		return;
	for (int f = 0; f < CPL_FIELDS; f++) {
		const char *name = view_fields[f].name;

		if (strcmp(view_fields[f].group, group) != 0 ||
		    cpl_info_known(info, (enum cpl_field)f) ||
		    !view_field_applies(info, (enum cpl_field)f))
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
			if (strcmp(group, "timers") == 0 && !skip && !(flags & VIEW_VERBOSE))
				put_off(t, info);
			if (*group && !skip && !(flags & VIEW_VERBOSE))
				put_unknown(t, info, group);
			group = field->group;
			skip = is_empty_group(info, group, flags);
			if (!skip) {
				text_puts(t, n ? "\n" : "");
				text_styled(t, TEXT_CYAN, view_group_title(group));
				text_puts(t, "\n");
			}
		}
		if (!(flags & VIEW_VERBOSE) && is_off(info, f))
			continue;
		if (skip || !view_field_applies(info, f) ||
		    (!cpl_info_known(info, f) && !(flags & VIEW_VERBOSE)))
			continue;
		derived |= cpl_info_known(info, f) && !cpl_info_is_read(info, f);
		text_column(t, NAME_AT, 0);
		text_puts(t, field->name);
		text_column(t, VALUE_AT, 1);
		put_value(t, info, f);
		if (text_at(t) + 2 > TEXT_AT + 10)
			text_puts(t, "\n"); /* no room left beside a long value */
		text_column(t, TEXT_AT, text_at(t) ? 2 : 0);
		put_text(t, field->text);
		text_puts(t, "\n");
	}
	if (!skip && !(flags & VIEW_VERBOSE))
		put_unknown(t, info, group);
	if (derived)
		text_puts(t, "\n~ computed from other values, not read\n");
}
