/* SPDX-License-Identifier: MIT */
/*
 * Two hosts' ends joined in the database. STORE_ROWS says how many rows there are (10000); the last
 * test leaves them in the store. The times are printed.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <time.h>

#include "tests/source/stores.h"

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t rows_wanted(void)
{
	const char *s = getenv("STORE_ROWS");
	size_t rows = s ? strtoull(s, NULL, 10) : 0;

	return rows ? rows : 10000;
}

/* What connection N is: one in 10 goes through a translator, of one in 100 there is one end only.
 */
static bool is_translated(size_t n)
{
	return n % 10 == 3;
}

static bool is_alone(size_t n)
{
	return n % 100 == 7;
}

static size_t host_ends(struct cpl_info *ends, size_t connections, bool b)
{
	size_t n = 0;

	for (size_t i = 0; i < connections; i++) {
		if (is_alone(i) && b)
			continue;
		stores_end(&ends[n], (unsigned)i, b);
		if (is_translated(i) && b) {
			ends[n].remote_addr = cpl_addr4(192, 0, 2, 1);
			ends[n].remote_port = (uint16_t)(1024 + i % 60000);
		}
		n++;
	}
	return n;
}

struct counts {
	size_t address, sequence, alone;
};

static void check_matches(const struct store_match *m, size_t found, size_t connections,
			  const struct store_host *hosts, struct counts *c)
{
	memset(c, 0, sizeof(*c));
	for (size_t i = 0; i < found; i++) {
		size_t x = (size_t)(m[i].x_number & 0xffffffff) - 1;

		assert_false(m[i].contested);
		if (!m[i].y) {
			/* The hosts are listed by name: a, then b. */
			assert_int_equal(m[i].x_host, 0);
			assert_true(is_alone(x));
			c->alone++;
			continue;
		}
		assert_true(m[i].x_host != m[i].y_host);
		if (m[i].by_sequence)
			c->sequence++;
		else
			c->address++;
	}
	assert_int_equal(c->address + c->sequence + c->alone, connections);
	(void)hosts;
}

/* Every pair is one: its rows mirror each other. */
static void check_rows(struct store *s, const struct store_match *m, size_t found)
{
	for (size_t at = 0; at < found; at += found / 20 + 1) {
		struct cpl_info info[2];
		uint64_t monotonic[2];
		int64_t ids[2] = { m[at].x, m[at].y };
		size_t bad = 0;

		if (!m[at].y)
			continue;
		assert_int_equal(store_rows(s, ids, 2, info, monotonic, &bad), 0);
		assert_int_equal(bad, 0);
		assert_int_equal(info[0].iss, info[1].irs);
		assert_int_equal(info[0].irs, info[1].iss);
		assert_int_equal(cpl_addr_equal(&info[0].local_addr, &info[1].remote_addr) &&
					 cpl_addr_equal(&info[0].remote_addr, &info[1].local_addr),
				 !m[at].by_sequence);
	}
}

static void two_hosts_are_joined(void **state)
{
	size_t connections = (rows_wanted() + 1) / 2, n, found, na, nb;
	struct cpl_info *a = calloc(connections, sizeof(*a)), *b = calloc(connections, sizeof(*b));
	struct store *s = stores_fresh();
	struct recorder *ra = stores_record(s, "a", NULL), *rb = stores_record(s, "b", NULL);
	struct store_match *matches;
	struct store_host *hosts;
	struct counts c;
	double start = seconds();
	int64_t rows;

	(void)state;
	na = host_ends(a, connections, false);
	nb = host_ends(b, connections, true);
	for (unsigned pass = 0; pass < 3; pass++) {
		assert_int_equal(stores_pass(ra, pass, a, na), 0);
		assert_int_equal(stores_pass(rb, pass, b, nb), 0);
		for (size_t i = 0; i < na; i++)
			stores_later(&a[i], 1000000000);
		for (size_t i = 0; i < nb; i++)
			stores_later(&b[i], 1000000000);
	}
	rows = stores_ask(s, "SELECT count(*) FROM couplet_ends");
	print_message("# %s: %lld rows written in %.2f s\n", s->backend->name, (long long)rows,
		      seconds() - start);
	assert_int_equal(rows, na + nb);

	assert_int_equal(store_hosts(s, INT64_MAX, false, &hosts, &n), 0);
	assert_int_equal(n, 2);
	start = seconds();
	assert_int_equal(store_join(s, hosts, n, &matches, &found), 0);
	print_message("# %s: %lld rows of two hosts joined in %.2f s\n", s->backend->name,
		      (long long)rows, seconds() - start);
	check_matches(matches, found, connections, hosts, &c);
	check_rows(s, matches, found);
	assert_int_equal(c.alone, connections / 100 + (connections % 100 > 7));
	assert_int_equal(c.sequence, connections / 10 + (connections % 10 > 3));
	free(matches);
	free(hosts);
	recorder_end(ra);
	recorder_end(rb);
	store_close(s);
	free(a);
	free(b);
}

