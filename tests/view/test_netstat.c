/* SPDX-License-Identifier: MIT */
/* The classic table. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/view/ends.h"
#include "view/netstat.h"

static void table(void **state)
{
	struct cpl_info x, y, listener, udp;
	struct view_row rows[4] = { { .info = &x },
				    { .info = &y, .foreign = "client.example:40000" },
				    { .info = &listener },
				    { .info = &udp } };
	struct text t;

	(void)state;
	ends_init(&x, &y);
	end_sends(&x, 2896);
	listener = y;
	listener.state = CPL_LISTEN;
	listener.recv_queue = 77; /* not what a listener's Recv-Q means */
	CPL_INFO_READ(&listener, accept_queue, 2);
	CPL_INFO_READ(&listener, backlog, 128);
	memset(&listener.local_addr, 0, sizeof(listener.local_addr));
	memset(&listener.remote_addr, 0, sizeof(listener.remote_addr));
	listener.remote_port = 0;
	listener.family = 6;
	udp = x;
	udp.protocol = 17;
	forget(&udp, CPL_F_send_queue);
	text_init(&t);
	view_netstat(&t, rows, 4, 0);
	assert_string_equal(t.data,
			    "Proto Recv-Q Send-Q Local-Address  Foreign-Address      (state)\n"
			    "tcp        0   2896 10.0.0.1:40000 10.0.0.2:80          ESTABLISHED\n"
			    "tcp        0      0 10.0.0.2:80    client.example:40000 ESTABLISHED\n"
			    "tcp6       2    128 *:80           *:*                  LISTEN\n"
			    "udp        0      - 10.0.0.1:40000 10.0.0.2:80\n");
	text_free(&t);
	text_init(&t);
	view_netstat(&t, rows, 1,
		     VIEW_NETSTAT_NUMBER | VIEW_NETSTAT_PROGRAM | VIEW_NETSTAT_SOURCE |
			     VIEW_NETSTAT_BARE);
	assert_string_equal(t.data, "#1 tcp        0   2896 10.0.0.1:40000 10.0.0.2:80     "
				    "ESTABLISHED couplet 4711/curl\n");
	text_free(&t);
}

static void unknown_is_a_dash(void **state)
{
	struct cpl_info none = { 0 };
	struct view_row row = { .info = &none };
	struct text t;

	(void)state;
	text_init(&t);
	view_netstat(&t, &row, 1, VIEW_NETSTAT_BARE | VIEW_NETSTAT_PROGRAM);
	assert_string_equal(t.data,
			    "tcp        -      - -             -               -       -\n");
	text_free(&t);
}

/* A name from a resolver is foreign text: whole, and harmless. */
static void names_are_not_cut(void **state)
{
	char name[300];
	struct cpl_info x;
	struct view_row row = { .info = &x, .local = name };
	struct text t;

	(void)state;
	end_init(&x, 0);
	memset(name, 'n', sizeof(name));
	name[299] = 0;
	name[5] = 27;
	text_init(&t);
	view_netstat(&t, &row, 1, VIEW_NETSTAT_BARE);
	name[5] = '?';
	assert_non_null(strstr(t.data, name));
	assert_null(strchr(t.data, 27));
	text_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table),
		cmocka_unit_test(unknown_is_a_dash),
		cmocka_unit_test(names_are_not_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
