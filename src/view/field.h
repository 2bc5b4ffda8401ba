/* SPDX-License-Identifier: MIT */
/* The fields of a snapshot as a table, made from <couplet/info.def>: read, print, compare. */
#ifndef VIEW_FIELD_H
#define VIEW_FIELD_H

#include "view/text.h"

enum view_type {
	VIEW_TYPE_u8,
	VIEW_TYPE_u16,
	VIEW_TYPE_u32,
	VIEW_TYPE_u64,
	VIEW_TYPE_seq,
	VIEW_TYPE_ns,
	VIEW_TYPE_ip,
	VIEW_TYPE_name,
	VIEW_TYPE_path,
};

struct view_field {
	const char *name;
	const char *group;
	const char *unit;
	const char *text;
	enum view_type type;
	uint16_t offset;
	uint16_t size;
};

extern const struct view_field view_fields[CPL_FIELDS];

/* Number of the field NAME, or -1. */
int view_field_find(const char *name);
/* "Send sequence variables" for "send". */
const char *view_group_title(const char *group);

/*
 * True if a socket of this kind can have the field at all: UDP has no sequence numbers, only UNIX
 * sockets have a path. What does not apply is not even unknown.
 */
bool view_field_applies(const struct cpl_info *info, enum cpl_field field);

/* The value of a numeric field. False, and *VALUE 0, if it is unknown or no number. */
bool view_get(const struct cpl_info *info, enum cpl_field field, uint64_t *value);
/* Store a number that fits the type; false if it does not fit, or the field is no number. */
bool view_set(struct cpl_info *info, enum cpl_field field, uint64_t value);

#define VIEW_RELATIVE 1u /* sequence numbers relative to iss or irs, where that is known */
#define VIEW_VERBOSE  2u /* everything, unknown fields and reasons included */

/* The value as people read it; "-" if unknown. FLAGS: VIEW_RELATIVE. */
struct view_word view_field_word(const struct cpl_info *info, enum cpl_field field, unsigned flags);

/*
 * Which fields differ between two snapshots of the same end, in order of info.def; returns how
 * many. Running clocks are no difference: a timer differs only if it was started, stopped or set
 * anew, an age only if it began again. `taken`, and the sums why_time_* that grow by themselves,
 * count only with VIEW_VERBOSE.
 */
unsigned view_diff(const struct cpl_info *old, const struct cpl_info *new,
		   enum cpl_field changed[CPL_FIELDS], unsigned flags);
/* One line for each: INDENT spaces, "snd_nxt  iss+1 -> iss+1461"; returns how many. */
unsigned view_diff_print(struct text *t, const struct cpl_info *old, const struct cpl_info *new,
			 unsigned indent, unsigned flags);

#endif
