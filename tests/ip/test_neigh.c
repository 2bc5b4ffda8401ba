/* SPDX-License-Identifier: MIT */
/*
 * The neighbour cache: the table of RFC 4861 appendix C row by row, ARP's rules, timers to the
 * nanosecond, the queue, eviction.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/ip/neighbours.h"

static const uint8_t mac_group[6] = { 3, 0, 0, 0, 0, 1 };
static const uint8_t mac_none[6];

static enum neigh_action action(void)
{
	enum neigh_action a;
	struct neigh *n = neigh_next_action(&f.t, &a);

	assert_true(!n == !a);
	return a;
}

static void no_actions(void)
{
	assert_int_equal(action(), NEIGH_NOTHING);
	assert_false(neigh_has_action(&f.t));
}

/* Bring entry N, with mac_a where it has one, to STATE. */
static struct neigh *bring(unsigned n, enum neigh_state state)
{
	struct neigh *e;
	enum neigh_action a;

	if (state == NEIGH_INCOMPLETE || state == NEIGH_FAILED) {
		e = get(n);
		if (state == NEIGH_FAILED)
			for (int i = 0; i < 3; i++)
				until(e->deadline);
	} else {
		solicit(n, mac_a);
		e = find(n);
		if (state == NEIGH_REACHABLE)
			confirm(n);
		if (state == NEIGH_DELAY || state == NEIGH_PROBE)
			assert_true(neigh_use(&f.t, e, f.now));
		if (state == NEIGH_PROBE)
			until(e->deadline);
	}
	while (neigh_next_action(&f.t, &a))
		;
	assert_int_equal(neigh_state(e, f.now), state);
	return e;
}

/* ---- RFC 4861 appendix C -------------------------------------------------------------------- */

enum event {
	NS,
	NA,
	NA_S,
	NA_O,
	NA_SO,
	CONFIRM,
	SUSPECT,
	USE
};

static const char *const event_names[] = { "NS",    "NA",      "NA S",	  "NA O",
					   "NA SO", "confirm", "suspect", "use" };

#define INC  NEIGH_INCOMPLETE
#define REA  NEIGH_REACHABLE
#define STA  NEIGH_STALE
#define DEL  NEIGH_DELAY
#define PRO  NEIGH_PROBE
#define FAI  NEIGH_FAILED
#define NONE ((enum neigh_state) - 1)
#define A    mac_a
#define B    mac_b

static const struct {
	enum neigh_state from;
	enum event event;
	const uint8_t *mac;
	enum neigh_state to;
	const uint8_t *then;
} rows[] = {
	/* nobody known */
	{ NONE, NS, A, STA, A },
	{ NONE, NA, A, NONE, NULL },
	{ NONE, NA_SO, A, NONE, NULL },
	{ NONE, CONFIRM, NULL, NONE, NULL },
	/* INCOMPLETE */
	{ INC, NA, A, STA, A },
	{ INC, NA_O, A, STA, A },
	{ INC, NA_S, A, REA, A },
	{ INC, NA_SO, A, REA, A },
	{ INC, NA_SO, NULL, INC, NULL },
	{ INC, NS, B, STA, B },
	{ INC, CONFIRM, NULL, INC, NULL },
	{ INC, USE, NULL, INC, NULL },
	/* the same address */
	{ REA, NA_S, A, REA, A },
	{ STA, NA_S, A, REA, A },
	{ DEL, NA_S, A, REA, A },
	{ PRO, NA_S, A, REA, A },
	{ PRO, NA_S, NULL, REA, A },
	{ STA, NA_SO, NULL, REA, A },
	{ REA, NA, A, REA, A },
	{ REA, NA_O, A, REA, A },
	{ STA, NA_O, A, STA, A },
	{ PRO, NA_O, A, PRO, A },
	{ PRO, NA, NULL, PRO, A },
	{ REA, NS, A, REA, A },
	{ DEL, NS, A, DEL, A },
	{ PRO, NS, A, PRO, A },
	/* another address, without override: only a doubt */
	{ REA, NA, B, STA, A },
	{ REA, NA_S, B, STA, A },
	{ STA, NA_S, B, STA, A },
	{ DEL, NA_S, B, DEL, A },
	{ PRO, NA_S, B, PRO, A },
	/* another address */
	{ REA, NA_SO, B, REA, B },
	{ PRO, NA_SO, B, REA, B },
	{ REA, NA_O, B, STA, B },
	{ DEL, NA_O, B, STA, B },
	{ REA, NS, B, STA, B },
	{ DEL, NS, B, STA, B },
	{ PRO, NS, B, STA, B },
	/* from above, and by use */
	{ REA, CONFIRM, NULL, REA, A },
	{ STA, CONFIRM, NULL, REA, A },
	{ DEL, CONFIRM, NULL, REA, A },
	{ PRO, CONFIRM, NULL, REA, A },
	{ REA, SUSPECT, NULL, STA, A },
	{ INC, SUSPECT, NULL, INC, NULL },
	{ DEL, SUSPECT, NULL, DEL, A },
	{ PRO, SUSPECT, NULL, PRO, A },
	{ FAI, SUSPECT, NULL, FAI, NULL },
	{ NONE, SUSPECT, NULL, NONE, NULL },
	{ REA, USE, NULL, REA, A },
	{ STA, USE, NULL, DEL, A },
	{ DEL, USE, NULL, DEL, A },
	{ PRO, USE, NULL, PRO, A },
	/* given up: as if nobody were known */
	{ FAI, NA_SO, A, FAI, NULL },
	{ FAI, NS, B, STA, B },
	{ FAI, CONFIRM, NULL, FAI, NULL },
	{ FAI, USE, NULL, INC, NULL },
	/* no station has such an address */
	{ NONE, NS, mac_group, NONE, NULL },
	{ NONE, NS, mac_none, NONE, NULL },
	{ INC, NA_SO, mac_group, INC, NULL },
	{ REA, NS, mac_group, REA, A },
	{ REA, NA_SO, mac_none, REA, A },
};

