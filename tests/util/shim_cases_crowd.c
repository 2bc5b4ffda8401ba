/* SPDX-License-Identifier: MIT */
/*
 * Of the programs of shim_cases.h: thousands of sockets in eight threads, each with a set of its
 * own, level- and edge-triggered, with every kind of call and of end; and threads that are in a
 * call on a socket when another one ends it. What comes back from the echo is checked.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>

#include "tests/util/shim_case.h"

#define THREADS 8
#define BLOCKED 4     /* threads that wait in a call that another ends */
#define CHUNK	4096  /* octets of one call at most */
#define AHEAD	16384 /* octets of one socket that the echo is to hold */
#define LIFE	50000 /* octets of one connection, on average */
#define AT_ONCE 64    /* events */

struct conn {
	int fd;
	bool edge, half; /* told with EPOLLET; its FIN is sent */
	size_t sent, got;
};

struct crowd {
	pthread_t thread;
	unsigned n, seed;
	int set;
	struct conn *conns;
	unsigned long octets, ends;
};

static unsigned long enough; /* octets of one thread */
static atomic_bool over;

static unsigned draw(struct crowd *c, unsigned n)
{
	return (unsigned)rand_r(&c->seed) % n;
}

static void join(struct crowd *c, struct conn *k)
{
	struct epoll_event e = { .data.ptr = k };

	*k = (struct conn){ .fd = case_dial(ECHO_PORT), .edge = draw(c, 2) };
	e.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | (k->edge ? EPOLLET : 0);
	CHECK(fcntl(k->fd, F_SETFL, O_NONBLOCK) == 0);
	CHECK(epoll_ctl(c->set, EPOLL_CTL_ADD, k->fd, &e) == 0);
}

/* Gone without a word, in the middle of what it said, or by RST; then another in its place. */
static void leave(struct crowd *c, struct conn *k)
{
	struct linger now = { 1, 0 };

	if (draw(c, 3) == 0)
		CHECK(setsockopt(k->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)) == 0);
	if (draw(c, 3) == 0)
		CHECK(epoll_ctl(c->set, EPOLL_CTL_DEL, k->fd, NULL) == 0);
	CHECK(close(k->fd) == 0);
	c->ends++;
	join(c, k);
}

static void talk(struct crowd *c, struct conn *k)
{
	uint8_t out[CHUNK];

	while (!k->half && k->sent - k->got < AHEAD) {
		size_t n = 1 + draw(c, CHUNK);
		struct iovec iov[2] = { { out, n / 2 }, { out + n / 2, n - n / 2 } };
		struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
		ssize_t did;

		for (size_t i = 0; i < n; i++)
			out[i] = case_octet(k->sent + i);
		did = draw(c, 2) ? send(k->fd, out, n, MSG_NOSIGNAL)
				 : sendmsg(k->fd, &msg, MSG_NOSIGNAL);
		CHECK(did > 0 || errno == EAGAIN);
		if (did < 0)
			return;
		k->sent += (size_t)did;
	}
}

/* True: the echo has closed, after all that it was sent. */
static bool listen_to(struct crowd *c, struct conn *k)
{
	uint8_t in[CHUNK];

	for (;;) {
		ssize_t n = draw(c, 2) ? read(k->fd, in, sizeof(in))
				       : recv(k->fd, in, sizeof(in), MSG_DONTWAIT);

		CHECK(n >= 0 || errno == EAGAIN);
		if (n < 0)
			return false;
		if (n == 0) {
			CHECK(k->half && k->got == k->sent);
			return true;
		}
		for (ssize_t i = 0; i < n; i++)
			CHECK(in[i] == case_octet(k->got + (size_t)i));
		k->got += (size_t)n;
		c->octets += (size_t)n;
	}
}

/* What else programs ask. */
static void ask(struct crowd *c, const struct conn *k)
{
	struct pollfd p = { .fd = k->fd, .events = POLLIN | POLLOUT };
	struct sockaddr_in addr;
	socklen_t len = sizeof(addr);
	int value, copy;

	switch (draw(c, 40)) {
	case 0:
		CHECK(poll(&p, 1, 0) >= 0 && !(p.revents & (POLLERR | POLLNVAL)));
		break;
	case 1:
		CHECK(getsockname(k->fd, (struct sockaddr *)&addr, &len) == 0);
		CHECK(addr.sin_family == AF_INET && addr.sin_port);
		break;
	case 2:
		CHECK(ioctl(k->fd, FIONREAD, &value) == 0 && value >= 0);
		break;
	case 3:
		value = 1;
		CHECK(setsockopt(k->fd, IPPROTO_TCP, TCP_NODELAY, &value, sizeof(value)) == 0);
		break;
	case 4:
		copy = dup(k->fd);
		CHECK(copy >= 0 && close(copy) == 0);
		break;
	default:
		break;
	}
}

