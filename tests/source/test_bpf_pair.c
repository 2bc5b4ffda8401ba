/* SPDX-License-Identifier: MIT */
/*
 * The kernel's control blocks through BPF: one of them again, two at once, who holds them, those of
 * other network namespaces, and what is left to a user without rights. Needs root but for the last.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "link/kernel_if.h"
#include "source/bpf_source.h"
#include "tests/util/bpf.h"
#include "tests/util/loopback.h"
#include "view/pair.h"

/* ---- The same again, both at once --------------------------------------------------------------
 */

static void again(void **state)
{
	struct pair p;
	struct cpl_info c, l, now;

	(void)state;
	bpf_needed();
	p = pair_open(AF_INET);
	c = bpf_look(p.client_port, p.port);
	l = bpf_look(p.port, 0);
	c.pid = 7;
	cpl_info_mark_read(&c, CPL_F_pid);
	assert_int_equal(write(p.client, "hello", 5), 5);
	assert_int_equal(source_again(NULL, &c, &now), 0);
	assert_int_equal(now.source, CPL_SOURCE_BPF);
	assert_int_equal(now.id, c.id);
	assert_int_equal(now.snd_nxt, c.snd_nxt + 5);
	assert_int_equal(now.pid, 7);
	assert_int_equal(source_again(NULL, &l, &now), 0);
	assert_int_equal(now.id, l.id);
	/* Another connection with the same addresses is another. */
	now = c;
	now.id++;
	assert_int_equal(source_again(NULL, &now, &now), -ENOENT);
	pair_close(&p);
	assert_int_equal(source_again(NULL, &c, &now), -ENOENT);
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void at_once(int family)
{
	enum {
		TIMES = 200
	};
	struct pair p = pair_open(family);
	struct cpl_info c = bpf_look(p.client_port, p.port), s = bpf_look(p.port, p.client_port);
	struct source_pair pair;
	uint64_t apart[TIMES];

	assert_int_equal(write(p.client, "hello", 5), 5);
	usleep(100000);
	for (int i = 0; i < TIMES; i++) {
		struct view_report report;
		struct view_ends ends = { .x_name = "x", .y_name = "y" };

		assert_int_equal(source_pair_now(&c, i % 2 ? &s : NULL, &pair), 0);
		assert_true(pair.found[0] && pair.found[1] && pair.still);
		assert_int_equal(pair.first[0].id, c.id);
		assert_int_equal(pair.first[1].id, s.id);
		assert_int_equal(pair.first[0].snd_nxt, pair.first[1].rcv_nxt);
		assert_int_equal(pair.second[0].snd_nxt, pair.first[0].snd_nxt);
		assert_true(pair.second[0].taken >= pair.first[1].taken);
		ends.x = &pair.first[0];
		ends.y = &pair.first[1];
		view_compare_passes(&ends, &pair.second[0], &pair.second[1], &report);
		assert_int_equal(report.verdict, VIEW_OK);
		apart[i] = pair.apart_ns;
	}
	qsort(apart, TIMES, sizeof(*apart), by_number);
	print_message("# both ends read within %.1f us (median), %.1f us (95%%)\n",
		      (double)apart[TIMES / 2] / 1000, (double)apart[TIMES * 95 / 100] / 1000);
	assert_true(apart[TIMES / 2] < 10000);
	pair_close(&p);
	assert_int_equal(source_pair_now(&c, &s, &pair), -ENOENT);
}

static void at_once4(void **state)
{
	(void)state;
	bpf_needed();
	at_once(AF_INET);
}

static void at_once6(void **state)
{
	(void)state;
	bpf_needed();
	at_once(AF_INET6);
}

/* ---- Owners and namespaces ------------------------------------------------------------------- */

static void owners(void **state)
{
	struct source_options options = { .sources = SOURCE_KERNEL, .owners = true };
	struct snapshot_set set;
	const struct cpl_info *c;
	struct pair p;
	int twice;

	(void)state;
	bpf_needed();
	p = pair_open(AF_INET);
	twice = dup(p.client);
	snapshot_set_init(&set);
	assert_int_equal(source_collect(&set, &options), 0);
	c = bpf_find(&set, p.client_port, p.port);
	assert_non_null(c);
	assert_int_equal(c->pid, getpid());
	assert_int_equal(c->fd, p.client);
	assert_int_equal(c->descriptors, 2);
	assert_true(cpl_info_is_read(c, CPL_F_descriptors));
	c = bpf_find(&set, p.port, p.client_port);
	assert_int_equal(c->descriptors, 1);
	assert_string_equal(c->program, program_invocation_short_name);
	snapshot_set_free(&set);
	close(twice);
	pair_close(&p);
}

static ino_t here(void)
{
	struct stat st;

	assert_int_equal(stat("/proc/thread-self/ns/net", &st), 0);
	return st.st_ino;
}

/* A namespace in which no process is, and that has no name: its sockets keep it alive. */
static void hidden_namespace(void **state)
{
	struct source_options options = { .namespaces = true };
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	struct snapshot_set set;
	const struct cpl_info *c;
	struct cpl_info now;
	struct source_pair pair;
	struct link_why why;
	struct pair p;
	ino_t ours = here(), other;

	(void)state;
	bpf_needed();
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	other = here();
	assert_int_equal(kernel_if_up("lo", &why), 0);
	p = pair_open(AF_INET);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	close(home);
	snapshot_set_init(&set);
	assert_int_equal(source_collect(&set, &options), 0);
	assert_true(here() == ours);
	c = bpf_find(&set, p.client_port, p.port);
	assert_non_null(c);
	assert_int_equal(c->source, CPL_SOURCE_BPF);
	assert_int_equal(c->netns, other);
	assert_int_equal(c->inode, inode_of(p.client));
	assert_int_equal(source_again(&options, c, &now), 0);
	assert_int_equal(now.netns, other);
	assert_int_equal(now.snd_nxt, c->snd_nxt);
	assert_int_equal(source_pair_now(c, NULL, &pair), 0);
	assert_true(pair.found[0] && pair.found[1]);
	assert_int_equal(pair.second[1].netns, other);
	assert_true(here() == ours);
	snapshot_set_free(&set);
	/* Without the option it is not ours to see. */
	options.namespaces = false;
	assert_int_equal(source_collect(&set, &options), 0);
	assert_null(bpf_find(&set, p.client_port, p.port));
	snapshot_set_free(&set);
	pair_close(&p);
}

/* In a namespace of its own: listens on 10.77.0.2, takes one connection, and keeps it. */
static void far_end(int ready, int go)
{
	union name a = { .in = { .sin_family = AF_INET, .sin_port = htons(7700) } };
	char byte = 'r';

	a.in.sin_addr.s_addr = htonl(0x0a4d0002);
	if (unshare(CLONE_NEWNET) < 0 || write(ready, &byte, 1) != 1 || read(go, &byte, 1) != 1)
		_exit(1);
	accept(listener_on(&a, 1), NULL, NULL);
	for (;;)
		pause();
}

/* The two ends in two namespaces: one by one, each read in its own. */
static void two_namespaces(void **state)
{
	struct source_options options = { .sources = SOURCE_BPF, .namespaces = true };
	union name a = { .in = { .sin_family = AF_INET, .sin_port = htons(7700) } };
	int ready[2], go[2], fd = -1, connected_now = -1;
	const struct cpl_info *c = NULL, *s = NULL;
	struct snapshot_set set;
	struct source_pair pair;
	char command[512];
	pid_t child;

	(void)state;
	bpf_needed();
	assert_int_equal(pipe(ready) | pipe(go), 0);
	child = fork();
	if (child == 0)
		far_end(ready[1], go[0]);
	assert_int_equal(read(ready[0], command, 1), 1);
	snprintf(command, sizeof(command),
		 "ip link add near type veth peer name far netns %d && "
		 "ip addr add 10.77.0.1/24 dev near && ip link set near up && "
		 "nsenter -t %d -n sh -c 'ip addr add 10.77.0.2/24 dev far; ip link set far up'",
		 (int)child, (int)child);
	assert_int_equal(system(command), 0);
	assert_int_equal(write(go[1], "g", 1), 1);
	a.in.sin_addr.s_addr = htonl(0x0a4d0002);
	for (int i = 0; i < 200 && connected_now; i++) {
		fd = socket(AF_INET, SOCK_STREAM, 0);
		connected_now = connect(fd, &a.any, sizeof(a.in));
		if (connected_now) {
			close(fd);
			usleep(10000);
		}
	}
	assert_int_equal(connected_now, 0);
	snapshot_set_init(&set);
	assert_int_equal(source_collect(&set, &options), 0);
	c = bpf_find(&set, port_of(fd), 7700);
	s = bpf_find(&set, 7700, port_of(fd));
	assert_non_null(c);
	assert_non_null(s);
	assert_true(c->netns != s->netns);
	assert_int_equal(source_pair_now(c, s, &pair), 0);
	assert_true(pair.found[0] && pair.found[1] && pair.still);
	assert_int_equal(pair.first[0].id, c->id);
	assert_int_equal(pair.first[1].id, s->id);
	assert_int_equal(pair.first[1].netns, s->netns);
	assert_int_equal(pair.first[0].iss, pair.first[1].irs);
	assert_true(pair.second[0].taken > pair.first[1].taken);
	print_message("# in two namespaces within %.1f us\n", (double)pair.apart_ns / 1000);
	/* Without a Y it is looked for where X is, and is not there. */
	assert_int_equal(source_pair_now(c, NULL, &pair), 0);
	assert_true(pair.found[0] && !pair.found[1]);
	snapshot_set_free(&set);
	close(fd);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

/* An ordinary user: sock_diag instead, and a note that says why. */
static void without_rights(void **state)
{
	pid_t child = fork();
	int status;

	(void)state;
	if (child == 0) {
		struct source_options options = { .sources = SOURCE_KERNEL };
		struct snapshot_set set;
		struct pair p = pair_open(AF_INET);
		const struct cpl_info *c;
		bool noted = false;

		if (geteuid() == 0 && (setgid(65534) || setuid(65534)))
			_exit(1);
		/* As a process that never was root: what is loaded is not its own. */
		bpf_source_forget();
		snapshot_set_init(&set);
		if (source_collect(&set, &options))
			_exit(2);
		c = bpf_find(&set, p.client_port, p.port);
		if (!c || c->source != CPL_SOURCE_SOCK_DIAG || cpl_info_known(c, CPL_F_snd_una))
			_exit(3);
		for (unsigned i = 0; i < set.notes.n; i++)
			noted |= strstr(set.notes.note[i].text,
					"sequence numbers were not looked at: ") != NULL;
		if (!noted)
			_exit(4);
		options.sources = SOURCE_BPF;
		if (source_collect(&set, &options) != -EIO)
			_exit(5);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(again),
		cmocka_unit_test(at_once4),
		cmocka_unit_test(at_once6),
		cmocka_unit_test(owners),
		cmocka_unit_test(hidden_namespace),
		cmocka_unit_test(two_namespaces),
		cmocka_unit_test(without_rights),
	};

	return cmocka_run_group_tests_name("bpf_pair", tests, bpf_in_namespace, NULL);
}
