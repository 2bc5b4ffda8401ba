/* SPDX-License-Identifier: MIT */
/* Retention: what this host recorded too long ago is deleted, a few rows at a time. See store.h. */
#include <errno.h>
#include <time.h>

#include "source/store_recorder.h"

/* Rows that one statement deletes: others wait for it. */
#define PRUNE_ROWS 5000

static uint64_t monotonic_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Samples of this host that are too old, and that no younger one needs. */
#define TOO_OLD                                                                                    \
	"SELECT s.id FROM couplet_samples s JOIN couplet_runs r ON r.id = s.run "                  \
	"WHERE r.host = $1 AND s.time < $2 AND s.id < coalesce((SELECT min(k.since) "              \
	"FROM couplet_samples k WHERE k.run = s.run AND k.time >= $2), $3) "                       \
	"AND (s.run <> $4 OR s.id < $5)"

/* The first of them; 0: there is none. Who reads them meanwhile must not miss what is deleted. */
static int oldest_sample(struct recorder *r, int64_t before_ns, bool first, int64_t *sample)
{
	/* What the last sample rests on stays, however old it is. */
	struct store_value v[5] = { store_number(r->host), store_number(before_ns),
				    store_number(INT64_MAX), store_number(r->run),
				    store_number(r->since) };
	const struct store_backend *b = r->store->backend;
	int err = 0;

	*sample = 0;
	if (first)
		err = b->query(r->store,
			       "UPDATE couplet_samples SET hidden = seen + 1 WHERE hidden <= seen "
			       "AND id IN (" TOO_OLD ")",
			       v, 5, NULL, NULL);
	return err ? err
		   : b->query(r->store, TOO_OLD " ORDER BY s.id LIMIT 1", v, 5, store_visit_id,
			      sample);
}

static int prune_sample(struct recorder *r, int64_t sample, uint64_t deadline, bool *done)
{
	int err;

	do {
		err = store_run(r->store,
				"DELETE FROM couplet_ends WHERE row_id IN (SELECT row_id "
				"FROM couplet_ends WHERE sample = %lld LIMIT %d)",
				(long long)sample, PRUNE_ROWS);
		if (err)
			return err;
		*done = r->store->changes < PRUNE_ROWS;
		r->totals.deleted += r->store->changes;
	} while (!*done && monotonic_ns() < deadline);
	if (*done)
		err = store_run(r->store, "DELETE FROM couplet_samples WHERE id = %lld",
				(long long)sample);
	return err;
}

int recorder_prune(struct recorder *r, int64_t before_ns, uint64_t budget_ns, bool *more)
{
	uint64_t deadline = monotonic_ns() + budget_ns;
	int64_t sample;
	int err;

	*more = false;
	for (bool first = true;; first = false) {
		bool done;

		err = oldest_sample(r, before_ns, first, &sample);
		if (err || !sample)
			break;
		err = prune_sample(r, sample, deadline, &done);
		if (err)
			return err;
		if (!done || monotonic_ns() >= deadline) {
			*more = true;
			return 0;
		}
	}
	/* Runs of which nothing is left. */
	return err ? err
		   : store_run(r->store,
			       "DELETE FROM couplet_runs WHERE host = %lld AND id <> %lld AND "
			       "NOT EXISTS (SELECT 1 FROM couplet_samples s "
			       "WHERE s.run = couplet_runs.id)",
			       (long long)r->host, (long long)r->run);
}
