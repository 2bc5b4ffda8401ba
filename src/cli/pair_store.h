/* SPDX-License-Identifier: MIT */
/*
 * What the files of couplet pair --store share: pair_store.c joins and compares what several hosts
 * recorded, pair_store_show.c says it.
 */
#ifndef CLI_PAIR_STORE_H
#define CLI_PAIR_STORE_H

#include "cli/pair.h"
#include "source/store.h"

/* Rows that are kept to be shown; the others are only counted, healthy ones first. */
#define PAIR_STORE_KEEP 2000

/* One pair that is shown, with what its row points to. */
struct pair_stored {
	struct view_pair_row row;
	struct cpl_info x, y;
	struct view_report report;
};

/* All that was compared. */
struct pair_stored_all {
	struct store *store;
	struct store_host *hosts; /* those that count: `last` is what is compared */
	size_t n;
	size_t stale; /* hosts that are left out: they recorded nothing lately */
	struct pair_stored **kept;
	size_t keeps;
	struct view_pair_count count;
	size_t bad;	  /* rows that make no sense */
	size_t unordered; /* pairs of which no samples are in a known order */
	bool partly;	  /* a host's sample is not the whole of it */
};

/* Opens, joins, compares. Returns CLI_OK, or complains and returns another status. */
int pair_store_look(const struct pair_options *o, struct pair_stored_all *all);
void pair_stored_free(struct pair_stored_all *all);

#endif
