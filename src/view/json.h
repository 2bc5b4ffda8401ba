/* SPDX-License-Identifier: MIT */
/*
 * Snapshots as JSON, and back: what `--json` prints and what a snapshot file holds.
 *
 * {"couplet": 1, "snapshots": [{"state": "ESTABLISHED", "snd_una": 17, ..., "derived": ["iss"]}]}
 * Field names are those of <couplet/info.def>; unknown fields are left out; states, reasons and
 * addresses are text, all else numbers in the units of info.def; a timer that is off is null.
 */
#ifndef VIEW_JSON_H
#define VIEW_JSON_H

#include "view/text.h"

#define VIEW_JSON_ERROR 160

/* Appends the document. Returns 0, -ENOMEM, or -ENOSYS: built without jansson. */
int view_json_write(struct text *t, const struct cpl_info *infos, size_t n);

/*
 * Reads a document from anyone: every name, type and range is checked, nothing is guessed. On
 * success *INFOS (to be freed) and *N are set, 0 is returned. Else -EINVAL, -ENOMEM or -ENOSYS, and
 * ERROR says in one sentence what is wrong and where.
 */
int view_json_read(const char *data, size_t len, struct cpl_info **infos, size_t *n,
		   char error[VIEW_JSON_ERROR]);

#endif
