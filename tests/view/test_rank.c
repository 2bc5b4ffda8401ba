/* SPDX-License-Identifier: MIT */
/* Rows of couplet watch: rates, changes, what is called trouble, and the order of it all. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/view/ends.h"
#include "view/rank.h"

#define SECOND 1000000000ull

static struct cpl_info info;
static struct rank_row before, now;

static int setup(void **state)
{
	(void)state;
	end_init(&info, 0);
	CPL_INFO_READ(&info, id, 7);
	CPL_INFO_READ(&info, retrans, 0);
	CPL_INFO_READ(&info, rexmt_count, 0);
	return 0;
}

/* INFO is what comes AFTER_NS later; returns the row. */
static const struct rank_row *later(uint64_t after_ns)
{
	info.taken += after_ns;
	rank_row_init(&now, &info);
	assert_int_equal(rank_join(&now, 1, &before, 1), 1);
	before = now;
	return &now;
}

static void first(void)
{
	rank_row_init(&before, &info);
	assert_int_equal(rank_join(&before, 1, NULL, 0), 1);
}

static void rates_are_new_payload_by_time(void **state)
{
	const struct rank_row *r;

	(void)state;
	first();
	assert_false(before.rated);
	assert_int_equal(before.changed, 0); /* at first nothing is new */
	info.bytes_sent += 3000;
	info.bytes_retrans += 1000; /* sent again: not new payload */
	info.bytes_received += 500;
	r = later(SECOND / 2);
	assert_true(r->rated);
	assert_int_equal(r->out_rate, 4000);
	assert_int_equal(r->in_rate, 1000);
	assert_int_equal(r->changed, RANK_IN_RATE | RANK_OUT_RATE);
	r = later(SECOND);
	assert_int_equal(r->out_rate, 0);
	assert_true(r->rated);
	/* Counters that go back, a clock that stands: no rate that is not one. */
	info.bytes_received -= 100;
	assert_int_equal(later(SECOND)->in_rate, 0);
	assert_false(later(0)->rated);
}

static void without_counters_there_are_no_rates(void **state)
{
	(void)state;
	forget(&info, CPL_F_bytes_received);
	first();
	assert_false(later(SECOND)->rated);
	setup(NULL);
	forget(&info, CPL_F_bytes_sent); /* an older kernel: what was acknowledged tells */
	first();
	info.bytes_acked += 2000;
	assert_int_equal(later(SECOND)->out_rate, 2000);
}

static void another_connection_with_the_same_addresses_is_new(void **state)
{
	(void)state;
	first();
	info.id = 8;
	assert_int_equal(later(SECOND)->changed, RANK_NEW);
	assert_false(now.rated);
	info.state = CPL_CLOSE_WAIT;
	info.cwnd++;
	info.srtt++;
	info.send_queue++;
	info.recv_queue++;
	assert_int_equal(later(SECOND)->changed,
			 RANK_STATE | RANK_CWND | RANK_RTT | RANK_SEND_QUEUE | RANK_RECV_QUEUE);
}

static void of_a_row_that_came_twice_the_later_is_kept(void **state)
{
	struct rank_row rows[3];

	(void)state;
	rank_row_init(&rows[0], &info);
	info.local_port = 1;
	info.id = 9;
	rank_row_init(&rows[1], &info);
	setup(NULL);
	info.state = CPL_FIN_WAIT_1;
	rank_row_init(&rows[2], &info);
	assert_int_equal(rank_join(rows, 3, NULL, 0), 2);
	assert_int_equal(rows[0].state, CPL_FIN_WAIT_1);
	assert_int_equal(rows[1].id, 9);
}

static void resends(void **state)
{
	(void)state;
	first();
	end_sends(&info, 1000);
	info.retrans = 2;
	assert_int_equal(later(SECOND)->trouble, RANK_RESENDS);
	assert_int_equal(now.retrans_now, 2);
	assert_non_null(strstr(rank_explain(&now).s, "2 segments"));
	assert_int_equal(later(SECOND)->trouble, RANK_FINE);
	info.rexmt_count = 1;
	assert_int_equal(later(SECOND)->trouble, RANK_RESENDS);
	info.rexmt_count = 3;
	assert_int_equal(later(SECOND)->trouble, RANK_STUCK);
	assert_non_null(strstr(rank_explain(&now).s, "sent again 3 times"));
}

