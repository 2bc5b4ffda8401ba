/* SPDX-License-Identifier: MIT */
/*
 * The kernel's control blocks through BPF: sockets that this test makes, in a network namespace of
 * its own, held against what sock_diag and getsockopt(TCP_INFO) tell of the same sockets, field by
 * field, and against each other. Needs root.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "source/tcp_info.h"
#include "tests/util/bpf.h"
#include "tests/util/loopback.h"
#include "view/field.h"

#define TCP_INFO_OPTION 11

/* Wait until it is in STATE. */
static struct cpl_info await(uint16_t local, uint16_t remote, enum cpl_state state)
{
	for (int i = 0; i < 300; i++) {
		struct cpl_info info = bpf_look(local, remote);

		if (info.state == state)
			return info;
		usleep(10000);
	}
	fail_msg("never came to state %d", state);
	return (struct cpl_info){ 0 };
}

/* ---- Field by field -------------------------------------------------------------------------- */

static bool is_clock(enum cpl_field f)
{
	return f == CPL_F_taken || f == CPL_F_last_sent || f == CPL_F_last_received ||
	       f == CPL_F_last_ack || (f >= CPL_F_timer_rexmt && f <= CPL_F_timer_pace) ||
	       (f >= CPL_F_why_time_sending && f <= CPL_F_why_time_busy);
}

/*
 * What A knows, B knows too, and the same; clocks within a second. 0, or the first
 * field that differs: CPL_FIELDS + it.
 */
static int differs(const struct cpl_info *a, const struct cpl_info *b)
{
	for (int n = 0; n < CPL_FIELDS; n++) {
		enum cpl_field f = (enum cpl_field)n;
		const struct view_field *field = &view_fields[f];
		uint64_t x, y;

		/* One timer of sock_diag's stands for three, and it does not say for which. */
		if (!cpl_info_known(a, f) || f == CPL_F_source || f == CPL_F_timer_rexmt)
			continue;
		if (!cpl_info_known(b, f))
			return CPL_FIELDS + n;
		if (!view_get(a, f, &x)) {
			if (memcmp((const char *)a + field->offset, (const char *)b + field->offset,
				   field->size) != 0)
				return CPL_FIELDS + n;
			continue;
		}
		view_get(b, f, &y);
		if (is_clock(f) && x != CPL_TIMER_OFF && y != CPL_TIMER_OFF) {
			if ((x > y ? x - y : y - x) > 1000000000)
				return CPL_FIELDS + n;
		} else if (x != y) {
			return CPL_FIELDS + n;
		}
	}
	return 0;
}

static void say_difference(const struct cpl_info *a, const struct cpl_info *b, int difference)
{
	enum cpl_field f = (enum cpl_field)(difference - CPL_FIELDS);

	fail_msg("%u-%u, state %u: %s is %s, and by BPF %s", a->local_port, a->remote_port,
		 a->state, view_fields[f].name, view_field_word(a, f, 0).s,
		 view_field_word(b, f, 0).s);
}

/* All sockets of this namespace, by both ways: nobody but this test has any here. */
static void sources_agree(size_t at_least)
{
	struct snapshot_set diag, bpf;
	const struct cpl_info *a = NULL, *b = NULL;
	int difference = 0;

	for (int i = 0; i < 50; i++) {
		bpf_collect(&diag, SOURCE_SOCK_DIAG);
		bpf_collect(&bpf, SOURCE_BPF);
		assert_true(diag.n >= at_least);
		difference = 0;
		for (size_t n = 0; !difference && n < diag.n; n++) {
			a = &diag.info[n];
			b = bpf_find(&bpf, a->local_port, a->remote_port);
			assert_non_null(b);
			assert_true(a->id != 0);
			assert_int_equal(a->id, b->id);
			difference = differs(a, b);
		}
		if (!difference && diag.n == bpf.n)
			break;
		if (i == 49 && difference)
			say_difference(a, b, difference);
		snapshot_set_free(&diag);
		snapshot_set_free(&bpf);
		usleep(20000);
	}
	snapshot_set_free(&diag);
	snapshot_set_free(&bpf);
}

