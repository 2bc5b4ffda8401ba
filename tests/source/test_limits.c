/* SPDX-License-Identifier: MIT */
/*
 * Why not faster, of the kernel's own connections: a slow reader and an idle writer on the
 * loopback, as the kernel counts them (TCP_INFO), and the words that come of it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "source/source.h"
#include "tests/util/loopback.h"
#include "view/limits.h"

#define MS 1000000ull

static struct snapshot_set set;

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The client's end, as sock_diag tells it. */
static const struct cpl_info *look(const struct pair *p)
{
	struct source_options options = { .sources = SOURCE_SOCK_DIAG };

	snapshot_set_clear(&set);
	assert_int_equal(source_collect(&set, &options), 0);
	for (size_t i = 0; i < set.n; i++)
		if (set.info[i].local_port == p->client_port && set.info[i].remote_port == p->port)
			return &set.info[i];
	fail_msg("the connection is not there");
	return NULL;
}

static void slow_reader(void **state)
{
	struct pair p = pair_open(AF_INET);
	uint64_t began = clock_ns(), passed;
	static char data[65536];
	const struct cpl_info *c;
	struct view_limits l;
	char clause[400];

	(void)state;
	fcntl(p.client, F_SETFL, O_NONBLOCK);
	while (write(p.client, data, sizeof(data)) > 0)
		;
	for (int i = 0; i < 20; i++) { /* 4 KiB in 20 ms */
		usleep(20000);
		assert_int_equal(read(p.server, data, 4096), 4096);
		while (write(p.client, data, sizeof(data)) > 0)
			;
	}
	c = look(&p);
	passed = clock_ns() - began;
	if (!cpl_info_known(c, CPL_F_why_time_busy)) {
		pair_close(&p);
		skip(); /* before Linux 4.10 */
	}
	assert_true(cpl_info_is_read(c, CPL_F_why_time_rwnd));
	assert_in_range(c->why_time_busy, 400 * MS, passed + 20 * MS);
	assert_in_range(c->why_time_rwnd, c->why_time_busy * 8 / 10, c->why_time_busy);
	assert_true(view_limits_get(&l, c, NULL));
	assert_in_range(view_limits_percent(&l), 80, 100);
	view_limits_clause(clause, sizeof(clause), &l, c, NULL);
	assert_non_null(strstr(clause, "the peer's window was full"));
	assert_non_null(strstr(clause, "(why_time_rwnd)"));
	pair_close(&p);
}

static void idle_writer(void **state)
{
	struct pair p = pair_open(AF_INET);
	char data[1000] = { 0 };
	const struct cpl_info *c;

	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(write(p.client, data, sizeof(data)), sizeof(data));
		usleep(20000);
		assert_int_equal(read(p.server, data, sizeof(data)), sizeof(data));
	}
	c = look(&p);
	if (!cpl_info_known(c, CPL_F_why_time_busy)) {
		pair_close(&p);
		skip();
	}
	assert_true(c->why_time_busy < 200 * MS); /* of 400 */
	assert_int_equal(c->why_time_rwnd, 0);
	assert_int_equal(c->why_time_sndbuf, 0);
	assert_true(cpl_info_known(c, CPL_F_delivery_rate));
	assert_int_equal(c->delivery_app_limited, 1);
	pair_close(&p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(slow_reader),
		cmocka_unit_test(idle_writer),
	};

	snapshot_set_init(&set);
	return cmocka_run_group_tests_name("source/limits", tests, NULL, NULL);
}
