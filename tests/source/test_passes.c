/* SPDX-License-Identifier: MIT */
/* Looking twice at a connection of our own, and what of it a snapshot file keeps. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "source/snapshot_file.h"

static int client = -1, server = -1;
static uint16_t client_port;
static struct passes passes;

static int make_connection(void **state)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t size = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &size), 0);
	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client, (struct sockaddr *)&at, sizeof(at)), 0);
	server = accept(listener, NULL, NULL);
	assert_true(server >= 0);
	close(listener);
	assert_int_equal(getsockname(client, (struct sockaddr *)&at, &size), 0);
	client_port = ntohs(at.sin_port);
	passes_init(&passes);
	return 0;
}

static int forget(void **state)
{
	(void)state;
	close(client);
	close(server);
	passes_free(&passes);
	return 0;
}

/* Our client's record of PASS, or our server's. */
static const struct cpl_info *find(unsigned pass, bool is_server)
{
	for (size_t i = 0; i < passes.set[pass].n; i++) {
		const struct cpl_info *info = &passes.set[pass].info[i];
		uint16_t port = is_server ? info->remote_port : info->local_port;

		if (port == client_port && info->state == CPL_ESTABLISHED)
			return info;
	}
	return NULL;
}

/* The kernel's connections alone: no rights are needed. */
static const struct source_options options = { .sources = SOURCE_SOCK_DIAG, .owners = true };

static void owners_are_carried_over(void **state)
{
	(void)state;
	for (unsigned i = 0; i < VIEW_PASSES; i++)
		assert_int_equal(passes_take(&passes, &options), 0);
	assert_int_equal(passes_take(&passes, &options), -ENOSPC);
	for (unsigned i = 0; i < VIEW_PASSES; i++) {
		assert_true(passes.ended[i] >= passes.began[i]);
		assert_true(!i || passes.began[i] >= passes.ended[i - 1]);
		for (unsigned end = 0; end < 2; end++) {
			const struct cpl_info *info = find(i, end);

			assert_non_null(info);
			assert_int_equal(info->pid, (uint32_t)getpid());
			assert_int_equal(info->fd, (uint32_t)(end ? server : client));
		}
	}
}

static void again_reads_those_alone(void **state)
{
	const struct cpl_info *seen[2];

	(void)state;
	assert_int_equal(passes_take(&passes, &options), 0);
	seen[0] = find(0, false);
	seen[1] = find(0, true);
	assert_int_equal(write(client, "hello", 5), 5);
	assert_int_equal(passes_take_again(&passes, &options, seen, 2), 0);
	assert_int_equal(passes.taken, 2);
	assert_int_equal(passes.set[1].n, 2);
	assert_int_equal(find(1, true)->bytes_received, 5);
	assert_int_equal(find(1, true)->id, seen[1]->id);
	assert_int_equal(find(1, true)->pid, (uint32_t)getpid());
}

