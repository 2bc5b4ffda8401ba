/* SPDX-License-Identifier: MIT */
/*
 * Which rows of the store are the two ends of one connection: a join in the database, first by both
 * endpoints, then, for what is left, by both initial sequence numbers, which no translator of
 * addresses changes. See store.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "source/store_backend.h"
#include "view/pair.h"

/* Ends that are claimed more than once are looked at; no more of them than this. */
#define CONTESTED_MAX 65536

/*
 * The steps of the join, each a table made from those before it: parts of one statement where the
 * planner joins by hashing (PostgreSQL), else temporary tables with indexes (SQLite, which would
 * walk one list for each entry of the other).
 *
 * couplet_now is what the chosen samples show: the latest row of each end in the window of its
 * sample, unless that says that the end is gone.
 */
struct step {
	const char *name, *sql, *index;
};

#define PAIR                                                                                       \
	"x.id AS x, x.number AS x_number, x.host AS x_host, y.id AS y, y.number AS y_number, "     \
	"y.host AS y_host "

static const struct step steps[] = {
	{ "couplet_now",
	  "SELECT * FROM couplet_seen WHERE place = 1 AND gone = 0 AND endpoints IS NOT NULL",
	  "endpoints, side" },
	{ "couplet_by_address",
	  "SELECT " PAIR "FROM couplet_now x JOIN couplet_now y ON y.endpoints = x.endpoints "
	  "WHERE x.side = 0 AND y.side = 1",
	  NULL },
	{ "couplet_rest",
	  "SELECT n.* FROM couplet_now n JOIN (SELECT id FROM couplet_now EXCEPT SELECT x "
	  "FROM couplet_by_address EXCEPT SELECT y FROM couplet_by_address) r ON r.id = n.id",
	  "sequence, sequence_side" },
	{ "couplet_by_sequence",
	  "SELECT " PAIR "FROM couplet_rest x JOIN couplet_rest y ON y.sequence = x.sequence "
	  "WHERE x.sequence_side = 0 AND y.sequence_side = 1",
	  NULL },
	{ "couplet_alone",
	  "SELECT n.* FROM couplet_rest n JOIN (SELECT id FROM couplet_rest EXCEPT SELECT x "
	  "FROM couplet_by_sequence EXCEPT SELECT y FROM couplet_by_sequence) r ON r.id = n.id",
	  NULL },
};

#define STEPS (sizeof(steps) / sizeof(*steps))

static const char result[] =
	"SELECT 0, x, x_number, x_host, y, y_number, y_host, 0, '' FROM couplet_by_address "
	"UNION ALL SELECT 1, x, x_number, x_host, y, y_number, y_host, 0, '' "
	"FROM couplet_by_sequence "
	"UNION ALL SELECT CASE WHEN sequence IS NULL THEN 2 ELSE 3 END, id, number, host, "
	"0, 0, 0, side, endpoints FROM couplet_alone";

struct joined {
	struct store_match *match;
	size_t n, room, hosts;
};

static uint64_t endpoint_hash(uint32_t host, const char *s, size_t len)
{
	struct siphash_key key = { { host, 0x636f75706c6574 } };

	return siphash13(&key, s, len);
}

uint64_t store_endpoint(uint32_t host, const struct cpl_addr *addr, uint16_t port)
{
	struct view_word w = word_endpoint(addr, port);

	return endpoint_hash(host, w.s, strlen(w.s));
}

/* Which half of "low-high" is its own. */
static uint64_t own_endpoint(uint32_t host, int64_t side, const struct store_value *endpoints)
{
	const char *s = endpoints->text, *dash = memchr(s, '-', endpoints->len);
	size_t low = dash ? (size_t)(dash - s) : endpoints->len;

	return side && dash ? endpoint_hash(host, dash + 1, endpoints->len - low - 1)
			    : endpoint_hash(host, s, low);
}

