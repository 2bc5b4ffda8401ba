/* SPDX-License-Identifier: MIT */
/*
 * How connections come to be and how long that may take: TCP_SYNCNT, TCP_DEFER_ACCEPT,
 * TCP_USER_TIMEOUT, SO_REUSEPORT, TCP_LINGER2, Fast Open, and what the blocking calls wait for.
 */
#define _GNU_SOURCE /* POLLRDHUP */
#include "tests/util/socket_net.h"

#include "socket/linux_tcp.h"

#include <linux/tcp.h>
#include <poll.h>
#include <sys/time.h>

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

static int ready(struct side *side, sock_id id)
{
	return (uint16_t)socket_readiness(side->s, id);
}

static void syn_count(void **state)
{
	sock_id a = net_tcp(&n.a);

	(void)state;
	n.cut = true;
	assert_int_equal(net_set(&n, &n.a, a, IPPROTO_TCP, TCP_SYNCNT, 0), -EINVAL);
	assert_int_equal(net_set(&n, &n.a, a, IPPROTO_TCP, TCP_SYNCNT, 1), 0);
	assert_int_equal(net_get(&n, &n.a, a, IPPROTO_TCP, TCP_SYNCNT), 1);
	assert_int_equal(net_connect(&n, &n.a, a, "10.0.0.2", 80), -EINPROGRESS);
	net_run(&n, 2900 * CPL_MS);
	assert_int_equal(n.frames, 2);
	assert_int_equal(ready(&n.a, a), 0);
	net_run(&n, 200 * CPL_MS);
	assert_true(ready(&n.a, a) & POLLERR);
	assert_int_equal(net_connect(&n, &n.a, a, "10.0.0.2", 80), -ETIMEDOUT);
}

static void deferred(void **state)
{
	sock_id l = net_listen(&n, &n.b, 80), a = net_tcp(&n.a), b;
	char c;

	(void)state;
	assert_int_equal(net_set(&n, &n.b, l, IPPROTO_TCP, TCP_DEFER_ACCEPT, 5), 0);
	assert_int_equal(net_get(&n, &n.b, l, IPPROTO_TCP, TCP_DEFER_ACCEPT), 7);
	assert_int_equal(net_connect(&n, &n.a, a, "10.0.0.2", 80), -EINPROGRESS);
	net_run(&n, CPL_SECOND / 2);
	assert_int_equal(net_connect(&n, &n.a, a, "10.0.0.2", 80), 0);
	assert_int_equal(ready(&n.b, l), 0);
	assert_int_equal(net_send(&n, &n.a, a, "x", 1, 0), 1);
	assert_int_equal(ready(&n.b, l), POLLIN | POLLRDNORM);
	b = net_accept(&n, &n.b, l);
	assert_int_equal(net_recv(&n, &n.b, b, &c, 1, 0), 1);
	/* Who says nothing is accepted at last: the SYN,ACK that goes again brings another ACK. */
	a = net_tcp(&n.a);
	assert_int_equal(net_connect(&n, &n.a, a, "10.0.0.2", 80), -EINPROGRESS);
	net_run(&n, 6 * CPL_SECOND);
	assert_int_equal(ready(&n.b, l), 0);
	net_run(&n, 2 * CPL_SECOND);
	assert_int_equal(ready(&n.b, l), POLLIN | POLLRDNORM);
}

static void reuse_port(void **state)
{
	sock_id l[3], got[2] = { 0 }, c;

	(void)state;
	for (int i = 0; i < 3; i++) {
		l[i] = net_tcp(&n.b);
		if (i < 2)
			assert_int_equal(net_set(&n, &n.b, l[i], SOL_SOCKET, SO_REUSEPORT, 1), 0);
		assert_int_equal(net_bind(&n, &n.b, l[i], "0.0.0.0", 80), i < 2 ? 0 : -EADDRINUSE);
		if (i < 2)
			assert_int_equal(socket_listen(n.b.s, l[i], 64, n.now), 0);
	}
	for (int i = 0; i < 64; i++)
		assert_int_equal(net_connect(&n, &n.a, net_tcp(&n.a), "10.0.0.2", 80),
				 -EINPROGRESS);
	net_run(&n, 0);
	for (int i = 0; i < 2; i++)
		while (!socket_accept(n.b.s, l[i], &c, NULL, NULL, n.now))
			got[i]++;
	assert_int_equal(got[0] + got[1], 64);
	assert_true(got[0] > 10 && got[1] > 10);
}

