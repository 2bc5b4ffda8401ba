/* SPDX-License-Identifier: MIT */
/* The texts of `couplet explain`: complete, short, and leading to each other. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "view/explain.h"
#include "view/field.h"

static struct text t;

static int setup(void **state)
{
	(void)state;
	text_init(&t);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	text_free(&t);
	return 0;
}

static bool explains(const char *word)
{
	text_free(&t);
	return view_explain(&t, word) == 0;
}

/* At most 12 lines of 80 columns. */
static void check_size(const char *word)
{
	unsigned lines = 0;

	for (const char *s = t.data; *s; s = strchr(s, '\n') + 1, lines++) {
		size_t n = strcspn(s, "\n");

		if (view_cells_n(s, n) > 80)
			fail_msg("%s: too wide: %.*s", word, (int)n, s);
	}
	if (lines > 12)
		fail_msg("%s: %u lines:\n%s", word, lines, t.data);
}

/* Everything named after "See" exists. */
static void check_see(const char *word)
{
	const char *see = strstr(t.data, "\nSee ");
	char list[200];

	if (!see)
		return;
	snprintf(list, sizeof(list), "%s", see + 5);
	for (char *s = strtok(list, ",\n"); s; s = strtok(NULL, ",\n")) {
		struct text other;

		s += strspn(s, " ");
		text_init(&other);
		if (view_explain(&other, s) < 0)
			fail_msg("%s: see \"%s\", which is not explained", word, s);
		text_free(&other);
	}
}

static void every_word(void **state)
{
	unsigned n = 0;

	(void)state;
	for (; view_explain_word(n); n++) {
		const char *word = view_explain_word(n);

		if (!explains(word))
			fail_msg("%s is not explained", word);
		check_size(word);
		check_see(word);
	}
	assert_true(n > CPL_FIELDS + 60);
}

static void every_alias(void **state)
{
	static const struct {
		const char *word, *aliases;
	} rows[] = {
#define EXPLAIN(theme, word, aliases, title, source, text) { word, aliases },
#include "view/explain.def"
	};
	size_t n = sizeof(rows) / sizeof(*rows);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		char list[300];

		snprintf(list, sizeof(list), "%s", rows[i].aliases);
		for (char *s = strtok(list, ","); s; s = strtok(NULL, ",")) {
			assert_true(explains(s));
			/* An alias leads to its own entry, not to one that came earlier. */
			if (strncmp(t.data, rows[i].word, strlen(rows[i].word)) != 0)
				fail_msg("\"%s\" of %s leads elsewhere: %.40s", s, rows[i].word,
					 t.data);
			check_size(s);
		}
	}
}

static void states_reasons_and_columns(void **state)
{
	static const char *const wanted[] = {
		"connection",
		"tcb",
		"socket",
		"handshake",
		"port",
		"listen",
		"backlog",
		"half-open",
		"half_open",
		"Half Open",
		"recv-q",
		"Recv-Q",
		"send-q",
		"Local-Address",
		"Foreign-Address",
		"(state)",
		"Proto",
		"window",
		"sequence number",
		"iss",
		"ack",
		"mss",
		"rto",
		"cwnd",
		"sack",
		"timestamps",
		"FIN_WAIT2",
		"fin-wait-2",
		"rst",
		"keepalive",
		"nagle",
		"mtu",
		"syn cookie",
		"netstat",
		"shared-state",
		"SYN_RECV",
		"ESTAB",
		"snd_wl1",
		"drop_tcp_paws",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
		if (!explains(wanted[i]))
			fail_msg("\"%s\" is not explained", wanted[i]);
	for (unsigned s = 0; s < CPL_STATES; s++) {
		assert_true(explains(view_state_rfc(s)));
		assert_non_null(strstr(t.data, view_state_rfc(s)));
		assert_true(explains(view_state_name(s)));
	}
	for (unsigned w = 0; w < CPL_WHYS; w++) {
		assert_true(explains(view_why_name(w)));
		if (!strstr(t.data, "why") && !strstr(t.data, "reason for not sending"))
			fail_msg("%s does not say what it means for sending", view_why_name(w));
	}
	assert_true(explains("snd_nxt")); /* a field that an entry covers is named in it */
	assert_non_null(strstr(t.data, "SND.NXT: next sequence number to send"));
}

static void unknown_words(void **state)
{
	const char *near[4];
	unsigned n;

	(void)state;
	assert_int_equal(view_explain(&t, "flux capacitor"), -ENOENT);
	assert_int_equal(view_explain(&t, ""), -ENOENT);
	assert_int_equal(view_explain(&t, "-"), -ENOENT);
	n = view_explain_near("nagel", near, 4);
	assert_true(n >= 1);
	assert_string_equal(near[0], "nagle");
	n = view_explain_near("time-wiat", near, 4);
	assert_true(n >= 1);
	assert_string_equal(near[0], "time-wait");
	n = view_explain_near("handshak", near, 4);
	assert_true(n >= 1);
	assert_string_equal(near[0], "handshake");
	n = view_explain_near("wnd", near, 4);
	assert_int_equal(n, 4);
	assert_int_equal(view_explain_near("zzzzzzzzzzzzzzzz", near, 4), 0);
	assert_int_equal(view_explain_near("", near, 4), 0);
}

static void list(void **state)
{
	unsigned lines = 0;

	(void)state;
	view_explain_list(&t);
	for (const char *s = t.data; *s; s = strchr(s, '\n') + 1, lines++)
		assert_true(view_cells_n(s, strcspn(s, "\n")) <= 80);
	assert_true(lines < 30);
	assert_non_null(strstr(t.data, "States"));
	assert_non_null(strstr(t.data, "fin-wait-2"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(every_word),	  T(every_alias), T(states_reasons_and_columns),
		T(unknown_words), T(list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
