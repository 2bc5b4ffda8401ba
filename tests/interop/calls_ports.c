/* SPDX-License-Identifier: MIT */
/*
 * Which ports can be bound (bind(2), socket(7) on SO_REUSEADDR and SO_REUSEPORT) while connections
 * hold them: accepted ones, those that called, those in TIME-WAIT. See calls.h.
 */
#include "tests/interop/calls.h"

static void set(int fd, int name, int on)
{
	setsockopt(fd, SOL_SOCKET, name, &on, sizeof(on));
}

/* A socket of FAMILY that binds PORT of ADDR, with what options; and listens. */
static void takes(char family, const char *addr, uint16_t port, int reuseaddr, int reuseport)
{
	int s = socket(domain(family), SOCK_STREAM, 0);
	struct name n = name_of(addr, port);

	if (reuseaddr)
		set(s, SO_REUSEADDR, 1);
	if (reuseport)
		set(s, SO_REUSEPORT, 1);
	printf(" %s", answer(bind(s, (struct sockaddr *)&n.ss, n.len)));
	printf("/%s", answer(listen(s, 1)));
	close(s);
}

static void all(char family, const char *what, int options, uint16_t port)
{
	printf("%c port of %s, options %d, alone", family, what, options);
	for (int i = 0; i < 4; i++)
		takes(family, any(family), port, i & 1, i & 2);
	printf("\n%c port of %s, options %d, by loopback", family, what, options);
	for (int i = 0; i < 4; i++)
		takes(family, loopback(family), port, i & 1, i & 2);
	printf("\n%c port of %s, options %d, by the other family", family, what, options);
	for (int i = 0; i < 2; i++)
		takes(family == '4' ? '6' : '4', family == '4' ? "::1" : "127.0.0.1", port, i, 0);
	printf("\n%c port of %s, options %d, any of the other family", family, what, options);
	for (int i = 0; i < 2; i++)
		takes(family == '4' ? '6' : '4', family == '4' ? "::" : "0.0.0.0", port, i, 0);
	puts("");
}

/* OPTIONS: 1: SO_REUSEADDR, 2: SO_REUSEPORT of both ends. */
static void held(char family, int options)
{
	int l = socket(domain(family), SOCK_STREAM, 0), a = socket(domain(family), SOCK_STREAM, 0);
	struct name n = name_of(loopback(family), 0);
	uint16_t port, mine;
	int b;

	for (int i = 0; i < 2; i++) {
		set(i ? a : l, SO_REUSEADDR, options & 1);
		set(i ? a : l, SO_REUSEPORT, options & 2);
	}
	bind(l, (struct sockaddr *)&n.ss, n.len);
	listen(l, 5);
	port = port_of(l);
	n = name_of(loopback(family), port);
	connect(a, (struct sockaddr *)&n.ss, n.len);
	mine = port_of(a);
	b = accept(l, NULL, NULL);
	all(family, "a listener", options, port);
	close(l);
	all(family, "an accepted connection", options, port);
	all(family, "who called", options, mine);
	close(b);
	await(a, POLLRDHUP);
	close(a);
	usleep(2000);
	all(family, "one in TIME-WAIT", options, port);
	all(family, "who called and is gone", options, mine);
}

/* One that thinks otherwise than the listener did. */
static void changes(char family, int before)
{
	int l = socket(domain(family), SOCK_STREAM, 0), a = socket(domain(family), SOCK_STREAM, 0);
	struct name n = name_of(loopback(family), 0);
	uint16_t port;
	int b;

	set(l, SO_REUSEADDR, before);
	bind(l, (struct sockaddr *)&n.ss, n.len);
	listen(l, 5);
	port = port_of(l);
	n = name_of(loopback(family), port);
	connect(a, (struct sockaddr *)&n.ss, n.len);
	b = accept(l, NULL, NULL);
	close(l);
	set(b, SO_REUSEADDR, !before);
	printf("%c port of an accepted connection, SO_REUSEADDR before %d:", family, before);
	takes(family, any(family), port, 0, 0);
	takes(family, any(family), port, 1, 0);
	puts("");
	reset_by(b);
	close(a);
}

/* Who was bound before it called: to a port, to any port of an address. */
static void called_from(char family, int port_too)
{
	int l = listener(family), a = socket(domain(family), SOCK_STREAM, 0), b;
	struct name n = name_of(loopback(family), port_too ? (uint16_t)(19700 + family) : 0);
	struct name to = name_of(loopback(family), port_of(l));

	bind(a, (struct sockaddr *)&n.ss, n.len);
	printf("%c called from a bound port %d: %s\n", family, port_too,
	       answer(connect(a, (struct sockaddr *)&to.ss, to.len)));
	b = accept(l, NULL, NULL);
	all(family, "who was bound and called", port_too, port_of(a));
	n.len = sizeof(n.ss);
	getsockname(a, (struct sockaddr *)&n.ss, &n.len);
	close(a);
	await(b, POLLRDHUP);
	close(b);
	usleep(2000);
	all(family, "who was bound, called and closed first", port_too,
	    ntohs(((struct sockaddr_in *)&n.ss)->sin_port));
	close(l);
}

/* A connection that is reset, and its descriptor still there: BOUND to an address, to a port. */
static void reset_and_kept(char family, int bound)
{
	int l = listener(family), a = socket(domain(family), SOCK_STREAM, 0), b;
	struct name n = name_of(loopback(family), bound > 1 ? (uint16_t)(19800 + family) : 0);
	struct name to = name_of(loopback(family), port_of(l));
	uint16_t port;

	if (bound)
		bind(a, (struct sockaddr *)&n.ss, n.len);
	connect(a, (struct sockaddr *)&to.ss, to.len);
	port = port_of(a);
	b = accept(l, NULL, NULL);
	reset_by(b);
	await(a, POLLHUP);
	all(family, "one that was reset, and called", bound, port);
	close(a);
	all(family, "one that was reset, and is closed", bound, port);
	close(l);
}

/* A port by itself is none that a connection has. */
static void by_itself(char family)
{
	int a[64], b[64], same = 0;

	for (int i = 0; i < 64; i++)
		connected(family, &a[i], &b[i]);
	for (int i = 0; i < 200; i++) {
		int s = socket(domain(family), SOCK_STREAM, 0);
		struct name n = name_of(any(family), 0);

		bind(s, (struct sockaddr *)&n.ss, n.len);
		for (int k = 0; k < 64; k++)
			same += port_of(s) == port_of(a[k]) || port_of(s) == port_of(b[k]);
		close(s);
	}
	printf("%c ports chosen that connections have: %d\n", family, same);
	for (int i = 0; i < 64; i++) {
		reset_by(a[i]);
		close(b[i]);
	}
}

int main(void)
{
	static const char families[] = "46m";

	signal(SIGPIPE, SIG_IGN);
	for (const char *f = families; *f; f++) {
		for (int options = 0; options < 4; options++)
			held(*f, options);
		changes(*f, 0);
		changes(*f, 1);
		called_from(*f, 0);
		called_from(*f, 1);
		for (int bound = 0; bound < 3; bound++)
			reset_and_kept(*f, bound);
		by_itself(*f);
	}
	return 0;
}
