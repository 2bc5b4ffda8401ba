/* SPDX-License-Identifier: MIT */
/*
 * TCP sockets: each call's success and its errnos. What is expected was seen on Linux 6.18.
 */
#define _GNU_SOURCE /* POLLRDHUP */
#include "tests/util/socket_net.h"

#include <poll.h>

static struct net n;

static int setup(void **state)
{
	(void)state;
	net_start(&n);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	net_end(&n);
	return 0;
}

#define READ  (POLLIN | POLLRDNORM)
#define WRITE (POLLOUT | POLLWRNORM)

static int ready(struct side *side, sock_id id)
{
	return (uint16_t)socket_readiness(side->s, id);
}

static void new_socket(void **state)
{
	sock_id id = net_tcp(&n.a);
	union name name;
	socklen_t len = sizeof(name);
	char c;

	(void)state;
	assert_int_equal(ready(&n.a, id), WRITE | POLLHUP);
	assert_int_equal(net_send(&n, &n.a, id, "x", 1, 0), -EPIPE);
	assert_int_equal(net_recv(&n, &n.a, id, &c, 1, 0), -ENOTCONN);
	assert_int_equal(socket_getpeername(n.a.s, id, &name.any, &len), -ENOTCONN);
	assert_int_equal(socket_getsockname(n.a.s, id, &name.any, &len), 0);
	assert_int_equal(len, sizeof(name.in));
	assert_int_equal(name.in.sin_port, 0);
	assert_int_equal(socket_shutdown(n.a.s, id, SHUT_RDWR, n.now), -ENOTCONN);
	assert_int_equal(ready(&n.a, id), READ | WRITE | POLLHUP | POLLRDHUP);
	assert_int_equal(socket_close(n.a.s, id, n.now), 0);
	assert_int_equal(socket_close(n.a.s, id, n.now), -EBADF);
}

static void talks(void **state)
{
	sock_id l = net_listen(&n, &n.b, 80), a, b;
	char data[100];

	(void)state;
	assert_int_equal(ready(&n.b, l), 0);
	net_pair(&n, l, 80, &a, &b);
	assert_int_equal(ready(&n.a, a), WRITE);
	assert_int_equal(net_recv(&n, &n.b, b, data, 100, 0), -EAGAIN);
	assert_int_equal(net_send(&n, &n.a, a, "hello", 5, 0), 5);
	assert_int_equal(ready(&n.b, b), READ | WRITE);
	assert_int_equal(net_recv(&n, &n.b, b, data, 3, MSG_PEEK), 3);
	assert_int_equal(net_recv(&n, &n.b, b, data, 100, 0), 5);
	assert_memory_equal(data, "hello", 5);
	assert_int_equal(socket_shutdown(n.a.s, a, SHUT_WR, n.now), 0);
	net_run(&n, 0);
	assert_int_equal(ready(&n.b, b), READ | WRITE | POLLRDHUP);
	assert_int_equal(net_recv(&n, &n.b, b, data, 100, 0), 0);
	assert_int_equal(net_send(&n, &n.a, a, "x", 1, 0), -EPIPE);
	assert_int_equal(net_send(&n, &n.b, b, "bye", 3, 0), 3);
	assert_int_equal(net_recv(&n, &n.a, a, data, 100, 0), 3);
	assert_int_equal(socket_close(n.b.s, b, n.now), 0);
	net_run(&n, 0);
	assert_int_equal(ready(&n.a, a), READ | WRITE | POLLHUP | POLLRDHUP);
	assert_int_equal(net_recv(&n, &n.a, a, data, 100, 0), 0);
	assert_int_equal(socket_close(n.a.s, a, n.now), 0);
}

static void refused(void **state)
{
	sock_id id = net_tcp(&n.a);

	(void)state;
	assert_int_equal(net_connect(&n, &n.a, id, "10.0.0.2", 81), -EINPROGRESS);
	assert_int_equal(net_connect(&n, &n.a, id, "10.0.0.2", 81), -EALREADY);
	assert_int_equal(ready(&n.a, id), 0);
	net_run(&n, 0);
	assert_int_equal(ready(&n.a, id), READ | WRITE | POLLERR | POLLHUP | POLLRDHUP);
	assert_int_equal(net_error(&n, &n.a, id), ECONNREFUSED);
	assert_int_equal(ready(&n.a, id), READ | WRITE | POLLHUP | POLLRDHUP);
	/* Its error was told: that it failed is not forgotten. */
	assert_int_equal(net_connect(&n, &n.a, id, "10.0.0.2", 81), -ECONNABORTED);
	assert_int_equal(ready(&n.a, id), WRITE | POLLHUP);
	assert_int_equal(net_connect(&n, &n.a, id, "10.0.0.2", 81), -EINPROGRESS);
	net_run(&n, 0);
	assert_int_equal(net_connect(&n, &n.a, id, "10.0.0.2", 81), -ECONNREFUSED);
	net_listen(&n, &n.b, 81);
	assert_int_equal(net_connect(&n, &n.a, id, "10.0.0.2", 81), -EINPROGRESS);
	net_run(&n, 0);
	assert_int_equal(net_connect(&n, &n.a, id, "10.0.0.2", 81), 0);
	assert_int_equal(net_connect(&n, &n.a, id, "10.0.0.2", 81), -EISCONN);
}

