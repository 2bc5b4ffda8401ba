/* SPDX-License-Identifier: MIT */
/* Pairing: by addresses, by sequence numbers through a translator, in crowds, and alone. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/view/ends.h"
#include "view/pair.h"

static struct view_pair *pairs;

static long pair(const struct cpl_info *infos, size_t n)
{
	free(pairs);
	pairs = NULL;
	return view_pairs(infos, n, &pairs);
}

static int forget_pairs(void **state)
{
	(void)state;
	free(pairs);
	pairs = NULL;
	return 0;
}

static void by_address(void **state)
{
	struct cpl_info set[4];

	(void)state;
	/* The server's end is listed first; the one that called still becomes x. */
	end_init(&set[0], 1);
	end_init(&set[1], 0);
	end_init(&set[2], 0);
	set[2].local_port = 40001;
	end_init(&set[3], 1);
	set[3].state = CPL_LISTEN;
	assert_int_equal(pair(set, 4), 2);
	assert_int_equal(pairs[0].x, 1);
	assert_int_equal(pairs[0].y, 0);
	assert_int_equal(pairs[0].by, VIEW_BY_ADDRESS);
	assert_int_equal(pairs[1].x, 2);
	assert_true(pairs[1].y == VIEW_ALONE);
	assert_int_equal(pairs[1].by, VIEW_BY_NONE);
	assert_int_equal(pair(set, 0), 0);
}

static void through_a_translator(void **state)
{
	struct cpl_info set[4];

	(void)state;
	ends_init(&set[0], &set[1]);
	set[1].remote_addr = cpl_addr4(192, 0, 2, 1); /* the server sees the translator */
	set[1].remote_port = 61234;
	ends_init(&set[2], &set[3]); /* a second connection, other numbers */
	set[2].local_port = 40001;
	set[3].remote_addr = cpl_addr4(192, 0, 2, 1);
	set[3].remote_port = 61235;
	for (int i = 2; i < 4; i++) {
		set[i].iss += 900000;
		set[i].irs += 900000;
		set[i].snd_una += 900000;
		set[i].snd_nxt += 900000;
		set[i].rcv_nxt += 900000;
	}
	assert_int_equal(pair(set, 4), 2);
	assert_int_equal(pairs[0].x, 0);
	assert_int_equal(pairs[0].y, 1);
	assert_int_equal(pairs[0].by, VIEW_BY_SEQUENCE);
	assert_int_equal(pairs[1].x, 2);
	assert_int_equal(pairs[1].y, 3);
	/* Data under way does not part them, and ISS need not be known. */
	for (int i = 0; i < 4; i++) {
		forget(&set[i], CPL_F_iss);
		forget(&set[i], CPL_F_irs);
	}
	end_sends(&set[0], 20000);
	end_receives(&set[1], 7000);
	assert_int_equal(pair(set, 4), 2);
	assert_int_equal(pairs[0].y, 1);
}

static void numbers_that_do_not_fit(void **state)
{
	struct cpl_info set[2];

	(void)state;
	ends_init(&set[0], &set[1]);
	set[1].remote_port = 61234;
	set[1].rcv_nxt += 1; /* more than the other ever sent */
	assert_int_equal(pair(set, 2), 2);
	/* The right window, another birth. */
	set[1].rcv_nxt -= 1;
	set[1].irs -= 5;
	assert_int_equal(pair(set, 2), 2);
	set[1].irs += 5;
	assert_int_equal(pair(set, 2), 1);
}

static void two_fits_are_none(void **state)
{
	struct cpl_info set[3];

	(void)state;
	ends_init(&set[0], &set[1]);
	set[1].remote_port = 61234;
	set[2] = set[1];
	set[2].remote_port = 61235;
	assert_int_equal(pair(set, 3), 3);
}

/* The same addresses in several network namespaces: sequence numbers tell them apart. */
static void same_addresses(void **state)
{
	struct cpl_info set[6];

	(void)state;
	for (int i = 0; i < 3; i++) {
		end_init(&set[i], 0);
		end_init(&set[5 - i], 1);
		set[i].snd_una += 100000u * (unsigned)i;
		set[i].snd_nxt += 100000u * (unsigned)i;
		set[5 - i].rcv_nxt += 100000u * (unsigned)i;
	}
	assert_int_equal(pair(set, 6), 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(pairs[i].x, i);
		assert_int_equal(pairs[i].y, 5 - i);
	}
}

static void with_itself(void **state)
{
	struct cpl_info i;

	(void)state;
	end_init(&i, 0);
	i.remote_addr = i.local_addr;
	i.remote_port = i.local_port;
	assert_int_equal(pair(&i, 1), 1);
	assert_int_equal(pairs[0].x, 0);
	assert_int_equal(pairs[0].y, 0);
}

/* Twenty thousand of one key must not cost the square of that. */
static void crowd(void **state)
{
	size_t n = 20000;
	struct cpl_info *set = calloc(n, sizeof(*set));

	(void)state;
	assert_non_null(set);
	for (size_t i = 0; i < n; i++)
		end_init(&set[i], i & 1);
	assert_int_equal(pair(set, n), n / 2);
	for (size_t i = 0; i < n; i++)
		set[i].remote_port = 7;
	assert_true(pair(set, n) >= (long)(n / 2));
	free(set);
}

int main(void)
{
#define T(f) cmocka_unit_test_teardown(f, forget_pairs)
	const struct CMUnitTest tests[] = {
		T(by_address),
		T(through_a_translator),
		T(numbers_that_do_not_fit),
		T(two_fits_are_none),
		T(same_addresses),
		T(with_itself),
		T(crowd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
