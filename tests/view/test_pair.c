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

static void forget_birth(struct cpl_info *i)
{
	forget(i, CPL_F_iss);
	forget(i, CPL_F_irs);
	forget(i, CPL_F_bytes_acked);
	forget(i, CPL_F_bytes_received);
}

static void numbers_that_do_not_fit(void **state)
{
	struct cpl_info set[2];

	(void)state;
	ends_init(&set[0], &set[1]);
	set[1].remote_port = 61234;
	/* Bytes that nobody sent do not hide whose connection it is ... */
	end_receives(&set[1], 10);
	assert_int_equal(pair(set, 2), 1);
	/* ... unless nothing but the windows tells. */
	forget_birth(&set[0]);
	forget_birth(&set[1]);
	assert_int_equal(pair(set, 2), 2);
	set[1].rcv_nxt -= 10;
	assert_int_equal(pair(set, 2), 1);
	/* The right window, another birth. */
	ends_init(&set[0], &set[1]);
	set[1].remote_port = 61234;
	set[1].irs -= 5;
	assert_int_equal(pair(set, 2), 2);
	set[1].irs += 5;
	assert_int_equal(pair(set, 2), 1);
}

/* Linux keeps no initial numbers: they follow from the counters, give or take a SYN and a FIN. */
static void birth_by_counters(void **state)
{
	struct cpl_info set[2];

	(void)state;
	ends_init(&set[0], &set[1]);
	set[1].remote_addr = cpl_addr4(192, 0, 2, 1);
	for (int i = 0; i < 2; i++) {
		forget(&set[i], CPL_F_iss);
		forget(&set[i], CPL_F_irs);
	}
	set[0].bytes_acked += 1;
	set[1].bytes_received += 1;
	/* Read at very different times. */
	end_sends(&set[0], 200000000);
	assert_int_equal(pair(set, 2), 1);
	end_receives(&set[1], 100000000);
	end_sends(&set[1], 300000000);
	assert_int_equal(pair(set, 2), 1);
	assert_int_equal(pairs[0].by, VIEW_BY_SEQUENCE);
	set[0].bytes_acked += 3;
	assert_int_equal(pair(set, 2), 2);
}

