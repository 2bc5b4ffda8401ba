/* SPDX-License-Identifier: MIT */
/*
 * Both ends of one connection for couplet watch: found once among everything that can be seen of
 * this machine, then read again twice in a row, by themselves where that is possible, and compared
 * as the sandwich of pair.h. Called in the sampler's thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/watch.h"
#include "source/snapshot_file.h"

/* The record of ROW in SET, or SIZE_MAX. Sources may differ: the kernel numbers all its sockets. */
static size_t find(const struct snapshot_set *set, const struct rank_row *row)
{
	for (size_t i = 0; i < set->n; i++) {
		const struct cpl_info *info = &set->info[i];
		bool stack = info->source == CPL_SOURCE_STACK;

		if (stack != (row->source == CPL_SOURCE_STACK) || info->protocol != 6 ||
		    info->local_port != row->local_port || info->remote_port != row->remote_port)
			continue;
		if (!cpl_addr_equal(&info->local_addr, &row->local) ||
		    !cpl_addr_equal(&info->remote_addr, &row->remote))
			continue;
		if (!cpl_info_known(info, CPL_F_id) || !rank_known(row, CPL_F_id) ||
		    info->id == row->id)
			return i;
	}
	return SIZE_MAX;
}

/* As couplet pair judges it: whether the other end should have been seen on this machine. */
static enum view_absent absence(const struct snapshot *s, const struct cpl_addr *remote)
{
	if (snapshot_owns(s, remote))
		return s->all_namespaces && !passes_incomplete(&s->passes) ? VIEW_LOOKED
									   : VIEW_LOOKED_PARTLY;
	return snapshot_uses(s, remote) ? VIEW_LOOKED_PARTLY : VIEW_NOT_LOOKED;
}

/* What was not seen, of the notes: the gravest first. */
static void say_missing(const struct source_notes *notes, struct watch_detail *d)
{
	enum source_weight worst = SOURCE_REMARK;

	for (unsigned i = 0; i < notes->n; i++) {
		if (*d->missing && notes->note[i].weight <= worst)
			continue;
		worst = notes->note[i].weight;
		snprintf(d->missing, sizeof(d->missing), "%s", notes->note[i].text);
	}
}

static int pair(const struct snapshot_set *set, size_t at, struct watch_detail *d)
{
	struct view_pair *pairs = NULL;
	long n = view_pairs(set->info, set->n, &pairs);

	if (n < 0)
		return (int)n;
	for (long i = 0; i < n; i++) {
		size_t x = pairs[i].x, y = pairs[i].y;

		if ((x != at && y != at) || y == VIEW_ALONE)
			continue;
		d->end[1] = set->info[x == at ? y : x];
		d->have[1] = true;
		d->by = pairs[i].by;
	}
	free(pairs);
	return 0;
}

static int find_in(struct snapshot *s, const struct rank_row *row, struct watch_detail *d)
{
	static const struct source_options options = { .namespaces = true, .owners = true };
	const struct snapshot_set *set = &s->passes.set[0];
	size_t at;
	int err = snapshot_here(s, &options);

	if (!err)
		err = passes_take(&s->passes, &options);
	if (!err)
		err = snapshot_learn(s);
	if (err)
		return err;
	at = find(set, row);
	if (at == SIZE_MAX)
		return -ENOENT;
	d->end[0] = set->info[at];
	d->have[0] = true;
	err = pair(set, at, d);
	if (err || d->have[1])
		return err;
	d->absent = absence(s, &row->remote);
	say_missing(&set->notes, d);
	return 0;
}

int watch_peer_find(const struct rank_row *row, struct watch_detail *d)
{
	struct snapshot s;
	int err;

	snapshot_init(&s);
	err = find_in(&s, row, d);
	d->gone[0] = err == -ENOENT;
	snapshot_free(&s);
	return err;
}

/* Those of the ends that cannot be read by themselves: among all, with those that can. */
static void again_among_all(struct watch_detail *d)
{
	struct source_options options = { .namespaces = true };
	struct snapshot_set set;

	snapshot_set_init(&set);
	if (source_collect(&set, &options) == 0) {
		for (unsigned end = 0; end < 2; end++) {
			struct rank_row row;
			size_t at;

			if (!d->have[end])
				continue;
			rank_row_init(&row, &d->end[end]);
			at = find(&set, &row);
			d->gone[end] = at == SIZE_MAX;
			d->have[end] = at != SIZE_MAX;
			if (d->have[end])
				d->end[end] = set.info[at];
		}
	}
	snapshot_set_free(&set);
}

/* A pass over the two ends. */
static void pass(struct watch_detail *d)
{
	struct source_options options = { .namespaces = true };
	struct watch_detail before = *d;

	for (unsigned end = 0; end < 2; end++) {
		struct cpl_info now;
		int err;

		if (!d->have[end])
			continue;
		err = source_again(&options, &d->end[end], &now);
		if (err == -EOPNOTSUPP) {
			*d = before;
			again_among_all(d);
			return;
		}
		d->gone[end] = err == -ENOENT;
		d->have[end] = !err;
		if (!err)
			d->end[end] = now;
	}
}

/* Both ends twice, at one go. False: it cannot be had so, or one of them is not there. */
static bool both_at_once(struct watch_detail *d, struct cpl_info first[2])
{
	struct source_pair p;

	if (!d->have[0] || !d->have[1] || d->end[0].source != CPL_SOURCE_BPF ||
	    source_pair_now(&d->end[0], &d->end[1], &p) || !p.found[0] || !p.found[1])
		return false;
	for (unsigned end = 0; end < 2; end++) {
		first[end] = p.first[end];
		d->end[end] = p.second[end];
	}
	return true;
}

void watch_peer_again(struct watch_detail *d)
{
	struct view_ends ends = { .x_name = "A", .y_name = "B" };
	struct cpl_info first[2];
	bool had[2] = { true, true };

	d->compared = false;
	if (!both_at_once(d, first)) {
		pass(d);
		for (unsigned end = 0; end < 2; end++) {
			first[end] = d->end[end];
			had[end] = d->have[end];
		}
		pass(d);
	}
	ends.x = had[0] ? &first[0] : NULL;
	ends.y = had[1] ? &first[1] : NULL;
	ends.absent = d->gone[1] ? VIEW_LOOKED : d->absent;
	if (!ends.x || d->key.state == CPL_LISTEN || (!ends.y && ends.absent == VIEW_NOT_LOOKED))
		return;
	view_compare_passes(&ends, d->have[0] ? &d->end[0] : NULL, d->have[1] ? &d->end[1] : NULL,
			    &d->report);
	d->compared = true;
}
