/* SPDX-License-Identifier: MIT */
/* epoll: level, edge, one-shot, exclusive, order. What is expected was seen on Linux 6.18. */
#include "tests/util/socket_net.h"

#include <sys/epoll.h>

static struct net n;
static sock_id listener, a, b;
static epoll_id set;

static int setup(void **state)
{
	(void)state;
	net_start(&n);
	listener = net_listen(&n, &n.b, 80);
	net_pair(&n, listener, 80, &a, &b);
	assert_int_equal(socket_epoll_new(n.b.s, &set), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	net_end(&n);
	return 0;
}

static int ctl(int op, sock_id id, int token, uint32_t events)
{
	struct socket_event e = { events, (uint64_t)token };

	return socket_epoll_ctl(n.b.s, set, op, id, token, &e);
}

/* What is ready as tokens, at most MAX. */
static unsigned take(struct socket_event *e, unsigned max)
{
	return socket_epoll_take(n.b.s, set, e, max);
}

static void errors(void **state)
{
	(void)state;
	assert_int_equal(ctl(EPOLL_CTL_MOD, b, 1, EPOLLIN), -ENOENT);
	assert_int_equal(ctl(EPOLL_CTL_DEL, b, 1, 0), -ENOENT);
	assert_int_equal(ctl(EPOLL_CTL_ADD, b, 1, EPOLLIN), 0);
	assert_int_equal(ctl(EPOLL_CTL_ADD, b, 1, EPOLLIN), -EEXIST);
	assert_int_equal(ctl(EPOLL_CTL_ADD, b, 2, EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT),
			 -EINVAL);
	assert_int_equal(ctl(EPOLL_CTL_ADD, b, 2, EPOLLIN | EPOLLEXCLUSIVE), 0);
	assert_int_equal(ctl(EPOLL_CTL_MOD, b, 2, EPOLLIN), -EINVAL);
	assert_int_equal(ctl(9, b, 1, EPOLLIN), -EINVAL);
	assert_int_equal(ctl(EPOLL_CTL_DEL, b, 1, 0), 0);
}

static void level(void **state)
{
	struct socket_event e[4];
	char c[4];

	(void)state;
	assert_int_equal(ctl(EPOLL_CTL_ADD, b, 7, EPOLLIN), 0);
	assert_int_equal(take(e, 4), 0);
	assert_false(socket_epoll_ready(n.b.s, set));
	net_send(&n, &n.a, a, "xy", 2, 0);
	for (int i = 0; i < 3; i++) {
		assert_true(socket_epoll_ready(n.b.s, set));
		assert_int_equal(take(e, 4), 1);
		assert_int_equal(e[0].data, 7);
		assert_int_equal(e[0].events, EPOLLIN);
	}
	net_recv(&n, &n.b, b, c, 4, 0);
	assert_int_equal(take(e, 4), 0);
	assert_false(socket_epoll_ready(n.b.s, set));
}

static void edge(void **state)
{
	struct socket_event e[4];
	char c[4];

	(void)state;
	assert_int_equal(ctl(EPOLL_CTL_ADD, b, 7, EPOLLIN | EPOLLOUT | EPOLLET), 0);
	assert_int_equal(take(e, 4), 1);
	assert_int_equal(e[0].events, EPOLLOUT);
	assert_int_equal(take(e, 4), 0);
	net_send(&n, &n.a, a, "xy", 2, 0);
	assert_int_equal(take(e, 4), 1);
	assert_int_equal(e[0].events, EPOLLIN | EPOLLOUT);
	net_recv(&n, &n.b, b, c, 1, 0);
	assert_int_equal(take(e, 4), 0); /* what is left is no news */
	net_send(&n, &n.a, a, "z", 1, 0);
	assert_int_equal(take(e, 4), 1);
	/* Changing it looks again. */
	assert_int_equal(ctl(EPOLL_CTL_MOD, b, 7, EPOLLIN | EPOLLET), 0);
	assert_int_equal(take(e, 4), 1);
	assert_int_equal(e[0].events, EPOLLIN);
}

static void one_shot(void **state)
{
	struct socket_event e[4];

	(void)state;
	assert_int_equal(ctl(EPOLL_CTL_ADD, b, 7, EPOLLIN | EPOLLONESHOT), 0);
	net_send(&n, &n.a, a, "x", 1, 0);
	assert_int_equal(take(e, 4), 1);
	net_send(&n, &n.a, a, "x", 1, 0);
	assert_int_equal(take(e, 4), 0);
	assert_int_equal(ctl(EPOLL_CTL_MOD, b, 7, EPOLLIN | EPOLLONESHOT), 0);
	assert_int_equal(take(e, 4), 1);
}

static void turns(void **state)
{
	struct socket_event e[4];
	sock_id a2, b2;

	(void)state;
	net_pair(&n, listener, 80, &a2, &b2);
	assert_int_equal(ctl(EPOLL_CTL_ADD, b, 1, EPOLLIN), 0);
	assert_int_equal(ctl(EPOLL_CTL_ADD, b2, 2, EPOLLIN), 0);
	net_send(&n, &n.a, a2, "x", 1, 0);
	net_send(&n, &n.a, a, "x", 1, 0);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(take(e, 1), 1);
		assert_int_equal(e[0].data, i % 2 ? 1 : 2);
	}
	assert_int_equal(take(e, 4), 2);
}