/* ---- Ends that could be several's ------------------------------------------------------------ */

struct joined {
	struct store *s;
	struct recorder *r[3];
	struct store_host *hosts;
	struct store_match *m;
	size_t n, found;
};

static void joined_begin(struct joined *j, unsigned hosts)
{
	static const char *const names[] = { "a", "b", "c" };

	memset(j, 0, sizeof(*j));
	j->s = stores_fresh();
	for (unsigned i = 0; i < hosts; i++)
		j->r[i] = stores_record(j->s, names[i], NULL);
}

static void joined_look(struct joined *j)
{
	assert_int_equal(store_hosts(j->s, INT64_MAX, false, &j->hosts, &j->n), 0);
	assert_int_equal(store_join(j->s, j->hosts, j->n, &j->m, &j->found), 0);
}

static void joined_end(struct joined *j)
{
	for (unsigned i = 0; i < 3; i++)
		recorder_end(j->r[i]);
	free(j->hosts);
	free(j->m);
	store_close(j->s);
}

/* Networks are numbered alike: the same addresses twice, told apart by their numbers. */
static void the_same_addresses_twice(void **state)
{
	struct cpl_info a[2], b, c;
	struct joined j;
	size_t pairs = 0;

	(void)state;
	joined_begin(&j, 3);
	stores_end(&a[0], 1, false);
	stores_end(&a[1], 1, false);
	a[1].id = 77;
	a[1].netns++;
	stores_end(&b, 1, true);
	c = b;
	c.id = 99;
	a[1].iss = c.irs = 5;
	a[1].irs = c.iss = 6;
	a[1].snd_una = a[1].snd_nxt = c.rcv_nxt = 1000000;
	c.snd_una = c.snd_nxt = a[1].rcv_nxt = 7000000;
	assert_int_equal(stores_pass(j.r[0], 1, a, 2), 0);
	assert_int_equal(stores_pass(j.r[1], 1, &b, 1), 0);
	assert_int_equal(stores_pass(j.r[2], 1, &c, 1), 0);
	joined_look(&j);
	for (size_t i = 0; i < j.found; i++) {
		assert_true(j.m[i].y != 0);
		/* Row 1 of host a goes with row 3 of b, row 2 with row 4 of c. */
		assert_int_equal(j.m[i].x + 2, j.m[i].y);
		pairs++;
	}
	assert_int_equal(pairs, 2);
	joined_end(&j);
}

/* Two recorders see one socket: one of the records is a pair's, the other accuses nobody. */
static void one_socket_twice(void **state)
{
	struct cpl_info a, b;
	struct joined j;

	(void)state;
	joined_begin(&j, 3);
	stores_end(&a, 1, false);
	stores_end(&b, 1, true);
	assert_int_equal(stores_pass(j.r[0], 1, &a, 1), 0);
	assert_int_equal(stores_pass(j.r[1], 1, &b, 1), 0);
	assert_int_equal(stores_pass(j.r[2], 1, &b, 1), 0);
	joined_look(&j);
	assert_int_equal(j.found, 2);
	assert_true(j.m[0].y && !j.m[0].contested);
	assert_true(!j.m[1].y && j.m[1].contested);
	joined_end(&j);
}

/* 127.0.0.1 is another one on each host. */
static void loopback_stays_at_home(void **state)
{
	struct cpl_info a[2], b;
	struct joined j;

	(void)state;
	joined_begin(&j, 2);
	stores_end(&a[0], 1, false);
	stores_end(&a[1], 1, true);
	a[1].netns = a[0].netns;
	for (unsigned i = 0; i < 2; i++)
		a[i].local_addr = a[i].remote_addr = cpl_addr4(127, 0, 0, 1);
	b = a[1];
	assert_int_equal(stores_pass(j.r[0], 1, a, 1), 0);
	assert_int_equal(stores_pass(j.r[1], 1, &b, 1), 0);
	joined_look(&j);
	assert_int_equal(j.found, 1);
	assert_true(j.m[0].by_sequence); /* by chance of this test alone */
	free(j.hosts);
	free(j.m);
	/* At home they meet. */
	assert_int_equal(stores_pass(j.r[0], 2, a, 2), 0);
	b.iss = 1;
	assert_int_equal(stores_pass(j.r[1], 2, &b, 1), 0);
	joined_look(&j);
	assert_int_equal(j.found, 2);
	assert_true(j.m[0].y && !j.m[0].by_sequence);
	assert_int_equal(j.m[0].x_host, 0);
	assert_int_equal(j.m[0].y_host, 0);
	assert_int_equal(j.m[1].y, 0);
	joined_end(&j);
}

