/* SPDX-License-Identifier: MIT */
/* Verdicts on two ends: of one instant, of two passes, with an end missing, with values missing. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/view/ends.h"
#include "view/pair.h"

static struct cpl_info x, y, x2, y2;
static struct view_report r;

static int setup(void **state)
{
	(void)state;
	ends_init(&x, &y);
	x2 = x;
	y2 = y;
	return 0;
}

static void instant(void)
{
	struct view_ends e = { "client", "server", &x, &y, VIEW_LOOKED };

	view_compare(&e, &r);
}

static void passes(void)
{
	struct view_ends e = { "client", "server", &x, &y, VIEW_LOOKED };

	view_compare_passes(&e, &x2, &y2, &r);
}

#define why_has(part)                                                                              \
	do {                                                                                       \
		if (!strstr(r.why, part))                                                          \
			fail_msg("\"%s\" is not in \"%s\"", part, r.why);                          \
	} while (0)

static void healthy(void **state)
{
	(void)state;
	instant();
	assert_int_equal(r.verdict, VIEW_OK);
	assert_int_equal(r.certainty, VIEW_CERTAIN);
	assert_int_equal(r.unseen, 0);
	assert_int_equal(r.n, 9); /* states, and ISS, acked, received, window both ways */
	passes();
	assert_int_equal(r.verdict, VIEW_OK);
}

static void in_flight_is_behind(void **state)
{
	(void)state;
	end_sends(&x, 2896);
	instant();
	assert_int_equal(r.verdict, VIEW_BEHIND);
	why_has("2,896 bytes of client are on the way to server");
	why_has("180.0 ms");
	end_receives(&y, 2896);
	instant();
	assert_int_equal(r.verdict, VIEW_BEHIND);
	why_has("server has 2,896 bytes of client whose ACK has not come back");
	end_acked(&x, 2896);
	instant();
	assert_int_equal(r.verdict, VIEW_OK);
}

static void invariants_of_one_instant(void **state)
{
	(void)state;
	y.rcv_nxt += 10; /* forged data */
	y.rcv_edge += 10;
	instant();
	assert_int_equal(r.verdict, VIEW_DISAGREE);
	why_has("server has received 10 bytes that client never sent");
	setup(NULL);
	y.rcv_nxt -= 10; /* restored from an old state, or a forged ACK */
	instant();
	assert_int_equal(r.verdict, VIEW_DISAGREE);
	why_has("client holds 10 bytes as acknowledged that server never had");
	setup(NULL);
	x.snd_wnd += 1;
	instant();
	assert_int_equal(r.verdict, VIEW_DISAGREE);
	why_has("1 byte more than server offered");
	setup(NULL);
	x.snd_wnd <<= 7; /* somebody on the path removed the option */
	x.snd_wscale = 14;
	instant();
	assert_int_equal(r.verdict, VIEW_DISAGREE);
	why_has("it scales windows by 2^14, server by 2^7");
	setup(NULL);
	y.irs += 1000;
	instant();
	assert_int_equal(r.verdict, VIEW_DISAGREE);
	why_has("two different connections");
}

static void sequence_numbers_wrap(void **state)
{
	(void)state;
	/* The server's numbers pass 2^32 here: 4294967000 + 5000. */
	assert_true(y.snd_nxt < y.iss);
	end_sends(&y, 100);
	instant();
	assert_int_equal(r.verdict, VIEW_BEHIND);
	why_has("100 bytes of server");
	y.snd_una = y.iss + 1; /* nothing acknowledged before the wrap either */
	instant();
	assert_int_equal(r.verdict, VIEW_BEHIND);
}

/* Between the passes a busy connection moves: the same numbers that lie naively are no trouble. */
static void sandwich_excuses_time(void **state)
{
	(void)state;
	/* The server was read last in pass 1, when the client had sent and it had received more. */
	end_receives(&y, 50000);
	end_sends(&x2, 90000);
	end_receives(&y2, 80000);
	end_acked(&x2, 70000);
	instant();
	assert_int_equal(r.verdict, VIEW_DISAGREE); /* the naive comparison lies */
	passes();
	assert_int_equal(r.verdict, VIEW_BEHIND);
	why_has("10,000 bytes");
}

