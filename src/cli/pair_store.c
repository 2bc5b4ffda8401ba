/* SPDX-License-Identifier: MIT */
/*
 * couplet pair --store: the ends that hosts recorded, joined and compared.
 *
 * Of two hosts the last sample of each is taken, and before it the last one that was over when the
 * other host's last one began: that is the sandwich of pair.h, and the store knows the order (see
 * store.h), so that what it finds is as certain as on one machine. Where there are no such samples
 * only what no order can excuse is said.
 *
 * An end counts as missing only if its host has the address, was looked at between two samples that
 * show the other end, and no translator of addresses can have hidden it.
 */
#define _GNU_SOURCE /* strptime */
#include "cli/pair_store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/record.h"

#define BATCH	 256
#define SECOND	 1000000000ll
#define STALE_NS (60 * SECOND) /* or three intervals: a host that has not recorded for so long */

/* ---- Time ------------------------------------------------------------------------------------ */

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

/* -5m, @1700000000, "2026-11-22 18:30[:00]" of local time, or with Z behind it of UTC. */
static bool parse_time(const char *s, int64_t *ns)
{
	static const char *const formats[] = { "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S",
					       "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M" };
	uint64_t ago;
	char *end;

	if (*s == '-' && record_duration(s + 1, &ago)) {
		*ns = now_ns() - (int64_t)ago;
		return true;
	}
	if (*s == '@') {
		long long seconds = strtoll(s + 1, &end, 10);

		*ns = seconds * SECOND;
		return end != s + 1 && !*end && seconds > 0 && seconds < 9000000000;
	}
	for (unsigned i = 0; i < sizeof(formats) / sizeof(*formats); i++) {
		struct tm tm = { .tm_isdst = -1 };
		const char *rest = strptime(s, formats[i], &tm);

		if (!rest || (strcmp(rest, "Z") != 0 && *rest))
			continue;
		*ns = (*rest ? timegm(&tm) : mktime(&tm)) * SECOND;
		return true;
	}
	return false;
}

/* Which hosts are compared: those that recorded shortly before AT. */
static void choose_hosts(struct pair_stored_all *all, bool at_given, int64_t at)
{
	int64_t newest = 0;
	size_t kept = 0;

	for (size_t i = 0; i < all->n; i++)
		if (all->hosts[i].last.id && all->hosts[i].last.time_ns > newest)
			newest = all->hosts[i].last.time_ns;
	if (at_given)
		newest = at;
	for (size_t i = 0; i < all->n; i++) {
		const struct store_sample *s = &all->hosts[i].last;
		int64_t patience = 3 * (int64_t)s->every_ns;
		char time[32];

		if (patience < STALE_NS)
			patience = STALE_NS;
		if (s->id && newest - s->time_ns <= patience) {
			all->partly |= !s->whole;
			all->hosts[kept++] = all->hosts[i];
			continue;
		}
		if (!s->id)
			continue; /* it recorded nothing before that time */
		record_time(time, sizeof(time), s->time_ns);
		cli_fail(CLI_OK, "%s is left out: it has recorded nothing since %s UTC",
			 all->hosts[i].name, time);
		all->stale++;
	}
	all->n = kept;
}

/* ---- Order ----------------------------------------------------------------------------------- */

/* The two samples of each of two hosts that are compared. */
struct sandwich {
	const struct store_sample *x2, *y2;
	struct store_sample x1, y1;
	bool ordered;
};

/* Both are the last; x1 was over before y2 began, y1 before x2. */
static int order_pair(struct store *s, const struct store_host *x, const struct store_host *y,
		      struct sandwich *o)
{
	int err;

	o->x2 = &x->last;
	o->y2 = &y->last;
	if (x == y) {
		err = store_sample_before(s, o->x2->run, o->x2->position - 1, &o->x1);
		o->y1 = o->x1;
	} else {
		err = store_sample_before(s, o->x2->run, o->y2->after, &o->x1);
		if (!err)
			err = store_sample_before(s, o->y2->run, o->x2->after, &o->y1);
	}
	o->ordered = o->x1.id && o->y1.id;
	return err;
}

/* y1 lies between x1 and x2: what is missing in it was missing while x was there. */
static int order_absent(struct store *s, const struct store_host *x, const struct store_host *y,
			struct sandwich *o)
{
	int64_t before = x == y ? x->last.position - 1 : x->last.after;
	int err;

