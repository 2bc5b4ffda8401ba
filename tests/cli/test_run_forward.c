/* SPDX-License-Identifier: MIT */
/*
 * The user link of `couplet run`: a connection of the program's stack to the gateway ends at this
 * machine's loopback, a refused one is refused, datagrams come back, and a published port leads in.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the four above */
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/run_link.h"

#define BULK 300000u

static struct run_link link_;

/* A kernel's socket on loopback. Returns it, and its port. */
static int kernel_socket(int type, uint16_t *port)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, type, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 16), 0);
	*port = ntohs(in.sin_port);
	return fd;
}

static uint16_t free_port(void)
{
	uint16_t port;

	close(kernel_socket(SOCK_STREAM, &port));
	return port;
}

/* What has happened, to whom. */
#define SEEN 64u
static struct cpl_event seen[SEEN];
static unsigned seen_n;

static void on_event(void *arg, const struct cpl_event *event, uint64_t now)
{
	(void)arg;
	(void)now;
	seen[seen_n++ % SEEN] = *event;
}

static uint16_t published;

static int open_link(void **state)
{
	struct run_link_options o = { .name = "test", .prefix4 = 24, .prefix6 = 64 };
	struct link_why why = { "" };

	(void)state;
	o.ours4 = cpl_addr4(10, 99, 0, 2);
	o.gateway4 = cpl_addr4(10, 99, 0, 1);
	cpl_addr_parse(&o.ours6, "fd99::2");
	cpl_addr_parse(&o.gateway6, "fd99::1");
	o.publish_n = 1;
	o.publish[0].at.addr = cpl_addr4(127, 0, 0, 1);
	o.publish[0].at.port = free_port();
	o.publish[0].port = 80;
	if (run_link_open(&link_, &o, &why)) {
		print_error("%s\n", why.text);
		return -1;
	}
	loop_on_event(link_.loop, on_event, NULL);
	published = o.publish[0].at.port;
	return 0;
}

static int close_link(void **state)
{
	(void)state;
	run_link_close(&link_);
	return 0;
}

/* Turns until an event of HANDLE has one of WHAT; its error. */
static int await(cpl_handle handle, uint32_t what)
{
	uint64_t until = loop_clock() + 20 * CPL_SECOND;

	while (loop_clock() < until) {
		for (unsigned i = 0; i < SEEN; i++)
			if (seen[i].handle == handle && seen[i].what & what)
				return seen[i].error;
		assert_int_equal(loop_turn(link_.loop, loop_clock() + 10 * CPL_MS), 0);
	}
	fail_msg("nothing came within 20 s");
	return -1;
}

static cpl_handle call(uint16_t port)
{
	struct cpl_endpoint to = { .addr = cpl_addr4(10, 99, 0, 1), .port = port };
	cpl_handle h;

	assert_int_equal(cpl_connect(link_.stack, NULL, &to, &h, loop_clock()), 0);
	return h;
}

static void bytes_go_both_ways(void **state)
{
	static char out[BULK], in[BULK];
	uint16_t port;
	int listener = kernel_socket(SOCK_STREAM, &port), fd;
	cpl_handle h = call(port);
	uint32_t sent = 0, got = 0;

	(void)state;
	for (uint32_t i = 0; i < BULK; i++)
		out[i] = (char)(i * 7 + i / 251);
	assert_int_equal(await(h, CPL_EV_CONNECTED | CPL_EV_CLOSED), 0);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	while (got < BULK) {
		long n = cpl_send(link_.stack, h, out + sent, BULK - sent, 0, loop_clock());

		if (n > 0)
			sent += (uint32_t)n;
		loop_turn(link_.loop, loop_clock() + CPL_MS);
		n = recv(fd, in + got, BULK - got, MSG_DONTWAIT);
		if (n > 0)
			got += (uint32_t)n;
	}
	assert_memory_equal(in, out, BULK);
	assert_int_equal(send(fd, "pong", 4, 0), 4);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	await(h, CPL_EV_PEER_FIN);
	assert_int_equal(cpl_recv(link_.stack, h, in, BULK, 0, loop_clock()), 4);
	assert_memory_equal(in, "pong", 4);
	assert_int_equal(cpl_close(link_.stack, h, loop_clock()), 0);
	for (int i = 0; i < 1000 && recv(fd, in, 1, MSG_DONTWAIT) != 0; i++)
		loop_turn(link_.loop, loop_clock() + CPL_MS);
	assert_int_equal(recv(fd, in, 1, MSG_DONTWAIT), 0);
	close(fd);
	close(listener);
}