static void stuck_without_an_ack_for_five_seconds(void **state)
{
	(void)state;
	first();
	end_sends(&info, 1000);
	assert_int_equal(later(SECOND)->trouble, RANK_FINE);
	assert_int_equal(later(RANK_PATIENCE_NS - 1)->trouble, RANK_FINE);
	assert_int_equal(later(1)->trouble, RANK_STUCK);
	end_acked(&info, 10); /* an ACK: the clock begins anew */
	assert_int_equal(later(SECOND)->trouble, RANK_FINE);
	assert_int_equal(later(RANK_PATIENCE_NS)->trouble, RANK_STUCK);
	end_acked(&info, 990);
	assert_int_equal(later(RANK_PATIENCE_NS * 2)->trouble, RANK_FINE); /* nothing is out */
}

static void zero_window(void **state)
{
	(void)state;
	first();
	info.timer_persist = SECOND;
	info.send_queue = 100;
	assert_int_equal(later(SECOND)->trouble, RANK_ZERO_WINDOW);
	info.timer_persist = CPL_TIMER_OFF;
	info.snd_wnd = 0;
	assert_int_equal(later(SECOND)->trouble, RANK_FINE); /* has nothing to send */
	info.not_sent = 100;
	assert_int_equal(later(SECOND)->trouble, RANK_ZERO_WINDOW);
	forget(&info, CPL_F_snd_wnd); /* unknown is not zero */
	forget(&info, CPL_F_timer_persist);
	assert_int_equal(later(SECOND)->trouble, RANK_FINE);
}

static void unread(void **state)
{
	(void)state;
	first();
	info.bytes_received += 100;
	info.recv_queue = 100;
	assert_int_equal(later(SECOND)->trouble, RANK_FINE);
	info.bytes_received += 100; /* more comes, none is read */
	info.recv_queue = 200;
	assert_int_equal(later(RANK_PATIENCE_NS)->trouble, RANK_UNREAD);
	assert_non_null(strstr(rank_explain(&now).s, "for 5 s"));
	info.recv_queue = 150; /* some of it was read */
	assert_int_equal(later(SECOND)->trouble, RANK_FINE);
}

static void states_in_trouble(void **state)
{
	(void)state;
	first();
	info.state = CPL_SYN_SENT;
	info.rexmt_count = 2;
	assert_int_equal(later(SECOND)->trouble, RANK_NOT_ANSWERED);
	info.rexmt_count = 0;
	info.state = CPL_CLOSE_WAIT;
	info.recv_queue = 1; /* the FIN */
	assert_int_equal(later(SECOND)->trouble, RANK_NOT_CLOSED);
	assert_int_equal(later(RANK_PATIENCE_NS)->trouble, RANK_NOT_CLOSED);
	info.state = CPL_TIME_WAIT;
	assert_int_equal(later(SECOND)->trouble, RANK_FINE);
	info.state = CPL_LISTEN;
	CPL_INFO_READ(&info, backlog, 5);
	CPL_INFO_READ(&info, accept_queue, 4);
	assert_int_equal(later(SECOND)->trouble, RANK_FINE);
	info.accept_queue = 5;
	assert_int_equal(later(SECOND)->trouble, RANK_ACCEPT_FULL);
	info.backlog = info.accept_queue = 0; /* an empty queue is not full */
	assert_int_equal(later(SECOND)->trouble, RANK_FINE);
}

/* ---- Order ----------------------------------------------------------------------------------- */

#define ROWS 6

static struct rank_row rows[ROWS];
static uint32_t order[ROWS];

/* Row I: port I, moves so much, in such trouble. */
static void row(unsigned i, enum rank_trouble trouble, uint64_t rate)
{
	info.local_port = (uint16_t)i;
	info.id = i + 1;
	rank_row_init(&rows[i], &info);
	rows[i].trouble = trouble;
	rows[i].in_rate = rate;
	rows[i].rated = true;
}

static void check_order(enum rank_sort sort, bool reverse, const char *expected)
{
	char got[ROWS + 1] = "";
	size_t n = rank_order(order, rows, ROWS, sort, reverse);

	for (size_t i = 0; i < n; i++)
		got[i] = (char)('0' + order[i]);
	got[n] = 0;
	assert_string_equal(got, expected);
}