/* What the program itself is told of its socket. */
static void program_agrees(int fd, const struct cpl_info *bpf)
{
	struct linux_tcp_info t = { 0 };
	socklen_t len = sizeof(t);
	struct cpl_info mine = { 0 };
	int difference;

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO_OPTION, &t, &len), 0);
	CPL_INFO_READ(&mine, state, bpf->state);
	CPL_INFO_READ(&mine, send_queue, bpf->send_queue);
	tcp_info_fill(&mine, &t, len);
	mine.read[CPL_F_rcv_wnd / 64] &= ~(1ull << CPL_F_rcv_wnd % 64);
	mine.derived[CPL_F_rcv_wnd / 64] &= ~(1ull << CPL_F_rcv_wnd % 64);
	assert_int_equal(t.rcv_wnd, bpf->rcv_edge - bpf->last_ack_sent);
	difference = differs(&mine, bpf);
	if (difference)
		say_difference(&mine, bpf, difference);
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void two_ends(int family)
{
	struct pair p = pair_open(family);
	char data[3000] = { 1 };
	struct cpl_info c, s;

	assert_int_equal(write(p.client, data, sizeof(data)), sizeof(data));
	assert_int_equal(write(p.server, data, 700), 700);
	assert_int_equal(read(p.server, data, 1000), 1000);
	usleep(250000); /* delayed ACKs are sent */
	sources_agree(3);
	c = bpf_look(p.client_port, p.port);
	s = bpf_look(p.port, p.client_port);
	program_agrees(p.client, &c);
	program_agrees(p.server, &s);
	assert_int_equal(c.family, family == AF_INET ? 4 : 6);
	assert_int_equal(c.iss, s.irs);
	assert_int_equal(s.iss, c.irs);
	assert_int_equal(c.snd_nxt, c.iss + 1 + 3000);
	assert_int_equal(c.snd_una, c.snd_nxt);
	assert_int_equal(c.write_seq, c.snd_nxt);
	assert_int_equal(s.rcv_nxt, c.snd_nxt);
	assert_int_equal(s.read_seq, c.iss + 1 + 1000);
	assert_int_equal(c.snd_una + c.snd_wnd, s.rcv_edge);
	assert_int_equal(s.snd_una + s.snd_wnd, c.rcv_edge);
	assert_int_equal(s.recv_queue, 2000);
	assert_int_equal(c.passive, 0);
	assert_int_equal(s.passive, 1);
	assert_true(cpl_info_is_derived(&c, CPL_F_iss) && cpl_info_is_derived(&c, CPL_F_irs));
	assert_true(cpl_info_is_read(&c, CPL_F_snd_una) && cpl_info_is_read(&c, CPL_F_rcv_edge));
	assert_int_equal(c.attached, 1);
	assert_int_equal(c.inode, inode_of(p.client));
	assert_false(cpl_info_known(&c, CPL_F_snd_wl2));
	pair_close(&p);
}

static void two_ends4(void **state)
{
	(void)state;
	bpf_needed();
	two_ends(AF_INET);
}

static void two_ends6(void **state)
{
	(void)state;
	bpf_needed();
	two_ends(AF_INET6);
}

/* A listener on :: and an IPv4 client: the server's end is IPv4 in a socket of IPv6. */
static void mapped(void **state)
{
	union name any = { .in6 = { .sin6_family = AF_INET6 } };
	struct source_pair pair;
	struct cpl_info c;
	int fd, client, server;

	(void)state;
	bpf_needed();
	fd = listener_on(&any, 4);
	client = connected(AF_INET, port_of(fd));
	server = accept(fd, NULL, NULL);
	sources_agree(3);
	c = bpf_look(port_of(client), port_of(fd));
	assert_int_equal(source_pair_now(&c, NULL, &pair), 0);
	assert_true(pair.found[0] && pair.found[1]);
	assert_int_equal(pair.first[1].family, 4);
	assert_int_equal(pair.first[1].irs, pair.first[0].iss);
	close(client);
	close(server);
	close(fd);
}