static void row_event(enum event event, const uint8_t *mac)
{
	struct cpl_addr a = host(1);

	switch (event) {
	case NS:
		solicit(1, mac);
		break;
	case NA:
	case NA_S:
	case NA_O:
	case NA_SO:
		advert(1, mac, event == NA_S || event == NA_SO, event == NA_O || event == NA_SO);
		break;
	case CONFIRM:
		confirm(1);
		break;
	case SUSPECT:
		neigh_suspect(&f.t, 1, &a, f.now);
		break;
	case USE:
		neigh_use(&f.t, find(1), f.now);
		break;
	}
}

static void test_appendix_c(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct neigh *n;

		teardown(state);
		setup(state);
		if (rows[i].from != NONE)
			bring(1, rows[i].from);
		f.now += SECOND / 2;
		row_event(rows[i].event, rows[i].mac);
		n = find(1);
		if (!n != (rows[i].to == NONE))
			fail_msg("row %u: %s", i, event_names[rows[i].event]);
		if (n && neigh_state(n, f.now) != rows[i].to)
			fail_msg("row %u: %d, %s: to %d, not %d", i, (int)rows[i].from,
				 event_names[rows[i].event], (int)neigh_state(n, f.now),
				 (int)rows[i].to);
		if (n && rows[i].then)
			assert_memory_equal(n->mac, rows[i].then, 6);
	}
}

/* ---- ARP ------------------------------------------------------------------------------------ */

static const struct {
	enum neigh_state from;
	const uint8_t *mac;
	bool for_us, is_reply;
	enum neigh_state to;
	const uint8_t *then;
} arp_rows[] = {
	/* an entry only for who asks for us */
	{ NONE, A, true, false, STA, A },
	{ NONE, A, true, true, NONE, NULL },
	{ NONE, A, false, false, NONE, NULL },
	{ NONE, A, false, true, NONE, NULL },
	{ NONE, mac_group, true, false, NONE, NULL },
	/* the merge rule of RFC 826 */
	{ INC, A, true, true, REA, A },
	{ INC, A, true, false, STA, A },
	{ INC, A, false, false, STA, A },
	{ FAI, A, true, true, REA, A },
	{ STA, A, true, true, REA, A },
	{ PRO, A, true, true, REA, A },
	{ PRO, A, true, false, PRO, A },
	{ PRO, A, false, true, PRO, A },
	{ STA, B, true, true, REA, B },
	{ REA, B, false, false, STA, B },
	{ REA, B, true, false, STA, B },
	{ REA, mac_none, true, true, REA, A },
};

static void test_arp(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(arp_rows); i++) {
		struct neigh *n;

		teardown(state);
		setup(state);
		if (arp_rows[i].from != NONE)
			bring(1, arp_rows[i].from);
		f.now += NEIGH_ARP_LOCK_NS;
		arp(1, arp_rows[i].mac, arp_rows[i].for_us, arp_rows[i].is_reply);
		n = find(1);
		if (!n != (arp_rows[i].to == NONE) || (n && n->state != arp_rows[i].to))
			fail_msg("row %u", i);
		if (n && arp_rows[i].then)
			assert_memory_equal(n->mac, arp_rows[i].then, 6);
	}
}

