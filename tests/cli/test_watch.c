/* SPDX-License-Identifier: MIT */
/* The screen of couplet watch as text, and what keys do to it, at several sizes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "cli/watch.h"
#include "tests/view/ends.h"

#define SECOND 1000000000ull
#define ROWS   200

static struct watch w;
static struct text t;
static struct watch_sample sample;
static struct rank_row rows[ROWS];
static char plain[200000]; /* the screen without escape sequences */

/* Connection I; the first is stuck, the second moves, the last listens. */
static void row_make(unsigned i)
{
	struct cpl_info info;

	end_init(&info, 0);
	CPL_INFO_READ(&info, id, i + 1);
	info.local_port = (uint16_t)(20000 + i);
	rank_row_init(&rows[i], &info);
	rows[i].rated = true;
	if (i == 0) {
		rows[i].trouble = RANK_STUCK;
		rows[i].rexmt_count = 4;
		rows[i].send_queue = 777;
	}
	if (i == 1)
		rows[i].in_rate = 2500000;
	if (i == ROWS - 1)
		rows[i].state = CPL_LISTEN;
}

static int setup(void **state)
{
	(void)state;
	watch_init(&w);
	text_init(&t);
	memset(&sample, 0, sizeof(sample));
	for (unsigned i = 0; i < ROWS; i++)
		row_make(i);
	sample.row = rows;
	sample.n = ROWS;
	sample.cost_ns = 40000000;
	w.ascii = true;
	w.interval_ms = 1000;
	watch_set_sample(&w, &sample);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	watch_free(&w);
	text_free(&t);
	return 0;
}

/* Draws at this size; no line may be wider, no more lines than there are. */
static const char *draw(unsigned columns, unsigned lines)
{
	unsigned n = 0;
	char *to = plain;

	w.columns = columns;
	w.lines = lines;
	text_free(&t);
	watch_draw(&w, &t);
	for (const char *s = t.data; *s; s = strchr(s, '\n') + 1, n++)
		if (view_cells_n(s, strcspn(s, "\n")) > columns)
			fail_msg("%ux%u: too wide: %.*s", columns, lines, (int)strcspn(s, "\n"), s);
	if (n > lines)
		fail_msg("%ux%u: %u lines:\n%s", columns, lines, n, t.data);
	for (const char *s = t.data; *s; s++) {
		if (*s == 0x1b)
			s = strchr(s, 'm');
		else
			*to++ = *s;
	}
	*to = 0;
	return plain;
}

static const char *line(unsigned number)
{
	static char buffer[1000];
	const char *s = plain;

	while (number-- && strchr(s, '\n'))
		s = strchr(s, '\n') + 1;
	snprintf(buffer, sizeof(buffer), "%.*s", (int)strcspn(s, "\n"), s);
	return buffer;
}

static void has(const char *part)
{
	if (!strstr(plain, part))
		fail_msg("\"%s\" is not on the screen:\n%s", part, plain);
}

static void has_not(const char *part)
{
	if (strstr(plain, part))
		fail_msg("\"%s\" is on the screen:\n%s", part, plain);
}

static void press(const char *keys)
{
	for (; *keys; keys++)
		watch_press(&w, *keys);
}

static void the_table_at_80_by_24(void **state)
{
	(void)state;
	draw(80, 24);
	assert_string_equal(line(0), "couplet watch  199 connections, 1 in trouble       sampled "
				     "in 40.0 ms, every 1 s");
	assert_string_equal(line(2), "  Local           Foreign         State       Recv-Q Send-Q  "
				     "In/s Out/s   RTT");
	has(">!10.0.0.1:20000");
	has(" 777 ");
	has("2.5M");
	has("stuck: the oldest segment was sent again 4 times; 777 bytes wait");
	has("? help  q quit");
	assert_int_equal(w.selected_line, 3);
	assert_int_equal(watch_page_rows(&w), 18);
}

static void every_size(void **state)
{
	(void)state;
	for (unsigned columns = 1; columns < 220; columns += columns < 62 ? 1 : 13)
		for (unsigned lines = 1; lines < 70; lines += 5)
			draw(columns, lines);
	draw(40, 10);
	has("too small\n40x10; needs 60x12\nq quits");
	draw(60, 12);
	has(">!10.0.0.1:20000");
	assert_int_equal(watch_press(&w, 'q'), WATCH_ACT_QUIT);
}

