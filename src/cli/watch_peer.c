/* SPDX-License-Identifier: MIT */
/*
 * Both ends of one connection for couplet watch: found once among everything that can be seen of
 * this machine, then read again by themselves, twice in a row, and compared as the sandwich of
 * pair.h. Called in the sampler's thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/watch.h"

/* The record of ROW in SET, or SIZE_MAX. Sources may differ: the kernel's number is one. */
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

static bool is_loopback(const struct cpl_addr *a)
{
	static const struct cpl_addr one6 = { { [15] = 1 } };

	return cpl_addr_is4(a) ? a->b[12] == 127 : cpl_addr_equal(a, &one6);
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

int watch_peer_find(const struct rank_row *row, struct watch_detail *d)
{
	struct source_options options = { .namespaces = true, .owners = true };
	struct snapshot_set set;
	size_t at;
	int err;

	snapshot_set_init(&set);
	err = source_collect(&set, &options);
	at = err ? SIZE_MAX : find(&set, row);
	if (!err && at == SIZE_MAX)
		err = -ENOENT;
	if (!err) {
		d->end[0] = set.info[at];
		d->have[0] = true;
		err = pair(&set, at, d);
	}
	/*
	 * That the other end does not exist can be said only where it could be nowhere else: on
	 * the loopback of a namespace whose connections were all seen.
	 */
	d->absent = !err && is_loopback(&row->remote) ? VIEW_LOOKED : VIEW_NOT_LOOKED;
	if (!d->have[1])
		say_missing(&set.notes, d);
	d->gone[0] = err == -ENOENT;
	snapshot_set_free(&set);
	return err;
}

/* One end again; whatever the kernel's sockets were seen through, they are the same sockets. */
static bool again(struct cpl_info *seen, bool *gone)
{
	struct source_options options = { .namespaces = true };
	struct cpl_info now;
	int err = source_again(&options, seen, &now);

	if (err == -EOPNOTSUPP && seen->source == CPL_SOURCE_BPF) {
		struct cpl_info other = *seen;

		other.source = CPL_SOURCE_SOCK_DIAG;
		err = source_again(&options, &other, &now);
	}
	if (!err)
		*seen = now;
	*gone = err == -ENOENT;
	return !err;
}

void watch_peer_again(struct watch_detail *d)
{
	struct view_ends ends = { .x_name = "A", .y_name = "B" };
	struct cpl_info first[2];

	d->compared = false;
	for (unsigned end = 0; end < 2; end++) {
		d->have[end] = d->have[end] && again(&d->end[end], &d->gone[end]);
		first[end] = d->end[end];
	}
	ends.x = d->have[0] ? &first[0] : NULL;
	ends.y = d->have[1] ? &first[1] : NULL;
	ends.absent = d->gone[1] ? VIEW_LOOKED : d->absent;
	for (unsigned end = 0; end < 2; end++)
		d->have[end] = d->have[end] && again(&d->end[end], &d->gone[end]);
	if (!ends.x || (!ends.y && ends.absent == VIEW_NOT_LOOKED))
		return;
	view_compare_passes(&ends, d->have[0] ? &d->end[0] : NULL, d->have[1] ? &d->end[1] : NULL,
			    &d->report);
	d->compared = true;
}