/* Two hosts answer: the first wins for a second, then the last. */
static void test_arp_lock(void **state)
{
	struct cpl_addr nobody = cpl_addr4(0, 0, 0, 0);

	(void)state;
	get(1);
	arp(1, mac_a, true, true);
	f.now += NEIGH_ARP_LOCK_NS - 1;
	arp(1, mac_b, true, true);
	assert_memory_equal(find(1)->mac, mac_a, 6);
	f.now += 1;
	arp(1, mac_b, true, true);
	assert_memory_equal(find(1)->mac, mac_b, 6);
	/* an ARP probe (RFC 5227) has no sender */
	neigh_heard_arp(&f.t, 1, &nobody, mac_a, true, false, f.now);
	assert_null(neigh_find(&f.t, 1, &nobody));
}

/* ---- Timers --------------------------------------------------------------------------------- */

static void test_resolution_fails(void **state)
{
	uint64_t start = f.now;
	struct neigh *n = get(1);
	struct list packet, *dropped;

	(void)state;
	assert_false(neigh_use(&f.t, n, f.now));
	neigh_wait(&f.t, n, &packet, &dropped);
	assert_int_equal(action(), NEIGH_SOLICIT_MULTICAST);
	no_actions();
	/* no more than one request a second, however often it is used (RFC 1122 2.3.2.1) */
	for (int i = 1; i < NEIGH_SOLICITS; i++) {
		assert_int_equal(neigh_deadline(&f.t), start + (uint64_t)i * SECOND);
		until(start + (uint64_t)i * SECOND - 1);
		assert_false(neigh_use(&f.t, n, f.now));
		assert_ptr_equal(get(1), n);
		no_actions();
		until(start + (uint64_t)i * SECOND);
		assert_int_equal(action(), NEIGH_SOLICIT_MULTICAST);
		no_actions();
	}
	until(start + 3 * SECOND - 1);
	assert_int_equal(n->state, NEIGH_INCOMPLETE);
	until(start + 3 * SECOND);
	assert_int_equal(n->state, NEIGH_FAILED);
	assert_int_equal(action(), NEIGH_FAIL);
	assert_ptr_equal(neigh_take_waiting(n), &packet);
	assert_null(neigh_take_waiting(n));
	no_actions();
	assert_true(neigh_deadline(&f.t) == UINT64_MAX);
	/* asked again, it asks again */
	assert_false(neigh_use(&f.t, n, f.now));
	assert_int_equal(action(), NEIGH_SOLICIT_MULTICAST);
	advert(1, mac_a, true, true);
	assert_true(neigh_use(&f.t, n, f.now));
	/* nobody waited: nothing to flush */
	no_actions();
}

static void test_unreachability_detection(void **state)
{
	struct neigh *n = bring(1, NEIGH_REACHABLE);
	uint64_t end = n->deadline;

	(void)state;
	assert_true(end >= f.now + 15 * SECOND && end <= f.now + 45 * SECOND);
	until(end - 1);
	assert_int_equal(neigh_state(n, f.now), NEIGH_REACHABLE);
	until(end);
	assert_int_equal(neigh_state(n, f.now), NEIGH_STALE);
	/* nothing happens until it is used */
	assert_true(neigh_deadline(&f.t) == UINT64_MAX);
	until(end + 1000 * SECOND);
	assert_true(neigh_use(&f.t, n, f.now));
	end = f.now + 5 * SECOND;
	assert_int_equal(neigh_deadline(&f.t), end);
	until(end - 1);
	no_actions();
	for (int i = 0; i < NEIGH_SOLICITS; i++) {
		until(end + (uint64_t)i * SECOND);
		assert_int_equal(n->state, NEIGH_PROBE);
		assert_int_equal(action(), NEIGH_SOLICIT_UNICAST);
		no_actions();
		assert_true(neigh_use(&f.t, n, f.now));
	}
	until(end + 3 * SECOND);
	assert_int_equal(n->state, NEIGH_FAILED);
	/* nobody waits: nobody is told */
	no_actions();
	assert_false(neigh_use(&f.t, n, f.now));
	assert_int_equal(action(), NEIGH_SOLICIT_MULTICAST);
}