static void sandwich_accuses(void **state)
{
	(void)state;
	end_receives(&y, 10);
	end_receives(&y2, 10);
	passes();
	assert_int_equal(r.verdict, VIEW_DISAGREE);
	why_has("server has received 10 bytes that client never sent");
	setup(NULL);
	x.snd_una += 7;
	x.snd_nxt += 7;
	x2 = x;
	passes();
	assert_int_equal(r.verdict, VIEW_DISAGREE);
	why_has("client holds 7 bytes as acknowledged that server never had");
	setup(NULL);
	x.snd_wnd += 500;
	x2 = x;
	passes();
	assert_int_equal(r.verdict, VIEW_DISAGREE);
	why_has("500 bytes more");
}

static void states_of_two_passes(void **state)
{
	(void)state;
	x.state = x2.state = CPL_ESTABLISHED;
	y.state = y2.state = CPL_CLOSE_WAIT;
	passes();
	assert_int_equal(r.verdict, VIEW_DISAGREE);
	why_has("server has had a FIN that client never sent");
	/* The same pair seen while the client was closing accuses nobody. */
	x.state = CPL_ESTABLISHED;
	x2.state = CPL_FIN_WAIT_1;
	y2.state = CPL_LAST_ACK;
	passes();
	assert_int_equal(r.verdict, VIEW_BEHIND);
	/* The client was read, closed, and then the server was read. */
	x2.state = CPL_ESTABLISHED;
	y.state = CPL_ESTABLISHED;
	y2.state = CPL_CLOSE_WAIT;
	passes();
	assert_int_equal(r.verdict, VIEW_BEHIND);
	why_has("changed their states while we looked");
}

static void half_open(void **state)
{
	struct view_ends e = { "client", "server", NULL, &y, VIEW_LOOKED };

	(void)state;
	view_compare(&e, &r);
	assert_int_equal(r.verdict, VIEW_DISAGREE);
	assert_int_equal(r.certainty, VIEW_DERIVED);
	why_has("server holds half of a connection");
	why_has("client restarted");
	why_has("no timer that would find out");
	end_sends(&y, 10);
	view_compare(&e, &r);
	why_has("sends again in 180.0 ms will bring an RST");
	/* Nobody asked the client: nothing may be said. */
	e.absent = VIEW_NOT_LOOKED;
	view_compare(&e, &r);
	assert_int_equal(r.verdict, VIEW_UNSEEN);
	why_has("client was not asked");
	/* It was there in the first pass: it may just have closed. */
	e.absent = VIEW_LOOKED;
	e.x = &x;
	view_compare_passes(&e, NULL, &y, &r);
	assert_int_equal(r.verdict, VIEW_BEHIND);
	/* TIME-WAIT alone is how a connection ends. */
	e.x = NULL;
	y.state = CPL_TIME_WAIT;
	view_compare(&e, &r);
	assert_int_equal(r.verdict, VIEW_OK);
}

static void lost_fin(void **state)
{
	(void)state;
	x.state = CPL_FIN_WAIT_1;
	end_sends(&x, 1);
	x.in_flight = 0;
	instant();
	assert_int_equal(r.verdict, VIEW_BEHIND);
	why_has("client has closed, and its FIN has not reached server");
	for (unsigned i = 0; i < r.n; i++)
		if (r.checks[i].rule == VIEW_RULE_RECEIVED && !r.checks[i].y_to_x)
			assert_non_null(
				strstr(r.checks[i].text, "the FIN of client is on the way"));
}