	o->x2 = &x->last;
	o->y2 = NULL;
	err = store_sample_before(s, y->last.run, before, &o->y1);
	if (!err && o->y1.id)
		err = store_sample_before(s, x->last.run, x == y ? o->y1.position - 1 : o->y1.after,
					  &o->x1);
	o->ordered = !err && o->x1.id && o->y1.id;
	return err;
}

/* ---- What is kept ---------------------------------------------------------------------------- */

/* Healthy ones make room for others. */
static struct pair_stored *make_room(struct pair_stored_all *all, const struct view_pair_row *row)
{
	bool trouble = view_is_trouble(row->verdict) && !row->remote;
	struct pair_stored *p;

	if (all->keeps < PAIR_STORE_KEEP) {
		p = malloc(sizeof(*p));
		if (p)
			all->kept[all->keeps++] = p;
		return p;
	}
	for (size_t i = 0; trouble && i < all->keeps; i++)
		if (!view_is_trouble(all->kept[i]->row.verdict) || all->kept[i]->row.remote)
			return all->kept[i];
	return NULL;
}

static void keep(struct pair_stored_all *all, const struct view_pair_row *row,
		 const struct view_report *report)
{
	struct view_pair_count one;
	struct pair_stored *p;

	view_pair_count(&one, row, 1);
	all->count.pairs += one.pairs;
	all->count.remote += one.remote;
	all->count.checks += one.checks;
	all->count.unseen += one.unseen;
	for (unsigned v = 0; v <= VIEW_UNSEEN; v++)
		all->count.verdict[v] += one.verdict[v];
	p = make_room(all, row);
	if (!p)
		return;
	p->row = *row;
	p->x = *row->x;
	p->row.x = &p->x;
	if (row->y) {
		p->y = *row->y;
		p->row.y = &p->y;
	}
	p->report = *report;
	p->row.report = &p->report;
}

/* ---- Comparing ------------------------------------------------------------------------------- */

/* Some matches of the same two hosts, with their rows. */
struct batch {
	struct store_want want[2 * BATCH]; /* pass 1 of x and of y */
	int64_t id[4 * BATCH];		   /* x2, y2, x1, y1 of each match; 0: none */
	struct cpl_info info[4 * BATCH];
	uint64_t written[4 * BATCH];
};

static int load(struct pair_stored_all *all, struct batch *b, const struct store_match *m, size_t n,
		const struct sandwich *o)
{
	int err = 0;

	for (size_t i = 0; i < n; i++) {
		b->want[2 * i] = (struct store_want){ m[i].x_number, o->x1.id, o->x1.since, 0 };
		b->want[2 * i + 1] = (struct store_want){ m[i].y_number, o->y1.id, o->y1.since, 0 };
	}
	if (o->ordered)
		err = store_rows_at(all->store, b->want, 2 * n);
	for (size_t i = 0; i < n; i++) {
		b->id[4 * i] = m[i].x;
		b->id[4 * i + 1] = m[i].y;
		b->id[4 * i + 2] = b->want[2 * i].row;
		b->id[4 * i + 3] = b->want[2 * i + 1].row;
	}
	return err ? err : store_rows(all->store, b->id, 4 * n, b->info, b->written, &all->bad);
}

/* The record as it was at SAMPLE; NULL: it is not there. */
static const struct cpl_info *as_of(struct batch *b, size_t at, const struct store_sample *sample)
{
	if (!b->id[at] || b->info[at].source == CPL_SOURCE_UNKNOWN)
		return NULL;
	store_as_of(&b->info[at], b->written[at], sample);
	return &b->info[at];
}

static bool selected(const struct pair_options *o, const struct cpl_info *x,
		     const struct cpl_info *y)
{
	return !o->named || select_match(&o->select, x, 0) || (y && select_match(&o->select, y, 0));
}

/* 1: this end called, 0: it was called, -1: not known. */
static int caller(const struct cpl_info *i)
{
	return i && cpl_info_known(i, CPL_F_passive) ? !i->passive : -1;
}

/* Who called comes first; the others keep their order. */
static bool is_second(const struct cpl_info *x, const struct cpl_info *y)
{
	return caller(x) == 0 || (caller(x) < 0 && caller(y) == 1);
}