static void test_reachable_time(void **state)
{
	uint64_t least = UINT64_MAX, most = 0;

	(void)state;
	solicit(1, mac_a);
	for (int i = 0; i < 2000; i++) {
		uint64_t left;

		advert(1, mac_a, true, false);
		left = find(1)->deadline - f.now;
		least = left < least ? left : least;
		most = left > most ? left : most;
		f.now += SECOND;
	}
	/* RFC 4861 6.3.2: uniform from 15 to 45 seconds */
	assert_true(least >= 15 * SECOND && least < 15 * SECOND + SECOND / 4);
	assert_true(most <= 45 * SECOND && most > 45 * SECOND - SECOND / 4);
	/* confirmations keep it reachable for ever */
	for (int i = 0; i < 2000; i++) {
		confirm(1);
		assert_true(find(1)->deadline - f.now >= 15 * SECOND);
		f.now += SECOND / 10;
	}
}

/* An answer while a solicitation waits to be sent: it is not sent any more. */
static void test_answer_before_action(void **state)
{
	struct list packets[2], *dropped;
	struct neigh *n = get(1);
	enum neigh_action a;

	(void)state;
	neigh_wait(&f.t, n, &packets[0], &dropped);
	neigh_wait(&f.t, n, &packets[1], &dropped);
	advert(1, mac_a, true, true);
	assert_ptr_equal(neigh_next_action(&f.t, &a), n);
	assert_int_equal(a, NEIGH_FLUSH);
	assert_ptr_equal(neigh_take_waiting(n), &packets[0]);
	assert_ptr_equal(neigh_take_waiting(n), &packets[1]);
	no_actions();
	n = bring(2, NEIGH_DELAY);
	until(n->deadline);
	confirm(2);
	no_actions();
	/* a packet that was queued although the address is known goes at once, and the poll as well
	 */
	n = bring(3, NEIGH_DELAY);
	until(n->deadline);
	neigh_wait(&f.t, n, &packets[0], &dropped);
	assert_int_equal(action(), NEIGH_FLUSH);
	assert_int_equal(action(), NEIGH_SOLICIT_UNICAST);
	assert_ptr_equal(neigh_take_waiting(n), &packets[0]);
	no_actions();
}

/* ---- Limits --------------------------------------------------------------------------------- */

static void test_queue(void **state)
{
	struct list packets[QUEUE + 2], *dropped;
	struct neigh *n = get(1);

	(void)state;
	for (int i = 0; i < QUEUE + 2; i++) {
		neigh_wait(&f.t, n, &packets[i], &dropped);
		/* the oldest goes: RFC 4861 7.2.2, RFC 1122 2.3.2.2 */
		assert_ptr_equal(dropped, i < QUEUE ? NULL : &packets[i - QUEUE]);
		assert_int_equal(n->waiting_n, i < QUEUE ? i + 1 : QUEUE);
	}
	advert(1, mac_a, true, true);
	for (int i = 2; i < QUEUE + 2; i++)
		assert_ptr_equal(neigh_take_waiting(n), &packets[i]);
	assert_int_equal(n->waiting_n, 0);
}

static void test_eviction(void **state)
{
	struct list packet, *dropped;
	struct cpl_addr fixed = host(100);

	(void)state;
	assert_int_equal(neigh_add_static(&f.t, 1, &fixed, mac_group, f.now), -EINVAL);
	assert_int_equal(neigh_add_static(&f.t, 1, &fixed, mac_a, f.now), 0);
	for (unsigned i = 1; i < LIMIT; i++)
		bring(i, NEIGH_STALE);
	assert_true(neigh_use(&f.t, find(1), f.now));
	assert_non_null(get(50)); /* 2, used least recently, goes */
	assert_null(find(2));
	assert_non_null(find(1));
	assert_non_null(find(100));
	/* what is being resolved stays, and so does what has packets waiting */
	neigh_wait(&f.t, find(3), &packet, &dropped);
	for (unsigned i = 51; i < 50 + LIMIT / 2; i++)
		assert_non_null(get(i));
	assert_non_null(find(3));
	assert_null(get(60));
	assert_null(find(60));
	solicit(61, mac_a);
	solicit(62, mac_a); /* 4, 5; then 1 and 3 are left */
	assert_null(find(5));
	assert_non_null(find(3));
	assert_ptr_equal(neigh_take_waiting(find(3)), &packet);
	solicit(63, mac_a);
	assert_null(find(3));
	/* given up: may go */
	for (int i = 0; i < 4; i++)
		until(f.now + SECOND);
	assert_non_null(get(70));
	assert_non_null(find(100));
}

/*
 * Somebody forges addresses that nobody has, without end: who is known stays, who speaks first is
 * heard, and a connection of ours can be looked for.
 */
