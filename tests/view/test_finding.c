/* SPDX-License-Identifier: MIT */
/* What doctor found: kinds, folding, order, and how it is said. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "tests/view/ends.h"
#include "view/explain.h"
#include "view/finding.h"

static struct view_diagnosis d;
static struct text t;

static int setup(void **state)
{
	(void)state;
	view_diagnosis_init(&d);
	text_init(&t);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	view_diagnosis_free(&d);
	text_free(&t);
	return 0;
}

static struct view_finding *add(enum view_finding_id id, uint16_t port, uint32_t pid)
{
	struct view_finding *f = view_diagnosis_add(&d, id, VIEW_CERTAIN);
	struct cpl_info x;

	assert_non_null(f);
	end_init(&x, 0);
	x.local_port = port;
	x.pid = pid;
	view_finding_of(f, &x, NULL);
	view_finding_blame(f, &x);
	return f;
}

static void shown(bool ascii)
{
	view_diagnosis_settle(&d);
	t.ascii = ascii;
	t.len = t.line = 0;
	view_diagnosis_print(&t, &d);
	assert_false(t.failed);
	assert_non_null(t.data);
}

static void kinds_are_complete(void **state)
{
	(void)state;
	for (int id = 0; id < VIEW_FINDINGS; id++) {
		const struct view_finding_kind *k = &view_finding_kinds[id];

		assert_int_equal(view_finding_find(k->name), id);
		assert_int_equal(view_finding_find(view_finding_name((enum view_finding_id)id).s),
				 id);
		assert_true(*k->title && k->title[strlen(k->title) - 1] != '.');
		assert_true(*k->meaning && k->meaning[strlen(k->meaning) - 1] == '.');
		assert_true(k->weight == VIEW_REMARK || *k->next);
	}
	assert_int_equal(view_finding_find("half"), -1);
	assert_int_equal(view_finding_find("half-open-"), -1);
	assert_int_equal(view_finding_find(""), -1);
}

static void alike_fold(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 500; i++)
		add(VIEW_FINDING_close_wait_stuck, (uint16_t)(1000 + i), 812);
	add(VIEW_FINDING_close_wait_stuck, 1000, 813);
	view_diagnosis_settle(&d);
	assert_int_equal(d.n, 2);
	assert_int_equal(d.finding[0].times, 500);
	assert_int_equal(d.finding[0].pid, 812);
	assert_int_equal(d.finding[1].times, 1);
	assert_true(d.room < 16); /* memory grows with causes, not with connections */
}

static void different_hosts_do_not_fold(void **state)
{
	struct view_finding *f;

	(void)state;
	add(VIEW_FINDING_black_hole, 1000, 812);
	f = add(VIEW_FINDING_black_hole, 1001, 812);
	f->x.remote_addr = cpl_addr4(10, 0, 0, 77);
	add(VIEW_FINDING_black_hole, 1002, 812);
	view_diagnosis_settle(&d);
	assert_int_equal(d.n, 2);
	assert_int_equal(d.finding[0].times + d.finding[1].times, 3);
}

static void many_causes_stay_apart(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < 1000; i++)
			add(VIEW_FINDING_close_wait_stuck, 80, 1 + i);
	view_diagnosis_settle(&d);
	assert_int_equal(d.n, 1000);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(d.finding[i].times, 2);
}

static void after_settling_more_can_come(void **state)
{
	(void)state;
	add(VIEW_FINDING_limited_by_sender, 80, 1);
	add(VIEW_FINDING_close_wait_stuck, 80, 1);
	view_diagnosis_settle(&d);
	add(VIEW_FINDING_close_wait_stuck, 81, 1);
	add(VIEW_FINDING_half_open, 81, 1);
	view_diagnosis_settle(&d);
	assert_int_equal(d.n, 3);
	assert_int_equal(d.finding[2].id, VIEW_FINDING_limited_by_sender);
}

