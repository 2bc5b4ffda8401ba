/* SPDX-License-Identifier: MIT */
/* For the tests of recording: a host whose ends move, come and go, and what a sample says of it. */
#ifndef TESTS_SOURCE_STORES_MODEL_H
#define TESTS_SOURCE_STORES_MODEL_H

#include "tests/source/stores.h"

static inline void assert_same(const struct cpl_info *a, const struct cpl_info *b)
{
	for (int f = 0; f < CPL_FIELDS; f++) {
		const char *x = (const char *)a + view_fields[f].offset;
		const char *y = (const char *)b + view_fields[f].offset;

		if (cpl_info_is_read(a, f) != cpl_info_is_read(b, f) ||
		    cpl_info_is_derived(a, f) != cpl_info_is_derived(b, f))
			fail_msg("%s is marked otherwise", view_fields[f].name);
		if (memcmp(x, y, view_fields[f].size) != 0)
			fail_msg("%s is not what it was", view_fields[f].name);
	}
}

#define MODEL 40

/* Ends of one host, some of which move, come and go. */
struct model {
	struct cpl_info end[MODEL];
	bool there[MODEL];
	unsigned life[MODEL];
	uint64_t rng;
	struct cpl_info list[MODEL];
	unsigned n, time;
};

static inline void model_step(struct model *m)
{
	m->n = 0;
	m->time++;
	for (unsigned i = 0; i < MODEL; i++) {
		if (m->there[i])
			stores_later(&m->end[i], 1000000000);
		if (!m->there[i] ? !rnd(&m->rng, 3) : !rnd(&m->rng, 12)) {
			m->there[i] = !m->there[i];
			stores_end(&m->end[i], i + MODEL * m->life[i]++, false);
			m->end[i].taken += m->time * 1000000000ull;
		}
		if (m->there[i] && !rnd(&m->rng, 4)) {
			m->end[i].snd_nxt += 100;
			m->end[i].last_sent = 0;
		}
		if (m->there[i])
			m->list[m->n++] = m->end[i];
	}
}

/* What the store says of SAMPLE, against what was there: never wrong, and all that is not hidden.
 */
static inline void check_sample(struct store *s, const struct model *m, int64_t sample)
{
	struct store_sample sm;
	struct cpl_info out[4 * MODEL];
	uint64_t monotonic[4 * MODEL];
	int64_t numbers[4 * MODEL], ids[4 * MODEL];
	char sql[400];
	size_t n = 0, bad = 0, shown = 0;

	snprintf(sql, sizeof(sql), "SELECT position FROM couplet_samples WHERE id = %lld",
		 (long long)sample);
	assert_int_equal(store_sample_before(s, stores_ask(s, "SELECT max(id) FROM couplet_runs"),
					     stores_ask(s, sql), &sm),
			 0);
	assert_int_equal(sm.id, sample);
	snprintf(sql, sizeof(sql),
		 "SELECT count(*) FROM (SELECT number FROM couplet_ends WHERE sample BETWEEN %lld "
		 "AND %lld GROUP BY number) n",
		 (long long)sm.since, (long long)sample);
	n = (size_t)stores_ask(s, sql);
	assert_true(n <= ARRAY_LEN(ids));
	for (size_t i = 0; i < n; i++) {
		snprintf(sql, sizeof(sql),
			 "SELECT number FROM couplet_ends WHERE sample BETWEEN %lld AND %lld "
			 "GROUP BY number ORDER BY number LIMIT 1 OFFSET %zu",
			 (long long)sm.since, (long long)sample, i);
		numbers[i] = stores_ask(s, sql);
	}
	for (size_t i = 0; i < n; i++) {
		struct store_want w = { numbers[i], sample, sm.since, 0 };

		assert_int_equal(store_rows_at(s, &w, 1), 0);
		if (w.row)
			ids[shown++] = w.row;
	}
	assert_int_equal(store_rows(s, ids, shown, out, monotonic, &bad), 0);
	assert_int_equal(bad, 0);
	for (size_t i = 0; i < shown; i++) {
		unsigned k = 0;

		store_as_of(&out[i], monotonic[i], &sm);
		while (k < m->n && m->list[k].id != out[i].id)
			k++;
		assert_true(k < m->n); /* it was there */
		assert_same(&m->list[k], &out[i]);
	}
	assert_int_equal(sm.seen, m->n);
	assert_int_equal(sm.hidden, m->n - shown);
	assert_int_equal(sm.whole, shown == m->n && !sm.dropped);
}

#endif
