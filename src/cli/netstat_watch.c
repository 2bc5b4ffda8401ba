/* SPDX-License-Identifier: MIT */
/*
 * couplet netstat --watch: the table in place, each second, with what changed since; on a pipe the
 * changes only, one line each.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/ioctl.h>

#include "cli/netstat.h"

/* For so many turns a change is still told, and what is gone still stands there. */
#define TURNS 3

struct tracked {
	struct cpl_info info;
	unsigned turns; /* left to tell of the change */
	bool seen, gone, fresh;
	struct view_word change;
};

struct watch {
	struct netstat *n;
	struct tracked *tracked;
	size_t count, room;
	uint32_t *slot; /* hash: 1 + index, 0 is empty */
	size_t mask;
	bool terminal;
	bool first;
};

/* ---- The same one again ---------------------------------------------------------------------- */

/*
 * A connection is its two ends: the kernel makes a new record of it in TIME-WAIT. What has no far
 * end goes by its source's own number.
 */
static bool by_ends(const struct cpl_info *i)
{
	return i->protocol == 6 && i->remote_port;
}

static uint64_t key(const struct cpl_info *i)
{
	uint64_t k = (uint64_t)i->protocol << 32 | (uint64_t)i->local_port << 16 | i->remote_port;

	if (!by_ends(i))
		return (k ^ i->id) * 0x9e3779b97f4a7c15u;
	for (unsigned b = 0; b < 16; b++)
		k = (k ^ i->remote_addr.b[b] ^ (uint64_t)i->local_addr.b[b] << 8) *
		    0x9e3779b97f4a7c15u;
	return k;
}

static bool same(const struct cpl_info *a, const struct cpl_info *b)
{
	if (a->protocol != b->protocol || a->family != b->family || a->netns != b->netns ||
	    (a->source == CPL_SOURCE_STACK) != (b->source == CPL_SOURCE_STACK))
		return false;
	if (!by_ends(a) || !by_ends(b))
		return a->id == b->id && by_ends(a) == by_ends(b);
	return a->local_port == b->local_port && a->remote_port == b->remote_port &&
	       cpl_addr_equal(&a->local_addr, &b->local_addr) &&
	       cpl_addr_equal(&a->remote_addr, &b->remote_addr);
}

static bool rehash(struct watch *w, size_t more)
{
	size_t size = 64;

	while (size < (w->count + more) * 2)
		size *= 2;
	free(w->slot);
	w->slot = calloc(size, sizeof(*w->slot));
	w->mask = size - 1;
	if (!w->slot)
		return false;
	for (size_t i = 0; i < w->count; i++) {
		size_t at = (size_t)(key(&w->tracked[i].info) >> 20) & w->mask;

		while (w->slot[at])
			at = (at + 1) & w->mask;
		w->slot[at] = (uint32_t)i + 1;
	}
	return true;
}

static struct tracked *find(struct watch *w, const struct cpl_info *info)
{
	size_t at = (size_t)(key(info) >> 20) & w->mask;

	for (; w->slot[at]; at = (at + 1) & w->mask) {
		struct tracked *t = &w->tracked[w->slot[at] - 1];

		if (!t->seen && same(&t->info, info))
			return t;
	}
	return NULL;
}

/* ---- Changes --------------------------------------------------------------------------------- */

static uint64_t queue(const struct cpl_info *i, bool send)
{
	uint64_t n = 0;

	if (i->state == CPL_LISTEN && cpl_info_known(i, CPL_F_state))
		return send ? 0 : (view_get(i, CPL_F_accept_queue, &n), n);
	view_get(i, send ? CPL_F_send_queue : CPL_F_recv_queue, &n);
	return n;
}

/* True, and what changed in WHAT, if something did that is worth a mark. */
static bool changed(const struct cpl_info *old, const struct cpl_info *now, struct view_word *what)
{
	if (old->state != now->state && cpl_info_known(old, CPL_F_state)) {
		*what = word_format("was %s", view_state_name(old->state));
		return true;
	}
	for (int send = 1; send >= 0; send--) {
		uint64_t a = queue(old, send), b = queue(now, send);

		if (b <= a)
			continue;
		*what = word_format("%s +%llu", send ? "Send-Q" : "Recv-Q",
				    (unsigned long long)(b - a));
		return true;
	}
	return false;
}

static struct tracked *append(struct watch *w, const struct cpl_info *info)
{
	struct tracked *t;

	if (w->count == w->room) {
		size_t room = w->room ? w->room * 2 : 256;
		struct tracked *bigger = reallocarray(w->tracked, room, sizeof(*bigger));

		if (!bigger)
			return NULL;
		w->tracked = bigger;
		w->room = room;
	}
	t = &w->tracked[w->count++];
	memset(t, 0, sizeof(*t));
	t->info = *info;
	t->seen = true;
	return t;
}

/* Forget what has been gone for long enough; the others age by one turn. */
static void age(struct watch *w)
{
	size_t kept = 0;

	for (size_t i = 0; i < w->count; i++) {
		struct tracked *t = &w->tracked[i];

		if (t->gone && !t->turns)
			continue;
		if (t->turns)
			t->turns--;
		t->seen = t->fresh = false;
		w->tracked[kept++] = *t;
	}
	w->count = kept;
}

static bool update_one(struct watch *w, const struct cpl_info *info)
{
	struct tracked *t = find(w, info);

	if (!t || t->gone) {
		if (t) {
			t->info = *info;
			t->gone = false;
		} else {
			t = append(w, info);
		}
		if (!t)
			return false;
		t->seen = true;
		if (w->first)
			return true;
		t->change = word_format("new");
	} else {
		bool told = changed(&t->info, info, &t->change);

		t->seen = true;
		t->info = *info;
		if (!told)
			return true;
	}
	t->turns = TURNS;
	t->fresh = true;
	return true;
}