static void wide_terminals_show_every_column(void **state)
{
	static const char *const titles[] = { "Local",	"Foreign", "State",  "Recv-Q",
					      "Send-Q", "In/s",	   "Out/s",  "RTT",
					      "cwnd",	"Program", "Trouble" };

	(void)state;
	draw(120, 30);
	for (unsigned i = 0; i < sizeof(titles) / sizeof(*titles); i++)
		assert_non_null(strstr(line(2), titles[i]));
	has(" 40ms ");
	has("stuck");
	draw(80, 24);
	assert_null(strstr(line(2), "Trouble"));
	/* Scrolled as far as it goes, and no farther. */
	for (unsigned i = 0; i < 50; i++)
		watch_press(&w, WATCH_KEY_RIGHT);
	draw(80, 24);
	assert_non_null(strstr(line(2), "Trouble"));
	assert_non_null(strstr(line(2), "Program"));
	watch_press(&w, WATCH_KEY_LEFT);
	draw(80, 24);
	assert_null(strstr(line(2), "Trouble"));
}

static void long_addresses_are_cut_with_a_mark(void **state)
{
	struct cpl_addr long6;

	(void)state;
	assert_int_equal(cpl_addr_parse(&long6, "2001:db8:1111:2222:3333:4444:5555:6666"), 0);
	rows[0].local = rows[0].remote = long6;
	draw(80, 24);
	assert_non_null(strstr(line(3), "~"));
	assert_non_null(strstr(line(3), ":20000"));		  /* the port is never cut */
	has("[2001:db8:1111:2222:3333:4444:5555:6666]:20000 - "); /* in full, of the selected */
	draw(170, 24);
	assert_null(strchr(line(3), '~'));
}

static void moving_about(void **state)
{
	(void)state;
	draw(80, 24);
	watch_press(&w, WATCH_KEY_DOWN);
	assert_int_equal(w.at, 1);
	watch_press(&w, WATCH_KEY_PAGE_DOWN);
	assert_int_equal(w.at, 19);
	assert_int_equal(w.top, 2); /* just in sight */
	watch_press(&w, WATCH_KEY_END);
	assert_int_equal(w.at, 198);
	draw(80, 24);
	assert_int_equal(w.selected_line, 20);
	has(">");
	watch_press(&w, WATCH_KEY_DOWN);
	assert_int_equal(w.at, 198);
	draw(80, 60); /* a larger terminal leaves no hole */
	watch_press(&w, WATCH_KEY_UP);
	draw(80, 60);
	assert_int_equal(w.n - w.top, watch_page_rows(&w));
	watch_press(&w, WATCH_KEY_HOME);
	assert_int_equal(w.top, 0);
}

static void the_selection_stays_with_its_connection(void **state)
{
	struct rank_row chosen;

	(void)state;
	watch_press(&w, WATCH_KEY_DOWN);
	watch_press(&w, WATCH_KEY_DOWN);
	chosen = w.selected;
	rows[100].trouble = RANK_RESENDS; /* comes in before it */
	watch_set_sample(&w, &sample);
	assert_int_equal(w.at, 3);
	assert_true(rank_same(&w.selected, &chosen));
	sample.n = 2; /* it is gone, and much else */
	watch_set_sample(&w, &sample);
	assert_int_equal(w.at, 1);
	sample.n = 0;
	watch_set_sample(&w, &sample);
	assert_false(w.has_selected);
	draw(80, 24);
	has("There is no connection.");
	assert_int_equal(watch_press(&w, WATCH_KEY_ENTER), WATCH_ACT_NONE);
	assert_int_equal(w.page, WATCH_TABLE);
}

static void sorting_and_listeners(void **state)
{
	(void)state;
	press("s");
	draw(80, 24);
	has("by In/s");
	assert_non_null(strstr(line(3), "2.5M"));
	press("r");
	draw(80, 24);
	has("by In/s, reversed");
	assert_null(strstr(line(3), "2.5M"));
	press("S");
	draw(80, 24);
	has("by what matters");
	assert_int_equal(w.n, ROWS - 1);
	press("l");
	assert_int_equal(w.n, ROWS);
	watch_press(&w, WATCH_KEY_END);
	draw(80, 24);
	has("LISTEN");
	press("l");
	rows[ROWS - 1].trouble = RANK_ACCEPT_FULL; /* trouble is always shown */
	watch_set_sample(&w, &sample);
	assert_int_equal(w.n, ROWS);
}