/* Queues of a listener, and of who waits in them. */
static void a_listener(void **state)
{
	struct cpl_info l, s;
	int fd, a, b, seconds = 5, half;

	(void)state;
	bpf_needed();
	fd = listener(AF_INET, 5);
	a = connected(AF_INET, port_of(fd));
	b = connected(AF_INET, port_of(fd));
	assert_int_equal(setsockopt(fd, IPPROTO_TCP, 9 /* TCP_DEFER_ACCEPT */, &seconds,
				    sizeof(seconds)),
			 0);
	half = connected(AF_INET, port_of(fd));
	sources_agree(7);
	l = bpf_look(port_of(fd), 0);
	assert_int_equal(l.state, CPL_LISTEN);
	assert_int_equal(l.accept_queue, 2);
	assert_int_equal(l.backlog, 5);
	assert_int_equal(l.syn_queue, 1);
	assert_true(cpl_info_is_read(&l, CPL_F_syn_queue));
	s = bpf_look(port_of(fd), port_of(a));
	assert_int_equal(s.attached, 0);
	assert_false(cpl_info_known(&s, CPL_F_inode));
	/* Half-open: a small record, but with the sequence numbers of both ends. */
	s = bpf_look(port_of(fd), port_of(half));
	assert_int_equal(s.state, CPL_SYN_RECEIVED);
	a = (close(a), a);
	assert_int_equal(s.iss + 1, bpf_look(port_of(half), port_of(fd)).rcv_nxt);
	assert_int_equal(s.irs + 1, bpf_look(port_of(half), port_of(fd)).snd_nxt);
	assert_true(cpl_info_is_read(&s, CPL_F_iss) && cpl_info_is_read(&s, CPL_F_irs));
	assert_true(cpl_info_known(&s, CPL_F_age) && s.age < 5000000000ull);
	close(half);
	close(b);
	close(fd);
}

/* A reader that does not read. */
static void zero_window(void **state)
{
	static char data[65536];
	struct pair p;
	struct cpl_info c = { 0 };

	(void)state;
	bpf_needed();
	p = pair_open(AF_INET);
	fcntl(p.client, F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 200; i++) {
		while (write(p.client, data, sizeof(data)) > 0)
			;
		usleep(20000);
		c = bpf_look(p.client_port, p.port);
		if (c.snd_wnd == 0 && c.in_flight == 0 && c.timer_persist != CPL_TIMER_OFF)
			break;
	}
	assert_int_equal(c.why, CPL_WHY_ZERO_WND);
	assert_int_equal(c.write_seq - c.snd_nxt, c.not_sent);
	assert_true(c.not_sent > 0 && c.send_memory > c.not_sent);
	sources_agree(3);
	pair_close(&p);
}

static void run(const char *command)
{
	int status = system(command); // NOLINT

	if (status)
		fail_msg("%s: status %d", command, status);
}

static void no_delay(int fd)
{
	int on = 1;

	assert_int_equal(setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof(on)), 0);
}

/* Every packet longer than that is lost, from now on: on its way in, or before it leaves. */
static void lose(const char *hook, unsigned longer)
{
	char command[256];

	snprintf(
		command, sizeof(command),
		"nft add table ip lose; nft add chain ip lose long '{ type filter hook %s priority "
		"0; "
		"}'; nft add rule ip lose long meta length gt %u drop",
		hook, longer);
	run(command);
}

static void lose_no_more(void)
{
	run("nft delete table ip lose");
}

/* Segments that get lost: unacknowledged, sent again, backed off. */
static void unacknowledged(void **state)
{
	struct pair p;
	struct cpl_info c, s;
	char data[1000] = { 1 };

	(void)state;
	bpf_needed();
	if (system("nft --version >/dev/null 2>&1") != 0) {
		print_message("# nft is not installed\n");
		skip();
	}
	p = pair_open(AF_INET);
	lose("input", 500);
	no_delay(p.client);
	for (int i = 0; i < 3; i++)
		assert_int_equal(write(p.client, data, sizeof(data)), sizeof(data));
	usleep(700000);
	sources_agree(3);
	c = bpf_look(p.client_port, p.port);
	s = bpf_look(p.port, p.client_port);
	assert_int_equal(c.snd_una, c.iss + 1);
	assert_int_equal(c.snd_nxt - c.snd_una, c.in_flight);
	assert_int_equal(c.write_seq, c.iss + 1 + 3000);
	assert_int_equal(s.rcv_nxt, c.snd_una);
	assert_true(c.rexmt_count >= 1 && c.backoff >= 1 && c.retrans >= 1 && c.rto_count >= 1);
	assert_int_equal(c.recovery, CPL_RECOVERY_RTO);
	assert_true(cpl_info_is_read(&c, CPL_F_recovery_point));
	assert_true(c.timer_rexmt != CPL_TIMER_OFF && c.timer_rexmt <= c.rto);
	assert_true(c.rto >= 400000000 && c.rto < 10000000000ull);
	lose_no_more();
	pair_close(&p);
}