static void a_refusal_is_a_refusal(void **state)
{
	(void)state;
	assert_int_equal(await(call(free_port()), CPL_EV_CLOSED), ECONNREFUSED);
}

static void a_reset_is_a_reset(void **state)
{
	struct linger reset = { .l_onoff = 1 };
	uint16_t port;
	int listener = kernel_socket(SOCK_STREAM, &port), fd;
	cpl_handle h = call(port);

	(void)state;
	assert_int_equal(await(h, CPL_EV_CONNECTED | CPL_EV_CLOSED), 0);
	fd = accept(listener, NULL, NULL);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
	assert_int_equal(await(h, CPL_EV_CLOSED), ECONNRESET);
	close(listener);
}

static void datagrams_come_back(void **state)
{
	struct cpl_endpoint to = { .addr = cpl_addr4(10, 99, 0, 1) }, from;
	struct sockaddr_in peer;
	socklen_t len = sizeof(peer);
	int fd = kernel_socket(SOCK_DGRAM, &to.port);
	cpl_handle h;
	char text[16];

	(void)state;
	assert_int_equal(cpl_udp_open(link_.stack, NULL, &h, loop_clock()), 0);
	assert_int_equal(cpl_udp_send(link_.stack, h, NULL, &to, "ping", 4, loop_clock()), 4);
	loop_turn(link_.loop, 0);
	assert_int_equal(recvfrom(fd, text, 16, 0, (struct sockaddr *)&peer, &len), 4);
	assert_int_equal(sendto(fd, "pong!", 5, 0, (struct sockaddr *)&peer, len), 5);
	await(h, CPL_EV_READABLE);
	assert_int_equal(cpl_udp_recv(link_.stack, h, &from, NULL, text, 16, loop_clock()), 5);
	assert_memory_equal(text, "pong!", 5);
	assert_int_equal(from.port, to.port);
	assert_true(cpl_addr_equal(&from.addr, &to.addr));
	cpl_close(link_.stack, h, loop_clock());
	close(fd);
}

static void a_published_port_leads_in(void **state)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				  .sin_port = htons(published) };
	struct cpl_endpoint at = { .port = 80 };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	cpl_handle listener, h;
	char text[16];

	(void)state;
	assert_int_equal(cpl_listen(link_.stack, &at, 8, &listener, loop_clock()), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(send(fd, "hello", 5, 0), 5);
	await(listener, CPL_EV_ACCEPT);
	assert_int_equal(cpl_accept(link_.stack, listener, &h, loop_clock()), 0);
	while (cpl_recv(link_.stack, h, text, 16, CPL_MSG_PEEK, loop_clock()) == -EAGAIN)
		loop_turn(link_.loop, loop_clock() + CPL_MS);
	assert_int_equal(cpl_recv(link_.stack, h, text, 16, 0, loop_clock()), 5);
	assert_memory_equal(text, "hello", 5);
	cpl_abort(link_.stack, h, loop_clock());
	loop_turn(link_.loop, 0);
	assert_int_equal(recv(fd, text, 16, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	cpl_close(link_.stack, listener, loop_clock());
	close(fd);
}

static void the_stack_has_its_own_loopback(void **state)
{
	struct cpl_endpoint at = { .addr = cpl_addr4(127, 0, 0, 1), .port = 81 };
	cpl_handle listener, h;

	(void)state;
	assert_int_equal(cpl_listen(link_.stack, &at, 8, &listener, loop_clock()), 0);
	assert_int_equal(cpl_connect(link_.stack, NULL, &at, &h, loop_clock()), 0);
	assert_int_equal(await(h, CPL_EV_CONNECTED | CPL_EV_CLOSED), 0);
	cpl_abort(link_.stack, h, loop_clock());
	cpl_close(link_.stack, listener, loop_clock());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_go_both_ways),
		cmocka_unit_test(a_refusal_is_a_refusal),
		cmocka_unit_test(a_reset_is_a_reset),
		cmocka_unit_test(datagrams_come_back),
		cmocka_unit_test(a_published_port_leads_in),
		cmocka_unit_test(the_stack_has_its_own_loopback),
	};

	return cmocka_run_group_tests_name("couplet run: the user link", tests, open_link,
					   close_link);
}
