/* SPDX-License-Identifier: MIT */
/*
 * Snapshots as JSON, and back: what `--json` prints and what a snapshot file holds.
 *
 * {"couplet": 1, "snapshots": [{"state": "ESTABLISHED", "snd_una": 17, ..., "derived": ["iss"]}]}
 * Field names are those of <couplet/info.def>; unknown fields are left out; states, reasons and
 * addresses are text, all else numbers in the units of info.def; a timer that is off is null.
 *
 * A snapshot file has a header, and may have a second and a third look at the same connections:
 *
 * {"couplet": 2, "host": "web1", "boot": "0f8c...", "when": 1763836000123456789,
 *  "all_namespaces": true, "addresses": ["10.0.0.1"], "notes": ["..."],
 *  "passes": [{"began": 0, "ended": 81234567}, {"began": 81240000, "ended": 160000000}],
 *  "snapshots": [...], "again": [...], "later": [...]}
 *
 * "when" is that host's clock as the first pass began, in nanoseconds since 1970; "began" and
 * "ended" count nanoseconds from then. All of the header may be missing.
 */
#ifndef VIEW_JSON_H
#define VIEW_JSON_H

#include "view/text.h"

#define VIEW_JSON_ERROR	 160
#define VIEW_JSON_PASSES 3
#define VIEW_JSON_NOTE	 160

/* What a document holds. */
struct view_json_file {
	char host[65]; /* "": not told */
	char boot[40];
	uint64_t when; /* 0: not told */
	bool all_namespaces;
	struct cpl_addr *address;
	size_t addresses;
	char (*note)[VIEW_JSON_NOTE];
	size_t notes;
	unsigned passes; /* at least 1 */
	uint64_t began[VIEW_JSON_PASSES], ended[VIEW_JSON_PASSES];
	struct cpl_info *info[VIEW_JSON_PASSES];
	size_t n[VIEW_JSON_PASSES];
};

/* Appends the document. Returns 0, -ENOMEM, or -ENOSYS: built without jansson. */
int view_json_write(struct text *t, const struct cpl_info *infos, size_t n);
/* Appends one snapshot, an object without a line break. */
int view_json_info(struct text *t, const struct cpl_info *info);
/* Appends a string, with its quotes; what is no UTF-8 becomes '?'. */
int view_json_string(struct text *t, const char *s);

/*
 * Reads a document from anyone: every name, type and range is checked, nothing is guessed. On
 * success *INFOS (to be freed) and *N are set, 0 is returned. Else -EINVAL, -ENOMEM or -ENOSYS, and
 * ERROR says in one sentence what is wrong and where.
 */
int view_json_read(const char *data, size_t len, struct cpl_info **infos, size_t *n,
		   char error[VIEW_JSON_ERROR]);

/* The document with its header. As view_json_write(). */
int view_json_write_file(struct text *t, const struct view_json_file *file);
/* As view_json_read(). FILE is overwritten, and is to be freed if 0 is returned. */
int view_json_read_file(const char *data, size_t len, struct view_json_file *file,
			char error[VIEW_JSON_ERROR]);
void view_json_file_free(struct view_json_file *file);

#endif