static void troubles_come_first_and_the_certain_before_the_likely(void **state)
{
	(void)state;
	add(VIEW_FINDING_limited_by_network, 1, 1);
	add(VIEW_FINDING_nagle_delayed_ack, 2, 2);
	add(VIEW_FINDING_zero_window_stuck, 3, 3)->certainty = VIEW_GUESS;
	add(VIEW_FINDING_half_open, 4, 4);
	view_diagnosis_settle(&d);
	assert_int_equal(d.finding[0].id, VIEW_FINDING_half_open);
	assert_int_equal(d.finding[1].id, VIEW_FINDING_zero_window_stuck);
	assert_int_equal(d.finding[2].id, VIEW_FINDING_nagle_delayed_ack);
	assert_int_equal(d.finding[3].id, VIEW_FINDING_limited_by_network);
	assert_true(view_diagnosis_trouble(&d));
}

static void warnings_are_no_trouble(void **state)
{
	(void)state;
	assert_false(view_diagnosis_trouble(&d));
	add(VIEW_FINDING_nagle_delayed_ack, 2, 2);
	assert_false(view_diagnosis_trouble(&d));
}

static void what_is_surer_speaks_for_all(void **state)
{
	(void)state;
	add(VIEW_FINDING_close_wait_stuck, 80, 812)->certainty = VIEW_GUESS;
	view_finding_say(add(VIEW_FINDING_close_wait_stuck, 81, 812), "sure");
	view_diagnosis_settle(&d);
	assert_int_equal(d.n, 1);
	assert_int_equal(d.finding[0].times, 2);
	assert_int_equal(d.finding[0].certainty, VIEW_CERTAIN);
	assert_string_equal(d.finding[0].evidence[0], "sure");
}

static void names_stand_in_the_sentences(void **state)
{
	(void)state;
	view_finding_say(add(VIEW_FINDING_zero_window_stuck, 5000, 4711), "65,536 bytes wait");
	d.connections = 12;
	t.width = 100;
	shown(false);
	assert_non_null(strstr(t.data, "curl (pid 4711) does not read"));
	assert_non_null(strstr(t.data, "Next    Look at curl (pid 4711): stopped"));
	assert_non_null(strstr(t.data, "(zero-window-stuck)"));
	assert_non_null(strstr(t.data, "10.0.0.1:5000 - 10.0.0.2:80"));
	assert_non_null(strstr(t.data, "65,536 bytes wait"));
	assert_non_null(strstr(t.data, "certain"));
	assert_non_null(strstr(t.data, "✗"));
	assert_non_null(strstr(t.data, "Looked at 12 connections: 1 trouble."));
	assert_null(strchr(t.data, '%'));
}

static void an_unknown_program_is_the_program(void **state)
{
	struct view_finding *f = view_diagnosis_add(&d, VIEW_FINDING_nagle_delayed_ack, VIEW_GUESS);

	(void)state;
	view_finding_of(f, NULL, NULL);
	shown(false);
	assert_non_null(strstr(t.data, "The program writes in small pieces"));
	assert_non_null(strstr(t.data, "TCP_NODELAY in the program"));
}

static void foreign_names_do_no_harm(void **state)
{
	struct view_finding *f = view_diagnosis_add(&d, VIEW_FINDING_close_wait_stuck, VIEW_GUESS);
	struct cpl_info x;

	(void)state;
	end_init(&x, 1);
	memcpy(x.program, "\033[2J%s%n\xff\n", 10);
	view_finding_of(f, &x, NULL);
	view_finding_blame(f, &x);
	shown(true);
	assert_null(strchr(t.data, '\033'));
	assert_non_null(strstr(t.data, "?[2J%s%n?"));
}

static void nothing_unseen_is_called_healthy(void **state)
{
	(void)state;
	d.connections = 1234;
	d.pairs = 600;
	d.checks = 7200;
	shown(false);
	assert_string_equal(t.data, "Looked at 1,234 connections, 1,200 of them from both ends; "
				    "7,200 checks: no\ntrouble found.\n");
	view_diagnosis_unseen(&d, "drop reasons (needs %s)", "root");
	view_diagnosis_unseen(&d, "other namespaces");
	view_diagnosis_unseen(&d, "drop reasons (needs root)");
	snprintf(d.again, sizeof(d.again), "sudo couplet doctor");
	shown(false);
	assert_non_null(strstr(t.data, "no\ntrouble found in what was looked at."));
	assert_non_null(strstr(t.data, "Not looked at: drop reasons (needs root); other "));
	assert_non_null(strstr(t.data, "doctor)\n"));
}

