/* SPDX-License-Identifier: MIT */
/* The timing wheel: edges by hand, then random runs against a table of deadlines. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/wheel.h"

#define TICK   WHEEL_TICK_NS
#define HOUR   3600000000000ull
#define NOW    (123456789ull * TICK + 77)
#define LATEST ((UINT64_MAX >> WHEEL_TICK_SHIFT) << WHEEL_TICK_SHIFT)

static void test_never_early(void **state)
{
	static const uint64_t deltas[] = { 1,	       TICK - 77,     TICK - 76,	TICK,
					   64 * TICK,  64 * TICK + 1, 4096 * TICK - 77, HOUR,
					   100 * HOUR, 1ull << 60 };
	struct wheel_node node;
	struct wheel wheel;
	uint64_t deadline, tick, at;
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(deltas) / sizeof(deltas[0]); i++) {
		wheel_init(&wheel, NOW);
		wheel_node_init(&node);
		assert_false(wheel_running(&node));
		deadline = NOW + deltas[i];
		tick = (deadline + TICK - 1) / TICK * TICK;
		wheel_start(&wheel, &node, deadline);
		assert_int_equal(wheel.running, 1);
		assert_int_equal(node.deadline, deadline);
		assert_null(wheel_expire(&wheel, NOW));
		assert_null(wheel_expire(&wheel, deadline - 1));
		assert_null(wheel_expire(&wheel, tick - 1));
		/* One tick before it, the answer is exact. */
		assert_true(wheel_deadline(&wheel) == tick);
		assert_ptr_equal(wheel_expire(&wheel, tick), &node);
		assert_false(wheel_running(&node));
		assert_null(wheel_expire(&wheel, tick));
		assert_int_equal(wheel.running, 0);
		assert_true(wheel_deadline(&wheel) == UINT64_MAX);

		/* In one jump, and to much later. */
		wheel_init(&wheel, NOW);
		wheel_start(&wheel, &node, deadline);
		assert_ptr_equal(wheel_expire(&wheel, tick + HOUR), &node);
		assert_null(wheel_expire(&wheel, tick + HOUR));

		/* By the wheel's own answers: each level is passed at most once. */
		wheel_init(&wheel, NOW);
		wheel_start(&wheel, &node, deadline);
		for (at = 0; at <= WHEEL_LEVELS; at++) {
			assert_true(wheel_deadline(&wheel) <= tick);
			if (wheel_expire(&wheel, wheel_deadline(&wheel)))
				break;
		}
		assert_true(at < WHEEL_LEVELS);
		assert_int_equal(wheel.tick, tick / TICK);
	}
}

static void test_past_and_never(void **state)
{
	struct wheel_node past, now, never, last;
	struct wheel wheel;

	(void)state;
	wheel_init(&wheel, NOW);
	wheel_node_init(&past);
	wheel_node_init(&now);
	wheel_node_init(&never);
	wheel_node_init(&last);
	wheel_start(&wheel, &past, 0);
	wheel_start(&wheel, &now, NOW / TICK * TICK);
	wheel_start(&wheel, &never, UINT64_MAX);
	assert_int_equal(wheel.running, 2);
	assert_true(wheel_deadline(&wheel) <= NOW);
	assert_ptr_equal(wheel_expire(&wheel, NOW), &past);
	assert_ptr_equal(wheel_expire(&wheel, NOW), &now);
	assert_null(wheel_expire(&wheel, NOW));

	/* To move a node to never is to stop it. */
	wheel_start(&wheel, &never, NOW + HOUR);
	wheel_start(&wheel, &never, LATEST + 1);
	assert_false(wheel_running(&never));
	assert_int_equal(wheel.running, 0);
	wheel_start(&wheel, &last, LATEST);
	assert_null(wheel_expire(&wheel, LATEST - 1));
	assert_ptr_equal(wheel_expire(&wheel, LATEST), &last);
	assert_null(wheel_expire(&wheel, UINT64_MAX));
	wheel_stop(&wheel, &last);
	wheel_stop(&wheel, &last);
	assert_int_equal(wheel.running, 0);
}