static void linger2(void **state)
{
	sock_id l = net_listen(&n, &n.b, 80), a, b;
	cpl_handle h;
	struct cpl_info info;

	(void)state;
	net_pair(&n, l, 80, &a, &b);
	assert_int_equal(net_get(&n, &n.a, a, IPPROTO_TCP, TCP_LINGER2), 60);
	assert_int_equal(net_set(&n, &n.a, a, IPPROTO_TCP, TCP_LINGER2, 3), 0);
	h = socket_handle(n.a.s, a);
	assert_int_equal(socket_close(n.a.s, a, n.now), 0);
	net_run(&n, 2 * CPL_SECOND);
	assert_int_equal(cpl_info_get(n.a.stack, h, &info, n.now), 0);
	assert_int_equal(info.state, CPL_FIN_WAIT_2);
	net_run(&n, 2 * CPL_SECOND);
	assert_int_equal(cpl_info_get(n.a.stack, h, &info, n.now), -EBADF);
}

/* One after another: a cookie is asked for, then data goes with the SYN. */
static void fast_open(void **state)
{
	sock_id l = net_listen(&n, &n.b, 80), a = net_tcp(&n.a), b;
	union name to = name4("10.0.0.2", 80);
	struct iovec v = { "hello", 5 };
	struct msghdr msg = { .msg_name = &to, .msg_iov = &v, .msg_iovlen = 1 };
	struct linux_tcp_info ti = { 0 };
	socklen_t len = sizeof(ti);
	char data[10];

	(void)state;
	assert_int_equal(sockets_sysctl_set(n.b.s, "net.ipv4.tcp_fastopen", "0x3", n.now), 0);
	assert_int_equal(net_set(&n, &n.b, l, IPPROTO_TCP, TCP_FASTOPEN, 5), 0);
	msg.msg_namelen = sizeof(to.in);
	socket_set_nonblock(n.a.s, a, true);
	assert_int_equal(socket_sendmsg(n.a.s, a, &msg, MSG_FASTOPEN, n.now), -EINPROGRESS);
	assert_int_equal(socket_sendmsg(n.a.s, a, &msg, MSG_FASTOPEN, n.now), -EALREADY);
	assert_int_equal(socket_sendmsg(n.a.s, a, &msg, 0, n.now), -EAGAIN);
	net_run(&n, 0);
	b = net_accept(&n, &n.b, l);
	assert_int_equal(net_recv(&n, &n.b, b, data, 10, 0), -EAGAIN);

	a = net_tcp(&n.a);
	socket_set_nonblock(n.a.s, a, true);
	assert_int_equal(socket_sendmsg(n.a.s, a, &msg, MSG_FASTOPEN, n.now), 5);
	net_run(&n, 0);
	b = net_accept(&n, &n.b, l);
	assert_int_equal(net_recv(&n, &n.b, b, data, 10, 0), 5);
	assert_int_equal(socket_getsockopt(n.a.s, a, IPPROTO_TCP, TCP_INFO, &ti, &len, n.now), 0);
	assert_int_equal(ti.delivered, 1); /* SYN and data are one */

	/* TCP_FASTOPEN_CONNECT: connect(2) waits for the data. */
	a = net_tcp(&n.a);
	assert_int_equal(net_set(&n, &n.a, a, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1), 0);
	assert_int_equal(net_connect(&n, &n.a, a, "10.0.0.2", 80), 0);
	n.frames = 0;
	net_run(&n, CPL_SECOND);
	assert_int_equal(n.frames, 0);
	assert_int_equal(ready(&n.a, a), POLLOUT | POLLWRNORM);
	assert_int_equal(net_connect(&n, &n.a, a, "10.0.0.2", 80), -EISCONN);
	socket_set_nonblock(n.a.s, a, true);
	assert_int_equal(net_send(&n, &n.a, a, "again", 5, 0), 5);
	b = net_accept(&n, &n.b, l);
	assert_int_equal(net_recv(&n, &n.b, b, data, 10, 0), 5);
	assert_memory_equal(data, "again", 5);
	assert_int_equal(sockets_sysctl_set(n.a.s, "net.ipv4.tcp_fastopen", "0", n.now), 0);
	a = net_tcp(&n.a);
	assert_int_equal(socket_sendmsg(n.a.s, a, &msg, MSG_FASTOPEN, n.now), -EOPNOTSUPP);
}

/* What comes after, as Linux: a send of nothing lets the SYN go; MSG_FASTOPEN once more connects.
 */