/*
 * What the local firewall refuses, Linux counts as sent: the counters do not tell any more who
 * opened. Nothing is said then, rather than a number that is off by one.
 */
static void refused_locally(void **state)
{
	struct pair p;
	struct cpl_info c, s;

	(void)state;
	bpf_needed();
	if (system("nft --version >/dev/null 2>&1") != 0) {
		print_message("# nft is not installed\n");
		skip();
	}
	p = pair_open(AF_INET);
	no_delay(p.client);
	lose("output", 52);
	assert_int_equal(write(p.client, "x", 1), 1);
	assert_int_equal(write(p.server, "y", 1), 1);
	c = bpf_look(p.client_port, p.port);
	s = bpf_look(p.port, p.client_port);
	assert_true(c.bytes_sent >= 1 && c.snd_nxt == c.snd_una && c.not_sent == 1);
	assert_false(cpl_info_known(&c, CPL_F_iss));
	assert_int_equal(s.iss, c.irs);
	lose_no_more();
	pair_close(&p);
}

/* One side closes, then the other: each FIN is one sequence number, in which nothing is written. */
static void closing(void **state)
{
	struct pair p;
	struct cpl_info c, s;

	(void)state;
	bpf_needed();
	p = pair_open(AF_INET);
	assert_int_equal(write(p.client, "hello", 5), 5);
	assert_int_equal(shutdown(p.client, SHUT_WR), 0);
	c = await(p.client_port, p.port, CPL_FIN_WAIT_2);
	s = bpf_look(p.port, p.client_port);
	sources_agree(3);
	assert_int_equal(s.state, CPL_CLOSE_WAIT);
	assert_int_equal(c.iss, s.irs);
	assert_int_equal(c.irs, s.iss);
	assert_int_equal(c.snd_una, c.iss + 1 + 5 + 1);
	assert_int_equal(c.write_seq, c.iss + 1 + 5);
	assert_int_equal(c.bytes_acked, 5);
	assert_int_equal(s.rcv_nxt, c.snd_nxt);
	assert_int_equal(s.recv_queue, 6);
	assert_true(c.snd_shutdown && !c.rcv_shutdown && s.rcv_shutdown && !s.snd_shutdown);
	assert_int_equal(read(p.server, (char[8]){ 0 }, 8), 5);
	close(p.client);
	close(p.server);
	c = await(p.client_port, p.port, CPL_TIME_WAIT);
	sources_agree(2);
	assert_int_equal(c.snd_nxt, s.rcv_nxt);
	assert_int_equal(c.rcv_nxt, s.snd_nxt + 1);
	assert_true(cpl_info_is_read(&c, CPL_F_rcv_nxt) && !cpl_info_known(&c, CPL_F_iss));
	assert_true(c.timer_close > 50000000000ull && c.timer_close <= 61000000000ull);
	close(p.listener);
}

/* Ranges that came early. */
static void out_of_order(void **state)
{
	struct pair p;
	struct cpl_info s;
	char data[1000] = { 1 };

	(void)state;
	bpf_needed();
	if (system("nft --version >/dev/null 2>&1") != 0) {
		print_message("# nft is not installed\n");
		skip();
	}
	p = pair_open(AF_INET);
	lose("input", 500);
	no_delay(p.client);
	assert_int_equal(write(p.client, data, 1000), 1000);
	assert_int_equal(write(p.client, data, 200), 200);
	for (int i = 0; i < 100; i++) {
		s = bpf_look(p.port, p.client_port);
		if (s.ooo_bytes)
			break;
		usleep(2000);
	}
	lose_no_more();
	assert_int_equal(s.ooo_bytes, 200);
	assert_int_equal(s.ooo_ranges, 1);
	pair_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_ends4),	   cmocka_unit_test(two_ends6),
		cmocka_unit_test(mapped),	   cmocka_unit_test(a_listener),
		cmocka_unit_test(zero_window),	   cmocka_unit_test(unacknowledged),
		cmocka_unit_test(out_of_order),	   cmocka_unit_test(closing),
		cmocka_unit_test(refused_locally),
	};

	return cmocka_run_group_tests_name("bpf_source", tests, bpf_in_namespace, NULL);
}