static void name_ends(struct view_pair_row *row, struct view_ends *ends)
{
	bool known = caller(row->x) >= 0 || caller(row->y) >= 0;
	bool first = !is_second(row->x, row->y);

	row->x_name = ends->x_name = !known ? "X" : first ? "client" : "server";
	row->y_name = ends->y_name = !known ? "Y" : first ? "server" : "client";
}

static void compare_match(struct pair_stored_all *all, const struct pair_options *opt,
			  const struct store_match *m, struct batch *b, size_t i,
			  const struct sandwich *o)
{
	const struct cpl_info *x2 = as_of(b, 4 * i, o->x2), *y2 = as_of(b, 4 * i + 1, o->y2);
	const struct cpl_info *x1 = as_of(b, 4 * i + 2, &o->x1);
	const struct cpl_info *y1 = as_of(b, 4 * i + 3, &o->y1);
	const char *x_where = all->hosts[m->x_host].name, *y_where = all->hosts[m->y_host].name;
	struct view_pair_row row = { .by = m->by_sequence ? VIEW_BY_SEQUENCE : VIEW_BY_ADDRESS };
	struct view_ends ends = { .absent = VIEW_NOT_LOOKED };
	struct view_report report;
	bool swap;

	if (!x2 || !y2 || !selected(opt, x2, y2))
		return;
	swap = is_second(x2, y2);
	row.x = swap ? y2 : x2;
	row.y = swap ? x2 : y2;
	row.x_where = swap ? y_where : x_where;
	row.y_where = swap ? x_where : y_where;
	name_ends(&row, &ends);
	if (o->ordered && x1 && y1 && !m->contested) {
		ends.x = swap ? y1 : x1;
		ends.y = swap ? x1 : y1;
		view_compare_quick(&ends, row.x, row.y, &report);
		/* Sentences are made for those that may be shown. */
		if (all->keeps < PAIR_STORE_KEEP || view_is_trouble(report.verdict))
			view_compare_passes(&ends, row.x, row.y, &report);
	} else {
		all->unordered++;
		ends.x = row.x;
		ends.y = row.y;
		view_compare_apart(&ends, &report);
	}
	view_pair_judge(&row, &report, true);
	keep(all, &row, &report);
}

/* M[0..N) are of the same two hosts. */
static int compare_hosts(struct pair_stored_all *all, const struct pair_options *opt,
			 const struct store_match *m, size_t n, struct batch *b)
{
	struct sandwich o;
	int err = order_pair(all->store, &all->hosts[m->x_host], &all->hosts[m->y_host], &o);

	for (size_t at = 0; at < n && !err; at += BATCH) {
		size_t count = n - at < BATCH ? n - at : BATCH;

		err = load(all, b, m + at, count, &o);
		for (size_t i = 0; i < count && !err; i++)
			compare_match(all, opt, &m[at + i], b, i, &o);
	}
	return err;
}

/* ---- Ends that are alone --------------------------------------------------------------------- */

struct alone {
	const struct store_match *match; /* those that are alone */
	size_t n;
	struct store_address *addresses;
	size_t naddresses;
	uint64_t *endpoint; /* of ends whose initial numbers are not known, sorted */
	size_t nendpoints;
	uint64_t *all_endpoint; /* of all of them, sorted */
};

static int by_number(const void *pa, const void *pb)
{
	const uint64_t *a = pa, *b = pb;

	return (*a > *b) - (*a < *b);
}

static int alone_init(struct pair_stored_all *all, struct alone *a)
{
	a->endpoint = malloc((a->n + 1) * sizeof(*a->endpoint));
	a->all_endpoint = malloc((a->n + 1) * sizeof(*a->all_endpoint));
	if (!a->endpoint || !a->all_endpoint)
		return -ENOMEM;
	for (size_t i = 0; i < a->n; i++) {
		a->all_endpoint[i] = a->match[i].endpoint;
		if (!a->match[i].sequenced)
			a->endpoint[a->nendpoints++] = a->match[i].endpoint;
	}
	qsort(a->endpoint, a->nendpoints, sizeof(*a->endpoint), by_number);
	qsort(a->all_endpoint, a->n, sizeof(*a->all_endpoint), by_number);
	return store_addresses(all->store, all->hosts, all->n, &a->addresses, &a->naddresses);
}

static void alone_free(struct alone *a)
{
	free(a->addresses);
	free(a->endpoint);
	free(a->all_endpoint);
}

