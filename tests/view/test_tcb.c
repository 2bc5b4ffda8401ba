/* SPDX-License-Identifier: MIT */
/* Fields, the TCB in full, two TCBs side by side, and what changed from one snapshot to the next.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/view/ends.h"
#include "view/tcb.h"

static struct cpl_info x, y;
static struct text t;

static int setup(void **state)
{
	(void)state;
	ends_init(&x, &y);
	text_init(&t);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	text_free(&t);
	return 0;
}

#define has(part)                                                                                  \
	do {                                                                                       \
		if (!strstr(t.data, part))                                                         \
			fail_msg("\"%s\" is not in:\n%s", part, t.data);                           \
	} while (0)

/* Lines of at most WIDTH columns; returns how many. */
static unsigned check_width(unsigned width)
{
	unsigned lines = 0;

	for (const char *s = t.data; *s; s = strchr(s, '\n') + 1, lines++) {
		size_t n = strcspn(s, "\n");

		if (view_cells_n(s, n) > width)
			fail_msg("too wide: %.*s", (int)n, s);
	}
	return lines;
}

static void every_field_is_in_the_table(void **state)
{
	(void)state;
	for (int f = 0; f < CPL_FIELDS; f++) {
		assert_int_equal(view_field_find(view_fields[f].name), f);
		assert_true(view_fields[f].offset >= offsetof(struct cpl_info, source));
		assert_string_not_equal(view_group_title(view_fields[f].group),
					view_fields[f].group);
	}
	assert_int_equal(view_field_find("no_such"), -1);
	assert_string_equal(view_fields[CPL_F_snd_una].group, "send");
}

static void get_and_set(void **state)
{
	uint64_t v;

	(void)state;
	assert_true(view_get(&x, CPL_F_local_port, &v));
	assert_int_equal(v, 40000);
	assert_false(view_get(&x, CPL_F_local_addr, &v)); /* no number */
	assert_false(view_get(&x, CPL_F_pmtu, &v));	  /* unknown */
	assert_int_equal(v, 0);
	assert_true(view_set(&x, CPL_F_local_port, 65535));
	assert_int_equal(x.local_port, 65535);
	assert_false(view_set(&x, CPL_F_local_port, 65536));
	assert_false(view_set(&x, CPL_F_state, 256));
	assert_false(view_set(&x, CPL_F_cc_name, 1));
}

static void words(void **state)
{
	(void)state;
	assert_string_equal(view_field_word(&x, CPL_F_state, 0).s, "ESTABLISHED");
	assert_string_equal(view_field_word(&x, CPL_F_snd_una, 0).s, "1001001");
	assert_string_equal(view_field_word(&x, CPL_F_snd_una, VIEW_RELATIVE).s, "iss+1001");
	assert_string_equal(view_field_word(&x, CPL_F_rcv_nxt, VIEW_RELATIVE).s, "irs+5001");
	CPL_INFO_READ(&x, snd_wl1, x.irs + 3);
	CPL_INFO_READ(&x, snd_wl2, x.iss + 3);
	assert_string_equal(view_field_word(&x, CPL_F_snd_wl1, VIEW_RELATIVE).s, "irs+3");
	assert_string_equal(view_field_word(&x, CPL_F_snd_wl2, VIEW_RELATIVE).s, "iss+3");
	assert_string_equal(view_field_word(&x, CPL_F_pmtu, 0).s, "-");
	assert_string_equal(view_field_word(&x, CPL_F_ssthresh, 0).s, "none yet");
	assert_string_equal(view_field_word(&x, CPL_F_local_addr, 0).s, "10.0.0.1");
	assert_string_equal(view_field_word(&x, CPL_F_pid, 0).s, "4711");
	assert_string_equal(view_field_word(&x, CPL_F_timer_keep, 0).s, "off");
	memset(x.program, 'A', sizeof(x.program)); /* from a source that lies */
	assert_string_equal(view_field_word(&x, CPL_F_program, 0).s, "AAAAAAAAAAAAAAA");
	x.program[0] = 27;
	assert_int_equal(view_field_word(&x, CPL_F_program, 0).s[0], '?');
	forget(&x, CPL_F_iss);
	assert_string_equal(view_field_word(&x, CPL_F_snd_una, VIEW_RELATIVE).s, "1001001");
}