/* A node due is stopped, another moved away, while the expiry goes on. */
static void test_change_while_expiring(void **state)
{
	struct wheel_node n[4];
	struct wheel wheel;
	unsigned i;

	(void)state;
	wheel_init(&wheel, 0);
	for (i = 0; i < 4; i++) {
		wheel_node_init(&n[i]);
		wheel_start(&wheel, &n[i], 10 * TICK);
	}
	assert_ptr_equal(wheel_expire(&wheel, 20 * TICK), &n[0]);
	wheel_stop(&wheel, &n[1]);
	wheel_start(&wheel, &n[2], 30 * TICK);
	wheel_start(&wheel, &n[0], 5 * TICK);
	assert_ptr_equal(wheel_expire(&wheel, 20 * TICK), &n[3]);
	assert_ptr_equal(wheel_expire(&wheel, 20 * TICK), &n[0]);
	/* Between what has been handed out and now: still in this round. */
	wheel_start(&wheel, &n[3], 15 * TICK);
	assert_ptr_equal(wheel_expire(&wheel, 20 * TICK), &n[3]);
	assert_null(wheel_expire(&wheel, 20 * TICK));
	assert_int_equal(wheel.running, 1);
	assert_true(wheel_deadline(&wheel) <= 30 * TICK);
	assert_ptr_equal(wheel_expire(&wheel, 30 * TICK), &n[2]);
}

/* ---- Random runs ---------------------------------------------------------------------------- */

struct model {
	struct wheel wheel;
	struct prng prng;
	uint64_t now;
	uint64_t tick; /* that the expiry has reached */
	uint32_t n, running;
	struct wheel_node *nodes;
	uint64_t *at; /* the tick at which each must fire; UINT64_MAX: stopped */
};

static uint64_t some_time(struct model *m)
{
	/* Every scale alike, and the edges of slots as often as what lies between. */
	uint64_t x = prng_u64(&m->prng) >> (prng_below(&m->prng, 48) + 16);

	switch (prng_below(&m->prng, 4)) {
	case 0:
		return x & ~(TICK - 1);
	case 1:
		return 1ull << prng_below(&m->prng, 48);
	default:
		return x;
	}
}

static uint64_t some_deadline(struct model *m)
{
	switch (prng_below(&m->prng, 16)) {
	case 0:
		return m->now - (m->now < HOUR ? m->now : prng_below(&m->prng, HOUR));
	case 1:
		return prng_u64(&m->prng);
	case 2:
		return UINT64_MAX - prng_below(&m->prng, 3 * TICK);
	case 3:
		return m->now;
	default:
		return m->now + some_time(m);
	}
}

static void change_one(struct model *m)
{
	uint32_t i = (uint32_t)prng_below(&m->prng, m->n);
	uint64_t deadline, tick;

	m->running -= m->at[i] != UINT64_MAX;
	if (prng_below(&m->prng, 4) == 0) {
		wheel_stop(&m->wheel, &m->nodes[i]);
		m->at[i] = UINT64_MAX;
	} else {
		deadline = some_deadline(m);
		wheel_start(&m->wheel, &m->nodes[i], deadline);
		tick = deadline / TICK + (deadline % TICK != 0);
		if (tick > UINT64_MAX / TICK)
			tick = UINT64_MAX;
		else if (tick < m->tick)
			tick = m->tick;
		m->at[i] = tick;
	}
	m->running += m->at[i] != UINT64_MAX;
	assert_int_equal(wheel_running(&m->nodes[i]), m->at[i] != UINT64_MAX);
	assert_int_equal(m->wheel.running, m->running);
}

static uint64_t earliest(const struct model *m)
{
	uint64_t first = UINT64_MAX;
	uint32_t i;

	for (i = 0; i < m->n; i++) {
		if (m->at[i] < first)
			first = m->at[i];
	}
	return first;
}

/* The bits say what the lists hold, and each node sits where its tick belongs. */
static void check_slots(const struct model *m)
{
	const struct wheel *wheel = &m->wheel;
	const struct list *head, *pos;
	unsigned level, slot;
	uint32_t n = 0;

	for (level = 0; level < WHEEL_LEVELS; level++) {
		for (slot = 0; slot < WHEEL_SLOTS; slot++) {
			head = &wheel->slots[level][slot];
			assert_int_equal(!list_empty(head), wheel->occupied[level] >> slot & 1);
			list_for_each (pos, head)
				n++;
		}
	}
	list_for_each (pos, &wheel->due)
		n++;
	assert_int_equal(n, m->running);
}

static void advance(struct model *m, uint64_t now)
{
	uint64_t target = now / TICK, first = earliest(m), deadline = wheel_deadline(&m->wheel);
	struct wheel_node *node;
	uint32_t i;

	if (first == UINT64_MAX)
		assert_true(deadline == UINT64_MAX);
	else
		assert_true(deadline <= first * TICK);
	m->now = now;
	while ((node = wheel_expire(&m->wheel, now))) {
		i = (uint32_t)(node - m->nodes);
		assert_true(m->at[i] <= target);
		assert_true(m->at[i] >= m->tick);
		m->tick = m->at[i];
		m->at[i] = UINT64_MAX;
		m->running--;
		/* The table agrees on which comes first, but scanning it each time is dear. */
		if (m->n <= 64)
			assert_true(earliest(m) >= m->tick);
		if (prng_below(&m->prng, 3) == 0)
			change_one(m);
	}
	m->tick = target;
	assert_true(earliest(m) > target);
	check_slots(m);
}

