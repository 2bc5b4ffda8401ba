/* SPDX-License-Identifier: MIT */
/* Reading a store: which hosts and samples it holds, and rows as records. See store.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "source/store_backend.h"

/* What is read of a sample, in the order of read_sample(). */
#define SAMPLE                                                                                     \
	"s.id, s.run, r.host, s.position, s.after, s.since, s.time, s.monotonic, r.every_ns, "     \
	"s.seen, s.dropped, s.hidden, s.missed, r.netns, r.namespaces, r.forwards, r.filter, "     \
	"r.boot_id, s.not_seen"
#define SAMPLE_COLUMNS 19
#define SAMPLE_FROM    " FROM couplet_samples s JOIN couplet_runs r ON r.id = s.run "

static bool numbers(const struct store_value *v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (v[i].kind != STORE_NUMBER)
			return false;
	return true;
}

static bool texts(const struct store_value *v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (v[i].kind != STORE_TEXT)
			return false;
	return true;
}

/* Printable, and terminated: cut where it does not fit. */
static void copy_text(char *out, size_t size, const struct store_value *v)
{
	size_t n = v->len < size - 1 ? v->len : size - 1;

	for (size_t i = 0; i < n; i++)
		out[i] = v->text[i] >= 0x20 && v->text[i] < 0x7f ? v->text[i] : '?';
	out[n] = 0;
}

static int read_sample(void *arg, const struct store_value *v, unsigned n)
{
	struct store_sample *s = arg;

	if (n < SAMPLE_COLUMNS || !numbers(v, 16) || !texts(v + 16, 3))
		return -EPROTO;
	memset(s, 0, sizeof(*s));
	s->id = v[0].number;
	s->run = v[1].number;
	s->host = v[2].number;
	s->position = v[3].number;
	s->after = v[4].number;
	s->since = v[5].number;
	s->time_ns = v[6].number;
	s->monotonic_ns = (uint64_t)v[7].number;
	s->every_ns = (uint64_t)v[8].number;
	s->seen = v[9].number;
	s->dropped = v[10].number;
	s->hidden = v[11].number;
	s->missed = v[12].number;
	s->netns = (uint32_t)v[13].number;
	s->namespaces = v[14].number != 0;
	s->forwards = v[15].number != 0;
	s->filtered = v[16].len > 0;
	copy_text(s->boot_id, sizeof(s->boot_id), &v[17]);
	s->whole = !s->filtered && !s->hidden && !s->dropped && v[18].len == 0;
	return 0;
}

struct hosts {
	struct store_host *host;
	size_t n;
};

