/* SPDX-License-Identifier: MIT */
/* The neighbour cache at random: what must hold after whatever was sent and heard. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tests/ip/neighbours.h"

static struct list packets[200];
static unsigned free_n;
static struct list *free_packets[200];

static void drain(uint64_t *last_asked)
{
	enum neigh_action a;
	struct neigh *n;

	while ((n = neigh_next_action(&f.t, &a)) != NULL) {
		struct list *p;

		if (a == NEIGH_SOLICIT_MULTICAST || a == NEIGH_SOLICIT_UNICAST) {
			unsigned i = n->addr.b[15];

			/* RFC 1122 2.3.2.1: one a second for an address */
			assert_true(f.now - last_asked[i] >= SECOND);
			last_asked[i] = f.now;
			assert_int_equal(n->state, a == NEIGH_SOLICIT_UNICAST ? NEIGH_PROBE
									      : NEIGH_INCOMPLETE);
			continue;
		}
		assert_int_equal(a == NEIGH_FAIL, n->state == NEIGH_FAILED);
		assert_int_not_equal(n->waiting_n, 0);
		while ((p = neigh_take_waiting(n)) != NULL)
			free_packets[free_n++] = p;
	}
}

static void send_to(struct neigh *n)
{
	struct list *dropped;

	if (neigh_use(&f.t, n, f.now)) {
		assert_int_equal(n->waiting_n, 0);
		return;
	}
	if (!free_n)
		return;
	neigh_wait(&f.t, n, free_packets[--free_n], &dropped);
	if (dropped)
		free_packets[free_n++] = dropped;
}

static void test_random(void **state)
{
	uint64_t last_asked[256] = { 0 };
	unsigned waiting = 0;
	struct neigh *n;

	(void)state;
	srand(3);
	for (unsigned i = 0; i < ARRAY_SIZE(packets); i++)
		free_packets[free_n++] = &packets[i];
	for (int k = 0; k < 200000; k++) {
		unsigned who = 1 + (unsigned)rand() % 20;
		const uint8_t *mac = rand() % 8 ? mac_a : mac_b;

		switch (rand() % 8) {
		case 0:
		case 1:
			n = get(who);
			if (n)
				send_to(n);
			break;
		case 2:
			solicit(who, mac);
			break;
		case 3:
			advert(who, rand() % 4 ? mac : NULL, rand() % 2, rand() % 2);
			break;
		case 4:
			arp(who, mac, rand() % 2, rand() % 2);
			break;
		case 5:
			confirm(who);
			break;
		default:
			until(f.now +
			      (uint64_t)(rand() % 1000) * (rand() % 10 ? 1000000 : 50000000));
		}
		drain(last_asked);
		assert_true(f.t.pool.in_use <= LIMIT);
		assert_true(neigh_deadline(&f.t) > f.now);
	}
	for (unsigned i = 1; i <= 20; i++)
		if (find(i))
			waiting += find(i)->waiting_n;
	assert_int_equal(waiting + free_n, ARRAY_SIZE(packets));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_random, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