static void fast_open_once_more(void **state)
{
	sock_id l = net_listen(&n, &n.b, 80), a, b;
	union name to = name4("10.0.0.2", 80);
	struct iovec v = { "hello", 5 };
	struct msghdr msg = { .msg_name = &to, .msg_iov = &v, .msg_iovlen = 1 };
	char data[10];

	(void)state;
	msg.msg_namelen = sizeof(to.in);
	assert_int_equal(sockets_sysctl_set(n.b.s, "net.ipv4.tcp_fastopen", "0x3", n.now), 0);
	assert_int_equal(net_set(&n, &n.b, l, IPPROTO_TCP, TCP_FASTOPEN, 5), 0);
	a = net_tcp(&n.a);
	socket_set_nonblock(n.a.s, a, true);
	assert_int_equal(socket_sendmsg(n.a.s, a, &msg, MSG_FASTOPEN, n.now), -EINPROGRESS);
	net_run(&n, 0);
	b = net_accept(&n, &n.b, l);
	assert_int_equal(socket_sendmsg(n.a.s, a, &msg, MSG_FASTOPEN, n.now), 5);
	net_run(&n, 0);
	assert_int_equal(net_recv(&n, &n.b, b, data, 10, 0), 5);
	assert_int_equal(socket_sendmsg(n.a.s, a, &msg, MSG_FASTOPEN, n.now), -EISCONN);

	a = net_tcp(&n.a);
	socket_set_nonblock(n.a.s, a, true);
	assert_int_equal(net_set(&n, &n.a, a, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1), 0);
	assert_int_equal(net_connect(&n, &n.a, a, "10.0.0.2", 80), 0);
	assert_int_equal(net_send(&n, &n.a, a, "", 0, 0), -EINPROGRESS);
	net_run(&n, 0);
	b = net_accept(&n, &n.b, l);
	assert_int_equal(net_send(&n, &n.a, a, "later", 5, 0), 5);
	assert_int_equal(net_recv(&n, &n.b, b, data, 10, 0), 5);
}

/* A send that blocks has sent all when it returns, and waits for the handshake. */
static void fast_open_blocking(void **state)
{
	static char big[4000];
	sock_id l = net_listen(&n, &n.b, 80), a, b;
	union name to = name4("10.0.0.2", 80);
	struct iovec v = { big, sizeof(big) };
	struct msghdr msg = { .msg_name = &to, .msg_iov = &v, .msg_iovlen = 1 };
	uint64_t until;
	short events;
	long r;

	(void)state;
	msg.msg_namelen = sizeof(to.in);
	assert_int_equal(sockets_sysctl_set(n.b.s, "net/ipv4/tcp_fastopen", "3", n.now), 0);
	assert_int_equal(net_set(&n, &n.b, l, IPPROTO_TCP, TCP_FASTOPEN, 5), 0);
	for (int i = 0; i < 2; i++) {
		a = net_tcp(&n.a);
		assert_int_equal(socket_sendmsg(n.a.s, a, &msg, MSG_FASTOPEN, n.now), -EINPROGRESS);
		assert_true(socket_wait(n.a.s, a, SOCKET_SEND, MSG_FASTOPEN, 0, sizeof(big), n.now,
					&events, &until, &r, n.now));
		assert_int_equal(ready(&n.a, a) & events, 0);
		net_run(&n, 0);
		assert_int_not_equal(ready(&n.a, a) & events, 0);
		assert_int_equal(socket_sendmsg(n.a.s, a, &msg, MSG_FASTOPEN, n.now), sizeof(big));
		net_run(&n, 0);
		b = net_accept(&n, &n.b, l);
		assert_int_equal(net_recv(&n, &n.b, b, big, sizeof(big), 0), sizeof(big));
		assert_int_equal(net_connect(&n, &n.a, a, "10.0.0.2", 80), -EISCONN);
	}
}

static bool waits(sock_id id, enum socket_op op, int flags, size_t done, size_t asked,
		  uint64_t began, long *result)
{
	uint64_t until;
	short events;

	return socket_wait(n.b.s, id, op, flags, done, asked, began, &events, &until, result,
			   n.now);
}