static void random_run(uint64_t seed, uint32_t n, unsigned steps, unsigned changes)
{
	struct model m = { .n = n };
	uint64_t now;
	unsigned step, k;
	uint32_t i;

	prng_seed(&m.prng, seed);
	m.now = seed % 2 ? 0 : prng_u64(&m.prng) >> 20;
	m.tick = m.now / TICK;
	m.nodes = calloc(n, sizeof(*m.nodes));
	m.at = calloc(n, sizeof(*m.at));
	wheel_init(&m.wheel, m.now);
	for (i = 0; i < n; i++) {
		wheel_node_init(&m.nodes[i]);
		m.at[i] = UINT64_MAX;
	}
	for (step = 0; step < steps; step++) {
		for (k = 0; k < changes; k++)
			change_one(&m);
		now = m.now;
		if (prng_below(&m.prng, 3) == 0 && wheel_deadline(&m.wheel) != UINT64_MAX)
			now = wheel_deadline(&m.wheel);
		else if (prng_below(&m.prng, 100))
			now += some_time(&m) >> prng_below(&m.prng, 30);
		if (now < m.now)
			now = m.now;
		advance(&m, now);
	}
	free(m.nodes);
	free(m.at);
}

static void test_random(void **state)
{
	uint64_t seed;

	(void)state;
	for (seed = 1; seed <= 40; seed++) {
		random_run(seed, 1, 300, 1);
		random_run(seed, 40, 2000, 4);
		random_run(seed, 3000, 20, 2000);
	}
}

/* Many nodes in one slot of a high level: no call moves more than it may, and none is lost. */
static void test_bounded_work(void **state)
{
	static struct wheel_node nodes[20000];
	const unsigned n = sizeof(nodes) / sizeof(nodes[0]);
	unsigned fired = 0, calls = 0, stopped = 0;
	struct wheel wheel;
	uint64_t now = NOW;

	(void)state;
	wheel_init(&wheel, now);
	for (unsigned i = 0; i < n; i++) {
		wheel_node_init(&nodes[i]);
		wheel_start(&wheel, &nodes[i], now + HOUR + i * TICK / 8);
	}
	for (now += 2 * HOUR; wheel_deadline(&wheel) <= now; calls++) {
		unsigned work = 100, before = fired;
		struct wheel_node *node;

		while ((node = wheel_expire_some(&wheel, now, &work)) != NULL) {
			assert_false(wheel_running(node));
			fired++;
		}
		assert_true(fired - before <= 100 / WHEEL_HANDED);
		/* In between they may be stopped and moved, wherever they are. */
		if (calls < 50 && wheel_running(&nodes[n - 1 - calls])) {
			wheel_stop(&wheel, &nodes[n - 1 - calls]);
			stopped++;
		}
		if (calls == 60)
			wheel_start(&wheel, &nodes[n - 100], now + HOUR);
		assert_true(calls < 100 * n);
	}
	assert_int_equal(stopped, 50);
	assert_int_equal(fired, n - stopped - 1);
	assert_int_equal(wheel.running, 1);
	/* Each was moved at least once: so often it must have been called. */
	assert_true(calls >= n / 100);
}

/* What is told of ahead is what comes, as far as it is due. */
static void test_ahead(void **state)
{
	struct wheel_node node[5], *next, *after;
	struct wheel wheel;

	(void)state;
	wheel_init(&wheel, NOW);
	wheel_ahead(&wheel, &next, &after);
	assert_null(next);
	assert_null(after);
	for (unsigned i = 0; i < 5; i++) {
		wheel_node_init(&node[i]);
		wheel_start(&wheel, &node[i], NOW + (i < 4 ? TICK : HOUR));
	}
	for (unsigned i = 0; i < 4; i++) {
		struct wheel_node *said = next, *then = after;
		struct wheel_node *got = wheel_expire(&wheel, NOW + 2 * TICK);

		assert_non_null(got);
		wheel_ahead(&wheel, &next, &after);
		if (i)
			assert_ptr_equal(got, said);
		if (i)
			assert_ptr_equal(next, then);
		assert_int_equal(next != NULL, i < 3);
		assert_int_equal(after != NULL, i < 2);
	}
	assert_null(wheel_expire(&wheel, NOW + 2 * TICK));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_never_early),	      cmocka_unit_test(test_past_and_never),
		cmocka_unit_test(test_change_while_expiring), cmocka_unit_test(test_random),
		cmocka_unit_test(test_bounded_work),	      cmocka_unit_test(test_ahead),
	};

	return cmocka_run_group_tests_name("base/wheel", tests, NULL, NULL);
}