static int by_address(const void *key, const void *element)
{
	const struct store_address *e = element;

	return memcmp(((const struct cpl_addr *)key)->b, e->addr.b, sizeof(e->addr.b));
}

/* Where the other end of X should be, as a place among the hosts; SIZE_MAX: on none of them. */
static size_t host_of_peer(const struct alone *a, const struct store_match *m,
			   const struct cpl_info *x)
{
	const struct store_address *found;

	if (cpl_addr_is4(&x->remote_addr) ? x->remote_addr.b[12] == 127
					  : cpl_addr_equal(&x->remote_addr, &x->local_addr))
		return m->x_host;
	found = a->naddresses ? bsearch(&x->remote_addr, a->addresses, a->naddresses,
					sizeof(*a->addresses), by_address)
			      : NULL;
	return found ? found->host : SIZE_MAX;
}

static bool in_list(const uint64_t *list, size_t n, uint64_t number)
{
	return n && bsearch(&number, list, n, sizeof(*list), by_number);
}

/*
 * Could the other end be behind a translator: an end of that host that is alone as well, or one to
 * which the host passes packets on? Initial sequence numbers, known on both sides, would have
 * brought them together.
 */
static bool may_be_elsewhere(const struct alone *a, const struct store_match *m,
			     const struct store_sample *y, size_t host, const struct cpl_info *x)
{
	uint64_t peer = store_endpoint((uint32_t)host, &x->remote_addr, x->remote_port);

	if (y->forwards && !(y->namespaces && m->sequenced))
		return true;
	return m->sequenced ? in_list(a->endpoint, a->nendpoints, peer)
			    : in_list(a->all_endpoint, a->n, peer);
}

/* The other end is on a host that is not in the store, or nothing can be said of it. */
static void keep_remote(struct pair_stored_all *all, const struct store_match *m,
			const struct cpl_info *x)
{
	struct view_pair_row row = { .x = x, .by = VIEW_BY_NONE, .remote = true };
	struct view_ends ends = { .x = x, .absent = VIEW_NOT_LOOKED };
	struct view_report report;

	row.x_where = all->hosts[m->x_host].name;
	name_ends(&row, &ends);
	view_compare(&ends, &report);
	view_pair_judge(&row, &report, true);
	keep(all, &row, &report);
}

/* X as it was in the pass before; NULL: it was not there. */
static int load_before(struct pair_stored_all *all, const struct store_match *m,
		       const struct store_sample *sample, struct cpl_info *x1, bool *there)
{
	struct store_want want = { m->x_number, sample->id, sample->since, 0 };
	uint64_t written;
	int err = store_rows_at(all->store, &want, 1);

	if (!err && want.row)
		err = store_rows(all->store, &want.row, 1, x1, &written, &all->bad);
	*there = !err && want.row && x1->source != CPL_SOURCE_UNKNOWN;
	if (*there)
		store_as_of(x1, written, sample);
	return err;
}

static int compare_absent(struct pair_stored_all *all, const struct alone *a,
			  const struct store_match *m, const struct cpl_info *x, size_t host)
{
	const struct store_host *y = &all->hosts[host];
	struct view_pair_row row = { .x = x, .by = VIEW_BY_NONE };
	struct view_ends ends = { 0 };
	struct view_report report;
	struct cpl_info x1;
	struct sandwich o;
	bool before = false, there = false;
	int err = order_absent(all->store, &all->hosts[m->x_host], y, &o);

	if (!err && o.ordered)
		err = load_before(all, m, &o.x1, &x1, &before);
	if (!err && before)
		err = store_was_there(all->store, x, &o.y1, &there);
	if (err)
		return err;
	if (!before || there || may_be_elsewhere(a, m, &o.y1, host, x)) {
		keep_remote(all, m, x);
		return 0;
	}
	row.x_where = all->hosts[m->x_host].name;
	row.y_where = y->name;
	name_ends(&row, &ends);
	ends.x = &x1;
	ends.absent = o.y1.whole && !o.y1.forwards ? VIEW_LOOKED : VIEW_LOOKED_PARTLY;
	view_compare_passes(&ends, x, NULL, &report);
	view_pair_judge(&row, &report, true);
	keep(all, &row, &report);
	return 0;
}