static void waiting(void **state)
{
	sock_id l = net_listen(&n, &n.b, 80), a, b;
	struct timeval half = { 0, 500000 }, bad = { 0, 1000000 };
	uint64_t began = n.now;
	long r;

	(void)state;
	net_pair(&n, l, 80, &a, &b);
	assert_true(waits(b, SOCKET_RECV, 0, 0, 10, began, &r));
	assert_false(waits(b, SOCKET_RECV, 0, 3, 10, began, &r));
	assert_int_equal(r, 3);
	assert_true(waits(b, SOCKET_RECV, MSG_WAITALL, 3, 10, began, &r));
	assert_false(waits(b, SOCKET_RECV, MSG_WAITALL, 10, 10, began, &r));
	assert_int_equal(net_set(&n, &n.b, b, SOL_SOCKET, SO_RCVLOWAT, 5), 0);
	assert_true(waits(b, SOCKET_RECV, 0, 4, 10, began, &r));
	assert_false(waits(b, SOCKET_RECV, 0, 4, 4, began, &r));
	assert_false(waits(b, SOCKET_RECV, 0, 5, 10, began, &r));
	/* SO_RCVLOWAT: readiness has it too. */
	net_send(&n, &n.a, a, "1234", 4, 0);
	assert_int_equal(ready(&n.b, b) & POLLIN, 0);
	net_send(&n, &n.a, a, "5", 1, 0);
	assert_int_equal(ready(&n.b, b) & POLLIN, POLLIN);
	assert_int_equal(socket_setsockopt(n.b.s, b, SOL_SOCKET, SO_RCVTIMEO, &bad, sizeof(bad),
					   n.now),
			 -EDOM);
	assert_int_equal(socket_setsockopt(n.b.s, b, SOL_SOCKET, SO_RCVTIMEO, &half, sizeof(half),
					   n.now),
			 0);
	assert_true(waits(b, SOCKET_RECV, 0, 0, 10, began, &r));
	net_run(&n, 501 * CPL_MS);
	assert_false(waits(b, SOCKET_RECV, 0, 0, 10, began, &r));
	assert_int_equal(r, -EAGAIN);
	assert_true(waits(b, SOCKET_SEND, 0, 0, 10, began, &r)); /* another one's time-out */
	assert_false(waits(b, SOCKET_SEND, MSG_DONTWAIT, 2, 10, began, &r));
	assert_int_equal(r, 2);
	/* Nothing more can come: what there is, is all. */
	socket_shutdown(n.a.s, a, SHUT_WR, n.now);
	net_run(&n, 0);
	assert_false(waits(b, SOCKET_RECV, MSG_WAITALL, 3, 10, n.now, &r));
	assert_int_equal(r, 3);
}

static void lingering(void **state)
{
	sock_id l = net_listen(&n, &n.b, 80), a, b;
	struct linger five = { 1, 5 };
	uint64_t began, until;
	short events;
	long r;

	(void)state;
	net_pair(&n, l, 80, &a, &b);
	socket_setsockopt(n.a.s, a, SOL_SOCKET, SO_LINGER, &five, sizeof(five), n.now);
	n.cut = true;
	began = n.now;
	assert_int_equal(net_send(&n, &n.a, a, "x", 1, 0), 1);
	assert_int_equal(socket_close(n.a.s, a, n.now), -EAGAIN);
	assert_true(
		socket_wait(n.a.s, a, SOCKET_CLOSE, 0, 0, 0, began, &events, &until, &r, n.now));
	assert_int_equal(until, began + 5 * CPL_SECOND);
	net_run(&n, CPL_SECOND);
	n.cut = false;
	net_run(&n, 3 * CPL_SECOND);
	assert_int_equal(ready(&n.a, a) & events, POLLHUP);
	assert_false(
		socket_wait(n.a.s, a, SOCKET_CLOSE, 0, 0, 0, began, &events, &until, &r, n.now));
	assert_int_equal(r, 0);
	assert_int_equal(socket_close(n.a.s, a, n.now), 0);
	assert_int_equal(socket_close(n.a.s, a, n.now), -EBADF);
}

/* The number of a socket that is closed means none, however many come after it. */
static void numbers_are_used_once(void **state)
{
	sock_id first = net_tcp(&n.a), id = 0;
	epoll_id set, other;

	(void)state;
	assert_int_equal(socket_close(n.a.s, first, n.now), 0);
	for (unsigned i = 0; i < 70000; i++) {
		id = net_udp(&n.a);
		assert_int_not_equal(id, first);
		assert_int_equal(SOCKET_PLACE(id), SOCKET_PLACE(first));
		assert_int_equal(socket_close(n.a.s, id, n.now), 0);
	}
	id = net_udp(&n.a);
	assert_int_equal(socket_listen(n.a.s, first, 5, n.now), -EBADF);
	assert_int_equal(socket_listen(n.a.s, id, 5, n.now), -EOPNOTSUPP);
	assert_int_equal(socket_epoll_new(n.a.s, &set), 0);
	socket_epoll_free(n.a.s, set);
	for (unsigned i = 0; i < 70000; i++) {
		assert_int_equal(socket_epoll_new(n.a.s, &other), 0);
		assert_int_not_equal(other, set);
		socket_epoll_free(n.a.s, other);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(syn_count, setup, teardown),
		cmocka_unit_test_setup_teardown(deferred, setup, teardown),
		cmocka_unit_test_setup_teardown(reuse_port, setup, teardown),
		cmocka_unit_test_setup_teardown(linger2, setup, teardown),
		cmocka_unit_test_setup_teardown(fast_open, setup, teardown),
		cmocka_unit_test_setup_teardown(fast_open_once_more, setup, teardown),
		cmocka_unit_test_setup_teardown(fast_open_blocking, setup, teardown),
		cmocka_unit_test_setup_teardown(waiting, setup, teardown),
		cmocka_unit_test_setup_teardown(lingering, setup, teardown),
		cmocka_unit_test_setup_teardown(numbers_are_used_once, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
