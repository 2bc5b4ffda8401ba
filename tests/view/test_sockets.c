/* SPDX-License-Identifier: MIT */
/* Descriptor, socket, connection: the cases in which the three are not one to one. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/view/ends.h"
#include "view/sockets.h"

static struct cpl_info info[8];
static size_t n;
static struct text t;

static struct cpl_info *add(enum cpl_state state, uint64_t inode)
{
	struct cpl_info *i = &info[n++];

	end_init(i, 1);
	i->source = CPL_SOURCE_SOCK_DIAG;
	forget(i, CPL_F_pid);
	forget(i, CPL_F_program);
	CPL_INFO_READ(i, state, state);
	i->remote_port = (uint16_t)(40000 + n);
	if (inode)
		CPL_INFO_READ(i, inode, inode);
	return i;
}

static struct cpl_info *add_listener(uint64_t inode)
{
	struct cpl_info *l = add(CPL_LISTEN, inode);

	l->remote_port = 0;
	CPL_INFO_READ(l, accept_queue, 1);
	CPL_INFO_READ(l, backlog, 128);
	return l;
}

static const struct view_descriptor held[] = {
	{ 100, 812, 6, "nginx" }, { 100, 813, 6, "nginx" }, { 200, 812, 9, "nginx" },
	{ 200, 812, 7, "nginx" }, { 300, 700, 3, "curl" },  { 999, 700, 4, "curl" },
};

static char *draw(const bool *shown, bool whole)
{
	struct view_sockets s = {
		.info = info,
		.n = n,
		.shown = shown,
		.whole = whole,
		.descriptor = held,
		.descriptors = sizeof(held) / sizeof(*held),
	};

	text_free(&t);
	text_init(&t);
	t.ascii = true;
	assert_int_equal(view_sockets(&t, &s), 0);
	return t.data ? t.data : "";
}

static int setup(void **state)
{
	(void)state;
	n = 0;
	text_init(&t);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	text_free(&t);
	return 0;
}

static void the_hard_cases(void **state)
{
	(void)state;
	add_listener(100);
	add(CPL_ESTABLISHED, 200);
	add(CPL_ESTABLISHED, 0); /* waits to be accepted */
	add(CPL_TIME_WAIT, 0);
	add(CPL_FIN_WAIT_2, 0);
	add(CPL_CLOSED, 300)->remote_port = 0;
	add(CPL_ESTABLISHED, 400); /* somebody's whom we do not see */
	assert_string_equal(
		draw(NULL, true),
		"curl (pid 700)\n"
		"  fd 3 -----> socket 300 -------> CLOSED      10.0.0.2:80\n"
		"              bound to a port and not used: neither listening nor connected\n"
		"  and 1 socket of other kinds, or never bound\n"
		"\n"
		"nginx (pid 812)\n"
		"  fd 6 -----> socket 100 -------> LISTEN      10.0.0.2:80\n"
		"              listens, has no connection; 1 of at most 128 wait for accept()\n"
		"              the same socket: fd 6 of pid 813 (fork, or passed on)\n"
		"  no fd       not accepted -----> ESTABLISHED 10.0.0.2:80 - 10.0.0.1:40003\n"
		"              a connection without a descriptor: it waits in the queue of socket\n"
		"              100\n"
		"  fd 7,9 ---> socket 200 -------> ESTABLISHED 10.0.0.2:80 - 10.0.0.1:40002\n"
		"              2 descriptors of one socket (dup): it closes with the last of them\n"
		"\n"
		"nginx (pid 813)\n"
		"  fd 6 -----> socket 100 -------> as fd 6 of pid 812\n"
		"\n"
		"no process that /proc shows here\n"
		"  fd ?        socket 400 -------> ESTABLISHED 10.0.0.2:80 - 10.0.0.1:40007\n"
		"\n"
		"no descriptor\n"
		"  no fd       no socket --------> TIME_WAIT   10.0.0.2:80 - 10.0.0.1:40004\n"
		"              over, and no socket any more: only the ports are remembered\n"
		"  no fd       orphan -----------> FIN_WAIT_2  10.0.0.2:80 - 10.0.0.1:40005\n"
		"              closed by its program: the kernel finishes it alone\n");
}

/* What is not meant is not drawn, but still serves to explain the rest. */
static void only_what_is_meant(void **state)
{
	bool shown[8] = { false, true };

	(void)state;
	add_listener(100);
	add(CPL_ESTABLISHED, 200);
	add(CPL_TIME_WAIT, 0);
	assert_string_equal(
		draw(shown, false),
		"nginx (pid 812)\n"
		"  fd 7,9 ---> socket 200 -------> ESTABLISHED 10.0.0.2:80 - 10.0.0.1:40002\n"
		"              2 descriptors of one socket (dup): it closes with the last of "
		"them\n");
}

static void unix_sockets(void **state)
{
	struct cpl_info *i;

	(void)state;
	for (uint64_t inode = 200; inode <= 300; inode += 100) {
		i = add(CPL_ESTABLISHED, inode);
		i->family = 1;
		i->protocol = 0;
		CPL_INFO_READ(i, peer_inode, 500 - inode);
	}
	strcpy(info[0].path, "/run/x");
	cpl_info_mark_read(&info[0], CPL_F_path);
	draw(NULL, false);
	assert_non_null(strstr(t.data, "unix /run/x - socket 300 of curl (pid 700)\n"));
	assert_non_null(strstr(t.data, "unix - socket 200 of nginx (pid 812)\n"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(the_hard_cases),
		T(only_what_is_meant),
		T(unix_sockets),
	};

	return cmocka_run_group_tests_name("sockets", tests, NULL, NULL);
}