static void restart(void **state)
{
	(void)state;
	x.state = CPL_SYN_SENT;
	x.iss = x.snd_una = 77;
	x.snd_nxt = 78;
	forget(&x, CPL_F_irs);
	forget(&x, CPL_F_rcv_nxt);
	forget(&x, CPL_F_rcv_edge);
	forget(&x, CPL_F_snd_wnd);
	instant();
	assert_int_equal(r.verdict, VIEW_DISAGREE);
	why_has("client calls anew while server still holds an earlier connection");
}

static void zero_window(void **state)
{
	(void)state;
	x.snd_wnd = 0;
	x.not_sent = 9000;
	x.timer_persist = 4200000000u;
	y.rcv_wnd = 0;
	y.recv_queue = 65536;
	y.rcv_edge = y.rcv_nxt;
	instant();
	assert_int_equal(r.verdict, VIEW_BEHIND);
	why_has("65,536 bytes unread");
	why_has("asks again in 4.200 s");
	y.rcv_wnd = 30000;
	y.rcv_edge = y.rcv_nxt + 30000;
	instant();
	assert_int_equal(r.verdict, VIEW_BEHIND);
	why_has("has opened its window to 30,000 bytes");
	/* Nobody will ever ask: the deadlock that the persist timer exists for. */
	x.timer_persist = CPL_TIMER_OFF;
	x2 = x;
	y2 = y;
	passes();
	assert_int_equal(r.verdict, VIEW_DISAGREE);
	why_has("no timer of client will ask");
}

static void no_timer_for_lost_data(void **state)
{
	(void)state;
	end_sends(&x, 500);
	x.timer_rexmt = CPL_TIMER_OFF;
	x2 = x;
	passes();
	assert_int_equal(r.verdict, VIEW_DISAGREE);
	assert_int_equal(r.certainty, VIEW_GUESS);
	x2.timer_rexmt = 1;
	passes();
	assert_int_equal(r.verdict, VIEW_BEHIND);
}

/* What was not seen is never healthy. */
static void unknown_is_not_healthy(void **state)
{
	static const enum cpl_field needed[] = { CPL_F_snd_una, CPL_F_snd_nxt, CPL_F_rcv_nxt,
						 CPL_F_state };

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		setup(NULL);
		forget(&y, CPL_F_bytes_acked);
		forget(&y, CPL_F_bytes_received);
		forget(&y, needed[i]);
		instant();
		assert_int_equal(r.verdict, VIEW_UNSEEN);
		assert_true(r.unseen >= 1);
		why_has("not looked at");
		why_has("of server is unknown");
	}
	setup(NULL);
	forget(&y, CPL_F_rcv_edge);
	forget(&x, CPL_F_iss);
	instant();
	assert_int_equal(r.verdict, VIEW_OK); /* and says how many checks it lacks */
	assert_int_equal(r.unseen, 2);
}

/* Without sequence numbers (the kernel, unprivileged) the byte counters serve. */
static void counters_serve(void **state)
{
	static const enum cpl_field numbers[] = { CPL_F_iss,	 CPL_F_irs,	CPL_F_snd_una,
						  CPL_F_snd_nxt, CPL_F_rcv_nxt, CPL_F_rcv_edge };

	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		forget(&x, numbers[i]);
		forget(&y, numbers[i]);
	}
	x.bytes_acked++; /* as Linux counts the SYN */
	instant();
	assert_int_equal(r.verdict, VIEW_OK);
	assert_int_equal(r.certainty, VIEW_DERIVED);
	y.bytes_received += 10;
	instant();
	assert_int_equal(r.verdict, VIEW_DISAGREE);
	assert_int_equal(r.certainty, VIEW_DERIVED);
	why_has("server has received 10 bytes that client never sent");
	y.bytes_received -= 10;
	end_sends(&x, 3000);
	instant();
	assert_int_equal(r.verdict, VIEW_BEHIND);
}