static void whole_block(void **state)
{
	(void)state;
	forget(&x, CPL_F_irs);
	cpl_info_mark_derived(&x, CPL_F_irs);
	view_tcb(&t, &x, 0);
	check_width(80);
	has("Send sequence variables\n  iss                1000000 ");
	has("snd_una            1001001 iss+1001");
	has("irs                ~4294967000");
	has("~ computed from other values, not read");
	has("unknown: ifindex id age netns");
	assert_null(strstr(t.data, "Listener")); /* nothing of it is known */
	assert_null(strstr(t.data, "enum"));
	teardown(NULL);
	text_init(&t);
	view_tcb(&t, &x, VIEW_VERBOSE);
	check_width(80);
	for (int f = 0; f < CPL_FIELDS; f++)
		if (view_field_applies(&x, (enum cpl_field)f))
			has(view_fields[f].name);
	has("accept_queue       -");
	assert_null(strstr(t.data, "socket_type")); /* of UNIX sockets only */
}

/* Of another kind of socket only what that kind has; a path may be as long as it likes. */
static void other_kinds(void **state)
{
	struct cpl_info i;

	(void)state;
	memset(&i, 0, sizeof(i));
	CPL_INFO_READ(&i, family, 1);
	CPL_INFO_READ(&i, protocol, 0);
	CPL_INFO_READ(&i, socket_type, 1);
	CPL_INFO_READ(&i, recv_queue, 5);
	memset(i.path, 'p', sizeof(i.path) - 1);
	CPL_INFO_DERIVED(&i, peer_inode, 1234567);
	cpl_info_mark_derived(&i, CPL_F_path);
	text_init(&t);
	view_tcb(&t, &i, VIEW_VERBOSE);
	check_width(80);
	has("family             UNIX");
	has("protocol           none");
	has("socket_type        stream");
	has("peer_inode         ~1234567");
	has("path               ~pppp");
	has("\n                     pppp");
	has("send_queue         -");
	assert_null(strstr(t.data, "iss"));
	assert_null(strstr(t.data, "local_addr"));
	assert_null(strstr(t.data, "Round-trip"));
	teardown(NULL);
	i.family = 4;
	i.protocol = 17;
	i.read[CPL_F_socket_type / 64] &= ~((uint64_t)1 << (CPL_F_socket_type % 64));
	i.derived[CPL_F_path / 64] = 0;
	i.derived[CPL_F_peer_inode / 64] = 0;
	text_init(&t);
	view_tcb(&t, &i, 0);
	has("protocol           UDP");
	has("unknown: source local_addr local_port remote_addr remote_port ifindex id taken\n");
	assert_null(strstr(t.data, "snd_una"));
	assert_null(strstr(t.data, "path"));
}

static void side_by_side(void **state)
{
	(void)state;
	end_sends(&x, 2896);
	end_receives(&y, 1448);
	view_tcbs(&t, "client", &x, "server", &y, 0);
	assert_true(check_width(80) <= 24);
	has("snd_una      iss+1001                  <   rcv_nxt      irs+2449");
	has("snd_nxt      iss+3897                  >   rcv_nxt      irs+2449");
	has("iss          1000000                   =   irs          1000000");
	has("una+snd_wnd  iss+66537                 <   rcv_edge     irs+67985");
	has("rcv_nxt      irs+5001                  =   snd_una      iss+5001");
	assert_null(strstr(t.data, "!"));
}

static void broken_rows_are_marked(void **state)
{
	(void)state;
	y.rcv_nxt += 10;
	view_tcbs(&t, "client", &x, "server", &y, 0);
	has("snd_nxt      iss+1001                  !   rcv_nxt      irs+1011");
	teardown(NULL);
	text_init(&t);
	y.rcv_nxt -= 10;
	x.rcv_nxt += 10; /* the other direction */
	view_tcbs(&t, "client", &x, "server", &y, 0);
	has("rcv_nxt      irs+5011                  !   snd_nxt      iss+5001");
	has("rcv_nxt      irs+5011                  >   snd_una      iss+5001");
	teardown(NULL);
	text_init(&t);
	forget(&y, CPL_F_irs);
	view_tcbs(&t, "client", &x, "server", &y, 0);
	has("snd_una      1001001                   =   rcv_nxt      1001001");
}

