/* SPDX-License-Identifier: MIT */
/* The pictures: well-formed whatever the names are, the same each time, and complete. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/view/ends.h"
#include "tests/view/records.h"
#include "tcp/tcp.h"
#include "view/edge.h"
#include "view/svg.h"

static struct text t;
static struct tape tape;
static struct cpl_info x, y;

static int setup(void **state)
{
	(void)state;
	text_init(&t);
	tape_init(&tape);
	ends_init(&x, &y);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	text_free(&t);
	return 0;
}

static unsigned count(const char *part)
{
	unsigned n = 0;

	for (const char *s = t.data; (s = strstr(s, part)); s += strlen(part))
		n++;
	return n;
}

/* Every element is closed in its turn, attributes are quoted, no bare & or <. */
static void check_xml(void)
{
	char open[20][16];
	unsigned depth = 0;
	const char *s = t.data;

	assert_int_equal(strncmp(s, "<svg ", 5), 0);
	while (*s) {
		const char *end = strchr(s, '>');
		char name[16] = "";

		if (*s == '&')
			assert_true(!strncmp(s, "&amp;", 5) || !strncmp(s, "&lt;", 4) ||
				    !strncmp(s, "&gt;", 4) || !strncmp(s, "&quot;", 6));
		if (*s != '<') {
			assert_true((unsigned char)*s >= 0x20 || *s == '\n');
			s++;
			continue;
		}
		assert_non_null(end);
		sscanf(s[1] == '/' ? s + 2 : s + 1, "%15[a-z]", name);
		if (s[1] == '/') {
			assert_true(depth > 0);
			assert_string_equal(open[--depth], name);
		} else if (end[-1] != '/') {
			assert_true(depth < 20);
			strcpy(open[depth++], name);
		}
		unsigned quotes = 0;

		for (const char *p = s; p < end; p++)
			quotes += *p == '"';
		assert_int_equal(quotes % 2, 0);
		s = end + 1;
	}
	assert_int_equal(depth, 0);
}

/* Draws twice, and checks that both are equal. */
#define DRAW(call)                                                                                 \
	do {                                                                                       \
		char *first;                                                                       \
                                                                                                   \
		text_free(&t);                                                                     \
		call;                                                                              \
		check_xml();                                                                       \
		first = strdup(t.data);                                                            \
		text_free(&t);                                                                     \
		call;                                                                              \
		assert_string_equal(first, t.data);                                                \
		free(first);                                                                       \
	} while (0)

static void states(void **state)
{
	struct view_walk walk = { 0 };
	unsigned plain;

	(void)state;
	DRAW(view_svg_states(&t, NULL, NULL, NULL));
	for (unsigned s = 0; s < CPL_STATES; s++)
		assert_non_null(strstr(t.data, view_state_rfc(s)));
	/* Every edge of the figure has its line, its head and its label. */
	plain = 0;
	for (unsigned i = 0; i < view_edges_n; i++) {
		const char *label = view_edges[i].label, *slash = strstr(label, " / ");
		struct view_word event;

		if (strcmp(label, VIEW_EDGE_RESET) == 0 ||
		    (view_edges[i].from == CPL_SYN_RECEIVED && view_edges[i].to == CPL_CLOSE_WAIT))
			continue;
		plain++;
		event = word_format(">%.*s<", slash ? (int)(slash - label) : (int)strlen(label),
				    label);
		if (!strstr(t.data, event.s))
			fail_msg("no label %s", event.s);
	}
	assert_int_equal(count("<path"), 2 * plain);
	assert_int_equal(count("stroke-width=\"3\""), 0);

	tape_handshake(&tape);
	tape_close(&tape, 1);
	view_walk_add(&walk, 0, tape.r[0], tape.n[0]);
	view_walk_add(&walk, 1, tape.r[1], tape.n[1]);
	DRAW(view_svg_states(&t, &walk, "client", "server"));
	/* 6 edges of the client, 5 of the server, and the legend's two lines. */
	assert_int_equal(count("stroke-width=\"3\""), 6 + 5 + 2);
	assert_non_null(strstr(t.data, "the way of client"));
}

