/* SPDX-License-Identifier: MIT */
/* The same ends in several passes, their pairs, and the sandwich over them; two hosts. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/view/ends.h"
#include "view/match.h"

enum {
	CONNECTIONS = 50
};

static struct cpl_info pass[VIEW_HOSTS][VIEW_PASSES][2 * CONNECTIONS];
static struct view_look look[VIEW_HOSTS];
static struct view_match m;
static struct view_report r;

/* Connection C: both its ends, at 2 * C and 2 * C + 1. */
static void connection(struct cpl_info *at, unsigned c)
{
	for (int server = 0; server < 2; server++) {
		end_init(&at[server], server);
		CPL_INFO_READ(&at[server], source, CPL_SOURCE_BPF);
		CPL_INFO_READ(&at[server], id, 1000 + 2 * c + (unsigned)server);
		CPL_INFO_READ(&at[server], netns, 17);
		*(server ? &at[1].remote_port : &at[0].local_port) = (uint16_t)(40000 + c);
	}
}

static int setup(void **state)
{
	(void)state;
	memset(look, 0, sizeof(look));
	for (unsigned host = 0; host < VIEW_HOSTS; host++) {
		for (unsigned p = 0; p < VIEW_PASSES; p++) {
			for (unsigned c = 0; c < CONNECTIONS; c++)
				connection(&pass[host][p][2 * c], c);
			look[host].pass[p] = (struct view_pass){ pass[host][p], 2 * CONNECTIONS };
		}
		look[host].passes = 2;
		look[host].pass[2].n = 0;
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	view_match_free(&m);
	return 0;
}

static void make(unsigned hosts)
{
	view_match_free(&m);
	assert_int_equal(view_match(&m, look, hosts), 0);
	/* Every record belongs to one end, which knows it. */
	for (unsigned host = 0; host < hosts; host++)
		for (unsigned p = 0; p < VIEW_PASSES; p++)
			for (uint32_t i = 0; i < look[host].pass[p].n; i++) {
				uint32_t end = m.end_of[host][p][i];

				assert_true(end < m.n);
				assert_int_equal(m.end[end].at[p], i);
				assert_int_equal(m.end[end].host, host);
			}
}

static void swap(struct cpl_info *a, struct cpl_info *b)
{
	struct cpl_info s = *a;

	*a = *b;
	*b = s;
}

static void order_does_not_matter(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CONNECTIONS; i++)
		swap(&pass[0][1][i], &pass[0][1][(i * 37 + 11) % (2 * CONNECTIONS)]);
	make(1);
	assert_int_equal(m.n, 2 * CONNECTIONS);
	assert_int_equal(m.pairs, CONNECTIONS);
	for (size_t i = 0; i < m.n; i++)
		assert_int_equal(view_match_info(&m, i, 0)->id, view_match_info(&m, i, 1)->id);
	for (size_t i = 0; i < m.pairs; i++) {
		assert_int_equal(m.end[m.pair[i].x].other, m.pair[i].y);
		assert_int_equal(m.end[m.pair[i].y].other, m.pair[i].x);
	}
}

/* A connection of the same addresses is another one if its number is. */
static void another_of_the_same_name(void **state)
{
	struct view_ends ends = { "client", "server", NULL, NULL, VIEW_LOOKED };

	(void)state;
	pass[0][1][0].id = 5000;
	pass[0][1][0].iss += 900000;
	pass[0][1][0].snd_una += 900000;
	pass[0][1][0].snd_nxt += 900000;
	pass[0][1][0].state = CPL_SYN_SENT;
	make(1);
	assert_int_equal(m.n, 2 * CONNECTIONS + 1);
	assert_int_equal(m.pairs, CONNECTIONS);
	/* The new one is the pair of this pass; the server's old life accuses nobody yet. */
	for (size_t i = 0; i < m.pairs; i++) {
		if (view_match_last(&m, m.pair[i].x)->id != 5000)
			continue;
		view_match_compare(&m, &m.pair[i], &ends, true, false, &r);
		assert_int_equal(r.verdict, VIEW_BEHIND);
		return;
	}
	fail_msg("not paired");
}

static void given_up_between_the_passes(void **state)
{
	struct view_ends ends = { "client", "server", NULL, NULL, VIEW_LOOKED };

	(void)state;
	/* The server of connection 0 is gone in the second pass, and all of connection 1. */
	pass[0][1][1] = pass[0][1][99];
	pass[0][1][2] = pass[0][1][98];
	pass[0][1][3] = pass[0][1][97];
	look[0].pass[1].n = 97;
	make(1);
	assert_int_equal(m.pairs, CONNECTIONS - 1);
	assert_int_equal(view_match_last(&m, m.pair[0].x)->id, 1000);
	assert_true(m.pair[0].y != VIEW_ALONE);
	view_match_compare(&m, &m.pair[0], &ends, true, false, &r);
	assert_int_equal(r.verdict, VIEW_BEHIND);
	assert_non_null(strstr(r.why, "server gave up its end while we looked"));
	/* In neither pass: half-open. */
	pass[0][0][1] = pass[0][0][99];
	look[0].pass[0].n = 99;
	make(1);
	view_match_compare(&m, &m.pair[0], &ends, true, false, &r);
	assert_int_equal(r.verdict, VIEW_DISAGREE);
	assert_non_null(strstr(r.why, "client holds half"));
}