static void what_matters_comes_first(void **state)
{
	(void)state;
	row(0, RANK_FINE, 0);
	row(1, RANK_FINE, 10);
	row(2, RANK_NOT_CLOSED, 0);
	row(3, RANK_STUCK, 0);
	row(4, RANK_FINE, 1000000);
	row(5, RANK_FINE, 0);
	check_order(RANK_BY_MATTER, false, "324105");
	rows[0].state = CPL_TIME_WAIT; /* the last of all */
	check_order(RANK_BY_MATTER, false, "324150");
	rows[5].state = CPL_LISTEN;
	check_order(RANK_BY_MATTER, false, "324150");
	rows[1].recv_queue = 1;
	rows[1].in_rate = 0;
	rows[0].state = CPL_ESTABLISHED;
	check_order(RANK_BY_MATTER, false, "324105"); /* something waits, then idle, then listens */
	rows[4].shown = false;
	check_order(RANK_BY_MATTER, false, "32105");
	rows[3].trouble = RANK_RESENDS;
	rows[2].trouble = RANK_RESENDS;
	rows[2].in_rate = UINT64_MAX / 2; /* within one kind of trouble, by traffic */
	check_order(RANK_BY_MATTER, false, "23105");
	check_order(RANK_BY_MATTER, true, "50132");
}

static void other_keys(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ROWS; i++)
		row(i, RANK_FINE, i % 3);
	check_order(RANK_BY_IN, false, "251403");
	check_order(RANK_BY_IN, true, "031425"); /* what is equal stays in its place */
	rows[5].rated = false;
	check_order(RANK_BY_IN, true, "031425");
	check_order(RANK_BY_IN, false, "214035"); /* unknown last, either way */
	check_order(RANK_BY_LOCAL, false, "012345");
	check_order(RANK_BY_LOCAL, true, "543210");
	strcpy(rows[4].program, "a");
	strcpy(rows[2].program, "z");
	check_order(RANK_BY_PROGRAM, false, "401352");
	check_order(RANK_BY_PROGRAM, true, "201354");
	rows[1].srtt = 50 * SECOND;
	check_order(RANK_BY_RTT, false, "102345");
	rows[3].state = CPL_SYN_SENT;
	check_order(RANK_BY_STATE, false, "301245");
	for (unsigned sort = 0; sort < RANK_SORTS; sort++)
		assert_int_equal(rank_order(order, rows, ROWS, sort, false), ROWS);
}

static void short_numbers(void **state)
{
	static const uint64_t numbers[] = { 0,	    9999,   10000,    99949,	  99951,
					    999499, 999999, 12345678, UINT64_MAX, 1000000000 };

	(void)state;
	for (unsigned i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		assert_true(strlen(rank_short(numbers[i]).s) <= 5);
		assert_true(strlen(rank_short_ns(numbers[i]).s) <= 5);
	}
	assert_string_equal(rank_short(9999).s, "9999");
	assert_string_equal(rank_short(12345).s, "12.3K");
	assert_string_equal(rank_short(99990).s, "100K");
	assert_string_equal(rank_short(999999).s, "1.0M");
	assert_string_equal(rank_short_ns(40000).s, "40us");
	assert_string_equal(rank_short_ns(1200000).s, "1.2ms");
	assert_string_equal(rank_short_ns(310 * 1000000ull).s, "310ms");
	assert_string_equal(rank_short_ns(12 * SECOND).s, "12s");
	assert_string_equal(rank_short_ns(3600 * SECOND).s, "60min");
	assert_string_equal(rank_short_ns(CPL_TIMER_OFF).s, "off");
}

static void many_rows(void **state)
{
	enum {
		MANY = 20000
	};
	struct rank_row *a = calloc(MANY, sizeof(*a)), *b = calloc(MANY, sizeof(*b));

	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		info.local_port = (uint16_t)i;
		info.id = i + 1;
		rank_row_init(&a[i], &info);
	}
	info.taken += SECOND;
	for (unsigned i = 0; i < MANY; i++) { /* the other way round, and one byte more for each */
		info.local_port = (uint16_t)(MANY - 1 - i);
		info.id = MANY - i;
		info.bytes_received = 5000 + info.id;
		rank_row_init(&b[i], &info);
	}
	assert_int_equal(rank_join(b, MANY, a, MANY), MANY);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(b[i].in_rate, MANY - i);
	free(a);
	free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(rates_are_new_payload_by_time, setup),
		cmocka_unit_test_setup(without_counters_there_are_no_rates, setup),
		cmocka_unit_test_setup(another_connection_with_the_same_addresses_is_new, setup),
		cmocka_unit_test_setup(of_a_row_that_came_twice_the_later_is_kept, setup),
		cmocka_unit_test_setup(resends, setup),
		cmocka_unit_test_setup(stuck_without_an_ack_for_five_seconds, setup),
		cmocka_unit_test_setup(zero_window, setup),
		cmocka_unit_test_setup(unread, setup),
		cmocka_unit_test_setup(states_in_trouble, setup),
		cmocka_unit_test_setup(what_matters_comes_first, setup),
		cmocka_unit_test_setup(other_keys, setup),
		cmocka_unit_test_setup(short_numbers, setup),
		cmocka_unit_test_setup(many_rows, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
