/* SPDX-License-Identifier: MIT */
/* What the files of couplet record and of couplet pair --store share. */
#ifndef CLI_RECORD_H
#define CLI_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The file that is recorded to unless another is named: $XDG_STATE_HOME/couplet/couplet.db, or
 * ~/.local/state/couplet/couplet.db. With MAKE its directories are made. False: there is no home
 * directory, or they could not be made; the complaint is made.
 */
bool record_default_store(char *path, size_t size, bool make);

/* What the store holds: hosts, samples, rows, size. An exit status. */
int record_list(const char *where, bool json);

/* "2026-11-22 18:30:00" in UTC, of nanoseconds since 1970. */
void record_time(char *out, size_t size, int64_t ns);

/* Seconds, or 30s, 5m, 12h, 7d, 2w, as nanoseconds. False: it is none of these. */
bool record_duration(const char *s, uint64_t *ns);

#endif
