/* SPDX-License-Identifier: MIT */
/* What the subcommands that take CONN or a filter share: parse it, collect, complain, list. */
#ifndef CLI_CONNECTIONS_H
#define CLI_CONNECTIONS_H

#include "cli/cli.h"
#include "source/select.h"
#include "source/source.h"
#include "view/text.h"

/* The ARGC words joined by spaces, as a filter. Returns CLI_OK, or CLI_USAGE after complaining. */
int connections_parse(struct select *select, int argc, char **argv);

/*
 * Collects and sorts. What could not be looked at is said on stderr. Returns CLI_OK; CLI_CANNOT
 * after complaining if nothing could.
 */
int connections_collect(struct snapshot_set *set, const struct source_options *options);

/* Says on stderr what could not be looked at: of OWNERS, or of all else. */
void connections_notes(const struct source_notes *notes, bool owners);

/* Options with which every row of the table comes, so that "#3" means the same everywhere. */
struct source_options connections_everything(const struct select *select);

/* True if at least one matches. */
bool connections_match(const struct snapshot_set *set, const struct select *select);

/*
 * Keeps those that match in SET, and their numbers in *NUMBERS, which the caller frees. Returns
 * CLI_OK, or CLI_CANNOT after complaining.
 */
int connections_select(struct snapshot_set *set, const struct select *select, size_t **numbers);

/*
 * The rows that "#3" and the like of SELECT stand for, as couplet netstat -aN numbers them. Returns
 * 0 or -EIO.
 */
int connections_rows(struct snapshot_set *rows, const struct select *select);

/* True if INFO is of a connection in ROWS. */
bool connections_has(const struct snapshot_set *rows, const struct cpl_info *info);

/* A text for stdout: as wide, with its colours and letters. */
void connections_text(struct text *t);

/*
 * Prints T, which was written with ERR (0, or what view_json_write() and the like return), and
 * frees it. Returns CLI_OK, or CLI_CANNOT after complaining.
 */
int connections_print(struct text *t, int err);

/* All of SET as JSON on stdout. Returns CLI_OK, or CLI_CANNOT after complaining. */
int connections_json(const struct snapshot_set *set);

/* What stands behind -c: seconds, at least 0.01; NULL: 1. Returns false after complaining. */
bool connections_interval(const char *s, unsigned *milliseconds);

#endif
