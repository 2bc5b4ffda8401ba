/* SPDX-License-Identifier: MIT */
/*
 * What the programs calls_*.c share. Each makes socket calls and prints what they answered, one
 * case a line, the same lines each time. Run on the kernel and run under `couplet run`, the two
 * must agree: tests/interop/calls.py compares them.
 *
 * A program never waits longer than it must: states are awaited by poll(2), not by sleeping.
 */
#ifndef TESTS_INTEROP_CALLS_H
#define TESTS_INTEROP_CALLS_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define AWAIT_MS 3000

static volatile sig_atomic_t sigpipes;

__attribute__((unused)) static void count_sigpipe(int sig)
{
	(void)sig;
	sigpipes++;
}

/* The answer of a call: its number, or the name of its errno. */
__attribute__((unused)) static const char *answer(long r)
{
	static char text[8][32];
	static unsigned turn;
	char *t = text[turn++ % 8];

	if (r >= 0)
		snprintf(t, 32, "%ld", r);
	else
		snprintf(t, 32, "%s", strerrorname_np(errno));
	return t;
}

/* Poll bits by name. */
__attribute__((unused)) static const char *bits(int mask)
{
	static const struct {
		int bit;
		const char *name;
	} names[] = { { POLLIN, "IN" },	     { POLLPRI, "PRI" }, { POLLOUT, "OUT" },
		      { POLLERR, "ERR" },    { POLLHUP, "HUP" }, { POLLNVAL, "NVAL" },
		      { POLLRDHUP, "RDHUP" } };
	static char text[4][64];
	static unsigned turn;
	char *t = text[turn++ % 4];
	size_t n = 0;

	t[0] = 0;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (mask & names[i].bit)
			n += (size_t)snprintf(t + n, 64 - n, "%s%s", n ? "+" : "", names[i].name);
	return n ? t : "-";
}

__attribute__((unused)) static int poll_now(int fd)
{
	struct pollfd p = { .fd = fd,
			    .events = POLLIN | POLLOUT | POLLPRI | POLLRDHUP | POLLERR | POLLHUP };

	return poll(&p, 1, 0) < 0 ? -1 : p.revents;
}

/* Until FD has all of WANT, or it is told that it never had. */
__attribute__((unused)) static void await(int fd, int want)
{
	struct timespec step = { .tv_nsec = 200000 };

	for (int i = 0; i < AWAIT_MS * 5; i++) {
		if ((poll_now(fd) & want) == want)
			return;
		nanosleep(&step, NULL);
	}
	printf("(never %s: %s)\n", bits(want), bits(poll_now(fd)));
}

/* Until the bytes that a TCP socket has sent are all acknowledged, where its state lets them be. */
__attribute__((unused)) static void await_sent(int fd)
{
	struct timespec step = { .tv_nsec = 200000 };
	struct tcp_info info;
	socklen_t len = sizeof(info);
	int left = 0;

	for (int i = 0; i < AWAIT_MS; i++) {
		if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) ||
		    (info.tcpi_state != TCP_ESTABLISHED && info.tcpi_state != TCP_CLOSE_WAIT) ||
		    ioctl(fd, TIOCOUTQ, &left) || !left)
			return;
		nanosleep(&step, NULL);
	}
	printf("(%d bytes never acknowledged)", left);
}

/* Until the last FIN, FD's own, is acknowledged, and the connection over. */
__attribute__((unused)) static void await_closed(int fd)
{
	struct timespec step = { .tv_nsec = 200000 };
	struct tcp_info info;
	socklen_t len = sizeof(info);

	for (int i = 0; i < AWAIT_MS; i++) {
		if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) ||
		    info.tcpi_state == TCP_CLOSE)
			return;
		nanosleep(&step, NULL);
	}
	printf("(never closed)");
}

