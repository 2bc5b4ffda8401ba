/* SPDX-License-Identifier: MIT */
/*
 * Looking twice. Two ends of a connection are never read at one instant, so that what two passes
 * over all connections gave is compared (view/pair.h): the second begins when the first has ended.
 * A third, later one shows what stands still.
 *
 *	struct passes p;
 *	struct view_look look;
 *	struct view_match m;
 *
 *	passes_init(&p);
 *	err = passes_take(&p, &options);		the first
 *	err = err ?: passes_take(&p, &options);		the second, at once
 *	passes_look(&p, &look);
 *	err = err ?: view_match(&m, &look, 1);		m.pair[i]: the two ends, in both passes
 *
 * p owns the records; m and look only point into them.
 */
#ifndef SOURCE_PASSES_H
#define SOURCE_PASSES_H

#include "source/source.h"
#include "view/match.h"

struct passes {
	struct snapshot_set set[VIEW_PASSES];
	uint64_t began[VIEW_PASSES], ended[VIEW_PASSES]; /* CLOCK_MONOTONIC, nanoseconds */
	unsigned taken;
};

void passes_init(struct passes *p);
void passes_free(struct passes *p);

/*
 * The next pass, with OPTIONS. Owners, if these ask for them, are looked for in the first pass and
 * carried over to the others: looking for them takes longer than all else. Returns 0, -ENOMEM or
 * -EIO as source_collect(); -ENOSPC after the third.
 */
int passes_take(struct passes *p, const struct source_options *options);

/*
 * A pass over a few connections only: SEEN[0..N), each read again by source_again(). One that is
 * gone is not in the set. -EOPNOTSUPP: one of them cannot be read alone, no pass was taken; take a
 * whole one then.
 */
int passes_take_again(struct passes *p, const struct source_options *options,
		      const struct cpl_info *const *seen, size_t n);

/*
 * Two passes, the first two, over the two ends of one connection of this machine's kernel, each of
 * which reads both within microseconds (source_pair_now()). *APART_NS: how far apart. 0, -ENOMEM,
 * or -EOPNOTSUPP: cannot, or one of them is gone; no pass was taken.
 */
int passes_take_pair(struct passes *p, const struct cpl_info *x, const struct cpl_info *y,
		     uint64_t *apart_ns);

/* What was taken, for view_match(). */
void passes_look(const struct passes *p, struct view_look *look);

/* The notes of all passes, each sentence once. */
void passes_notes(const struct passes *p, struct source_notes *notes);

/* True if a note says that some of the kernel's connections could not be looked at. */
bool passes_incomplete(const struct passes *p);
/* True if one says that some network namespace could not be looked at. */
bool passes_hide_namespaces(const struct passes *p);

#endif