static int compare_alone(struct pair_stored_all *all, const struct pair_options *opt,
			 const struct store_match *m, size_t n, struct batch *b)
{
	struct alone a = { .match = m, .n = n };
	int err = alone_init(all, &a);

	for (size_t at = 0; at < n && !err; at += BATCH) {
		size_t count = n - at < BATCH ? n - at : BATCH;

		for (size_t i = 0; i < count; i++)
			b->id[i] = m[at + i].x;
		err = store_rows(all->store, b->id, count, b->info, b->written, &all->bad);
		for (size_t i = 0; i < count && !err; i++) {
			const struct store_match *one = &m[at + i];
			const struct cpl_info *x = as_of(b, i, &all->hosts[one->x_host].last);
			size_t host;

			if (!x || !selected(opt, x, NULL))
				continue;
			host = one->contested ? SIZE_MAX : host_of_peer(&a, one, x);
			if (host == SIZE_MAX)
				keep_remote(all, one, x);
			else
				err = compare_absent(all, &a, one, x, host);
		}
	}
	alone_free(&a);
	return err;
}

/* ---- All together ---------------------------------------------------------------------------- */

/* By hosts; those that are alone come last. */
static int by_hosts(const void *pa, const void *pb)
{
	const struct store_match *a = pa, *b = pb;

	if (!a->y != !b->y)
		return !a->y ? 1 : -1;
	if (a->x_host != b->x_host)
		return a->x_host < b->x_host ? -1 : 1;
	if (a->y_host != b->y_host)
		return a->y_host < b->y_host ? -1 : 1;
	return (a->x > b->x) - (a->x < b->x);
}

static int compare_all(struct pair_stored_all *all, const struct pair_options *opt,
		       struct store_match *m, size_t n)
{
	struct batch *b = malloc(sizeof(*b));
	size_t at = 0;
	int err = b ? 0 : -ENOMEM;

	if (n)
		qsort(m, n, sizeof(*m), by_hosts);
	while (at < n && m[at].y && !err) {
		size_t end = at;

		while (end < n && m[end].y && m[end].x_host == m[at].x_host &&
		       m[end].y_host == m[at].y_host)
			end++;
		err = compare_hosts(all, opt, m + at, end - at, b);
		at = end;
	}
	if (!err && at < n)
		err = compare_alone(all, opt, m + at, n - at, b);
	free(b);
	return err;
}

static int look(const struct pair_options *o, bool at_given, int64_t at,
		struct pair_stored_all *all)
{
	struct store_match *matches = NULL;
	size_t n = 0;
	int err = store_read_begin(all->store);

	if (!err)
		err = store_hosts(all->store, at, false, &all->hosts, &all->n);
	if (err)
		return err;
	choose_hosts(all, at_given, at);
	err = store_join(all->store, all->hosts, all->n, &matches, &n);
	if (!err)
		err = compare_all(all, o, matches, n);
	free(matches);
	store_read_end(all->store);
	return err;
}

int pair_store_look(const struct pair_options *o, struct pair_stored_all *all)
{
	const char *at = o->at;
	char error[STORE_ERROR];
	int64_t at_ns = INT64_MAX;
	int err;

	memset(all, 0, sizeof(*all));
	if (at && !parse_time(at, &at_ns))
		return cli_fail(CLI_USAGE,
				"\"%s\" is no time: -5m, \"2026-11-22 18:30\" or @SECONDS",
				word_foreign(at).s);
	all->kept = malloc(PAIR_STORE_KEEP * sizeof(struct pair_stored *));
	if (!all->kept)
		return cli_fail(CLI_CANNOT, "out of memory");
	if (store_open(&all->store, o->store, false, error))
		return cli_fail(CLI_CANNOT, "%s", error);
	err = look(o, at != NULL, at_ns, all);
	if (err)
		return cli_fail(CLI_CANNOT, "%s",
				err == -ENOMEM ? "out of memory" : store_error(all->store));
	if (!all->n)
		return cli_fail(CLI_CANNOT, "%s: no host recorded anything %s",
				store_name(all->store), at ? "shortly before that time" : "to it");
	return CLI_OK;
}

void pair_stored_free(struct pair_stored_all *all)
{
	for (size_t i = 0; i < all->keeps; i++)
		free(all->kept[i]);
	free(all->kept);
	free(all->hosts);
	store_close(all->store);
	memset(all, 0, sizeof(*all));
}