static void born_between_the_passes(void **state)
{
	struct view_ends ends = { "client", "server", NULL, NULL, VIEW_LOOKED };

	(void)state;
	look[0].pass[0].n = 2 * CONNECTIONS - 2;
	make(1);
	assert_int_equal(m.pairs, CONNECTIONS);
	for (size_t i = 0; i < m.pairs; i++) {
		view_match_compare(&m, &m.pair[i], &ends, true, false, &r);
		assert_int_equal(r.verdict, VIEW_OK);
	}
}

/* Each on a host of its own; the numbers of namespaces and cookies are the same on both. */
static void two_hosts(void **state)
{
	struct view_ends ends = { "client", "server", NULL, NULL, VIEW_LOOKED };

	(void)state;
	for (unsigned p = 0; p < 2; p++) {
		for (unsigned c = 0; c < CONNECTIONS; c++) {
			pass[0][p][c] = pass[0][p][2 * c];
			pass[1][p][c] = pass[1][p][2 * c + 1];
			pass[1][p][c].id = pass[0][p][c].id;
		}
		look[0].pass[p].n = look[1].pass[p].n = CONNECTIONS;
	}
	make(2);
	assert_int_equal(m.n, 2 * CONNECTIONS);
	assert_int_equal(m.pairs, CONNECTIONS);
	end_receives(&pass[1][0][3], 10);
	end_receives(&pass[1][1][3], 10);
	for (size_t i = 0; i < m.pairs; i++) {
		const struct view_pair *pair = &m.pair[i];
		bool forged = view_match_last(&m, pair->x)->local_port == 40003;

		assert_int_equal(m.end[pair->x].host, 0);
		assert_int_equal(m.end[pair->y].host, 1);
		view_match_compare(&m, pair, &ends, true, false, &r);
		assert_int_equal(r.verdict, forged ? VIEW_DISAGREE : VIEW_OK);
		/* Looks of different times cannot tell: it may have been sent in between. */
		view_match_compare(&m, pair, &ends, true, true, &r);
		assert_int_equal(r.verdict, forged ? VIEW_UNSEEN : VIEW_OK);
		assert_int_equal(r.certainty, forged ? VIEW_CERTAIN : VIEW_GUESS);
	}
}

/* Who has several candidates is not accused of having none. */
static void undecided(void **state)
{
	struct view_ends ends = { "client", "server", NULL, NULL, VIEW_LOOKED };

	(void)state;
	for (unsigned p = 0; p < 2; p++) {
		look[0].pass[p].n = 3;
		connection(&pass[0][p][1], 0); /* two of one name, and a third */
		pass[0][p][1].id = 2000;
		for (unsigned i = 0; i < 3; i++) {
			pass[0][p][i].netns = 100 + i;
			for (unsigned f = CPL_F_iss; f < CPL_FIELDS; f++)
				forget(&pass[0][p][i], (enum cpl_field)f);
		}
	}
	make(1);
	assert_int_equal(m.pairs, 3);
	for (size_t i = 0; i < m.pairs; i++) {
		assert_int_equal(m.pair[i].by, VIEW_BY_SEVERAL);
		view_match_compare(&m, &m.pair[i], &ends, true, false, &r);
		assert_int_equal(r.verdict, VIEW_UNSEEN);
		assert_non_null(strstr(r.why, "several ends could be that of server"));
	}
}

/* Without words the verdict is the same. */
static void quick_is_the_same(void **state)
{
	struct view_ends ends = { "client", "server", NULL, NULL, VIEW_LOOKED };
	struct view_report words;

	(void)state;
	for (unsigned c = 0; c < CONNECTIONS; c++) {
		struct cpl_info *x = &pass[0][c & 1][2 * c], *y = &pass[0][1][2 * c + 1];

		x->state = (uint8_t)(c % CPL_STATES);
		x->rexmt_count = (uint8_t)(c % 5);
		cpl_info_mark_read(x, CPL_F_rexmt_count);
		end_sends(x, c % 3);
		end_receives(y, c % 4);
		if (c % 7 == 0)
			forget(y, CPL_F_rcv_nxt);
	}
	make(1);
	for (size_t i = 0; i < m.pairs; i++) {
		view_match_compare(&m, &m.pair[i], &ends, true, false, &words);
		view_match_compare(&m, &m.pair[i], &ends, false, false, &r);
		assert_int_equal(r.verdict, words.verdict);
		assert_int_equal(r.certainty, words.certainty);
		assert_int_equal(r.n, words.n);
		assert_int_equal(r.unseen, words.unseen);
		assert_int_equal(*r.why, 0);
		assert_int_not_equal(*words.why, 0);
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(order_does_not_matter),
		T(another_of_the_same_name),
		T(given_up_between_the_passes),
		T(born_between_the_passes),
		T(two_hosts),
		T(undecided),
		T(quick_is_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