/* Until the peer has acknowledged FD's FIN: it may take its time (RFC 9293 3.8.6.3). */
__attribute__((unused)) static void await_fin(int fd)
{
	struct timespec step = { .tv_nsec = 200000 };
	struct tcp_info info;
	socklen_t len = sizeof(info);

	for (int i = 0; i < AWAIT_MS * 5; i++) {
		if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) ||
		    info.tcpi_state != TCP_FIN_WAIT1)
			return;
		nanosleep(&step, NULL);
	}
	printf("(the FIN never acknowledged)");
}

struct name {
	struct sockaddr_storage ss;
	socklen_t len;
};

/* "4", "6" or "m" (IPv4 through an IPv6 socket), and a text address. */
__attribute__((unused)) static struct name name_of(const char *addr, uint16_t port)
{
	struct name n = { .len = sizeof(struct sockaddr_in) };
	struct sockaddr_in *in = (struct sockaddr_in *)&n.ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&n.ss;

	if (inet_pton(AF_INET, addr, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		return n;
	}
	inet_pton(AF_INET6, addr, &in6->sin6_addr);
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	n.len = sizeof(*in6);
	return n;
}

__attribute__((unused)) static const char *loopback(char family)
{
	return family == '4' ? "127.0.0.1" : family == '6' ? "::1" : "::ffff:127.0.0.1";
}

__attribute__((unused)) static const char *any(char family)
{
	return family == '4' ? "0.0.0.0" : "::";
}

__attribute__((unused)) static int domain(char family)
{
	return family == '4' ? AF_INET : AF_INET6;
}

/* An address as text; ports that were chosen by the system are called so. */
__attribute__((unused)) static const char *name_text(const struct name *n)
{
	static char text[4][96];
	static unsigned turn;
	const struct sockaddr_in *in = (const struct sockaddr_in *)&n->ss;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&n->ss;
	char addr[INET6_ADDRSTRLEN] = "?", *t = text[turn++ % 4];
	unsigned port = 0;

	if (n->ss.ss_family == AF_INET) {
		inet_ntop(AF_INET, &in->sin_addr, addr, sizeof(addr));
		port = ntohs(in->sin_port);
	} else if (n->ss.ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &in6->sin6_addr, addr, sizeof(addr));
		port = ntohs(in6->sin6_port);
	}
	if (port >= 20000)
		snprintf(t, 96, "%u bytes, family %d, %s, some port", n->len, n->ss.ss_family,
			 addr);
	else
		snprintf(t, 96, "%u bytes, family %d, %s, port %u", n->len, n->ss.ss_family, addr,
			 port);
	return t;
}

__attribute__((unused)) static uint16_t port_of(int fd)
{
	struct name n = { .len = sizeof(n.ss) };

	if (getsockname(fd, (struct sockaddr *)&n.ss, &n.len))
		return 0;
	return ntohs(((struct sockaddr_in *)&n.ss)->sin_port);
}

__attribute__((unused)) static void die(const char *what)
{
	printf("cannot go on: %s: %s\n", what, strerror(errno));
	fflush(stdout);
	exit(1);
}

/* A listener of FAMILY on loopback. */
/* A socket that has a port and does not listen. */
__attribute__((unused)) static int port_taken(char family)
{
	struct name n = name_of(loopback(family), 0);
	int fd = socket(domain(family), SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&n.ss, n.len))
		die("a port");
	return fd;
}

__attribute__((unused)) static int listener(char family)
{
	int fd = port_taken(family);

	if (listen(fd, 16))
		die("a listener");
	return fd;
}

/* The two ends of a connection of FAMILY: *A called, *B was called. */
__attribute__((unused)) static void connected(char family, int *a, int *b)
{
	int l = listener(family);
	struct name n = name_of(loopback(family), port_of(l));

	*a = socket(domain(family), SOCK_STREAM, 0);
	if (*a < 0 || connect(*a, (struct sockaddr *)&n.ss, n.len))
		die("a connection");
	*b = accept(l, NULL, NULL);
	if (*b < 0)
		die("an accepted connection");
	close(l);
}

__attribute__((unused)) static void nonblock(int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

__attribute__((unused)) static void reset_by(int fd)
{
	struct linger l = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	close(fd);
}

#endif
