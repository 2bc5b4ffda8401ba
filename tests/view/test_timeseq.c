/* SPDX-License-Identifier: MIT */
/* The time-sequence plot and the state diagram in text cells. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/view/ends.h"
#include "view/state_diagram.h"
#include "view/timeseq.h"

#define SECOND 1000000000ull

static struct cpl_info x, y;
static struct timeseq s;
static struct text t;

static int setup(void **state)
{
	(void)state;
	ends_init(&x, &y);
	timeseq_clear(&s);
	text_init(&t);
	t.ascii = true;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	text_free(&t);
	return 0;
}

static const struct timeseq_point *last(void)
{
	return &s.point[(s.first + s.n - 1) % TIMESEQ_POINTS];
}

static void add(uint64_t after)
{
	x.taken += after;
	y.taken += after;
	assert_true(timeseq_add(&s, &x, &y));
}

static void sequence_numbers_are_unwrapped(void **state)
{
	(void)state;
	x.snd_una = x.snd_nxt = 4294967000u;
	add(SECOND);
	assert_int_equal(s.kind, TIMESEQ_SENDER);
	assert_int_equal(last()->una, 0);
	end_sends(&x, 2000); /* over 2^32 */
	add(SECOND);
	assert_int_equal(last()->una, 0);
	assert_int_equal(last()->nxt, 2000);
	assert_int_equal(last()->edge, 65536);
	end_acked(&x, 2000);
	add(SECOND);
	assert_int_equal(last()->una, 2000);
	for (unsigned i = 0; i < 4; i++) { /* 2^31 - 1 each: more than 32 bits together */
		x.snd_una += INT32_MAX;
		x.snd_nxt = x.snd_una;
		add(SECOND);
	}
	assert_true(last()->una == 2000 + 4ll * INT32_MAX);
}

static void counters_serve_where_numbers_are_unknown(void **state)
{
	(void)state;
	forget(&x, CPL_F_snd_una);
	x.bytes_sent = 5000;
	x.bytes_retrans = 1000;
	x.bytes_acked = 3000;
	add(SECOND);
	assert_int_equal(s.kind, TIMESEQ_COUNTERS);
	assert_int_equal(last()->nxt - last()->una, 1000);
	x.bytes_acked = 4100; /* read a moment later than bytes_sent */
	add(SECOND);
	assert_int_equal(last()->una, 1100);
	assert_int_equal(last()->nxt, 1100);
	forget(&x, CPL_F_snd_wnd);
	add(SECOND);
	assert_false(last()->edge_known);
}

static void the_receiver_serves_where_the_sender_is_not_seen(void **state)
{
	(void)state;
	assert_true(timeseq_add(&s, NULL, &y));
	assert_int_equal(s.kind, TIMESEQ_RECEIVER);
	assert_int_equal(last()->edge, 65536);
	forget(&y, CPL_F_rcv_nxt);
	y.taken += SECOND;
	assert_true(timeseq_add(&s, NULL, &y));
	assert_int_equal(s.kind, TIMESEQ_RECEIVED);
	assert_int_equal(s.n, 1); /* numbers of another kind: begun anew */
	forget(&y, CPL_F_bytes_received);
	assert_false(timeseq_add(&s, NULL, &y));
	assert_false(timeseq_add(&s, NULL, NULL));
}

static void the_oldest_is_forgotten_and_time_goes_on(void **state)
{
	(void)state;
	for (unsigned i = 0; i < TIMESEQ_POINTS + 10; i++) {
		end_sends(&x, 10);
		end_acked(&x, 10);
		add(SECOND);
	}
	assert_int_equal(s.n, TIMESEQ_POINTS);
	assert_int_equal(s.point[s.first].una, 100);
	x.taken -= 10 * SECOND;
	assert_true(timeseq_add(&s, &x, &y)); /* an older one adds nothing */
	assert_int_equal(s.n, TIMESEQ_POINTS);
	assert_int_equal(s.point[s.first].una, 100);
}

/* Draws; checks the size; counts C in the field of the plot. */
static unsigned drawn(unsigned width, unsigned height, char c)
{
	unsigned lines = 0, count = 0;

	t.len = t.line = 0;
	timeseq_draw(&t, &s, width, height);
	for (const char *p = t.data; *p; p = strchr(p, '\n') + 1, lines++) {
		size_t n = strcspn(p, "\n");

		if (view_cells_n(p, n) > width)
			fail_msg("too wide: %.*s", (int)n, p);
		if (lines < height - 3)
			for (size_t i = 10; i < n; i++)
				count += p[i] == c;
	}
	if (lines != height)
		fail_msg("%u lines, not %u:\n%s", lines, height, t.data);
	return count;
}

static void a_plot_of_every_size(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 40; i++) {
		end_sends(&x, 3000);
		add(SECOND / 2);
		end_acked(&x, i % 2 ? 3000 : 0);
	}
	for (unsigned width = 60; width < 200; width += 13)
		for (unsigned height = 6; height < 40; height += 7)
			assert_true(drawn(width, height, '#') > 0);
	assert_non_null(strstr(t.data, "in flight: "));
	assert_non_null(strstr(t.data, "0 s"));
	t.ascii = false;
	assert_int_equal(drawn(100, 20, '#'), 0);
	assert_non_null(strstr(t.data, "█"));
}