/* What happened before a socket was added is not news of it. */
static void old_news(void **state)
{
	struct socket_event e[4];
	sock_id a2, b2;
	char c;

	(void)state;
	net_pair(&n, listener, 80, &a2, &b2);
	n.unseen = true;
	net_send(&n, &n.a, a, "x", 1, 0);
	net_recv(&n, &n.b, b, &c, 1, 0);
	assert_int_equal(ctl(EPOLL_CTL_ADD, b, 1, EPOLLIN), 0);
	assert_int_equal(ctl(EPOLL_CTL_ADD, b2, 2, EPOLLIN), 0);
	n.unseen = false;
	net_send(&n, &n.a, a2, "x", 1, 0);
	net_send(&n, &n.a, a, "x", 1, 0);
	assert_int_equal(take(e, 1), 1);
	assert_int_equal(e[0].data, 2);
}

static void exclusive(void **state)
{
	struct socket_event e[4], in = { EPOLLIN | EPOLLEXCLUSIVE, 5 };
	sock_id a2;
	epoll_id second, woken[4];

	(void)state;
	assert_int_equal(socket_epoll_new(n.b.s, &second), 0);
	assert_int_equal(socket_epoll_ctl(n.b.s, set, EPOLL_CTL_ADD, listener, 5, &in), 0);
	assert_int_equal(socket_epoll_ctl(n.b.s, second, EPOLL_CTL_ADD, listener, 5, &in), 0);
	socket_epoll_waiting(n.b.s, second, 1);
	socket_epoll_waiting(n.b.s, set, 1);
	socket_epoll_waiting(n.b.s, set, -1);
	a2 = net_tcp(&n.a);
	net_connect(&n, &n.a, a2, "10.0.0.2", 80);
	net_run(&n, 0);
	/* Nobody sleeps on the first: it knows as well, but the second one is woken. */
	assert_int_equal(sockets_epolls_woken(n.b.s, woken, 4), 2);
	assert_int_equal(woken[1], second);
	assert_int_equal(socket_epoll_take(n.b.s, second, e, 4), 1);
	socket_epoll_waiting(n.b.s, set, 1);
	take(e, 4);
	net_accept(&n, &n.b, listener);
	take(e, 4);
	socket_epoll_take(n.b.s, second, e, 4);
	sockets_epolls_woken(n.b.s, woken, 4);
	a2 = net_tcp(&n.a);
	net_connect(&n, &n.a, a2, "10.0.0.2", 80);
	net_run(&n, 0);
	assert_int_equal(sockets_epolls_woken(n.b.s, woken, 4), 1);
	assert_int_equal(woken[0], set);
}

/* Who accepts one a turn gets to accept, however many clients have something to say. */
static void accepts_among_many(void **state)
{
	enum {
		CLIENTS = 40,
		WAITING = 12
	};
	struct socket_event e[CLIENTS + 1];
	sock_id clients[CLIENTS], conns[CLIENTS], more;
	unsigned told[CLIENTS] = { 0 }, turns = 0, all = 0, most = 0, n_told;

	(void)state;
	assert_int_equal(ctl(EPOLL_CTL_ADD, listener, CLIENTS, EPOLLIN), 0);
	for (int i = 0; i < CLIENTS; i++) {
		net_pair(&n, listener, 80, &clients[i], &conns[i]);
		assert_int_equal(ctl(EPOLL_CTL_ADD, conns[i], i, EPOLLIN | EPOLLET), 0);
	}
	for (int i = 0; i < CLIENTS; i++)
		net_send(&n, &n.a, clients[i], "x", 1, 0);
	for (int i = 0; i < WAITING; i++) {
		more = net_tcp(&n.a);
		net_connect(&n, &n.a, more, "10.0.0.2", 80);
	}
	net_run(&n, 0);
	for (; turns < WAITING; turns++) {
		bool accepted = false;

		n_told = take(e, CLIENTS + 1);
		if (n_told > most)
			most = n_told;
		for (unsigned i = 0; i < n_told; i++) {
			if (e[i].data < CLIENTS) {
				told[e[i].data]++;
				net_send(&n, &n.a, clients[e[i].data], "x", 1, 0);
				continue;
			}
			net_accept(&n, &n.b, listener);
			accepted = true;
		}
		assert_true(accepted);
	}
	assert_in_range(most, 2, 5);
	/* and the others get their turns */
	for (int i = 0; i < CLIENTS; i++) {
		assert_in_range(told[i], 1, 2);
		all += told[i];
	}
	assert_int_equal(all, WAITING * 4);
	/* nobody waits any more: all that is ready at once */
	n_told = take(e, CLIENTS + 1);
	assert_int_equal(n_told, CLIENTS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(errors, setup, teardown),
		cmocka_unit_test_setup_teardown(level, setup, teardown),
		cmocka_unit_test_setup_teardown(edge, setup, teardown),
		cmocka_unit_test_setup_teardown(one_shot, setup, teardown),
		cmocka_unit_test_setup_teardown(turns, setup, teardown),
		cmocka_unit_test_setup_teardown(old_news, setup, teardown),
		cmocka_unit_test_setup_teardown(exclusive, setup, teardown),
		cmocka_unit_test_setup_teardown(accepts_among_many, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