static void listener(void **state)
{
	sock_id l = net_tcp(&n.b), other = net_tcp(&n.b), c;
	union name name = { .in6 = { .sin6_port = 0 } };
	socklen_t len = sizeof(name);
	char byte;
	in_port_t port;

	(void)state;
	assert_int_equal(socket_listen(n.b.s, l, 0, n.now), 0);
	assert_int_equal(socket_getsockname(n.b.s, l, &name.any, &len), 0);
	port = name.in.sin_port;
	assert_int_not_equal(port, 0);
	assert_int_equal(net_recv(&n, &n.b, l, &byte, 1, 0), -ENOTCONN);
	assert_int_equal(net_send(&n, &n.b, l, "x", 1, 0), -EPIPE);
	assert_int_equal(net_connect(&n, &n.b, l, "10.0.0.1", 1), -EISCONN);
	assert_int_equal(socket_accept(n.b.s, l, &c, NULL, NULL, n.now), -EAGAIN);
	assert_int_equal(socket_accept(n.b.s, other, &c, NULL, NULL, n.now), -EINVAL);
	assert_int_equal(socket_listen(n.b.s, l, 5, n.now), 0);
	assert_int_equal(net_get(&n, &n.b, l, SOL_SOCKET, SO_ACCEPTCONN), 1);
	assert_int_equal(net_bind(&n, &n.b, other, "0.0.0.0", ntohs(port)), -EADDRINUSE);
	assert_int_equal(net_bind(&n, &n.b, other, "10.0.0.9", 5), -EADDRNOTAVAIL);
	assert_int_equal(net_bind(&n, &n.b, other, "10.0.0.2", 5), 0);
	assert_int_equal(net_bind(&n, &n.b, other, "10.0.0.2", 6), -EINVAL);
	assert_int_equal(socket_shutdown(n.b.s, l, SHUT_WR, n.now), 0);
	assert_int_equal(ready(&n.b, l), 0);
	assert_int_equal(socket_shutdown(n.b.s, l, SHUT_RD, n.now), 0);
	assert_int_equal(ready(&n.b, l), WRITE | POLLHUP);
	assert_int_equal(socket_accept(n.b.s, l, &c, NULL, NULL, n.now), -EINVAL);
	assert_int_equal(socket_listen(n.b.s, l, 5, n.now), 0);
}

static void reset(void **state)
{
	sock_id l = net_listen(&n, &n.b, 80), a, b;
	struct linger zero = { 1, 0 };
	char c;

	(void)state;
	net_pair(&n, l, 80, &a, &b);
	assert_int_equal(socket_setsockopt(n.b.s, b, SOL_SOCKET, SO_LINGER, &zero, sizeof(zero),
					   n.now),
			 0);
	assert_int_equal(socket_close(n.b.s, b, n.now), 0);
	net_run(&n, 0);
	assert_int_equal(ready(&n.a, a), READ | WRITE | POLLERR | POLLHUP | POLLRDHUP);
	assert_int_equal(net_recv(&n, &n.a, a, &c, 1, 0), -ECONNRESET);
	assert_int_equal(net_recv(&n, &n.a, a, &c, 1, 0), 0);
	assert_int_equal(net_send(&n, &n.a, a, &c, 1, 0), -EPIPE);
	assert_int_equal(net_connect(&n, &n.a, a, "10.0.0.2", 80), -EISCONN);
}

/* connect(2) with AF_UNSPEC: the peer is reset, and the socket can be used again. */
static void disconnected(void **state)
{
	sock_id l = net_listen(&n, &n.b, 80), a, b;
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	char c;

	(void)state;
	net_pair(&n, l, 80, &a, &b);
	/* The port is its listener's still. */
	assert_int_equal(socket_connect(n.b.s, b, &none, sizeof(none), n.now), 0);
	net_run(&n, 0);
	assert_int_equal(net_recv(&n, &n.a, a, &c, 1, 0), -ECONNRESET);
	assert_int_equal(ready(&n.b, b), WRITE | POLLERR | POLLHUP);
	assert_int_equal(net_error(&n, &n.b, b), ECONNRESET);
	assert_int_equal(net_connect(&n, &n.b, b, "fd00::1", 81), -EINPROGRESS);
	net_run(&n, 0);
	assert_int_equal(net_connect(&n, &n.b, b, "fd00::1", 81), -ECONNREFUSED);
	net_pair(&n, l, 80, &a, &b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(new_socket, setup, teardown),
		cmocka_unit_test_setup_teardown(talks, setup, teardown),
		cmocka_unit_test_setup_teardown(refused, setup, teardown),
		cmocka_unit_test_setup_teardown(listener, setup, teardown),
		cmocka_unit_test_setup_teardown(reset, setup, teardown),
		cmocka_unit_test_setup_teardown(disconnected, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