static int visit_match(void *arg, const struct store_value *v, unsigned n)
{
	struct joined *j = arg;
	struct store_match *m;

	if (n != 9 || v[8].kind != STORE_TEXT)
		return -EPROTO;
	for (unsigned i = 0; i < 8; i++)
		if (v[i].kind != STORE_NUMBER)
			return -EPROTO;
	if ((uint64_t)v[3].number >= j->hosts || (uint64_t)v[6].number >= j->hosts)
		return -EPROTO;
	if (j->n == j->room) {
		size_t room = j->room ? j->room * 2 : 1024;

		m = reallocarray(j->match, room, sizeof(*m));
		if (!m)
			return -ENOMEM;
		j->match = m;
		j->room = room;
	}
	m = &j->match[j->n++];
	memset(m, 0, sizeof(*m));
	m->by_sequence = v[0].number == 1;
	m->sequenced = v[0].number == 3;
	m->x = v[1].number;
	m->x_number = v[2].number;
	m->x_host = (uint32_t)v[3].number;
	m->y = v[4].number;
	m->y_number = v[5].number;
	m->y_host = (uint32_t)v[6].number;
	if (!m->y)
		m->endpoint = own_endpoint(m->x_host, v[7].number, &v[8]);
	return 0;
}

/* ---- Ends that more than one match claims ---------------------------------------------------- */

/* An end of a match. */
struct claim {
	int64_t id, number;
	size_t match;
	uint32_t host;
};

static int by_id(const void *pa, const void *pb)
{
	const struct claim *a = pa, *b = pb;

	if (a->id != b->id)
		return a->id < b->id ? -1 : 1;
	return (a->match > b->match) - (a->match < b->match);
}

/*
 * Marks the matches that share an end with another one; the ends of all those go to *CLAIMS, each
 * id once. Addresses are not unique: networks are numbered alike, and two recorders on one machine
 * may both see a socket.
 */
static int contested(struct joined *j, struct claim **claims, size_t *n)
{
	struct claim *c = malloc((j->n * 2 + 1) * sizeof(*c));
	size_t m = 0, kept = 0;

	if (!c)
		return -ENOMEM;
	for (size_t i = 0; i < j->n; i++) {
		if (!j->match[i].y)
			continue;
		c[m++] = (struct claim){ j->match[i].x, j->match[i].x_number, i,
					 j->match[i].x_host };
		c[m++] = (struct claim){ j->match[i].y, j->match[i].y_number, i,
					 j->match[i].y_host };
	}
	qsort(c, m, sizeof(*c), by_id);
	for (size_t i = 1; i < m; i++)
		if (c[i].id == c[i - 1].id)
			j->match[c[i].match].contested = j->match[c[i - 1].match].contested = true;
	for (size_t i = 0; i < m; i++)
		if (j->match[c[i].match].contested && (!kept || c[kept - 1].id != c[i].id))
			c[kept++] = c[i];
	*claims = c;
	*n = kept;
	return 0;
}

static size_t find_claim(const struct claim *c, size_t n, int64_t id)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (c[mid].id == id)
			return mid;
		if (c[mid].id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return n;
}

/* Of the contested matches those stay that view_pairs() would make, too; PARTNER says which. */
static void keep_best(struct joined *j, const struct claim *c, size_t n, const size_t *partner,
		      bool *taken)
{
	size_t kept = 0;

	for (size_t i = 0; i < j->n; i++) {
		struct store_match m = j->match[i];

		if (m.y && m.contested) {
			size_t x = find_claim(c, n, m.x), y = find_claim(c, n, m.y);

			if (x == n || y == n || partner[x] != y + 1)
				continue;
			taken[x] = taken[y] = true;
			m.contested = false;
		}
		j->match[kept++] = m;
	}
	j->n = kept;
}

static int settle(struct joined *j, const struct claim *c, size_t n, const struct view_pair *pairs,
		  size_t npairs)
{
	size_t *partner = calloc(n, sizeof(*partner));
	bool *taken = calloc(n, sizeof(*taken));
	struct store_match *more;
	int err = -ENOMEM;

	if (!partner || !taken)
		goto out;
	for (size_t i = 0; i < npairs; i++) {
		if (pairs[i].y == VIEW_ALONE)
			continue;
		partner[pairs[i].x] = pairs[i].y + 1;
		partner[pairs[i].y] = pairs[i].x + 1;
	}
	keep_best(j, c, n, partner, taken);
	more = reallocarray(j->match, j->n + n, sizeof(*more));
	if (!more)
		goto out;
	j->match = more;
	/* Who lost is alone, and may be another record of who won. */
	for (size_t i = 0; i < n; i++)
		if (!taken[i])
			j->match[j->n++] = (struct store_match){ .x = c[i].id,
								 .x_number = c[i].number,
								 .x_host = c[i].host,
								 .contested = true };
	err = 0;
out:
	free(partner);
	free(taken);
	return err;
}