static void what_stands_still_is_a_line(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 100; i++)
		add(SECOND);
	assert_int_equal(drawn(80, 16, '#'), 0);
	assert_int_equal(drawn(80, 16, '_'), 70); /* the whole width, once */
	assert_int_equal(drawn(80, 16, '='), 70);
	/* Sent, and no ACK comes: from then on it is in flight. */
	end_sends(&x, 30000);
	for (unsigned i = 0; i < 100; i++)
		add(SECOND);
	assert_in_range(drawn(80, 16, '_'), 34, 36);
	assert_true(drawn(80, 16, '#') > 34);
}

static void nothing_is_drawn_of_the_future(void **state)
{
	(void)state;
	add(SECOND);
	add(SECOND); /* one second of the ten that are shown */
	assert_in_range(drawn(80, 16, '_'), 6, 9);
}

static void a_wide_window_does_not_flatten_the_rest(void **state)
{
	(void)state;
	x.snd_wnd = 100000000;
	for (unsigned i = 0; i < 20; i++) {
		end_sends(&x, 1000);
		end_acked(&x, 1000);
		add(SECOND);
	}
	assert_int_equal(drawn(80, 16, '='), 0);
	assert_non_null(strstr(t.data, ", above"));
	assert_true(drawn(80, 16, '_') > 60);
}

static void nothing_known(void **state)
{
	(void)state;
	timeseq_draw(&t, &s, 80, 16);
	assert_string_equal(t.data, "Of this direction no numbers are known.\n");
}

/* ---- The state diagram ----------------------------------------------------------------------- */

static void diagram(int a, int b, uint16_t seen)
{
	struct state_marks m = { { a, b }, { seen, seen } };
	unsigned lines = 0;

	t.len = t.line = 0;
	state_diagram(&t, &m);
	for (const char *p = t.data; *p; p = strchr(p, '\n') + 1, lines++)
		assert_true(view_cells_n(p, strcspn(p, "\n")) <= STATE_DIAGRAM_WIDTH);
	assert_int_equal(lines, STATE_DIAGRAM_LINES);
}

static unsigned times(const char *part)
{
	unsigned n = 0;

	for (const char *p = t.data; (p = strstr(p, part)); p++)
		n++;
	return n;
}

static void every_state_is_there_and_can_be_marked(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CPL_STATES; i++) {
		const char *name = view_state_rfc(i);

		diagram((int)i, (int)i, 0);
		assert_int_equal(times(name), i == CPL_CLOSED ? 2 : 1);
		assert_int_equal(times(word_format("A> %s <B", name).s), 1);
		assert_int_equal(times("A>"), 1);
		diagram((int)i, -1, 0);
		assert_int_equal(times("<B"), 0);
	}
	diagram(-1, -1, 0);
	assert_int_equal(times("A>") + times("<B"), 0);
}

static void a_connection_ends_in_the_lower_closed(void **state)
{
	(void)state;
	diagram(CPL_CLOSED, -1, 0);
	assert_true(strstr(t.data, "A>") < strchr(t.data, '\n'));
	diagram(CPL_CLOSED, -1, 1u << CPL_ESTABLISHED | 1u << CPL_LAST_ACK);
	assert_true(strstr(t.data, "A>") > strstr(t.data, "LAST-ACK"));
}

static void ascii_is_ascii(void **state)
{
	(void)state;
	diagram(CPL_ESTABLISHED, CPL_CLOSE_WAIT, 0xffff);
	for (const char *p = t.data; *p; p++)
		assert_true(*p == '\n' || (*p >= 0x20 && *p < 0x7f));
	t.ascii = false;
	diagram(CPL_ESTABLISHED, CPL_CLOSE_WAIT, 0xffff);
	assert_int_equal(times("A► ESTABLISHED"), 1);
	assert_int_equal(times("CLOSE-WAIT ◄B"), 1);
}

static void states_that_were_seen_are_bold(void **state)
{
	(void)state;
	t.colour = true;
	diagram(-1, -1, 1u << CPL_CLOSING);
	assert_int_equal(times("\033[1m"), 7); /* a letter each */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(sequence_numbers_are_unwrapped, setup, teardown),
		cmocka_unit_test_setup_teardown(counters_serve_where_numbers_are_unknown, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_receiver_serves_where_the_sender_is_not_seen,
						setup, teardown),
		cmocka_unit_test_setup_teardown(the_oldest_is_forgotten_and_time_goes_on, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_plot_of_every_size, setup, teardown),
		cmocka_unit_test_setup_teardown(what_stands_still_is_a_line, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_is_drawn_of_the_future, setup, teardown),
		cmocka_unit_test_setup_teardown(a_wide_window_does_not_flatten_the_rest, setup,
						teardown),
		cmocka_unit_test_setup_teardown(nothing_known, setup, teardown),
		cmocka_unit_test_setup_teardown(every_state_is_there_and_can_be_marked, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_connection_ends_in_the_lower_closed, setup,
						teardown),
		cmocka_unit_test_setup_teardown(ascii_is_ascii, setup, teardown),
		cmocka_unit_test_setup_teardown(states_that_were_seen_are_bold, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