static int visit_host(void *arg, const struct store_value *v, unsigned n)
{
	struct hosts *h = arg;
	struct store_host *more;

	if (n != 5 || v[0].kind != STORE_NUMBER || !texts(v + 1, 2) || !numbers(v + 3, 2))
		return -EPROTO;
	more = reallocarray(h->host, h->n + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	h->host = more;
	more = &h->host[h->n++];
	memset(more, 0, sizeof(*more));
	more->id = v[0].number;
	copy_text(more->name, sizeof(more->name), &v[1]);
	copy_text(more->machine_id, sizeof(more->machine_id), &v[2]);
	more->first_ns = v[3].number;
	more->last_ns = v[4].number;
	return 0;
}

static int visit_number(void *arg, const struct store_value *v, unsigned n)
{
	if (n < 1 || v[0].kind == STORE_TEXT)
		return -EPROTO;
	*(int64_t *)arg = v[0].kind == STORE_NUMBER ? v[0].number : 0;
	return 0;
}

static int count_host(struct store *s, struct store_host *h)
{
	struct store_value id = store_number(h->id);
	int err = s->backend->query(s, "SELECT count(*)" SAMPLE_FROM "WHERE r.host = $1", &id, 1,
				    visit_number, &h->samples);

	return err ? err
		   : s->backend->query(s,
				       "SELECT count(*)" SAMPLE_FROM
				       "JOIN couplet_ends e ON e.sample = s.id WHERE r.host = $1",
				       &id, 1, visit_number, &h->rows);
}

int store_hosts(struct store *s, int64_t at_ns, bool count, struct store_host **hosts, size_t *n)
{
	struct hosts h = { NULL, 0 };
	int err = s->backend->query(s,
				    "SELECT id, name, machine_id, first_seen, last_seen "
				    "FROM couplet_hosts ORDER BY name, id",
				    NULL, 0, visit_host, &h);

	for (size_t i = 0; i < h.n && !err; i++) {
		struct store_value v[2] = { store_number(h.host[i].id), store_number(at_ns) };

		/* The clock of a host may have been set back: the time decides, then the order. */
		err = s->backend->query(s,
					"SELECT " SAMPLE SAMPLE_FROM
					"WHERE r.host = $1 AND s.time <= $2 "
					"ORDER BY s.time DESC, s.id DESC LIMIT 1",
					v, 2, read_sample, &h.host[i].last);
		if (!err && count)
			err = count_host(s, &h.host[i]);
	}
	if (err) {
		free(h.host);
		return err == -ENOMEM ? store_fail(s, err, "out of memory") : err;
	}
	*hosts = h.host;
	*n = h.n;
	return 0;
}

int store_size(struct store *s, uint64_t *bytes)
{
	int64_t size = 0;
	int err = s->backend->query(s, s->backend->size, NULL, 0, visit_number, &size);

	*bytes = size > 0 ? (uint64_t)size : 0;
	return err;
}

int store_sample_before(struct store *s, int64_t run, int64_t position, struct store_sample *sample)
{
	struct store_value v[2] = { store_number(run), store_number(position) };

	memset(sample, 0, sizeof(*sample));
	return s->backend->query(s,
				 "SELECT " SAMPLE SAMPLE_FROM "WHERE s.run = $1 AND "
				 "s.position <= $2 ORDER BY s.id DESC LIMIT 1",
				 v, 2, read_sample, sample);
}

/* ---- Rows ------------------------------------------------------------------------------------ */

/* IDS as the list that stands for $1 in `in_list`. */
static bool list_of(const struct store *s, struct text *t, const int64_t *ids, size_t n,
		    size_t stride)
{
	text_init(t);
	text_printf(t, "%c", s->backend->brackets[0]);
	for (size_t i = 0; i < n; i++)
		text_printf(t, "%s%lld", i ? "," : "",
			    (long long)*(const int64_t *)(const void *)((const char *)ids +
									i * stride));
	text_printf(t, "%c", s->backend->brackets[1]);
	return !t->failed;
}

struct rows {
	struct store *s;
	const int64_t *ids;
	size_t n;
	struct cpl_info *infos;
	uint64_t *monotonic;
	size_t *bad;
};

static int visit_row(void *arg, const struct store_value *v, unsigned n)
{
	struct rows *r = arg;
	struct cpl_info info;

	if (n < 2 || !numbers(v, 2))
		return -EPROTO;
	if (store_row_read(r->s, v + 2, n - 2, &info)) {
		++*r->bad;
		return 0;
	}
	/* One row may be asked for twice. */
	for (size_t i = 0; i < r->n; i++) {
		if (r->ids[i] != v[0].number)
			continue;
		r->infos[i] = info;
		r->monotonic[i] = (uint64_t)v[1].number;
	}
	return 0;
}

int store_rows(struct store *s, const int64_t *ids, size_t n, struct cpl_info *infos,
	       uint64_t *monotonic, size_t *bad)
{
	struct rows r = { s, ids, n, infos, monotonic, bad };
	struct text list, sql;
	int err = -ENOMEM;

	memset(infos, 0, n * sizeof(*infos));
	memset(monotonic, 0, n * sizeof(*monotonic));
	text_init(&sql);
	text_puts(&sql, "SELECT e.row_id, s.monotonic, ");
	store_row_columns(s, &sql, "e");
	text_printf(&sql,
		    " FROM couplet_ends e JOIN couplet_samples s ON s.id = e.sample "
		    "WHERE e.gone = 0 AND e.row_id %s",
		    s->backend->in_list);
	if (list_of(s, &list, ids, n, sizeof(*ids)) && !sql.failed) {
		struct store_value v = store_text(list.data);

		err = s->backend->query(s, sql.data, &v, 1, visit_row, &r);
	}
	text_free(&list);
	text_free(&sql);
	return err == -ENOMEM ? store_fail(s, err, "out of memory") : err;
}

void store_as_of(struct cpl_info *info, uint64_t written, const struct store_sample *sample)
{
	if (sample->monotonic_ns > written)
		store_advance(info, sample->monotonic_ns - written);
}

struct wanted {
	struct store_want *want;
	size_t n;
};

/* Rows come in the order in which they were written: the last that fits stays. */
static int visit_want(void *arg, const struct store_value *v, unsigned n)
{
	const struct wanted *w = arg;

	if (n != 4 || !numbers(v, 4))
		return -EPROTO;
	for (size_t i = 0; i < w->n; i++) {
		struct store_want *want = &w->want[i];

		if (want->number == v[1].number && v[2].number >= want->since &&
		    v[2].number <= want->sample)
			want->row = v[3].number ? 0 : v[0].number;
	}
	return 0;
}

int store_rows_at(struct store *s, struct store_want *wants, size_t n)
{
	struct wanted w = { wants, n };
	int64_t low = INT64_MAX, high = 0;
	struct text list, sql;
	int err = -ENOMEM;

	for (size_t i = 0; i < n; i++) {
		wants[i].row = 0;
		low = wants[i].since < low ? wants[i].since : low;
		high = wants[i].sample > high ? wants[i].sample : high;
	}
	text_init(&sql);
	text_printf(&sql,
		    "SELECT row_id, number, sample, gone FROM couplet_ends WHERE number %s "
		    "AND sample BETWEEN $2 AND $3 ORDER BY row_id",
		    s->backend->in_list);
	if (list_of(s, &list, n ? &wants[0].number : NULL, n, sizeof(*wants)) && !sql.failed) {
		struct store_value v[3] = { store_text(list.data), store_number(low),
					    store_number(high) };

		err = s->backend->query(s, sql.data, v, 3, visit_want, &w);
	}
	text_free(&list);
	text_free(&sql);
	return err == -ENOMEM ? store_fail(s, err, "out of memory") : err;
}