static void resets_are_told(void **state)
{
	struct view_walk walk = { 0 };

	(void)state;
	walk.walked[1][CPL_ESTABLISHED] = 1u << CPL_CLOSED;
	walk.walked[0][CPL_SYN_RECEIVED] = 1u << CPL_CLOSE_WAIT;
	DRAW(view_svg_states(&t, &walk, "client", "server"));
	assert_non_null(strstr(t.data, "leads to CLOSED; server did so from ESTABLISHED<"));
	assert_non_null(strstr(t.data, "to CLOSE-WAIT; client did so from SYN-RECEIVED<"));
}

static void ladder(void **state)
{
	struct view_ladder l;

	(void)state;
	tape_handshake(&tape);
	tape_out(&tape, 0, 1, 1, 1000, F_ACK, 0);
	tape.now += CPL_SECOND;
	tape_close(&tape, 1001);
	assert_int_equal(tape_ladder(&tape, &l, 0), 0);
	DRAW(view_svg_ladder(&t, &l));
	assert_int_equal(count(">lost<"), 1);
	assert_non_null(strstr(t.data, ">SYN,ACK seq 0 ack 1<"));
	assert_non_null(strstr(t.data, ">TIME-WAIT<"));
	strcpy(l.name[0], "<b>&\"\033");
	DRAW(view_svg_ladder(&t, &l));
	assert_null(strstr(t.data, "<b>"));
	view_ladder_free(&l);
}

static void drawing(void **state)
{
	struct view_scene scene = { .x_host = "client",
				    .y_host = "</text><script>",
				    .x = &x,
				    .y = &y,
				    .wire = "40 ms, <2% loss & more" };

	(void)state;
	end_sends(&x, 2896);
	strcpy(x.program, "a<b>&\"c");
	DRAW(view_svg_drawing(&t, &scene));
	assert_non_null(strstr(t.data, ">iss+3897<"));
	assert_non_null(strstr(t.data, ">a&lt;b&gt;&amp;&quot;c, pid 4711<"));
	assert_non_null(strstr(t.data, ">2,896 bytes<"));
	assert_null(strstr(t.data, "<script"));
	scene.y = NULL;
	DRAW(view_svg_drawing(&t, &scene));
	assert_non_null(strstr(t.data, "no control block"));
}

static void edges(void **state)
{
	unsigned n = 0;

	(void)state;
	for (unsigned i = 0; i < view_edges_n; i++) {
		assert_true(view_edges[i].from != view_edges[i].to);
		for (unsigned j = 0; j < i; j++)
			assert_false(view_edges[i].from == view_edges[j].from &&
				     view_edges[i].to == view_edges[j].to);
	}
	for (unsigned from = 0; from < CPL_STATES; from++) {
		/* Every state can be left for CLOSED (note 3), but CLOSED itself. */
		assert_int_equal(view_edge_legal(from, CPL_CLOSED), from != CPL_CLOSED);
		for (unsigned to = 0; to < CPL_STATES; to++)
			n += view_edge_legal(from, to);
	}
	assert_int_equal(n, view_edges_n);
	assert_false(view_edge_legal(CPL_ESTABLISHED, CPL_TIME_WAIT));
	assert_false(view_edge_legal(CPL_TIME_WAIT, CPL_ESTABLISHED));
}

/* What is drawn is what the stack asserts against. */
static void edges_are_the_stacks(void **state)
{
	(void)state;
	assert_int_equal(tcp_edges_n, view_edges_n);
	for (unsigned i = 0; i < tcp_edges_n; i++)
		if (!view_edge_legal(tcp_edges[i].from, tcp_edges[i].to))
			fail_msg("%s to %s is not in the diagram",
				 view_state_rfc(tcp_edges[i].from),
				 view_state_rfc(tcp_edges[i].to));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(states),  T(resets_are_told), T(ladder),
		T(drawing), T(edges),		T(edges_are_the_stacks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