struct socket_of {
	uint64_t id;
	uint32_t netns;
	size_t at;
};

static int by_socket(const void *pa, const void *pb)
{
	const struct socket_of *a = pa, *b = pb;

	if (a->id != b->id)
		return a->id < b->id ? -1 : 1;
	if (a->netns != b->netns)
		return a->netns < b->netns ? -1 : 1;
	return (a->at > b->at) - (a->at < b->at);
}

/* Of one socket that several recorders on a machine have seen, only the first is a candidate. */
static int hide_copies(const struct store_host *hosts, const struct claim *c,
		       struct cpl_info *infos, size_t n)
{
	struct socket_of *list = malloc(n * sizeof(*list));

	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		list[i] = (struct socket_of){ infos[i].id, infos[i].netns, i };
	qsort(list, n, sizeof(*list), by_socket);
	for (size_t i = 1; i < n; i++) {
		const struct cpl_info *a = &infos[list[i - 1].at];
		struct cpl_info *b = &infos[list[i].at];

		if (list[i].id == list[i - 1].id && list[i].netns == list[i - 1].netns &&
		    cpl_info_known(a, CPL_F_id) && cpl_info_known(b, CPL_F_id) &&
		    a->source != CPL_SOURCE_STACK && b->source != CPL_SOURCE_STACK &&
		    strcmp(hosts[c[list[i - 1].at].host].last.boot_id,
			   hosts[c[list[i].at].host].last.boot_id) == 0)
			b->state = CPL_CLOSED; /* no connection for view_pairs() */
	}
	free(list);
	return 0;
}

static int resolve(struct store *s, const struct store_host *hosts, struct joined *j)
{
	struct claim *claims = NULL;
	struct view_pair *pairs = NULL;
	struct cpl_info *infos = NULL;
	uint64_t *monotonic = NULL;
	int64_t *ids = NULL;
	size_t n = 0, bad = 0;
	long npairs;
	int err = contested(j, &claims, &n);

	if (err || !n || n > CONTESTED_MAX)
		goto out;
	infos = calloc(n, sizeof(*infos));
	monotonic = calloc(n, sizeof(*monotonic));
	ids = calloc(n, sizeof(*ids));
	err = infos && monotonic && ids ? 0 : -ENOMEM;
	for (size_t i = 0; i < n && !err; i++)
		ids[i] = claims[i].id;
	for (size_t at = 0; at < n && !err; at += 256)
		err = store_rows(s, ids + at, n - at < 256 ? n - at : 256, infos + at,
				 monotonic + at, &bad);
	if (err)
		goto out;
	err = hide_copies(hosts, claims, infos, n);
	if (err)
		goto out;
	npairs = view_pairs(infos, n, &pairs);
	err = npairs < 0 ? -ENOMEM : settle(j, claims, n, pairs, (size_t)npairs);
out:
	free(claims);
	free(pairs);
	free(infos);
	free(monotonic);
	free(ids);
	return err;
}

/* ---- All together ---------------------------------------------------------------------------- */

int store_read_begin(struct store *s)
{
	return s->backend->begin(s);
}

void store_read_end(struct store *s)
{
	s->backend->rollback(s);
}

/* A sample of a host's window. */
struct chosen {
	struct text *values, *list;
	size_t host, n;
};

static int visit_chosen(void *arg, const struct store_value *v, unsigned n)
{
	struct chosen *c = arg;

	if (n != 1 || v[0].kind != STORE_NUMBER)
		return -EPROTO;
	text_printf(c->values, "%s(%lld, %zu)", c->n ? ", " : "", (long long)v[0].number, c->host);
	text_printf(c->list, "%s%lld", c->n ? ", " : "", (long long)v[0].number);
	c->n++;
	return 0;
}