static void test_forged(void **state)
{
	struct list packet, *dropped;
	struct neigh *n = NULL;
	enum neigh_action act;
	unsigned asked = 0;

	(void)state;
	bring(1, NEIGH_REACHABLE);
	bring(2, NEIGH_STALE);
	for (unsigned i = 0; i < 3000; i++) { /* for 3 s */
		get(1000 + i);
		assert_true(f.t.incomplete_n <= LIMIT / 2);
		assert_non_null(find(1));
		assert_non_null(find(2));
		if (i == 500) {
			arp(3, mac_a, true, false);
			assert_non_null(find(3));
		}
		if (i == 1000) { /* a connection of ours */
			struct cpl_addr a = host(4);

			assert_null(get(4));
			n = neigh_get(&f.t, 1, &a, true, f.now);
			assert_non_null(n);
			neigh_wait(&f.t, n, &packet, &dropped);
		}
		if (i > 1000 && i < 1500)
			assert_ptr_equal(find(4), n);
		until(f.now + SECOND / 1000);
		while (neigh_next_action(&f.t, &act))
			asked += act == NEIGH_SOLICIT_MULTICAST;
	}
	assert_non_null(find(3));
	assert_in_range(asked, 3 * LIMIT / 2, 3 * LIMIT / 2 + LIMIT);
}

static void test_static(void **state)
{
	struct list packet, *dropped;
	struct cpl_addr a = host(1);
	struct neigh *n = get(1);

	(void)state;
	neigh_wait(&f.t, n, &packet, &dropped);
	assert_int_equal(neigh_add_static(&f.t, 1, &a, mac_a, f.now), 0);
	assert_int_equal(action(), NEIGH_FLUSH);
	neigh_take_waiting(n);
	arp(1, mac_b, true, true);
	solicit(1, mac_b);
	advert(1, mac_b, true, true);
	confirm(1);
	until(f.now + 100000 * SECOND);
	assert_int_equal(neigh_state(n, f.now), NEIGH_REACHABLE);
	assert_true(neigh_use(&f.t, n, f.now));
	assert_memory_equal(n->mac, mac_a, 6);
	assert_true(neigh_deadline(&f.t) == UINT64_MAX);
	no_actions();
}

static void test_interfaces(void **state)
{
	struct list packet, *dropped;
	struct cpl_addr a = host(1);
	struct neigh *one = get(1), *two = neigh_get(&f.t, 2, &a, false, f.now);
	enum neigh_action act;

	(void)state;
	assert_ptr_not_equal(one, two);
	neigh_wait(&f.t, one, &packet, &dropped);
	bring(2, NEIGH_PROBE);
	neigh_flush_iface(&f.t, 1);
	assert_null(find(2));
	assert_ptr_equal(neigh_find(&f.t, 2, &a), two);
	assert_ptr_equal(neigh_next_action(&f.t, &act), one);
	assert_int_equal(act, NEIGH_FAIL);
	assert_ptr_equal(neigh_take_waiting(one), &packet);
	assert_int_equal(one->state, NEIGH_FAILED);
}

static void test_router_flag(void **state)
{
	struct cpl_addr a = host(1);

	(void)state;
	get(1);
	neigh_heard_advert(&f.t, 1, &a, mac_a, true, true, true, f.now);
	assert_true(find(1)->router);
	/* what is not believed changes nothing */
	neigh_heard_advert(&f.t, 1, &a, mac_b, false, true, false, f.now);
	assert_true(find(1)->router);
	neigh_heard_advert(&f.t, 1, &a, NULL, false, false, true, f.now);
	assert_false(find(1)->router);
}

static void test_no_memory(void **state)
{
	struct neigh_table t;
	struct siphash_key key = { { 0 } };

	(void)state;
	f.heap.left = 0;
	assert_int_equal(neigh_init(&t, &f.heap.mem, &key, &f.prng, 16, 1), -ENOMEM);
	assert_null(get(1));
	solicit(1, mac_a);
	assert_null(find(1));
	f.heap.left = UINT64_MAX;
	assert_int_equal(neigh_init(&t, &f.heap.mem, &key, &f.prng, 1u << 24, 1), 0);
	assert_true(f.heap.largest <= 1 << 20);
	neigh_destroy(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_appendix_c, setup, teardown),
		cmocka_unit_test_setup_teardown(test_arp, setup, teardown),
		cmocka_unit_test_setup_teardown(test_arp_lock, setup, teardown),
		cmocka_unit_test_setup_teardown(test_resolution_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unreachability_detection, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reachable_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_answer_before_action, setup, teardown),
		cmocka_unit_test_setup_teardown(test_queue, setup, teardown),
		cmocka_unit_test_setup_teardown(test_eviction, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_static, setup, teardown),
		cmocka_unit_test_setup_teardown(test_interfaces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_router_flag, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