/* The program does not read: told without sequence numbers, too. */
static void zero_window_by_counters(void **state)
{
	(void)state;
	forget(&x, CPL_F_snd_una);
	forget(&y, CPL_F_rcv_edge);
	x.snd_wnd = 0;
	x.not_sent = 9000;
	y.rcv_wnd = 0;
	y.recv_queue = 65536;
	instant();
	assert_int_equal(r.verdict, VIEW_BEHIND);
	why_has("65,536 bytes unread");
	/* A window too small for a segment is as good as none. */
	x.snd_wnd = 700;
	x.timer_persist = 200000000;
	instant();
	assert_int_equal(r.verdict, VIEW_BEHIND);
	why_has("down to 700 bytes, too small for client to send");
	x.timer_persist = CPL_TIMER_OFF;
	instant();
	assert_int_equal(r.verdict, VIEW_OK);
}

/* Sent again and again: stuck, whichever way is broken. */
static void sent_in_vain(void **state)
{
	(void)state;
	end_sends(&x, 3000);
	CPL_INFO_READ(&x, rexmt_count, 2);
	x2 = x;
	passes();
	assert_int_equal(r.verdict, VIEW_BEHIND);
	x2.rexmt_count = 3;
	passes();
	assert_int_equal(r.verdict, VIEW_STUCK);
	why_has("3,000 bytes of client do not get through to server, sent 4 times");
	assert_true(view_is_trouble(r.verdict));
	end_receives(&y, 3000);
	y2 = y;
	passes();
	assert_int_equal(r.verdict, VIEW_STUCK);
	why_has("the ACKs of server do not arrive");
}

/* Two times tell what differs from one birth, and nothing of what may have moved. */
static void apart(void **state)
{
	struct view_ends e = { "client", "server", &x, &y, VIEW_LOOKED };

	(void)state;
	view_compare_apart(&e, &r);
	assert_int_equal(r.verdict, VIEW_OK);
	assert_int_equal(r.certainty, VIEW_GUESS);
	end_receives(&y, 10);
	view_compare_apart(&e, &r);
	assert_int_equal(r.verdict, VIEW_UNSEEN);
	why_has("not told by two looks of different times: server has received 10 bytes");
	y.state = CPL_CLOSE_WAIT;
	view_compare_apart(&e, &r);
	assert_int_equal(r.verdict, VIEW_UNSEEN);
	y.irs++;
	view_compare_apart(&e, &r);
	assert_int_equal(r.verdict, VIEW_DISAGREE);
	why_has("two different connections");
	e.y = NULL;
	view_compare_apart(&e, &r);
	assert_int_equal(r.verdict, VIEW_UNSEEN);
}

static void derived_is_told(void **state)
{
	(void)state;
	y.irs += 5;
	forget(&y, CPL_F_irs);
	cpl_info_mark_derived(&y, CPL_F_irs);
	instant();
	assert_int_equal(r.verdict, VIEW_DISAGREE);
	assert_int_equal(r.certainty, VIEW_DERIVED);
}

static void printed(void **state)
{
	struct text t;

	(void)state;
	text_init(&t);
	end_sends(&x, 2896);
	instant();
	view_report_line(&t, &r);
	assert_int_equal(strncmp(t.data, "behind, will heal: 2,896 bytes", 30), 0);
	view_report_print(&t, &r);
	for (char *line = strtok(t.data, "\n"); line; line = strtok(NULL, "\n"))
		assert_true(view_cells(line) <= 80);
	text_free(&t);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		T(healthy),
		T(in_flight_is_behind),
		T(invariants_of_one_instant),
		T(sequence_numbers_wrap),
		T(sandwich_excuses_time),
		T(sandwich_accuses),
		T(states_of_two_passes),
		T(half_open),
		T(lost_fin),
		T(restart),
		T(zero_window),
		T(no_timer_for_lost_data),
		T(unknown_is_not_healthy),
		T(counters_serve),
		T(zero_window_by_counters),
		T(sent_in_vain),
		T(apart),
		T(derived_is_told),
		T(printed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