/* ---- Order ----------------------------------------------------------------------------------- */

/* What a recorder had seen in the store when it began is older than what it then saw. */
static void the_store_orders_samples(void **state)
{
	struct recorder_pass slow = { .time_ns = 1700000000000000000, .not_seen = "" };
	struct store_sample before;
	struct cpl_info a, b;
	struct joined j;

	(void)state;
	joined_begin(&j, 2);
	stores_end(&a, 1, false);
	stores_end(&b, 1, true);
	assert_int_equal(stores_pass(j.r[0], 1, &a, 1), 0); /* position 1 */
	/* b begins to look, a is stored meanwhile: of these two no order is known. */
	assert_int_equal(recorder_position(j.r[1], &slow.after), 0);
	assert_int_equal(slow.after, 1);
	assert_int_equal(stores_pass(j.r[0], 2, &a, 1), 0); /* position 2 */
	assert_int_equal(recorder_store(j.r[1], &slow, &b, 1), 0);
	assert_int_equal(store_hosts(j.s, INT64_MAX, false, &j.hosts, &j.n), 0);
	assert_int_equal(j.hosts[0].last.position, 2);
	assert_int_equal(j.hosts[0].last.after, 1);
	assert_int_equal(j.hosts[1].last.position, 3);
	assert_int_equal(j.hosts[1].last.after, 1);
	/* Before b's, only the first of a's is known to have been. */
	assert_int_equal(store_sample_before(j.s, j.hosts[0].last.run, j.hosts[1].last.after,
					     &before),
			 0);
	assert_int_equal(before.position, 1);
	/* Before a's last one, none of b's. */
	assert_int_equal(store_sample_before(j.s, j.hosts[1].last.run, j.hosts[0].last.after,
					     &before),
			 0);
	assert_int_equal(before.id, 0);
	joined_end(&j);
}

/* What is missing is missing only if it was so when its host was looked at. */
static void was_it_there(void **state)
{
	struct store_address *list;
	struct cpl_addr addr = cpl_addr4(10, 9, 0, 2), both = cpl_addr4(10, 9, 9, 9);
	struct cpl_info a, b[2];
	struct joined j;
	bool there;
	size_t n;

	(void)state;
	joined_begin(&j, 2);
	stores_end(&a, 1, false);
	stores_end(&b[0], 1, true);
	stores_end(&b[1], 2, true);
	assert_int_equal(stores_pass(j.r[1], 1, b, 2), 0);
	joined_look(&j);
	assert_int_equal(store_was_there(j.s, &a, &j.hosts[1].last, &there), 0);
	assert_true(there);
	free(j.hosts);
	free(j.m);
	assert_int_equal(stores_pass(j.r[1], 2, b + 1, 1), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(recorder_address(j.r[1], &addr), 0);
		assert_int_equal(recorder_address(j.r[i], &both), 0);
	}
	assert_int_equal(stores_pass(j.r[0], 2, &a, 1), 0);
	joined_look(&j);
	assert_int_equal(store_was_there(j.s, &a, &j.hosts[1].last, &there), 0);
	assert_false(there);
	assert_int_equal(store_addresses(j.s, j.hosts, j.n, &list, &n), 0);
	assert_int_equal(n, 2);
	assert_memory_equal(&list[0].addr, &addr, sizeof(addr));
	assert_int_equal(list[0].host, 1);
	assert_true(list[1].host == SIZE_MAX);
	free(list);
	joined_end(&j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_addresses_twice),
		cmocka_unit_test(one_socket_twice),
		cmocka_unit_test(loopback_stays_at_home),
		cmocka_unit_test(the_store_orders_samples),
		cmocka_unit_test(was_it_there),
		cmocka_unit_test(two_hosts_are_joined),
	};

	return cmocka_run_group_tests(tests, stores_setup, stores_teardown);
}