static void what_is_gone_is_not_there(void **state)
{
	struct linger now = { .l_onoff = 1 };
	const struct cpl_info *seen[2];
	struct view_look look;
	struct view_match m;
	bool found = false;

	(void)state;
	assert_int_equal(passes_take(&passes, &options), 0);
	seen[0] = find(0, false);
	seen[1] = find(0, true);
	setsockopt(client, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(client); /* by RST: both ends are gone */
	assert_int_equal(passes_take_again(&passes, &options, seen, 2), 0);
	assert_int_equal(passes.set[1].n, 0);
	passes_look(&passes, &look);
	assert_int_equal(look.passes, 2);
	assert_int_equal(view_match(&m, &look, 1), 0);
	for (size_t i = 0; i < m.pairs; i++)
		found |= view_match_last(&m, m.pair[i].x)->local_port == client_port;
	assert_false(found);
	view_match_free(&m);
}

static void a_sandwich_of_our_own(void **state)
{
	struct view_ends ends = { "client", "server", NULL, NULL, VIEW_LOOKED };
	struct view_report report;
	struct view_look look;
	struct view_match m;
	bool found = false;

	(void)state;
	assert_int_equal(write(client, "hello", 5), 5);
	assert_int_equal(passes_take(&passes, &options), 0);
	assert_int_equal(passes_take(&passes, &options), 0);
	passes_look(&passes, &look);
	assert_int_equal(view_match(&m, &look, 1), 0);
	for (size_t i = 0; i < m.pairs; i++) {
		if (view_match_last(&m, m.pair[i].x)->local_port != client_port)
			continue;
		found = true;
		view_match_compare(&m, &m.pair[i], &ends, true, false, &report);
		assert_int_equal(report.verdict, VIEW_OK);
		assert_int_equal(report.certainty, VIEW_DERIVED); /* bytes were counted */
	}
	assert_true(found);
	view_match_free(&m);
}

static void a_file_keeps_it_all(void **state)
{
	struct snapshot s, back;
	char error[VIEW_JSON_ERROR] = "";
	struct cpl_addr loopback = cpl_addr4(127, 0, 0, 1), other = cpl_addr4(192, 0, 2, 7);
	struct text t;
	int err;

	(void)state;
	snapshot_init(&s);
	snapshot_init(&back);
	text_init(&t);
	assert_int_equal(snapshot_here(&s, &options), 0);
	assert_int_equal(passes_take(&s.passes, &options), 0);
	assert_int_equal(passes_take(&s.passes, &options), 0);
	source_note(&s.passes.set[0].notes, CPL_SOURCE_SOCK_DIAG, SOURCE_PARTIAL, -EPERM,
		    "too dark");
	err = snapshot_write(&t, &s);
	if (err == -ENOSYS) {
		print_message("# built without jansson\n");
		text_free(&t);
		snapshot_free(&s);
		skip();
	}
	assert_int_equal(err, 0);
	assert_int_equal(snapshot_read(&back, t.data, t.len, error), 0);
	assert_string_equal(back.host, s.host);
	assert_string_equal(back.boot, s.boot);
	assert_true(back.when == s.when && s.when);
	assert_false(back.here);
	assert_int_equal(back.addresses, s.addresses);
	assert_int_equal(back.passes.taken, 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(back.passes.set[i].n, s.passes.set[i].n);
		assert_true(back.passes.ended[i] - back.passes.began[i] ==
			    s.passes.ended[i] - s.passes.began[i]);
		for (size_t k = 0; k < s.passes.set[i].n; k++)
			assert_memory_equal(&back.passes.set[i].info[k], &s.passes.set[i].info[k],
					    sizeof(struct cpl_info));
	}
	assert_true(passes_incomplete(&back.passes));
	assert_int_equal(snapshot_learn(&back), 0);
	assert_true(snapshot_uses(&back, &loopback) && snapshot_owns(&back, &loopback));
	assert_false(snapshot_uses(&back, &other) || snapshot_owns(&back, &other));
	/* What both saw is forgotten: nothing is left. */
	assert_int_equal(snapshot_subtract(&back, &s), 0);
	assert_int_equal(back.passes.set[0].n + back.passes.set[1].n, 0);
	/* Refused, it is left as it was. */
	assert_int_equal(snapshot_read(&s, "{}", 2, error), -EINVAL);
	assert_int_equal(s.passes.taken, 2);
	assert_int_equal(snapshot_load(&s, "/nonexistent", error), -ENOENT);
	text_free(&t);
	snapshot_free(&s);
	snapshot_free(&back);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_connection, forget)
	const struct CMUnitTest tests[] = {
		T(owners_are_carried_over),   T(again_reads_those_alone),
		T(what_is_gone_is_not_there), T(a_sandwich_of_our_own),
		T(a_file_keeps_it_all),
	};

#ifndef HAVE_LIBMNL
	puts("1..0 # SKIP built without libmnl");
	return 0;
#endif
	return cmocka_run_group_tests(tests, NULL, NULL);
}