static int choose(struct store *s, const struct store_host *hosts, size_t n, struct chosen *c)
{
	int err = 0;

	for (c->host = 0; c->host < n && !err; c->host++) {
		const struct store_sample *l = &hosts[c->host].last;
		struct store_value v[3] = { store_number(l->run), store_number(l->since),
					    store_number(l->id) };

		if (l->id)
			err = s->backend->query(s,
						"SELECT id FROM couplet_samples WHERE run = $1 "
						"AND id BETWEEN $2 AND $3",
						v, 3, visit_chosen, c);
	}
	return err;
}

/* What leads to couplet_now, up to and with couplet_seen. */
static int begin(struct store *s, const struct store_host *hosts, size_t n, struct text *sql,
		 bool *any)
{
	struct text list;
	struct chosen c = { .values = sql, .list = &list };
	int err;

	text_init(&list);
	text_puts(sql, "WITH couplet_chosen(sample, host) AS (VALUES ");
	err = choose(s, hosts, n, &c);
	*any = c.n > 0;
	text_puts(sql, "), couplet_seen AS MATERIALIZED (SELECT e.row_id AS id, "
		       "e.number AS number, c.host AS host, e.gone AS gone, "
		       "e.endpoints AS endpoints, e.side AS side, e.sequence AS sequence, "
		       "e.sequence_side AS sequence_side, row_number() OVER "
		       "(PARTITION BY e.number ORDER BY e.row_id DESC) AS place "
		       "FROM couplet_ends e JOIN couplet_chosen c ON c.sample = e.sample "
		       "WHERE e.sample IN (");
	text_puts(sql, list.data ? list.data : "0");
	text_puts(sql, "))");
	if (list.failed)
		err = -ENOMEM;
	text_free(&list);
	return err;
}

/* As one statement. */
static int join_at_once(struct store *s, struct text *sql, struct joined *j)
{
	int err = store_run(s, "%s", s->backend->plan);

	for (unsigned i = 0; i < STEPS; i++)
		text_printf(sql, ", %s AS MATERIALIZED (%s)", steps[i].name, steps[i].sql);
	text_printf(sql, " %s", result);
	if (!err && sql->failed)
		err = -ENOMEM;
	return err ? err : s->backend->query(s, sql->data, NULL, 0, visit_match, j);
}

/* As temporary tables, step by step; SQL is what the first begins with. */
static int join_by_steps(struct store *s, struct text *sql, struct joined *j)
{
	struct text t;
	int err = 0;

	text_init(&t);
	for (unsigned i = 0; i < STEPS && !err; i++) {
		err = store_run(s, "DROP TABLE IF EXISTS temp.%s", steps[i].name);
		t.len = 0;
		text_printf(&t, "CREATE TEMP TABLE %s AS ", steps[i].name);
		if (!i && sql->data)
			text_puts(&t, sql->data);
		text_printf(&t, " %s", steps[i].sql);
		if (!err && (t.failed || sql->failed))
			err = -ENOMEM;
		if (!err)
			err = s->backend->query(s, t.data, NULL, 0, NULL, NULL);
		if (!err && steps[i].index)
			err = store_run(s, "CREATE INDEX temp.%s_index ON %s (%s)", steps[i].name,
					steps[i].name, steps[i].index);
	}
	text_free(&t);
	return err ? err : s->backend->query(s, result, NULL, 0, visit_match, j);
}

int store_join(struct store *s, const struct store_host *hosts, size_t n,
	       struct store_match **matches, size_t *found)
{
	struct joined j = { .hosts = n };
	struct text sql;
	bool any;
	int err;

	text_init(&sql);
	err = begin(s, hosts, n, &sql, &any);
	if (!err && any)
		err = s->backend->plan ? join_at_once(s, &sql, &j) : join_by_steps(s, &sql, &j);
	text_free(&sql);
	if (!err)
		err = resolve(s, hosts, &j);
	if (err) {
		free(j.match);
		return err == -ENOMEM ? store_fail(s, err, "out of memory") : err;
	}
	*matches = j.match;
	*found = j.n;
	return 0;
}