/* 1,000 connections through a translator to one server, and as many to others: none wrong. */
static void thousands_through_a_translator(void **state)
{
	enum {
		N = 1000
	};
	struct cpl_info *set = calloc(3 * N, sizeof(*set));
	uint64_t seed = 7;

	(void)state;
	assert_non_null(set);
	for (size_t i = 0; i < N; i++) {
		struct cpl_info *x = &set[i], *y = &set[2 * N - 1 - i];

		ends_init(x, y);
		x->local_port = (uint16_t)(30000 + i);
		y->remote_addr = cpl_addr4(192, 0, 2, 1);
		y->remote_port = (uint16_t)(20000 + i * 7919 % 20000);
		for (unsigned end = 0; end < 2; end++) {
			struct cpl_info *from = end ? y : x, *to = end ? x : y;
			uint32_t by;

			seed = seed * 6364136223846793005u + 1442695040888963407u;
			by = (uint32_t)(seed >> 32);
			from->iss += by;
			from->snd_una += by;
			from->snd_nxt += by;
			to->irs += by;
			to->rcv_nxt += by;
		}
		end_sends(x, (uint32_t)i * 50);
		end_receives(y, (uint32_t)i * 20);
		/* Half of them as Linux has them. */
		forget(x, i & 1 ? CPL_F_iss : CPL_F_passive);
		forget(x, i & 1 ? CPL_F_irs : CPL_F_passive);
		forget(y, i & 1 ? CPL_F_iss : CPL_F_passive);
		forget(y, i & 1 ? CPL_F_irs : CPL_F_passive);
		/* And others whose other ends are not here. */
		set[2 * N + i] = *x;
		set[2 * N + i].local_port = (uint16_t)(40000 + i);
		set[2 * N + i].snd_una += 77777;
		set[2 * N + i].snd_nxt += 77777;
		set[2 * N + i].iss += 77777;
	}
	assert_int_equal(pair(set, 3 * N), 2 * N);
	for (long k = 0; k < 2 * N; k++) {
		if (pairs[k].y == VIEW_ALONE) {
			assert_true(pairs[k].x >= 2 * N);
			continue;
		}
		assert_int_equal(pairs[k].x + pairs[k].y, 2 * N - 1);
	}
	free(set);
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

/* Containers with equal addresses, without any number: only a namespace tells them apart. */
static void same_addresses_in_namespaces(void **state)
{
	struct cpl_info set[8];

	(void)state;
	for (int i = 0; i < 8; i++) {
		end_init(&set[i], i & 1);
		set[i].state = CPL_TIME_WAIT;
		CPL_INFO_READ(&set[i], netns, (uint32_t)(100 + i / 2));
		forget_birth(&set[i]);
		forget(&set[i], CPL_F_snd_una);
		forget(&set[i], CPL_F_rcv_nxt);
	}
	assert_int_equal(pair(set, 8), 4);
	for (size_t i = 0; i < 4; i++)
		assert_true(pairs[i].x == 2 * i && pairs[i].y == 2 * i + 1);
	/* Across namespaces, and nothing to tell which: none rather than a wrong one. */
	for (int i = 0; i < 8; i++)
		set[i].netns = (uint32_t)(100 + i);
	assert_int_equal(pair(set, 8), 8);
	assert_int_equal(pairs[0].by, VIEW_BY_SEVERAL);
	/* If there is but one, it is it; */
	assert_int_equal(pair(set, 2), 1);
	/* but loopback never leads to another namespace. */
	for (int i = 0; i < 2; i++) {
		set[i].local_addr = cpl_addr4(127, 0, 0, 1);
		set[i].remote_addr = cpl_addr4(127, 0, 0, 1);
	}
	assert_int_equal(pair(set, 2), 2);
	assert_int_equal(pairs[0].by, VIEW_BY_NONE);
}

/* Across namespaces with equal addresses the numbers decide, against the order of the list. */
static void numbers_across_namespaces(void **state)
{
	struct cpl_info set[4];

	(void)state;
	for (int i = 0; i < 4; i++) {
		uint32_t by = i == 0 || i == 3 ? 1000000 : 0;

		end_init(&set[i], i & 1);
		CPL_INFO_READ(&set[i], netns, (uint32_t)(100 + i));
		set[i].snd_una += by;
		set[i].snd_nxt += by;
		set[i].rcv_nxt += by;
		set[i].iss += by;
		set[i].irs += by;
	}
	assert_int_equal(pair(set, 4), 2);
	assert_int_equal(pairs[0].x, 0);
	assert_int_equal(pairs[0].y, 3);
	assert_int_equal(pairs[1].x, 2);
	assert_int_equal(pairs[1].y, 1);
}

/* A port used again: an end in TIME-WAIT beside the new one of the same name. */
static void reused_port(void **state)
{
	struct cpl_info set[3];

	(void)state;
	end_init(&set[0], 0);
	set[0].state = CPL_TIME_WAIT;
	set[0].snd_una = set[0].snd_nxt -= 500000;
	set[0].rcv_nxt -= 500000;
	forget_birth(&set[0]);
	end_init(&set[1], 1);
	end_init(&set[2], 0);
	assert_int_equal(pair(set, 3), 2);
	assert_true(pairs[0].x == 0 && pairs[0].y == VIEW_ALONE);
	assert_true(pairs[1].x == 2 && pairs[1].y == 1);
	/* Ordinary users have the counters only. */
	for (int i = 1; i < 3; i++) {
		forget(&set[i], CPL_F_iss);
		forget(&set[i], CPL_F_irs);
		forget(&set[i], CPL_F_snd_una);
		forget(&set[i], CPL_F_rcv_nxt);
	}
	assert_int_equal(pair(set, 3), 2);
	assert_true(pairs[1].x == 2 && pairs[1].y == 1);
}

/* Ports taken over after a crash: two births, one name. It is the pair that there is. */
static void two_lives(void **state)
{
	struct cpl_info set[2];

	(void)state;
	ends_init(&set[0], &set[1]);
	set[0].iss += 5000000;
	set[0].snd_una += 5000000;
	set[0].snd_nxt += 5000000;
	assert_int_equal(pair(set, 2), 1);
	assert_int_equal(pairs[0].by, VIEW_BY_ADDRESS);
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

/* Both called: a simultaneous open has two callers, and is one connection. */
static void simultaneous_open(void **state)
{
	struct cpl_info set[2];

	(void)state;
	ends_init(&set[0], &set[1]);
	set[1].passive = 0;
	set[0].state = set[1].state = CPL_SYN_SENT;
	assert_int_equal(pair(set, 2), 1);
	assert_true(pairs[0].x == 0 && pairs[0].y == 1);
}

/* Twenty thousand of one name must not cost the square of that, nor be paired at random. */
static void crowd(void **state)
{
	size_t n = 20000;
	struct cpl_info *set = calloc(n, sizeof(*set));

	(void)state;
	assert_non_null(set);
	for (size_t i = 0; i < n; i++)
		end_init(&set[i], i & 1);
	assert_int_equal(pair(set, n), n);
	/* Each two in a namespace of their own. */
	for (size_t i = 0; i < n; i++)
		CPL_INFO_READ(&set[i], netns, (uint32_t)(1 + i / 2));
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
		T(birth_by_counters),
		T(thousands_through_a_translator),
		T(two_fits_are_none),
		T(same_addresses),
		T(same_addresses_in_namespaces),
		T(numbers_across_namespaces),
		T(reused_port),
		T(two_lives),
		T(with_itself),
		T(simultaneous_open),
		T(crowd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