static void stairs_are_ticked(void **state)
{
	(void)state;
	snprintf(d.what, sizeof(d.what), "example.org port 443");
	view_diagnosis_step(&d, VIEW_STEP_NAME, VIEW_STEP_HOLDS, "example.org is %s", "192.0.2.1");
	view_diagnosis_step(&d, VIEW_STEP_ROUTE, VIEW_STEP_FAILS, "no route");
	shown(false);
	assert_non_null(strstr(t.data, "  ✓ name           example.org is 192.0.2.1\n"));
	assert_non_null(strstr(t.data, "  ✗ route          no route\n"));
	assert_non_null(strstr(t.data, "  · program reads  not reached\n"));
	shown(true);
	assert_non_null(strstr(t.data, "  + name  "));
	assert_non_null(strstr(t.data, "  X route "));
	for (const char *s = t.data; *s; s++)
		assert_true((unsigned char)*s < 128);
}

static void lines_fit(void **state)
{
	(void)state;
	for (int id = 0; id < VIEW_FINDINGS; id++) {
		struct view_finding *f = add((enum view_finding_id)id, 54321, 1234567);

		f->x.local_addr = cpl_addr4(192, 168, 100, 100);
		snprintf(f->program, sizeof(f->program), "fifteen-letters");
		view_finding_say(f, "a sentence that goes on and on, as sentences with numbers in "
				    "them, such as 1,234,567 bytes, tend to, until the line ends");
	}
	for (unsigned width = 80; width < 200; width += 40) {
		t.width = width;
		shown(false);
		for (const char *s = t.data; *s; s = strchr(s, '\n') + 1)
			assert_true(view_cells_n(s, strcspn(s, "\n")) <= width);
	}
}

static void too_much_evidence_is_dropped(void **state)
{
	struct view_finding *f = add(VIEW_FINDING_half_open, 1, 1);

	(void)state;
	for (int i = 0; i < 2 * VIEW_EVIDENCE; i++)
		view_finding_say(f, "%d", i);
	assert_int_equal(f->evidences, VIEW_EVIDENCE);
	for (unsigned i = 0; i < 40; i++)
		view_diagnosis_unseen(&d, "thing %u", i);
	assert_string_equal(d.not_seen[d.unseen - 1], "and more besides");
}

static void json_says_the_same(void **state)
{
	int err;

	(void)state;
	view_finding_say(add(VIEW_FINDING_half_open, 5000, 4711), "quoted \"evidence\"");
	view_diagnosis_unseen(&d, "drop reasons");
	view_diagnosis_settle(&d);
	err = view_diagnosis_json(&t, &d);
	if (err == -ENOSYS)
		skip();
	assert_int_equal(err, 0);
	assert_non_null(strstr(t.data, "\"id\": \"half_open\""));
	assert_non_null(strstr(t.data, "\"trouble\": true"));
	assert_non_null(strstr(t.data, "\"quoted \\\"evidence\\\"\""));
	assert_non_null(strstr(t.data, "\"local\": \"10.0.0.1:5000\""));
	assert_non_null(strstr(t.data, "\"drop reasons\""));
	assert_null(strstr(t.data, "\"stairs\""));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(kinds_are_complete),
		TEST(alike_fold),
		TEST(different_hosts_do_not_fold),
		TEST(many_causes_stay_apart),
		TEST(after_settling_more_can_come),
		TEST(troubles_come_first_and_the_certain_before_the_likely),
		TEST(warnings_are_no_trouble),
		TEST(what_is_surer_speaks_for_all),
		TEST(names_stand_in_the_sentences),
		TEST(an_unknown_program_is_the_program),
		TEST(foreign_names_do_no_harm),
		TEST(nothing_unseen_is_called_healthy),
		TEST(stairs_are_ticked),
		TEST(lines_fit),
		TEST(too_much_evidence_is_dropped),
		TEST(json_says_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