static void the_filter_line(void **state)
{
	struct cpl_info info;

	(void)state;
	press("/state establis"); /* q, s and such are letters here */
	draw(80, 24);
	has("/state establis\n");
	assert_int_equal(w.cursor_line, 23);
	assert_int_equal(w.cursor_column, 15);
	press("y");
	assert_int_equal(watch_press(&w, WATCH_KEY_ENTER), WATCH_ACT_NONE);
	draw(80, 24);
	has("there is no state \"establisy\"");
	assert_non_null(strstr(line(22), "       vvvvvvvvv "));
	assert_true(w.editing);
	watch_press(&w, WATCH_KEY_BACKSPACE);
	assert_false(w.wrong);
	watch_press(&w, WATCH_KEY_CLEAR);
	press(":20005");
	assert_int_equal(watch_press(&w, WATCH_KEY_ENTER), WATCH_ACT_FILTER);
	assert_false(w.editing);
	end_init(&info, 0);
	info.local_port = 20005;
	assert_true(select_match(&w.select, &info, 0));
	info.local_port = 20006;
	assert_false(select_match(&w.select, &info, 0));
	draw(80, 24);
	has("filter: :20005");
	press("/");
	watch_press(&w, WATCH_KEY_CLEAR);
	press("#3");
	assert_int_equal(watch_press(&w, WATCH_KEY_ENTER), WATCH_ACT_NONE);
	draw(80, 24);
	has("rows have no numbers here");
	watch_press(&w, WATCH_KEY_ESCAPE);
	assert_string_equal(w.filter, ":20005"); /* left as it was */
	assert_int_equal(watch_press(&w, WATCH_KEY_ESCAPE), WATCH_ACT_FILTER);
	assert_true(select_match(&w.select, &info, 0));
	for (unsigned i = 0; i < 1000; i++) /* longer than there is room */
		press(i ? "y" : "/");
	draw(80, 24);
	assert_int_equal(strlen(w.edit), WATCH_FILTER - 1);
	assert_int_equal(w.cursor_column, 79);
}

static void help_and_pause(void **state)
{
	(void)state;
	sample.notes.n = 1;
	strcpy(sample.notes.note[0].text, "no permission to see who holds 12 of the sockets");
	draw(80, 24);
	has("no permission to see who holds");
	press("?");
	draw(80, 24);
	has("couplet watch: help");
	assert_int_equal(watch_press(&w, WATCH_KEY_END), WATCH_ACT_NONE);
	draw(80, 24);
	has("Not looked at:");
	press("?");
	draw(80, 24);
	has("by what matters");
	assert_int_equal(watch_press(&w, ' '), WATCH_ACT_PAUSE);
	draw(80, 24);
	has("paused");
	assert_true(w.paused);
	assert_int_equal(watch_press(&w, 'p'), WATCH_ACT_PAUSE);
	assert_false(w.paused);
}

/* ---- An opened connection -------------------------------------------------------------------- */

static struct watch_detail detail;

static void open_first(void)
{
	assert_int_equal(watch_press(&w, WATCH_KEY_ENTER), WATCH_ACT_OPEN);
	memset(&detail, 0, sizeof(detail));
	detail.key = w.open.key;
	ends_init(&detail.end[0], &detail.end[1]);
	detail.end[0].local_port = detail.end[1].remote_port = 20000;
	detail.have[0] = detail.have[1] = true;
	detail.by = VIEW_BY_ADDRESS;
}

/* SECONDS more, both ends compared. */
static void look(unsigned seconds)
{
	struct view_ends ends = { "A", "B", &detail.end[0], detail.have[1] ? &detail.end[1] : NULL,
				  detail.absent };

	detail.end[0].taken += seconds * SECOND;
	detail.end[1].taken += seconds * SECOND;
	detail.compared = detail.have[1];
	if (detail.compared)
		view_compare_passes(&ends, ends.x, ends.y, &detail.report);
	watch_set_detail(&w, &detail);
}

static void both_ends_on_one_screen(void **state)
{
	(void)state;
	open_first();
	draw(80, 24);
	has("looking for both ends");
	look(1);
	draw(80, 24);
	assert_string_equal(line(0),
			    "A 10.0.0.1:20000 curl (pid 4711)   B 10.0.0.2:80 nginx (pid 812)");
	assert_string_equal(line(1), "OK: A and B each have all that the other sent, and know it.");
	has("A sends ---");
	has("[1 control blocks]");
	press("2");
	draw(80, 24);
	has("A> ESTABLISHED <B");
	watch_press(&w, WATCH_KEY_TAB);
	draw(80, 24);
	has("bytes from ");
	has("(sequence numbers)");
	press("?");
	draw(80, 24);
	press("q");
	assert_int_equal(w.page, WATCH_OPEN);
	assert_int_equal(watch_press(&w, WATCH_KEY_ESCAPE), WATCH_ACT_CLOSE);
	assert_int_equal(w.page, WATCH_TABLE);
	look(1); /* one that comes too late is nobody's */
	assert_int_equal(w.page, WATCH_TABLE);
}

static void all_parts_where_there_is_room(void **state)
{
	(void)state;
	open_first();
	end_sends(&detail.end[0], 30000);
	look(1);
	look(6);
	for (unsigned part = 0; part < WATCH_PARTS; part++) {
		w.open.part = (enum watch_part)part;
		for (unsigned columns = 60; columns < 220; columns += 20)
			for (unsigned lines = 12; lines < 90; lines += 6)
				draw(columns, lines);
	}
	draw(160, 40); /* side by side */
	has("A sends ---");
	has("A> ESTABLISHED");
	has("in flight: 29.3 KiB");
	has("A stuck: 30,000 bytes are out and for 6 s no ACK has come");
	draw(80, 80); /* one below the other */
	has("A sends ---");
	has("A> ESTABLISHED");
	has("in flight: 29.3 KiB");
	press("1");
	draw(80, 24);
	has("A sends ---");
	has_not("A> ESTABLISHED");
}