static bool update(struct watch *w, const struct snapshot_set *set)
{
	age(w);
	if (!rehash(w, 0))
		return false;
	for (size_t i = 0; i < set->n; i++)
		if (netstat_shows(w->n, &set->info[i], i + 1) && !update_one(w, &set->info[i]))
			return false;
	for (size_t i = 0; i < w->count; i++) {
		struct tracked *t = &w->tracked[i];

		if (t->seen || t->gone)
			continue;
		t->gone = t->fresh = true;
		t->turns = TURNS;
		t->change = word_format("gone");
	}
	w->first = false;
	return true;
}

/* ---- Showing --------------------------------------------------------------------------------- */

static int by_place(const void *left, const void *right)
{
	const struct tracked *a = left, *b = right;

	return select_order(&a->info, &b->info);
}

static unsigned height(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 4)
		return size.ws_row;
	return 24;
}

/* The changed ones first, where not all find room. */
static void prefer_changed(struct netstat_rows *rows)
{
	size_t at = 0;

	for (size_t i = 0; i < rows->n; i++) {
		struct view_row row = rows->row[i];

		if (!row.change)
			continue;
		memmove(rows->row + at + 1, rows->row + at, (i - at) * sizeof(row));
		rows->row[at++] = row;
	}
}

static void mark(struct watch *w, struct netstat_rows *rows)
{
	/* The rows point into the set of tracked ones, copied in their order. */
	for (size_t i = 0, k = 0; i < rows->n && k < w->count; k++) {
		if (rows->row[i].number != k + 1)
			continue;
		rows->row[i].change = w->tracked[k].turns ? w->tracked[k].change.s : NULL;
		rows->row[i].number = 0;
		i++;
	}
}

static int show_table(struct watch *w, const struct snapshot_set *set)
{
	struct netstat n = *w->n;
	struct netstat_rows rows;
	unsigned room = height();
	size_t hidden = 0;
	struct text t;
	int status;

	/* What is tracked is what is meant: no filter any more. */
	n.unix_sockets |= select_names_unix(&n.select);
	n.select.root = -1;
	n.filtered = true;
	status = netstat_rows_make(&n, set, &rows);
	if (status != CLI_OK) {
		netstat_rows_free(&rows);
		return status;
	}
	mark(w, &rows);
	room = n.explain ? room / 4 : room - 4;
	if (rows.n > room) {
		prefer_changed(&rows);
		hidden = rows.n - room;
		rows.n = room;
	}
	text_init(&t);
	t.colour = cli_colour(stdout);
	t.width = (unsigned)cli_width(stdout);
	text_puts(&t, "\033[H\033[2J");
	netstat_tables(&n, &t, &rows, netstat_flags(&n) | VIEW_NETSTAT_CHANGE);
	if (hidden)
		text_printf(&t, "... and %zu more, which did not change\n", hidden);
	text_flush(&t, stdout);
	text_free(&t);
	netstat_rows_free(&rows);
	return CLI_OK;
}

/* "19:04:01 new  tcp 10.0.0.1:40000 10.0.0.2:80 ESTABLISHED" */
static void show_lines(const struct watch *w)
{
	time_t now = time(NULL);
	struct tm tm;
	char clock[16];

	strftime(clock, sizeof(clock), "%H:%M:%S", localtime_r(&now, &tm));
	for (size_t i = 0; i < w->count; i++) {
		const struct tracked *k = &w->tracked[i];
		struct view_row row = { .info = &k->info };
		struct text t;

		if (!k->fresh)
			continue;
		text_init(&t);
		text_printf(&t, "%s %-16s ", clock, k->change.s);
		if (k->info.family == 1)
			view_netstat_unix(&t, &row, 1,
					  (netstat_flags(w->n) & ~VIEW_NETSTAT_NUMBER) |
						  VIEW_NETSTAT_BARE);
		else
			view_netstat(&t, &row, 1,
				     (netstat_flags(w->n) & ~VIEW_NETSTAT_NUMBER) |
					     VIEW_NETSTAT_BARE);
		text_flush(&t, stdout);
		text_free(&t);
	}
}

static int turn(struct watch *w, struct snapshot_set *set)
{
	struct source_options options = netstat_options(w->n);
	int status;

	snapshot_set_clear(set);
	status = connections_collect(set, &options);
	if (status != CLI_OK)
		return status;
	if (!update(w, set))
		return cli_fail(CLI_CANNOT, "out of memory");
	if (!w->terminal) {
		show_lines(w);
		return CLI_OK;
	}
	/* What is gone stands in its place among the others. */
	if (w->count)
		qsort(w->tracked, w->count, sizeof(*w->tracked), by_place);
	snapshot_set_clear(set);
	for (size_t i = 0; i < w->count; i++)
		if (snapshot_set_add(set, &w->tracked[i].info))
			return cli_fail(CLI_CANNOT, "out of memory");
	return show_table(w, set);
}

int netstat_watch(struct netstat *n)
{
	struct watch w = { .n = n, .terminal = isatty(STDOUT_FILENO), .first = true };
	struct snapshot_set set;
	int status;

	snapshot_set_init(&set);
	do {
		status = turn(&w, &set);
		if (status != CLI_OK || fflush(stdout) != 0)
			break;
		usleep(n->interval_ms * 1000u);
	} while (true);
	snapshot_set_free(&set);
	free(w.tracked);
	free(w.slot);
	return status;
}