static void turn(struct crowd *c, const struct epoll_event *e)
{
	struct conn *k = e->data.ptr;

	CHECK(!(e->events & EPOLLERR));
	ask(c, k);
	if (listen_to(c, k) || draw(c, 2 * LIFE / CHUNK) == 0) {
		leave(c, k);
		return;
	}
	talk(c, k);
	if (!k->half && k->sent > LIFE) {
		CHECK(shutdown(k->fd, SHUT_WR) == 0);
		k->half = true;
	}
}

static void *crowd(void *arg)
{
	struct crowd *c = arg;
	struct epoll_event e[AT_ONCE];

	c->set = epoll_create1(EPOLL_CLOEXEC);
	c->conns = calloc(c->n, sizeof(*c->conns));
	CHECK(c->set >= 0 && c->conns);
	for (unsigned i = 0; i < c->n; i++)
		join(c, &c->conns[i]);
	while (c->octets < enough) {
		int n = epoll_wait(c->set, e, AT_ONCE, 100);

		CHECK(n >= 0);
		for (int i = 0; i < n; i++)
			/* An earlier one of these may have left, and another be there. */
			turn(c, &e[i]);
	}
	for (unsigned i = 0; i < c->n; i++)
		close(c->conns[i].fd);
	close(c->set);
	free(c->conns);
	return NULL;
}

/* In a call for good, until another thread shuts the socket down. */
static void *blocked(void *arg)
{
	int fd = *(int *)arg;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	fd_set in;
	char octet;

	switch (fd % 3) {
	case 0:
		CHECK(poll(&p, 1, 20000) == 1);
		break;
	case 1:
		if (fd < FD_SETSIZE) {
			FD_ZERO(&in);
			FD_SET(fd, &in);
			CHECK(select(fd + 1, &in, NULL, NULL, NULL) == 1);
		}
		break;
	default:
		break;
	}
	CHECK(read(fd, &octet, 1) == 0);
	return NULL;
}

static void *ender(void *arg)
{
	unsigned long *rounds = arg;

	while (!atomic_load(&over) || !*rounds) {
		pthread_t threads[BLOCKED];
		int fds[BLOCKED];

		for (int i = 0; i < BLOCKED; i++) {
			fds[i] = case_dial(ECHO_PORT);
			CHECK(pthread_create(&threads[i], NULL, blocked, &fds[i]) == 0);
		}
		usleep((unsigned)(*rounds % 5) * 1000);
		for (int i = 0; i < BLOCKED; i++)
			CHECK(shutdown(fds[i], SHUT_RDWR) == 0);
		for (int i = 0; i < BLOCKED; i++) {
			CHECK(pthread_join(threads[i], NULL) == 0);
			CHECK(close(fds[i]) == 0);
		}
		++*rounds;
	}
	return NULL;
}

/* SOCKETS, until so many times 1,000 octets came back for each. */
int case_crowd(char **argv)
{
	static struct crowd crowds[THREADS];
	unsigned long octets = 0, ends = 0, rounds = 0;
	pthread_t other;

	enough = 1000ul * (unsigned)atoi(argv[0]) / THREADS * (unsigned)atoi(argv[1]);
	for (unsigned i = 0; i < THREADS; i++) {
		crowds[i].n = (unsigned)atoi(argv[0]) / THREADS;
		crowds[i].seed = i + 1;
		CHECK(pthread_create(&crowds[i].thread, NULL, crowd, &crowds[i]) == 0);
	}
	CHECK(pthread_create(&other, NULL, ender, &rounds) == 0);
	for (unsigned i = 0; i < THREADS; i++) {
		CHECK(pthread_join(crowds[i].thread, NULL) == 0);
		octets += crowds[i].octets;
		ends += crowds[i].ends;
	}
	atomic_store(&over, true);
	CHECK(pthread_join(other, NULL) == 0);
	fprintf(stderr, "%s sockets: %lu KB came back, %lu ended, %lu times in a call\n", argv[0],
		octets / 1000, ends, rounds * BLOCKED);
	CHECK(ends);
	return 0;
}