static void largest_values_fit(void **state)
{
	(void)state;
	for (int f = 0; f < CPL_FIELDS; f++) {
		uint64_t most = view_fields[f].size >= 8
					? CPL_TIMER_OFF - 1
					: ((uint64_t)1 << 8 * view_fields[f].size) - 1;

		if (view_fields[f].type < VIEW_TYPE_ip && f != CPL_F_state) {
			view_set(&x, (enum cpl_field)f, most);
			cpl_info_mark_read(&x, (enum cpl_field)f);
			view_set(&y, (enum cpl_field)f, most);
			cpl_info_mark_read(&y, (enum cpl_field)f);
		}
	}
	x.iss = x.snd_una + 1; /* the longest relative numbers */
	memset(&x.local_addr, 0xfd, 16);
	memset(&y.remote_addr, 0xfd, 16);
	memset(&x.remote_addr, 0xfd, 16);
	view_tcbs(&t, "a-name-that-is-long-enough-to-hurt", &x, "server", &y, VIEW_VERBOSE);
	view_tcb(&t, &x, VIEW_VERBOSE);
	check_width(80);
}

static void one_side_missing(void **state)
{
	(void)state;
	view_tcbs(&t, "client", NULL, "server", &y, VIEW_VERBOSE);
	check_width(80);
	has("client       no such block             ");
	has("state        -                         !   state        ESTABLISHED");
	has("snd_una      -                         ?   rcv_nxt      irs+1001");
}

static void long_addresses(void **state)
{
	(void)state;
	memset(&x.local_addr, 0xfd, 16);
	y.remote_addr = x.local_addr;
	view_tcbs(&t, "client", &x, "server", &y, 0);
	assert_true(check_width(80) <= 24);
	has("[fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd]:40000\n");
}

/* ---- Differences ----------------------------------------------------------------------------- */

static void nothing_changed(void **state)
{
	struct cpl_info old = x;
	enum cpl_field changed[CPL_FIELDS];

	(void)state;
	CPL_INFO_READ(&old, timer_rexmt, 200000000);
	CPL_INFO_READ(&old, age, 1000);
	x = old;
	x.taken += 50000000;
	x.timer_rexmt -= 50000000; /* it ran down */
	x.age += 50000000;
	assert_int_equal(view_diff(&old, &x, changed, 0), 0);
	assert_int_equal(view_diff(&old, &x, changed, VIEW_VERBOSE), 1);
	assert_int_equal(changed[0], CPL_F_taken);
}

static void what_changed(void **state)
{
	struct cpl_info old = x;
	enum cpl_field changed[CPL_FIELDS];

	(void)state;
	old.timer_rexmt = 200000000;
	CPL_INFO_READ(&old, last_sent, 900);
	x = old;
	x.taken += 50000000;
	x.snd_nxt += 1460;
	x.timer_rexmt = 200000000; /* set anew */
	x.last_sent = 100;
	x.state = CPL_FIN_WAIT_1;
	CPL_INFO_READ(&x, pmtu, 1500);
	assert_int_equal(view_diff(&old, &x, changed, 0), 5);
	assert_int_equal(changed[0], CPL_F_state);
	assert_int_equal(changed[1], CPL_F_snd_nxt);
	assert_int_equal(changed[2], CPL_F_pmtu);
	assert_int_equal(changed[3], CPL_F_timer_rexmt);
	assert_int_equal(changed[4], CPL_F_last_sent);
	assert_int_equal(view_diff_print(&t, &old, &x, 2, 0), 5);
	has("  state            ESTABLISHED -> FIN-WAIT-1\n");
	has("  snd_nxt          iss+1001 -> iss+2461\n");
	has("  pmtu             - -> 1,500\n");
}

static void timer_stops(void **state)
{
	struct cpl_info old = x;
	enum cpl_field changed[CPL_FIELDS];

	(void)state;
	old.timer_rexmt = 5000;
	assert_int_equal(view_diff(&old, &x, changed, 0), 1);
	assert_int_equal(changed[0], CPL_F_timer_rexmt);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(every_field_is_in_the_table),
		T(get_and_set),
		T(words),
		T(whole_block),
		T(other_kinds),
		T(side_by_side),
		T(broken_rows_are_marked),
		T(one_side_missing),
		T(largest_values_fit),
		T(long_addresses),
		T(nothing_changed),
		T(what_changed),
		T(timer_stops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