static void scrolling_ends_at_the_end(void **state)
{
	(void)state;
	open_first();
	look(1);
	draw(80, 24);
	has_not("not sending");
	watch_press(&w, WATCH_KEY_END);
	draw(80, 24);
	has("not sending");
	has_not("state        ESTABLISHED");
	watch_press(&w, WATCH_KEY_UP);
	watch_press(&w, WATCH_KEY_PAGE_UP);
	draw(80, 24);
	has("state        ESTABLISHED");
}

static void an_end_that_is_not_seen(void **state)
{
	(void)state;
	open_first();
	detail.have[1] = false;
	detail.absent = VIEW_NOT_LOOKED;
	strcpy(detail.missing, "other network namespaces were not looked into: needs root");
	look(1);
	draw(80, 24);
	has("The other end is not to be seen from here");
	has("needs root");
	has("local_addr         10.0.0.1"); /* the whole of the one that is */
	press("2");
	draw(80, 24);
	has("A> ESTABLISHED");
	watch_press(&w, WATCH_KEY_END);
	draw(80, 24);
	has("B is not seen");
	press("3d");
	draw(80, 24);
	has("bytes from B to A over time (as the receiver sees it)");
}

static void a_connection_that_ends(void **state)
{
	(void)state;
	open_first();
	look(1);
	detail.end[0].state = CPL_FIN_WAIT_1;
	look(1);
	detail.have[0] = detail.have[1] = false;
	detail.gone[0] = detail.gone[1] = true;
	look(1);
	press("2");
	draw(80, 40);
	has("This connection is gone");
	has("A> CLOSED <B");
	assert_int_equal(w.open.marks.visited[0], 1u << CPL_ESTABLISHED | 1u << CPL_FIN_WAIT_1);
}

static void a_listener_has_no_other_end(void **state)
{
	(void)state;
	press("l");
	watch_press(&w, WATCH_KEY_END);
	open_first();
	detail.have[1] = false;
	look(1);
	draw(80, 24);
	has("A listener has no other end");
	has_not("is not to be seen");
}

static void what_sampling_costs(void **state)
{
	(void)state;
	sample.cost_ns = 800 * 1000000ull; /* too long for each second */
	draw(80, 24);
	has("sampled in 800.0 ms, every 3.2 s");
	for (unsigned i = 0; i < ROWS; i++)
		rows[i].trouble = RANK_RESENDS;
	watch_set_sample(&w, &sample);
	draw(70, 24);
	has("200 in trouble");
	has(" sampled in 800.0 ms\n");
}

static void cut_lines(void **state)
{
	static const char coloured[] = "ab\033[31mcdef\033[0mgh";

	(void)state;
	watch_line(&t, coloured, strlen(coloured), 8);
	assert_string_equal(t.data, "ab\033[31mcdef\033[0mgh\n");
	t.len = t.line = 0;
	watch_line(&t, coloured, strlen(coloured), 5);
	assert_string_equal(t.data, "ab\033[31mcd\033[0m~\n");
	t.len = t.line = 0;
	watch_line(&t, "────", 12, 3);
	assert_string_equal(t.data, "──~\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_table_at_80_by_24, setup, teardown),
		cmocka_unit_test_setup_teardown(every_size, setup, teardown),
		cmocka_unit_test_setup_teardown(wide_terminals_show_every_column, setup, teardown),
		cmocka_unit_test_setup_teardown(long_addresses_are_cut_with_a_mark, setup,
						teardown),
		cmocka_unit_test_setup_teardown(moving_about, setup, teardown),
		cmocka_unit_test_setup_teardown(the_selection_stays_with_its_connection, setup,
						teardown),
		cmocka_unit_test_setup_teardown(sorting_and_listeners, setup, teardown),
		cmocka_unit_test_setup_teardown(the_filter_line, setup, teardown),
		cmocka_unit_test_setup_teardown(help_and_pause, setup, teardown),
		cmocka_unit_test_setup_teardown(both_ends_on_one_screen, setup, teardown),
		cmocka_unit_test_setup_teardown(all_parts_where_there_is_room, setup, teardown),
		cmocka_unit_test_setup_teardown(scrolling_ends_at_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(an_end_that_is_not_seen, setup, teardown),
		cmocka_unit_test_setup_teardown(a_connection_that_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(a_listener_has_no_other_end, setup, teardown),
		cmocka_unit_test_setup_teardown(what_sampling_costs, setup, teardown),
		cmocka_unit_test_setup_teardown(cut_lines, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
